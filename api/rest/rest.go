// Package rest is the REST door: it turns HTTP requests into calls of the service and answers into
// JSON. It serves wire.Routes and nothing else.
//
// It promises that a request which is not exactly understood is refused before the service sees it,
// and decides nothing else: identity, rights and state are the service's. The invariant that would
// hurt: an answer leaves only as the service gave it, with the index it saw.
package rest

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/kms/service"
)

// Service is what the door calls; *service.Service is one.
type Service interface {
	Do(ctx context.Context, c *service.Call) (*service.Result, error)
}

// Config is what New needs.
type Config struct {
	Service Service
	Door    *door.Door
	Version string // of the product, for the OpenAPI document
	// MaxPlaintext is how many bytes Encrypt takes. Default 4096, as AWS KMS.
	MaxPlaintext int
}

// Door serves the operations. It is safe for concurrent use.
type Door struct {
	service Service
	door    *door.Door
	maxText int           // bytes of a plaintext; 0: the service's default
	waiting *door.Gate    // for requests with wait=all, a quarter as many as are served besides: each may take as long as the longest lease
	openapi func() []byte // made when it is asked for
}

// New returns the door.
func New(c Config) *Door {
	return &Door{service: c.Service, door: c.Door, maxText: c.MaxPlaintext, openapi: sync.OnceValue(func() []byte { return openAPI(c.Version) }),
		waiting: door.NewGate(max(1, c.Door.Serving.Limit()/4))}
}

// Waiting is what requests pass that wait for every member.
func (d *Door) Waiting() *door.Gate { return d.waiting }

// Mount adds the operations' routes and the OpenAPI document to r, in the order of the route table.
func (d *Door) Mount(r *mux.Router) {
	var paths []string
	methods := map[string]map[string]http.HandlerFunc{}
	add := func(rt wire.Route, h http.HandlerFunc) {
		if methods[rt.Path] == nil {
			methods[rt.Path] = map[string]http.HandlerFunc{}
			paths = append(paths, rt.Path)
		}
		methods[rt.Path][rt.Method] = h
	}
	for _, rt := range wire.Routes() {
		if rt.Operation != nil {
			add(rt, d.handler(rt))
		}
	}
	add(wire.SystemRoute(wire.OpenAPI), func(w http.ResponseWriter, q *http.Request) {
		epoch, index := d.door.Index()
		d.door.Write(w, http.StatusOK, epoch, index, d.openapi())
	})
	for _, path := range paths {
		r.MatcherFunc(door.Path(path)).Handler(d.door.Methods(methods[path]))
	}
}

// handler returns the handler of one route: read, decode, call, answer.
func (d *Door) handler(rt wire.Route) http.HandlerFunc {
	b := bind(rt)
	return func(w http.ResponseWriter, q *http.Request) {
		body, err := d.door.ReadBody(w, q)
		defer body.Release()
		gate := d.door.Serving
		if !gate.Enter() {
			d.refuse(w, q, b, door.Busy())
			return
		}
		defer func() { gate.Leave() }()
		if err != nil {
			d.refuse(w, q, b, err)
			return
		}
		call, err := b.call(d.door, w, q, body.Bytes)
		if err != nil {
			d.refuse(w, q, b, err)
			return
		}
		call.MaxPlaintext = d.maxText
		if call.Wait == service.WaitAll {
			if !d.waiting.Enter() {
				d.refuse(w, q, b, door.Busy())
				return
			}
			gate.Leave()
			gate = d.waiting
			extendWrite(w, call.Timeout)
		}
		result, err := d.service.Do(q.Context(), call)
		d.answer(w, q, b, result, err)
	}
}

// refuse answers a request that is not understood or not taken, once the service has recorded it.
func (d *Door) refuse(w http.ResponseWriter, q *http.Request, b *binding, err error) {
	c := b.blank(d.door, w, q)
	c.Refused = err
	result, err := d.service.Do(q.Context(), c)
	d.answer(w, q, b, result, err)
}

// extendWrite lets an answer leave although the server's write timeout has passed: wait=all takes as
// long as the slowest member's lease.
func extendWrite(w http.ResponseWriter, wait time.Duration) {
	if wait == 0 {
		wait = maxWait
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(wait + time.Minute)) // a recorder has none
}

func (d *Door) answer(w http.ResponseWriter, q *http.Request, b *binding, result *service.Result, err error) {
	switch {
	case err != nil && result != nil:
		d.door.ErrorAt(w, q, result.Epoch, result.Index, err)
	case err != nil:
		d.door.Error(w, q, err)
	default:
		body, err := encode(result.Answer, result.Awaiting)
		if err != nil {
			d.door.Error(w, q, err)
			return
		}
		status := b.route.Status
		if result.Awaiting != nil {
			status = http.StatusAccepted
		}
		d.door.Write(w, status, result.Epoch, result.Index, body)
	}
}
