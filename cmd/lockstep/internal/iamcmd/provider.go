package iamcmd

import (
	"encoding/csv"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

func (a commands) oidcProvider() *cobra.Command {
	return cli.Group("oidc-provider", "Trust the tokens of OpenID Connect issuers",
		`The tokens of an issuer, such as a cluster's or a pipeline's, can be exchanged for sessions of the roles whose trust
policies name the issuer: 'lockstep assume-role --web-identity-token-file'. PROVIDER is the ARN or the URL without
"https://".`,
		a.oidcCreate(), a.oidcGet(), a.oidcList(), a.oidcDelete(),
		a.clientID("add-client-id", "Accept another audience in an issuer's tokens", " is accepted by ", silent(kms.OpAddClientIDToOIDCProvider, (*client.Client).AddClientIDToOpenIDConnectProvider)),
		a.clientID("remove-client-id", "Accept an audience in an issuer's tokens no more", " is not accepted by ", silent(kms.OpRemoveClientIDFromOIDCProvider, (*client.Client).RemoveClientIDFromOpenIDConnectProvider)),
		a.oidcThumbprints(), a.oidcTag(), a.oidcUntag())
}

func describeOIDC(w io.Writer, answer *kms.OIDCProviderAnswer) {
	p := &answer.Provider
	cli.Pairs(w, "ARN", p.ARN, "URL", p.URL, "CLIENT IDS", cli.Words(p.ClientIDList), "OWN CA", p.CACertificate != "", "OWN KEYS", p.JWKS != "", "CREATED", p.CreatedAt)
	cli.Given(w, "THUMBPRINTS", cli.Words(p.ThumbprintList), "TAGS", cli.Context(p.Tags))
}

func (a commands) oidcCreate() *cobra.Command {
	r := &kms.CreateOIDCProviderRequest{}
	var ca, keys string
	cmd := &cobra.Command{Use: "create URL", Short: "Trust an issuer",
		Example: `  lockstep oidc-provider create https://token.actions.example --client-id lockstep
  lockstep oidc-provider create https://k8s.internal --client-id lockstep --ca-file ca.pem
  lockstep oidc-provider create https://offline.internal --client-id lockstep --jwks-file jwks.json`}
	f := cmd.Flags()
	f.StringArrayVar(&r.ClientIDList, "client-id", nil, "audience that tokens must have, repeatable")
	f.StringVar(&ca, "ca-file", "", "PEM file of the CA that signed the issuer's TLS certificate (default: the nodes' own roots)")
	f.StringVar(&keys, "jwks-file", "", "JWK Set of an issuer that the nodes cannot reach")
	f.StringArrayVar(&r.ThumbprintList, "thumbprint", nil, "SHA-1 of a certificate, kept for tools that compare it, repeatable")
	tagVar(cmd, &r.Tags)
	_ = cmd.MarkFlagRequired("client-id")
	return run(a, cmd, answering(kms.OpCreateOIDCProvider, (*client.Client).CreateOpenIDConnectProvider), r, func(args []string) (err error) {
		r.URL = args[0]
		if r.CACertificate, err = a.content(ca); err != nil {
			return err
		}
		r.JWKS, err = a.content(keys)
		return err
	}, describeOIDC)
}

// content returns what a file holds, "" when there is none.
func (a commands) content(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	b, err := a.Input(file)
	return string(b), err
}

func (a commands) oidcGet() *cobra.Command {
	r := &kms.ProviderRequest{}
	cmd := &cobra.Command{Use: "get PROVIDER", Short: "Describe a trusted issuer", Example: "  lockstep oidc-provider get token.actions.example -o json"}
	return run(a, cmd, answering(kms.OpGetOIDCProvider, (*client.Client).GetOpenIDConnectProvider), r, into(&r.Provider), describeOIDC)
}

func (a commands) oidcList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the trusted issuers", Example: "  lockstep oidc-provider list"}
	return run(a, cmd, answering(kms.OpListOIDCProviders, bare((*client.Client).ListOpenIDConnectProviders)), &kms.Empty{}, into(),
		func(w io.Writer, answer *kms.ListOIDCProvidersAnswer) {
			cli.Row(w, "URL", "CLIENT IDS", "ARN")
			for _, p := range answer.Providers {
				cli.Row(w, p.URL, cli.Words(p.ClientIDList), p.ARN)
			}
		})
}

