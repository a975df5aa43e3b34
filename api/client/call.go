package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/kms"
)

const (
	maxAnswer = 16 << 20               // bytes of an answer
	pauseMax  = 2 * time.Second        // between two rounds over the addresses
	pauseMin  = 100 * time.Millisecond // the same
)

// repeat says when a route may be sent again.
type repeat int

const (
	never   repeat = iota // only when no connection could be made
	anytime               // reads, computations, and writes with an idempotency key
)

// target says which nodes a call may go to and when it may be sent again.
type target struct {
	pinned bool // to the first address only
	again  repeat
}

func targetOf(rt wire.Route, request any) target {
	switch r := request.(type) {
	case *InitRequest, *wire.CancelUnsealRequest:
		return target{pinned: true, again: never}
	case *UnsealRequest:
		return target{pinned: !r.Cluster, again: never}
	case *kms.SealRequest:
		return target{pinned: !r.Cluster, again: anytime}
	default:
		return target{pinned: rt.Operation == nil, again: anytime}
	}
}

// call sends one request to the cluster and decodes the answer into answer, which may be nil.
func (c *Client) call(ctx context.Context, rt wire.Route, request, answer any, opts []Option) error {
	o := collect(opts)
	t := targetOf(rt, request)
	if rt.Operation != nil && rt.Operation.Mutates && o.idempotencyKey == "" {
		o.idempotencyKey = newKey()
	}
	send, err := c.prepare(rt, request, o)
	if err != nil {
		return err
	}
	return c.overNodes(ctx, t, o, func(ctx context.Context, n *node) error {
		return c.attempt(ctx, n, send, o, answer)
	})
}

// prepared is a request without its address.
type prepared struct {
	method, path string
	body         []byte
	header       http.Header
}

func (c *Client) prepare(rt wire.Route, request any, o *options) (*prepared, error) {
	p := &prepared{method: rt.Method, path: rt.Path, header: http.Header{"User-Agent": {c.cfg.UserAgent}}}
	query := url.Values{}
	if request != nil {
		if err := fill(rt, request, p, query); err != nil {
			return nil, err
		}
	}
	if o.wait != "" {
		query.Set("wait", o.wait)
	}
	if o.timeout > 0 {
		query.Set("timeout", o.timeout.String())
	}
	if o.stale {
		query.Set("stale", "true")
	}
	if len(query) > 0 {
		p.path += "?" + query.Encode()
	}
	for name, value := range map[string]string{wire.HeaderRegion: c.cfg.Region,
		wire.HeaderIdempotencyKey: o.idempotencyKey, wire.HeaderMinIndex: o.minIndex} {
		if value != "" {
			p.header.Set(name, value)
		}
	}
	if p.body != nil {
		p.header.Set("Content-Type", "application/json")
	}
	if rt.Operation == nil || !rt.Open { // what needs no identity is not told a secret either
		c.authenticate(p.header)
	}
	return p, nil
}

// authenticate puts the client's identity into a request's headers.
func (c *Client) authenticate(h http.Header) {
	switch {
	case c.cfg.SessionToken != "":
		h.Set("Authorization", "Bearer "+c.cfg.SessionToken)
	case c.cfg.AccessKeyID != "":
		q := http.Request{Header: h}
		q.SetBasicAuth(c.cfg.AccessKeyID, c.cfg.SecretAccessKey)
	}
}

// queryText renders a query field; "" is one that is not given. The elements of a list are separated by
// commas, so none may hold one.
func queryText(name string, v reflect.Value) (string, error) {
	if v.IsZero() {
		return "", nil
	}
	list, ok := v.Interface().([]string)
	if !ok {
		return fmt.Sprint(v.Interface()), nil
	}
	for _, s := range list {
		if s == "" || strings.Contains(s, ",") {
			return "", kms.Errorf(kms.CodeValidation, "%s holds an element that is empty or has a comma.", name)
		}
	}
	return strings.Join(list, ","), nil
}

// fill puts the request's fields where the route wants them: path, query or body.
func fill(rt wire.Route, request any, p *prepared, query url.Values) error {
	v := reflect.Indirect(reflect.ValueOf(request))
	hasBody := false
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		switch value := v.Field(i); {
		case tag.Get("path") != "":
			name := "{" + tag.Get("path") + "}"
			if !strings.Contains(p.path, name) {
				continue
			}
			s := strings.TrimPrefix(value.String(), rt.NamePrefix)
			if s == "" || s == "." || s == ".." {
				return kms.Errorf(kms.CodeValidation, "%s is missing or malformed.", v.Type().Field(i).Name)
			}
			p.path = strings.Replace(p.path, name, url.PathEscape(s), 1)
		case tag.Get("query") != "":
			text, err := queryText(v.Type().Field(i).Name, value)
			if err != nil {
				return err
			}
			if text != "" {
				query.Set(tag.Get("query"), text)
			}
		default:
			hasBody = true
		}
	}
	if !hasBody {
		return nil
	}
	body, err := json.Marshal(request)
	if err != nil {
		return kms.Errorf(kms.CodeInvalidRequest, "The request cannot be written as JSON.")
	}
	p.body = body
	return nil
}

