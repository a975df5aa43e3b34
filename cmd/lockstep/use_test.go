package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
)

// An algorithm that is not given is the key's only one.
func TestAlgorithmsAreChosen(t *testing.T) {
	sign := func(key kms.KeyMetadata, args ...string) (*node, int, string) {
		key.ARN = testARN
		n := &node{answers: map[*kms.Operation]any{kms.OpDescribeKey: &kms.KeyAnswer{Key: key}}}
		code, _, stderr := lockstep(t, serve(t, n), "hello", args...)
		return n, code, stderr
	}
	one := []kms.SigningAlgorithm{kms.MLDSASHAKE256}
	mac := []kms.MacAlgorithm{kms.HMACSHA384}
	n, code, stderr := sign(kms.KeyMetadata{SigningAlgorithms: one}, "sign", "alias/a")
	if code != 0 || len(n.calls) != 2 || n.calls[0].Request.(*kms.DescribeKeyRequest).KeyID != "alias/a" || n.calls[1].Request.(*kms.SignRequest).SigningAlgorithm != kms.MLDSASHAKE256 {
		t.Errorf("%d %q, %d calls", code, stderr, len(n.calls))
	}
	if n, code, stderr = sign(kms.KeyMetadata{SigningAlgorithms: one}, "verify", "k", "c2ln"); code != 0 || n.calls[1].Request.(*kms.VerifyRequest).SigningAlgorithm != kms.MLDSASHAKE256 {
		t.Errorf("verify: %d %q", code, stderr)
	}
	if n, code, stderr = sign(kms.KeyMetadata{MacAlgorithms: mac}, "generate-mac", "k"); code != 0 || n.calls[1].Request.(*kms.GenerateMacRequest).MacAlgorithm != kms.HMACSHA384 {
		t.Errorf("generate-mac: %d %q", code, stderr)
	}
	if n, code, stderr = sign(kms.KeyMetadata{MacAlgorithms: mac}, "verify-mac", "k", "c2ln"); code != 0 || n.calls[1].Request.(*kms.VerifyMacRequest).MacAlgorithm != kms.HMACSHA384 {
		t.Errorf("verify-mac: %d %q", code, stderr)
	}
	if n, code, stderr = sign(kms.KeyMetadata{SigningAlgorithms: one}, "sign", "k", "--algorithm", "ECDSA_SHA_256"); code != 0 || len(n.calls) != 1 {
		t.Errorf("a given one: %d %q, %d calls", code, stderr, len(n.calls))
	}
	for _, command := range []string{"sign k", "verify k c2ln"} {
		n, code, stderr = sign(kms.KeyMetadata{SigningAlgorithms: []kms.SigningAlgorithm{kms.Ed25519SHA512, kms.Ed25519PHSHA512}}, strings.Fields(command)...)
		if code != 2 || !strings.Contains(stderr, "ED25519_SHA_512, ED25519_PH_SHA_512") || len(n.calls) != 1 {
			t.Errorf("several: %d %q, %d calls", code, stderr, len(n.calls))
		}
	}
	for _, command := range []string{"sign k", "verify k c2ln", "generate-mac k", "verify-mac k c2ln"} {
		n, code, stderr = sign(kms.KeyMetadata{KeyUsage: kms.EncryptDecrypt}, strings.Fields(command)...)
		if code != 1 || !strings.Contains(stderr, "ENCRYPT_DECRYPT") || len(n.calls) != 1 {
			t.Errorf("%s with a key for something else: %d %q, %d calls", command, code, stderr, len(n.calls))
		}
	}
	n = &node{refuse: map[*kms.Operation]error{kms.OpDescribeKey: kms.Errorf(kms.CodeAccessDenied, "You may not.")}}
	if code, _, stderr := lockstep(t, serve(t, n), "hello", "sign", "k"); code != 1 || !strings.Contains(stderr, "--algorithm") || !strings.Contains(stderr, "access_denied") {
		t.Errorf("who may not describe: %d %q", code, stderr)
	}
}

