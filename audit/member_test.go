package audit

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockstep-kms/lockstep/audit/chain"
	"github.com/lockstep-kms/lockstep/kms"
)

// hang makes the next writes of disk i wait for the returned func.
func (r *rig) hang(i int) (release func()) {
	hang := make(chan struct{})
	r.disks[i].set(func() { r.disks[i].hang = hang })
	return func() {
		r.disks[i].set(func() { r.disks[i].hang = nil })
		close(hang)
	}
}

// spent returns how long f takes.
func spent(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

func TestRecordsShareOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 2, FileOptions{})
		before := r.disks[0].writes
		release := r.hang(0)
		var all sync.WaitGroup
		all.Go(func() { must(t, r.log.Append(record("First"))) })
		synctest.Wait()
		const n = 20
		for range n {
			all.Go(func() { must(t, r.log.Append(record("Call"))) })
		}
		synctest.Wait()
		release()
		all.Wait()
		if got := r.disks[0].writes - before; got != 2 {
			t.Errorf("%d writes for %d records", got, n+1)
		}
		must(t, r.log.Close())
		if got := len(calls(r.trail(0))); got != n+1 {
			t.Errorf("%d records", got)
		}
	})
}

// A write that hangs counts as failed at the timeout, what waits behind it with it, and everything later at once, until it
// ends. It is not written twice, and what was refused meanwhile has no place in the chain.
func TestHungSink(t *testing.T) {
	for _, sinks := range []int{1, 2} {
		t.Run(fmt.Sprint(sinks, " required"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, sinks, sinks, FileOptions{})
				release := r.hang(0)
				var all sync.WaitGroup
				fail := func(name string, want time.Duration) {
					var err error
					if d := spent(func() { err = r.log.Append(record(name)) }); d != want || !errors.Is(err, ErrHung) || kms.CodeOf(err) != kms.CodeAuditBlocked {
						t.Errorf("%s after %v: %v", name, d, err)
					}
				}
				all.Go(func() { fail("Hung", defaultTimeout) })
				time.Sleep(time.Second)
				all.Go(func() { fail("Waits", defaultTimeout-time.Second) })
				all.Wait()
				fail("Refused", 0)
				if st := r.log.Stats(); !st.Blocked || st.Sinks[0].Healthy || !errors.Is(st.Sinks[0].LastError, ErrHung) {
					t.Errorf("meanwhile: %+v", st)
				}
				time.Sleep(time.Hour)
				fail("Refused", 0)
				release()
				synctest.Wait()
				must(t, r.log.Append(record("After")), r.log.Close())
				for i := range sinks {
					if got := fmt.Sprint(names(r.trail(i))); got != "[AuditStarted Hung AuditResumed After AuditStopped]" {
						t.Errorf("sink %d has %s", i, got)
					}
				}
				r.sound(t)
			})
		})
	}
}

// A hung write that fails in the end leaves a gap like any other.
func TestHungSinkFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 1, FileOptions{})
		synctest.Wait()
		release := r.hang(0)
		for range 4 {
			must(t, r.call())
		}
		time.Sleep(time.Minute) // nobody waits for it, and the alarm rings
		must(t, r.call())
		r.disks[0].set(func() { r.disks[0].fail = syscall.EIO })
		release()
		synctest.Wait()
		r.disks[0].set(func() { r.disks[0].fail = nil })
		time.Sleep(retryAfter)
		must(t, r.call(), r.log.Close())
		if got := fmt.Sprint(names(r.trail(0))); got != "[AuditStarted AuditRecordsMissed Call AuditStopped]" {
			t.Errorf("it has %s", got)
		}
		if m := r.trail(0)[1]; m.number("fromSeq") != 2 || m.number("toSeq") != 6 || m.number("afterSeq") != 1 || m.details["error"] != syscall.EIO.Error() {
			t.Errorf("the gap is explained as %v", m)
		}
		r.sound(t)
	})
}

