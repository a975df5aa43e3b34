package index

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

// trail is a directory with the files of a sink, and what they hold.
type trail struct {
	t     rapid.TB
	dir   string
	path  string
	files []*trailFile // the active one last, if there is one
	torn  string       // the start of the active file's next line
	seq   uint64
	now   int64
	made  int
}

type trailFile struct {
	name  string
	lines [][]byte
	read  []fields // by encoding/json; untimed: no record
}

func newTrail(t rapid.TB, dir string) *trail {
	return &trail{t: t, dir: dir, path: filepath.Join(dir, "audit.jsonl"), now: 1_790_000_000_000}
}

func (m *trail) active() *trailFile {
	if n := len(m.files); n > 0 && m.files[n-1].name == "audit.jsonl" {
		return m.files[n-1]
	}
	f := &trailFile{name: "audit.jsonl"}
	m.files = append(m.files, f)
	return f
}

// write appends bytes to the active file and takes the lines that became whole.
func (m *trail) write(text string) {
	m.t.Helper()
	a := m.active()
	f, err := os.OpenFile(m.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		m.t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		m.t.Fatal(err)
	}
	f.Close()
	all := strings.Split(m.torn+text, "\n")
	m.torn = all[len(all)-1]
	for _, line := range all[:len(all)-1] {
		rec, _ := reference([]byte(line))
		if len(line) >= maxLine {
			rec.timed = false
		}
		a.lines, a.read = append(a.lines, []byte(line)), append(a.read, rec)
	}
}

// record renders a record with values of small ranges; some of them are rare.
func (m *trail) record(pick func(n int) int) string {
	m.seq++
	m.made++
	jump := int64(pick(40) - 10)
	if pick(3000) == 0 {
		jump = int64(pick(3)-1) * 40 * 24 * 3600 * 1000
	}
	m.now += jump
	part := func(name, prefix string, n int) string {
		if pick(4) == 0 {
			return ""
		}
		return fmt.Sprintf(`,"%s":"%s%d"`, name, prefix, min(pick(n), pick(n)))
	}
	b := []byte(`{"eventTime":"` + time.UnixMilli(m.now).UTC().Format("2006-01-02T15:04:05.000Z") + `","eventID":"e` + fmt.Sprint(m.made) + `"` +
		part("requestID", "r", 300) + part("eventName", "E", 4) + part("sourceIPAddress", "10.0.0.", 5) + part("errorCode", "c", 3) + part("recipientAccountId", "a", 3) +
		fmt.Sprintf(`,"readOnly":%v,"userIdentity":{"type":"x"%s%s%s,"sessionContext":{"sessionIssuer":{"type":"Role"%s}}}`, pick(2) == 0, part("arn", "p", 9), part("principalId", "p", 9), part("accessKeyId", "AK", 9), part("arn", "p", 9)) +
		fmt.Sprintf(`,"resources":[{"type":"k"%s%s},{"type":"k"%s%s}]`, part("ARN", "k", 20), part("accountId", "a", 4), part("ARN", "k", 20), part("accountId", "a", 4)) +
		`,"additionalEventData":{"node":"n1","index":"1.2"`)
	b, _ = chain.AppendLink(b, 0, m.seq, chain.Hash{})
	return string(b)
}

// rotate moves the active file away.
func (m *trail) rotate(name string) {
	m.t.Helper()
	if m.torn != "" {
		m.write("\n")
	}
	a := m.active()
	if len(a.lines) == 0 {
		m.write(m.record(func(int) int { return 1 }) + "\n")
	}
	if err := os.Rename(m.path, filepath.Join(m.dir, name)); err != nil {
		m.t.Fatal(err)
	}
	a.name = name
}

// want returns the lines that a query finds, newest first, by looking at every one.
func (m *trail) want(q Query) (lines []string) {
	type entry struct {
		f     *trailFile
		first int64
		seq   uint64
		hash  uint64
	}
	var files []entry
	for _, f := range m.files {
		i := slices.IndexFunc(f.read, func(r fields) bool { return r.timed })
		if i < 0 || len(f.lines[0]) == 0 || f.lines[0][0] != '{' || len(bytes.Join(f.lines[:i+1], []byte{0})) >= maxLine {
			continue
		}
		e := entry{f: f, first: f.read[i].at}
		if link, err := chain.ReadLink(f.lines[i]); err == nil {
			e.seq = link.Seq
		}
		hash := sha256.Sum256(f.lines[i])
		e.hash = binary.BigEndian.Uint64(hash[:])
		files = append(files, e)
	}
	slices.SortFunc(files, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.seq, b.seq), cmp.Compare(a.hash, b.hash))
	})
	at := int64(noTime)
	for _, e := range files {
		for i, rec := range e.f.read {
			if !rec.timed {
				continue
			}
			at = max(at, rec.at)
			after := q.After == nil || at < q.After.Time || q.After.With && at == q.After.Time
			if after && q.matches(&rec) {
				lines = append(lines, shownByMap(m.t, e.f.lines[i], q))
			}
		}
	}
	slices.Reverse(lines)
	return lines
}

