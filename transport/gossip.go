package transport

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	maxMemberMeta = 250 // with the address within memberlist's 512
	maxMembers    = 256
	seedRetryMin  = 500 * time.Millisecond
	seedRetryMax  = 15 * time.Second
)

// GossipConfig makes a Gossip. Name and Advertise are required.
type GossipConfig struct {
	Name      string // this node's name
	Advertise string // host:port under which this node is reached, at most 255 bytes
	Meta      []byte // at most 250 bytes, shown to the others in Member.Meta
	// Seeds lists nodes to begin with, as "name=host:port" or "host:port"; this node may be among
	// them. It is asked again while any of them is not seen.
	Seeds  func() []string
	Logger *slog.Logger // nil discards; memberlist's own lines have their levels

	quick bool // short intervals, for tests
}

// Member is a node that gossip believes to be up.
type Member struct {
	Name string
	Addr string // host:port that the node advertises
	Meta []byte
}

// Gossip spreads the nodes' addresses. It hints, no more: see the package comment.
//
// Inside memberlist a node is its name alone; the address that memberlist carries is the same
// placeholder for all, and the real one travels in the node's meta. So a node that comes back
// elsewhere under its name is an update and no conflict.
type Gossip struct {
	cfg   GossipConfig
	log   *slog.Logger
	net   *gossipNet
	list  *memberlist.Memberlist
	tasks sync.WaitGroup

	mu    sync.Mutex
	up    map[string]Member // guarded by mu
	seeds map[string]string // addresses of seeds by name, as last given; guarded by mu
}

// NewGossip starts gossip over t's port; one per Transport at a time. Unreachable seeds are tried
// again in the background. Close it before t.
func NewGossip(t *Transport, cfg GossipConfig) (*Gossip, error) {
	own := gossipMeta{addr: cfg.Advertise, user: cfg.Meta}
	switch {
	case cfg.Name != t.cfg.Name:
		return nil, fmt.Errorf("gossip: the node is %q, not %q", t.cfg.Name, cfg.Name)
	case len(cfg.Meta) > maxMemberMeta:
		return nil, fmt.Errorf("gossip: meta is over %d bytes", maxMemberMeta)
	}
	if _, err := parseGossipMeta(own.encode()); err != nil || len(cfg.Advertise) > math.MaxUint8 {
		return nil, fmt.Errorf("gossip: advertised address %q is not host:port", cfg.Advertise)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	g := &Gossip{cfg: cfg, log: cfg.Logger, up: map[string]Member{}, seeds: map[string]string{}}
	g.net = newGossipNet(t, g.where)
	if !t.gossip.CompareAndSwap(nil, g.net) {
		return nil, errors.New("gossip: the transport has one already")
	}
	list, err := memberlist.Create(g.listConfig(own.encode()))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gossip: %w", err), g.net.Shutdown())
	}
	g.list = list
	g.tasks.Go(g.seek)
	return g, nil
}

func (g *Gossip) listConfig(meta []byte) *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.Name = g.cfg.Name
	c.Transport = g.net
	c.BindAddr, c.BindPort = placeholderIP, placeholderPort
	c.AdvertiseAddr, c.AdvertisePort = placeholderIP, placeholderPort
	c.RequireNodeNames = true
	c.DisableTcpPings = true // packets ride on TCP already
	c.EnableCompression = false
	c.DNSConfigPath = ""
	c.TCPTimeout = 3 * time.Second
	c.ProbeInterval = 2 * time.Second
	c.ProbeTimeout = time.Second
	c.GossipInterval = 500 * time.Millisecond
	if g.cfg.quick {
		c.ProbeInterval, c.ProbeTimeout = 100*time.Millisecond, 50*time.Millisecond
		c.GossipInterval, c.PushPullInterval = 20*time.Millisecond, 500*time.Millisecond
		c.SuspicionMult, c.RetransmitMult = 1, 2
	}
	watch := gossipWatch{g, meta}
	c.Delegate, c.Events, c.Alive = watch, watch, watch
	c.Logger = log.New(memberlistLines{g.log}, "", 0)
	return c
}

// Addr is the address that node name advertises, when gossip believes the node to be up.
func (g *Gossip) Addr(name string) (string, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m, ok := g.up[name]
	return m.Addr, ok
}

