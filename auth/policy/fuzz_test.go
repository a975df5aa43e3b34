package policy

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// FuzzParse: Parse never panics and says where it stopped; what it accepts can be evaluated,
// linted and parsed again, and denies alone allow nothing.
func FuzzParse(f *testing.F) {
	for _, row := range syntaxRows() {
		if len(row.text) < 4096 {
			f.Add(uint8(row.kind), strings.ReplaceAll(row.text, "§", ""))
		}
	}
	f.Add(uint8(KeyPolicy), benchPolicy)
	f.Add(uint8(TrustPolicy), document(`{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole"}`))
	for _, group := range conditionGroups() {
		for _, row := range group.rows {
			f.Add(uint8(IdentityPolicy), document(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{`+row.condition+`}}`))
		}
	}
	k := keys{"aws:username": {"alice"}, "aws:sourceip": {"10.0.0.1"}, "aws:tagkeys": {"a", "b"}, "aws:currenttime": {"2026-01-31T12:00:00Z"}, "aws:x": {"5"}}
	f.Fuzz(func(t *testing.T, kind uint8, text string) {
		d, err := Parse(Kind(kind), text)
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Line < 1 || syntax.Column < 1 || syntax.Message == "" || d != nil {
				t.Fatalf("%v, %v", d, err)
			}
			return
		}
		if again, err := Parse(Kind(kind), d.Text()); err != nil || d.Text() != text || len(again.Statements()) != len(d.Statements()) {
			t.Fatalf("parsed once, then %v", err)
		}
		Lint(d, []string{"kms:Encrypt"})
		d.Principals()
		denies := true
		for _, s := range d.Statements() {
			denies = denies && s.Deny
		}
		for _, caller := range []Caller{alice, root, session, foreignAlice, {Kind: Service, ARN: "s3.amazonaws.com"}, {Kind: Federated, Federated: "x"}} {
			q := Query{Request: Request{Action: "kms:Encrypt", Resource: keyARN, Caller: caller, Context: k}, ResourceAccount: account}
			if d.Kind() == IdentityPolicy {
				q.Identity, q.Boundary, q.Session = []*Document{d}, d, []*Document{d}
				q.KeyPolicy = parse(t, KeyPolicy, document(allowTo(account)))
			} else {
				q.KeyPolicy = d
			}
			if got := Evaluate(&q); got.Allow() && denies && (d.Kind() != IdentityPolicy || caller.Kind != Root) {
				t.Fatalf("a document of denies allows %+v: %v", caller, got.Reason)
			}
			EvaluateTrust(d, &q.Request)
		}
	})
}

// FuzzEvaluate lets the fuzzer choose the policies and requests of TestAgainstReference.
func FuzzEvaluate(f *testing.F) {
	for seed := range byte(4) {
		random := rand.NewChaCha8([32]byte{seed})
		choices := make([]byte, 8192)
		random.Read(choices)
		f.Add(choices)
	}
	f.Fuzz(rapid.MakeFuzz(func(t *draw) { agree(t, 2) }))
}
