package auditcmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/audit/verify"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
)

// verdict is the JSON form of what verify found.
type verdict struct {
	Whole bool `json:"whole"` // no node has a fault
	*verify.Report
}

func (c commands) verify() *cobra.Command {
	var o verify.Options
	var checkpoint string
	cmd := &cobra.Command{
		Use: "verify FILE...", Short: "Check that files hold the whole audit trail, offline", Args: cli.AtLeast("FILE"),
		Long: `Checks audit files without asking a node: that every record stands in its node's hash chain, that the signatures of the
heads are the node's, and that nothing is cut, edited, moved, dropped or repeated. The first bad record of each node is named.

FILE is a file, a directory, which means its *.jsonl and *.jsonl.gz, or a pattern. Files may be given in any order, be of several nodes
and be compressed (.gz). Give those of one sink at a time: two sinks hold the same records.

With --checkpoint the trail must also reach the record that the cluster vouches for, and be signed with the keys that it names.
Without one, records that are cut off at the end are not missed. What the trail explains itself (a sink that failed, a file that retention
deleted, an unclean stop) is a remark. Exit status: 0 whole, 1 a fault was found or a file could not be read, 2 wrong use.`,
		Example: `  lockstep audit verify /var/log/lockstep
  lockstep audit verify --checkpoint checkpoint.json /var/log/lockstep/audit.jsonl /backup/audit-*.jsonl.gz
  lockstep audit verify --partial --sink file:/var/log/lockstep/audit.jsonl -o json audit-20261126T000000.000Z.jsonl`,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := c.CheckOutput(); err != nil {
				return err
			}
			if checkpoint != "" {
				text, err := c.Input(checkpoint)
				if err == nil {
					o.Checkpoint, err = verify.ParseCheckpoint(text)
				}
				if err != nil {
					return fmt.Errorf("the checkpoint %s: %w", checkpoint, err)
				}
			}
			return c.verifyFiles(args, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&checkpoint, "checkpoint", "", "file with what 'lockstep audit checkpoint -o json' printed (-: standard input)")
	f.StringVar(&o.Sink, "sink", "", "name of the sink that wrote the files, as AuditStarted lists it (default: the one whose losses they show)")
	f.BoolVar(&o.Partial, "partial", false, "the files begin in the middle of the trail")
	return cmd
}

func (c commands) verifyFiles(args []string, o verify.Options) error {
	inputs, err := find(args)
	if err != nil {
		return err
	}
	stop := showProgress(c.Err, inputs)
	files := make([]verify.File, len(inputs))
	for i, in := range inputs {
		files[i] = verify.File{Name: in.path, Open: in.open}
	}
	r, err := verify.Files(files, o)
	stop()
	if err != nil {
		return err
	}
	faults := r.Faults()
	if err := c.Print(verdict{len(faults) == 0, r}, func(w io.Writer) { describe(w, r) }); err != nil {
		return err
	}
	switch {
	case len(faults) == 1:
		return fmt.Errorf("the audit trail is not whole: %v", faults[0])
	case len(faults) > 1:
		return fmt.Errorf("the audit trail is not whole, of %d nodes; first: %v", len(faults), faults[0])
	}
	return nil
}

func describe(w io.Writer, r *verify.Report) {
	cli.Row(w, "NODE", "FILES", "RECORDS", "HEADS", "FIRST", "LAST", "SIGNED UP TO", "RESULT")
	for _, n := range r.Nodes {
		signed, result := "", "whole"
		if n.SignedSeq > 0 {
			signed = fmt.Sprintf("record %d, %s", n.SignedSeq, n.SignedTime.Format(time.RFC3339))
		}
		switch {
		case n.Fault != nil:
			result = "NOT WHOLE"
		case n.Anchored:
			result = "whole, as the checkpoint says"
		case n.Heads == 0:
			result = "whole, not signed"
		}
		cli.Row(w, n.Name, n.Files, n.Records, n.Heads, moment(n.FirstTime), moment(n.LastTime), signed, result)
	}
	for _, n := range r.Nodes {
		if n.Fault != nil {
			fmt.Fprintln(w, "fault:", n.Fault)
		}
		for _, f := range n.Remarks {
			fmt.Fprintln(w, "remark:", f)
		}
		if n.MoreRemarks > 0 {
			fmt.Fprintf(w, "remark: %d more on node %s\n", n.MoreRemarks, n.Name)
		}
	}
	for _, text := range r.Remarks {
		fmt.Fprintln(w, "remark:", text)
	}
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// find returns the files that the arguments name, each once.
func find(args []string) ([]*input, error) {
	var all []*input
	for _, arg := range args {
		paths, err := expand(arg)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			info, err := os.Stat(path)
			if err != nil {
				return nil, err
			}
			twice := false
			for _, in := range all {
				twice = twice || os.SameFile(in.info, info)
			}
			if !twice {
				all = append(all, &input{path: path, info: info})
			}
		}
	}
	if len(all) == 0 {
		return nil, errors.New("there is no file to verify")
	}
	return all, nil
}
