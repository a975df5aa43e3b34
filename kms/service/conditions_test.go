package service_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// trial is a condition key and a request that has it.
type trial struct {
	key      string // condition key
	operator string
	yes, no  string // values with which the condition holds, or does not; blanks separate several
	op       *kms.Operation
	edit     func(w *world, s *topic, request any)  // of the request that is right for the operation
	prepare  func(t *testing.T, w *world, s *topic) // nil: nothing
	call     func(*service.Call)                    // of the call; nil: nothing
	spec     *kms.CreateKeyRequest                  // instead of the operation's
	actions  string                                 // that have the condition, instead of the operation's
	free     string                                 // actions that are allowed without it
}

func (x trial) condition(values string) string {
	return `{"` + x.operator + `":{"` + x.key + `":["` + strings.Join(strings.Fields(values), `","`) + `"]}}`
}

func tagged(t *testing.T, w *world, s *topic) {
	w.must(t, w.alice, kms.OpTagResource, &kms.TagResourceRequest{KeyID: s.id, Tags: map[string]string{"Team": "blue"}})
}

func withContext(context map[string]string) func(*world, *topic, any) {
	return func(_ *world, _ *topic, request any) {
		request.(*kms.EncryptRequest).EncryptionContext = context
	}
}

func constrained(subset bool) func(*world, *topic, any) {
	return func(_ *world, _ *topic, request any) {
		q, context := request.(*kms.CreateGrantRequest), map[string]string{"App": "shop"}
		q.Operations, q.Constraints = []kms.GrantOperation{"Encrypt", "Decrypt"}, &kms.GrantConstraints{EncryptionContextEquals: context}
		if subset {
			q.Constraints = &kms.GrantConstraints{EncryptionContextSubset: context}
		}
	}
}

func byAlias(_ *world, s *topic, request any) { request.(*kms.EncryptRequest).KeyID = s.alias }

func overTLS(c *service.Call) { c.TLS = true }

var shopContext = map[string]string{"App": "shop", "Stage": "test"}

