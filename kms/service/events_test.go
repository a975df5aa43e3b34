package service_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lockstep-kms/lockstep/audit/index"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// event is what the tests read of a record.
type event struct {
	EventID, EventName, RequestID, ErrorCode, RecipientAccountID string
	UserIdentity                                                 struct{ ARN, AccessKeyID string }
	Resources                                                    []struct{ ARN, AccountID string }
}

// lookUp returns one page.
func lookUp(t *testing.T, n *servicetest.Node, who servicetest.Credentials, q kms.LookupEventsRequest) (events []event, a *kms.LookupEventsAnswer) {
	t.Helper()
	answer, err := n.Do(who, kms.OpLookupEvents, &q)
	want(t, "look up", err, "")
	a = answer.(*kms.LookupEventsAnswer)
	for _, line := range a.Events {
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events, a
}

// namesOf are the names of events, in their order.
func namesOf(events []event) (all []string) {
	for _, e := range events {
		all = append(all, e.EventName)
	}
	return all
}

// Every filter finds what has it and nothing else, from every node, newest first; the look-up itself is found by the next.
func TestLookupEvents(t *testing.T) {
	p := newPair(t)
	key := p.CreateKey(p.alice)
	p.must(t, p.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/a", TargetKeyID: key})
	ciphertext := p.encrypt(t, p.alice, key, message, nil)
	for encrypted := time.Now().UnixMilli(); time.Now().UnixMilli() == encrypted; { // times have ms
	}
	p.on(t, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: ciphertext})
	_, err := p.Do(p.alice, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: "alias/nowhere"})
	want(t, "describe", err, kms.CodeNotFound)

	arn := "arn:aws:kms:" + firstRegion + ":" + aliceID + ":key/" + key
	last, _ := lookUp(t, p.Node, p.alice, kms.LookupEventsRequest{EventName: "Decrypt"})
	if len(last) != 1 {
		t.Fatalf("%d records of the decryption", len(last))
	}
	for _, c := range []struct {
		name string
		q    kms.LookupEventsRequest
		want []string
	}{
		{"id", kms.LookupEventsRequest{KeyID: key}, []string{"Decrypt", "Encrypt", "CreateAlias", "CreateKey"}},
		{"arn", kms.LookupEventsRequest{KeyID: arn, EventName: "Encrypt"}, []string{"Encrypt"}},
		{"alias", kms.LookupEventsRequest{KeyID: "alias/a", ReadOnly: "false"}, []string{"CreateAlias", "CreateKey"}},
		{"alias arn", kms.LookupEventsRequest{KeyID: strings.Replace(arn, "key/"+key, "alias/a", 1), Limit: 1}, []string{"Decrypt"}},
		{"error", kms.LookupEventsRequest{ErrorCode: "not_found"}, []string{"DescribeKey"}},
		{"principal's arn", kms.LookupEventsRequest{Principal: "arn:aws:iam::" + aliceID + ":root", EventName: "Decrypt"}, []string{"Decrypt"}},
		{"access key", kms.LookupEventsRequest{Principal: p.alice.AccessKeyID, EventName: "Decrypt"}, []string{"Decrypt"}},
		{"another principal", kms.LookupEventsRequest{Principal: p.bob.AccessKeyID}, nil},
		{"event id", kms.LookupEventsRequest{EventID: last[0].EventID}, []string{"Decrypt"}},
		{"request id", kms.LookupEventsRequest{RequestID: last[0].RequestID, EventName: "Decrypt"}, []string{"Decrypt"}},
		{"source", kms.LookupEventsRequest{SourceIPAddress: "192.0.2.1", EventName: "Encrypt"}, []string{"Encrypt"}},
		{"another source", kms.LookupEventsRequest{SourceIPAddress: "192.0.2.2"}, nil},
		{"account", kms.LookupEventsRequest{AccountID: aliceID, EventName: "Encrypt"}, []string{"Encrypt"}},
		{"another account", kms.LookupEventsRequest{AccountID: bobID}, nil},
		{"time", kms.LookupEventsRequest{StartTime: time.Now().Add(-time.Hour).Format(time.RFC3339), EndTime: time.Now().Add(time.Hour).Format(time.RFC3339), EventName: "Encrypt"}, []string{"Encrypt"}},
		{"past", kms.LookupEventsRequest{EndTime: time.Now().Add(-time.Hour).Format(time.RFC3339)}, nil},
		{"future", kms.LookupEventsRequest{StartTime: time.Now().Add(time.Hour).Format(time.RFC3339)}, nil},
	} {
		for _, n := range []*servicetest.Node{p.Node, p.second} {
			got, a := lookUp(t, n, p.alice, c.q)
			if !slices.Equal(namesOf(got), c.want) || a.SilentNodes != 0 {
				t.Errorf("%s by %s: %v, %d silent; want %v", n.Name, c.name, namesOf(got), a.SilentNodes, c.want)
			}
		}
	}
	all, _ := lookUp(t, p.Node, p.alice, kms.LookupEventsRequest{})
	if all[0].EventName != "LookupEvents" {
		t.Errorf("the latest record is %s, not that of the look-up before", all[0].EventName)
	}
	p.second.Catalog.Seal()
	if got, a := lookUp(t, p.Node, p.alice, kms.LookupEventsRequest{KeyID: key}); a.SilentNodes != 1 || slices.Contains(namesOf(got), "Decrypt") {
		t.Errorf("while a node is sealed: %v, %d silent", namesOf(got), a.SilentNodes)
	}
}

