package service_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"pgregory.net/rapid"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// history is a random life of many keys, made through two nodes.
type history struct {
	t     *rapid.T
	c     *servicetest.Cluster
	nodes []*servicetest.Node // two; the second lags and is replaced now and then
	alice servicetest.Credentials
	wrap  *wrapping

	keys      []place
	spec      map[string]kms.KeySpec
	products  []product
	materials map[string][]byte // of external keys, what was imported, by material id
	grants    map[place][]string
	steps     []string // what was done, for a failure's message
	passed    time.Duration
}

// now is log time: every command of the log moves it by a millisecond.
func (h *history) now() int64 {
	return servicetest.Epoch + h.passed.Milliseconds() + int64(h.c.State().Index())
}

// place is one key in one region.
type place struct{ id, region string }

// product is what a key made of message.
type product struct {
	key   string
	bytes []byte
}

// wrapping is one RSA key for all imports: making one for each would take longer than everything else.
type wrapping struct {
	private []byte
	public  *rsa.PublicKey
}

// token makes an import token as the cluster would give it, for the wrapping key that is there already.
func (w *wrapping) token(v *catalog.View, arn string, now int64) ([]byte, error) {
	plain, err := cbor.Marshal(map[int]any{0: 1, 1: arn, 2: kms.WrapRSAESOAEPSHA256, 3: w.private, 4: now + 1<<40})
	if err != nil {
		return nil, err
	}
	return v.SealToken("import", nil, plain)
}

// harmless are the refusals that any operation may meet in a random history. Whatever else comes is a fault.
var harmless = []kms.Code{"", kms.CodeNotFound, kms.CodeAlreadyExists, kms.CodeInvalidState, kms.CodeKeyDisabled, kms.CodeUnsupported, kms.CodeValidation,
	kms.CodeLimitExceeded, kms.CodeIncorrectKeyMaterial, kms.CodeAccessDenied}

// do calls an operation in a region on a node.
func (h *history) do(n *servicetest.Node, region string, op *kms.Operation, request any) (any, error) {
	call := servicetest.Call(h.alice, op, request)
	call.Region = region
	result, err := n.Service.Do(h.t.Context(), call)
	if op.Crypto && kms.CodeOf(err) == kms.CodeUnavailable { // material went, and the catalog has not followed yet
		if err := n.CatchUp(h.t.Context()); err != nil {
			h.fail("%v", err)
		}
		result, err = n.Service.Do(h.t.Context(), call)
	}
	code := kms.CodeOf(err)
	h.steps = append(h.steps, fmt.Sprintf("%s: %s in %s: %q: %.150s", n.Name, op.Name, region, code, fmt.Sprintf("%+v", request)))
	if !slices.Contains(harmless, code) {
		h.fail("%s on %s: %v", op.Name, n.Name, err)
	}
	if err != nil {
		return nil, err
	}
	return result.Answer, nil
}

func (h *history) fail(format string, args ...any) {
	h.t.Helper()
	h.t.Fatalf("%s\nafter\n%s", fmt.Sprintf(format, args...), strings.Join(h.steps, "\n"))
}

// must calls an operation that has to succeed.
func (h *history) must(n *servicetest.Node, region string, op *kms.Operation, request any) any {
	h.t.Helper()
	answer, err := h.do(n, region, op, request)
	if err != nil {
		h.fail("%s on %s: %v", op.Name, n.Name, err)
	}
	return answer
}

func (p place) scope() kms.Scope { return kms.Scope{Account: aliceID, Region: p.region} }

// key returns a key as a node that holds everything has it, nil when it is gone.
func (h *history) key(n *servicetest.Node, p place) *catalog.Key {
	if err := n.CatchUp(h.t.Context()); err != nil {
		h.fail("%v", err)
	}
	raw, err := kms.KeyIDBytes(p.id)
	if err != nil {
		h.fail("%v", err)
	}
	k, err := n.Catalog.View().Key(p.scope(), raw)
	if err == catalog.ErrNotFound {
		return nil
	}
	if err != nil {
		h.fail("%v", err)
	}
	return k
}

