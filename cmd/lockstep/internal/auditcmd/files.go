package auditcmd

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/term"
)

// expand returns the files that one argument names.
func expand(arg string) ([]string, error) {
	patterns := []string{arg}
	if info, err := os.Stat(arg); err == nil && !info.IsDir() {
		return patterns, nil
	} else if err == nil && strings.HasSuffix(filepath.Clean(arg), ".index") {
		return nil, nil // what the node keeps beside a file: a shell's audit.jsonl* names it too
	} else if err == nil {
		patterns = []string{filepath.Join(escape(arg), "*.jsonl"), filepath.Join(escape(arg), "*.jsonl.gz")}
	} else if !strings.ContainsAny(arg, "*?[") {
		return nil, err
	}
	var all []string
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", arg, err)
		}
		for _, path := range paths {
			if info, err := os.Stat(path); err != nil || !info.IsDir() {
				all = append(all, path)
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: there is no such file", arg)
	}
	slices.Sort(all)
	return all, nil
}

// escape makes a pattern that means path.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// input is a file to be read. It may be read several times, one reader at a time.
type input struct {
	path string
	info os.FileInfo
	read atomic.Int64 // bytes of the file, as far as any reader came
}

func (in *input) open() (io.ReadCloser, error) {
	f, err := os.Open(in.path)
	if err != nil {
		return nil, err
	}
	counted := &counter{File: f, in: in}
	if !strings.HasSuffix(in.path, ".gz") {
		return counted, nil
	}
	plain, err := gzip.NewReader(counted)
	if err != nil {
		f.Close()
		return nil, err
	}
	return opened{plain, f}, nil
}

type opened struct {
	io.Reader
	io.Closer
}

// counter is a file of which is counted how far it is read.
type counter struct {
	*os.File
	in *input
	at int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.File.Read(b)
	if c.at += int64(n); c.at > c.in.read.Load() {
		c.in.read.Store(c.at)
	}
	return n, err
}

const progressEvery = 500 * time.Millisecond

// showProgress tells a terminal how far the inputs are read, until the function that it returns is called.
func showProgress(w io.Writer, inputs []*input) (stop func()) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}
	}
	began := time.Now()
	tick := time.NewTicker(progressEvery)
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		shown := false
		for {
			select {
			case now := <-tick.C:
				fmt.Fprint(w, "\r", progress(inputs, now.Sub(began)), "\x1b[K")
				shown = true
			case <-quit:
				if shown {
					fmt.Fprint(w, "\r\x1b[K")
				}
				return
			}
		}
	}()
	return func() {
		tick.Stop()
		close(quit)
		<-ended
	}
}

// progress says how much of the inputs was read in the time.
func progress(inputs []*input, took time.Duration) string {
	var done, total int64
	for _, in := range inputs {
		done += in.read.Load()
		total += max(in.info.Size(), in.read.Load())
	}
	const mb = 1e6
	s := fmt.Sprintf("%.1f of %.1f MB", float64(done)/mb, float64(total)/mb)
	if total > 0 {
		s += fmt.Sprintf(" (%d%%)", done*100/total)
	}
	if took > 0 {
		s += fmt.Sprintf(", %.0f MB/s", float64(done)/mb/took.Seconds())
	}
	return s
}
