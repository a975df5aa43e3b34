package sdk

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

// TestDecryptFindsItsKey shows that a ciphertext knows its key, whatever name the key had when it was made.
func TestDecryptFindsItsKey(t *testing.T) {
	c, _ := client(t)
	k, other := newKey(t, c), newKey(t, c)
	name := newAlias(t, c, k)
	blob := call(t, c.Encrypt, &kms.EncryptInput{KeyId: &name, Plaintext: []byte("text")}).CiphertextBlob
	opens := func(what string, id *string) {
		t.Helper()
		for range 3 {
			out := call(t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: blob, KeyId: id})
			equal(t, what, []string{string(out.Plaintext), *out.KeyId}, []string{"text", *k.Arn})
		}
	}
	aliasARN := "arn:aws:kms:" + home + ":" + account(t) + ":" + name
	opens("without a key", nil)
	for _, id := range []string{*k.KeyId, *k.Arn, name, aliasARN} {
		opens("by "+id, &id)
	}
	call(t, c.UpdateAlias, &kms.UpdateAliasInput{AliasName: &name, TargetKeyId: other.KeyId})
	opens("after the alias was moved", nil)
	for _, id := range []string{*other.KeyId, *other.Arn, name, aliasARN} {
		for range 3 {
			refused[*types.IncorrectKeyException](t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: blob, KeyId: &id}, "The key ID in the request does not identify a CMK that can perform this operation.")
		}
	}
	call(t, c.DeleteAlias, &kms.DeleteAliasInput{AliasName: &name})
	opens("after the alias was deleted", nil)

	for range 3 { // what is no ciphertext is no fault
		for _, bad := range map[string][]byte{"garbage": []byte("garbage"), "cut": blob[:len(blob)-1], "tampered": append(append([]byte{}, blob[:len(blob)-1]...), blob[len(blob)-1]^1), "longer": append(append([]byte{}, blob...), 0)} {
			refused[*types.InvalidCiphertextException](t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: bad}, "")
			refused[*types.InvalidCiphertextException](t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: bad, KeyId: k.KeyId}, "")
			refused[*types.InvalidCiphertextException](t, c.ReEncrypt, &kms.ReEncryptInput{CiphertextBlob: bad, SourceKeyId: k.Arn, DestinationKeyId: k.KeyId}, "")
		}
	}
}

// TestEncryptionContexts shows that a context is bound to a ciphertext exactly: case, pairs, no order.
func TestEncryptionContexts(t *testing.T) {
	c, _ := client(t)
	k := newKey(t, c)
	context := map[string]string{"a": "1", "b": "2", "c": "3"}
	sealed := call(t, c.Encrypt, &kms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x"), EncryptionContext: context}).CiphertextBlob
	key := call(t, c.GenerateDataKey, &kms.GenerateDataKeyInput{KeyId: k.KeyId, KeySpec: "AES_128", EncryptionContext: context}).CiphertextBlob
	for range 10 { // maps are in another order each time
		call(t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: sealed, EncryptionContext: map[string]string{"c": "3", "b": "2", "a": "1"}})
	}
	for what, other := range map[string]map[string]string{
		"none": nil, "empty": {}, "fewer": {"a": "1", "b": "2"}, "more": {"a": "1", "b": "2", "c": "3", "d": ""}, "a value": {"a": "1", "b": "2", "c": "4"},
		"case of a name": {"A": "1", "b": "2", "c": "3"}, "blank": {"a": "1", "b": "2", "c": "3 "}, "swapped": {"a": "2", "b": "1", "c": "3"},
	} {
		t.Run(what, func(t *testing.T) {
			for _, blob := range [][]byte{sealed, key} {
				refused[*types.InvalidCiphertextException](t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: other}, "")
				refused[*types.InvalidCiphertextException](t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: other, KeyId: k.KeyId}, "")
				refused[*types.InvalidCiphertextException](t, c.ReEncrypt, &kms.ReEncryptInput{CiphertextBlob: blob, SourceEncryptionContext: other, DestinationKeyId: k.KeyId}, "")
			}
		})
	}
	blob := call(t, c.Encrypt, &kms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")}).CiphertextBlob
	call(t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{}})
	refused[*types.InvalidCiphertextException](t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"": ""}}, "")
}

