package sink

import (
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/lockstep-kms/lockstep/audit"
)

// WriterSink is an audit.Sink that writes to a stream, one write a batch. Whoever reads the stream decides about durability: Write
// returns when the stream took the bytes. A pipe that nobody reads makes it hang, which the audit.Log notices; one whose reader has
// gone makes it fail.
type WriterSink struct {
	name string
	to   io.WriteCloser
	torn bool // owned by Write: the last write left a part of a line
}

// OpenStdout makes a sink of standard output. It writes to a descriptor of its own: a process that writes to descriptor 1 when nobody
// reads that any more is ended by SIGPIPE, see os/signal, and a sink must not take the node with it.
func OpenStdout() (*WriterSink, error) {
	syscall.ForkLock.RLock()
	fd, err := syscall.Dup(int(os.Stdout.Fd()))
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("standard output: %w", err)
	}
	return newWriterSink("stdout:", os.NewFile(uintptr(fd), "stdout")), nil
}

func newWriterSink(name string, to io.WriteCloser) *WriterSink {
	return &WriterSink{name: name, to: to}
}

// Name implements audit.Sink.
func (s *WriterSink) Name() string { return s.name }

// Write implements audit.Sink. What a failed write has torn is ended with a newline first.
func (s *WriterSink) Write(b *audit.Batch) error {
	if s.torn {
		if _, err := s.to.Write([]byte{'\n'}); err != nil {
			return err
		}
		s.torn = false
	}
	n, err := s.to.Write(b.Lines)
	if err == nil && n < len(b.Lines) {
		err = io.ErrShortWrite
	}
	s.torn = err != nil && n > 0 && b.Lines[n-1] != '\n'
	return err
}

// Close implements audit.Sink.
func (s *WriterSink) Close() error { return s.to.Close() }
