package dev

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lockstep-kms/lockstep/api/client"
)

// secrets is dev.json: what a kept dev cluster needs to come up again.
type secrets struct {
	Shares          []string `json:"shares"`
	Threshold       int      `json:"threshold"`
	AccessKeyID     string   `json:"access_key_id"`
	SecretAccessKey string   `json:"secret_access_key"`
}

// node is one child process.
type node struct {
	name   string
	dir    string
	config string
	cmd    *exec.Cmd     // of the present process, nil when it ended
	stdin  *os.File      // write end of its standard input: closing it ends the child
	done   chan struct{} // closed when the present process was reaped
	died   error         // how the last process ended when it was not asked to
}

// cluster is a running dev cluster.
type cluster struct {
	o          options
	executable string
	dir        string
	temporary  bool
	lock       *os.File
	spawn      *spawner
	events     chan string // what watch prints
	wroteEnv   atomic.Bool // the env file is this cluster's

	mu       sync.Mutex
	nodes    []*node  // guarded by mu (the pointed-to values too)
	secrets  *secrets // set before ready, immutable then
	stopping bool     // guarded by mu
}

func newCluster(o options) (_ *cluster, err error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, err
	}
	d := &cluster{o: o, executable: executable, dir: o.data, events: make(chan string, 64), spawn: newSpawner()}
	if d.dir == "" {
		d.temporary = true
		if d.dir, err = os.MkdirTemp("", "lockstep-dev-"); err != nil {
			return nil, err
		}
	} else if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return nil, err
	}
	if d.dir, err = filepath.Abs(d.dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if err := d.takeLock(); err != nil {
		return nil, err
	}
	if err := d.checkPorts(); err != nil {
		return nil, err
	}
	if err := d.loadSecrets(); err != nil {
		return nil, err
	}
	return d, d.writeConfigs()
}

// takeLock keeps a second dev away from the same folder.
func (d *cluster) takeLock() error {
	f, err := os.OpenFile(filepath.Join(d.dir, "dev.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return fmt.Errorf("%s is in use by another 'lockstep dev'", d.dir)
	}
	d.lock = f
	return nil
}

func (d *cluster) apiAddr(i int) string  { return fmt.Sprintf("127.0.0.1:%d", d.o.basePort+i) }
func (d *cluster) peerAddr(i int) string { return fmt.Sprintf("127.0.0.1:%d", d.o.basePort+100+i) }

// checkPorts names a taken port before anything is started.
func (d *cluster) checkPorts() error {
	for i := range d.o.nodes {
		for _, addr := range []string{d.apiAddr(i), d.peerAddr(i)} {
			l, err := net.Listen("tcp", addr)
			if err != nil {
				return fmt.Errorf("%s is taken; stop what listens there or choose another --base-port", addr)
			}
			l.Close()
		}
	}
	return nil
}

func (d *cluster) loadSecrets() error {
	raw, err := os.ReadFile(filepath.Join(d.dir, "dev.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var s secrets
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil || s.Threshold < 1 || len(s.Shares) < s.Threshold {
		return fmt.Errorf("%s holds no usable shares; choose another --data folder", filepath.Join(d.dir, "dev.json"))
	}
	d.secrets = &s
	return nil
}

// saveSecrets writes dev.json before anything depends on it: the answer of init is given once.
func (d *cluster) saveSecrets(s secrets) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	d.secrets = &s
	return writeFileAtomic(filepath.Join(d.dir, "dev.json"), append(raw, '\n'))
}

// writeFileAtomic writes a file of mode 0600 that is either whole or absent.
func writeFileAtomic(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".lockstep-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func (d *cluster) startAll() error {
	for i := range d.o.nodes {
		if err := d.start(i); err != nil {
			return err
		}
	}
	return nil
}

// start starts node i. Its standard input is a pipe that only this process holds: however this
// process ends, the pipe closes and the child follows.
func (d *cluster) start(i int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.nodes[i]
	if n.cmd != nil {
		return fmt.Errorf("%s is running (process %d)", n.name, n.cmd.Process.Pid)
	}
	log, err := os.OpenFile(filepath.Join(n.dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := exec.Command(d.executable, "server", "--config", n.config, "--exit-with-stdin")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r, log, log
	cmd.Env = environmentWithoutLockstep()
	// A signal typed at the terminal goes to this process, which stops the children in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr)
	if err := d.spawn.start(cmd); err != nil {
		w.Close()
		return fmt.Errorf("starting %s: %w", n.name, err)
	}
	n.cmd, n.stdin, n.done, n.died = cmd, w, make(chan struct{}), nil
	go d.reap(i, n, cmd, n.done)
	return nil
}

// environmentWithoutLockstep is this process's environment without LOCKSTEP_* variables, which would override
// the nodes' configuration.
func environmentWithoutLockstep() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "LOCKSTEP_") {
			env = append(env, kv)
		}
	}
	return env
}

func (d *cluster) reap(i int, n *node, cmd *exec.Cmd, done chan struct{}) {
	err := cmd.Wait()
	d.mu.Lock()
	n.stdin.Close()
	n.cmd, n.stdin = nil, nil
	stopping := d.stopping
	if !stopping {
		if err == nil {
			err = errors.New("exited")
		}
		n.died = fmt.Errorf("%s (process %d) died: %w", n.name, cmd.Process.Pid, err)
	}
	d.mu.Unlock()
	close(done)
	if !stopping {
		d.say("%s (process %d) ended: %v. Bring it back with: %s", n.name, cmd.Process.Pid, err, d.restartCommand(i))
	}
}

func (d *cluster) restartCommand(i int) string {
	line := fmt.Sprintf("%s dev restart %d", selfCommand(d.executable), i)
	if d.o.basePort != 8200 {
		line += fmt.Sprintf(" --base-port %d", d.o.basePort)
	}
	return line
}

// say queues a line for watch; nobody waits for the terminal.
func (d *cluster) say(format string, args ...any) {
	select {
	case d.events <- fmt.Sprintf(format, args...):
	default:
	}
}

// firstDeath returns how a node ended, if one did.
func (d *cluster) firstDeath() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range d.nodes {
		if n.died != nil {
			return fmt.Errorf("%w; the end of its log:\n%s", n.died, lastLines(filepath.Join(n.dir, "server.log"), 5))
		}
	}
	return nil
}

