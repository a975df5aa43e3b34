package integration

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"maps"
	"slices"
	"testing"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/kms"
)

// belongings are what else of a tenant's another one may have come by.
type belongings struct {
	signature, mac, encapsulated, public []byte
	importToken                          []byte
	grantID, grantToken, grantMarker     string
	kinds                                map[kms.KeySpec]*things // names of keys of other kinds than the first
	people
}

// The kinds that are no specs.
const (
	externalKind kms.KeySpec = "external"
	regionalKind kms.KeySpec = "multi-Region"
	agreeingKind kms.KeySpec = "agreeing"
)

// of returns the names of the tenant's key of a kind; "" is the first one.
func (t *things) of(kind kms.KeySpec) *things {
	if kind == "" {
		return t
	}
	return t.kinds[kind]
}

// equip makes a key of every kind, so that nothing but who asks keeps an operation from succeeding.
func (n *tenant) equip(t *testing.T, importing bool) {
	t.Helper()
	ctx, cl, own := background(t), n.nodes[0], &n.own
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	own.kinds = map[kms.KeySpec]*things{}
	for kind, q := range map[kms.KeySpec]*kms.CreateKeyRequest{
		kms.ECCNISTP256: {KeySpec: kms.ECCNISTP256, KeyUsage: kms.SignVerify}, agreeingKind: {KeySpec: kms.ECCNISTP256, KeyUsage: kms.KeyAgreement},
		kms.HMAC256: {KeySpec: kms.HMAC256, KeyUsage: kms.GenerateVerifyMac}, kms.MLKEM768: {KeySpec: kms.MLKEM768, KeyUsage: kms.EncapsulateDecapsulate},
		externalKind: {Origin: kms.OriginExternal}, regionalKind: {MultiRegion: true},
	} {
		k, err := cl.CreateKey(ctx, q)
		check(err)
		a, err := cl.CreateAlias(ctx, &kms.CreateAliasRequest{AliasName: "alias/" + rand.Text(), TargetKeyID: k.Key.KeyID})
		check(err)
		own.kinds[kind] = &things{key: k.Key.KeyID, keyARN: k.Key.ARN, alias: a.Alias.AliasName, aliasARN: a.Alias.AliasARN}
		n.keys = append(n.keys, k.Key.KeyID)
	}
	slices.Sort(n.keys)
	s, err := cl.Sign(ctx, &kms.SignRequest{KeyID: own.of(kms.ECCNISTP256).key, Message: []byte("m"), SigningAlgorithm: kms.ECDSASHA256})
	check(err)
	m, err := cl.GenerateMac(ctx, &kms.GenerateMacRequest{KeyID: own.of(kms.HMAC256).key, Message: []byte("m"), MacAlgorithm: kms.HMACSHA256})
	check(err)
	e, err := cl.Encapsulate(ctx, &kms.EncapsulateRequest{KeyID: own.of(kms.MLKEM768).key, EncapsulationAlgorithm: kms.MLKEM})
	check(err)
	p, err := cl.GetPublicKey(ctx, &kms.GetPublicKeyRequest{KeyID: own.of(agreeingKind).key})
	check(err)
	own.signature, own.mac, own.encapsulated, own.public = s.Signature, m.Mac, e.SharedSecretCiphertextBlob, p.PublicKey
	for range 2 {
		g, err := cl.CreateGrant(ctx, &kms.CreateGrantRequest{KeyID: own.key, GranteePrincipal: n.root(), RetiringPrincipal: n.root(), Operations: []kms.GrantOperation{"Encrypt"}})
		check(err)
		own.grantID, own.grantToken = g.GrantID, g.GrantToken
	}
	list, err := cl.ListRetirableGrants(ctx, &kms.ListRetirableGrantsRequest{RetiringPrincipal: n.root(), Limit: 1})
	check(err)
	if own.grantMarker = list.NextMarker; own.grantMarker == "" {
		t.Fatal("a listing of one of two grants has no next page")
	}
	own.importToken = []byte(rand.Text())
	if importing { // a wrapping key takes long to make
		p, err := cl.GetParametersForImport(ctx, &kms.GetParametersForImportRequest{KeyID: own.of(externalKind).key, WrappingAlgorithm: kms.WrapRSAESOAEPSHA256, WrappingKeySpec: kms.RSA2048})
		check(err)
		own.importToken = p.ImportToken
	}
}

// root is the tenant's root.
func (n *tenant) root() string { return "arn:aws:iam::" + n.account + ":root" }

