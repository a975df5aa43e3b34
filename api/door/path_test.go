package door

import (
	"maps"
	"net/http"
	"net/url"
	"testing"

	"github.com/gorilla/mux"

	"github.com/lockstep-kms/lockstep/api/wire"
)

// A path must match as mux would match it, with the same variables.
func TestPathMatchesAsMux(t *testing.T) {
	paths := []string{"", "/", "/v1", "/v1/keys", "/v1/keys/", "/v1/keys//", "/v1//keys", "/v1/keys/k", "/v1/keys/k/", "/v1/keys//encrypt",
		"/v1/keys/k/encrypt", "/v1/keys/a%2Fb/encrypt", "/v1/keys/a/b/encrypt", "/v1/keys/{key}/encrypt", "/v1/keys/k/encrypt/x",
		"/x/v1/keys/k", "/v1/keys/%2F", "/v1/keys/k%20l", "/v1/keys/k+l", "/v1/keys/é", "/v1/keys/arn:aws:kms:us-east-1:000000000000:key%2Fk/encrypt",
		"/v1/aliases/a", "/v1/decrypt", "/v1/decrypt/", "v1/decrypt", "/v1/sys/members/n/allow", "/V1/keys"}
	templates := map[string]bool{}
	for _, rt := range wire.Routes() {
		templates[rt.Path] = true
	}
	matched := 0
	for template := range templates {
		router := mux.NewRouter().UseEncodedPath().SkipClean(true)
		router.Path(template)
		ours := Path(template)
		for _, path := range paths {
			u, err := url.Parse("http://node" + path)
			if err != nil {
				continue
			}
			q := &http.Request{Method: http.MethodPost, URL: u}
			var want, got mux.RouteMatch
			router.Match(q, &want)
			theirs := want.Route != nil
			if ours(q, &got) != theirs || theirs && !maps.Equal(got.Vars, want.Vars) {
				t.Errorf("%s on %q: vars %v, mux has %v (%v)", template, path, got.Vars, want.Vars, theirs)
			}
			if theirs {
				matched++
			} else if got.Vars != nil {
				t.Errorf("%s on %q: variables without a match", template, path)
			}
		}
	}
	if matched < 12 {
		t.Errorf("only %d paths matched: the test shows nothing", matched)
	}
}
