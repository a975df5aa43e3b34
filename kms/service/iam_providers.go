package service

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"slices"
	"strings"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/auth/oidc"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
)

const (
	typeOIDCProvider = "AWS::IAM::OIDCProvider"
	typeTrustAnchor  = "AWS::RolesAnywhere::TrustAnchor"

	maxAnchorPEM      = 32 << 10
	maxAnchorMappings = 50
	maxMapping        = 255 // characters of a field
	maxThumbprints    = 5
)

func providerUses(all map[*kms.Operation]*use) {
	all[kms.OpCreateOIDCProvider] = changing(checkCreateOIDC, createOIDC, replayProvider)
	all[kms.OpGetOIDCProvider] = reading(checkProvider, getProvider(kms.ProviderOIDC))
	all[kms.OpListOIDCProviders] = reading(unchecked[kms.Empty], listOIDC)
	all[kms.OpDeleteOIDCProvider] = changing(checkProvider, deleteProvider(kms.ProviderOIDC), replayNoProvider)
	all[kms.OpAddClientIDToOIDCProvider] = changing(checkClientID, addClientID, replayNoProvider)
	all[kms.OpRemoveClientIDFromOIDCProvider] = changing(checkClientID, removeClientID, replayNoProvider)
	all[kms.OpUpdateOIDCThumbprint] = changing(checkThumbprint, updateThumbprint, replayNoProvider)
	all[kms.OpTagOIDCProvider] = changing(checkTagProvider, tagProvider, replayNoProvider)
	all[kms.OpUntagOIDCProvider] = changing(checkUntagProvider, untagProvider, replayNoProvider)
	all[kms.OpCreateTrustAnchor] = changing(checkCreateAnchor, createAnchor, replayProvider)
	all[kms.OpGetTrustAnchor] = reading(checkProvider, getProvider(kms.ProviderTrustAnchor))
	all[kms.OpListTrustAnchors] = reading(unchecked[kms.Empty], listAnchors)
	all[kms.OpDeleteTrustAnchor] = changing(checkProvider, deleteProvider(kms.ProviderTrustAnchor), replayNoProvider)
}

// providerName returns the name of a provider that a request names by its ARN or name.
func (r *request) providerName(kind, given string) string {
	one := kms.Provider{Account: r.scope.Account, Type: kind}
	return strings.TrimPrefix(given, one.ARN(r.Partition))
}

func (r *request) checkProviderName(given string) error {
	r.note("provider", kms.Printable(given))
	return checkLength("provider", len(given), 2048)
}

func checkProvider(r *request, q *kms.ProviderRequest) error {
	return r.checkProviderName(q.Provider)
}

// provider finds an identity provider for a caller who may do with it what the operation does.
func (r *request) provider(kind, given string) (*catalog.Provider, error) {
	none := kms.Provider{Account: r.scope.Account, Type: kind, Name: r.providerName(kind, given)}
	p, err := r.view.Provider(none.Account, kind, none.Name)
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return nil, err
	}
	arn, f := none.ARN(r.Partition), facts{}
	if err == nil {
		f.tags = p.Tags
		r.resource(arn, providerType(kind))
	}
	if denied := r.allowIdentity(arn, f); denied != nil {
		return nil, denied
	}
	return p, notFound(err, "There is no %s %s.", kind, kms.Printable(none.Name))
}

func providerType(kind string) string {
	if kind == kms.ProviderOIDC {
		return typeOIDCProvider
	}
	return typeTrustAnchor
}

// providerAnswer is the answer that carries a provider.
func (r *request) providerAnswer(p *kms.Provider) any {
	if p.Type == kms.ProviderOIDC {
		return &kms.OIDCProviderAnswer{Provider: r.oidcEntry(p)}
	}
	return &kms.TrustAnchorAnswer{TrustAnchor: r.anchorEntry(p)}
}

