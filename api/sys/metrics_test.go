package sys

import (
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
)

// The token comes from one Authorization header of the scheme Bearer and from nowhere else; what the node refuses is refused.
func TestMetrics(t *testing.T) {
	for name, tt := range map[string]struct {
		method  string
		headers []string
		refusal error
		bearer  string
		status  int
	}{
		"token":           {"GET", []string{"Bearer the token"}, nil, "the token", 200},
		"other spelling":  {"GET", []string{"bearer t"}, nil, "t", 200},
		"HEAD":            {"HEAD", []string{"Bearer t"}, nil, "t", 200},
		"none":            {"GET", nil, nil, "", 200},
		"basic":           {"GET", []string{"Basic dDp0"}, nil, "", 200},
		"two":             {"GET", []string{"Bearer t", "Bearer t"}, nil, "", 200},
		"refused":         {"GET", []string{"Bearer t"}, kms.Errorf(kms.CodeUnauthenticated, "no"), "t", 401},
		"not served here": {"GET", nil, kms.Errorf(kms.CodeNotFound, "no"), "", 404},
		"POST":            {"POST", []string{"Bearer t"}, nil, "", 405},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{err: tt.refusal}
			q := request(tt.method, "/metrics", "")
			q.Header["Authorization"] = tt.headers
			w := do(f, q)
			if w.Code != tt.status || f.bearer != tt.bearer {
				t.Errorf("%d %q", w.Code, f.bearer)
			}
			if served := w.Body.String() == "lockstep_sealed 1\n"; served != (tt.status == 200) {
				t.Errorf("%s", w.Body)
			}
			if got := w.Header().Get("WWW-Authenticate"); (got == `Bearer realm="lockstep metrics"`) != (tt.status == 401) {
				t.Errorf("WWW-Authenticate: %q", got)
			}
		})
	}
}
