package integration

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/server"
	"github.com/lockstep-kms/lockstep/server/replica"
)

// The control plane is checked against a sequential model of each object: a key is Enabled or
// Disabled, an alias names one key or none, an account has a set of keys. Linearizability is local, so
// objects are checked one by one; an operation that shows two objects is a read of each.

// The verbs of the model.
const (
	verbRead   = "read"   // key: its state; alias: its target; keys: the set
	verbSet    = "set"    // key: enable or disable
	verbCreate = "create" // alias: fails when there is one; keys: adds a key
	verbMove   = "move"   // alias: fails when there is none
	verbDelete = "delete" // alias: fails when there is none
)

// act is an operation as the model sees it.
type act struct {
	object string // "key ID", "alias NAME" or "keys"
	verb   string
	value  string // what is written
}

// result is what the caller was told.
type result struct {
	unknown bool     // nothing: it may take effect at any later time
	code    kms.Code // "", not_found or already_exists
	value   string   // what was read
}

// step is the model: whether an object in state may answer r to a, and its state afterwards.
func step(state string, a act, r result) (bool, string) {
	exists := state != ""
	may := true // the operation takes effect in this state
	want := kms.Code("")
	switch {
	case a.object == "keys" && a.verb == verbCreate:
		return true, addTo(state, a.value)
	case strings.HasPrefix(a.object, "alias ") && a.verb == verbCreate:
		if may = !exists; exists {
			want = kms.CodeAlreadyExists
		}
	case strings.HasPrefix(a.object, "alias "):
		if may = exists; !exists {
			want = kms.CodeNotFound
		}
	}
	after := state
	if may && a.verb != verbRead {
		after = a.value
	}
	if r.unknown {
		return true, after
	}
	return r.code == want && (a.verb != verbRead || r.value == state), after
}

// addTo adds an id to a set that is written as a sorted list.
func addTo(set, id string) string {
	all := append(strings.Fields(set), id)
	slices.Sort(all)
	return strings.Join(slices.Compact(all), " ")
}

func model(initial string) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return initial },
		Step: func(state, input, output any) (bool, any) {
			ok, after := step(state.(string), input.(act), output.(result))
			return ok, after
		},
	}
}

// history is what several clients did and were told.
type history struct {
	begun time.Time
	done  atomic.Int64 // operations that ended

	mu       sync.Mutex
	ops      []porcupine.Operation // guarded by mu
	unknown  int                   // guarded by mu
	refused  map[kms.Code]int      // guarded by mu; operations that did not happen
	unlisted map[string]*act       // guarded by mu; creates of unknown outcome, by description
}

func newHistory() *history {
	return &history{begun: time.Now(), refused: map[kms.Code]int{}, unlisted: map[string]*act{}}
}

// call does one operation and notes its outcome for every object that it showed. do returns what was
// read of each act, in order.
func (h *history) call(do func(ctx context.Context) ([]string, error), acts ...*act) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	at := time.Since(h.begun)
	read, err := do(ctx)
	end := time.Since(h.begun)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done.Add(1)
	for i, a := range acts {
		r, happened := outcome(err)
		switch {
		case !happened || r.unknown && a.verb == verbRead:
			h.refuse(err)
			return
		case r.unknown:
			h.unknown++
			end = math.MaxInt64
		case err == nil && a.verb == verbRead:
			r.value = read[i]
		}
		h.ops = append(h.ops, porcupine.Operation{ClientId: len(h.ops), Input: a, Call: int64(at), Output: r, Return: int64(end)})
	}
}

// refuse needs mu.
func (h *history) refuse(err error) {
	if errors.As(err, new(*client.Error)) {
		h.refused[kms.CodeOf(err)]++
	} else {
		h.refused["no connection"]++
	}
}

// outcome sorts what a client is told. Every error but those named says that nothing happened and
// nothing will: the model holds the cluster to that.
func outcome(err error) (r result, happened bool) {
	var answered *client.Error
	switch code := kms.CodeOf(err); {
	case err == nil:
		return result{}, true
	case !errors.As(err, &answered): // the connection broke
		var op *net.OpError
		return result{unknown: true}, !(errors.As(err, &op) && op.Op == "dial")
	case code == kms.CodeNotFound || code == kms.CodeAlreadyExists:
		return result{code: code}, true
	case code == kms.CodeOutcomeUnknown || code == kms.CodeInternal:
		return result{unknown: true}, true
	default:
		return result{}, false
	}
}

