// Package rest is the REST door: it turns HTTP requests into calls of the service and answers into
// JSON. It serves wire.Routes and nothing else.
//
// It promises that a request which is not exactly understood is refused before the service sees it,
// and decides nothing else: identity, rights and state are the service's. The invariant that would
// hurt: an answer leaves only as the service gave it, with the index it saw.
package rest

import (
	"context"
	"log/slog"

	"github.com/gorilla/mux"

	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/kms/service"
)

// Service is what the door calls; *service.Service is one.
type Service interface {
	Do(ctx context.Context, c *service.Call) (*service.Result, error)
}

// Config is what New needs.
type Config struct {
	Service     Service
	Door        *door.Door
	Version     string // of the product, for the OpenAPI document
	Concurrency int    // requests at a time, default 4096; more are answered 429
	Logger      *slog.Logger
}

// Door serves the operations.
type Door struct {
	cfg Config
}

// New returns the door.
func New(c Config) *Door { return &Door{cfg: c} }

// Mount adds the operations' routes and the OpenAPI document to r.
func (d *Door) Mount(r *mux.Router) {}
