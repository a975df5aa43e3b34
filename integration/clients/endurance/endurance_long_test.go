//go:build long

package endurance

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

func TestMain(m *testing.M) { cluster.Main(m) }

// expected has every class of error that a client may be left with while single nodes are killed and started again.
var expected = map[string]string{
	"DependencyTimeoutException 503": "the node is sealed still, has no lease yet, or waits for an election",
	"KMSInternalException 500":       "the outcome of a change is not known, its leader died",
	"502":                            "the endpoint in front lost the node in the middle of a request",
	"connection":                     "the node is dead, or died in the middle of a request",
}

const (
	patience = 2 * time.Minute // for one call with its retries, and for progress while a node is down
	progress = 5               // acknowledged operations of each client before the next node is killed or started
)

// worker is one client at work, and what the cluster acknowledged to it.
type worker struct {
	name string
	caller
	every time.Duration // between two operations, so that three clients and three nodes share a small machine

	acknowledged atomic.Int64

	// owned by the goroutine of work, later by that of the test
	keys        []*key
	signers     []*key
	aliases     []*alias
	ciphertexts []*ciphertext
	signatures  []*signature
	operations  map[string]int // acknowledged
	sent, calls int
	errors      map[string]int
	unexpected  []string
}

type key struct{ id, description string }

// alias has what it may name: one key, or two after a move whose outcome nobody was told. It is not moved again then.
type alias struct {
	name string
	keys []string
}

type ciphertext struct {
	blob, plaintext []byte
	context         map[string]string
}

type signature struct {
	key             string
	message, signed []byte
}

// ask makes one call. It reports whether the cluster acknowledged it.
func (w *worker) ask(ctx context.Context, operation string, in shape) (reply, bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience) // what was begun is ended
	defer cancel()
	r, err := w.call(ctx, operation, in)
	w.calls++
	w.sent += r.Sent
	switch {
	case err != nil:
		w.unexpected = append(w.unexpected, fmt.Sprintf("%s: %v", operation, err))
		return r, false
	case r.Class != "":
		w.errors[r.Class]++
		if expected[r.Class] == "" {
			w.unexpected = append(w.unexpected, fmt.Sprintf("%s: %s: %s", operation, r.Class, r.Message))
		}
		return r, false
	}
	w.operations[operation]++
	w.acknowledged.Add(1)
	return r, true
}

func (w *worker) wrong(format string, args ...any) {
	w.unexpected = append(w.unexpected, fmt.Sprintf(format, args...))
}

func pick[T any](all []T) T { return all[mathrand.IntN(len(all))] }

