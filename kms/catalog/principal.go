package catalog

import (
	"crypto/x509"
	"encoding/base64"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tidwall/btree"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/auth/sigv4"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

// A principal is put together from the records of its identity, groups and policies when somebody asks for it, and
// kept with the view: a change of one policy costs one record, however many identities have it.

func lower(name string) string { return strings.ToLower(name) }

// places spreads names that outsiders choose. It is immutable.
var places = maphash.MakeSeed()

// Credential implements auth.Directory. A credential whose record, identity or account does not
// open authenticates nobody.
func (v *View) Credential(accessKeyID string) (*auth.Credential, bool) {
	place := &v.known[maphash.String(places, accessKeyID)%uint64(len(v.known))]
	if c := place.Load(); c != nil && c.AccessKeyID == accessKeyID {
		return c, true
	}
	c, ok := v.credentials.Get(accessKeyID)
	if !ok {
		return nil, false
	}
	t, _ := v.tenants.Get(c.Account)
	if t == nil || t.account == nil {
		return nil, false
	}
	who, ok := t.people.identities.Get(c.Holder)
	if !ok || who.ID != c.Identity || who.Type != kms.TypeRoot && who.Type != kms.TypeUser {
		return nil, false
	}
	known := &auth.Credential{AccessKeyID: c.AccessKeyID, Secret: secret.Bytes(c.Secret),
		Disabled: c.Disabled || who.Disabled || t.account.Disabled}
	v.describe(&known.Principal, t, who)
	p := &known.Principal
	p.AccessKeyID = c.AccessKeyID
	p.Refs = append([]auth.Ref{{Kind: uint8(fsm.KindCredential), ID: string(c.Record), Revision: c.Revision}}, p.Refs...)
	p.Complete(nil)
	place.Store(known)
	return known, true
}

// describe fills in a principal who an identity is and what it may, with the records that say so.
func (v *View) describe(p *auth.Principal, t *tenant, who *Identity) {
	p.Account, p.ARN, p.UserID, p.Type, p.Name = who.Account, who.ARN(v.session.partition), who.ID, who.Type, who.Name
	p.Operator, p.Tags = t.account.Operator, who.Tags
	p.Refs = append(p.Refs, who.ref(), auth.Ref{Kind: uint8(fsm.KindAccount), ID: string(t.account.Record), Revision: t.account.Revision})
	v.addPolicies(p, t, who)
	for _, name := range who.Groups {
		group, ok := t.people.identities.Get(kms.IdentityKey(kms.TypeGroup, name))
		if !ok { // its record does not open: it might deny
			p.Identity = append(p.Identity, auth.Policy{ID: "group " + name})
			continue
		}
		p.Refs = append(p.Refs, group.ref())
		v.addPolicies(p, t, group)
	}
	if who.Boundary != "" {
		boundary := v.managed(p, t, who.Boundary)
		p.Boundary = &boundary
	}
}

// addPolicies adds the inline and attached policies of an identity or group, in a fixed order.
func (v *View) addPolicies(p *auth.Principal, t *tenant, of *Identity) {
	names := make([]string, 0, len(of.inline))
	for name := range of.inline {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		p.Identity = append(p.Identity, auth.Policy{ID: of.ARN(v.session.partition) + " " + name, Document: of.inline[name].Policy()})
	}
	for _, arn := range of.Attached {
		p.Identity = append(p.Identity, v.managed(p, t, arn))
	}
}

// managed returns a managed policy as a principal of the tenant has it; without a document when it is not there or
// does not open: it might deny.
func (v *View) managed(p *auth.Principal, t *tenant, arn string) auth.Policy {
	one, ok := v.policyOf(t, arn)
	if !ok {
		return auth.Policy{ID: arn}
	}
	p.Refs = append(p.Refs, one.ref())
	return auth.Policy{ID: arn, Document: one.Default.Policy()}
}

// policyOf finds a managed policy of a tenant by its ARN.
func (v *View) policyOf(t *tenant, arn string) (*ManagedPolicy, bool) {
	one, ok := t.people.policies.Get(lower(arn[strings.LastIndexByte(arn, '/')+1:]))
	if !ok || one.ARN(v.session.partition) != arn {
		return nil, false
	}
	return one, true
}

// PrincipalOf returns the principal that an identity is, nil when it cannot act or its account is gone. It is for
// simulation: the principal has proven nothing.
func (v *View) PrincipalOf(who *Identity) *auth.Principal {
	t, _ := v.tenants.Get(who.Account)
	if t == nil || t.account == nil || who.Type == kms.TypeGroup {
		return nil
	}
	p := new(auth.Principal)
	v.describe(p, t, who)
	if who.Type == kms.TypeRole {
		v.assume(p, who, &auth.Session{Account: who.Account, Role: who.Name, RoleID: who.ID, Name: "simulated", Issued: v.LogTime()})
	}
	p.Complete(nil)
	return p
}

// assume makes the principal of a role that of one of its sessions.
func (v *View) assume(p *auth.Principal, role *Identity, s *auth.Session) {
	p.Type, p.Session = auth.TypeAssumedRole, s
	p.Role = p.ARN
	p.ARN = "arn:" + v.session.partition + ":sts::" + role.Account + ":assumed-role/" + role.Name + "/" + s.Name
	p.UserID = role.ID + ":" + s.Name
	p.AccessKeyID = s.AccessKeyID
	if len(s.Tags) > 0 {
		tags := maps.Clone(s.Tags)
		for k, value := range role.Tags { // those of the session win, without regard to case
			if _, given := auth.Tag(s.Tags, k); !given {
				tags[k] = value
			}
		}
		p.Tags = tags
	}
}

// Assumed implements auth.Directory. The principal is kept with the session, for as long as the state is the latest.
func (v *View) Assumed(s *auth.Session) (*auth.Principal, bool) {
	if p := s.Kept(v.Epoch(), v.Index()); p != nil {
		return p, true
	}
	if s.OfKey != "" {
		return v.ownSession(s)
	}
	role, t, ok := v.roleOf(s.Account, s.Role)
	if !ok || role.ID != s.RoleID || role.Generation != s.Generation || s.Issued < role.ValidFrom {
		return nil, false
	}
	p := new(auth.Principal)
	v.describe(p, t, role)
	v.assume(p, role, s)
	limits := s.Limits()
	for _, arn := range s.PolicyARNs {
		limits = append(limits, v.managed(p, t, arn))
	}
	p.Complete(limits)
	s.Keep(v.Epoch(), v.Index(), p)
	return p, true
}

// ownSession returns the user or root whose own session it is.
func (v *View) ownSession(s *auth.Session) (*auth.Principal, bool) {
	c, ok := v.Credential(s.OfKey)
	if !ok || c.Disabled || c.Principal.Account != s.Account {
		return nil, false
	}
	p := c.Principal
	p.AccessKeyID, p.Session = s.AccessKeyID, s
	s.Keep(v.Epoch(), v.Index(), &p)
	return &p, true
}

// roleOf returns a role of an account that is there and not disabled.
func (v *View) roleOf(account, name string) (*Identity, *tenant, bool) {
	t, _ := v.tenants.Get(account)
	if t == nil || t.account == nil || t.account.Disabled {
		return nil, nil, false
	}
	role, ok := t.people.identities.Get(kms.IdentityKey(kms.TypeRole, name))
	if !ok || role.Disabled {
		return nil, nil, false
	}
	return role, t, true
}

// Anchors implements auth.Directory.
func (v *View) Anchors(account string) (all []*auth.Anchor) {
	t, _ := v.tenants.Get(account)
	if t == nil {
		return nil
	}
	t.people.providers.Ascend(kms.ProviderTrustAnchor, func(_ string, p *Provider) bool {
		if p.anchor != nil {
			all = append(all, p.anchor)
		}
		return p.Type == kms.ProviderTrustAnchor
	})
	return all
}

// AssumedByCertificate implements auth.Directory. The session is one of this request only, named by the serial number
// of the certificate.
func (v *View) AssumedByCertificate(account string, a *auth.Anchor, name string, cert *x509.Certificate) (*auth.Principal, bool) {
	role, t, ok := v.roleOf(account, name)
	if !ok {
		return nil, false
	}
	tags := auth.CertificateTags(cert)
	if !auth.TrustsCertificate(role.TrustPolicy(), role.ARN(v.session.partition), a.ARN, tags) {
		return nil, false
	}
	p := new(auth.Principal)
	v.describe(p, t, role)
	v.assume(p, role, &auth.Session{Account: account, Role: role.Name, RoleID: role.ID, Name: cert.SerialNumber.Text(16), Tags: tags,
		Issued: v.LogTime(), Issuer: a.ARN, Certificate: true})
	p.Refs = append(p.Refs, a.Ref)
	p.Complete(nil)
	return p, true
}

// SigningKeys implements auth.Directory.
func (v *View) SigningKeys() *sigv4.Keys { return v.session.keys }

const sessionPurpose = "session"

// SealSession returns the token of a session, in URL-safe base64. The caller wipes the session's secret.
func (v *View) SealSession(s *auth.Session) (string, error) {
	plain, err := s.Encode()
	defer secret.Wipe(plain)
	if err != nil {
		return "", err
	}
	token, err := v.SealToken(sessionPurpose, nil, plain)
	return base64.RawURLEncoding.EncodeToString(token), err
}

// Session implements auth.Directory.
func (v *View) Session(token string) (*auth.Session, bool) {
	if s := v.session.tokens.get(token); s != nil {
		return s, true
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil {
		return nil, false
	}
	plain, err := v.OpenToken(sessionPurpose, nil, raw)
	if err != nil {
		return nil, false
	}
	defer secret.Wipe(plain)
	s, err := auth.DecodeSession(plain)
	if err != nil {
		return nil, false
	}
	v.session.tokens.put(token, s)
	return s, true
}

// tokens remembers the sessions of tokens that were opened, so that a session opens its token once.
type tokens struct {
	places [1024]atomic.Pointer[openedToken]

	mu  sync.Mutex
	all map[*openedToken]struct{} // guarded by mu: those in places, to be wiped
}

type openedToken struct {
	token   string
	session *auth.Session
}

func (t *tokens) get(token string) *auth.Session {
	if one := t.place(token).Load(); one != nil && one.token == token {
		return one.session
	}
	return nil
}

func (t *tokens) place(token string) *atomic.Pointer[openedToken] {
	return &t.places[maphash.String(places, token)%uint64(len(t.places))]
}

// put remembers a session in place of another. The secret of that one may be in use still: it is left to the
// collector.
func (t *tokens) put(token string, s *auth.Session) {
	one := &openedToken{token, s}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = map[*openedToken]struct{}{}
	}
	if old := t.place(token).Swap(one); old != nil {
		delete(t.all, old)
	}
	t.all[one] = struct{}{}
}

func (t *tokens) wipe() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for one := range t.all {
		secret.Wipe(one.session.Secret)
	}
}