var trials = []trial{
	{key: "aws:PrincipalArn", operator: "ArnEquals", yes: "arn:aws:iam::" + aliceID + ":user/carl", no: aliceRoot, op: kms.OpDescribeKey},
	{key: "aws:PrincipalAccount", operator: "StringEquals", yes: aliceID, no: bobID, op: kms.OpDescribeKey},
	{key: "aws:PrincipalType", operator: "StringEquals", yes: "User", no: "Account", op: kms.OpDescribeKey},
	{key: "aws:username", operator: "StringEquals", yes: "carl", no: "dora", op: kms.OpDescribeKey},
	{key: "aws:PrincipalTag/Team", operator: "StringEquals", yes: "blue", no: "red", op: kms.OpDescribeKey},
	{key: "aws:principaltag/TEAM", operator: "StringEquals", yes: "blue", no: "Blue", op: kms.OpDescribeKey},
	{key: "aws:ResourceTag/Team", operator: "StringEquals", yes: "blue", no: "red", op: kms.OpDescribeKey, prepare: tagged},
	{key: "aws:ResourceTag/Team", operator: "StringEquals", yes: "${aws:PrincipalTag/Team}", no: "${aws:PrincipalTag/None}", op: kms.OpDescribeKey, prepare: tagged},
	{key: "aws:ResourceTag/Team", operator: "Null", yes: "true", no: "false", op: kms.OpDescribeKey},
	{key: "aws:RequestTag/a", operator: "StringEquals", yes: "b", no: "c", op: kms.OpTagResource},
	{key: "aws:RequestTag/k", operator: "StringEquals", yes: "v", no: "w", op: kms.OpCreateKey, actions: "kms:CreateKey kms:TagResource"},
	{key: "aws:RequestTag/k", operator: "StringEquals", yes: "v", no: "w", op: kms.OpCreateKey, actions: "kms:TagResource", free: "kms:CreateKey"},
	{key: "aws:TagKeys", operator: "ForAllValues:StringEquals", yes: "a b", no: "b c", op: kms.OpTagResource},
	{key: "aws:TagKeys", operator: "ForAnyValue:StringEquals", yes: "a b", no: "b c", op: kms.OpUntagResource},
	{key: "aws:SourceIp", operator: "IpAddress", yes: "192.0.2.0/24", no: "198.51.100.0/24", op: kms.OpDescribeKey},
	{key: "aws:CurrentTime", operator: "DateLessThan", yes: "9000-01-01T00:00:00Z", no: "2020-01-01T00:00:00Z", op: kms.OpDescribeKey},
	{key: "aws:EpochTime", operator: "NumericLessThan", yes: "9000000000", no: "1000000000", op: kms.OpDescribeKey},
	{key: "aws:SecureTransport", operator: "Bool", yes: "false", no: "true", op: kms.OpDescribeKey},
	{key: "aws:SecureTransport", operator: "Bool", yes: "true", no: "false", op: kms.OpEncrypt, call: overTLS},
	{key: "aws:MultiFactorAuthPresent", operator: "Bool", yes: "false", no: "true", op: kms.OpDescribeKey},
	{key: "aws:UserAgent", operator: "StringEquals", yes: "servicetest", no: "curl", op: kms.OpDescribeKey},
	{key: "aws:RequestedRegion", operator: "StringEquals", yes: firstRegion, no: secondRegion, op: kms.OpDescribeKey},
	{key: "aws:RequestedRegion", operator: "StringEquals", yes: secondRegion, no: firstRegion, op: kms.OpReplicateKey, actions: "kms:CreateKey", free: "kms:ReplicateKey"},
	{key: "aws:ResourceAccount", operator: "StringEquals", yes: aliceID, no: bobID, op: kms.OpDescribeKey},

	{key: "kms:CallerAccount", operator: "StringEquals", yes: aliceID, no: bobID, op: kms.OpEncrypt},
	{key: "kms:ViaService", operator: "Null", yes: "true", no: "false", op: kms.OpEncrypt},
	{key: "kms:KeySpec", operator: "StringEquals", yes: "SYMMETRIC_DEFAULT", no: "RSA_2048", op: kms.OpEncrypt},
	{key: "kms:KeySpec", operator: "StringEquals", yes: "SYMMETRIC_DEFAULT", no: "RSA_2048", op: kms.OpCreateKey, free: "kms:TagResource"},
	{key: "kms:CustomerMasterKeySpec", operator: "StringEquals", yes: "ECC_NIST_P256", no: "SYMMETRIC_DEFAULT", op: kms.OpSign},
	{key: "kms:KeyUsage", operator: "StringEquals", yes: "SIGN_VERIFY", no: "ENCRYPT_DECRYPT", op: kms.OpSign},
	{key: "kms:KeyUsage", operator: "StringEquals", yes: "ENCRYPT_DECRYPT", no: "SIGN_VERIFY", op: kms.OpCreateKey, free: "kms:TagResource"},
	{key: "kms:CustomerMasterKeyUsage", operator: "StringEquals", yes: "SIGN_VERIFY", no: "ENCRYPT_DECRYPT", op: kms.OpSign},
	{key: "kms:KeyOrigin", operator: "StringEquals", yes: "AWS_KMS", no: "EXTERNAL", op: kms.OpDescribeKey},
	{key: "kms:KeyOrigin", operator: "StringEquals", yes: "EXTERNAL", no: "AWS_KMS", op: kms.OpDescribeKey, spec: externalKey},
	{key: "kms:KeyOrigin", operator: "StringEquals", yes: "AWS_KMS", no: "EXTERNAL", op: kms.OpCreateKey, free: "kms:TagResource"},
	{key: "kms:MultiRegion", operator: "Bool", yes: "false", no: "true", op: kms.OpDescribeKey},
	{key: "kms:MultiRegion", operator: "Bool", yes: "true", no: "false", op: kms.OpDescribeKey, spec: regionalKey},
	{key: "kms:MultiRegion", operator: "Bool", yes: "true", no: "false", op: kms.OpCreateKey, free: "kms:TagResource", edit: func(_ *world, _ *topic, q any) { q.(*kms.CreateKeyRequest).MultiRegion = true }},
	{key: "kms:MultiRegionKeyType", operator: "StringEquals", yes: "PRIMARY", no: "REPLICA", op: kms.OpDescribeKey, spec: regionalKey},
	{key: "kms:MultiRegionKeyType", operator: "StringEquals", yes: "PRIMARY", no: "REPLICA", op: kms.OpCreateKey, free: "kms:TagResource", edit: func(_ *world, _ *topic, q any) { q.(*kms.CreateKeyRequest).MultiRegion = true }},
	{key: "kms:RequestAlias", operator: "StringLike", yes: "alias/trial-*", no: "alias/other", op: kms.OpEncrypt, edit: byAlias},
	{key: "kms:RequestAlias", operator: "Null", yes: "true", no: "false", op: kms.OpEncrypt},
	{key: "kms:ResourceAliases", operator: "ForAnyValue:StringLike", yes: "alias/trial-*", no: "alias/other", op: kms.OpEncrypt},

	{key: "kms:EncryptionContext:App", operator: "StringEquals", yes: "shop", no: "bank", op: kms.OpEncrypt, edit: withContext(shopContext)},
	{key: "kms:encryptioncontext:APP", operator: "StringEquals", yes: "shop", no: "Shop", op: kms.OpEncrypt, edit: withContext(shopContext)},
	{key: "kms:EncryptionContext:App", operator: "Null", yes: "true", no: "false", op: kms.OpEncrypt},
	{key: "kms:EncryptionContextKeys", operator: "ForAllValues:StringEquals", yes: "App Stage", no: "App", op: kms.OpEncrypt, edit: withContext(shopContext)},
	{key: "kms:EncryptionContextKeys", operator: "ForAnyValue:StringEquals", yes: "App", no: "Zone", op: kms.OpEncrypt, edit: withContext(shopContext)},
	{key: "kms:EncryptionAlgorithm", operator: "StringEquals", yes: "SYMMETRIC_DEFAULT", no: "RSAES_OAEP_SHA_256", op: kms.OpEncrypt},
	{key: "kms:EncryptionAlgorithm", operator: "StringEquals", yes: "SYMMETRIC_DEFAULT", no: "RSAES_OAEP_SHA_256", op: kms.OpDecrypt},
	{key: "kms:EncryptionAlgorithm", operator: "StringEquals", yes: "SYMMETRIC_DEFAULT", no: "RSAES_OAEP_SHA_256", op: kms.OpReEncrypt, actions: "kms:ReEncryptFrom", free: "kms:ReEncryptTo"},
	{key: "kms:EncryptionAlgorithm", operator: "StringEquals", yes: "SYMMETRIC_DEFAULT", no: "RSAES_OAEP_SHA_256", op: kms.OpReEncrypt, actions: "kms:ReEncryptTo", free: "kms:ReEncryptFrom"},
	{key: "kms:EncryptionAlgorithm", operator: "StringEquals", yes: "SYMMETRIC_DEFAULT", no: "RSAES_OAEP_SHA_256", op: kms.OpGenerateDataKey},
	{key: "kms:EncryptionAlgorithm", operator: "StringEquals", yes: "SYMMETRIC_DEFAULT", no: "RSAES_OAEP_SHA_256", op: kms.OpGenerateDataKeyPair},
	{key: "kms:ReEncryptOnSameKey", operator: "Bool", yes: "true", no: "false", op: kms.OpReEncrypt, actions: "kms:ReEncrypt*"},
	{key: "kms:ReEncryptOnSameKey", operator: "Bool", yes: "true", no: "false", op: kms.OpReEncrypt, actions: "kms:ReEncryptFrom", free: "kms:ReEncryptTo",
		edit: func(_ *world, s *topic, q any) { q.(*kms.ReEncryptRequest).SourceKeyID = s.alias }},
	{key: "kms:ReEncryptOnSameKey", operator: "Bool", yes: "false", no: "true", op: kms.OpReEncrypt, actions: "kms:ReEncrypt*",
		edit: func(w *world, _ *topic, q any) { q.(*kms.ReEncryptRequest).KeyID = w.CreateKey(w.alice) }},
	{key: "kms:ReEncryptOnSameKey", operator: "Null", yes: "true", no: "false", op: kms.OpEncrypt},
	{key: "kms:DataKeyPairSpec", operator: "StringEquals", yes: "ECC_NIST_P256", no: "ECC_NIST_P384", op: kms.OpGenerateDataKeyPair},
	{key: "kms:DataKeyPairSpec", operator: "StringEquals", yes: "ECC_NIST_P384", no: "ECC_NIST_P256", op: kms.OpGenerateDataKeyPairWithoutPlaintext},
	{key: "kms:SigningAlgorithm", operator: "StringEquals", yes: "ECDSA_SHA_256", no: "ECDSA_SHA_384", op: kms.OpSign},
	{key: "kms:SigningAlgorithm", operator: "StringEquals", yes: "ECDSA_SHA_256", no: "ECDSA_SHA_384", op: kms.OpVerify},
	{key: "kms:MessageType", operator: "StringEquals", yes: "RAW", no: "DIGEST", op: kms.OpSign},
	{key: "kms:MessageType", operator: "StringEquals", yes: "DIGEST", no: "RAW", op: kms.OpSign, edit: func(_ *world, _ *topic, request any) {
		q := request.(*kms.SignRequest)
		q.MessageType, q.Message = "DIGEST", digestOf(kms.ECDSASHA256, q.Message)
	}},
	{key: "kms:MessageType", operator: "StringEquals", yes: "RAW", no: "DIGEST", op: kms.OpVerify},
	{key: "kms:MacAlgorithm", operator: "StringEquals", yes: "HMAC_SHA_256", no: "HMAC_SHA_512", op: kms.OpGenerateMac},
	{key: "kms:MacAlgorithm", operator: "StringEquals", yes: "HMAC_SHA_256", no: "HMAC_SHA_512", op: kms.OpVerifyMac},
	{key: "kms:KeyAgreementAlgorithm", operator: "StringEquals", yes: "ECDH", no: "DH", op: kms.OpDeriveSharedSecret},

	{key: "kms:GrantOperations", operator: "ForAllValues:StringEquals", yes: "Encrypt Decrypt Sign", no: "Encrypt", op: kms.OpCreateGrant, edit: constrained(false)},
	{key: "kms:GrantOperations", operator: "ForAnyValue:StringEquals", yes: "Encrypt Sign", no: "Sign", op: kms.OpCreateGrant, edit: constrained(false)},
	{key: "kms:GrantConstraintType", operator: "StringEquals", yes: "EncryptionContextEquals", no: "EncryptionContextSubset", op: kms.OpCreateGrant, edit: constrained(false)},
	{key: "kms:GrantConstraintType", operator: "StringEquals", yes: "EncryptionContextSubset", no: "EncryptionContextEquals", op: kms.OpCreateGrant, edit: constrained(true)},
	{key: "kms:GrantConstraintType", operator: "Null", yes: "true", no: "false", op: kms.OpCreateGrant},
	{key: "kms:GranteePrincipal", operator: "StringEquals", yes: bobRoot, no: aliceRoot, op: kms.OpCreateGrant},
	{key: "kms:RetiringPrincipal", operator: "StringEquals", yes: aliceRoot, no: bobRoot, op: kms.OpCreateGrant},
	{key: "kms:RetiringPrincipal", operator: "Null", yes: "true", no: "false", op: kms.OpCreateGrant, edit: func(_ *world, _ *topic, q any) { q.(*kms.CreateGrantRequest).RetiringPrincipal = "" }},
	{key: "kms:GrantIsForAWSResource", operator: "Bool", yes: "false", no: "true", op: kms.OpCreateGrant},
	{key: "kms:GrantIsForAWSResource", operator: "Bool", yes: "false", no: "true", op: kms.OpListGrants},
	{key: "kms:GrantIsForAWSResource", operator: "Bool", yes: "false", no: "true", op: kms.OpRevokeGrant},

	{key: "kms:RotationPeriodInDays", operator: "NumericGreaterThanEquals", yes: "365", no: "366", op: kms.OpEnableKeyRotation},
	{key: "kms:RotationPeriodInDays", operator: "NumericGreaterThanEquals", yes: "90", no: "91", op: kms.OpEnableKeyRotation, edit: func(_ *world, _ *topic, q any) { q.(*kms.EnableKeyRotationRequest).RotationPeriodInDays = ptr(90) }},
	{key: "kms:ScheduleKeyDeletionPendingWindowInDays", operator: "NumericGreaterThanEquals", yes: "7", no: "8", op: kms.OpScheduleKeyDeletion},
	{key: "kms:ScheduleKeyDeletionPendingWindowInDays", operator: "NumericGreaterThanEquals", yes: "30", no: "31", op: kms.OpScheduleKeyDeletion, edit: func(_ *world, _ *topic, q any) { q.(*kms.ScheduleKeyDeletionRequest).PendingWindowInDays = nil }},
	{key: "kms:TrailingDaysWithoutKeyUsage", operator: "NumericLessThan", yes: "1", no: "0", op: kms.OpScheduleKeyDeletion},
	{key: "kms:TrailingDaysWithoutKeyUsage", operator: "NumericGreaterThanEquals", yes: "0", no: "1", op: kms.OpDisableKey},
	{key: "kms:TrailingDaysWithoutKeyUsage", operator: "Null", yes: "true", no: "false", op: kms.OpEncrypt},
	{key: "kms:BypassPolicyLockoutSafetyCheck", operator: "Bool", yes: "false", no: "true", op: kms.OpPutKeyPolicy},
	{key: "kms:BypassPolicyLockoutSafetyCheck", operator: "Bool", yes: "true", no: "false", op: kms.OpPutKeyPolicy, edit: func(_ *world, _ *topic, q any) { q.(*kms.PutKeyPolicyRequest).BypassPolicyLockoutSafetyCheck = true }},
	{key: "kms:BypassPolicyLockoutSafetyCheck", operator: "Bool", yes: "true", no: "false", op: kms.OpCreateKey, free: "kms:TagResource", edit: func(_ *world, _ *topic, q any) { q.(*kms.CreateKeyRequest).BypassPolicyLockoutSafetyCheck = true }},
	{key: "kms:BypassPolicyLockoutSafetyCheck", operator: "Bool", yes: "false", no: "true", op: kms.OpReplicateKey, free: "kms:CreateKey"},
	{key: "kms:ReplicaRegion", operator: "StringEquals", yes: secondRegion, no: firstRegion, op: kms.OpReplicateKey, free: "kms:CreateKey"},
	{key: "kms:PrimaryRegion", operator: "StringEquals", yes: secondRegion, no: firstRegion, op: kms.OpUpdatePrimaryRegion},
	{key: "kms:WrappingAlgorithm", operator: "StringEquals", yes: "RSAES_OAEP_SHA_256", no: "RSAES_OAEP_SHA_1", op: kms.OpGetParametersForImport},
	{key: "kms:WrappingKeySpec", operator: "StringEquals", yes: "RSA_2048", no: "RSA_4096", op: kms.OpGetParametersForImport},
	{key: "kms:ExpirationModel", operator: "StringEquals", yes: "KEY_MATERIAL_DOES_NOT_EXPIRE", no: "KEY_MATERIAL_EXPIRES", op: kms.OpImportKeyMaterial},
	{key: "kms:ValidTo", operator: "DateLessThan", yes: "9000-01-01T00:00:00Z", no: "2020-01-01T00:00:00Z", op: kms.OpImportKeyMaterial, edit: func(w *world, _ *topic, request any) {
		q := request.(*kms.ImportKeyMaterialRequest)
		q.ExpirationModel, q.ValidTo = kms.MaterialExpires, w.after(24*time.Hour)
	}},
}

