package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/transport"
)

// certOptions are the flags of the cert commands.
type certOptions struct {
	ca, out string
	hosts   []string
	days    int
}

func (o *certOptions) validity() (transport.Validity, error) {
	if o.days < 0 || o.days > 36525 {
		return transport.Validity{}, cli.Misuse("--days is between 1 and 36525")
	}
	return transport.Validity{For: time.Duration(o.days) * 24 * time.Hour}, nil
}

func newCertCommand() *cobra.Command {
	return cli.Group("cert", "Make the cluster's certificates", `Makes the cluster's CA and the certificates it signs. Nodes trust each other and operators by this CA
alone: keep ca-key.pem off the nodes. Existing files are never overwritten; keys are written with mode 0600.`,
		certCA(), certNode(), certOperator(), certServer())
}

func certCA() *cobra.Command {
	var o certOptions
	var name string
	cmd := &cobra.Command{
		Use: "ca", Short: "Make a certificate authority: ca.pem and ca-key.pem", Args: cobra.NoArgs,
		Example: "  lockstep cert ca --out certs",
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := o.validity()
			if err != nil {
				return err
			}
			ca, err := transport.NewCA(name, v)
			if err != nil {
				return err
			}
			if err := ca.Save(o.out); err != nil {
				return err
			}
			written(cmd, filepath.Join(o.out, transport.CACertFile), filepath.Join(o.out, transport.CAKeyFile))
			return nil
		},
	}
	cmd.Flags().StringVar(&name, "name", "Lockstep CA", "name that shows in the certificates")
	cmd.Flags().StringVar(&o.out, "out", ".", "folder to write to")
	cmd.Flags().IntVar(&o.days, "days", 0, "days until it expires (default ten years)")
	return cmd
}

func certNode() *cobra.Command {
	return certLeaf("node NAME", "Make a node's certificate, for the other nodes",
		"  lockstep cert node node-0 --host kms0.example.com --host 10.0.0.4 --ca certs --out certs", true,
		func(ca *transport.CA, name string, o *certOptions, v transport.Validity) (*transport.Pair, error) {
			return ca.IssueNode(name, o.hosts, v)
		})
}

func certOperator() *cobra.Command {
	return certLeaf("operator NAME", "Make an operator's client certificate",
		"  lockstep cert operator alice --ca certs --out .", false,
		func(ca *transport.CA, name string, _ *certOptions, v transport.Validity) (*transport.Pair, error) {
			return ca.IssueOperator(name, v)
		})
}

func certServer() *cobra.Command {
	return certLeaf("server NAME", "Make a certificate for a node's API; NAME names the files",
		"  lockstep cert server node-0-api --host kms0.example.com --host 127.0.0.1 --ca certs --out certs", true,
		func(ca *transport.CA, _ string, o *certOptions, v transport.Validity) (*transport.Pair, error) {
			if len(o.hosts) == 0 {
				return nil, cli.Misuse("--host is missing: clients check the name they dial")
			}
			return ca.IssueServer(o.hosts, v)
		})
}

type issue func(ca *transport.CA, name string, o *certOptions, v transport.Validity) (*transport.Pair, error)

// certLeaf is a command that writes NAME.pem and NAME-key.pem.
func certLeaf(use, short, example string, hosts bool, make issue) *cobra.Command {
	var o certOptions
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example, Args: cli.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !transport.ValidName(args[0]) {
				return cli.Misuse("%q is no name: use 1 to 63 of a-z 0-9 - . beginning and ending with a letter or digit", args[0])
			}
			v, err := o.validity()
			if err != nil {
				return err
			}
			ca, err := transport.LoadCA(o.ca)
			if err != nil {
				return err
			}
			pair, err := make(ca, args[0], &o, v)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(o.out, 0o700); err != nil {
				return err
			}
			certFile, keyFile := filepath.Join(o.out, args[0]+".pem"), filepath.Join(o.out, args[0]+"-key.pem")
			if err := pair.Save(certFile, keyFile); err != nil {
				return err
			}
			written(cmd, certFile, keyFile)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.ca, "ca", ".", "folder with ca.pem and ca-key.pem")
	f.StringVar(&o.out, "out", ".", "folder to write to")
	f.IntVar(&o.days, "days", 0, "days until it expires (default 825)")
	if hosts {
		f.StringArrayVar(&o.hosts, "host", nil, "DNS name or IP address it is valid for, repeatable")
	}
	return cmd
}

func written(cmd *cobra.Command, files ...string) {
	for _, f := range files {
		fmt.Fprintln(cmd.OutOrStdout(), "wrote", f)
	}
}