// check asks for every object whether its history has a linear order.
func (h *history) check(initial map[string]string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	objects := map[string][]porcupine.Operation{}
	for _, o := range h.ops {
		a := *o.Input.(*act)
		o.Input = a
		objects[a.object] = append(objects[a.object], o)
	}
	for _, object := range slices.Sorted(maps.Keys(objects)) {
		ops := objects[object]
		switch porcupine.CheckOperationsTimeout(model(initial[object]), ops, 30*time.Second) {
		case porcupine.Illegal:
			return fmt.Errorf("the history of %s, which began as %q, has no linear order:\n%s", object, initial[object], format(ops))
		case porcupine.Unknown:
			return fmt.Errorf("the %d operations on %s could not be checked in time", len(ops), object)
		}
	}
	return nil
}

// format writes a history for a failure's message: writes, and reads that differ from the one before.
func format(ops []porcupine.Operation) string {
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	var b strings.Builder
	last := result{unknown: true}
	for _, o := range ops {
		a, r := o.Input.(act), o.Output.(result)
		if a.verb == verbRead && r == last {
			continue
		}
		if a.verb == verbRead {
			last = r
		}
		fmt.Fprintf(&b, "%12.3f to %12.3f ms  %s %s: %+v\n", float64(o.Call)/1e6, float64(o.Return)/1e6, a.verb, a.value, r)
	}
	return b.String()
}

// objects are what the clients of one round work on: those of a tenant of their own.
type objects struct {
	id, secret string   // access key
	keys       []string // that exist from the start
	aliases    []string
	initial    map[string]string
}

func newObjects(t *testing.T, c *cluster.Cluster) *objects {
	t.Helper()
	o := &objects{initial: map[string]string{}, aliases: []string{"alias/one", "alias/two"}}
	a, err := c.Client().CreateAccount(background(t), &kms.CreateAccountRequest{})
	if err != nil {
		t.Fatal(err)
	}
	o.id, o.secret = a.AccessKeyID, string(a.SecretAccessKey)
	cl := c.NewClient(o.id, o.secret, c.Leader())
	for range 3 {
		key := createKey(t, cl, "from the start")
		o.keys = append(o.keys, key)
		o.initial["key "+key] = string(kms.StateEnabled)
		o.initial["keys"] = addTo(o.initial["keys"], key)
	}
	return o
}

// worker does one random operation after the other through one node, none of them twice.
type worker struct {
	h    *history
	o    *objects
	cl   *client.Client
	name string
	made int
}

func (w *worker) work(stop <-chan struct{}) {
	pace := time.NewTicker(3 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-stop:
			return
		case <-pace.C:
		}
		key, alias := w.o.keys[rand.IntN(len(w.o.keys))], w.o.aliases[rand.IntN(len(w.o.aliases))]
		switch rand.IntN(16) {
		case 0, 1:
			w.set(key, rand.IntN(2) == 0)
		case 2:
			w.alias(alias, key, verbCreate)
		case 3:
			w.alias(alias, key, verbMove)
		case 4:
			w.alias(alias, "", verbDelete)
		case 5:
			w.create()
		case 6, 7:
			w.list()
		case 8, 9, 10:
			w.describeAlias(alias)
		default:
			w.describe(key)
		}
	}
}

func (w *worker) set(key string, enabled bool) {
	if enabled {
		w.h.call(func(ctx context.Context) ([]string, error) {
			_, err := w.cl.EnableKey(ctx, &kms.KeyRequest{KeyID: key})
			return nil, err
		}, &act{"key " + key, verbSet, string(kms.StateEnabled)})
		return
	}
	w.h.call(func(ctx context.Context) ([]string, error) {
		_, err := w.cl.DisableKey(ctx, &kms.KeyRequest{KeyID: key}, client.WaitNone())
		return nil, err
	}, &act{"key " + key, verbSet, string(kms.StateDisabled)})
}

