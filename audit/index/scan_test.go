package index

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

// reference reads a line with encoding/json. ok is false for what is no JSON object.
func reference(line []byte) (f fields, ok bool) {
	var m map[string]any
	if json.Unmarshal(line, &m) != nil || m == nil {
		return f, false
	}
	str := func(m map[string]any, name string) []byte {
		s, _ := m[name].(string)
		return []byte(s)
	}
	if t, err := time.Parse(time.RFC3339, string(str(m, "eventTime"))); err == nil {
		f.at, f.timed = t.UnixMilli(), true
	}
	f.event, f.source, f.errorCode = str(m, "eventName"), str(m, "sourceIPAddress"), str(m, "errorCode")
	f.requestID, f.eventID, f.account = str(m, "requestID"), str(m, "eventID"), str(m, "recipientAccountId")
	f.readOnly, _ = m["readOnly"].(bool)
	identity, _ := m["userIdentity"].(map[string]any)
	f.arn, f.principalID, f.accessKeyID = str(identity, "arn"), str(identity, "principalId"), str(identity, "accessKeyId")
	context, _ := identity["sessionContext"].(map[string]any)
	issuer, _ := context["sessionIssuer"].(map[string]any)
	f.issuer = str(issuer, "arn")
	resources, _ := m["resources"].([]any)
	for i := range min(len(resources), 2) {
		r, ok := resources[i].(map[string]any)
		if !ok {
			continue
		}
		f.resources[i] = resource{arn: str(r, "ARN"), account: str(r, "accountId"), at: span{0, 1}}
	}
	return f, true
}

func depth(line []byte) (most int) {
	d := json.NewDecoder(bytes.NewReader(line))
	for n := 0; ; {
		t, err := d.Token()
		if err != nil {
			return most
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			n++
			most = max(most, n)
		case json.Delim('}'), json.Delim(']'):
			n--
		}
	}
}

func (f *fields) equal(g *fields) bool {
	same := f.at == g.at && f.timed == g.timed && f.readOnly == g.readOnly
	for i, a := range f.texts() {
		same = same && bytes.Equal(a, g.texts()[i])
	}
	return same
}

func (f *fields) texts() [][]byte {
	return [][]byte{f.arn, f.principalID, f.accessKeyID, f.issuer, f.account, f.resources[0].arn, f.resources[0].account,
		f.resources[1].arn, f.resources[1].account, f.event, f.source, f.errorCode, f.requestID, f.eventID}
}

func FuzzScan(f *testing.F) {
	for _, s := range []string{
		`{"eventVersion":"1.11","eventTime":"2026-11-26T20:53:13.123Z","eventID":"e","requestID":"r","eventSource":"kms.amazonaws.com","eventName":"Encrypt","sourceIPAddress":"10.0.0.1","userIdentity":{"type":"AssumedRole","principalId":"AROA:s","arn":"arn:aws:sts::1:assumed-role/a/s","accountId":"1","accessKeyId":"ASIA","sessionContext":{"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::1:role/a"}}},"requestParameters":null,"resources":[{"ARN":"k1","accountId":"1","type":"AWS::KMS::Key"},{"ARN":"k2","accountId":"2"}],"errorCode":"denied","readOnly":true,"recipientAccountId":"1","additionalEventData":{"node":"n1","index":"1.2","seq":1,"prev":"x"}}`,
		`{"eventTime":"2026-02-29T00:00:00.000Z"}`, `{"eventTime":"2024-02-29T23:59:59.999Z"}`, `{"eventTime":"2024-02-29T23:59:60.999Z"}`, `{"eventTime":"2026-11-26T20:53:13+01:00"}`,
		`{"eventName":"A","eventName":5}`, `{"eventName":"\u0041\ud83d\ude00\ud800","eventName":"\xff"}`, `{"event\u004eame":"x"}`,
		`{"userIdentity":{"arn":"a"},"userIdentity":{"principalId":"p"}}`, `{"userIdentity":[{"arn":"a"}]}`, `{"userIdentity":{"sessionContext":{"sessionIssuer":{"arn":"i"}},"sessionContext":{}}}`,
		`{"resources":[{"ARN":"a"}],"resources":[1,{"ARN":"b"},{"ARN":"c"}]}`, `{"resources":{"ARN":"a"}}`, `{"resources":[[{"ARN":"a"}]]}`, `{"resources":[{"ARN":{"ARN":"x"},"accountId":["1"]}]}`,
		`{"readOnly":true,"readOnly":"true"}`, ` { "a" : [ 1 , -0.5e+3 , true , false , null , "" , {} , [] ] } `, `{"a":01}`, `{"a":1.}`, `{"a":-}`, `{"a":tru}`, `{"a":1,}`, `{"a" 1}`, `{"a":"`, `{"a":"\x"}`, `{"a":"\u12g4"}`, "{\"a\":\"\t\"}", `{}x`, `[]`, `null`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		want, valid := reference(line)
		var got fields
		ok := scan(line, &got)
		if ok != valid {
			if valid && depth(line) > maxDepth {
				return
			}
			t.Fatalf("%q: read: %v, encoding/json: %v", line, ok, valid)
		}
		if ok && !got.equal(&want) {
			t.Fatalf("%q is\n%+v, encoding/json has\n%+v", line, got, want)
		}
	})
}
