package tour

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

// shell runs one version of the AWS CLI.
type shell struct {
	t    *testing.T
	path string
	dir  string   // for files that commands read and write
	env  []string // endpoints are given as options, which every version knows
	url  string
	ran  map[string]bool // "SERVICE COMMAND", and for waiters "SERVICE wait"
}

// shells returns those of this machine that have different versions: the one of PATH, and Debian's.
func shells(t *testing.T, c *cluster.Cluster) map[string]*shell {
	all := map[string]*shell{}
	for _, path := range []string{"aws", "/usr/bin/aws"} {
		out, err := exec.Command(path, "--version").CombinedOutput() // the first ones wrote it to standard error
		version, _, _ := strings.Cut(strings.TrimPrefix(string(out), "aws-cli/"), " ")
		if err == nil && all[version] == nil {
			all[version] = &shell{path: path, env: append(environment(c), "AWS_PAGER="), url: c.URL, ran: map[string]bool{}}
		}
	}
	if len(all) == 0 {
		missing(t, "the AWS CLI is not installed (apt-get install awscli)")
	}
	return all
}

// answer is what a command printed, nil when it printed nothing.
type answer map[string]any

// at follows names and, for lists, takes their first member.
func (a answer) at(names ...string) any {
	var v any = map[string]any(a)
	for _, name := range names {
		if list, ok := v.([]any); ok && len(list) > 0 {
			v = list[0]
		}
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

func (a answer) text(names ...string) string { s, _ := a.at(names...).(string); return s }

func (s *shell) try(args ...string) (out, complaint string, err error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.path, append([]string{"--endpoint-url", s.url, "--output", "json"}, args...)...)
	cmd.Env, cmd.Dir = s.env, s.dir
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), strings.TrimSpace(stderr.String()), err
}

// aws runs a command that has to succeed.
func (s *shell) aws(args ...string) (a answer) {
	s.t.Helper()
	out, complaint, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, complaint)
	}
	s.ran[args[0]+" "+args[1]] = true
	if strings.TrimSpace(out) == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		s.t.Fatalf("aws %s printed\n%s", strings.Join(args, " "), out)
	}
	return a
}

// says fails the test unless an answer has a text somewhere.
func (s *shell) says(a answer, want string, names ...string) {
	s.t.Helper()
	if got := fmt.Sprint(a.at(names...)); got != want {
		s.t.Errorf("%s is %s, want %s, in %v", strings.Join(names, "."), got, want, a)
	}
}

// refused runs a command that has to be refused with a code.
func (s *shell) refused(code string, args ...string) {
	s.t.Helper()
	out, complaint, err := s.try(args...)
	if err == nil || !strings.Contains(complaint, "An error occurred ("+code+")") {
		s.t.Errorf("aws %s has to be refused with %s: %v %s %s", strings.Join(args, " "), code, err, complaint, out)
	}
	s.ran[args[0]+" "+args[1]] = true
}

// file writes what a command reads, and returns it as the CLI takes bytes.
func (s *shell) file(content []byte) string {
	s.t.Helper()
	path := filepath.Join(s.dir, rand.Text())
	if err := os.WriteFile(path, content, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return "fileb://" + path
}

// blob is a blob of an answer as the CLI takes it.
func (s *shell) blob(a answer, names ...string) string {
	s.t.Helper()
	raw, err := base64.StdEncoding.DecodeString(a.text(names...))
	if err != nil || len(raw) == 0 {
		s.t.Fatalf("%v is no base64: %v", a, err)
	}
	return s.file(raw)
}

var listed = regexp.MustCompile(`[a-z0-9]+(-[a-z0-9]+)*`)

// commands returns the commands of a service as the CLI itself lists them to who asks for one that is none.
func (s *shell) commands(service string) []string {
	s.t.Helper()
	_, complaint, _ := s.try(service, "no-such-command")
	_, list, ok := strings.Cut(complaint, "valid choices are:")
	if !ok {
		s.t.Fatalf("the CLI does not list the commands of %s: %s", service, complaint)
	}
	return slices.DeleteFunc(listed.FindAllString(list, -1), func(name string) bool { return name == "help" })
}

// everything fails the test for each command of a service that was not run.
func (s *shell) everything(service string) {
	s.t.Helper()
	all := s.commands(service)
	for _, command := range all {
		if !s.ran[service+" "+command] {
			s.t.Errorf("aws %s %s was not run", service, command)
		}
	}
	s.t.Logf("%d commands of aws %s", len(all), service)
}

// knows reports whether a service has a command, which an old CLI may not have.
func (s *shell) knows(service, command string) bool {
	return slices.Contains(s.commands(service), command)
}

// TestCommandLine has each version of the AWS CLI run every command it knows of KMS and STS, and a walk through IAM.
func TestCommandLine(t *testing.T) {
	c := cluster.Get(t)
	for version, s := range shells(t, c) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			for name, tour := range map[string]func(*shell){
				"keys": (*shell).keys, "cryptography": (*shell).cryptography, "identities": (*shell).identities,
			} {
				t.Run(name, func(t *testing.T) {
					s.t, s.dir = t, t.TempDir()
					tour(s)
				})
			}
			s.t, s.dir = t, t.TempDir()
			s.everything("kms")
			s.everything("sts")
		})
	}
}

