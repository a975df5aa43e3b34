package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
)

// commandTest is a command line, the request that it sends and what it prints. $DIR in the line is a
// folder with the files of commandFiles.
type commandTest struct {
	args, stdin string
	op          *kms.Operation
	request     any
	table       string // in the output
	json        string // in the output with -o json
}

var commandFiles = map[string]string{
	"token":      "the token",
	"secret":     "the secret\n",
	"wrapped":    "wrapped material",
	"policy":     `{"Version":"file"}`,
	"pub.pem":    "-----BEGIN PUBLIC KEY-----\ncHVibGlj\n-----END PUBLIC KEY-----\n",
	"pub.der":    "public",
	"base64":     "c2ln\nbmVk\n",
	"signature":  "signed",
	"message":    "hello",
	"public.out": "",
}

func ptr[T any](v T) *T { return &v }

// generalCommands are those of names, encryption, accounts, settings and members.
func generalCommands() map[string]commandTest {
	n16 := 16
	return map[string]commandTest{
		"key create": {"key create --description invoices --tag a=b", "", kms.OpCreateKey, &kms.CreateKeyRequest{Description: "invoices", Tags: map[string]string{"a": "b"}},
			"KEY ID       " + testKey, `"key_id": "` + testKey},
		"key describe": {"key describe alias/app", "", kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: "alias/app"}, "2026-01-02T03:04:05Z", `"created_at": "2026-01-02T03:04:05Z"`},
		"key enable":   {"key enable " + testARN, "", kms.OpEnableKey, &kms.KeyRequest{KeyID: testARN}, testARN, testARN},
		"key disable":  {"key disable k", "", kms.OpDisableKey, &kms.KeyRequest{KeyID: "k"}, "STATE", "key_state"},
		"key policy":   {"key policy k", "", kms.OpGetKeyPolicy, &kms.KeyRequest{KeyID: "k"}, `{"Version":"2012-10-17"}`, `"policy_name": "default"`},
		"key page":     {"key list --limit 1", "", kms.OpListKeys, &kms.ListRequest{Limit: 1}, "There is more: --marker more", `"next_marker": "more"`},
		"alias create": {"alias create alias/app k", "", kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/app", TargetKeyID: "k"}, "alias/app", `"name": "alias/app"`},
		"alias update": {"alias update alias/a/b k", "", kms.OpUpdateAlias, &kms.UpdateAliasRequest{AliasName: "alias/a/b", TargetKeyID: "k"}, testKey, testKey},
		"alias delete": {"alias delete alias/app", "", kms.OpDeleteAlias, &kms.DeleteAliasRequest{AliasName: "alias/app"}, "alias/app is deleted", "{}"},
		"alias list":   {"alias list --key k", "", kms.OpListAliases, &kms.ListAliasesRequest{KeyID: "k"}, "ALIAS      KEY ID", `"aliases": [`},
		"encrypt": {"encrypt alias/app --context purpose=a=b", "hello\n", kms.OpEncrypt,
			&kms.EncryptRequest{KeyID: "alias/app", Plaintext: []byte("hello\n"), EncryptionContext: map[string]string{"purpose": "a=b"}}, "c2VhbGVk\n", `"ciphertext": "c2VhbGVk"`},
		"encrypt text": {"encrypt k --plaintext-text hello", "ignored", kms.OpEncrypt, &kms.EncryptRequest{KeyID: "k", Plaintext: []byte("hello")}, "c2VhbGVk\n", ""},
		"decrypt":      {"decrypt", "c2Vh\nbGVk \n", kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: []byte("sealed")}, "\x00plain\n", `"plaintext": "AHBsYWluCg=="`},
		"decrypt with": {"decrypt c2VhbGVk --key k", "", kms.OpDecrypt, &kms.DecryptRequest{KeyID: "k", CiphertextBlob: []byte("sealed")}, "\x00plain\n", ""},
		"re-encrypt": {"re-encrypt new c2VhbGVk --from old --source-context a=b --context c=d", "", kms.OpReEncrypt,
			&kms.ReEncryptRequest{KeyID: "new", CiphertextBlob: []byte("sealed"), SourceKeyID: "old", SourceEncryptionContext: map[string]string{"a": "b"}, DestinationEncryptionContext: map[string]string{"c": "d"}},
			"c2VhbGVkIGFnYWlu", `"ciphertext"`},
		"data key":         {"generate-data-key k", "", kms.OpGenerateDataKey, &kms.GenerateDataKeyRequest{KeyID: "k", KeySpec: "AES_256"}, "PLAINTEXT   ZGF0YSBrZXk=", `"plaintext": "ZGF0YSBrZXk="`},
		"data key bytes":   {"generate-data-key k --bytes 16", "", kms.OpGenerateDataKey, &kms.GenerateDataKeyRequest{KeyID: "k", NumberOfBytes: &n16}, "CIPHERTEXT", ""},
		"data key without": {"generate-data-key k --without-plaintext", "", kms.OpGenerateDataKeyWithoutPlaintext, &kms.GenerateDataKeyRequest{KeyID: "k", KeySpec: "AES_256"}, "CIPHERTEXT", ""},
		"random":           {"random 16", "", kms.OpGenerateRandom, &kms.GenerateRandomRequest{NumberOfBytes: &n16}, "cmFuZG9t\n", `"plaintext"`},
		"whoami":           {"whoami", "", kms.OpGetCallerIdentity, &kms.Empty{}, "ACCOUNT  000000000000", `"user_id"`},
		"account create":   {"account create --name shop --id 111122223333", "", kms.OpCreateAccount, &kms.CreateAccountRequest{AccountID: "111122223333", Name: "shop"}, "SECRET ACCESS KEY  the-secret", `"secret_access_key": "the-secret"`},
		"account list":     {"account list", "", kms.OpListAccounts, &kms.ListRequest{}, "shop", `"accounts": [`},
		"account disable":  {"account disable 111122223333", "", kms.OpDisableAccount, &kms.AccountRequest{AccountID: "111122223333"}, "DISABLED  yes", `"disabled": true`},
		"setting get":      {"setting get revocation_bound", "", kms.OpGetSetting, &kms.SettingRequest{Name: "revocation_bound"}, "revocation_bound  60s", `"value": "60s"`},
		"setting put":      {"setting put revocation_bound 30s", "", kms.OpPutSetting, &kms.PutSettingRequest{Name: "revocation_bound", Value: "30s"}, "revocation_bound  30s", `"value": "30s"`},
		"audit search": {"audit search --key k --principal p --event Decrypt --source 192.0.2.1 --error access_denied --request-id r --event-id e --account 111122223333 --read-only=false --since 2026-01-01 --until 2026-01-03T00:00:00Z --limit 7", "",
			kms.OpLookupEvents, &kms.LookupEventsRequest{KeyID: "k", Principal: "p", EventName: "Decrypt", SourceIPAddress: "192.0.2.1", ErrorCode: "access_denied", RequestID: "r", EventID: "e",
				AccountID: "111122223333", ReadOnly: "false", StartTime: "2026-01-01T00:00:00Z", EndTime: "2026-01-03T00:00:00Z", Limit: 7},
			"2026-01-02T03:04:05.678Z  Decrypt  access_denied  192.0.2.1  arn:aws:iam::000000000000:user/ann  " + testARN + "  event-1\n", `"eventName": "Decrypt"`},
		"audit search all": {"audit search --all", "", kms.OpLookupEvents, &kms.LookupEventsRequest{Limit: 1000}, "event-1", `"events": [`},
		"audit show":       {"audit show event-1", "", kms.OpLookupEvents, &kms.LookupEventsRequest{EventID: "event-1", Limit: 1000}, `"eventID": "event-1"`, `"events": [`},
		"audit report": {"audit report k --since 2026-01-01", "", kms.OpLookupEvents, &kms.LookupEventsRequest{KeyID: "k", StartTime: "2026-01-01T00:00:00Z", Limit: 1000},
			"arn:aws:iam::000000000000:user/ann  1      1        2026-01-02T03:04:05Z  2026-01-02T03:04:05Z  Decrypt 1   192.0.2.1 1\n", `"refused": 1`},
		"audit checkpoint": {"audit checkpoint", "", kms.OpGetAuditCheckpoint, &kms.Empty{}, "node-0  7        aGFzaA", `"cluster_id": "00ff"`},
		"members":          {"operator members", "", kms.OpReadMembers, &kms.Empty{}, "node-0", `"api_addr": "http://127.0.0.1:8200"`},
		"allow":            {"operator allow node-4", "", kms.OpAllowMember, &kms.AllowMemberRequest{Name: "node-4"}, "node-4 may join.", "{}"},
		"remove":           {"operator remove node-4", "", kms.OpRemoveMember, &kms.RemoveMemberRequest{Name: "node-4"}, "node-4 is removed.", "{}"},
	}
}

