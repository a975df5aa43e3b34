package replica

import (
	"context"
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

type proposeRequest struct {
	Txns [][]byte `cbor:"1,keyasint"` // fsm.EncodeTxn
}

type proposeAnswer struct {
	Results []proposeResult `cbor:"1,keyasint"` // one for each transaction
}

type proposeResult struct {
	Status uint8       `cbor:"1,keyasint,omitempty"`
	Index  uint64      `cbor:"2,keyasint,omitempty"`
	Detail string      `cbor:"3,keyasint,omitempty"`
	Refs   []resultRef `cbor:"4,keyasint,omitempty"`
	Kind   Kind        `cbor:"5,keyasint,omitempty"` // set when there is no outcome
	Msg    string      `cbor:"6,keyasint,omitempty"`
}

type resultRef struct {
	Kind fsm.Kind `cbor:"1,keyasint"`
	ID   []byte   `cbor:"2,keyasint"`
}

type openedRequest struct {
	Index uint64 `cbor:"1,keyasint"`
}

type openedAnswer struct {
	NodeID string `cbor:"1,keyasint"`
	Sealed bool   `cbor:"2,keyasint"`
}

type awaitAnswer struct {
	Awaiting []string `cbor:"1,keyasint"`
}

type membersAnswer struct {
	Members []Member `cbor:"1,keyasint"`
}

type adminRequest struct {
	Remove bool   `cbor:"1,keyasint"` // otherwise allow
	Name   string `cbor:"2,keyasint"`
}

type adminAnswer struct {
	Index uint64 `cbor:"1,keyasint"`
}

type empty struct{}

func decode[T any](payload []byte) (T, error) {
	var v T
	if err := decMode.Unmarshal(payload, &v); err != nil {
		return v, errorf(KindInvalid, "a message between nodes does not decode: %v", err)
	}
	return v, nil
}

// call asks node name and decodes its answer.
func call[T any](ctx context.Context, r *Replica, name, method string, request any) (T, error) {
	payload, err := r.transport.Call(ctx, name, method, encode(request))
	if err != nil {
		var none T
		return none, err
	}
	return decode[T](payload)
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
	handle(r, methodStatus, func(_ context.Context, _ transport.Peer, _ empty) (statusAnswer, error) {
		return r.status(), nil
	})
	handle(r, methodTerm, func(_ context.Context, _ transport.Peer, _ empty) (termAnswer, error) {
		return r.ownTerm(), nil
	})
	handle(r, methodJoin, func(ctx context.Context, p transport.Peer, _ empty) (empty, error) {
		return empty{}, r.join(ctx, applicant{p.Name, p.NodeID, p.KeyHash, p.APIAddr, p.PeerAddr, p.Version, p.FeatureLevel})
	})
	handle(r, methodPoll, func(ctx context.Context, p transport.Peer, q pollRequest) (pollAnswer, error) {
		return r.servePoll(ctx, p.NodeID, q)
	})
	handle(r, methodPropose, r.servePropose)
	handle(r, methodOpened, func(ctx context.Context, _ transport.Peer, q openedRequest) (openedAnswer, error) {
		return r.ownOpened(ctx, q.Index)
	})
	handle(r, methodAwait, func(ctx context.Context, p transport.Peer, q openedRequest) (awaitAnswer, error) {
		return r.serveAwait(ctx, q.Index)
	})
	handle(r, methodMembers, func(_ context.Context, _ transport.Peer, _ empty) (membersAnswer, error) {
		g, err := r.leading()
		if err != nil {
			return membersAnswer{}, err
		}
		return membersAnswer{r.membersSeen(g)}, nil
	})
	handle(r, methodAdmin, func(ctx context.Context, _ transport.Peer, q adminRequest) (adminAnswer, error) {
		index, err := r.admin(ctx, q)
		return adminAnswer{index}, err
	})
}

// atLeader runs local when this node leads and remote, given the leader's name, when another does,
// until one succeeds or says something final, or ctx ends.
func atLeader[T any](ctx context.Context, r *Replica, local func() (T, error), remote func(leader string) (T, error)) (T, error) {
	for {
		var v T
		err := error(r.noLeader())
		if r.reign.Load() != nil {
			v, err = local()
		} else if leader := r.leaderName(); leader != "" && leader != r.name {
			v, err = remote(leader)
		}
		if err == nil || !elsewhere(err) {
			return v, err
		}
		if !pause(ctx, leaderRetry) {
			return v, err
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
