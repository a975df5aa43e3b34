package catalog

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/auth/policy"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
)

const (
	peopleA      = "111111111111"
	allowsAll    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	deniesAll    = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`
	trustsAnchor = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"rolesanywhere.amazonaws.com"}}]}`
)

func policyARN(account, name string) string { return "arn:aws:iam::" + account + ":policy/" + name }

func (l *lab) writePerson(i *kms.Identity) fsm.Write {
	i.Schema, i.Path = 1, "/"
	return l.write(l.ids.Identity(i.Account, i.Key()), i, l.ids.IdentitiesOf(i.Account, i.Type))
}

func (l *lab) writeManaged(account, name, document string) fsm.Write {
	return l.write(l.ids.ManagedPolicy(account, name), &kms.ManagedPolicy{Schema: 1, Account: account, ID: "ANPA" + name, Name: name, Path: "/",
		Versions: []kms.PolicyVersion{{Number: 1, Document: document}}, Default: 1, Last: 1}, l.ids.PoliciesOf(account))
}

func (l *lab) writeAccessKey(id string, of *kms.Identity) fsm.Write {
	return l.write(l.ids.Credential(id), &kms.Credential{Schema: 1, AccessKeyID: id, Account: of.Account, Identity: of.ID, Holder: of.Key(), Secret: []byte("secret of " + id)},
		l.ids.CredentialsOf(of.Account, of.ID))
}

func (l *lab) writeAnchor(account, name, ca, role string) fsm.Write {
	return l.write(l.ids.Provider(account, kms.ProviderTrustAnchor, name), &kms.Provider{Schema: 1, Account: account, Type: kms.ProviderTrustAnchor, Name: name, CA: ca,
		Mappings: []kms.CertificateMapping{{Role: role, CommonName: "*"}}}, l.ids.ProvidersOf(account))
}

// sessionOf is a session of a role as its token would say.
func sessionOf(role *kms.Identity) *auth.Session {
	return &auth.Session{Schema: 1, AccessKeyID: "ASIA", Secret: []byte("s"), Account: role.Account, Role: role.Name, RoleID: role.ID, Name: "session", Issued: testStamp, Expires: testStamp + 1000}
}

// tell writes out what a principal is, may and rests on.
func tell(p *auth.Principal) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s %s %v %v %v\n", p.ARN, p.UserID, p.Type, p.Name, p.Operator, p.Tags, p.Refs)
	all := p.Identity
	if p.Boundary != nil {
		all = append(slices.Clone(all), *p.Boundary, auth.Policy{ID: "bounded"})
	}
	for _, one := range all {
		fmt.Fprintf(&b, "  %s %v %v\n", one.ID, one.Document != nil, may(one.Document))
	}
	return b.String()
}

func may(d *policy.Document) bool {
	q := &policy.Query{Request: policy.Request{Action: "kms:Encrypt", Resource: "*", Caller: policy.Caller{Kind: policy.User, Account: peopleA, ARN: "arn:aws:iam::" + peopleA + ":user/x"}}, Identity: []*policy.Document{d}}
	return policy.Evaluate(q).Allow()
}

// dumpPeople writes out every identity, access key, policy and provider of a view, and the principals that they make.
func dumpPeople(v *View) string {
	var b strings.Builder
	v.tenants.Scan(func(account string, t *tenant) bool {
		if t.account != nil {
			fmt.Fprintf(&b, "account %s\n", account)
		}
		t.people.identities.Scan(func(key string, i *Identity) bool {
			fmt.Fprintf(&b, "identity %s %+v %x %d %v\n", key, i.Identity, i.Record, i.Revision, i.trust)
			if i.Type == kms.TypeGroup {
				return true
			}
			if p := v.PrincipalOf(i); p != nil {
				b.WriteString(tell(p))
			}
			if p, ok := v.Assumed(sessionOf(&i.Identity)); ok {
				b.WriteString("assumed " + tell(p))
			}
			return true
		})
		t.people.credentials.Scan(func(key string, c *Credential) bool {
			fmt.Fprintf(&b, "access key %s %s %v %d\n", key, string([]byte(c.Secret)), c.Disabled, c.Revision)
			return true
		})
		t.people.policies.Scan(func(key string, p *ManagedPolicy) bool {
			fmt.Fprintf(&b, "policy %s %+v %d %v\n", key, p.ManagedPolicy, p.Revision, p.Default)
			return true
		})
		t.people.providers.Scan(func(key string, p *Provider) bool {
			fmt.Fprintf(&b, "provider %s %+v %d %v\n", key, p.Provider, p.Revision, p.anchor != nil)
			return true
		})
		return true
	})
	v.credentials.Scan(func(id string, _ *Credential) bool {
		c, ok := v.Credential(id)
		fmt.Fprintf(&b, "credential %s %v\n", id, ok)
		if ok {
			fmt.Fprintf(&b, "%v %s", c.Disabled, tell(&c.Principal))
		}
		return true
	})
	return b.String()
}

