package cluster

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience is how long a condition may take to hold on a loaded machine. Nothing is asserted about the time it took.
const patience = 90 * time.Second

func eventually(what string, condition func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := condition()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %w", what, err)
		}
		time.Sleep(25 * time.Millisecond)
	}
}

// process is a child that ends with this process, however that ends: its life hangs on a pipe that only this process
// holds open.
type process struct {
	cmd  *exec.Cmd
	pipe io.Closer
	done chan struct{} // closed when it has ended
	err  error         // how it ended; valid once done is closed
}

func spawn(output string, name string, args ...string) (*process, error) {
	log, err := os.OpenFile(output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	p := &process{cmd: exec.Command(name, args...), pipe: w, done: make(chan struct{})}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env = r, log, log, cleanEnvironment()
	if err := p.cmd.Start(); err != nil {
		w.Close()
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		w.Close()
		close(p.done)
	}()
	return p, nil
}

// ended returns an error when the process has ended.
func (p *process) ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("the process ended: %v", p.err)
	default:
		return nil
	}
}

// stop lets the process end in order.
func (p *process) stop() error {
	p.pipe.Close()
	select {
	case <-p.done:
		return p.err
	case <-time.After(patience):
		p.cmd.Process.Kill()
		<-p.done
		return errors.New("a process did not stop and was killed")
	}
}

// tail is the end of a log, for an error message.
func tail(path string) string {
	raw, _ := os.ReadFile(path)
	return string(raw[max(0, len(raw)-4096):])
}

// readEnv reads a file of KEY=value lines.
func readEnv(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	env := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		name, value := cut(s.Text())
		env[name] = value
	}
	return env, nil
}

// devNodes are the nodes of one 'lockstep dev'.
type devNodes struct {
	dev      *process
	envFile  string
	basePort int
}

// untilPipeCloses runs its arguments until they end or standard input does; then they get SIGTERM.
const untilPipeCloses = `exec 3<&0; "$@" </dev/null 3<&- & pid=$!; (cat <&3 >/dev/null; kill $pid 2>/dev/null) & end=$!; wait $pid; status=$?; kill $end 2>/dev/null; exit $status`