// conditioned are the condition keys that policies on keys can rely on.
const conditioned = `aws:PrincipalArn aws:PrincipalTag aws:ResourceTag aws:RequestTag aws:TagKeys aws:SourceIp aws:CurrentTime aws:SecureTransport
	aws:MultiFactorAuthPresent kms:EncryptionContext kms:EncryptionContextKeys kms:KeySpec kms:KeyUsage kms:KeyOrigin kms:MultiRegion kms:RequestAlias
	kms:ResourceAliases kms:CallerAccount kms:ViaService kms:KeyAgreementAlgorithm kms:TrailingDaysWithoutKeyUsage kms:EncryptionAlgorithm
	kms:SigningAlgorithm kms:MacAlgorithm kms:MessageType kms:GrantOperations kms:GrantConstraintType kms:GranteePrincipal kms:RetiringPrincipal
	kms:GrantIsForAWSResource kms:RotationPeriodInDays kms:ScheduleKeyDeletionPendingWindowInDays kms:ReEncryptOnSameKey kms:DataKeyPairSpec
	kms:BypassPolicyLockoutSafetyCheck kms:ValidTo kms:WrappingAlgorithm kms:WrappingKeySpec kms:PrimaryRegion kms:ReplicaRegion`

// Every condition key has a trial: those of the documentation, and whatever else the code knows.
func TestEveryConditionKeyIsTried(t *testing.T) {
	tried := map[string]bool{}
	for _, x := range trials {
		name, _, _ := strings.Cut(x.key, "/")
		if parts := strings.Split(name, ":"); len(parts) > 2 {
			name = parts[0] + ":" + parts[1]
		}
		tried[strings.ToLower(name)] = true
	}
	known := strings.Fields(strings.ToLower(conditioned))
	source, err := os.ReadFile("conditions.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`"((?:aws|kms):[a-z]+)"`).FindAllStringSubmatch(string(source), -1) {
		known = append(known, name[1])
	}
	for _, name := range known {
		if !tried[name] {
			t.Errorf("%s has no trial", name)
		}
	}
}