// keyCommands are those of keys' lifecycle, policies, tags, rotation, material, regions and grants.
func keyCommands() map[string]commandTest {
	const ann = "arn:aws:iam::000000000000:user/ann"
	return map[string]commandTest{
		"create with everything": {"key create --key-spec ECC_NIST_P256 --key-usage SIGN_VERIFY --origin EXTERNAL --multi-region --bypass-policy-lockout-safety-check", "", kms.OpCreateKey,
			&kms.CreateKeyRequest{KeySpec: kms.ECCNISTP256, KeyUsage: kms.SignVerify, Origin: kms.OriginExternal, MultiRegion: true, BypassPolicyLockoutSafetyCheck: true}, testKey, testKey},
		"schedule-deletion":      {"key schedule-deletion k", "", kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: "k"}, "DELETED ON   2026-02-01T03:04:05Z", `"deletion_date": "2026-02-01T03:04:05Z"`},
		"schedule-deletion days": {"key schedule-deletion k --days 7", "", kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: "k", PendingWindowInDays: ptr(7)}, "CALLER       2026-01-02T03:04:05Z Decrypt by " + ann, `"recent_callers": [`},
		"cancel-deletion":        {"key cancel-deletion k", "", kms.OpCancelKeyDeletion, &kms.KeyRequest{KeyID: "k"}, "STATE", "key_state"},
		"rotate":                 {"key rotate k", "", kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: "k"}, testKey, testKey},
		"last-usage":             {"key last-usage k", "", kms.OpGetKeyLastUsage, &kms.KeyRequest{KeyID: "k"}, "OPERATION      2026-01-02T03:04:05Z Decrypt by " + ann + "\n", `"silent_nodes": 1`},
		"update-description":     {"key update-description k invoices", "", kms.OpUpdateKeyDescription, &kms.UpdateKeyDescriptionRequest{KeyID: "k", Description: "invoices"}, testKey, testKey},
		"policy get":             {"key policy get k", "", kms.OpGetKeyPolicy, &kms.KeyRequest{KeyID: "k"}, "{\"Version\":\"2012-10-17\"}\n", `"policy_name"`},
		"policy put":             {"key policy put k --bypass-policy-lockout-safety-check", `{"Version":"stdin"}`, kms.OpPutKeyPolicy, &kms.PutKeyPolicyRequest{KeyID: "k", Policy: `{"Version":"stdin"}`, BypassPolicyLockoutSafetyCheck: true}, `{"Version":"new"}`, `"policy_name"`},
		"policy put file":        {"key policy put k $DIR/policy", "", kms.OpPutKeyPolicy, &kms.PutKeyPolicyRequest{KeyID: "k", Policy: `{"Version":"file"}`}, `{"Version":"new"}`, `"policy_name"`},
		"policy list":            {"key policy list k --limit 5", "", kms.OpListKeyPolicies, &kms.KeyListRequest{KeyID: "k", Limit: 5}, "POLICY\ndefault\n", `"policy_names": [`},
		"tags list":              {"key tags list k", "", kms.OpListResourceTags, &kms.KeyListRequest{KeyID: "k"}, "team  payments", `"value": "payments"`},
		"tags add":               {"key tags add k a=1 b=x=y", "", kms.OpTagResource, &kms.TagResourceRequest{KeyID: "k", Tags: map[string]string{"a": "1", "b": "x=y"}}, "k is tagged.", "{}"},
		"tags remove":            {"key tags remove k a b", "", kms.OpUntagResource, &kms.UntagResourceRequest{KeyID: "k", TagKeys: []string{"a", "b"}}, "k does not have these tags.", "{}"},
		"tags find": {"key tags find stage=test team stage=staging --limit 5", "", kms.OpGetResources, &kms.GetResourcesRequest{ResourcesPerPage: 5,
			TagFilters: []kms.TagFilter{{Key: "stage", Values: []string{"test", "staging"}}, {Key: "team"}}}, "stage=test, team=payments", `"resource_arn": "arn:`},
		"rotation enable":   {"key rotation enable k", "", kms.OpEnableKeyRotation, &kms.EnableKeyRotationRequest{KeyID: "k"}, "NEXT       2026-01-02T03:04:05Z", `"rotation_period_in_days": 90`},
		"rotation period":   {"key rotation enable k --period 90", "", kms.OpEnableKeyRotation, &kms.EnableKeyRotationRequest{KeyID: "k", RotationPeriodInDays: ptr(90)}, "PERIOD     90 days", ""},
		"rotation disable":  {"key rotation disable k", "", kms.OpDisableKeyRotation, &kms.KeyRequest{KeyID: "k"}, "AUTOMATIC  no", `"key_rotation_enabled": false`},
		"rotation status":   {"key rotation status k", "", kms.OpGetKeyRotationStatus, &kms.KeyRequest{KeyID: "k"}, "ON DEMAND  3", `"on_demand_rotations": 3`},
		"rotation list":     {"key rotation list k", "", kms.OpListKeyRotations, &kms.ListKeyRotationsRequest{KeyID: "k"}, "0a0b      CURRENT  2026-01-02T03:04:05Z  ON_DEMAND", `"key_material_id": "0a0b"`},
		"rotation list all": {"key rotation list k --all-material --marker m", "", kms.OpListKeyRotations, &kms.ListKeyRotationsRequest{KeyID: "k", IncludeKeyMaterial: "ALL_KEY_MATERIAL", Marker: "m"}, "0a0b", ""},
		"public-key":        {"key public-key k", "", kms.OpGetPublicKey, &kms.GetPublicKeyRequest{KeyID: "k"}, "-----BEGIN PUBLIC KEY-----\ncHVibGlj\n-----END PUBLIC KEY-----\n", `"public_key": "cHVibGlj"`},
		"public-key der":    {"key public-key k --format der --grant-token t", "", kms.OpGetPublicKey, &kms.GetPublicKeyRequest{KeyID: "k", GrantTokens: []string{"t"}}, "public", ""},
		"public-key file":   {"key public-key k --out $DIR/public.out", "", kms.OpGetPublicKey, &kms.GetPublicKeyRequest{KeyID: "k"}, "SPEC        RSA_2048", ""},
		"import-parameters": {"key import-parameters k --public-key $DIR/wrap --token $DIR/tok --wrapping-algorithm RSAES_OAEP_SHA_256 --wrapping-key-spec RSA_3072", "", kms.OpGetParametersForImport,
			&kms.GetParametersForImportRequest{KeyID: "k", WrappingAlgorithm: kms.WrapRSAESOAEPSHA256, WrappingKeySpec: kms.RSA3072}, "VALID TO    2026-01-02T03:04:05Z", `"import_token": "AHRva2Vu"`},
		"import-material": {"key import-material k --wrapped $DIR/wrapped --token $DIR/token --expires 2027-01-02T04:04:05+01:00 --type EXISTING --material-id 0c --description mine", "", kms.OpImportKeyMaterial,
			&kms.ImportKeyMaterialRequest{KeyID: "k", EncryptedKeyMaterial: []byte("wrapped material"), ImportToken: []byte("the token"), ExpirationModel: kms.MaterialExpires,
				ValidTo: ptr(testTime.AddDate(1, 0, 0)), ImportType: kms.ImportExistingMaterial, KeyMaterialID: "0c", KeyMaterialDescription: "mine"}, "MATERIAL  0c0d", `"key_material_id": "0c0d"`},
		"delete-material":       {"key delete-material k", "", kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: "k"}, "MATERIAL  0e0f", `"key_material_id": "0e0f"`},
		"delete-material id":    {"key delete-material k --material-id 0c", "", kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: "k", KeyMaterialID: "0c"}, testARN, ""},
		"replicate":             {"key replicate k eu-west-1 --description d --tag a=b --policy $DIR/policy", "", kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: "k", ReplicaRegion: "eu-west-1", Description: "d", Tags: map[string]string{"a": "b"}, Policy: `{"Version":"file"}`}, testARN, `"policy": "{}"`},
		"update-primary-region": {"key update-primary-region k eu-west-1", "", kms.OpUpdatePrimaryRegion, &kms.UpdatePrimaryRegionRequest{KeyID: "k", PrimaryRegion: "eu-west-1"}, testARN, testARN},
		"grant create": {"grant create k --grantee p --operation Encrypt,Decrypt --operation Sign --retiring q --name n --context-equals a=b --grant-token t --dry-run", "", kms.OpCreateGrant,
			&kms.CreateGrantRequest{KeyID: "k", GranteePrincipal: "p", RetiringPrincipal: "q", Operations: []kms.GrantOperation{"Encrypt", "Decrypt", "Sign"}, Name: "n",
				Constraints: &kms.GrantConstraints{EncryptionContextEquals: map[string]string{"a": "b"}}, GrantTokens: []string{"t"}, DryRun: true}, "GRANT TOKEN  token-1", `"grant_id": "grant-1"`},
		"grant create subset": {"grant create k --grantee p --operation Encrypt --context-subset a=b", "", kms.OpCreateGrant,
			&kms.CreateGrantRequest{KeyID: "k", GranteePrincipal: "p", Operations: []kms.GrantOperation{"Encrypt"}, Constraints: &kms.GrantConstraints{EncryptionContextSubset: map[string]string{"a": "b"}}}, "grant-1", ""},
		"grant list":           {"grant list k --id g --grantee p", "", kms.OpListGrants, &kms.ListGrantsRequest{KeyID: "k", GrantID: "g", GranteePrincipal: "p"}, "Decrypt, Encrypt  subset a=1, b=2", `"encryption_context_subset"`},
		"grant list-retirable": {"grant list-retirable p", "", kms.OpListRetirableGrants, &kms.ListRetirableGrantsRequest{RetiringPrincipal: "p"}, "grant-1", `"grant_id": "grant-1"`},
		"grant retire":         {"grant retire --token t", "", kms.OpRetireGrant, &kms.RetireGrantRequest{GrantToken: "t"}, "The grant is retired.", "{}"},
		"grant retire by id":   {"grant retire --key k --id g --dry-run", "", kms.OpRetireGrant, &kms.RetireGrantRequest{KeyID: "k", GrantID: "g", DryRun: true}, "The grant is retired.", ""},
		"grant revoke":         {"grant revoke k g --dry-run", "", kms.OpRevokeGrant, &kms.RevokeGrantRequest{KeyID: "k", GrantID: "g", DryRun: true}, "The grant is revoked.", "{}"},
	}
}

