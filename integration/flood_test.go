package integration

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/server"
)

// flood is abuse of one node from many connections, until stop is closed.
type flood struct {
	t       *testing.T
	stop    chan struct{}
	wg      sync.WaitGroup
	opened  atomic.Int64
	refused atomic.Int64 // requests that were answered 4xx
}

// each runs what abuses one connection again and again, on n connections at a time. abuse gets a
// connection that is closed when it returns, or when the flood ends.
func (f *flood) each(n int, addr string, abuse func(net.Conn)) {
	for range n {
		f.wg.Go(func() {
			pace := time.NewTicker(250 * time.Millisecond)
			defer pace.Stop()
			for {
				if conn, err := net.Dial("tcp", addr); err == nil {
					f.opened.Add(1)
					ended := make(chan struct{})
					go func() {
						select {
						case <-f.stop:
						case <-ended:
						}
						conn.Close()
					}()
					abuse(conn)
					close(ended)
				}
				select {
				case <-f.stop:
					return
				case <-pace.C:
				}
			}
		})
	}
}

// trickle writes start and then a byte now and then, until the connection ends.
func trickle(start string) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := io.WriteString(conn, start); err != nil {
			return
		}
		pace := time.NewTicker(200 * time.Millisecond)
		defer pace.Stop()
		for range pace.C {
			if _, err := conn.Write([]byte("a")); err != nil {
				return
			}
		}
	}
}

// hold writes start and waits until the other side closes.
func hold(start []byte) func(net.Conn) {
	return func(conn net.Conn) {
		_, _ = conn.Write(start)
		_, _ = io.Copy(io.Discard, conn)
	}
}

// garbage writes random bytes.
func garbage(conn net.Conn) {
	b := make([]byte, 64<<10)
	rand.Read(b)
	if _, err := conn.Write(b); err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, conn)
}

// announce sends the head of a request of 10 MB and nothing more: it is refused for what it says.
func (f *flood) announce(conn net.Conn) {
	fmt.Fprintf(conn, "POST /v1/keys HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", 10<<20)
	f.expect4xx(conn, http.StatusRequestEntityTooLarge)
}

// pour sends 10 MB without saying so first.
func (f *flood) pour(conn net.Conn) {
	go func() {
		chunk := append(fmt.Appendf(nil, "%x\r\n", 64<<10), bytes.Repeat([]byte("["), 64<<10)...)
		chunk = append(chunk, "\r\n"...)
		_, err := io.WriteString(conn, "POST /v1/decrypt HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
		for i := 0; err == nil && i < 160; i++ {
			_, err = conn.Write(chunk)
		}
	}()
	f.expect4xx(conn, http.StatusRequestEntityTooLarge, http.StatusTooManyRequests)
}

// expect4xx reads an answer, when one arrives: a sender that goes on sending may lose it.
func (f *flood) expect4xx(conn net.Conn, want ...int) {
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return
	}
	f.refused.Add(1)
	for _, status := range want {
		if answer.StatusCode == status {
			return
		}
	}
	f.t.Errorf("10 MB are answered %s", answer.Status)
}

// clientHello is the beginning of a TLS handshake.
func clientHello(t *testing.T) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() {
		_ = tls.Client(ours, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"lockstep-raft/1"}}).HandshakeContext(t.Context())
	}()
	b := make([]byte, 4096)
	n, err := theirs.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	return b[:n]
}

// residentKB is the memory that a process holds.
func residentKB(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("no VmRSS in\n%s", status)
	}
	kb, _ := strconv.Atoi(string(m[1]))
	return kb
}