func (a commands) oidcDelete() *cobra.Command {
	r := &kms.ProviderRequest{}
	cmd := &cobra.Command{Use: "delete PROVIDER", Short: "Trust an issuer no more", Example: "  lockstep oidc-provider delete token.actions.example --wait all"}
	return run(a, cmd, silent(kms.OpDeleteOIDCProvider, (*client.Client).DeleteOpenIDConnectProvider), r, into(&r.Provider),
		say(func() string { return r.Provider + " is deleted." }))
}

func (a commands) clientID(use, short, is string, m method[kms.ClientIDRequest, kms.Empty]) *cobra.Command {
	r := &kms.ClientIDRequest{}
	cmd := &cobra.Command{Use: use + " PROVIDER CLIENT-ID", Short: short, Example: "  lockstep oidc-provider " + use + " token.actions.example lockstep"}
	return run(a, cmd, m, r, into(&r.Provider, &r.ClientID), say(func() string { return r.ClientID + is + r.Provider + "." }))
}

func (a commands) oidcThumbprints() *cobra.Command {
	r := &kms.UpdateThumbprintRequest{}
	cmd := &cobra.Command{Use: "set-thumbprints PROVIDER THUMBPRINT...", Short: "Replace the thumbprints kept of an issuer", Args: cli.AtLeast("PROVIDER", "THUMBPRINT"),
		Long:    "Replaces the thumbprints that are kept for tools that compare them. Whom an issuer's certificate is trusted by is not their matter.",
		Example: "  lockstep oidc-provider set-thumbprints token.actions.example 990f4193972f2becf12ddeda5237f9c952f20d9e"}
	return run(a, cmd, silent(kms.OpUpdateOIDCThumbprint, (*client.Client).UpdateOpenIDConnectProviderThumbprint), r, func(args []string) error {
		r.Provider, r.ThumbprintList = args[0], args[1:]
		return nil
	}, say(func() string { return r.Provider + " has these thumbprints." }))
}

func (a commands) oidcTag() *cobra.Command {
	r := &kms.TagProviderRequest{}
	cmd := &cobra.Command{Use: "tag PROVIDER TAG=VALUE...", Short: "Set tags of an issuer", Args: cli.AtLeast("PROVIDER", "TAG=VALUE"),
		Example: "  lockstep oidc-provider tag token.actions.example team=payments"}
	return run(a, cmd, silent(kms.OpTagOIDCProvider, (*client.Client).TagOpenIDConnectProvider), r, func(args []string) (err error) {
		r.Provider = args[0]
		r.Tags, err = cli.ParseTags(args[1:])
		return err
	}, say(func() string { return r.Provider + " is tagged." }))
}

func (a commands) oidcUntag() *cobra.Command {
	r := &kms.UntagProviderRequest{}
	cmd := &cobra.Command{Use: "untag PROVIDER TAG...", Short: "Take tags off an issuer", Args: cli.AtLeast("PROVIDER", "TAG"),
		Example: "  lockstep oidc-provider untag token.actions.example team"}
	return run(a, cmd, silent(kms.OpUntagOIDCProvider, (*client.Client).UntagOpenIDConnectProvider), r, func(args []string) error {
		r.Provider, r.TagKeys = args[0], args[1:]
		return nil
	}, say(func() string { return r.Provider + " does not have these tags." }))
}

func (a commands) trustAnchor() *cobra.Command {
	return cli.Group("trust-anchor", "Trust the client certificates of certificate authorities",
		`Whoever connects with a client certificate that a trust anchor's authority signed is the role that the first matching
mapping names. PROVIDER is the ARN or the name.`,
		a.anchorCreate(), a.anchorGet(), a.anchorList(), a.anchorDelete())
}

func describeAnchor(w io.Writer, answer *kms.TrustAnchorAnswer) {
	t := &answer.TrustAnchor
	cli.Pairs(w, "NAME", t.Name, "ARN", t.ARN, "CREATED", t.CreatedAt)
	for i := range t.Mappings {
		cli.Row(w, "MAPPING", mappingText(&t.Mappings[i]))
	}
}