// TestDisabledKeys shows that a key that is disabled is, whatever it is called and whichever node is asked.
func TestDisabledKeys(t *testing.T) {
	c, _ := client(t)
	k := newKey(t, c)
	name := newAlias(t, c, k)
	blob := call(t, c.Encrypt, &kms.EncryptInput{KeyId: &name, Plaintext: []byte("x")}).CiphertextBlob
	call(t, c.DisableKey, &kms.DisableKeyInput{KeyId: k.KeyId})
	says := *k.Arn + " is disabled."
	for range 3 {
		refused[*types.DisabledException](t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: blob}, says)
	}
	for _, id := range []string{*k.KeyId, *k.Arn, name, "arn:aws:kms:" + home + ":" + account(t) + ":" + name} {
		for range 3 {
			refused[*types.DisabledException](t, c.Encrypt, &kms.EncryptInput{KeyId: &id, Plaintext: []byte("x")}, says)
			refused[*types.DisabledException](t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: blob, KeyId: &id}, says)
			refused[*types.DisabledException](t, c.GenerateDataKey, &kms.GenerateDataKeyInput{KeyId: &id, KeySpec: "AES_256"}, says)
		}
	}
	call(t, c.EnableKey, &kms.EnableKeyInput{KeyId: k.KeyId})
	for range 3 {
		call(t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: blob, KeyId: &name})
	}
}

// TestDryRuns shows that a dry run tells what is wrong before it tells that nothing is, and that it does nothing.
func TestDryRuns(t *testing.T) {
	c, _ := client(t)
	f := &fixtures{t: t, c: c, made: map[string]*fixture{}}
	k := f.key(symmetric, ready)
	yes := aws.Bool(true)
	refused[*types.NotFoundException](t, c.Encrypt, &kms.EncryptInput{KeyId: aws.String(noKey()), Plaintext: []byte("x"), DryRun: yes}, anything)
	refused[*types.DisabledException](t, c.Encrypt, &kms.EncryptInput{KeyId: f.key(symmetric, disabled).KeyId, Plaintext: []byte("x"), DryRun: yes}, anything)
	refused[*types.KMSInvalidStateException](t, c.Encrypt, &kms.EncryptInput{KeyId: f.key(symmetric, leaving).KeyId, Plaintext: []byte("x"), DryRun: yes}, anything)
	refused[*types.InvalidKeyUsageException](t, c.Encrypt, &kms.EncryptInput{KeyId: f.key(macKey, ready).KeyId, Plaintext: []byte("x"), DryRun: yes}, anything)
	refusedAs(t, "ValidationException", c.Encrypt, &kms.EncryptInput{KeyId: k.KeyId, Plaintext: make([]byte, 4097), DryRun: yes}, anything)
	refused[*types.InvalidCiphertextException](t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: []byte("x"), DryRun: yes}, "")
	refused[*types.IncorrectKeyException](t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: k.blob, KeyId: f.key(regional, ready).KeyId, DryRun: yes}, anything)
	refused[*types.KMSInvalidSignatureException](t, c.Verify, &kms.VerifyInput{KeyId: f.key(rsaSigning, ready).KeyId, Message: []byte("other"), Signature: f.key(rsaSigning, ready).blob, SigningAlgorithm: "RSASSA_PSS_SHA_256", DryRun: yes}, "")
	refused[*types.KMSInvalidMacException](t, c.VerifyMac, &kms.VerifyMacInput{KeyId: f.key(macKey, ready).KeyId, Message: []byte("other"), Mac: f.key(macKey, ready).blob, MacAlgorithm: "HMAC_SHA_256", DryRun: yes}, "")
	refused[*types.NotFoundException](t, c.RevokeGrant, &kms.RevokeGrantInput{KeyId: k.KeyId, GrantId: repeat("0", 64), DryRun: yes}, anything)

	would := "The request would have succeeded, but the DryRun option is set."
	own := newKey(t, c)
	q := kms.CreateGrantInput{KeyId: own.KeyId, GranteePrincipal: aws.String(root(t)), Operations: []types.GrantOperation{"Decrypt"}, DryRun: yes}
	refused[*types.DryRunOperationException](t, c.CreateGrant, &q, would)
	equal(t, "grants", len(call(t, c.ListGrants, &kms.ListGrantsInput{KeyId: own.KeyId}).Grants), 0)
	q.DryRun = nil
	g := call(t, c.CreateGrant, &q)
	refused[*types.DryRunOperationException](t, c.RevokeGrant, &kms.RevokeGrantInput{KeyId: own.KeyId, GrantId: g.GrantId, DryRun: yes}, would)
	refused[*types.DryRunOperationException](t, c.RetireGrant, &kms.RetireGrantInput{GrantToken: g.GrantToken, DryRun: yes}, would)
	equal(t, "grants", len(call(t, c.ListGrants, &kms.ListGrantsInput{KeyId: own.KeyId}).Grants), 1)
	refused[*types.DryRunOperationException](t, c.Decrypt, &kms.DecryptInput{KeyId: k.KeyId, DryRun: yes, DryRunModifiers: []types.DryRunModifierType{"IGNORE_CIPHERTEXT"}}, would)
	refused[*types.DryRunOperationException](t, c.ReEncrypt, &kms.ReEncryptInput{SourceKeyId: k.KeyId, DestinationKeyId: own.KeyId, DryRun: yes, DryRunModifiers: []types.DryRunModifierType{"IGNORE_CIPHERTEXT"}}, would)
}

