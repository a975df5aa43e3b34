package verify_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/audit/chain"
	"github.com/lockstep-kms/lockstep/audit/verify"
)

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time // guarded by mu
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Millisecond)
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// signer is a node that is unsealed.
type signer struct{ key ed25519.PrivateKey }

func (s signer) Sign(seq uint64, hash chain.Hash, at time.Time) (chain.Head, ed25519.PublicKey, []byte) {
	h := chain.Head{Cluster: "c1", Node: "n1", Seq: seq, Hash: hash, Time: at.UnixMilli()}
	return h, s.key.Public().(ed25519.PublicKey), h.Sign(s.key)
}

// faulty is a file sink whose writes fail as a test says. A failing write leaves a part of the batch in the file.
type faulty struct {
	*audit.FileSink
	path string

	mu     sync.Mutex
	broken bool // guarded by mu
	part   int  // guarded by mu: per mille of a failing batch that is written
}

func (f *faulty) set(broken bool, part int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken, f.part = broken, part
}

func (f *faulty) failing() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.broken
}

func (f *faulty) Write(b *audit.Batch) error {
	f.mu.Lock()
	part := f.part
	f.mu.Unlock()
	if !f.failing() {
		return f.FileSink.Write(b)
	}
	size := len(b.Lines) * part / 1000
	_ = f.FileSink.Write(&audit.Batch{Lines: b.Lines[:size]}) // the next one ends a torn line, as after a fault
	f.Reopen()
	return errors.New("no space left on device")
}

// node is a log with two sinks whose files are in directories of their own.
type node struct {
	t     testing.TB
	dir   string
	key   ed25519.PrivateKey
	clock *clock
	log   *audit.Log
	sinks []*faulty
	head  chain.Head
}

func newNode(t testing.TB, dir string) *node {
	n := &node{t: t, dir: dir, key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)), clock: &clock{now: time.Date(2026, 11, 26, 20, 0, 0, 0, time.UTC)}}
	n.open()
	return n
}

func (n *node) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) open() {
	n.sinks = nil
	var sinks []audit.Sink
	for _, name := range []string{"a", "b"} {
		dir := filepath.Join(n.dir, name)
		n.must(os.MkdirAll(dir, 0o700))
		path := filepath.Join(dir, "audit.jsonl")
		s, err := audit.OpenFile(path, audit.FileOptions{MaxSize: 8 << 10, Retain: time.Hour, Now: n.clock.read})
		n.must(err)
		f := &faulty{FileSink: s, path: path}
		n.sinks = append(n.sinks, f)
		sinks = append(sinks, f)
	}
	log, err := audit.New(audit.Options{Sinks: sinks, Node: "n1", Timeout: time.Minute, Now: n.clock.read})
	n.must(err)
	n.log = log
	n.log.SetSigner(signer{n.key})
}

func (n *node) calls(count int) {
	for i := range count {
		_ = n.log.Append(&audit.Record{Time: n.clock.read(), Source: "kms.amazonaws.com", Name: "Encrypt", UserAgent: strings.Repeat("x", i*37%300),
			Identity: audit.Identity{Type: "Root"}, Node: "n1"})
	}
}

// sign signs a head, and notes it when the log says that it is in a sink.
func (n *node) sign() {
	if h, signed, err := n.log.SignHead(); err == nil && signed {
		n.head = h
	}
}

// settle waits until every sink that works has everything: a batch is settled when one of them has it.
func (n *node) settle() {
	n.clock.move(2 * time.Second) // a sink that failed is tried again
	n.calls(1)
	for end := time.Now().Add(20 * time.Second); ; <-time.After(time.Millisecond) {
		waits := false
		for _, s := range n.log.Stats().Sinks {
			waits = waits || s.Queue > 0
		}
		if !waits {
			return
		}
		if time.Now().After(end) {
			n.t.Fatal("the sinks do not end")
		}
	}
}

// repair makes both sinks work, and lets each say what it missed.
func (n *node) repair() {
	for _, s := range n.sinks {
		s.set(false, 0)
	}
	n.settle()
	n.settle()
}

// die leaves the log as it is and goes on with what its files have, torn at the end by cut bytes of each.
func (n *node) die(cut ...int) {
	n.settle()
	saved := n.dir + ".then"
	n.must(os.CopyFS(saved, os.DirFS(n.dir)))
	for _, sink := range []string{"a", "b"} {
		for _, f := range n.files(sink) {
			info, err := os.Stat(f.Name)
			n.must(err)
			n.must(os.Chtimes(filepath.Join(saved, sink, filepath.Base(f.Name)), info.ModTime(), info.ModTime()))
		}
	}
	_ = n.log.Close()
	n.must(os.RemoveAll(n.dir))
	n.must(os.Rename(saved, n.dir))
	for i, name := range []string{"a", "b"} {
		path := filepath.Join(n.dir, name, "audit.jsonl")
		info, err := os.Stat(path)
		n.must(err)
		n.must(os.Truncate(path, max(0, info.Size()-int64(cut[i]))))
	}
	n.open()
}