func (r *request) oidcEntry(p *kms.Provider) kms.OIDCProviderEntry {
	return kms.OIDCProviderEntry{ARN: p.ARN(r.Partition), URL: p.URL, ClientIDList: p.Audiences, CACertificate: p.CA, JWKS: p.Keys, CreatedAt: kms.Time(p.Created),
		ThumbprintList: p.Thumbprints, Tags: p.Tags}
}

func (r *request) anchorEntry(p *kms.Provider) kms.TrustAnchorEntry {
	return kms.TrustAnchorEntry{Name: p.Name, ARN: p.ARN(r.Partition), Certificate: p.CA, Mappings: p.Mappings, CreatedAt: kms.Time(p.Created)}
}

// newProvider writes a provider that was not there, within the account's limit.
func (r *request) newProvider(p *kms.Provider) (*change, error) {
	p.Schema, p.Account, p.Created = 1, r.scope.Account, r.now()
	arn := p.ARN(r.Partition)
	if err := r.allowNew(arn, p.Tags, facts{}); err != nil {
		return nil, err
	}
	r.resource(arn, providerType(p.Type))
	ids := r.view.IDs()
	ref, scope := ids.Provider(p.Account, p.Type, p.Name), ids.ProvidersOf(p.Account)
	_, err := r.view.Provider(p.Account, p.Type, p.Name)
	free, err := absent(err, ref, "The %s %s exists already.", p.Type, p.Name)
	if err != nil {
		return nil, err
	}
	if r.view.Members(scope) >= maxProviders {
		return nil, kms.Errorf(kms.CodeLimitExceeded, "The account has %d identity providers, which is the limit.", maxProviders)
	}
	c := &change{event: "provider.created", guards: []fsm.Guard{free}, below: []fsm.ScopeGuard{{Scope: scope, Below: maxProviders}}, answer: r.providerAnswer(p)}
	return c, c.put(r, ref, p, scope)
}

func replayProvider(r *request, rs *records) (any, error) {
	p, err := record[kms.Provider](rs, fsm.KindProvider)
	if err != nil {
		return nil, err
	}
	r.resource(p.ARN(r.Partition), providerType(p.Type))
	f := facts{tags: p.Tags}
	if r.op.Created { // it had none then
		f.tags = nil
	}
	return r.providerAnswer(p), r.allowIdentity(p.ARN(r.Partition), f)
}

func replayNoProvider(r *request, rs *records) (any, error) {
	if _, err := replayProvider(r, rs); err != nil {
		return nil, err
	}
	return &kms.Empty{}, nil
}

func getProvider(kind string) func(*request, *kms.ProviderRequest) (any, error) {
	return func(r *request, q *kms.ProviderRequest) (any, error) {
		p, err := r.provider(kind, q.Provider)
		if err != nil {
			return nil, err
		}
		return r.providerAnswer(&p.Provider), nil
	}
}

func deleteProvider(kind string) func(*request, *kms.ProviderRequest) (*change, error) {
	return func(r *request, q *kms.ProviderRequest) (*change, error) {
		p, err := r.provider(kind, q.Provider)
		if err != nil {
			return nil, err
		}
		c := &change{event: "provider.deleted", guards: []fsm.Guard{p.Guard()}, answer: &kms.Empty{}}
		return c, c.delete(r, fsm.Ref{Kind: fsm.KindProvider, ID: p.Record}, &p.Provider)
	}
}

// oidcProvider is a provider as package oidc checks it.
func oidcProvider(p *kms.Provider) *oidc.Provider {
	return &oidc.Provider{Owner: p.Account, Issuer: p.URL, Audiences: p.Audiences, CA: p.CA, Keys: p.Keys}
}

func (r *request) checkOIDC(p *kms.Provider) error {
	if err := oidcProvider(p).Check(r.LoopbackIssuers); err != nil {
		return kms.Errorf(kms.CodeValidation, "%s", err.Error())
	}
	return nil
}

