package awskms

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
)

// The Resource Groups Tagging API has few names for errors: its own, and those that every API of AWS gives.
func TestErrorsOfTagging(t *testing.T) {
	for _, code := range kms.Codes() {
		w := serve(&fake{err: kms.Errorf(code, "Why.")}, "GetResources", "{}")
		var r struct {
			Type    string `json:"__type"`
			Message *string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil || r.Message == nil || !strings.Contains(w.Body.String(), `"Message":`) {
			t.Errorf("%s: %s %v", code, w.Body, err)
		}
		if status := exceptions[code].status; w.Code != status || (status >= 500) != (r.Type == "InternalServiceException") {
			t.Errorf("%s: %d %s", code, w.Code, r.Type)
		}
	}
	for _, code := range []kms.Code{kms.CodeValidation, kms.CodeInvalidMarker, kms.CodeUnsupported} {
		if r := refused(t, serve(&fake{err: kms.Errorf(code, "Why.")}, "GetResources", "{}")); r.Type != "InvalidParameterException" || r.Message != "Why." {
			t.Errorf("%s: %+v", code, r)
		}
	}
	if r := refused(t, serve(&fake{err: kms.Errorf(kms.CodeThrottled, "Why.")}, "GetResources", "{}")); r.Type != "ThrottledException" {
		t.Errorf("throttled: %+v", r)
	}
}

func TestTagging(t *testing.T) {
	for _, body := range []string{`{"ResourcesPerPage":0}`, `{"ResourcesPerPage":101}`, `{"TagsPerPage":99}`, `{"TagsPerPage":501}`, `{"ResourceARNList":[]}`,
		`{"TagFilters":[{"Values":["a"]}]}`, `{"TagFilters":[{"Key":""}]}`, `{"TagFilters":[{"Key":"a","Values":["` + strings.Repeat("x", 257) + `"]}]}`,
		`{"IncludeComplianceDetails":true}`, `{"ExcludeCompliantResources":true}`} {
		if r := refused(t, serve(&fake{}, "GetResources", body)); r.Type != "InvalidParameterException" {
			t.Errorf("%s: %+v", body, r)
		}
	}
	f := &fake{answer: &kms.GetResourcesAnswer{ResourceTagMappingList: []kms.ResourceTagMapping{{ResourceARN: "arn", Tags: []kms.Tag{{Key: "a", Value: ""}}}}}}
	w := serve(f, "GetResources", `{"TagFilters":[{"Key":"a","Values":[]},{"Key":"b","Values":["1","2"]}],"PaginationToken":""}`)
	if want := `{"PaginationToken":"","ResourceTagMappingList":[{"ResourceARN":"arn","Tags":[{"Key":"a","Value":""}]}]}`; w.Code != http.StatusOK || w.Body.String() != want {
		t.Errorf("%d %s, want %s", w.Code, w.Body, want)
	}
	q := f.calls[0].Request.(*kms.GetResourcesRequest)
	if len(q.TagFilters) != 2 || q.TagFilters[0].Key != "a" || len(q.TagFilters[0].Values) != 0 || strings.Join(q.TagFilters[1].Values, " ") != "1 2" {
		t.Errorf("%+v", q)
	}
	if got := serve(&fake{answer: &kms.GetResourcesAnswer{PaginationToken: "m"}}, "GetResources", `{}`).Body.String(); got != `{"PaginationToken":"m","ResourceTagMappingList":[]}` {
		t.Errorf("%s", got)
	}
}