// Members lists the nodes believed to be up, this one included, by name.
func (g *Gossip) Members() []Member {
	g.mu.Lock()
	defer g.mu.Unlock()
	members := make([]Member, 0, len(g.up))
	for _, m := range g.up {
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return members
}

// Score is how unwell memberlist finds this node, by how its probes of others go: 0 is well.
func (g *Gossip) Score() int { return g.list.GetHealthScore() }

// Leave tells the others that this node goes, at most for timeout. Close is still to be called.
func (g *Gossip) Leave(timeout time.Duration) error { return g.list.Leave(timeout) }

// Close stops gossip without a word to the others.
func (g *Gossip) Close() error {
	g.net.cancel()
	g.tasks.Wait()
	return g.list.Shutdown()
}

// where is the address of node name: what it advertises, else what the seeds say, else "", which
// leaves it to the transport's Resolve.
func (g *Gossip) where(name string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if m, ok := g.up[name]; ok {
		return m.Addr
	}
	return g.seeds[name]
}

// seek joins the seeds that are not up, again and again.
func (g *Gossip) seek() {
	most := seedRetryMax
	if g.cfg.quick {
		most = seedRetryMin / 5
	}
	wait := min(seedRetryMin, most)
	for {
		if g.joinSeeds() {
			wait = most
		}
		if !pause(g.net.ctx, wait) {
			return
		}
		wait = min(2*wait, most)
	}
}

// joinSeeds contacts each seed that is not up, and says whether all were or are now.
func (g *Gossip) joinSeeds() (all bool) {
	if g.cfg.Seeds == nil {
		return true
	}
	all = true
	for _, seed := range g.cfg.Seeds() {
		name, addr, named := strings.Cut(seed, "=")
		if !named {
			name, addr = "", seed
		}
		if name == g.cfg.Name || addr == g.cfg.Advertise || g.isUp(name, addr) {
			continue
		}
		if err := g.join(name, addr); err != nil {
			all = false
			g.log.Debug("gossip: a seed was not reached", "seed", seed, "error", err)
		}
	}
	return all
}

func (g *Gossip) isUp(name, addr string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if name != "" {
		_, ok := g.up[name]
		return ok
	}
	for _, m := range g.up {
		if m.Addr == addr {
			return true
		}
	}
	return false
}

// join exchanges state with the node at addr, whose certificate tells the name when name is empty.
func (g *Gossip) join(name, addr string) error {
	if name == "" {
		ctx, cancel := context.WithTimeout(g.net.ctx, gossipTimeout)
		defer cancel()
		s, err := g.net.owner.dial(ctx, "", addr, ChannelGossip)
		if err != nil {
			return err
		}
		name = s.peer.Name
		_ = s.Close()
	}
	g.mu.Lock()
	g.seeds[name] = addr
	g.mu.Unlock()
	_, err := g.list.Join([]string{name + "/" + placeholderAddr})
	return err
}

// gossipWatch is memberlist's delegates: it gives this node's meta and keeps Gossip.up. memberlist
// calls it under its own lock, so it only ever takes Gossip.mu, under which nothing is called.
type gossipWatch struct {
	g    *Gossip
	meta []byte
}

func (w gossipWatch) NodeMeta(int) []byte             { return w.meta }
func (w gossipWatch) NotifyMsg([]byte)                {}
func (w gossipWatch) GetBroadcasts(_, _ int) [][]byte { return nil }
func (w gossipWatch) LocalState(bool) []byte          { return nil }
func (w gossipWatch) MergeRemoteState([]byte, bool)   {}

// NotifyAlive refuses what no node says of itself, and more nodes than any cluster has.
func (w gossipWatch) NotifyAlive(n *memberlist.Node) error {
	if !ValidName(n.Name) {
		return errors.New("not a node name")
	}
	if _, err := parseGossipMeta(n.Meta); err != nil {
		return err
	}
	w.g.mu.Lock()
	defer w.g.mu.Unlock()
	if _, known := w.g.up[n.Name]; !known && len(w.g.up) >= maxMembers {
		return errors.New("too many members")
	}
	return nil
}

func (w gossipWatch) NotifyJoin(n *memberlist.Node)   { w.set(n) }
func (w gossipWatch) NotifyUpdate(n *memberlist.Node) { w.set(n) }

func (w gossipWatch) NotifyLeave(n *memberlist.Node) {
	w.g.mu.Lock()
	defer w.g.mu.Unlock()
	delete(w.g.up, n.Name)
}

func (w gossipWatch) set(n *memberlist.Node) {
	meta, err := parseGossipMeta(n.Meta)
	if err != nil {
		return
	}
	w.g.mu.Lock()
	defer w.g.mu.Unlock()
	w.g.up[n.Name] = Member{Name: n.Name, Addr: meta.addr, Meta: meta.user}
}

// gossipMeta is a node's meta in memberlist:
//
//	version 1 (= 1) | address: length 1 | text | the user's meta
type gossipMeta struct {
	addr string
	user []byte
}

const gossipMetaVersion = 1

func (m gossipMeta) encode() []byte {
	b := append([]byte{gossipMetaVersion, byte(len(m.addr))}, m.addr...)
	return append(b, m.user...)
}

func parseGossipMeta(b []byte) (gossipMeta, error) {
	if len(b) < 2 || b[0] != gossipMetaVersion {
		return gossipMeta{}, errors.New("malformed gossip meta")
	}
	end := 2 + int(b[1])
	if len(b) < end || len(b)-end > maxMemberMeta {
		return gossipMeta{}, errors.New("malformed gossip meta")
	}
	addr := string(b[2:end])
	if _, _, err := net.SplitHostPort(addr); err != nil || !printable(addr) {
		return gossipMeta{}, errors.New("malformed address in gossip meta")
	}
	return gossipMeta{addr: addr, user: slices.Clone(b[end:])}, nil
}

// memberlistLines takes memberlist's log lines, "[WARN] memberlist: ...". Its errors are no more than warnings: gossip only
// hints, and tries again.
type memberlistLines struct{ log *slog.Logger }

func (w memberlistLines) Write(line []byte) (int, error) {
	text := clean([]byte(strings.TrimSpace(string(line))))
	level, rest, found := strings.Cut(text, "] ")
	to := slog.LevelDebug
	switch {
	case !found:
		rest = text
	case level == "[ERR", level == "[WARN":
		to = slog.LevelWarn
	case level == "[INFO":
		to = slog.LevelInfo
	}
	w.log.Log(context.Background(), to, strings.TrimPrefix(rest, "memberlist: "))
	return len(line), nil
}