// Identities returns up to limit identities of an account and type whose kms.IdentityKey is above after, ascending.
func (v *View) Identities(account, kind, after string, limit int) []*Identity {
	t, _ := v.tenants.Get(account)
	if t == nil {
		return nil
	}
	prefix := kms.IdentityKey(kind, "")
	return pageOf(t.people.identities, prefix, after, limit)
}

// Everybody returns up to limit roots, users and roles of an account whose kms.IdentityKey is not below from, ascending:
// the root, whose key is "", comes first.
func (v *View) Everybody(account, from string, limit int) (all []*Identity) {
	t, _ := v.tenants.Get(account)
	if t == nil {
		return nil
	}
	t.people.identities.Ascend(from, func(_ string, i *Identity) bool {
		if i.Type != kms.TypeGroup {
			all = append(all, i)
		}
		return len(all) < limit
	})
	return all
}

// pageOf returns up to limit values whose key has the prefix and is above after.
func pageOf[V any](all *btree.Map[string, V], prefix, after string, limit int) (page []V) {
	all.Ascend(max(prefix, after), func(key string, value V) bool {
		if !strings.HasPrefix(key, prefix) || len(page) >= limit {
			return false
		}
		if key != after {
			page = append(page, value)
		}
		return true
	})
	return page
}