// A real request is allowed where the condition holds, and denied where it does not; where a Deny statement has the
// condition it is the other way round.
func TestConditions(t *testing.T) {
	w := newWorld(t, twoRegions)
	carl := w.member(t, w.alice, "carl", "")
	w.must(t, w.alice, kms.OpTagUser, &kms.TagIdentityRequest{Name: "carl", Tags: map[string]string{"Team": "blue"}})
	for i, x := range trials {
		name := fmt.Sprintf("%s %s of %s", x.operator, x.key, x.op.Name)
		s := w.topicOf(t, x, fmt.Sprintf("alias/trial-%d", i))
		request := rights[x.op].request(s)
		if q, ok := request.(*kms.PutKeyPolicyRequest); ok {
			q.Policy = defaultPolicy(aliceID)
		}
		if x.edit != nil {
			x.edit(w, s, request)
		}
		do := func() error {
			call := servicetest.Call(carl, x.op, request)
			if x.call != nil {
				x.call(call)
			}
			_, err := w.Service.Do(context.Background(), call)
			return err
		}
		actions := x.actions
		if actions == "" {
			actions = x.op.Action
		}
		free := x.free + " kms:None"
		for _, one := range []struct {
			policy kms.PolicyDocument
			code   kms.Code
		}{
			{rules(rule("Allow", actions, "*", x.condition(x.no)), rule("Allow", free, "*")), kms.CodeAccessDenied},
			{rules(rule("Allow", "kms:*", "*"), rule("Deny", actions, "*", x.condition(x.yes))), kms.CodeAccessDenied},
			{rules(rule("Allow", actions, "*", x.condition(x.yes)), rule("Allow", free, "*"), rule("Deny", actions, "*", x.condition(strings.Fields(x.no)[0]))), ""},
		} {
			if one.code == "" && strings.HasPrefix(x.operator, "For") { // several values: the Deny would meet others
				one.policy = rules(rule("Allow", actions, "*", x.condition(x.yes)), rule("Allow", free, "*"))
			}
			w.inline(t, w.alice, kms.OpPutUserPolicy, "carl", one.policy)
			if err := do(); kms.CodeOf(err) != one.code {
				t.Errorf("%s: %v, want %q with %s", name, err, one.code, one.policy)
			}
		}
	}
}

