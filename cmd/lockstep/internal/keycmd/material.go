package keycmd

import (
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

// The wrapping that takes every kind of material.
const (
	defaultWrapping    = kms.WrapRSAAESSHA256
	defaultWrappingKey = kms.RSA4096
)

func wrappingFlags(cmd *cobra.Command, r *kms.GetParametersForImportRequest) {
	r.WrappingAlgorithm, r.WrappingKeySpec = defaultWrapping, defaultWrappingKey
	cli.WordVar(cmd, &r.WrappingAlgorithm, "wrapping-algorithm", kms.WrappingAlgorithms, "how the material is encrypted on its way")
	cli.WordVar(cmd, &r.WrappingKeySpec, "wrapping-key-spec", kms.WrappingKeySpecs, "type of the wrapping key")
}

// importFlags are those of what imports; finish puts them into the request.
type importFlags struct {
	expires, kind string
	request       kms.ImportKeyMaterialRequest
}

func (o *importFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.expires, "expires", "", "when the material is deleted: in 30d or 12h, or at 2027-01-31T12:00:00Z (default: never)")
	f.StringVar(&o.kind, "type", "", "NEW for the next rotation's material, EXISTING to bring back what the key had (default: the cluster decides)")
	cli.Complete(cmd, "type", []string{"NEW", "EXISTING"})
	f.StringVar(&o.request.KeyMaterialDescription, "description", "", "what the material is")
	f.StringVar(&o.request.KeyMaterialID, "material-id", "", "with --type EXISTING: id of the material that it must be")
}

func (o *importFlags) finish(key string, now time.Time) error {
	o.request.KeyID, o.request.ExpirationModel = key, kms.MaterialDoesNotExpire
	if o.expires != "" {
		at, err := moment(o.expires, now)
		if err != nil {
			return err
		}
		o.request.ExpirationModel, o.request.ValidTo = kms.MaterialExpires, &at
	}
	switch kind := strings.TrimSuffix(o.kind, "_KEY_MATERIAL"); kind {
	case "":
	case "NEW", "EXISTING":
		o.request.ImportType = kms.ImportType(kind + "_KEY_MATERIAL")
	default:
		return cli.Misuse("--type is NEW or EXISTING, not %q", o.kind)
	}
	return nil
}

// moment reads a time, or a duration from now on; days are known as well.
func moment(text string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.UTC(), nil
	}
	if number, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(number, 10, 16); err == nil && n > 0 {
			return now.Add(time.Duration(n) * 24 * time.Hour).UTC().Truncate(time.Second), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(d).UTC().Truncate(time.Second), nil
	}
	return time.Time{}, cli.Misuse("--expires is a duration such as 30d or 12h, or a time such as 2027-01-31T12:00:00Z, not %q", text)
}

func describeMaterial(w io.Writer, answer *kms.KeyMaterialAnswer) {
	cli.Pairs(w, "KEY ARN", answer.KeyID)
	cli.Given(w, "MATERIAL", answer.KeyMaterialID)
}

func (a commands) importMaterial() *cobra.Command {
	var parameters kms.GetParametersForImportRequest
	var o importFlags
	var file string
	cmd := &cobra.Command{
		Use: "import KEY --material FILE", Short: "Bring your own material into a key of origin EXTERNAL", Args: cli.Exactly("KEY"),
		Long: `Asks the node for a wrapping key, encrypts the material with it on this machine and imports it. FILE holds
the bytes of a symmetric key (32 of them for SYMMETRIC_DEFAULT), or a private key in PEM or PKCS #8; "-"
is standard input. Keep the material: if it expires or is deleted, only you can bring it back.

Where the material lies on a machine without a network, 'lockstep key import-parameters' and
'lockstep key import-material' are the two steps of it.

` + cli.KeyHelp,
		Example: `  lockstep key import alias/ours --material ours.bin
  lockstep key import alias/signer --material signer.pem --expires 365d`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.finish(args[0], time.Now()); err != nil {
				return err
			}
			raw, err := a.Input(file)
			if err != nil {
				return err
			}
			material, err := parseMaterial(raw)
			if err != nil {
				return err
			}
			c, err := a.Connect()
			if err != nil {
				return err
			}
			parameters.KeyID = args[0]
			answer, err := c.GetParametersForImport(cmd.Context(), &parameters)
			if err != nil {
				return err
			}
			if o.request.EncryptedKeyMaterial, err = wrap(parameters.WrappingAlgorithm, answer.PublicKey, material); err != nil {
				return err
			}
			o.request.ImportToken = answer.ImportToken
			return cli.Call(cmd.Context(), a.App, c, (*client.Client).ImportKeyMaterial, &o.request, describeMaterial)
		},
	}
	cmd.Flags().StringVar(&file, "material", "", "file with the material")
	_ = cmd.MarkFlagRequired("material")
	wrappingFlags(cmd, &parameters)
	o.add(cmd)
	return cli.Calls(a.WriteFlags(cmd), "GetParametersForImport", "ImportKeyMaterial")
}

