package fsm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/hashicorp/raft"
)

// A snapshot is
//
//	magic "LOCKSTEP-STATE" 14 | version 2 | section...
//
// and a section
//
//	type 1 | number 4 | length 4 | payload | SHA-256(type | number | length | payload) 32
//
// Numbers count from 0 and are big-endian, as version and length. The payloads are CBOR values, in
// this order of sections; those in parentheses come as often as needed, none at all included:
//
//	meta       [epoch, index, log time, [floor...], records, scopes, remembered transactions]
//	(records)  [kind, id, revision, term, deleted, stamp, body, [scope 16...]]... by kind and id
//	(scopes)   [id 16, revision, members]...                                      by id
//	(memory)   [id 16, request 32, index, stamp, long, [[kind, id]...]]...        short ones first, then by age
//	end        digest 32
//
// What the tables hold once is not written twice: term counts, tombstone order and the sum of the
// digest are made anew from the records, and so are the scopes' members, to be compared.
const (
	snapshotMagic   = "LOCKSTEP-STATE"
	snapshotVersion = 1

	sectionMeta    = 1
	sectionRecords = 2
	sectionScopes  = 3
	sectionMemory  = 4
	sectionEnd     = 5

	sectionTarget = 256 << 10                 // a section is closed when it gets larger than this
	sectionMax    = sectionTarget + 2*MaxBody // no section is larger

	sectionHead = 1 + 4 + 4
)

// ErrSnapshot is what every error of a damaged or foreign snapshot wraps.
var ErrSnapshot = errors.New("fsm: the snapshot is damaged or not of this release")

// SnapshotInfo says what a verified snapshot holds.
type SnapshotInfo struct {
	Epoch   uint64
	Index   uint64
	LogTime int64 // ms
	Records int   // tombstones included
	Digest  [32]byte
}

// VerifySnapshot reads a snapshot and checks all of it: every section, every record, the counts and
// the digest. It takes the memory of the state.
func VerifySnapshot(r io.Reader) (SnapshotInfo, error) {
	s, err := readSnapshot(r, 0)
	if err != nil {
		return SnapshotInfo{}, err
	}
	info := SnapshotInfo{Epoch: s.epoch, Index: s.index, LogTime: s.logTime, Digest: s.digest()}
	for _, table := range s.records {
		info.Records += table.Len()
	}
	return info, nil
}

// snapshot is a raft.FSMSnapshot.
type snapshot struct{ view *View }

// Persist writes the snapshot, while commands go on being applied.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.view.writeSnapshot(sink); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release has nothing to release.
func (s *snapshot) Release() {}

func (v *View) writeSnapshot(w io.Writer) error {
	t := &v.t
	head := binary.BigEndian.AppendUint16([]byte(snapshotMagic), snapshotVersion)
	if _, err := w.Write(head); err != nil {
		return err
	}
	sw := sectionWriter{w: w, buf: make([]byte, sectionHead, sectionTarget+4096)}
	sw.buf = t.appendMeta(sw.buf)
	sw.flush(sectionMeta)
	for kind, table := range t.records {
		table.All(func(id ID, e *entry) bool {
			sw.buf = e.append(sw.buf, Kind(kind), id)
			return sw.full(sectionRecords)
		})
	}
	sw.flush(sectionRecords)
	t.scopes.All(func(id ScopeID, sc scope) bool {
		sw.buf = sc.append(sw.buf, id)
		return sw.full(sectionScopes)
	})
	sw.flush(sectionScopes)
	for _, q := range t.queues {
		q.all(func(m *memo) bool {
			sw.buf = m.append(sw.buf)
			return sw.full(sectionMemory)
		})
	}
	sw.flush(sectionMemory)
	digest := t.digest()
	sw.buf = appendBytes(sw.buf, digest[:])
	sw.flush(sectionEnd)
	return sw.err
}

// sectionWriter collects a section in buf behind room for its head, and writes it.
type sectionWriter struct {
	w      io.Writer
	buf    []byte
	number uint32
	err    error
}