// issuerName is what an issuer is called: its URL without the scheme.
func issuerName(url string) string {
	_, name, found := strings.Cut(url, "://")
	if !found {
		return url
	}
	return name
}

func checkCreateOIDC(r *request, q *kms.CreateOIDCProviderRequest) error {
	r.note("url", kms.Printable(q.URL))
	noteList(r, "clientIDList", q.ClientIDList)
	return firstOf(r.checkOIDC(&kms.Provider{URL: q.URL, Audiences: q.ClientIDList, CA: q.CACertificate, Keys: q.JWKS}),
		r.takeThumbprints(q.ThumbprintList), r.takeTags(q.Tags))
}

// takeThumbprints refuses what is no SHA-1 of a certificate, and notes the others.
func (r *request) takeThumbprints(all []string) error {
	if len(all) > maxThumbprints {
		return constraint("thumbprintList", "Member must have length less than or equal to %d", maxThumbprints)
	}
	for _, one := range all {
		if raw, err := hex.DecodeString(one); err != nil || len(raw) != 20 {
			return constraint("thumbprintList", "Member must have 40 hexadecimal digits")
		}
	}
	noteList(r, "thumbprintList", all)
	return nil
}

func createOIDC(r *request, q *kms.CreateOIDCProviderRequest) (*change, error) {
	return r.newProvider(&kms.Provider{Type: kms.ProviderOIDC, Name: issuerName(q.URL), URL: q.URL, Audiences: q.ClientIDList, CA: q.CACertificate, Keys: q.JWKS,
		Thumbprints: q.ThumbprintList, Tags: q.Tags})
}

func listOIDC(r *request, _ *kms.Empty) (any, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	answer := &kms.ListOIDCProvidersAnswer{Providers: []kms.OIDCProviderEntry{}}
	for _, p := range r.view.Providers(r.scope.Account, kms.ProviderOIDC) {
		answer.Providers = append(answer.Providers, r.oidcEntry(&p.Provider))
	}
	return answer, nil
}

func checkClientID(r *request, q *kms.ClientIDRequest) error {
	r.note("clientID", kms.Printable(q.ClientID))
	return firstOf(r.checkProviderName(q.Provider), checkLength("clientID", len(q.ClientID), 255))
}

// editOIDC changes a named issuer.
func (r *request) editOIDC(given string, edit func(*kms.Provider) error) (*change, error) {
	old, err := r.provider(kms.ProviderOIDC, given)
	if err != nil {
		return nil, err
	}
	p := old.Provider
	if err := edit(&p); err != nil {
		return nil, err
	}
	c := &change{event: "provider.changed", guards: []fsm.Guard{old.Guard()}, answer: &kms.Empty{}}
	return c, c.put(r, fsm.Ref{Kind: fsm.KindProvider, ID: old.Record}, &p, r.view.IDs().ProvidersOf(p.Account))
}

func addClientID(r *request, q *kms.ClientIDRequest) (*change, error) {
	return r.editOIDC(q.Provider, func(p *kms.Provider) error {
		if !slices.Contains(p.Audiences, q.ClientID) {
			p.Audiences = append(slices.Clone(p.Audiences), q.ClientID)
		}
		return r.checkOIDC(p)
	})
}

func removeClientID(r *request, q *kms.ClientIDRequest) (*change, error) {
	return r.editOIDC(q.Provider, func(p *kms.Provider) error {
		p.Audiences = slices.DeleteFunc(slices.Clone(p.Audiences), func(id string) bool { return id == q.ClientID })
		return r.checkOIDC(p)
	})
}

func checkThumbprint(r *request, q *kms.UpdateThumbprintRequest) error {
	return firstOf(r.checkProviderName(q.Provider), r.takeThumbprints(q.ThumbprintList))
}

func updateThumbprint(r *request, q *kms.UpdateThumbprintRequest) (*change, error) {
	return r.editOIDC(q.Provider, func(p *kms.Provider) error {
		p.Thumbprints = q.ThumbprintList
		return nil
	})
}