// kinds are the keys of a history.
var kinds = []*kms.CreateKeyRequest{symmetricKey, macKey, externalKey, regionalKey, {MultiRegion: true, Origin: kms.OriginExternal}}

func (h *history) create(n *servicetest.Node) {
	q := rapid.SampledFrom(kinds).Draw(h.t, "kind")
	k := h.must(n, firstRegion, kms.OpCreateKey, q).(*kms.KeyAnswer).Key
	h.keys = append(h.keys, place{k.KeyID, firstRegion})
	h.spec[k.KeyID] = k.KeySpec
	if q.Origin == kms.OriginExternal && rapid.IntRange(0, 3).Draw(h.t, "import") > 0 {
		h.bring(n, place{k.KeyID, firstRegion}, h.newMaterial(), "", false)
	}
}

func (h *history) newMaterial() []byte {
	return []byte(rapid.StringMatching(`[a-z]{32}`).Draw(h.t, "material"))
}

// bring imports material.
func (h *history) bring(n *servicetest.Node, p place, plain []byte, how kms.ImportType, expires bool) error {
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, h.wrap.public, plain, nil)
	if err != nil {
		h.fail("%v", err)
	}
	now := h.now()
	token, err := h.wrap.token(n.Catalog.View(), kms.ARN("aws", p.scope(), "key/"+p.id), now)
	if err != nil {
		h.fail("%v", err)
	}
	q := &kms.ImportKeyMaterialRequest{KeyID: p.id, ImportToken: token, EncryptedKeyMaterial: wrapped, ExpirationModel: kms.MaterialDoesNotExpire, ImportType: how}
	if expires {
		q.ExpirationModel, q.ValidTo = kms.MaterialExpires, ptr(kms.Time(now).Add(60*days))
	}
	answer, err := h.do(n, p.region, kms.OpImportKeyMaterial, q)
	if err == nil {
		h.materials[answer.(*kms.KeyMaterialAnswer).KeyMaterialID] = plain
	}
	return err
}

// use makes something with a key.
func (h *history) use(n *servicetest.Node, p place) {
	if h.spec[p.id] == kms.HMAC256 {
		if a, err := h.do(n, p.region, kms.OpGenerateMac, macRequest(&topic{name: p.id})); err == nil {
			h.products = append(h.products, product{p.id, a.(*kms.GenerateMacAnswer).Mac})
		}
		return
	}
	if a, err := h.do(n, p.region, kms.OpEncrypt, &kms.EncryptRequest{KeyID: p.id, Plaintext: []byte(message)}); err == nil {
		h.products = append(h.products, product{p.id, a.(*kms.EncryptAnswer).CiphertextBlob})
	}
}

// works checks that a key serves for what was made with it.
func (h *history) works(n *servicetest.Node, p place, one product) {
	h.t.Helper()
	if h.spec[p.id] == kms.HMAC256 {
		h.must(n, p.region, kms.OpVerifyMac, &kms.VerifyMacRequest{KeyID: p.id, Message: []byte(message), Mac: one.bytes, MacAlgorithm: kms.HMACSHA256})
		return
	}
	a := h.must(n, p.region, kms.OpDecrypt, &kms.DecryptRequest{KeyID: p.id, CiphertextBlob: one.bytes})
	if got := a.(*kms.DecryptAnswer).Plaintext; string(got) != message {
		h.fail("decrypted %q", got)
	}
}