// full flushes when the section is large enough and says whether to go on.
func (s *sectionWriter) full(kind byte) bool {
	if len(s.buf) > sectionTarget {
		s.flush(kind)
	}
	return s.err == nil
}

// flush writes the section, unless it is empty.
func (s *sectionWriter) flush(kind byte) {
	length := len(s.buf) - sectionHead
	if length == 0 || s.err != nil {
		return
	}
	s.buf[0] = kind
	binary.BigEndian.PutUint32(s.buf[1:], s.number)
	binary.BigEndian.PutUint32(s.buf[5:], uint32(length))
	hash := sha256.Sum256(s.buf)
	_, s.err = s.w.Write(append(s.buf, hash[:]...))
	s.buf = s.buf[:sectionHead]
	s.number++
}

// restorer builds a state from sections.
type restorer struct {
	*state
	members map[ScopeID]uint64 // counted from the records; emptied by the scopes section

	recordCount, scopeCount, memoCount uint64 // as the meta section says
	digest                             [32]byte

	lastKind Kind
	lastID   ID
	lastOf   [2]int64 // stamp of the last memo by class
}

func readSnapshot(r io.Reader, limit int) (*state, error) {
	head := make([]byte, len(snapshotMagic)+2)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, fmt.Errorf("%w: head: %w", ErrSnapshot, err)
	}
	if !bytes.HasPrefix(head, []byte(snapshotMagic)) {
		return nil, fmt.Errorf("%w: it does not begin as one", ErrSnapshot)
	}
	if v := binary.BigEndian.Uint16(head[len(snapshotMagic):]); v != snapshotVersion {
		return nil, fmt.Errorf("%w: version %d, this release knows %d", ErrSnapshot, v, snapshotVersion)
	}
	rs := &restorer{state: newState(limit), members: map[ScopeID]uint64{}}
	sr := sectionReader{r: r}
	for last := byte(0); last != sectionEnd; {
		kind, payload, err := sr.next()
		if err == nil && (kind < last || kind == last && kind == sectionMeta || last == 0 && kind != sectionMeta) {
			err = errors.New("it is not where it belongs")
		}
		if err == nil {
			err = rs.section(kind, payload)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: section %d: %w", ErrSnapshot, sr.number, err)
		}
		last = kind
		sr.number++
	}
	if n, err := io.ReadFull(r, head[:1]); n != 0 || err != io.EOF {
		return nil, fmt.Errorf("%w: it does not end where it should", ErrSnapshot)
	}
	if err := rs.finish(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	return rs.state, nil
}

// sectionReader reads sections and checks their hashes. The payload is good until the next call.
type sectionReader struct {
	r      io.Reader
	buf    []byte
	number uint32
}

func (s *sectionReader) next() (kind byte, payload []byte, err error) {
	var head [sectionHead]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(head[5:])
	if binary.BigEndian.Uint32(head[1:]) != s.number || length == 0 || length > sectionMax {
		return 0, nil, errors.New("its head is damaged")
	}
	need := sectionHead + int(length) + sha256.Size
	if cap(s.buf) < need {
		s.buf = make([]byte, need)
	}
	s.buf = s.buf[:need]
	copy(s.buf, head[:])
	if _, err := io.ReadFull(s.r, s.buf[sectionHead:]); err != nil {
		return 0, nil, err
	}
	body := s.buf[:need-sha256.Size]
	if sha256.Sum256(body) != [32]byte(s.buf[len(body):]) {
		return 0, nil, errors.New("its hash does not match")
	}
	return head[0], body[sectionHead:], nil
}

func (rs *restorer) section(kind byte, payload []byte) error {
	r := &reader{data: payload}
	var read func(*reader) error
	switch kind {
	case sectionMeta:
		read = rs.meta
	case sectionRecords:
		read = rs.record
	case sectionScopes:
		read = rs.scope
	case sectionMemory:
		read = rs.memo
	case sectionEnd:
		read = func(r *reader) error { r.fixed(rs.digest[:]); return r.end() }
	default:
		return fmt.Errorf("section type %d is not known", kind)
	}
	for len(r.data) > 0 {
		if err := read(r); err != nil {
			return err
		}
	}
	return r.err
}