// topicOf is topic with the trial's own kind of key and preparation.
func (w *world) topicOf(t *testing.T, x trial, alias string) *topic {
	t.Helper()
	s := w.topic(t, w.alice, x.op, alias)
	if x.spec != nil {
		s.id = w.make(t, w.alice, x.spec).KeyID
		s.name = s.id
	}
	if x.prepare != nil {
		x.prepare(t, w, s)
	}
	return s
}

// The same conditions decide in key policies.
func TestConditionsOfKeyPolicies(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	dora, key := w.member(t, w.bob, "dora", permit("kms:*", "*")), w.CreateKey(w.alice)
	encrypt := func(context map[string]string) error {
		_, err := w.Do(dora, kms.OpEncrypt, &kms.EncryptRequest{KeyID: keyARN(key), Plaintext: []byte("p"), EncryptionContext: context})
		return err
	}
	for _, row := range []struct {
		condition string
		context   map[string]string
		code      kms.Code
	}{
		{`{"StringEquals":{"kms:CallerAccount":"` + bobID + `"}}`, nil, ""},
		{`{"StringEquals":{"kms:CallerAccount":"` + aliceID + `"}}`, nil, kms.CodeAccessDenied},
		{`{"StringEquals":{"aws:ResourceAccount":"` + aliceID + `"}}`, nil, ""},
		{`{"StringEquals":{"kms:EncryptionContext:App":"shop"}}`, shopContext, ""},
		{`{"StringEquals":{"kms:EncryptionContext:App":"shop"}}`, map[string]string{"app": "shop"}, ""},
		// Of two spellings the one that the policy has counts.
		{`{"StringEquals":{"kms:EncryptionContext:app":"shop"}}`, map[string]string{"App": "bank", "app": "shop"}, ""},
		{`{"StringEquals":{"kms:EncryptionContext:App":"shop"}}`, map[string]string{"App": "bank", "app": "shop"}, kms.CodeAccessDenied},
		{`{"StringEquals":{"kms:EncryptionContext:App":"shop"}}`, nil, kms.CodeAccessDenied},
		{`{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/dora"}}`, nil, ""},
		{`{"StringEquals":{"aws:PrincipalTag/Team":"blue"}}`, nil, kms.CodeAccessDenied},
	} {
		w.repolice(t, key, delegating(lets("*", "kms:Encrypt", row.condition)))
		want(t, fmt.Sprint(row.condition, row.context), encrypt(row.context), row.code)
	}
}

