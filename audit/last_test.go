package audit

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

// chained is a line of record seq, n bytes long at least, with its newline.
func chained(seq uint64, n int) string {
	return linked(`{"x":"`+strings.Repeat("x", n)+`","a":{"node":"n"`, seq)
}

// linked is a line that begins with record.
func linked(record string, seq uint64) string {
	line, _ := chain.AppendLink([]byte(record), 0, seq, chain.Hash{})
	return string(line) + "\n"
}

func TestLastRecord(t *testing.T) {
	long := strings.Repeat("y", 3*firstLook)
	for _, c := range []struct {
		name, text  string
		first, last uint64
	}{
		{"nothing", "", 0, 0},
		{"only a torn line", `{"x":1`, 0, 0},
		{"a record with no newline is torn", strings.TrimSuffix(chained(1, 0), "\n"), 0, 0},
		{"one", chained(1, 0), 1, 1},
		{"several", chained(4, 0) + chained(5, 0) + chained(6, 0), 4, 6},
		{"a torn tail", chained(4, 0) + chained(5, 0) + `{"eventVersion`, 4, 5},
		{"a torn line that was ended", chained(4, 0) + "{\"eventVersion\n", 4, 4},
		{"lines of an older release", "{}\n{}\n" + chained(1, 0) + chained(2, 0), 1, 2},
		{"lines of an older release behind", chained(1, 0) + "{}\n{}\n", 1, 1},
		{"only lines of an older release", "{}\n{}\n", 0, 0},
		{"empty lines", "\n\n" + chained(1, 0) + "\n\n", 1, 1},
		{"a long record", chained(1, 0) + chained(2, 5*firstLook), 1, 2},
		{"a long torn tail", chained(1, 0) + chained(2, 100) + long, 1, 2},
		{"long lines everywhere", long + "\n" + chained(3, 3*firstLook) + long + "\n" + long, 3, 3},
		{"exactly what is looked at first", chained(1, firstLook-len(chained(1, 0))), 1, 1},
		{"one byte more", "\n" + chained(1, firstLook-len(chained(1, 0))), 1, 1},
		{"more than is looked at", "\n" + chained(1, firstLook+7-len(chained(1, 0))), 1, 1},
	} {
		path := filepath.Join(t.TempDir(), "audit.jsonl")
		must(t, os.WriteFile(path, []byte(c.text), 0o600))
		first, last, err := rangeOf(path)
		if err != nil || first.Seq != c.first || last.Seq != c.last {
			t.Errorf("%s: %d to %d, %v, want %d to %d", c.name, first.Seq, last.Seq, err, c.first, c.last)
		}
		if _, want := everyLine([]byte(c.text)); last != want {
			t.Errorf("%s: found %+v, want %+v", c.name, last, want)
		}
	}
}

// everyLine finds the first and the last record by reading every line.
func everyLine(text []byte) (first uint64, last Found) {
	for line := range bytes.Lines(text) {
		line, whole := bytes.CutSuffix(line, []byte("\n"))
		if link, err := chain.ReadLink(line); whole && err == nil {
			if first == 0 {
				first = link.Seq
			}
			last = Found{Seq: link.Seq, Hash: link.Hash, Clean: bytes.Contains(line, stoppedMark)}
		} else {
			last.Clean = false
		}
	}
	return first, last
}

// FuzzLastRecord compares with reading every line.
func FuzzLastRecord(f *testing.F) {
	f.Add([]byte(chained(1, 0)+"x"), 1)
	f.Add([]byte(chained(1, 0)+chained(2, 3)+"\n"), firstLook)
	f.Add([]byte("\n\n"), firstLook-1)
	f.Fuzz(func(t *testing.T, text []byte, pad int) {
		if pad < 0 || pad > 3*firstLook {
			return
		}
		text = append(text, strings.Repeat("z", pad)...)
		text = append(text, text[:len(text)-pad]...)
		first, last := everyLine(text)
		got, err := lastRecord(bytes.NewReader(text), int64(len(text)))
		if err != nil || got != last {
			t.Errorf("the last is %+v, %v, want %+v", got, err, last)
		}
		if got, err := firstRecord(bytes.NewReader(text), int64(len(text))); err != nil || got.Seq != first {
			t.Errorf("the first is %d, %v, want %d", got.Seq, err, first)
		}
	})
}