func checkTagProvider(r *request, q *kms.TagProviderRequest) error {
	return firstOf(r.checkProviderName(q.Provider), r.checkNewTags(q.Tags))
}

func tagProvider(r *request, q *kms.TagProviderRequest) (*change, error) {
	return r.editOIDC(q.Provider, func(p *kms.Provider) error { return setTags(&p.Tags, q.Tags) })
}

func checkUntagProvider(r *request, q *kms.UntagProviderRequest) error {
	return firstOf(r.checkProviderName(q.Provider), r.checkGoneTags(q.TagKeys))
}

func untagProvider(r *request, q *kms.UntagProviderRequest) (*change, error) {
	return r.editOIDC(q.Provider, func(p *kms.Provider) error {
		dropTags(&p.Tags, q.TagKeys)
		return nil
	})
}

func checkCreateAnchor(r *request, q *kms.CreateTrustAnchorRequest) error {
	r.note("name", q.Name)
	if err := checkName("name", q.Name, 128); err != nil {
		return err
	}
	if err := checkAuthorities(q.Certificate); err != nil {
		return err
	}
	if err := checkLength("mappings", len(q.Mappings), maxAnchorMappings); err != nil {
		return err
	}
	for _, m := range q.Mappings {
		if err := checkName("role", m.Role, role.name); err != nil {
			return err
		}
		asked := 0
		for _, pattern := range []string{m.CommonName, m.Unit, m.DNSName, m.URI, m.Email} {
			if pattern != "" {
				asked++
			}
			if len(pattern) > maxMapping {
				return constraint("mappings", "Member must have length less than or equal to %d", maxMapping)
			}
		}
		if asked == 0 {
			return kms.Errorf(kms.CodeValidation, "A mapping says which certificates it is for: by common_name, organizational_unit, dns_name, uri or email.")
		}
	}
	r.noteMappings(q.Mappings)
	return nil
}

func (r *request) noteMappings(all []kms.CertificateMapping) {
	entries := make([]audit.Pair, len(all))
	for i, m := range all {
		entries[i] = audit.Members("", texts("role", m.Role, "commonName", m.CommonName, "organizationalUnit", m.Unit, "dnsName", m.DNSName, "uri", m.URI, "email", m.Email)...)
	}
	r.noteEntries("mappings", entries)
}

// checkAuthorities refuses what is not one or more certificates of authorities, in PEM (RFC 7468).
func checkAuthorities(text string) error {
	bad := kms.Errorf(kms.CodeValidation, "A trust anchor has one or more certificates of certificate authorities in PEM, each of another subject, %d bytes at most.", maxAnchorPEM)
	if len(text) > maxAnchorPEM {
		return bad
	}
	n := 0
	seen := map[string]bool{}
	for rest := []byte(text); ; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if strings.TrimSpace(string(rest)) != "" || n == 0 {
				return bad
			}
			return nil
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || block.Type != "CERTIFICATE" || !cert.IsCA || !cert.BasicConstraintsValid || seen[string(cert.RawSubject)] {
			return bad
		}
		seen[string(cert.RawSubject)] = true
	}
}

func createAnchor(r *request, q *kms.CreateTrustAnchorRequest) (*change, error) {
	return r.newProvider(&kms.Provider{Type: kms.ProviderTrustAnchor, Name: q.Name, CA: q.Certificate, Mappings: q.Mappings})
}

func listAnchors(r *request, _ *kms.Empty) (any, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	answer := &kms.ListTrustAnchorsAnswer{TrustAnchors: []kms.TrustAnchorEntry{}}
	for _, p := range r.view.Providers(r.scope.Account, kms.ProviderTrustAnchor) {
		answer.TrustAnchors = append(answer.TrustAnchors, r.anchorEntry(&p.Provider))
	}
	return answer, nil
}
