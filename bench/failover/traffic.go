package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lockstep-kms/lockstep/bench/lab"
)

const (
	requestLimit = 10 * time.Second
	retryAfter   = 10 * time.Millisecond // between two attempts to write
	writeLimit   = 30 * time.Second      // for writes to work again
)

// crypto is the load on the survivors.
type crypto struct {
	stopping atomic.Bool
	wg       sync.WaitGroup

	mu sync.Mutex
	r  round // guarded by mu: operations, failed, firstError, slowest
}

// startCrypto makes a key and lets connections to every survivor encrypt and decrypt with it.
func startCrypto(ctx context.Context, c *lab.Cluster, survivors []lab.Node, connections int) (*crypto, error) {
	key, err := c.CreateKey(ctx, survivors[0])
	if err != nil {
		return nil, err
	}
	load := &crypto{}
	for _, node := range survivors {
		_, encrypt, err := lab.NewRequest(node.URL+"/v1/keys/"+key+"/encrypt", `{"plaintext":"aGVsbG8="}`, c.Root().Header())
		if err != nil {
			return nil, err
		}
		for range connections {
			load.wg.Go(func() {
				if err := load.run(node, encrypt, c.Root()); err != nil {
					load.count(0, err)
				}
			})
		}
	}
	return load, nil
}

// run alternates encrypting and decrypting until told to stop; a connection that breaks ends it.
func (l *crypto) run(node lab.Node, encrypt lab.Request, root lab.Credential) error {
	conn, err := lab.Dial(node.Address())
	if err != nil {
		return err
	}
	defer conn.Close()
	for !l.stopping.Load() {
		body, err := l.one(conn, encrypt)
		if err != nil {
			return err
		}
		if body == nil {
			continue
		}
		var encrypted struct {
			Ciphertext string `json:"ciphertext"`
		}
		if err := json.Unmarshal(body, &encrypted); err != nil {
			return err
		}
		_, decrypt, err := lab.NewRequest(node.URL+"/v1/decrypt", `{"ciphertext":"`+encrypted.Ciphertext+`"}`, root.Header())
		if err != nil {
			return err
		}
		if _, err := l.one(conn, decrypt); err != nil {
			return err
		}
	}
	return nil
}

// one does one operation and counts it; body is nil when it was refused.
func (l *crypto) one(conn *lab.Conn, r lab.Request) (body []byte, err error) {
	start := time.Now()
	status, body, err := conn.Do(r, requestLimit)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		l.count(time.Since(start), fmt.Errorf("%d: %s", status, body))
		return nil, nil
	}
	l.count(time.Since(start), nil)
	return body, nil
}

func (l *crypto) count(took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.r.operations++
	l.r.slowest = max(l.r.slowest, took)
	if err != nil {
		if l.r.failed++; l.r.firstError == "" {
			l.r.firstError = err.Error()
		}
	}
}

// stop ends the load and writes what it counted into r.
func (l *crypto) stop(r *round) {
	l.stopping.Store(true)
	l.wg.Wait()
	r.operations, r.failed, r.firstError, r.slowest = l.r.operations, l.r.failed, l.r.firstError, l.r.slowest
}

// awaitWrites tries to create keys on every survivor until each has made one.
func (r *round) awaitWrites(ctx context.Context, c *lab.Cluster, survivors []lab.Node) error {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	killed := time.Now()
	var refused atomic.Int64
	took, errs := make([]time.Duration, len(survivors)), make([]error, len(survivors))
	var wg sync.WaitGroup
	for i, node := range survivors {
		wg.Go(func() {
			for {
				_, err := c.CreateKey(ctx, node)
				if err == nil {
					took[i] = time.Since(killed)
					return
				}
				refused.Add(1)
				if pause(ctx, retryAfter) != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("no write in %v: %w", writeLimit, err)
		}
	}
	r.any, r.both, r.refused = took[0], took[0], int(refused.Load())
	for _, t := range took {
		r.any, r.both = min(r.any, t), max(r.both, t)
	}
	return nil
}
