package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

// entry is a line of a trail.
type entry struct {
	chain.Link
	name    string
	id      string         // eventID
	request string         // requestID
	ip      string         // sourceIPAddress
	code    string         // errorCode
	details map[string]any // serviceEventDetails
	asked   map[string]any // requestParameters
}

func (e entry) String() string { return fmt.Sprintf("%d %s %v", e.Seq, e.name, e.details) }

func (e entry) number(detail string) uint64 {
	n, _ := e.details[detail].(float64)
	return uint64(n)
}

// entries reads lines; torn ones are left out.
func entries(t testing.TB, text []byte) (all []entry) {
	t.Helper()
	for line := range bytes.Lines(text) {
		line, whole := bytes.CutSuffix(line, []byte("\n"))
		link, err := chain.ReadLink(line)
		if !whole || err != nil {
			continue
		}
		if !link.Fits(line) {
			t.Errorf("%s has the hash of another line", line)
		}
		var r struct {
			EventName, EventID, RequestID, SourceIPAddress, ErrorCode string
			ServiceEventDetails, RequestParameters                    map[string]any
		}
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, entry{Link: link, name: r.EventName, id: r.EventID, request: r.RequestID, ip: r.SourceIPAddress, code: r.ErrorCode,
			details: r.ServiceEventDetails, asked: r.RequestParameters})
	}
	return all
}

func readTrail(t testing.TB, paths ...string) []entry {
	t.Helper()
	var text []byte
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, b...)
	}
	return entries(t, text)
}

// calls are the names of the entries without those of the trail about itself.
func calls(all []entry) (names []string) {
	for _, e := range all {
		if e.details == nil {
			names = append(names, e.name)
		}
	}
	return names
}

func names(all []entry) (names []string) {
	for _, e := range all {
		names = append(names, e.name)
	}
	return names
}

// checkTrail holds what a sink has to one chain: a record is the one after that before it, or what is missing between them
// is explained by the first records behind the gap.
func checkTrail(t testing.TB, sink string, all []entry) {
	t.Helper()
	for _, fault := range faults(sink, all) {
		t.Error(fault)
	}
}

func faults(sink string, all []entry) (found []string) {
	for i := 1; i < len(all); i++ {
		before, e := all[i-1], all[i]
		if e.Seq == before.Seq+1 && e.Prev == before.Hash {
			continue
		}
		if e.Seq <= before.Seq || !explained(sink, all, i) {
			found = append(found, fmt.Sprintf("%s: between %v and %v is an unexplained gap", sink, before, e))
		}
	}
	return found
}

// explained reports whether one of the entries from i on says that the sink missed everything from entry i-1 to entry i.
func explained(sink string, all []entry, i int) bool {
	for j := i; j < len(all) && all[j].name == eventMissed; j++ {
		e := all[j]
		if e.details["sink"] != sink || e.number("toSeq") != all[i].Seq-1 || e.number("fromSeq") > all[i-1].Seq+1 {
			continue
		}
		after := e.number("afterSeq")
		for _, a := range all[:i] {
			if a.Seq == after && a.Hash.String() != e.details["afterHash"] {
				return false
			}
		}
		return e.number("fromSeq") > after
	}
	return false
}
