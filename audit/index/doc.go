// Package index finds records in the JSON-lines files of one audit file sink. It follows the files by itself, the active one
// and its rotated siblings, and has nothing to do with writing them: no acknowledgement waits for it.
//
// It promises that a search sees every record whose line was complete when the search began; that what it returns was read
// from the file and compared there, so that neither a collision of hashes nor a damaged index ever shows a record that was
// not asked for; that an index which is missing or damaged is made again; that its memory does not grow with the trail but
// by 200 bytes for each 4096 records. It does not promise that a line which is no record of ours is found: it is skipped and
// counted. Whether lines were changed is for the hash chain to say, not for the index.
//
// The invariant that would hurt: a file only grows. Rows name places in it, so a file that became shorter is read anew.
//
// # Files
//
// The active file has the path of the sink, /var/log/lockstep/audit.jsonl. Its rotated siblings stand beside it,
// with names that chain.Rotated knows. Files that do not begin with '{', or have no record in their first MiB, are left out, and
// so is a copy of another one. The index of each stands in audit.jsonl.index/ (0700), in a file (0600) that is named by the
// content of the file, so that renaming changes nothing:
//
//	SEQ-HASH.idx    SEQ: the place of the first record in its chain, 20 digits, or 0; HASH: 8 bytes of the SHA-256 of its line, hexadecimal
//
// It is removed with its file, and may be deleted at any time.
//
// # Format
//
// Integers are little-endian, checksums CRC-32C, times ms since 1970.
//
//	magic "LSAIDX01" 8 | SHA-256 of the first record's line 32 | chunk ...
//	chunk  = header 136 | column 0 | ... | column 15        each column: rows x 4 bytes
//	header = rows 4 | skipped lines 4 | file start 8 | file end 8 | base time 8 | least time 8 | greatest time 8 |
//	         greatest time before 8 | columns of zeros 4 | 0 8 | checksum of each column 16 x 4 | checksum of all before 4
//
// A chunk holds up to 4096 rows, one for each record of the file from start to end. It is written when there is more, or when
// the file is rotated; until then its rows are in memory and are made again at a restart.
//
//	column  0   offset of the line from the chunk's file start
//	        1   eventTime minus base time, signed
//	        2   userIdentity.arn                  3  userIdentity.sessionContext.sessionIssuer.arn
//	        4   userIdentity.principalId          5  userIdentity.accessKeyId
//	        6   recipientAccountId                7, 8   resources[0] and [1].accountId; 0 for one that stands there already
//	        9, 10   resources[0] and [1].ARN      11  eventName; its lowest bit is readOnly
//	        12  sourceIPAddress                   13  errorCode
//	        14  requestID                         15  eventID
//
// Columns 2 to 15 are FNV-1a hashes (32 bits, offset basis 2166136261, prime 16777619) of the text; 0 stands for an absent or
// empty one, 1 for a text whose hash is 0.
//
// # Order
//
// Records are found newest first: by file, in the order of their first records' times, and within a file by place. The time of
// a place is the greatest eventTime up to it in that order: it never goes back, though calls that overlap are recorded in another order
// than they began. So (time, file, place) is a position from which a search can go on, and the answers of several nodes can be
// merged by time.
package index
