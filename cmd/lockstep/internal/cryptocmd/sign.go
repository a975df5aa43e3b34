package cryptocmd

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

// choose fills an algorithm that was not given: the only one that the key has. Where there are several,
// the error lists them.
func choose[T ~string](ctx context.Context, c *client.Client, key string, given *T, of func(*kms.KeyMetadata) []T) error {
	if *given != "" {
		return nil
	}
	answer, err := c.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: key})
	if err != nil {
		return fmt.Errorf("which algorithms the key has could not be read, so give --algorithm: %w", err)
	}
	switch list := of(&answer.Key); len(list) {
	case 0:
		return fmt.Errorf("%s is a key for %s and has no such algorithm", answer.Key.ARN, answer.Key.KeyUsage)
	case 1:
		*given = list[0]
		return nil
	default:
		return cli.Misuse("--algorithm is missing; the key has %s", cli.Words(list))
	}
}

// begin reads the message, connects, and chooses the algorithm.
func begin[T ~string](ctx context.Context, a commands, o *messageFlags, key string, message *kms.Sensitive, given *T, of func(*kms.KeyMetadata) []T) (c *client.Client, err error) {
	if *message, err = a.Input(o.in); err != nil {
		return nil, err
	}
	if c, err = a.Connect(); err != nil {
		return nil, err
	}
	return c, choose(ctx, c, key, given, of)
}

func signingAlgorithms(k *kms.KeyMetadata) []kms.SigningAlgorithm { return k.SigningAlgorithms }
func macAlgorithms(k *kms.KeyMetadata) []kms.MacAlgorithm         { return k.MacAlgorithms }

// messageFlags are those of what reads a message and a signature or MAC.
type messageFlags struct {
	in  string // the message
	raw bool   // signature or MAC as bytes
}

func (o *messageFlags) add(cmd *cobra.Command, what string) {
	cmd.Flags().StringVar(&o.in, "in", "", "file with the message (default: standard input)")
	cmd.Flags().BoolVar(&o.raw, "raw", false, "the "+what+" is bytes and not base64")
}

func algorithmFlag[T ~string](cmd *cobra.Command, p *T, words []T) {
	cli.WordVar(cmd, p, "algorithm", words, "algorithm (default: the key's only one)")
}

func messageTypeFlag(cmd *cobra.Command, p *kms.MessageType) {
	cli.WordVar(cmd, p, "message-type", kms.MessageTypes, "what the input is (default RAW): the message, its digest, or its mu for ML-DSA")
}

// proof returns the signature or MAC to verify: the argument, or the content of file.
func (a commands) proof(args []string, file string, o *messageFlags, name string) ([]byte, error) {
	if (len(args) > 1) == (file != "") {
		return nil, cli.Misuse("give the %s as argument or with --%s", name, name)
	}
	if len(args) > 1 {
		return cli.DecodeBase64([]byte(args[1]))
	}
	if file == "-" && (o.in == "" || o.in == "-") {
		return nil, cli.Misuse("message and %s cannot both come from standard input", name)
	}
	b, err := a.Input(file)
	if err != nil || o.raw {
		return b, err
	}
	return cli.DecodeBase64(b)
}

// printProof runs what makes a signature or MAC.
func printProof[Request, Answer any](ctx context.Context, a *cli.App, c *client.Client, method cli.Method[Request, Answer], r *Request, raw bool, of func(*Answer) []byte) error {
	if raw {
		return cli.CallRaw(ctx, a, c, method, r, of)
	}
	return cli.Call(ctx, a, c, method, r, func(w io.Writer, answer *Answer) { cli.Row(w, of(answer)) })
}

func (a commands) sign() *cobra.Command {
	r := &kms.SignRequest{}
	var o messageFlags
	cmd := &cobra.Command{
		Use: "sign KEY", Short: "Sign a message of up to 4096 bytes, or its digest", Args: cli.Exactly("KEY"),
		Long: `Signs what it reads from standard input and prints the signature in base64. A longer message is signed by
its digest: --message-type DIGEST.

` + cli.KeyHelp,
		Example: `  lockstep sign alias/signer --in release.txt > release.sig
  openssl dgst -sha256 -binary release.tar | lockstep sign alias/signer --message-type DIGEST --algorithm ECDSA_SHA_256 --raw > release.sig`,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.KeyID = args[0]
			c, err := begin(cmd.Context(), a, &o, r.KeyID, &r.Message, &r.SigningAlgorithm, signingAlgorithms)
			if err != nil {
				return err
			}
			return printProof(cmd.Context(), a.App, c, (*client.Client).Sign, r, o.raw, func(answer *kms.SignAnswer) []byte { return answer.Signature })
		},
	}
	o.add(cmd, "signature")
	algorithmFlag(cmd, &r.SigningAlgorithm, kms.SigningAlgorithms)
	messageTypeFlag(cmd, &r.MessageType)
	useFlags(cmd, &r.GrantTokens, &r.DryRun)
	return cli.Calls(cmd, "Sign", "DescribeKey")
}

