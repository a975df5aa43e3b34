package audit

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// step is one thing that happens to a rig.
type step struct {
	do   string
	sink int
	n    int
}

func (s step) String() string { return fmt.Sprintf("%s(%d,%d)", s.do, s.sink, s.n) }

var steps = []string{"call", "call", "call", "calls", "calls", "fill", "tear", "fail fsync", "hang", "slow", "forbid rename", "mend", "mend", "wait", "wait", "crash", "die", "stop", "rotate", "sign"}

// TestAnySchedule: whatever happens to the sinks in whatever order, each acknowledged record is in as many as are required, no
// sink has a gap that it does not explain, and once the sinks are mended the log takes records again.
func TestAnySchedule(t *testing.T) {
	draw := rapid.Custom(func(t *rapid.T) step {
		return step{rapid.SampledFrom(steps).Draw(t, "do"), rapid.IntRange(0, 2).Draw(t, "sink"), rapid.IntRange(1, 2500).Draw(t, "n")}
	})
	rapid.Check(t, func(rt *rapid.T) {
		sinks := rapid.IntRange(1, 3).Draw(rt, "sinks")
		require := rapid.IntRange(1, sinks).Draw(rt, "require")
		options := FileOptions{Fsync: rapid.Bool().Draw(rt, "fsync"), MaxSize: rapid.SampledFrom([]int64{0, 1, 4000}).Draw(rt, "max size")}
		schedule := rapid.SliceOfN(draw, 1, 40).Draw(rt, "schedule")
		var problems []string
		synctest.Test(t, func(t *testing.T) { // which cannot stop rapid's goroutine, and so returns what is wrong
			r := newRig(t, sinks, require, options)
			for _, s := range schedule {
				s.sink %= sinks
				r.step(s)
			}
			r.mendAll()
			if err := r.call(); err != nil {
				problems = append(problems, fmt.Sprint("with every sink mended: ", err))
			}
			time.Sleep(retryAfter)
			if err := r.call(); err != nil {
				problems = append(problems, fmt.Sprint("with every sink mended for a second: ", err))
			}
			synctest.Wait()
			for _, s := range r.log.Stats().Sinks {
				if !s.Healthy {
					problems = append(problems, fmt.Sprintf("with every sink mended: %+v", s))
				}
			}
			must(t, r.log.Close())
			problems = append(problems, r.problems()...)
		})
		for _, p := range problems {
			rt.Errorf("%d of %d sinks, %+v: %s", require, sinks, options, p)
		}
	})
}

func (r *rig) step(s step) {
	d := r.disks[s.sink]
	switch s.do {
	case "call":
		r.call()
	case "calls":
		var all sync.WaitGroup
		ids := make([]string, s.n%20)
		for i := range ids {
			all.Go(func() {
				rec := record("Call")
				rec.RequestID = fmt.Sprintf("request-%d-%d", r.calls, i)
				if r.log.Append(rec) == nil {
					ids[i] = rec.RequestID
				}
			})
		}
		all.Wait()
		r.calls++
		r.acked = append(r.acked, slices.DeleteFunc(ids, func(id string) bool { return id == "" })...)
	case "fill":
		d.set(func() { d.fail, d.torn = syscall.ENOSPC, 0 })
	case "tear":
		d.set(func() { d.fail, d.torn = io.ErrShortWrite, s.n })
	case "fail fsync":
		d.set(func() { d.noSync = syscall.EIO })
	case "hang":
		d.set(func() {
			if d.hang == nil {
				d.hang = make(chan struct{})
			}
		})
	case "slow":
		d.set(func() { d.slow = time.Duration(s.n) * time.Millisecond }) // up to what counts as hung
	case "forbid rename":
		d.set(func() { d.noMove = syscall.EACCES })
	case "mend":
		r.mend(s.sink)
	case "wait":
		time.Sleep(time.Duration(s.n) * time.Millisecond)
	case "crash", "die": // with a torn line at the end of one file, as the write under way left it
		if s.do == "crash" {
			r.mendAll()
		}
		synctest.Wait()
		r.crash(func(i int, text string) string {
			if i == s.sink {
				text += `{"eventVersion":"1.11"`[:s.n%23]
			}
			return text
		})
	case "stop":
		r.mendAll()
		must(r.t, r.log.Close())
		r.start()
	case "rotate":
		r.log.Reopen()
	case "sign":
		r.log.SetSigner(newKey())
		r.log.SignHead()
	}
}

// mend makes a disk work again, and waits until a write that hung has ended.
func (r *rig) mend(i int) {
	d := r.disks[i]
	d.set(func() {
		if d.hang != nil {
			close(d.hang)
		}
		d.hang, d.fail, d.noSync, d.noMove, d.torn, d.slow = nil, nil, nil, nil, 0, 0
	})
	synctest.Wait()
}

func (r *rig) mendAll() {
	for i := range r.disks {
		r.mend(i)
	}
	time.Sleep(4 * time.Second) // what was slow has ended
	synctest.Wait()
}
