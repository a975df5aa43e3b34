package integration

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/auth/oidc/oidctest"
	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/server"
)

// things are the names of a tenant's objects, as another tenant may have learned them.
type things struct {
	key, keyARN, alias, aliasARN string
	ciphertext                   []byte
	keyMarker, aliasMarker       string // next_marker of a listing
	belongings
}

// keyForms are the ways to name a key.
var keyForms = map[string]func(*things) string{
	"key id":    func(t *things) string { return t.key },
	"key ARN":   func(t *things) string { return t.keyARN },
	"alias":     func(t *things) string { return t.alias },
	"alias ARN": func(t *things) string { return t.aliasARN },
}

// tenant is an account with a client on each node.
type tenant struct {
	account string
	nodes   []*client.Client
	own     things
	keys    []string // of the account, sorted
}

func newTenant(t *testing.T, c *cluster.Cluster, name string) *tenant {
	t.Helper()
	ctx := background(t)
	a, err := c.Client().CreateAccount(ctx, &kms.CreateAccountRequest{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	n := &tenant{account: a.Account.AccountID}
	n.own.rootKey = a.AccessKeyID
	for _, node := range c.Nodes {
		n.nodes = append(n.nodes, c.NewClient(a.AccessKeyID, string(a.SecretAccessKey), node))
	}
	cl := n.nodes[0]
	for range 3 {
		n.keys = append(n.keys, createKey(t, cl, "of "+name))
	}
	slices.Sort(n.keys)
	n.own.key, n.own.alias = n.keys[0], "alias/"+name+"/only-here"
	key, err := cl.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: n.own.key})
	if err != nil {
		t.Fatal(err)
	}
	n.own.keyARN = key.Key.ARN
	for _, alias := range []string{n.own.alias, "alias/" + name + "/second"} {
		a, err := cl.CreateAlias(ctx, &kms.CreateAliasRequest{AliasName: alias, TargetKeyID: n.own.key})
		if err != nil {
			t.Fatal(err)
		}
		if alias == n.own.alias {
			n.own.aliasARN = a.Alias.AliasARN
		}
	}
	e, err := cl.Encrypt(ctx, &kms.EncryptRequest{KeyID: n.own.key, Plaintext: []byte("of " + name)})
	if err != nil {
		t.Fatal(err)
	}
	n.own.ciphertext = e.CiphertextBlob
	keys, err := cl.ListKeys(ctx, &kms.ListRequest{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	aliases, err := cl.ListAliases(ctx, &kms.ListAliasesRequest{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	if n.own.keyMarker, n.own.aliasMarker = keys.NextMarker, aliases.NextMarker; n.own.keyMarker == "" || n.own.aliasMarker == "" {
		t.Fatal("a listing of one entry has no next page")
	}
	return n
}

// invented returns what is like t, of objects that nobody has.
func (t *things) invented() *things {
	n, raw := t.inventedNames()
	n.ciphertext = bytes.Clone(t.ciphertext)
	real, _ := kms.KeyIDBytes(t.key)
	copy(n.ciphertext[bytes.Index(n.ciphertext, real[:]):], raw[:])
	n.keyMarker = rand.Text() + rand.Text()
	n.aliasMarker, n.belongings = n.keyMarker, t.inventedBelongings()
	return n
}

// inventedNames returns names like those of t, of a key that nobody has.
func (t *things) inventedNames() (*things, [16]byte) {
	var raw [16]byte
	rand.Read(raw[:])
	id, alias := kms.KeyIDFromBytes(raw), "alias/"+rand.Text()
	if kms.IsMultiRegionID(t.key) {
		id = kms.MultiRegionIDFromBytes(raw)
	}
	return &things{key: id, keyARN: strings.ReplaceAll(t.keyARN, t.key, id), alias: alias, aliasARN: strings.ReplaceAll(t.aliasARN, t.alias, alias)}, raw
}

// try is a use of somebody else's things.
type try struct {
	what string
	do   func(ctx context.Context, by *tenant, cl *client.Client, of *things) error
}

// byKey tries every way to name a key.
func byKey(do func(ctx context.Context, cl *client.Client, key string) error) (all []try) {
	for form, name := range keyForms {
		all = append(all, try{form, func(ctx context.Context, _ *tenant, cl *client.Client, of *things) error {
			return do(ctx, cl, name(of))
		}})
	}
	return all
}

// tries holds, for each operation that can name an object of an account, what a stranger might do; strangers_test.go
// has most of them.
func tries() map[*kms.Operation][]try {
	all := map[*kms.Operation][]try{
		kms.OpDescribeKey: byKey(func(ctx context.Context, cl *client.Client, key string) error {
			_, err := cl.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: key})
			return err
		}),
		kms.OpEnableKey: byKey(func(ctx context.Context, cl *client.Client, key string) error {
			_, err := cl.EnableKey(ctx, &kms.KeyRequest{KeyID: key})
			return err
		}),
		kms.OpDisableKey: byKey(func(ctx context.Context, cl *client.Client, key string) error {
			_, err := cl.DisableKey(ctx, &kms.KeyRequest{KeyID: key})
			return err
		}),
		kms.OpGetKeyPolicy: byKey(func(ctx context.Context, cl *client.Client, key string) error {
			_, err := cl.GetKeyPolicy(ctx, &kms.KeyRequest{KeyID: key})
			return err
		}),
		kms.OpEncrypt: byKey(func(ctx context.Context, cl *client.Client, key string) error {
			_, err := cl.Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x")})
			return err
		}),
		kms.OpGenerateDataKey: byKey(func(ctx context.Context, cl *client.Client, key string) error {
			_, err := cl.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: key, KeySpec: kms.DataKeyAES256})
			return err
		}),
		kms.OpGenerateDataKeyWithoutPlaintext: byKey(func(ctx context.Context, cl *client.Client, key string) error {
			_, err := cl.GenerateDataKeyWithoutPlaintext(ctx, &kms.GenerateDataKeyRequest{KeyID: key, KeySpec: kms.DataKeyAES256})
			return err
		}),
		kms.OpDecrypt:     decryptTries(),
		kms.OpReEncrypt:   reEncryptTries(),
		kms.OpCreateAlias: createAliasTries(),
		kms.OpUpdateAlias: {
			{"its alias to an own key", func(ctx context.Context, by *tenant, cl *client.Client, of *things) error {
				_, err := cl.UpdateAlias(ctx, &kms.UpdateAliasRequest{AliasName: of.alias, TargetKeyID: by.own.key})
				return err
			}},
			{"an own alias to its key", func(ctx context.Context, by *tenant, cl *client.Client, of *things) error {
				_, err := cl.UpdateAlias(ctx, &kms.UpdateAliasRequest{AliasName: by.own.alias, TargetKeyID: of.key})
				return err
			}},
			{"an own alias to its key ARN", func(ctx context.Context, by *tenant, cl *client.Client, of *things) error {
				_, err := cl.UpdateAlias(ctx, &kms.UpdateAliasRequest{AliasName: by.own.alias, TargetKeyID: of.keyARN})
				return err
			}},
		},
		kms.OpDeleteAlias: {{"its alias", func(ctx context.Context, _ *tenant, cl *client.Client, of *things) error {
			return cl.DeleteAlias(ctx, &kms.DeleteAliasRequest{AliasName: of.alias})
		}}},
		kms.OpLookupEvents: {{"its alias", func(ctx context.Context, _ *tenant, cl *client.Client, of *things) error {
			_, err := cl.LookupEvents(ctx, &kms.LookupEventsRequest{KeyID: of.aliasARN})
			return err
		}}},
		kms.OpListKeys: {{"its marker", func(ctx context.Context, _ *tenant, cl *client.Client, of *things) error {
			_, err := cl.ListKeys(ctx, &kms.ListRequest{Marker: of.keyMarker})
			return err
		}}},
		kms.OpGetResources: {{"its marker", func(ctx context.Context, _ *tenant, cl *client.Client, of *things) error {
			_, err := cl.GetResources(ctx, &kms.GetResourcesRequest{PaginationToken: of.keyMarker})
			return err
		}}},
		kms.OpListAliases: {
			{"its marker", func(ctx context.Context, _ *tenant, cl *client.Client, of *things) error {
				_, err := cl.ListAliases(ctx, &kms.ListAliasesRequest{Marker: of.aliasMarker})
				return err
			}},
			{"those of its key", func(ctx context.Context, _ *tenant, cl *client.Client, of *things) error {
				_, err := cl.ListAliases(ctx, &kms.ListAliasesRequest{KeyID: of.key})
				return err
			}},
			{"those of its key ARN", func(ctx context.Context, _ *tenant, cl *client.Client, of *things) error {
				_, err := cl.ListAliases(ctx, &kms.ListAliasesRequest{KeyID: of.keyARN})
				return err
			}},
		},
	}
	maps.Copy(all, moreTries())
	all[kms.OpEncrypt] = append(all[kms.OpEncrypt], with("", func(ctx context.Context, cl *client.Client, key string, of *things) error {
		return failed(cl.Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x"), GrantTokens: []string{of.grantToken}}))
	})...)
	all[kms.OpDecrypt] = append(all[kms.OpDecrypt], try{"its ciphertext and grant token", func(ctx context.Context, _ *tenant, cl *client.Client, of *things) error {
		return failed(cl.Decrypt(ctx, &kms.DecryptRequest{CiphertextBlob: of.ciphertext, GrantTokens: []string{of.grantToken}}))
	}})
	return all
}

func decryptTries() []try {
	all := []try{
		{"its ciphertext", func(ctx context.Context, _ *tenant, cl *client.Client, of *things) error {
			_, err := cl.Decrypt(ctx, &kms.DecryptRequest{CiphertextBlob: of.ciphertext})
			return err
		}},
		{"its ciphertext with an own key", func(ctx context.Context, by *tenant, cl *client.Client, of *things) error {
			_, err := cl.Decrypt(ctx, &kms.DecryptRequest{KeyID: by.own.key, CiphertextBlob: of.ciphertext})
			return err
		}},
	}
	for form, name := range keyForms {
		all = append(all, try{"its ciphertext with its " + form, func(ctx context.Context, _ *tenant, cl *client.Client, of *things) error {
			_, err := cl.Decrypt(ctx, &kms.DecryptRequest{KeyID: name(of), CiphertextBlob: of.ciphertext})
			return err
		}})
	}
	return all
}

func reEncryptTries() []try {
	all := []try{{"its ciphertext to an own key", func(ctx context.Context, by *tenant, cl *client.Client, of *things) error {
		_, err := cl.ReEncrypt(ctx, &kms.ReEncryptRequest{KeyID: by.own.key, CiphertextBlob: of.ciphertext})
		return err
	}}}
	for form, name := range keyForms {
		all = append(all,
			try{"an own ciphertext to its " + form, func(ctx context.Context, by *tenant, cl *client.Client, of *things) error {
				_, err := cl.ReEncrypt(ctx, &kms.ReEncryptRequest{KeyID: name(of), CiphertextBlob: by.own.ciphertext})
				return err
			}},
			try{"from its " + form, func(ctx context.Context, by *tenant, cl *client.Client, of *things) error {
				_, err := cl.ReEncrypt(ctx, &kms.ReEncryptRequest{KeyID: by.own.key, SourceKeyID: name(of), CiphertextBlob: of.ciphertext})
				return err
			}})
	}
	return all
}

func createAliasTries() (all []try) {
	for _, form := range []string{"key id", "key ARN"} {
		all = append(all, try{"of its " + form, func(ctx context.Context, _ *tenant, cl *client.Client, of *things) error {
			_, err := cl.CreateAlias(ctx, &kms.CreateAliasRequest{AliasName: "alias/thief", TargetKeyID: keyForms[form](of)})
			return err
		}})
	}
	return all
}

// forOperators holds what tenants ask of the cluster.
func forOperators(victim *tenant, node string) map[*kms.Operation]func(context.Context, *client.Client) error {
	return map[*kms.Operation]func(context.Context, *client.Client) error{
		kms.OpCreateAccount: func(ctx context.Context, cl *client.Client) error {
			_, err := cl.CreateAccount(ctx, &kms.CreateAccountRequest{})
			return err
		},
		kms.OpListAccounts: func(ctx context.Context, cl *client.Client) error {
			_, err := cl.ListAccounts(ctx, &kms.ListRequest{})
			return err
		},
		kms.OpDisableAccount: func(ctx context.Context, cl *client.Client) error {
			_, err := cl.DisableAccount(ctx, &kms.AccountRequest{AccountID: victim.account})
			return err
		},
		kms.OpGetSetting: func(ctx context.Context, cl *client.Client) error {
			_, err := cl.GetSetting(ctx, &kms.SettingRequest{Name: kms.SettingRevocationBound})
			return err
		},
		kms.OpPutSetting: func(ctx context.Context, cl *client.Client) error {
			_, err := cl.PutSetting(ctx, &kms.PutSettingRequest{Name: kms.SettingRevocationBound, Value: "1h"})
			return err
		},
		kms.OpGetAuditCheckpoint: func(ctx context.Context, cl *client.Client) error { _, err := cl.GetAuditCheckpoint(ctx); return err },
		kms.OpReadMembers:        func(ctx context.Context, cl *client.Client) error { _, err := cl.Members(ctx); return err },
		kms.OpAllowMember: func(ctx context.Context, cl *client.Client) error {
			return cl.AllowMember(ctx, &kms.AllowMemberRequest{Name: "stranger"})
		},
		kms.OpRemoveMember: func(ctx context.Context, cl *client.Client) error {
			return cl.RemoveMember(ctx, &kms.RemoveMemberRequest{Name: node})
		},
		kms.OpSeal: func(ctx context.Context, cl *client.Client) error {
			_, err := cl.Seal(ctx, &kms.SealRequest{Cluster: true})
			return err
		},
	}
}

// namesNobody are the operations whose request names no object: what they answer is checked instead.
var namesNobody = []*kms.Operation{kms.OpCreateKey, kms.OpGenerateRandom, kms.OpGetCallerIdentity, kms.OpGetSessionToken,
	kms.OpCreateCustomKeyStore, kms.OpUpdateCustomKeyStore, kms.OpDeleteCustomKeyStore, kms.OpConnectCustomKeyStore, kms.OpDisconnectCustomKeyStore, // there are no stores
	kms.OpDescribeCustomKeyStores,
	kms.OpCreateGroup, kms.OpCreatePolicy, kms.OpCreateOIDCProvider, kms.OpCreateTrustAnchor, kms.OpListOIDCProviders, kms.OpListTrustAnchors}

// TestTenantsAreApart lets two tenants walk every operation there is against each other's objects, on
// every node: all is refused, in the same words as for objects that do not exist, and nothing changes.
func TestTenantsAreApart(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Config: func(_ int, c *server.Config) { c.Regions = []string{"us-east-1", "eu-west-1"} }})
	a, b := newTenant(t, c, "first"), newTenant(t, c, "second")
	a.equip(t, true)
	b.equip(t, false)
	issuer := oidctest.New(t)
	a.populate(t, issuer)
	b.populate(t, issuer)
	before := [2]string{a.all(t), b.all(t)}
	strangers, operators := tries(), forOperators(a, c.Nodes[0].Name)
	ctx := background(t)
	for _, pair := range [][2]*tenant{{a, b}, {b, a}} {
		by, victim := pair[0], pair[1]
		nobody := victim.own.invented()
		for i, op := range kms.Operations {
			ask, hasTry := operators[op]
			switch {
			case op.Resource == kms.ResourceCluster && !hasTry,
				op.Resource != kms.ResourceCluster && strangers[op] == nil && !slices.Contains(namesNobody, op):
				t.Errorf("no tenant tries %s", op.Name)
			case hasTry:
				for _, cl := range by.nodes {
					if err := ask(ctx, cl); kms.CodeOf(err) != kms.CodeAccessDenied {
						t.Errorf("%s by a tenant: %v", op.Name, err)
					}
				}
			}
			for k, try := range strangers[op] {
				cl := by.nodes[(i+k)%len(by.nodes)]
				real, invented := try.do(ctx, by, cl, &victim.own), try.do(ctx, by, cl, nobody)
				if real == nil || invented == nil {
					t.Errorf("%s of %s: %v; of what nobody has: %v", op.Name, try.what, real, invented)
					continue
				}
				switch kms.CodeOf(real) {
				case kms.CodeAccessDenied, kms.CodeNotFound, kms.CodeIncorrectKey, kms.CodeValidation, kms.CodeInvalidKeyID, kms.CodeInvalidMarker, kms.CodeInvalidImportToken,
					kms.CodeInvalidARN, kms.CodeMalformedPolicy:
				default:
					t.Errorf("%s of %s: %v", op.Name, try.what, real)
				}
				if x, y := told(real, &victim.own), told(invented, nobody); x != y {
					t.Errorf("%s of %s tells what exists:\n%s\n%s", op.Name, try.what, x, y)
				}
			}
		}
		by.seesItself(t, victim)
	}
	if after := [2]string{a.all(t), b.all(t)}; after != before {
		t.Errorf("objects have changed, from\n%s\nto\n%s", before, after)
	}
	a.namesStrangers(t, b)
}

