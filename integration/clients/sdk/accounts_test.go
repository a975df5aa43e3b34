package sdk

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

func asAPI(err error) smithy.APIError {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// as has a client sign with an access key.
func as(id, secret, session string) func(*kms.Options) {
	return func(o *kms.Options) { o.Credentials = credentials.NewStaticCredentialsProvider(id, secret, session) }
}

// newAccount makes another account and returns its id and what makes clients its root's.
func newAccount(t *testing.T) (id string, signs func(*kms.Options)) {
	t.Helper()
	c := cluster.Get(t)
	answer := post(t, c, c.Nodes[1]+"/v1/accounts", `{"name":"`+unique()+`"}`)
	key, _ := answer["access_key_id"].(string)
	secret, _ := answer["secret_access_key"].(string)
	entry, _ := answer["account"].(map[string]any)
	id, _ = entry["account_id"].(string)
	if len(id) != 12 || key == "" || secret == "" {
		t.Fatalf("the account is %v", answer)
	}
	return id, as(key, secret, "")
}

// TestAccounts shows that the credential decides the account: nothing of one is another's, until a policy says so.
func TestAccounts(t *testing.T) {
	mine, _ := client(t)
	id, signs := newAccount(t)
	theirs, _ := client(t, signs)
	k, own := newKey(t, mine), newKey(t, theirs)
	equal(t, "the account", []string{*own.AWSAccountId, *own.Arn}, []string{id, keyARN(home, id, *own.KeyId)})
	name := newAlias(t, mine, k)
	call(t, theirs.CreateAlias, &kms.CreateAliasInput{AliasName: &name, TargetKeyId: own.KeyId}) // each account has its names
	equal(t, "keys", len(call(t, theirs.ListKeys, &kms.ListKeysInput{}).Keys), 1)

	blob := call(t, mine.Encrypt, &kms.EncryptInput{KeyId: &name, Plaintext: []byte("mine")}).CiphertextBlob
	denied := func(operation string) string {
		return "User: arn:aws:iam::" + id + ":root is not authorized to perform: kms:" + operation + " on resource: " + *k.Arn
	}
	for range 3 {
		refused[*types.NotFoundException](t, theirs.Encrypt, &kms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")}, "Key '"+keyARN(home, id, *k.KeyId)+"' does not exist")
		refusedAs(t, "AccessDeniedException", theirs.Encrypt, &kms.EncryptInput{KeyId: k.Arn, Plaintext: []byte("x")}, denied("Encrypt"))
		refusedAs(t, "AccessDeniedException", theirs.DescribeKey, &kms.DescribeKeyInput{KeyId: k.Arn}, denied("DescribeKey"))
		refusedAs(t, "AccessDeniedException", theirs.DisableKey, &kms.DisableKeyInput{KeyId: k.Arn}, denied("DisableKey"))
		// Whether a key is there is not told.
		none := keyARN(home, account(t), noKey())
		refusedAs(t, "AccessDeniedException", theirs.DescribeKey, &kms.DescribeKeyInput{KeyId: &none}, "User: arn:aws:iam::"+id+":root is not authorized to perform: kms:DescribeKey on resource: "+none)
		refusedAs(t, "AccessDeniedException", theirs.Decrypt, &kms.DecryptInput{CiphertextBlob: blob},
			"The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.")
	}
	// A policy lets them in.
	policy := `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"` + root(t) + `"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + id + `:root"},"Action":["kms:Decrypt","kms:DescribeKey"],"Resource":"*"}]}`
	call(t, mine.PutKeyPolicy, &kms.PutKeyPolicyInput{KeyId: k.KeyId, Policy: &policy})
	for range 3 {
		equal(t, "Plaintext", string(call(t, theirs.Decrypt, &kms.DecryptInput{CiphertextBlob: blob}).Plaintext), "mine")
		equal(t, "the key", *call(t, theirs.DescribeKey, &kms.DescribeKeyInput{KeyId: k.Arn}).KeyMetadata.AWSAccountId, account(t))
		refusedAs(t, "AccessDeniedException", theirs.Encrypt, &kms.EncryptInput{KeyId: k.Arn, Plaintext: []byte("x")}, denied("Encrypt"))
	}
	// Or a grant does.
	g := call(t, mine.CreateGrant, &kms.CreateGrantInput{KeyId: k.KeyId, GranteePrincipal: aws.String("arn:aws:iam::" + id + ":root"), Operations: []types.GrantOperation{"Encrypt"},
		Constraints: &types.GrantConstraints{EncryptionContextEquals: map[string]string{"for": "them"}}})
	for range 3 {
		call(t, theirs.Encrypt, &kms.EncryptInput{KeyId: k.Arn, Plaintext: []byte("x"), EncryptionContext: map[string]string{"for": "them"}})
		refusedAs(t, "AccessDeniedException", theirs.Encrypt, &kms.EncryptInput{KeyId: k.Arn, Plaintext: []byte("x"), EncryptionContext: map[string]string{"for": "us"}}, denied("Encrypt"))
	}
	call(t, mine.RevokeGrant, &kms.RevokeGrantInput{KeyId: k.KeyId, GrantId: g.GrantId})
	for range 3 {
		refusedAs(t, "AccessDeniedException", theirs.Encrypt, &kms.EncryptInput{KeyId: k.Arn, Plaintext: []byte("x"), EncryptionContext: map[string]string{"for": "them"}}, denied("Encrypt"))
	}
}

// TestRegions shows that the region that a request is signed for decides where its keys are.
func TestRegions(t *testing.T) {
	here, _ := client(t)
	there, _ := client(t, in(away))
	k, other := newKey(t, here), newKey(t, there)
	equal(t, "ARN", *other.Arn, keyARN(away, account(t), *other.KeyId))
	name := newAlias(t, here, k)
	refused[*types.NotFoundException](t, there.Encrypt, &kms.EncryptInput{KeyId: &name, Plaintext: []byte("x")}, "Alias arn:aws:kms:"+away+":"+account(t)+":"+name+" is not found.")
	refused[*types.NotFoundException](t, there.DescribeKey, &kms.DescribeKeyInput{KeyId: k.KeyId}, "Key '"+keyARN(away, account(t), *k.KeyId)+"' does not exist")
	refused[*types.NotFoundException](t, there.DescribeKey, &kms.DescribeKeyInput{KeyId: k.Arn}, "Invalid arn "+home)
	blob := call(t, here.Encrypt, &kms.EncryptInput{KeyId: &name, Plaintext: []byte("x")}).CiphertextBlob
	refusedAs(t, "AccessDeniedException", there.Decrypt, &kms.DecryptInput{CiphertextBlob: blob},
		"The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.")
	call(t, there.CreateAlias, &kms.CreateAliasInput{AliasName: &name, TargetKeyId: other.KeyId})
	equal(t, "the key of the name", *call(t, there.DescribeKey, &kms.DescribeKeyInput{KeyId: &name}).KeyMetadata.Arn, *other.Arn)
	equal(t, "the key of the name", *call(t, here.DescribeKey, &kms.DescribeKeyInput{KeyId: &name}).KeyMetadata.Arn, *k.Arn)
	nowhere, _ := client(t, in("ap-south-1"))
	if e := asAPI(func() error { _, err := nowhere.ListKeys(t.Context(), &kms.ListKeysInput{}); return err }()); e == nil || e.ErrorCode() != "InvalidSignatureException" {
		t.Errorf("a region that is not served: %v", e)
	}
}

// TestIdentities shows how proofs of an identity are refused, in AWS's words.
func TestIdentities(t *testing.T) {
	cl := cluster.Get(t)
	for what, test := range map[string]struct {
		signs         func(*kms.Options)
		code, message string
	}{
		"an unknown access key": {as("AKIAAAAAAAAAAAAAAAAA", "secret", ""), "UnrecognizedClientException", "The security token included in the request is invalid."},
		"a wrong secret": {as(cl.AccessKeyID, "secret", ""), "InvalidSignatureException",
			"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."},
		"a session token": {as(cl.AccessKeyID, cl.SecretAccessKey, "token"), "UnrecognizedClientException", "The security token included in the request is invalid."},
		"none":            {func(o *kms.Options) { o.Credentials = aws.AnonymousCredentials{} }, "MissingAuthenticationTokenException", "Missing Authentication Token"},
	} {
		t.Run(what, func(t *testing.T) {
			c, rec := client(t, test.signs)
			refusedAs(t, test.code, c.ListKeys, &kms.ListKeysInput{}, test.message)
			refusedAs(t, test.code, c.Encrypt, &kms.EncryptInput{KeyId: aws.String(noKey()), Plaintext: []byte("x")}, test.message)
			// What is wrong with a request is not told to strangers.
			refusedAs(t, test.code, c.Encrypt, &kms.EncryptInput{KeyId: aws.String("no key"), Plaintext: make([]byte, 5000)}, test.message)
			equal(t, "attempts", len(rec.verdicts("Encrypt")), 2)
		})
	}
}
