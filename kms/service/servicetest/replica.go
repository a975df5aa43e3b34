package servicetest

import (
	"context"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
)

// replica is a node's place in the cluster.
type replica struct{ *Node }

var _ service.Replica = replica{}

// Propose implements service.Replica.
func (r replica) Propose(ctx context.Context, t *fsm.Txn) (fsm.Outcome, error) {
	f := r.note(func(c *Counts) { c.Proposals++ })
	if f.BeforePropose != nil {
		f.BeforePropose(t)
	}
	if f.Propose != nil {
		if err := f.Propose(t); err != nil {
			return fsm.Outcome{}, err
		}
	}
	if f.Memory {
		if o, met := r.Catalog.View().Txn(t.ID, t.Request); met {
			return o, nil
		}
		return fsm.Outcome{}, kms.Errorf(kms.CodeNoQuorum, "The test's node has no leader.")
	}
	wire, err := fsm.EncodeTxn(t)
	if err != nil {
		return fsm.Outcome{}, err
	}
	sent, err := fsm.DecodeTxn(wire) // as it arrives at another node
	if err != nil {
		return fsm.Outcome{}, err
	}
	outcome := r.cluster.Commit(sent)[0]
	if f.AfterPropose != nil {
		if err := f.AfterPropose(t); err != nil {
			return fsm.Outcome{}, err
		}
	}
	return outcome, r.CatchUp(ctx)
}

// Confirm implements service.Replica.
func (r replica) Confirm(ctx context.Context) error {
	f := r.note(func(c *Counts) { c.Confirmations++ })
	if f.Confirm != nil {
		if err := f.Confirm(); err != nil {
			return err
		}
	}
	return r.CatchUp(ctx)
}

// Lease implements service.Replica.
func (r replica) Lease() error {
	if f := r.note(func(c *Counts) { c.Leases++ }); f.Lease != nil {
		return f.Lease()
	}
	return nil
}

// Sound implements service.Replica.
func (r replica) Sound() error {
	if f := r.note(func(*Counts) {}); f.Sound != nil {
		return f.Sound()
	}
	return nil
}

// AwaitAll implements service.Replica: every node that keeps up and is not sealed has opened the index.
func (r replica) AwaitAll(ctx context.Context, index uint64) ([]string, error) {
	if f := r.note(func(c *Counts) { c.Awaits++ }); f.AwaitAll != nil {
		return f.AwaitAll(ctx, index)
	}
	r.cluster.mu.Lock()
	var others []*Node
	for _, n := range r.cluster.nodes {
		if !n.lagging && n.Catalog != nil && !n.Catalog.Sealed() {
			others = append(others, n)
		}
	}
	r.cluster.mu.Unlock()
	for _, n := range others {
		if err := n.Catalog.WaitOpened(ctx, index); err != nil && ctx.Err() == nil && kms.CodeOf(err) != kms.CodeSealed {
			return nil, err
		}
	}
	return nil, nil
}

// LogNow implements service.Replica.
func (r replica) LogNow() int64 {
	r.cluster.mu.Lock()
	defer r.cluster.mu.Unlock()
	return r.cluster.now
}

// Due implements service.Replica.
func (r replica) Due(t int64) bool {
	if f := r.note(func(*Counts) {}); f.Due != nil {
		return f.Due(t)
	}
	return t <= r.LogNow()
}

// members is the membership as a node sees it.
type members struct{ *Node }

var _ service.Cluster = members{}

// Members implements service.Cluster.
func (m members) Members(context.Context) ([]kms.Member, error) {
	m.note(func(c *Counts) { c.Acts++ })
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	var all []kms.Member
	for i, n := range m.cluster.nodes {
		all = append(all, kms.Member{ID: n.Name, Name: n.Name, Voter: true, Leader: i == 0, Sealed: n.Catalog.Sealed(), Healthy: true,
			AppliedIndex: n.FSM.View().Index(), Version: "test"})
	}
	return all, nil
}

// AllowMember implements service.Cluster.
func (m members) AllowMember(context.Context, string) (uint64, error) {
	m.note(func(c *Counts) { c.Acts++ })
	return m.cluster.State().Index(), nil
}

// RemoveMember implements service.Cluster.
func (m members) RemoveMember(context.Context, string) (uint64, error) {
	m.note(func(c *Counts) { c.Acts++ })
	return m.cluster.State().Index(), nil
}

// Ask implements service.Cluster.
func (m members) Ask(ctx context.Context, question []byte) (answers [][]byte, silent int) {
	m.cluster.mu.Lock()
	nodes := append([]*Node(nil), m.cluster.nodes...)
	m.cluster.mu.Unlock()
	for _, n := range nodes {
		if n == m.Node {
			continue
		}
		if answer, err := n.Service.Answer(ctx, question); err == nil {
			answers = append(answers, answer)
		} else {
			silent++
		}
	}
	return answers, silent
}

// Seal implements service.Cluster.
func (m members) Seal(_ context.Context, cluster bool) (kms.SealAnswer, error) {
	m.note(func(c *Counts) { c.Acts++ })
	m.cluster.mu.Lock()
	nodes := append([]*Node(nil), m.cluster.nodes...)
	m.cluster.mu.Unlock()
	var answer kms.SealAnswer
	for _, n := range nodes {
		if cluster || n == m.Node {
			n.Catalog.Seal()
			answer.Sealed = append(answer.Sealed, n.Name)
		}
	}
	return answer, nil
}