// work lets time pass and does what is due: of the keys those whose day has come are destroyed, and no others.
func (h *history) work(n *servicetest.Node, passes time.Duration) {
	h.c.Advance(passes)
	h.steps = append(h.steps, fmt.Sprintf("%s: %v later", n.Name, passes))
	h.passed += passes
	now := h.now()
	doomed := map[place]bool{}
	there := map[place]bool{}
	for _, p := range h.keys {
		if k := h.key(n, p); k != nil {
			there[p] = true
			doomed[p] = k.State == kms.StatePendingDeletion && k.Deletion <= now
		}
	}
	if err := n.RunDue(h.t.Context()); err != nil {
		h.fail("RunDue on %s: %v", n.Name, err)
	}
	h.keys = slices.DeleteFunc(h.keys, func(p place) bool {
		gone := h.key(n, p) == nil
		if there[p] && gone && !doomed[p] || gone != !there[p] && !doomed[p] || doomed[p] && !gone {
			h.fail("%v is gone: %v, its day has come: %v", p, gone, doomed[p])
		}
		return gone
	})
}

// whats are the numbers of what step does, those that other things wait for more often.
var whats = []int{0, 1, 2, 3, 4, 5, 6, 6, 6, 7, 8, 8, 9, 9, 10, 11, 11, 12, 12, 13, 13, 14, 15, 16, 17, 17, 18, 18, 19, 20, 20, 20, 21, 21, 22, 22, 22, 23, 23, 24, 24, 25, 26}

// step does one random thing.
func (h *history) step() {
	n := h.nodes[rapid.IntRange(0, 1).Draw(h.t, "node")]
	what := rapid.SampledFrom(whats).Draw(h.t, "what")
	if len(h.keys) == 0 || what == 0 && len(h.keys) < 8 {
		h.create(n)
		return
	}
	p := rapid.SampledFrom(h.keys).Draw(h.t, "key")
	of := &topic{id: p.id, name: p.id, alias: rapid.SampledFrom([]string{"alias/a", "alias/b", "alias/c"}).Draw(h.t, "alias")}
	simple := map[int]*kms.Operation{
		6: kms.OpEnableKey, 7: kms.OpDisableKey, 8: kms.OpRotateKeyOnDemand, 9: kms.OpEnableKeyRotation, 10: kms.OpDisableKeyRotation,
		11: kms.OpScheduleKeyDeletion, 12: kms.OpCancelKeyDeletion, 13: kms.OpUpdateAlias, 14: kms.OpDeleteAlias, 15: kms.OpTagResource, 16: kms.OpUntagResource,
	}
	switch op := simple[what]; {
	case op != nil:
		h.do(n, p.region, op, rights[op].request(of))
	case what <= 5:
		h.use(n, p)
	case what == 17:
		h.do(n, p.region, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: of.alias, TargetKeyID: p.id})
	case what == 18:
		if a, err := h.do(n, p.region, kms.OpCreateGrant, grantRequest(p.id)); err == nil {
			h.grants[p] = append(h.grants[p], a.(*kms.CreateGrantAnswer).GrantID)
		}
	case what == 19 && len(h.grants[p]) > 0:
		h.do(n, p.region, kms.OpRevokeGrant, &kms.RevokeGrantRequest{KeyID: p.id, GrantID: rapid.SampledFrom(h.grants[p]).Draw(h.t, "grant")})
	case what == 20:
		if _, err := h.do(n, p.region, kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: p.id, ReplicaRegion: secondRegion}); err == nil {
			h.keys = append(h.keys, place{p.id, secondRegion})
		} else if p.region == secondRegion { // promoted, and the first one is gone
			if _, err := h.do(n, p.region, kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: p.id, ReplicaRegion: firstRegion}); err == nil {
				h.keys = append(h.keys, place{p.id, firstRegion})
			}
		}
	case what == 21:
		h.do(n, p.region, kms.OpUpdatePrimaryRegion, &kms.UpdatePrimaryRegionRequest{KeyID: p.id,
			PrimaryRegion: map[string]string{firstRegion: secondRegion, secondRegion: firstRegion}[p.region]})
	case what == 22 && h.spec[p.id] == kms.SymmetricDefault:
		plain, how := h.newMaterial(), rapid.SampledFrom(append(kms.ImportTypes, "")).Draw(h.t, "import type")
		if k := h.key(n, p); how == kms.ImportExistingMaterial && len(k.Materials) > 0 {
			plain = h.materials[rapid.SampledFrom(k.Materials).Draw(h.t, "again").ID]
		}
		h.bring(n, p, plain, how, rapid.Bool().Draw(h.t, "expires"))
	case what == 23:
		q := &kms.DeleteImportedKeyMaterialRequest{KeyID: p.id}
		if k := h.key(n, p); k.Announced != nil && rapid.Bool().Draw(h.t, "announced") {
			q.KeyMaterialID = k.Announced.ID
		}
		h.do(n, p.region, kms.OpDeleteImportedKeyMaterial, q)
	case what == 24:
		h.work(n, rapid.SampledFrom([]time.Duration{time.Hour, 4 * days, 8 * days, 100 * days}).Draw(h.t, "later"))
	case what == 25:
		if err := n.WriteUsage(h.t.Context()); err != nil {
			h.fail("writing usage: %v", err)
		}
	case what == 26:
		switch rapid.IntRange(0, 2).Draw(h.t, "fate") {
		case 0:
			h.nodes[1].Lag(true)
			h.steps = append(h.steps, h.nodes[1].Name+" lags")
		case 1:
			h.nodes[1].Lag(false)
		case 2:
			h.nodes[1].Catalog.Seal()
			h.nodes[1] = h.c.Node(twoRegions)
			h.steps = append(h.steps, h.nodes[1].Name+" comes")
		}
	}
}

