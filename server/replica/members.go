package replica

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/transport"
)

// Member is one member of the cluster as the leader sees it.
type Member struct {
	ID           string `cbor:"1,keyasint"`
	Name         string `cbor:"2,keyasint"`
	APIAddr      string `cbor:"3,keyasint"`
	PeerAddr     string `cbor:"4,keyasint"`
	Version      string `cbor:"5,keyasint"`
	FeatureLevel uint32 `cbor:"6,keyasint"`
	Voter        bool   `cbor:"7,keyasint"`
	Leader       bool   `cbor:"8,keyasint"`
	Sealed       bool   `cbor:"9,keyasint"`
	Healthy      bool   `cbor:"10,keyasint"` // heard of lately and without trouble
	Applied      uint64 `cbor:"11,keyasint"`
}

// Members lists the members by name, asking the leader; without one, what is known here, with only
// this node called healthy.
func (r *Replica) Members(ctx context.Context) ([]Member, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timing.Confirm)
	defer cancel()
	members, err := atLeader(ctx, r, methodMembers, empty{}, r.serveMembers)
	if err != nil {
		return r.membersSeen(nil), nil
	}
	return members, nil
}

func (r *Replica) serveMembers(context.Context, empty) ([]Member, error) {
	g, err := r.leading()
	if err != nil {
		return nil, err
	}
	return r.membersSeen(g), nil
}

