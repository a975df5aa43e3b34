package secret

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"golang.org/x/sys/unix"
)

// Locked is a page-aligned memory region outside the Go heap, locked into RAM and left out of core
// dumps. It never moves, so wiping it wipes the only copy. Every region costs at least one page of
// the process's RLIMIT_MEMLOCK: put related secrets into one region. A Locked is not safe for
// concurrent use; whoever shares it synchronizes Wipe and Close with the readers.
type Locked struct {
	mem  []byte // the whole mapping, whole pages; nil once closed
	size int    // what the caller asked for
}

// NewLocked maps a zeroed region of n bytes, n > 0. With allowUnlocked a region that cannot be
// locked is returned unlocked; without it, the error says what the operator can do.
func NewLocked(n int, allowUnlocked bool) (*Locked, error) {
	if n <= 0 {
		return nil, fmt.Errorf("secret: a region of %d bytes was asked for", n)
	}
	page := unix.Getpagesize()
	mem, err := unix.Mmap(-1, 0, (n+page-1)/page*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("secret: map %d bytes: %w", n, err)
	}
	if err := protect(mem, allowUnlocked); err != nil {
		return nil, errors.Join(err, unix.Munmap(mem))
	}
	return &Locked{mem: mem, size: n}, nil
}

func protect(mem []byte, allowUnlocked bool) error {
	if err := unix.Madvise(mem, unix.MADV_DONTDUMP); err != nil {
		return fmt.Errorf("secret: exclude key memory from core dumps: %w", err)
	}
	if err := unix.Mlock(mem); err != nil && !allowUnlocked {
		return fmt.Errorf("secret: key memory cannot be locked and could be swapped to disk: "+
			"raise the limit (ulimit -l, LimitMEMLOCK=, or the container's memlock ulimit), "+
			"or accept the risk with allow_unlocked_memory: true: %w", err)
	}
	return nil
}

// Bytes returns the region, n bytes long; nil once closed. The slice must not be used after Close.
func (l *Locked) Bytes() []byte {
	if l.mem == nil {
		return nil
	}
	return l.mem[:l.size:l.size]
}

// Wipe overwrites the region with zeros; it stays usable.
func (l *Locked) Wipe() { clear(l.mem) }

// Close wipes the region and gives it back. A second Close does nothing.
func (l *Locked) Close() error {
	if l.mem == nil {
		return nil
	}
	l.Wipe()
	mem := l.mem
	l.mem = nil
	return unix.Munmap(mem)
}

// Format writes a fixed text for every verb.
func (l *Locked) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns a fixed text.
func (l *Locked) LogValue() slog.Value { return slog.StringValue(redacted) }

// probeSize is what Harden tries to lock: more than the regions of one node's root key, keyring and
// unseal attempts.
const probeSize = 64 << 10

// Harden makes the process keep its memory to itself: no core dumps (RLIMIT_CORE 0), not dumpable
// (PR_SET_DUMPABLE 0, which also refuses ptrace and /proc/PID/mem to other processes of the same
// user), and, unless allowUnlocked, proven able to lock memory. Call it first thing in a server. The error
// says what the operator can do.
func Harden(allowUnlocked bool) error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("secret: forbid core dumps: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("secret: make the process not dumpable: %w", err)
	}
	probe, err := NewLocked(probeSize, allowUnlocked)
	if err != nil {
		return err
	}
	return probe.Close()
}
