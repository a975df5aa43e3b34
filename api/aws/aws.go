// Package aws is what the doors for AWS's clients share: from an HTTP request to a call of the
// service, and from the service's refusals to what AWS's clients know of them.
//
// It promises that only a signature (AWS Signature Version 4) proves an identity here, and that what is
// wrong with a request that can be read is told to nobody before it is authenticated, as AWS does. It
// decides nothing else. The invariant that would hurt: the region and the identity of a call are those
// that were signed.
package aws

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/auth/sigv4"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
)

// Service is what the doors call; *service.Service is one.
type Service interface {
	Do(ctx context.Context, c *service.Call) (*service.Result, error)
}

// Config is what New needs.
type Config struct {
	Service Service
	Door    *door.Door
}

// Edge takes requests for all doors that share it. It is safe for concurrent use.
type Edge struct {
	*door.Door
	service Service
}

// New returns an Edge.
func New(c Config) *Edge {
	return &Edge{Door: c.Door, service: c.Service}
}

// Scope is what a door accepts in the scope of a signature.
type Scope struct {
	Name     string   // of the door, for audit records and metrics
	Services []string // as SigV4 scopes name them
	Regions  []string // nil: those that are served
	Untyped  bool     // Content-Type is not read, so that signatures need not cover it
}

// Request is one operation that a door has read from a request.
type Request struct {
	Operation *kms.Operation
	Request   any   // of the operation's request type; nil beside Malformed and Refused
	Malformed error // what is wrong with it; told once the caller is authenticated
	// Refused is why nothing of the request is looked at and nobody is authenticated: the body could not be read to its
	// end, or too many are served.
	Refused error
	Region  string       // "" for the one that was signed
	XKS     *service.XKS // of a request for an external key store
}

// Do has the service do what was read from q, whose body is body. Errors are *kms.Error; a Result stands beside
// one when the verdict was taken on a state. Why a call failed is in the log then.
func (e *Edge) Do(w http.ResponseWriter, q *http.Request, body []byte, s *Scope, r Request) (*service.Result, error) {
	source := e.Source(q)
	c := &service.Call{
		Operation: r.Operation,
		Request:   r.Request,
		XKS:       r.XKS,
		Refused:   r.Refused,
		Malformed: r.Malformed,
		RequestID: door.RequestID(w),
		Source:    source,
		UserAgent: q.UserAgent(),
		Door:      s.Name,
		TLS:       q.TLS != nil,
		Region:    r.Region,
		Auth: auth.Request{Method: q.Method, Host: q.Host, RawPath: q.URL.EscapedPath(), RawQuery: q.URL.RawQuery, Header: q.Header,
			Source: source, TLS: q.TLS, Services: s.Services, Regions: s.Regions, Signed: true, Untyped: s.Untyped},
	}
	if len(body) > 0 {
		c.Auth.BodySHA256 = func() [32]byte { return sha256.Sum256(body) }
	}
	if c.Region == "" {
		c.Region = sigv4.Region(q.Header)
	}
	if c.Operation.Mutates {
		c.IdempotencyKey = sigv4.InvocationID(q.Header) // a signed change that is sent again is one change
	}
	result, err := e.service.Do(q.Context(), c)
	if err != nil {
		e.Failed(w, q, err)
	}
	return result, err
}

// Failure returns why a request is not authenticated; ok is false for every other error.
func Failure(err error) (f *auth.Failure, ok bool) {
	if kms.CodeOf(err) != kms.CodeUnauthenticated {
		return nil, false
	}
	if errors.As(err, &f) {
		return f, true
	}
	return &auth.Failure{Kind: auth.FailureMissing, Message: "Missing Authentication Token"}, true
}

// Write answers a request: the request id in the header that AWS's clients read, the state that the answer saw, and,
// with an error that will pass, when to try again.
func (e *Edge) Write(w http.ResponseWriter, status int, contentType string, r *service.Result, err error, body []byte) {
	h := w.Header()
	h["X-Amzn-Requestid"] = h[wire.HeaderRequestID]
	h["Content-Type"] = []string{contentType}
	h["Cache-Control"] = []string{"no-store"}
	epoch, index := e.Index()
	if r != nil {
		epoch, index = r.Epoch, r.Index
	}
	h[wire.HeaderIndex] = []string{door.FormatIndex(epoch, index)}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	if after := retryAfter(err); after > 0 {
		h["Retry-After"] = []string{strconv.FormatInt(int64((after+time.Second-1)/time.Second), 10)}
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // if it fails the client is gone and nobody is left to tell
}

// retryAfter returns when to try again after err, at least a second; 0 when that would not help.
func retryAfter(err error) time.Duration {
	if err == nil {
		return 0
	}
	e := kms.AsError(err)
	if e.Code.Class() == kms.ClassUnavailable || e.Code == kms.CodeThrottled {
		return max(time.Second, e.RetryAfter)
	}
	return 0
}