// shownByMap is a line as it is shown to an account: of a refused call without the resources of others.
func shownByMap(t rapid.TB, line []byte, q Query) string {
	var m map[string]any
	if err := json.Unmarshal(line, &m); err != nil {
		t.Fatal(err)
	}
	all, _ := m["resources"].([]any)
	if _, refused := m["errorCode"]; q.All || !refused || len(all) == 0 {
		return string(line)
	}
	var kept []string
	_, rest, _ := strings.Cut(string(line), `,"resources":[`)
	list, _, _ := strings.Cut(rest, `],"additionalEventData"`)
	for i, text := range strings.Split(strings.ReplaceAll(list, "},{", "}\x00{"), "\x00") {
		if all[i].(map[string]any)["accountId"] == q.Visible {
			kept = append(kept, text)
		}
	}
	with := ""
	if kept != nil {
		with = `,"resources":[` + strings.Join(kept, ",") + "]"
	}
	return strings.Replace(string(line), `,"resources":[`+list+"]", with, 1)
}

// found walks through the pages of a query.
func found(t rapid.TB, x *Index, q Query) (lines []string) {
	t.Helper()
	for {
		page, err := x.Search(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Hits) > q.Limit {
			t.Fatalf("%d records, at most %d were asked for", len(page.Hits), q.Limit)
		}
		for _, h := range page.Hits {
			lines = append(lines, string(h.Line))
		}
		if page.More == nil {
			return lines
		}
		q.After = page.More
	}
}

func randomQuery(t *rapid.T, m *trail) Query {
	text := func(name, prefix string, n int) string {
		if rapid.IntRange(0, 2).Draw(t, name) > 0 {
			return ""
		}
		return prefix + fmt.Sprint(rapid.IntRange(0, n).Draw(t, name)) // the last one is absent
	}
	q := Query{Limit: rapid.IntRange(1, 2000).Draw(t, "limit"), Bytes: rapid.IntRange(1000, 1<<20).Draw(t, "bytes"),
		Principal: text("principal", rapid.SampledFrom([]string{"p", "AK"}).Draw(t, "kind"), 9), Key: text("key", "k", 20), Event: text("event", "E", 4),
		Source: text("source", "10.0.0.", 5), Error: text("error", "c", 3), Account: text("account", "a", 4), Visible: text("visible", "a", 4)}
	q.All = q.Visible == "" && rapid.IntRange(0, 9).Draw(t, "all") > 0
	switch rapid.IntRange(0, 9).Draw(t, "id") {
	case 0:
		q.EventID = fmt.Sprintf("e%d", rapid.IntRange(0, m.made+1).Draw(t, "event id"))
	case 1:
		q.RequestID = fmt.Sprintf("r%d", rapid.IntRange(0, 300).Draw(t, "request id"))
	case 2:
		b := rapid.Bool().Draw(t, "read only")
		q.ReadOnly = &b
	}
	if rapid.IntRange(0, 2).Draw(t, "timed") == 0 {
		q.From = m.now - rapid.Int64Range(-1000, 200_000).Draw(t, "from")
		q.To = q.From + rapid.Int64Range(0, 100_000).Draw(t, "to")
	}
	if rapid.IntRange(0, 2).Draw(t, "after") == 0 {
		q.After = &Position{Time: m.now - rapid.Int64Range(-100, 100_000).Draw(t, "after"), With: rapid.Bool().Draw(t, "with")}
	}
	return q
}

