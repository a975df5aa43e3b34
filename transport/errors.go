package transport

import (
	"errors"
	"fmt"
)

// Codes of a RemoteError that this package gives itself. A handler's own codes come from its errors.
const (
	CodeUnknownMethod = "unknown_method"   // no handler (rejected)
	CodeBusy          = "busy"             // too many calls in flight (rejected)
	CodeTooLarge      = "too_large"        // the request was over the peer's limit (rejected)
	CodeAnswerLarge   = "answer_too_large" // the handler ran, its answer was over a limit
	CodeDeadline      = "deadline"         // the handler ran into the caller's deadline
	CodeCanceled      = "canceled"         // the handler was cancelled
	CodeFailed        = "failed"           // the handler returned an error without a code
)

// Reasons inside a CallError or a dial error; use errors.Is.
var (
	ErrClosed       = errors.New("transport: closed")
	ErrUnreachable  = errors.New("transport: peer unreachable")
	ErrDisconnected = errors.New("transport: connection lost before the answer")
	ErrTooLarge     = errors.New("transport: payload over the frame limit")
	ErrRaftCut      = errors.New("transport: raft traffic is cut on this node")
)

// RemoteError is the error answer of a peer.
type RemoteError struct {
	Code     string
	Message  string
	Rejected bool // the peer's transport said so, and the handler was not run
}

func (e *RemoteError) Error() string { return e.Message }

// RPCCode lets a handler pass a peer's error on with its code.
func (e *RemoteError) RPCCode() string { return e.Code }

// CallError is a call without an answer. When Sent is false the peer has not run and will not run
// the request; otherwise nobody knows.
type CallError struct {
	Sent bool
	Err  error
}

func (e *CallError) Error() string {
	if e.Sent {
		return fmt.Sprintf("outcome unknown: %v", e.Err)
	}
	return e.Err.Error()
}

func (e *CallError) Unwrap() error { return e.Err }

// NeverRan reports that err came from Call and that the peer certainly did not run the handler.
func NeverRan(err error) bool {
	var call *CallError
	if errors.As(err, &call) {
		return !call.Sent
	}
	var remote *RemoteError
	if errors.As(err, &remote) {
		return remote.Rejected
	}
	return false
}

// RefusedError is a hello that one side refused.
type RefusedError struct {
	Remote  bool   // the peer refused us; otherwise this node's Check refused the peer
	Code    string // from an error of Check that has a method RPCCode() string
	Message string
}

func (e *RefusedError) Error() string {
	if e.Remote {
		return "refused by the peer: " + e.Message
	}
	return "peer refused: " + e.Message
}

// RPCCode is the code Check gave.
func (e *RefusedError) RPCCode() string { return e.Code }