// overNodes asks one node after the other, beginning with the one that answered last, until one
// answers something final. After a whole round it pauses as the nodes asked for.
func (c *Client) overNodes(ctx context.Context, t target, o *options, ask func(context.Context, *node) error) error {
	order, attempts := c.order(), c.cfg.Attempts
	if t.pinned {
		order, attempts = c.nodes[:1], min(attempts, 2)
	}
	var err error
	for i := range attempts {
		if i > 0 && i%len(order) == 0 && !pause(ctx, err) {
			return err
		}
		n := order[i%len(order)]
		o.meta.Attempts = i + 1
		err = c.limited(ctx, o, n, ask)
		if err == nil || errors.As(err, new(*Error)) {
			o.meta.Addr = n.base
		}
		if err == nil {
			c.last.Store(int32(n.at))
			return nil
		}
		if ctx.Err() != nil || !mayRepeat(err, t.again) {
			return err
		}
	}
	return err
}

func (c *Client) limited(ctx context.Context, o *options, n *node, ask func(context.Context, *node) error) error {
	limit := c.cfg.Timeout + o.timeout
	if o.wait == "all" && o.timeout == 0 {
		return ask(ctx, n) // as long as the slowest member's lease
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return ask(ctx, n)
}

// order returns the nodes, beginning with the one that answered last.
func (c *Client) order() []*node {
	last := int(c.last.Load())
	return append(slices.Clone(c.nodes[last:]), c.nodes[:last]...)
}

// pause waits between two rounds for as long as the last error asks.
func pause(ctx context.Context, err error) bool {
	wait := pauseMin
	if e, ok := errors.AsType[*Error](err); ok {
		wait = min(max(wait, e.Err.RetryAfter), pauseMax)
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// mayRepeat reports whether another node, or the same one later, may be asked after err.
func mayRepeat(err error, again repeat) bool {
	e, answered := errors.AsType[*Error](err)
	switch {
	case !answered && neverSent(err):
		return true
	case again == never:
		return false
	case answered:
		class := e.Err.Code.Class()
		return class == kms.ClassUnavailable || class == kms.ClassUnknown
	default:
		return true
	}
}

// neverSent reports whether a connection could not even be made.
func neverSent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// attempt sends p to one node and decodes the answer.
func (c *Client) attempt(ctx context.Context, n *node, p *prepared, o *options, answer any) error {
	return c.exchange(ctx, n, p, o, func(r *http.Response, body []byte) error {
		if r.StatusCode < 200 || r.StatusCode > 299 {
			return answeredError(n, r, body)
		}
		return decodeAnswer(n, r.StatusCode, body, o, answer)
	})
}

// exchange sends p to one node and hands over what came back.
func (c *Client) exchange(ctx context.Context, n *node, p *prepared, o *options, take func(*http.Response, []byte) error) error {
	q, err := http.NewRequestWithContext(ctx, p.method, n.base+p.path, bytes.NewReader(p.body))
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	q.Header = p.header.Clone()
	if o.idempotencyKey == "" && p.method != http.MethodGet {
		q.GetBody = nil // net/http must not send it again by itself
	}
	r, err := c.cfg.HTTP.Do(q)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", n.base, err)
	}
	if len(body) > maxAnswer {
		return fmt.Errorf("the answer of %s is larger than %d bytes", n.base, maxAnswer)
	}
	o.meta.Index, o.meta.RequestID = r.Header.Get(wire.HeaderIndex), r.Header.Get(wire.HeaderRequestID)
	return take(r, body)
}

func decodeAnswer(n *node, status int, body []byte, o *options, answer any) error {
	var waiting struct {
		Awaiting []string `json:"awaiting"`
	}
	targets := []any{answer}
	if status == http.StatusAccepted {
		targets = append(targets, &waiting)
	}
	for _, target := range targets {
		if target == nil {
			continue
		}
		if err := json.Unmarshal(body, target); err != nil {
			return fmt.Errorf("the answer of %s is not what this client understands", n.base)
		}
	}
	o.meta.Awaiting = waiting.Awaiting
	return nil
}

// answeredError turns an answer that is no success into an *Error. What did not come from a node (a
// proxy's page) counts as unavailable.
func answeredError(n *node, r *http.Response, body []byte) error {
	var in wire.ErrorBody
	if err := json.Unmarshal(body, &in); err != nil || in.Error.Code == "" {
		in.Error = wire.ErrorDetail{Code: kms.CodeUnavailable, Reason: "not_a_node",
			Message: fmt.Sprintf("%s answered %s, which is not an answer of a Lockstep node.", n.base, r.Status)}
		if r.StatusCode < 500 {
			in.Error.Code = kms.CodeInvalidRequest
		}
	}
	e := kms.Errorf(in.Error.Code, "%s", in.Error.Message)
	e.Reason = in.Error.Reason
	if s, err := strconv.Atoi(r.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	return &Error{Err: e, Status: r.StatusCode, RequestID: in.Error.RequestID, Addr: n.base}
}
