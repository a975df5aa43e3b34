package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/statuscmd"
	"github.com/lockstep-kms/lockstep/kms"
)

// stillSealedWait is how long unseal looks for nodes that stay sealed; the relay needs a second or two.
const stillSealedWait = 5 * time.Second

func (a commands) operator() *cobra.Command {
	return a.ClientFlags(cli.Group("operator", "Initialize, unseal, seal and manage the nodes",
		"What an operator does with a cluster. init, unseal, seal and status concern the first address, unless --cluster says otherwise.",
		a.operatorInit(), a.operatorUnseal(), a.operatorCancel(), a.operatorSeal(), a.operatorStatus(),
		a.operatorMembers(), a.operatorAllow(), a.operatorRemove(), a.operatorFsck()))
}

func (a commands) operatorInit() *cobra.Command {
	var r client.InitRequest
	cmd := &cobra.Command{
		Use: "init", Short: "Make the cluster's keys, once; prints shares and the first access key", Args: cobra.NoArgs,
		Long: `Makes the keys of a new cluster and prints the unseal shares and the first access key. They are printed
this once and kept nowhere: give each share to another person or place.

From another machine than the node's own it needs the init_token of the node's configuration, from
LOCKSTEP_INIT_TOKEN or --init-token. If the answer was lost, --again with that token makes everything
anew, until the cluster was first unsealed.`,
		Example: `  lockstep operator init --shares 5 --threshold 3
  LOCKSTEP_INIT_TOKEN=... lockstep operator init --shares 5 --threshold 3 --again`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if r.InitToken == "" {
				r.InitToken = kms.SensitiveString(a.Env("LOCKSTEP_INIT_TOKEN"))
			}
			c, err := a.Connect()
			if err != nil {
				return err
			}
			answer, err := c.Init(cmd.Context(), r)
			if err != nil {
				return err
			}
			return a.Print(answer, func(w io.Writer) {
				for i, s := range answer.Shares {
					cli.Row(w, fmt.Sprintf("SHARE %d", i+1), string(s))
				}
				cli.Pairs(w, "ACCESS KEY ID", answer.AccessKeyID, "SECRET ACCESS KEY", string(answer.SecretAccessKey))
				fmt.Fprintf(w, "\nThis is shown once. Any %d of the %d shares unseal; fewer tell nothing. Next: lockstep operator unseal --cluster\n",
					r.Threshold, r.Shares)
			})
		},
	}
	f := cmd.Flags()
	f.IntVar(&r.Shares, "shares", 5, "number of shares, up to 32")
	f.IntVar(&r.Threshold, "threshold", 3, "shares that it takes to unseal")
	f.StringArrayVar(&r.Recipients, "recipient", nil, "age recipient that one share is encrypted to, repeatable")
	f.StringVar((*string)(&r.InitToken), "init-token", "", "the node's init_token (LOCKSTEP_INIT_TOKEN)")
	f.BoolVar(&r.Again, "again", false, "replace shares and access key whose answer was lost")
	return cli.Calls(cmd, "Init")
}

