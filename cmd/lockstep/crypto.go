package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/kms"
)

const contextHelp = "encryption context as NAME=VALUE, repeatable; decryption needs the same"

func (a *app) encrypt() *cobra.Command {
	var text, file string
	var context []string
	cmd := &cobra.Command{
		Use: "encrypt KEY", Short: "Encrypt up to 4096 bytes", Args: exactly("KEY"),
		Long: `Encrypts what it reads from standard input, up to 4096 bytes, and prints the ciphertext in base64.

` + keyHelp,
		Example: `  echo -n hello | lockstep encrypt alias/app > hello.encrypted
  lockstep encrypt alias/app --in password.txt --context purpose=backup
  lockstep encrypt alias/app --plaintext-text hello -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			plaintext := []byte(text)
			if !cmd.Flags().Changed("plaintext-text") {
				var err error
				if plaintext, err = a.input(file); err != nil {
					return err
				}
			} else if file != "" {
				return usageError{errors.New("--in and --plaintext-text exclude each other")}
			}
			ec, err := parseContext(context)
			if err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			answer, err := c.Encrypt(cmd.Context(), &kms.EncryptRequest{KeyID: args[0], Plaintext: plaintext, EncryptionContext: ec})
			if err != nil {
				return err
			}
			return a.print(answer, func(w io.Writer) { row(w, answer.CiphertextBlob) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "in", "", "file to encrypt (default: standard input)")
	f.StringVar(&text, "plaintext-text", "", "text to encrypt; others on this machine can see it while the command runs")
	f.StringArrayVar(&context, "context", nil, contextHelp)
	return a.clientFlags(calls(cmd, "Encrypt"))
}

// ciphertext returns the ciphertext given as argument at position i, or read from file.
func (a *app) ciphertext(args []string, i int, file string) ([]byte, error) {
	if len(args) > i {
		if file != "" {
			return nil, usageError{errors.New("--in and CIPHERTEXT exclude each other")}
		}
		return decodeBase64([]byte(args[i]))
	}
	b, err := a.input(file)
	if err != nil {
		return nil, err
	}
	return decodeBase64(b)
}

func (a *app) decrypt() *cobra.Command {
	var key, file string
	var context []string
	cmd := &cobra.Command{
		Use: "decrypt [CIPHERTEXT]", Short: "Decrypt a ciphertext", Args: atMost("CIPHERTEXT"),
		Long: `Decrypts base64 ciphertext from the argument or standard input and writes the plaintext as it is. The
ciphertext names its key itself; with --key no other key is tried.`,
		Example: `  lockstep decrypt < hello.encrypted
  lockstep decrypt --key alias/app --context purpose=backup --in password.encrypted > password.txt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			blob, err := a.ciphertext(args, 0, file)
			if err != nil {
				return err
			}
			ec, err := parseContext(context)
			if err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			answer, err := c.Decrypt(cmd.Context(), &kms.DecryptRequest{KeyID: key, CiphertextBlob: blob, EncryptionContext: ec})
			if err != nil {
				return err
			}
			if a.output == "json" {
				return printJSON(a.out, answer)
			}
			_, err = a.out.Write(answer.Plaintext)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&key, "key", "", "decrypt with this key only")
	f.StringVar(&file, "in", "", "file to decrypt (default: standard input)")
	f.StringArrayVar(&context, "context", nil, "encryption context that it was encrypted with, NAME=VALUE, repeatable")
	return a.clientFlags(calls(cmd, "Decrypt"))
}

