package terraform

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	awsbase "github.com/hashicorp/aws-sdk-go-base/v2"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

// configuration is what a provider block with these credentials and the endpoints of docs/terraform.md becomes.
func configuration(c *cluster.Cluster, id, secret string) *awsbase.Config {
	return &awsbase.Config{AccessKey: id, SecretKey: secret, Region: c.Region, StsEndpoint: c.URL, IamEndpoint: c.URL,
		CallerName: "Terraform AWS Provider", CallerDocumentationURL: "docs/terraform.md", MaxRetries: 25}
}

// configure does what the provider does when it starts: it takes the credentials, assumes the roles, and asks who it is.
func configure(t *testing.T, c *awsbase.Config) (cfg aws.Config, account, partition string) {
	t.Helper()
	ctx, cfg, diags := awsbase.GetAwsConfig(t.Context(), c)
	if diags.HasError() {
		t.Fatalf("configuring the provider: %v", diags)
	}
	account, partition, diags = awsbase.GetAwsAccountIDAndPartition(ctx, cfg, c)
	if diags.HasError() {
		t.Fatalf("asking for the account: %v", diags)
	}
	return cfg, account, partition
}

// user makes an IAM user with an access key and, unless it is "", an inline policy.
func (p *provider) user(policy string) (arn, id, secret string) {
	p.Helper()
	name := unique("terraform-")
	out, err := p.iam.CreateUser(p.ctx, &iam.CreateUserInput{UserName: &name})
	p.check("CreateUser", err)
	if policy != "" {
		_, err = p.iam.PutUserPolicy(p.ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: aws.String("p"), PolicyDocument: &policy})
		p.check("PutUserPolicy", err)
	}
	key, err := p.iam.CreateAccessKey(p.ctx, &iam.CreateAccessKeyInput{UserName: &name})
	p.check("CreateAccessKey", err)
	return aws.ToString(out.User.Arn), aws.ToString(key.AccessKey.AccessKeyId), aws.ToString(key.AccessKey.SecretAccessKey)
}

// TestStartUp starts the provider with and without the flags that spare it requests. Without, which is the default, it is
// told its account by sts:GetCallerIdentity, which needs no rights.
func TestStartUp(t *testing.T) {
	p := newProvider(t)
	_, id, secret := p.user("")
	_, reader, readerSecret := p.user(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:GetUser","iam:ListRoles"],"Resource":"*"}]}`)
	for name, credentials := range map[string][2]string{
		"root": {p.c.AccessKeyID, p.c.SecretAccessKey}, "a user without rights": {id, secret}, "a user": {reader, readerSecret},
	} {
		for flag, skip := range map[string]bool{"": false, ", skip_credentials_validation": true} {
			t.Run(name+flag, func(t *testing.T) {
				c := configuration(p.c, credentials[0], credentials[1])
				c.SkipCredsValidation = skip // then it asks iam:GetUser first, and iam:ListRoles last
				if _, account, partition := configure(t, c); account != p.c.Account || partition != "aws" {
					t.Errorf("account %q, partition %q", account, partition)
				}
			})
		}
	}
	wrong := configuration(p.c, id, "x"+secret[1:])
	if _, _, diags := awsbase.GetAwsConfig(t.Context(), wrong); !diags.HasError() {
		t.Error("the provider starts with a wrong secret")
	}
}

// TestAssumeRole starts the provider with an assume_role block; the session is in force on every node at once.
func TestAssumeRole(t *testing.T) {
	p := newProvider(t)
	user, id, secret := p.user(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession"],"Resource":"*"}]}`)
	name := unique("deploy-")
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession"],"Principal":{"AWS":"` + user + `"},"Condition":{"StringEquals":{"sts:ExternalId":"ext"}}}]}`
	role, err := p.iam.CreateRole(p.ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	p.check("CreateRole", err)
	_, err = p.iam.PutRolePolicy(p.ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("p"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}`)})
	p.check("PutRolePolicy", err)

	c := configuration(p.c, id, secret)
	c.AssumeRole = []awsbase.AssumeRole{{RoleARN: aws.ToString(role.Role.Arn), ExternalID: "ext", SessionName: "terraform", Duration: 30 * time.Minute, Tags: map[string]string{"run": "1"},
		Policy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:CreateKey","kms:DescribeKey","kms:ScheduleKeyDeletion"],"Resource":"*"}]}`}}
	cfg, account, _ := configure(t, c)
	if account != p.c.Account {
		t.Errorf("account %q", account)
	}
	q := *p
	q.kms = kms.NewFromConfig(cfg, func(o *kms.Options) { o.BaseEndpoint = &p.c.URL })
	key := q.createKey(keyConfig{enabled: true})
	for range 3 {
		if _, err := q.findKey(key); err != nil {
			t.Errorf("DescribeKey by the session: %v", err)
		}
	}
	if _, err := q.kms.ListKeys(q.ctx, &kms.ListKeysInput{}); err == nil {
		t.Error("the session may what its policy leaves out")
	}
	q.deleteKey(key, 7)
}
