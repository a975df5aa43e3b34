package auditcmd

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

func (c commands) checkpoint() *cobra.Command {
	cmd := &cobra.Command{
		Use: "checkpoint", Short: "Show the latest signed head of each node's audit trail", Args: cobra.NoArgs,
		Long: `Show the latest signed head of each node's audit trail that the cluster has in its replicated state.

Keep the output of '-o json' where those who can write the audit files cannot: 'lockstep audit verify' holds the files against it,
and so finds what was cut off at the end or rewritten as a whole.`,
		Example: "  lockstep audit checkpoint\n  lockstep audit checkpoint -o json > checkpoint.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			call := func(c *client.Client, ctx context.Context, _ *kms.Empty, opts ...client.Option) (*kms.AuditCheckpointAnswer, error) {
				return c.GetAuditCheckpoint(ctx, opts...)
			}
			return cli.Run(cmd.Context(), c.App, call, &kms.Empty{}, func(w io.Writer, answer *kms.AuditCheckpointAnswer) {
				cli.Row(w, "NODE", "RECORDS", "HEAD", "SIGNED")
				for _, a := range answer.Anchors {
					cli.Row(w, a.Node, a.Seq, a.Hash, a.Time)
				}
			})
		},
	}
	return cli.Calls(cmd, "GetAuditCheckpoint")
}
