// Package auditcmd holds the commands on the audit trail: what reads it through the cluster, and what verifies its files.
//
// The invariant that would hurt: a trail is said to be whole only when everything that is there was checked.
package auditcmd

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
)

// commands makes the commands of this package.
type commands struct {
	*cli.App
	now func() time.Time
}

// Command returns the command "audit" and what is below it.
func Command(a *cli.App) *cobra.Command {
	c := commands{a, time.Now}
	return a.ClientFlags(cli.Group("audit", "Read and verify the audit trail",
		"Every call and every event of the cluster leaves a record in the audit trail of the node that served it. The records of a node\nform a hash chain, whose head the node signs every minute and leaves in the cluster's replicated state.",
		c.search(), c.tail(), c.show(), c.report(), c.checkpoint(), c.verify()))
}
