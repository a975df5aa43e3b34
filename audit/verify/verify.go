// Package verify checks the files of an audit trail offline: that they hold what the nodes wrote, all of it and in order.
//
// It promises that every line which the node's audit key or a checkpoint vouches for is there byte for byte, or is named: of each
// node the first record that is altered, missing, repeated, moved or foreign. What the trail itself explains (a sink that failed, a
// file that retention deleted, an unclean stop) is a remark, not a fault, once what it says agrees with what is found. Memory
// is bounded however long the files are.
//
// Every changed bit of a whole line is found, since a line has its own hash. It does not promise more about the records after the last
// signed head, and about one that stands although its sink failed and before a gap: who can write the files can replace those, with new
// hashes. Without a checkpoint nothing tells a trail from one that ended earlier, and the node's key is the one that the trail itself names.
//
// The invariant that would hurt: an explanation that reaches back over signed records (a deleted file, a sink that failed)
// counts only when a later head signs it, for whoever can cut a file can also append to it: over the beginning of the trail, and over a
// record that the cluster had anchored, only when that head is of the same run of the node.
package verify

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

// Bounds of what is read.
const (
	maxLine    = 1 << 20 // bytes of a line; a record of the product has less than 64 KiB
	maxNodes   = 64
	maxNode    = 255 // bytes of a node's name
	maxID      = 64  // bytes of an eventID that is shown
	maxSinks   = 16
	maxGaps    = 1024    // of a node, whose explanation is remembered
	maxRemarks = 100     // of a node; what is beyond is counted
	recentSize = 1 << 15 // records whose hash is remembered: more than a sink may hold unacknowledged
	lookahead  = 16      // records of a file that are read to find where it belongs
)

// File is one file of a trail. Open is called twice, one file at a time: to see where it begins, and to read it whole.
type File struct {
	Name string
	Open func() (io.ReadCloser, error)
}

// Options says what the files are verified against.
type Options struct {
	// Checkpoint, when not nil, vouches for the nodes' keys and for one record of each node.
	Checkpoint *chain.Checkpoint
	// Sink names the sink that wrote the files, as AuditStarted lists it. "": the one whose losses the files show.
	Sink string
	// Partial takes files that begin in the middle of the trail.
	Partial bool
}

// Report is what was found.
type Report struct {
	Nodes   []Node   `json:"nodes"` // by name
	Remarks []string `json:"remarks"`
}

// Node is what was found of one node's trail.
type Node struct {
	Name      string    `json:"node"` // "": of lines that name none
	Files     int       `json:"files"`
	Records   uint64    `json:"records"`   // chained ones
	Unchained uint64    `json:"unchained"` // lines of a release without a chain
	Heads     uint64    `json:"heads"`
	FirstSeq  uint64    `json:"first_seq"`
	LastSeq   uint64    `json:"last_seq"`
	FirstTime time.Time `json:"first_time"`
	LastTime  time.Time `json:"last_time"`
	// SignedSeq is the last record that a verified head covers, 0 for none; SignedTime is when that was signed.
	SignedSeq  uint64    `json:"signed_seq"`
	SignedTime time.Time `json:"signed_time"`
	// Anchored says that the record which the checkpoint names is there.
	Anchored bool      `json:"anchored"`
	Fault    *Finding  `json:"fault"` // the first one; null: none
	Remarks  []Finding `json:"remarks"`
	// MoreRemarks counts the remarks beyond the first hundred.
	MoreRemarks uint64 `json:"more_remarks"`
}

// Finding is a record and what is to be said about it. Of records that are missing it names the first one, at the line where
// it should stand.
type Finding struct {
	File    string `json:"file"`
	Line    int    `json:"line"`     // from 1; 0: of no line
	Seq     uint64 `json:"seq"`      // 0: unknown
	EventID string `json:"event_id"` // "": not readable
	Text    string `json:"text"`
}

// String returns the finding on one line.
func (f Finding) String() string {
	s := f.File
	if f.Line > 0 {
		s += fmt.Sprintf(":%d", f.Line)
	}
	if f.Seq > 0 {
		s += fmt.Sprintf(": record %d", f.Seq)
	}
	if f.EventID != "" {
		s += " (" + f.EventID + ")"
	}
	return s + ": " + f.Text
}

// Faults returns the fault of each node that has one.
func (r *Report) Faults() (all []Finding) {
	for _, n := range r.Nodes {
		if n.Fault != nil {
			all = append(all, *n.Fault)
		}
	}
	return all
}

