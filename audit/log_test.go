package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
)

// memory is a Sink in memory.
type memory struct {
	name string
	mu   sync.Mutex
	fail error         // guarded by mu
	hang chan struct{} // guarded by mu
	text []byte        // guarded by mu
}

func (m *memory) Name() string {
	if m.name == "" {
		return "memory"
	}
	return m.name
}

func (m *memory) Write(b *Batch) error {
	m.mu.Lock()
	fail, hang := m.fail, m.hang
	m.mu.Unlock()
	if hang != nil {
		<-hang
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if fail == nil {
		m.text = append(m.text, b.Lines...)
	}
	return fail
}

func (m *memory) Close() error { return nil }

func (m *memory) set(fail error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = fail
}

func (m *memory) bytes() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.text)
}

func newLog(t testing.TB, require int, sinks ...Sink) *Log {
	t.Helper()
	l, err := New(Options{Sinks: sinks, Require: require, Timeout: never, Node: "node-a"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestRequiredSinks(t *testing.T) {
	broken := errors.New("no space left on device")
	for sinks := 1; sinks <= 4; sinks++ {
		for require := 1; require <= sinks; require++ {
			for failing := 0; failing <= sinks; failing++ {
				var all []Sink
				for i := range sinks {
					m := &memory{}
					if i < failing {
						m.fail = broken
					}
					all = append(all, m)
				}
				l := newLog(t, require, all...)
				err := l.Append(sample())
				name := fmt.Sprintf("%d of %d required, %d fail", require, sinks, failing)
				if want := sinks-failing >= require; (err == nil) != want {
					t.Errorf("%s: %v", name, err)
				}
				if err != nil && (kms.CodeOf(err) != kms.CodeAuditBlocked || !errors.Is(err, broken) || strings.Contains(err.Error(), "device")) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
	for _, require := range []int{-1, 2} {
		if _, err := New(Options{Sinks: []Sink{&memory{}}, Require: require}); err == nil {
			t.Errorf("%d of 1 sinks required", require)
		}
	}
}

func TestASlowSinkBeyondTheRequiredIsNotWaitedFor(t *testing.T) {
	slow, quick := &memory{hang: make(chan struct{})}, &memory{}
	l := newLog(t, 1, slow, quick)
	for range 3 {
		if err := l.Append(sample()); err != nil {
			t.Fatal(err)
		}
	}
	close(slow.hang)
	waitFor(t, "the slow sink has the same lines", func() bool { return bytes.Equal(slow.bytes(), quick.bytes()) })
}

func TestHealthyRecoversByItself(t *testing.T) {
	m := &memory{}
	l := newLog(t, 1, m)
	if err := l.Healthy(); err != nil || fmt.Sprint(names(entries(t, m.bytes()))) != "[AuditStarted]" {
		t.Fatalf("a healthy log: %v, %s", err, m.bytes())
	}
	m.set(errors.New("full"))
	if err := l.Append(sample()); kms.CodeOf(err) != kms.CodeAuditBlocked {
		t.Fatal(err)
	}
	if err := l.Healthy(); kms.CodeOf(err) != kms.CodeAuditBlocked || !l.Stats().Blocked {
		t.Errorf("while blocked: %v", err)
	}
	m.set(nil)
	if err := l.Healthy(); err != nil || l.Stats().Blocked {
		t.Errorf("once mended: %v", err)
	}
	all := entries(t, m.bytes())
	if got := fmt.Sprint(names(all)); got != "[AuditStarted AuditRecordsMissed AuditResumed]" || all[2].details["blockedSince"] == nil {
		t.Errorf("the trail says: %s", m.bytes())
	}
	checkTrail(t, m.Name(), all)
	if err := l.Healthy(); err != nil || len(entries(t, m.bytes())) != 3 {
		t.Errorf("afterwards: %v, %s", err, m.bytes())
	}
}

// Whoever writes the first record again, callers or several who ask, the trail says so once, before that record.
func TestResumedIsToldOnce(t *testing.T) {
	calls := func(l *Log, n int, do func() error) {
		var all sync.WaitGroup
		for range n {
			all.Go(func() { _ = do() })
		}
		all.Wait()
	}
	for name, resume := range map[string]func(*Log) error{
		"a caller": func(l *Log) error { return l.Append(record("Call")) },
		"callers":  func(l *Log) error { calls(l, 8, func() error { return l.Append(record("Call")) }); return nil },
		"probers":  func(l *Log) error { calls(l, 8, l.Healthy); return nil },
		"a head":   func(l *Log) error { l.SetSigner(newKey()); _, _, err := l.SignHead(); return err },
		"a stop":   (*Log).Close,
	} {
		t.Run(name, func(t *testing.T) {
			m := &memory{}
			l := newLog(t, 1, m)
			for range 2 { // each time of its own
				m.set(errors.New("full"))
				calls(l, 4, func() error { return l.Append(record("Lost")) })
				if !l.Blocked() {
					t.Error("not blocked")
				}
				m.set(nil)
				must(t, resume(l))
				if name == "a stop" {
					break
				}
				if l.Blocked() {
					t.Error("blocked still")
				}
			}
			must(t, l.Close())
			told := 0
			all := entries(t, m.bytes())
			for i, e := range all {
				if e.name != eventResumed {
					continue
				}
				told++
				if all[i-1].name != eventMissed || e.details["blockedSince"] == nil {
					t.Errorf("%v behind %v", e, all[i-1])
				}
			}
			if want := min(2, strings.Count(fmt.Sprint(names(all)), eventMissed)); told != want || told == 0 {
				t.Errorf("told %d times: %v", told, names(all))
			}
			checkTrail(t, m.Name(), all)
		})
	}
}

func TestEventIDs(t *testing.T) {
	m := &memory{}
	l := newLog(t, 1, m)
	seen := map[[16]byte]bool{}
	for range 1000 {
		var r Record
		if err := l.Append(&r); err != nil {
			t.Fatal(err)
		}
		if seen[r.EventID] || r.EventID[6]>>4 != 8 || r.EventID[8]>>6 != 2 {
			t.Fatalf("event id %x", r.EventID)
		}
		seen[r.EventID] = true
	}
	r := Record{EventID: [16]byte{1}}
	if err := l.Append(&r); err != nil || r.EventID != [16]byte{1} {
		t.Errorf("a given event id became %x (%v)", r.EventID, err)
	}
}

func TestAppendAllocations(t *testing.T) {
	s, _ := openSink(t, nil, FileOptions{})
	l, r := newLog(t, 1, s), sample()
	n := testing.AllocsPerRun(200, func() {
		r.EventID = [16]byte{}
		if err := l.Append(r); err != nil {
			t.Fatal(err)
		}
	})
	if n > 6 { // a batch, its channel and a path; the collector and the race detector empty the pool
		t.Errorf("%v allocations a record", n)
	}
}

// BenchmarkAppend appends records of about a kilobyte to files, all of which are required.
func BenchmarkAppend(b *testing.B) {
	for _, fsync := range []bool{false, true} {
		name := "write"
		if fsync {
			name = "fsync"
		}
		for _, sinks := range []int{1, 2} {
			for _, clients := range []int{1, 16, 64} {
				b.Run(fmt.Sprintf("%s/sinks=%d/clients=%d", name, sinks, clients), func(b *testing.B) {
					var all []Sink
					for range sinks {
						s, err := OpenFile(filepath.Join(b.TempDir(), "audit.jsonl"), FileOptions{Fsync: fsync})
						must(b, err)
						all = append(all, s)
					}
					l := newLog(b, sinks, all...)
					appendFrom(b, clients, func(r *Record) error { return l.Append(r) })
				})
			}
		}
	}
}

// BenchmarkAppendUnderLock is the plain way to do the same, to compare with: one write per record
// under a mutex.
func BenchmarkAppendUnderLock(b *testing.B) {
	f, err := os.OpenFile(filepath.Join(b.TempDir(), "audit.jsonl"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var mu sync.Mutex
	var pool sync.Pool
	appendFrom(b, 16, func(r *Record) error {
		buf, _ := pool.Get().(*bytes.Buffer)
		if buf == nil {
			buf = new(bytes.Buffer)
		}
		defer pool.Put(buf)
		buf.Reset()
		buf.Write(append(r.AppendJSON(buf.AvailableBuffer()), '\n'))
		mu.Lock()
		defer mu.Unlock()
		_, err := f.Write(buf.Bytes())
		return err
	})
}

func appendFrom(b *testing.B, clients int, do func(*Record) error) {
	b.ReportAllocs()
	b.SetParallelism(max(1, clients/2))
	b.RunParallel(func(pb *testing.PB) {
		r := sample()
		for pb.Next() {
			r.EventID = [16]byte{}
			if err := do(r); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
