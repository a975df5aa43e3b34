package storage

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

// raft-boltdb keeps no checksum, so an entry is stored with one at the end of its Extensions,
// which costs no copy of the data:
//
//	extensions | CRC-32C, 4 bytes, big endian
//
// and the checksum covers
//
//	index 8 | term 8 | type 1 | appended-at seconds 8 | nanoseconds 4 | len(data) 8 | data | extensions
//
// A value of the stable store is stored as
//
//	value | CRC-32C of (len(key) 8 | key | value), 4 bytes, big endian
//
// A checksum finds accidents, not attacks: who can write the file can compute it. Peers and
// operators are authenticated elsewhere, and record bodies carry their own AEAD tags.
const crcSize = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli) // immutable

func entryCRC(log *raft.Log, extensions []byte) uint32 {
	var head [37]byte
	binary.BigEndian.PutUint64(head[0:], log.Index)
	binary.BigEndian.PutUint64(head[8:], log.Term)
	head[16] = byte(log.Type)
	binary.BigEndian.PutUint64(head[17:], uint64(log.AppendedAt.Unix()))
	binary.BigEndian.PutUint32(head[25:], uint32(log.AppendedAt.Nanosecond()))
	binary.BigEndian.PutUint64(head[29:], uint64(len(log.Data)))
	crc := crc32.Update(0, castagnoli, head[:])
	crc = crc32.Update(crc, castagnoli, log.Data)
	return crc32.Update(crc, castagnoli, extensions)
}

// sealEntries returns copies of logs that carry checksums. Raft shares logs with its replication
// goroutines, so they are never changed themselves.
func sealEntries(logs []*raft.Log) []*raft.Log {
	size := 0
	for _, log := range logs {
		size += len(log.Extensions) + crcSize
	}
	copies := make([]raft.Log, len(logs))
	sealed := make([]*raft.Log, len(logs))
	sums := make([]byte, 0, size)
	for i, log := range logs {
		copies[i] = *log
		start := len(sums)
		sums = append(sums, log.Extensions...)
		sums = binary.BigEndian.AppendUint32(sums, entryCRC(log, log.Extensions))
		copies[i].Extensions = sums[start:len(sums):len(sums)]
		sealed[i] = &copies[i]
	}
	return sealed
}

// openEntry verifies what was read at index and takes the checksum off again.
func openEntry(index uint64, log *raft.Log) error {
	n := len(log.Extensions) - crcSize
	switch {
	case n < 0:
		return &CorruptError{Index: index, Detail: "it has no checksum"}
	case log.Index != index:
		return &CorruptError{Index: index, Detail: "another entry stands in its place"}
	case binary.BigEndian.Uint32(log.Extensions[n:]) != entryCRC(log, log.Extensions[:n]):
		return &CorruptError{Index: index, Detail: "its checksum does not fit"}
	}
	if log.Extensions = log.Extensions[:n]; n == 0 {
		log.Extensions = nil
	}
	log.AppendedAt = log.AppendedAt.UTC()
	return nil
}

func valueCRC(key, value []byte) uint32 {
	var head [8]byte
	binary.BigEndian.PutUint64(head[:], uint64(len(key)))
	crc := crc32.Update(0, castagnoli, head[:])
	crc = crc32.Update(crc, castagnoli, key)
	return crc32.Update(crc, castagnoli, value)
}

func sealValue(key, value []byte) []byte {
	sealed := append(make([]byte, 0, len(value)+crcSize), value...)
	return binary.BigEndian.AppendUint32(sealed, valueCRC(key, value))
}

func openValue(key, sealed []byte) ([]byte, error) {
	n := len(sealed) - crcSize
	if n < 0 || binary.BigEndian.Uint32(sealed[n:]) != valueCRC(key, sealed[:n]) {
		return nil, &CorruptError{Detail: "the checksum of the stable value " + string(key) + " does not fit"}
	}
	return sealed[:n], nil
}