// told is what an error tells beside the names that the caller sent.
func told(err error, sent *things) string {
	var e *kms.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	var names []string
	for _, n := range slices.AppendSeq([]*things{sent}, maps.Values(sent.kinds)) {
		names = append(names, n.keyARN, "KEY", n.key, "KEY", n.aliasARN, "ALIAS", n.alias, "ALIAS")
	}
	if sent.grantID != "" {
		names = append(names, sent.grantID, "GRANT")
	}
	for _, n := range []string{sent.name, sent.accessKey, sent.rootKey, sent.issuer} {
		if n != "" {
			names = append(names, n, "NAME")
		}
	}
	return strings.NewReplacer(names...).
		Replace(string(e.Code) + " " + e.Reason + " " + e.Message)
}

// all describes everything of the account as the tenant sees it, on a node of its choice.
func (n *tenant) all(t *testing.T) string {
	t.Helper()
	ctx := background(t)
	var all []any
	add := func(v any, err error) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	cl := n.nodes[1]
	keys, err := cl.ListKeys(ctx, &kms.ListRequest{})
	add(keys, err)
	for _, k := range keys.Keys {
		d, err := cl.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: k.KeyID})
		if err == nil { // the tenant's own uses are not the matter
			d.Key.LastUse, d.Key.RecentCallers = nil, nil
		}
		add(d, err)
		g, err := cl.ListGrants(ctx, &kms.ListGrantsRequest{KeyID: k.KeyID})
		add(g, err)
		tags, err := cl.ListResourceTags(ctx, &kms.KeyListRequest{KeyID: k.KeyID})
		add(tags, err)
		if rotates := d.Key.KeySpec == kms.SymmetricDefault && d.Key.Origin == kms.OriginAWSKMS; rotates {
			r, err := cl.GetKeyRotationStatus(ctx, &kms.KeyRequest{KeyID: k.KeyID})
			add(r, err)
		}
		p, err := cl.GetKeyPolicy(ctx, &kms.KeyRequest{KeyID: k.KeyID})
		add(p, err)
	}
	aliases, err := cl.ListAliases(ctx, &kms.ListAliasesRequest{})
	add(aliases, err)
	all = append(all, n.people(t))
	d, err := cl.Decrypt(ctx, &kms.DecryptRequest{CiphertextBlob: n.own.ciphertext})
	add(d, err)
	text, err := json.Marshal(all)
	add(nil, err)
	return string(text)
}