// A signature or MAC that is not right is exit status 1 and prints nothing.
func TestWrongProofs(t *testing.T) {
	n := &node{refuse: map[*kms.Operation]error{kms.OpVerify: kms.Errorf(kms.CodeInvalidSignature, "It is wrong."), kms.OpVerifyMac: kms.Errorf(kms.CodeInvalidMac, "It is wrong.")}}
	env := serve(t, n)
	if code, stdout, stderr := lockstep(t, env, "x", "verify", "k", "c2ln", "--algorithm", "ECDSA_SHA_256"); code != 1 || stdout != "" || !strings.Contains(stderr, "invalid_signature") {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
	if code, stdout, stderr := lockstep(t, env, "x", "verify-mac", "k", "c2ln", "--algorithm", "HMAC_SHA_256", "-o", "json"); code != 1 || stdout != "" || !strings.Contains(stderr, "invalid_mac") {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
}

// A dry run that would succeed is done, and does not say that anything was.
func TestDryRun(t *testing.T) {
	would := kms.Errorf(kms.CodeDryRun, "It would succeed.")
	n := &node{refuse: map[*kms.Operation]error{kms.OpEncrypt: would, kms.OpDecrypt: would, kms.OpSign: would, kms.OpRevokeGrant: would}}
	env := serve(t, n)
	for _, line := range []string{"encrypt k --dry-run", "decrypt c2ln --dry-run", "sign k --algorithm ECDSA_SHA_256 --raw --dry-run", "grant revoke k g --dry-run"} {
		code, stdout, stderr := lockstep(t, env, "x", strings.Fields(line)...)
		if code != 0 || stdout != "It would succeed; nothing was done.\n" || stderr != "" {
			t.Errorf("%s: %d %q %q", line, code, stdout, stderr)
		}
		code, stdout, _ = lockstep(t, env, "x", append(strings.Fields(line), "-o", "json")...)
		if code != 0 || !strings.Contains(stdout, `"would_succeed": true`) {
			t.Errorf("%s: %d %q", line, code, stdout)
		}
	}
	n.refuse[kms.OpEncrypt] = kms.Errorf(kms.CodeKeyDisabled, "It is disabled.")
	if code, _, stderr := lockstep(t, env, "x", "encrypt", "k", "--dry-run"); code != 1 || !strings.Contains(stderr, "key_disabled") {
		t.Errorf("%d %q", code, stderr)
	}
}

// The table shows what there is, and nothing that there is not.
func TestDescribeShowsEverything(t *testing.T) {
	n := &node{answers: map[*kms.Operation]any{kms.OpDescribeKey: &kms.KeyAnswer{Key: kms.KeyMetadata{KeyID: "mrk-1", ARN: testARN, KeyState: kms.StatePendingReplicaDeletion,
		KeySpec: kms.RSA2048, KeyUsage: kms.SignVerify, Origin: kms.OriginExternal, KeyManager: kms.ManagerAWS, CreatedAt: testTime,
		SigningAlgorithms: []kms.SigningAlgorithm{kms.RSASSAPSSSHA256, kms.RSASSAPSSSHA384}, CurrentKeyMaterialID: "0a0b", PendingDeletionWindowInDays: 7,
		ExpirationModel: kms.MaterialExpires, ValidTo: &deletedOn, DeletionDate: &deletedOn, MultiRegion: true, LastUse: &lastUse, RecentCallers: []kms.UseEntry{lastUse},
		MultiRegionConfiguration: &kms.MultiRegionConfiguration{MultiRegionKeyType: "PRIMARY", PrimaryKey: kms.RegionalKey{ARN: "arn-1", Region: "us-east-1"},
			ReplicaKeys: []kms.RegionalKey{{ARN: "arn-2", Region: "eu-west-1"}}}}}}}
	code, stdout, _ := lockstep(t, serve(t, n), "", "key", "describe", "k")
	for _, want := range []string{"ALGORITHMS        RSASSA_PSS_SHA_256, RSASSA_PSS_SHA_384\n", "MATERIAL          0a0b\n", "MATERIAL EXPIRES  2026-02-01T03:04:05Z\n",
		"DELETED ON        2026-02-01T03:04:05Z\n", "DELETION WINDOW   7 days\n", "MANAGED BY ", "MULTI-REGION      PRIMARY\n", "PRIMARY KEY       arn-1\n", "REPLICA KEY       arn-2\n",
		"LAST USE          2026-01-02T03:04:05Z Decrypt by arn:aws:iam::000000000000:user/ann\n", "CALLER            2026-01-02T03:04:05Z"} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("%q is not in %s", want, stdout)
		}
	}
	_, stdout, _ = lockstep(t, serve(t, &node{}), "", "key", "describe", "k")
	for _, name := range []string{"ALGORITHMS", "MATERIAL", "DELET", "MANAGED", "REGION", "LAST USE", "CALLER"} {
		if strings.Contains(stdout, name) {
			t.Errorf("%s of a key that has none: %s", name, stdout)
		}
	}
}

// A key that was never used says so.
func TestLastUsageOfAnUnusedKey(t *testing.T) {
	n := &node{answers: map[*kms.Operation]any{kms.OpGetKeyLastUsage: &kms.KeyLastUsageAnswer{KeyID: testARN, TrackingStartDate: testTime}}}
	if code, stdout, _ := lockstep(t, serve(t, n), "", "key", "last-usage", "k"); code != 0 || !strings.Contains(stdout, "LAST USE       none\n") || strings.Contains(stdout, "CALLER") {
		t.Errorf("%d %q", code, stdout)
	}
}

// A private key given by mistake does not leave the machine.
func TestDeriveSendsNoPrivateKey(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, _ := x509.MarshalPKCS8PrivateKey(key)
	sec1, _ := x509.MarshalECPrivateKey(key)
	n := &node{}
	env := serve(t, n)
	for name, file := range map[string][]byte{"PEM": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), "PKCS #8": pkcs8, "SEC 1": sec1} {
		code, _, stderr := lockstep(t, env, string(file), "derive-shared-secret", "k", "--public-key", "-")
		if code != 1 || !strings.Contains(stderr, "private key, not a public key") || len(n.calls) != 0 {
			t.Errorf("%s: %d %q, %d calls", name, code, stderr, len(n.calls))
		}
	}
}