func (w *worker) alias(name, target, verb string) {
	w.h.call(func(ctx context.Context) (_ []string, err error) {
		switch verb {
		case verbCreate:
			_, err = w.cl.CreateAlias(ctx, &kms.CreateAliasRequest{AliasName: name, TargetKeyID: target})
		case verbMove:
			_, err = w.cl.UpdateAlias(ctx, &kms.UpdateAliasRequest{AliasName: name, TargetKeyID: target}, client.WaitNone())
		default:
			err = w.cl.DeleteAlias(ctx, &kms.DeleteAliasRequest{AliasName: name}, client.WaitNone())
		}
		return nil, err
	}, &act{"alias " + name, verb, target})
}

func (w *worker) describe(key string, opts ...client.Option) {
	w.h.call(func(ctx context.Context) ([]string, error) {
		a, err := w.cl.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: key}, opts...)
		if err != nil {
			return nil, err
		}
		return []string{string(a.Key.KeyState)}, nil
	}, &act{"key " + key, verbRead, ""})
}

// describeAlias reads two objects: the alias, and the key that it names.
func (w *worker) describeAlias(name string) {
	second := &act{verb: verbRead}
	acts := []*act{{"alias " + name, verbRead, ""}, second}
	at := time.Since(w.h.begun)
	var state string
	w.h.call(func(ctx context.Context) ([]string, error) {
		a, err := w.cl.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: name})
		if err != nil {
			return nil, err
		}
		second.object, state = "key "+a.Key.KeyID, string(a.Key.KeyState)
		return []string{a.Key.KeyID}, nil
	}, acts[0])
	if second.object != "" {
		w.h.mu.Lock()
		defer w.h.mu.Unlock()
		w.h.ops = append(w.h.ops, porcupine.Operation{ClientId: len(w.h.ops), Input: second, Call: int64(at),
			Output: result{value: state}, Return: int64(time.Since(w.h.begun))})
	}
}

// create makes a key. Which one it was, when the answer is lost, its description tells later.
func (w *worker) create() {
	w.made++
	description := fmt.Sprintf("%s %d", w.name, w.made)
	a := &act{"keys", verbCreate, ""}
	w.h.call(func(ctx context.Context) ([]string, error) {
		answer, err := w.cl.CreateKey(ctx, &kms.CreateKeyRequest{Description: description})
		if err != nil {
			return nil, err
		}
		a.value = answer.Key.KeyID
		return nil, nil
	}, a)
	if a.value == "" {
		w.h.mu.Lock()
		w.h.unlisted[description] = a
		w.h.mu.Unlock()
	}
}

func (w *worker) list() {
	w.h.call(func(ctx context.Context) ([]string, error) {
		page, err := w.cl.ListKeys(ctx, &kms.ListRequest{Limit: 1000})
		if err != nil {
			return nil, err
		}
		var ids string
		for _, k := range page.Keys {
			ids += k.KeyID + " "
		}
		return []string{strings.Join(slices.Sorted(slices.Values(strings.Fields(ids))), " ")}, nil
	}, &act{"keys", verbRead, ""})
}

// resolve finds out which keys the creates of unknown outcome made, and reads every object once more.
func (w *worker) resolve(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	for _, key := range w.o.keys {
		w.describe(key)
	}
	for _, alias := range w.o.aliases {
		w.describeAlias(alias)
	}
	w.list()
	ctx := background(t)
	page, err := w.cl.ListKeys(ctx, &kms.ListRequest{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range page.Keys {
		a, err := w.cl.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: k.KeyID})
		if err != nil {
			t.Fatal(err)
		}
		// Also a create that is said not to have happened: then the list shows a key that nobody made.
		if lost := w.h.unlisted[a.Key.Description]; lost != nil {
			lost.value = k.KeyID
		}
	}
	made := func(o porcupine.Operation) bool {
		a := o.Input.(*act)
		return a.object == "keys" && a.verb == verbCreate && a.value == ""
	}
	w.h.ops = slices.DeleteFunc(w.h.ops, made) // what shows nowhere did not happen
}

const some = 250 // operations

// fault is something that happens to the cluster while the clients work.
type fault struct {
	name string
	do   func(t *testing.T, c *cluster.Cluster, settle func(operations int64))
}

