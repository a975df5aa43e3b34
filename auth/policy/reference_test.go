package policy

import (
	"encoding/json"
	"math/big"
	"net"
	"strconv"
	"strings"
	"time"
)

// The reference evaluator decides as Evaluate does, slowly and plainly: on decoded JSON, with
// recursion for wildcards and nothing prepared. It shares no code with the package.

type refQuery struct {
	action, resource string
	caller           Caller
	owner            string
	keys             keys
	key              map[string]any // nil: none
	identity         []map[string]any
	boundary         map[string]any // nil: none
	session          []map[string]any
	hasSession       bool
	grant            grant
}

func decodeJSON(text string) map[string]any {
	var m map[string]any
	if json.Unmarshal([]byte(text), &m) != nil {
		return nil
	}
	return m
}

func (q *refQuery) decide() Effect {
	for _, d := range append(append([]map[string]any{q.key, q.boundary}, q.identity...), q.session...) {
		for _, s := range refStatements(d) {
			if s["Effect"] == "Deny" && q.applies(d, s) && q.via(s) != ViaNone {
				return ExplicitDeny
			}
		}
	}
	if q.allows() {
		return Allowed
	}
	return ImplicitDeny
}

func (q *refQuery) allows() bool {
	foreign := q.owner != q.caller.Account
	limits := (q.boundary == nil || q.anyAllows(q.boundary)) && (!q.hasSession || q.anyAllows(q.session...))
	byIdentity := q.anyAllows(q.identity...) && limits
	if q.key == nil {
		return !foreign && (q.caller.Kind == Root && limits || byIdentity)
	}
	best := ViaNone
	for _, s := range refStatements(q.key) {
		if s["Effect"] == "Allow" && q.applies(q.key, s) {
			best = max(best, q.via(s))
		}
	}
	enough := func(v Via) bool {
		switch {
		case v == ViaNone:
			return false
		case foreign:
			return byIdentity || q.caller.Kind == Root && limits
		case v == ViaDirect:
			return true
		case v == ViaRole:
			return limits
		}
		return byIdentity
	}
	return enough(best) || q.grant.id != "" && enough(q.grant.via)
}

func (q *refQuery) anyAllows(docs ...map[string]any) bool {
	for _, d := range docs {
		for _, s := range refStatements(d) {
			if s["Effect"] == "Allow" && q.applies(d, s) {
				return true
			}
		}
	}
	return false
}

func refStatements(d map[string]any) []map[string]any {
	var out []map[string]any
	for _, s := range refList(d["Statement"]) {
		out = append(out, s.(map[string]any))
	}
	return out
}

