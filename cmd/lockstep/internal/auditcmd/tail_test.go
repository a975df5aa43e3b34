package auditcmd

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

// trail is what the nodes of a cluster recorded, and which of them do not answer.
type trail struct {
	records []record
	away    map[string]bool
	down    bool // nobody answers
	page    int  // records of a page
}

type record struct {
	node string
	seq  int
	time time.Time
	at   time.Time // of its place: it never goes back
}

func (r *record) id() string { return r.node + "-" + strconv.Itoa(r.seq) }

// add records something that began at a time.
func (t *trail) add(node string, at time.Time) {
	r := record{node: node, seq: 1, time: at, at: at}
	for _, o := range t.records {
		if o.node == node {
			r.seq = o.seq + 1
			if o.at.After(r.at) {
				r.at = o.at
			}
		}
	}
	t.records = append(t.records, r)
}

// ServeHTTP answers LookupEvents. A marker is how many of the records have been shown.
func (t *trail) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if t.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"error":{"code":"sealed","message":"The node is sealed."}}`)
		return
	}
	var answer kms.LookupEventsAnswer
	var shown []record
	for _, r := range t.records {
		if !t.away[r.node] {
			shown = append(shown, r)
		}
	}
	slices.SortFunc(shown, func(a, b record) int {
		return cmp.Or(b.at.Compare(a.at), cmp.Compare(a.node, b.node), cmp.Compare(b.seq, a.seq))
	})
	from, _ := strconv.Atoi(q.URL.Query().Get("marker"))
	to := min(from+t.page, len(shown))
	if to < len(shown) {
		answer.NextMarker = strconv.Itoa(to)
	}
	answer.Events = []json.RawMessage{}
	for _, r := range shown[from:to] {
		answer.Events = append(answer.Events, json.RawMessage(fmt.Sprintf(`{"eventTime":%q,"eventID":%q,"eventName":"Encrypt","additionalEventData":{"node":%q,"seq":%d}}`,
			r.time.UTC().Format("2006-01-02T15:04:05.000Z"), r.id(), r.node, r.seq)))
	}
	for _, away := range t.away {
		if away {
			answer.SilentNodes++
		}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// Whatever nodes are away in between, and in whatever order calls that overlap are recorded, every record that is made
// after the beginning is shown once.
func TestTail(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
		nodes := []string{"a", "b", "c"}[:rapid.IntRange(1, 3).Draw(t, "nodes")]
		tr := &trail{away: map[string]bool{}, page: rapid.IntRange(1, 10).Draw(t, "page")}
		for _, n := range nodes { // a node begins with a record of its start
			tr.add(n, now)
		}
		server := httptest.NewServer(tr)
		defer server.Close()
		cl, err := client.New(client.Config{Addrs: []string{server.URL}, AccessKeyID: "AKIA", SecretAccessKey: "s", Attempts: 1})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		f := &follower{commands: commands{&cli.App{Streams: cli.Streams{Out: &out, Err: io.Discard}}, func() time.Time { return now }},
			client: cl, nodes: map[string]mark{}, table: eventTable{out: &out}}
		tr.page = max(tr.page, len(tr.records)) // the first page has every node
		if err := f.start(context.Background(), 0); err != nil {
			t.Fatal(err)
		}
		tr.page = rapid.IntRange(1, 10).Draw(t, "page")
		begun := len(tr.records)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				n := rapid.SampledFrom(nodes).Draw(t, "away")
				tr.away[n] = !tr.away[n]
			case 1:
				tr.down = !tr.down
			default:
				now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "seconds")) * time.Second)
				for range rapid.IntRange(0, 12).Draw(t, "records") {
					tr.add(rapid.SampledFrom(nodes).Draw(t, "node"), now.Add(-time.Duration(rapid.IntRange(0, 4000).Draw(t, "ms"))*time.Millisecond))
				}
			}
			if fresh, err := f.look(context.Background()); err == nil {
				_ = f.show(fresh)
			} else if !tr.down || !passing(err) {
				t.Fatal(err)
			}
		}
		tr.down, tr.away = false, map[string]bool{}
		fresh, err := f.look(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		_ = f.show(fresh)
		for i, r := range tr.records {
			want := 0
			if i >= begun {
				want = 1
			}
			if n := strings.Count(out.String(), " "+r.id()+"\n"); n != want {
				t.Fatalf("%s was shown %d times, want %d\n%s", r.id(), n, want, out.String())
			}
		}
	})
}

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"": "", "1h": "2026-11-26T11:00:00Z", "30d": "2026-10-27T12:00:00Z", "90s": "2026-11-26T11:58:30Z", "2026-11-01": "2026-11-01T00:00:00Z",
		"2026-11-26T20:53:13.5+01:00": "2026-11-26T19:53:13.5Z",
		"yesterday":                   "?", "-1h": "?", "-3d": "?", "99999999d": "?", "d": "?",
	} {
		got, err := parseTime("since", text, now)
		if (want == "?") != (err != nil) || err == nil && got != want {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
}
