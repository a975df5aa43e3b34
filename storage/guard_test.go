package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// TestEveryFlippedByteOfAnEntryIsFound flips, in a log of equal entries, byte i of what is stored
// for entry i. An entry must be reported, or come back as it was stored.
func TestEveryFlippedByteOfAnEntryIsFound(t *testing.T) {
	d, dir := soundDir(t)
	same := func(i uint64) *raft.Log {
		return &raft.Log{Index: i, Term: 3, Type: raft.LogCommand, Data: []byte("some data"), AppendedAt: time.Unix(1e9, 5)}
	}
	l := openLog(t, d.RaftDir(), LogOptions{})
	const n = 255 // one msgpack width for every index
	for i := uint64(128); i <= n; i++ {
		must(t, l.StoreLog(same(i)))
	}
	must(t, l.Close())
	must(t, d.Close())
	flipped := 0
	tamper(t, filepath.Join(dir, raftDir), "logs", func(b *bbolt.Bucket) error {
		for i := uint64(128); i <= n; i++ {
			key := binary.BigEndian.AppendUint64(nil, i)
			value := append([]byte(nil), b.Get(key)...)
			at := int(i - 128)
			if at >= len(value) {
				break
			}
			value[at] ^= 1 << (i % 8)
			flipped++
			if err := b.Put(key, value); err != nil {
				return err
			}
		}
		return nil
	})
	if flipped < 70 {
		t.Fatalf("only %d bytes were flipped", flipped)
	}
	read := map[uint64]string{}
	report, err := Fsck(dir, FsckOptions{Command: func(i uint64, data []byte) error {
		read[i] = string(data)
		return nil
	}})
	must(t, err)
	if len(report.Problems) < flipped/2 {
		t.Errorf("%d problems for %d flips", len(report.Problems), flipped)
	}
	for i, data := range read {
		if data != "some data" {
			t.Errorf("entry %d passed with the data %q", i, data)
		}
	}
	var corrupt *CorruptError
	if _, err := OpenLog(filepath.Join(dir, raftDir), LogOptions{}); !errors.As(err, &corrupt) || corrupt.Index != 128 {
		t.Errorf("OpenLog: %v", err)
	}
}

// TestFlippedBitInTheFileIsFound flips one bit of an entry's data in raft.db itself.
func TestFlippedBitInTheFileIsFound(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, LogOptions{})
	must(t, l.StoreLogs(entries(1, 20)))
	must(t, l.Close())
	path := filepath.Join(dir, logFile)
	b, err := os.ReadFile(path)
	must(t, err)
	if n := strings.Count(string(b), "entry 13"); n == 0 {
		t.Fatal("the entry is not in the file")
	}
	must(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(b), "entry 13", "entri 13")), 0o600))
	_, err = OpenLog(dir, LogOptions{})
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) || corrupt.Index != 13 {
		t.Errorf("OpenLog: %v", err)
	}
}

// TestDamagedPagesAreAnError overwrites page after page of raft.db: opening it is an error or
// yields sound entries, and never ends the process.
func TestDamagedPagesAreAnError(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, LogOptions{})
	must(t, l.StoreLogs(entries(1, 2000)))
	must(t, l.Close())
	path := filepath.Join(dir, logFile)
	sound, err := os.ReadFile(path)
	must(t, err)
	page := os.Getpagesize()
	refused := 0
	for at := 0; at < min(len(sound), 60*page); at += page {
		for _, fill := range []byte{0, 0xff} {
			b := append([]byte(nil), sound...)
			for i := at; i < at+page && i < len(b); i++ {
				b[i] = fill
			}
			must(t, os.WriteFile(path, b, 0o600))
			l, err := OpenLog(dir, LogOptions{Ticks: make(chan time.Time)})
			if err != nil {
				refused++
				continue
			}
			var log raft.Log
			if err := l.GetLog(1000, &log); err == nil && string(log.Data) != "entry 1000" {
				t.Errorf("page %d filled with %#x: entry 1000 reads %q", at/page, fill, log.Data)
			}
			must(t, l.Close())
		}
	}
	if refused == 0 {
		t.Error("no damage was noticed")
	}
	for part := 2; part <= 64; part *= 2 { // what is cut off lies in the memory map and faults
		must(t, os.WriteFile(path, sound[:len(sound)/part], 0o600))
		l, err := OpenLog(dir, LogOptions{Ticks: make(chan time.Time)})
		if err == nil {
			must(t, l.Close())
		}
		if part >= 16 && err == nil {
			t.Errorf("1/%d of the file is enough", part)
		}
	}
}

