package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/audit/chain"
)

// The trail: 30 days of a cluster with these many of each. Principals use keys of their account, one call in 50 a key of another
// one; and of the keys of their account only those whose number divided by 20 has the same remainder by 3 as theirs.
const (
	principals = 1200
	keys       = 5000
	sources    = 2000
	accounts   = 20
)

var epoch = time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)

func account(i int) string { return fmt.Sprintf("%012d", 100000000000+i) }
func principal(i int) string {
	return fmt.Sprintf("arn:aws:iam::%s:user/service-%04d", account(i%accounts), i)
}
func key(i int) string {
	return fmt.Sprintf("arn:aws:kms:us-east-1:%s:key/6f9619ff-8b86-4011-b42d-%012d", account(i%accounts), i)
}
func source(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255) }
func requestID(i int) string {
	return fmt.Sprintf("5c1e0c9a-3d0e-4a5f-9f57-%012x", i)
}

func eventBytes(i int) (id [16]byte) {
	binary.BigEndian.PutUint64(id[:], 0x9f8e7d6c5b4a8876)
	binary.BigEndian.PutUint64(id[8:], 0x8000000000000000|uint64(i))
	return id
}

func eventID(i int) string {
	b := eventBytes(i)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// skewed picks a number below n, small ones far more often, the last one hardly ever.
func skewed(r *rand.Rand, n int) int {
	f := r.Float64()
	return int(f * f * f * f * float64(n))
}

// operation is how often one is called, of 1000.
var operations = []struct {
	name     string
	often    int
	readOnly bool
}{{"Decrypt", 600, true}, {"GenerateDataKey", 250, true}, {"Encrypt", 100, true}, {"DescribeKey", 30, true}, {"ReEncrypt", 15, true}, {"CreateGrant", 4, false}, {"ScheduleKeyDeletion", 1, false}}

// record makes the i-th of n records.
func record(r *rand.Rand, i, n int) audit.Record {
	k := skewed(r, keys)
	who := 3*accounts*skewed(r, principals/(3*accounts)) + k%(3*accounts)
	if r.IntN(50) == 0 {
		who += accounts/2 - accounts*(k%accounts/(accounts/2))
	}
	op, at := operations[0], r.IntN(1000)
	for _, op = range operations {
		if at -= op.often; at < 0 {
			break
		}
	}
	rec := audit.Record{Time: epoch.Add(time.Duration(float64(i) / float64(n) * float64(30*24*time.Hour))), EventID: eventBytes(i), RequestID: requestID(i), Source: "kms.amazonaws.com",
		Name: op.name, ReadOnly: op.readOnly, Region: "us-east-1", SourceIP: source(skewed(r, sources)), UserAgent: "aws-sdk-go-v2/1.47.7 ua/2.1 os/linux lang/go#1.26.8 md/GOOS#linux md/GOARCH#amd64 api/kms#1.38.0",
		Identity:   audit.Identity{Type: "IAMUser", PrincipalID: fmt.Sprintf("AIDA%016d", who), ARN: principal(who), AccountID: account(who % accounts), AccessKeyID: fmt.Sprintf("AKIA%016d", who), UserName: fmt.Sprintf("service-%04d", who)},
		Parameters: []audit.Pair{{Key: "keyId", Value: key(k)}, {Key: "encryptionAlgorithm", Value: "SYMMETRIC_DEFAULT"}, {Key: "encryptionContext", Object: map[string]string{"tenant": "customer-0815", "purpose": "orders"}}},
		Resources:  []audit.Resource{{ARN: key(k), AccountID: account(k % accounts), Type: "AWS::KMS::Key"}},
		Recipient:  account(who % accounts), Node: "n1", Epoch: 1, Index: uint64(1000 + i/50), Door: "awskms"}
	if op.name == "ReEncrypt" {
		rec.Resources = append(rec.Resources, audit.Resource{ARN: key(0), AccountID: account(0), Type: "AWS::KMS::Key"})
	}
	if f := r.IntN(1000); f < 20 {
		rec.ErrorCode, rec.ErrorMessage = "access_denied", "The caller may not do that."
	} else if i == n/3 {
		rec.ErrorCode, rec.ErrorMessage = "conflict", "Somebody else changed it."
	}
	return rec
}

// writeTrail writes n records as a node does, and returns how many files and bytes they are.
func writeTrail(ctx context.Context, path string, n int, fileSize int64) (files int, size int64, err error) {
	random := rand.New(rand.NewPCG(3, 4))
	var file *os.File
	var out *bufio.Writer
	var written int64
	var prev chain.Hash
	var line []byte
	end := func() error {
		if err := out.Flush(); err != nil {
			return err
		}
		return file.Close()
	}
	for i := range n {
		if file == nil {
			if file, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600); err != nil {
				return 0, 0, err
			}
			out = bufio.NewWriterSize(file, 1<<20)
			files, written = files+1, 0
		}
		rec := record(random, i, n)
		line = bytes.TrimSuffix(rec.AppendJSON(line[:0]), []byte("}}")) // the object that has the link is open
		line, prev = chain.AppendLink(line, 0, uint64(i+1), prev)
		line = append(line, '\n')
		if _, err := out.Write(line); err != nil {
			return 0, 0, err
		}
		size, written = size+int64(len(line)), written+int64(len(line))
		if written >= fileSize && i < n-1 {
			if err := end(); err != nil {
				return 0, 0, err
			}
			file = nil
			name := chain.RotatedName(path, rec.Time)
			if err := os.Rename(path, name); err != nil {
				return 0, 0, err
			}
			if ctx.Err() != nil {
				return 0, 0, ctx.Err()
			}
		}
	}
	return files, size, end()
}
