package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/lockstep-kms/lockstep/bench/lab"
)

// useLimit is how long one request may take.
const useLimit = 10 * time.Second

// uses creates n keys, each on one node, and encrypts with each on the next node as soon as the
// answer is there, without a pause or a second try.
func uses(ctx context.Context, c *lab.Cluster, n int) error {
	conns := make([]*lab.Conn, len(c.Nodes))
	for i, node := range c.Nodes {
		conn, err := lab.Dial(node.Address())
		if err != nil {
			return err
		}
		defer conn.Close()
		conns[i] = conn
	}
	var creating, using, both []time.Duration
	failed, first := 0, ""
	for i := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		here, there := i%len(conns), (i+1)%len(conns)
		start := time.Now()
		key, err := createOn(c, conns[here], here)
		if err != nil {
			return err
		}
		created := time.Now()
		status, body, err := encryptOn(c, conns[there], there, key)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			if failed++; first == "" {
				first = fmt.Sprintf("; the first: %d %s", status, body)
			}
			continue
		}
		creating, using, both = append(creating, created.Sub(start)), append(using, time.Since(created)), append(both, time.Since(start))
	}
	fmt.Printf("created on one node, used at once on another, %d times, one at a time: %d first tries failed%s\n", n, failed, first)
	fmt.Printf("  create          %v\n  use elsewhere   %v\n  both            %v\n", lab.Summarize(creating), lab.Summarize(using), lab.Summarize(both))
	return nil
}

// createOn creates a key on node i.
func createOn(c *lab.Cluster, conn *lab.Conn, i int) (string, error) {
	_, request, err := lab.NewRequest(c.Nodes[i].URL+"/v1/keys", `{"description":"bench"}`, c.Root().Header())
	if err != nil {
		return "", err
	}
	status, body, err := conn.Do(request, useLimit)
	if err != nil {
		return "", err
	}
	if status != http.StatusCreated {
		return "", fmt.Errorf("creating a key: %d: %s", status, body)
	}
	var created struct {
		Key struct {
			ID string `json:"key_id"`
		} `json:"key"`
	}
	err = json.Unmarshal(body, &created)
	return created.Key.ID, err
}

// encryptOn encrypts with a key on node i.
func encryptOn(c *lab.Cluster, conn *lab.Conn, i int, key string) (status int, body []byte, err error) {
	_, request, err := lab.NewRequest(c.Nodes[i].URL+"/v1/keys/"+key+"/encrypt", `{"plaintext":"aGVsbG8="}`, c.Root().Header())
	if err != nil {
		return 0, nil, err
	}
	return conn.Do(request, useLimit)
}
