package policy

import "strings"

// PrincipalKind is the kind of a caller.
type PrincipalKind uint8

// The kinds of callers.
const (
	Root        PrincipalKind = iota + 1 // the root user of an account
	User                                 // an IAM user
	AssumedRole                          // a session of a role
	Federated                            // a web identity or certificate that has no session yet: trust policies only
	Service                              // a service principal; ARN holds its name, such as "backup.amazonaws.com"
)

// Caller is the principal as policies name it.
type Caller struct {
	Kind      PrincipalKind
	Account   string // 12 digits; "" for Federated and Service
	ARN       string // arn:aws:iam::A:user/x, arn:aws:iam::A:root, arn:aws:sts::A:assumed-role/R/S
	RoleARN   string // of AssumedRole: arn:aws:iam::A:role/path/R
	Federated string // of Federated: the ARN of the provider
}

// complete reports whether c has what its kind is named by.
func (c *Caller) complete() bool {
	switch c.Kind {
	case Root, User:
		return c.Account != "" && c.ARN != ""
	case AssumedRole:
		return c.Account != "" && c.ARN != "" && c.RoleARN != ""
	case Federated:
		return c.Federated != ""
	case Service:
		return c.ARN != ""
	}
	return false
}

type principalKind uint8

const (
	principalEveryone principalKind = iota + 1
	principalAccount
	principalUser
	principalRole
	principalSession
	principalService
	principalFederated
)

// principal is one compiled value of Principal or NotPrincipal.
type principal struct {
	kind    principalKind
	text    string // as written
	account string // of principalAccount
	prefix  string // of principalAccount written as an ARN: what the caller's ARN begins with, "arn:aws:"
}

// names says how p names the caller. Everyone does not include services and providers in what is
// allowed, only in what is denied: those are let in by name.
func (p *principal) names(c *Caller, deny bool) Via {
	switch p.kind {
	case principalEveryone:
		if deny || c.Kind == Root || c.Kind == User || c.Kind == AssumedRole {
			return ViaDirect
		}
	case principalAccount:
		if c.Account != p.account || !strings.HasPrefix(c.ARN, p.prefix) {
			return ViaNone
		}
		if c.Kind == Root {
			return ViaDirect
		}
		return ViaAccount
	case principalUser:
		return direct(c.Kind == User && c.ARN == p.text)
	case principalSession:
		return direct(c.Kind == AssumedRole && c.ARN == p.text)
	case principalRole:
		if c.Kind == AssumedRole && c.RoleARN == p.text {
			return ViaRole
		}
	case principalService:
		return direct(c.Kind == Service && c.ARN == p.text)
	case principalFederated:
		return direct(c.Kind == Federated && c.Federated == p.text)
	}
	return ViaNone
}

func direct(ok bool) Via {
	if ok {
		return ViaDirect
	}
	return ViaNone
}