// keys walks through what is done with keys rather than by them.
func (s *shell) keys() {
	made := s.aws("kms", "create-key", "--description", "by the CLI", "--tags", "TagKey=a,TagValue=1")
	id, arn := made.text("KeyMetadata", "KeyId"), made.text("KeyMetadata", "Arn")
	alias := "alias/cli/" + rand.Text()
	s.aws("kms", "create-alias", "--alias-name", alias, "--target-key-id", id)
	s.says(s.aws("kms", "describe-key", "--key-id", alias), arn, "KeyMetadata", "Arn")
	s.says(s.aws("kms", "list-aliases", "--key-id", id), alias, "Aliases", "AliasName")
	pages := s.aws("kms", "list-keys", "--page-size", "1")
	if keys, _ := pages.at("Keys").([]any); !slices.ContainsFunc(keys, func(k any) bool { return answer(k.(map[string]any)).text("KeyArn") == arn }) {
		s.t.Errorf("list-keys lacks %s in %d keys", arn, len(keys))
	}
	if first, _ := s.aws("kms", "list-aliases", "--max-items", "1", "--page-size", "1").at("Aliases").([]any); len(first) != 1 {
		s.t.Errorf("list-aliases --max-items 1 shows %v", first)
	}
	s.aws("kms", "update-key-description", "--key-id", id, "--description", "renamed")
	s.aws("kms", "disable-key", "--key-id", id)
	s.refused("DisabledException", "kms", "encrypt", "--key-id", alias, "--plaintext", s.file([]byte("x")))
	s.aws("kms", "enable-key", "--key-id", arn)
	s.aws("kms", "tag-resource", "--key-id", id, "--tags", "TagKey=b,TagValue=")
	s.aws("kms", "untag-resource", "--key-id", id, "--tag-keys", "a")
	s.says(s.aws("kms", "list-resource-tags", "--key-id", id), "b", "Tags", "TagKey")
	s.says(s.aws("kms", "list-key-policies", "--key-id", id), "[default]", "PolicyNames")
	policy := s.aws("kms", "get-key-policy", "--key-id", id, "--policy-name", "default").text("Policy")
	s.aws("kms", "put-key-policy", "--key-id", id, "--policy-name", "default", "--policy", policy)
	s.aws("kms", "enable-key-rotation", "--key-id", id)
	s.says(s.aws("kms", "get-key-rotation-status", "--key-id", id), "true", "KeyRotationEnabled")
	s.aws("kms", "disable-key-rotation", "--key-id", id)
	if s.knows("kms", "rotate-key-on-demand") {
		s.says(s.aws("kms", "rotate-key-on-demand", "--key-id", id), arn, "KeyId")
		s.says(s.aws("kms", "list-key-rotations", "--key-id", id), "ON_DEMAND", "Rotations", "RotationType")
	}
	if s.knows("kms", "get-key-last-usage") {
		s.says(s.aws("kms", "get-key-last-usage", "--key-id", id), arn, "KeyId")
	}

	root := "arn:aws:iam::" + made.text("KeyMetadata", "AWSAccountId") + ":root"
	grant := func() answer {
		return s.aws("kms", "create-grant", "--key-id", id, "--grantee-principal", root, "--retiring-principal", root,
			"--operations", "Encrypt", "Decrypt", "--constraints", "EncryptionContextSubset={tenant=7}")
	}
	first, second := grant(), grant()
	s.says(s.aws("kms", "list-grants", "--key-id", id, "--grant-id", first.text("GrantId")), root, "Grants", "GranteePrincipal")
	s.aws("kms", "list-retirable-grants", "--retiring-principal", root)
	s.aws("kms", "retire-grant", "--grant-token", first.text("GrantToken"))
	s.aws("kms", "revoke-grant", "--key-id", id, "--grant-id", second.text("GrantId"))

	regional := s.aws("kms", "create-key", "--multi-region").text("KeyMetadata", "KeyId")
	s.says(s.aws("kms", "replicate-key", "--key-id", regional, "--replica-region", "eu-west-1"), "REPLICA", "ReplicaKeyMetadata", "MultiRegionConfiguration", "MultiRegionKeyType")
	s.aws("kms", "update-primary-region", "--key-id", regional, "--primary-region", "eu-west-1")
	s.says(s.aws("kms", "describe-key", "--key-id", regional, "--region", "eu-west-1"), "PRIMARY", "KeyMetadata", "MultiRegionConfiguration", "MultiRegionKeyType")

	s.says(s.aws("kms", "describe-custom-key-stores"), "[]", "CustomKeyStores")
	const unsupported, store = "UnsupportedOperationException", "cks-1234567890abcdef0"
	s.refused(unsupported, "kms", "create-custom-key-store", "--custom-key-store-name", "a", "--cloud-hsm-cluster-id", "cluster-abcdefghijk",
		"--key-store-password", "kmsPswd1", "--trust-anchor-certificate", "-----BEGIN CERTIFICATE-----")
	for _, command := range []string{"connect", "disconnect", "delete", "update"} {
		s.refused(unsupported, "kms", command+"-custom-key-store", "--custom-key-store-id", store)
	}

	other := s.aws("kms", "create-key").text("KeyMetadata", "KeyId")
	s.aws("kms", "update-alias", "--alias-name", alias, "--target-key-id", other)
	s.aws("kms", "delete-alias", "--alias-name", alias)
	s.refused("NotFoundException", "kms", "describe-key", "--key-id", alias)
	s.says(s.aws("kms", "schedule-key-deletion", "--key-id", id, "--pending-window-in-days", "7"), "PendingDeletion", "KeyState")
	s.says(s.aws("kms", "cancel-key-deletion", "--key-id", id), arn, "KeyId")
}

