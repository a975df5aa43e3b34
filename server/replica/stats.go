package replica

import (
	"strconv"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lockstep-kms/lockstep/storage"
)

// Stats is what this node counts and what waits on it, for metrics.
type Stats struct {
	State         string // Raft's: Follower, Candidate, Leader or Shutdown
	Term          uint64
	LeaderChanges uint64        // of the leader known here, since the start
	LastContact   time.Duration // since a follower heard of the leader; 0 on a leader, negative before the first time
	LastLog       uint64        // indexes
	Commit        uint64
	Applied       uint64
	LastSnapshot  uint64
	FSMPending    int // batches that wait for the state machine

	Members, Voters                int
	Healthy, HealthyVoters, Sealed int // members that are, as the leader knows; -1 on others

	Queues []Queue
	Log    storage.LogStats
}

// Queue is how many wait in one place, how many may, and how many were refused since the start because it was full.
type Queue struct {
	Name         string
	Depth, Limit int
	Refused      uint64
}

// Stats says what this node counts. It answers at once, from memory.
func (r *Replica) Stats() Stats {
	raw := r.raft.Stats()
	number := func(name string) uint64 {
		n, _ := strconv.ParseUint(raw[name], 10, 64) // Raft writes what it says as text
		return n
	}
	waiting, refused := r.queue.depth()
	s := Stats{
		State: raw["state"], Term: number("term"), LeaderChanges: r.changes.Load(), LastContact: -1,
		LastLog: number("last_log_index"), Commit: number("commit_index"), Applied: number("applied_index"),
		LastSnapshot: number("last_snapshot_index"), FSMPending: int(number("fsm_pending")),
		Healthy: -1, HealthyVoters: -1, Sealed: -1, Log: r.store.Stats(),
		Queues: []Queue{
			{"proposals", waiting, maxQueued, refused},
			{"flights", len(r.flights), maxFlights, 0},
			{"forwards", len(r.forwards), maxForwards, 0},
			{"confirmations", int(min(r.waiters.Load(), maxWaiters)), maxWaiters, r.overflow.Load()},
		},
	}
	if at := r.raft.LastContact(); s.State == raft.Leader.String() {
		s.LastContact = 0
	} else if !at.IsZero() {
		s.LastContact = time.Since(at)
	}
	r.countMembers(&s)
	return s
}

func (r *Replica) countMembers(s *Stats) {
	g := r.reign.Load()
	if g != nil {
		s.Healthy, s.HealthyVoters, s.Sealed = 0, 0, 0
	}
	for _, m := range r.membersSeen(g) {
		s.Members++
		if m.Voter {
			s.Voters++
		}
		if g != nil && m.Healthy {
			s.Healthy++
			if m.Voter {
				s.HealthyVoters++
			}
		}
		if g != nil && m.Sealed {
			s.Sealed++
		}
	}
}

// countLeaders counts the changes of the leader that Raft tells of. It is called by Raft, which waits for it.
func (r *Replica) countLeaders(o *raft.Observation) bool {
	if l, ok := o.Data.(raft.LeaderObservation); ok && l.LeaderID != "" {
		r.changes.Add(1)
	}
	return false // there is no channel to put it into
}

func (q *queue) depth() (waiting int, refused uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items), q.refused
}