// randomPerson returns writes over a small world of people, damaged ones and tombstones among them.
func (l *lab) randomPerson(t *rapid.T, ca string) []fsm.Write {
	account := rapid.SampledFrom([]string{peopleA, "222222222222"}).Draw(t, "account")
	documents := []string{allowsAll, deniesAll, "nonsense"}
	name := rapid.SampledFrom([]string{"a", "B", "b"}).Draw(t, "name")
	pick := func(what string) []string {
		var all []string
		for _, n := range []string{"a", "b"} {
			if rapid.Bool().Draw(t, what+n) {
				all = append(all, n)
			}
		}
		return all
	}
	i := &kms.Identity{Account: account, ID: "ID" + strings.ToLower(name) + rapid.SampledFrom([]string{"1", "1", "2"}).Draw(t, "made again"), Name: name,
		Type: rapid.SampledFrom([]string{kms.TypeUser, kms.TypeUser, kms.TypeGroup, kms.TypeRole}).Draw(t, "type")}
	var writes []fsm.Write
	switch rapid.IntRange(0, 5).Draw(t, "what") {
	case 0, 1:
		for _, n := range pick("inline") {
			i.Inline = map[string]string{n: rapid.SampledFrom(documents).Draw(t, "document")}
		}
		for _, n := range pick("attached") {
			i.Attached = append(i.Attached, policyARN(account, n))
		}
		if i.Type == kms.TypeUser {
			i.Groups = pick("group")
		}
		if i.Type != kms.TypeGroup && rapid.Bool().Draw(t, "bounded") {
			i.Boundary = policyARN(account, "a")
		}
		if i.Type == kms.TypeRole {
			i.Trust = rapid.SampledFrom([]string{trustsAnchor, "nonsense"}).Draw(t, "trust")
		}
		i.Disabled = rapid.IntRange(0, 5).Draw(t, "disabled") == 0
		writes = []fsm.Write{l.writePerson(i)}
	case 2:
		i.Type = kms.TypeUser
		writes = []fsm.Write{l.writeAccessKey(rapid.SampledFrom([]string{"AKx", "AKy"}).Draw(t, "access key")+account+i.ID, i)} // it never comes to another
	case 3:
		writes = []fsm.Write{l.writeManaged(account, name, rapid.SampledFrom(documents).Draw(t, "policy"))}
	case 4:
		writes = []fsm.Write{l.writeAnchor(account, name, rapid.SampledFrom([]string{ca, "nonsense"}).Draw(t, "authority"), "a")}
	case 5:
		writes = l.writeAccount(account)
	}
	n := rapid.IntRange(0, len(writes)-1).Draw(t, "which")
	switch rapid.SampledFrom([]string{"", "", "", "", "delete", "damage", "damaged tombstone"}).Draw(t, "fate") {
	case "delete":
		writes[n] = deleted(writes[n])
	case "damage":
		writes[n].Body[40] ^= 1
	case "damaged tombstone":
		writes[n] = deleted(writes[n])
		writes[n].Body = []byte{0}
	}
	return writes
}

// Whatever is written of people, the catalog that followed holds whom and what one that opens everything now holds, their
// principals too, and no view changes once it is published.
func TestPeopleEqualRecords(t *testing.T) {
	ca, _ := newAnchorPEM(t)
	rapid.Check(t, func(t *rapid.T) {
		equalsRecords(t, dumpPeople, func(l *lab) []fsm.Write { return l.randomPerson(t, ca) })
	})
}

