package service_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// topic is what a right request of an operation is about.
type topic struct {
	id, name                   string // of the key: name is how the request spells it
	alias                      string // of the key
	ciphertext, signature, mac []byte // of message
	public                     []byte // another's, of the key's curve
	token, wrapped             []byte // of an import
	grantID, grantToken        string

	account   string // of who makes it
	n         string // what is made beside the key is called
	accessKey string // of the user of that name
	webToken  string
}

// right is how a right request of an operation is made.
type right struct {
	key     *kms.CreateKeyRequest // that the operation acts on; nil: a symmetric one
	prepare func(t *testing.T, w *world, who servicetest.Credentials, s *topic)
	request func(s *topic) any
}

const (
	firstRegion, secondRegion = "us-east-1", "eu-west-1"
	message                   = "secret plaintext"
)

var twoRegions = servicetest.Options{Regions: []string{firstRegion, secondRegion}}

// Keys of every kind, none of RSA: making one takes long.
var (
	symmetricKey = &kms.CreateKeyRequest{}
	signingKey   = &kms.CreateKeyRequest{KeySpec: kms.ECCNISTP256, KeyUsage: kms.SignVerify}
	agreementKey = &kms.CreateKeyRequest{KeySpec: kms.ECCNISTP256, KeyUsage: kms.KeyAgreement}
	macKey       = &kms.CreateKeyRequest{KeySpec: kms.HMAC256, KeyUsage: kms.GenerateVerifyMac}
	kemKey       = &kms.CreateKeyRequest{KeySpec: kms.MLKEM768, KeyUsage: kms.EncapsulateDecapsulate}
	externalKey  = &kms.CreateKeyRequest{Origin: kms.OriginExternal}
	regionalKey  = &kms.CreateKeyRequest{MultiRegion: true}
)

func signRequest(s *topic) any {
	return &kms.SignRequest{KeyID: s.name, Message: []byte(message), SigningAlgorithm: kms.ECDSASHA256}
}

func macRequest(s *topic) any {
	return &kms.GenerateMacRequest{KeyID: s.name, Message: []byte(message), MacAlgorithm: kms.HMACSHA256}
}

func encapsulateRequest(s *topic) any {
	return &kms.EncapsulateRequest{KeyID: s.name, EncapsulationAlgorithm: kms.MLKEM}
}

func parametersRequest(s *topic) any {
	return &kms.GetParametersForImportRequest{KeyID: s.name, WrappingAlgorithm: kms.WrapRSAESOAEPSHA256, WrappingKeySpec: kms.RSA2048}
}

func byKey(s *topic) any { return &kms.KeyRequest{KeyID: s.name} }

// rights has every operation of the table.
var rights = merge(keyRights, identityRights())

func merge(a, b map[*kms.Operation]right) map[*kms.Operation]right {
	maps.Copy(b, a)
	return b
}

