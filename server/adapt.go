package server

import (
	"context"
	"errors"
	"time"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/server/replica"
)

// replicaOf is the replica as the service sees it: the same methods, with the product's one error type.
type replicaOf struct{ *replica.Replica }

// Propose implements service.Replica.
func (r replicaOf) Propose(ctx context.Context, t *fsm.Txn) (fsm.Outcome, error) {
	out, err := r.Replica.Propose(ctx, t)
	return out, kmsError(err)
}

// Confirm implements service.Replica.
func (r replicaOf) Confirm(ctx context.Context) error { return kmsError(r.Replica.Confirm(ctx)) }

// Lease implements service.Replica.
func (r replicaOf) Lease() error {
	if err := r.Replica.Lease(); err != nil {
		return kmsError(err)
	}
	return nil
}

// Sound implements service.Replica.
func (r replicaOf) Sound() error { return kmsError(r.Replica.Sound()) }

// AwaitAll implements service.Replica.
func (r replicaOf) AwaitAll(ctx context.Context, index uint64) ([]string, error) {
	awaiting, err := r.Replica.AwaitAll(ctx, index)
	return awaiting, kmsError(err)
}

// kinds says which code each kind of the replica's errors has outside, and when a retry makes sense.
// A test reads the kinds from the replica's source.
var kinds = map[replica.Kind]struct {
	code  kms.Code
	retry time.Duration
}{
	replica.KindNoQuorum:       {kms.CodeNoQuorum, time.Second},
	replica.KindOutcomeUnknown: {kms.CodeOutcomeUnknown, 0},
	replica.KindCannotConfirm:  {kms.CodeCannotConfirm, time.Second},
	replica.KindNoLease:        {kms.CodeNoLease, time.Second},
	replica.KindQuarantined:    {kms.CodeUnavailable, 30 * time.Second},
	replica.KindSplit:          {kms.CodeUnavailable, 30 * time.Second},
	replica.KindDisk:           {kms.CodeUnavailable, 5 * time.Second},
	replica.KindThrottled:      {kms.CodeThrottled, time.Second},
	replica.KindTooLarge:       {kms.CodeTooLarge, 0},
	replica.KindInvalid:        {kms.CodeInvalidRequest, 0},
	replica.KindRefused:        {kms.CodeConflict, 0},
	replica.KindNotFound:       {kms.CodeNotFound, 0},
	replica.KindClosed:         {kms.CodeUnavailable, time.Second},
	replica.KindNotLeader:      {kms.CodeNoQuorum, time.Second},
}

// kmsError turns an error of the replica into the product's one error type. nil stays nil.
func kmsError(err error) error {
	if err == nil {
		return nil
	}
	var already *kms.Error
	if errors.As(err, &already) {
		return already
	}
	kind := replica.KindOf(err)
	k, ok := kinds[kind]
	if !ok {
		return kms.AsError(err)
	}
	message := "The cluster could not do this now."
	var e *replica.Error
	if errors.As(err, &e) && e.Msg != "" {
		message = e.Msg
	}
	out := kms.Errorf(k.code, "%s", message).WithCause(err)
	out.RetryAfter = k.retry
	if k.code.Class() == kms.ClassUnavailable {
		out.Reason = string(kind)
	}
	return out
}
