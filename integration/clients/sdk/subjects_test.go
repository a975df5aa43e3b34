package sdk

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// subject is an operation's request that succeeds, and what of it names the key.
type subject struct {
	kind   kind   // of the key
	member string // that names it; KeyId where it is empty
	in     func(*fixtures) any
}

var subjects = map[string]subject{
	"CancelKeyDeletion": {in: func(f *fixtures) any { return &kms.CancelKeyDeletionInput{KeyId: f.key(symmetric, leaving).KeyId} }},
	"CreateAlias": {member: "TargetKeyId", in: func(f *fixtures) any {
		return &kms.CreateAliasInput{AliasName: aws.String("alias/" + unique()), TargetKeyId: f.key(symmetric, ready).KeyId}
	}},
	"CreateGrant": {in: func(f *fixtures) any {
		return newGrant(f)
	}},
	"CreateKey": {in: func(*fixtures) any { return &kms.CreateKeyInput{} }},
	"Decapsulate": {kind: encapsulating, in: func(f *fixtures) any {
		k := f.key(encapsulating, ready)
		return &kms.DecapsulateInput{KeyId: k.KeyId, EncapsulationAlgorithm: "ML_KEM", SharedSecretCiphertextBlob: k.blob}
	}},
	"Decrypt":                   {in: func(f *fixtures) any { return &kms.DecryptInput{CiphertextBlob: f.key(symmetric, ready).blob} }},
	"DeleteAlias":               {in: func(f *fixtures) any { return &kms.DeleteAliasInput{AliasName: aws.String("alias/" + unique())} }},
	"DeleteImportedKeyMaterial": {kind: imported, in: func(f *fixtures) any { return &kms.DeleteImportedKeyMaterialInput{KeyId: f.key(imported, ready).KeyId} }},
	"DeriveSharedSecret": {kind: agreeing, in: func(f *fixtures) any {
		k := f.key(agreeing, ready)
		return &kms.DeriveSharedSecretInput{KeyId: k.KeyId, KeyAgreementAlgorithm: "ECDH", PublicKey: k.blob}
	}},
	"DescribeCustomKeyStores": {in: func(*fixtures) any { return &kms.DescribeCustomKeyStoresInput{} }},
	"DescribeKey":             {in: func(f *fixtures) any { return &kms.DescribeKeyInput{KeyId: f.key(symmetric, ready).KeyId} }},
	"DisableKey":              {in: func(f *fixtures) any { return &kms.DisableKeyInput{KeyId: f.key(symmetric, disabled).KeyId} }},
	"DisableKeyRotation":      {in: func(f *fixtures) any { return &kms.DisableKeyRotationInput{KeyId: f.key(symmetric, ready).KeyId} }},
	"EnableKey":               {in: func(f *fixtures) any { return &kms.EnableKeyInput{KeyId: f.key(symmetric, ready).KeyId} }},
	"EnableKeyRotation":       {in: func(f *fixtures) any { return &kms.EnableKeyRotationInput{KeyId: f.key(symmetric, ready).KeyId} }},
	"Encapsulate": {kind: encapsulating, in: func(f *fixtures) any {
		return &kms.EncapsulateInput{KeyId: f.key(encapsulating, ready).KeyId, EncapsulationAlgorithm: "ML_KEM"}
	}},
	"Encrypt": {in: func(f *fixtures) any {
		return &kms.EncryptInput{KeyId: f.key(symmetric, ready).KeyId, Plaintext: []byte("text")}
	}},
	"GenerateDataKey": {in: func(f *fixtures) any {
		return &kms.GenerateDataKeyInput{KeyId: f.key(symmetric, ready).KeyId, KeySpec: "AES_256"}
	}},
	"GenerateDataKeyPair": {in: func(f *fixtures) any {
		return &kms.GenerateDataKeyPairInput{KeyId: f.key(symmetric, ready).KeyId, KeyPairSpec: "ECC_NIST_P256"}
	}},
	"GenerateDataKeyPairWithoutPlaintext": {in: func(f *fixtures) any {
		return &kms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: f.key(symmetric, ready).KeyId, KeyPairSpec: "ECC_NIST_P256"}
	}},
	"GenerateDataKeyWithoutPlaintext": {in: func(f *fixtures) any {
		return &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: f.key(symmetric, ready).KeyId, KeySpec: "AES_256"}
	}},
	"GenerateMac": {kind: macKey, in: func(f *fixtures) any {
		return &kms.GenerateMacInput{KeyId: f.key(macKey, ready).KeyId, Message: []byte("text"), MacAlgorithm: "HMAC_SHA_256"}
	}},
	"GenerateRandom":       {in: func(*fixtures) any { return &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(1)} }},
	"GetKeyLastUsage":      {in: func(f *fixtures) any { return &kms.GetKeyLastUsageInput{KeyId: f.key(symmetric, ready).KeyId} }},
	"GetKeyPolicy":         {in: func(f *fixtures) any { return &kms.GetKeyPolicyInput{KeyId: f.key(symmetric, ready).KeyId} }},
	"GetKeyRotationStatus": {in: func(f *fixtures) any { return &kms.GetKeyRotationStatusInput{KeyId: f.key(symmetric, ready).KeyId} }},
	"GetParametersForImport": {kind: imported, in: func(f *fixtures) any {
		return &kms.GetParametersForImportInput{KeyId: f.key(imported, ready).KeyId, WrappingAlgorithm: "RSAES_OAEP_SHA_256", WrappingKeySpec: "RSA_2048"}
	}},
	"GetPublicKey": {kind: rsaSigning, in: func(f *fixtures) any { return &kms.GetPublicKeyInput{KeyId: f.key(rsaSigning, ready).KeyId} }},
	"ImportKeyMaterial": {kind: imported, in: func(f *fixtures) any {
		return importOf(f.t, f.c, f.key(imported, ready).KeyMetadata, "RSAES_OAEP_SHA_256", symmetricMaterial())
	}},
	"ListAliases":      {in: func(f *fixtures) any { return &kms.ListAliasesInput{KeyId: f.key(symmetric, ready).KeyId} }},
	"ListGrants":       {in: func(f *fixtures) any { return &kms.ListGrantsInput{KeyId: f.key(symmetric, ready).KeyId} }},
	"ListKeyPolicies":  {in: func(f *fixtures) any { return &kms.ListKeyPoliciesInput{KeyId: f.key(symmetric, ready).KeyId} }},
	"ListKeyRotations": {in: func(f *fixtures) any { return &kms.ListKeyRotationsInput{KeyId: f.key(symmetric, ready).KeyId} }},
	"ListKeys":         {in: func(*fixtures) any { return &kms.ListKeysInput{} }},
	"ListResourceTags": {in: func(f *fixtures) any { return &kms.ListResourceTagsInput{KeyId: f.key(symmetric, ready).KeyId} }},
	"ListRetirableGrants": {member: "RetiringPrincipal", in: func(f *fixtures) any {
		return &kms.ListRetirableGrantsInput{RetiringPrincipal: aws.String(root(f.t))}
	}},
	"PutKeyPolicy": {in: func(f *fixtures) any {
		return &kms.PutKeyPolicyInput{KeyId: f.key(symmetric, ready).KeyId, Policy: aws.String(policyOf(root(f.t), "x"))}
	}},
	"ReEncrypt": {member: "DestinationKeyId", in: func(f *fixtures) any {
		return &kms.ReEncryptInput{CiphertextBlob: f.key(symmetric, ready).blob, DestinationKeyId: f.key(symmetric, ready).KeyId}
	}},
	"ReplicateKey": {kind: regional, in: func(f *fixtures) any {
		return &kms.ReplicateKeyInput{KeyId: f.key(regional, ready).KeyId, ReplicaRegion: aws.String(away)}
	}},
	"RetireGrant": {in: func(f *fixtures) any {
		k := f.key(symmetric, ready)
		return &kms.RetireGrantInput{KeyId: k.Arn, GrantId: call(f.t, f.c.CreateGrant, newGrant(f)).GrantId}
	}},
	"RevokeGrant": {in: func(f *fixtures) any {
		k := f.key(symmetric, ready)
		return &kms.RevokeGrantInput{KeyId: k.Arn, GrantId: call(f.t, f.c.CreateGrant, newGrant(f)).GrantId}
	}},
	"RotateKeyOnDemand":   {in: func(f *fixtures) any { return &kms.RotateKeyOnDemandInput{KeyId: f.key(symmetric, ready).KeyId} }},
	"ScheduleKeyDeletion": {in: func(f *fixtures) any { return &kms.ScheduleKeyDeletionInput{KeyId: f.key(symmetric, ready).KeyId} }},
	"Sign": {kind: rsaSigning, in: func(f *fixtures) any {
		return &kms.SignInput{KeyId: f.key(rsaSigning, ready).KeyId, Message: []byte("text"), SigningAlgorithm: "RSASSA_PSS_SHA_256"}
	}},
	"TagResource": {in: func(f *fixtures) any {
		return &kms.TagResourceInput{KeyId: f.key(symmetric, ready).KeyId, Tags: []types.Tag{tag("a", "b")}}
	}},
	"UntagResource": {in: func(f *fixtures) any {
		return &kms.UntagResourceInput{KeyId: f.key(symmetric, ready).KeyId, TagKeys: []string{"a"}}
	}},
	"UpdateAlias": {member: "TargetKeyId", in: func(f *fixtures) any {
		return &kms.UpdateAliasInput{AliasName: aws.String(newAlias(f.t, f.c, newKey(f.t, f.c))), TargetKeyId: f.key(symmetric, ready).KeyId}
	}},
	"UpdateKeyDescription": {in: func(f *fixtures) any {
		return &kms.UpdateKeyDescriptionInput{KeyId: f.key(symmetric, ready).KeyId, Description: aws.String("x")}
	}},
	"UpdatePrimaryRegion": {kind: regional, in: func(f *fixtures) any {
		return &kms.UpdatePrimaryRegionInput{KeyId: f.key(regional, ready).KeyId, PrimaryRegion: aws.String(away)}
	}},
	"Verify": {kind: rsaSigning, in: func(f *fixtures) any {
		k := f.key(rsaSigning, ready)
		return &kms.VerifyInput{KeyId: k.KeyId, Message: []byte("text"), SigningAlgorithm: "RSASSA_PSS_SHA_256", Signature: k.blob}
	}},
	"VerifyMac": {kind: macKey, in: func(f *fixtures) any {
		k := f.key(macKey, ready)
		return &kms.VerifyMacInput{KeyId: k.KeyId, Message: []byte("text"), MacAlgorithm: "HMAC_SHA_256", Mac: k.blob}
	}},
}

