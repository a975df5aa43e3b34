package tools

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

const (
	secretFile = "database: example.com\npassword: hunter2\n"
	editedFile = "database: example.com\npassword: hunter3\n"
)

// newKey makes a key in a region and returns its ARN.
func newKey(t *testing.T, c *cluster.Cluster, region string) string {
	t.Helper()
	cfg := c.Config(t)
	cfg.Region = region
	out, err := kms.NewFromConfig(cfg).CreateKey(t.Context(), &kms.CreateKeyInput{Description: aws.String(t.Name())})
	if err != nil {
		t.Fatal(err)
	}
	return *out.KeyMetadata.Arn
}

// wrapped finds the data key that a file of sops carries.
var wrapped = regexp.MustCompile(`(?m)^ *enc: (\S+)$`)

func dataKey(t *testing.T, file string) string {
	t.Helper()
	found := wrapped.FindStringSubmatch(file)
	if found == nil {
		t.Fatalf("the file carries no data key: %s", file)
	}
	return found[1]
}

// TestSops takes a file through its life: encrypted, read with each node, edited, rotated, with an encryption context.
func TestSops(t *testing.T) {
	c := cluster.Get(t)
	key := newKey(t, c, c.Region)
	alias := "alias/sops-" + key[strings.LastIndex(key, "/")+1:]
	if _, err := kms.NewFromConfig(c.Config(t)).CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: &alias, TargetKeyId: &key}); err != nil {
		t.Fatal(err)
	}
	for name, ref := range map[string]string{"by key ARN": key, "by alias ARN": fmt.Sprintf("arn:aws:kms:%s:%s:%s", c.Region, c.Account, alias)} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t, sopsProgram, c.Env())
			u.write("secret.yaml", secretFile)
			u.run("encrypt", "--kms", ref, "--encryption-context", "app:shop,tier:Prod", "--in-place", "secret.yaml")
			first := u.read("secret.yaml")
			if strings.Contains(first, "hunter2") || !strings.Contains(first, ref) {
				t.Fatalf("the encrypted file is %s", first)
			}
			for _, node := range c.Nodes {
				if got := u.with(c.EnvFor(node)...).run("decrypt", "secret.yaml"); got != secretFile {
					t.Errorf("through %s the file is %q", node, got)
				}
			}
			if got := u.run("decrypt", "--extract", `["password"]`, "secret.yaml"); got != "hunter2" {
				t.Errorf("the password is %q", got)
			}

			u.write("editor", "#!/bin/sh\nsed -i s/hunter2/hunter3/ \"$1\"\n")
			u.with("EDITOR="+filepath.Join(u.dir, "editor")).run("edit", "secret.yaml")
			if got := u.run("decrypt", "secret.yaml"); got != editedFile {
				t.Errorf("the edited file is %q", got)
			}

			before := dataKey(t, u.read("secret.yaml"))
			u.run("rotate", "--in-place", "secret.yaml")
			rotated := u.read("secret.yaml")
			if dataKey(t, rotated) == before {
				t.Error("the data key is the same after the rotation")
			}
			if got := u.run("decrypt", "secret.yaml"); got != editedFile {
				t.Errorf("the rotated file is %q", got)
			}

			changed := strings.Replace(rotated, "tier: Prod", "tier: prod", 1)
			if changed == rotated {
				t.Fatalf("the file does not carry its context: %s", rotated)
			}
			u.write("changed.yaml", changed)
			u.refused([]string{"InvalidCiphertextException"}, "decrypt", "changed.yaml")
		})
	}
}

