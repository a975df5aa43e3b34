package chain

import (
	"path/filepath"
	"testing"
	"time"
)

func TestRotated(t *testing.T) {
	at := time.Date(2026, 11, 26, 20, 53, 13, 123e6, time.UTC)
	for _, c := range []struct {
		path, name string
		ours, ok   bool
	}{
		{"/log/audit.jsonl", "audit-20261126T205313.123Z.jsonl", true, true},
		{"/log/audit", "audit-20261126T205313.123Z", true, true},
		{"/log/audit.jsonl", "audit.jsonl.1", false, true},
		{"/log/audit.jsonl", "audit.jsonl-20261126", false, true},
		{"/log/audit.jsonl", "audit.jsonl-2026-11-26", false, true},
		{"/log/audit.jsonl", "audit.1.jsonl", false, true},
		{"/log/audit.jsonl", "audit-20261126.jsonl", false, true},
		{"/log/audit", "audit.1", false, true},
		{"/log/audit.jsonl", "audit.jsonl", false, false},
		{"/log/audit.jsonl", "audit.jsonl.1.gz", false, false},
		{"/log/audit.jsonl", "audit-20261126T205313.123Z.jsonl.gz", false, false},
		{"/log/audit.jsonl", "audit-20261126T205313,123Z.jsonl", false, false},
		{"/log/audit.jsonl", "audit-20261126T205313.1234Z.jsonl", false, false},
		{"/log/audit.jsonl", "audit-20261126T205313Z.jsonl", false, false},
		{"/log/audit.jsonl", "audit-20261326T205313.123Z.jsonl", false, false},
		{"/log/audit.jsonl", "audit-x-20261126T205313.123Z.jsonl", false, false},
		{"/log/audit.jsonl", "audit20261126.jsonl", false, false},
		{"/log/audit.jsonl", "audit-x.jsonl", false, false},
		{"/log/audit.jsonl", "audit.jsonl.", false, false},
		{"/log/audit.jsonl", "audit.jsonl--", false, false},
		{"/log/audit.jsonl", "audit.jsonl.index", false, false},
		{"/log/audit.jsonl", "other.jsonl", false, false},
	} {
		got, ours, ok := Rotated(c.path, c.name)
		if ours != c.ours || ok != c.ok || ours && !got.Equal(at) {
			t.Errorf("%s of %s: %v, ours %v, %v", c.name, c.path, got, ours, ok)
		}
		if c.ours && filepath.Base(RotatedName(c.path, at.In(time.FixedZone("", 3600)))) != c.name {
			t.Errorf("%s becomes %s", c.path, RotatedName(c.path, at))
		}
	}
}
