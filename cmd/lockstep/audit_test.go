package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
)

// eventPages are pages of a search: n records each, the last one without a marker.
func eventPages(silent int, sizes ...int) (pages []any) {
	for i, n := range sizes {
		a := &kms.LookupEventsAnswer{Events: []json.RawMessage{}, SilentNodes: silent}
		for range n {
			a.Events = append(a.Events, json.RawMessage(testEvent))
		}
		if i < len(sizes)-1 {
			a.NextMarker = "more"
		}
		pages = append(pages, a)
	}
	return pages
}

// A search goes on until it has what was asked for, though pages are short or empty, and says which records may be missing.
func TestAuditSearchPages(t *testing.T) {
	for _, c := range []struct {
		args          []string
		sizes         []int
		silent        int
		shown, called int
	}{
		{nil, []int{20, 0, 20, 20, 20}, 0, 50, 4},
		{[]string{"--limit", "3"}, []int{2, 0, 1, 5}, 0, 3, 3},
		{[]string{"--all"}, []int{2, 0, 2, 0}, 0, 4, 4},
		{nil, []int{0}, 1, 0, 1},
	} {
		for _, asJSON := range []bool{false, true} {
			n := &node{pages: map[*kms.Operation][]any{kms.OpLookupEvents: eventPages(c.silent, c.sizes...)}}
			args := append([]string{"audit", "search"}, c.args...)
			if asJSON {
				args = append(args, "-o", "json")
			}
			code, stdout, stderr := lockstep(t, serve(t, n), "", args...)
			if code != 0 || strings.Count(stdout, "event-1") != c.shown || len(n.calls) != c.called || strings.Contains(stderr, "1 of the nodes did not answer") != (c.silent > 0) {
				t.Errorf("%q of %v: %d, %d shown, %d calls, %q", args, c.sizes, code, strings.Count(stdout, "event-1"), len(n.calls), stderr)
			}
			if asJSON {
				var a kms.LookupEventsAnswer
				if err := json.Unmarshal([]byte(stdout), &a); err != nil || len(a.Events) != c.shown || a.SilentNodes != c.silent {
					t.Errorf("%q: %v, %d silent", stdout, err, a.SilentNodes)
				}
			}
		}
	}
}

// An id is looked for as that of a record, and then as that of a request.
func TestAuditShow(t *testing.T) {
	n := &node{pages: map[*kms.Operation][]any{kms.OpLookupEvents: append(eventPages(0, 0), eventPages(0, 2)...)}}
	code, stdout, _ := lockstep(t, serve(t, n), "", "audit", "show", "request-1")
	if code != 0 || strings.Count(stdout, `"requestID": "request-1"`) != 2 || n.calls[0].Request.(*kms.LookupEventsRequest).EventID != "request-1" || n.calls[1].Request.(*kms.LookupEventsRequest).RequestID != "request-1" {
		t.Errorf("%d %q", code, stdout)
	}
	n = &node{pages: map[*kms.Operation][]any{kms.OpLookupEvents: append(eventPages(0, 0), eventPages(0, 0)...)}}
	if code, stdout, stderr := lockstep(t, serve(t, n), "", "audit", "show", "nothing"); code != 1 || stdout != "" || !strings.Contains(stderr, "no record of nothing") {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
}

// A report adds up all pages.
func TestAuditReport(t *testing.T) {
	n := &node{pages: map[*kms.Operation][]any{kms.OpLookupEvents: eventPages(0, 3, 0, 4)}}
	code, stdout, _ := lockstep(t, serve(t, n), "", "audit", "report", "alias/a", "-o", "json")
	if code != 0 || !strings.Contains(stdout, `"calls": 7`) || !strings.Contains(stdout, `"records": 7`) || !strings.Contains(stdout, `"Decrypt": 7`) {
		t.Errorf("%d %s", code, stdout)
	}
}

// A tail that is refused ends; it does not ask again.
func TestAuditTailRefused(t *testing.T) {
	n := &node{refuse: map[*kms.Operation]error{kms.OpLookupEvents: kms.Errorf(kms.CodeAccessDenied, "You may not.")}}
	if code, _, stderr := lockstep(t, serve(t, n), "", "audit", "tail"); code != 1 || !strings.Contains(stderr, "access_denied") || len(n.calls) != 1 {
		t.Errorf("%d %q, %d calls", code, stderr, len(n.calls))
	}
}