var keyRights = map[*kms.Operation]right{
	kms.OpCreateKey: {request: func(*topic) any {
		return &kms.CreateKeyRequest{Description: "d", Tags: map[string]string{"k": "v"}}
	}},
	kms.OpListKeys:             {request: func(*topic) any { return &kms.ListRequest{} }},
	kms.OpDescribeKey:          {request: func(s *topic) any { return &kms.DescribeKeyRequest{KeyID: s.name} }},
	kms.OpGetKeyLastUsage:      {request: byKey},
	kms.OpGetKeyPolicy:         {request: byKey},
	kms.OpListKeyPolicies:      {request: func(s *topic) any { return &kms.KeyListRequest{KeyID: s.name} }},
	kms.OpListResourceTags:     {request: func(s *topic) any { return &kms.KeyListRequest{KeyID: s.name} }},
	kms.OpGetKeyRotationStatus: {request: byKey},
	kms.OpListKeyRotations:     {request: func(s *topic) any { return &kms.ListKeyRotationsRequest{KeyID: s.name} }},
	kms.OpListGrants:           {request: func(s *topic) any { return &kms.ListGrantsRequest{KeyID: s.name} }},

	kms.OpEnableKey:            {request: byKey},
	kms.OpDisableKey:           {request: byKey},
	kms.OpScheduleKeyDeletion:  {request: func(s *topic) any { return &kms.ScheduleKeyDeletionRequest{KeyID: s.name, PendingWindowInDays: ptr(7)} }},
	kms.OpCancelKeyDeletion:    {prepare: pendingDeletion, request: byKey},
	kms.OpUpdateKeyDescription: {request: func(s *topic) any { return &kms.UpdateKeyDescriptionRequest{KeyID: s.name, Description: "new"} }},
	kms.OpPutKeyPolicy: {request: func(s *topic) any {
		return &kms.PutKeyPolicyRequest{KeyID: s.name, Policy: defaultPolicy(servicetest.Operator)}
	}},
	kms.OpTagResource: {request: func(s *topic) any {
		return &kms.TagResourceRequest{KeyID: s.name, Tags: map[string]string{"a": "b"}}
	}},
	kms.OpUntagResource: {request: func(s *topic) any { return &kms.UntagResourceRequest{KeyID: s.name, TagKeys: []string{"a"}} }},

	kms.OpEnableKeyRotation:  {request: func(s *topic) any { return &kms.EnableKeyRotationRequest{KeyID: s.name} }},
	kms.OpDisableKeyRotation: {request: byKey},
	kms.OpRotateKeyOnDemand:  {request: byKey},

	kms.OpGetParametersForImport: {key: externalKey, request: parametersRequest},
	kms.OpImportKeyMaterial: {key: externalKey, prepare: wrap, request: func(s *topic) any {
		return &kms.ImportKeyMaterialRequest{KeyID: s.name, ImportToken: s.token, EncryptedKeyMaterial: s.wrapped, ExpirationModel: kms.MaterialDoesNotExpire}
	}},
	kms.OpDeleteImportedKeyMaterial: {key: externalKey, request: func(s *topic) any { return &kms.DeleteImportedKeyMaterialRequest{KeyID: s.name} }},
	kms.OpReplicateKey: {key: regionalKey, request: func(s *topic) any {
		return &kms.ReplicateKeyRequest{KeyID: s.name, ReplicaRegion: secondRegion}
	}},
	kms.OpUpdatePrimaryRegion: {key: regionalKey, prepare: replicated, request: func(s *topic) any {
		return &kms.UpdatePrimaryRegionRequest{KeyID: s.name, PrimaryRegion: secondRegion}
	}},

	kms.OpCreateGrant:  {request: func(s *topic) any { return grantRequest(s.name) }},
	kms.OpRevokeGrant:  {prepare: granted, request: func(s *topic) any { return &kms.RevokeGrantRequest{KeyID: s.name, GrantID: s.grantID} }},
	kms.OpRetireGrant:  {prepare: granted, request: func(s *topic) any { return &kms.RetireGrantRequest{KeyID: s.name, GrantID: s.grantID} }},
	kms.OpGetResources: {request: func(*topic) any { return &kms.GetResourcesRequest{} }},
	kms.OpListRetirableGrants: {request: func(*topic) any {
		return &kms.ListRetirableGrantsRequest{RetiringPrincipal: "arn:aws:iam::" + aliceID + ":root"}
	}},

	kms.OpEncrypt: {request: func(s *topic) any { return &kms.EncryptRequest{KeyID: s.name, Plaintext: []byte(message)} }},
	kms.OpDecrypt: {prepare: encrypted, request: func(s *topic) any { return &kms.DecryptRequest{CiphertextBlob: s.ciphertext} }},
	kms.OpReEncrypt: {prepare: encrypted, request: func(s *topic) any {
		return &kms.ReEncryptRequest{KeyID: s.name, CiphertextBlob: s.ciphertext}
	}},
	kms.OpGenerateDataKey: {request: func(s *topic) any {
		return &kms.GenerateDataKeyRequest{KeyID: s.name, KeySpec: kms.DataKeyAES256}
	}},
	kms.OpGenerateDataKeyWithoutPlaintext: {request: func(s *topic) any {
		return &kms.GenerateDataKeyRequest{KeyID: s.name, NumberOfBytes: ptr(24)}
	}},
	kms.OpGenerateDataKeyPair: {request: func(s *topic) any {
		return &kms.GenerateDataKeyPairRequest{KeyID: s.name, KeyPairSpec: kms.ECCNISTP256}
	}},
	kms.OpGenerateDataKeyPairWithoutPlaintext: {request: func(s *topic) any {
		return &kms.GenerateDataKeyPairRequest{KeyID: s.name, KeyPairSpec: kms.ECCNISTP384}
	}},
	kms.OpSign: {key: signingKey, request: signRequest},
	kms.OpVerify: {key: signingKey, prepare: signed, request: func(s *topic) any {
		return &kms.VerifyRequest{KeyID: s.name, Message: []byte(message), Signature: s.signature, SigningAlgorithm: kms.ECDSASHA256}
	}},
	kms.OpGenerateMac: {key: macKey, request: macRequest},
	kms.OpVerifyMac: {key: macKey, prepare: maced, request: func(s *topic) any {
		return &kms.VerifyMacRequest{KeyID: s.name, Message: []byte(message), Mac: s.mac, MacAlgorithm: kms.HMACSHA256}
	}},
	kms.OpGetPublicKey: {key: signingKey, request: func(s *topic) any { return &kms.GetPublicKeyRequest{KeyID: s.name} }},
	kms.OpDeriveSharedSecret: {key: agreementKey, prepare: withPublic, request: func(s *topic) any {
		return &kms.DeriveSharedSecretRequest{KeyID: s.name, PublicKey: s.public, KeyAgreementAlgorithm: kms.ECDH}
	}},
	kms.OpEncapsulate: {key: kemKey, request: encapsulateRequest},
	kms.OpDecapsulate: {key: kemKey, prepare: encapsulated, request: func(s *topic) any {
		return &kms.DecapsulateRequest{KeyID: s.name, SharedSecretCiphertextBlob: s.ciphertext, EncapsulationAlgorithm: kms.MLKEM}
	}},
	kms.OpGenerateRandom: {request: func(*topic) any { return &kms.GenerateRandomRequest{NumberOfBytes: ptr(16)} }},

	kms.OpCreateAlias: {request: func(s *topic) any { return &kms.CreateAliasRequest{AliasName: "alias/new", TargetKeyID: s.name} }},
	kms.OpUpdateAlias: {request: func(s *topic) any { return &kms.UpdateAliasRequest{AliasName: s.alias, TargetKeyID: s.name} }},
	kms.OpDeleteAlias: {request: func(s *topic) any { return &kms.DeleteAliasRequest{AliasName: s.alias} }},
	kms.OpListAliases: {request: func(s *topic) any { return &kms.ListAliasesRequest{KeyID: s.name} }},

	kms.OpCreateCustomKeyStore:     {request: func(*topic) any { return createStore() }},
	kms.OpUpdateCustomKeyStore:     {request: func(*topic) any { return updateStore() }},
	kms.OpDeleteCustomKeyStore:     {request: func(*topic) any { return &kms.CustomKeyStoreRequest{CustomKeyStoreID: "cks-1"} }},
	kms.OpConnectCustomKeyStore:    {request: func(*topic) any { return &kms.CustomKeyStoreRequest{CustomKeyStoreID: "cks-1"} }},
	kms.OpDisconnectCustomKeyStore: {request: func(*topic) any { return &kms.CustomKeyStoreRequest{CustomKeyStoreID: "cks-1"} }},
	kms.OpDescribeCustomKeyStores:  {request: func(*topic) any { return &kms.DescribeCustomKeyStoresRequest{} }},

	kms.OpGetCallerIdentity: {request: func(*topic) any { return &kms.Empty{} }},
	kms.OpCreateAccount:     {request: func(*topic) any { return &kms.CreateAccountRequest{AccountID: "333333333333", Name: "n"} }},
	kms.OpListAccounts:      {request: func(*topic) any { return &kms.ListRequest{} }},
	kms.OpDisableAccount:    {request: func(*topic) any { return &kms.AccountRequest{AccountID: bobID} }},
	kms.OpGetSetting:        {request: func(*topic) any { return &kms.SettingRequest{Name: kms.SettingRevocationBound} }},
	kms.OpPutSetting: {request: func(*topic) any {
		return &kms.PutSettingRequest{Name: kms.SettingRevocationBound, Value: "30s"}
	}},
	kms.OpLookupEvents:       {request: func(s *topic) any { return &kms.LookupEventsRequest{KeyID: s.name} }},
	kms.OpGetAuditCheckpoint: {request: func(*topic) any { return &kms.Empty{} }},
	kms.OpReadMembers:        {request: func(*topic) any { return &kms.Empty{} }},
	kms.OpAllowMember:        {request: func(*topic) any { return &kms.AllowMemberRequest{Name: "node-9"} }},
	kms.OpRemoveMember:       {request: func(*topic) any { return &kms.RemoveMemberRequest{Name: "node-9"} }},
	kms.OpSeal:               {request: func(*topic) any { return &kms.SealRequest{} }},
}

