package service_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// lifecycles is a cluster that anything may happen to.
type lifecycles struct {
	*world
	t     *testing.T
	rt    *rapid.T
	nodes []*servicetest.Node
	keys  []lifecycle
	texts []sealedText
	token map[string]*kms.GetParametersForImportAnswer // by region and key
}

type lifecycle struct {
	id       string
	spec     kms.KeySpec
	external [][]byte // its materials
}

type sealedText struct {
	key, text  string
	ciphertext []byte
}

// try calls an operation, which may be refused but must not fail.
func (l *lifecycles) try(region string, op *kms.Operation, request any) (any, bool) {
	n := l.nodes[rapid.IntRange(0, len(l.nodes)-1).Draw(l.rt, "node")]
	a, err := in(l.t, n, l.alice, region, op, request)
	switch code := kms.CodeOf(err); code {
	case kms.CodeInternal, kms.CodeOutcomeUnknown, kms.CodeConflict, kms.CodeUnavailable, kms.CodeUnauthenticated, kms.CodeInvalidRequest:
		l.rt.Fatalf("%s in %s: %v", op.Name, region, err)
	}
	return a, err == nil
}

func (l *lifecycles) step() {
	rt := l.rt
	region := rapid.SampledFrom([]string{"us-east-1", "eu-west-1"}).Draw(rt, "region")
	what := rapid.SampledFrom([]string{"create", "encrypt", "encrypt", "encrypt", "toggle", "rotate", "rotation", "schedule", "schedule", "cancel", "time", "time", "run", "run",
		"replicate", "promote", "alias", "grant", "tag", "lag", "restart", "import", "unimport", "usage"}).Draw(rt, "what")
	if len(l.keys) == 0 {
		what = "create"
	}
	i := 0
	if len(l.keys) > 0 {
		i = rapid.IntRange(0, len(l.keys)-1).Draw(rt, "key")
	}
	var k *lifecycle
	if len(l.keys) > 0 {
		k = &l.keys[i]
	}
	node := l.nodes[rapid.IntRange(0, len(l.nodes)-1).Draw(rt, "whose")]
	switch what {
	case "create":
		q := rapid.SampledFrom([]*kms.CreateKeyRequest{{}, {}, {MultiRegion: true}, {MultiRegion: true}, macKey, signingKey, {Origin: kms.OriginExternal}}).Draw(rt, "kind")
		if q.Origin == kms.OriginExternal && slices.ContainsFunc(l.keys, func(k lifecycle) bool { return k.external != nil }) {
			return // making wrapping keys takes long
		}
		if a, ok := l.try(region, kms.OpCreateKey, q); ok {
			made := lifecycle{id: a.(*kms.KeyAnswer).Key.KeyID, spec: a.(*kms.KeyAnswer).Key.KeySpec}
			if q.Origin == kms.OriginExternal {
				made.external = [][]byte{}
			}
			l.keys = append(l.keys, made)
		}
	case "encrypt":
		text := fmt.Sprint("text ", len(l.texts))
		if k.spec != kms.SymmetricDefault {
			return
		}
		if a, ok := l.try(region, kms.OpEncrypt, &kms.EncryptRequest{KeyID: k.id, Plaintext: []byte(text)}); ok {
			l.texts = append(l.texts, sealedText{k.id, text, a.(*kms.EncryptAnswer).CiphertextBlob})
		}
	case "toggle":
		l.try(region, rapid.SampledFrom([]*kms.Operation{kms.OpEnableKey, kms.OpEnableKey, kms.OpDisableKey}).Draw(rt, "to"), &kms.KeyRequest{KeyID: k.id})
	case "rotate":
		l.try(region, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: k.id})
	case "rotation":
		l.try(region, kms.OpEnableKeyRotation, &kms.EnableKeyRotationRequest{KeyID: k.id, RotationPeriodInDays: ptr(90)})
	case "schedule":
		l.try(region, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: k.id, PendingWindowInDays: ptr(7)})
	case "cancel":
		l.try(region, kms.OpCancelKeyDeletion, &kms.KeyRequest{KeyID: k.id})
	case "time":
		l.Advance(time.Duration(rapid.SampledFrom([]int{1, 8, 40, 100}).Draw(rt, "days")) * oneDay)
	case "run":
		if err := node.RunDue(l.t.Context()); err != nil {
			rt.Fatal(err)
		}
	case "replicate":
		l.try(region, kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: k.id, ReplicaRegion: rapid.SampledFrom([]string{"us-east-1", "eu-west-1"}).Draw(rt, "to")})
	case "promote":
		l.try(region, kms.OpUpdatePrimaryRegion, &kms.UpdatePrimaryRegionRequest{KeyID: k.id, PrimaryRegion: rapid.SampledFrom([]string{"us-east-1", "eu-west-1"}).Draw(rt, "to")})
	case "alias":
		name := rapid.SampledFrom([]string{"alias/a", "alias/b"}).Draw(rt, "alias")
		switch rapid.IntRange(0, 2).Draw(rt, "how") {
		case 0:
			l.try(region, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: name, TargetKeyID: k.id})
		case 1:
			l.try(region, kms.OpUpdateAlias, &kms.UpdateAliasRequest{AliasName: name, TargetKeyID: k.id})
		default:
			l.try(region, kms.OpDeleteAlias, &kms.DeleteAliasRequest{AliasName: name})
		}
	case "grant":
		q := grantRequest(k.id)
		q.Name = rapid.SampledFrom([]string{"", "a"}).Draw(rt, "name")
		if a, ok := l.try(region, kms.OpCreateGrant, q); ok && rapid.Bool().Draw(rt, "end") {
			l.try(region, kms.OpRevokeGrant, &kms.RevokeGrantRequest{KeyID: k.id, GrantID: a.(*kms.CreateGrantAnswer).GrantID})
		}
	case "tag":
		l.try(region, kms.OpTagResource, &kms.TagResourceRequest{KeyID: k.id, Tags: map[string]string{"t": region}})
	case "lag":
		node.Lag(rapid.Bool().Draw(rt, "lags"))
	case "restart":
		node.Catalog.Seal()
		node.Unseal()
	case "usage":
		if err := node.WriteUsage(l.t.Context()); err != nil {
			rt.Fatal(err)
		}
	case "import":
		l.importAny(region, k)
	case "unimport":
		l.try(region, kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: k.id})
	}
}