// newAnchorPEM makes a certificate authority and a client certificate of it.
func newAnchorPEM(t testing.TB) (ca string, client *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(77), Subject: pkix.Name{CommonName: "c"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if client, err = x509.ParseCertificate(raw); err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})), client
}

// mayEncrypt decides as the gate does what a principal may that its policies alone speak of.
func mayEncrypt(p *auth.Principal) bool {
	d := auth.Decide(&auth.Query{Principal: p, Operation: kms.OpGetUser, Action: "kms:Encrypt", Resource: "*", ResourceAccount: p.Account})
	return d.Allow()
}

// A record of people that does not open, or whose text does not parse, takes rights away and gives none: whoever depends
// on it may nothing until it is mended. Nothing crashes.
func TestUnreadablePeople(t *testing.T) {
	ca, cert := newAnchorPEM(t)
	user := func() *kms.Identity {
		return &kms.Identity{Account: peopleA, ID: "AIDAu", Type: kms.TypeUser, Name: "u", Inline: map[string]string{"p": allowsAll}, Attached: []string{policyARN(peopleA, "p")}, Groups: []string{"g"}, Boundary: policyARN(peopleA, "b")}
	}
	group := func() *kms.Identity {
		return &kms.Identity{Account: peopleA, ID: "AGPAg", Type: kms.TypeGroup, Name: "g"}
	}
	role := func() *kms.Identity {
		return &kms.Identity{Account: peopleA, ID: "AROAr", Type: kms.TypeRole, Name: "r", Trust: trustsAnchor, Attached: []string{policyARN(peopleA, "p")}, Boundary: policyARN(peopleA, "b")}
	}
	ways := map[string]func(v *View) bool{
		"user": func(v *View) bool { c, ok := v.Credential("AKu"); return ok && !c.Disabled && mayEncrypt(&c.Principal) },
		"role": func(v *View) bool { p, ok := v.Assumed(sessionOf(role())); return ok && mayEncrypt(p) },
		"certificate": func(v *View) bool {
			for _, a := range v.Anchors(peopleA) {
				p, ok := v.AssumedByCertificate(peopleA, a, "r", cert)
				return ok && mayEncrypt(p)
			}
			return false
		},
	}
	rows := []struct {
		name  string
		write func(l *lab) fsm.Write // mends it
		hits  string                 // whom it takes everything from
		text  func(l *lab) fsm.Write // with a text that does not parse; nil: there is none
	}{
		{"user", func(l *lab) fsm.Write { return l.writePerson(user()) }, "user", func(l *lab) fsm.Write {
			u := user()
			u.Inline["q"] = "nonsense"
			return l.writePerson(u)
		}},
		{"group", func(l *lab) fsm.Write { return l.writePerson(group()) }, "user", func(l *lab) fsm.Write {
			g := group()
			g.Inline = map[string]string{"q": `{"Version":"2099-01-01"}`}
			return l.writePerson(g)
		}},
		{"role", func(l *lab) fsm.Write { return l.writePerson(role()) }, "role certificate", func(l *lab) fsm.Write {
			r := role()
			r.Inline = map[string]string{"q": "nonsense"}
			return l.writePerson(r)
		}},
		{"policy", func(l *lab) fsm.Write { return l.writeManaged(peopleA, "p", allowsAll) }, "user role certificate", func(l *lab) fsm.Write { return l.writeManaged(peopleA, "p", "nonsense") }},
		{"boundary", func(l *lab) fsm.Write { return l.writeManaged(peopleA, "b", allowsAll) }, "user role certificate", func(l *lab) fsm.Write { return l.writeManaged(peopleA, "b", "") }},
		{"access key", func(l *lab) fsm.Write { return l.writeAccessKey("AKu", user()) }, "user", nil},
		{"anchor", func(l *lab) fsm.Write { return l.writeAnchor(peopleA, "t", ca, "r") }, "certificate", func(l *lab) fsm.Write { return l.writeAnchor(peopleA, "t", "nonsense", "r") }},
		{"account", func(l *lab) fsm.Write { return l.writeAccount(peopleA)[0] }, "user role certificate", nil},
	}
	for _, row := range rows {
		for _, how := range []string{"damaged", "gone", "a damaged tombstone", "text", "loaded"} {
			t.Run(row.name+"/"+how, func(t *testing.T) {
				if how == "text" && row.text == nil {
					t.Skip("it has no text")
				}
				l := newLab(t)
				defer l.close()
				for _, all := range rows {
					l.commit(all.write(l))
				}
				if how != "loaded" {
					l.unseal(l.Catalog)
					l.wantWays(ways, "", "at first")
				}
				w := row.write(l)
				switch how {
				case "damaged", "loaded":
					w.Body[40] ^= 1
				case "gone":
					w = deleted(w)
				case "a damaged tombstone":
					w = deleted(w)
					w.Body = []byte{0}
				case "text":
					w = row.text(l)
				}
				l.commit(w)
				if how == "loaded" {
					l.unseal(l.Catalog)
				}
				l.wantWays(ways, row.hits, how)
				l.commit(row.write(l))
				l.wantWays(ways, "", "mended")
				if n := l.Catalog.View().Unreadable(); n != 0 {
					t.Errorf("%d records are unreadable", n)
				}
			})
		}
	}
}

