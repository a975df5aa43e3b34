// Package sys is the only door of a node that is open while it is sealed: health, seal status, init,
// unseal, metrics and, for an operator's client certificate, the list of members.
//
// It promises that none of its routes needs an opened catalog, and it does not decide anything: who
// may init from where, and who may read the metrics, is the node's verdict. The invariant that would hurt: a share, an init token
// or a secret access key goes from the body to the Node and nowhere else; no log line and no error
// made here holds one.
package sys

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/netip"
	"strings"

	"github.com/gorilla/mux"

	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/kms"
)

// The messages of the system routes, as the wire has them.
type (
	Health       = wire.HealthAnswer
	SealStatus   = wire.SealStatus
	InitRequest  = wire.InitRequest
	InitAnswer   = wire.InitAnswer
	UnsealAnswer = wire.UnsealAnswer
)

// The system routes whose requests a node is told of when they are not understood or not taken.
const (
	RouteInit   = wire.Init
	RouteUnseal = wire.Unseal
	RouteCancel = wire.CancelUnseal
)

// Caller is who sent a request, as far as a door without identities can know.
type Caller struct {
	Addr      string // host, without the port
	Loopback  bool   // the request was made on this machine, with no proxy or browser page between
	RequestID string // as the answer has it
	UserAgent string // as the caller says
	Host      string // that the caller asked for
	TLS       *tls.ConnectionState
}

// Node is what the door needs of a node. Errors are *kms.Error. Methods are called concurrently.
type Node interface {
	// Health says what the node can do now. It answers at once, from memory.
	Health() Health
	// SealStatus says how far unsealing is. It answers at once, from memory.
	SealStatus() SealStatus
	// Init makes the cluster's keys. It refuses a caller off loopback without the right init token.
	Init(ctx context.Context, who Caller, r *InitRequest) (*InitAnswer, error)
	// Unseal submits one share; with cluster it is relayed to every sealed member. attempt is empty
	// or the id of the attempt that the share is meant for.
	Unseal(ctx context.Context, who Caller, share string, cluster bool, attempt string) (*UnsealAnswer, error)
	// CancelUnseal forgets the shares of that attempt.
	CancelUnseal(ctx context.Context, who Caller, attempt string) error
	// Refuse records that a request for the system route called name is not understood or not taken, because of err, and
	// returns what to answer.
	Refuse(ctx context.Context, who Caller, name string, err error) error
	// SealedMembers lists the members while the node is sealed, for an operator's client certificate: the first of
	// the chain, whose key the client has; whose word it is, the Node verifies.
	SealedMembers(ctx context.Context, who Caller, chain []*x509.Certificate) (*kms.MembersAnswer, error)
}

// Config is what New needs.
type Config struct {
	Node        Node
	Door        *door.Door
	Concurrency int // of the requests that carry a body, once that is read, default 64; more are answered 429

	Metrics http.Handler // of GET /metrics; nil: there is none
	// MayScrape refuses who may not have the metrics. bearer is the token of the Authorization header, "" for none.
	MayScrape func(bearer string) error
}

// Door serves the system routes. It is safe for concurrent use.
type Door struct {
	node Node
	door *door.Door
	gate *door.Gate // of the requests with a body

	metrics   http.Handler
	mayScrape func(bearer string) error
}

// New returns the door.
func New(c Config) *Door {
	if c.Concurrency <= 0 {
		c.Concurrency = 64
	}
	return &Door{node: c.Node, door: c.Door, gate: door.NewGate(c.Concurrency), metrics: c.Metrics, mayScrape: c.MayScrape}
}

// Gate is what the requests with a body pass.
func (d *Door) Gate() *door.Gate { return d.gate }

// Mount adds the system routes to r. It comes before the REST door's Mount: on a sealed node the
// list of members is answered here.
func (d *Door) Mount(r *mux.Router) {
	s := r.MatcherFunc(func(q *http.Request, _ *mux.RouteMatch) bool {
		return strings.HasPrefix(q.URL.Path, "/v1/sys/")
	}).Subrouter()
	paths := map[string]map[string]http.HandlerFunc{}
	for name, h := range map[string]http.HandlerFunc{
		wire.Health:       d.health,
		wire.SealStatusOf: d.sealStatus,
		wire.Init:         d.init,
		wire.Unseal:       d.unseal,
		wire.CancelUnseal: d.cancel,
	} {
		rt := wire.SystemRoute(name)
		if paths[rt.Path] == nil {
			paths[rt.Path] = map[string]http.HandlerFunc{}
		}
		paths[rt.Path][rt.Method] = h
	}
	for path, methods := range paths {
		s.Path(path).Handler(d.door.Methods(methods))
	}
	s.Path("/v1/sys/members").MatcherFunc(d.answersMembers).HandlerFunc(d.members)
	if rt := wire.SystemRoute(wire.Metrics); d.metrics != nil {
		r.MatcherFunc(door.Path(rt.Path)).Handler(d.door.Methods(map[string]http.HandlerFunc{rt.Method: d.scrape}))
	}
}