// inventedBelongings are like t's, of keys that nobody has. A grant token stays: whoever has one may know that
// it is one, and nobody guesses one.
func (t *things) inventedBelongings() belongings {
	b := t.belongings
	id := make([]byte, 32)
	rand.Read(id)
	b.grantID, b.importToken, b.grantMarker = hex.EncodeToString(id), []byte(rand.Text()), rand.Text()
	b.people = b.people.invented()
	b.kinds = map[kms.KeySpec]*things{}
	for kind, k := range t.kinds {
		b.kinds[kind], _ = k.inventedNames()
	}
	return b
}

// with tries every way to name a key of a kind.
func with(kind kms.KeySpec, do func(ctx context.Context, cl *client.Client, key string, of *things) error) (all []try) {
	for form, name := range keyForms {
		all = append(all, try{form, func(ctx context.Context, _ *tenant, cl *client.Client, of *things) error {
			return do(ctx, cl, name(of.of(kind)), of)
		}})
	}
	return all
}

// failed drops an answer.
func failed[A any](_ A, err error) error { return err }

// moreTries are those of everything but the first operations there were.
func moreTries() map[*kms.Operation][]try {
	all := map[*kms.Operation][]try{}
	for _, some := range []map[*kms.Operation][]try{readTries(), lifecycleTries(), materialTries(), grantTries(), asymmetricTries(),
		userTries(), groupTries(), roleTries(), accessKeyTries(), managedPolicyTries(), providerTries(), sessionTries()} {
		maps.Copy(all, some)
	}
	return all
}

func readTries() map[*kms.Operation][]try {
	return map[*kms.Operation][]try{
		kms.OpGetKeyLastUsage: with("", func(ctx context.Context, cl *client.Client, key string, _ *things) error {
			return failed(cl.GetKeyLastUsage(ctx, &kms.KeyRequest{KeyID: key}))
		}),
		kms.OpListKeyPolicies: with("", func(ctx context.Context, cl *client.Client, key string, _ *things) error {
			return failed(cl.ListKeyPolicies(ctx, &kms.KeyListRequest{KeyID: key}))
		}),
		kms.OpListResourceTags: with("", func(ctx context.Context, cl *client.Client, key string, _ *things) error {
			return failed(cl.ListResourceTags(ctx, &kms.KeyListRequest{KeyID: key}))
		}),
		kms.OpGetKeyRotationStatus: with("", func(ctx context.Context, cl *client.Client, key string, _ *things) error {
			return failed(cl.GetKeyRotationStatus(ctx, &kms.KeyRequest{KeyID: key}))
		}),
		kms.OpListKeyRotations: with("", func(ctx context.Context, cl *client.Client, key string, _ *things) error {
			return failed(cl.ListKeyRotations(ctx, &kms.ListKeyRotationsRequest{KeyID: key, IncludeKeyMaterial: "ALL_KEY_MATERIAL"}))
		}),
		kms.OpGetPublicKey: with(kms.ECCNISTP256, func(ctx context.Context, cl *client.Client, key string, of *things) error {
			return failed(cl.GetPublicKey(ctx, &kms.GetPublicKeyRequest{KeyID: key, GrantTokens: []string{of.grantToken}}))
		}),
	}
}

