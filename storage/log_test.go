package storage

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

// faults is a Store that does what a test tells it to.
type faults struct {
	Store
	mu   sync.Mutex
	hang chan struct{}         // guarded by mu: writes wait until it is closed
	fail error                 // guarded by mu: writes return it
	get  func(*raft.Log) error // guarded by mu: what GetLog makes of an entry
	seen int                   // guarded by mu: writes that got here
}

func (f *faults) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *faults) write(do func() error) error {
	f.mu.Lock()
	f.seen++
	hang, fail := f.hang, f.fail
	f.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if fail != nil {
		return fail
	}
	return do()
}

func (f *faults) StoreLogs(logs []*raft.Log) error {
	return f.write(func() error { return f.Store.StoreLogs(logs) })
}

func (f *faults) DeleteRange(from, to uint64) error {
	return f.write(func() error { return f.Store.DeleteRange(from, to) })
}

func (f *faults) Set(key, value []byte) error {
	return f.write(func() error { return f.Store.Set(key, value) })
}

func (f *faults) GetLog(index uint64, log *raft.Log) error {
	err := f.Store.GetLog(index, log)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.get != nil && err == nil {
		return f.get(log)
	}
	return err
}

// told records what the callbacks are told.
type told struct {
	mu    sync.Mutex
	calls []error // guarded by mu; nil: OnRecovered
}

func (c *told) add(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, err)
}

func (c *told) all() []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls)
}

// waitFor polls until cond holds.
func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

// rig is a LogStore on a faulty disk, with a watchdog that ticks only when a test calls tick.
type rig struct {
	*LogStore
	faults *faults
	told   *told
}

func openRig(t testing.TB, change ...func(*LogOptions)) *rig {
	t.Helper()
	r := &rig{faults: &faults{}, told: &told{}}
	o := LogOptions{
		Ticks: make(chan time.Time),
		Wrap: func(s Store) Store {
			r.faults.Store = s
			return r.faults
		},
		OnTrouble:   r.told.add,
		OnRecovered: func() { r.told.add(nil) },
		Logger:      slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&o)
	}
	r.LogStore = openLog(t, t.TempDir(), o)
	return r
}

func openLog(t testing.TB, dir string, o LogOptions) *LogStore {
	t.Helper()
	l, err := OpenLog(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func entry(index uint64) *raft.Log {
	return &raft.Log{Index: index, Term: 1 + index/100, Type: raft.LogCommand, Data: fmt.Appendf(nil, "entry %d", index)}
}

func entries(from, to uint64) (logs []*raft.Log) {
	for i := from; i <= to; i++ {
		logs = append(logs, entry(i))
	}
	return logs
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tamper changes a closed store's bolt file beneath every guard.
func tamper(t testing.TB, dir, bucket string, change func(b *bbolt.Bucket) error) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, logFile), 0o600, &bbolt.Options{NoSync: true, Timeout: time.Second})
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error { return change(tx.Bucket([]byte(bucket))) }))
	must(t, db.Close())
}