// unserved are the operations that refuse whoever may call them.
var unserved = []*kms.Operation{kms.OpCreateCustomKeyStore, kms.OpUpdateCustomKeyStore, kms.OpDeleteCustomKeyStore,
	kms.OpConnectCustomKeyStore, kms.OpDisconnectCustomKeyStore}

// verdictOn is how a right request of an operation ends.
func verdictOn(op *kms.Operation) kms.Code {
	if slices.Contains(unserved, op) {
		return kms.CodeUnsupported
	}
	return ""
}

// requests returns a request of every operation that is right for the owner of key and alias, as far as one
// key can be of the right kind for all.
func requests(key, alias string, ciphertext []byte) map[*kms.Operation]any {
	all := map[*kms.Operation]any{}
	for op, r := range rights {
		all[op] = r.request(&topic{name: key, alias: alias, account: aliceID, n: "n", accessKey: "AKIAAAAAAAAAAAAAAAAA", webToken: "a.b.c", ciphertext: ciphertext, signature: []byte("s"), mac: []byte("m"), public: []byte("p"),
			token: []byte("t"), wrapped: []byte("w"), grantID: "g"})
	}
	return all
}

// topic makes a key of the right kind for an operation, with an alias and what else its request needs.
func (w *world) topic(t *testing.T, who servicetest.Credentials, op *kms.Operation, alias string) *topic {
	t.Helper()
	r, ok := rights[op]
	if !ok {
		t.Fatalf("the tests have no request of %s", op.Name)
	}
	q := r.key
	if q == nil {
		q = symmetricKey
	}
	s := &topic{alias: alias, account: w.accountOf(who), n: strings.NewReplacer("alias/", "", "/", "-").Replace(alias)}
	s.id = w.make(t, who, q).KeyID
	s.name = s.id
	w.must(t, who, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: alias, TargetKeyID: s.id})
	if r.prepare != nil {
		r.prepare(t, w, who, s)
	}
	return s
}

