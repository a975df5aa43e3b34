// Package statuscmd holds the commands that show a cluster at a glance: status, once, and top, live.
//
// Both ask every address of the command line, each for itself: health and seal status, which need no identity, and the metrics,
// which need the nodes' metrics_token. What is not told is left out and said to be.
//
// The invariant that would hurt: a node that does not answer is shown as one that does not answer, never as one that is well.
package statuscmd

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
)

// commands makes the commands of this package.
type commands struct {
	*cli.App
	token string // flag
}

// Commands returns status and top.
func Commands(a *cli.App) []*cobra.Command {
	c := &commands{App: a}
	return []*cobra.Command{c.status(), c.top()}
}

func (c *commands) tokenFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&c.token, "metrics-token", "", "the nodes' metrics_token (LOCKSTEP_METRICS_TOKEN)")
	return c.ClientFlags(cmd)
}

// Node is what an address says of its node without asking who wants to know.
type Node struct {
	Addr       string             `json:"addr"`
	Error      string             `json:"error,omitempty"`
	Health     *client.Health     `json:"health,omitempty"`
	SealStatus *client.SealStatus `json:"seal_status,omitempty"`
}

// Ask asks every address of the command line, all at a time.
func Ask(ctx context.Context, a *cli.App) ([]Node, error) {
	return everywhere(a, func(c *client.Client, addr string) Node { return askOne(ctx, c, addr) })
}

func askOne(ctx context.Context, c *client.Client, addr string) Node {
	n := Node{Addr: addr}
	health, err := c.Health(ctx)
	if err == nil {
		n.SealStatus, err = c.SealStatus(ctx)
	}
	if err != nil {
		n.Error = cli.OneLine(err)
		return n
	}
	n.Health = health
	return n
}

// everywhere asks every address of the command line, all at a time, and returns the answers in their order.
func everywhere[T any](a *cli.App, ask func(c *client.Client, addr string) T) ([]T, error) {
	addrs := a.Addrs()
	all := make([]T, len(addrs))
	var wg sync.WaitGroup
	defer wg.Wait()
	for i, addr := range addrs {
		c, err := a.ConnectTo([]string{addr})
		if err != nil {
			return nil, err
		}
		wg.Go(func() { all[i] = ask(c, addr) })
	}
	wg.Wait()
	return all, nil
}

// sampled asks an address for its metrics.
func (c *commands) sampled(ctx context.Context, to *client.Client) (*sample, error) {
	text, err := to.Metrics(ctx, c.Given(c.token, "LOCKSTEP_METRICS_TOKEN", ""))
	if err != nil {
		return nil, err
	}
	return parse(text, time.Now())
}

// State is what to say of a node in a word or two.
func (n *Node) State() string {
	switch h := n.Health; {
	case h == nil:
		return "no answer"
	case !h.Initialized:
		return "not initialized"
	case h.Sealed:
		return fmt.Sprintf("sealed (%d/%d)", n.SealStatus.Progress, n.SealStatus.Threshold)
	}
	return "unsealed"
}

// lag is the age of a node's view, where it knows that.
func lag(h *client.Health) string {
	if h.LagSeconds < 0 {
		return "-"
	}
	return seconds(h.LagSeconds)
}

// Table shows what nodes say of themselves.
func Table(w io.Writer, all []Node) {
	cli.Row(w, "ADDRESS", "NAME", "STATE", "LEADS", "CRYPTO", "WRITES", "INDEX", "LAG", "FIPS", "VERSION", "REASON")
	for _, n := range all {
		h := n.Health
		if h == nil {
			cli.Row(w, n.Addr, "-", n.State(), "-", "-", "-", "-", "-", "-", "-", n.Error)
			continue
		}
		cli.Row(w, n.Addr, h.Name, n.State(), h.Leader, h.CanServeCrypto, h.CanWrite, h.AppliedIndex, lag(h), h.FIPS, h.Version, h.Reason)
	}
}
