package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lockstep-kms/lockstep/transport"
)

// writeConfigs lays out one folder a node: certificates of a CA made for this cluster, and the
// configuration. A kept folder keeps its certificates.
func (d *cluster) writeConfigs() error {
	if err := d.makeCertificates(); err != nil {
		return err
	}
	var peers strings.Builder
	for i := range d.o.nodes {
		fmt.Fprintf(&peers, "  - {name: node-%d, addr: %q}\n", i, d.peerAddr(i))
	}
	for i := range d.o.nodes {
		n := &node{name: fmt.Sprintf("node-%d", i), dir: filepath.Join(d.dir, fmt.Sprintf("node-%d", i))}
		n.config = filepath.Join(n.dir, "config.yaml")
		if err := os.MkdirAll(n.dir, 0o700); err != nil {
			return err
		}
		text := fmt.Sprintf(`# Written by 'lockstep dev' at each start.
name: %s
data_dir: %q
api_listen: %s
api_addr: http://%s
peer_listen: %s
peer_addr: %s
peer_tls:
  ca_file: %q
  cert_file: %q
  key_file: %q
peers:
%soperator_account_id: %q
regions: [%s]
audit:
  file: %q
dev: true
`, n.name, filepath.Join(n.dir, "data"), d.apiAddr(i), d.apiAddr(i), d.peerAddr(i), d.peerAddr(i),
			d.certPath("ca.pem"), d.certPath(n.name+".pem"), d.certPath(n.name+"-key.pem"),
			peers.String(), d.o.accountID, strings.Join(d.o.regions, ", "), filepath.Join(n.dir, "audit.jsonl"))
		if err := writeFileAtomic(n.config, []byte(text)); err != nil {
			return err
		}
		d.nodes = append(d.nodes, n)
	}
	return nil
}

func (d *cluster) certPath(name string) string { return filepath.Join(d.dir, "certs", name) }

// environment is the content of the env file, in CONTRACT order.
func (d *cluster) environment() [][2]string {
	var addrs, pids []string
	d.mu.Lock()
	for i, n := range d.nodes {
		addrs = append(addrs, "http://"+d.apiAddr(i))
		pid := 0
		if n.cmd != nil {
			pid = n.cmd.Process.Pid
		}
		pids = append(pids, fmt.Sprint(pid))
	}
	d.mu.Unlock()
	return [][2]string{
		{"LOCKSTEP_ADDR", strings.Join(addrs, ",")},
		{"LOCKSTEP_ACCESS_KEY_ID", d.secrets.AccessKeyID},
		{"LOCKSTEP_SECRET_ACCESS_KEY", d.secrets.SecretAccessKey},
		{"LOCKSTEP_UNSEAL_SHARES", strings.Join(d.secrets.Shares, ",")},
		{"LOCKSTEP_UNSEAL_THRESHOLD", fmt.Sprint(d.secrets.Threshold)},
		{"LOCKSTEP_NODE_PIDS", strings.Join(pids, ",")},
		{"AWS_ENDPOINT_URL_KMS", addrs[0]},
		{"AWS_ENDPOINT_URL_STS", addrs[0]},
		{"AWS_ENDPOINT_URL_IAM", addrs[0]},
		{"AWS_ACCESS_KEY_ID", d.secrets.AccessKeyID},
		{"AWS_SECRET_ACCESS_KEY", d.secrets.SecretAccessKey},
		{"AWS_REGION", d.o.regions[0]},
		{"AWS_DEFAULT_REGION", d.o.regions[0]}, // what boto3 reads, and older clients
	}
}

// writeEnv writes the env file, last and atomically: when it exists, the cluster is ready.
func (d *cluster) writeEnv() error {
	if d.o.envFile == "" {
		return nil
	}
	var b strings.Builder
	for _, kv := range d.environment() {
		fmt.Fprintf(&b, "%s=%s\n", kv[0], kv[1])
	}
	d.wroteEnv.Store(true)
	return writeFileAtomic(d.o.envFile, []byte(b.String()))
}

