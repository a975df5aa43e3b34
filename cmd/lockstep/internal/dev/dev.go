// Package dev starts a cluster on this machine: real servers, initialized and unsealed.
//
// It promises that its children end with it, however it ends, and that the env file exists only while
// the cluster is ready. The invariant that would hurt: what differs from a production node is HTTP on
// loopback and the shares in a file, nothing else.
package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

// options are the flags of 'lockstep dev'.
type options struct {
	nodes     int
	basePort  int
	data      string
	envFile   string
	accountID string
	regions   []string
}

// Command returns 'lockstep dev'.
func Command() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Start a cluster on this machine, initialized and unsealed",
		Long: `Starts real 'lockstep server' processes on loopback, initializes and unseals them, prints what to
paste next and runs until it is interrupted. Audit, lease, authorization and mutual TLS between the
nodes are on as anywhere; what differs from production is that the API speaks plain HTTP on loopback
and that the unseal shares lie in a file beside the data.

With --data the cluster is kept: the next start with the same folder brings it back and unseals it.
Without, everything lies in a temporary folder that is removed at the end.`,
		Example: `  lockstep dev
  lockstep dev --data ./devdata --env-file ./devdata/env
  lockstep dev restart 0`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			return runDev(ctx, o, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.nodes, "nodes", 3, "number of nodes, 1 to 7")
	f.StringVar(&o.data, "data", "", "folder that keeps the cluster (default: a temporary one)")
	f.StringVar(&o.envFile, "env-file", "", "write addresses, access key and shares to this file (mode 0600) when the cluster is ready")
	f.StringVar(&o.accountID, "account-id", "000000000000", "12-digit id of the operator account")
	f.StringSliceVar(&o.regions, "regions", []string{"us-east-1"}, "regions to serve; the first is the default")
	cmd.PersistentFlags().IntVar(&o.basePort, "base-port", 8200, "API port of the first node; peers use the port 100 above")

	cmd.AddCommand(&cobra.Command{
		Use:   "restart N",
		Short: "Start node N (0-based) of the running dev cluster again and unseal it",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[0])
			if err != nil || n < 0 {
				return cli.Misuse("%q is not a node number; the first node is 0", args[0])
			}
			answer, err := askDev(cmd.Context(), o.basePort, n)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), answer)
			return nil
		},
	})
	return cmd
}

func (o *options) check() error {
	switch {
	case o.nodes < 1 || o.nodes > 7:
		return cli.Misuse("--nodes is between 1 and 7")
	case o.basePort < 1024 || o.basePort+100+o.nodes > 65535:
		return cli.Misuse("--base-port is between 1024 and %d", 65535-100-o.nodes)
	case o.nodes > 100:
		return cli.Misuse("--nodes would make API and peer ports meet")
	}
	return nil
}

// runDev is the whole life of a dev cluster.
func runDev(ctx context.Context, o options, out io.Writer) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	begin := time.Now()
	d, err := newCluster(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if o.envFile != "" {
		// The file says "ready"; one left from an earlier run must not.
		if err := os.Remove(o.envFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing the old env file: %w", err)
		}
	}

	fmt.Fprintf(out, "Starting %d nodes in %s\n", o.nodes, d.dir)
	if err := d.startAll(); err != nil {
		return err
	}
	if err := d.bringUp(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("%w (the nodes' logs are in %s)", err, filepath.Join(d.dir, "node-*", "server.log"))
	}
	control, err := d.listenControl()
	if err != nil {
		return err
	}
	go d.serveControl(ctx, control)
	if err := d.writeEnv(); err != nil {
		return err
	}
	d.printWelcome(out, time.Since(begin))
	d.watch(ctx, out)
	fmt.Fprintln(out, "\nStopping the nodes.")
	return nil
}

// bringUp initializes the cluster unless dev.json says that it is, and unseals every node.
func (d *cluster) bringUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if d.secrets == nil {
		if err := d.initialize(ctx); err != nil {
			return err
		}
	}
	for {
		// Shares go to one node, which relays them to the others; a node that was not up yet gets
		// them from the relay, and one that missed the attempt in the next round.
		if n, sealed := d.firstSealed(ctx); sealed {
			if err := d.unseal(ctx, n); err != nil && ctx.Err() != nil {
				return err
			}
		}
		if d.allReady(ctx) {
			return nil
		}
		if err := d.pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("the cluster did not become ready: %s", d.describe())
		}
	}
}

func (d *cluster) initialize(ctx context.Context) error {
	c := d.client(0)
	for {
		threshold, shares := 3, 5
		if d.o.nodes == 1 {
			threshold, shares = 1, 1
		}
		answer, err := c.Init(ctx, client.InitRequest{Shares: shares, Threshold: threshold})
		if err == nil {
			secrets := secrets{Threshold: threshold, AccessKeyID: answer.AccessKeyID, SecretAccessKey: string(answer.SecretAccessKey)}
			for _, share := range answer.Shares {
				secrets.Shares = append(secrets.Shares, string(share))
			}
			return d.saveSecrets(secrets)
		}
		if err := d.pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("the cluster could not be initialized: %w", errors.Join(err, d.firstDeath()))
		}
	}
}

// unseal submits as many shares to node n as the threshold asks for. One that an earlier round gave
// already is no obstacle.
func (d *cluster) unseal(ctx context.Context, n int) error {
	c := d.client(n)
	for _, share := range d.secrets.Shares[:d.secrets.Threshold] {
		_, err := c.Unseal(ctx, client.UnsealRequest{Share: kms.SensitiveString(share), Cluster: d.o.nodes > 1})
		if err != nil && kms.CodeOf(err) != kms.CodeShareDuplicate {
			return err
		}
	}
	return nil
}

// pause waits d or until ctx ends or a node dies.
func (d *cluster) pause(ctx context.Context, wait time.Duration) error {
	if err := d.firstDeath(); err != nil {
		return err
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// selfCommand is how the user can call this same program again.
func selfCommand(executable string) string {
	if strings.Contains(executable, string(filepath.Separator)+"go-build") {
		return "go run ./cmd/lockstep"
	}
	return executable
}