// cutFaults are for nodes inside the test process.
func cutFaults() []fault {
	return []fault{
		{"the leader is cut off", func(t *testing.T, c *cluster.Cluster, settle func(operations int64)) {
			old := c.Leader()
			c.Net.Isolate(old)
			c.Eventually(20*time.Second, "another leader", func(ctx context.Context) error {
				for _, n := range c.Nodes {
					if h, err := n.Client().Health(ctx); n != old && err == nil && h.Leader && h.CanWrite {
						return nil
					}
				}
				return notYet("no other node leads")
			})
			settle(some)
			c.Net.Heal()
		}},
		{"the leader is restarted", func(t *testing.T, c *cluster.Cluster, settle func(operations int64)) {
			n := c.Leader()
			if err := n.Stop(); err != nil {
				t.Errorf("%s ended with %v", n.Name, err)
			}
			settle(some)
			n.Start()
			n.Unseal()
			n.WaitServing()
		}},
		{"the leader loses one follower", func(_ *testing.T, c *cluster.Cluster, settle func(operations int64)) {
			c.Net.Cut(c.Leader(), c.Followers()[0])
			settle(some)
			c.Net.Heal()
		}},
		{"the leader is sealed", func(t *testing.T, c *cluster.Cluster, settle func(operations int64)) {
			n := c.Leader()
			if _, err := n.Client().Seal(background(t), &kms.SealRequest{}); err != nil {
				t.Error(err)
			}
			settle(some)
			n.Unseal()
			n.WaitServing()
		}},
		{"the followers lose each other", func(_ *testing.T, c *cluster.Cluster, settle func(operations int64)) {
			rest := c.Followers()
			c.Net.Cut(rest[0], rest[1])
			settle(some)
			c.Net.Heal()
		}},
		{"nobody hears anybody", func(_ *testing.T, c *cluster.Cluster, settle func(operations int64)) {
			for _, n := range c.Nodes {
				c.Net.Isolate(n)
			}
			settle(12) // each takes until it is refused
			c.Net.Heal()
		}},
	}
}

// linearRound lets clients work while the faults happen one after the other, and checks what they saw.
func linearRound(t *testing.T, c *cluster.Cluster, faults []fault) {
	t.Helper()
	h, o := newHistory(), newObjects(t, c)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, n := range c.Nodes {
		for i := range 2 {
			w := &worker{h: h, o: o, cl: c.NewClient(o.id, o.secret, n), name: fmt.Sprintf("%s/%d", n.Name, i)}
			wg.Go(func() { w.work(stop) })
		}
	}
	end := sync.OnceFunc(func() { close(stop); wg.Wait() })
	defer end()
	settle := func(operations int64) { // some under the fault, and some after it
		until := h.done.Load() + operations
		c.Eventually(30*time.Second, "operations", func(context.Context) error {
			if n := h.done.Load(); n < until {
				return notYet("%d of %d operations", n, until)
			}
			return nil
		})
	}
	settle(some)
	var names []string
	for _, f := range faults {
		f.do(t, c, settle)
		settle(some)
		names = append(names, f.name)
	}
	end()
	for _, n := range c.Nodes {
		n.WaitServing()
	}
	last := &worker{h: h, o: o, cl: c.NewClient(o.id, o.secret, c.Nodes[0])}
	last.resolve(t, c)
	t.Logf("%s: %d operations, %d of unknown outcome; refused: %v", strings.Join(names, ", "), len(h.ops), h.unknown, h.refused)
	if err := h.check(o.initial); err != nil {
		t.Error(err)
	}
}

// TestLinearizable lets clients of every node create, enable, disable, describe and list keys and make,
// move and delete aliases while leaders are cut off and restarted: what they are told has one order.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	// Proposals give up early, so that many outcomes are unknown.
	c := cluster.Start(t, cluster.Options{Seams: func(_ int, s *server.Seams) {
		s.Timing = func(t *replica.Timing) { cluster.FastTiming(t); t.Propose = 300 * time.Millisecond }
	}})
	for range rounds(1, 10) {
		faults := cutFaults()[:rounds(3, len(cutFaults()))]
		rand.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
		if linearRound(t, c, faults); t.Failed() {
			return
		}
	}
}