func (l *lifecycles) importAny(region string, k *lifecycle) {
	if k.external == nil {
		return
	}
	p := l.token[region+k.id]
	if p == nil || p.ParametersValidTo.UnixMilli() <= l.Now() {
		a, ok := l.try(region, kms.OpGetParametersForImport, &kms.GetParametersForImportRequest{KeyID: k.id, WrappingAlgorithm: kms.WrapRSAESOAEPSHA256, WrappingKeySpec: kms.RSA2048})
		if !ok {
			return
		}
		p = a.(*kms.GetParametersForImportAnswer)
		l.token[region+k.id] = p
	}
	q := &kms.ImportKeyMaterialRequest{KeyID: k.id, ImportToken: p.ImportToken, ExpirationModel: kms.MaterialDoesNotExpire}
	fresh := len(k.external) == 0 || rapid.Bool().Draw(l.rt, "new")
	var plain []byte
	if fresh {
		plain, q.ImportType = newMaterial(32), kms.ImportNewMaterial
	} else {
		plain = k.external[rapid.IntRange(0, len(k.external)-1).Draw(l.rt, "material")]
	}
	q.EncryptedKeyMaterial = wrapFor(l.t, kms.WrapRSAESOAEPSHA256, p.PublicKey, plain)
	if _, ok := l.try(region, kms.OpImportKeyMaterial, q); ok && fresh {
		k.external = append(k.external, plain)
	}
}

