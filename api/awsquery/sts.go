package awsquery

import (
	"time"

	"github.com/lockstep-kms/lockstep/kms"
)

type (
	callerIdentityResult struct {
		UserId  string
		Account string
		Arn     string
	}

	// policyARN is a managed policy as a session policy.
	policyARN struct {
		ARN string `aws:"arn" is:"required,20-2048,arn"`
	}

	assumeRole struct {
		RoleArn         string             `is:"required,20-2048,arn"`
		RoleSessionName string             `is:"required,2-64,session"`
		PolicyArns      []policyARN        `is:"0-10"`
		Policy          kms.PolicyDocument `is:"1-,document"`
		DurationSeconds *int               `is:"900-43200"`
		Tags            tagList            `is:"0-50"`
		ExternalId      string             `is:"2-1224,external"`
	}

	assumeRoleWithWebIdentity struct {
		RoleArn          string              `is:"required,20-2048,arn"`
		RoleSessionName  string              `is:"required,2-64,session"`
		WebIdentityToken kms.SensitiveString `is:"required,4-20000"`
		PolicyArns       []policyARN         `is:"0-10"`
		Policy           kms.PolicyDocument  `is:"1-2048,document"`
		DurationSeconds  *int                `is:"900-43200"`
	}

	getSessionToken struct {
		DurationSeconds *int `is:"900-129600"`
	}

	getSessionTokenResult struct{ Credentials credentials }

	credentials struct {
		AccessKeyId     string
		SecretAccessKey kms.SensitiveString
		SessionToken    kms.SensitiveString
		Expiration      time.Time
	}

	assumedRoleUser struct {
		AssumedRoleId string
		Arn           string
	}

	assumeRoleResult struct {
		Credentials      credentials
		AssumedRoleUser  assumedRoleUser
		PackedPolicySize *int
	}

	assumeRoleWithWebIdentityResult struct {
		Credentials                 credentials
		SubjectFromWebIdentityToken string
		AssumedRoleUser             assumedRoleUser
		PackedPolicySize            *int
		Provider                    string
		Audience                    string
	}
)

func stsOperations() []*operation {
	return []*operation{
		serve(sts, kms.OpGetCallerIdentity, func(*struct{}) *kms.Empty { return &kms.Empty{} },
			func(_ *struct{}, a *kms.CallerIdentityAnswer) *callerIdentityResult {
				return &callerIdentityResult{a.UserID, a.Account, a.ARN}
			}),
		serve(sts, kms.OpAssumeRole, func(s *assumeRole) *kms.AssumeRoleRequest {
			return &kms.AssumeRoleRequest{RoleARN: s.RoleArn, RoleSessionName: s.RoleSessionName, DurationSeconds: s.DurationSeconds, Policy: s.Policy,
				PolicyARNs: policyARNs(s.PolicyArns), Tags: tagMap(s.Tags), ExternalID: s.ExternalId}
		}, func(_ *assumeRole, a *kms.SessionAnswer) *assumeRoleResult {
			return &assumeRoleResult{credentialsOf(a), assumedRoleUser{a.AssumedRoleID, a.AssumedRoleARN}, packed(a)}
		}),
		serve(sts, kms.OpAssumeRoleWithWebIdentity, func(s *assumeRoleWithWebIdentity) *kms.AssumeRoleWithWebIdentityRequest {
			return &kms.AssumeRoleWithWebIdentityRequest{RoleARN: s.RoleArn, RoleSessionName: s.RoleSessionName, WebIdentityToken: s.WebIdentityToken,
				DurationSeconds: s.DurationSeconds, Policy: s.Policy, PolicyARNs: policyARNs(s.PolicyArns)}
		}, func(_ *assumeRoleWithWebIdentity, a *kms.SessionAnswer) *assumeRoleWithWebIdentityResult {
			return &assumeRoleWithWebIdentityResult{credentialsOf(a), a.Subject, assumedRoleUser{a.AssumedRoleID, a.AssumedRoleARN}, packed(a), a.Provider, a.Audience}
		}),
		serve(sts, kms.OpGetSessionToken, func(s *getSessionToken) *kms.GetSessionTokenRequest {
			return &kms.GetSessionTokenRequest{DurationSeconds: s.DurationSeconds}
		}, func(_ *getSessionToken, a *kms.SessionTokenAnswer) *getSessionTokenResult {
			return &getSessionTokenResult{credentials{a.AccessKeyID, a.SecretAccessKey, a.SessionToken, a.Expiration}}
		}),
	}
}

func policyARNs(given []policyARN) (all []string) {
	for _, one := range given {
		all = append(all, one.ARN)
	}
	return all
}

func credentialsOf(a *kms.SessionAnswer) credentials {
	return credentials{a.AccessKeyID, a.SecretAccessKey, a.SessionToken, a.Expiration}
}

// packed is absent when the session has no policies and tags.
func packed(a *kms.SessionAnswer) *int {
	if a.PackedPolicySize == 0 {
		return nil
	}
	return &a.PackedPolicySize
}