func (a *app) reEncrypt() *cobra.Command {
	var from, file string
	var sourceContext, context []string
	cmd := &cobra.Command{
		Use: "re-encrypt KEY [CIPHERTEXT]", Short: "Move a ciphertext to another key", Args: between(1, 2, "KEY", "CIPHERTEXT"),
		Long: `Decrypts base64 ciphertext from the argument or standard input and encrypts it under KEY, in one step in
the node: the plaintext does not leave it.

` + keyHelp,
		Example: "  lockstep re-encrypt alias/new < old.encrypted > new.encrypted",
		RunE: func(cmd *cobra.Command, args []string) error {
			blob, err := a.ciphertext(args, 1, file)
			if err != nil {
				return err
			}
			source, err := parseContext(sourceContext)
			if err != nil {
				return err
			}
			destination, err := parseContext(context)
			if err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			answer, err := c.ReEncrypt(cmd.Context(), &kms.ReEncryptRequest{KeyID: args[0], CiphertextBlob: blob, SourceKeyID: from,
				SourceEncryptionContext: source, DestinationEncryptionContext: destination})
			if err != nil {
				return err
			}
			return a.print(answer, func(w io.Writer) { row(w, answer.CiphertextBlob) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "decrypt with this key only")
	f.StringVar(&file, "in", "", "file with the ciphertext (default: standard input)")
	f.StringArrayVar(&sourceContext, "source-context", nil, "encryption context of the old ciphertext, NAME=VALUE, repeatable")
	f.StringArrayVar(&context, "context", nil, "encryption context of the new ciphertext, NAME=VALUE, repeatable")
	return a.clientFlags(calls(cmd, "ReEncrypt"))
}

func (a *app) generateDataKey() *cobra.Command {
	var spec string
	var length int
	var without bool
	var context []string
	cmd := &cobra.Command{
		Use: "generate-data-key KEY", Short: "Make a random data key, in plaintext and encrypted", Args: exactly("KEY"),
		Long: `Makes a random data key. Encrypt data with the plaintext, keep the ciphertext beside the data, forget the
plaintext; 'lockstep decrypt' gives it back.

` + keyHelp,
		Example: `  lockstep generate-data-key alias/app
  lockstep generate-data-key alias/app --spec AES_128 -o json
  lockstep generate-data-key alias/app --bytes 64 --without-plaintext`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ec, err := parseContext(context)
			if err != nil {
				return err
			}
			r := &kms.GenerateDataKeyRequest{KeyID: args[0], KeySpec: kms.DataKeySpec(spec), EncryptionContext: ec}
			if cmd.Flags().Changed("bytes") {
				r.NumberOfBytes = &length
				if !cmd.Flags().Changed("spec") {
					r.KeySpec = ""
				}
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			call := c.GenerateDataKey
			if without {
				call = c.GenerateDataKeyWithoutPlaintext
			}
			answer, err := call(cmd.Context(), r)
			if err != nil {
				return err
			}
			return a.print(answer, func(w io.Writer) {
				if len(answer.Plaintext) > 0 {
					row(w, "PLAINTEXT", []byte(answer.Plaintext))
				}
				pairs(w, "CIPHERTEXT", answer.CiphertextBlob, "KEY ARN", answer.KeyID)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&spec, "spec", string(kms.DataKeyAES256), "AES_256 or AES_128")
	f.IntVar(&length, "bytes", 0, "length in bytes, 1 to 1024, instead of --spec")
	f.BoolVar(&without, "without-plaintext", false, "answer the encrypted key only")
	f.StringArrayVar(&context, "context", nil, contextHelp)
	return a.clientFlags(calls(cmd, "GenerateDataKey", "GenerateDataKeyWithoutPlaintext"))
}

func (a *app) random() *cobra.Command {
	cmd := &cobra.Command{
		Use: "random [BYTES]", Short: "Print random bytes in base64", Args: atMost("BYTES"),
		Example: "  lockstep random 32\n  lockstep random 16 | base64 -d | xxd -p",
		RunE: func(cmd *cobra.Command, args []string) error {
			n := 32
			if len(args) == 1 {
				var err error
				if n, err = strconv.Atoi(args[0]); err != nil {
					return usageError{fmt.Errorf("%q is not a number of bytes", args[0])}
				}
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			answer, err := c.GenerateRandom(cmd.Context(), &kms.GenerateRandomRequest{NumberOfBytes: &n})
			if err != nil {
				return err
			}
			return a.print(answer, func(w io.Writer) { row(w, []byte(answer.Plaintext)) })
		},
	}
	return a.clientFlags(calls(cmd, "GenerateRandom"))
}
