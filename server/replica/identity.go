package replica

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/storage"
	"github.com/lockstep-kms/lockstep/transport"
)

// IdentityConfig says who this node is.
type IdentityConfig struct {
	Name              string
	APIAddr, PeerAddr string
	Version           string
	Peers             []Peer // expected to form the cluster, this node included
	Dir               *storage.Dir
	FSM               *fsm.FSM
	KeyHash           [32]byte // SHA-256 of this node's certificate's SubjectPublicKeyInfo
}

// Identity is who this node is and whom it accepts. It is made before the transport, whose hooks
// Local, Check and Resolve are its methods. Safe for concurrent use.
type Identity struct {
	cfg   IdentityConfig
	fresh atomic.Pointer[func() bool] // whether this node's view is recent; nil before Open
	hint  atomic.Pointer[func(name string) (addr string, ok bool)]

	mu    sync.Mutex
	tries map[string]int // guarded by mu: of Resolve, by name
}

// NewIdentity makes the identity of a node.
func NewIdentity(cfg IdentityConfig) *Identity {
	return &Identity{cfg: cfg, tries: map[string]int{}}
}

// Hello is what this node tells of itself.
func (i *Identity) Hello() transport.Hello {
	return transport.Hello{
		FeatureLevel: FeatureLevel, ClusterID: i.cfg.Dir.ClusterID(), NodeID: i.cfg.Dir.NodeID(), Name: i.cfg.Name,
		APIAddr: i.cfg.APIAddr, PeerAddr: i.cfg.PeerAddr, Version: i.cfg.Version,
	}
}

// Check refuses a peer of another cluster; and, while this node's view is fresh, a removed name, a
// replaced incarnation and a certificate key that is not the member's. A stale view must not refuse:
// the peer may have been replaced or allowed meanwhile, and be the one that could tell this node so.
func (i *Identity) Check(p transport.Peer) error {
	if own := i.cfg.Dir.ClusterID(); own != "" && p.ClusterID != "" && own != p.ClusterID {
		return errorf(KindRefused, "node %s belongs to another cluster", p.Name)
	}
	if p.NodeID == i.cfg.Dir.NodeID() {
		return errorf(KindRefused, "node %s has the node id of node %s: a data directory was copied", p.Name, i.cfg.Name)
	}
	if fresh := i.fresh.Load(); fresh == nil || !(*fresh)() {
		return nil
	}
	n, _, known := node(i.cfg.FSM.View(), p.Name)
	if !known {
		return nil // may ask to join
	}
	return admit(n, p.NodeID, p.KeyHash[:])
}

// admit decides from the record of a name whether an incarnation may talk to the members.
func admit(n nodeRecord, nodeID string, keyHash []byte) error {
	switch {
	case n.isRetired(nodeID):
		return errorf(KindRefused, "this incarnation of node %s was replaced by another; empty its data directory to join anew", n.Name)
	case n.Allowed:
		return nil
	case n.Removed:
		err := errorf(KindRefused, "node %s was removed; 'lockstep operator allow %s' lets it join again", n.Name, n.Name)
		err.removed = true
		return err
	case n.NodeID == nodeID && len(n.KeyHash) > 0 && !bytes.Equal(n.KeyHash, keyHash):
		return errorf(KindRefused, "the certificate of node %s has another key than before; 'lockstep operator allow %s' accepts it", n.Name, n.Name)
	}
	return nil
}

// Resolve returns host:port of the node called name. Its record, the configuration and the hint may
// differ, as when a node moved; then each call gives the next of them.
func (i *Identity) Resolve(name string) (string, error) {
	var known []string
	add := func(addr string) {
		if addr != "" && !slices.Contains(known, addr) {
			known = append(known, addr)
		}
	}
	if hint := i.hint.Load(); hint != nil {
		if addr, ok := (*hint)(name); ok {
			add(addr)
		}
	}
	if n, _, ok := node(i.cfg.FSM.View(), name); ok {
		add(n.PeerAddr)
	}
	for _, p := range i.cfg.Peers {
		if p.Name == name {
			add(p.Addr)
		}
	}
	if len(known) == 0 {
		return "", errorf(KindNotFound, "no address of a node called %s is known", name)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tries[name]++
	return known[i.tries[name]%len(known)], nil
}

// Hint sets where else Resolve looks; nil for nowhere.
func (i *Identity) Hint(addr func(name string) (string, bool)) {
	if addr == nil {
		i.hint.Store(nil)
		return
	}
	i.hint.Store(&addr)
}

// expected reports whether name is on the list of expected peers.
func (i *Identity) expected(name string) bool {
	return slices.ContainsFunc(i.cfg.Peers, func(p Peer) bool { return p.Name == name })
}

// listHash names the list of expected peers. Addresses are left out: nodes may see each other under
// different ones, and membership is by name.
func (i *Identity) listHash() string {
	var names []string
	for _, p := range i.cfg.Peers {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	sum := sha256.Sum256([]byte("lockstep expected peers\x00" + strings.Join(names, "\x00")))
	return hex.EncodeToString(sum[:])
}

// record is this node's own record as it should be.
func (i *Identity) record() nodeRecord {
	return nodeRecord{
		Schema: 1, Name: i.cfg.Name, NodeID: i.cfg.Dir.NodeID(), KeyHash: i.cfg.KeyHash[:],
		APIAddr: i.cfg.APIAddr, PeerAddr: i.cfg.PeerAddr, Version: i.cfg.Version, FeatureLevel: FeatureLevel,
	}
}

// same reports whether two records say the same of a node that is in.
func (n nodeRecord) same(m nodeRecord) bool {
	return n.NodeID == m.NodeID && bytes.Equal(n.KeyHash, m.KeyHash) && n.APIAddr == m.APIAddr && n.PeerAddr == m.PeerAddr &&
		n.Version == m.Version && n.FeatureLevel == m.FeatureLevel && n.Removed == m.Removed && n.Allowed == m.Allowed
}