// storeCommands are those of key stores outside the cluster, as a release that serves them would answer.
func storeCommands() map[string]commandTest {
	one := &kms.CustomKeyStoreRequest{CustomKeyStoreID: "cks-1"}
	credential := &kms.XksProxyAuthenticationCredential{AccessKeyID: "XKS", RawSecretAccessKey: "the secret"}
	const proxy = " --xks-endpoint https://x --xks-path /kms/xks/v1 --xks-connectivity VPC_ENDPOINT_SERVICE --xks-vpc-service s --xks-vpc-owner 111122223333 --xks-access-key-id XKS"
	return map[string]commandTest{
		"store create": {"custom-key-store create hsm --cloud-hsm-cluster-id c --trust-anchor-file $DIR/pub.pem --password-file -", "the password\r\n", kms.OpCreateCustomKeyStore,
			&kms.CreateCustomKeyStoreRequest{CustomKeyStoreName: "hsm", CloudHsmClusterID: "c", TrustAnchorCertificate: commandFiles["pub.pem"], KeyStorePassword: "the password"},
			"KEY STORE ID  cks-1", `"custom_key_store_id": "cks-1"`},
		"store create proxy": {"custom-key-store create hsm --type EXTERNAL_KEY_STORE --xks-secret-file $DIR/secret" + proxy, "", kms.OpCreateCustomKeyStore,
			&kms.CreateCustomKeyStoreRequest{CustomKeyStoreName: "hsm", CustomKeyStoreType: "EXTERNAL_KEY_STORE", XksProxyUriEndpoint: "https://x", XksProxyUriPath: "/kms/xks/v1",
				XksProxyConnectivity: "VPC_ENDPOINT_SERVICE", XksProxyVpcEndpointServiceName: "s", XksProxyVpcEndpointServiceOwner: "111122223333", XksProxyAuthenticationCredential: credential}, "cks-1", ""},
		"store update": {"custom-key-store update cks-1 --name other --cloud-hsm-cluster-id c --password-file $DIR/secret", "", kms.OpUpdateCustomKeyStore,
			&kms.UpdateCustomKeyStoreRequest{CustomKeyStoreID: "cks-1", NewCustomKeyStoreName: "other", CloudHsmClusterID: "c", KeyStorePassword: "the secret"}, "cks-1 is changed.\n", "{}"},
		"store update proxy": {"custom-key-store update cks-1 --xks-secret-file -" + proxy, "the secret\n", kms.OpUpdateCustomKeyStore,
			&kms.UpdateCustomKeyStoreRequest{CustomKeyStoreID: "cks-1", XksProxyUriEndpoint: "https://x", XksProxyUriPath: "/kms/xks/v1",
				XksProxyConnectivity: "VPC_ENDPOINT_SERVICE", XksProxyVpcEndpointServiceName: "s", XksProxyVpcEndpointServiceOwner: "111122223333", XksProxyAuthenticationCredential: credential}, "cks-1 is changed.\n", ""},
		"store delete":     {"custom-key-store delete cks-1", "", kms.OpDeleteCustomKeyStore, one, "cks-1 is deleted.\n", "{}"},
		"store connect":    {"custom-key-store connect cks-1", "", kms.OpConnectCustomKeyStore, one, "cks-1 is being connected.\n", "{}"},
		"store disconnect": {"custom-key-store disconnect cks-1", "", kms.OpDisconnectCustomKeyStore, one, "cks-1 is disconnected.\n", "{}"},
		"store list":       {"custom-key-store list --limit 5", "", kms.OpDescribeCustomKeyStores, &kms.DescribeCustomKeyStoresRequest{Limit: 5}, "cks-1         hsm   AWS_CLOUDHSM  CONNECTED  2026-01-02T03:04:05Z", `"custom_key_stores": [`},
		"store by id":      {"custom-key-store list --id cks-1", "", kms.OpDescribeCustomKeyStores, &kms.DescribeCustomKeyStoresRequest{CustomKeyStoreID: "cks-1"}, "hsm", ""},
		"store by name":    {"custom-key-store list --name hsm", "", kms.OpDescribeCustomKeyStores, &kms.DescribeCustomKeyStoresRequest{CustomKeyStoreName: "hsm"}, "hsm", ""},
	}
}