func TestCorruptionWhileRunningIsLatched(t *testing.T) {
	for _, c := range []struct {
		name string
		get  func(*raft.Log) error
		want string
	}{
		{"a flipped bit", func(log *raft.Log) error { log.Data[0] ^= 1; return nil }, "checksum"},
		{"another term", func(log *raft.Log) error { log.Term++; return nil }, "checksum"},
		{"no checksum", func(log *raft.Log) error { log.Extensions = nil; return nil }, "checksum"},
		{"another entry", func(log *raft.Log) error { log.Index++; return nil }, "another entry"},
		{"a vanished entry", func(*raft.Log) error { return raft.ErrLogNotFound }, "missing"},
		{"a read error", func(*raft.Log) error { return errors.New("input/output error") }, "input/output"},
		{"a panic", func(*raft.Log) error { panic("page 7: bad") }, "page 7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := openRig(t)
			must(t, r.StoreLogs(entries(1, 5)))
			r.faults.set(func() { r.faults.get = c.get })
			err := r.GetLog(3, new(raft.Log))
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || corrupt.Index != 3 || !strings.Contains(corrupt.Detail, c.want) {
				t.Fatalf("GetLog: %v", err)
			}
			r.faults.set(func() { r.faults.get = nil })
			if err := r.StoreLog(entry(6)); !errors.Is(err, ErrFailed) || !errors.As(err, &corrupt) {
				t.Errorf("a write after it: %v", err)
			}
			waitFor(t, "OnTrouble was told", func() bool {
				calls := r.told.all()
				return len(calls) == 1 && errors.Is(calls[0], ErrFailed) && errors.As(calls[0], &corrupt)
			})
		})
	}
}

func TestDamagedStableValueIsFound(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, LogOptions{})
	must(t, l.SetUint64([]byte("CurrentTerm"), 42))
	must(t, l.Close())
	tamper(t, dir, "conf", func(b *bbolt.Bucket) error {
		v := append([]byte(nil), b.Get([]byte("CurrentTerm"))...)
		v[7] ^= 1
		return b.Put([]byte("CurrentTerm"), v)
	})
	l = openLog(t, dir, LogOptions{})
	var corrupt *CorruptError
	if n, err := l.GetUint64([]byte("CurrentTerm")); !errors.As(err, &corrupt) {
		t.Errorf("got %d, %v", n, err)
	}
	if l.Trouble() == nil {
		t.Error("not latched")
	}
}

func TestFirstWriteErrorIsLatched(t *testing.T) {
	broken := errors.New("input/output error")
	for name, do := range map[string]func(*rig) error{
		"StoreLogs":   func(r *rig) error { return r.StoreLogs(entries(6, 7)) },
		"DeleteRange": func(r *rig) error { return r.DeleteRange(1, 2) },
		"Set":         func(r *rig) error { return r.Set([]byte("k"), []byte("v")) },
		"SetUint64":   func(r *rig) error { return r.SetUint64([]byte("k"), 1) },
	} {
		t.Run(name, func(t *testing.T) {
			r := openRig(t)
			must(t, r.StoreLogs(entries(1, 5)))
			r.faults.set(func() { r.faults.fail = broken })
			if err := do(r); !errors.Is(err, broken) {
				t.Fatalf("the first error: %v", err)
			}
			r.faults.set(func() { r.faults.fail, r.faults.seen = nil, 0 })
			for _, err := range []error{do(r), r.StoreLog(entry(9)), r.SetUint64([]byte("t"), 1), r.DeleteRange(1, 1)} {
				if !errors.Is(err, ErrFailed) || !errors.Is(err, broken) {
					t.Errorf("a later write: %v", err)
				}
			}
			if r.faults.seen != 0 {
				t.Errorf("%d writes reached the disk after the failure", r.faults.seen)
			}
			if err := r.GetLog(3, new(raft.Log)); err != nil {
				t.Errorf("reads go on: %v", err)
			}
			waitFor(t, "OnTrouble was told", func() bool {
				calls := r.told.all()
				return len(calls) == 1 && errors.Is(calls[0], broken)
			})
		})
	}
}

