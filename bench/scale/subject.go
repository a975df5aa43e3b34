package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/lockstep-kms/lockstep/bench/lab"
)

// remembered is how long an applied transaction is remembered, and a little.
const remembered = 125 * time.Second

// subject is the node that is measured.
type subject struct {
	cluster *lab.Cluster
	at      int
	data    string // of the whole cluster
}

// reading is a node's memory and disk, in bytes.
type reading struct {
	lab.Memory
	heap int64 // live after the last garbage collection
	log  int64
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// settled leaves the node alone and reads it.
func (s subject) settled(ctx context.Context, d time.Duration) (r reading, err error) {
	if err := pause(ctx, d); err != nil {
		return r, err
	}
	if r.Memory, err = lab.MemoryOf(s.cluster.Nodes[s.at].PID); err != nil {
		return r, err
	}
	dir := filepath.Join(s.data, fmt.Sprint("node-", s.at))
	text, err := os.ReadFile(filepath.Join(dir, "server.log"))
	if err != nil {
		return r, err
	}
	if r.heap, err = liveHeap(text); err != nil {
		return r, err
	}
	logs, err := filepath.Glob(filepath.Join(dir, "data", "raft", "*.db"))
	if err != nil || len(logs) != 1 {
		return r, errors.Join(fmt.Errorf("%d log files in %s", len(logs), dir), err)
	}
	info, err := os.Stat(logs[0])
	if err != nil {
		return r, err
	}
	r.log = info.Size()
	return r, nil
}

// collection matches the heap sizes of a gctrace line: at the start, at the end, and what is live.
var collection = regexp.MustCompile(`(?m)^gc \d+ @.* \d+->\d+->(\d+) MB`)

// liveHeap finds the last collection in a node's log.
func liveHeap(log []byte) (int64, error) {
	found := collection.FindAllSubmatch(log, -1)
	if len(found) == 0 {
		return 0, errors.New("the node's log tells no garbage collection")
	}
	mb, err := strconv.ParseInt(string(bytes.TrimSpace(found[len(found)-1][1])), 10, 64)
	return mb << 20, err
}

// forgottenAtOnce is how many creations a later command forgets at most.
const forgottenAtOnce = 4096

// forget waits until the creations are no longer remembered, which later commands notice, each a part of them.
func (s subject) forget(ctx context.Context, keys int) error {
	if err := pause(ctx, remembered); err != nil {
		return err
	}
	for range keys/forgottenAtOnce + 4 {
		if _, err := s.cluster.CreateKey(ctx, s.cluster.Nodes[s.at]); err != nil {
			return err
		}
	}
	return nil
}

// restarts kills the node and starts it again, n times.
func (s subject) restarts(ctx context.Context, n int) error {
	var answering, serving []time.Duration
	for range n {
		if err := s.cluster.AwaitReady(ctx); err != nil {
			return err
		}
		if err := s.cluster.Kill(s.at); err != nil {
			return err
		}
		if err := s.gone(ctx); err != nil {
			return err
		}
		start := time.Now()
		up := make(chan time.Duration, 1)
		go func(address string) {
			for !accepts(address) && pause(ctx, 2*time.Millisecond) == nil {
			}
			up <- time.Since(start)
		}(s.cluster.Nodes[s.at].Address())
		if err := s.cluster.Restart(ctx, s.at); err != nil {
			return err
		}
		serving, answering = append(serving, time.Since(start)), append(answering, <-up)
	}
	fmt.Printf("  start to open door    %v\n  start to serving      %v\n", lab.Summarize(answering), lab.Summarize(serving))
	return nil
}

// gone waits until the killed node's port is free and dev has noticed.
func (s subject) gone(ctx context.Context) error {
	for accepts(s.cluster.Nodes[s.at].Address()) {
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return pause(ctx, 200*time.Millisecond)
}

func accepts(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
