package catalog

import (
	"crypto/x509"
	"encoding/pem"
	"sync"

	"github.com/tidwall/btree"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/auth/policy"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
)

// Document is a policy document of a record. It is compiled at its first use, once for each revision.
type Document struct {
	Text string

	kind     policy.Kind
	once     sync.Once
	compiled *policy.Document
}

// newDocument returns the document of a text, nil for none.
func newDocument(kind policy.Kind, text string) *Document {
	if text == "" {
		return nil
	}
	return &Document{Text: text, kind: kind}
}

// Policy returns the compiled document; nil when it does not parse, which denies everything.
func (d *Document) Policy() *policy.Document {
	if d == nil {
		return nil
	}
	d.once.Do(func() { d.compiled, _ = policy.Parse(d.kind, d.Text) })
	return d.compiled
}

// String returns the text, "" of a document that is not there.
func (d *Document) String() string {
	if d == nil {
		return ""
	}
	return d.Text
}

// Identity is a root, user, group or role.
type Identity struct {
	kms.Identity
	Record   fsm.ID
	Revision uint64

	inline map[string]*Document
	trust  *Document
}

// Guard guards that the identity is as it was read.
func (i *Identity) Guard() fsm.Guard {
	return fsm.Guard{Kind: fsm.KindIdentity, ID: i.Record, Revision: i.Revision}
}

func (i *Identity) ref() auth.Ref {
	return auth.Ref{Kind: uint8(fsm.KindIdentity), ID: string(i.Record), Revision: i.Revision}
}

// TrustPolicy returns the compiled trust policy of a role, nil when it does not parse.
func (i *Identity) TrustPolicy() *policy.Document { return i.trust.Policy() }

// Credential is an access key. Its secret is wiped when the catalog is sealed.
type Credential struct {
	kms.Credential
	Record   fsm.ID
	Revision uint64
}

// Guard guards that the access key is as it was read.
func (c *Credential) Guard() fsm.Guard {
	return fsm.Guard{Kind: fsm.KindCredential, ID: c.Record, Revision: c.Revision}
}

// ManagedPolicy is a managed policy.
type ManagedPolicy struct {
	kms.ManagedPolicy
	Record   fsm.ID
	Revision uint64
	Default  *Document // of the version that counts
}

// Guard guards that the policy is as it was read.
func (p *ManagedPolicy) Guard() fsm.Guard {
	return fsm.Guard{Kind: fsm.KindManagedPolicy, ID: p.Record, Revision: p.Revision}
}

func (p *ManagedPolicy) ref() auth.Ref {
	return auth.Ref{Kind: uint8(fsm.KindManagedPolicy), ID: string(p.Record), Revision: p.Revision}
}

// Provider is an identity provider.
type Provider struct {
	kms.Provider
	Record   fsm.ID
	Revision uint64

	anchor *auth.Anchor // of a trust anchor whose certificates could be read
}

// Guard guards that the provider is as it was read.
func (p *Provider) Guard() fsm.Guard {
	return fsm.Guard{Kind: fsm.KindProvider, ID: p.Record, Revision: p.Revision}
}

// people is who there is in one account and what they may.
type people struct {
	identities  *btree.Map[string, *Identity]      // by kms.IdentityKey
	credentials *btree.Map[string, *Credential]    // by identity id and access key id
	policies    *btree.Map[string, *ManagedPolicy] // by lower-case name
	providers   *btree.Map[string, *Provider]      // by type and name
}

func newPeople() *people {
	return &people{
		identities:  btree.NewMap[string, *Identity](treeDegree),
		credentials: btree.NewMap[string, *Credential](treeDegree),
		policies:    btree.NewMap[string, *ManagedPolicy](treeDegree),
		providers:   btree.NewMap[string, *Provider](treeDegree),
	}
}

func (p *people) copy() *people {
	return &people{identities: p.identities.Copy(), credentials: p.credentials.Copy(), policies: p.policies.Copy(), providers: p.providers.Copy()}
}

func credentialKey(c *kms.Credential) string { return c.Identity + "/" + c.AccessKeyID }

