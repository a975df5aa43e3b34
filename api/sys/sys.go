// Package sys is the only door of a node that is open while it is sealed: health, seal status, init,
// unseal and, for an operator's client certificate, the list of members.
//
// It promises that none of its routes needs an opened catalog, and it does not decide anything: who
// may init from where is the Node's verdict. The invariant that would hurt: a share, an init token
// or a secret access key goes from the body to the Node and nowhere else; no log line and no error
// made here holds one.
package sys

import (
	"context"
	"crypto/x509"

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

// Caller is who sent a request, as far as a door without identities can know.
type Caller struct {
	Addr     string // host, without the port
	Loopback bool   // the connection came from this machine
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
	Unseal(ctx context.Context, share string, cluster bool, attempt string) (*UnsealAnswer, error)
	// CancelUnseal forgets the shares of that attempt.
	CancelUnseal(ctx context.Context, attempt string) error
	// SealedMembers lists the members while the node is sealed, for an operator's client certificate,
	// which the TLS stack verified against the configured client CA.
	SealedMembers(ctx context.Context, cert *x509.Certificate) (*kms.MembersAnswer, error)
}

// Config is what New needs.
type Config struct {
	Node Node
	Door *door.Door
}

// Door serves the system routes.
type Door struct {
	node Node
	door *door.Door
}

// New returns the door.
func New(c Config) *Door { return &Door{node: c.Node, door: c.Door} }

// Mount adds the system routes to r. It comes before the REST door's Mount: on a sealed node the
// list of members is answered here.
func (d *Door) Mount(r *mux.Router) {}