// TestFlood abuses the API and peer ports of a follower and of the leader from hundreds of connections:
// those who ask properly are served, memory stays bounded, and nothing is changed.
func TestFlood(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Processes: true, Config: func(i int, cfg *server.Config) {
		cfg.Raft.CheckpointInterval = time.Hour // the log stands still
		patient(i, cfg)                         // the flood comes from this machine and takes its time
	}})
	key := createKey(t, c.Client(), "asked for properly")
	targets := []*cluster.Node{c.Leader(), c.Followers()[0]}
	for _, n := range c.Nodes {
		if err := roundTrip(background(t), key, n.Client(), n.Client()); err != nil {
			t.Fatal(err)
		}
	}
	before, memory := quiet(t, c), map[*cluster.Node]int{}
	began := time.Now()
	for _, n := range targets {
		memory[n] = residentKB(t, n.PID())
	}
	f := &flood{t: t, stop: make(chan struct{})}
	hello := clientHello(t)
	for _, n := range targets {
		api := strings.TrimPrefix(n.APIAddr, "http://")
		f.each(60, api, trickle("POST /v1/keys HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n{"))
		f.each(60, api, trickle("GET /v1/ke"))
		f.each(10, api, f.announce)
		f.each(10, api, f.pour)
		f.each(10, api, garbage)
		f.each(10, n.PeerAddr(), garbage)
		f.each(60, n.PeerAddr(), hold(hello))
		f.each(60, n.PeerAddr(), hold(hello[:len(hello)/2]))
	}
	l := cryptoLoad(key, c.Nodes...)
	peak := watchMemory(t, memory, time.Duration(rounds(3, 60))*time.Second)
	for _, n := range targets { // control reads go through the leader
		if _, err := n.Client().DescribeKey(background(t), &kms.DescribeKeyRequest{KeyID: key}); err != nil {
			t.Errorf("%s under the flood: %v", n.Name, err)
		}
	}
	l.end(t)
	close(f.stop)
	f.wg.Wait()
	t.Logf("%d connections, %d requests refused, %d proper ones served", f.opened.Load(), f.refused.Load(), l.done.Load())
	if f.opened.Load() < 500 || f.refused.Load() == 0 {
		t.Error("that was no flood")
	}
	for _, n := range targets {
		t.Logf("%s held %d kB before and at most %d kB under the flood", n.Name, memory[n], peak[n])
		if limit := 2*memory[n] + 128<<10; peak[n] > limit {
			t.Errorf("that is more than %d kB", limit)
		}
	}
	// Each node anchors its audit trail once a minute, and nothing else may be written.
	anchors := uint64(len(c.Nodes)) * (1 + uint64(time.Since(began)/time.Minute))
	for i, after := range health(t, c) {
		if after > before[i]+anchors {
			t.Errorf("%s has applied up to %d, before the flood %d", c.Nodes[i].Name, after, before[i])
		}
	}
	createKey(t, targets[1].Client(), "after the flood")
}

// health is how far each node is.
func health(t *testing.T, c *cluster.Cluster) (applied [3]uint64) {
	t.Helper()
	for i, n := range c.Nodes {
		h, err := n.Client().Health(background(t))
		if err != nil {
			t.Fatal(err)
		}
		applied[i] = h.AppliedIndex
	}
	return applied
}

// quiet waits until every node has joined and applied everything, and nothing comes after that.
func quiet(t *testing.T, c *cluster.Cluster) (applied [3]uint64) {
	t.Helper()
	same := 0
	c.Eventually(20*time.Second, "a log that stands still", func(ctx context.Context) error {
		now := health(t, c)
		if same++; now != applied || now[0] != now[1] || now[0] != now[2] {
			applied, same = now, 0
		}
		if same < 50 {
			return notYet("the nodes have applied up to %v", now)
		}
		m, err := c.Nodes[0].Client().Members(ctx)
		if err != nil {
			return err
		}
		for _, member := range m.Members {
			if member.Version == "" {
				return notYet("%s has not joined", member.Name)
			}
		}
		return nil
	})
	return applied
}

// watchMemory returns the most that each process held in that time.
func watchMemory(t *testing.T, of map[*cluster.Node]int, long time.Duration) map[*cluster.Node]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	peak := map[*cluster.Node]int{}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		for n := range of {
			peak[n] = max(peak[n], residentKB(t, n.PID()))
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return peak
}