func lifecycleTries() map[*kms.Operation][]try {
	return map[*kms.Operation][]try{
		kms.OpScheduleKeyDeletion: with("", func(ctx context.Context, cl *client.Client, key string, _ *things) error {
			return failed(cl.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionRequest{KeyID: key}))
		}),
		kms.OpCancelKeyDeletion: with("", func(ctx context.Context, cl *client.Client, key string, _ *things) error {
			return failed(cl.CancelKeyDeletion(ctx, &kms.KeyRequest{KeyID: key}))
		}),
		kms.OpUpdateKeyDescription: with("", func(ctx context.Context, cl *client.Client, key string, _ *things) error {
			return failed(cl.UpdateKeyDescription(ctx, &kms.UpdateKeyDescriptionRequest{KeyID: key, Description: "stolen"}))
		}),
		kms.OpPutKeyPolicy: putKeyPolicyTries(),
		kms.OpTagResource: with("", func(ctx context.Context, cl *client.Client, key string, _ *things) error {
			return cl.TagResource(ctx, &kms.TagResourceRequest{KeyID: key, Tags: map[string]string{"a": "b"}})
		}),
		kms.OpUntagResource: with("", func(ctx context.Context, cl *client.Client, key string, _ *things) error {
			return cl.UntagResource(ctx, &kms.UntagResourceRequest{KeyID: key, TagKeys: []string{"a"}})
		}),
		kms.OpEnableKeyRotation: with("", func(ctx context.Context, cl *client.Client, key string, _ *things) error {
			return failed(cl.EnableKeyRotation(ctx, &kms.EnableKeyRotationRequest{KeyID: key}))
		}),
		kms.OpDisableKeyRotation: with("", func(ctx context.Context, cl *client.Client, key string, _ *things) error {
			return failed(cl.DisableKeyRotation(ctx, &kms.KeyRequest{KeyID: key}))
		}),
		kms.OpRotateKeyOnDemand: with("", func(ctx context.Context, cl *client.Client, key string, _ *things) error {
			return failed(cl.RotateKeyOnDemand(ctx, &kms.KeyRequest{KeyID: key}))
		}),
		kms.OpReplicateKey: with(regionalKind, func(ctx context.Context, cl *client.Client, key string, _ *things) error {
			return failed(cl.ReplicateKey(ctx, &kms.ReplicateKeyRequest{KeyID: key, ReplicaRegion: "eu-west-1"}))
		}),
		kms.OpUpdatePrimaryRegion: with(regionalKind, func(ctx context.Context, cl *client.Client, key string, _ *things) error {
			return failed(cl.UpdatePrimaryRegion(ctx, &kms.UpdatePrimaryRegionRequest{KeyID: key, PrimaryRegion: "eu-west-1"}))
		}),
	}
}

// putKeyPolicyTries would give the keys to the stranger's account, by the one form of policy that is served.
func putKeyPolicyTries() (all []try) {
	for form, name := range keyForms {
		all = append(all, try{form, func(ctx context.Context, by *tenant, cl *client.Client, of *things) error {
			return failed(cl.PutKeyPolicy(ctx, &kms.PutKeyPolicyRequest{KeyID: name(of), BypassPolicyLockoutSafetyCheck: true, Policy: kms.PolicyDocument(auth.DefaultKeyPolicy("aws", by.account))}))
		}})
	}
	return all
}

func materialTries() map[*kms.Operation][]try {
	bring := func(ctx context.Context, cl *client.Client, key string, of *things) error {
		return failed(cl.ImportKeyMaterial(ctx, &kms.ImportKeyMaterialRequest{KeyID: key, ImportToken: of.importToken, EncryptedKeyMaterial: make([]byte, 256),
			ExpirationModel: kms.MaterialDoesNotExpire}))
	}
	return map[*kms.Operation][]try{
		kms.OpGetParametersForImport: with(externalKind, func(ctx context.Context, cl *client.Client, key string, _ *things) error {
			return failed(cl.GetParametersForImport(ctx, &kms.GetParametersForImportRequest{KeyID: key, WrappingAlgorithm: kms.WrapRSAESOAEPSHA256, WrappingKeySpec: kms.RSA2048}))
		}),
		kms.OpImportKeyMaterial: append(with(externalKind, bring),
			try{"its import token for an own key", func(ctx context.Context, by *tenant, cl *client.Client, of *things) error {
				return bring(ctx, cl, by.own.of(externalKind).key, of)
			}}),
		kms.OpDeleteImportedKeyMaterial: with(externalKind, func(ctx context.Context, cl *client.Client, key string, _ *things) error {
			return failed(cl.DeleteImportedKeyMaterial(ctx, &kms.DeleteImportedKeyMaterialRequest{KeyID: key}))
		}),
		kms.OpGenerateDataKeyPair: with("", func(ctx context.Context, cl *client.Client, key string, of *things) error {
			return failed(cl.GenerateDataKeyPair(ctx, &kms.GenerateDataKeyPairRequest{KeyID: key, KeyPairSpec: kms.ECCNISTP256, GrantTokens: []string{of.grantToken}}))
		}),
		kms.OpGenerateDataKeyPairWithoutPlaintext: with("", func(ctx context.Context, cl *client.Client, key string, _ *things) error {
			return failed(cl.GenerateDataKeyPairWithoutPlaintext(ctx, &kms.GenerateDataKeyPairRequest{KeyID: key, KeyPairSpec: kms.ECCNISTP256}))
		}),
	}
}