// A sink beyond the required ones may be as slow as it likes: it gets everything in its time.
func TestSlowSinkHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, 2, FileOptions{})
		r.disks[1].set(func() { r.disks[1].slow = defaultTimeout - 1 })
		if d := spent(func() {
			for range 50 {
				must(t, r.call())
			}
		}); d != 0 {
			t.Errorf("50 records took %v", d)
		}
		if st := r.log.Stats().Sinks[1]; st.Queue == 0 {
			t.Errorf("nothing waits: %+v", st)
		}
		r.disks[1].set(func() { r.disks[1].slow = 0 })
		time.Sleep(defaultTimeout)
		synctest.Wait()
		must(t, r.log.Close())
		if a, b := content(t, r.paths[0]), content(t, r.paths[1]); a != b {
			t.Errorf("%d bytes and %d bytes", len(a), len(b))
		}
	})
}

// What waits for a sink is bounded: then it misses records, until what waits is written.
func TestSlowSinkMissesWhatDoesNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 1, FileOptions{})
		synctest.Wait()
		r.disks[1].set(func() { r.disks[1].slow = defaultTimeout - 1 })
		big := append(record("Big").appendOpen(nil), `,"door":"`+strings.Repeat("x", 5<<17)+`"`...) // no record is as long
		const n = 24
		for range n {
			g, err := r.log.enqueue(&big)
			must(t, err)
			<-g.settled
			must(t, g.err)
		}
		st := r.log.Stats().Sinks[1]
		if st.Missed == 0 || st.Healthy || st.Queue > 18 {
			t.Errorf("with %d records written elsewhere: %+v", n, st)
		}
		time.Sleep(2 * defaultTimeout) // two of them are written
		must(t, r.call())
		if got := r.log.Stats().Sinks[1]; got.Missed != st.Missed+1 {
			t.Errorf("while others wait: %+v, before %+v", got, st)
		}
		st = r.log.Stats().Sinks[1]
		r.disks[1].set(func() { r.disks[1].slow = 0 })
		time.Sleep(defaultTimeout)
		synctest.Wait()
		must(t, r.call())
		synctest.Wait()
		if got := r.log.Stats().Sinks[1]; got.Missed != st.Missed || !got.Healthy {
			t.Errorf("afterwards: %+v", got)
		}
		must(t, r.log.Close())
		r.sound(t)
	})
}

// The batch that tells of a gap is under way, and another gap begins behind it.
func TestGapBehindAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 1, FileOptions{})
		synctest.Wait()
		r.disks[1].set(func() { r.disks[1].fail = syscall.ENOSPC })
		must(t, r.call())
		synctest.Wait()
		r.disks[1].set(func() { r.disks[1].fail = nil })
		time.Sleep(retryAfter)
		release := r.hang(1)
		must(t, r.call()) // tells of it
		big := fmt.Appendf(nil, `{"eventName":"%s","additionalEventData":{"node":"node-a"`, strings.Repeat("x", maxQueue-200))
		for range 3 {
			line := big
			g, err := r.log.enqueue(&line)
			must(t, err)
			<-g.settled
		}
		if st := r.log.Stats().Sinks[1]; st.Missed != 2 {
			t.Errorf("%+v", st)
		}
		release()
		synctest.Wait()
		must(t, r.call())
		synctest.Wait()
		must(t, r.log.Close())
		var told []entry
		for _, e := range r.trail(1) {
			if e.name == eventMissed {
				told = append(told, e)
			}
		}
		if len(told) != 2 || told[1].number("afterSeq") != told[1].number("fromSeq")-1 {
			t.Errorf("the gaps are told as %v", told)
		}
		for _, fault := range faults(r.sinks[1].Name(), r.trail(1)) {
			t.Errorf("%.200s", fault)
		}
	})
}

// A write that fails takes what waits behind it with it: nothing is written behind a gap that it does not explain.
func TestFailureWithRecordsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 1, FileOptions{})
		synctest.Wait()
		release := r.hang(1)
		for range 5 {
			must(t, r.call())
		}
		r.disks[1].set(func() { r.disks[1].failOnce = true })
		release()
		synctest.Wait()
		must(t, r.call())
		time.Sleep(retryAfter)
		must(t, r.call(), r.log.Close())
		if got := fmt.Sprint(names(r.trail(1))); got != "[AuditStarted AuditRecordsMissed Call AuditStopped]" {
			t.Errorf("it has %s", got)
		}
		r.sound(t)
	})
}

