package door

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/lockstep-kms/lockstep/kms"
)

// Gate lets a number of requests through at a time. A request belongs inside once its body is read and
// not before: who sends slowly, or says nothing of itself yet, must not keep out who is ready.
type Gate struct {
	limit   int64
	inside  atomic.Int64
	refused atomic.Uint64
}

// NewGate returns a gate for limit requests at a time.
func NewGate(limit int) *Gate { return &Gate{limit: int64(limit)} }

// Enter reports whether the request may go on; if so, Leave must follow.
func (g *Gate) Enter() bool {
	if g.inside.Add(1) <= g.limit {
		return true
	}
	g.inside.Add(-1)
	g.refused.Add(1)
	return false
}

// Inside returns how many requests are inside.
func (g *Gate) Inside() int { return int(min(g.inside.Load(), g.limit)) }

// Refused returns how many requests were not let in.
func (g *Gate) Refused() uint64 { return g.refused.Load() }

// Busy is the refusal of a request that a gate did not let in.
func Busy() error {
	return kms.Errorf(kms.CodeThrottled, "The node is serving as many requests as it may; try again later or elsewhere.")
}

// Limit returns how many requests it lets through at a time.
func (g *Gate) Limit() int { return int(g.limit) }

// Leave ends what Enter began.
func (g *Gate) Leave() { g.inside.Add(-1) }

// connections bounds the open connections of a server, in all and for each source, so that one source
// cannot take them all.
type connections struct {
	limit, each int

	mu     sync.Mutex
	all    int                  // guarded by mu
	source map[netip.Prefix]int // guarded by mu: no zero values
}

// track is an http.Server's ConnState: it closes a new connection that is one too many. The server
// calls it once with StateNew and once with StateClosed for each.
func (c *connections) track(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if !c.add(source(conn)) {
			conn.Close()
		}
	case http.StateClosed:
		c.remove(source(conn))
	}
}

// add counts a connection and reports whether it is within the limits.
func (c *connections) add(from netip.Prefix) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all++
	c.source[from]++
	return c.all <= c.limit && c.source[from] <= c.each
}

func (c *connections) remove(from netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.source[from]--; c.source[from] == 0 {
		delete(c.source, from)
	}
}

// source is the peer's address, or its /64 where it has one, since whoever has one address of that has
// them all. What is no IP connection is one source.
func source(conn net.Conn) netip.Prefix {
	at, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Prefix{}
	}
	ip := at.Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // the bits fit
	return p
}
