package keycmd

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

const storeHelp = `This release serves no key stores outside the cluster. The commands are those of AWS KMS: the cluster checks what is
asked and who asks, and refuses it with unsupported_operation. The list of key stores is empty.`

func (a commands) store() *cobra.Command {
	return cli.Group("custom-key-store", "Key stores outside the cluster, of which this release serves none", storeHelp,
		a.storeCreate(), a.storeUpdate(),
		a.oneStore("delete", "Delete a key store", "deleted", (*client.Client).DeleteCustomKeyStore, "DeleteCustomKeyStore"),
		a.storeList(),
		a.oneStore("connect", "Connect a key store", "being connected", (*client.Client).ConnectCustomKeyStore, "ConnectCustomKeyStore"),
		a.oneStore("disconnect", "Disconnect a key store", "disconnected", (*client.Client).DisconnectCustomKeyStore, "DisconnectCustomKeyStore"))
}

// storeBackend holds the flags that say where a key store keeps its keys. Secrets are read from files, so that no list of
// processes shows them.
type storeBackend struct {
	r                        kms.CreateCustomKeyStoreRequest
	accessKeyID              string
	passwordFile, secretFile string
}

func (b *storeBackend) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&b.r.CloudHsmClusterID, "cloud-hsm-cluster-id", "", "id of a CloudHSM cluster")
	f.StringVar(&b.passwordFile, "password-file", "", "file with the password of its kmsuser, - for standard input")
	f.StringVar(&b.r.XksProxyUriEndpoint, "xks-endpoint", "", "https://HOST of an external key store proxy")
	f.StringVar(&b.r.XksProxyUriPath, "xks-path", "", "path of its API: [/PREFIX]/kms/xks/v1")
	cli.WordVar(cmd, &b.r.XksProxyConnectivity, "xks-connectivity", kms.XksProxyConnectivities, "how it is reached: PUBLIC_ENDPOINT or VPC_ENDPOINT_SERVICE")
	f.StringVar(&b.r.XksProxyVpcEndpointServiceName, "xks-vpc-service", "", "name of its VPC endpoint service")
	f.StringVar(&b.r.XksProxyVpcEndpointServiceOwner, "xks-vpc-owner", "", "account of its VPC endpoint service")
	f.StringVar(&b.accessKeyID, "xks-access-key-id", "", "access key id of its credential, with --xks-secret-file")
	f.StringVar(&b.secretFile, "xks-secret-file", "", "file with the secret of its credential, - for standard input")
	cmd.MarkFlagsRequiredTogether("xks-access-key-id", "xks-secret-file")
	cmd.MarkFlagsMutuallyExclusive("password-file", "xks-secret-file")
}

// read fills in what the flags name files of.
func (b *storeBackend) read(a commands) (err error) {
	if b.passwordFile != "" {
		if b.r.KeyStorePassword, err = a.secretIn(b.passwordFile); err != nil {
			return err
		}
	}
	if b.secretFile != "" {
		secret, err := a.secretIn(b.secretFile)
		if err != nil {
			return err
		}
		b.r.XksProxyAuthenticationCredential = &kms.XksProxyAuthenticationCredential{AccessKeyID: kms.SensitiveString(b.accessKeyID), RawSecretAccessKey: secret}
	}
	return nil
}

// secretIn returns the secret in a file, without the newline that editors put at its end.
func (a commands) secretIn(file string) (kms.SensitiveString, error) {
	b, err := a.Input(file)
	return kms.SensitiveString(strings.TrimRight(string(b), "\r\n")), err
}