// must calls an operation that has to succeed.
func (w *world) must(t testing.TB, who servicetest.Credentials, op *kms.Operation, request any) any {
	t.Helper()
	answer, err := w.Do(who, op, request)
	if err != nil {
		t.Fatalf("%s: %v", op.Name, err)
	}
	return answer
}

// make creates a key.
func (w *world) make(t testing.TB, who servicetest.Credentials, q *kms.CreateKeyRequest) kms.KeyMetadata {
	t.Helper()
	return w.must(t, who, kms.OpCreateKey, q).(*kms.KeyAnswer).Key
}

func defaultPolicy(account string) kms.PolicyDocument {
	return kms.PolicyDocument(auth.DefaultKeyPolicy("aws", account))
}

func grantRequest(key string) *kms.CreateGrantRequest {
	return &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: "arn:aws:iam::" + bobID + ":root", RetiringPrincipal: "arn:aws:iam::" + aliceID + ":root",
		Operations: []kms.GrantOperation{"DescribeKey"}}
}

func pendingDeletion(t *testing.T, w *world, who servicetest.Credentials, s *topic) {
	w.must(t, who, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: s.id})
}

func replicated(t *testing.T, w *world, who servicetest.Credentials, s *topic) {
	w.must(t, who, kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: s.id, ReplicaRegion: secondRegion})
}

func granted(t *testing.T, w *world, who servicetest.Credentials, s *topic) {
	a := w.must(t, who, kms.OpCreateGrant, grantRequest(s.id)).(*kms.CreateGrantAnswer)
	s.grantID, s.grantToken = a.GrantID, a.GrantToken
}

func encrypted(t *testing.T, w *world, who servicetest.Credentials, s *topic) {
	s.ciphertext = w.encrypt(t, who, s.id, message, nil)
}

func signed(t *testing.T, w *world, who servicetest.Credentials, s *topic) {
	s.signature = w.must(t, who, kms.OpSign, signRequest(s)).(*kms.SignAnswer).Signature
}

func maced(t *testing.T, w *world, who servicetest.Credentials, s *topic) {
	s.mac = w.must(t, who, kms.OpGenerateMac, macRequest(s)).(*kms.GenerateMacAnswer).Mac
}

func encapsulated(t *testing.T, w *world, who servicetest.Credentials, s *topic) {
	s.ciphertext = w.must(t, who, kms.OpEncapsulate, encapsulateRequest(s)).(*kms.EncapsulateAnswer).SharedSecretCiphertextBlob
}

func withPublic(t *testing.T, w *world, who servicetest.Credentials, s *topic) {
	other := w.make(t, who, agreementKey).KeyID
	s.public = w.must(t, who, kms.OpGetPublicKey, &kms.GetPublicKeyRequest{KeyID: other}).(*kms.GetPublicKeyAnswer).PublicKey
}

// wrap gets a token and encrypts random symmetric material for it.
func wrap(t *testing.T, w *world, who servicetest.Credentials, s *topic) {
	p := w.must(t, who, kms.OpGetParametersForImport, parametersRequest(s)).(*kms.GetParametersForImportAnswer)
	public, err := x509.ParsePKIXPublicKey(p.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	material := make([]byte, 32)
	rand.Read(material)
	s.token = p.ImportToken
	s.wrapped, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, public.(*rsa.PublicKey), material, nil)
	if err != nil {
		t.Fatal(err)
	}
}
