package replica

import (
	"bytes"
	"fmt"

	"github.com/lockstep-kms/lockstep/fsm"
)

const (
	splitReason  = "the nodes' states differ and no majority agrees: nothing is written until an operator finds out which is right"
	keptCheckups = 4
)

// verdict is what the leader says of the digests at one checkpoint.
type verdict struct {
	Index    uint64 `cbor:"1,keyasint"` // of the checkpoint; 0: nothing to say
	Majority []byte `cbor:"2,keyasint"` // digest that a majority of the voters has; nil: none, or not yet
	Split    bool   `cbor:"3,keyasint"` // digests differ and none has a majority
}

// digests is what the voters reported: checkpoint index, node id, digest. A leader keeps the newest
// few checkpoints.
type digests map[uint64]map[string][32]byte

func (d digests) note(id string, index uint64, digest []byte) {
	if index == 0 || len(digest) != 32 {
		return
	}
	if d[index] == nil {
		if len(d) >= keptCheckups {
			oldest := index
			for i := range d {
				oldest = min(oldest, i)
			}
			if oldest == index {
				return
			}
			delete(d, oldest)
		}
		d[index] = map[string][32]byte{}
	}
	d[index][id] = [32]byte(digest)
}

// judge decides over one checkpoint. A majority is one of all voters, heard of or not: a minority
// that agrees with itself proves nothing. It is a split only once nobody's report is awaited.
func (d digests) judge(index uint64, voters []string, awaited func(id string) bool) verdict {
	count, open := map[[32]byte]int{}, false
	for _, id := range voters {
		if digest, ok := d[index][id]; ok {
			count[digest]++
		} else {
			open = open || awaited(id)
		}
	}
	for digest, n := range count {
		if n > len(voters)/2 {
			return verdict{Index: index, Majority: digest[:]}
		}
	}
	return verdict{Index: index, Split: len(count) > 1 && !open}
}

// newest is the last checkpoint that anyone reported.
func (d digests) newest() (index uint64) {
	for i := range d {
		index = max(index, i)
	}
	return index
}

// report is how this node is, for the leader.
func (r *Replica) report() pollRequest {
	bound := r.cfg.Bound()
	r.longBound.note(bound, r.clock.Boot())
	v := r.fsm.View()
	q := pollRequest{
		Bound: bound.Milliseconds(), Sealed: r.cfg.Opened.Sealed(), Applied: v.Index(),
		Trouble: r.illness(), Quarantined: r.quarantined() != "",
	}
	index, digest := v.Checkpoint()
	if index == 0 {
		return q
	}
	q.CheckIndex, q.CheckDigest = index, digest[:]
	return q
}

// illness says why this node should not lead, or "".
func (r *Replica) illness() string {
	if why := r.quarantined(); why != "" {
		return why
	}
	if why := r.diskTrouble(); why != "" {
		return why
	}
	return r.cfg.Unfit()
}

// verdict notes a member's digest and answers with what is known of its checkpoint.
func (r *Replica) verdict(g *reign, id string, q pollRequest) verdict {
	if q.CheckIndex == 0 {
		return verdict{}
	}
	voters := r.voterIDs()
	g.mu.Lock()
	defer g.mu.Unlock()
	if q.Quarantined { // judged already: it neither counts nor makes a split
		delete(g.digests[q.CheckIndex], id)
	} else {
		g.digests.note(id, q.CheckIndex, q.CheckDigest)
	}
	return g.digests.judge(q.CheckIndex, voters, r.awaited(g))
}

// awaited says of a voter whether its digest is still to come: it is alive and well. g.mu is held.
func (r *Replica) awaited(g *reign) func(id string) bool {
	now := r.clock.Boot()
	return func(id string) bool {
		c := g.members[id]
		if c == nil {
			return now-g.since <= r.timing.Contact
		}
		return now-c.last <= r.timing.Contact && c.report.Trouble == ""
	}
}

// judge looks at the newest checkpoint as the leader: a split stops writes, until a majority shows.
func (r *Replica) judge(g *reign) {
	voters := r.voterIDs()
	g.mu.Lock()
	index := g.digests.newest()
	v := g.digests.judge(index, voters, r.awaited(g))
	g.mu.Unlock()
	if index != 0 {
		r.heedSplit(v)
	}
}

func (r *Replica) heedSplit(v verdict) {
	switch {
	case v.Split && r.split.CompareAndSwap(false, true):
		r.log.Error("digests have no majority", "checkpoint", v.Index, "consequence", splitReason)
		r.tell(Event{Name: EventSplit, Reason: splitReason})
	case v.Majority != nil && r.split.CompareAndSwap(true, false):
		r.log.Info("a majority of the digests agrees again", "checkpoint", v.Index)
		r.tell(Event{Name: EventSplitEnded})
	}
}

// heed acts on the leader's verdict over the digest in q: a node whose state is not the majority's
// quarantines itself.
func (r *Replica) heed(q pollRequest, v verdict) {
	r.heedSplit(v)
	if v.Index != 0 && v.Index == q.CheckIndex && v.Majority != nil && !bytes.Equal(v.Majority, q.CheckDigest) {
		r.quarantine(fmt.Sprintf("at checkpoint %d the state of this node differs from the majority's; it serves nothing until its data directory is emptied and it has joined anew", v.Index))
	}
}

// quarantine takes this node out of service until the process ends.
func (r *Replica) quarantine(why string) {
	if r.unfit.CompareAndSwap(nil, &why) {
		r.log.Error("this node is quarantined", "reason", why)
		r.tell(Event{Name: EventQuarantined, Reason: why})
	}
	r.dropLease()
}

// quarantined says why this node is quarantined, or "". One whose state machine has stopped is too.
func (r *Replica) quarantined() string {
	if err := r.fsm.Err(); err != nil {
		return "the state machine has stopped: " + err.Error()
	}
	if why := r.unfit.Load(); why != nil {
		return *why
	}
	return ""
}

// Sound returns nil unless this node's state is known to be wrong; then KindQuarantined.
func (r *Replica) Sound() error {
	if why := r.quarantined(); why != "" {
		return errorf(KindQuarantined, "%s", why)
	}
	return nil
}

// checkpoint marks an index for the digests to be compared at, when something changed since the last.
func (r *Replica) checkpoint(g *reign) {
	now := r.clock.Boot()
	g.mu.Lock()
	due := now-g.checked >= r.timing.Checkpoint
	if due {
		g.checked = now
	}
	g.mu.Unlock()
	v := r.fsm.View()
	if last, _ := v.Checkpoint(); !due || last == v.Index() {
		return
	}
	command := fsm.EncodeCheckpoint(r.stamp(g))
	r.tasks.Go(func() {
		if _, err := r.apply(g.ctx, command); err != nil && g.ctx.Err() == nil {
			r.log.Warn("proposing a checkpoint failed", "error", err)
		}
	})
}
