package iamcmd

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

// assume is what a command line says about a session.
type assume struct {
	r          kms.AssumeRoleRequest
	duration   time.Duration
	policyFile string
	tokenFile  string
	export     bool
}

func (a commands) assumeRole() *cobra.Command {
	o := &assume{}
	cmd := &cobra.Command{Use: "assume-role ROLE-ARN", Short: "Get the credentials of a session of a role", Args: cli.Exactly("ROLE-ARN"),
		Long: `Gets credentials with which one is a role until they expire. The role's trust policy says who may: the caller, or with
--web-identity-token-file whoever the token of an OpenID Connect issuer names, without any other identity.

Session policies (--policy-file, --policy-arn) narrow what the session may do. With --export the credentials are
printed as lines that a POSIX shell evaluates: eval "$(lockstep assume-role ROLE-ARN --session-name NAME --export)".`,
		Example: `  lockstep assume-role arn:aws:iam::111122223333:role/shop --session-name ann
  lockstep assume-role arn:aws:iam::111122223333:role/shop --session-name ann --duration 15m --policy-file narrow.json
  lockstep assume-role arn:aws:iam::111122223333:role/ci --session-name build-4711 --web-identity-token-file token.jwt --export > session.env`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.r.RoleARN = args[0]
			return a.assume(cmd, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.r.RoleSessionName, "session-name", "", "what the session is called in its ARN and in the audit log")
	f.DurationVar(&o.duration, "duration", 0, "how long it lasts, from 15m to the role's longest session (default 1h)")
	f.StringVar(&o.policyFile, "policy-file", "", "JSON file with a session policy, - for standard input")
	f.StringArrayVar(&o.r.PolicyARNs, "policy-arn", nil, "managed policy as session policy, repeatable")
	tagVar(cmd, &o.r.Tags)
	f.StringVar(&o.r.ExternalID, "external-id", "", "the external id that the trust policy asks for")
	f.StringVar(&o.tokenFile, "web-identity-token-file", "", "file with the token of an OpenID Connect issuer, - for standard input")
	f.BoolVar(&o.export, "export", false, "print lines for eval instead of a table")
	_ = cmd.MarkFlagRequired("session-name")
	cmd.MarkFlagsMutuallyExclusive("web-identity-token-file", "tag")
	cmd.MarkFlagsMutuallyExclusive("web-identity-token-file", "external-id")
	return cli.Calls(cmd, kms.OpAssumeRole.Name, kms.OpAssumeRoleWithWebIdentity.Name)
}

func (a commands) getSessionToken() *cobra.Command {
	r := &kms.GetSessionTokenRequest{}
	var duration time.Duration
	var export bool
	cmd := &cobra.Command{Use: "get-session-token", Short: "Get the credentials of a session of one's own", Args: cli.Exactly(),
		Long: `Gets credentials that are the caller's own until they expire: a user or root keeps the secret of its access key at home. The
session may not manage identities, and ends early when the access key or its user is disabled or deleted.`,
		Example: `  lockstep get-session-token --duration 1h --export > session.env`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if export && a.JSON() {
				return cli.Misuse("--export and -o json exclude each other")
			}
			if r.DurationSeconds, err = seconds(cmd, "duration", duration); err != nil {
				return err
			}
			call := (*client.Client).GetSessionToken
			if export {
				return cli.RunRaw(cmd.Context(), a.App, call, r, func(s *kms.SessionTokenAnswer) []byte {
					return exports(s.AccessKeyID, s.SecretAccessKey, s.SessionToken)
				})
			}
			return cli.Run(cmd.Context(), a.App, call, r, func(w io.Writer, s *kms.SessionTokenAnswer) {
				cli.Pairs(w, "ACCESS KEY ID", s.AccessKeyID, "SECRET ACCESS KEY", string(s.SecretAccessKey), "SESSION TOKEN", string(s.SessionToken), "EXPIRES", s.Expiration)
			})
		},
	}
	cmd.Flags().DurationVar(&duration, "duration", 0, "how long it lasts, from 15m to 36h (default 12h); of a root 1h at most")
	cmd.Flags().BoolVar(&export, "export", false, "print lines for eval instead of a table")
	return cli.Calls(cmd, kms.OpGetSessionToken.Name)
}

func (a commands) assume(cmd *cobra.Command, o *assume) (err error) {
	if o.export && a.JSON() {
		return cli.Misuse("--export and -o json exclude each other")
	}
	if o.r.DurationSeconds, err = seconds(cmd, "duration", o.duration); err != nil {
		return err
	}
	if o.policyFile != "" {
		if o.r.Policy, err = a.Document(o.policyFile); err != nil {
			return err
		}
	}
	if o.tokenFile == "" {
		return printSession(cmd, a, (*client.Client).AssumeRole, &o.r, o.export)
	}
	token, err := a.content(o.tokenFile)
	if err != nil {
		return err
	}
	r := &kms.AssumeRoleWithWebIdentityRequest{RoleARN: o.r.RoleARN, RoleSessionName: o.r.RoleSessionName,
		WebIdentityToken: kms.SensitiveString(strings.TrimSpace(token)), DurationSeconds: o.r.DurationSeconds, Policy: o.r.Policy, PolicyARNs: o.r.PolicyARNs}
	return printSession(cmd, a, (*client.Client).AssumeRoleWithWebIdentity, r, o.export)
}

func printSession[Request any](cmd *cobra.Command, a commands, call cli.Method[Request, kms.SessionAnswer], r *Request, export bool) error {
	if export {
		return cli.RunRaw(cmd.Context(), a.App, call, r, func(s *kms.SessionAnswer) []byte { return exports(s.AccessKeyID, s.SecretAccessKey, s.SessionToken) })
	}
	return cli.Run(cmd.Context(), a.App, call, r, func(w io.Writer, s *kms.SessionAnswer) {
		cli.Pairs(w, "ACCESS KEY ID", s.AccessKeyID, "SECRET ACCESS KEY", string(s.SecretAccessKey), "SESSION TOKEN", string(s.SessionToken),
			"EXPIRES", s.Expiration, "ROLE", s.AssumedRoleARN, "ROLE ID", s.AssumedRoleID)
		cli.Given(w, "PERCENT OF TOKEN SIZE", s.PackedPolicySize, "SUBJECT", s.Subject, "PROVIDER", s.Provider, "AUDIENCE", s.Audience)
	})
}

// exports renders a session for eval: for this command line, and for AWS's tools and SDKs.
func exports(id string, secret, token kms.SensitiveString) []byte {
	var b strings.Builder
	for _, prefix := range []string{"LOCKSTEP_", "AWS_"} {
		for _, v := range []struct{ name, value string }{
			{"ACCESS_KEY_ID", id}, {"SECRET_ACCESS_KEY", string(secret)}, {"SESSION_TOKEN", string(token)},
		} {
			fmt.Fprintf(&b, "export %s%s=%s\n", prefix, v.name, quote(v.value))
		}
	}
	return []byte(b.String())
}

// quote quotes a word for a POSIX shell, so that eval runs nothing of what a node answers.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