func grantTries() map[*kms.Operation][]try {
	return map[*kms.Operation][]try{
		kms.OpCreateGrant: with("", func(ctx context.Context, cl *client.Client, key string, of *things) error {
			return failed(cl.CreateGrant(ctx, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: "arn:aws:iam::123456789012:root",
				Operations: []kms.GrantOperation{"Decrypt"}, GrantTokens: []string{of.grantToken}}))
		}),
		kms.OpListGrants: append(
			with("", func(ctx context.Context, cl *client.Client, key string, _ *things) error {
				return failed(cl.ListGrants(ctx, &kms.ListGrantsRequest{KeyID: key}))
			}),
			with("", func(ctx context.Context, cl *client.Client, key string, of *things) error {
				return failed(cl.ListGrants(ctx, &kms.ListGrantsRequest{KeyID: key, GrantID: of.grantID}))
			})...),
		kms.OpRevokeGrant: append(
			with("", func(ctx context.Context, cl *client.Client, key string, of *things) error {
				return cl.RevokeGrant(ctx, &kms.RevokeGrantRequest{KeyID: key, GrantID: of.grantID})
			}),
			try{"its grant of an own key", func(ctx context.Context, by *tenant, cl *client.Client, of *things) error {
				return cl.RevokeGrant(ctx, &kms.RevokeGrantRequest{KeyID: by.own.key, GrantID: of.grantID})
			}}),
		kms.OpRetireGrant: append(
			with("", func(ctx context.Context, cl *client.Client, key string, of *things) error {
				return cl.RetireGrant(ctx, &kms.RetireGrantRequest{KeyID: key, GrantID: of.grantID})
			}),
			try{"its grant token", func(ctx context.Context, _ *tenant, cl *client.Client, of *things) error {
				return cl.RetireGrant(ctx, &kms.RetireGrantRequest{GrantToken: of.grantToken})
			}}),
		kms.OpListRetirableGrants: {{"its marker", func(ctx context.Context, by *tenant, cl *client.Client, of *things) error {
			return failed(cl.ListRetirableGrants(ctx, &kms.ListRetirableGrantsRequest{RetiringPrincipal: by.root(), Marker: of.grantMarker}))
		}}},
	}
}

func asymmetricTries() map[*kms.Operation][]try {
	return map[*kms.Operation][]try{
		kms.OpSign: with(kms.ECCNISTP256, func(ctx context.Context, cl *client.Client, key string, of *things) error {
			return failed(cl.Sign(ctx, &kms.SignRequest{KeyID: key, Message: []byte("m"), SigningAlgorithm: kms.ECDSASHA256, GrantTokens: []string{of.grantToken}}))
		}),
		kms.OpVerify: with(kms.ECCNISTP256, func(ctx context.Context, cl *client.Client, key string, of *things) error {
			return failed(cl.Verify(ctx, &kms.VerifyRequest{KeyID: key, Message: []byte("m"), Signature: of.signature, SigningAlgorithm: kms.ECDSASHA256}))
		}),
		kms.OpGenerateMac: with(kms.HMAC256, func(ctx context.Context, cl *client.Client, key string, _ *things) error {
			return failed(cl.GenerateMac(ctx, &kms.GenerateMacRequest{KeyID: key, Message: []byte("m"), MacAlgorithm: kms.HMACSHA256}))
		}),
		kms.OpVerifyMac: with(kms.HMAC256, func(ctx context.Context, cl *client.Client, key string, of *things) error {
			return failed(cl.VerifyMac(ctx, &kms.VerifyMacRequest{KeyID: key, Message: []byte("m"), Mac: of.mac, MacAlgorithm: kms.HMACSHA256}))
		}),
		kms.OpDeriveSharedSecret: with(agreeingKind, func(ctx context.Context, cl *client.Client, key string, of *things) error {
			return failed(cl.DeriveSharedSecret(ctx, &kms.DeriveSharedSecretRequest{KeyID: key, PublicKey: of.public, KeyAgreementAlgorithm: kms.ECDH}))
		}),
		kms.OpEncapsulate: with(kms.MLKEM768, func(ctx context.Context, cl *client.Client, key string, _ *things) error {
			return failed(cl.Encapsulate(ctx, &kms.EncapsulateRequest{KeyID: key, EncapsulationAlgorithm: kms.MLKEM}))
		}),
		kms.OpDecapsulate: with(kms.MLKEM768, func(ctx context.Context, cl *client.Client, key string, of *things) error {
			return failed(cl.Decapsulate(ctx, &kms.DecapsulateRequest{KeyID: key, SharedSecretCiphertextBlob: of.encapsulated, EncapsulationAlgorithm: kms.MLKEM}))
		}),
	}
}
