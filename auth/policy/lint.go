package policy

import (
	"slices"
	"strings"
)

// Warning is advice about a document that Parse accepts.
type Warning struct {
	Line, Column int // as in SyntaxError
	Statement    int // index, or -1 for the document
	Message      string
}

// Lint returns what is probably not meant in a document, in the order of its text. knownActions are
// all actions of the services it names, such as "kms:Encrypt"; actions of other services are not
// looked at.
func Lint(d *Document, knownActions []string) []Warning {
	if d == nil || d.kind == 0 {
		return nil
	}
	l := linter{doc: d, known: make([]string, len(knownActions))}
	for i, action := range knownActions {
		l.known[i] = strings.ToLower(action)
	}
	root := decode(d.text)
	list := root.member("Statement").value.list()
	for i := range list {
		l.statement(&list[i], i)
	}
	slices.SortStableFunc(l.warnings, func(a, b Warning) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return l.warnings
}

type linter struct {
	doc      *Document
	known    []string // lower case
	at       int      // the statement
	deny     bool
	warnings []Warning
}

func (l *linter) warn(offset int, message string) {
	line, column := position(l.doc.text, offset)
	l.warnings = append(l.warnings, Warning{Line: line, Column: column, Statement: l.at, Message: message})
}

func (l *linter) statement(n *node, index int) {
	l.at, l.deny = index, l.doc.statements[index].deny
	conditional := false
	if m := n.member("Condition"); m != nil {
		conditional = len(m.value.members) > 0
	}
	for i := range n.members {
		m := &n.members[i]
		switch m.name {
		case "Principal":
			l.principal(m, conditional)
		case "NotPrincipal":
			l.warn(m.offset, "NotPrincipal denies every caller with a permissions boundary, and spares a user or a session only when its account and its role are listed too: use a condition on aws:PrincipalArn.")
			l.everything(m)
		case "Action":
			l.actions(m)
		case "NotAction", "NotResource":
			if !l.deny {
				l.warn(m.offset, m.name+" with Allow also allows what does not exist yet: list what is meant.")
			}
			l.everything(m)
		case "Resource":
			l.resources(m)
		case "Condition":
			l.conditions(m)
		}
	}
}

// everything warns of a negated element that excludes all there is.
func (l *linter) everything(m *member) {
	for _, v := range l.values(m) {
		if v.text == "*" {
			l.warn(v.offset, m.name+" of \"*\" leaves nothing: the statement can never apply.")
		}
	}
}

// values returns the strings of an element, those under the types of principals included.
func (l *linter) values(m *member) []node {
	if m.value.kind != '{' {
		return m.value.list()
	}
	var out []node
	for i := range m.value.members {
		out = append(out, m.value.members[i].value.list()...)
	}
	return out
}

func (l *linter) principal(m *member, conditional bool) {
	for _, v := range l.values(m) {
		if v.text == "*" && !l.deny && !conditional {
			l.warn(v.offset, "Everyone is allowed without a condition: name the principals, or add a condition such as aws:PrincipalAccount.")
		}
	}
}

func (l *linter) actions(m *member) {
	for _, v := range m.value.list() {
		service, _, ok := strings.Cut(strings.ToLower(v.text), ":")
		if !ok {
			continue
		}
		if l.doc.kind == KeyPolicy && service != "kms" {
			l.warn(v.offset, "A key policy decides on actions of kms only: "+quote(v.text)+" can never apply.")
			continue
		}
		pattern, _ := compilePattern(strings.ToLower(v.text), syntax{wildcards: true, fold: true})
		ofService := func(action string) bool { return strings.HasPrefix(action, service+":") }
		matches := func(action string) bool { return pattern.match(action, nil) == yes }
		if slices.ContainsFunc(l.known, ofService) && !slices.ContainsFunc(l.known, matches) {
			l.warn(v.offset, quote(v.text)+" matches no known action.")
		}
	}
}

func (l *linter) resources(m *member) {
	for _, v := range m.value.list() {
		l.variables(&v)
		if parts := strings.SplitN(v.text, ":", 4); l.doc.kind == KeyPolicy && len(parts) == 4 && parts[2] != "kms" && !strings.ContainsAny(parts[2], "*?") {
			l.warn(v.offset, "The resource of a key policy is the key: "+quote(v.text)+" can never apply.")
		}
	}
}

// variables warns of policy variables in a version of the language that has none.
func (l *linter) variables(v *node) {
	if strings.Contains(v.text, "${") && !l.doc.variables {
		l.warn(v.offset, "Policy variables need \"Version\": \"2012-10-17\": this is compared as it stands.")
	}
}

func (l *linter) conditions(m *member) {
	for i := range m.value.members {
		operator := &m.value.members[i]
		_, quantified, _, _ := findOperator(operator.name)
		if quantified == forAll && !l.deny {
			l.warn(operator.offset, "ForAllValues is true when the key is absent: add a Null condition of \"false\" to an Allow statement.")
		}
		for j := range operator.value.members {
			key := &operator.value.members[j]
			if !knownKey(key.name) {
				l.warn(key.offset, quote(key.name)+" is not a known condition key: it is absent from every request.")
			}
			for _, v := range key.value.list() {
				l.variables(&v)
			}
		}
	}
}

// knownKey reports whether a key of aws: or kms: is one of AWS. Keys of other services and of
// identity providers are not judged.
func knownKey(key string) bool {
	name, sub := splitKey(key)
	service, rest, _ := strings.Cut(name, ":")
	switch {
	case sub != "":
		return true
	case service == "aws":
		return strings.Contains(globalKeys, " "+rest+" ")
	case service == "kms":
		return strings.HasPrefix(rest, "recipientattestation:") || strings.Contains(kmsKeys, " "+rest+" ")
	}
	return true
}

// globalKeys are those of reference_policies_condition-keys.html in the IAM User Guide, kmsKeys
// those of list_kms.html in the Service Authorization Reference; in lower case, without families.
const (
	globalKeys = " assumedroot calledvia calledviaawsmcp calledviafirst calledvialast chatbotsourcearn currenttime" +
		" ec2instancesourceprivateipv4 ec2instancesourcevpc epochtime federatedprovider ismcpserviceaction multifactorauthage" +
		" multifactorauthpresent principalaccount principalarn principalisawsservice principalorgid" +
		" principalorgpaths principalservicename principalservicenameslist principaltype referer" +
		" requestedregion resourceaccount resourceorgid resourceorgpaths securetransport sourceaccount" +
		" sourcearn sourceidentity sourceip sourceorgid sourceorgpaths sourcevpc sourcevpcarn sourcevpce tagkeys" +
		" tokenissuetime useragent userid username viaawsmcpservice viaawsservice vpceaccount vpceorgid vpceorgpaths vpcsourceip "
	kmsKeys = " bypasspolicylockoutsafetycheck calleraccount customermasterkeyspec customermasterkeyusage" +
		" datakeypairspec encryptionalgorithm encryptioncontextkeys expirationmodel grantconstraintsourcearn" +
		" grantconstrainttype granteeprincipal granteeserviceprincipal grantisforawsresource grantoperations" +
		" keyagreementalgorithm keyorigin keyspec keyusage macalgorithm messagetype multiregion multiregionkeytype" +
		" primaryregion reencryptonsamekey replicaregion requestalias resourcealiases retiringprincipal" +
		" retiringserviceprincipal rotationperiodindays schedulekeydeletionpendingwindowindays signingalgorithm" +
		" trailingdayswithoutkeyusage validto viaservice wrappingalgorithm wrappingkeyspec "
)