// seesItself checks what the operations that name nobody answer, and that equal names do not meet.
func (n *tenant) seesItself(t *testing.T, other *tenant) {
	t.Helper()
	ctx := background(t)
	for _, cl := range n.nodes {
		who, err := cl.GetCallerIdentity(ctx)
		if err != nil || who.Account != n.account || !strings.Contains(who.ARN, n.account) {
			t.Errorf("the caller is %+v, %v", who, err)
		}
		grants, err := cl.ListRetirableGrants(ctx, &kms.ListRetirableGrantsRequest{RetiringPrincipal: other.root()})
		if err != nil || len(grants.Grants) > 0 {
			t.Errorf("what the other tenant may retire: %+v, %v", grants, err)
		}
		page, err := cl.ListKeys(ctx, &kms.ListRequest{})
		if err != nil {
			t.Fatal(err)
		}
		n.hasNoKeyStores(t, cl)
		var ids []string
		for _, k := range page.Keys {
			ids = append(ids, k.KeyID)
		}
		if slices.Sort(ids); !slices.Equal(ids, n.keys) {
			t.Errorf("listed are %v, own are %v", ids, n.keys)
		}
		aliases, err := cl.ListAliases(ctx, &kms.ListAliasesRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, alias := range aliases.Aliases {
			if !slices.Contains(n.keys, alias.TargetKeyID) {
				t.Errorf("the alias %s is listed", alias.AliasName)
			}
		}
	}
	if people := n.people(t); strings.Contains(people, other.account) || strings.Contains(people, other.own.name) {
		t.Errorf("of the other tenant is listed: %s", people)
	}
	n.sameNames(t, other)
	cl := n.nodes[2]
	made, err := cl.CreateAlias(ctx, &kms.CreateAliasRequest{AliasName: other.own.alias, TargetKeyID: n.own.key})
	if err != nil || made.Alias.TargetKeyID != n.own.key || !strings.Contains(made.Alias.AliasARN, n.account) {
		t.Errorf("an alias that only the other tenant has: %+v, %v", made, err)
	}
	d, err := other.nodes[0].DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: other.own.alias})
	if err != nil || d.Key.KeyID != other.own.key {
		t.Errorf("the other tenant's alias then: %+v, %v", d, err)
	}
	if err := cl.DeleteAlias(ctx, &kms.DeleteAliasRequest{AliasName: other.own.alias}); err != nil {
		t.Error(err)
	}
}