func (rs *restorer) meta(r *reader) error {
	r.tuple(7)
	rs.epoch = r.uint(math.MaxUint64)
	rs.index = r.uint(math.MaxUint64)
	rs.logTime = int64(r.uint(maxTime))
	n := r.array(kinds)
	for kind := range n {
		rs.floors[kind] = r.uint(maxRevision)
	}
	if r.err == nil && (n < firstKinds || n > firstKinds && rs.floors[n-1] == 0) {
		r.fail(errShape)
	}
	rs.recordCount = r.uint(math.MaxInt64)
	rs.scopeCount = r.uint(math.MaxInt64)
	rs.memoCount = r.uint(math.MaxInt64)
	return r.end()
}

func (rs *restorer) record(r *reader) error {
	r.tuple(8)
	kind := Kind(r.uint(math.MaxUint8))
	id := ID(r.bytes(1, MaxID))
	revision := r.uint(maxRevision)
	term := uint32(r.uint(math.MaxUint32))
	deleted := r.bool()
	stamp := int64(r.uint(uint64(rs.logTime)))
	body := r.bytes(1, MaxBody)
	scopes := readList(r, MaxScopes, (*ScopeID).read)
	if r.err != nil {
		return r.err
	}
	if err := checkRecord(kind, id, revision, term, body, scopes); err != nil {
		return err
	}
	if kind < rs.lastKind || kind == rs.lastKind && id <= rs.lastID {
		return errors.New("records are out of order")
	}
	if deleted && len(scopes) > 0 {
		return errors.New("a tombstone is in a scope")
	}
	rs.lastKind, rs.lastID = kind, id
	e := newEntry(revision, term, deleted, stamp, body, scopes)
	rs.records[kind].Load(id, e)
	rs.note(kind, id, e)
	rs.recordCount--
	for _, s := range scopes {
		rs.members[s]++
	}
	return nil
}

func (rs *restorer) scope(r *reader) error {
	r.tuple(3)
	var id ScopeID
	r.fixed(id[:])
	sc := scope{revision: r.uint(rs.index), members: r.uint(math.MaxUint64)}
	if r.err != nil {
		return r.err
	}
	if sc.members == 0 || rs.members[id] != sc.members {
		return fmt.Errorf("scope %v has %d members, counted %d", id, sc.members, rs.members[id])
	}
	delete(rs.members, id)
	rs.putScope(id, sc)
	rs.scopeCount--
	return nil
}

func (rs *restorer) memo(r *reader) error {
	r.tuple(6)
	m := new(memo)
	r.fixed(m.id[:])
	r.fixed(m.request[:])
	m.index = r.uint(rs.index)
	m.stamp = int64(r.uint(uint64(rs.logTime)))
	m.long = r.bool()
	m.refs = readList(r, MaxWrites, (*Ref).read)
	if r.err != nil {
		return r.err
	}
	if _, twice := rs.memos.Get(m.id); twice || m.id == (TxnID{}) || m.stamp < rs.lastOf[class(m.long)] {
		return errors.New("remembered transactions are out of order")
	}
	for i := range m.refs {
		if err := checkRef(m.refs[i].Kind, m.refs[i].ID); err != nil {
			return err
		}
	}
	rs.lastOf[class(m.long)] = m.stamp
	rs.remember(m)
	rs.memoCount--
	return nil
}

func (r *Ref) read(d *reader) {
	d.tuple(2)
	r.Kind = Kind(d.uint(math.MaxUint8))
	r.ID = ID(d.bytes(1, MaxID))
}

// finish compares what was counted and computed with what the snapshot says of itself.
func (rs *restorer) finish() error {
	if rs.recordCount != 0 || rs.scopeCount != 0 || rs.memoCount != 0 || len(rs.members) != 0 {
		return errors.New("tables are not as long as it says")
	}
	if rs.state.digest() != rs.digest {
		return errors.New("the state digest does not match")
	}
	return nil
}
