package replica

import "time"

// Status is what this node says of itself.
type Status struct {
	Member     bool   // has a place in the cluster
	Leader     bool   // leads and has everything applied that was acknowledged before
	LeaderName string // "" when none is known
	Term       uint64
	Applied    uint64        // index of the last command applied
	Opened     uint64        // index opened
	Lease      time.Duration // how long the freshness lease holds if nothing more is heard; 0: there is none
	Lag        time.Duration // age of this node's view, as last confirmed; -1 s before the first time
	CanWrite   bool          // a proposal made now has a leader to go to
	Reason     string        // why this node cannot write or is unwell, for an operator; "" when all is well

	Quarantined string // why, or ""
	DiskTrouble string // why, or ""
	Split       bool   // the nodes' states differ and none has a majority

	ClockOK     bool          // known to be within 10 s of the voters' median
	ClockOffset time.Duration // against that median; 0 when not known
}

// Status says how this node is.
func (r *Replica) Status() Status {
	s := Status{
		Leader: r.reign.Load() != nil, LeaderName: r.leaderName(), Term: r.raft.CurrentTerm(),
		Applied: r.fsm.View().Index(), Opened: r.cfg.Opened.OpenedIndex(), Lag: -time.Second,
		Quarantined: r.quarantined(), DiskTrouble: r.diskTrouble(), Split: r.split.Load(),
		Member: r.isServer(r.nodeID) && r.outcast.Load() == nil, ClockOK: r.clockOK(),
	}
	s.ClockOffset, _ = r.clockOffset()
	s.Lease = r.leaseLeft()
	if sent := r.lease.fresh.Load(); sent != 0 {
		s.Lag = r.clock.Boot() - time.Duration(sent)
	}
	if s.DiskTrouble != "" { // it reaches nobody, whatever Raft's hung thread believes
		s.Leader = false
	}
	if s.LeaderName == r.name && !s.Leader {
		s.LeaderName = ""
	}
	s.Reason = r.unwell(s)
	s.CanWrite = s.Member && s.LeaderName != "" && s.Quarantined == "" && s.DiskTrouble == "" && !s.Split
	return s
}

// unwell picks the gravest thing to say.
func (r *Replica) unwell(s Status) string {
	switch outcast := r.outcast.Load(); {
	case s.Quarantined != "":
		return s.Quarantined
	case s.Split:
		return splitReason
	case s.DiskTrouble != "":
		return s.DiskTrouble
	case outcast != nil:
		return *outcast
	case !s.Member:
		return "this node has no place in a cluster yet"
	case s.LeaderName == "":
		return "no leader is known"
	case s.ClockOffset.Abs() > clockTolerance:
		return "this node's clock is " + s.ClockOffset.Round(time.Second).String() + " off the others'"
	}
	return ""
}