func TestHungWriteIsToldByTicksAlone(t *testing.T) {
	r := openRig(t)
	hang := make(chan struct{})
	r.faults.set(func() { r.faults.hang = hang })
	var writes sync.WaitGroup
	writes.Go(func() {
		if err := r.StoreLogs(entries(1, 3)); err != nil {
			t.Errorf("the hung write ended well, but: %v", err)
		}
	})
	waitFor(t, "the write hangs", func() bool { return r.busy() == 1 })
	for range defaultHangTicks {
		r.tick()
	}
	if err := r.Trouble(); err != nil {
		t.Fatalf("at 3 s: %v", err)
	}
	r.tick()
	if err := r.Trouble(); !errors.Is(err, ErrDiskHung) || !strings.Contains(err.Error(), "storing entries") {
		t.Fatalf("beyond 3 s: %v", err)
	}
	waitFor(t, "OnTrouble was told", func() bool { return len(r.told.all()) == 1 })
	writes.Go(func() { // a second write waits behind the hung one and must not end the trouble early
		if err := r.Set([]byte("k"), []byte("v")); err != nil {
			t.Error(err)
		}
	})
	waitFor(t, "the second write waits", func() bool { return r.busy() == 2 })
	close(hang)
	writes.Wait()
	waitFor(t, "OnRecovered was told", func() bool {
		calls := r.told.all()
		return len(calls) == 2 && calls[1] == nil
	})
	if err := r.Trouble(); err != nil {
		t.Errorf("after recovery: %v", err)
	}
	must(t, r.GetLog(2, new(raft.Log)))
	for range 2 * defaultHangTicks { // ticks without a write are nothing
		r.tick()
	}
	if n := len(r.told.all()); n != 2 {
		t.Errorf("%d calls", n)
	}
}

func (r *rig) busy() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.inflight)
}

func TestHungThenFailed(t *testing.T) {
	r := openRig(t)
	hang, broken := make(chan struct{}), errors.New("input/output error")
	r.faults.set(func() { r.faults.hang, r.faults.fail = hang, broken })
	done := make(chan error, 1)
	go func() { done <- r.StoreLog(entry(1)) }()
	waitFor(t, "the write hangs", func() bool { return r.busy() == 1 })
	for range defaultHangTicks + 1 {
		r.tick()
	}
	waitFor(t, "OnTrouble was told", func() bool { return len(r.told.all()) == 1 })
	close(hang)
	if err := <-done; !errors.Is(err, broken) {
		t.Error(err)
	}
	waitFor(t, "the failure was told", func() bool {
		calls := r.told.all()
		return len(calls) == 2 && errors.Is(calls[1], ErrFailed)
	})
}

func TestTickerDrivesTheWatchdog(t *testing.T) {
	ticks := make(chan time.Time)
	r := openRig(t, func(o *LogOptions) { o.Ticks, o.HangTicks = ticks, 2 })
	hang := make(chan struct{})
	r.faults.set(func() { r.faults.hang = hang })
	done := make(chan error, 1)
	go func() { done <- r.StoreLog(entry(1)) }()
	waitFor(t, "the write hangs", func() bool { return r.busy() == 1 })
	for range 3 {
		ticks <- time.Time{}
	}
	waitFor(t, "OnTrouble was told", func() bool { return len(r.told.all()) == 1 })
	close(hang)
	must(t, <-done)
}

