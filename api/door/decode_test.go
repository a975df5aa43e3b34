package door

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
)

func TestDecodeRefuses(t *testing.T) {
	deep := func(open, shut string) string {
		return `{"policy":` + strings.Repeat(open, 40) + strings.Repeat(shut, 40) + `}`
	}
	tests := map[string]struct {
		into any
		body string
		says string
	}{
		"not JSON":              {&kms.EncryptRequest{}, `{"plaintext":`, "not valid JSON"},
		"form":                  {&kms.EncryptRequest{}, `plaintext=aGVsbG8=`, "must be a JSON object"},
		"array":                 {&kms.EncryptRequest{}, `[]`, "must be a JSON object"},
		"null":                  {&kms.EncryptRequest{}, `null`, "must be a JSON object"},
		"trailing object":       {&kms.EncryptRequest{}, `{"plaintext":"aGk="}{}`, "not valid JSON"},
		"trailing bytes":        {&kms.EncryptRequest{}, `{"plaintext":"aGk="} x`, "not valid JSON"},
		"comment":               {&kms.EncryptRequest{}, `{/**/"plaintext":"aGk="}`, "not valid JSON"},
		"duplicate member":      {&kms.EncryptRequest{}, `{"plaintext":"aGk=","plaintext":"aGk="}`, `"plaintext" twice`},
		"duplicate in a map":    {&kms.EncryptRequest{}, `{"plaintext":"aGk=","encryption_context":{"a":"1","a":"2"}}`, `"encryption_context/a" twice`},
		"duplicate by escaping": {&kms.EncryptRequest{}, `{"encryption_context":{"a":"1","\u0061":"2"}}`, "twice"},
		"unknown member":        {&kms.EncryptRequest{}, `{"plaintext":"aGk=","plain":"x"}`, `unknown member "plain"`},
		"other case":            {&kms.EncryptRequest{}, `{"Plaintext":"aGk="}`, `unknown member "Plaintext"`},
		"path field in body":    {&kms.EncryptRequest{}, `{"key":"x"}`, "unknown member"},
		"path field by name":    {&kms.EncryptRequest{}, `{"KeyID":"x"}`, "unknown member"},
		"invalid UTF-8":         {&kms.EncryptRequest{}, "{\"encryption_context\":{\"a\":\"\xff\"}}", "UTF-8"},
		"lone surrogate":        {&kms.EncryptRequest{}, `{"encryption_context":{"a":"\ud800"}}`, "not valid"},
		"base64 alphabet":       {&kms.EncryptRequest{}, `{"plaintext":"a-_="}`, `"plaintext" is not standard base64`},
		"base64 padding":        {&kms.EncryptRequest{}, `{"plaintext":"aGk"}`, `"plaintext" is not standard base64`},
		"base64 newline":        {&kms.EncryptRequest{}, `{"plaintext":"aG\nk="}`, `"plaintext" is not standard base64`},
		"number for bytes":      {&kms.EncryptRequest{}, `{"plaintext":7}`, `"plaintext" has the wrong type`},
		"number for string":     {&kms.EncryptRequest{}, `{"encryption_context":{"a":1}}`, "wrong type"},
		"string for number":     {&kms.GenerateRandomRequest{}, `{"number_of_bytes":"8"}`, `"number_of_bytes" has the wrong type`},
		"fraction":              {&kms.GenerateRandomRequest{}, `{"number_of_bytes":1.5}`, "wrong type or value"},
		"overflow":              {&kms.GenerateRandomRequest{}, `{"number_of_bytes":1e400}`, "wrong type or value"},
		"deep object":           {&kms.CreateKeyRequest{}, deep(`{"a":`, `}`), "deeper than 32"},
		"deep array":            {&kms.CreateKeyRequest{}, deep(`[`, `]`), "deeper than 32"},
		"deep and unfinished":   {&kms.CreateKeyRequest{}, strings.Repeat(`{"policy":`, 1000), "deeper than 32"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := Decode([]byte(tt.body), tt.into)
			if kms.CodeOf(err) != kms.CodeInvalidRequest {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%q does not say %q", err, tt.says)
			}
		})
	}
}