// Of a re-encryption each key is asked about with its own algorithm and context.
func TestReEncryptionHasTwoConditions(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	carl := w.member(t, w.alice, "carl", "")
	asymmetric := w.make(t, w.alice, &kms.CreateKeyRequest{KeySpec: kms.RSA2048, KeyUsage: kms.EncryptDecrypt}).KeyID
	a := w.must(t, w.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: asymmetric, Plaintext: []byte("p"), EncryptionAlgorithm: kms.RSAESOAEPSHA256}).(*kms.EncryptAnswer)
	for i, row := range []struct {
		from, to string
		code     kms.Code
	}{
		{`{"StringEquals":{"kms:EncryptionAlgorithm":"RSAES_OAEP_SHA_256"}}`, `{"StringEquals":{"kms:EncryptionAlgorithm":"SYMMETRIC_DEFAULT","kms:EncryptionContext:App":"shop"}}`, ""},
		{`{"StringEquals":{"kms:EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}}`, `{"Null":{"kms:ViaService":"true"}}`, kms.CodeAccessDenied},
		{`{"Null":{"kms:ViaService":"true"}}`, `{"StringEquals":{"kms:EncryptionAlgorithm":"RSAES_OAEP_SHA_256"}}`, kms.CodeAccessDenied},
		{`{"StringEquals":{"kms:EncryptionContext:App":"shop"}}`, `{"Null":{"kms:ViaService":"true"}}`, kms.CodeAccessDenied},
	} {
		w.inline(t, w.alice, kms.OpPutUserPolicy, "carl", rules(rule("Allow", "kms:ReEncryptFrom", "*", row.from), rule("Allow", "kms:ReEncryptTo", "*", row.to)))
		for _, to := range []string{w.CreateKey(w.alice), fmt.Sprintf("alias/aws/made-%d", i)} { // the managed key is not there yet
			if strings.Contains(row.to, "EncryptionContext") && strings.HasPrefix(to, "alias") {
				continue // there is no telling what the context would be before the key is
			}
			_, err := w.Do(carl, kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: to, SourceKeyID: asymmetric, CiphertextBlob: a.CiphertextBlob,
				SourceEncryptionAlgorithm: kms.RSAESOAEPSHA256, DestinationEncryptionContext: shopContext})
			want(t, fmt.Sprint(row, to), err, row.code)
		}
	}
	w.inline(t, w.alice, kms.OpPutUserPolicy, "carl", rules(rule("Allow", "kms:ReEncryptFrom", "*"),
		rule("Allow", "kms:ReEncryptTo", "*", `{"StringEquals":{"kms:EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}}`)))
	_, err := w.Do(carl, kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: "alias/aws/made", SourceKeyID: asymmetric, CiphertextBlob: a.CiphertextBlob, SourceEncryptionAlgorithm: kms.RSAESOAEPSHA256})
	want(t, "into a managed key that is made", err, "")
}