func lastLines(path string, n int) string {
	raw, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// close stops the children and removes what was temporary.
func (d *cluster) close() error {
	d.mu.Lock()
	d.stopping = true
	var waits []chan struct{}
	for _, n := range d.nodes {
		if n.cmd != nil {
			n.cmd.Process.Signal(syscall.SIGTERM)
			waits = append(waits, n.done)
		}
	}
	d.mu.Unlock()
	grace := time.After(8 * time.Second)
	for _, done := range waits {
		select {
		case <-done:
		case <-grace:
			d.killAll()
			<-done
		}
	}
	d.spawn.close()
	var errs []error
	if d.wroteEnv.Load() { // another dev's file says that its cluster is ready
		if err := os.Remove(d.o.envFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if d.lock != nil {
		d.lock.Close()
	}
	if d.temporary {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}

func (d *cluster) killAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range d.nodes {
		if n.cmd != nil {
			n.cmd.Process.Kill()
		}
	}
}

func (d *cluster) client(i int) *client.Client {
	cfg := client.Config{Addrs: []string{"http://" + d.apiAddr(i)}}
	if d.secrets != nil {
		cfg.AccessKeyID, cfg.SecretAccessKey = d.secrets.AccessKeyID, d.secrets.SecretAccessKey
	}
	c, err := client.New(cfg)
	if err != nil {
		panic("client of a loopback address: " + err.Error()) // the address is ours and well-formed
	}
	return c
}

// firstSealed returns a node that answers that it is sealed.
func (d *cluster) firstSealed(ctx context.Context) (int, bool) {
	for i := range d.o.nodes {
		if h, err := d.client(i).Health(ctx); err == nil && h.Initialized && h.Sealed {
			return i, true
		}
	}
	return 0, false
}

func (d *cluster) allReady(ctx context.Context) bool {
	for i := range d.o.nodes {
		if h, err := d.client(i).Health(ctx); err != nil || !h.CanServeCrypto {
			return false
		}
	}
	return true
}

// describe says of each node why it is not ready.
func (d *cluster) describe() string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var parts []string
	for i := range d.o.nodes {
		h, err := d.client(i).Health(ctx)
		switch {
		case err != nil:
			parts = append(parts, fmt.Sprintf("node-%d does not answer", i))
		case !h.CanServeCrypto:
			parts = append(parts, fmt.Sprintf("node-%d: %s", i, h.Reason))
		}
	}
	return strings.Join(parts, ", ")
}

// spawner starts children from one OS thread that lives as long as the cluster: the kernel sends
// the parent-death signal when the thread that forked ends, not the process.
type spawner struct {
	requests chan func()
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for f := range s.requests {
			f()
		}
	}()
	return s
}

func (s *spawner) start(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	s.requests <- func() { result <- cmd.Start() }
	return <-result
}

func (s *spawner) close() { close(s.requests) }