// hasNoKeyStores sees that no key store outside the cluster is made, changed or listed, whatever name it has.
func (n *tenant) hasNoKeyStores(t *testing.T, cl *client.Client) {
	t.Helper()
	ctx, id := background(t), "cks-"+rand.Text()
	stores, err := cl.DescribeCustomKeyStores(ctx, &kms.DescribeCustomKeyStoresRequest{})
	if err != nil || stores.CustomKeyStores == nil || len(stores.CustomKeyStores) > 0 {
		t.Errorf("the key stores are %+v, %v", stores, err)
	}
	if _, err := cl.DescribeCustomKeyStores(ctx, &kms.DescribeCustomKeyStoresRequest{CustomKeyStoreID: id}); kms.CodeOf(err) != kms.CodeCustomKeyStoreNotFound {
		t.Errorf("one key store: %v", err)
	}
	one := &kms.CustomKeyStoreRequest{CustomKeyStoreID: id}
	_, created := cl.CreateCustomKeyStore(ctx, &kms.CreateCustomKeyStoreRequest{CustomKeyStoreName: id})
	for what, err := range map[string]error{
		"create": created, "update": cl.UpdateCustomKeyStore(ctx, &kms.UpdateCustomKeyStoreRequest{CustomKeyStoreID: id}),
		"delete": cl.DeleteCustomKeyStore(ctx, one), "connect": cl.ConnectCustomKeyStore(ctx, one), "disconnect": cl.DisconnectCustomKeyStore(ctx, one),
	} {
		if kms.CodeOf(err) != kms.CodeUnsupported {
			t.Errorf("%s a key store: %v", what, err)
		}
	}
}

