package sdk

import (
	"net/http"
	"testing"
)

// TestRecorder shows that the recorder notices what AWS KMS would not have answered: every other test leans on it.
func TestRecorder(t *testing.T) {
	const id = "0b2c6c1e-4f57-4f0e-9d3a-3e1d6b0a7c55"
	json := "application/x-amz-json-1.1"
	for what, test := range map[string]struct {
		status      int
		contentType string
		requestID   string
		body        string
		fine        bool
	}{
		"an answer":              {200, json, id, `{"Keys":[{"KeyId":"a","KeyArn":"b"}],"Truncated":false}`, true},
		"an error":               {400, json, id, `{"__type":"NotFoundException","message":"x"}`, true},
		"another member":         {200, json, id, `{"Keys":[],"Truncated":false,"Count":1}`, false},
		"another member inside":  {200, json, id, `{"Keys":[{"KeyId":"a","Arn":"b"}]}`, false},
		"another type":           {200, json, id, `{"Truncated":"false"}`, false},
		"a null":                 {200, json, id, `{"NextMarker":null}`, false},
		"another case":           {200, json, id, `{"keys":[]}`, false},
		"no JSON":                {200, json, id, `<Keys/>`, false},
		"another content type":   {200, "application/json", id, `{}`, false},
		"no request id":          {200, json, "", `{}`, false},
		"the status of a model":  {404, json, id, `{"__type":"NotFoundException","message":"x"}`, false},
		"a fault of the client":  {500, json, id, `{"__type":"NotFoundException","message":"x"}`, false},
		"an error with more":     {400, json, id, `{"__type":"NotFoundException","message":"x","code":1}`, false},
		"an error without words": {400, json, id, `{"__type":"NotFoundException","message":""}`, false},
		"words of a secret":      {400, json, id, `{"__type":"InvalidCiphertextException","message":"x"}`, false},
		"an error of no type":    {400, json, id, `{"message":"x"}`, false},
	} {
		r := &recorder{t: t, golden: goldenResponses(t), seen: map[string]map[string]bool{}}
		resp := &http.Response{StatusCode: test.status, Header: http.Header{"Content-Type": {test.contentType}, "X-Amzn-Requestid": {test.requestID}}}
		if err := r.inspect("ListKeys", resp, []byte(test.body)); (err == nil) != test.fine {
			t.Errorf("%s: %v", what, err)
		}
	}
}
