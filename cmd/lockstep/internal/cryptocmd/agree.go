package cryptocmd

import (
	"encoding/pem"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

// publicKeyDER returns the public key in a file, PEM or DER. The cluster judges what it is.
func publicKeyDER(file []byte) ([]byte, error) {
	block, _ := pem.Decode(file)
	switch {
	case block == nil:
		return file, nil
	case block.Type != "PUBLIC KEY":
		return nil, fmt.Errorf("the file holds a %s, not a public key", strings.ToLower(block.Type))
	default:
		return block.Bytes, nil
	}
}

func (a commands) deriveSharedSecret() *cobra.Command {
	r := &kms.DeriveSharedSecretRequest{KeyAgreementAlgorithm: kms.ECDH}
	var file string
	cmd := &cobra.Command{
		Use: "derive-shared-secret KEY --public-key FILE", Short: "Derive the ECDH secret shared with another's public key", Args: cli.Exactly("KEY"),
		Long: `Derives the secret that KEY shares with another's public key (PEM or DER, "-" is standard input) and prints
it in base64. It is raw: derive keys from it before use.

` + cli.KeyHelp,
		Example: "  lockstep derive-shared-secret alias/agree --public-key theirs.pem",
		RunE: func(cmd *cobra.Command, args []string) error {
			r.KeyID = args[0]
			raw, err := a.Input(file)
			if err != nil {
				return err
			}
			if r.PublicKey, err = publicKeyDER(raw); err != nil {
				return err
			}
			return cli.Run(cmd.Context(), a.App, (*client.Client).DeriveSharedSecret, r,
				func(w io.Writer, answer *kms.DeriveSharedSecretAnswer) { cli.Row(w, []byte(answer.SharedSecret)) })
		},
	}
	cmd.Flags().StringVar(&file, "public-key", "", "file with the other's public key")
	_ = cmd.MarkFlagRequired("public-key")
	cli.WordVar(cmd, &r.KeyAgreementAlgorithm, "algorithm", kms.KeyAgreementAlgorithms, "key agreement algorithm")
	useFlags(cmd, &r.GrantTokens, &r.DryRun)
	return cli.Calls(cmd, "DeriveSharedSecret")
}

func (a commands) encapsulate() *cobra.Command {
	r := &kms.EncapsulateRequest{EncapsulationAlgorithm: kms.MLKEM}
	cmd := &cobra.Command{
		Use: "encapsulate KEY", Short: "Make a shared secret and its ciphertext (ML-KEM)", Args: cli.Exactly("KEY"),
		Long:    "Makes a shared secret of 32 bytes, and the ciphertext from which whoever may decapsulate with KEY gets it back.\n\n" + cli.KeyHelp,
		Example: "  lockstep encapsulate alias/kem -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			r.KeyID = args[0]
			return cli.Run(cmd.Context(), a.App, (*client.Client).Encapsulate, r, func(w io.Writer, answer *kms.EncapsulateAnswer) {
				cli.Pairs(w, "SHARED SECRET", []byte(answer.SharedSecret), "CIPHERTEXT", answer.SharedSecretCiphertextBlob, "KEY ARN", answer.KeyID)
			})
		},
	}
	cli.WordVar(cmd, &r.EncapsulationAlgorithm, "algorithm", kms.EncapsulationAlgorithms, "encapsulation algorithm")
	useFlags(cmd, &r.GrantTokens, &r.DryRun)
	return cli.Calls(cmd, "Encapsulate")
}

func (a commands) decapsulate() *cobra.Command {
	r := &kms.DecapsulateRequest{EncapsulationAlgorithm: kms.MLKEM}
	var file string
	cmd := &cobra.Command{
		Use: "decapsulate KEY [CIPHERTEXT]", Short: "Print the shared secret of a ciphertext (ML-KEM)", Args: cli.Between(1, 2, "KEY", "CIPHERTEXT"),
		Long:    "Reads base64 ciphertext from the argument or standard input and prints the shared secret in base64.\n\n" + cli.KeyHelp,
		Example: "  lockstep decapsulate alias/kem --in secret.ciphertext",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			r.KeyID = args[0]
			if r.SharedSecretCiphertextBlob, err = a.blob(args, 1, file, "CIPHERTEXT"); err != nil {
				return err
			}
			return cli.Run(cmd.Context(), a.App, (*client.Client).Decapsulate, r,
				func(w io.Writer, answer *kms.DecapsulateAnswer) { cli.Row(w, []byte(answer.SharedSecret)) })
		},
	}
	cmd.Flags().StringVar(&file, "in", "", "file with the ciphertext (default: standard input)")
	cli.WordVar(cmd, &r.EncapsulationAlgorithm, "algorithm", kms.EncapsulationAlgorithms, "encapsulation algorithm")
	useFlags(cmd, &r.GrantTokens, &r.DryRun)
	return cli.Calls(cmd, "Decapsulate")
}