// Identity returns an identity of an account by its kms.IdentityKey. Errors: ErrNotFound, or CodeUnavailable when its
// record does not open.
func (v *View) Identity(account, key string) (*Identity, error) {
	if t, ok := v.tenants.Get(account); ok {
		if i, ok := t.people.identities.Get(key); ok {
			return i, nil
		}
	}
	return nil, v.missing(func() fsm.Ref { return v.IDs().Identity(account, key) })
}

// Credentials returns the access keys of an identity, by their id.
func (v *View) Credentials(account, identityID string) []*Credential {
	t, _ := v.tenants.Get(account)
	if t == nil {
		return nil
	}
	return pageOf(t.people.credentials, identityID+"/", "", 100)
}

// AccessKey returns an access key. Errors: ErrNotFound, or CodeUnavailable when its record does not open.
func (v *View) AccessKey(accessKeyID string) (*Credential, error) {
	if c, ok := v.credentials.Get(accessKeyID); ok {
		return c, nil
	}
	return nil, v.missing(func() fsm.Ref { return v.IDs().Credential(accessKeyID) })
}

// ManagedPolicies returns up to limit managed policies of an account whose name in lower case is above after, ascending.
func (v *View) ManagedPolicies(account, after string, limit int) []*ManagedPolicy {
	t, _ := v.tenants.Get(account)
	if t == nil {
		return nil
	}
	return pageOf(t.people.policies, "", after, limit)
}

// ManagedPolicy returns a managed policy of an account by its name. Errors: ErrNotFound, or CodeUnavailable when its
// record does not open.
func (v *View) ManagedPolicy(account, name string) (*ManagedPolicy, error) {
	if t, ok := v.tenants.Get(account); ok {
		if p, ok := t.people.policies.Get(lower(name)); ok {
			return p, nil
		}
	}
	return nil, v.missing(func() fsm.Ref { return v.IDs().ManagedPolicy(account, name) })
}

// Providers returns the identity providers of an account and type, by name.
func (v *View) Providers(account, kind string) []*Provider {
	t, _ := v.tenants.Get(account)
	if t == nil {
		return nil
	}
	return pageOf(t.people.providers, providerKey(kind, ""), "", t.people.providers.Len())
}

// Provider returns an identity provider. Errors: ErrNotFound, or CodeUnavailable when its record does not open.
func (v *View) Provider(account, kind, name string) (*Provider, error) {
	if t, ok := v.tenants.Get(account); ok {
		if p, ok := t.people.providers.Get(providerKey(kind, name)); ok {
			return p, nil
		}
	}
	return nil, v.missing(func() fsm.Ref { return v.IDs().Provider(account, kind, name) })
}
