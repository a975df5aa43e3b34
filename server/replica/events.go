package replica

import (
	"time"
)

// Event is a change of what this node is or does in the cluster, once for each change. Its name is that of an audit
// record.
type Event struct {
	Name   string
	Member string        // name of the node that it is about; "" for this one
	Term   uint64        // of an election
	Offset time.Duration // of this node's clock against the others'
	Reason string        // in words; "" when the name says it all
}

// The names of events. Those of members are told by the leader.
const (
	EventElected       = "LeadershipGained"
	EventDeposed       = "LeadershipLost"
	EventJoined        = "MemberJoined"   // its name is known, it is no voter yet
	EventReplaced      = "MemberReplaced" // another incarnation has come under a known name
	EventAllowed       = "MemberAllowed"  // its name may join, expected or not
	EventPromoted      = "MemberPromoted"
	EventExpelled      = "MemberRemoved" // it is out of Raft's configuration
	EventQuarantined   = "NodeQuarantined"
	EventSplit         = "ClusterSplit"
	EventSplitEnded    = "ClusterSplitEnded"
	EventDiskTrouble   = "DiskTroubled"
	EventDiskWell      = "DiskRecovered"
	EventClockOff      = "ClockTroubled"
	EventClockWell     = "ClockRecovered"
	EventLeaseLost     = "LeaseLost"
	EventLeaseRegained = "LeaseRegained"
)

// tell tells an event to whoever listens.
func (r *Replica) tell(e Event) {
	if r.cfg.Events != nil {
		r.cfg.Events(e)
	}
}

// condition is what is only seen by looking again and again. It belongs to the goroutine that looks.
type condition struct {
	unleased bool // the lease was lost, and that was told
	leased   bool // there was a lease since the node was unsealed
	skewed   bool // the clock was off, and that was told
}

// look tells what has changed since the last look.
func (r *Replica) look(c *condition) {
	switch err := r.Lease(); {
	case r.cfg.Opened.Sealed(): // it has none and needs none
		c.leased, c.unleased = false, false
	case err == nil && c.unleased:
		c.leased, c.unleased = true, false
		r.tell(Event{Name: EventLeaseRegained})
	case err == nil:
		c.leased = true
	case c.leased && !c.unleased:
		c.unleased = true
		r.tell(Event{Name: EventLeaseLost, Reason: err.Error()})
	}
	offset, known := r.clockOffset()
	if skewed := offset.Abs() > clockTolerance; known && skewed != c.skewed {
		c.skewed = skewed
		name := EventClockWell
		if skewed {
			name = EventClockOff
		}
		r.tell(Event{Name: name, Offset: offset})
	}
}
