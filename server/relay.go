package server

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/seal"
	"github.com/lockstep-kms/lockstep/secret"
	"github.com/lockstep-kms/lockstep/transport"
)

// Calls between nodes that concern the seal. A share travels as the payload of methodShare, over
// mutual TLS, and nowhere else; before it stands how long ago it was given, in nanoseconds, 8 bytes
// big-endian.
const (
	methodShare  = "seal.share"
	methodSeal   = "seal.now"
	methodSealed = "seal.status" // answers one byte: 1 sealed, 0 unsealed
	methodAsk    = "service.ask" // a question of a service, sealed by it, and its answer
)

// maxFrame is the most bytes of a call between nodes or its answer: a page of audit records has up to 2 MiB.
const maxFrame = 4 << 20

// askTimeout is how long another node may take to answer a question.
const askTimeout = time.Second

// sealTimeout is how long another node may take to be sealed.
const sealTimeout = 10 * time.Second

// ageSize is the length of a share's age in front of it.
const ageSize = 8

// rpcError carries a *kms.Error to another node.
type rpcError struct{ err *kms.Error }

func (e rpcError) Error() string   { return e.err.Message }
func (e rpcError) RPCCode() string { return string(e.err.Code) }

// handlePeers answers the calls of other nodes.
func (n *node) handlePeers() {
	n.transport.Handle(methodShare, func(ctx context.Context, p transport.Peer, payload []byte) ([]byte, error) {
		defer secret.Wipe(payload)
		c, revision, err := n.sealConfig()
		if err == nil && revision == 0 {
			err = n.errNoSealConfig()
		}
		var age time.Duration
		var share []byte
		if err == nil {
			age, share, err = readShare(payload)
		}
		if err == nil {
			err = n.submitRelayed(ctx, p, c, share, age)
		}
		if err != nil {
			return nil, rpcError{kms.AsError(err)}
		}
		return nil, nil
	})
	n.transport.Handle(methodSeal, func(ctx context.Context, p transport.Peer, _ []byte) ([]byte, error) {
		rec := n.calledBy(ctx, p, kms.OpSeal.Name)
		if !n.replica.IsMember(p) {
			err := kms.Errorf(kms.CodeAccessDenied, "%s is no member of this cluster.", p.Name)
			n.noted(ctx, rec, err)
			return nil, rpcError{err}
		}
		n.sealLocal(ctx, p.Name)
		n.noted(ctx, rec, nil)
		return nil, nil
	})
	n.transport.Handle(methodAsk, func(ctx context.Context, p transport.Peer, question []byte) ([]byte, error) {
		if !n.replica.IsMember(p) {
			return nil, rpcError{kms.Errorf(kms.CodeAccessDenied, "%s is no member of this cluster.", p.Name)}
		}
		answer, err := n.service.Answer(ctx, question)
		if err != nil {
			return nil, rpcError{kms.AsError(err)}
		}
		return answer, nil
	})
	n.transport.Handle(methodSealed, func(context.Context, transport.Peer, []byte) ([]byte, error) {
		if n.catalog.Sealed() {
			return []byte{1}, nil
		}
		return []byte{0}, nil
	})
}

// submitRelayed gives this node one share that another node relays. A share that changed something
// leaves a record; those that are relayed again and again do not.
func (n *node) submitRelayed(ctx context.Context, p transport.Peer, c seal.Config, share []byte, age time.Duration) error {
	rec := n.calledBy(ctx, p, eventUnseal, audit.Bool("cluster", true))
	sealed := n.catalog.Sealed()
	progress, err := n.submit(ctx, c, string(share), "", age)
	if code := kms.CodeOf(err); sealed && code != kms.CodeShareDuplicate && code != kms.CodeConflict {
		noteSeal(rec, n.status(c, progress))
		n.noted(ctx, rec, err)
	}
	return err
}

// readShare splits the payload of methodShare. The share is a slice of it.
func readShare(payload []byte) (age time.Duration, share []byte, err error) {
	if len(payload) < ageSize || payload[0] >= 0x80 {
		return 0, nil, kms.Errorf(kms.CodeInvalidShare, "The relayed key share cannot be read.")
	}
	return time.Duration(binary.BigEndian.Uint64(payload)), payload[ageSize:], nil
}

// deliver brings one share, given that long ago, to one member.
func (n *node) deliver(ctx context.Context, member string, share secret.Bytes, age time.Duration) error {
	payload := secret.Bytes(binary.BigEndian.AppendUint64(make([]byte, 0, ageSize+len(share)), uint64(max(age, 0))))
	payload = append(payload, share...)
	defer payload.Wipe()
	_, err := n.transport.Call(ctx, member, methodShare, payload)
	var remote *transport.RemoteError
	if errors.As(err, &remote) {
		return kms.Errorf(kms.Code(remote.Code), "%s refused the share: %s", member, remote.Message)
	}
	if err != nil {
		return kms.Errorf(kms.CodeUnavailable, "%s could not be reached.", member).WithCause(err)
	}
	return nil
}

// askSealed asks one member whether it is sealed.
func (n *node) askSealed(ctx context.Context, member string) (bool, error) {
	answer, err := n.transport.Call(ctx, member, methodSealed, nil)
	return len(answer) != 1 || answer[0] != 0, err
}

// Ask implements service.Cluster.
func (n *node) Ask(ctx context.Context, question []byte) (answers [][]byte, silent int) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	names := n.otherMembers(ctx)
	all := make([][]byte, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			answer, err := n.transport.Call(ctx, name, methodAsk, question)
			if err != nil {
				n.log.DebugContext(ctx, "a member did not answer a question", "member", name, "error", err)
				return
			}
			all[i] = answer
		})
	}
	wg.Wait()
	for _, answer := range all {
		if answer == nil {
			silent++
		} else {
			answers = append(answers, answer)
		}
	}
	return answers, silent
}

func (n *node) expectedOthers() []string {
	var names []string
	for _, p := range n.cfg.Peers {
		if p.Name != n.cfg.Name {
			names = append(names, p.Name)
		}
	}
	return names
}

// otherMembers names the other members of the cluster; before it is known, the expected ones.
func (n *node) otherMembers(ctx context.Context) []string {
	members, err := n.replica.Members(ctx)
	if err != nil || len(members) == 0 {
		return n.expectedOthers()
	}
	var names []string
	for _, m := range members {
		if m.Name != n.cfg.Name {
			names = append(names, m.Name)
		}
	}
	return names
}