// work mixes operations until ctx ends. Names and messages are random, so that no two changes are equal.
func (w *worker) work(ctx context.Context) {
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for ctx.Err() == nil && len(w.unexpected) < 20 {
		switch n := mathrand.IntN(100); {
		case n < 4 || len(w.keys) == 0:
			w.create(ctx, &w.keys, shape{})
		case n < 6 || len(w.signers) == 0:
			w.create(ctx, &w.signers, shape{"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"})
		case n < 10 || len(w.aliases) == 0:
			w.nameOne(ctx)
		case n < 15:
			w.move(ctx)
		case n < 40 || len(w.ciphertexts) == 0:
			w.encrypt(ctx)
		case n < 50:
			w.dataKey(ctx)
		case n < 75:
			w.decrypt(ctx, pick(w.ciphertexts))
		case n < 85 || len(w.signatures) == 0:
			w.sign(ctx)
		case n < 95:
			w.verify(ctx, pick(w.signatures))
		default:
			w.describe(ctx, pick(w.keys))
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (w *worker) create(ctx context.Context, all *[]*key, in shape) {
	k := &key{description: rand.Text()}
	in["Description"] = k.description
	if r, ok := w.ask(ctx, "CreateKey", in); ok {
		k.id = r.Out.KeyMetadata.KeyId
		*all = append(*all, k)
	}
}

func (w *worker) nameOne(ctx context.Context) {
	a := &alias{"alias/" + rand.Text(), []string{pick(w.keys).id}}
	if _, ok := w.ask(ctx, "CreateAlias", shape{"AliasName": a.name, "TargetKeyId": a.keys[0]}); ok {
		w.aliases = append(w.aliases, a)
	}
}

func (w *worker) move(ctx context.Context) {
	a, to := pick(w.aliases), pick(w.keys).id
	if len(a.keys) > 1 {
		return
	}
	if _, ok := w.ask(ctx, "UpdateAlias", shape{"AliasName": a.name, "TargetKeyId": to}); ok {
		a.keys = []string{to}
	} else {
		a.keys = append(a.keys, to)
	}
}

func (w *worker) encrypt(ctx context.Context) {
	c := &ciphertext{plaintext: []byte(rand.Text()), context: map[string]string{"client": w.name, "n": rand.Text()}}
	a := pick(w.aliases)
	r, ok := w.ask(ctx, "Encrypt", shape{"KeyId": a.name, "Plaintext": c.plaintext, "EncryptionContext": c.context})
	if !ok {
		return
	}
	if !a.names(r.Out.KeyId) {
		w.wrong("Encrypt by %s, which was acknowledged to name %v, used %s", a.name, a.keys, r.Out.KeyId)
	}
	c.blob = r.Out.CiphertextBlob
	w.ciphertexts = append(w.ciphertexts, c)
}

func (a *alias) names(arn string) bool {
	return slices.ContainsFunc(a.keys, func(id string) bool { return strings.HasSuffix(arn, ":key/"+id) })
}

func (w *worker) dataKey(ctx context.Context) {
	in := shape{"KeyId": pick(w.keys).id, "KeySpec": "AES_256", "EncryptionContext": map[string]string{"client": w.name}}
	if r, ok := w.ask(ctx, "GenerateDataKey", in); ok {
		w.ciphertexts = append(w.ciphertexts, &ciphertext{r.Out.CiphertextBlob, r.Out.Plaintext, map[string]string{"client": w.name}})
	}
}

func (w *worker) decrypt(ctx context.Context, c *ciphertext) bool {
	r, ok := w.ask(ctx, "Decrypt", shape{"CiphertextBlob": c.blob, "EncryptionContext": c.context})
	if ok && !bytes.Equal(r.Out.Plaintext, c.plaintext) {
		w.wrong("Decrypt answered another plaintext")
	}
	return ok
}

func (w *worker) sign(ctx context.Context) {
	s := &signature{key: pick(w.signers).id, message: []byte(rand.Text())}
	if r, ok := w.ask(ctx, "Sign", shape{"KeyId": s.key, "Message": s.message, "SigningAlgorithm": "ECDSA_SHA_256"}); ok {
		s.signed = r.Out.Signature
		w.signatures = append(w.signatures, s)
	}
}

func (w *worker) verify(ctx context.Context, s *signature) bool {
	r, ok := w.ask(ctx, "Verify",
		shape{"KeyId": s.key, "Message": s.message, "Signature": s.signed, "SigningAlgorithm": "ECDSA_SHA_256"})
	if ok && !r.Out.SignatureValid {
		w.wrong("Verify answered false")
	}
	return ok
}

func (w *worker) describe(ctx context.Context, k *key) bool {
	r, ok := w.ask(ctx, "DescribeKey", shape{"KeyId": k.id})
	if ok && (r.Out.KeyMetadata.KeyId != k.id || r.Out.KeyMetadata.Description != k.description) {
		w.wrong("DescribeKey of %v answered %+v", k, r.Out.KeyMetadata)
	}
	return ok
}

// TestNodesRestartUnderClients has three clients work while one node after the other is killed and started again. No
// client may be left with an error that is not expected, and everything that was acknowledged has to be there afterwards.
func TestNodesRestartUnderClients(t *testing.T) {
	long := 10 * time.Minute
	if text := os.Getenv("LOCKSTEP_ENDURANCE"); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatalf("LOCKSTEP_ENDURANCE: %v", err)
		}
	}
	c := cluster.Start(t, cluster.Options{})
	var workers []*worker
	for _, w := range []*worker{
		{name: "aws-sdk-go-v2", caller: newGoSDK(t, c, c.URL), every: 50 * time.Millisecond},
		{name: "boto3", caller: newBoto3(t, c), every: 50 * time.Millisecond},
		{name: "curl", caller: newCurl(t, c), every: 200 * time.Millisecond},
	} {
		w.operations, w.errors = map[string]int{}, map[string]int{}
		workers = append(workers, w)
	}
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	var working sync.WaitGroup
	for _, w := range workers {
		working.Go(func() { w.work(ctx) })
	}
	kills := 0
	for ; ctx.Err() == nil && !t.Failed(); kills++ {
		n := kills % len(c.Nodes)
		c.Kill(t, n)
		goesOn(ctx, t, workers, fmt.Sprintf("while node %d is dead", n))
		c.Restart(t, n)
		goesOn(ctx, t, workers, fmt.Sprintf("after node %d came back", n))
	}
	cancel()
	working.Wait()
	t.Logf("%v, %d times a node was killed and started again", long, kills)
	for _, w := range workers {
		w.report(t)
	}
	checkEverything(t, c, workers)
}

// goesOn returns when each client has had some more operations acknowledged, or the time is over.
func goesOn(ctx context.Context, t *testing.T, workers []*worker, when string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for _, w := range workers {
		for enough := w.acknowledged.Load() + progress; w.acknowledged.Load() < enough; {
			if time.Now().After(deadline) {
				t.Errorf("%s: nothing is acknowledged to %s", when, w.name)
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}
}

// report prints the figures of a client, and fails the test for what was not expected.
func (w *worker) report(t *testing.T) {
	for _, what := range w.unexpected {
		t.Errorf("%s: not expected: %s", w.name, what)
	}
	total := 0
	var parts []string
	for _, operation := range slices.Sorted(maps.Keys(w.operations)) {
		total += w.operations[operation]
		parts = append(parts, fmt.Sprintf("%s %d", operation, w.operations[operation]))
	}
	t.Logf("%s: %d calls, %d acknowledged (%s), %d retries", w.name, w.calls, total, strings.Join(parts, ", "), w.sent-w.calls)
	for _, class := range slices.Sorted(maps.Keys(w.errors)) {
		t.Logf("%s: %d x %s: %s", w.name, w.errors[class], class, expected[class])
	}
}

// checkEverything asks the nodes, each for a third, for everything that was acknowledged to any client. All run; so
// nothing is refused that a client's retries do not mend.
func checkEverything(t *testing.T, c *cluster.Cluster, workers []*worker) {
	var checks [3]*worker
	for n := range checks {
		checks[n] = &worker{name: fmt.Sprintf("node %d", n), caller: newGoSDK(t, c, c.Nodes[n]), operations: map[string]int{}, errors: map[string]int{}}
	}
	ctx, n := t.Context(), 0
	check := func(what string, one func(w *worker) bool) {
		w := checks[n%len(checks)]
		n++
		if !one(w) {
			t.Errorf("%s: %s: %v %v", w.name, what, w.errors, w.unexpected)
		}
	}
	for _, by := range workers {
		for _, k := range slices.Concat(by.keys, by.signers) {
			check("a key made by "+by.name, func(w *worker) bool { return w.describe(ctx, k) })
		}
		for _, a := range by.aliases {
			check("an alias made by "+by.name, func(w *worker) bool {
				r, ok := w.ask(ctx, "DescribeKey", shape{"KeyId": a.name})
				return ok && slices.Contains(a.keys, r.Out.KeyMetadata.KeyId)
			})
		}
		for _, one := range by.ciphertexts {
			check("a ciphertext made by "+by.name, func(w *worker) bool { return w.decrypt(ctx, one) })
		}
		for _, s := range by.signatures {
			check("a signature made by "+by.name, func(w *worker) bool { return w.verify(ctx, s) })
		}
		t.Logf("%s: %d keys, %d aliases, %d ciphertexts and %d signatures were looked for", by.name, len(by.keys)+len(by.signers),
			len(by.aliases), len(by.ciphertexts), len(by.signatures))
	}
	for _, w := range checks {
		for _, what := range w.unexpected {
			t.Errorf("%s: %s", w.name, what)
		}
	}
}
