package service

import (
	"time"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/kms"
)

// elements are the responseElements of an audit record: what CloudTrail keeps of an answer that changed something or gave
// credentials, and nothing of any other. It is an allow-list by the types of answers: secrets, tokens, ciphertexts and
// documents are on none. Times are written as RFC 3339 has them.
func (r *request) elements(answer any) []audit.Pair {
	switch a := answer.(type) {
	case *kms.SessionAnswer:
		return sessionElements(a)
	case *kms.SessionTokenAnswer:
		return []audit.Pair{credentialElements(a.AccessKeyID, a.Expiration)}
	}
	if !r.op.Mutates {
		return nil
	}
	switch a := answer.(type) {
	case *kms.KeyAnswer:
		return r.keyElements(&a.Key)
	case *kms.ReplicateKeyAnswer:
		return []audit.Pair{audit.Members("replicaKeyMetadata", metadataElements(&a.Key)...)}
	case *kms.KeyMaterialAnswer:
		return texts("keyId", a.KeyID, "keyMaterialId", a.KeyMaterialID)
	case *kms.CreateGrantAnswer:
		return texts("grantId", a.GrantID, "keyId", r.keyFound())
	case *kms.CreateAccountAnswer:
		return texts("accountId", a.Account.AccountID, "accessKeyId", a.AccessKeyID)
	case *kms.AccountAnswer:
		return texts("accountId", a.Account.AccountID)
	case *kms.SettingAnswer:
		return texts("name", a.Name, "value", a.Value)
	case *kms.SealAnswer:
		return []audit.Pair{audit.List("sealed", a.Sealed), audit.List("unreachable", a.Unreachable)}
	}
	if r.op.Created || r.op == kms.OpCreatePolicyVersion || r.op == kms.OpUpdateRoleDescription {
		if made := madeElements(answer); made != nil {
			return made
		}
	}
	return texts("keyId", r.keyFound())
}

// texts are pairs of names and values, without those that are empty; nil when all are.
func texts(namesAndValues ...string) (all []audit.Pair) {
	for i := 0; i < len(namesAndValues); i += 2 {
		if value := namesAndValues[i+1]; value != "" {
			all = append(all, audit.Pair{Key: namesAndValues[i], Value: value})
		}
	}
	return all
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// keyFound is the ARN of the key that the call was about: CloudTrail tells it also where the answer does not.
func (r *request) keyFound() string {
	for _, resource := range r.resources[:r.found] {
		if resource.Type == typeKey {
			return resource.ARN
		}
	}
	return ""
}

func (r *request) keyElements(k *kms.KeyMetadata) []audit.Pair {
	switch r.op {
	case kms.OpCreateKey:
		return []audit.Pair{audit.Members("keyMetadata", metadataElements(k)...)}
	case kms.OpScheduleKeyDeletion:
		all := texts("keyId", k.ARN, "keyState", string(k.KeyState))
		if k.DeletionDate != nil {
			all = append(all, texts("deletionDate", stamp(*k.DeletionDate))...)
		}
		return append(all, audit.Int("pendingWindowInDays", int64(k.PendingDeletionWindowInDays)))
	default:
		return texts("keyId", k.ARN)
	}
}

func metadataElements(k *kms.KeyMetadata) []audit.Pair {
	all := texts("AWSAccountId", k.AccountID, "keyId", k.KeyID, "arn", k.ARN, "creationDate", stamp(k.CreatedAt))
	all = append(all, audit.Bool("enabled", k.Enabled), audit.Pair{Key: "description", Value: k.Description})
	all = append(all, texts("keyUsage", string(k.KeyUsage), "keyState", string(k.KeyState), "origin", string(k.Origin),
		"keyManager", string(k.KeyManager), "customerMasterKeySpec", string(k.KeySpec), "keySpec", string(k.KeySpec))...)
	all = appendList(all, "encryptionAlgorithms", k.EncryptionAlgorithms)
	all = appendList(all, "signingAlgorithms", k.SigningAlgorithms)
	all = appendList(all, "macAlgorithms", k.MacAlgorithms)
	all = appendList(all, "keyAgreementAlgorithms", k.KeyAgreementAlgorithms)
	all = appendList(all, "encapsulationAlgorithms", k.EncapsulationAlgorithms)
	return append(all, audit.Bool("multiRegion", k.MultiRegion))
}

func appendList[T ~string](all []audit.Pair, key string, words []T) []audit.Pair {
	if len(words) == 0 {
		return all
	}
	return append(all, audit.List(key, words))
}

// madeElements describe what an operation on identities made.
func madeElements(answer any) []audit.Pair {
	switch a := answer.(type) {
	case *kms.UserAnswer:
		return identityElements("user", &a.User)
	case *kms.GroupAnswer:
		return identityElements("group", &a.Group)
	case *kms.RoleAnswer:
		return identityElements("role", &a.Role)
	case *kms.AccessKeyAnswer:
		k := &a.AccessKey
		return []audit.Pair{audit.Members("accessKey", texts("userName", k.UserName, "accessKeyId", k.AccessKeyID, "status", string(k.Status), "createDate", stamp(k.CreatedAt))...)}
	case *kms.PolicyAnswer:
		p := &a.Policy
		return []audit.Pair{audit.Members("policy", texts("policyName", p.Name, "policyId", p.ID, "arn", p.ARN, "path", p.Path,
			"defaultVersionId", p.DefaultVersionID, "createDate", stamp(p.CreatedAt), "updateDate", stamp(p.UpdatedAt))...)}
	case *kms.PolicyVersionAnswer:
		v := &a.PolicyVersion
		return []audit.Pair{audit.Members("policyVersion", append(texts("versionId", v.VersionID, "createDate", stamp(v.CreatedAt)), audit.Bool("isDefaultVersion", v.IsDefaultVersion))...)}
	case *kms.OIDCProviderAnswer:
		return texts("openIDConnectProviderArn", a.Provider.ARN)
	case *kms.TrustAnchorAnswer:
		return []audit.Pair{audit.Members("trustAnchor", texts("name", a.TrustAnchor.Name, "trustAnchorArn", a.TrustAnchor.ARN, "createdAt", stamp(a.TrustAnchor.CreatedAt))...)}
	default:
		return nil
	}
}

func identityElements(noun string, i *kms.IdentityEntry) []audit.Pair {
	return []audit.Pair{audit.Members(noun, texts("path", i.Path, noun+"Name", i.Name, noun+"Id", i.ID, "arn", i.ARN,
		"permissionsBoundary", i.PermissionsBoundary, "createDate", stamp(i.CreatedAt))...)}
}

// credentialElements tell which credentials were given, and leave out the secret and the token.
func credentialElements(id string, until time.Time) audit.Pair {
	return audit.Members("credentials", texts("accessKeyId", id, "expiration", stamp(until))...)
}

func sessionElements(a *kms.SessionAnswer) []audit.Pair {
	all := []audit.Pair{credentialElements(a.AccessKeyID, a.Expiration),
		audit.Members("assumedRoleUser", texts("assumedRoleId", a.AssumedRoleID, "arn", a.AssumedRoleARN)...)}
	if a.PackedPolicySize > 0 {
		all = append(all, audit.Int("packedPolicySize", int64(a.PackedPolicySize)))
	}
	return append(all, texts("subjectFromWebIdentityToken", a.Subject, "provider", a.Provider, "audience", a.Audience)...)
}