// answersMembers reports whether the list of members is this door's: the node cannot know an access
// key now, and the caller shows a certificate instead of one.
func (d *Door) answersMembers(q *http.Request, _ *mux.RouteMatch) bool {
	return q.Method == http.MethodGet && certificates(q) != nil && q.Header["Authorization"] == nil && d.node.SealStatus().Sealed
}

// certificates returns the client's certificate and what it sent with it, or nil.
func certificates(q *http.Request) []*x509.Certificate {
	if q.TLS == nil {
		return nil
	}
	return q.TLS.PeerCertificates
}

func (d *Door) answer(w http.ResponseWriter, q *http.Request, status int, v any) {
	epoch, index := d.door.Index()
	d.door.Answer(w, q, status, epoch, index, v)
}

func (d *Door) health(w http.ResponseWriter, q *http.Request) {
	h := d.node.Health()
	status := http.StatusOK
	switch {
	case !h.Initialized:
		status = http.StatusNotImplemented
	case !h.CanServeCrypto:
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	}
	d.answer(w, q, status, h)
}

// scrape answers the metrics. They are not audited: they are asked for all the time and tell of nobody.
func (d *Door) scrape(w http.ResponseWriter, q *http.Request) {
	if err := d.mayScrape(bearer(q)); err != nil {
		if kms.CodeOf(err) == kms.CodeUnauthenticated {
			w.Header().Set("WWW-Authenticate", `Bearer realm="lockstep metrics"`)
		}
		d.door.Refuse(w, q, "sys", err)
		return
	}
	d.metrics.ServeHTTP(w, q)
}

// bearer returns the token of the one Authorization header, if it is of that scheme (RFC 6750).
func bearer(q *http.Request) string {
	given := q.Header["Authorization"]
	if len(given) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(given[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

func (d *Door) sealStatus(w http.ResponseWriter, q *http.Request) {
	d.answer(w, q, http.StatusOK, d.node.SealStatus())
}

func (d *Door) members(w http.ResponseWriter, q *http.Request) {
	members, err := d.node.SealedMembers(door.Context(w, q), d.caller(w, q), certificates(q))
	if err != nil {
		d.door.Refuse(w, q, "sys", err)
		return
	}
	d.answer(w, q, http.StatusOK, members)
}

func (d *Door) init(w http.ResponseWriter, q *http.Request) {
	var in wire.InitRequest
	d.withBody(w, q, wire.Init, &in, func() (any, error) {
		return d.node.Init(door.Context(w, q), d.caller(w, q), &in)
	})
}

// caller says who sent a request. One that a proxy forwarded or a page in a browser caused comes from
// loopback only by its last step, so it does not count as local.
func (d *Door) caller(w http.ResponseWriter, q *http.Request) Caller {
	who := Caller{Addr: d.door.Source(q), RequestID: door.RequestID(w), UserAgent: q.UserAgent(), Host: q.Host, TLS: q.TLS}
	ip, err := netip.ParseAddr(door.Host(q))
	who.Loopback = err == nil && ip.Unmap().IsLoopback()
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via", "Origin"} {
		if q.Header[name] != nil {
			who.Loopback = false
		}
	}
	return who
}

func (d *Door) unseal(w http.ResponseWriter, q *http.Request) {
	var in wire.UnsealRequest
	d.withBody(w, q, wire.Unseal, &in, func() (any, error) {
		return d.node.Unseal(door.Context(w, q), d.caller(w, q), string(in.Share), in.Cluster, in.AttemptID)
	})
}

func (d *Door) cancel(w http.ResponseWriter, q *http.Request) {
	attempts := q.URL.Query()["attempt"]
	if len(attempts) != 1 || attempts[0] == "" {
		d.refuse(w, q, wire.CancelUnseal, kms.Errorf(kms.CodeInvalidRequest, "The query parameter \"attempt\" must be given once; it is the attempt_id that the answer to a share gave."))
		return
	}
	if err := d.node.CancelUnseal(door.Context(w, q), d.caller(w, q), attempts[0]); err != nil {
		d.door.Refuse(w, q, "sys", err)
		return
	}
	d.answer(w, q, http.StatusOK, d.node.SealStatus())
}

// refuse answers a request that is not understood or not taken, once the node has recorded it.
func (d *Door) refuse(w http.ResponseWriter, q *http.Request, name string, err error) {
	d.door.Refuse(w, q, "sys", d.node.Refuse(door.Context(w, q), d.caller(w, q), name, err))
}

// withBody decodes the body of a request for the route called name into in and answers what f answers. Few run at a time:
// anybody may call them, and an answer of theirs costs more than a health check.
func (d *Door) withBody(w http.ResponseWriter, q *http.Request, name string, in any, f func() (any, error)) {
	body, err := d.door.ReadBody(w, q)
	if err != nil {
		d.refuse(w, q, name, err)
		return
	}
	defer body.Release()
	if !d.gate.Enter() {
		d.refuse(w, q, name, kms.Errorf(kms.CodeThrottled, "The node is serving as many of these requests as it may; try again later."))
		return
	}
	defer d.gate.Leave()
	if err := door.Decode(body.Bytes, in); err != nil {
		d.refuse(w, q, name, err)
		return
	}
	answer, err := f()
	if err != nil {
		d.door.Refuse(w, q, "sys", err)
		return
	}
	d.answer(w, q, http.StatusOK, answer)
}
