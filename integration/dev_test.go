package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/integration/cluster"
)

// dev is a running 'lockstep dev'.
type dev struct {
	t       *testing.T
	cmd     *exec.Cmd
	out     *lockedBuffer
	done    chan struct{}
	envFile string
	env     map[string]string
}

// lockedBuffer is written by a process and read by the test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startDev runs the command a user types and waits for the env file.
func startDev(t *testing.T, base int, dir, envFile string) *dev {
	t.Helper()
	d := &dev{t: t, out: &lockedBuffer{}, done: make(chan struct{}), envFile: envFile}
	d.cmd = exec.Command(cluster.Binary(t), "dev", "--base-port", strconv.Itoa(base), "--data", dir, "--env-file", envFile)
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.out
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { d.cmd.Wait(); close(d.done) }()
	t.Cleanup(func() { d.cmd.Process.Kill(); <-d.done })
	poll(t, 40*time.Second, "the env file", func() error {
		select {
		case <-d.done:
			t.Fatalf("dev ended:\n%s", d.out)
		default:
		}
		return d.readEnv()
	})
	return d
}

func (d *dev) readEnv() error {
	raw, err := os.ReadFile(d.envFile)
	if err != nil {
		return err
	}
	d.env = map[string]string{}
	for line := range strings.Lines(string(raw)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		d.env[name] = value
	}
	return nil
}

func (d *dev) addrs() []string { return strings.Split(d.env["LOCKSTEP_ADDR"], ",") }

func (d *dev) pid(i int) int {
	pid, err := strconv.Atoi(strings.Split(d.env["LOCKSTEP_NODE_PIDS"], ",")[i])
	if err != nil {
		d.t.Fatal(err)
	}
	return pid
}

func (d *dev) client(addrs ...string) *client.Client {
	c, err := client.New(client.Config{Addrs: addrs, AccessKeyID: d.env["LOCKSTEP_ACCESS_KEY_ID"], SecretAccessKey: d.env["LOCKSTEP_SECRET_ACCESS_KEY"]})
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

func poll(t *testing.T, limit time.Duration, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
		<-tick.C
	}
}

// freeBase returns a base port whose API and peer ports were free a moment ago, below the range of
// outgoing connections. Tests that run side by side take different slots, 0 or 1.
func freeBase(t *testing.T, slot int) int {
	t.Helper()
	first := 6200 + slot*2800
	for base := first + os.Getpid()%20*40; base < first+2600; base += 10 {
		free := true
		for _, port := range []int{base, base + 1, base + 2, base + 100, base + 101, base + 102} {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				free = false
				break
			}
			l.Close()
		}
		if free {
			return base
		}
	}
	t.Fatal("no free ports")
	return 0
}

