package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// plaintext is 32 bytes in base64, and body the request that every target gets.
const (
	plaintext         = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	encryptionContext = `"encryption_context":{"purpose":"bench"}`
	body              = `{"plaintext":"` + plaintext + `",` + encryptionContext + `}`
)

// cluster is a running cluster as its env file describes it.
type cluster struct {
	env      map[string]string
	nodes    []node
	follower node
	key      string // id of a key made for this run
}

// node is one server process of the cluster.
type node struct {
	url string
	pid int
}

// openCluster finds a follower, makes a key through it, and proves before anything is measured that
// what the follower encrypts another node decrypts.
func openCluster(ctx context.Context, envFile string) (*cluster, error) {
	text, err := os.ReadFile(envFile)
	if err != nil {
		return nil, err
	}
	c := &cluster{env: parseEnv(string(text))}
	urls, pids := strings.Split(c.env["LOCKSTEP_ADDR"], ","), strings.Split(c.env["LOCKSTEP_NODE_PIDS"], ",")
	if len(urls) != len(pids) {
		return nil, fmt.Errorf("%s: %d addresses and %d process ids", envFile, len(urls), len(pids))
	}
	for i, url := range urls {
		pid, err := strconv.Atoi(pids[i])
		if err != nil {
			return nil, fmt.Errorf("%s: process id %q", envFile, pids[i])
		}
		c.nodes = append(c.nodes, node{url, pid})
	}
	other, err := c.pickFollower(ctx)
	if err != nil {
		return nil, err
	}
	return c, c.prepareKey(ctx, other)
}

// parseEnv reads KEY=value lines.
func parseEnv(text string) map[string]string {
	env := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			env[key] = value
		}
	}
	return env
}

// credentials returns what the load generator authenticates with, for its environment.
func (c *cluster) credentials() []string {
	var vars []string
	for _, name := range []string{"LOCKSTEP_ACCESS_KEY_ID", "LOCKSTEP_SECRET_ACCESS_KEY"} {
		vars = append(vars, name+"="+c.env[name])
	}
	return vars
}

// pickFollower chooses the first node that serves and does not lead, and returns another one.
func (c *cluster) pickFollower(ctx context.Context) (other node, err error) {
	for i, n := range c.nodes {
		leads, err := c.leads(ctx, n)
		if err != nil {
			return node{}, err
		}
		if !leads && len(c.nodes) > 1 {
			c.follower = n
			return c.nodes[(i+1)%len(c.nodes)], nil
		}
	}
	return node{}, errors.New("the cluster has no follower")
}

// leads asks a node for its health; one that cannot serve crypto is an error.
func (c *cluster) leads(ctx context.Context, n node) (bool, error) {
	var health struct {
		Leader bool   `json:"leader"`
		Serves bool   `json:"can_serve_crypto"`
		Reason string `json:"reason"`
	}
	if err := c.call(ctx, http.MethodGet, n.url+"/v1/sys/health", "", &health); err != nil {
		return false, err
	}
	if !health.Serves {
		return false, fmt.Errorf("%s does not serve: %s", n.url, health.Reason)
	}
	return health.Leader, nil
}

// stillFollower is an error when the measured node leads by now: the figures would not be one thing.
func (c *cluster) stillFollower(ctx context.Context) error {
	leads, err := c.leads(ctx, c.follower)
	if err == nil && leads {
		err = errors.New("the measured follower became the leader; run again")
	}
	return err
}

// prepareKey makes the key and tries it.
func (c *cluster) prepareKey(ctx context.Context, other node) error {
	var created struct {
		Key struct {
			ID string `json:"key_id"`
		} `json:"key"`
	}
	if err := c.call(ctx, http.MethodPost, c.follower.url+"/v1/keys", `{"description":"bench/compare"}`, &created); err != nil {
		return err
	}
	c.key = created.Key.ID
	var encrypted struct {
		Ciphertext string `json:"ciphertext"`
	}
	if err := c.call(ctx, http.MethodPost, c.follower.url+"/v1/keys/"+c.key+"/encrypt", body, &encrypted); err != nil {
		return err
	}
	var decrypted struct {
		Plaintext string `json:"plaintext"`
	}
	if err := c.call(ctx, http.MethodPost, other.url+"/v1/decrypt", `{"ciphertext":"`+encrypted.Ciphertext+`",`+encryptionContext+`}`, &decrypted); err != nil {
		return err
	}
	if decrypted.Plaintext != plaintext {
		return errors.New("what the follower encrypted came back changed from another node")
	}
	return nil
}

// call makes one authenticated request and decodes the answer.
func (c *cluster) call(ctx context.Context, method, url, body string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.SetBasicAuth(c.env["LOCKSTEP_ACCESS_KEY_ID"], c.env["LOCKSTEP_SECRET_ACCESS_KEY"])
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer got.Body.Close()
	text, err := io.ReadAll(io.LimitReader(got.Body, 1<<20))
	if err != nil {
		return err
	}
	if got.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, url, got.Status, bytes.TrimSpace(text))
	}
	return json.Unmarshal(text, answer)
}