// A key goes only when no member knows of a use in the days that a policy asks for.
func TestTrailingDaysWithoutKeyUsage(t *testing.T) {
	var w *world
	o := servicetest.Options{Now: func() time.Time {
		if w == nil {
			return time.UnixMilli(servicetest.Epoch)
		}
		return time.UnixMilli(w.Now())
	}}
	w = newWorld(t, o)
	second := w.Cluster.Node(o)
	carl := w.member(t, w.alice, "carl", permit("kms:DisableKey kms:ScheduleKeyDeletion", "*", `{"NumericGreaterThanEquals":{"kms:TrailingDaysWithoutKeyUsage":"30"}}`))
	key := w.CreateKey(w.alice)
	tries := func(what string, code kms.Code) {
		t.Helper()
		_, err := w.Do(carl, kms.OpDisableKey, &kms.KeyRequest{KeyID: key})
		want(t, what+": disable", err, code)
		_, err = w.Do(carl, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: key})
		want(t, what+": schedule deletion", err, code)
	}
	tries("made today", kms.CodeAccessDenied)
	w.Advance(30 * 24 * time.Hour)
	w.encrypt(t, w.alice, key, message, nil)
	tries("used today", kms.CodeAccessDenied)
	w.Advance(29 * 24 * time.Hour)
	_, err := second.Do(w.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p")})
	want(t, "encrypt", err, "")
	w.Advance(2 * 24 * time.Hour)
	tries("another member used it", kms.CodeAccessDenied)
	w.Advance(28*24*time.Hour - time.Minute)
	tries("a minute too early", kms.CodeAccessDenied)
	w.Advance(time.Hour)
	second.Catalog.Seal()
	tries("a silent member", kms.CodeAccessDenied)
	second.Unseal()
	tries("thirty days", "")
}

