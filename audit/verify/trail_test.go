package verify

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

const (
	cluster = "c1a5"
	file    = "file:/var/log/lockstep/audit.jsonl"
	syslog  = "syslog+tls://collector:6514"
)

func testKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

// trail writes what a node writes. Every record advances its clock by a second.
type trail struct {
	node  string
	key   ed25519.PrivateKey
	run   string // its eventIDs begin with it
	seq   uint64
	prev  chain.Hash
	now   time.Time
	lines []string // without newlines; lines[i] is record i+1
}

func newTrail(node string) *trail {
	return &trail{node: node, key: testKey(1), run: "e", now: time.Date(2026, 11, 26, 20, 0, 0, 0, time.UTC)}
}

func (t *trail) write(name, kind, source, details string) *trail {
	t.seq++
	t.now = t.now.Add(time.Second)
	b := fmt.Appendf(nil, `{"eventTime":"%s","eventID":"%s-%d","eventSource":"%s","eventName":"%s","eventType":"%s"%s,"additionalEventData":{"node":"%s","index":"1.9"`,
		t.now.Format(time.RFC3339), t.run, t.seq, source, name, kind, details, t.node)
	b, t.prev = chain.AppendLink(b, 0, t.seq, t.prev)
	t.lines = append(t.lines, string(b))
	return t
}

func (t *trail) calls(n int) *trail {
	for range n {
		t.write("Encrypt", "AwsApiCall", "kms.amazonaws.com", "")
	}
	return t
}

func (t *trail) event(name, format string, args ...any) *trail {
	return t.write(name, "AwsServiceEvent", "lockstep", `,"serviceEventDetails":{`+fmt.Sprintf(format, args...)+"}")
}

func (t *trail) started(clean bool, boot string) *trail { return t.startedFrom(t.seq, clean, boot) }

// startedFrom is a start that found record found and wrote already what stands behind that.
func (t *trail) startedFrom(found uint64, clean bool, boot string) *trail {
	return t.event("AuditStarted", `"previousSeq":%d,"previousHash":"%s","foundSeq":%d,"clean":%v,"bootId":"%s","sinks":"%s,%s"`, t.seq, t.prev, found, clean, boot, file, syslog)
}

func (t *trail) stopped() *trail { return t.event("AuditStopped", "") }

func (t *trail) headOf(cluster, node string, key ed25519.PrivateKey) *trail {
	h := chain.Head{Cluster: cluster, Node: node, Seq: t.seq, Hash: t.prev, Time: t.now.UnixMilli()}
	return t.event("AuditHead", `"clusterId":"%s","headSeq":%d,"headHash":"%s","headTime":%d,"publicKey":"%s","signature":"%s"`,
		cluster, h.Seq, h.Hash, h.Time, base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey)), base64.StdEncoding.EncodeToString(h.Sign(key)))
}

func (t *trail) head() *trail { return t.headOf(cluster, t.node, t.key) }

// missed says that sink took after last and nothing up to the record before.
func (t *trail) missed(sink string, after uint64) *trail { return t.missedTo(sink, after, t.seq) }

func (t *trail) missedTo(sink string, after, to uint64) *trail {
	return t.event("AuditRecordsMissed", `"sink":"%s","afterSeq":%d,"afterHash":"%s","fromSeq":%d,"toSeq":%d,"error":"it hangs"`, sink, after, t.hash(after), after+1, to)
}

func (t *trail) removed(sink string, last uint64) *trail {
	return t.event("AuditFileRemoved", `"sink":"%s","file":"audit-1.jsonl","firstSeq":1,"lastSeq":%d,"lastHash":"%s"`, sink, last, t.hash(last))
}

// found says what the cluster had anchored when the node was unsealed, and signs that.
func (t *trail) found(seq uint64, hash chain.Hash, missing uint64) *trail {
	return t.event("AuditAnchorFound", `"anchorSeq":%d,"anchorHash":"%s","anchorTime":%d,"missing":%d`, seq, hash, t.now.UnixMilli(), missing).head()
}

// hash is that of record seq.
func (t *trail) hash(seq uint64) (h chain.Hash) {
	if seq > 0 {
		l, err := chain.ReadLink([]byte(t.lines[seq-1]))
		if err != nil {
			panic(err)
		}
		h = l.Hash
	}
	return h
}

// again is a line as somebody wrote it who changed old into new and computed the hash of that.
func again(line, old, new string) string {
	l, err := chain.ReadLink([]byte(line))
	if err != nil || !strings.Contains(line, old) {
		panic(old)
	}
	return relink(strings.Replace(line, old, new, 1), l.Seq, l.Prev)
}

// relink is a line with another place in the chain, and its own hash.
func relink(line string, seq uint64, prev chain.Hash) string {
	body, _, _ := strings.Cut(line, `,"seq"`)
	b, _ := chain.AppendLink([]byte(body), 0, seq, prev)
	return string(b)
}

// fork is the trail as it was at record seq: what is written to it is not in t.
func (t *trail) fork(seq uint64) *trail {
	f := *t
	f.seq, f.prev, f.lines = seq, t.hash(seq), append([]string{}, t.lines[:seq]...)
	return &f
}

// text is the file with records from to to.
func (t *trail) text(from, to uint64) string {
	return strings.Join(t.lines[from-1:to], "\n") + "\n"
}

func (t *trail) all() string { return t.text(1, t.seq) }

func (t *trail) checkpoint(seq uint64) *chain.Checkpoint {
	return &chain.Checkpoint{ClusterID: cluster, Anchors: []chain.Anchor{{Node: t.node, PublicKey: t.key.Public().(ed25519.PublicKey),
		Seq: seq, Hash: t.hash(seq).String(), Time: t.now}}}
}

// files gives texts the names a.jsonl, b.jsonl and so on.
func files(texts ...string) (all []File) {
	for i, text := range texts {
		all = append(all, File{Name: string(rune('a'+i)) + ".jsonl", Open: func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(text)), nil
		}})
	}
	return all
}

func check(t testing.TB, o Options, texts ...string) *Report {
	t.Helper()
	r, err := Files(files(texts...), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// accepted verifies what must have no fault and the remarks given, each a part of one.
func accepted(t testing.TB, o Options, texts []string, remarks ...string) *Report {
	t.Helper()
	r := check(t, o, texts...)
	if f := r.Faults(); len(f) > 0 {
		t.Errorf("refused: %v", f)
	}
	var all strings.Builder
	for _, n := range r.Nodes {
		for _, f := range n.Remarks {
			fmt.Fprintln(&all, f)
		}
	}
	for _, want := range append(remarks, r.Remarks...) {
		if !strings.Contains(all.String()+strings.Join(r.Remarks, "\n"), want) {
			t.Errorf("no remark says %q:\n%s", want, all.String())
		}
	}
	return r
}

// refused verifies what must have its first fault at record seq, and a text about it.
func refused(t testing.TB, o Options, texts []string, seq uint64, says string) {
	t.Helper()
	faults := check(t, o, texts...).Faults()
	if len(faults) != 1 || faults[0].Seq != seq || !strings.Contains(faults[0].Text, says) {
		t.Errorf("%d faults, want record %d and %q; got %v", len(faults), seq, says, faults)
	}
}
