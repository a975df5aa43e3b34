package kms

import (
	"encoding/json"
	"time"
)

// ActionReadAudit lets a principal of the operator account see the audit records of all accounts, those that belong to
// none included. Others, and principals without it, see what belongs to their account.
const ActionReadAudit = "lockstep:ReadAudit"

// Requests and answers of the operations on the audit trail.
type (
	// LookupEventsRequest pages through the records of the audit trail of all nodes, newest first. An empty member asks for
	// nothing; of several, all are asked for.
	LookupEventsRequest struct {
		Limit           int    `json:"-" query:"limit"` // 1 to 1000, default 50; a page may be shorter though there is another
		Marker          string `json:"-" query:"marker"`
		StartTime       string `json:"-" query:"start_time"` // RFC 3339; eventTime is not before
		EndTime         string `json:"-" query:"end_time"`   // RFC 3339; eventTime is not after
		Principal       string `json:"-" query:"principal"`  // the caller's ARN, principal id or access key id, or the ARN of its session's role
		KeyID           string `json:"-" query:"key"`        // key id, key ARN, alias name or alias ARN
		EventName       string `json:"-" query:"event"`
		SourceIPAddress string `json:"-" query:"source"`
		ErrorCode       string `json:"-" query:"error"`
		RequestID       string `json:"-" query:"request_id"`
		EventID         string `json:"-" query:"event_id"`
		AccountID       string `json:"-" query:"account"`   // the caller's account, or that of a resource
		ReadOnly        string `json:"-" query:"read_only"` // "true" or "false"
	}

	// LookupEventsAnswer is one page of records. Each stands as it does in the file of the node that wrote it: a CloudTrail
	// event, in camelCase.
	LookupEventsAnswer struct {
		Events      []json.RawMessage `json:"events"`
		NextMarker  string            `json:"next_marker,omitempty"`
		SilentNodes int               `json:"silent_nodes,omitempty"` // members of whose records some or all are not among them: they did not answer, or cannot read them
	}

	// AuditCheckpointAnswer holds the latest head of each node's audit trail that the cluster has in its state: what the
	// trail's files are verified against.
	AuditCheckpointAnswer struct {
		ClusterID string             `json:"cluster_id"` // hexadecimal
		Anchors   []AuditAnchorEntry `json:"anchors"`    // by node
	}

	// AuditAnchorEntry is the latest signed head of one node's audit trail.
	AuditAnchorEntry struct {
		Node      string    `json:"node"`
		PublicKey []byte    `json:"public_key"` // Ed25519 (RFC 8032), 32 bytes
		Seq       uint64    `json:"seq"`        // position of the record in the node's trail
		Hash      string    `json:"hash"`       // SHA-256 of its line, base64url without padding
		Time      time.Time `json:"time"`       // when the node signed it, by its clock
	}
)