// while is a Signer that does something while a batch is made.
type while func()

func (f while) Sign(seq uint64, hash chain.Hash, at time.Time) (chain.Head, ed25519.PublicKey, []byte) {
	f()
	return newKey().Sign(seq, hash, at)
}

// A sink that fails while a batch for it is being made does not get that batch, which does not tell of the gap.
func TestFailureWhileABatchIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 1, FileOptions{})
		synctest.Wait()
		release := r.hang(1)
		must(t, r.call())
		r.disks[1].set(func() { r.disks[1].failOnce = true })
		r.log.SetSigner(while(func() {
			release()
			waitFor(t, "the write has failed", func() bool { return !r.log.Stats().Sinks[1].Healthy })
		}))
		_, _, err := r.log.SignHead()
		must(t, err)
		r.log.SetSigner(nil)
		time.Sleep(retryAfter)
		must(t, r.call(), r.log.Close())
		if got := fmt.Sprint(names(r.trail(1))); got != "[AuditStarted AuditRecordsMissed Call AuditStopped]" {
			t.Errorf("it has %s", got)
		}
		r.sound(t)
	})
}

// A sink that fails, and that the others make up for, is tried once a second, not with every batch: each try is a record.
func TestFailingSinkIsTriedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 1, FileOptions{})
		synctest.Wait()
		r.disks[1].set(func() { r.disks[1].fail = syscall.ENOSPC })
		opens := r.disks[1].opens
		for range 30 {
			must(t, r.call())
			time.Sleep(100 * time.Millisecond)
		}
		if n := r.disks[1].opens - opens; n != 2 { // the first write met the open file
			t.Errorf("it was opened again %d times in 3 seconds", n)
		}
		must(t, r.log.Close())
		r.sound(t)
	})
}

// Sinks that recover with the same batch are each told of.
func TestSinksThatRecoverTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, 1, FileOptions{})
		synctest.Wait()
		for _, i := range []int{0, 2} {
			r.disks[i].set(func() { r.disks[i].fail = syscall.ENOSPC })
			must(t, r.call())
			synctest.Wait()
		}
		for _, d := range r.disks {
			d.set(func() { d.fail = nil })
		}
		time.Sleep(retryAfter)
		must(t, r.call(), r.log.Close())
		if got := fmt.Sprint(names(r.trail(1))); got != "[AuditStarted Call Call AuditRecordsMissed AuditRecordsMissed Call AuditStopped]" {
			t.Errorf("the sink that worked has %s", got)
		}
		r.sound(t)
	})
}

func TestTooManyRecordsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 1, FileOptions{})
		release := r.hang(0)
		var all sync.WaitGroup
		all.Go(func() { must(t, r.call()) })
		synctest.Wait()
		big := make([]byte, maxPending-10)
		g, err := r.log.enqueue(&big)
		must(t, err)
		if err := r.log.Append(record("OneTooMany")); !errors.Is(err, ErrFull) || kms.CodeOf(err) != kms.CodeAuditBlocked {
			t.Errorf("got %v", err)
		}
		release()
		all.Wait()
		<-g.settled
		must(t, g.err, r.log.Close())
		if n := len(r.log.batches[0].Lines); n > keepLines {
			t.Errorf("%d bytes are kept", n)
		}
	})
}

// An alarm that was set for an earlier write does not end a later one.
func TestAlarmOfAnEarlierWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 1, FileOptions{})
		r.disks[0].set(func() { r.disks[0].slow = defaultTimeout * 3 / 4 })
		must(t, r.call(), r.call(), r.call(), r.log.Close())
	})
}

