package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
	"github.com/lockstep-kms/lockstep/transport"
)

// Calls between nodes that concern the seal. A share travels as the payload of methodShare, over
// mutual TLS, and nowhere else.
const (
	methodShare  = "seal.share"
	methodSeal   = "seal.now"
	methodSealed = "seal.status" // answers one byte: 1 sealed, 0 unsealed
)

// callTimeout bounds one call to one member.
const callTimeout = 2 * time.Second

// rpcError carries a *kms.Error to another node.
type rpcError struct{ err *kms.Error }

func (e rpcError) Error() string   { return e.err.Message }
func (e rpcError) RPCCode() string { return string(e.err.Code) }

// handlePeers answers the calls of other nodes.
func (n *node) handlePeers() {
	n.transport.Handle(methodShare, func(ctx context.Context, _ transport.Peer, payload []byte) ([]byte, error) {
		defer secret.Wipe(payload)
		c, revision, err := n.sealConfig()
		if err == nil && revision == 0 {
			err = n.errNoSealConfig()
		}
		if err == nil {
			_, err = n.submit(ctx, c, string(payload), "")
		}
		if err != nil {
			return nil, rpcError{kms.AsError(err)}
		}
		return nil, nil
	})
	n.transport.Handle(methodSeal, func(_ context.Context, p transport.Peer, _ []byte) ([]byte, error) {
		if !n.replica.IsMember(p) {
			return nil, rpcError{kms.Errorf(kms.CodeAccessDenied, "%s is no member of this cluster.", p.Name)}
		}
		n.sealLocal()
		return nil, nil
	})
	n.transport.Handle(methodSealed, func(context.Context, transport.Peer, []byte) ([]byte, error) {
		if n.catalog.Sealed() {
			return []byte{1}, nil
		}
		return []byte{0}, nil
	})
}

// deliver brings one share to one member.
func (n *node) deliver(ctx context.Context, member string, share secret.Bytes) error {
	_, err := n.transport.Call(ctx, member, methodShare, share)
	var remote *transport.RemoteError
	if errors.As(err, &remote) {
		return kms.Errorf(kms.Code(remote.Code), "%s refused the share: %s", member, remote.Message)
	}
	if err != nil {
		return kms.Errorf(kms.CodeUnavailable, "%s could not be reached.", member).WithCause(err)
	}
	return nil
}

// peerStates is what is known of the other members' seals while shares are being relayed.
type peerStates struct {
	mu         sync.Mutex
	waiting    []string // guarded by mu: members not known to be unsealed
	known      bool     // guarded by mu: waiting was asked for once
	refreshing bool     // guarded by mu
}

// waitingMembers returns the other members that are not known to be unsealed, from memory, and has
// that memory refreshed: a member that restarts while shares are held is found sealed again.
func (n *node) waitingMembers() []string {
	p := &n.peers
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.known {
		p.waiting = n.expectedOthers()
		p.known = true
	}
	if !p.refreshing {
		p.refreshing = true
		go n.refreshPeers()
	}
	return p.waiting
}

func (n *node) refreshPeers() {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	var waiting []string
	for _, name := range n.otherMembers(ctx) {
		answer, err := n.transport.Call(ctx, name, methodSealed, nil)
		if err != nil || len(answer) != 1 || answer[0] != 0 {
			waiting = append(waiting, name)
		}
	}
	p := &n.peers
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting, p.refreshing = waiting, false
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