// A condition on days that nothing but the end of a key's use has makes no request wait for the members, and none fail.
func TestTrailingDaysOfOtherRequests(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	days := `{"NumericLessThan":{"kms:TrailingDaysWithoutKeyUsage":"30"}}`
	carl := w.member(t, w.alice, "carl", rules(rule("Allow", "kms:*", "*"), rule("Deny", "kms:*", "*", days)))
	key := w.CreateKey(carl)
	want(t, "use", uses(w.Node, carl, key), "")
	want(t, "use of a managed key that is made", uses(w.Node, carl, "alias/aws/days"), "")
	want(t, "use of what is not there", uses(w.Node, carl, "alias/none"), kms.CodeNotFound)
	_, err := w.Do(carl, kms.OpCreateKey, &kms.CreateKeyRequest{Policy: delegating(bars("*", "kms:*", days))})
	want(t, "create", err, "")
	_, err = w.Do(carl, kms.OpDisableKey, &kms.KeyRequest{KeyID: key})
	want(t, "disable", err, kms.CodeAccessDenied)
}

// What a session's role and tags say is the session's.
func TestConditionsOfSessions(t *testing.T) {
	w := newWorld(t, sessionOptions)
	key := w.CreateKey(w.alice)
	do := w.played(t, w.alice, "role", "")
	w.must(t, w.alice, kms.OpTagRole, &kms.TagIdentityRequest{Name: "role", Tags: map[string]string{"Team": "blue"}})
	for condition, code := range map[string]kms.Code{
		`{"ArnEquals":{"aws:PrincipalArn":"` + iamARN(aliceID, "role/role") + `"}}`:  "",
		`{"ArnEquals":{"aws:PrincipalArn":"` + iamARN(aliceID, "role/other") + `"}}`: kms.CodeAccessDenied,
		`{"StringEquals":{"aws:PrincipalType":"AssumedRole"}}`:                       "",
		`{"StringEquals":{"aws:PrincipalTag/Team":"blue"}}`:                          "",
		`{"Null":{"aws:username":"true"}}`:                                           "",
		`{"StringLike":{"aws:userid":"*:session"}}`:                                  "",
		`{"DateGreaterThan":{"aws:TokenIssueTime":"2020-01-01T00:00:00Z"}}`:          "",
		`{"DateLessThan":{"aws:TokenIssueTime":"2020-01-01T00:00:00Z"}}`:             kms.CodeAccessDenied,
	} {
		w.inline(t, w.alice, kms.OpPutRolePolicy, "role", permit("kms:DescribeKey", "*", condition))
		_, err := do(kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key})
		want(t, condition, err, code)
	}
}
