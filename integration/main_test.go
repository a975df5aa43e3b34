package integration

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
)

func TestMain(m *testing.M) {
	status := m.Run()
	cluster.RemoveBinary()
	os.Exit(status)
}

func background(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func createKey(t testing.TB, c *client.Client, description string) string {
	t.Helper()
	a, err := c.CreateKey(background(t), &kms.CreateKeyRequest{Description: description})
	if err != nil {
		t.Fatalf("creating a key: %v", err)
	}
	return a.Key.KeyID
}

// roundTrip encrypts on one node and decrypts on another, without retries.
func roundTrip(ctx context.Context, key string, on, back *client.Client) error {
	text := []byte(rand.Text())
	e, err := on.Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: text})
	if err != nil {
		return fmt.Errorf("encrypting: %w", err)
	}
	d, err := back.Decrypt(ctx, &kms.DecryptRequest{CiphertextBlob: e.CiphertextBlob})
	if err != nil {
		return fmt.Errorf("decrypting: %w", err)
	}
	if string(d.Plaintext) != string(text) {
		return fmt.Errorf("decrypted to something else")
	}
	return nil
}

// load is crypto load on some nodes until it is stopped.
type load struct {
	stop   chan struct{}
	wg     sync.WaitGroup
	done   atomic.Int64
	failed atomic.Int64
	first  atomic.Pointer[string]
}

// cryptoLoad encrypts and decrypts with key on each node, one worker a node.
func cryptoLoad(key string, nodes ...*cluster.Node) *load {
	l := &load{stop: make(chan struct{})}
	for _, n := range nodes {
		c := n.Client()
		l.wg.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				err := roundTrip(ctx, key, c, c)
				cancel()
				if err != nil {
					text := n.Name + ": " + err.Error()
					l.first.CompareAndSwap(nil, &text)
					l.failed.Add(1)
					continue
				}
				l.done.Add(1)
			}
		})
	}
	return l
}

// end stops the load and fails the test when an operation failed.
func (l *load) end(t testing.TB) {
	t.Helper()
	close(l.stop)
	l.wg.Wait()
	if l.failed.Load() > 0 {
		t.Errorf("%d of %d crypto operations failed, the first: %s", l.failed.Load(), l.done.Load()+l.failed.Load(), *l.first.Load())
	}
	if l.done.Load() == 0 {
		t.Error("the load did nothing")
	}
}

// mustCode fails the test unless err has the code.
func mustCode(t testing.TB, err error, want kms.Code) {
	t.Helper()
	if got := kms.CodeOf(err); got != want {
		t.Fatalf("the answer is %q (%v), want %q", got, err, want)
	}
}