// membersSeen lists the members with what the reign heard of them; nil: with what this node knows.
func (r *Replica) membersSeen(g *reign) []Member {
	records := nodes(r.fsm.View())
	leader := r.leaderName()
	now := r.clock.Boot()
	var all []Member
	for _, s := range r.servers() {
		n := records[string(s.Address)]
		m := Member{
			ID: string(s.ID), Name: string(s.Address), APIAddr: n.APIAddr, PeerAddr: n.PeerAddr, Version: n.Version,
			FeatureLevel: n.FeatureLevel, Voter: s.Suffrage == raft.Voter, Leader: string(s.Address) == leader,
		}
		switch {
		case m.ID == r.nodeID:
			m.Sealed, m.Healthy, m.Applied = r.cfg.Opened.Sealed(), r.illness() == "", r.fsm.View().Index()
		case g != nil:
			g.mu.Lock()
			if c := g.members[m.ID]; c != nil {
				m.Sealed, m.Applied = c.report.Sealed, c.report.Applied
				m.Healthy = now-c.last <= r.timing.Contact && c.report.Trouble == ""
			}
			g.mu.Unlock()
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// join, on the leader, takes the node in that next says it is; for a member it notes what changed. Everything in it can be done again when it stopped halfway: the record comes first, and
// tend brings Raft's configuration in line with the records.
func (r *Replica) join(ctx context.Context, applicant nodeRecord) error {
	g, err := r.leading()
	if err != nil {
		return err
	}
	if !transport.ValidName(applicant.Name) {
		return errorf(KindInvalid, "%q is no name of a node", applicant.Name)
	}
	v := r.fsm.View()
	old, revision, known := r.member(v, applicant.Name)
	next, err := r.admission(g, old, known, applicant, r.LogNow())
	if err != nil {
		return err
	}
	if !next.same(old) {
		event := "node.changed"
		if revision == 0 || old.NodeID != next.NodeID || old.Removed {
			event = "node.joined"
		}
		if _, err := r.write(ctx, v, next, revision, event); err != nil {
			return err
		}
		r.log.Info("node record written", "node", next.Name, "id", next.NodeID, "event", event)
		switch {
		case event != "node.joined":
		case old.NodeID != "" && old.NodeID != next.NodeID:
			r.tell(Event{Name: EventReplaced, Member: next.Name})
		default:
			r.tell(Event{Name: EventJoined, Member: next.Name})
		}
	}
	return r.enlist(ctx, g, next)
}

// admission decides over an applicant: the record it gets, or why it is refused.
// now dates the end of the one it replaces: log time that stands still while nothing is written would
// make a lease of that one look long over.
func (r *Replica) admission(g *reign, old nodeRecord, known bool, next nodeRecord, now int64) (nodeRecord, error) {
	if !known && !r.id.expected(next.Name) {
		return nodeRecord{}, errorf(KindRefused, "node %s is not expected; 'lockstep operator allow %s' lets it join", next.Name, next.Name)
	}
	if err := admit(old, next.NodeID, next.KeyHash); err != nil {
		return nodeRecord{}, err
	}
	if old.NodeID != "" && old.NodeID != next.NodeID {
		if !old.Removed && r.inContact(g, old.NodeID) {
			return nodeRecord{}, errorf(KindRefused, "another incarnation of node %s is alive; two nodes must not share a name", next.Name)
		}
		old.retire(now)
	}
	next.Retired = old.Retired
	return next, nil
}

// member returns the record of a name, or what Raft's configuration says of a voter of the first
// hour that has none yet.
func (r *Replica) member(v *fsm.View, name string) (n nodeRecord, revision uint64, known bool) {
	if n, revision, known = node(v, name); known {
		return n, revision, true
	}
	for _, s := range r.servers() {
		if string(s.Address) == name {
			return nodeRecord{Schema: 1, Name: name, NodeID: string(s.ID)}, revision, true
		}
	}
	return nodeRecord{Schema: 1, Name: name}, revision, false
}

// inContact reports whether a member was heard of lately, or could not have been: a new leader
// waits the contact time before it calls anyone dead.
func (r *Replica) inContact(g *reign, id string) bool {
	if id == r.nodeID {
		return true
	}
	now := r.clock.Boot()
	g.mu.Lock()
	defer g.mu.Unlock()
	last := g.since
	if c := g.members[id]; c != nil {
		last = c.last
	}
	return now-last <= r.timing.Contact
}

// write replaces a node record.
func (r *Replica) write(ctx context.Context, v *fsm.View, n nodeRecord, revision uint64, event string) (uint64, error) {
	outcome, err := r.propose(ctx, nodeTxn(v, n, revision, event, r.LogNow()), true)
	switch {
	case err != nil:
		return 0, err
	case outcome.Status != fsm.Applied && outcome.Status != fsm.Repeated:
		return 0, errorf(KindNotLeader, "the record of node %s was changed by another: %s", n.Name, outcome.Detail)
	}
	return outcome.Index, nil
}

// enlist makes Raft's configuration fit one record: whoever else has the name goes, the incarnation
// in the record comes in as a non-voter.
func (r *Replica) enlist(ctx context.Context, g *reign, n nodeRecord) error {
	base, err := r.amend(ctx, g, n)
	if err != nil {
		return err
	}
	for _, s := range r.servers() {
		if string(s.ID) == n.NodeID {
			return nil
		}
	}
	err = await(ctx, r.raft.AddNonvoter(raft.ServerID(n.NodeID), raft.ServerAddress(n.Name), base, r.timing.Propose))
	return raftError(err)
}

// amend takes out of Raft's configuration what does not fit one record. The configuration it leaves
// is the one at base, or a later one.
func (r *Replica) amend(ctx context.Context, g *reign, n nodeRecord) (base uint64, err error) {
	for {
		base = r.formed.Load()
		changes := plan(r.servers(), map[string]nodeRecord{n.Name: n})
		if len(changes) == 0 {
			return base, nil
		}
		if err := r.change(ctx, g, base, changes[0]); err != nil {
			return 0, err
		}
	}
}

// change is a step of Raft's configuration.
type change struct {
	server raft.Server
	remove bool // otherwise promote
}

// plan compares Raft's configuration with the records: removed names and incarnations that are not
// the current one have to go.
func plan(servers []raft.Server, records map[string]nodeRecord) (changes []change) {
	for _, s := range servers {
		n, known := records[string(s.Address)]
		if known && (n.Removed && !n.Allowed || n.NodeID != "" && n.NodeID != string(s.ID)) {
			changes = append(changes, change{server: s, remove: true})
		}
	}
	return changes
}

// change takes a step that was decided on the configuration at index base. base is read before that
// configuration is: when it has changed meanwhile, Raft refuses the step.
func (r *Replica) change(ctx context.Context, g *reign, base uint64, c change) error {
	if !c.remove {
		r.log.Info("a member becomes a voter", "node", c.server.Address, "id", c.server.ID)
		err := raftError(await(ctx, r.raft.AddVoter(c.server.ID, c.server.Address, base, r.timing.Propose)))
		if err == nil {
			r.tell(Event{Name: EventPromoted, Member: string(c.server.Address)})
		}
		return err
	}
	if err := r.costsQuorum(g, c.server); err != nil {
		return err
	}
	if string(c.server.ID) == r.nodeID { // a leader does not remove itself: its successor does
		select {
		case <-r.handOver("this node was removed"):
		case <-ctx.Done():
		}
		return errorf(KindNotLeader, "node %s hands leadership over before it is removed", r.name)
	}
	r.log.Info("a member is removed", "node", c.server.Address, "id", c.server.ID)
	err := raftError(await(ctx, r.raft.RemoveServer(c.server.ID, base, r.timing.Propose)))
	if err == nil {
		r.tell(Event{Name: EventExpelled, Member: string(c.server.Address)})
	}
	return err
}

// raftError makes Raft's refusal of a configuration change one of ours. Changes are repeated until
// they hold, so failed and unknown need not be told apart.
func raftError(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, raft.ErrRaftShutdown) {
		return errorf(KindClosed, "the node is stopping")
	}
	return errorf(KindNotLeader, "the configuration was not changed: %v", err)
}

// tend brings Raft's configuration in line with the records and promotes who is stable, one step at
// a time.
func (r *Replica) tend(g *reign) {
	base := r.formed.Load()
	changes := r.steps(g)
	if len(changes) == 0 || r.refusesProposals() != nil || !g.tending.CompareAndSwap(false, true) {
		return
	}
	r.tasks.Go(func() {
		defer g.tending.Store(false)
		if err := r.change(g.ctx, g, base, changes[0]); err != nil && g.ctx.Err() == nil {
			r.log.Warn("changing the membership failed", "node", changes[0].server.Address, "error", err)
		}
	})
}

// steps lists what is to be done and can be done now.
func (r *Replica) steps(g *reign) []change {
	removals := slices.DeleteFunc(plan(r.servers(), nodes(r.fsm.View())), func(c change) bool {
		return r.costsQuorum(g, c.server) != nil
	})
	return append(removals, r.promotions(g)...)
}

// costsQuorum refuses to take out a voter whose absence would leave no majority that is known to be
// well: heard of lately and without trouble. One that is not in contact is part of no majority, so
// that taking it out costs none.
func (r *Replica) costsQuorum(g *reign, s raft.Server) error {
	if s.Suffrage != raft.Voter || !r.inContact(g, string(s.ID)) {
		return nil
	}
	now, well, left := r.clock.Boot(), 0, 0
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, v := range r.voters() {
		if v.ID == s.ID {
			continue
		}
		left++
		c := g.members[string(v.ID)]
		self := string(v.ID) == r.nodeID
		if self && r.illness() == "" || !self && c != nil && now-c.last <= r.timing.Contact && c.report.Trouble == "" {
			well++
		}
	}
	if well > left/2 {
		return nil
	}
	return errorf(KindRefused, "without node %s the cluster would have no majority: of the %d other voters %d are in contact and well", s.Address, left, well)
}

// sparable is costsQuorum once every voter had the time to be heard of in this reign.
func (r *Replica) sparable(ctx context.Context, g *reign, s raft.Server) error {
	for {
		err := r.costsQuorum(g, s)
		if err == nil || r.clock.Boot()-g.since > r.timing.Contact {
			return err
		}
		if g.ctx.Err() != nil {
			return errorf(KindNotLeader, "node %s no longer leads", r.name)
		}
		if !pause(ctx, leaderRetry) {
			return err
		}
	}
}

const promotionLag = 1000 // commands that a non-voter may be behind when it is promoted

// promotions lists the non-voters that have been in contact for the stable time and have caught up.
func (r *Replica) promotions(g *reign) (changes []change) {
	now, applied := r.clock.Boot(), r.fsm.View().Index()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range r.servers() {
		c := g.members[string(s.ID)]
		if s.Suffrage != raft.Nonvoter || c == nil || c.report.Trouble != "" || now-c.last > r.timing.Contact {
			continue
		}
		if now-c.since >= r.timing.Stable && c.report.Applied+promotionLag >= applied {
			changes = append(changes, change{server: s})
		}
	}
	return changes
}

// Allow lets the node called name join, although it is not expected, was removed or has another
// certificate key than before.
func (r *Replica) Allow(ctx context.Context, name string) (index uint64, err error) {
	return r.askAdmin(ctx, adminRequest{Name: name})
}

// Remove removes the member called name; it stays out until allowed.
func (r *Replica) Remove(ctx context.Context, name string) (index uint64, err error) {
	return r.askAdmin(ctx, adminRequest{Name: name, Remove: true})
}

func (r *Replica) askAdmin(ctx context.Context, q adminRequest) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*r.timing.Propose)
	defer cancel()
	index, err := atLeader(ctx, r, methodAdmin, q, r.admin)
	switch {
	case q.Remove && q.Name == r.name && wasRemoved(err):
		return r.fsm.View().Index(), nil // the answer did not reach this node any more: it is out
	case KindOf(err) == KindNotLeader:
		return 0, r.noLeader()
	}
	return index, err
}