func TestLowWaterMark(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 30)
	r := openRig(t, func(o *LogOptions) {
		o.LowWater = 1000
		o.Free = func(string) (uint64, error) { return free.Load(), nil }
	})
	must(t, r.StoreLogs(entries(1, 5)))
	free.Store(999)
	r.faults.set(func() { r.faults.seen = 0 })
	if err := r.StoreLogs(entries(6, 7)); !errors.Is(err, ErrDiskLow) {
		t.Fatalf("under the mark: %v", err)
	}
	if r.faults.seen != 0 {
		t.Error("the refused write reached the disk")
	}
	waitFor(t, "OnTrouble was told", func() bool {
		calls := r.told.all()
		return len(calls) == 1 && errors.Is(calls[0], ErrDiskLow)
	})
	// What elections and compaction write still passes.
	must(t, r.StoreLog(&raft.Log{Index: 6, Term: 9, Type: raft.LogNoop}))
	must(t, r.SetUint64([]byte("CurrentTerm"), 9))
	must(t, r.DeleteRange(1, 2))
	// A truncated end may be written anew, once.
	must(t, r.DeleteRange(5, 6))
	must(t, r.StoreLogs(entries(5, 6)))
	if err := r.StoreLog(entry(7)); !errors.Is(err, ErrDiskLow) {
		t.Errorf("after the end was rewritten: %v", err)
	}
	// At the mark it is still low; a quarter above it has recovered, and the watchdog notices.
	free.Store(1249)
	if err := r.StoreLog(entry(7)); !errors.Is(err, ErrDiskLow) {
		t.Errorf("just above the mark: %v", err)
	}
	free.Store(1250)
	waitFor(t, "OnRecovered was told", func() bool {
		r.tick()
		calls := r.told.all()
		return len(calls) == 2 && calls[1] == nil
	})
	must(t, r.StoreLog(entry(7)))
	// The watchdog also notices a disk that fills while nothing is written.
	free.Store(1)
	waitFor(t, "trouble was told", func() bool { r.tick(); return len(r.told.all()) == 3 })
}

func TestCloseDoesNotWaitForAHungWrite(t *testing.T) {
	r := openRig(t)
	hang := make(chan struct{})
	r.faults.set(func() { r.faults.hang = hang })
	done := make(chan error, 1)
	go func() { done <- r.StoreLog(entry(1)) }()
	waitFor(t, "the write hangs", func() bool { return r.busy() == 1 })
	if err := r.Close(); !errors.Is(err, ErrDiskHung) {
		t.Errorf("Close: %v", err)
	}
	close(hang)
	must(t, <-done)
	if err := r.StoreLog(entry(2)); !errors.Is(err, ErrClosed) {
		t.Errorf("a write after Close: %v", err)
	}
	must(t, r.close())
}

func TestClosedStore(t *testing.T) {
	r := openRig(t)
	must(t, r.StoreLog(entry(1)))
	must(t, r.Close())
	must(t, r.Close())
	_, lastErr := r.LastIndex()
	for _, err := range []error{r.StoreLog(entry(2)), r.GetLog(1, new(raft.Log)), lastErr} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
	if n := len(r.told.all()); n != 0 {
		t.Errorf("closing was told as trouble %d times", n)
	}
}

// TestArmedStoreParksInsteadOfPanicking checks the calls whose errors Raft panics over.
func TestArmedStoreParksInsteadOfPanicking(t *testing.T) {
	for name, do := range map[string]func(*rig){
		"SetUint64": func(r *rig) { r.SetUint64([]byte("CurrentTerm"), 2) },
		"Set":       func(r *rig) { r.Set([]byte("LastVoteCand"), nil) },
		"GetLog":    func(r *rig) { r.GetLog(1, new(raft.Log)) },
	} {
		t.Run(name, func(t *testing.T) {
			r := openRig(t)
			must(t, r.StoreLog(entry(1)))
			r.Arm()
			r.faults.set(func() {
				r.faults.fail = errors.New("input/output error")
				r.faults.get = func(*raft.Log) error { return errors.New("input/output error") }
			})
			var returned atomic.Bool
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				do(r)
				returned.Store(true)
			}()
			waitFor(t, "the trouble was told", func() bool { return len(r.told.all()) == 1 })
			select {
			case <-ended:
				t.Error("it did not wait for Release")
			default:
			}
			r.Release()
			<-ended
			if returned.Load() {
				t.Error("the call returned to its caller")
			}
		})
	}
}

// TestPeekReturnsWhereGetLogParks checks that others than Raft get the error, which is latched all the same.
func TestPeekReturnsWhereGetLogParks(t *testing.T) {
	r := openRig(t)
	must(t, r.StoreLog(entry(1)))
	r.Arm()
	must(t, r.Peek(1, new(raft.Log)))
	if err := r.Peek(2, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
		t.Fatalf("an entry that never was: %v", err)
	}
	r.faults.set(func() { r.faults.get = func(*raft.Log) error { return errors.New("input/output error") } })
	var corrupt *CorruptError
	if err := r.Peek(1, new(raft.Log)); !errors.As(err, &corrupt) || corrupt.Index != 1 {
		t.Fatalf("Peek: %v", err)
	}
	if err := r.Trouble(); !errors.Is(err, ErrFailed) {
		t.Fatalf("the trouble is %v", err)
	}
}