func TestEntriesComeBackAsStored(t *testing.T) {
	at := time.Date(2026, 11, 23, 19, 0, 0, 123456789, time.FixedZone("", 3600))
	logs := []*raft.Log{
		{Index: 7, Term: 2, Type: raft.LogNoop},
		{Index: 8, Term: 2, Type: raft.LogCommand, Data: []byte("data"), AppendedAt: at},
		{Index: 9, Term: 3, Type: raft.LogConfiguration, Data: bytes.Repeat([]byte{0}, 300), Extensions: []byte("ext")},
		{Index: 10, Term: 3, Type: raft.LogBarrier, Data: []byte{}, Extensions: []byte("more")},
	}
	var given []raft.Log
	for _, log := range logs {
		given = append(given, *log)
	}
	dir := t.TempDir()
	l := openLog(t, dir, LogOptions{})
	must(t, l.StoreLogs(logs))
	for i, log := range logs {
		if !reflect.DeepEqual(*log, given[i]) {
			t.Errorf("StoreLogs changed the caller's entry %d", log.Index)
		}
	}
	for _, reopen := range []bool{false, true} {
		if reopen {
			must(t, l.Close())
			l = openLog(t, dir, LogOptions{})
		}
		for _, want := range given {
			var got raft.Log
			must(t, l.GetLog(want.Index, &got))
			if got.Index != want.Index || got.Term != want.Term || got.Type != want.Type || !bytes.Equal(got.Data, want.Data) ||
				!bytes.Equal(got.Extensions, want.Extensions) || !got.AppendedAt.Equal(want.AppendedAt) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
	}
	if err := l.GetLog(11, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("an entry that was never stored: %v", err)
	}
}

// Each batch that is stored is told of with its size, one that is refused is not; and bolt counts what it did.
func TestAppendsAreObserved(t *testing.T) {
	var told []int
	free := uint64(1 << 40)
	l, err := OpenLog(t.TempDir(), LogOptions{noSync: true, OnAppend: func(took time.Duration, entries int) {
		if took <= 0 {
			t.Errorf("it took %s", took)
		}
		told = append(told, entries)
	}, Free: func(string) (uint64, error) { return free, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	entry := func(index uint64) *raft.Log {
		return &raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: []byte("x")}
	}
	if err := l.StoreLogs([]*raft.Log{entry(1), entry(2)}); err != nil {
		t.Fatal(err)
	}
	if err := l.StoreLog(entry(3)); err != nil {
		t.Fatal(err)
	}
	free = 0
	if err := l.StoreLog(entry(4)); !errors.Is(err, ErrDiskLow) {
		t.Fatal(err)
	}
	if !slices.Equal(told, []int{2, 1}) {
		t.Errorf("%v", told)
	}
	if s := l.Stats(); s.TxStats.GetWrite() == 0 || s.FreePageN == 0 {
		t.Errorf("%+v", s)
	}
}

func TestStableValues(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, LogOptions{})
	if _, err := l.GetUint64([]byte("CurrentTerm")); err == nil || err.Error() != "not found" {
		t.Errorf("Raft knows an absent value by the text %q, got %v", "not found", err)
	}
	must(t, l.SetUint64([]byte("CurrentTerm"), 42))
	must(t, l.Set([]byte("LastVoteCand"), []byte("node-a")))
	must(t, l.Close())
	l = openLog(t, dir, LogOptions{})
	if n, err := l.GetUint64([]byte("CurrentTerm")); n != 42 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if v, err := l.Get([]byte("LastVoteCand")); string(v) != "node-a" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
}

// TestLogModel compares the store with raft's in-memory store through random histories of appends,
// truncations of either end and restarts.
func TestLogModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		must(t, err)
		open := func() *LogStore {
			l, err := OpenLog(dir, LogOptions{Ticks: make(chan time.Time), noSync: true})
			must(t, err)
			return l
		}
		l, model := open(), raft.NewInmemStore()
		defer func() { l.Close() }()
		next := uint64(1)
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				n := rapid.Uint64Range(1, 20).Draw(rt, "n")
				logs := entries(next, next+n-1)
				must(t, l.StoreLogs(logs))
				must(t, model.StoreLogs(logs))
				next += n
			},
			"compact": func(rt *rapid.T) {
				first, _ := model.FirstIndex()
				to := rapid.Uint64Range(0, next).Draw(rt, "to")
				must(t, l.DeleteRange(first, to))
				must(t, model.DeleteRange(first, to))
			},
			"truncate": func(rt *rapid.T) {
				from := rapid.Uint64Range(1, next).Draw(rt, "from")
				must(t, l.DeleteRange(from, next-1))
				if from < next {
					must(t, model.DeleteRange(from, next-1))
				}
				next = from
			},
			"jump": func(rt *rapid.T) { // an installed snapshot
				next += rapid.Uint64Range(1, 5).Draw(rt, "by")
				must(t, l.StoreLogs(entries(next, next)))
				must(t, model.StoreLogs(entries(next, next)))
				next++
			},
			"restart": func(rt *rapid.T) {
				must(t, l.Close())
				l = open()
			},
			"": func(rt *rapid.T) {
				var first, last uint64
				for i := uint64(1); i <= next; i++ {
					var got, want raft.Log
					gotErr, wantErr := l.GetLog(i, &got), model.GetLog(i, &want)
					if gotErr != wantErr || string(got.Data) != string(want.Data) || got.Term != want.Term {
						rt.Fatalf("entry %d: got %+v %v, want %+v %v", i, got, gotErr, want, wantErr)
					}
					if last = max(last, got.Index); first == 0 {
						first = got.Index
					}
				}
				gotFirst, err1 := l.FirstIndex()
				gotLast, err2 := l.LastIndex()
				if gotFirst != first || gotLast != last || err1 != nil || err2 != nil {
					rt.Fatalf("got %d to %d, want %d to %d (%v, %v)", gotFirst, gotLast, first, last, err1, err2)
				}
			},
		})
	})
}