// TestSopsKeyOutOfUse shows what a user of sops reads when the key is disabled, and that the rotation of the key itself
// keeps files readable.
func TestSopsKeyOutOfUse(t *testing.T) {
	c := cluster.Get(t)
	client, key := kms.NewFromConfig(c.Config(t)), newKey(t, c, c.Region)
	u := newUser(t, sopsProgram, c.Env())
	u.write("secret.yaml", secretFile)
	u.run("encrypt", "--kms", key, "--in-place", "secret.yaml")
	if _, err := client.RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: &key}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &key}); err != nil {
		t.Fatal(err)
	}
	for _, node := range c.Nodes {
		u.with(c.EnvFor(node)...).refused([]string{"DisabledException", "is disabled."}, "decrypt", "secret.yaml")
	}
	if _, err := client.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: &key}); err != nil {
		t.Fatal(err)
	}
	for _, node := range c.Nodes {
		if got := u.with(c.EnvFor(node)...).run("decrypt", "secret.yaml"); got != secretFile {
			t.Errorf("through %s the file is %q", node, got)
		}
	}
}

// TestSopsTwoRegions encrypts for keys of two regions; one of them is enough to decrypt.
func TestSopsTwoRegions(t *testing.T) {
	c := cluster.Get(t)
	near, far := newKey(t, c, c.Region), newKey(t, c, "eu-west-1")
	u := newUser(t, sopsProgram, c.Env())
	u.write("secret.yaml", secretFile)
	u.run("encrypt", "--kms", near+","+far, "--in-place", "secret.yaml")
	if _, err := kms.NewFromConfig(c.Config(t)).DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &near}); err != nil {
		t.Fatal(err)
	}
	if got := u.run("decrypt", "secret.yaml"); got != secretFile {
		t.Errorf("with the second region's key the file is %q", got)
	}
}

// TestSopsRole encrypts and decrypts with ARN+ROLE: sops assumes the role, which alone may use the key.
func TestSopsRole(t *testing.T) {
	c := cluster.Get(t)
	key := newKey(t, c, c.Region)
	env, role := newRole(t, c, key)
	u := newUser(t, sopsProgram, c.Env()).with(env...)
	u.write("secret.yaml", secretFile)
	u.refused([]string{"AccessDeniedException"}, "encrypt", "--kms", key, "secret.yaml")
	u.run("encrypt", "--kms", key+"+"+role, "--encryption-context", "app:shop", "--in-place", "secret.yaml")
	if got := u.read("secret.yaml"); strings.Contains(got, "hunter2") || !strings.Contains(got, "role: "+role) {
		t.Fatalf("the encrypted file is %s", got)
	}
	for range c.Nodes { // each time another node assumes and another decrypts
		if got := u.run("decrypt", "secret.yaml"); got != secretFile {
			t.Errorf("with the role the file is %q", got)
		}
	}
	u.run("rotate", "--in-place", "secret.yaml")
	other := newKey(t, c, c.Region) // which the role may not use
	u.write("plain.yaml", secretFile)
	u.refused([]string{"AccessDeniedException"}, "encrypt", "--kms", other+"+"+role, "plain.yaml")
}

// newRole makes a user that may do nothing but assume a role, and the role, which may use one key. It returns the user's
// environment and the role's ARN.
func newRole(t *testing.T, c *cluster.Cluster, key string) (env []string, role string) {
	t.Helper()
	ctx := context.Background()
	client := iam.NewFromConfig(c.Config(t))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	user, err := client.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("sops-user")})
	must(err)
	access, err := client.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("sops-user")})
	must(err)
	trust := fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":%q}}}`, *user.User.Arn)
	made, err := client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("sops-role"), AssumeRolePolicyDocument: &trust})
	must(err)
	role = *made.Role.Arn
	_, err = client.PutUserPolicy(ctx, &iam.PutUserPolicyInput{
		UserName: aws.String("sops-user"), PolicyName: aws.String("assume"), PolicyDocument: aws.String(allow("sts:AssumeRole", role)),
	})
	must(err)
	_, err = client.PutRolePolicy(ctx, &iam.PutRolePolicyInput{
		RoleName: aws.String("sops-role"), PolicyName: aws.String("use"), PolicyDocument: aws.String(allow("kms:*crypt", key)),
	})
	must(err)
	return []string{"AWS_ACCESS_KEY_ID=" + *access.AccessKey.AccessKeyId, "AWS_SECRET_ACCESS_KEY=" + *access.AccessKey.SecretAccessKey}, role
}

func allow(action, resource string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":%q,"Resource":%q}}`, action, resource)
}
