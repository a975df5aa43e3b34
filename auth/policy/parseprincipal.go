package policy

import "strings"

func (c *compiler) principalElement(s *statement, n *node) {
	is, not := n.member("Principal"), n.member("NotPrincipal")
	switch {
	case c.kind == IdentityPolicy:
		for _, m := range []*member{is, not} {
			if m != nil {
				c.fail(m.offset, "An identity policy has no "+m.name+": its principal is who it is attached to.")
			}
		}
		return
	case c.kind == TrustPolicy && not != nil:
		c.fail(not.offset, "A trust policy names who is trusted with Principal and has no NotPrincipal.")
	case not != nil && !s.deny:
		c.fail(not.offset, "NotPrincipal with Allow would let in everyone else: use Principal, or Deny.")
	}
	m, isNot := c.either(n, "Principal", "NotPrincipal")
	s.notPrincipal = isNot
	s.principals = c.principals(m)
}

func (c *compiler) principals(m *member) []principal {
	if m.value.kind == '"' && m.value.text == "*" {
		return []principal{{kind: principalEveryone, text: "*"}}
	}
	if m.value.kind != '{' || len(m.value.members) == 0 {
		c.fail(m.value.offset, m.name+" is \"*\" or an object such as {\"AWS\": \"arn:aws:iam::111122223333:root\"}.")
	}
	var out []principal
	for i := range m.value.members {
		t := &m.value.members[i]
		var compile func(*node) principal
		switch t.name {
		case "AWS":
			compile = c.awsPrincipal
		case "Service":
			compile = c.servicePrincipal
		case "Federated":
			if c.kind != TrustPolicy {
				c.fail(t.offset, "A key policy has no Federated principal: name the role that the provider's users assume.")
			}
			compile = c.federatedPrincipal
		case "CanonicalUser":
			c.fail(t.offset, "CanonicalUser is a principal of S3 only: name the account under AWS.")
		default:
			c.fail(t.offset, quote(t.name)+" is not a type of principal: the types are AWS, Service and Federated.")
		}
		for _, v := range c.texts(t) {
			out = append(out, compile(&v))
		}
	}
	return out
}

func (c *compiler) named(v *node) {
	if v.text == "" || strings.ContainsAny(v.text, "*?") {
		c.fail(v.offset, "A principal is named in full: a wildcard can only be \"*\" alone, for everyone, under AWS.")
	}
}

func (c *compiler) servicePrincipal(v *node) principal {
	c.named(v)
	if !strings.Contains(v.text, ".") {
		c.fail(v.offset, quote(v.text)+" is not a service principal such as \"backup.amazonaws.com\".")
	}
	return principal{kind: principalService, text: v.text}
}

func (c *compiler) federatedPrincipal(v *node) principal {
	c.named(v)
	return principal{kind: principalFederated, text: v.text}
}

// awsPrincipal compiles "*", an account id, or the ARN of a root user, user, role or role session
// (reference_policies_elements_principal.html).
func (c *compiler) awsPrincipal(v *node) principal {
	if v.text == "*" {
		return principal{kind: principalEveryone, text: "*"}
	}
	c.named(v)
	if isAccount(v.text) {
		return principal{kind: principalAccount, text: v.text, account: v.text}
	}
	p := principal{text: v.text}
	parts := strings.SplitN(v.text, ":", 6)
	if len(parts) == 6 && parts[0] == "arn" && parts[1] != "" && parts[3] == "" && isAccount(parts[4]) {
		kind, name, _ := strings.Cut(parts[5], "/")
		switch {
		case parts[2] == "iam" && parts[5] == "root":
			p.kind, p.account, p.prefix = principalAccount, parts[4], "arn:"+parts[1]+":"
		case parts[2] == "iam" && kind == "user" && isPath(name):
			p.kind = principalUser
		case parts[2] == "iam" && kind == "role" && isPath(name):
			p.kind = principalRole
		case parts[2] == "sts" && kind == "assumed-role" && isPath(name) && strings.Count(name, "/") == 1:
			p.kind = principalSession
		}
	}
	if p.kind == 0 {
		c.fail(v.offset, quote(v.text)+" is not a principal: name an account, a user, a role or a session of a role by its ARN.")
	}
	return p
}

func isAccount(text string) bool {
	return len(text) == 12 && strings.Trim(text, "0123456789") == ""
}

// isPath reports whether text is one or more names with slashes between them.
func isPath(text string) bool {
	return text != "" && text[0] != '/' && text[len(text)-1] != '/' && !strings.Contains(text, "//")
}
