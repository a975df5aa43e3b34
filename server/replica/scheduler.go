package replica

import (
	"context"
	"time"

	"github.com/lockstep-kms/lockstep/fsm"
)

// job is scheduled work.
type job struct {
	name string
	run  func(ctx context.Context) error
}

// Schedule adds a job. On a leader whose clock agrees with the voters' median, run is called every
// Timing.Schedule, jobs one after the other. What cannot be undone asks Due before it proposes.
func (r *Replica) Schedule(name string, run func(ctx context.Context) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.jobs = append(r.jobs, job{name, run})
}

// work runs the jobs when it is time and the rules allow it.
func (r *Replica) work(g *reign) {
	now := r.clock.Boot()
	g.mu.Lock()
	due := now-g.worked >= r.timing.Schedule
	if due {
		g.worked = now
	}
	g.mu.Unlock()
	if !due || !r.mayWork() || !g.working.CompareAndSwap(false, true) {
		return
	}
	r.mu.Lock()
	jobs := append([]job{{"drop tombstones", func(ctx context.Context) error { return r.dropTombstones(ctx, g) }}}, r.jobs...)
	r.mu.Unlock()
	r.tasks.Go(func() {
		defer g.working.Store(false)
		for _, j := range jobs {
			if err := j.run(g.ctx); err != nil && g.ctx.Err() == nil {
				r.log.Warn("scheduled work failed", "job", j.name, "error", err)
			}
		}
	})
}

// mayWork reports whether this leader may do scheduled work.
func (r *Replica) mayWork() bool {
	if r.refusesProposals() != nil || r.split.Load() || r.cfg.Opened.Sealed() {
		return false
	}
	if offset, known := r.clockOffset(); !known || offset.Abs() > clockTolerance {
		r.log.Warn("no scheduled work is done: this node's clock does not agree with the others'", "offset", offset)
		return false
	}
	return true
}

// dropTombstones drops what was deleted more than seven days of log time ago.
func (r *Replica) dropTombstones(ctx context.Context, g *reign) error {
	for {
		n, oldest := r.fsm.View().Tombstones()
		if n == 0 || !r.Due(oldest+fsm.TombstoneAge+time.Second.Milliseconds()) {
			return nil
		}
		done, err := r.apply(ctx, fsm.EncodeDropTombstones(r.stamp(g)))
		if dropped, ok := done.(fsm.Dropped); err != nil || !ok || !dropped.More {
			return err
		}
	}
}