// Files verifies the files, which may be given in any order and be of several nodes. An error says that they could not be read or
// that the checkpoint makes no sense; what is wrong with the trail is in the report.
func Files(files []File, o Options) (*Report, error) {
	v := &verifier{options: o, nodes: map[string]*node{}, anchors: map[string]*anchor{}}
	if err := v.readCheckpoint(); err != nil {
		return nil, err
	}
	ordered, err := inOrder(files)
	if err != nil {
		return nil, err
	}
	for _, f := range ordered {
		if err := v.file(f); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	if len(v.nodes) == 0 {
		return nil, errors.New("the files hold no record")
	}
	return v.report(), nil
}

// ParseCheckpoint reads a checkpoint, the JSON form of chain.Checkpoint.
func ParseCheckpoint(text []byte) (*chain.Checkpoint, error) {
	if len(text) > maxLine {
		return nil, errors.New("a checkpoint has at most 1 MiB")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	c := &chain.Checkpoint{}
	if err := d.Decode(c); err != nil || d.Decode(&struct{}{}) != io.EOF {
		return nil, errors.New("it is not a checkpoint: one JSON object with cluster_id and anchors")
	}
	return c, (&verifier{options: Options{Checkpoint: c}, anchors: map[string]*anchor{}}).readCheckpoint()
}

// anchor is a chain.Anchor, read.
type anchor struct {
	seq  uint64
	hash chain.Hash
	key  ed25519.PublicKey
	time time.Time
}

type verifier struct {
	options Options
	nodes   map[string]*node
	anchors map[string]*anchor // by node
	remarks []string
}

func (v *verifier) readCheckpoint() error {
	c := v.options.Checkpoint
	if c == nil {
		return nil
	}
	if c.ClusterID == "" {
		return errors.New("the checkpoint names no cluster (cluster_id)")
	}
	for _, a := range c.Anchors {
		hash, err := chain.ParseHash(a.Hash)
		switch {
		case a.Node == "" || a.Seq == 0 || err != nil:
			return fmt.Errorf("the checkpoint's anchor of node %q has no node, record or hash", a.Node)
		case len(a.PublicKey) != ed25519.PublicKeySize:
			return fmt.Errorf("the checkpoint's key of node %q is not one of Ed25519", a.Node)
		case v.anchors[a.Node] != nil:
			return fmt.Errorf("the checkpoint names node %q twice", a.Node)
		}
		v.anchors[a.Node] = &anchor{seq: a.Seq, hash: hash, key: a.PublicKey, time: a.Time}
	}
	return nil
}

// start is where a file begins.
type start struct {
	File
	node string
	seq  uint64 // 0: no record of it is chained
	time time.Time
}

// inOrder returns the files as they are to be read: those of a node by the seq of their first record, and those of different
// nodes, which matters only when files mix nodes, by its time.
func inOrder(files []File) ([]start, error) {
	byNode := map[string][]start{}
	for _, f := range files {
		s, err := begins(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		byNode[s.node] = append(byNode[s.node], s)
	}
	var lists [][]start
	for _, list := range byNode {
		slices.SortFunc(list, func(a, b start) int { return cmp.Or(cmp.Compare(a.seq, b.seq), cmp.Compare(a.Name, b.Name)) })
		lists = append(lists, list)
	}
	var all []start
	for len(lists) > 0 {
		next := 0
		for i := range lists {
			a, b := lists[i][0], lists[next][0]
			if cmp.Or(a.time.Compare(b.time), cmp.Compare(a.node, b.node)) < 0 {
				next = i
			}
		}
		all = append(all, lists[next][0])
		if lists[next] = lists[next][1:]; len(lists[next]) == 0 {
			lists = slices.Delete(lists, next, next+1)
		}
	}
	return all, nil
}

// begins looks for the first record of f that the one after it confirms, so that a damaged first line does not move the file.
func begins(f File) (start, error) {
	s := start{File: f}
	in, err := f.Open()
	if err != nil {
		return s, err
	}
	defer in.Close()
	var seen []line
	for l := range lines(in, &err) {
		got, bad := parse(l.text)
		if bad != nil {
			continue
		}
		for _, before := range seen {
			if before.node == got.node && before.link.Seq+1 == got.link.Seq && before.link.Hash == got.link.Prev {
				s.node, s.seq, s.time = before.node, before.link.Seq, before.time
				return s, nil
			}
		}
		if seen = append(seen, got); len(seen) == lookahead {
			break
		}
	}
	if len(seen) > 0 {
		s.node, s.seq, s.time = seen[0].node, seen[0].link.Seq, seen[0].time
	}
	return s, err
}

// rawLine is a line without its newline. What is beyond maxLine of it is left out.
type rawLine struct {
	number  int
	text    []byte // valid until the next line
	long    bool   // it has more than maxLine bytes
	endless bool   // the file ends without a newline behind it
}

// lines reads line by line; an error of reading is put into *failed.
func lines(in io.Reader, failed *error) func(yield func(rawLine) bool) {
	return func(yield func(rawLine) bool) {
		r := bufio.NewReaderSize(in, 16<<10)
		var buf []byte
		for number := 1; ; number++ {
			l := rawLine{number: number}
			buf = buf[:0]
			for {
				part, err := r.ReadSlice('\n')
				if len(buf) <= maxLine {
					buf = append(buf, part...)
				}
				if err == nil {
					break
				}
				if err == io.EOF {
					l.endless = true
					break
				}
				if err != bufio.ErrBufferFull {
					*failed = fmt.Errorf("line %d: %w", number, err)
					return
				}
			}
			if l.endless && len(buf) == 0 {
				return
			}
			l.text = bytes.TrimSuffix(buf, []byte{'\n'})
			if l.long = len(l.text) > maxLine; l.long {
				l.text = l.text[:maxLine]
			}
			if !yield(l) || l.endless {
				return
			}
		}
	}
}

// file reads one file. Lines that are no record are charged to the node whose record stands before them in the file, or else
// to the next one.
func (v *verifier) file(f start) (err error) {
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	var current *node
	var early *badLines
	for raw := range lines(in, &err) {
		at := place{f.Name, raw.number}
		got, bad := parse(raw.text)
		if raw.long {
			bad = errLong
		}
		if got.altered && current != nil && v.nodes[got.node] == nil {
			got.node = current.found.Name // the name may be what was altered
		}
		if bad == nil || bad == errUnchained && current == nil {
			n, err := v.node(got.node)
			if err != nil {
				return err
			}
			if bad == errUnchained && n.last == nil {
				n.oldLine(at, early)
				early = nil
				continue
			}
			if bad == nil {
				n.bad, early = n.bad.join(early), nil
				n.add(&record{place: at, line: got})
				current = n
				continue
			}
		}
		lines := &badLines{place: at, why: bad, count: 1, endless: raw.endless, whole: bad != errTorn}
		if current != nil {
			current.bad = current.bad.join(lines)
		} else {
			early = early.join(lines)
		}
	}
	switch {
	case early == nil:
	case early.unfinished():
		v.remarks = append(v.remarks, fmt.Sprintf("%s: %v: it was being written, or the node died", f.Name, early.why))
	default:
		n, err := v.node("")
		if err != nil {
			return err
		}
		n.bad = n.bad.join(early)
	}
	return err
}

func (v *verifier) node(name string) (*node, error) {
	n := v.nodes[name]
	if n == nil {
		if len(v.nodes) == maxNodes {
			return nil, fmt.Errorf("the files name more than %d nodes: give fewer at once", maxNodes)
		}
		n = &node{found: Node{Name: name, Remarks: []Finding{}}, options: &v.options, anchor: v.anchors[name]}
		if n.anchor != nil {
			n.key = n.anchor.key
		}
		if c := v.options.Checkpoint; c != nil {
			n.cluster = c.ClusterID
		}
		v.nodes[name] = n
	}
	return n, nil
}

func (v *verifier) report() *Report {
	r := &Report{Nodes: []Node{}, Remarks: append([]string{}, v.remarks...)}
	for _, n := range v.nodes {
		n.finish()
		r.Nodes = append(r.Nodes, n.found)
	}
	slices.SortFunc(r.Nodes, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	if v.options.Checkpoint == nil {
		r.Remarks = append(r.Remarks, "nothing vouches for the end of the trail, nor for the nodes' keys: records cut off at the end are not missed; give a checkpoint")
		return r
	}
	for _, a := range v.options.Checkpoint.Anchors {
		if v.nodes[a.Node] == nil {
			r.Remarks = append(r.Remarks, fmt.Sprintf("no file is of node %s, of which the checkpoint names record %d", a.Node, a.Seq))
		}
	}
	return r
}