// TestDev lives through a dev cluster's life as its user: start, a second start that is refused, a
// killed node that is brought back, a stop, and a start that finds the kept cluster again.
func TestDev(t *testing.T) {
	t.Parallel()
	base, dir := freeBase(t, 0), t.TempDir()
	envFile := filepath.Join(dir, "env")
	d := startDev(t, base, filepath.Join(dir, "data"), envFile)
	for _, file := range []string{envFile, filepath.Join(dir, "data", "dev.json"), filepath.Join(dir, "data", "node-0", "audit.jsonl")} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	for name, want := range map[string]string{"AWS_ENDPOINT_URL_KMS": d.addrs()[0], "AWS_ENDPOINT_URL_STS": d.addrs()[0], "AWS_ENDPOINT_URL_IAM": d.addrs()[0],
		"AWS_ACCESS_KEY_ID": d.env["LOCKSTEP_ACCESS_KEY_ID"], "AWS_SECRET_ACCESS_KEY": d.env["LOCKSTEP_SECRET_ACCESS_KEY"],
		"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"} {
		if d.env[name] != want {
			t.Errorf("for AWS's clients the env file says %s=%s, want %s", name, d.env[name], want)
		}
	}
	for _, addr := range d.addrs() {
		if h, err := d.client(addr).Health(t.Context()); err != nil || !h.CanServeCrypto {
			t.Errorf("ready means that every node serves: %s is %+v, %v", addr, h, err)
		}
	}
	key := createKey(t, d.client(d.addrs()...), "kept")

	second := exec.Command(cluster.Binary(t), "dev", "--base-port", strconv.Itoa(base), "--env-file", envFile)
	out, err := second.CombinedOutput()
	if err == nil || second.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), fmt.Sprintf("127.0.0.1:%d is taken", base)) {
		t.Errorf("a second dev on the same ports: %v\n%s", err, out)
	}
	if _, err := os.Stat(envFile); err != nil {
		t.Errorf("a dev that was refused removed the running one's env file: %v", err)
	}

	old := d.pid(1)
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	restart := exec.Command(cluster.Binary(t), "dev", "restart", "1", "--base-port", strconv.Itoa(base))
	poll(t, 20*time.Second, "dev restart", func() error {
		again := exec.Command(restart.Path, restart.Args[1:]...)
		if out, err := again.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out) // "is running" until the death is noticed
		}
		return nil
	})
	if err := d.readEnv(); err != nil || d.pid(1) == old {
		t.Errorf("the env file names the dead process: %v", err)
	}
	if err := roundTrip(background(t), key, d.client(d.addrs()[1]), d.client(d.addrs()[2])); err != nil {
		t.Errorf("the node that was brought back: %v", err)
	}

	d.cmd.Process.Signal(os.Interrupt)
	<-d.done
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("dev ended with %d:\n%s", code, d.out)
	}
	if _, err := os.Stat(envFile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the env file outlived the cluster: %v", err)
	}
	again := startDev(t, base, filepath.Join(dir, "data"), envFile)
	if err := roundTrip(background(t), key, again.client(again.addrs()[0]), again.client(again.addrs()[1])); err != nil {
		t.Errorf("the kept cluster: %v", err)
	}
	// Killed without a chance to clean up, dev still takes its nodes along.
	again.cmd.Process.Kill()
	<-again.done
	for i := range 3 {
		poll(t, 10*time.Second, fmt.Sprintf("the end of node-%d", i), func() error {
			if err := syscall.Kill(again.pid(i), 0); err == nil {
				return errNotYet
			}
			return nil
		})
	}
}

// TestDevLinesWork pastes the curl and command lines that dev prints, one after the other, as a user.
func TestDevLinesWork(t *testing.T) {
	t.Parallel()
	base, dir := freeBase(t, 1), t.TempDir()
	d := startDev(t, base, filepath.Join(dir, "data"), filepath.Join(dir, "env"))
	poll(t, 10*time.Second, "the end of the welcome", func() error {
		if !strings.Contains(d.out.String(), "Ctrl-C") {
			return errNotYet
		}
		return nil
	})
	var script strings.Builder
	script.WriteString("set -e\n")
	lines, killed := 0, false
	for line := range strings.Lines(d.out.String()) {
		command, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "  ")
		if !ok {
			continue
		}
		lines++
		killed = killed || strings.HasPrefix(command, "kill -9 ")
		if strings.Contains(command, " dev restart ") { // refused as "is running" until the death is noticed
			command = "for i in $(seq 50); do " + command + " && break; sleep 0.1; done"
		}
		fmt.Fprintf(&script, "%s\n", strings.Replace(command, "curl -s ", "curl -sf ", 1))
	}
	if lines < 10 || !killed {
		t.Fatalf("only %d lines to paste:\n%s", lines, d.out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script.String())
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n--- the lines\n%s", err, out, script.String())
	}
	if !strings.Contains(string(out), "hello") || !strings.Contains(string(out), `"ciphertext":"`) {
		t.Errorf("the lines printed\n%s", out)
	}
	for _, addr := range d.addrs() {
		if h, err := d.client(addr).Health(t.Context()); err != nil || !h.CanServeCrypto {
			t.Errorf("after the leader was killed and brought back %s is %+v, %v", addr, h, err)
		}
	}
}