func TestDeleteRangeInChunks(t *testing.T) {
	const n = 2*deleteChunk + 10
	for _, c := range []struct {
		name        string
		from, to    uint64
		first, last uint64
		writes      int
	}{
		{"compaction", 0, n - 5, n - 4, n, 3},
		{"truncation", 6, n, 1, 5, 3},
		{"truncation beyond the end", 6, 1 << 40, 1, 5, 3},
		{"everything", 1, n, 0, 0, 3},
		{"nothing", n + 1, n + 5, 1, n, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := openRig(t)
			must(t, r.StoreLogs(entries(1, n)))
			r.faults.seen = 0
			must(t, r.DeleteRange(c.from, c.to))
			first, err1 := r.FirstIndex()
			last, err2 := r.LastIndex()
			if first != c.first || last != c.last || err1 != nil || err2 != nil {
				t.Errorf("%d to %d are left, want %d to %d (%v, %v)", first, last, c.first, c.last, err1, err2)
			}
			if r.faults.seen != c.writes {
				t.Errorf("%d transactions, want %d", r.faults.seen, c.writes)
			}
			for _, i := range []uint64{1, 5, 6, deleteChunk, n - 5, n - 4, n} {
				err := r.GetLog(i, new(raft.Log))
				if want := c.first != 0 && c.first <= i && i <= c.last; (err == nil) != want {
					t.Errorf("entry %d: %v", i, err)
				}
			}
		})
	}
}

func TestReopenWhileOpenIsRefused(t *testing.T) {
	dir := t.TempDir()
	openLog(t, dir, LogOptions{})
	if _, err := OpenLog(dir, LogOptions{}); err == nil {
		t.Error("two stores on one file")
	}
}

func BenchmarkStoreLogs(b *testing.B) {
	for _, n := range []int{1, 16, 64} {
		for _, bare := range []bool{false, true} {
			name := fmt.Sprintf("entries=%d/guarded", n)
			if bare {
				name = fmt.Sprintf("entries=%d/bare", n)
			}
			b.Run(name, func(b *testing.B) {
				var under Store
				l := openLog(b, b.TempDir(), LogOptions{Wrap: func(s Store) Store { under = s; return s }})
				store := Store(l)
				if bare {
					store = under
				}
				data := bytes.Repeat([]byte("x"), 1024)
				index := uint64(0)
				b.SetBytes(int64(n * len(data)))
				b.ReportAllocs()
				for b.Loop() {
					logs := make([]*raft.Log, n)
					for i := range logs {
						index++
						logs[i] = &raft.Log{Index: index, Term: 1, Data: data}
					}
					if err := store.StoreLogs(logs); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkOpenLog reports what verifying 20,000 entries of 512 bytes costs a start.
func BenchmarkOpenLog(b *testing.B) {
	dir := b.TempDir()
	l := openLog(b, dir, LogOptions{})
	data := bytes.Repeat([]byte("x"), 512)
	for from := uint64(1); from <= 20_000; from += 1000 {
		logs := entries(from, from+999)
		for _, log := range logs {
			log.Data = data
		}
		must(b, l.StoreLogs(logs))
	}
	must(b, l.Close())
	for b.Loop() {
		l, err := OpenLog(dir, LogOptions{})
		if err != nil {
			b.Fatal(err)
		}
		must(b, l.Close())
	}
}
