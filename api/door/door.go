package door

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gorilla/mux"

	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/trace"
)

// Limits of a whole server. A handler that legitimately takes longer (a write that waits for every
// member) moves its own write deadline.
const (
	headerTimeout = 10 * time.Second // for the request line and headers
	idleTimeout   = 3 * time.Minute  // between requests of a connection
	writeTimeout  = time.Minute      // from the end of the headers to the end of the answer
	headerLimit   = 32 << 10         // bytes of the request line and headers
	connLimit     = 8192             // open connections
	sourceLimit   = 1024             // open connections from one address or IPv6 /64
)

// Config bounds a door. The zero value is usable.
type Config struct {
	// Index returns the epoch and index of the node's state, for answers that saw none themselves.
	Index func() (epoch, index uint64)
	// Source returns where a request comes from, by the peer's address and the values of X-Forwarded-For; by
	// default the peer's address is all that counts.
	Source func(peer string, forwarded []string) string
	// Refused is told of every request that a door answers with an error by itself, so that it is in no metric of the service's calls.
	// The door is one of a fixed set of names, OfNone for what belongs to none.
	Refused     func(door string, code kms.Code)
	Logger      *slog.Logger
	BodyLimit   int64         // bytes of a request body, default 1 MiB
	BodyTimeout time.Duration // for a whole request body, default 10 s
	LargeBodies int           // requests at a time with a body over 64 KiB, default 32
	// Concurrency is how many requests all doors together serve at a time, from the end of their bodies on; more are
	// answered that there are too many. Default 4096.
	Concurrency int
}

// Door is the edge that all HTTP doors of one node share. It is safe for concurrent use.
type Door struct {
	// Serving lets in as many requests as all doors together serve at a time.
	Serving *Gate

	index       func() (epoch, index uint64)
	source      func(peer string, forwarded []string) string
	refused     func(door string, code kms.Code)
	log         *slog.Logger
	bodyLimit   int64
	bodyTimeout time.Duration
	large       chan struct{} // one token for each large body that is being read
	buffers     buffers
	json        []string // header value, shared and never changed
	noStore     []string // header value, shared and never changed
	newline     []byte
}

// New returns a Door.
func New(c Config) *Door {
	d := &Door{index: c.Index, source: c.Source, refused: c.Refused, log: c.Logger, bodyLimit: c.BodyLimit, bodyTimeout: c.BodyTimeout,
		json: []string{"application/json"}, noStore: []string{"no-store"}, newline: []byte("\n")}
	if d.index == nil {
		d.index = func() (uint64, uint64) { return 0, 0 }
	}
	if d.refused == nil {
		d.refused = func(string, kms.Code) {}
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if d.bodyLimit <= 0 {
		d.bodyLimit = 1 << 20
	}
	if d.bodyTimeout <= 0 {
		d.bodyTimeout = 10 * time.Second
	}
	if c.LargeBodies <= 0 {
		c.LargeBodies = 32
	}
	d.large = make(chan struct{}, c.LargeBodies)
	if c.Concurrency <= 0 {
		c.Concurrency = 4096
	}
	d.Serving = NewGate(c.Concurrency)
	return d
}

// Index returns the epoch and index of the node's state now.
func (d *Door) Index() (epoch, index uint64) { return d.index() }

// Router returns an empty router on which doors mount their routes. It matches the path as it was
// sent, so an escaped slash never splits a segment, and it never redirects.
func (d *Door) Router() *mux.Router {
	r := mux.NewRouter().UseEncodedPath().SkipClean(true).StrictSlash(false)
	r.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		d.Refuse(w, q, OfNone, kms.Errorf(kms.CodeNotFound, "There is nothing at this path; GET /v1/openapi.json lists what there is."))
	})
	return r
}

// Methods returns the handler of one path: the handler of the request's method, or 405. A GET
// handler also takes HEAD.
func (d *Door) Methods(byMethod map[string]http.HandlerFunc) http.Handler {
	names := make([]string, 0, len(byMethod)+1)
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "DELETE"} {
		if byMethod[m] != nil || m == "HEAD" && byMethod["GET"] != nil {
			names = append(names, m)
		}
	}
	allow := strings.Join(names, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		serve := byMethod[q.Method]
		if serve == nil && q.Method == http.MethodHead {
			serve = byMethod[http.MethodGet]
		}
		if serve == nil {
			w.Header().Set("Allow", allow)
			d.Refuse(w, q, OfNone, kms.Errorf(kms.CodeMethodNotAllowed, "This path takes %s.", allow))
			return
		}
		serve(w, q)
	})
}