// shown is everything that a view tells.
func shown(v *catalog.View) string {
	var b bytes.Buffer
	text := func(v any) string {
		raw, err := json.Marshal(v)
		return fmt.Sprint(string(raw), err)
	}
	for _, region := range threeRegions.Regions {
		s := kms.Scope{Account: aliceID, Region: region}
		for _, k := range v.Keys(s, [16]byte{}, 1000) {
			u, revision, err := v.Usage(k)
			fmt.Fprintln(&b, k.ARN, k.Revision, text(k.Key), text(u), revision, err, v.Members(v.IDs().GrantsOf(s, k.ID)), v.Members(v.IDs().AliasesOf(s, k.ID)))
			for _, g := range v.Grants(s, k.Raw, "", 1000) {
				fmt.Fprintln(&b, text(g.Grant), g.Revision)
			}
			for _, a := range v.AliasesOf(s, k.Raw, "", 1000) {
				fmt.Fprintln(&b, text(a.Alias), a.Revision)
			}
		}
		for _, a := range v.Aliases(s, "", 1000) {
			fmt.Fprintln(&b, a.Name, a.KeyID)
		}
		fmt.Fprintln(&b, len(v.RetirableGrants(s, aliceRoot, [16]byte{}, "", 1000)))
	}
	for _, k := range v.Due(1<<62, 1000) {
		fmt.Fprintln(&b, "due", k.ARN, k.Due())
	}
	return b.String()
}

// Whatever happens to keys, in whatever order and on whatever nodes: all nodes end with the same state, one that has
// the log alone too, and what was encrypted under a key version that is there decrypts everywhere.
func TestAnyLifecycle(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, threeRegions)
		l := &lifecycles{world: w, t: t, rt: rt, nodes: []*servicetest.Node{w.Node, w.Cluster.Node(threeRegions)}, token: map[string]*kms.GetParametersForImportAnswer{}}
		for range rapid.IntRange(10, 60).Draw(rt, "steps") {
			l.step()
		}
		for _, n := range l.nodes {
			n.Lag(false)
		}
		l.nodes = append(l.nodes, w.Cluster.Node(threeRegions))
		first := ""
		for _, n := range l.nodes {
			if err := n.CatchUp(t.Context()); err != nil {
				rt.Fatal(err)
			}
			v := n.Catalog.View()
			if v.Unreadable() > 0 || n.FSM.View().Digest() != w.State().Digest() {
				rt.Fatalf("%s has another state, or one that does not open", n.Name)
			}
			if got := shown(v); first == "" {
				first = got
			} else if got != first {
				rt.Fatalf("%s sees\n%s\nthe first node\n%s", n.Name, got, first)
			}
		}
		l.bringBack()
		for _, one := range l.texts {
			l.check(one)
		}
	})
}

// bringBack makes every key usable that can be.
func (l *lifecycles) bringBack() {
	for _, k := range l.keys {
		for _, region := range threeRegions.Regions {
			l.try(region, kms.OpCancelKeyDeletion, &kms.KeyRequest{KeyID: k.id})
			l.try(region, kms.OpEnableKey, &kms.KeyRequest{KeyID: k.id})
		}
	}
}

// check decrypts on every node and in every region that has the key, in a usable state.
func (l *lifecycles) check(one sealedText) {
	raw, err := kms.KeyIDBytes(one.key)
	if err != nil {
		l.rt.Fatal(err)
	}
	for _, n := range l.nodes {
		for _, region := range threeRegions.Regions {
			a, err := in(l.t, n, l.alice, region, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: one.ciphertext})
			k, missing := n.Catalog.View().Key(kms.Scope{Account: aliceID, Region: region}, raw)
			switch {
			case missing != nil:
				if kms.CodeOf(err) != kms.CodeAccessDenied {
					l.rt.Fatalf("a destroyed key of %s: %v", region, err)
				}
			case k.State == kms.StateEnabled:
				if err != nil || string(a.(*kms.DecryptAnswer).Plaintext) != one.text {
					l.rt.Fatalf("%s of %s in %s: %v", one.text, one.key, region, err)
				}
			case k.State != kms.StatePendingImport && k.State != kms.StatePendingDeletion:
				l.rt.Fatalf("the key is %s", k.State)
			}
		}
	}
}