// admin does Allow and Remove on the leader.
func (r *Replica) admin(ctx context.Context, q adminRequest) (uint64, error) {
	g, err := r.leading()
	if err != nil {
		return 0, err
	}
	if !transport.ValidName(q.Name) {
		return 0, errorf(KindInvalid, "%q is no name of a node", q.Name)
	}
	v := r.fsm.View()
	n, revision, known := r.member(v, q.Name)
	if !q.Remove {
		if n.Allowed {
			return v.Index(), nil
		}
		n.Allowed = true
		index, err := r.write(ctx, v, n, revision, "node.allowed")
		if err == nil {
			r.tell(Event{Name: EventAllowed, Member: n.Name})
		}
		return index, err
	}
	if !known {
		return 0, errorf(KindNotFound, "there is no node called %s", q.Name)
	}
	if q.Name == r.name && len(r.voters()) == 1 {
		return 0, errorf(KindRefused, "node %s is the only voter", q.Name)
	}
	done := n.Removed && !n.Allowed
	n.Removed, n.Allowed = true, false
	for _, c := range plan(r.servers(), map[string]nodeRecord{n.Name: n}) {
		if err := r.sparable(ctx, g, c.server); err != nil {
			return 0, err
		}
	}
	index := v.Index()
	if !done {
		if index, err = r.write(ctx, v, n, revision, "node.removed"); err != nil {
			return 0, err
		}
	}
	if _, err := r.amend(ctx, g, n); err != nil {
		return 0, err
	}
	return index, nil
}

// watchMembers has the transport ask Check again about its streams whenever a node record changed.
func (r *Replica) watchMembers() {
	ticker := time.NewTicker(r.timing.Join)
	defer ticker.Stop()
	var seen uint64
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-ticker.C:
		}
		var newest uint64
		r.fsm.View().Ascend(fsm.KindNode, "", func(_ fsm.ID, rec fsm.Record) bool {
			newest = max(newest, rec.Revision)
			return true
		})
		if newest != seen && r.fresh() {
			seen = newest
			r.transport.Recheck()
		}
	}
}