// useCommands are those of signatures, MACs, key pairs and shared secrets, and the newer flags of encryption.
func useCommands() map[string]commandTest {
	tokens := []string{"t", "u"}
	const use = " --grant-token t --grant-token u --dry-run"
	return map[string]commandTest{
		"encrypt with":          {"encrypt k --algorithm RSAES_OAEP_SHA_256" + use, "x", kms.OpEncrypt, &kms.EncryptRequest{KeyID: "k", Plaintext: []byte("x"), EncryptionAlgorithm: kms.RSAESOAEPSHA256, GrantTokens: tokens, DryRun: true}, "c2VhbGVk", ""},
		"decrypt with":          {"decrypt c2VhbGVk --key k --algorithm RSAES_OAEP_SHA_1" + use, "", kms.OpDecrypt, &kms.DecryptRequest{KeyID: "k", CiphertextBlob: []byte("sealed"), EncryptionAlgorithm: kms.RSAESOAEPSHA1, GrantTokens: tokens, DryRun: true}, "plain", ""},
		"re-encrypt with":       {"re-encrypt k c2VhbGVk --source-algorithm RSAES_OAEP_SHA_1 --algorithm RSAES_OAEP_SHA_256" + use, "", kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: "k", CiphertextBlob: []byte("sealed"), SourceEncryptionAlgorithm: kms.RSAESOAEPSHA1, DestinationEncryptionAlgorithm: kms.RSAESOAEPSHA256, GrantTokens: tokens, DryRun: true}, "c2VhbGVkIGFnYWlu", ""},
		"data key with":         {"generate-data-key k --spec AES_128" + use, "", kms.OpGenerateDataKey, &kms.GenerateDataKeyRequest{KeyID: "k", KeySpec: kms.DataKeyAES128, GrantTokens: tokens, DryRun: true}, "PLAINTEXT", ""},
		"data key pair":         {"generate-data-key-pair k --spec RSA_2048 --context a=b" + use, "", kms.OpGenerateDataKeyPair, &kms.GenerateDataKeyPairRequest{KeyID: "k", KeyPairSpec: kms.RSA2048, EncryptionContext: map[string]string{"a": "b"}, GrantTokens: tokens, DryRun: true}, "PRIVATE KEY  cHJpdmF0ZQ==\nENCRYPTED    c2VhbGVk\nPUBLIC KEY   cHVibGlj\n", `"private_key_plaintext": "cHJpdmF0ZQ=="`},
		"data key pair without": {"generate-data-key-pair k --spec RSA_2048 --without-plaintext", "", kms.OpGenerateDataKeyPairWithoutPlaintext, &kms.GenerateDataKeyPairRequest{KeyID: "k", KeyPairSpec: kms.RSA2048}, "ENCRYPTED   c2VhbGVk\nPUBLIC KEY  cHVibGlj\n", `"private_key_ciphertext": "c2VhbGVk"`},
		"sign":                  {"sign k --algorithm ECDSA_SHA_256" + use, "hello", kms.OpSign, &kms.SignRequest{KeyID: "k", Message: []byte("hello"), SigningAlgorithm: kms.ECDSASHA256, GrantTokens: tokens, DryRun: true}, "AHNpZ25lZAo=\n", `"signature": "AHNpZ25lZAo="`},
		"sign raw":              {"sign k --algorithm ECDSA_SHA_256 --message-type DIGEST --in $DIR/message --raw", "ignored", kms.OpSign, &kms.SignRequest{KeyID: "k", Message: []byte("hello"), MessageType: kms.MessageDigest, SigningAlgorithm: kms.ECDSASHA256}, "\x00signed\n", `"signature"`},
		"verify":                {"verify k c2lnbmVk --algorithm ECDSA_SHA_256 --message-type DIGEST" + use, "hello", kms.OpVerify, &kms.VerifyRequest{KeyID: "k", Message: []byte("hello"), MessageType: kms.MessageDigest, Signature: []byte("signed"), SigningAlgorithm: kms.ECDSASHA256, GrantTokens: tokens, DryRun: true}, "VALID      yes", `"signature_valid": true`},
		"verify file":           {"verify k --signature $DIR/base64 --in $DIR/message --algorithm ECDSA_SHA_256", "", kms.OpVerify, &kms.VerifyRequest{KeyID: "k", Message: []byte("hello"), Signature: []byte("signed"), SigningAlgorithm: kms.ECDSASHA256}, "VALID", ""},
		"verify raw":            {"verify k --signature $DIR/signature --raw --algorithm ECDSA_SHA_256", "hello", kms.OpVerify, &kms.VerifyRequest{KeyID: "k", Message: []byte("hello"), Signature: []byte("signed"), SigningAlgorithm: kms.ECDSASHA256}, "VALID", ""},
		"generate-mac":          {"generate-mac k --algorithm HMAC_SHA_256" + use, "hello", kms.OpGenerateMac, &kms.GenerateMacRequest{KeyID: "k", Message: []byte("hello"), MacAlgorithm: kms.HMACSHA256, GrantTokens: tokens, DryRun: true}, "AG1hYwo=\n", `"mac": "AG1hYwo="`},
		"generate-mac raw":      {"generate-mac k --algorithm HMAC_SHA_256 --raw", "hello", kms.OpGenerateMac, &kms.GenerateMacRequest{KeyID: "k", Message: []byte("hello"), MacAlgorithm: kms.HMACSHA256}, "\x00mac\n", ""},
		"verify-mac":            {"verify-mac k --mac $DIR/base64 --algorithm HMAC_SHA_256" + use, "hello", kms.OpVerifyMac, &kms.VerifyMacRequest{KeyID: "k", Message: []byte("hello"), Mac: []byte("signed"), MacAlgorithm: kms.HMACSHA256, GrantTokens: tokens, DryRun: true}, "VALID      yes", `"mac_valid": true`},
		"derive pem":            {"derive-shared-secret k --public-key $DIR/pub.pem" + use, "", kms.OpDeriveSharedSecret, &kms.DeriveSharedSecretRequest{KeyID: "k", PublicKey: []byte("public"), KeyAgreementAlgorithm: kms.ECDH, GrantTokens: tokens, DryRun: true}, "c2hhcmVk\n", `"shared_secret": "c2hhcmVk"`},
		"derive der":            {"derive-shared-secret k --public-key -", "public", kms.OpDeriveSharedSecret, &kms.DeriveSharedSecretRequest{KeyID: "k", PublicKey: []byte("public"), KeyAgreementAlgorithm: kms.ECDH}, "c2hhcmVk\n", ""},
		"encapsulate":           {"encapsulate k" + use, "", kms.OpEncapsulate, &kms.EncapsulateRequest{KeyID: "k", EncapsulationAlgorithm: kms.MLKEM, GrantTokens: tokens, DryRun: true}, "SHARED SECRET  c2hhcmVk\nCIPHERTEXT     c2VhbGVk\n", `"shared_secret_ciphertext": "c2VhbGVk"`},
		"decapsulate":           {"decapsulate k c2VhbGVk" + use, "", kms.OpDecapsulate, &kms.DecapsulateRequest{KeyID: "k", SharedSecretCiphertextBlob: []byte("sealed"), EncapsulationAlgorithm: kms.MLKEM, GrantTokens: tokens, DryRun: true}, "c2hhcmVk\n", `"shared_secret": "c2hhcmVk"`},
		"decapsulate in":        {"decapsulate k", "c2Vh\nbGVk\n", kms.OpDecapsulate, &kms.DecapsulateRequest{KeyID: "k", SharedSecretCiphertextBlob: []byte("sealed"), EncapsulationAlgorithm: kms.MLKEM}, "c2hhcmVk\n", ""},
	}
}