// Handler puts in front of next what comes before any route: the request id, the trace that the request is part of, the
// checks of the path, and an answer where next panics.
func (d *Door) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header()[wire.HeaderRequestID] = []string{newRequestID()}
		if parent := q.Header["Traceparent"]; len(parent) == 1 {
			if id, ok := trace.Parse(parent[0]); ok {
				q = q.WithContext(trace.With(q.Context(), trace.Request{ID: RequestID(w), Trace: id}))
			}
		}
		defer d.recovered(w, q)
		if err := checkPath(q); err != nil {
			d.Refuse(w, q, OfNone, err)
			return
		}
		next.ServeHTTP(w, q)
	})
}

// RequestID returns the id that Handler gave the request.
func RequestID(w http.ResponseWriter) string {
	if v := w.Header()[wire.HeaderRequestID]; len(v) == 1 {
		return v[0]
	}
	return ""
}

// Context returns the context of a request in which log lines name it.
func Context(w http.ResponseWriter, q *http.Request) context.Context {
	return trace.With(q.Context(), trace.Request{ID: RequestID(w), Trace: trace.From(q.Context()).Trace})
}

// Source returns the address that a request comes from, without a port.
func (d *Door) Source(q *http.Request) string {
	peer := Host(q)
	if d.source == nil {
		return peer
	}
	return d.source(peer, q.Header["X-Forwarded-For"])
}

// Host returns the address of the peer without its port. What a proxy says of others is not looked at.
func Host(q *http.Request) string {
	addr := q.RemoteAddr
	if i := strings.LastIndexByte(addr, ':'); i >= 0 {
		addr = addr[:i]
	}
	return strings.Trim(addr, "[]")
}

func (d *Door) recovered(w http.ResponseWriter, q *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	// The panic value may hold anything of the request: only the stack goes to the log.
	d.log.ErrorContext(Context(w, q), "panic in a handler", "method", q.Method, "stack", string(debug.Stack()))
	d.Error(w, q, kms.AsError(errPanic{}))
}

type errPanic struct{}

func (errPanic) Error() string { return "a handler panicked" }

// checkPath refuses a path that different readers could take for different things.
func checkPath(q *http.Request) error {
	sent := q.URL.RawPath
	if sent == "" {
		sent = q.URL.Path // it has nothing escaped that matters
	} else if q.URL.EscapedPath() != sent {
		// The router would match a re-encoded path, in which an escaped slash is a slash.
		return kms.Errorf(kms.CodeInvalidRequest, "The path holds characters that must be percent-encoded.")
	}
	if !utf8.ValidString(q.URL.Path) || strings.ContainsFunc(q.URL.Path, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' }) {
		return kms.Errorf(kms.CodeInvalidRequest, "The path holds invalid UTF-8, a control character or a backslash.")
	}
	if !strings.Contains(sent, "/.") && !strings.Contains(sent, "%") {
		return nil
	}
	for segment := range strings.SplitSeq(sent, "/") {
		if s := strings.ReplaceAll(strings.ToLower(segment), "%2e", "."); s == "." || s == ".." {
			return kms.Errorf(kms.CodeInvalidRequest, "The path holds a dot segment.")
		}
	}
	return nil
}

// Server returns an http.Server for h with the time, size and connection limits of a door; the caller
// sets TLS and listens.
func Server(h http.Handler, logger *slog.Logger) *http.Server {
	return serverOf(h, logger, connLimit, sourceLimit)
}

func serverOf(h http.Handler, logger *slog.Logger, conns, each int) *http.Server {
	c := &connections{limit: conns, each: each, source: map[netip.Prefix]int{}}
	s := &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		WriteTimeout: writeTimeout, MaxHeaderBytes: headerLimit, ConnState: c.track, DisableGeneralOptionsHandler: true}
	if logger != nil {
		s.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
	}
	return s
}
