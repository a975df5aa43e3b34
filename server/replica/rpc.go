package replica

import (
	"context"
	"fmt"
	"time"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/transport"
)

// Methods of the calls between nodes. Messages are CBOR maps with integer keys; unknown keys are
// ignored, so that a later release can add some.
const (
	methodStatus  = "replica.status"  // anyone to anyone: has this node state, who leads
	methodJoin    = "replica.join"    // anyone to the leader: take me in, or note what changed
	methodPoll    = "replica.poll"    // member to leader: a read index for a report
	methodTerm    = "replica.term"    // leader to voter: which term have you seen
	methodPropose = "replica.propose" // member to leader: transactions
	methodOpened  = "replica.opened"  // leader to member: answer when you have opened this index
	methodAwait   = "replica.await"   // member to leader: AwaitAll
	methodMembers = "replica.members" // member to leader: Members
	methodAdmin   = "replica.admin"   // member to leader: Allow and Remove
)

type statusAnswer struct {
	NodeID   string `cbor:"1,keyasint"`
	List     string `cbor:"2,keyasint"` // hash of the expected peers
	HasState bool   `cbor:"3,keyasint"` // is or was part of a cluster
	Leader   string `cbor:"4,keyasint"` // name, "" when unknown
}

// pollRequest is a member's report; it rides on every poll.
type pollRequest struct {
	Bound       int64  `cbor:"1,keyasint"` // ms: the lease that this poll may give lasts so long
	Sealed      bool   `cbor:"2,keyasint"`
	Applied     uint64 `cbor:"3,keyasint"`
	Trouble     string `cbor:"4,keyasint"` // why it should not lead, "" when nothing
	CheckIndex  uint64 `cbor:"5,keyasint"` // its last checkpoint
	CheckDigest []byte `cbor:"6,keyasint"`
	Quarantined bool   `cbor:"7,keyasint"`
	Sent        int64  `cbor:"8,keyasint"` // the member's boot time, ns: orders its reports
}

type pollAnswer struct {
	Index   uint64  `cbor:"1,keyasint"` // everything acknowledged before the poll was received is at or below
	Median  int64   `cbor:"2,keyasint"` // ms: the voters' median clock
	Verdict verdict `cbor:"3,keyasint"`
}

type termAnswer struct {
	NodeID string `cbor:"1,keyasint"`
	Term   uint64 `cbor:"2,keyasint"` // latest seen
	Wall   int64  `cbor:"3,keyasint"` // ms
}

type proposeResult struct {
	Status fsm.Status `cbor:"1,keyasint,omitempty"`
	Index  uint64     `cbor:"2,keyasint,omitempty"`
	Detail string     `cbor:"3,keyasint,omitempty"`
	Kind   Kind       `cbor:"4,keyasint,omitempty"` // set when there is no outcome
	Msg    string     `cbor:"5,keyasint,omitempty"`
}

type openedAnswer struct {
	NodeID string `cbor:"1,keyasint"`
	Sealed bool   `cbor:"2,keyasint"`
}

type adminRequest struct {
	Remove bool   `cbor:"1,keyasint"` // otherwise allow
	Name   string `cbor:"2,keyasint"`
}

type empty struct{}

func decode[T any](payload []byte) (T, error) {
	var v T
	if err := decMode.Unmarshal(payload, &v); err != nil {
		return v, errorf(KindInvalid, "a message between nodes does not decode: %v", err)
	}
	return v, nil
}

// call asks node name and decodes its answer. One that does not decode says nothing of what the node
// did: the error has no kind.
func call[T any](ctx context.Context, r *Replica, name, method string, request any) (T, error) {
	var none T
	payload, err := r.transport.Call(ctx, name, method, encode(request))
	if err != nil {
		return none, err
	}
	answer, err := decode[T](payload)
	if err != nil {
		return none, fmt.Errorf("the answer of node %s to %s: %s", name, method, err.Error())
	}
	return answer, nil
}

// callLeader is call, given up when another node is known to lead: a leader that hangs keeps its
// connections and answers nothing.
func callLeader[T any](ctx context.Context, r *Replica, leader, method string, request any) (T, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		for pause(ctx, leaderRetry) {
			if now := r.leaderName(); now != "" && now != leader {
				cancel()
			}
		}
	}()
	return call[T](ctx, r, leader, method, request)
}