// Where senders may add members, unknown ones are skipped; nothing else is looser, inside of them neither.
func TestDecodeExtensible(t *testing.T) {
	var r kms.EncryptRequest
	if err := DecodeExtensible([]byte(`{"new":{"a":[1,null]},"plaintext":"aGk=","Plaintext":"eA=="}`), &r); err != nil || string(r.Plaintext) != "hi" {
		t.Errorf("%q, %v", []byte(r.Plaintext), err)
	}
	for name, body := range map[string]string{
		"duplicate member": `{"plaintext":"aGk=","plaintext":"aGk="}`, "duplicate inside": `{"new":{"a":1,"a":2}}`, "base64": `{"plaintext":"aGk"}`,
		"trailing bytes": `{}x`, "array": `[]`, "UTF-8": "{\"new\":\"\xff\"}", "deep": `{"new":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`,
	} {
		if err := DecodeExtensible([]byte(body), &kms.EncryptRequest{}); kms.CodeOf(err) != kms.CodeInvalidRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDecodeAccepts(t *testing.T) {
	var r kms.EncryptRequest
	body := " {\r\n\t\"plaintext\" : \"aGk=\", \"encryption_context\": {\"a\\\"[[[[\": \"\\u00e4\"}} \n"
	if err := Decode([]byte(body), &r); err != nil {
		t.Fatal(err)
	}
	want := kms.EncryptRequest{Plaintext: []byte("hi"), EncryptionContext: map[string]string{`a"[[[[`: "ä"}}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("got %#v", r.EncryptionContext)
	}
	for _, empty := range []string{"", " \n", "{}"} {
		if err := Decode([]byte(empty), &kms.Empty{}); err != nil {
			t.Errorf("%q: %v", empty, err)
		}
	}
}

// A decoded request must not change when the body's room is wiped and used again.
func TestDecodeKeepsNothingOfTheBody(t *testing.T) {
	body := []byte(`{"plaintext":"aGk=","encryption_context":{"name":"value"},"encryption_algorithm":"SYMMETRIC_DEFAULT"}`)
	var r kms.EncryptRequest
	if err := Decode(body, &r); err != nil {
		t.Fatal(err)
	}
	clear(body)
	if string(r.Plaintext) != "hi" || r.EncryptionContext["name"] != "value" || r.EncryptionAlgorithm != kms.AlgorithmSymmetricDefault {
		t.Errorf("the request changed with the body: %v %v", r.EncryptionContext, r.EncryptionAlgorithm)
	}
}

// FuzzDecode checks over every request type that refusals are the client's error, and that what is
// accepted means the same to a decoder that is not strict.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"plaintext":"aGk=","encryption_context":{"a":"b"},"encryption_algorithm":"SYMMETRIC_DEFAULT"}`,
		`{"ciphertext":"AQ==","source_key_id":"alias/a"}`,
		`{"number_of_bytes":32}`, `{"number_of_bytes":null}`, `{"key_spec":"AES_256","without_plaintext":true}`,
		`{"policy":{"Version":"2012-10-17","Statement":[{"Effect":"Allow","n":1e3}]},"tags":{"a":"b"}}`,
		`{"name":"alias/a","target_key_id":"x"}`, `{"value":"30s"}`, `{"cluster":true}`, `{}`, ``, `{"a":{"a":{}}}`,
		"{\"plaintext\":\"\xff\"}", `{"plaintext":"\ud83d\ude00"}`, `{"plaintext":"aGk=","plaintext":""}`, `[[[[[[`, `{"policy":{"":{"":0}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, op := range kms.Operations {
			got := op.NewRequest()
			if err := Decode(body, got); err != nil {
				if kms.CodeOf(err) != kms.CodeInvalidRequest {
					t.Fatalf("%s: %v", op.Name, err)
				}
				continue
			}
			if len(strings.TrimLeft(string(body), " \t\r\n")) == 0 {
				continue
			}
			loose := op.NewRequest()
			if err := json.Unmarshal(body, loose); err != nil {
				t.Fatalf("%s: accepted what encoding/json refuses: %v", op.Name, err)
			}
			a, _ := json.Marshal(got)
			b, _ := json.Marshal(loose)
			if string(a) != string(b) {
				t.Fatalf("%s: %s differs from %s", op.Name, a, b)
			}
		}
	})
}
