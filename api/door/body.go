package door

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
)

const (
	firstBuffer = 4 << 10
	smallBody   = 64 << 10 // a larger body needs one of the few tokens
)

// buffers keeps small body buffers. They are wiped before they come back.
type buffers struct{ pool sync.Pool }

// Body is a request body. Release wipes it; nothing may point into Bytes after that.
type Body struct {
	Bytes []byte
	door  *Door
	large bool
}

// Release wipes the body and gives its room back.
func (b *Body) Release() {
	if b.Bytes == nil {
		return
	}
	full := b.Bytes[:cap(b.Bytes)]
	clear(b.Bytes)
	b.Bytes = nil
	if b.large {
		<-b.door.large
		b.large = false
	}
	if len(full) == firstBuffer {
		b.door.buffers.pool.Put((*[firstBuffer]byte)(full))
	}
}

// ReadBody reads the whole body, which must arrive within the body timeout and hold at most the body
// limit. It never holds more than 64 KiB for a request unless one of the LargeBodies tokens is free.
func (d *Door) ReadBody(w http.ResponseWriter, q *http.Request) (b Body, err error) {
	if q.ContentLength == 0 {
		return b, nil
	}
	if q.ContentLength > d.bodyLimit {
		return b, d.tooLarge(w)
	}
	// Without a deadline a slow sender holds its buffer as long as it likes. net/http lifts it at the
	// body's end. A writer that has no deadlines (a recorder in a test) has no slow senders either.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(d.bodyTimeout))
	b.door = d
	if first, ok := d.buffers.pool.Get().(*[firstBuffer]byte); ok {
		b.Bytes = first[:0]
	} else {
		b.Bytes = make([]byte, 0, firstBuffer)
	}
	if err := b.fill(q.Body); err != nil {
		b.Release()
		return b, d.bodyError(w, err)
	}
	return b, nil
}

var (
	errBodyLimit = errors.New("body over the limit")
	errLargeBusy = errors.New("too many large bodies")
)

// fill reads r to its end.
func (b *Body) fill(r io.Reader) error {
	for {
		if len(b.Bytes) == cap(b.Bytes) {
			if err := b.grow(); err != nil {
				return err
			}
		}
		n, err := r.Read(b.Bytes[len(b.Bytes):cap(b.Bytes)])
		b.Bytes = b.Bytes[:len(b.Bytes)+n]
		if int64(len(b.Bytes)) > b.door.bodyLimit {
			return errBodyLimit
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// grow quadruples the buffer and leaves nothing in the old one.
func (b *Body) grow() error {
	size := min(4*cap(b.Bytes), int(b.door.bodyLimit)+1)
	if size > smallBody && !b.large {
		select {
		case b.door.large <- struct{}{}:
			b.large = true
		default:
			return errLargeBusy
		}
	}
	larger := make([]byte, len(b.Bytes), max(size, cap(b.Bytes)+1))
	copy(larger, b.Bytes)
	clear(b.Bytes)
	b.Bytes = larger
	return nil
}

func (d *Door) tooLarge(w http.ResponseWriter) error {
	w.Header().Set("Connection", "close")
	return kms.Errorf(kms.CodeTooLarge, "The body is larger than %d bytes.", d.bodyLimit)
}

func (d *Door) bodyError(w http.ResponseWriter, err error) error {
	w.Header().Set("Connection", "close")
	switch {
	case errors.Is(err, errBodyLimit):
		return d.tooLarge(w)
	case errors.Is(err, errLargeBusy):
		return kms.Errorf(kms.CodeThrottled, "Too many large requests are being read; try again later.")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return kms.Errorf(kms.CodeInvalidRequest, "The body did not arrive within %s.", d.bodyTimeout)
	default:
		return kms.Errorf(kms.CodeInvalidRequest, "The body could not be read to its end.")
	}
}
