package sink

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/audit"
)

// stream is a writer that fails as a test says.
type stream struct {
	strings.Builder
	take int // bytes that the next write takes; negative: all
	err  error
}

func (s *stream) Write(b []byte) (int, error) {
	if s.take < 0 || s.take > len(b) {
		return s.Builder.Write(b)
	}
	n, _ := s.Builder.Write(b[:s.take])
	return n, s.err
}

func (s *stream) Close() error { return nil }

func TestStreamEndsTornLines(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		take int
		err  error
		want string
	}{
		{0, broken, "before\nafter\n"},
		{3, broken, "before\nlos\nafter\n"},
		{3, nil, "before\nlos\nafter\n"},
		{7, broken, "before\nlost 1\nafter\n"},
	} {
		to := &stream{take: -1}
		s := newWriterSink("stdout:", to)
		must(t, write(s, "before"))
		to.take, to.err = c.take, c.err
		for range 2 { // the newline does not get through either
			if err := write(s, "lost 1", "lost 2"); err == nil || c.err != nil && err != c.err {
				t.Errorf("%d bytes: %v", c.take, err)
			}
			to.take, to.err = 0, broken
		}
		to.take = -1
		must(t, write(s, "after"), s.Close())
		if to.String() != c.want {
			t.Errorf("%d bytes: %q, want %q", c.take, to.String(), c.want)
		}
	}
}

// A pipe that nobody reads hangs, and the Log does without it; when somebody reads again, it goes on.
func TestStreamThatHangs(t *testing.T) {
	r, w, err := os.Pipe()
	must(t, err)
	l := openLog(t, newWriterSink("stdout:", w), newWriterSink("quick", &stream{take: -1}))
	hangs := func() bool { st := l.Stats().Sinks[0]; return errors.Is(st.LastError, audit.ErrHung) }
	waitFor(t, "the pipe is full and its sink hangs", func() bool { must(t, l.Append(call())); return hangs() })
	go io.Copy(io.Discard, r)
	waitFor(t, "the sink takes records again", func() bool { must(t, l.Append(call())); return l.Stats().Sinks[0].Healthy })
	must(t, l.Close())
}

// TestMain lets this program be one that writes to its standard output.
func TestMain(m *testing.M) {
	if os.Getenv("AUDIT_TEST_STDOUT") == "" {
		os.Exit(m.Run())
	}
	s, err := OpenStdout()
	if err != nil {
		os.Exit(3)
	}
	io.ReadAll(os.Stdin) // until the reader of standard output has gone
	if write(s, "line") == nil {
		os.Exit(4)
	}
	os.Stderr.WriteString("alive")
	os.Exit(0)
}

// A node whose standard output nobody reads any more lives on.
func TestStdoutWithoutReader(t *testing.T) {
	r, w, err := os.Pipe()
	must(t, err)
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "AUDIT_TEST_STDOUT=1")
	cmd.Stdout = w
	var said strings.Builder
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	must(t, err, cmd.Start(), w.Close(), r.Close(), in.Close())
	if err := cmd.Wait(); err != nil || said.String() != "alive" {
		t.Errorf("%v, it said %q", err, said.String())
	}
}

func TestStdoutWrites(t *testing.T) {
	s, err := OpenStdout()
	must(t, err)
	if s.Name() != "stdout:" {
		t.Errorf("its name is %s", s.Name())
	}
	must(t, s.Close())
	if _, err := os.Stdout.Stat(); err != nil {
		t.Errorf("closing it closed standard output: %v", err)
	}
}
