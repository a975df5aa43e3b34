// Package cli is what the client commands share: flags, the connection, and how answers are printed.
//
// It promises that every command reads the same flags and variables, prints tables or JSON as asked, and
// that an error of whoever typed the command line can be told from a refusal. The invariant that would
// hurt: what is printed is what the node answered, so "it would succeed" stands for a dry run and "done" for
// nothing less.
package cli

import (
	"crypto/tls"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/transport"
)

// defaultAddr is where the first node of 'lockstep dev' listens.
const defaultAddr = "http://127.0.0.1:8200"

// App holds what the client commands share. Flags are filled when a command line is parsed.
type App struct {
	Streams
	Version string // of the program

	addr           string
	region         string
	caCert         string
	clientCert     string
	clientKey      string
	timeout        time.Duration
	output         string
	wait           string
	waitTimeout    time.Duration
	idempotencyKey string
}

// KeyHelp says what KEY is.
const KeyHelp = "KEY is a key id, key ARN, alias name (alias/NAME) or alias ARN."

// OperationKey is the annotation that names the operations a command calls, separated by blanks.
const OperationKey = "operations"

// HasIdentity reports whether an access key, a session token or a client certificate is given.
func (a *App) HasIdentity() bool {
	return a.Env("LOCKSTEP_ACCESS_KEY_ID") != "" || a.Env("LOCKSTEP_SESSION_TOKEN") != "" || a.Given(a.clientCert, "LOCKSTEP_CLIENT_CERT", "") != ""
}

// Calls notes which operations cmd calls.
func Calls(cmd *cobra.Command, operations ...string) *cobra.Command {
	cmd.Annotations = map[string]string{OperationKey: strings.Join(operations, " ")}
	return cmd
}

// ClientFlags gives cmd and what is below it the flags of client commands.
func (a *App) ClientFlags(cmd *cobra.Command) *cobra.Command {
	f := cmd.PersistentFlags()
	f.StringVar(&a.addr, "addr", "", "comma-separated URLs of the nodes (LOCKSTEP_ADDR, default "+defaultAddr+")")
	f.StringVar(&a.region, "region", "", "region (LOCKSTEP_REGION, default the first one served)")
	f.StringVar(&a.caCert, "cacert", "", "PEM file of the CA that signed the nodes' certificates (LOCKSTEP_CACERT)")
	f.StringVar(&a.clientCert, "client-cert", "", "PEM file of a client certificate (LOCKSTEP_CLIENT_CERT)")
	f.StringVar(&a.clientKey, "client-key", "", "PEM file of its key (LOCKSTEP_CLIENT_KEY)")
	f.DurationVar(&a.timeout, "timeout", 15*time.Second, "longest wait for one node's answer")
	f.StringVarP(&a.output, "output", "o", "table", "table or json")
	Complete(cmd, "output", []string{"table", "json"})
	return cmd
}

// WriteFlags gives a command that changes something the flags of writes.
func (a *App) WriteFlags(cmd *cobra.Command) *cobra.Command {
	f := cmd.Flags()
	f.StringVar(&a.wait, "wait", "", "all: return when every node honours the change; none: do not wait for the others")
	f.DurationVar(&a.waitTimeout, "wait-timeout", 0, "with --wait all: return after this long and say who is awaited")
	f.StringVar(&a.idempotencyKey, "idempotency-key", "", "repeating the command with the same key does not repeat the change")
	Complete(cmd, "wait", []string{"all", "none"})
	return cmd
}

// WriteOptions returns the options that writeFlags asked for, and a Meta that the answer fills.
func (a *App) WriteOptions() ([]client.Option, *client.Meta, error) {
	meta := &client.Meta{}
	opts := []client.Option{client.WithMeta(meta)}
	if a.idempotencyKey != "" {
		opts = append(opts, client.IdempotencyKey(a.idempotencyKey))
	}
	switch {
	case a.wait == "all":
		opts = append(opts, client.WaitAll(a.waitTimeout))
	case a.waitTimeout != 0:
		return nil, nil, Misuse("--wait-timeout goes with --wait all")
	case a.wait == "none":
		opts = append(opts, client.WaitNone())
	case a.wait != "":
		return nil, nil, Misuse("--wait is all or none, not %q", a.wait)
	}
	return opts, meta, nil
}

// Given returns the flag, or the variable, or otherwise.
func (a *App) Given(flag, variable, otherwise string) string {
	if flag != "" {
		return flag
	}
	if v := a.Env(variable); v != "" {
		return v
	}
	return otherwise
}

// Addrs returns the nodes' URLs.
func (a *App) Addrs() []string {
	var all []string
	for addr := range strings.SplitSeq(a.Given(a.addr, "LOCKSTEP_ADDR", defaultAddr), ",") {
		if addr = strings.TrimSpace(addr); addr != "" {
			all = append(all, addr)
		}
	}
	return all
}

// CheckOutput refuses an --output that there is not. A command that connects need not call it.
func (a *App) CheckOutput() error {
	if a.output != "table" && a.output != "json" {
		return Misuse("--output is table or json, not %q", a.output)
	}
	return nil
}

// Connect returns a client of all nodes.
func (a *App) Connect() (*client.Client, error) { return a.ConnectTo(a.Addrs()) }

// ConnectTo returns a client of these nodes.
func (a *App) ConnectTo(addrs []string) (*client.Client, error) {
	if err := a.CheckOutput(); err != nil {
		return nil, err
	}
	tlsConfig, err := a.tls()
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Config{
		Addrs:           addrs,
		AccessKeyID:     a.Env("LOCKSTEP_ACCESS_KEY_ID"),
		SecretAccessKey: a.Env("LOCKSTEP_SECRET_ACCESS_KEY"),
		SessionToken:    a.Env("LOCKSTEP_SESSION_TOKEN"),
		Region:          a.Given(a.region, "LOCKSTEP_REGION", ""),
		TLS:             tlsConfig,
		Timeout:         a.timeout,
		UserAgent:       "lockstep-cli/" + a.Version,
	})
	if err != nil {
		return nil, WrongUse(err)
	}
	return c, nil
}

func (a *App) tls() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if file := a.Given(a.caCert, "LOCKSTEP_CACERT", ""); file != "" {
		pool, err := transport.LoadPool(file)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = pool
	}
	certFile, keyFile := a.Given(a.clientCert, "LOCKSTEP_CLIENT_CERT", ""), a.Given(a.clientKey, "LOCKSTEP_CLIENT_KEY", "")
	if (certFile == "") != (keyFile == "") {
		return nil, Misuse("a client certificate and its key go together")
	}
	if certFile != "" {
		pair, err := transport.LoadPair(certFile, keyFile)
		if err != nil {
			return nil, err
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}
