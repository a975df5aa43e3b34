package storage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

func openDir(t testing.TB, path string) *Dir {
	t.Helper()
	d, err := Open(path)
	must(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

// soundDir returns an open data directory and its path.
func soundDir(t testing.TB) (*Dir, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data")
	return openDir(t, path), path
}

func TestDirKeepsItsIdentity(t *testing.T) {
	d, path := soundDir(t)
	id := d.NodeID()
	if len(id) != 32 || !validHex(id) {
		t.Fatalf("node id %q", id)
	}
	if d.ClusterID() != "" {
		t.Error("a fresh directory has a cluster id")
	}
	must(t, d.SetClusterID("00ff"))
	must(t, d.SetClusterID("00ff"))
	for _, bad := range []string{"", "xyz", "00FF", "11", strings.Repeat("00", 33)} {
		if err := d.SetClusterID(bad); err == nil {
			t.Errorf("cluster id %q was taken", bad)
		}
	}
	must(t, d.Close())
	d = openDir(t, path)
	if d.NodeID() != id || d.ClusterID() != "00ff" {
		t.Errorf("after a restart: %s, %s", d.NodeID(), d.ClusterID())
	}
	if other, _ := soundDir(t); other.NodeID() == id {
		t.Error("two directories with one node id")
	}
}

func TestDirIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "data")
	must(t, os.MkdirAll(path, 0o755))
	d := openDir(t, path)
	l := openLog(t, d.RaftDir(), LogOptions{})
	must(t, l.StoreLog(entry(1)))
	s := openSnapshots(t, d.RaftDir())
	takeSnapshot(t, s, 1, "state")
	must(t, filepath.WalkDir(path, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	}))
}

func TestSecondProcessIsRefusedByName(t *testing.T) {
	d, path := soundDir(t)
	_, err := Open(path)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Errorf("a second Open: %v", err)
	}
	if _, err := Fsck(path, FsckOptions{}); !errors.Is(err, ErrLocked) {
		t.Errorf("Fsck of a directory in use: %v", err)
	}
	must(t, d.Close())
	openDir(t, path)
}

// A child that is being started has copies of this process's descriptors for a moment. They do not keep the lock.
func TestLockEndsWithClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	d, err := Open(path)
	must(t, err)
	copied, err := syscall.Dup(int(d.lock.Fd()))
	must(t, err)
	defer syscall.Close(copied)
	must(t, d.Close())
	d, err = Open(path)
	if err != nil {
		t.Fatal(err)
	}
	must(t, d.Close())
}

func TestOpenRefuses(t *testing.T) {
	id := strings.Repeat("0a", 16)
	for _, c := range []struct {
		name, node string
		raft       bool
		want       string
	}{
		{"a lost identity", "", true, "holds Raft state but no node.json"},
		{"an empty file", " ", false, "node.json"},
		{"another format", `{"format":2,"node_id":"` + id + `"}`, false, "format 2"},
		{"a short id", `{"format":1,"node_id":"0a"}`, false, "damaged"},
		{"an unknown member", `{"format":1,"node_id":"` + id + `","x":1}`, false, "unknown field"},
		{"trailing data", `{"format":1,"node_id":"` + id + `"}{}`, false, "trailing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := t.TempDir()
			must(t, os.Chmod(path, 0o700))
			if c.node != "" {
				must(t, os.WriteFile(filepath.Join(path, nodeFile), []byte(c.node), 0o600))
			}
			if c.raft {
				must(t, os.Mkdir(filepath.Join(path, raftDir), 0o700))
			}
			if _, err := Open(path); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Open: %v", err)
			}
		})
	}
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if _, err := Open(file); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("Open of a file: %v", err)
	}
}

func FuzzParseNode(f *testing.F) {
	f.Add([]byte(`{"format":1,"node_id":"000102030405060708090a0b0c0d0e0f","cluster_id":"00ff"}`))
	f.Add([]byte(`{"format":1,"node_id":""}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := parseNode(b); err == nil && (len(n.NodeID) != 32 || n.Format != 1 || len(n.ClusterID) > 64) {
			t.Errorf("%q passed as %+v", b, n)
		}
	})
}

func TestFsck(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, path string)
		opts   FsckOptions
		want   string // in a problem; "": sound
	}{
		{name: "sound"},
		{name: "a damaged entry", want: "entry 13", damage: func(t *testing.T, path string) {
			tamper(t, filepath.Join(path, raftDir), "logs", func(b *bbolt.Bucket) error {
				return b.Put([]byte{0, 0, 0, 0, 0, 0, 0, 13}, []byte("garbage"))
			})
		}},
		{name: "a missing entry", want: "11 to 15 are neither", damage: func(t *testing.T, path string) {
			tamper(t, filepath.Join(path, raftDir), "logs", func(b *bbolt.Bucket) error {
				return b.Delete([]byte{0, 0, 0, 0, 0, 0, 0, 15})
			})
		}},
		{name: "a missing entry that the snapshot covers", damage: func(t *testing.T, path string) {
			tamper(t, filepath.Join(path, raftDir), "logs", func(b *bbolt.Bucket) error {
				return b.Delete([]byte{0, 0, 0, 0, 0, 0, 0, 9})
			})
		}},
		{name: "a key that is no index", want: "no index", damage: func(t *testing.T, path string) {
			tamper(t, filepath.Join(path, raftDir), "logs", func(b *bbolt.Bucket) error { return b.Put([]byte("x"), nil) })
		}},
		{name: "a damaged snapshot", want: "SHA-256", damage: func(t *testing.T, path string) {
			flip(t, snapshotFile(t, filepath.Join(path, raftDir)), -snapshotFooter-1)
		}},
		{name: "no node file", want: nodeFile, damage: func(t *testing.T, path string) {
			must(t, os.Remove(filepath.Join(path, nodeFile)))
		}},
		{name: "a command that does not decode", want: "entry 2: unknown", opts: FsckOptions{
			Command: func(i uint64, _ []byte) error {
				if i == 2 {
					return errors.New("unknown")
				}
				return nil
			}}},
		{name: "a state that does not verify", want: "digest", opts: FsckOptions{
			Snapshot: func(r io.Reader) error { return errors.New("digest differs") }}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, path := soundDir(t)
			l := openLog(t, d.RaftDir(), LogOptions{})
			must(t, l.StoreLogs(entries(1, 20)))
			must(t, l.StoreLog(&raft.Log{Index: 21, Term: 1, Type: raft.LogNoop}))
			takeSnapshot(t, openSnapshots(t, d.RaftDir()), 10, "state")
			must(t, l.Close())
			must(t, d.Close())
			if c.damage != nil {
				c.damage(t, path)
			}
			r, err := Fsck(path, c.opts)
			must(t, err)
			if got := strings.Join(r.Problems, "\n"); c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("problems: %s\nwant: %q", got, c.want)
			}
			if c.name == "sound" {
				if r.First != 1 || r.Last != 21 || r.Entries != 21 || r.Commands != 20 || len(r.Gaps) != 0 || len(r.Snapshots) != 1 ||
					r.NodeID != d.NodeID() || r.Snapshots[0].Index != 10 || r.Snapshots[0].Size != 5 {
					t.Errorf("report: %+v", r)
				}
			}
		})
	}
}

func TestFsckOfAnEmptyNode(t *testing.T) {
	d, path := soundDir(t)
	must(t, d.Close())
	if r, err := Fsck(path, FsckOptions{}); err != nil || len(r.Problems) != 0 || r.Entries != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := Fsck(filepath.Join(path, "nowhere"), FsckOptions{}); err == nil {
		t.Error("Fsck of nothing")
	}
}