// cryptography walks through what is done by keys.
func (s *shell) cryptography() {
	const secret = "what is secret"
	encoded := base64.StdEncoding.EncodeToString([]byte(secret))
	message := s.file([]byte(secret))
	key := func(options ...string) string {
		return s.aws(append([]string{"kms", "create-key"}, options...)...).text("KeyMetadata", "KeyId")
	}
	id, other := key(), key()
	sealed := s.aws("kms", "encrypt", "--key-id", id, "--plaintext", message, "--encryption-context", "tenant=7,use=tour")
	s.says(s.aws("kms", "decrypt", "--ciphertext-blob", s.blob(sealed, "CiphertextBlob"), "--encryption-context", "use=tour,tenant=7"), encoded, "Plaintext")
	moved := s.aws("kms", "re-encrypt", "--ciphertext-blob", s.blob(sealed, "CiphertextBlob"), "--source-encryption-context", "tenant=7,use=tour", "--destination-key-id", other)
	s.says(s.aws("kms", "decrypt", "--ciphertext-blob", s.blob(moved, "CiphertextBlob"), "--key-id", other), encoded, "Plaintext")
	data := s.aws("kms", "generate-data-key", "--key-id", id, "--key-spec", "AES_256")
	s.says(s.aws("kms", "decrypt", "--ciphertext-blob", s.blob(data, "CiphertextBlob")), data.text("Plaintext"), "Plaintext")
	s.blob(s.aws("kms", "generate-data-key-without-plaintext", "--key-id", id, "--number-of-bytes", "16"), "CiphertextBlob")
	s.blob(s.aws("kms", "generate-data-key-pair", "--key-id", id, "--key-pair-spec", "ECC_NIST_P256"), "PrivateKeyPlaintext")
	s.blob(s.aws("kms", "generate-data-key-pair-without-plaintext", "--key-id", id, "--key-pair-spec", "ECC_NIST_P384"), "PrivateKeyCiphertextBlob")
	s.blob(s.aws("kms", "generate-random", "--number-of-bytes", "32"), "Plaintext")

	signer := key("--key-spec", "ECC_NIST_P256", "--key-usage", "SIGN_VERIFY")
	signed := s.aws("kms", "sign", "--key-id", signer, "--message", message, "--signing-algorithm", "ECDSA_SHA_256")
	verify := []string{"kms", "verify", "--key-id", signer, "--signing-algorithm", "ECDSA_SHA_256", "--signature", s.blob(signed, "Signature"), "--message"}
	s.says(s.aws(append(verify, message)...), "true", "SignatureValid")
	s.refused("KMSInvalidSignatureException", append(verify, s.file([]byte("another")))...)
	s.blob(s.aws("kms", "get-public-key", "--key-id", signer), "PublicKey")
	maker := key("--key-spec", "HMAC_256", "--key-usage", "GENERATE_VERIFY_MAC")
	mac := s.aws("kms", "generate-mac", "--key-id", maker, "--message", message, "--mac-algorithm", "HMAC_SHA_256")
	s.says(s.aws("kms", "verify-mac", "--key-id", maker, "--message", message, "--mac-algorithm", "HMAC_SHA_256", "--mac", s.blob(mac, "Mac")), "true", "MacValid")
	if s.knows("kms", "derive-shared-secret") {
		one, two := key("--key-spec", "ECC_NIST_P256", "--key-usage", "KEY_AGREEMENT"), key("--key-spec", "ECC_NIST_P256", "--key-usage", "KEY_AGREEMENT")
		derive := func(own, of string) string {
			public := s.blob(s.aws("kms", "get-public-key", "--key-id", of), "PublicKey")
			return s.aws("kms", "derive-shared-secret", "--key-id", own, "--key-agreement-algorithm", "ECDH", "--public-key", public).text("SharedSecret")
		}
		if a, b := derive(one, two), derive(two, one); a != b || a == "" {
			s.t.Errorf("two sides derived %s and %s", a, b)
		}
	}

	external := key("--origin", "EXTERNAL")
	ceremony := s.aws("kms", "get-parameters-for-import", "--key-id", external, "--wrapping-algorithm", "RSAES_OAEP_SHA_256", "--wrapping-key-spec", "RSA_2048")
	wrapped := filepath.Join(s.dir, "wrapped")
	path := func(file string) string { return strings.TrimPrefix(file, "fileb://") }
	openssl := exec.Command("openssl", "pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", path(s.blob(ceremony, "PublicKey")),
		"-in", path(s.file([]byte(rand.Text() + rand.Text())[:32])), "-out", wrapped,
		"-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256", "-pkeyopt", "rsa_mgf1_md:sha256")
	if out, err := openssl.CombinedOutput(); err != nil {
		s.t.Fatalf("openssl: %v\n%s", err, out)
	}
	s.aws("kms", "import-key-material", "--key-id", external, "--encrypted-key-material", "fileb://"+wrapped, "--import-token", s.blob(ceremony, "ImportToken"),
		"--expiration-model", "KEY_MATERIAL_EXPIRES", "--valid-to", time.Now().Add(24*time.Hour).UTC().Format(time.RFC3339))
	s.says(s.aws("kms", "describe-key", "--key-id", external), "Enabled", "KeyMetadata", "KeyState")
	s.aws("kms", "delete-imported-key-material", "--key-id", external)
}

