package auditcmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

func (c commands) show() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show the records of one event or request", Args: cli.Exactly("ID"),
		Long: `Show the record of the event id ID, or else those of the request id ID, whole, as JSON. The request id of a call is in the
answer (X-Request-Id), in the message of a refusal and in the nodes' logs.`,
		Example: "  lockstep audit show 78a89e65-19ac-8d97-8000-000000000005",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.Connect()
			if err != nil {
				return err
			}
			most := 0
			for _, q := range []kms.LookupEventsRequest{{EventID: args[0], Limit: pageSize}, {RequestID: args[0], Limit: pageSize}} {
				found := kms.LookupEventsAnswer{}
				silent, err := eachPage(cmd.Context(), client, q, func(a *kms.LookupEventsAnswer) (bool, error) {
					found.Events = append(found.Events, a.Events...)
					return true, nil
				})
				if err != nil {
					return err
				}
				if most = max(most, silent); len(found.Events) == 0 {
					continue
				}
				tellSilent(c.Err, silent)
				if found.SilentNodes = silent; c.JSON() {
					return cli.PrintJSON(c.Out, found)
				}
				for _, raw := range found.Events {
					if err := cli.PrintJSON(c.Out, raw); err != nil {
						return err
					}
				}
				return nil
			}
			tellSilent(c.Err, most)
			return fmt.Errorf("there is no record of %s that you may see", kms.Printable(args[0]))
		},
	}
	return cli.Calls(cmd, "LookupEvents")
}