// wantWays fails unless every way leads to rights but those that are named.
func (l *lab) wantWays(ways map[string]func(*View) bool, closed, when string) {
	l.t.Helper()
	v := l.view()
	for name, open := range ways {
		for range 2 { // the second finds what the first left
			if got := open(v); got == strings.Contains(closed, name) {
				l.t.Fatalf("%s the way of a %s is open: %v", when, name, got)
			}
		}
	}
}

// What a view keeps of a principal is of that view: the next one tells what is changed, and the one before stays.
func TestPrincipalsAreOfTheirView(t *testing.T) {
	u := &kms.Identity{Account: peopleA, ID: "AIDAu", Type: kms.TypeUser, Name: "u", Attached: []string{policyARN(peopleA, "p")}, Groups: []string{"g"}}
	r := &kms.Identity{Account: peopleA, ID: "AROAr", Type: kms.TypeRole, Name: "r", Attached: []string{policyARN(peopleA, "p")}}
	g := &kms.Identity{Account: peopleA, ID: "AGPAg", Type: kms.TypeGroup, Name: "g", Attached: []string{policyARN(peopleA, "q")}}
	l := newLab(t)
	defer l.close()
	l.unseal(l.Catalog)
	l.commit(l.writeAccount(peopleA)...)
	l.commit(l.writePerson(u), l.writePerson(r), l.writePerson(g), l.writeAccessKey("AKu", u), l.writeManaged(peopleA, "p", allowsAll), l.writeManaged(peopleA, "q", allowsAll))
	s := sessionOf(r)
	read := func(v *View) (all [2]*auth.Principal) {
		c, ok := v.Credential("AKu")
		p, there := v.Assumed(s)
		if !ok || !there {
			t.Fatal("they are not there")
		}
		return [2]*auth.Principal{&c.Principal, p}
	}
	v := l.view()
	before := read(v)
	if again := read(v); again != before {
		t.Error("a view makes its principals again and again")
	}
	told := [2]string{tell(before[0]), tell(before[1])}
	tagged := *r
	tagged.Tags = map[string]string{"a": "b"}
	for _, step := range []struct {
		what    string
		write   func() fsm.Write
		changes [2]bool
	}{
		{"their policy", func() fsm.Write { return l.writeManaged(peopleA, "p", deniesAll) }, [2]bool{true, true}},
		{"the group's policy", func() fsm.Write { return l.writeManaged(peopleA, "q", deniesAll) }, [2]bool{true, false}},
		{"the group", func() fsm.Write { return l.writePerson(g) }, [2]bool{true, false}},
		{"the role", func() fsm.Write { return l.writePerson(&tagged) }, [2]bool{false, true}},
		{"the access key", func() fsm.Write { return l.writeAccessKey("AKu", u) }, [2]bool{true, false}},
		{"the account", func() fsm.Write { return l.writeAccount(peopleA)[0] }, [2]bool{true, true}},
	} {
		last := read(l.view())
		l.commit(step.write())
		next := read(l.view())
		for i := range next {
			if changed := tell(next[i]) != tell(last[i]); changed != step.changes[i] {
				t.Errorf("after %s was changed, principal %d is another: %v", step.what, i, changed)
			}
		}
		if old := read(v); tell(old[0]) != told[0] || tell(old[1]) != told[1] {
			t.Errorf("after %s was changed, the first view tells another principal", step.what)
		}
	}
	for _, p := range read(l.view()) {
		if mayEncrypt(p) {
			t.Error("who is denied may")
		}
	}
	for _, p := range before {
		if !mayEncrypt(p) {
			t.Error("the first principals are changed")
		}
	}
	// A session that another view kept its principal in is not answered from it.
	if p, _ := v.Assumed(s); !reflect.DeepEqual(p.Refs, before[1].Refs) {
		t.Error("the session's principal is that of another view")
	}
}

