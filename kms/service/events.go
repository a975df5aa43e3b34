package service

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/lockstep-kms/lockstep/audit/index"
	"github.com/lockstep-kms/lockstep/kms"
)

// Each node finds what is in its own file; the one that is asked merges what all found. Who may see what is decided there, from
// the caller's account: no member is asked for more than the caller may see.

const (
	maxEvents     = 1000
	defaultEvents = 50
	// eventBytes bounds the lines of a page, but for the first one, and memberBytes those of one node's answer: a page is
	// held, and an answer stands in the link between nodes, as often as there are turns.
	eventBytes  = 2 << 20
	memberBytes = 512 << 10
	// eventTime is how long a node looks; a page that took longer is cut short, and the next one goes on from there. It is
	// less than the second for which members are waited.
	eventTime = 700 * time.Millisecond

	eventsAll     = 32 // that look up or wait for it
	eventsAccount = 8  // the same of one account
)

// newEventsGate bounds who looks up at a time, which costs every node disk and memory, and one account's share of that. Who
// asks and who answers have one each: if those that ask waited for each other's answers in one, nobody would get any.
func newEventsGate() *gate { return newGate(eventsRunning(), eventsAll, eventsAccount) }

func eventsRunning() int { return max(2, runtime.GOMAXPROCS(0)) }

func tooManyEvents() error {
	busy := kms.Errorf(kms.CodeThrottled, "Too many look-ups in the audit trail are under way; try again later.")
	busy.RetryAfter = time.Second
	return busy
}

func eventUses(all map[*kms.Operation]*use) {
	all[kms.OpLookupEvents] = reading(checkLookupEvents, lookupEvents)
}

func checkLookupEvents(r *request, q *kms.LookupEventsRequest) error {
	r.notePage(q.Limit, q.Marker)
	for _, filter := range []struct{ field, name, value string }{{"start_time", "startTime", q.StartTime}, {"end_time", "endTime", q.EndTime},
		{"principal", "principal", q.Principal}, {"key", "keyId", q.KeyID}, {"event", "eventName", q.EventName}, {"source", "sourceIPAddress", q.SourceIPAddress},
		{"error", "errorCode", q.ErrorCode}, {"request_id", "requestId", q.RequestID}, {"event_id", "eventId", q.EventID},
		{"account", "accountId", q.AccountID}, {"read_only", "readOnly", q.ReadOnly}} {
		if filter.value == "" {
			continue
		}
		if err := checkLength(filter.field, len(filter.value), 2048); err != nil {
			return err
		}
		r.note(filter.name, filter.value)
	}
	if err := checkLimit(q.Limit, maxEvents); err != nil {
		return err
	}
	from, err := eventMilli("start_time", q.StartTime)
	if err != nil {
		return err
	}
	to, err := eventMilli("end_time", q.EndTime)
	if err != nil {
		return err
	}
	if q.StartTime != "" && q.EndTime != "" && to < from {
		return constraint("end_time", "Member must not be before start_time")
	}
	if _, err := strconv.ParseBool(cmp.Or(q.ReadOnly, "true")); err != nil {
		return constraint("read_only", "Member must be true or false")
	}
	if q.AccountID != "" {
		if err := checkAccountID(q.AccountID); err != nil {
			return err
		}
	}
	if q.KeyID != "" {
		r.key, err = kms.ParseKeyRef(q.KeyID)
	}
	return err
}

// eventMilli reads a time in ms since 1970, 0 when none is given. What a fraction of a millisecond says is left out.
func eventMilli(field, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.UnixMilli() <= 0 {
		return 0, constraint(field, "Member must be a time after 1970 as in RFC 3339, such as 2026-11-26T20:53:13Z")
	}
	return t.UnixMilli(), nil
}

// lookupEvents answers one page of what the caller may see.
func lookupEvents(r *request, q *kms.LookupEventsRequest) (any, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	if r.Trail == nil {
		return nil, kms.Errorf(kms.CodeUnsupported, "This node keeps its audit records in no file, so there is nothing to look in.")
	}
	ask, err := r.eventsQuestion(q)
	if err != nil {
		return nil, err
	}
	leave, ok := r.asking.wait(r.ctx, r.scope.Account)
	if !ok {
		return nil, tooManyEvents()
	}
	defer leave()
	if err := r.hold.Err(); err != nil { // sealed while it waited
		return nil, err
	}
	found, silent, err := r.findEvents(ask)
	if err != nil {
		return nil, err
	}
	hits, next := mergeEvents(found, ask.Query.Limit, eventBytes)
	answer := &kms.LookupEventsAnswer{Events: make([]json.RawMessage, len(hits)), SilentNodes: silent}
	slices.SortStableFunc(hits, func(a, b index.Hit) int { return cmp.Compare(b.Time, a.Time) }) // calls that overlap
	for i, h := range hits {
		answer.Events[i] = h.Line
	}
	if next != nil {
		answer.NextMarker = r.marker(next.encode())
	}
	return answer, nil
}