// TestRaftOutlivesAFailedDisk runs a real Raft on the store: when its disk fails neither the
// process ends, though every election must store a term, nor does Shutdown hang.
func TestRaftOutlivesAFailedDisk(t *testing.T) {
	r := openRig(t)
	snapshots, err := OpenSnapshots(t.TempDir(), 2, nil)
	must(t, err)
	addr, trans := raft.NewInmemTransport("a")
	conf := raft.DefaultConfig()
	conf.LocalID, conf.Logger = "a", hclog.NewNullLogger()
	conf.HeartbeatTimeout, conf.ElectionTimeout = 20*time.Millisecond, 20*time.Millisecond
	conf.LeaderLeaseTimeout, conf.CommitTimeout = 20*time.Millisecond, time.Millisecond
	must(t, CheckStart(r.LogStore, snapshots))
	node, err := raft.NewRaft(conf, &raft.MockFSM{}, r, r, snapshots, trans)
	must(t, err)
	r.Arm()
	must(t, node.BootstrapCluster(raft.Configuration{Servers: []raft.Server{{ID: "a", Address: addr}}}).Error())
	waitFor(t, "it leads", func() bool { return node.State() == raft.Leader })
	must(t, node.Apply([]byte("one"), time.Second).Error())

	broken := errors.New("input/output error")
	r.faults.set(func() { r.faults.fail = broken })
	if err := node.Apply([]byte("two"), time.Second).Error(); !errors.Is(err, broken) {
		t.Fatalf("Apply on a failed disk: %v", err)
	}
	waitFor(t, "the trouble was told", func() bool { return errors.Is(r.Trouble(), broken) && len(r.told.all()) == 1 })
	waitFor(t, "it leads no more", func() bool { return node.State() != raft.Leader })
	stopped := node.Shutdown()
	r.Release()
	must(t, stopped.Error())
	must(t, r.Close())
}

func TestCallbacksMayBlock(t *testing.T) {
	release := make(chan struct{})
	r := openRig(t, func(o *LogOptions) {
		tell := o.OnTrouble
		o.OnTrouble = func(err error) { tell(err); <-release }
	})
	r.faults.set(func() { r.faults.fail = errors.New("input/output error") })
	if err := r.StoreLog(entry(1)); err == nil {
		t.Fatal("no error")
	}
	waitFor(t, "OnTrouble was called", func() bool { return len(r.told.all()) == 1 })
	r.tick() // neither writes nor the watchdog wait for it
	if err := r.StoreLog(entry(1)); !errors.Is(err, ErrFailed) {
		t.Error(err)
	}
	close(release)
}

// FuzzEntry checks that no entry passes but one whose checksum was made for it.
func FuzzEntry(f *testing.F) {
	f.Add(uint64(1), uint64(1), byte(0), []byte("data"), []byte("ext"))
	f.Add(uint64(1<<63), uint64(0), byte(5), []byte(nil), []byte(nil))
	f.Fuzz(func(t *testing.T, index, term uint64, kind byte, data, extensions []byte) {
		log := raft.Log{Index: index, Term: term, Type: raft.LogType(kind), Data: data, Extensions: extensions}
		sealed := *sealEntries([]*raft.Log{&log})[0]
		given := log
		if err := openEntry(index, &given); err == nil {
			again := sealEntries([]*raft.Log{&given})[0]
			if string(again.Extensions) != string(extensions) {
				t.Error("an entry passed whose checksum is not its own")
			}
		}
		if err := openEntry(index, &sealed); err != nil || string(sealed.Extensions) != string(extensions) {
			t.Errorf("its own checksum: %v", err)
		}
		changed := *sealEntries([]*raft.Log{&log})[0]
		changed.Term++
		if err := openEntry(index, &changed); err == nil {
			t.Error("another term passed")
		}
		if v, err := openValue(data, extensions); err == nil && string(sealValue(data, v)) != string(extensions) {
			t.Error("a value passed whose checksum is not its own")
		}
	})
}

func ExampleCorruptError() {
	fmt.Println((&CorruptError{Index: 7, Detail: "its checksum does not fit"}).Error())
	// Output: raft log entry 7 is corrupt: its checksum does not fit
}
