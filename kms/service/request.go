package service

import (
	"context"
	"errors"
	"time"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/material"
	"github.com/lockstep-kms/lockstep/secret"
	"github.com/lockstep-kms/lockstep/trace"
)

// request is one call while it is served. It belongs to the goroutine of Do.
type request struct {
	*Service
	ctx     context.Context // of Do; it is served
	served  trace.Context   // in which log lines name the request
	call    *Call
	op      *kms.Operation
	use     *use
	started time.Time

	hold catalog.Hold
	held bool
	view *catalog.View // what this decision is taken on; changes between decisions only

	epoch, index uint64 // for the answer

	principal *auth.Principal
	scope     kms.Scope // the caller's account and the call's region
	confirmed bool      // view holds a read index asked for after the request arrived
	checked   bool      // check has run
	malformed error     // what check found

	// Parsed by check.
	key, other             kms.KeyRef
	encryption, decryption kms.EncryptionAlgorithm
	message                kms.MessageType
	header                 material.Header // of the ciphertext
	dryRun                 bool            // only the verdict is asked for
	ignore                 bool            // a dry run leaves the ciphertext unread

	query    auth.Query       // of the latest decision on a key
	facts    facts            // of the latest decision
	guarding bool             // what authorizes is kept, since a transaction will guard it
	reads    []auth.Decision  // of a change: what authorized it
	granted  []fsm.Guard      // of a change: grants and accounts that authorized it
	scanned  []fsm.ScopeGuard // of a change: what its authorization looked through
	applied  bool             // of a change: it is done
	brief    bool             // of a change: it is remembered for the short time only

	opening   bool            // the key of a ciphertext is looked for: none is made for it
	tokens    []string        // grant tokens, checked for their form
	generated secret.Bytes    // material of the key that is being made
	used      [2]*catalog.Key // keys that a success counts as a use of
	usedKeys  int
	doomed    *catalog.Key // one that the latest decision refused to use because it is to be deleted
	answer    any          // that leave was given; wiped if it does not leave
	eventID   [16]byte     // of the audit record
	unheard   bool         // a proposal failed of what is wrong with the node

	asked  bool        // the other members were asked for the use of a key
	others []kms.Usage // what they answered
	silent int         // how many did not

	noted      [6]audit.Pair
	parameters []audit.Pair      // see use.check; in noted as long as they fit
	resources  [2]audit.Resource // those that were found
	found      int
}

func (r *request) release() {
	r.held = false
	r.hold.Release()
}

// abandoned ends a call whose serving panicked: it holds nothing any longer, is counted, and is on record like every call.
// What it did before is unknown to who called, and counts as done.
func (r *request) abandoned() {
	r.generated.Wipe()
	if r.held {
		r.release()
	}
	wipeAnswer(r.answer)
	r.applied = r.op.Mutates
	err := kms.AsError(errPanicked)
	r.observe(err)
	// The answer says no more than that it failed, with or without a record.
	if r.eventID == ([16]byte{}) {
		_ = r.audit(nil, err)
	} else { // the call has its record
		_ = r.withheld(err)
	}
}

var errPanicked = errors.New("serving the call panicked")

// run serves the call up to the audit record.
func (r *request) run(ctx context.Context) (any, error) {
	hold, err := r.Catalog.Hold()
	if err != nil {
		return nil, err
	}
	r.hold, r.held = hold, true
	r.look()
	if err := r.awaitIndex(ctx); err != nil {
		return nil, err
	}
	switch {
	case r.op.Crypto:
		if err := r.Replica.Lease(); err != nil {
			return nil, err
		}
		r.look() // the lease speaks of what is opened now, not of the view taken before it was asked
		return r.decide(ctx, r.use.read)
	case r.use.change != nil:
		return r.change(ctx)
	}
	switch {
	case r.op == kms.OpSeal: // must work without a quorum
	case r.call.Stale && r.op.Resource != kms.ResourceRole && r.op != kms.OpGetSessionToken: // a session outlives the state that it was issued on
		err = r.Replica.Sound()
	default:
		err = r.confirm(ctx)
	}
	if err != nil {
		return nil, err
	}
	if r.use.read != nil {
		return r.decide(ctx, r.use.read)
	}
	return r.act(ctx)
}

// look takes the latest view.
func (r *request) look() {
	r.view = r.hold.View()
	r.epoch, r.index = r.view.Epoch(), r.view.Index()
}