func (a commands) storeCreate() *cobra.Command {
	var b storeBackend
	var anchorFile string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a key store", Args: cli.Exactly("NAME"), Long: storeHelp,
		Example: `  lockstep custom-key-store create hsm --cloud-hsm-cluster-id cluster-1a23b4cdefg --trust-anchor-file customerCA.crt --password-file kmsuser.txt
  lockstep custom-key-store create elsewhere --type EXTERNAL_KEY_STORE --xks-endpoint https://xks.example --xks-path /kms/xks/v1 --xks-connectivity PUBLIC_ENDPOINT --xks-access-key-id ABCDEFGHIJKLMNOPQRST --xks-secret-file xks.txt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := b.read(a); err != nil {
				return err
			}
			if anchorFile != "" {
				pem, err := a.Input(anchorFile)
				if err != nil {
					return err
				}
				b.r.TrustAnchorCertificate = string(pem)
			}
			b.r.CustomKeyStoreName = args[0]
			return cli.Run(cmd.Context(), a.App, (*client.Client).CreateCustomKeyStore, &b.r, func(w io.Writer, answer *kms.CreateCustomKeyStoreAnswer) {
				cli.Pairs(w, "KEY STORE ID", answer.CustomKeyStoreID)
			})
		},
	}
	cli.WordVar(cmd, &b.r.CustomKeyStoreType, "type", kms.CustomKeyStoreTypes, "AWS_CLOUDHSM (default) or EXTERNAL_KEY_STORE")
	b.flags(cmd)
	cmd.Flags().StringVar(&anchorFile, "trust-anchor-file", "", "PEM file with the certificate that the CloudHSM cluster was initialized with")
	return cli.Calls(a.WriteFlags(cmd), "CreateCustomKeyStore")
}

func (a commands) storeUpdate() *cobra.Command {
	var b storeBackend
	var name string
	cmd := &cobra.Command{
		Use: "update KEY-STORE-ID", Short: "Change a key store", Args: cli.Exactly("KEY-STORE-ID"), Long: storeHelp,
		Example: "  lockstep custom-key-store update cks-1234567890abcdef0 --name other",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := b.read(a); err != nil {
				return err
			}
			r := &kms.UpdateCustomKeyStoreRequest{
				CustomKeyStoreID: args[0], NewCustomKeyStoreName: name,
				CloudHsmClusterID: b.r.CloudHsmClusterID, KeyStorePassword: b.r.KeyStorePassword,
				XksProxyUriEndpoint: b.r.XksProxyUriEndpoint, XksProxyUriPath: b.r.XksProxyUriPath, XksProxyConnectivity: b.r.XksProxyConnectivity,
				XksProxyVpcEndpointServiceName: b.r.XksProxyVpcEndpointServiceName, XksProxyVpcEndpointServiceOwner: b.r.XksProxyVpcEndpointServiceOwner,
				XksProxyAuthenticationCredential: b.r.XksProxyAuthenticationCredential,
			}
			return cli.Run(cmd.Context(), a.App, cli.Silent((*client.Client).UpdateCustomKeyStore), r,
				func(w io.Writer, _ *kms.Empty) { fmt.Fprintf(w, "%s is changed.\n", args[0]) })
		},
	}
	b.flags(cmd)
	cmd.Flags().StringVar(&name, "name", "", "its new name")
	return cli.Calls(a.WriteFlags(cmd), "UpdateCustomKeyStore")
}

// storeMethod is the client's method of an operation on one key store.
type storeMethod = func(*client.Client, context.Context, *kms.CustomKeyStoreRequest, ...client.Option) error

// oneStore makes a command that does one thing to a key store; done is what the store is then.
func (a commands) oneStore(verb, short, done string, method storeMethod, operation string) *cobra.Command {
	cmd := &cobra.Command{
		Use: verb + " KEY-STORE-ID", Short: short, Args: cli.Exactly("KEY-STORE-ID"), Long: storeHelp,
		Example: "  lockstep custom-key-store " + verb + " cks-1234567890abcdef0",
		RunE: func(cmd *cobra.Command, args []string) error {
			return cli.Run(cmd.Context(), a.App, cli.Silent(method), &kms.CustomKeyStoreRequest{CustomKeyStoreID: args[0]},
				func(w io.Writer, _ *kms.Empty) { fmt.Fprintf(w, "%s is %s.\n", args[0], done) })
		},
	}
	return cli.Calls(a.WriteFlags(cmd), operation)
}

func (a commands) storeList() *cobra.Command {
	var r kms.DescribeCustomKeyStoresRequest
	page := cli.Page{Limit: &r.Limit, Marker: &r.Marker}
	cmd := &cobra.Command{
		Use: "list", Short: "List key stores", Args: cobra.NoArgs, Long: storeHelp,
		Example: "  lockstep custom-key-store list\n  lockstep custom-key-store list --name hsm",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cli.List(cmd.Context(), a.App, (*client.Client).DescribeCustomKeyStores, &r, page,
				func(all *kms.DescribeCustomKeyStoresAnswer) (*[]kms.CustomKeyStoreEntry, *string) {
					return &all.CustomKeyStores, &all.NextMarker
				},
				func(w io.Writer, stores []kms.CustomKeyStoreEntry) {
					cli.Row(w, "KEY STORE ID", "NAME", "TYPE", "STATE", "CREATED")
					for _, s := range stores {
						cli.Row(w, s.CustomKeyStoreID, s.CustomKeyStoreName, s.CustomKeyStoreType, s.ConnectionState, s.CreationDate)
					}
				})
		},
	}
	cmd.Flags().StringVar(&r.CustomKeyStoreID, "id", "", "only the key store of this id")
	cmd.Flags().StringVar(&r.CustomKeyStoreName, "name", "", "only the key store of this name")
	cmd.MarkFlagsMutuallyExclusive("id", "name")
	cli.PageFlags(cmd, page)
	return cli.Calls(cmd, "DescribeCustomKeyStores")
}