func (c *Cluster) startDev(regions []string) error {
	path, err := binary()
	if err != nil {
		return err
	}
	d := &devNodes{envFile: filepath.Join(c.dir, "env")}
	if d.basePort, err = basePort(); err != nil {
		return err
	}
	log := filepath.Join(c.dir, "dev.log")
	d.dev, err = spawn(log, "sh", "-c", untilPipeCloses, "dev", path, "dev", "--nodes", "3", "--base-port", strconv.Itoa(d.basePort),
		"--env-file", d.envFile, "--account-id", account, "--regions", strings.Join(regions, ","))
	if err != nil {
		return err
	}
	c.nodes = d
	var env map[string]string
	err = eventually("lockstep dev", func() (err error) {
		if env, err = readEnv(d.envFile); err != nil {
			if dead := d.dev.ended(); dead != nil {
				return dead
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, tail(log))
	}
	c.Nodes = strings.Split(env["LOCKSTEP_ADDR"], ",")
	c.AccessKeyID, c.SecretAccessKey = env["LOCKSTEP_ACCESS_KEY_ID"], env["LOCKSTEP_SECRET_ACCESS_KEY"]
	addr, stop, err := rotate(c.Nodes)
	if err != nil {
		return err
	}
	c.URL, c.close = "http://"+addr, append(c.close, stop)
	return nil
}

func (d *devNodes) kill(n int) error {
	env, err := readEnv(d.envFile)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.Split(env["LOCKSTEP_NODE_PIDS"], ",")[n])
	if err != nil || pid <= 0 {
		return fmt.Errorf("no process id of node %d: %v", n, err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	// dev reaps it; a process that is reaped takes no signal.
	return eventually("the end of the node", func() error {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("process %d is still there: %v", pid, err)
		}
		return nil
	})
}

func (d *devNodes) restart(n int) error {
	_, err := run(nil, "", "dev", "restart", strconv.Itoa(n), "--base-port", strconv.Itoa(d.basePort))
	return err
}

func (d *devNodes) stop() error { return d.dev.stop() }

// servers are three 'lockstep server' processes, set up with the commands an operator uses.
type servers struct {
	path      string
	dir       string
	env       []string // for the product's command line
	addrs     []string
	processes []*process
	shares    []string
}

func (c *Cluster) startServers(regions []string) error {
	path, err := binary()
	if err != nil {
		return err
	}
	base, err := basePort()
	if err != nil {
		return err
	}
	certs := filepath.Join(c.dir, "certs")
	c.CAFile = filepath.Join(certs, "ca.pem")
	if _, err := run(nil, "", "cert", "ca", "--out", certs); err != nil {
		return err
	}
	s := &servers{path: path, dir: c.dir, processes: make([]*process, 3)}
	var peers strings.Builder
	for n := range 3 {
		fmt.Fprintf(&peers, "  - {name: node-%d, addr: \"127.0.0.1:%d\"}\n", n, base+100+n)
		s.addrs = append(s.addrs, fmt.Sprintf("https://127.0.0.1:%d", base+n))
	}
	for n := range 3 {
		if err := s.configure(n, base, certs, peers.String(), regions); err != nil {
			return err
		}
	}
	c.Nodes, c.nodes = s.addrs, s
	s.env = []string{"LOCKSTEP_ADDR=" + strings.Join(s.addrs, ","), "LOCKSTEP_CACERT=" + c.CAFile}
	for n := range 3 {
		if err := s.start(n); err != nil {
			return err
		}
	}
	if err := s.initialize(c); err != nil {
		return fmt.Errorf("%w\n%s", err, tail(s.log(0)))
	}
	for n := range 3 {
		if err := s.unseal(n); err != nil {
			return fmt.Errorf("%w\n%s", err, tail(s.log(n)))
		}
	}
	addr, stop, err := passThrough(c.Nodes)
	if err != nil {
		return err
	}
	c.URL, c.close = "https://"+addr, append(c.close, stop)
	return nil
}

// configure makes the certificates and the configuration file of node n.
func (s *servers) configure(n, base int, certs, peers string, regions []string) error {
	node := fmt.Sprintf("node-%d", n)
	for _, args := range [][]string{{"node", node}, {"server", node + "-api", "--host", "localhost"}} {
		args = append([]string{"cert"}, append(args, "--host", "127.0.0.1", "--ca", certs, "--out", certs)...)
		if _, err := run(nil, "", args...); err != nil {
			return err
		}
	}
	file := func(name string) string { return filepath.Join(certs, name) }
	if err := os.MkdirAll(filepath.Join(s.dir, node), 0o700); err != nil {
		return err
	}
	text := fmt.Sprintf(`name: %s
data_dir: %q
api_listen: 127.0.0.1:%d
api_addr: %s
api_tls: {cert_file: %q, key_file: %q}
peer_listen: 127.0.0.1:%d
peer_addr: 127.0.0.1:%d
peer_tls: {ca_file: %q, cert_file: %q, key_file: %q}
peers:
%soperator_account_id: %q
regions: [%s]
audit: {file: %q}
allow_unlocked_memory: true
`, node, filepath.Join(s.dir, node, "data"), base+n, s.addrs[n], file(node+"-api.pem"), file(node+"-api-key.pem"),
		base+100+n, base+100+n, file("ca.pem"), file(node+".pem"), file(node+"-key.pem"),
		peers, account, strings.Join(regions, ", "), filepath.Join(s.dir, node, "audit.jsonl"))
	return os.WriteFile(s.config(n), []byte(text), 0o600)
}

func (s *servers) config(n int) string { return filepath.Join(s.dir, fmt.Sprintf("node-%d.yaml", n)) }
func (s *servers) log(n int) string    { return filepath.Join(s.dir, fmt.Sprintf("node-%d.log", n)) }

func (s *servers) start(n int) (err error) {
	s.processes[n], err = spawn(s.log(n), s.path, "server", "--config", s.config(n), "--exit-with-stdin")
	return err
}

func (s *servers) initialize(c *Cluster) error {
	return eventually("operator init", func() error {
		out, err := run(s.env, "", "operator", "init", "--shares", "5", "--threshold", "3", "-o", "json")
		if err != nil {
			return err
		}
		var answer struct {
			Shares          []string `json:"shares"`
			AccessKeyID     string   `json:"access_key_id"`
			SecretAccessKey string   `json:"secret_access_key"`
		}
		if err := json.Unmarshal([]byte(out), &answer); err != nil || len(answer.Shares) != 5 {
			return fmt.Errorf("operator init printed %d bytes that hold no five shares: %v", len(out), err)
		}
		s.shares, c.AccessKeyID, c.SecretAccessKey = answer.Shares, answer.AccessKeyID, answer.SecretAccessKey
		return nil
	})
}

// unseal gives node n its shares until it serves. A share that it has already is refused and no obstacle.
func (s *servers) unseal(n int) error {
	env := append(s.env[1:2:2], "LOCKSTEP_ADDR="+s.addrs[n])
	return eventually("unsealing", func() error {
		_, err := run(env, "", "health", "--addr", s.addrs[n])
		if err == nil {
			return nil
		}
		for _, share := range s.shares[:3] {
			run(env, share+"\n", "operator", "unseal")
		}
		return err
	})
}

func (s *servers) kill(n int) error {
	if err := s.processes[n].ended(); err != nil {
		return err
	}
	if err := s.processes[n].cmd.Process.Kill(); err != nil {
		return err
	}
	<-s.processes[n].done
	return nil
}

func (s *servers) restart(n int) error {
	if s.processes[n].ended() == nil {
		return fmt.Errorf("node %d runs", n)
	}
	if err := s.start(n); err != nil {
		return err
	}
	return s.unseal(n)
}

func (s *servers) stop() error {
	var errs []error
	for _, p := range s.processes {
		if p != nil && p.ended() == nil {
			errs = append(errs, p.stop())
		}
	}
	return errors.Join(errs...)
}