// What is wrong with a look-up is said before anything is looked for.
func TestLookupEventsRefuses(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	for name, c := range map[string]struct {
		q    kms.LookupEventsRequest
		code kms.Code
	}{
		"limit":      {kms.LookupEventsRequest{Limit: 1001}, kms.CodeValidation},
		"start":      {kms.LookupEventsRequest{StartTime: "yesterday"}, kms.CodeValidation},
		"end":        {kms.LookupEventsRequest{EndTime: "1969-12-31T00:00:00Z"}, kms.CodeValidation},
		"order":      {kms.LookupEventsRequest{StartTime: "2026-01-02T00:00:00Z", EndTime: "2026-01-01T00:00:00Z"}, kms.CodeValidation},
		"read only":  {kms.LookupEventsRequest{ReadOnly: "perhaps"}, kms.CodeValidation},
		"account":    {kms.LookupEventsRequest{AccountID: "12"}, kms.CodeValidation},
		"long":       {kms.LookupEventsRequest{Principal: strings.Repeat("x", 2049)}, kms.CodeValidation},
		"key":        {kms.LookupEventsRequest{KeyID: "?"}, kms.CodeInvalidKeyID},
		"alias":      {kms.LookupEventsRequest{KeyID: "alias/nowhere"}, kms.CodeNotFound},
		"marker":     {kms.LookupEventsRequest{Marker: "bWFya2Vy"}, kms.CodeInvalidMarker},
		"not base64": {kms.LookupEventsRequest{Marker: "?"}, kms.CodeInvalidMarker},
	} {
		_, err := w.Do(w.alice, kms.OpLookupEvents, &c.q)
		want(t, name, err, c.code)
	}
	none := w.Cluster.Node(servicetest.Options{Trail: broken{}})
	_, err := none.Do(w.alice, kms.OpLookupEvents, &kms.LookupEventsRequest{})
	want(t, "an index that is being made", err, kms.CodeUnavailable)
	if _, a := lookUp(t, w.Node, w.alice, kms.LookupEventsRequest{}); a.SilentNodes != 1 {
		t.Errorf("%d silent nodes, one cannot search", a.SilentNodes)
	}
	none.Trail = partial{}
	for _, n := range []*servicetest.Node{w.Node, none} {
		if _, a := lookUp(t, n, w.alice, kms.LookupEventsRequest{}); a.SilentNodes != 1 {
			t.Errorf("%s: %d silent nodes, one cannot read a file", n.Name, a.SilentNodes)
		}
	}
	none.Trail = nil
	_, err = none.Do(w.alice, kms.OpLookupEvents, &kms.LookupEventsRequest{})
	want(t, "no file", err, kms.CodeUnsupported)
}

// broken is a trail that cannot be searched.
type broken struct{}

func (broken) Search(context.Context, index.Query) (index.Page, error) {
	return index.Page{}, errors.New("broken")
}

// partial is a trail of which a file cannot be read.
type partial struct{}

func (partial) Search(context.Context, index.Query) (index.Page, error) {
	return index.Page{Partial: true}, nil
}