func document(actions, more string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":` + actions + `,` + more + `}]}`
}

// identities walks through users, groups, roles, policies and sessions, as far as the commands differ.
func (s *shell) identities() {
	who := s.aws("sts", "get-caller-identity")
	account := who.text("Account")
	s.says(who, "arn:aws:iam::"+account+":root", "Arn")
	const path = "/cli/"
	user, group, role, name := "u"+rand.Text(), "g"+rand.Text(), "r"+rand.Text(), "p"+rand.Text()
	allowed := document(`"kms:*"`, `"Resource":"*"`)
	s.says(s.aws("iam", "create-user", "--user-name", user, "--path", path, "--tags", "Key=a,Value=1"), user, "User", "UserName")
	s.aws("iam", "wait", "user-exists", "--user-name", user)
	s.says(s.aws("iam", "get-user", "--user-name", user), "1", "User", "Tags", "Value")
	s.aws("iam", "list-users", "--path-prefix", path, "--page-size", "1")
	s.aws("iam", "create-group", "--group-name", group)
	s.aws("iam", "add-user-to-group", "--group-name", group, "--user-name", user)
	s.says(s.aws("iam", "get-group", "--group-name", group), user, "Users", "UserName")
	s.says(s.aws("iam", "list-groups-for-user", "--user-name", user), group, "Groups", "GroupName")

	policy := s.aws("iam", "create-policy", "--policy-name", name, "--policy-document", allowed).text("Policy", "Arn")
	s.aws("iam", "wait", "policy-exists", "--policy-arn", policy)
	s.aws("iam", "create-policy-version", "--policy-arn", policy, "--policy-document", allowed, "--set-as-default")
	s.says(s.aws("iam", "list-policy-versions", "--policy-arn", policy), "v2", "Versions", "VersionId")
	s.says(s.aws("iam", "get-policy-version", "--policy-arn", policy, "--version-id", "v1"), "kms:*", "PolicyVersion", "Document", "Statement", "Action")
	s.aws("iam", "delete-policy-version", "--policy-arn", policy, "--version-id", "v1")
	s.aws("iam", "attach-group-policy", "--group-name", group, "--policy-arn", policy)
	s.says(s.aws("iam", "list-attached-group-policies", "--group-name", group), policy, "AttachedPolicies", "PolicyArn")
	s.aws("iam", "put-user-policy", "--user-name", user, "--policy-name", "own", "--policy-document", allowed)
	s.says(s.aws("iam", "list-user-policies", "--user-name", user), "[own]", "PolicyNames")

	key := s.aws("iam", "create-access-key", "--user-name", user)
	own := s.as(key.text("AccessKey", "AccessKeyId"), key.text("AccessKey", "SecretAccessKey"), "")
	own.aws("kms", "list-keys", "--max-items", "1")
	session := own.aws("sts", "get-session-token", "--duration-seconds", "900")
	s.says(s.session(session).aws("sts", "get-caller-identity"), "arn:aws:iam::"+account+":user"+path+user, "Arn")
	own.refused("AccessDenied", "iam", "list-users")

	trust := document(`"sts:AssumeRole"`, `"Principal":{"AWS":"`+account+`"}`)
	arn := s.aws("iam", "create-role", "--role-name", role, "--assume-role-policy-document", trust).text("Role", "Arn")
	s.aws("iam", "wait", "role-exists", "--role-name", role)
	s.aws("iam", "attach-role-policy", "--role-name", role, "--policy-arn", policy)
	s.says(s.aws("iam", "list-entities-for-policy", "--policy-arn", policy), role, "PolicyRoles", "RoleName")
	assumed := s.aws("sts", "assume-role", "--role-arn", arn, "--role-session-name", "cli")
	s.says(s.session(assumed).aws("sts", "get-caller-identity"), assumed.text("AssumedRoleUser", "Arn"), "Arn")
	s.refused("InvalidIdentityToken", "sts", "assume-role-with-web-identity", "--role-arn", arn, "--role-session-name", "cli", "--web-identity-token", "no.token.atall")

	s.aws("iam", "detach-role-policy", "--role-name", role, "--policy-arn", policy)
	s.aws("iam", "delete-role", "--role-name", role)
	s.aws("iam", "delete-access-key", "--user-name", user, "--access-key-id", key.text("AccessKey", "AccessKeyId"))
	s.aws("iam", "delete-user-policy", "--user-name", user, "--policy-name", "own")
	s.aws("iam", "remove-user-from-group", "--group-name", group, "--user-name", user)
	s.aws("iam", "detach-group-policy", "--group-name", group, "--policy-arn", policy)
	s.aws("iam", "delete-policy", "--policy-arn", policy)
	s.aws("iam", "delete-group", "--group-name", group)
	s.refused("NoSuchEntity", "iam", "delete-group", "--group-name", group)
	s.aws("iam", "delete-user", "--user-name", user)

	for command, options := range map[string]string{
		"assume-role-with-saml": "--role-arn " + arn + " --principal-arn " + arn + " --saml-assertion abcd", "assume-root": "--target-principal 123456789012 --task-policy-arn arn=arn:aws:iam::aws:policy/root-task/IAMAuditRootUserCredentials",
		"decode-authorization-message": "--encoded-message abcd", "get-access-key-info": "--access-key-id AKIAAAAAAAAAAAAAAAAA",
		"get-delegated-access-token": "--trade-in-token abcd", "get-federation-token": "--name abcd", "get-web-identity-token": "--audience abcd --signing-algorithm RS256",
	} {
		if s.knows("sts", command) {
			s.refused("InvalidAction", append([]string{"sts", command}, strings.Fields(options)...)...)
		}
	}
}

// as is the same shell with other credentials.
func (s *shell) as(id, secret, token string) *shell {
	other := *s
	other.env = append(slices.Clone(s.env), "AWS_ACCESS_KEY_ID="+id, "AWS_SECRET_ACCESS_KEY="+secret)
	if token != "" {
		other.env = append(other.env, "AWS_SESSION_TOKEN="+token)
	}
	return &other
}

func (s *shell) session(a answer) *shell {
	return s.as(a.text("Credentials", "AccessKeyId"), a.text("Credentials", "SecretAccessKey"), a.text("Credentials", "SessionToken"))
}