// handle registers a handler of typed messages.
func handle[Q, A any](r *Replica, method string, h func(context.Context, transport.Peer, Q) (A, error)) {
	r.transport.Handle(method, func(ctx context.Context, p transport.Peer, payload []byte) ([]byte, error) {
		request, err := decode[Q](payload)
		if err != nil {
			return nil, err
		}
		answer, err := h(ctx, p, request)
		if err != nil {
			return nil, err
		}
		return encode(answer), nil
	})
}

// register connects the handlers; Raft runs.
func (r *Replica) register() {
	handle(r, methodStatus, func(_ context.Context, _ transport.Peer, _ empty) (statusAnswer, error) { return r.status(), nil })
	handle(r, methodJoin, func(ctx context.Context, p transport.Peer, _ empty) (empty, error) {
		return empty{}, r.join(ctx, nodeRecord{
			Schema: 1, Name: p.Name, NodeID: p.NodeID, KeyHash: p.KeyHash[:],
			APIAddr: p.APIAddr, PeerAddr: p.PeerAddr, Version: p.Version, FeatureLevel: p.FeatureLevel,
		})
	})
	handle(r, methodPoll, func(ctx context.Context, p transport.Peer, q pollRequest) (pollAnswer, error) {
		return r.servePoll(ctx, p, q)
	})
	handle(r, methodTerm, members(r, func(context.Context, empty) (termAnswer, error) { return r.ownTerm(), nil }))
	handle(r, methodPropose, members(r, r.servePropose))
	handle(r, methodOpened, members(r, r.ownOpened))
	handle(r, methodAwait, members(r, r.serveAwait))
	handle(r, methodMembers, members(r, r.serveMembers))
	handle(r, methodAdmin, members(r, r.admin))
}

// members refuses who is no member: a certificate of the cluster's CA alone lets a node ask for its
// state and to join, no more.
func members[Q, A any](r *Replica, h func(context.Context, Q) (A, error)) func(context.Context, transport.Peer, Q) (A, error) {
	return func(ctx context.Context, p transport.Peer, q Q) (A, error) {
		if !r.IsMember(p) {
			var none A
			return none, r.noMember(p)
		}
		return h(ctx, q)
	}
}

// noMember is what a peer is told that has no place, as precisely as it is known here.
func (r *Replica) noMember(p transport.Peer) error {
	if n, _, known := node(r.fsm.View(), p.Name); known {
		if err := admit(n, p.NodeID, p.KeyHash[:]); err != nil {
			return err
		}
	}
	return errorf(KindRefused, "node %s, id %s, is no member", p.Name, p.NodeID)
}

// IsMember reports whether the peer has a place in the cluster as this node knows it. Its name is
// proven by its certificate; the name's place is for one incarnation.
func (r *Replica) IsMember(p transport.Peer) bool {
	for _, s := range r.servers() {
		if string(s.ID) == p.NodeID && string(s.Address) == p.Name {
			return true
		}
	}
	return false
}

// atLeader runs local when this node leads and otherwise asks the leader for method, until one
// succeeds or says something final, or ctx ends.
func atLeader[Q, A any](ctx context.Context, r *Replica, method string, q Q, local func(context.Context, Q) (A, error)) (A, error) {
	for {
		var a A
		err := error(r.noLeader())
		if r.reign.Load() != nil {
			a, err = local(ctx, q)
		} else if leader := r.leaderName(); leader != "" && leader != r.name {
			a, err = callLeader[A](ctx, r, leader, method, q)
		}
		if err == nil || !elsewhere(err) || !pause(ctx, leaderRetry) {
			return a, err
		}
	}
}

const leaderRetry = 20 * time.Millisecond

// elsewhere reports whether another node, or this one later, may do what failed with err here.
func elsewhere(err error) bool {
	switch KindOf(err) {
	case KindInvalid, KindTooLarge, KindRefused, KindNotFound, KindThrottled, KindSplit, KindOutcomeUnknown:
		return false
	}
	return true
}

// pause waits for d, false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