// TestKeysOnTheirWayOut shows what can be done with a key that is pending deletion, and with its aliases.
func TestKeysOnTheirWayOut(t *testing.T) {
	c, _ := client(t)
	k, other := newKey(t, c), newKey(t, c)
	names := []string{newAlias(t, c, k), newAlias(t, c, k)}
	g := call(t, c.CreateGrant, &kms.CreateGrantInput{KeyId: k.KeyId, GranteePrincipal: aws.String(root(t)), Operations: []types.GrantOperation{"Decrypt"}})
	second := call(t, c.CreateGrant, &kms.CreateGrantInput{KeyId: k.KeyId, GranteePrincipal: aws.String(root(t)), Operations: []types.GrantOperation{"Encrypt"}})
	call(t, c.ScheduleKeyDeletion, &kms.ScheduleKeyDeletionInput{KeyId: k.KeyId})
	refused[*types.KMSInvalidStateException](t, c.Encrypt, &kms.EncryptInput{KeyId: &names[0], Plaintext: []byte("x")}, *k.Arn+" is pending deletion.")
	refused[*types.KMSInvalidStateException](t, c.UpdateAlias, &kms.UpdateAliasInput{AliasName: aws.String(newAlias(t, c, other)), TargetKeyId: k.KeyId}, anything)
	call(t, c.UpdateAlias, &kms.UpdateAliasInput{AliasName: &names[0], TargetKeyId: other.KeyId})
	call(t, c.DeleteAlias, &kms.DeleteAliasInput{AliasName: &names[1]})
	call(t, c.Encrypt, &kms.EncryptInput{KeyId: &names[0], Plaintext: []byte("x")})
	call(t, c.DescribeKey, &kms.DescribeKeyInput{KeyId: k.KeyId})
	call(t, c.GetKeyPolicy, &kms.GetKeyPolicyInput{KeyId: k.KeyId})
	call(t, c.ListGrants, &kms.ListGrantsInput{KeyId: k.KeyId})
	call(t, c.ListAliases, &kms.ListAliasesInput{KeyId: k.KeyId})
	call(t, c.ListKeyPolicies, &kms.ListKeyPoliciesInput{KeyId: k.KeyId})
	call(t, c.ListKeyRotations, &kms.ListKeyRotationsInput{KeyId: k.KeyId})
	call(t, c.ListResourceTags, &kms.ListResourceTagsInput{KeyId: k.KeyId})
	call(t, c.GetKeyRotationStatus, &kms.GetKeyRotationStatusInput{KeyId: k.KeyId})
	call(t, c.RetireGrant, &kms.RetireGrantInput{GrantToken: g.GrantToken})
	call(t, c.RevokeGrant, &kms.RevokeGrantInput{KeyId: k.KeyId, GrantId: second.GrantId})
}