// TestTenantsIdempotencyKeysAreApart uses one idempotency key in two accounts: two keys are made.
func TestTenantsIdempotencyKeysAreApart(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Nodes: 1})
	a, b := newTenant(t, c, "first"), newTenant(t, c, "second")
	token := client.IdempotencyKey(rand.Text())
	ctx := background(t)
	made := map[string]bool{}
	for _, n := range []*tenant{a, b, a, b} {
		k, err := n.nodes[0].CreateKey(ctx, &kms.CreateKeyRequest{Description: "one request"}, token)
		if err != nil || k.Key.AccountID != n.account {
			t.Fatalf("%+v, %v", k, err)
		}
		made[k.Key.KeyID] = true
	}
	if len(made) != 2 {
		t.Errorf("%d keys were made", len(made))
	}
}

// TestDisabledAccount disables an account with wait=all: when that returns, no node serves it, and it
// is refused in the words that an unknown access key is refused in.
func TestDisabledAccount(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	bound(t, c, "1h") // a wait for a lease's end would fail
	a, b := newTenant(t, c, "leaves"), newTenant(t, c, "stays")
	ctx := background(t)
	use := func(n *tenant, i int) []error {
		_, encrypt := n.nodes[i].Encrypt(ctx, &kms.EncryptRequest{KeyID: n.own.key, Plaintext: []byte("x")})
		_, decrypt := n.nodes[i].Decrypt(ctx, &kms.DecryptRequest{CiphertextBlob: n.own.ciphertext})
		_, random := n.nodes[i].GenerateRandom(ctx, &kms.GenerateRandomRequest{NumberOfBytes: new(32)})
		_, list := n.nodes[i].ListKeys(ctx, &kms.ListRequest{})
		_, stale := n.nodes[i].ListKeys(ctx, &kms.ListRequest{}, client.Stale())
		_, create := n.nodes[i].CreateKey(ctx, &kms.CreateKeyRequest{})
		_, who := n.nodes[i].GetCallerIdentity(ctx)
		return []error{encrypt, decrypt, random, list, stale, create, who}
	}
	for i := range c.Nodes {
		if err := errors.Join(append(use(a, i), use(b, i)...)...); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Nodes[0].Client().DisableAccount(ctx, &kms.AccountRequest{AccountID: a.account}, client.WaitAll(0)); err != nil {
		t.Fatal(err)
	}
	_, unknown := c.NewClient("AKIA"+rand.Text()[:16], rand.Text(), c.Nodes[0]).GetCallerIdentity(ctx)
	mustCode(t, unknown, kms.CodeUnauthenticated)
	for i, n := range c.Nodes {
		for k, err := range use(a, i) {
			if told(err, &a.own) != told(unknown, &a.own) {
				t.Errorf("%s, request %d of a disabled account: %v, of an unknown access key: %v", n.Name, k, err, unknown)
			}
		}
		if err := errors.Join(use(b, i)...); err != nil {
			t.Errorf("%s, the other account: %v", n.Name, err)
		}
	}
}
