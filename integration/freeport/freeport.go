// Package freeport gives tests addresses on loopback that nobody else takes.
package freeport

import (
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
)

// Ports are handed out of a range below the one the kernel takes the ports of outgoing connections from
// (32768 and up on Linux), so that nothing takes one while its server is down.
const (
	first = 12000
	last  = 30000
)

var ports struct {
	sync.Mutex
	next int
	held []net.PacketConn // one for each port that was given, until the process ends
}

// Addr returns an address on loopback where nothing listens on TCP, and where no other test process is given one: the
// UDP port of the same number stays bound as its reservation.
func Addr(tb testing.TB) string {
	tb.Helper()
	ports.Lock()
	defer ports.Unlock()
	for range last - first {
		ports.next++
		if ports.next < first || ports.next > last {
			ports.next = first + os.Getpid()*131%(last-first)
		}
		addr := fmt.Sprintf("127.0.0.1:%d", ports.next)
		hold, err := net.ListenPacket("udp", addr)
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			hold.Close()
			continue
		}
		l.Close()
		ports.held = append(ports.held, hold)
		return addr
	}
	tb.Fatal("no port is free")
	return ""
}
