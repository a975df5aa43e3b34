package integration

import (
	"bytes"
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/server"
	"github.com/lockstep-kms/lockstep/storage"
)

// ambush stops the log writes of new keys on several nodes until all of them have one under way, and
// then springs: what happens comes before any of those nodes can say that it has the entry.
type ambush struct {
	set   atomic.Pointer[func()]
	mu    sync.Mutex
	there map[int]bool  // guarded by mu; nodes whose write waits
	open  chan struct{} // guarded by mu; closed when they may go on
}

// lay arms the ambush for the next key.
func (a *ambush) lay(spring func()) {
	a.mu.Lock()
	a.there, a.open = map[int]bool{}, make(chan struct{})
	a.mu.Unlock()
	a.set.Store(&spring)
}

// pass is where the writes of node i come along; those of the leader are not stopped.
func (a *ambush) pass(i, leader int, logs []*raft.Log) {
	spring := a.set.Load()
	holdsKey := func() bool {
		for _, l := range logs {
			if bytes.Contains(l.Data, []byte("key.created")) {
				return true
			}
		}
		return false
	}
	if spring == nil || i == leader || !holdsKey() {
		return
	}
	a.mu.Lock()
	a.there[i] = true
	complete, gate := len(a.there) == 2, a.open
	a.mu.Unlock()
	if complete && a.set.CompareAndSwap(spring, nil) {
		(*spring)()
		close(gate)
	}
	select {
	case <-gate:
	case <-time.After(20 * time.Second): // another node never got there
	}
}

type ambushedStore struct {
	storage.Store
	pass func(logs []*raft.Log)
}

func (s ambushedStore) StoreLogs(logs []*raft.Log) error {
	s.pass(logs)
	return s.Store.StoreLogs(logs)
}

func (s ambushedStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// TestCreateWhoseLeaderIsCutOff cuts the leader off in the middle of a create: before anyone else has
// the entry, or when all have it and the leader does not know. Its client is not told that nothing
// happened when something did; and repeated under its idempotency key through any node, then and after
// the cut has healed, it makes one key.
func TestCreateWhoseLeaderIsCutOff(t *testing.T) {
	t.Parallel()
	var a ambush
	var leads atomic.Int32
	c := cluster.Start(t, cluster.Options{Seams: func(i int, s *server.Seams) {
		s.Log.Wrap = func(inner storage.Store) storage.Store {
			return ambushedStore{inner, func(logs []*raft.Log) { a.pass(i, int(leads.Load()), logs) }}
		}
	}})
	for round := range rounds(2, 12) {
		replicated := round%2 == 0
		old := c.Leader()
		leads.Store(int32(indexOf(c, old)))
		var rest []*cluster.Node
		for _, n := range c.Nodes {
			n.WaitServing()
			if n != old {
				rest = append(rest, n)
			}
		}
		token, description := client.IdempotencyKey(rand.Text()), rand.Text()
		create := func(ctx context.Context, n *cluster.Node) (string, error) {
			k, err := n.Client().CreateKey(ctx, &kms.CreateKeyRequest{Description: description}, token)
			if err != nil {
				return "", err
			}
			return k.Key.KeyID, nil
		}
		if replicated {
			a.lay(func() { c.Net.Isolate(old) })
		} else {
			c.Net.Isolate(old)
		}
		_, err := create(background(t), old)
		switch code := kms.CodeOf(err); {
		case code == kms.CodeOutcomeUnknown:
		case !replicated && (code == kms.CodeNoQuorum || code == kms.CodeCannotConfirm):
		default:
			t.Errorf("the create on a leader that is cut off (replicated: %v): %v", replicated, err)
		}
		var made string
		for _, n := range rest {
			c.Eventually(20*time.Second, "the repeat through "+n.Name, func(ctx context.Context) error {
				key, err := create(ctx, n)
				if err == nil && made != "" && key != made {
					t.Errorf("%s says %s, another said %s", n.Name, key, made)
				}
				made = key
				return err
			})
		}
		c.Net.Heal()
		c.Eventually(20*time.Second, "the repeat through "+old.Name, func(ctx context.Context) error {
			key, err := create(ctx, old)
			if err == nil && key != made {
				t.Errorf("%s says %s, others said %s", old.Name, key, made)
			}
			return err
		})
		if n := keysDescribed(t, old.Client(), description); n != 1 {
			t.Errorf("%d keys were made (replicated: %v)", n, replicated)
		}
		if err := roundTrip(background(t), made, old.Client(), rest[0].Client()); err != nil {
			t.Error(err)
		}
	}
}

// keysDescribed counts the keys with a description.
func keysDescribed(t *testing.T, cl *client.Client, description string) (n int) {
	t.Helper()
	ctx := background(t)
	page, err := cl.ListKeys(ctx, &kms.ListRequest{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range page.Keys {
		d, err := cl.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: k.KeyID})
		if err != nil {
			t.Fatal(err)
		}
		if d.Key.Description == description {
			n++
		}
	}
	return n
}
