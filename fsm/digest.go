package fsm

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// The state digest is a multiset hash: the sum, modulo 2^256, of one SHA-256 for every element of
// the state, hashed once more together with what is not a set:
//
//	element  SHA-256(label | CBOR of the element)
//	digest   SHA-256("lockstep/fsm/state/1" 0x00 | sum 32, big-endian | CBOR of [epoch, index, log time, [floor...],
//	         records, scopes, remembered transactions])
//
// A write subtracts the old element and adds the new one, so the digest costs what changed. The
// elements are encoded exactly as in a snapshot. It finds damage and divergence; it is no
// commitment against someone who can choose records at will.
const (
	labelRecord = "lockstep/fsm/record/1\x00"
	labelScope  = "lockstep/fsm/scope/1\x00"
	labelMemo   = "lockstep/fsm/memo/1\x00"
	labelState  = "lockstep/fsm/state/1\x00"
)

// sum is an unsigned 256 bit number, least significant word first.
type sum [4]uint64

func (s *sum) add(h [32]byte) {
	var carry uint64
	for i := range s {
		s[i], carry = bits.Add64(s[i], binary.BigEndian.Uint64(h[24-8*i:]), carry)
	}
}

func (s *sum) sub(h [32]byte) {
	var borrow uint64
	for i := range s {
		s[i], borrow = bits.Sub64(s[i], binary.BigEndian.Uint64(h[24-8*i:]), borrow)
	}
}

func (s *sum) append(b []byte) []byte {
	for i := range s {
		b = binary.BigEndian.AppendUint64(b, s[3-i])
	}
	return b
}

// Digest returns the digest of the whole state of the view.
func (v *View) Digest() [32]byte { return v.t.digest() }

func (t *tables) digest() [32]byte {
	b := t.sum.append(append(make([]byte, 0, 256), labelState...))
	return sha256.Sum256(t.appendMeta(b))
}

// appendMeta appends what of the state is in no table. It is the meta section of a snapshot too.
func (t *tables) appendMeta(b []byte) []byte {
	b = appendArray(b, 7)
	b = appendUint(b, t.epoch)
	b = appendUint(b, t.index)
	b = appendUint(b, uint64(t.logTime))
	b = t.appendFloors(b)
	records := 0
	for _, table := range t.records {
		records += table.Len()
	}
	b = appendUint(b, uint64(records))
	b = appendUint(b, uint64(t.scopes.Len()))
	return appendUint(b, uint64(t.memos.Len()))
}

// appendFloors appends the floors of the kinds, those of kinds that came after the first release only up
// to the last that is not 0: releases that know different kinds agree about a state that all of them know.
func (t *tables) appendFloors(b []byte) []byte {
	n := kinds
	for n > firstKinds && t.floors[n-1] == 0 {
		n--
	}
	b = appendArray(b, n)
	for _, floor := range t.floors[:n] {
		b = appendUint(b, floor)
	}
	return b
}

func (s *state) hashRecord(kind Kind, id ID, e *entry) [32]byte {
	s.scratch = e.append(append(s.scratch[:0], labelRecord...), kind, id)
	return sha256.Sum256(s.scratch)
}

func (s *state) hashScope(id ScopeID, sc scope) [32]byte {
	s.scratch = sc.append(append(s.scratch[:0], labelScope...), id)
	return sha256.Sum256(s.scratch)
}

func (s *state) hashMemo(m *memo) [32]byte {
	s.scratch = m.append(append(s.scratch[:0], labelMemo...))
	return sha256.Sum256(s.scratch)
}