// whole brings a key back to where it can be used, whatever was done to it.
func (h *history) whole(n *servicetest.Node, p place) {
	k := h.key(n, p)
	if k.State == kms.StatePendingDeletion || k.State == kms.StatePendingReplicaDeletion {
		h.must(n, p.region, kms.OpCancelKeyDeletion, &kms.KeyRequest{KeyID: p.id})
	}
	for _, m := range h.key(n, p).Materials {
		if m.Missing {
			if err := h.bring(n, p, h.materials[m.ID], kms.ImportExistingMaterial, false); err != nil {
				h.fail("importing material %d into %v again: %v", m.Version, p, err)
			}
		}
	}
	if k = h.key(n, p); len(k.Materials) > 0 {
		h.must(n, p.region, kms.OpEnableKey, &kms.KeyRequest{KeyID: p.id})
	}
}

// shownBy writes out everything that a catalog view tells of a tenant.
func shownBy(v *catalog.View) string {
	var b strings.Builder
	fmt.Fprintf(&b, "epoch %d, index %d, unreadable %d\n", v.Epoch(), v.Index(), v.Unreadable())
	key := func(k *catalog.Key) {
		fmt.Fprintf(&b, "key %d %+v", k.Revision, k.Key)
		for _, p := range []any{k.Rotation, k.MultiRegion, k.Announced} {
			switch p := p.(type) {
			case *kms.Rotation:
				if p != nil {
					fmt.Fprintf(&b, " %+v", *p)
				}
			case *kms.MultiRegion:
				if p != nil {
					fmt.Fprintf(&b, " %+v", *p)
				}
			case *kms.Material:
				if p != nil {
					fmt.Fprintf(&b, " %+v", *p)
				}
			}
		}
		b.WriteString("\n")
	}
	for _, region := range twoRegions.Regions {
		s := kms.Scope{Account: aliceID, Region: region}
		for _, k := range v.Keys(s, [16]byte{}, 1000) {
			key(k)
			for _, g := range v.Grants(s, k.Raw, "", 1000) {
				fmt.Fprintf(&b, "grant %+v\n", g.Grant)
			}
			for _, a := range v.AliasesOf(s, k.Raw, "", 1000) {
				fmt.Fprintf(&b, "alias of %s: %+v\n", k.ID, a.Alias)
			}
			u, revision, err := v.Usage(k)
			fmt.Fprintf(&b, "usage %d %v %+v\n", revision, err, u)
		}
		for _, a := range v.Aliases(s, "", 1000) {
			fmt.Fprintf(&b, "alias %+v\n", a.Alias)
		}
	}
	for _, k := range v.Due(1<<60, 1000) {
		fmt.Fprintf(&b, "due %d ", k.Due())
		key(k)
	}
	return pointers.ReplaceAllString(b.String(), "")
}