func refList(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

// via says how the principals of a statement name the caller. A statement without any is one of an
// identity policy.
func (q *refQuery) via(s map[string]any) Via {
	if not, ok := s["NotPrincipal"]; ok {
		return direct(!q.spared(refPrincipals(not)))
	}
	is, ok := s["Principal"]
	if !ok {
		return ViaDirect
	}
	best := ViaNone
	for _, p := range refPrincipals(is) {
		switch {
		case p == "*":
			best = ViaDirect
		case p == q.caller.Account || p == "arn:aws:iam::"+q.caller.Account+":root":
			if q.caller.Kind == Root {
				best = max(best, q.asSession())
			}
			best = max(best, ViaAccount)
		case p == q.caller.ARN && q.caller.Kind == User:
			best = max(best, q.asSession())
		case p == q.caller.ARN:
			best = ViaDirect
		case p == q.caller.RoleARN:
			best = max(best, ViaRole)
		}
	}
	return best
}

func (q *refQuery) asSession() Via {
	if q.hasSession {
		return ViaRole
	}
	return ViaDirect
}

func (q *refQuery) spared(principals []string) bool {
	has := map[string]bool{}
	for _, p := range principals {
		has[p] = true
	}
	switch {
	case has["*"]:
		return true
	case !has[q.caller.Account] && !has["arn:aws:iam::"+q.caller.Account+":root"]:
		return false
	case q.caller.Kind == Root:
		return true
	case q.boundary != nil:
		return false
	case q.caller.Kind == User:
		return has[q.caller.ARN]
	}
	return has[q.caller.ARN] && has[q.caller.RoleARN]
}

func refPrincipals(v any) []string {
	if v == "*" {
		return []string{"*"}
	}
	var out []string
	for _, p := range refList(v.(map[string]any)["AWS"]) {
		out = append(out, p.(string))
	}
	return out
}

// truth is yes, no, or a doubt that counts for a Deny and against an Allow.
type truth int

const (
	isFalse truth = iota
	isTrue
	isDoubt
)

func (t truth) not() truth {
	switch t {
	case isTrue:
		return isFalse
	case isFalse:
		return isTrue
	}
	return isDoubt
}

// applies reports whether the statement is about the request, apart from its principals.
func (q *refQuery) applies(d, s map[string]any) bool {
	variables := d["Version"] == "2012-10-17"
	is := func(v any, text, how string) truth {
		result := isFalse
		for _, p := range refList(v) {
			switch refMatch(p.(string), text, how, variables, q.keys) {
			case isTrue:
				return isTrue
			case isDoubt:
				result = isDoubt
			}
		}
		return result
	}
	all := []truth{}
	if v, ok := s["Action"]; ok {
		all = append(all, is(v, q.action, "action"))
	} else {
		all = append(all, is(s["NotAction"], q.action, "action").not())
	}
	if v, ok := s["Resource"]; ok {
		if all = append(all, is(v, q.resource, "arn")); all[1] == isDoubt {
			return false
		}
	} else {
		all = append(all, is(s["NotResource"], q.resource, "arn").not())
	}
	if c, ok := s["Condition"].(map[string]any); ok {
		for op, block := range c {
			for key, values := range block.(map[string]any) {
				all = append(all, q.condition(op, key, refList(values), variables))
			}
		}
	}
	for _, t := range all {
		if t == isFalse || t == isDoubt && s["Effect"] == "Allow" {
			return false
		}
	}
	return true
}

func (q *refQuery) condition(op, key string, wanted []any, variables bool) truth {
	set, plain, ok := strings.Cut(op, ":")
	if !ok {
		set, plain = "", op
	}
	values := q.keys[strings.ToLower(key)]
	base := strings.TrimSuffix(plain, "IfExists")
	switch {
	case base == "Null":
		return truthOf((len(values) == 0) == (wanted[0] == "true"))
	case len(values) == 0 && base != plain:
		return isTrue
	case set != "" && len(values) == 1 && values[0] == "":
		values = nil
	}
	negated := strings.Contains(base, "Not")
	one := func(v string) truth {
		result := isFalse
		for _, w := range wanted {
			switch refCompare(strings.Replace(base, "Not", "", 1), w.(string), v, variables, q.keys) {
			case isTrue:
				result = isTrue
			case isDoubt:
				if result == isFalse {
					result = isDoubt
				}
			}
		}
		switch {
		case negated:
			return result.not()
		case result == isDoubt:
			return isFalse
		}
		return result
	}
	every := set == "ForAllValues" || set == "" && negated
	sum := truthOf(every)
	for _, v := range values {
		t := one(v)
		switch {
		case every && t == isFalse, !every && t == isTrue:
			return t
		case t == isDoubt:
			sum = isDoubt
		}
	}
	return sum
}

func truthOf(b bool) truth {
	if b {
		return isTrue
	}
	return isFalse
}

func refCompare(op, wanted, value string, variables bool, k keys) truth {
	switch {
	case op == "StringEquals":
		return refMatch(wanted, value, "text", variables, k)
	case op == "StringEqualsIgnoreCase":
		return refMatch(wanted, value, "fold", variables, k)
	case op == "StringLike":
		return refMatch(wanted, value, "like", variables, k)
	case strings.HasPrefix(op, "Arn"):
		return refMatch(wanted, value, "arn", variables, k)
	case strings.HasPrefix(op, "Numeric"):
		a, ok1 := new(big.Rat).SetString(value)
		b, ok2 := new(big.Rat).SetString(wanted)
		return truthOf(ok1 && ok2 && refOrder(strings.TrimPrefix(op, "Numeric"), a.Cmp(b)))
	case strings.HasPrefix(op, "Date"):
		a, ok1 := refTime(value)
		b, ok2 := refTime(wanted)
		return truthOf(ok1 && ok2 && refOrder(strings.TrimPrefix(op, "Date"), a.Compare(b)))
	case op == "IpAddress":
		ip := net.ParseIP(value)
		if !strings.Contains(wanted, "/") {
			return truthOf(ip != nil && ip.Equal(net.ParseIP(wanted)))
		}
		_, block, err := net.ParseCIDR(wanted)
		return truthOf(err == nil && ip != nil && block.Contains(ip))
	}
	return truthOf(wanted == value) // Bool and BinaryEquals, of values in their one spelling
}

func refTime(text string) (time.Time, bool) {
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		return time.Unix(int64(n), 0), true
	}
	t, err := time.Parse(time.RFC3339, text)
	return t, err == nil
}

func refOrder(op string, order int) bool {
	switch op {
	case "Equals":
		return order == 0
	case "LessThan":
		return order < 0
	case "LessThanEquals":
		return order <= 0
	case "GreaterThan":
		return order > 0
	}
	return order >= 0
}

// refToken is a character of a pattern, or a wildcard in it.
type refToken struct {
	r       rune
	wild    bool
	segment bool // does not match a colon
}

func refMatch(pattern, text, how string, variables bool, k keys) truth {
	var tokens []refToken
	runes := []rune(pattern)
	colons := 0
	for i := 0; i < len(runes); i++ {
		r := runes[i]
		if variables && how != "action" && r == '$' && i+1 < len(runes) && runes[i+1] == '{' {
			end := i
			for runes[end] != '}' {
				end++
			}
			value := string(runes[i+2 : end])
			if value != "*" && value != "?" && value != "$" {
				values := k[strings.ToLower(value)]
				if len(values) != 1 {
					return isDoubt
				}
				value = values[0]
			}
			for _, v := range value {
				tokens = append(tokens, refToken{r: v})
			}
			i = end
			continue
		}
		if r == ':' {
			colons++
		}
		wild := (r == '*' || r == '?') && how != "text" && how != "fold"
		tokens = append(tokens, refToken{r: r, wild: wild, segment: how == "arn" && colons < 5 && !(r == '*' && i == len(runes)-1)})
	}
	fold := how == "action" || how == "fold"
	return truthOf(refGlob(tokens, []rune(text), fold))
}

func refGlob(p []refToken, text []rune, fold bool) bool {
	if len(p) == 0 {
		return len(text) == 0
	}
	if p[0].wild && p[0].r == '*' && refGlob(p[1:], text, fold) {
		return true
	}
	if len(text) == 0 {
		return false
	}
	if p[0].wild {
		if p[0].segment && text[0] == ':' {
			return false
		}
		if p[0].r == '*' {
			return refGlob(p, text[1:], fold)
		}
		return refGlob(p[1:], text[1:], fold)
	}
	same := p[0].r == text[0] || fold && strings.EqualFold(string(p[0].r), string(text[0]))
	return same && refGlob(p[1:], text[1:], fold)
}