func TestCloseWritesWhatWasAppended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 1, FileOptions{})
		synctest.Wait()
		release := r.hang(0)
		must(t, r.call(), r.call())
		var all sync.WaitGroup
		all.Go(func() { must(t, r.log.Close()) })
		synctest.Wait()
		release()
		all.Wait()
		for i := range r.paths {
			if got := fmt.Sprint(names(r.trail(i))); got != "[AuditStarted Call Call AuditStopped]" {
				t.Errorf("sink %d has %s", i, got)
			}
		}
	})
}

func TestCloseWhileASinkHangs(t *testing.T) {
	for _, sinks := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, sinks, sinks, FileOptions{})
			release := r.hang(0)
			if err := r.call(); !errors.Is(err, ErrHung) {
				t.Errorf("got %v", err)
			}
			var err error
			if d := spent(func() { err = r.log.Close() }); d > 3*defaultTimeout || !errors.Is(err, ErrHung) {
				t.Errorf("%d sinks: after %v: %v", sinks, d, err)
			}
			release()
		})
	}
}

func TestObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var seen []string
		m := &memory{}
		l, err := New(Options{Sinks: []Sink{m}, Observe: func(sink string, took time.Duration, err error) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, fmt.Sprint(sink, " ", took, " ", err))
		}})
		must(t, err)
		m.hang = make(chan struct{})
		time.AfterFunc(time.Second, func() { close(m.hang) })
		must(t, l.Append(record("Call")))
		m.set(syscall.EIO)
		if err := l.Append(record("Call")); err == nil {
			t.Error("it was written")
		}
		l.Close()
		if got := fmt.Sprint(seen[:3]); got != "[memory 0s <nil> memory 1s <nil> memory 0s input/output error]" {
			t.Error(got)
		}
	})
}

// A sink that is slow but takes what it is given keeps nobody waiting for longer than the timeout, however much is in its queue
// when another one fails.
func TestSlowSinkIsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 1, FileOptions{})
		r.disks[1].set(func() { r.disks[1].slow = 100 * time.Millisecond })
		for range 100 {
			must(t, r.call())
		}
		r.disks[0].set(func() { r.disks[0].fail = syscall.ENOSPC })
		var err error
		if d := spent(func() { err = r.call() }); d != defaultTimeout || !errors.Is(err, ErrBusy) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("after %v: %v", d, err)
		}
		r.disks[0].set(func() { r.disks[0].fail = nil })
		if d := spent(func() { must(t, r.call()) }); d != 0 {
			t.Errorf("the next one took %v", d)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		must(t, r.call(), r.log.Close())
		r.sound(t)
	})
}

// What waited in a queue first has the rest of the timeout for its write.
func TestSlowSinkBeginsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 1, FileOptions{})
		synctest.Wait()
		r.disks[1].set(func() { r.disks[1].slow = defaultTimeout - time.Millisecond })
		must(t, r.call())
		r.disks[0].set(func() { r.disks[0].fail = syscall.ENOSPC })
		var err error
		if d := spent(func() { err = r.call() }); d != defaultTimeout || !errors.Is(err, ErrHung) {
			t.Errorf("after %v: %v", d, err)
		}
		r.disks[0].set(func() { r.disks[0].fail = nil })
		must(t, r.call())
		time.Sleep(time.Minute)
		r.disks[1].set(func() { r.disks[1].slow = 0 })
		must(t, r.call(), r.log.Close())
		r.sound(t)
	})
}

// Close keeps its promise also while records wait for a slow sink and refusals are counted.
func TestCloseWithASlowSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 2, FileOptions{})
		for range foldAfter + 5 {
			must(t, r.log.Append(refused("192.0.2.1", "Encrypt")))
		}
		r.disks[1].set(func() { r.disks[1].slow = defaultTimeout - time.Millisecond })
		go r.log.Append(record("Waits"))
		synctest.Wait()
		if d := spent(func() { must(t, r.log.Close()) }); d > 2*defaultTimeout { // of the batch under way, and of the last
			t.Errorf("it took %v", d)
		}
		if n := len(folds(r.trail(0))); n != 1 {
			t.Errorf("%d counted records", n)
		}
	})
}
