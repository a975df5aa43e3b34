package server

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
)

// flaky is a sink that can be made to fail.
type flaky struct {
	fail  error
	lines []byte
}

func (f *flaky) Name() string { return "flaky" }

func (f *flaky) Write(b *audit.Batch) error {
	if f.fail == nil {
		f.lines = append(f.lines, b.Lines...)
	}
	return f.fail
}

func (f *flaky) Close() error { return nil }

// A call of the system door that did something has its record although none could be written in that moment; what was refused, or
// waited for its record, has none.
func TestCallsAreOnRecordAfterAll(t *testing.T) {
	sink := &flaky{}
	log, err := audit.New(audit.Options{Sinks: []audit.Sink{sink}, Node: "n"})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{fsm: fsm.New(fsm.Options{Fatal: func(err error) { t.Error(err) }}), audit: log, log: slog.New(slog.DiscardHandler)}
	sink.fail = errors.New("full")
	for _, call := range []struct {
		name     string
		readOnly bool
		err      error
	}{
		{"Done", false, nil}, {"Unknown", false, kms.Errorf(kms.CodeOutcomeUnknown, "")}, {"Refused", false, kms.Errorf(kms.CodeConflict, "")}, {"Read", true, nil},
	} {
		rec := &audit.Record{Name: call.name, ReadOnly: call.readOnly, Identity: audit.Identity{Type: "Operator"}}
		if err := n.recorded(context.Background(), rec, call.err); kms.CodeOf(err) != kms.CodeAuditBlocked {
			t.Errorf("%s: %v", call.name, err)
		}
	}
	if err := n.write(context.Background(), &audit.Record{Name: "Begun"}, nil); kms.CodeOf(err) != kms.CodeAuditBlocked {
		t.Errorf("%v", err)
	}
	sink.fail = nil
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	got := map[string]int{}
	for _, name := range eventNames(sink.lines) {
		got[name]++
	}
	if got["Done"] != 1 || got["Unknown"] != 1 || got["Refused"]+got["Read"]+got["Begun"] != 0 {
		t.Errorf("the trail has %v", got)
	}
}
