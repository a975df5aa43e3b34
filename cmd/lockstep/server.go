package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lockstep-kms/lockstep/server"
)

// ballastSize is allocated and never touched, so it takes no memory, but the garbage collector counts
// it: it lets this much garbage pile up before it runs. A node's live heap is a few MiB while it holds
// few keys, and without ballast the collector ran dozens of times a second under load, for a seventh of
// all CPU time.
const ballastSize = 32 << 20

func newServerCommand() *cobra.Command {
	var path string
	var check, exitWithStdin bool
	cmd := &cobra.Command{
		Use:   "server --config FILE",
		Short: "Run one node",
		Long: `Runs one node until it is interrupted.

Settings come from the YAML file, then from LOCKSTEP_* variables, then from flags; docs/configuration.md
lists them. An unknown setting in the file is an error. --check validates the configuration, reads the
certificates it names, says how a development node differs from a production one, and exits. On SIGHUP
the node opens its audit file again.`,
		Example: `  lockstep server --config /etc/lockstep/config.yaml
  lockstep server --config /etc/lockstep/config.yaml --check
  LOCKSTEP_LOG_LEVEL=debug lockstep server --config node.yaml --log-format json`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&path, "config", "", "YAML file with this node's settings")
	flags.BoolVar(&check, "check", false, "validate the configuration and exit")
	flags.BoolVar(&exitWithStdin, "exit-with-stdin", false, "stop when standard input ends")
	_ = flags.MarkHidden("exit-with-stdin")
	settings := server.Settings()
	for _, s := range settings {
		help := s.Help + " (" + s.Env + ")"
		if s.Bool {
			flags.Bool(s.Flag, false, help)
		} else {
			flags.String(s.Flag, "", help)
		}
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := server.LoadConfig(path, os.LookupEnv, changedFlags(flags, settings))
		if err != nil {
			return err
		}
		if check {
			return checkConfig(cmd.OutOrStdout(), cfg)
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		if exitWithStdin {
			var cancel context.CancelFunc
			ctx, cancel = context.WithCancel(ctx)
			go func() {
				_, _ = io.Copy(io.Discard, os.Stdin)
				cancel()
			}()
		}
		hangups := make(chan os.Signal, 1)
		signal.Notify(hangups, syscall.SIGHUP) // before the node is up: a hangup must not end it
		defer signal.Stop(hangups)
		ballast := make([]byte, ballastSize)
		defer runtime.KeepAlive(ballast)
		s, err := server.New(cfg, server.Seams{Version: version})
		if err != nil {
			return err
		}
		go onHangup(ctx, hangups, s.ReopenAudit)
		return s.Run(ctx)
	}
	return cmd
}

// onHangup calls reopen for each signal until ctx ends.
func onHangup(ctx context.Context, hangups <-chan os.Signal, reopen func()) {
	for {
		select {
		case <-hangups:
			reopen()
		case <-ctx.Done():
			return
		}
	}
}

func changedFlags(flags *pflag.FlagSet, settings []server.Setting) map[string]string {
	given := map[string]string{}
	for _, s := range settings {
		if f := flags.Lookup(s.Flag); f.Changed {
			given[s.Flag] = f.Value.String()
		}
	}
	return given
}

func checkConfig(out io.Writer, cfg server.Config) error {
	if err := server.CheckFiles(cfg); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: the configuration is valid\n", cfg.Name)
	if cfg.Dev {
		fmt.Fprintln(out, "development node: the API speaks plain HTTP, on loopback only, and shows metrics without a token; 'lockstep dev' keeps the")
		fmt.Fprintln(out, "unseal shares in a file beside the data; audit, lease, authorization and mutual TLS between nodes are as in production")
	}
	if cfg.AllowUnlockedMemory {
		fmt.Fprintln(out, "warning: allow_unlocked_memory is set; key memory may be swapped to disk")
	}
	return nil
}
