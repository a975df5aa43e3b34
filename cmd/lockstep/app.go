package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/transport"
)

// defaultAddr is where the first node of 'lockstep dev' listens.
const defaultAddr = "http://127.0.0.1:8200"

// app holds what the client commands share. Flags are filled when a command line is parsed.
type app struct {
	streams
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

// operationKey is the annotation that names the operations a command calls, separated by blanks.
const operationKey = "operations"

// calls notes which operations cmd calls.
func calls(cmd *cobra.Command, operations ...string) *cobra.Command {
	cmd.Annotations = map[string]string{operationKey: strings.Join(operations, " ")}
	return cmd
}

// clientFlags gives cmd and what is below it the flags of client commands.
func (a *app) clientFlags(cmd *cobra.Command) *cobra.Command {
	f := cmd.PersistentFlags()
	f.StringVar(&a.addr, "addr", "", "comma-separated URLs of the nodes (LOCKSTEP_ADDR, default "+defaultAddr+")")
	f.StringVar(&a.region, "region", "", "region (LOCKSTEP_REGION, default the first one served)")
	f.StringVar(&a.caCert, "cacert", "", "PEM file of the CA that signed the nodes' certificates (LOCKSTEP_CACERT)")
	f.StringVar(&a.clientCert, "client-cert", "", "PEM file of a client certificate (LOCKSTEP_CLIENT_CERT)")
	f.StringVar(&a.clientKey, "client-key", "", "PEM file of its key (LOCKSTEP_CLIENT_KEY)")
	f.DurationVar(&a.timeout, "timeout", 15*time.Second, "longest wait for one node's answer")
	f.StringVarP(&a.output, "output", "o", "table", "table or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// writeFlags gives a command that changes something the flags of writes.
func (a *app) writeFlags(cmd *cobra.Command) *cobra.Command {
	f := cmd.Flags()
	f.StringVar(&a.wait, "wait", "", "all: return when every node honours the change; none: do not wait for the others")
	f.DurationVar(&a.waitTimeout, "wait-timeout", 0, "with --wait all: return after this long and say who is awaited")
	f.StringVar(&a.idempotencyKey, "idempotency-key", "", "repeating the command with the same key does not repeat the change")
	_ = cmd.RegisterFlagCompletionFunc("wait", cobra.FixedCompletions([]string{"all", "none"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// writeOptions returns the options that writeFlags asked for, and a Meta that the answer fills.
func (a *app) writeOptions() ([]client.Option, *client.Meta, error) {
	meta := &client.Meta{}
	opts := []client.Option{client.WithMeta(meta)}
	if a.idempotencyKey != "" {
		opts = append(opts, client.IdempotencyKey(a.idempotencyKey))
	}
	switch {
	case a.wait == "all":
		opts = append(opts, client.WaitAll(a.waitTimeout))
	case a.waitTimeout != 0:
		return nil, nil, usageError{errors.New("--wait-timeout goes with --wait all")}
	case a.wait == "none":
		opts = append(opts, client.WaitNone())
	case a.wait != "":
		return nil, nil, usageError{fmt.Errorf("--wait is all or none, not %q", a.wait)}
	}
	return opts, meta, nil
}

func (a *app) given(flag, variable, otherwise string) string {
	if flag != "" {
		return flag
	}
	if v := a.env(variable); v != "" {
		return v
	}
	return otherwise
}

// addrs returns the nodes' URLs.
func (a *app) addrs() []string {
	var all []string
	for addr := range strings.SplitSeq(a.given(a.addr, "LOCKSTEP_ADDR", defaultAddr), ",") {
		if addr = strings.TrimSpace(addr); addr != "" {
			all = append(all, addr)
		}
	}
	return all
}

// connect returns a client of all nodes.
func (a *app) connect() (*client.Client, error) { return a.connectTo(a.addrs()) }

func (a *app) connectTo(addrs []string) (*client.Client, error) {
	if a.output != "table" && a.output != "json" {
		return nil, usageError{fmt.Errorf("--output is table or json, not %q", a.output)}
	}
	tlsConfig, err := a.tls()
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Config{
		Addrs:           addrs,
		AccessKeyID:     a.env("LOCKSTEP_ACCESS_KEY_ID"),
		SecretAccessKey: a.env("LOCKSTEP_SECRET_ACCESS_KEY"),
		Region:          a.given(a.region, "LOCKSTEP_REGION", ""),
		TLS:             tlsConfig,
		Timeout:         a.timeout,
		UserAgent:       "lockstep-cli/" + version,
	})
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

func (a *app) tls() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if file := a.given(a.caCert, "LOCKSTEP_CACERT", ""); file != "" {
		pool, err := transport.LoadPool(file)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = pool
	}
	certFile, keyFile := a.given(a.clientCert, "LOCKSTEP_CLIENT_CERT", ""), a.given(a.clientKey, "LOCKSTEP_CLIENT_KEY", "")
	if (certFile == "") != (keyFile == "") {
		return nil, usageError{errors.New("a client certificate and its key go together")}
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