// TestModel holds the index to looking at every line, through whatever happens to the files.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "index")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		m := newTrail(t, dir)
		open := func() *Index { return Open(Options{Path: m.path, Every: time.Hour}) }
		x := open()
		defer func() { x.Close() }()
		seed := rapid.Uint64().Draw(t, "seed")
		pick := func(n int) int { // rapid's own draws are too slow for so many
			seed = seed*6364136223846793005 + 1442695040888963407
			return int(seed >> 33 % uint64(n))
		}
		rotations := 0
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				var b strings.Builder
				for range rapid.IntRange(1, 1500).Draw(t, "records") {
					b.WriteString(m.record(pick) + "\n")
				}
				m.write(b.String())
			},
			"garbage": func(t *rapid.T) {
				m.made++
				m.write(rapid.SampledFrom([]string{"\n", "x\n", "{}\n", "{\"eventName\":\"E1\"}\n", "{\"eventTime\":\"2026-13-01T00:00:00.000Z\"}\n", strings.Repeat("x", maxLine+5) + "\n",
					fmt.Sprintf("{\"eventTime\":\"2026-01-01T00:00:00+02:00\",\"eventName\":\"\\u0045\\u0031\",\"eventID\":\"e%d\"}\n", m.made)}).Draw(t, "line"))
			},
			"torn":   func(t *rapid.T) { m.write(m.record(pick)[:rapid.IntRange(1, 100).Draw(t, "cut")]) },
			"mended": func(t *rapid.T) { m.write("\n") },
			"rotate": func(t *rapid.T) {
				rotations++
				m.rotate(fmt.Sprintf(rapid.SampledFrom([]string{"audit-%d.jsonl", "audit.jsonl.%d", "audit.jsonl-%d"}).Draw(t, "name"), rotations))
			},
			"rename": func(t *rapid.T) {
				if len(m.files) > 0 && m.files[0].name != "audit.jsonl" {
					rotations++
					name := fmt.Sprintf("audit.jsonl.%d", rotations)
					if err := os.Rename(filepath.Join(m.dir, m.files[0].name), filepath.Join(m.dir, name)); err != nil {
						t.Fatal(err)
					}
					m.files[0].name = name
				}
			},
			"remove": func(t *rapid.T) {
				if len(m.files) > 0 && m.files[0].name != "audit.jsonl" {
					os.Remove(filepath.Join(m.dir, m.files[0].name))
					m.files = m.files[1:]
				}
			},
			"restart": func(t *rapid.T) {
				x.Close()
				x = open()
			},
			"damage": func(t *rapid.T) { x.upToDate(t); m.damage(t) },
			"damage and start": func(t *rapid.T) {
				x.upToDate(t)
				x.Close()
				m.damage(t)
				x = open()
			},
			"search": func(t *rapid.T) {
				q := randomQuery(t, m)
				got, want := found(t, x, q), m.want(q)
				if !slices.Equal(got, want) {
					t.Fatalf("%+v: %d records, %d are there\n%s", q, len(got), len(want), difference(got, want))
				}
			},
		})
		names, _ := filepath.Glob(filepath.Join(m.path+".index", "*"))
		if len(names) > len(m.files)+1 {
			t.Fatalf("%d index files for %d files", len(names), len(m.files))
		}
	})
}

// damage hurts an index file.
func (m *trail) damage(t *rapid.T) {
	names, _ := filepath.Glob(filepath.Join(m.path+".index", "*.idx"))
	if len(names) == 0 {
		return
	}
	name := rapid.SampledFrom(names).Draw(t, "index file")
	b, err := os.ReadFile(name)
	if err != nil || len(b) == 0 {
		return
	}
	switch rapid.IntRange(0, 2).Draw(t, "how") {
	case 0:
		os.Remove(name)
		return
	case 1:
		b = b[:rapid.IntRange(0, len(b)-1).Draw(t, "length")]
	case 2:
		b[rapid.IntRange(0, len(b)-1).Draw(t, "byte")] ^= 0x10
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (x *Index) upToDate(t rapid.TB) Stats {
	t.Helper()
	s, err := x.Stats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func difference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("at %d\n%s\nfor\n%s", i, got[i], want[i])
		}
	}
	rest := append(slices.Clone(got[min(len(got), len(want)):]), want[min(len(got), len(want)):]...)
	if len(rest) == 0 {
		return ""
	}
	return "one has more: " + rest[0]
}

// TestConcurrent searches while records are added and the file is rotated: what was written before a search is found.
func TestConcurrent(t *testing.T) {
	m := newTrail(t, t.TempDir())
	x := Open(Options{Path: m.path, Every: time.Millisecond})
	defer x.Close()
	stop := make(chan struct{})
	failed := make(chan error, 3)
	for range 2 {
		go func() {
			for {
				select {
				case <-stop:
					failed <- nil
					return
				default:
				}
				page, err := x.Search(context.Background(), Query{All: true, Event: "E1", Limit: 50, Bytes: math.MaxInt})
				if err != nil {
					failed <- err
					return
				}
				for _, h := range page.Hits {
					if !bytes.Contains(h.Line, []byte(`"E1"`)) {
						failed <- fmt.Errorf("%s was not asked for", h.Line)
						return
					}
				}
			}
		}()
	}
	for i := range 60 {
		var b strings.Builder
		for n := range 500 {
			b.WriteString(m.record(func(k int) int { return (i*7 + n*13) % k }) + "\n")
		}
		m.write(b.String())
		id := fmt.Sprintf("e%d", m.made)
		if got := found(t, x, Query{All: true, EventID: id, Limit: 2}); len(got) != 1 {
			t.Fatalf("%d records of %s after it was written", len(got), id)
		}
		if i%10 == 9 {
			m.rotate(fmt.Sprintf("audit-%d.jsonl", i))
		}
	}
	close(stop)
	for range 2 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	all := Query{All: true, Limit: 1000, Bytes: math.MaxInt}
	if got, want := found(t, x, all), m.want(all); !slices.Equal(got, want) {
		t.Errorf("%d records, %d are there", len(got), len(want))
	}
}