// When the file has just begun, the chain goes on from the newest file before it, whoever rotated that.
func TestChainGoesOnFromTheFileBefore(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name  string
		files map[string]string // by name; each is a second younger than the one with the next smaller seq
		want  uint64
	}{
		{"our own", map[string]string{"audit-20260101T000000.000Z.jsonl": chained(1, 0), "audit-20260102T000000.000Z.jsonl": chained(2, 0)}, 2},
		{"an empty one in between", map[string]string{"audit-20260101T000000.000Z.jsonl": chained(1, 0), "audit-20260102T000000.000Z.jsonl": ""}, 1},
		{"a torn line", map[string]string{"audit.jsonl": "{\"torn", "audit-20260102T000000.000Z.jsonl": chained(2, 0)}, 2},
		{"logrotate", map[string]string{"audit.jsonl.1": chained(3, 0), "audit.jsonl.2": chained(2, 0)}, 3},
		{"logrotate with dates", map[string]string{"audit.jsonl-20261126": chained(3, 0), "audit.jsonl-20261125": chained(2, 0)}, 3},
		{"logrotate that keeps the extension", map[string]string{"audit.1.jsonl": chained(3, 0), "audit-20261125.jsonl": chained(2, 0)}, 3},
		{"a copy of an older one is newer", map[string]string{"audit.jsonl.1": chained(2, 0), "audit-20000101T000000.000Z.jsonl": chained(3, 0)}, 3},
		{"others", map[string]string{"audit-x.jsonl": chained(3, 0), "other.jsonl": chained(2, 0), "audit.jsonl.1.gz": chained(4, 0), "audit-20260102T000000.jsonl": chained(5, 0)}, 0},
		{"the file itself comes first", map[string]string{"audit.jsonl": chained(3, 0), "audit.jsonl.1": chained(2, 0)}, 3},
	} {
		dir := t.TempDir()
		for name, text := range c.files {
			path := filepath.Join(dir, name)
			must(t, os.WriteFile(path, []byte(text), 0o600))
			if text != "" && strings.HasSuffix(text, "\n") {
				link, err := chain.ReadLink([]byte(strings.TrimSuffix(text, "\n")))
				at := now.Add(time.Duration(link.Seq) * time.Second)
				must(t, err, os.Chtimes(path, at, at))
			}
		}
		s, err := OpenFile(filepath.Join(dir, "audit.jsonl"), FileOptions{})
		must(t, err)
		if got := s.Last(); got.Seq != c.want {
			t.Errorf("%s: it goes on from %d, want %d", c.name, got.Seq, c.want)
		}
		s.Close()
	}
}

// A second file sink that is new, or was away, is told what it lacks; the chain goes on from the highest record.
func TestChainGoesOnFromTheHighestRecord(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one.jsonl"), filepath.Join(dir, "two.jsonl")
	open := func(paths ...string) *Log {
		o := Options{Node: "node-a"}
		for _, path := range paths {
			s, err := OpenFile(path, FileOptions{})
			must(t, err)
			o.Sinks = append(o.Sinks, s)
		}
		l, err := New(o)
		must(t, err)
		return l
	}
	for i, paths := range [][]string{{one}, {one, two}, {two}, {one, two}} {
		l := open(paths...)
		must(t, l.Append(record(fmt.Sprint("Call", i))), l.Close())
	}
	if got := fmt.Sprint(names(readTrail(t, one))); got != "[AuditStarted Call0 AuditStopped AuditRecordsMissed AuditStarted Call1 AuditStopped AuditRecordsMissed AuditStarted Call3 AuditStopped]" {
		t.Errorf("one has %s", got)
	}
	if got := fmt.Sprint(names(readTrail(t, two))); got != "[AuditRecordsMissed AuditStarted Call1 AuditStopped AuditStarted Call2 AuditStopped AuditRecordsMissed AuditStarted Call3 AuditStopped]" {
		t.Errorf("two has %s", got)
	}
	checkTrail(t, "file:"+one, readTrail(t, one))
	checkTrail(t, "file:"+two, readTrail(t, two))
	if m := readTrail(t, two)[0]; m.Seq != 4 || m.number("fromSeq") != 1 || m.number("toSeq") != 3 || m.number("afterSeq") != 0 {
		t.Errorf("the new sink is told %v", m)
	}
}

