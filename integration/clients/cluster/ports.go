package cluster

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
)

// Ports come out of a range below the one the kernel takes the ports of outgoing connections from (32768 and up on
// Linux), so that nothing takes one while its node is down.
const (
	firstPort = 12000
	lastPort  = 30000
)

var ports struct {
	sync.Mutex
	next int
	held []net.PacketConn // one for each port that was given, until the process ends
}

// basePort returns a port p such that nothing listens on p to p+2 and p+100 to p+102, the layout of 'lockstep dev', and
// no other test process is given one of them: the UDP port of each number stays bound as its reservation.
func basePort() (int, error) {
	ports.Lock()
	defer ports.Unlock()
	for range (lastPort - firstPort) / 3 {
		if ports.next < firstPort || ports.next > lastPort {
			ports.next = firstPort + os.Getpid()*131%(lastPort-firstPort)
		}
		base := ports.next
		ports.next += 3
		if held, ok := reserve(base, base+1, base+2, base+100, base+101, base+102); ok {
			ports.held = append(ports.held, held...)
			return base, nil
		}
	}
	return 0, errors.New("no six ports are free")
}

func reserve(numbers ...int) (held []net.PacketConn, ok bool) {
	defer func() {
		if !ok {
			for _, h := range held {
				h.Close()
			}
		}
	}()
	for _, n := range numbers {
		addr := fmt.Sprintf("127.0.0.1:%d", n)
		hold, err := net.ListenPacket("udp", addr)
		if err != nil {
			return held, false
		}
		held = append(held, hold)
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return held, false
		}
		l.Close()
	}
	return held, true
}