// TestAlgorithms shows that an algorithm belongs to a key.
func TestAlgorithms(t *testing.T) {
	c, _ := client(t)
	f := &fixtures{t: t, c: c, made: map[string]*fixture{}}
	refused[*types.InvalidKeyUsageException](t, c.GenerateMac, &kms.GenerateMacInput{KeyId: f.key(macKey, ready).KeyId, Message: []byte("x"), MacAlgorithm: "HMAC_SHA_512"}, "Algorithm HMAC_SHA_512 is incompatible with key spec HMAC_256.")
	refused[*types.InvalidKeyUsageException](t, c.Sign, &kms.SignInput{KeyId: f.key(rsaSigning, ready).KeyId, Message: []byte("x"), SigningAlgorithm: "ECDSA_SHA_256"}, "Algorithm ECDSA_SHA_256 is incompatible with key spec RSA_2048.")
	refused[*types.InvalidKeyUsageException](t, c.Encrypt, &kms.EncryptInput{KeyId: f.key(symmetric, ready).KeyId, Plaintext: []byte("x"), EncryptionAlgorithm: "RSAES_OAEP_SHA_1"}, "Algorithm RSAES_OAEP_SHA_1 is incompatible with key spec SYMMETRIC_DEFAULT.")
	refused[*types.InvalidKeyUsageException](t, c.Encrypt, &kms.EncryptInput{KeyId: f.key(rsaEncryption, ready).KeyId, Plaintext: []byte("x")}, "Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048.")
	refused[*types.InvalidKeyUsageException](t, c.Sign, &kms.SignInput{KeyId: f.key(rsaEncryption, ready).KeyId, Message: []byte("x"), SigningAlgorithm: "RSASSA_PSS_SHA_256"}, *f.key(rsaEncryption, ready).Arn+" key usage is ENCRYPT_DECRYPT which is not valid for Sign.")
}

// TestTags shows the limits of tags.
func TestTags(t *testing.T) {
	c, _ := client(t)
	k := newKey(t, c)
	var fifty []types.Tag
	for range 50 {
		fifty = append(fifty, tag(unique(), ""))
	}
	refused[*types.TagException](t, c.TagResource, &kms.TagResourceInput{KeyId: k.KeyId, Tags: append(fifty, tag("one more", ""))}, "Too many tags")
	refused[*types.TagException](t, c.CreateKey, &kms.CreateKeyInput{Tags: append(fifty, tag("one more", ""))}, "Too many tags")
	call(t, c.TagResource, &kms.TagResourceInput{KeyId: k.KeyId, Tags: fifty})
	refused[*types.TagException](t, c.TagResource, &kms.TagResourceInput{KeyId: k.KeyId, Tags: []types.Tag{tag("one more", "")}}, "Too many tags")
	refused[*types.TagException](t, c.TagResource, &kms.TagResourceInput{KeyId: k.KeyId, Tags: []types.Tag{tag("a", "1"), tag("a", "2")}}, "Duplicate tag keys")
	refused[*types.TagException](t, c.TagResource, &kms.TagResourceInput{KeyId: k.KeyId, Tags: []types.Tag{tag("AwS:x", "1")}}, "Tags beginning with aws: are reserved")
}