// Every way to a session of a role asks the role, as it is.
func TestAssumed(t *testing.T) {
	r := func(change func(*kms.Identity)) *kms.Identity {
		i := &kms.Identity{Account: peopleA, ID: "AROAr", Type: kms.TypeRole, Name: "r", Generation: 3, ValidFrom: testStamp, Tags: map[string]string{"Team": "red", "Place": "here"}}
		if change != nil {
			change(i)
		}
		return i
	}
	l := newLab(t)
	defer l.close()
	l.unseal(l.Catalog)
	l.commit(l.writeAccount(peopleA)...)
	session := func(change func(*auth.Session)) *auth.Session {
		s := sessionOf(r(nil))
		s.Generation, s.Tags = 3, map[string]string{"tEAM": "blue"}
		if change != nil {
			change(s)
		}
		return s
	}
	for _, row := range []struct {
		what string
		role *kms.Identity
		of   *auth.Session
		ok   bool
	}{
		{"right", r(nil), session(nil), true},
		{"another generation", r(func(i *kms.Identity) { i.Generation = 4 }), session(nil), false},
		{"a generation to come", r(nil), session(func(s *auth.Session) { s.Generation = 4 }), false},
		{"issued before", r(nil), session(func(s *auth.Session) { s.Issued-- }), false},
		{"a role of the name", r(func(i *kms.Identity) { i.ID = "AROAother" }), session(nil), false},
		{"disabled", r(func(i *kms.Identity) { i.Disabled = true }), session(nil), false},
		{"of another account", r(nil), session(func(s *auth.Session) { s.Account = "222222222222" }), false},
		{"of another role", r(nil), session(func(s *auth.Session) { s.Role = "none" }), false},
		{"of a user", r(nil), session(func(s *auth.Session) { s.Role, s.RoleID = "", peopleA }), false},
	} {
		l.commit(l.writePerson(row.role))
		v := l.view()
		p, ok := v.Assumed(row.of)
		if ok != row.ok {
			t.Errorf("%s: %v", row.what, ok)
		}
		if ok && (!reflect.DeepEqual(p.Tags, map[string]string{"tEAM": "blue", "Place": "here"}) || p.Role != "arn:aws:iam::"+peopleA+":role/r" || p.Session != row.of) {
			t.Errorf("%s: %+v", row.what, p)
		}
	}
}

// A token is read by the cluster that gave it and for as long as it is unsealed; its secret is wiped then.
func TestSessionTokens(t *testing.T) {
	l, other := newLab(t), newLab(t)
	defer l.close()
	defer other.close()
	l.unseal(l.Catalog)
	other.unseal(other.Catalog)
	s := sessionOf(&kms.Identity{Account: peopleA, ID: "AROAr", Name: "r"})
	s.Secret = []byte(strings.Repeat("s", 40))
	token, err := l.view().SealSession(s)
	if err != nil {
		t.Fatal(err)
	}
	opened, ok := l.view().Session(token)
	if !ok || opened.RoleID != s.RoleID || string(opened.Secret) != string(s.Secret) {
		t.Fatalf("opened %+v", opened)
	}
	if again, _ := l.view().Session(token); again != opened {
		t.Error("the token is opened twice")
	}
	if _, ok := other.view().Session(token); ok {
		t.Error("another cluster opens it")
	}
	l.Catalog.Seal()
	for _, b := range opened.Secret {
		if b != 0 {
			t.Fatal("the secret outlives the seal")
		}
	}
}