func (a commands) operatorUnseal() *cobra.Command {
	var r client.UnsealRequest
	cmd := &cobra.Command{
		Use: "unseal [SHARE]", Short: "Submit a key share", Args: cli.AtMost("SHARE"),
		Long: `Submits a share to the first address. It comes from a hidden prompt, from standard input (one share a
line), or from the argument, which others on this machine can see while the command runs. With
--cluster the node relays the shares to every sealed node, also when it is unsealed itself. With an
identity the command then names the nodes that are still sealed after a few seconds.`,
		Example: `  lockstep operator unseal --cluster
  lockstep operator unseal --cluster < shares.txt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.Connect()
			if err != nil {
				return err
			}
			shares, err := a.shares(args)
			if err != nil {
				return err
			}
			var result unsealResult
			if result.UnsealAnswer, err = submit(cmd.Context(), c, r, shares); err != nil {
				return err
			}
			if r.Cluster && !result.Sealed && a.HasIdentity() {
				result.StillSealed = stillSealed(cmd.Context(), c)
			}
			return a.Print(result, func(w io.Writer) {
				sealRows(w, result.SealStatus)
				if result.AttemptID != "" && result.Sealed {
					cli.Row(w, "ATTEMPT ID", result.AttemptID)
				}
				if len(result.StillSealed) > 0 {
					cli.Row(w, "STILL SEALED", strings.Join(result.StillSealed, ", "))
				}
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&r.Cluster, "cluster", false, "relay to every sealed node")
	f.StringVar(&r.AttemptID, "attempt", "", "the attempt that the share is for; refused when another one runs")
	return cli.Calls(cmd, "Unseal")
}

// unsealResult is what unseal shows.
type unsealResult struct {
	*client.UnsealAnswer
	StillSealed []string `json:"still_sealed,omitempty"` // names of nodes; empty when nobody may tell
}

// submit gives a node shares until it is unsealed. For the cluster it gives a whole threshold: that
// this node is unsealed, or has a share already, says nothing of the others.
func submit(ctx context.Context, c *client.Client, r client.UnsealRequest, shares []kms.SensitiveString) (*client.UnsealAnswer, error) {
	var answer *client.UnsealAnswer
	for i, s := range shares {
		r.Share = s
		got, err := c.Unseal(ctx, r)
		switch {
		case err == nil:
			answer = got
		case !r.Cluster || kms.CodeOf(err) != kms.CodeShareDuplicate || i+1 == len(shares) && answer == nil:
			return nil, err
		}
		if answer != nil && !answer.Sealed && (!r.Cluster || i+1 >= answer.Threshold) {
			break
		}
	}
	return answer, nil
}

// stillSealed names the members that do not unseal within a few seconds, as far as the caller may know.
func stillSealed(ctx context.Context, c *client.Client) []string {
	ctx, cancel := context.WithTimeout(ctx, stillSealedWait)
	defer cancel()
	tick := time.NewTicker(stillSealedWait / 20)
	defer tick.Stop()
	var names []string
	for {
		answer, err := c.Members(ctx)
		switch {
		case err == nil:
			names = nil
			for _, m := range answer.Members {
				if m.Sealed {
					names = append(names, m.Name)
				}
			}
			if len(names) == 0 {
				return nil
			}
		case ctx.Err() == nil && kms.CodeOf(err).Class() != kms.ClassUnavailable:
			return nil
		}
		select {
		case <-ctx.Done():
			return names
		case <-tick.C:
		}
	}
}

// shares returns the shares to submit, at least one and each once.
func (a commands) shares(args []string) ([]kms.SensitiveString, error) {
	if len(args) == 1 {
		return []kms.SensitiveString{kms.SensitiveString(args[0])}, nil
	}
	var raw []byte
	var err error
	if f, ok := a.In.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(a.Err, "Share (not shown): ")
		raw, err = term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.Err)
	} else {
		raw, err = a.Input("")
	}
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	var all []kms.SensitiveString
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		if line := strings.TrimSpace(lines.Text()); line != "" && !slices.Contains(all, kms.SensitiveString(line)) {
			all = append(all, kms.SensitiveString(line))
		}
	}
	if len(all) == 0 {
		return nil, cli.Misuse("no share was given")
	}
	return all, nil
}

func sealRows(w io.Writer, s client.SealStatus) {
	switch {
	case !s.Initialized:
		cli.Row(w, "STATE", "not initialized")
	case !s.Sealed:
		cli.Row(w, "STATE", "unsealed")
	default:
		cli.Pairs(w, "STATE", "sealed", "PROGRESS", fmt.Sprintf("%d of %d shares (of %d)", s.Progress, s.Threshold, s.Shares))
		if s.AttemptLabel != "" {
			cli.Row(w, "ATTEMPT", s.AttemptLabel)
		}
		if s.ExpiresAt != nil {
			cli.Row(w, "EXPIRES", *s.ExpiresAt)
		}
	}
}

func (a commands) operatorCancel() *cobra.Command {
	cmd := &cobra.Command{
		Use: "cancel-unseal ATTEMPT_ID", Short: "Forget the shares of an attempt", Args: cli.Exactly("ATTEMPT_ID"),
		Example: "  lockstep operator cancel-unseal 6f1b7d0c0f0a4f4e8a540d8f2c9f1e11",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.Connect()
			if err != nil {
				return err
			}
			s, err := c.CancelUnseal(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.Print(s, func(w io.Writer) { sealRows(w, *s) })
		},
	}
	return cli.Calls(cmd, "CancelUnseal")
}

func (a commands) operatorSeal() *cobra.Command {
	var r kms.SealRequest
	cmd := &cobra.Command{
		Use: "seal", Short: "Seal the first address's node, or every node", Args: cobra.NoArgs,
		Long:    "Seals a node: running requests get 5 s to finish, then every key is wiped from its memory.",
		Example: "  lockstep operator seal --addr https://node2:8200\n  lockstep operator seal --cluster",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.Connect()
			if err != nil {
				return err
			}
			answer, err := c.Seal(cmd.Context(), &r)
			if err != nil {
				return err
			}
			if err := a.Print(answer, func(w io.Writer) {
				cli.Row(w, "SEALED", strings.Join(answer.Sealed, ", "))
			}); err != nil {
				return err
			}
			if len(answer.Unreachable) > 0 {
				return fmt.Errorf("these nodes could not be reached and may not be sealed: %s", strings.Join(answer.Unreachable, ", "))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&r.Cluster, "cluster", false, "seal every node")
	return cli.Calls(cmd, "Seal")
}

func (a commands) operatorStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show what each node can do, and how far unsealing is", Args: cobra.NoArgs,
		Long:    "Asks every address for its health and seal status. It needs no identity. Exit status 1 when no node answers.",
		Example: "  lockstep operator status\n  lockstep operator status -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := statuscmd.Ask(cmd.Context(), a.App)
			if err != nil {
				return err
			}
			if err := a.Print(map[string]any{"nodes": all}, func(w io.Writer) { statuscmd.Table(w, all) }); err != nil {
				return err
			}
			for _, n := range all {
				if n.Health != nil {
					return nil
				}
			}
			return errors.New("no node answers")
		},
	}
	return cli.Calls(cmd, "Health", "SealStatus")
}

func (a commands) operatorMembers() *cobra.Command {
	cmd := &cobra.Command{
		Use: "members", Short: "List the nodes of the cluster", Args: cobra.NoArgs,
		Long: `Lists the nodes of the cluster. On a sealed node it needs an operator's client certificate
(--client-cert, --client-key) instead of an access key.`,
		Example: "  lockstep operator members\n  lockstep operator members -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.Connect()
			if err != nil {
				return err
			}
			answer, err := c.Members(cmd.Context())
			if err != nil {
				return err
			}
			return a.Print(answer, func(w io.Writer) {
				cli.Row(w, "NAME", "ADDRESS", "VOTER", "LEADER", "SEALED", "HEALTHY", "INDEX", "VERSION", "REASON")
				for _, m := range answer.Members {
					cli.Row(w, m.Name, m.APIAddr, m.Voter, m.Leader, m.Sealed, m.Healthy, m.AppliedIndex, m.Version, m.Reason)
				}
			})
		},
	}
	return cli.Calls(cmd, "ReadMembers")
}

func (a commands) operatorAllow() *cobra.Command {
	cmd := &cobra.Command{
		Use: "allow NAME", Short: "Let a removed or unexpected node name join", Args: cli.Exactly("NAME"),
		Example: "  lockstep operator allow node-4",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeMember(cmd, args[0]+" may join.\n", func(c *client.Client, opts []client.Option) error {
				return c.AllowMember(cmd.Context(), &kms.AllowMemberRequest{Name: args[0]}, opts...)
			})
		},
	}
	return cli.Calls(a.WriteFlags(cmd), "AllowMember")
}

func (a commands) operatorRemove() *cobra.Command {
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Remove a node; its name is refused from then on", Args: cli.Exactly("NAME"),
		Example: "  lockstep operator remove node-4",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeMember(cmd, args[0]+" is removed.\n", func(c *client.Client, opts []client.Option) error {
				return c.RemoveMember(cmd.Context(), &kms.RemoveMemberRequest{Name: args[0]}, opts...)
			})
		},
	}
	return cli.Calls(a.WriteFlags(cmd), "RemoveMember")
}

func (a commands) changeMember(cmd *cobra.Command, done string, change func(*client.Client, []client.Option) error) error {
	c, err := a.Connect()
	if err != nil {
		return err
	}
	opts, meta, err := a.WriteOptions()
	if err != nil {
		return err
	}
	if err := change(c, opts); err != nil {
		return err
	}
	return a.PrintChanged(kms.Empty{}, meta, func(w io.Writer) { fmt.Fprint(w, done) })
}

func (a commands) health() *cobra.Command {
	cmd := &cobra.Command{
		Use: "health", Short: "Exit 0 when the first address's node can serve cryptography now", Args: cobra.NoArgs,
		Long:    "Asks the first address's node whether it can serve cryptography now: exit status 0 if it can, else 1. For container health checks.",
		Example: "  lockstep health\n  lockstep health --addr https://127.0.0.1:8200 --cacert ca.pem -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.Connect()
			if err != nil {
				return err
			}
			h, err := c.Health(cmd.Context())
			if err != nil {
				return err
			}
			if err := a.Print(h, func(w io.Writer) {
				cli.Pairs(w, "NODE", h.Name, "LEADER", h.LeaderName, "CRYPTO", h.CanServeCrypto, "WRITES", h.CanWrite, "INDEX", h.AppliedIndex,
					"LAG", fmt.Sprintf("%.1fs", h.LagSeconds), "REASON", h.Reason, "FIPS MODE", h.FIPS, "VERSION", h.Version)
			}); err != nil {
				return err
			}
			if !h.CanServeCrypto {
				return fmt.Errorf("the node cannot serve cryptography: %s", h.Reason)
			}
			return nil
		},
	}
	return a.ClientFlags(cli.Calls(cmd, "Health"))
}
