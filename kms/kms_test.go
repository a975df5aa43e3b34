package kms

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseKeyRef(t *testing.T) {
	const id = "1234abcd-12ab-34cd-56ef-1234567890ab"
	here := Scope{Account: "111122223333", Region: "us-west-2"}
	good := map[string]KeyRef{
		id:                                     {ID: id},
		"mrk-1234abcd12ab34cd56ef1234567890ab": {ID: "mrk-1234abcd12ab34cd56ef1234567890ab"},
		"alias/a/b":                            {Alias: "alias/a/b"},
		"alias/aws/":                           {Alias: "alias/aws/"}, // reserved for creation, not for naming
		"arn:aws:kms:us-west-2:111122223333:key/" + id:           {ID: id, Scope: here},
		"arn:aws:kms:us-west-2:111122223333:alias/ExampleAlias_": {Alias: "alias/ExampleAlias_", Scope: here},
	}
	for text, want := range good {
		got, err := ParseKeyRef(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	bad := []string{"", " " + id, id + " ", strings.ToUpper(id), id[:35], id + "0", strings.ReplaceAll(id, "-", ""), "alias/", "alias", "Alias/a",
		"alias/a b", "alias/ä", "alias/a\x00", "alias/" + strings.Repeat("a", 251), strings.Repeat("a", 2049),
		"arn:aws:kms:us-west-2:111122223333:key/" + strings.ToUpper(id), "arn:aws:kms::111122223333:key/" + id, "arn:aws:kms:us-west-2::key/" + id,
		"arn:aws:iam:us-west-2:111122223333:key/" + id, "arn:aws:kms:us-west-2:111122223333:" + id, "arn:aws:kms:us-west-2:111122223333:key/" + id + ":x", "../" + id}
	for _, text := range bad {
		if got, err := ParseKeyRef(text); CodeOf(err) != CodeInvalidKeyID && CodeOf(err) != CodeValidation && CodeOf(err) != CodeInvalidARN {
			t.Errorf("%q was read as %+v, %v", text, got, err)
		}
	}
}

func FuzzParseKeyRef(f *testing.F) {
	f.Add("arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab")
	f.Add("mrk-1234abcd12ab34cd56ef1234567890ab")
	f.Add("alias/a/b")
	f.Add("1234abcd-12ab-34cd-56ef-1234567890ab")
	for _, bad := range []string{"", "mrk-1234abcd", "arn:aws:kms:us-west-2:111122223333:key"} {
		f.Add(bad)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := ParseKeyRef(s)
		if err != nil {
			if code := CodeOf(err); code != CodeValidation && code != CodeInvalidKeyID && code != CodeInvalidARN {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		if (ref.ID == "") == (ref.Alias == "") || !strings.HasSuffix(s, ref.ID+ref.Alias) {
			t.Fatalf("%q was read as %+v", s, ref)
		}
		if ref.ID != "" {
			raw, err := KeyIDBytes(ref.ID)
			format := KeyIDFromBytes
			if IsMultiRegionID(ref.ID) {
				format = MultiRegionIDFromBytes
			}
			if err != nil || format(raw) != ref.ID {
				t.Fatalf("%q does not survive its bytes: %v", ref.ID, err)
			}
		}
	})
}

func TestAliasNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"alias/a": true, "alias/" + strings.Repeat("a", 250): true, "alias/A-z_0/9": true, "alias/awsome": true,
		"alias/aws/rds": false, "alias/aws": false, "alias/aws/": false, "a": false, "alias/": false, "alias/" + strings.Repeat("a", 251): false, "alias/a:b": false, "alias/ü": false,
	} {
		if err := ValidateAliasName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestOperationsAreDeclaredOnce holds the table to what everything that walks it relies on.
func TestOperationsAreDeclaredOnce(t *testing.T) {
	names, actions := map[string]bool{}, map[string]bool{}
	for _, o := range Operations {
		if names[o.Name] || actions[o.Action] {
			t.Errorf("%s or %s is declared twice", o.Name, o.Action)
		}
		names[o.Name], actions[o.Action] = true, true
		if found, ok := OperationByName(o.Name); !ok || found != o {
			t.Errorf("%s is not found by its name", o.Name)
		}
		if o.Name == "" || !strings.Contains(o.Action, ":") || o.Source == "" || o.Resource == "" {
			t.Errorf("%+v is not whole", o)
		}
		if o.Revokes && !o.Mutates || o.Crypto && o.Mutates || o.Created && !o.Mutates || o.Usage != "" && !o.Crypto {
			t.Errorf("%s contradicts itself", o.Name)
		}
		if (o.Resource == ResourceCluster) != strings.HasPrefix(o.Action, "lockstep:") {
			t.Errorf("%s: lockstep:* actions and only those are the cluster's", o.Name)
		}
		if reflect.TypeOf(o.NewRequest()).Elem() != o.RequestType() || o.AnswerType().Kind() != reflect.Struct {
			t.Errorf("%s: its types do not fit", o.Name)
		}
	}
	if _, ok := OperationByName("encrypt"); ok {
		t.Error("names are case-sensitive")
	}
}

func TestErrors(t *testing.T) {
	for _, c := range Codes() {
		if c.Class() == 0 {
			t.Errorf("%s has no class", c)
		}
	}
	if Code("of tomorrow").Class() != ClassInternal {
		t.Error("an unknown code is internal")
	}
	inside := errors.New("dial tcp 10.0.0.1:8300: connection refused")
	e := AsError(fmt.Errorf("while opening: %w", inside))
	if e.Code != CodeInternal || strings.Contains(e.Message, "dial") || !errors.Is(e, inside) {
		t.Errorf("a foreign error leaves as %v", e)
	}
	sealed := Errorf(CodeSealed, "This node is sealed.")
	if AsError(fmt.Errorf("context: %w", sealed)) != sealed || !errors.Is(sealed, Errorf(CodeSealed, "")) || errors.Is(sealed, Errorf(CodeNoLease, "")) {
		t.Error("errors are not told by their code")
	}
	if AsError(nil) != nil || CodeOf(nil) != "" || IsRefusal(nil) {
		t.Error("nil is an error")
	}
	// What depends on the view may not leave unconfirmed; what does not must not cost a poll.
	for code, want := range map[Code]bool{CodeNotFound: true, CodeAccessDenied: true, CodeUnauthenticated: true, CodeKeyDisabled: true,
		CodeValidation: true, CodeMalformedPolicy: true, CodeInvalidRequest: false, CodeInvalidARN: false, CodeSealed: false, CodeThrottled: false, CodeOutcomeUnknown: false} {
		if IsRefusal(Errorf(code, "")) != want {
			t.Errorf("IsRefusal(%s) is %v", code, !want)
		}
	}
}

// TestSensitiveIsRedacted prints a secret in every way that a log or a message could.
func TestSensitiveIsRedacted(t *testing.T) {
	const canary = "canary-of-the-test"
	r := struct {
		B Sensitive
		S SensitiveString
	}{Sensitive(canary), SensitiveString(canary)}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "b", r.B, "s", r.S)
	for _, text := range []string{fmt.Sprint(r), fmt.Sprintf("%v %+v %#v %s", r, r, r, r), r.B.String(), log.String()} {
		if strings.Contains(text, canary) || strings.Contains(text, fmt.Sprintf("%x", canary)) {
			t.Errorf("a secret shows in %s", text)
		}
	}
	verbs := strings.NewReplacer("p", "", "w", "", "T", "").Replace("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	for _, verb := range verbs {
		for _, flags := range []string{"", "#", "+", "-", " ", "0", "# ", "40", ".9"} {
			format := "%" + flags + string(verb)
			for _, v := range []any{r.B, r.S, &r.B, &r.S} {
				if text := fmt.Sprintf(format, v); text != redacted {
					t.Errorf("%s of a %T is %s", format, v, text)
				}
			}
			if text := fmt.Sprintf(format, r); strings.Count(text, redacted) != 2 {
				t.Errorf("%s of a struct is %s", format, text)
			}
		}
	}
	raw, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(raw), canary) {
		t.Errorf("the wire needs the value: %s, %v", raw, err)
	}
}

func TestKeyState(t *testing.T) {
	k := &Key{State: StateEnabled, Materials: []Material{{Version: 1, ID: "a"}, {Version: 2, ID: "b"}}}
	if k.Current().ID != "b" || k.NextVersion() != 3 {
		t.Error("the last material is the current one")
	}
	if m, ok := k.MaterialVersion(1); !ok || m.ID != "a" {
		t.Error("old material is found by its version")
	}
	if _, ok := k.MaterialVersion(3); ok {
		t.Error("a version of tomorrow is found")
	}
	k.Materials[0].Missing = true
	if _, ok := k.MaterialVersion(1); ok {
		t.Error("material that is missing is found")
	}
	if k.Announced = (&Material{Version: 3, ID: "c"}); k.NextVersion() != 4 {
		t.Error("announced material has a version")
	}
}

func TestRevocationBound(t *testing.T) {
	for text, want := range map[string]time.Duration{"1s": time.Second, "90s": 90 * time.Second, "1h": time.Hour, "0.5s": 0, "1h1s": 0, "60": 0, "": 0, "-1m": 0} {
		if got, err := ParseRevocationBound(text); got != want || (want == 0) != (err != nil) {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
	for d, want := range map[time.Duration]string{time.Hour: "1h", time.Minute: "1m", 90 * time.Second: "1m30s", 500 * time.Millisecond: "500ms", 10 * time.Minute: "10m", 20 * time.Hour: "20h"} {
		if got := ShortDuration(d); got != want {
			t.Errorf("%v is written %s", d, got)
		}
	}
}

// A key is due for what comes first.
func TestDueEvent(t *testing.T) {
	rotated := &Rotation{Next: 20}
	material := func(at int64, missing bool) []Material { return []Material{{Expires: at, Missing: missing}} }
	for name, tt := range map[string]struct {
		key   Key
		at    int64
		event string
	}{
		"nothing":            {Key{State: StateEnabled}, 0, ""},
		"deletion":           {Key{State: StatePendingDeletion, Deletion: 10, Rotation: rotated}, 10, EventDeleteKey},
		"rotation":           {Key{State: StateEnabled, Rotation: rotated}, 20, EventRotateKey},
		"rotation, disabled": {Key{State: StateDisabled, Rotation: rotated}, 0, ""},
		"expiry":             {Key{State: StateEnabled, Rotation: rotated, Materials: material(15, false)}, 15, EventDeleteExpiredKeyMaterial},
		"expired and gone":   {Key{State: StateEnabled, Rotation: rotated, Materials: material(15, true)}, 20, EventRotateKey},
		"announced":          {Key{State: StateEnabled, Announced: &Material{Expires: 5}}, 5, EventDeleteExpiredKeyMaterial},
	} {
		at, event := tt.key.DueEvent()
		if at != tt.at || event != tt.event || tt.key.Due() != tt.at {
			t.Errorf("%s: %d %q", name, at, event)
		}
	}
}
