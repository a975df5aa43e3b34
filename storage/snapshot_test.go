package storage

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/hashicorp/raft"
)

func openSnapshots(t testing.TB, dir string) *SnapshotStore {
	t.Helper()
	s, err := OpenSnapshots(dir, 2, nil)
	must(t, err)
	return s
}

var servers = raft.Configuration{Servers: []raft.Server{
	{Suffrage: raft.Voter, ID: "0a", Address: "node-a"}, {Suffrage: raft.Nonvoter, ID: "0b", Address: "node-b"}}}

func takeSnapshot(t testing.TB, s *SnapshotStore, index uint64, state string) string {
	t.Helper()
	sink, err := s.Create(1, index, 3, servers, index-1, nil)
	must(t, err)
	_, err = io.WriteString(sink, state)
	must(t, err)
	must(t, sink.Close())
	must(t, sink.Close())
	must(t, sink.Cancel()) // Raft cancels in a defer; it does nothing now
	return sink.ID()
}

// snapshotFile returns the path of the only snapshot under dir.
func snapshotFile(t testing.TB, dir string) string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, snapshotsDir, "*"))
	if err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	return all[0]
}

// flip flips a bit of the byte at (from the end when negative) in a file.
func flip(t testing.TB, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1 << (at % 8)
	must(t, os.WriteFile(path, b, 0o600))
}

func TestSnapshotRoundTrip(t *testing.T) {
	s := openSnapshots(t, t.TempDir())
	for _, state := range []string{"", "state", string(bytes.Repeat([]byte("long"), 1<<18))} {
		id := takeSnapshot(t, s, 7, state)
		meta, r, err := s.Open(id)
		must(t, err)
		got, err := io.ReadAll(r)
		must(t, err)
		must(t, r.Close())
		if string(got) != state || meta.Size != int64(len(state)) || meta.Index != 7 || meta.Term != 3 || meta.ConfigurationIndex != 6 ||
			!reflect.DeepEqual(meta.Configuration, servers) {
			t.Errorf("%d bytes came back with %+v", len(got), meta)
		}
		metas, err := s.List()
		must(t, err)
		if len(metas) != 1 || !reflect.DeepEqual(metas[0], meta) {
			t.Errorf("List: %+v", metas)
		}
		must(t, os.Remove(s.path(id)))
	}
}

func TestSnapshotsAreListedNewestFirstAndReaped(t *testing.T) {
	dir := t.TempDir()
	s := openSnapshots(t, dir)
	for _, index := range []uint64{10, 30, 20, 40} {
		takeSnapshot(t, s, index, "state")
	}
	for range 2 {
		metas, err := s.List()
		must(t, err)
		if len(metas) != 2 || metas[0].Index != 40 || metas[1].Index != 30 {
			t.Errorf("List: %+v", metas)
		}
		if ids, err := snapshotIDs(s.dir); err != nil || len(ids) != 2 {
			t.Errorf("%v are left, %v", ids, err)
		}
		s = openSnapshots(t, dir)
	}
}

func TestUnfinishedSnapshotLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := openSnapshots(t, dir)
	sink, err := s.Create(1, 1, 1, servers, 1, nil)
	must(t, err)
	_, err = sink.Write(make([]byte, 1<<20))
	must(t, err)
	must(t, sink.Cancel())
	must(t, sink.Close()) // after Cancel it makes nothing visible
	abandoned, err := s.Create(1, 2, 1, servers, 1, nil)
	must(t, err)
	_, err = abandoned.Write([]byte("the process dies here"))
	must(t, err)
	s = openSnapshots(t, dir)
	if left, err := os.ReadDir(s.dir); err != nil || len(left) != 0 {
		t.Errorf("%v are left, %v", left, err)
	}
}

// TestEveryFlippedByteOfASnapshotIsFound also shows that damaged metadata is found without
// reading the state.
func TestEveryFlippedByteOfASnapshotIsFound(t *testing.T) {
	dir := t.TempDir()
	s := openSnapshots(t, dir)
	id := takeSnapshot(t, s, 7, "the state of things")
	path := snapshotFile(t, dir)
	sound, err := os.ReadFile(path)
	must(t, err)
	state := bytes.Index(sound, []byte("the state of things"))
	for at := range sound {
		must(t, os.WriteFile(path, sound, 0o600))
		flip(t, path, at)
		if _, r, err := s.Open(id); err == nil {
			r.Close()
			t.Errorf("byte %d: Open found nothing", at)
		}
		metas, err := s.List()
		must(t, err)
		if at < state && len(metas) != 0 {
			t.Errorf("byte %d: List trusts the metadata", at)
		}
	}
	for n := range sound {
		must(t, os.WriteFile(path, sound[:n], 0o600))
		if _, r, err := s.Open(id); err == nil {
			r.Close()
			t.Errorf("cut to %d bytes: Open found nothing", n)
		}
	}
	must(t, os.WriteFile(path, append(sound, 0), 0o600))
	if _, r, err := s.Open(id); err == nil {
		r.Close()
		t.Error("with a byte more: Open found nothing")
	}
	must(t, os.WriteFile(path, sound, 0o600))
	must(t, os.Rename(path, s.path("9-9-9")))
	if _, _, err := s.Open("9-9-9"); err == nil {
		t.Error("under another name: Open found nothing")
	}
}

