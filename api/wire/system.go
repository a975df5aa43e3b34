package wire

import (
	"time"

	"github.com/lockstep-kms/lockstep/kms"
)

// HealthAnswer says what a node can do now. Reason is empty when it can do everything.
type HealthAnswer struct {
	Initialized    bool    `json:"initialized"`
	Sealed         bool    `json:"sealed"`
	Leader         bool    `json:"leader"` // this node leads
	LeaderName     string  `json:"leader_name"`
	CanServeCrypto bool    `json:"can_serve_crypto"`
	CanWrite       bool    `json:"can_write"`
	Reason         string  `json:"reason"`
	AppliedIndex   uint64  `json:"applied_index"`
	LagSeconds     float64 `json:"lag_seconds"` // age of its view of the state; -1: not confirmed since its start
	Version        string  `json:"version"`
	Name           string  `json:"name"` // this node's
	FIPS           bool    `json:"fips"` // the FIPS 140-3 mode is on
}

// SealStatus says whether a node is sealed and how far the current unseal attempt is. Threshold and
// Shares are 0 before init; AttemptLabel and ExpiresAt are empty when no attempt runs.
type SealStatus struct {
	Initialized  bool       `json:"initialized"`
	Sealed       bool       `json:"sealed"`
	Threshold    int        `json:"threshold"`
	Shares       int        `json:"shares"`
	Progress     int        `json:"progress"`
	AttemptLabel string     `json:"attempt_label,omitempty"` // 4 characters
	ExpiresAt    *time.Time `json:"expires_at,omitempty"`
}

// InitRequest asks for the cluster's keys: Shares pieces, of which Threshold unseal.
type InitRequest struct {
	Shares     int                 `json:"shares"`
	Threshold  int                 `json:"threshold"`
	Recipients []string            `json:"recipients,omitempty"` // age recipients, one a share
	InitToken  kms.SensitiveString `json:"init_token,omitempty"`
	Again      bool                `json:"again,omitempty"` // replace an answer that was lost
}

// InitAnswer carries, this once, the key shares and the first access key.
type InitAnswer struct {
	Shares          []kms.SensitiveString `json:"shares"`
	AccessKeyID     string                `json:"access_key_id"`
	SecretAccessKey kms.SensitiveString   `json:"secret_access_key"`
}

// UnsealRequest submits one share; AttemptID, when set, must be that of the running attempt.
type UnsealRequest struct {
	Share     kms.SensitiveString `json:"share"`
	Cluster   bool                `json:"cluster,omitempty"` // relay to every sealed member
	AttemptID string              `json:"attempt_id,omitempty"`
}

// UnsealAnswer is the seal status after a share; only who submitted learns the attempt's id.
type UnsealAnswer struct {
	SealStatus
	AttemptID string `json:"attempt_id,omitempty"`
}

// CancelUnsealRequest names the attempt to forget.
type CancelUnsealRequest struct {
	Attempt string `json:"-" query:"attempt"`
}

// ErrorBody is the body of every answer that is not a success.
type ErrorBody struct {
	Error ErrorDetail `json:"error"`
}

// ErrorDetail is one refusal or failure. Reason stands beside codes of class unavailable.
type ErrorDetail struct {
	Code      kms.Code `json:"code"`
	Message   string   `json:"message"`
	RequestID string   `json:"request_id"`
	Reason    string   `json:"reason,omitempty"`
}
