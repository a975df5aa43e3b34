package service

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/trace"
)

// Limits.
const (
	defaultMaxKeys = 100_000
	maxAttempts    = 16              // decisions on one change before CodeConflict
	indexWait      = 2 * time.Second // for Call.MinIndex
	revokeWait     = 2 * time.Second // for the members, with WaitDefault
)

// Service is the one gate of every operation. It is safe for concurrent use and immutable after New.
type Service struct {
	Config
	uses   map[*kms.Operation]*use
	xks    map[*kms.Operation]*use // of calls with an XKS
	heavy  *gate
	asking *gate  // look-ups in the audit trails of all nodes
	trail  *gate  // look-ups in this node's for other members
	logins *turns // web identities that are being verified: an issuer that is slow must not take every place, nor one account all
}

// New returns a Service.
func New(c Config) *Service {
	if c.Partition == "" {
		c.Partition = "aws"
	}
	if len(c.Regions) == 0 {
		c.Regions = []string{"us-east-1"}
	}
	if c.MaxKeys == 0 {
		c.MaxKeys = defaultMaxKeys
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Observer == nil {
		c.Observer = unobserved{}
	}
	return &Service{Config: c, uses: uses(), xks: xksUses(), heavy: newHeavyWork(), asking: newEventsGate(), trail: newEventsGate(), logins: &turns{most: 64, each: 8, of: map[string]int{}}}
}

// use is how one operation is served. Of read, change and act one is set.
type use struct {
	// check refuses what is wrong with the request whatever the state, and notes the parameters that
	// the audit record shows: an allow-list, with no plaintext, ciphertext or secret on it.
	check func(*request) error
	// read authorizes, decides and answers on the request's view.
	read func(*request) (any, error)
	// change authorizes and decides what to write on the request's view.
	change func(*request) (*change, error)
	// replay authorizes and answers a change that an earlier request of the same id made.
	replay func(*request, *records) (any, error)
	// authorize and act are for what is done by the cluster itself. act returns the index of what it
	// did, or 0.
	authorize func(*request) error
	act       func(context.Context, *request) (answer any, index uint64, err error)
}

// uses binds every operation.
func uses() map[*kms.Operation]*use {
	all := map[*kms.Operation]*use{}
	cryptoUses(all)
	dataKeyUses(all)
	signUses(all)
	rotationUses(all)
	importUses(all)
	regionUses(all)
	grantUses(all)
	tagUses(all)
	policyUses(all)
	keyUses(all)
	aliasUses(all)
	storeUses(all)
	accountUses(all)
	identityUses(all)
	managedPolicyUses(all)
	accessKeyUses(all)
	providerUses(all)
	sessionUses(all)
	awsUses(all)
	simulationUses(all)
	settingUses(all)
	clusterUses(all)
	anchorUses(all)
	eventUses(all)
	return all
}

// reading binds an operation that answers from the view.
func reading[Q any](check func(*request, *Q) error, read func(*request, *Q) (any, error)) *use {
	return &use{
		check: typed(check),
		read:  func(r *request) (any, error) { return read(r, r.call.Request.(*Q)) },
	}
}

// changing binds an operation that proposes a transaction.
func changing[Q any](check func(*request, *Q) error, decide func(*request, *Q) (*change, error), replay func(*request, *records) (any, error)) *use {
	return &use{
		check:  typed(check),
		change: func(r *request) (*change, error) { return decide(r, r.call.Request.(*Q)) },
		replay: replay,
	}
}

// acting binds an operation of the cluster.
func acting[Q any](check func(*request, *Q) error, act func(context.Context, *request, *Q) (any, uint64, error)) *use {
	return &use{
		check:     typed(check),
		authorize: (*request).allowAll,
		act: func(ctx context.Context, r *request) (any, uint64, error) {
			return act(ctx, r, r.call.Request.(*Q))
		},
	}
}

// typed refuses a request of another type, so that what runs after check may rely on it.
func typed[Q any](check func(*request, *Q) error) func(*request) error {
	return func(r *request) error {
		q, ok := r.call.Request.(*Q)
		if !ok || q == nil {
			return kms.Errorf(kms.CodeInvalidRequest, "The request is not one of %s.", r.op.Name)
		}
		return check(r, q)
	}
}

// unchecked is the check of requests in which nothing can be wrong.
func unchecked[Q any](*request, *Q) error { return nil }

// Do authenticates, authorizes, decides, does, audits and answers one call. Errors are *kms.Error;
// beside one, a Result says which state the verdict was taken on, unless the node had none.
func (s *Service) Do(ctx context.Context, c *Call) (*Result, error) {
	r := &request{Service: s, call: c, op: c.Operation, started: s.Now()}
	r.served = trace.Context{Context: ctx, Request: trace.Request{ID: c.RequestID, Trace: trace.From(ctx).Trace}}
	ctx = &r.served
	r.ctx = ctx
	r.parameters = r.noted[:0]
	switch q := c.Request.(type) {
	case *kms.GenerateDataKeyRequest:
		if q != nil && q.WithoutPlaintext {
			r.op = kms.OpGenerateDataKeyWithoutPlaintext
		}
	case *kms.GenerateDataKeyPairRequest:
		if q != nil && q.WithoutPlaintext {
			r.op = kms.OpGenerateDataKeyPairWithoutPlaintext
		}
	}
	if r.use = s.uses[r.op]; c.XKS != nil {
		r.use = s.xks[r.op]
	}
	if r.use == nil {
		return nil, kms.Errorf(kms.CodeUnsupported, "The operation is not known to this release.")
	}
	ended := false
	defer func() {
		if !ended {
			r.abandoned()
		}
	}()
	result, err := s.do(ctx, r)
	ended = true
	r.observe(err)
	return result, err
}

func (s *Service) do(ctx context.Context, r *request) (*Result, error) {
	if r.scope.Region, r.malformed = r.regionOf(r.call); r.malformed == nil {
		r.malformed = r.call.Malformed
	}
	var answer any
	err := r.call.Refused
	if err == nil {
		answer, err = r.run(ctx)
	}
	answer, err = r.leave(answer, err)
	r.generated.Wipe()
	if err == nil {
		r.noteUse()
	}
	if r.held {
		r.release()
	}
	if err = s.backOff(ctx, r, err); err != nil {
		if r.epoch == 0 {
			return nil, err
		}
		return &Result{Epoch: r.epoch, Index: r.index}, err
	}
	result := &Result{Answer: answer, Epoch: r.epoch, Index: r.index}
	if r.op.Revokes {
		result.Awaiting = r.await(ctx)
	}
	return result, nil
}

// backOff delays the answer to a proof of identity that was wrong, longer with every one of the same source and identity.
// A right one is never delayed, so nobody can lock another out.
func (s *Service) backOff(ctx context.Context, r *request, err error) error {
	c := r.call
	if kms.CodeOf(err) != kms.CodeUnauthenticated {
		if p := r.principal; p != nil && p.AccessKeyID != "" {
			s.Backoff.Succeeded(c.Source, p.AccessKeyID)
		}
		return err
	}
	wait := s.Backoff.Failed(c.Source, auth.ClaimedIdentity(err))
	ctx, cancel := untilCanceled(ctx)
	defer cancel()
	if wait == 0 || s.Backoff.Wait(ctx, c.Source, wait) {
		return err
	}
	e := kms.Errorf(kms.CodeThrottled, "Too many requests that are not authenticated come from this address; try again later.")
	e.RetryAfter = wait
	return e
}

// untilCanceled returns a context that ends when ctx is canceled, since the caller went away, and not at its deadline, which
// is for the cluster's answer: a door that has one must not be the door to guess at.
func untilCanceled(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			cancel()
		}
	})
	return longer, func() { stop(); cancel() }
}

// regionOf returns the region of a call.
func (s *Service) regionOf(c *Call) (string, error) {
	if c.Region == "" {
		return s.Regions[0], nil
	}
	if !slices.Contains(s.Regions, c.Region) {
		return "", kms.Errorf(kms.CodeValidation, "The region %s is not served.", kms.Printable(c.Region))
	}
	return c.Region, nil
}