func providerKey(kind, name string) string { return kind + "/" + name }

func (b *builder) putIdentity(f *found, body *kms.Identity) {
	p := b.account(body.Account).peopleChanged()
	if f.record.Deleted {
		p.identities.Delete(body.Key())
		return
	}
	i := &Identity{Identity: *body, Record: f.ref.ID, Revision: f.record.Revision, trust: newDocument(policy.TrustPolicy, body.Trust)}
	if len(body.Inline) > 0 {
		i.inline = make(map[string]*Document, len(body.Inline))
		for name, text := range body.Inline {
			i.inline[name] = newDocument(policy.IdentityPolicy, text)
		}
	}
	p.identities.Set(body.Key(), i)
}

func (b *builder) putCredential(f *found, body *kms.Credential) {
	p := b.account(body.Account).peopleChanged()
	if f.record.Deleted {
		p.credentials.Delete(credentialKey(body))
		b.credentials.Delete(body.AccessKeyID)
		b.session.accessKeys.Delete(body.AccessKeyID)
		return
	}
	c := &Credential{Credential: *body, Record: f.ref.ID, Revision: f.record.Revision}
	p.credentials.Set(credentialKey(body), c)
	b.credentials.Set(body.AccessKeyID, c)
}

func (b *builder) putManagedPolicy(f *found, body *kms.ManagedPolicy) {
	p := b.account(body.Account).peopleChanged()
	name := lower(body.Name)
	if f.record.Deleted {
		p.policies.Delete(name)
		return
	}
	p.policies.Set(name, &ManagedPolicy{ManagedPolicy: *body, Record: f.ref.ID, Revision: f.record.Revision,
		Default: newDocument(policy.IdentityPolicy, body.Document())})
}

func (b *builder) putProvider(f *found, body *kms.Provider) {
	p := b.account(body.Account).peopleChanged()
	key := providerKey(body.Type, body.Name)
	if f.record.Deleted {
		p.providers.Delete(key)
		return
	}
	one := &Provider{Provider: *body, Record: f.ref.ID, Revision: f.record.Revision}
	if body.Type == kms.ProviderTrustAnchor {
		if pool, names := authorities(body.CA); pool != nil {
			one.anchor = &auth.Anchor{ARN: body.ARN(b.partition), Roots: pool, Names: names, Mappings: body.Mappings,
				Ref: auth.Ref{Kind: uint8(fsm.KindProvider), ID: string(f.ref.ID), Revision: f.record.Revision}}
		}
	}
	p.providers.Set(key, one)
}

// authorities reads certificates in PEM; nil when one cannot be read or there is none.
func authorities(text string) (*x509.CertPool, map[string]struct{}) {
	pool, names := x509.NewCertPool(), map[string]struct{}{}
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil
		}
		pool.AddCert(cert)
		names[string(cert.RawSubject)] = struct{}{}
	}
	if len(names) == 0 {
		return nil, nil
	}
	return pool, names
}

// dropPerson reports whether the record was one of the account's identities, access keys, policies or providers,
// which it takes out.
func (a *account) dropPerson(b *builder, ref fsm.Ref) bool {
	p := a.people
	switch ref.Kind {
	case fsm.KindIdentity:
		return dropFrom(p.identities, func(i *Identity) bool { return i.Record == ref.ID })
	case fsm.KindCredential:
		return dropFrom(p.credentials, func(c *Credential) bool {
			if c.Record == ref.ID {
				b.credentials.Delete(c.AccessKeyID)
			}
			return c.Record == ref.ID
		})
	case fsm.KindManagedPolicy:
		return dropFrom(p.policies, func(m *ManagedPolicy) bool { return m.Record == ref.ID })
	case fsm.KindProvider:
		return dropFrom(p.providers, func(one *Provider) bool { return one.Record == ref.ID })
	}
	return false
}

func dropFrom[V any](all *btree.Map[string, V], is func(V) bool) bool {
	var key string
	found := false
	all.Scan(func(k string, v V) bool {
		if is(v) {
			key, found = k, true
		}
		return !found
	})
	if found {
		all.Delete(key)
	}
	return found
}