// A tenant sees what belongs to its account. What another one did with its keys belongs to both, but a refused call
// tells nobody of another's resources.
func TestTenantsLookUpTheirOwn(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	arn := "arn:aws:kms:" + firstRegion + ":" + aliceID + ":key/" + key
	nowhere := arn[:len(arn)-4] + "0000"
	own := w.CreateKey(w.bob)
	for _, name := range []string{arn, nowhere} {
		_, err := w.Do(w.bob, kms.OpEncrypt, &kms.EncryptRequest{KeyID: name, Plaintext: []byte("x")})
		want(t, "encrypt", err, kms.CodeAccessDenied)
	}
	_, err := w.Do(servicetest.Credentials{}, kms.OpListKeys, &kms.ListRequest{})
	want(t, "nobody", err, kms.CodeUnauthenticated)

	for _, q := range []kms.LookupEventsRequest{{}, {AccountID: aliceID}, {Principal: w.alice.AccessKeyID}, {KeyID: own}, {ErrorCode: "unauthenticated"}, {KeyID: arn}} {
		events, _ := lookUp(t, w.Node, w.bob, q)
		for _, e := range events {
			if e.RecipientAccountID != bobID && e.EventName != "CreateAccount" { // by the operator, of this account
				t.Errorf("%+v shows %+v to the other tenant", q, e)
			}
			for _, r := range e.Resources {
				if r.AccountID != bobID {
					t.Errorf("%+v tells of %s", q, r.ARN)
				}
			}
			if q.KeyID == arn || q.AccountID == aliceID {
				t.Errorf("a refused call is found by what it was refused: %+v", e)
			}
		}
	}
	// The calls that were refused are told alike, whether the key is there or not.
	refused, a := lookUp(t, w.Node, w.bob, kms.LookupEventsRequest{ErrorCode: "access_denied", EventName: "Encrypt"})
	if len(refused) != 2 || strings.Contains(string(a.Events[0]), `"resources"`) || strings.Contains(string(a.Events[1]), `"resources"`) {
		t.Errorf("%s", a.Events)
	}
	// Whose key it is sees who tried to use it.
	tried, _ := lookUp(t, w.Node, w.alice, kms.LookupEventsRequest{KeyID: key, ErrorCode: "access_denied"})
	if len(tried) != 1 || tried[0].UserIdentity.AccessKeyID != w.bob.AccessKeyID || len(tried[0].Resources) != 1 || tried[0].Resources[0].ARN != arn {
		t.Errorf("the owner of the key sees %+v", tried)
	}
	// The operator's root sees all, calls of nobody too.
	seen, _ := lookUp(t, w.Node, w.Root, kms.LookupEventsRequest{ErrorCode: "unauthenticated"})
	if len(seen) != 1 || seen[0].RecipientAccountID != "" {
		t.Errorf("the operator sees %+v", seen)
	}
	if seen, _ = lookUp(t, w.Node, w.Root, kms.LookupEventsRequest{KeyID: arn, EventName: "Encrypt"}); len(seen) != 1 {
		t.Errorf("the operator finds %d refused calls of the key", len(seen))
	}
}

// Who of the operator account sees all is as the policies say: deny wins. Of another account nobody does, whatever they say.
func TestReadAuditIsTheOperators(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	w.CreateKey(w.alice)
	look := rule("Allow", "cloudtrail:LookupEvents", "*")
	for i, c := range []struct {
		name       string
		root       servicetest.Credentials
		statements []string
		code       kms.Code
		all        bool
	}{
		{"nothing", w.Root, []string{rule("Allow", "kms:*", "*")}, kms.CodeAccessDenied, false},
		{"audit without look-up", w.Root, []string{rule("Allow", "lockstep:ReadAudit", "*")}, kms.CodeAccessDenied, false},
		{"look-up", w.Root, []string{look}, "", false},
		{"audit", w.Root, []string{look, rule("Allow", "lockstep:ReadAudit", "*")}, "", true},
		{"everything", w.Root, []string{rule("Allow", "*", "*")}, "", true},
		{"denied", w.Root, []string{rule("Allow", "*", "*"), rule("Deny", "Lockstep:readaudit", "*")}, "", false},
		{"look-up denied", w.Root, []string{rule("Allow", "*", "*"), rule("Deny", "cloudtrail:*", "*")}, kms.CodeAccessDenied, false},
		{"another account", w.bob, []string{rule("Allow", "*", "*")}, "", false},
	} {
		of := world{w.Cluster, w.Node, c.root, w.bob} // who hires is of that account
		user := of.hire(t, fmt.Sprintf("user-%d", i), rules(c.statements...))
		answer, err := w.Do(user, kms.OpLookupEvents, &kms.LookupEventsRequest{Principal: w.alice.AccessKeyID})
		want(t, c.name, err, c.code)
		if err == nil && (len(answer.(*kms.LookupEventsAnswer).Events) > 0) != c.all {
			t.Errorf("%s: sees all is %v", c.name, !c.all)
		}
	}
}