// pointers are nothing to compare: what they point to is written out beside.
var pointers = regexp.MustCompile(`:0x[0-9a-f]+`)

// agree fails unless all nodes hold the state that the log makes, and show the same of it.
func (h *history) agree(nodes ...*servicetest.Node) {
	h.t.Helper()
	want := h.c.State().Digest()
	first := ""
	for _, n := range nodes {
		n.Lag(false)
		if err := n.CatchUp(h.t.Context()); err != nil {
			h.fail("%v", err)
		}
		if got := n.FSM.View().Digest(); got != want {
			h.fail("the state of %s has the digest %x, the log's is %x", n.Name, got, want)
		}
		shown := shownBy(n.Catalog.View())
		if first == "" {
			first = shown
		}
		if shown != first {
			h.fail("%s shows\n%s\n%s shows\n%s", nodes[0].Name, first, n.Name, shown)
		}
	}
}

// dangling fails when something that belongs to no key is left.
func (h *history) dangling(n *servicetest.Node) {
	v := n.Catalog.View()
	ids := v.IDs()
	owned := map[string]bool{}
	for _, p := range h.keys {
		k := h.key(n, p)
		for _, m := range k.Materials {
			owned[ids.Material(m.ID).String()] = true
		}
		if k.Announced != nil {
			owned[ids.Material(k.Announced.ID).String()] = true
		}
		owned[ids.Usage(p.scope(), p.id).String()] = true
		raw := k.Raw
		for _, a := range v.AliasesOf(p.scope(), raw, "", 1000) {
			owned[ids.Alias(p.scope(), a.Name).String()] = true
		}
		for _, g := range v.Grants(p.scope(), raw, "", 1000) {
			owned[fsm.Ref{Kind: fsm.KindGrant, ID: g.Record}.String()] = true
		}
	}
	for _, who := range []servicetest.Credentials{h.alice, h.c.Root} {
		for _, account := range []string{aliceID, servicetest.Operator} {
			owned[ids.AccessKeyUsage(account, who.AccessKeyID).String()] = true
		}
	}
	for ref := range liveRecords(n.FSM.View()) {
		kind, _, _ := strings.Cut(ref, " ")
		for _, k := range []fsm.Kind{fsm.KindMaterial, fsm.KindUsage, fsm.KindAlias, fsm.KindGrant} {
			if kind == k.String() && !owned[ref] {
				h.fail("%s belongs to no key", ref)
			}
		}
	}
}

// Whatever is done to keys through whichever node: all nodes hold and show the same, nothing is left of what is
// destroyed, and what was made with a key that is not serves on every node once the key is whole again.
func TestLifeOfKeys(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	w := &wrapping{pkcs8, &private.PublicKey}
	rapid.Check(t, func(rt *rapid.T) {
		c := servicetest.New(t)
		h := &history{t: rt, c: c, wrap: w, nodes: []*servicetest.Node{c.Node(twoRegions), c.Node(twoRegions)},
			spec: map[string]kms.KeySpec{}, materials: map[string][]byte{}, grants: map[place][]string{}}
		h.alice = h.nodes[0].CreateAccount(aliceID)
		for range rapid.IntRange(10, 120).Draw(rt, "steps") {
			h.step()
		}
		fresh := c.Node(twoRegions)
		all := append(h.nodes, fresh)
		defer func() {
			for _, n := range all {
				n.Catalog.Seal()
			}
		}()
		h.agree(all...)
		h.work(fresh, 0)
		h.dangling(fresh)
		for _, p := range h.keys {
			h.whole(h.nodes[0], p)
		}
		h.agree(all...)
		for _, one := range h.products {
			for _, p := range h.keys {
				if p.id != one.key {
					continue
				}
				for _, n := range all {
					h.works(n, p, one)
				}
			}
		}
	})
}