// printWelcome prints lines that work when pasted into another terminal.
func (d *cluster) printWelcome(out io.Writer, took time.Duration) {
	self := selfCommand(d.executable)
	first, second := "http://"+d.apiAddr(0), "http://"+d.apiAddr(min(1, d.o.nodes-1))
	leader, pid := d.leader()
	fmt.Fprintf(out, `
Lockstep is ready after %.1f s: %d nodes, unsealed with %d of %d shares.

In another terminal, first:

`, took.Seconds(), d.o.nodes, d.secrets.Threshold, len(d.secrets.Shares))
	for _, kv := range d.environment()[:3] {
		fmt.Fprintf(out, "  export %s='%s'\n", kv[0], kv[1])
	}
	fmt.Fprintf(out, `
Create a key on one node, use it on another:

  curl -s -u "$LOCKSTEP_ACCESS_KEY_ID:$LOCKSTEP_SECRET_ACCESS_KEY" %[2]s/v1/keys -d '{"description":"first"}'
  curl -s -u "$LOCKSTEP_ACCESS_KEY_ID:$LOCKSTEP_SECRET_ACCESS_KEY" %[2]s/v1/aliases -d "{\"name\":\"alias/first\",\"target_key_id\":\"$(%[1]s key list -o json | grep -o '"key_id": *"[^"]*"' | head -n 1 | cut -d'"' -f4)\"}"
  curl -s -u "$LOCKSTEP_ACCESS_KEY_ID:$LOCKSTEP_SECRET_ACCESS_KEY" %[3]s/v1/keys/alias%%2Ffirst/encrypt -d '{"plaintext":"aGVsbG8="}'

The same from the command line, which fails over between the nodes:

  %[1]s key create --description second --alias alias/second
  echo -n 'hello' | %[1]s encrypt alias/second > hello.encrypted
  %[1]s decrypt < hello.encrypted
  %[1]s operator members

The same from AWS's clients:

  export AWS_ACCESS_KEY_ID="$LOCKSTEP_ACCESS_KEY_ID" AWS_SECRET_ACCESS_KEY="$LOCKSTEP_SECRET_ACCESS_KEY" AWS_DEFAULT_REGION=%[4]s
  aws --endpoint-url %[3]s kms describe-key --key-id alias/second

`, self, first, second, d.o.regions[0])
	if d.o.nodes > 1 && leader >= 0 {
		fmt.Fprintf(out, `Kill the leader (node-%d); the others go on encrypting, and accept writes again within about a second:

  kill -9 %d
  %s encrypt alias/second --plaintext-text 'still here'
  %s

`, leader, pid, self, d.restartCommand(leader))
	}
	fmt.Fprintf(out, "Data, logs and audit records: %s\n", d.dir)
	if d.temporary {
		fmt.Fprintln(out, "They are removed at the end; --data DIR keeps them.")
	}
	fmt.Fprintln(out, "Ctrl-C stops the cluster.")
}

// leader returns the number and process id of the node that leads, -1 when none says so.
func (d *cluster) leader() (node, pid int) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for i := range d.o.nodes {
		if h, err := d.client(i).Health(ctx); err == nil && h.Leader {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.nodes[i].cmd == nil {
				return -1, 0
			}
			return i, d.nodes[i].cmd.Process.Pid
		}
	}
	return -1, 0
}

// watch prints what happens until ctx ends.
func (d *cluster) watch(ctx context.Context, out io.Writer) {
	for {
		select {
		case <-ctx.Done():
			return
		case line := <-d.events:
			fmt.Fprintln(out, line)
		}
	}
}

// makeCertificates makes a CA and one certificate a node, unless an earlier start did.
func (d *cluster) makeCertificates() error {
	dir := filepath.Join(d.dir, "certs")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	ca, err := transport.LoadCA(dir)
	if errors.Is(err, os.ErrNotExist) {
		if ca, err = transport.NewCA("lockstep dev", transport.Validity{}); err == nil {
			err = ca.Save(dir)
		}
	}
	if err != nil {
		return err
	}
	for i := range d.o.nodes {
		name := fmt.Sprintf("node-%d", i)
		if _, err := os.Stat(d.certPath(name + "-key.pem")); err == nil {
			continue
		}
		pair, err := ca.IssueNode(name, []string{"127.0.0.1"}, transport.Validity{})
		if err != nil {
			return err
		}
		if err := pair.Save(d.certPath(name+".pem"), d.certPath(name+"-key.pem")); err != nil {
			return err
		}
	}
	return nil
}
