// Package cryptocmd holds the commands that use keys: encryption, data keys, signatures, message
// authentication, key agreement and encapsulation, and random bytes.
//
// It promises that plaintext goes to standard output and nowhere else, and that a signature or MAC which
// is not right ends with exit status 1.
package cryptocmd

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

// commands makes the commands of this package.
type commands struct{ *cli.App }

// Commands returns the commands that use keys.
func Commands(a *cli.App) []*cobra.Command {
	c := commands{a}
	all := []*cobra.Command{c.encrypt(), c.decrypt(), c.reEncrypt(), c.generateDataKey(), c.generateDataKeyPair(), c.sign(), c.verify(),
		c.generateMac(), c.verifyMac(), c.deriveSharedSecret(), c.encapsulate(), c.decapsulate(), c.random()}
	for _, cmd := range all {
		a.ClientFlags(cmd)
	}
	return all
}

const (
	contextHelp   = "encryption context as NAME=VALUE, repeatable; decryption needs the same"
	algorithmHelp = "encryption algorithm, for RSA keys (default SYMMETRIC_DEFAULT)"
)

// useFlags gives a command that uses a key the flags that all of them have.
func useFlags(cmd *cobra.Command, tokens *[]string, dry *bool) {
	cli.GrantTokenVar(cmd, tokens)
	cli.DryRunVar(cmd, dry)
}

func (a commands) encrypt() *cobra.Command {
	r := &kms.EncryptRequest{}
	var text, file string
	var context []string
	cmd := &cobra.Command{
		Use: "encrypt KEY", Short: "Encrypt up to 4096 bytes", Args: cli.Exactly("KEY"),
		Long: `Encrypts what it reads from standard input, up to 4096 bytes, and prints the ciphertext in base64.

` + cli.KeyHelp,
		Example: `  echo -n hello | lockstep encrypt alias/app > hello.encrypted
  lockstep encrypt alias/app --in password.txt --context purpose=backup
  lockstep encrypt alias/app --plaintext-text hello -o json`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			r.KeyID, r.Plaintext = args[0], []byte(text)
			if !cmd.Flags().Changed("plaintext-text") {
				if r.Plaintext, err = a.Input(file); err != nil {
					return err
				}
			} else if file != "" {
				return cli.Misuse("--in and --plaintext-text exclude each other")
			}
			if r.EncryptionContext, err = cli.ParseContext(context); err != nil {
				return err
			}
			return cli.Run(cmd.Context(), a.App, (*client.Client).Encrypt, r, func(w io.Writer, answer *kms.EncryptAnswer) { cli.Row(w, answer.CiphertextBlob) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "in", "", "file to encrypt (default: standard input)")
	f.StringVar(&text, "plaintext-text", "", "text to encrypt; others on this machine can see it while the command runs")
	f.StringArrayVar(&context, "context", nil, contextHelp)
	cli.WordVar(cmd, &r.EncryptionAlgorithm, "algorithm", kms.EncryptionAlgorithms, algorithmHelp)
	useFlags(cmd, &r.GrantTokens, &r.DryRun)
	return cli.Calls(cmd, "Encrypt")
}

// blob returns the bytes given as argument at position i, or read from file, in base64.
func (a commands) blob(args []string, i int, file, name string) ([]byte, error) {
	if len(args) > i {
		if file != "" {
			return nil, cli.Misuse("--in and %s exclude each other", name)
		}
		return cli.DecodeBase64([]byte(args[i]))
	}
	b, err := a.Input(file)
	if err != nil {
		return nil, err
	}
	return cli.DecodeBase64(b)
}

func (a commands) decrypt() *cobra.Command {
	r := &kms.DecryptRequest{}
	var file string
	var context []string
	cmd := &cobra.Command{
		Use: "decrypt [CIPHERTEXT]", Short: "Decrypt a ciphertext", Args: cli.AtMost("CIPHERTEXT"),
		Long: `Decrypts base64 ciphertext from the argument or standard input and writes the plaintext as it is. The
ciphertext of a symmetric key names its key itself; with --key no other key is tried. Other keys need
--key and --algorithm.`,
		Example: `  lockstep decrypt < hello.encrypted
  lockstep decrypt --key alias/app --context purpose=backup --in password.encrypted > password.txt`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if r.CiphertextBlob, err = a.blob(args, 0, file, "CIPHERTEXT"); err != nil {
				return err
			}
			if r.EncryptionContext, err = cli.ParseContext(context); err != nil {
				return err
			}
			return cli.RunRaw(cmd.Context(), a.App, (*client.Client).Decrypt, r, func(answer *kms.DecryptAnswer) []byte { return answer.Plaintext })
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.KeyID, "key", "", "decrypt with this key only")
	f.StringVar(&file, "in", "", "file to decrypt (default: standard input)")
	f.StringArrayVar(&context, "context", nil, "encryption context that it was encrypted with, NAME=VALUE, repeatable")
	cli.WordVar(cmd, &r.EncryptionAlgorithm, "algorithm", kms.EncryptionAlgorithms, algorithmHelp)
	useFlags(cmd, &r.GrantTokens, &r.DryRun)
	return cli.Calls(cmd, "Decrypt")
}

func (a commands) reEncrypt() *cobra.Command {
	r := &kms.ReEncryptRequest{}
	var file string
	var sourceContext, context []string
	cmd := &cobra.Command{
		Use: "re-encrypt KEY [CIPHERTEXT]", Short: "Move a ciphertext to another key", Args: cli.Between(1, 2, "KEY", "CIPHERTEXT"),
		Long: `Decrypts base64 ciphertext from the argument or standard input and encrypts it under KEY, in one step in
the node: the plaintext does not leave it.

` + cli.KeyHelp,
		Example: "  lockstep re-encrypt alias/new < old.encrypted > new.encrypted",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			r.KeyID = args[0]
			if r.CiphertextBlob, err = a.blob(args, 1, file, "CIPHERTEXT"); err != nil {
				return err
			}
			if r.SourceEncryptionContext, err = cli.ParseContext(sourceContext); err != nil {
				return err
			}
			if r.DestinationEncryptionContext, err = cli.ParseContext(context); err != nil {
				return err
			}
			return cli.Run(cmd.Context(), a.App, (*client.Client).ReEncrypt, r, func(w io.Writer, answer *kms.ReEncryptAnswer) { cli.Row(w, answer.CiphertextBlob) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.SourceKeyID, "from", "", "decrypt with this key only")
	f.StringVar(&file, "in", "", "file with the ciphertext (default: standard input)")
	f.StringArrayVar(&sourceContext, "source-context", nil, "encryption context of the old ciphertext, NAME=VALUE, repeatable")
	f.StringArrayVar(&context, "context", nil, "encryption context of the new ciphertext, NAME=VALUE, repeatable")
	cli.WordVar(cmd, &r.SourceEncryptionAlgorithm, "source-algorithm", kms.EncryptionAlgorithms, "that it was encrypted with, for RSA keys (default SYMMETRIC_DEFAULT)")
	cli.WordVar(cmd, &r.DestinationEncryptionAlgorithm, "algorithm", kms.EncryptionAlgorithms, algorithmHelp)
	useFlags(cmd, &r.GrantTokens, &r.DryRun)
	return cli.Calls(cmd, "ReEncrypt")
}