// age has retention delete every file but the one that is written.
func (n *node) age() {
	for end := time.Now().Add(20 * time.Second); len(n.files("a"))+len(n.files("b")) > 2; <-time.After(time.Millisecond) {
		n.clock.move(2 * time.Hour)
		n.settle()
		if time.Now().After(end) {
			n.t.Fatal("the files are not removed")
		}
	}
}

func (n *node) files(sink string) (all []verify.File) {
	paths, err := filepath.Glob(filepath.Join(n.dir, sink, "*.jsonl"))
	n.must(err)
	for _, path := range paths {
		all = append(all, verify.File{Name: path, Open: func() (io.ReadCloser, error) { return os.Open(path) }})
	}
	return all
}

// verify verifies the files of one sink against a checkpoint of the latest head.
func (n *node) verify(sink int) *verify.Report {
	n.t.Helper()
	c := &chain.Checkpoint{ClusterID: "c1", Anchors: []chain.Anchor{{Node: "n1", PublicKey: n.key.Public().(ed25519.PublicKey),
		Seq: n.head.Seq, Hash: n.head.Hash.String(), Time: time.UnixMilli(n.head.Time)}}}
	r, err := verify.Files(n.files([]string{"a", "b"}[sink]), verify.Options{Checkpoint: c, Sink: n.sinks[sink].Name()})
	n.must(err)
	return r
}

// Whatever happens to its sinks and to its process, what a log writes is taken, once all of them work again and a head is
// signed; and what is changed in that afterwards is not.
func TestLogVerifies(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := newNode(t, filepath.Join(t.TempDir(), "n1"))
		defer func() { n.log.Close() }()
		n.calls(3)
		n.sign()
		// What one sink's files have may be explained in it by a record that only the other one has signed, or by a part of a batch
		// that says what both missed: then nobody can tell, by these files alone, who wrote that before the node was stopped.
		unsure := false
		for range rapid.IntRange(3, 12).Draw(rt, "steps") {
			s := n.sinks[rapid.IntRange(0, 1).Draw(rt, "sink")]
			switch rapid.SampledFrom([]string{"calls", "calls", "sign", "break", "repair", "wait", "restart", "die"}).Draw(rt, "step") {
			case "calls":
				n.calls(rapid.IntRange(1, 15).Draw(rt, "calls"))
			case "sign":
				n.sign()
			case "break":
				part := rapid.IntRange(-500, 1000).Draw(rt, "part")
				s.set(true, max(part, 0))
				unsure = unsure || part > 0 || n.sinks[0].failing() && n.sinks[1].failing()
			case "repair":
				unsure = unsure || s.failing()
				s.set(false, 0)
			case "wait":
				n.settle()
			case "restart":
				if unsure {
					n.repair()
					n.sign()
					unsure = false
				}
				n.settle()
				_ = n.log.Close()
				n.open()
				n.anchorFound()
			case "die":
				n.repair()
				unsure = false
				n.sign()
				n.calls(3) // not more than these are torn or lost: the head stays
				n.die(rapid.IntRange(0, 400).Draw(rt, "cut a"), rapid.IntRange(0, 400).Draw(rt, "cut b"))
				n.anchorFound()
			}
		}
		n.repair()
		if rapid.Bool().Draw(rt, "retention") {
			n.age()
		}
		n.sign()
		n.settle()
		for i := range n.sinks {
			r := n.verify(i)
			if len(r.Nodes) != 1 || len(r.Faults()) > 0 || !r.Nodes[0].Anchored {
				rt.Fatalf("sink %d: %v\n%+v", i, r.Faults(), r)
			}
		}
		n.damage(rt)
	})
}

// damage changes one bit of a record, and restores it.
func (n *node) damage(rt *rapid.T) {
	for i, sink := range []string{"a", "b"} {
		var whole []byte
		files := n.files(sink)
		for _, f := range files {
			b, err := os.ReadFile(f.Name)
			n.must(err)
			whole = append(whole, b...)
		}
		at := rapid.IntRange(0, len(whole)-1).Draw(rt, fmt.Sprint("byte of ", sink))
		for _, f := range files {
			b, err := os.ReadFile(f.Name)
			n.must(err)
			if at >= len(b) {
				at -= len(b)
				continue
			}
			start := bytes.LastIndexByte(b[:at], '\n') + 1
			end := at + bytes.IndexByte(b[at:], '\n')
			l, err := chain.ReadLink(b[start:end])
			if err != nil { // torn
				return
			}
			changed := bytes.Clone(b)
			changed[at] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
			n.must(os.WriteFile(f.Name, changed, 0o600))
			if r := n.verify(i); len(r.Faults()) == 0 {
				rt.Fatalf("byte %d of %s, in record %d, is changed: no fault\n%+v", at, f.Name, l.Seq, r)
			}
			n.must(os.WriteFile(f.Name, b, 0o600))
			return
		}
	}
}

