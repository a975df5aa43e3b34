package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// filled is a trail of two files with n records each, and its index.
func filled(t *testing.T, n int) (*trail, *Index) {
	m := newTrail(t, t.TempDir())
	for i := range 2 {
		var b strings.Builder
		for k := range n {
			b.WriteString(m.record(func(n int) int { return (k*k + i) % n }) + "\n")
		}
		m.write(b.String())
		if i == 0 {
			m.rotate("audit-1.jsonl")
		}
	}
	x := Open(Options{Path: m.path, Every: time.Hour})
	t.Cleanup(func() { x.Close() })
	return m, x
}

var everything = Query{All: true, Limit: math.MaxInt, Bytes: math.MaxInt}

// TestNobodys: a search for nobody finds nothing, on whatever it is forgotten to say who sees it.
func TestNobodys(t *testing.T) {
	m, x := filled(t, 100)
	for _, q := range []Query{{}, {Account: "a1"}, {Error: "c1"}} {
		q.Limit, q.Bytes = math.MaxInt, math.MaxInt
		if got := found(t, x, q); len(got) != 0 {
			t.Errorf("%+v finds %d records", q, len(got))
		}
		q.All = true
		if got := found(t, x, q); len(got) == 0 || !slices.Equal(got, m.want(q)) {
			t.Errorf("%+v finds %d records, want %d", q, len(got), len(m.want(q)))
		}
	}
}

// patience is a context that ends after its Err was asked some times.
type patience struct {
	context.Context
	left *int
}