// Every command sends what it was told, prints a table and JSON, and ends with 1 when it is refused.
func TestClientCommands(t *testing.T) {
	called := map[*kms.Operation]bool{kms.OpSeal: true} // TestSeal
	for _, tests := range []map[string]commandTest{generalCommands(), keyCommands(), storeCommands(), useCommands(), identityCommands(), policyCommands(), sessionCommands()} {
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) { tt.run(t) })
			called[tt.op] = true
		}
	}
	for _, op := range kms.Operations {
		if !called[op] {
			t.Errorf("%s is not tested", op.Name)
		}
	}
}

func (tt *commandTest) run(t *testing.T) {
	dir := t.TempDir()
	for name, content := range commandFiles {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := strings.Fields(strings.ReplaceAll(tt.args, "$DIR", dir))
	n := &node{}
	env := serve(t, n)
	code, stdout, stderr := lockstep(t, env, tt.stdin, args...)
	if code != 0 || stderr != "" || !strings.Contains(stdout, tt.table) {
		t.Fatalf("%d %q %q", code, stdout, stderr)
	}
	call := n.calls[0]
	if call.Operation != tt.op || !reflect.DeepEqual(call.Request, tt.request) {
		t.Errorf("%s %+v", call.Operation.Name, call.Request)
	}
	identity := "AKIATEST the-secret"
	if tt.op == kms.OpAssumeRoleWithWebIdentity { // the token in the request is the identity
		identity = " "
	}
	if user, secret, _ := (&http.Request{Header: call.Auth.Header}).BasicAuth(); user+" "+secret != identity {
		t.Errorf("identity %q", user)
	}
	code, stdout, _ = lockstep(t, env, tt.stdin, append(args, "-o", "json")...)
	if code != 0 || !json.Valid([]byte(stdout)) || !strings.Contains(stdout, tt.json) {
		t.Errorf("as JSON: %d %q", code, stdout)
	}
	n.refuse = map[*kms.Operation]error{tt.op: kms.Errorf(kms.CodeAccessDenied, "You may not.")}
	code, stdout, stderr = lockstep(t, env, tt.stdin, args...)
	if code != 1 || stdout != "" || !strings.HasPrefix(stderr, "lockstep: You may not. (access_denied, request ") {
		t.Errorf("refused: %d %q %q", code, stdout, stderr)
	}
}
