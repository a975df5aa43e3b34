package libraries

import (
	"bytes"
	"strings"
	"testing"

	mplclient "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygenerated"
	mpl "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	primitives "github.com/aws/aws-cryptographic-material-providers-library/releases/go/primitives/awscryptographyprimitivessmithygeneratedtypes"
	esdkclient "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygenerated"
	esdk "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygeneratedtypes"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

// keyrings makes the AWS Encryption SDK's keyrings for one test.
type keyrings struct {
	t    *testing.T
	make *mplclient.Client
	esdk *esdkclient.Client
}

func newKeyrings(t *testing.T) *keyrings {
	t.Helper()
	providers, err := mplclient.NewClient(mpl.MaterialProvidersConfig{})
	if err != nil {
		t.Fatal(err)
	}
	client, err := esdkclient.NewClient(esdk.AwsEncryptionSdkConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return &keyrings{t, providers, client}
}

// must is for what makes a keyring.
func (k *keyrings) must(r mpl.IKeyring, err error) mpl.IKeyring {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
	return r
}

func (k *keyrings) kms(client *kms.Client, arn string) mpl.IKeyring {
	k.t.Helper()
	return k.must(k.make.CreateAwsKmsKeyring(k.t.Context(), mpl.CreateAwsKmsKeyringInput{KmsClient: client, KmsKeyId: arn}))
}

func (k *keyrings) multi(generator mpl.IKeyring, children ...mpl.IKeyring) mpl.IKeyring {
	k.t.Helper()
	return k.must(k.make.CreateMultiKeyring(k.t.Context(), mpl.CreateMultiKeyringInput{Generator: generator, ChildKeyrings: children}))
}

// purpose is the encryption context of all messages.
var purpose = map[string]string{"purpose": "test", "Tenant": "ünïcode"}

func (k *keyrings) encrypt(r mpl.IKeyring, text []byte) []byte {
	k.t.Helper()
	out, err := k.esdk.Encrypt(within(k.t), esdk.EncryptInput{Plaintext: text, EncryptionContext: purpose, Keyring: r})
	if err != nil {
		k.t.Fatal(err)
	}
	if bytes.Contains(out.Ciphertext, text) {
		k.t.Fatal("the message holds its plaintext")
	}
	return out.Ciphertext
}

func (k *keyrings) decrypt(r mpl.IKeyring, message []byte) ([]byte, error) {
	out, err := k.esdk.Decrypt(within(k.t), esdk.DecryptInput{Ciphertext: message, EncryptionContext: purpose, Keyring: r})
	if err != nil {
		return nil, err
	}
	for name, value := range purpose { // the SDK adds a public key of its own to what was given
		if out.EncryptionContext[name] != value {
			k.t.Errorf("the message's context has %s=%q", name, out.EncryptionContext[name])
		}
	}
	return out.Plaintext, nil
}

// opens checks that a keyring decrypts a message to text.
func (k *keyrings) opens(what string, r mpl.IKeyring, message, text []byte) {
	k.t.Helper()
	if got, err := k.decrypt(r, message); err != nil || !bytes.Equal(got, text) {
		k.t.Errorf("%s: decrypted to %d bytes, %v", what, len(got), err)
	}
}

// TestEncryptionSDK encrypts messages of several frames under a key of the cluster and decrypts them with each node.
func TestEncryptionSDK(t *testing.T) {
	c, k := cluster.Get(t), newKeyrings(t)
	arn, other := newKey(t, c, "", ""), newKey(t, c, "", "")
	text := bytes.Repeat([]byte("0123456789"), 2000)
	message := k.encrypt(k.kms(clientOf(t, c, 0, c.Region), arn), text)
	for node := range c.Nodes {
		k.opens("by ARN", k.kms(clientOf(t, c, node, c.Region), arn), message, text)
		discovery := k.must(k.make.CreateAwsKmsDiscoveryKeyring(t.Context(), mpl.CreateAwsKmsDiscoveryKeyringInput{
			KmsClient: clientOf(t, c, node, c.Region), DiscoveryFilter: &mpl.DiscoveryFilter{AccountIds: []string{c.Account}, Partition: "aws"},
		}))
		k.opens("by discovery", discovery, message, text)
	}
	if got, err := k.decrypt(k.kms(clientOf(t, c, 1, c.Region), other), message); err == nil {
		t.Errorf("another key decrypted %d bytes", len(got))
	}
	// The context is bound to the data key too: a message whose context was changed opens nowhere.
	changed := bytes.Replace(message, []byte("purpose"), []byte("Purpose"), 1)
	if _, err := k.esdk.Decrypt(within(t), esdk.DecryptInput{Ciphertext: changed, Keyring: k.kms(clientOf(t, c, 1, c.Region), arn)}); err == nil || !strings.Contains(err.Error(), "InvalidCiphertextException") {
		t.Errorf("with a changed context: %v", err)
	}
	wrong := esdk.DecryptInput{Ciphertext: message, EncryptionContext: map[string]string{"purpose": "Test"}, Keyring: k.kms(clientOf(t, c, 1, c.Region), arn)}
	if _, err := k.esdk.Decrypt(within(t), wrong); err == nil {
		t.Error("decrypted although the caller asked for another context")
	}
}

// TestEncryptionSDKRegions wraps one data key under keys of two regions; either opens the message.
func TestEncryptionSDKRegions(t *testing.T) {
	c, k := cluster.Get(t), newKeyrings(t)
	near, far := clientOf(t, c, 0, c.Region), clientOf(t, c, 1, secondRegion)
	nearARN, farARN := newKeyWith(t, near, &kms.CreateKeyInput{}), newKeyWith(t, far, &kms.CreateKeyInput{})
	text := []byte("readable in two regions")
	message := k.encrypt(k.multi(k.kms(near, nearARN), k.kms(far, farARN)), text)
	k.opens("in the first region", k.kms(clientOf(t, c, 2, c.Region), nearARN), message, text)
	k.opens("in the second region", k.kms(clientOf(t, c, 2, secondRegion), farARN), message, text)
}

// TestEncryptionSDKMultiRegionKey encrypts with the primary of a multi-Region key and decrypts with its replica.
func TestEncryptionSDKMultiRegionKey(t *testing.T) {
	c, k := cluster.Get(t), newKeyrings(t)
	near, far := clientOf(t, c, 0, c.Region), clientOf(t, c, 1, secondRegion)
	primary := newKeyWith(t, near, &kms.CreateKeyInput{MultiRegion: aws.Bool(true)})
	out, err := near.ReplicateKey(within(t), &kms.ReplicateKeyInput{KeyId: &primary, ReplicaRegion: aws.String(secondRegion)})
	if err != nil {
		t.Fatal(err)
	}
	mrk := func(client *kms.Client, arn string) mpl.IKeyring {
		return k.must(k.make.CreateAwsKmsMrkKeyring(t.Context(), mpl.CreateAwsKmsMrkKeyringInput{KmsClient: client, KmsKeyId: arn}))
	}
	text := []byte("readable where the key is replicated")
	k.opens("with the replica", mrk(far, *out.ReplicaKeyMetadata.Arn), k.encrypt(mrk(near, primary), text), text)
	k.opens("with the primary", mrk(near, primary), k.encrypt(mrk(far, *out.ReplicaKeyMetadata.Arn), text), text)
}

// TestEncryptionSDKRSA wraps data keys with the public key alone and unwraps them in the cluster.
func TestEncryptionSDKRSA(t *testing.T) {
	c, k := cluster.Get(t), newKeyrings(t)
	arn := newKey(t, c, types.KeySpecRsa2048, types.KeyUsageTypeEncryptDecrypt)
	public, err := clientOf(t, c, 2, c.Region).GetPublicKey(within(t), &kms.GetPublicKeyInput{KeyId: &arn})
	if err != nil {
		t.Fatal(err)
	}
	suite := mpl.ESDKAlgorithmSuiteIdAlgAes256GcmHkdfSha512CommitKey // the RSA keyring takes no suite with signatures
	for _, alg := range []types.EncryptionAlgorithmSpec{types.EncryptionAlgorithmSpecRsaesOaepSha1, types.EncryptionAlgorithmSpecRsaesOaepSha256} {
		ring := func(node int) mpl.IKeyring {
			return k.must(k.make.CreateAwsKmsRsaKeyring(t.Context(), mpl.CreateAwsKmsRsaKeyringInput{
				KmsClient: clientOf(t, c, node, c.Region), KmsKeyId: arn, EncryptionAlgorithm: alg, PublicKey: pemOf(public.PublicKey),
			}))
		}
		out, err := k.esdk.Encrypt(within(t), esdk.EncryptInput{Plaintext: []byte("text"), EncryptionContext: purpose, Keyring: ring(0), AlgorithmSuiteId: &suite})
		if err != nil {
			t.Fatal(err)
		}
		for node := range c.Nodes {
			k.opens(string(alg), ring(node), out.Ciphertext, []byte("text"))
		}
	}
}

// TestEncryptionSDKECDH agrees on wrapping keys between two keys of the cluster: the sender's private key and the
// recipient's public one give what the recipient derives with its own private key.
func TestEncryptionSDKECDH(t *testing.T) {
	c, k := cluster.Get(t), newKeyrings(t)
	for spec, curve := range map[types.KeySpec]primitives.ECDHCurveSpec{
		types.KeySpecEccNistP256: primitives.ECDHCurveSpecEccNistP256,
		types.KeySpecEccNistP384: primitives.ECDHCurveSpecEccNistP384,
		types.KeySpecEccNistP521: primitives.ECDHCurveSpecEccNistP521,
	} {
		sender, recipient := newKey(t, c, spec, types.KeyUsageTypeKeyAgreement), newKey(t, c, spec, types.KeyUsageTypeKeyAgreement)
		public, err := clientOf(t, c, 2, c.Region).GetPublicKey(within(t), &kms.GetPublicKeyInput{KeyId: &recipient})
		if err != nil {
			t.Fatal(err)
		}
		ring := func(node int, scheme mpl.KmsEcdhStaticConfigurations) mpl.IKeyring {
			return k.must(k.make.CreateAwsKmsEcdhKeyring(t.Context(), mpl.CreateAwsKmsEcdhKeyringInput{
				KmsClient: clientOf(t, c, node, c.Region), CurveSpec: curve, KeyAgreementScheme: scheme,
			}))
		}
		send := ring(0, &mpl.KmsEcdhStaticConfigurationsMemberKmsPrivateKeyToStaticPublicKey{
			Value: mpl.KmsPrivateKeyToStaticPublicKeyInput{SenderKmsIdentifier: sender, RecipientPublicKey: public.PublicKey},
		})
		text := []byte("agreed on")
		message := k.encrypt(send, text)
		for node := range c.Nodes {
			k.opens(string(spec), ring(node, &mpl.KmsEcdhStaticConfigurationsMemberKmsPublicKeyDiscovery{
				Value: mpl.KmsPublicKeyDiscoveryInput{RecipientKmsIdentifier: recipient},
			}), message, text)
		}
		k.opens(string(spec)+" by the sender", send, message, text)
	}
}