func (a commands) verify() *cobra.Command {
	r := &kms.VerifyRequest{}
	var o messageFlags
	var file string
	cmd := &cobra.Command{
		Use: "verify KEY [SIGNATURE]", Short: "Check a signature: exit status 0 when it is right", Args: cli.Between(1, 2, "KEY", "SIGNATURE"),
		Long: `Checks a signature over what it reads from standard input. Exit status 0 says that it is right, 1 that it
is not or that it could not be checked.

` + cli.KeyHelp,
		Example: "  lockstep verify alias/signer --signature release.sig --in release.txt\n  lockstep verify alias/signer MEUCIQ... --algorithm ECDSA_SHA_256 < release.txt",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			r.KeyID = args[0]
			if r.Signature, err = a.proof(args, file, &o, "signature"); err != nil {
				return err
			}
			c, err := begin(cmd.Context(), a, &o, r.KeyID, &r.Message, &r.SigningAlgorithm, signingAlgorithms)
			if err != nil {
				return err
			}
			return cli.Call(cmd.Context(), a.App, c, (*client.Client).Verify, r, func(w io.Writer, answer *kms.VerifyAnswer) {
				cli.Pairs(w, "VALID", answer.SignatureValid, "ALGORITHM", answer.SigningAlgorithm, "KEY ARN", answer.KeyID)
			})
		},
	}
	o.add(cmd, "signature")
	cmd.Flags().StringVar(&file, "signature", "", "file with the signature")
	algorithmFlag(cmd, &r.SigningAlgorithm, kms.SigningAlgorithms)
	messageTypeFlag(cmd, &r.MessageType)
	useFlags(cmd, &r.GrantTokens, &r.DryRun)
	return cli.Calls(cmd, "Verify", "DescribeKey")
}

func (a commands) generateMac() *cobra.Command {
	r := &kms.GenerateMacRequest{}
	var o messageFlags
	cmd := &cobra.Command{
		Use: "generate-mac KEY", Short: "Make the HMAC of a message of up to 4096 bytes", Args: cli.Exactly("KEY"),
		Long:    "Makes the HMAC of what it reads from standard input and prints it in base64.\n\n" + cli.KeyHelp,
		Example: "  lockstep generate-mac alias/mac --in token.txt > token.mac",
		RunE: func(cmd *cobra.Command, args []string) error {
			r.KeyID = args[0]
			c, err := begin(cmd.Context(), a, &o, r.KeyID, &r.Message, &r.MacAlgorithm, macAlgorithms)
			if err != nil {
				return err
			}
			return printProof(cmd.Context(), a.App, c, (*client.Client).GenerateMac, r, o.raw, func(answer *kms.GenerateMacAnswer) []byte { return answer.Mac })
		},
	}
	o.add(cmd, "MAC")
	algorithmFlag(cmd, &r.MacAlgorithm, kms.MacAlgorithms)
	useFlags(cmd, &r.GrantTokens, &r.DryRun)
	return cli.Calls(cmd, "GenerateMac", "DescribeKey")
}

func (a commands) verifyMac() *cobra.Command {
	r := &kms.VerifyMacRequest{}
	var o messageFlags
	var file string
	cmd := &cobra.Command{
		Use: "verify-mac KEY [MAC]", Short: "Check an HMAC: exit status 0 when it is right", Args: cli.Between(1, 2, "KEY", "MAC"),
		Long: `Checks the HMAC of what it reads from standard input. Exit status 0 says that it is right, 1 that it is not
or that it could not be checked.

` + cli.KeyHelp,
		Example: "  lockstep verify-mac alias/mac --mac token.mac --in token.txt",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			r.KeyID = args[0]
			if r.Mac, err = a.proof(args, file, &o, "mac"); err != nil {
				return err
			}
			c, err := begin(cmd.Context(), a, &o, r.KeyID, &r.Message, &r.MacAlgorithm, macAlgorithms)
			if err != nil {
				return err
			}
			return cli.Call(cmd.Context(), a.App, c, (*client.Client).VerifyMac, r, func(w io.Writer, answer *kms.VerifyMacAnswer) {
				cli.Pairs(w, "VALID", answer.MacValid, "ALGORITHM", answer.MacAlgorithm, "KEY ARN", answer.KeyID)
			})
		},
	}
	o.add(cmd, "MAC")
	cmd.Flags().StringVar(&file, "mac", "", "file with the MAC")
	algorithmFlag(cmd, &r.MacAlgorithm, kms.MacAlgorithms)
	useFlags(cmd, &r.GrantTokens, &r.DryRun)
	return cli.Calls(cmd, "VerifyMac", "DescribeKey")
}