// awaitIndex waits until the view holds what the caller has seen. An index of an earlier epoch is
// held by every later one.
func (r *request) awaitIndex(ctx context.Context) error {
	c := r.call
	if c.MinEpoch < r.epoch || c.MinEpoch == r.epoch && c.MinIndex <= r.index {
		return nil
	}
	if r.authenticate() != nil || r.principal.Account == "" {
		return nil // nobody waits for strangers; who is only not known here yet is confirmed before the refusal
	}
	if c.MinEpoch == r.epoch {
		ctx, cancel := context.WithTimeout(ctx, indexWait)
		defer cancel()
		err := r.Catalog.WaitOpened(ctx, c.MinIndex)
		if err == nil {
			r.look()
			return nil
		}
		if ctx.Err() == nil {
			return err
		}
	}
	return kms.Errorf(kms.CodeIndexNotReached, "This node has not reached %d.%d yet; it is at %d.%d.", c.MinEpoch, c.MinIndex, r.epoch, r.view.Index())
}

// confirm takes a view that is not older than the request.
func (r *request) confirm(ctx context.Context) error {
	if err := r.Replica.Confirm(ctx); err != nil {
		return err
	}
	r.look()
	r.confirmed = true
	return nil
}

// decide authenticates and decides; a refusal that a stale view could get wrong is taken back, and
// both are done again on a confirmed view: only that verdict leaves. A managed key that is used for the
// first time is made in between.
func (r *request) decide(ctx context.Context, verdict func(*request) (any, error)) (any, error) {
	for first := true; ; {
		answer, err := r.attempt(verdict)
		if !r.confirmed && kms.IsRefusal(err) && err != r.malformed {
			if err := r.confirm(ctx); err != nil {
				return nil, err
			}
			answer, err = r.attempt(verdict)
		}
		unmade, ok := err.(*unmadeKey)
		if !ok {
			return answer, err
		}
		if !r.confirmed { // it may be made already
			err = r.confirm(ctx)
		} else if first {
			first, err = false, r.makeManaged(ctx, unmade.alias)
		} else {
			err = errContended()
		}
		if err != nil {
			return nil, err
		}
	}
}

// attempt authenticates and decides once, on the current view.
func (r *request) attempt(verdict func(*request) (any, error)) (any, error) {
	r.found, r.reads, r.granted, r.usedKeys = 0, r.reads[:0], r.granted[:0], 0
	r.doomed = nil
	r.scanned = r.scanned[:0]
	if err := r.authenticate(); err != nil {
		return nil, err
	}
	if !r.checked {
		r.checked = true
		if err := r.takeQuota(); err != nil {
			return nil, err
		}
		if r.malformed == nil {
			r.malformed = r.use.check(r)
		}
	}
	if r.malformed != nil {
		return nil, r.malformed
	}
	return verdict(r)
}

// authenticate finds out who calls. A web identity proves itself by the token in its request; until then it is nobody.
func (r *request) authenticate() error {
	if r.op.Open {
		r.principal = &auth.Principal{Type: auth.TypeWebIdentity}
		return nil
	}
	p, err := r.Authenticator.Authenticate(r.view, &r.call.Auth)
	if err != nil {
		return err
	}
	r.principal, r.scope.Account = p, p.Account
	return nil
}

// takeQuota counts the request as one of its identity: of a session as one of its role.
func (r *request) takeQuota() error {
	id := r.principal.UserID
	if s := r.principal.Session; s != nil && s.OfKey == "" {
		id = s.RoleID
	}
	if id == "" {
		return nil // nobody yet
	}
	ok, retry := r.Quota.Take(id)
	if ok {
		return nil
	}
	e := kms.Errorf(kms.CodeThrottled, "The identity makes more requests than it may; try again later.")
	e.RetryAfter = retry
	return e
}

// act authorizes what the cluster does by itself, and lets the cluster do it without holding the
// view: sealing waits for those who hold it.
func (r *request) act(ctx context.Context) (any, error) {
	if r.op != kms.OpSeal { // nothing stands in the way of an emergency
		if err := r.Audit.Healthy(); err != nil {
			return nil, err
		}
	}
	_, err := r.decide(ctx, func(r *request) (any, error) { return nil, r.use.authorize(r) })
	if err != nil {
		return nil, err
	}
	r.release()
	answer, index, err := r.use.act(ctx, r)
	r.index = max(r.index, index)
	r.applied = err == nil && r.op.Mutates
	return answer, err
}