func TestSnapshotOpenRefuses(t *testing.T) {
	s := openSnapshots(t, t.TempDir())
	for _, id := range []string{"", "1-1-1", "../x", "a/b", ".."} {
		if _, _, err := s.Open(id); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if _, err := s.Create(2, 1, 1, servers, 1, nil); err == nil {
		t.Error("an unknown version was taken")
	}
	if _, err := OpenSnapshots(t.TempDir(), 0, nil); err == nil {
		t.Error("no snapshot is kept")
	}
}

func TestSnapshotLeavesTheLogItsSpace(t *testing.T) {
	s := openSnapshots(t, t.TempDir())
	free := uint64(1 << 30)
	s.free = func(string) (uint64, error) { return free, nil }
	sink, err := s.Create(1, 1, 1, servers, 1, nil)
	must(t, err)
	chunk := make([]byte, spaceStep)
	for range 3 {
		_, err = sink.Write(chunk)
		must(t, err)
	}
	free = defaultLowWater
	if _, err = sink.Write(chunk); !errors.Is(err, ErrDiskLow) {
		t.Errorf("a write on a low disk: %v", err)
	}
	must(t, sink.Cancel())
}

func TestCheckStart(t *testing.T) {
	for _, c := range []struct {
		name      string
		log       [2]uint64
		snapshots []uint64
		damage    bool // the newest snapshot
		ok        bool
	}{
		{name: "nothing at all", ok: true},
		{name: "a log from the start", log: [2]uint64{1, 9}, ok: true},
		{name: "a log without its beginning", log: [2]uint64{5, 9}},
		{name: "log and snapshot overlap", log: [2]uint64{5, 20}, snapshots: []uint64{10}, ok: true},
		{name: "log and snapshot meet", log: [2]uint64{11, 20}, snapshots: []uint64{10}, ok: true},
		{name: "a hole between them", log: [2]uint64{12, 20}, snapshots: []uint64{10}},
		{name: "the snapshot is newer", log: [2]uint64{1, 5}, snapshots: []uint64{10}, ok: true},
		{name: "a snapshot alone", snapshots: []uint64{10}, ok: true},
		{name: "a damaged snapshot alone", snapshots: []uint64{10}, damage: true},
		{name: "an older one covers the damaged one", log: [2]uint64{6, 20}, snapshots: []uint64{5, 10}, damage: true, ok: true},
		{name: "an older one does not", log: [2]uint64{9, 20}, snapshots: []uint64{5, 10}, damage: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			l, s := openLog(t, dir, LogOptions{}), openSnapshots(t, dir)
			if c.log[0] > 0 {
				must(t, l.StoreLogs(entries(c.log[0], c.log[1])))
			}
			last := ""
			for _, index := range c.snapshots {
				last = takeSnapshot(t, s, index, "state")
			}
			if c.damage {
				flip(t, s.path(last), -snapshotFooter-1)
			}
			if err := CheckStart(l, s); (err == nil) != c.ok {
				t.Errorf("CheckStart: %v", err)
			}
		})
	}
}

// FuzzSnapshotFile checks that reading a snapshot file never panics and accepts no file but one
// that Create and Close could have written.
func FuzzSnapshotFile(f *testing.F) {
	dir := f.TempDir()
	s := openSnapshots(f, dir)
	takeSnapshot(f, s, 7, "state")
	sound, err := os.ReadFile(snapshotFile(f, dir))
	must(f, err)
	f.Add(sound)
	f.Add(sound[:40])
	f.Add([]byte(snapshotMagic + "\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		meta, err := readSnapshotHead(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		r, err := verifySnapshot(bytes.NewReader(b), meta.Size)
		if err != nil {
			return
		}
		state, err := io.ReadAll(r)
		if err != nil || int64(len(state)) != meta.Size {
			t.Errorf("%d bytes of state, %v", len(state), err)
		}
	})
}