// TestPolicies shows which key policies are refused.
func TestPolicies(t *testing.T) {
	c, _ := client(t)
	k := newKey(t, c)
	nobody := policyOf("arn:aws:iam::"+account(t)+":user/"+unique(), "x")
	locked := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + root(t) + `"},"Action":"kms:Encrypt","Resource":"*"}]}`
	refused[*types.MalformedPolicyDocumentException](t, c.PutKeyPolicy, &kms.PutKeyPolicyInput{KeyId: k.KeyId, Policy: &nobody}, anything) // a principal that is not there
	refused[*types.MalformedPolicyDocumentException](t, c.PutKeyPolicy, &kms.PutKeyPolicyInput{KeyId: k.KeyId, Policy: &locked}, "The new key policy will not allow you to update the key policy in the future.")
	refused[*types.MalformedPolicyDocumentException](t, c.CreateKey, &kms.CreateKeyInput{Policy: &locked}, "The new key policy will not allow you to update the key policy in the future.")
	refusedAs(t, "ValidationException", c.PutKeyPolicy, &kms.PutKeyPolicyInput{KeyId: k.KeyId, Policy: aws.String(policyOf(root(t), "€"))}, anything)
	refused[*types.NotFoundException](t, c.GetKeyPolicy, &kms.GetKeyPolicyInput{KeyId: k.KeyId, PolicyName: aws.String("another")}, "No such policy exists")
	call(t, c.PutKeyPolicy, &kms.PutKeyPolicyInput{KeyId: k.KeyId, Policy: &locked, BypassPolicyLockoutSafetyCheck: true})
	for range 3 {
		call(t, c.Encrypt, &kms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")})
		refusedAs(t, "AccessDeniedException", c.GetKeyPolicy, &kms.GetKeyPolicyInput{KeyId: k.KeyId}, anything)
	}
}

// TestManagedKeys shows the keys behind the names that every account has.
func TestManagedKeys(t *testing.T) {
	c, _ := client(t)
	name := "alias/aws/" + unique()[:8]
	k := call(t, c.DescribeKey, &kms.DescribeKeyInput{KeyId: &name}).KeyMetadata
	if k.KeyManager != types.KeyManagerTypeAws || k.KeyState != types.KeyStateEnabled || k.KeySpec != types.KeySpecSymmetricDefault {
		t.Errorf("the key of %s is %+v", name, k)
	}
	for range 3 {
		equal(t, "the key", *call(t, c.DescribeKey, &kms.DescribeKeyInput{KeyId: &name}).KeyMetadata, *k)
	}
	if s := call(t, c.GetKeyRotationStatus, &kms.GetKeyRotationStatusInput{KeyId: k.KeyId}); !s.KeyRotationEnabled || aws.ToInt32(s.RotationPeriodInDays) != 365 {
		t.Errorf("its rotation is %+v", s)
	}
	refusedAs(t, "AccessDeniedException", c.ScheduleKeyDeletion, &kms.ScheduleKeyDeletionInput{KeyId: k.KeyId}, anything)
	refused[*types.InvalidAliasNameException](t, c.CreateAlias, &kms.CreateAliasInput{AliasName: aws.String("alias/aws/mine"), TargetKeyId: k.KeyId}, anything)
}

// TestReplicas shows how keys of several regions end: a primary key waits for its replicas.
func TestReplicas(t *testing.T) {
	c, _ := client(t)
	there, _ := client(t, in(away))
	k := newKey(t, c, multiRegion)
	call(t, c.ReplicateKey, &kms.ReplicateKeyInput{KeyId: k.KeyId, ReplicaRegion: aws.String(away)})
	refused[*types.UnsupportedOperationException](t, there.EnableKeyRotation, &kms.EnableKeyRotationInput{KeyId: k.KeyId}, keyARN(away, account(t), *k.KeyId)+" is not a multi-region primary key.")
	out := call(t, c.ScheduleKeyDeletion, &kms.ScheduleKeyDeletionInput{KeyId: k.KeyId, PendingWindowInDays: aws.Int32(7)})
	if *out.KeyId != *k.Arn || out.KeyState != types.KeyStatePendingReplicaDeletion || out.DeletionDate != nil || aws.ToInt32(out.PendingWindowInDays) != 7 {
		t.Errorf("scheduling the deletion of a primary key answered %+v", out)
	}
	refused[*types.KMSInvalidStateException](t, c.Encrypt, &kms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")}, *k.Arn+" is pending replica deletion.")
	call(t, there.Encrypt, &kms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")})
	equal(t, "KeyId", *call(t, c.CancelKeyDeletion, &kms.CancelKeyDeletionInput{KeyId: k.KeyId}).KeyId, *k.Arn)
}

// TestTLS shows the same over TLS, as the SDK is configured for a private certificate authority.
func TestTLS(t *testing.T) {
	cl := cluster.GetTLS(t)
	cfg := cl.Config(t)
	c, _ := client(t, onCluster(t, cl, cl.URL), func(o *kms.Options) {
		o.HTTPClient.(*recorder).http = cfg.HTTPClient
	})
	k := newKey(t, c)
	name := newAlias(t, c, k)
	for range 3 {
		sealed := call(t, c.Encrypt, &kms.EncryptInput{KeyId: &name, Plaintext: []byte("text")})
		cfg.HTTPClient.(*http.Client).CloseIdleConnections() // the next one goes to the next node
		equal(t, "Plaintext", string(call(t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob}).Plaintext), "text")
		cfg.HTTPClient.(*http.Client).CloseIdleConnections()
	}
	refused[*types.NotFoundException](t, c.DescribeKey, &kms.DescribeKeyInput{KeyId: aws.String(noKey())}, anything)
}