func newGrant(f *fixtures) *kms.CreateGrantInput {
	return &kms.CreateGrantInput{KeyId: f.key(symmetric, ready).KeyId, GranteePrincipal: aws.String(root(f.t)), Operations: []types.GrantOperation{"Decrypt"}}
}

// specials are the errors that come about in another way than those of their name do. They return the message.
var specials = map[string]func(f *fixtures, in any) string{
	"CancelKeyDeletion/KMSInvalidState": func(f *fixtures, in any) string {
		set(in, "KeyId", f.key(symmetric, ready).KeyId)
		return *f.key(symmetric, ready).Arn + " is not pending deletion."
	},
	"CreateAlias/AlreadyExists": func(f *fixtures, in any) string {
		name := newAlias(f.t, f.c, f.key(symmetric, ready).KeyMetadata)
		set(in, "AliasName", name)
		return "An alias with the name arn:aws:kms:" + home + ":" + account(f.t) + ":" + name + " already exists"
	},
	"CreateAlias/InvalidAliasName": func(f *fixtures, in any) string {
		set(in, "AliasName", "name")
		return `Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html`
	},
	"CreateAlias/LimitExceeded": func(f *fixtures, in any) string { return manyAliases(f, in) },
	"UpdateAlias/LimitExceeded": func(f *fixtures, in any) string { return manyAliases(f, in) },
	"CreateKey/UnsupportedOperation": func(f *fixtures, in any) string {
		set(in, "KeySpec", types.KeySpecSm2)
		set(in, "KeyUsage", types.KeyUsageTypeSignVerify)
		return anything
	},
	"Decapsulate/InvalidCiphertext": func(f *fixtures, in any) string {
		set(in, "SharedSecretCiphertextBlob", []byte("x"))
		return ""
	},
	"Decrypt/Disabled":          sealedBy("CiphertextBlob", disabled),
	"ReEncrypt/Disabled":        sealedBy("CiphertextBlob", disabled),
	"Decrypt/KMSInvalidState":   sealedBy("CiphertextBlob", leaving),
	"ReEncrypt/KMSInvalidState": sealedBy("CiphertextBlob", leaving),
	"Decrypt/InvalidCiphertext": func(f *fixtures, in any) string {
		set(in, "CiphertextBlob", []byte("no ciphertext"))
		return ""
	},
	"ReEncrypt/InvalidCiphertext": func(f *fixtures, in any) string {
		set(in, "SourceEncryptionContext", map[string]string{"another": "context"})
		return ""
	},
	"Decrypt/IncorrectKey": func(f *fixtures, in any) string {
		set(in, "KeyId", f.key(regional, ready).KeyId)
		return "The key ID in the request does not identify a CMK that can perform this operation."
	},
	"ReEncrypt/IncorrectKey": func(f *fixtures, in any) string {
		set(in, "SourceKeyId", f.key(regional, ready).KeyId)
		return "The key ID in the request does not identify a CMK that can perform this operation."
	},
	"Decrypt/InvalidKeyUsage": func(f *fixtures, in any) string {
		set(in, "KeyId", f.key(rsaSigning, ready).KeyId)
		set(in, "EncryptionAlgorithm", types.EncryptionAlgorithmSpecRsaesOaepSha256)
		return *f.key(rsaSigning, ready).Arn + " key usage is SIGN_VERIFY which is not valid for Decrypt."
	},
	"DeleteAlias/NotFound": func(f *fixtures, in any) string {
		return "Alias arn:aws:kms:" + home + ":" + account(f.t) + ":" + *in.(*kms.DeleteAliasInput).AliasName + " is not found."
	},
	"DeleteImportedKeyMaterial/UnsupportedOperation": wrongOrigin,
	"GetParametersForImport/UnsupportedOperation":    wrongOrigin,
	"ImportKeyMaterial/UnsupportedOperation":         wrongOrigin,
	"GenerateDataKeyPair/UnsupportedOperation": func(f *fixtures, in any) string {
		set(in, "KeyPairSpec", types.DataKeyPairSpecSm2)
		return anything
	},
	"GenerateDataKeyPairWithoutPlaintext/UnsupportedOperation": func(f *fixtures, in any) string {
		set(in, "KeyPairSpec", types.DataKeyPairSpecSm2)
		return anything
	},
	"GenerateRandom/UnsupportedOperation": func(f *fixtures, in any) string {
		set(in, "CustomKeyStoreId", "cks-1234567890abcdef0")
		return anything
	},
	"ImportKeyMaterial/InvalidCiphertext": func(f *fixtures, in any) string {
		set(in, "EncryptedKeyMaterial", make([]byte, 256))
		return ""
	},
	"ImportKeyMaterial/IncorrectKeyMaterial": func(f *fixtures, in any) string {
		k := newKey(f.t, f.c, external)
		importMaterial(f.t, f.c, k, symmetricMaterial())
		*in.(*kms.ImportKeyMaterialInput) = *importOf(f.t, f.c, k, "RSAES_OAEP_SHA_256", symmetricMaterial())
		return anything
	},
	"ImportKeyMaterial/InvalidImportToken": func(f *fixtures, in any) string {
		set(in, "ImportToken", []byte("no token"))
		return anything
	},
	"ListGrants/InvalidGrantId":  noGrant,
	"RetireGrant/InvalidGrantId": noGrant,
	"RevokeGrant/InvalidGrantId": noGrant,
	"ListRetirableGrants/InvalidArn": func(f *fixtures, in any) string {
		set(in, "RetiringPrincipal", "somebody")
		return anything
	},
	"PutKeyPolicy/UnsupportedOperation": func(f *fixtures, in any) string {
		set(in, "PolicyName", "another")
		return anything
	},
	"ReplicateKey/AlreadyExists": func(f *fixtures, in any) string {
		k := newKey(f.t, f.c, multiRegion)
		set(in, "KeyId", k.KeyId)
		call(f.t, f.c.ReplicateKey, in.(*kms.ReplicateKeyInput))
		return anything
	},
	"ReplicateKey/UnsupportedOperation": func(f *fixtures, in any) string {
		set(in, "KeyId", f.key(symmetric, ready).KeyId)
		return *f.key(symmetric, ready).Arn + " is not a multi-region primary key."
	},
	"UpdatePrimaryRegion/UnsupportedOperation": func(f *fixtures, in any) string {
		set(in, "KeyId", f.key(symmetric, ready).KeyId)
		return *f.key(symmetric, ready).Arn + " is not a multi-region primary key."
	},
	"RetireGrant/InvalidGrantToken": func(f *fixtures, in any) string {
		*in.(*kms.RetireGrantInput) = kms.RetireGrantInput{GrantToken: aws.String("no token")}
		return anything
	},
	"RotateKeyOnDemand/LimitExceeded": func(f *fixtures, in any) string {
		k := newKey(f.t, f.c)
		for range 25 {
			call(f.t, f.c.RotateKeyOnDemand, &kms.RotateKeyOnDemandInput{KeyId: k.KeyId})
		}
		set(in, "KeyId", k.KeyId)
		return "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: " + *k.Arn
	},
	"TagResource/LimitExceeded": func(f *fixtures, in any) string { // of bytes, with characters of four
		set(in, "KeyId", newKey(f.t, f.c).KeyId)
		var all []types.Tag
		for i := range 50 {
			all = append(all, tag(strings.Repeat("𝄞", 100)+string(rune('一'+i)), strings.Repeat("𝄞", 256)))
		}
		set(in, "Tags", all)
		return anything
	},
	"UntagResource/Tag": func(f *fixtures, in any) string {
		set(in, "TagKeys", []string{"aws:mine"})
		return "Tags beginning with aws: are reserved"
	},
	"Verify/KMSInvalidSignature": func(f *fixtures, in any) string {
		set(in, "Message", []byte("another text"))
		return ""
	},
	"VerifyMac/KMSInvalidMac": func(f *fixtures, in any) string {
		set(in, "Mac", symmetricMaterial())
		return ""
	},
}

// sealedBy has what a key sealed that is no longer ready opened.
func sealedBy(member, state string) func(*fixtures, any) string {
	return func(f *fixtures, in any) string {
		set(in, member, f.key(symmetric, state).blob)
		return *f.key(symmetric, state).Arn + map[string]string{disabled: " is disabled.", leaving: " is pending deletion."}[state]
	}
}

func wrongOrigin(f *fixtures, in any) string {
	set(in, "KeyId", f.key(symmetric, ready).KeyId)
	return *f.key(symmetric, ready).Arn + " origin is AWS_KMS which is not valid for this operation."
}

func noGrant(f *fixtures, in any) string {
	set(in, "GrantId", "none")
	return anything
}

// manyAliases names a key that has as many aliases as it may have.
func manyAliases(f *fixtures, in any) string {
	k := newKey(f.t, f.c)
	for range 50 {
		newAlias(f.t, f.c, k)
	}
	set(in, "TargetKeyId", k.KeyId)
	return anything
}