func (p patience) Err() error {
	if *p.left--; *p.left < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// TestEndedContext: a search that is cut short says how far it came, and going on from there neither repeats nor skips.
func TestEndedContext(t *testing.T) {
	m, x := filled(t, 3*maxRows+100)
	q := Query{All: true, Error: "c1", Limit: 700, Bytes: math.MaxInt}
	x.upToDate(t)
	var got []string
	short := 0
	for q.After, short = nil, 0; ; {
		page, err := Page{}, ErrBehind
		for n := 1; err != nil; n++ { // as many as bringing the index up to date takes, and one for a chunk
			left := n
			if _, err = x.Search(patience{context.Background(), &left}, q); err == nil {
				left = n + 1
				page, err = x.Search(patience{context.Background(), &left}, q)
			}
			if err != nil && !errors.Is(err, ErrBehind) {
				t.Fatal(err)
			}
		}
		for _, h := range page.Hits {
			got = append(got, string(h.Line))
		}
		if page.More == nil {
			break
		}
		if len(page.Hits) < q.Limit {
			short++
		}
		q.After = page.More
	}
	if short == 0 {
		t.Error("no search was cut short")
	}
	q.After = nil
	if want := m.want(q); !slices.Equal(got, want) {
		t.Errorf("%d records, %d are there\n%s", len(got), len(want), difference(got, want))
	}
}

// TestBehind: a search that cannot wait for the index says so, and does not answer less.
func TestBehind(t *testing.T) {
	_, x := filled(t, 10)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := x.Search(ctx, everything); !errors.Is(err, ErrBehind) {
		t.Errorf("error %v, want ErrBehind", err)
	}
}

// TestModes: others than the owner read nothing.
func TestModes(t *testing.T) {
	m, x := filled(t, 10)
	x.upToDate(t)
	dir := m.path + ".index"
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%s: %v, %v", dir, info, err)
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(names) != 1 {
		t.Fatalf("index files %v, want that of the rotated file", names)
	}
	if info, err := os.Stat(names[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v", names[0], info, err)
	}
}

// TestReplaced: what was written anew under the same name, or cut, is read anew.
func TestReplaced(t *testing.T) {
	m, x := filled(t, maxRows+10)
	x.upToDate(t)
	lines := m.active().lines
	for _, keep := range [][][]byte{lines[:100], lines[5:50], lines} {
		text := append(bytes.Join(keep, []byte{'\n'}), '\n')
		if err := os.WriteFile(m.path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, want := found(t, x, everything), maxRows+10+len(keep); len(got) != want {
			t.Errorf("%d records, want %d", len(got), want)
		}
	}
}

// TestUnwritable: rows that cannot be written wait in memory, and are found there.
func TestUnwritable(t *testing.T) {
	m, before := filled(t, 10)
	before.Close()
	if err := os.RemoveAll(m.path + ".index"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.path+".index", nil, 0o600); err != nil { // in the way
		t.Fatal(err)
	}
	x := Open(Options{Path: m.path, Every: time.Hour})
	defer x.Close()
	m.rotate("audit-2.jsonl")
	for _, inTheWay := range []bool{true, false} {
		if page, err := x.Search(t.Context(), everything); err != nil || page.Partial || len(page.Hits) != 20 {
			t.Errorf("in the way %v: %d records, partial %v, %v", inTheWay, len(page.Hits), page.Partial, err)
		}
		if err := x.update(t.Context()); (err != nil) != inTheWay {
			t.Errorf("in the way %v: the follower says %v", inTheWay, err)
		}
		if inTheWay {
			if err := os.Remove(m.path + ".index"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// unprivileged lets the test go on as a user who may open only what is open to him.
func unprivileged(t *testing.T, dir string) {
	const nobody = 65534
	if os.Geteuid() != 0 {
		return
	}
	for _, path := range []string{filepath.Dir(dir), dir} {
		if err := os.Chown(path, nobody, -1); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if err := os.Chown(path, nobody, -1); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Seteuid(nobody); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Seteuid(0); err != nil {
			t.Fatal(err)
		}
	})
}

// TestUnreadable: a file that cannot be read keeps nobody from the others, and the page says that something is missing.
func TestUnreadable(t *testing.T) {
	m, x := filled(t, 10) // 10 in a rotated file, 10 in the active one
	x.Close()
	old := filepath.Join(m.dir, "audit-1.jsonl")
	if err := os.RemoveAll(m.path + ".index"); err != nil {
		t.Fatal(err)
	}
	unprivileged(t, m.dir)
	look := func(x *Index, want int, partial bool) {
		t.Helper()
		page, err := x.Search(t.Context(), everything)
		if err != nil || page.Partial != partial || len(page.Hits) != want {
			t.Errorf("%d records, partial %v, %v; want %d, %v", len(page.Hits), page.Partial, err, want, partial)
		}
	}
	mode := func(path string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	fresh := Open(Options{Path: m.path, Every: time.Hour})
	defer fresh.Close()
	look(fresh, 20, false)
	mode(old, 0) // one that is known already
	if err := fresh.catchUpAgain(t); err == nil {
		t.Error("the follower says nothing")
	}
	look(fresh, 10, true)
	mode(old, 0o600)
	look(fresh, 20, false)

	mode(old, 0)
	again := Open(Options{Path: m.path, Every: time.Hour}) // one that is not
	defer again.Close()
	look(again, 10, true)
	mode(old, 0o600)
	look(again, 20, false)
}

// catchUpAgain lists the directory, whatever its time says: a change of a mode does not show there.
func (x *Index) catchUpAgain(t *testing.T) error {
	t.Helper()
	x.turn <- struct{}{}
	x.stale = true
	<-x.turn
	return x.update(t.Context())
}

// TestEndsWithin: a search whose time ends within a chunk goes on where it stopped, and neither repeats nor skips a record.
func TestEndsWithin(t *testing.T) {
	_, x := filled(t, 50)
	var seen []int64
	q := everything
	q.Limit = 7
	for pages := 0; ; pages++ {
		left := 5 + pages%3
		ctx := patience{t.Context(), &left}
		files, _, err := x.snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s := &search{ctx: ctx, q: q}
		if err := s.files(files); err != nil {
			t.Fatal(err)
		}
		for _, h := range s.page.Hits {
			seen = append(seen, h.At.Offset)
		}
		if s.page.More == nil {
			break
		}
		if pages > 200 {
			t.Fatal("it does not come to an end")
		}
		q.After = s.page.More
	}
	if len(seen) != 100 {
		t.Errorf("%d records, want 100", len(seen))
	}
	for i := 1; i < len(seen); i++ {
		if seen[i] >= seen[i-1] && i != 50 { // there the older file begins
			t.Errorf("record %d stands at %d, the one before at %d", i, seen[i], seen[i-1])
		}
	}
}

// TestCopy: a copy of a file of the trail does not show its records twice, nor hide the newer ones, and another trail's
// records beside it are not shown at all.
func TestCopy(t *testing.T) {
	m, x := filled(t, 10)
	copied := append(bytes.Join(m.active().lines[:5], []byte{'\n'}), '\n')
	other := bytes.ReplaceAll(copied, []byte(`"seq":`), []byte(`"seq":9`))
	for name, content := range map[string][]byte{"audit-9.jsonl": copied, "audit-node2.jsonl": other, "audit.jsonl.bak": other} {
		if err := os.WriteFile(filepath.Join(m.dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := found(t, x, everything); len(got) != 20 {
		t.Errorf("%d records, want 20", len(got))
	}
}

// FuzzIndexFile reads an index file of any content: what is found was asked for, and stands in the trail once.
func FuzzIndexFile(f *testing.F) {
	var b strings.Builder
	m := newTrail(f, f.TempDir())
	for k := range 20 {
		b.WriteString(m.record(func(n int) int { return k % n }) + "\n")
	}
	m.write(b.String())
	m.rotate("audit-1.jsonl")
	x := Open(Options{Path: m.path, Every: time.Hour})
	x.upToDate(f)
	x.Close()
	names, _ := filepath.Glob(filepath.Join(m.path+".index", "*"))
	good, err := os.ReadFile(names[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:fileHeader])
	f.Add(good[:len(good)-1])
	f.Add(append(slices.Clone(good), good[fileHeader:]...))
	want := m.want(Query{All: true, Event: "E1"})
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(names[0], content, 0o600); err != nil {
			t.Fatal(err)
		}
		x := Open(Options{Path: m.path, Every: time.Hour})
		defer x.Close()
		got := found(t, x, Query{All: true, Event: "E1", Limit: 3, Bytes: math.MaxInt})
		rest := slices.Clone(want)
		for _, line := range got {
			i := slices.Index(rest, line)
			if i < 0 {
				t.Fatalf("%s was found twice, or is not there", line)
			}
			rest = slices.Delete(rest, i, i+1)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	m := newTrail(b, b.TempDir())
	line := []byte(m.record(func(n int) int { return n - 1 }))
	var f fields
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		if !scan(line, &f) {
			b.Fatal("not read")
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, rows := range []int{0, 1, maxRows} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			var column [columnSize]byte
			for i := range rows {
				column[width*i] = 7
			}
			var set, all bitmap
			all.fill(maxRows)
			b.SetBytes(columnSize)
			for b.Loop() {
				set.match(&column, &all, 7, math.MaxUint32)
			}
		})
	}
}

// TestTimeNeverGoesBack: a call that began before others and is recorded after them, in the next file even, has their place in time.
func TestTimeNeverGoesBack(t *testing.T) {
	m := newTrail(t, t.TempDir())
	first := m.now
	line := func(at int64) string {
		m.now = at - 1 // to which record adds what is picked of 40, less 10
		return m.record(func(n int) int { return min(11, n-1) }) + "\n"
	}
	m.write(line(first+10) + line(first+1000))
	m.rotate("audit-1.jsonl")
	m.write(line(first+990) + line(first+2000))
	x := Open(Options{Path: m.path, Every: time.Hour})
	defer x.Close()
	page, err := x.Search(context.Background(), everything)
	if err != nil {
		t.Fatal(err)
	}
	var times, places []int64
	for _, h := range page.Hits {
		times, places = append(times, h.Time-first), append(places, h.At.Time-first)
	}
	if !slices.Equal(times, []int64{2000, 990, 1000, 10}) || !slices.Equal(places, []int64{2000, 1000, 1000, 10}) {
		t.Errorf("times %v in places %v", times, places)
	}
	for _, after := range []Position{{Time: first + 995}, {Time: first + 1000}, {Time: first + 1000, With: true}} {
		q := everything
		q.After = &after
		if got, want := found(t, x, q), m.want(q); !slices.Equal(got, want) {
			t.Errorf("after %d: %d records, want %d", after.Time-first, len(got), len(want))
		}
	}
}