// scripted is a trail in memory, in the order in which it was written. It stops early now and then.
type scripted struct {
	records []index.Hit
	early   func() bool
}

func (s *scripted) Search(_ context.Context, q index.Query) (index.Page, error) {
	var p index.Page
	for i := len(s.records) - 1; i >= 0; i-- {
		h := s.records[i]
		if a := q.After; a != nil {
			after := a.File != 0 && h.At.Offset < a.Offset || a.File == 0 && (h.At.Time < a.Time || a.With && h.At.Time == a.Time)
			if !after {
				continue
			}
		}
		if n := len(p.Hits); n == q.Limit {
			p.More = &p.Hits[n-1].At
			return p, nil
		}
		if s.early() {
			at := h.At
			at.Offset++
			p.More = &at
			return p, nil
		}
		p.Hits = append(p.Hits, h)
	}
	return p, nil
}

// Paging through what several nodes have neither repeats nor skips, whatever the pages, whenever nodes stop early, and
// although records are added meanwhile; and it is in order.
func TestPagesOfEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stops := rapid.IntRange(0, 20).Draw(t, "stops")
		var nodes []*service.Service
		var trails []*scripted
		written := 0
		write := func(n int, at int64) {
			s := trails[n]
			if k := len(s.records); k > 0 {
				at = max(at, s.records[k-1].At.Time) // time of a place never goes back
			}
			written++
			s.records = append(s.records, index.Hit{Line: fmt.Appendf(nil, "%d", written), Time: at, At: index.Position{Time: at, File: 1, Offset: int64(10 * len(s.records))}})
		}
		for n := range rapid.IntRange(1, 4).Draw(t, "nodes") {
			s := &scripted{early: func() bool {
				stops--
				return stops > 0 && rapid.IntRange(0, 3).Draw(t, "early") == 0
			}}
			trails = append(trails, s)
			nodes = append(nodes, service.New(service.Config{Node: fmt.Sprintf("node-%d", n), Trail: s}))
			for range rapid.IntRange(0, 12).Draw(t, "records") {
				write(n, rapid.Int64Range(1, 8).Draw(t, "time"))
			}
		}
		first := written
		seen := map[string]bool{}
		var after *service.EventPlace
		before := int64(1 << 60)
		for pages := 0; ; pages++ {
			if pages > 200 {
				t.Fatal("the pages do not end")
			}
			limit := rapid.IntRange(1, 7).Draw(t, "limit")
			hits, next, err := service.PageOfEvents(context.Background(), nodes, index.Query{Limit: limit}, after, limit, 1<<20)
			if err != nil || len(hits) > limit {
				t.Fatalf("%d records for %d, %v", len(hits), limit, err)
			}
			for _, h := range hits {
				if seen[string(h.Line)] || h.At.Time > before {
					t.Fatalf("%s of time %d after time %d; seen before: %v", h.Line, h.At.Time, before, seen[string(h.Line)])
				}
				seen[string(h.Line)], before = true, h.At.Time
			}
			if next == nil {
				break
			}
			again, err := service.DecodePlace(service.EncodePlace(*next))
			if err != nil {
				t.Fatal(err)
			}
			after = again
			if rapid.IntRange(0, 4).Draw(t, "meanwhile") == 0 {
				write(rapid.IntRange(0, len(nodes)-1).Draw(t, "node"), rapid.Int64Range(1, 12).Draw(t, "time"))
			}
		}
		for i := 1; i <= first; i++ {
			if !seen[fmt.Sprint(i)] {
				t.Fatalf("record %d was skipped", i)
			}
		}
	})
}

func FuzzEventMarker(f *testing.F) {
	f.Add(service.EncodePlace(service.EventPlace{Node: "node-1", Position: index.Position{Time: 1, File: 2, Offset: 3}}))
	f.Add(strings.Repeat("x", 24))
	f.Fuzz(func(t *testing.T, s string) {
		p, err := service.DecodePlace(s)
		if err == nil && service.EncodePlace(*p) != s {
			t.Errorf("%q is read as %+v", s, p)
		}
	})
}