// anchorFound is what a node writes when it is unsealed the first time: the head that the cluster has, and that signed.
func (n *node) anchorFound() {
	if n.head.Seq == 0 {
		return
	}
	missing := n.head.Seq - min(n.head.Seq, n.log.Found().Seq)
	if err := n.log.Event("AuditAnchorFound", audit.Int("anchorSeq", int64(n.head.Seq)), audit.Pair{Key: "anchorHash", Value: n.head.Hash.String()},
		audit.Int("anchorTime", n.head.Time), audit.Int("missing", int64(missing))); err == nil {
		n.sign()
	}
}

// A log that finds less than the cluster knows says so.
func TestLogFindsWhatWasCut(t *testing.T) {
	n := newNode(t, filepath.Join(t.TempDir(), "n1"))
	n.calls(20)
	n.sign()
	head := n.head
	n.settle()
	n.must(n.log.Close())
	for _, s := range n.sinks {
		b, err := os.ReadFile(s.path)
		n.must(err)
		lines := bytes.SplitAfter(b, []byte("\n"))
		n.must(os.WriteFile(s.path, bytes.Join(lines[:len(lines)-8], nil), 0o600))
	}
	if f := n.verify(0).Faults(); len(f) != 1 || !strings.Contains(f[0].Text, "missing at the end") {
		t.Errorf("before the node starts: %v", f)
	}
	n.open()
	found := n.log.Found().Seq
	if found == 0 || found >= head.Seq {
		t.Fatalf("found %d, signed %d", found, head.Seq)
	}
	n.anchorFound()
	n.calls(10)
	n.sign()
	n.settle()
	for i := range n.sinks {
		if f := n.verify(i).Faults(); len(f) != 1 || f[0].Seq != found+1 || !strings.Contains(f[0].Text, "did not find it when it was started") {
			t.Errorf("sink %d: %v", i, f)
		}
	}
	n.must(n.log.Close())
}

// Whoever takes the first files of a node that is down, and appends a record that would explain it, convinces nobody: the node goes on
// from that record and signs it, but it was started again before.
func TestLogGoesOnFromAForgedExplanation(t *testing.T) {
	for name, forge := range map[string]func(sink string, first chain.Link) audit.Record{
		"retention": func(sink string, first chain.Link) audit.Record {
			return audit.Record{Name: "AuditFileRemoved", Details: []audit.Pair{{Key: "sink", Value: sink}, {Key: "file", Value: "audit-1.jsonl"}, audit.Int("firstSeq", 1),
				audit.Int("lastSeq", int64(first.Seq-1)), {Key: "lastHash", Value: first.Prev.String()}}}
		},
		"a new sink": func(sink string, first chain.Link) audit.Record {
			return audit.Record{Name: "AuditRecordsMissed", Details: []audit.Pair{{Key: "sink", Value: sink}, audit.Int("afterSeq", 0), {Key: "afterHash", Value: chain.Hash{}.String()},
				audit.Int("fromSeq", 1), audit.Int("toSeq", int64(first.Seq-1)), {Key: "error", Value: "it is new"}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, filepath.Join(t.TempDir(), "n1"))
			n.calls(5)
			n.sign()
			early := n.head
			for len(n.files("a")) < 4 {
				n.calls(5)
			}
			n.sign()
			n.settle()
			n.must(n.log.Close())
			path := n.sinks[0].path
			for _, f := range n.files("a") {
				if f.Name != path {
					n.must(os.Remove(f.Name))
				}
			}
			b, err := os.ReadFile(path)
			n.must(err)
			lines := bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n"))
			first, err := chain.ReadLink(lines[0])
			n.must(err)
			last, err := chain.ReadLink(lines[len(lines)-1])
			n.must(err)
			r := forge("file:"+path, first)
			r.Time, r.Source, r.Node, r.Identity = n.clock.read(), "lockstep", "n1", audit.Identity{Type: "Service", PrincipalID: "n1"}
			start := len(b)
			b, _ = chain.AppendLink(bytes.TrimSuffix(r.AppendJSON(b), []byte("}}")), start, last.Seq+1, last.Hash)
			n.must(os.WriteFile(path, append(b, '\n'), 0o600))

			n.open()
			if n.log.Found().Seq != last.Seq+1 {
				t.Fatalf("it goes on from %d", n.log.Found().Seq)
			}
			n.anchorFound()
			n.calls(5)
			n.sign()
			n.settle()
			for _, head := range []chain.Head{n.head, early} {
				n.head = head
				if f := n.verify(0).Faults(); len(f) != 1 || f[0].Seq != 1 || !strings.Contains(f[0].Text, "started again before that was signed") {
					t.Errorf("against record %d: %v", head.Seq, f)
				}
			}
			n.must(n.log.Close())
		})
	}
}
