package door

import (
	"net/http"
	"strings"

	"github.com/gorilla/mux"
)

// Path returns a matcher for the escaped path of a request, which stands for mux's own on the way of
// every request: it compares segments and needs no regular expression. A segment of template in braces
// is a variable and takes any segment that is not empty.
func Path(template string) mux.MatcherFunc {
	want := strings.Split(template, "/")
	names := make([]string, len(want)) // of variables; "" elsewhere
	variables := 0
	for i, s := range want {
		if strings.HasPrefix(s, "{") && strings.HasSuffix(s, "}") {
			names[i] = s[1 : len(s)-1]
			variables++
		}
	}
	return func(q *http.Request, match *mux.RouteMatch) bool {
		path := q.URL.EscapedPath()
		if strings.Count(path, "/") != len(want)-1 {
			return false
		}
		rest := path
		for i := range want {
			var segment string
			segment, rest, _ = strings.Cut(rest, "/")
			if names[i] == "" && segment != want[i] || names[i] != "" && segment == "" {
				return false
			}
		}
		vars := make(map[string]string, variables)
		for _, name := range names {
			var segment string
			segment, path, _ = strings.Cut(path, "/")
			if name != "" {
				vars[name] = segment
			}
		}
		match.Vars = vars
		return true
	}
}
