package auditcmd

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// However often a file is read, and by readers that stop early, its bytes count once.
func TestProgress(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.WriteFile(path, make([]byte, 3e6), 0o600); err != nil {
		t.Fatal(err)
	}
	inputs, err := find([]string{path, path})
	if err != nil || len(inputs) != 1 {
		t.Fatalf("%v, %v", inputs, err)
	}
	if got, want := progress(inputs, 0), "0.0 of 3.0 MB (0%)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, c := range []struct {
		size int64
		want string
	}{{1e6, "1.0 of 3.0 MB (33%), 1 MB/s"}, {5e5, "1.0 of 3.0 MB (33%), 1 MB/s"}, {4e6, "3.0 of 3.0 MB (100%), 2 MB/s"}} {
		r, err := inputs[0].open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, r, c.size); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		r.Close()
		if got := progress(inputs, 1500*time.Millisecond); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	var b bytes.Buffer
	if showProgress(&b, inputs)(); b.Len() != 0 {
		t.Errorf("what is no terminal is told %q", b.String())
	}
}

// A directory stands for its trail files, also when its name has characters of patterns.
func TestExpand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[1]*")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"audit.jsonl", "audit-1.jsonl.gz", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := expand(dir)
	if err != nil || len(got) != 2 || got[0] != filepath.Join(dir, "audit-1.jsonl.gz") || got[1] != filepath.Join(dir, "audit.jsonl") {
		t.Errorf("%q, %v", got, err)
	}
	index := filepath.Join(dir, "audit.jsonl.index")
	if err := os.Mkdir(index, 0o700); err != nil {
		t.Fatal(err)
	}
	if got, err := expand(index); err != nil || len(got) != 0 {
		t.Errorf("the index: %q, %v", got, err)
	}
	if got, err := expand(escape(dir) + "/audit*"); err != nil || len(got) != 2 {
		t.Errorf("a pattern: %q, %v", got, err)
	}
	for _, bad := range []string{"/nowhere", "/nowhere/*", "[", t.TempDir()} {
		if got, err := expand(bad); err == nil {
			t.Errorf("%s: %q", bad, got)
		}
	}
}