func (a commands) importParameters() *cobra.Command {
	var r kms.GetParametersForImportRequest
	var keyFile, tokenFile, format string
	cmd := &cobra.Command{
		Use: "import-parameters KEY --public-key FILE --token FILE", Short: "First step of an import by hand: write wrapping key and token to files", Args: cli.Exactly("KEY"),
		Long: `Writes the wrapping key and the import token that belongs to it to files. Wrap the material with the key
where it lies, then import it with 'lockstep key import-material', within 24 hours.

` + cli.KeyHelp,
		Example: `  lockstep key import-parameters alias/ours --public-key wrap.pem --token token --wrapping-algorithm RSAES_OAEP_SHA_256
  openssl pkeyutl -encrypt -pubin -inkey wrap.pem -in ours.bin -out ours.wrapped -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256`,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.KeyID = args[0]
			if err := checkFormat(format); err != nil {
				return err
			}
			c, err := a.Connect()
			if err != nil {
				return err
			}
			answer, err := c.GetParametersForImport(cmd.Context(), &r)
			if err != nil {
				return err
			}
			if err := os.WriteFile(keyFile, encodePublicKey(format, answer.PublicKey), 0o644); err != nil {
				return err
			}
			if err := os.WriteFile(tokenFile, answer.ImportToken, 0o600); err != nil {
				return err
			}
			return a.Print(answer, func(w io.Writer) {
				cli.Pairs(w, "KEY ARN", answer.KeyID, "PUBLIC KEY", keyFile, "TOKEN", tokenFile, "VALID TO", answer.ParametersValidTo)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&keyFile, "public-key", "", "file to write the wrapping key to")
	f.StringVar(&tokenFile, "token", "", "file to write the import token to")
	_ = cmd.MarkFlagRequired("public-key")
	_ = cmd.MarkFlagRequired("token")
	formatFlag(cmd, &format)
	wrappingFlags(cmd, &r)
	return cli.Calls(cmd, "GetParametersForImport")
}

func (a commands) importWrapped() *cobra.Command {
	var o importFlags
	var wrapped, token string
	cmd := &cobra.Command{
		Use: "import-material KEY --wrapped FILE --token FILE", Short: "Second step of an import by hand: import material that is wrapped", Args: cli.Exactly("KEY"),
		Long:    "Imports material that was wrapped with the key that 'lockstep key import-parameters' wrote.\n\n" + cli.KeyHelp,
		Example: "  lockstep key import-material alias/ours --wrapped ours.wrapped --token token --expires 365d",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := o.finish(args[0], time.Now()); err != nil {
				return err
			}
			if o.request.EncryptedKeyMaterial, err = a.Input(wrapped); err != nil {
				return err
			}
			if o.request.ImportToken, err = a.Input(token); err != nil {
				return err
			}
			return cli.Run(cmd.Context(), a.App, (*client.Client).ImportKeyMaterial, &o.request, describeMaterial)
		},
	}
	cmd.Flags().StringVar(&wrapped, "wrapped", "", "file with the wrapped material")
	cmd.Flags().StringVar(&token, "token", "", "file with the import token")
	_ = cmd.MarkFlagRequired("wrapped")
	_ = cmd.MarkFlagRequired("token")
	o.add(cmd)
	return cli.Calls(a.WriteFlags(cmd), "ImportKeyMaterial")
}

func (a commands) deleteMaterial() *cobra.Command {
	r := &kms.DeleteImportedKeyMaterialRequest{}
	cmd := &cobra.Command{
		Use: "delete-material KEY", Short: "Delete imported material; the key waits for another import", Args: cli.Exactly("KEY"),
		Long:    "Deletes imported material at once. The key does no cryptography until the same material is imported again.\n\n" + cli.KeyHelp,
		Example: "  lockstep key delete-material alias/ours --wait all",
		RunE: func(cmd *cobra.Command, args []string) error {
			r.KeyID = args[0]
			return cli.Run(cmd.Context(), a.App, (*client.Client).DeleteImportedKeyMaterial, r, describeMaterial)
		},
	}
	cmd.Flags().StringVar(&r.KeyMaterialID, "material-id", "", "id of the material (default: the current one)")
	return cli.Calls(a.WriteFlags(cmd), "DeleteImportedKeyMaterial")
}

func (a commands) publicKey() *cobra.Command {
	r := &kms.GetPublicKeyRequest{}
	var format, file string
	cmd := &cobra.Command{
		Use: "public-key KEY", Short: "Print the public key of an asymmetric key", Args: cli.Exactly("KEY"),
		Long: "Prints the public key of an asymmetric key, SubjectPublicKeyInfo in PEM or DER.\n\n" + cli.KeyHelp,
		Example: `  lockstep key public-key alias/signer > signer.pem
  lockstep key public-key alias/signer --format der --out signer.der`,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.KeyID = args[0]
			if err := checkFormat(format); err != nil {
				return err
			}
			c, err := a.Connect()
			if err != nil {
				return err
			}
			answer, err := c.GetPublicKey(cmd.Context(), r)
			if err != nil {
				return err
			}
			encoded := encodePublicKey(format, answer.PublicKey)
			if file == "" && !a.JSON() {
				_, err = a.Out.Write(encoded) // as it is: DER in a table would not be DER
				return err
			}
			if file != "" {
				if err := os.WriteFile(file, encoded, 0o644); err != nil {
					return err
				}
			}
			return a.Print(answer, func(w io.Writer) {
				cli.Pairs(w, "KEY ARN", answer.KeyID, "SPEC", answer.KeySpec, "USAGE", answer.KeyUsage, "PUBLIC KEY", file)
			})
		},
	}
	formatFlag(cmd, &format)
	cmd.Flags().StringVar(&file, "out", "", "file to write it to (default: standard output)")
	cli.GrantTokenVar(cmd, &r.GrantTokens)
	return cli.Calls(cmd, "GetPublicKey")
}

func formatFlag(cmd *cobra.Command, format *string) {
	cmd.Flags().StringVar(format, "format", "pem", "of the public key: pem or der")
	cli.Complete(cmd, "format", []string{"pem", "der"})
}

func checkFormat(format string) error {
	if format != "pem" && format != "der" {
		return cli.Misuse("--format is pem or der, not %q", format)
	}
	return nil
}

func encodePublicKey(format string, der []byte) []byte {
	if format == "der" {
		return der
	}
	return publicKeyPEM(der)
}