// leave lets an answer or a refusal go: not without its audit record, not past the lease, and not
// from a node that was sealed meanwhile.
func (r *request) leave(answer any, err error) (any, error) {
	r.answer = answer
	if kms.CodeOf(err) == kms.CodeSealed && r.held && !r.Catalog.Sealed() && r.hold.Err() == nil {
		// Material is wiped when its key is destroyed, too, under whoever is just using it.
		e := kms.Errorf(kms.CodeUnavailable, "The key material was taken away while it was used; try again.")
		e.RetryAfter = time.Second
		err = e
	}
	sealed := r.op == kms.OpSeal && r.applied // it is done whatever the trail can take, and the node tells of it once it can
	if blocked := r.audit(answer, err); blocked != nil && !sealed {
		wipeAnswer(answer)
		return nil, r.auditBlocked(blocked)
	}
	if err == nil {
		// Deciding, computing and writing the record took time. The call has its record: what comes now is an event.
		if err = r.stillValid(); err != nil {
			if blocked := r.withheld(err); blocked != nil {
				err = r.auditBlocked(blocked)
			}
		}
	}
	if err != nil {
		wipeAnswer(answer)
		return nil, kms.AsError(err)
	}
	return answer, nil
}

// stillValid returns what forbids an answer to leave now.
func (r *request) stillValid() error {
	if r.op.Crypto {
		if err := r.Replica.Lease(); err != nil {
			return err
		}
	}
	if !r.held {
		return nil
	}
	err := r.hold.Err()
	if err != nil && r.applied {
		return kms.Errorf(kms.CodeOutcomeUnknown, "The change was made, but this node was sealed before it could answer. The same idempotency key is answered by another node.")
	}
	return err
}

func (r *request) auditBlocked(err error) error {
	if !r.applied {
		return kms.AsError(err)
	}
	e := kms.Errorf(kms.CodeAuditBlocked, "The change was made, but its audit record could not be written; the answer is withheld. The same idempotency key is answered it once records can be written again.")
	e.RetryAfter = kms.AsError(err).RetryAfter
	return e.WithCause(err)
}

// await waits for the members after rights were taken away, as long as the call says. It returns
// nil when there is nothing to tell.
func (r *request) await(ctx context.Context) []string {
	var limit time.Duration
	switch r.call.Wait {
	case WaitNone:
		return nil
	case WaitDefault:
		limit = revokeWait
	case WaitAll:
		limit = r.call.Timeout
	}
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	awaiting, err := r.awaitAll(ctx)
	if r.call.Wait != WaitAll || err == nil && len(awaiting) == 0 {
		return nil
	}
	return append([]string{}, awaiting...)
}

// awaitAll asks the cluster, with WaitAll again and again while there is no leader to ask.
func (r *request) awaitAll(ctx context.Context) ([]string, error) {
	const pause = 100 * time.Millisecond
	for {
		awaiting, err := r.Replica.AwaitAll(ctx, r.index)
		if err == nil || r.call.Wait != WaitAll || ctx.Err() != nil {
			return awaiting, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// wipeAnswer overwrites the secrets of an answer that does not leave.
func wipeAnswer(answer any) {
	switch a := answer.(type) {
	case *kms.DecryptAnswer:
		secret.Wipe(a.Plaintext)
	case *XKSDecryptAnswer:
		secret.Wipe(a.Plaintext)
	case *kms.GenerateDataKeyAnswer:
		secret.Wipe(a.Plaintext)
	case *kms.GenerateDataKeyPairAnswer:
		secret.Wipe(a.PrivateKeyPlaintext)
	case *kms.GenerateRandomAnswer:
		secret.Wipe(a.Plaintext)
	case *kms.DeriveSharedSecretAnswer:
		secret.Wipe(a.SharedSecret)
	case *kms.EncapsulateAnswer:
		secret.Wipe(a.SharedSecret)
	case *kms.DecapsulateAnswer:
		secret.Wipe(a.SharedSecret)
	}
}

// notFound replaces the catalog's word for what is not there.
func notFound(err error, format string, args ...any) error {
	if errors.Is(err, catalog.ErrNotFound) {
		return kms.Errorf(kms.CodeNotFound, format, args...)
	}
	return err
}