func (a commands) anchorCreate() *cobra.Command {
	r := &kms.CreateTrustAnchorRequest{}
	var ca string
	var mappings []string
	cmd := &cobra.Command{Use: "create NAME", Short: "Trust a certificate authority",
		Long: `Trusts the client certificates of a certificate authority. Each --map says which role a certificate assumes:
role=ROLE and at least one of cn=, ou=, dns=, uri= and email=, all of which must match; * stands for any characters.
The first mapping that matches counts. A value with a comma is quoted: 'role=shop,"cn=Doe, Ann"'.`,
		Example: `  lockstep trust-anchor create office --ca-file ca.pem --map role=shop,cn=shop-*
  lockstep trust-anchor create mesh --ca-file ca.pem --map role=shop,uri=spiffe://example/shop --map role=other,ou=others`}
	f := cmd.Flags()
	f.StringVar(&ca, "ca-file", "", "PEM file of the authority's certificates")
	f.StringArrayVar(&mappings, "map", nil, "role=ROLE,cn=...,ou=...,dns=...,uri=...,email=..., repeatable")
	_ = cmd.MarkFlagRequired("ca-file")
	_ = cmd.MarkFlagRequired("map")
	return run(a, cmd, answering(kms.OpCreateTrustAnchor, (*client.Client).CreateTrustAnchor), r, func(args []string) (err error) {
		r.Name = args[0]
		for _, given := range mappings {
			m, err := parseMapping(given)
			if err != nil {
				return err
			}
			r.Mappings = append(r.Mappings, m)
		}
		r.Certificate, err = a.content(ca)
		return err
	}, describeAnchor)
}

// mappingParts returns the parts of a mapping by what --map calls them.
func mappingParts(m *kms.CertificateMapping) []struct {
	name  string
	value *string
} {
	return []struct {
		name  string
		value *string
	}{{"role", &m.Role}, {"cn", &m.CommonName}, {"ou", &m.Unit}, {"dns", &m.DNSName}, {"uri", &m.URI}, {"email", &m.Email}}
}

func parseMapping(given string) (kms.CertificateMapping, error) {
	var m kms.CertificateMapping
	wrong := cli.Misuse("--map is role=ROLE with at least one of cn=, ou=, dns=, uri= and email=, each once and separated by commas, not %q", given)
	parts, err := csv.NewReader(strings.NewReader(given)).Read()
	if err != nil || len(parts) < 2 {
		return m, wrong
	}
	for _, part := range parts {
		name, value, _ := strings.Cut(part, "=")
		known := false
		for _, p := range mappingParts(&m) {
			if p.name == name && *p.value == "" && value != "" {
				*p.value, known = value, true
			}
		}
		if !known {
			return m, wrong
		}
	}
	if m.Role == "" {
		return m, wrong
	}
	return m, nil
}

func mappingText(m *kms.CertificateMapping) string {
	var parts []string
	for _, p := range mappingParts(m) {
		if *p.value != "" {
			parts = append(parts, p.name+"="+*p.value)
		}
	}
	return strings.Join(parts, ", ")
}

func (a commands) anchorGet() *cobra.Command {
	r := &kms.ProviderRequest{}
	cmd := &cobra.Command{Use: "get PROVIDER", Short: "Describe a trust anchor", Example: "  lockstep trust-anchor get office -o json"}
	return run(a, cmd, answering(kms.OpGetTrustAnchor, (*client.Client).GetTrustAnchor), r, into(&r.Provider), describeAnchor)
}

func (a commands) anchorList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the trust anchors", Example: "  lockstep trust-anchor list"}
	return run(a, cmd, answering(kms.OpListTrustAnchors, bare((*client.Client).ListTrustAnchors)), &kms.Empty{}, into(),
		func(w io.Writer, answer *kms.ListTrustAnchorsAnswer) {
			cli.Row(w, "NAME", "MAPPINGS", "ARN", "CREATED")
			for _, t := range answer.TrustAnchors {
				cli.Row(w, t.Name, len(t.Mappings), t.ARN, t.CreatedAt)
			}
		})
}

func (a commands) anchorDelete() *cobra.Command {
	r := &kms.ProviderRequest{}
	cmd := &cobra.Command{Use: "delete PROVIDER", Short: "Trust a certificate authority no more", Example: "  lockstep trust-anchor delete office --wait all"}
	return run(a, cmd, silent(kms.OpDeleteTrustAnchor, (*client.Client).DeleteTrustAnchor), r, into(&r.Provider),
		say(func() string { return r.Provider + " is deleted." }))
}
