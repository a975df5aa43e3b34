package replica

import (
	"errors"
	"fmt"

	"github.com/lockstep-kms/lockstep/transport"
)

// Kind says what an Error means to a caller. Its text is also the code of the error between nodes.
type Kind string

// The kinds. Every one of them but KindOutcomeUnknown means that nothing was or will be applied.
const (
	KindNoQuorum       Kind = "no_quorum"       // no leader with a majority behind it was found in time
	KindOutcomeUnknown Kind = "outcome_unknown" // may or may not be applied; proposing the same transaction again is safe
	KindCannotConfirm  Kind = "cannot_confirm"  // no fresh read index in time
	KindNoLease        Kind = "no_lease"        // the freshness lease has ended or was never taken
	KindQuarantined    Kind = "quarantined"     // this node's state differs from the majority's
	KindSplit          Kind = "digest_split"    // the nodes' states differ and none has a majority: writes stop
	KindDisk           Kind = "disk"            // this node's log cannot be written
	KindThrottled      Kind = "throttled"       // too many proposals or waiters
	KindTooLarge       Kind = "too_large"       // the transaction does not fit a log entry
	KindInvalid        Kind = "invalid"         // not a transaction, name or message this node understands
	KindRefused        Kind = "refused"         // by a rule of membership; the message says which
	KindNotFound       Kind = "not_found"       // no such member
	KindClosed         Kind = "closed"          // this node is stopping
	KindNotLeader      Kind = "not_leader"      // between nodes only: ask the leader
)

// Error is the one error type of this package.
type Error struct {
	Kind Kind
	Msg  string // a whole clause for an operator; holds no secret

	removed bool // KindRefused, because Remove took the asker out
}

// Error returns the message.
func (e *Error) Error() string { return e.Msg }

// codeRemoved is between nodes what an Error that is removed is here.
const codeRemoved = "removed"

// RPCCode carries the kind to another node.
func (e *Error) RPCCode() string {
	if e.removed {
		return codeRemoved
	}
	return string(e.Kind)
}

// Is reports whether target is an *Error of the same kind.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind
}

func errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Msg: fmt.Sprintf(format, args...)}
}

// KindOf returns the kind of err, also of one that came from another node; "" when it has none.
func KindOf(err error) Kind {
	if code := codeOf(err); code != codeRemoved {
		return Kind(code)
	}
	return KindRefused
}

// wasRemoved reports whether err says that the asker has no place because it was removed.
func wasRemoved(err error) bool { return codeOf(err) == codeRemoved }

func codeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.RPCCode()
	}
	var remote *transport.RemoteError
	if errors.As(err, &remote) {
		return remote.Code
	}
	var refused *transport.RefusedError // at the hello
	if errors.As(err, &refused) && refused.Remote {
		return refused.Code
	}
	return ""
}