// TestCheckerFindsStaleReads shows that the check can fail: reads that a node answers from its own
// state while it is cut off are not linearizable.
func TestCheckerFindsStaleReads(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	h, o := newHistory(), newObjects(t, c)
	rest := c.Followers()
	at := func(n *cluster.Node) *worker { return &worker{h: h, o: o, cl: c.NewClient(o.id, o.secret, n)} }
	c.Eventually(10*time.Second, "the key on the follower", func(ctx context.Context) error {
		_, err := at(rest[0]).cl.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: o.keys[0]})
		return err
	})
	c.Net.Isolate(rest[0])
	at(rest[1]).set(o.keys[0], false)
	at(rest[1]).describe(o.keys[0])
	at(rest[0]).describe(o.keys[0]) // refused, and so no part of the history
	if err := h.check(o.initial); err != nil {
		t.Fatal(err)
	}
	if h.refused[kms.CodeCannotConfirm] != 1 {
		t.Fatalf("refused: %v", h.refused)
	}
	at(rest[0]).describe(o.keys[0], client.Stale())
	if err := h.check(o.initial); err == nil || !strings.Contains(err.Error(), "no linear order") {
		t.Fatalf("a stale read passes as fresh: %v", err)
	}
}

// TestLinearModel checks the model itself on small histories.
func TestLinearModel(t *testing.T) {
	t.Parallel()
	type event struct {
		from, to int64
		a        act
		r        result
	}
	const forever = math.MaxInt64
	on, off := string(kms.StateEnabled), string(kms.StateDisabled)
	key, alias, keys := "key k", "alias a", "keys"
	cases := []struct {
		name   string
		events []event
		good   bool
	}{
		{"reads what was written", []event{{1, 2, act{key, verbSet, off}, result{}}, {3, 4, act{key, verbRead, ""}, result{value: off}}}, true},
		{"reads what was there before", []event{{1, 2, act{key, verbSet, off}, result{}}, {3, 4, act{key, verbRead, ""}, result{value: on}}}, false},
		{"an unknown write comes late", []event{{1, forever, act{key, verbSet, off}, result{unknown: true}},
			{3, 4, act{key, verbRead, ""}, result{value: on}}, {5, 6, act{key, verbRead, ""}, result{value: off}}}, true},
		{"an unknown write comes once", []event{{1, forever, act{key, verbSet, off}, result{unknown: true}},
			{3, 4, act{key, verbRead, ""}, result{value: off}}, {5, 6, act{key, verbSet, on}, result{}},
			{7, 8, act{key, verbRead, ""}, result{value: off}}}, false},
		{"an alias is made twice", []event{{1, 2, act{alias, verbCreate, "x"}, result{}}, {3, 4, act{alias, verbCreate, "y"}, result{}}}, false},
		{"an alias is there already", []event{{1, 2, act{alias, verbCreate, "x"}, result{}},
			{3, 4, act{alias, verbCreate, "y"}, result{code: kms.CodeAlreadyExists}}, {5, 6, act{alias, verbRead, ""}, result{value: "x"}}}, true},
		{"a deleted alias is found", []event{{1, 2, act{alias, verbCreate, "x"}, result{}}, {3, 4, act{alias, verbDelete, ""}, result{}},
			{5, 6, act{alias, verbRead, ""}, result{value: "x"}}}, false},
		{"a moved alias is gone", []event{{1, 2, act{alias, verbMove, "x"}, result{code: kms.CodeNotFound}}, {1, 2, act{alias, verbRead, ""}, result{code: kms.CodeNotFound}}}, true},
		{"a key is not listed", []event{{1, 2, act{keys, verbCreate, "k"}, result{}}, {3, 4, act{keys, verbRead, ""}, result{value: ""}}}, false},
		{"a key nobody made is listed", []event{{3, 4, act{keys, verbRead, ""}, result{value: "k"}}}, false},
	}
	for _, tc := range cases {
		h := newHistory()
		for _, e := range tc.events {
			h.ops = append(h.ops, porcupine.Operation{ClientId: len(h.ops), Input: &e.a, Call: e.from, Output: e.r, Return: e.to})
		}
		if err := h.check(map[string]string{key: on}); (err == nil) != tc.good {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}
