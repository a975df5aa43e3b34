package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/server"
)

// fsckAnswer is the JSON form of what fsck found.
type fsckAnswer struct {
	Sound     bool           `json:"sound"`
	NodeID    string         `json:"node_id"`
	ClusterID string         `json:"cluster_id"`
	First     uint64         `json:"first_index"`
	Last      uint64         `json:"last_index"`
	Entries   int            `json:"entries"`
	Snapshots []fsckSnapshot `json:"snapshots"`
	Problems  []string       `json:"problems"`
}

type fsckSnapshot struct {
	ID    string `json:"id"`
	Index uint64 `json:"index"`
}

func (a commands) operatorFsck() *cobra.Command {
	return &cobra.Command{
		Use: "fsck DIR", Short: "Check the data directory of a stopped node", Args: cli.Exactly("DIR"),
		Long: `Checks a node's data directory without changing it: the checksum of every log entry, that this release
knows every command, and every snapshot down to the digest of its state. The node must not run.
It needs no shares: what it reads is ciphertext.`,
		Example: "  lockstep operator fsck /var/lib/lockstep/data",
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := server.Fsck(args[0])
			if err != nil {
				return err
			}
			answer := fsckAnswer{Sound: len(r.Problems) == 0, NodeID: r.NodeID, ClusterID: r.ClusterID, First: r.First, Last: r.Last,
				Entries: r.Entries, Snapshots: []fsckSnapshot{}, Problems: append([]string{}, r.Problems...)}
			for _, s := range r.Snapshots {
				answer.Snapshots = append(answer.Snapshots, fsckSnapshot{ID: s.ID, Index: s.Index})
			}
			err = a.Print(answer, func(w io.Writer) {
				cli.Pairs(w, "NODE ID", r.NodeID, "CLUSTER ID", r.ClusterID,
					"LOG", fmt.Sprintf("%d entries, %d to %d", r.Entries, r.First, r.Last), "SNAPSHOTS", fmt.Sprint(len(r.Snapshots)))
				for _, p := range r.Problems {
					cli.Row(w, "PROBLEM", p)
				}
			})
			if err == nil && !answer.Sound {
				err = fmt.Errorf("the data directory %s is damaged; problems found: %d", args[0], len(r.Problems))
			}
			return err
		},
	}
}
