package cryptocmd

import (
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

func (a commands) generateDataKey() *cobra.Command {
	r := &kms.GenerateDataKeyRequest{KeySpec: kms.DataKeyAES256}
	var length int
	var without bool
	var context []string
	cmd := &cobra.Command{
		Use: "generate-data-key KEY", Short: "Make a random data key, in plaintext and encrypted", Args: cli.Exactly("KEY"),
		Long: `Makes a random data key. Encrypt data with the plaintext, keep the ciphertext beside the data, forget the
plaintext; 'lockstep decrypt' gives it back.

` + cli.KeyHelp,
		Example: `  lockstep generate-data-key alias/app
  lockstep generate-data-key alias/app --spec AES_128 -o json
  lockstep generate-data-key alias/app --bytes 64 --without-plaintext`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			r.KeyID = args[0]
			if r.EncryptionContext, err = cli.ParseContext(context); err != nil {
				return err
			}
			if cmd.Flags().Changed("bytes") {
				r.NumberOfBytes = &length
				if !cmd.Flags().Changed("spec") {
					r.KeySpec = ""
				}
			}
			method := (*client.Client).GenerateDataKey
			if without {
				method = (*client.Client).GenerateDataKeyWithoutPlaintext
			}
			return cli.Run(cmd.Context(), a.App, method, r, func(w io.Writer, answer *kms.GenerateDataKeyAnswer) {
				if len(answer.Plaintext) > 0 {
					cli.Row(w, "PLAINTEXT", []byte(answer.Plaintext))
				}
				cli.Pairs(w, "CIPHERTEXT", answer.CiphertextBlob, "KEY ARN", answer.KeyID)
			})
		},
	}
	f := cmd.Flags()
	cli.WordVar(cmd, &r.KeySpec, "spec", kms.DataKeySpecs, "AES_256 or AES_128")
	f.IntVar(&length, "bytes", 0, "length in bytes, 1 to 1024, instead of --spec")
	f.BoolVar(&without, "without-plaintext", false, "answer the encrypted key only")
	f.StringArrayVar(&context, "context", nil, contextHelp)
	useFlags(cmd, &r.GrantTokens, &r.DryRun)
	return cli.Calls(cmd, "GenerateDataKey", "GenerateDataKeyWithoutPlaintext")
}

func (a commands) generateDataKeyPair() *cobra.Command {
	r := &kms.GenerateDataKeyPairRequest{}
	var without bool
	var context []string
	cmd := &cobra.Command{
		Use: "generate-data-key-pair KEY --spec SPEC", Short: "Make a random key pair whose private key is encrypted under a key", Args: cli.Exactly("KEY"),
		Long: `Makes a random key pair. KEY, a symmetric one, encrypts the private key; 'lockstep decrypt' gives it back.
The private key is PKCS #8 and the public one SubjectPublicKeyInfo, both in DER and printed in base64.

` + cli.KeyHelp,
		Example: `  lockstep generate-data-key-pair alias/app --spec ECC_NIST_P256
  lockstep generate-data-key-pair alias/app --spec RSA_2048 --without-plaintext -o json`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			r.KeyID = args[0]
			if r.EncryptionContext, err = cli.ParseContext(context); err != nil {
				return err
			}
			method := (*client.Client).GenerateDataKeyPair
			if without {
				method = (*client.Client).GenerateDataKeyPairWithoutPlaintext
			}
			return cli.Run(cmd.Context(), a.App, method, r, func(w io.Writer, answer *kms.GenerateDataKeyPairAnswer) {
				if len(answer.PrivateKeyPlaintext) > 0 {
					cli.Row(w, "PRIVATE KEY", []byte(answer.PrivateKeyPlaintext))
				}
				cli.Pairs(w, "ENCRYPTED", answer.PrivateKeyCiphertextBlob, "PUBLIC KEY", answer.PublicKey, "SPEC", answer.KeyPairSpec, "KEY ARN", answer.KeyID)
			})
		},
	}
	cli.WordVar(cmd, &r.KeyPairSpec, "spec", kms.DataKeyPairSpecs, "type of the key pair")
	_ = cmd.MarkFlagRequired("spec")
	cmd.Flags().BoolVar(&without, "without-plaintext", false, "answer the private key encrypted only")
	cmd.Flags().StringArrayVar(&context, "context", nil, contextHelp)
	useFlags(cmd, &r.GrantTokens, &r.DryRun)
	return cli.Calls(cmd, "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext")
}

func (a commands) random() *cobra.Command {
	cmd := &cobra.Command{
		Use: "random [BYTES]", Short: "Print random bytes in base64", Args: cli.AtMost("BYTES"),
		Example: "  lockstep random 32\n  lockstep random 16 | base64 -d | xxd -p",
		RunE: func(cmd *cobra.Command, args []string) error {
			n := 32
			if len(args) == 1 {
				var err error
				if n, err = strconv.Atoi(args[0]); err != nil {
					return cli.Misuse("%q is not a number of bytes", args[0])
				}
			}
			return cli.Run(cmd.Context(), a.App, (*client.Client).GenerateRandom, &kms.GenerateRandomRequest{NumberOfBytes: &n},
				func(w io.Writer, answer *kms.GenerateRandomAnswer) { cli.Row(w, []byte(answer.Plaintext)) })
		},
	}
	return cli.Calls(cmd, "GenerateRandom")
}
