package verify

import (
	"crypto/ed25519"
	"encoding/json"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

// Records of the trail about itself, with their serviceEventDetails.
type (
	started struct {
		PreviousSeq  uint64 `json:"previousSeq"`
		PreviousHash hash   `json:"previousHash"`
		Found        uint64 `json:"foundSeq"`
		Clean        bool   `json:"clean"`
	}
	stopped struct{}
	head    struct {
		ClusterID string            `json:"clusterId"`
		Seq       uint64            `json:"headSeq"`
		Hash      hash              `json:"headHash"`
		Time      int64             `json:"headTime"` // ms since 1970
		PublicKey ed25519.PublicKey `json:"publicKey"`
		Signature []byte            `json:"signature"`
	}
	missed struct {
		Sink      string `json:"sink"`
		AfterSeq  uint64 `json:"afterSeq"`
		AfterHash hash   `json:"afterHash"`
		From      uint64 `json:"fromSeq"`
		To        uint64 `json:"toSeq"`
		by        uint64 // its own number
	}
	removed struct {
		Sink     string `json:"sink"`
		File     string `json:"file"`
		LastSeq  uint64 `json:"lastSeq"`
		LastHash hash   `json:"lastHash"`
	}
	anchorFound struct {
		Seq     uint64 `json:"anchorSeq"`
		Hash    hash   `json:"anchorHash"`
		Time    int64  `json:"anchorTime"` // ms since 1970
		Missing uint64 `json:"missing"`
	}
)

// hash is a chain.Hash in JSON.
type hash chain.Hash

func (h *hash) UnmarshalText(text []byte) error {
	got, err := chain.ParseHash(string(text))
	*h = hash(got)
	return err
}

// event returns what the record says of the trail, nil when it says nothing of it. An error says that its details cannot be read.
func (l *line) event() (any, error) {
	if !l.service {
		return nil, nil
	}
	var e any
	switch l.name {
	case "AuditStarted":
		e = &started{}
	case "AuditStopped":
		return &stopped{}, nil
	case "AuditHead":
		e = &head{}
	case "AuditRecordsMissed":
		e = &missed{by: l.link.Seq}
	case "AuditFileRemoved":
		e = &removed{}
	case "AuditAnchorFound":
		e = &anchorFound{}
	default:
		return nil, nil
	}
	return e, json.Unmarshal(l.details, e)
}
