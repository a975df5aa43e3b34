package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const callLimit = 10 * time.Second

// Node is one server process of a cluster.
type Node struct {
	URL string
	PID int // 0 while it does not run
}

// Address returns the node's host:port.
func (n Node) Address() string { return strings.TrimPrefix(n.URL, "http://") }

// Cluster is a running cluster as its env file describes it. It is used by one goroutine at a time.
type Cluster struct {
	Nodes []Node

	env      map[string]string
	envFile  string
	dev      *Process // nil when another process runs the cluster
	program  string   // lockstep
	basePort int
}

// DevOptions say how to start a cluster.
type DevOptions struct {
	Dir      string // holds the lockstep program; gets the data
	BasePort int
	Kept     string   // data folder that outlives the cluster; default a folder in Dir
	Nodes    int      // default 3
	Env      []string // NAME=value, of the nodes beside this process's environment
}

// StartDev starts a cluster, which is ready once its env file is there.
func StartDev(ctx context.Context, o DevOptions) (*Cluster, error) {
	if o.Kept == "" {
		o.Kept = filepath.Join(o.Dir, "data")
	}
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	c := &Cluster{envFile: filepath.Join(o.Dir, "dev.env"), program: filepath.Join(o.Dir, "lockstep"), basePort: o.BasePort}
	var err error
	c.dev, err = startWith(ctx, o.Env, c.program, "dev", "--base-port", strconv.Itoa(o.BasePort), "--data", o.Kept, "--env-file", c.envFile, "--nodes", strconv.Itoa(o.Nodes))
	if err != nil {
		return nil, err
	}
	err = c.dev.Await(ctx, func() bool {
		_, err := os.Stat(c.envFile)
		return err == nil
	})
	if err == nil {
		err = c.Reload()
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// OpenDev returns the running cluster whose env file is given.
func OpenDev(envFile string) (*Cluster, error) {
	c := &Cluster{envFile: envFile}
	return c, c.Reload()
}

// Reload reads the env file again, which changes when a node was restarted.
func (c *Cluster) Reload() error {
	text, err := os.ReadFile(c.envFile)
	if err != nil {
		return err
	}
	c.env = parseEnv(string(text))
	urls, pids := strings.Split(c.env["LOCKSTEP_ADDR"], ","), strings.Split(c.env["LOCKSTEP_NODE_PIDS"], ",")
	if len(urls) != len(pids) {
		return fmt.Errorf("%s: %d addresses and %d process ids", c.envFile, len(urls), len(pids))
	}
	c.Nodes = nil
	for i, url := range urls {
		pid, err := strconv.Atoi(pids[i])
		if err != nil {
			return fmt.Errorf("%s: process id %q", c.envFile, pids[i])
		}
		c.Nodes = append(c.Nodes, Node{url, pid})
	}
	return nil
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

// Close stops the cluster if StartDev started it.
func (c *Cluster) Close() {
	if c.dev != nil {
		c.dev.Stop()
	}
}

// Credential is an access key.
type Credential struct{ ID, Secret string }

// Root returns the access key of the env file.
func (c *Cluster) Root() Credential {
	return Credential{c.env["LOCKSTEP_ACCESS_KEY_ID"], c.env["LOCKSTEP_SECRET_ACCESS_KEY"]}
}

// Health is what a node says of itself.
type Health struct {
	Leader       bool   `json:"leader"`
	Serves       bool   `json:"can_serve_crypto"`
	Writes       bool   `json:"can_write"`
	Reason       string `json:"reason"`
	AppliedIndex uint64 `json:"applied_index"`
}

// Health asks a node; one that answers that it does not serve is no error.
func (c *Cluster) Health(ctx context.Context, n Node) (Health, error) {
	var h Health
	err := c.Call(ctx, http.MethodGet, n.URL+"/v1/sys/health", "", &h)
	var refused *Refused
	if errors.As(err, &refused) && json.Unmarshal(refused.Body, &h) == nil {
		return h, nil
	}
	return h, err
}

// Ready reports whether every node serves crypto and takes writes.
func (c *Cluster) Ready(ctx context.Context) bool {
	for _, n := range c.Nodes {
		if h, err := c.Health(ctx, n); err != nil || !h.Serves || !h.Writes {
			return false
		}
	}
	return true
}

// AwaitReady polls until Ready or for a minute.
func (c *Cluster) AwaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for !c.Ready(ctx) {
		select {
		case <-ctx.Done():
			return errors.New("the cluster is not ready")
		case <-poll.C:
		}
	}
	return nil
}

// Leader returns the position of the node that leads; one that does not serve is an error.
func (c *Cluster) Leader(ctx context.Context) (int, error) {
	leader := -1
	for i, n := range c.Nodes {
		h, err := c.Health(ctx, n)
		if err != nil {
			return -1, err
		}
		if !h.Serves {
			return -1, fmt.Errorf("%s does not serve: %s", n.URL, h.Reason)
		}
		if h.Leader {
			leader = i
		}
	}
	if leader < 0 {
		return -1, errors.New("no node leads")
	}
	return leader, nil
}

// Others returns the nodes but the one at position i.
func (c *Cluster) Others(i int) []Node {
	others := append([]Node{}, c.Nodes[:i]...)
	return append(others, c.Nodes[i+1:]...)
}

// Kill ends node i as a crash would.
func (c *Cluster) Kill(i int) error { return syscall.Kill(c.Nodes[i].PID, syscall.SIGKILL) }

// Restart starts a node that was killed; it is unsealed and serves when Restart returns.
func (c *Cluster) Restart(ctx context.Context, i int) error {
	cmd := exec.CommandContext(ctx, c.program, "dev", "restart", strconv.Itoa(i), "--base-port", strconv.Itoa(c.basePort))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("lockstep dev restart %d: %w: %s", i, err, bytes.TrimSpace(out))
	}
	return c.Reload()
}

// Refused is an answer that is not 2xx.
type Refused struct {
	What   string
	Status int
	Body   []byte
}

// Error implements error.
func (e *Refused) Error() string {
	return fmt.Sprintf("%s: %d: %s", e.What, e.Status, bytes.TrimSpace(e.Body))
}

// Call makes one request as root and decodes the answer.
func (c *Cluster) Call(ctx context.Context, method, url, body string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.SetBasicAuth(c.Root().ID, c.Root().Secret)
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
		return &Refused{method + " " + url, got.StatusCode, text}
	}
	return json.Unmarshal(text, answer)
}

// CreateKey makes a key through a node and returns its id.
func (c *Cluster) CreateKey(ctx context.Context, through Node) (string, error) {
	var created struct {
		Key struct {
			ID string `json:"key_id"`
		} `json:"key"`
	}
	err := c.Call(ctx, http.MethodPost, through.URL+"/v1/keys", `{"description":"bench"}`, &created)
	return created.Key.ID, err
}

// CreateAccount makes an account and returns the access key of its root: the number of keys in one
// account is limited.
func (c *Cluster) CreateAccount(ctx context.Context) (Credential, error) {
	var created struct {
		ID     string `json:"access_key_id"`
		Secret string `json:"secret_access_key"`
	}
	err := c.Call(ctx, http.MethodPost, c.Nodes[0].URL+"/v1/accounts", "{}", &created)
	return Credential{created.ID, created.Secret}, err
}