// eventsQuestion turns a request into what members are asked.
func (r *request) eventsQuestion(q *kms.LookupEventsRequest) (*eventsQuestion, error) {
	all, err := r.seesAllEvents()
	if err != nil {
		return nil, err
	}
	ask := &eventsQuestion{Account: r.scope.Account, Query: index.Query{Principal: q.Principal, Event: q.EventName, Source: q.SourceIPAddress, Error: q.ErrorCode,
		RequestID: q.RequestID, EventID: q.EventID, Account: q.AccountID, Limit: cmp.Or(q.Limit, defaultEvents)}}
	if ask.Query.All = all; !all {
		ask.Query.Visible = r.scope.Account
	}
	ask.Query.From, _ = eventMilli("", q.StartTime) // checked
	ask.Query.To, _ = eventMilli("", q.EndTime)
	if q.ReadOnly != "" {
		readOnly, _ := strconv.ParseBool(q.ReadOnly)
		ask.Query.ReadOnly = &readOnly
	}
	if q.KeyID != "" {
		if ask.Query.Key, err = r.eventKey(all); err != nil {
			return nil, err
		}
	}
	after, err := r.after(q.Marker)
	if err != nil || q.Marker == "" {
		return ask, err
	}
	ask.After, err = decodePlace(after)
	return ask, err
}

// seesAllEvents reports whether the caller sees the records of all accounts, and not those of its own only.
func (r *request) seesAllEvents() (bool, error) {
	if !r.principal.Operator {
		return false, nil
	}
	err := r.allowAction(kms.ActionReadAudit)
	if kms.CodeOf(err) == kms.CodeAccessDenied {
		return false, nil
	}
	return err == nil, err
}

// eventKey returns the ARN of the key that is asked for. It need not be there any more; an alias has to, and of another
// account's it is told to nobody who does not see all records.
func (r *request) eventKey(all bool) (string, error) {
	ref, s := r.key, r.scope
	if ref.Scope.Region != "" {
		s = ref.Scope
	}
	id := ref.ID
	if ref.Alias != "" {
		unknown := kms.Errorf(kms.CodeNotFound, "Alias %s is not found.", kms.ARN(r.Partition, s, ref.Alias))
		if !all && s.Account != r.scope.Account {
			return "", unknown
		}
		alias, err := r.view.Alias(s, ref.Alias)
		if notFound(err, "") != err {
			return "", unknown
		}
		if err != nil {
			return "", err
		}
		id = alias.KeyID
	}
	return kms.ARN(r.Partition, s, "key/"+id), nil
}

// findEvents looks in this node's file while the others look in theirs. A node that cannot read all of its trail counts as silent,
// and what it found is shown.
func (r *request) findEvents(q *eventsQuestion) (found []eventsAnswer, silent int, err error) {
	type own struct {
		answer eventsAnswer
		err    error
	}
	ownPart := make(chan own, 1)
	go func() {
		answer, err := r.answerEvents(r.ctx, q)
		ownPart <- own{answer, err}
	}()
	silent, err = askMembers(r, question{Events: q}, func(a eventsAnswer) bool {
		known := slices.ContainsFunc(found, func(b eventsAnswer) bool { return a.Node == b.Node })
		if known || a.Node == "" || a.Node == r.Node {
			return false
		}
		found = append(found, a)
		return !a.Page.Partial
	})
	o := <-ownPart
	if o.answer.Page.Partial {
		silent++
	}
	if err == nil {
		err = o.err
	}
	return append(found, o.answer), silent, err
}

// eventsQuestion asks what a member finds in its own file. Its Query's bounds, and where it begins, are the member's to fill in.
type eventsQuestion struct {
	Query index.Query `cbor:"0,keyasint"`
	After *eventPlace `cbor:"1,keyasint,omitempty"` // where the page before ended
	// Account is the caller's, whose turn it is.
	Account string `cbor:"2,keyasint,omitempty"`
}

