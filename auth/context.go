package auth

import (
	"strings"
	"time"

	"github.com/lockstep-kms/lockstep/auth/policy"
	"github.com/lockstep-kms/lockstep/kms"
)

// principalContext adds the condition keys of the principal to those of the request.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
type principalContext struct {
	principal *Principal
	request   policy.Context
}

// Lookup implements policy.Context.
func (c *principalContext) Lookup(name, sub string) (policy.Values, bool) {
	p := c.principal
	switch name {
	case "aws:principalarn":
		if p.Role != "" {
			return policy.One(p.Role), true // of a session the role's, not the session's
		}
		return present(p.ARN)
	case "aws:principalaccount", "kms:calleraccount":
		return present(p.Account)
	case "aws:principaltype":
		return present(principalType(p.Type))
	case "aws:userid":
		return present(p.UserID)
	case "aws:username":
		if p.Type != kms.TypeUser {
			return policy.Values{}, false
		}
		return present(p.Name)
	case "aws:principaltag":
		return Tag(p.Tags, sub)
	case "aws:multifactorauthpresent":
		return policy.One("false"), true
	case "aws:principalisawsservice", "aws:viaawsservice":
		return policy.One("false"), true
	case "aws:tokenissuetime":
		if p.Session == nil {
			return policy.Values{}, false
		}
		return policy.One(time.UnixMilli(p.Session.Issued).UTC().Format(time.RFC3339)), true
	case "aws:federatedprovider":
		if p.Session == nil {
			return policy.Values{}, false
		}
		return present(p.Session.Federated)
	}
	if c.request == nil {
		return policy.Values{}, false
	}
	return c.request.Lookup(name, sub)
}

func principalType(kind string) string {
	switch kind {
	case kms.TypeRoot:
		return "Account"
	case kms.TypeUser:
		return "User"
	case TypeAssumedRole:
		return "AssumedRole"
	case TypeWebIdentity:
		return "FederatedUser"
	}
	return ""
}

func present(v string) (policy.Values, bool) { return policy.One(v), v != "" }

// Tag returns the value of a tag. Names of condition keys are equal without regard to case, and tag keys are part
// of them; one that is spelled as asked comes first.
func Tag(tags map[string]string, key string) (policy.Values, bool) {
	if v, ok := tags[key]; ok {
		return policy.One(v), true
	}
	var name, value string
	found := false
	for k, v := range tags {
		if strings.EqualFold(k, key) && (!found || k < name) {
			name, value, found = k, v, true
		}
	}
	return policy.One(value), found
}