// stopped is AuditStopped as a line of a file.
func stopped(seq uint64) string {
	return linked(`{"x":"y"`+string(stoppedMark)+`"a":{"node":"n"`, seq)
}

// A stop was orderly only when nothing came behind AuditStopped.
func TestCleanStop(t *testing.T) {
	for _, c := range []struct {
		name, active, older string
		seq                 uint64
		clean               bool
	}{
		{"orderly", stopped(3), "", 3, true},
		{"a record behind", stopped(3) + chained(4, 0), "", 4, false},
		{"a torn line behind", stopped(3) + `{"torn`, "", 3, false},
		{"a torn line behind that was ended", stopped(3) + "{\"torn\n", "", 3, false},
		{"only its newline is missing", chained(2, 0) + strings.TrimSuffix(stopped(3), "\n"), "", 3, true},
		{"only the newline of a record is missing", strings.TrimSuffix(chained(3, 0), "\n"), chained(2, 0), 3, false},
		{"in the file before", "", stopped(3), 3, true},
		{"in the file before, and a torn line in this one", `{"torn`, stopped(3), 3, false},
		{"a torn line behind in the file before", "", stopped(3) + `{"torn`, 3, false},
	} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "audit.jsonl"), []byte(c.active), 0o600), os.WriteFile(filepath.Join(dir, "audit.jsonl.1"), []byte(c.older), 0o600))
		s, err := OpenFile(filepath.Join(dir, "audit.jsonl"), FileOptions{})
		must(t, err)
		if got := s.Last(); got.Seq != c.seq || got.Clean != c.clean {
			t.Errorf("%s: %d, clean %v, want %d, %v", c.name, got.Seq, got.Clean, c.seq, c.clean)
		}
		s.Close()
	}
}

// Two sinks that have another record of the same number do not have the same chain: the second is told what it lacks.
func TestSinksWithOtherRecords(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for i := range 2 {
		path := filepath.Join(dir, fmt.Sprint(i), "audit.jsonl")
		must(t, os.Mkdir(filepath.Dir(path), 0o700))
		l := startFile(t, path, FileOptions{})
		must(t, l.Append(record(fmt.Sprint("Call", i))), l.Close())
		paths = append(paths, path)
	}
	o := Options{Node: "node-a"}
	for _, path := range paths {
		s, err := OpenFile(path, FileOptions{})
		must(t, err)
		o.Sinks = append(o.Sinks, s)
	}
	l, err := New(o)
	must(t, err, l.Append(record("Both")), l.Close())
	for _, path := range paths {
		if got := fmt.Sprint(names(readTrail(t, path)[3:])); got != "[AuditRecordsMissed AuditStarted Both AuditStopped]" {
			t.Errorf("%s goes on with %s", path, got)
		}
	}
	m := readTrail(t, paths[1])[3]
	if m.details["sink"] != "file:"+paths[1] || m.number("afterSeq") != 0 || m.number("fromSeq") != 1 || m.number("toSeq") != 3 || m.details["error"] != errBeside.Error() {
		t.Errorf("it is told %v", m)
	}
	checkTrail(t, "file:"+paths[0], readTrail(t, paths[0]))
}