// eventsAnswer is what a node found.
type eventsAnswer struct {
	Node string     `cbor:"0,keyasint"`
	Page index.Page `cbor:"1,keyasint"`
}

// answerMember looks in this node's file for another member, when it is the caller's turn.
func (s *Service) answerMember(ctx context.Context, q *eventsQuestion) (eventsAnswer, error) {
	leave, ok := s.trail.wait(ctx, q.Account)
	if !ok {
		return eventsAnswer{}, tooManyEvents()
	}
	defer leave()
	return s.answerEvents(ctx, q)
}

// answerEvents looks in this node's file.
func (s *Service) answerEvents(ctx context.Context, q *eventsQuestion) (eventsAnswer, error) {
	if s.Trail == nil {
		return eventsAnswer{}, kms.Errorf(kms.CodeUnsupported, "%s keeps its audit records in no file.", s.Node)
	}
	ctx, cancel := context.WithTimeout(ctx, eventTime)
	defer cancel()
	query := q.Query
	query.Limit, query.Bytes = min(query.Limit, maxEvents), memberBytes
	if a := q.After; a != nil && a.Node == s.Node {
		query.After = &a.Position
	} else if a != nil {
		query.After = &index.Position{Time: a.Position.Time, With: s.Node > a.Node}
	}
	page, err := s.Trail.Search(ctx, query)
	if err != nil {
		e := kms.Errorf(kms.CodeUnavailable, "The audit trail of %s cannot be searched now: its index is being made, or its files cannot be read.", s.Node)
		e.RetryAfter = time.Second
		return eventsAnswer{}, e.WithCause(err)
	}
	return eventsAnswer{Node: s.Node, Page: page}, nil
}

// eventPlace is a position among the records of all nodes: by time, the later first, then by node, then as the node has them.
type eventPlace struct {
	Node     string         `cbor:"0,keyasint"`
	Position index.Position `cbor:"1,keyasint"`
}

// compare is less than 0 when p comes before o.
func (p eventPlace) compare(o eventPlace) int {
	return cmp.Or(cmp.Compare(o.Position.Time, p.Position.Time), cmp.Compare(p.Node, o.Node))
}

// encode writes the place into a marker: time 8 | file 8 | offset 8 | node, integers big-endian.
func (p eventPlace) encode() string {
	b := binary.BigEndian.AppendUint64(nil, uint64(p.Position.Time))
	b = binary.BigEndian.AppendUint64(b, p.Position.File)
	b = binary.BigEndian.AppendUint64(b, uint64(p.Position.Offset))
	return string(append(b, p.Node...))
}

const placeSize = 24

// decodePlace reads what encode wrote. One that names no place of any trail does no harm: places are compared, no more.
func decodePlace(s string) (*eventPlace, error) {
	if len(s) <= placeSize || len(s) > placeSize+256 {
		return nil, errMarker()
	}
	n := func(i int) uint64 { return binary.BigEndian.Uint64([]byte(s[i:])) }
	return &eventPlace{Node: s[placeSize:], Position: index.Position{Time: int64(n(0)), File: n(8), Offset: int64(n(16))}}, nil
}

// mergeEvents makes a page of what nodes found, and says where the next one begins; nil when there is none. Where a node
// stopped before it had looked at everything, the page ends: what other nodes have beyond may come after what that one
// has not found yet.
func mergeEvents(found []eventsAnswer, limit, bytes int) (hits []index.Hit, next *eventPlace) {
	size := 0
	for {
		best, at, stopped := -1, eventPlace{}, false
		for i := range found {
			f := &found[i]
			head := eventPlace{Node: f.Node}
			switch {
			case len(f.Page.Hits) > 0:
				head.Position = f.Page.Hits[0].At
			case f.Page.More != nil:
				head.Position = *f.Page.More
			default:
				continue
			}
			if best < 0 || head.compare(at) < 0 {
				best, at, stopped = i, head, len(f.Page.Hits) == 0
			}
		}
		if best < 0 {
			return hits, nil
		}
		if stopped {
			return hits, &at
		}
		hit := found[best].Page.Hits[0]
		if len(hits) == limit || len(hits) > 0 && size+len(hit.Line) > bytes {
			return hits, next
		}
		found[best].Page.Hits = found[best].Page.Hits[1:]
		hits, next, size = append(hits, hit), &at, size+len(hit.Line)
	}
}
