// Package catalog is the opened view.
package catalog

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/seal"
)

// Catalog opens the records of a state machine while the node is unsealed.
type Catalog struct {
	fsm  *fsm.FSM
	view atomic.Pointer[View]
}

// View is the opened state after some command, immutable.
type View struct{}

// New returns a sealed catalog. partition is that of ARNs; a nil logger is silent.
func New(f *fsm.FSM, partition string, logger *slog.Logger) *Catalog { return &Catalog{fsm: f} }

// Unseal opens everything and follows the state machine from then on. The catalog owns the barrier
// and wipes it when it is sealed, or when Unseal fails.
func (c *Catalog) Unseal(ctx context.Context, b *seal.Barrier) error { return nil }

// Seal closes the gate, waits for the requests that hold the view, and wipes everything.
func (c *Catalog) Seal() {}

// View returns the opened state, nil while sealed.
func (c *Catalog) View() *View { return c.view.Load() }

// OpenedIndex returns the index that View is of; 0 while sealed.
func (c *Catalog) OpenedIndex() uint64 { return 0 }

// WaitOpened returns nil once OpenedIndex is at least index; an error while sealed or when ctx ends.
func (c *Catalog) WaitOpened(ctx context.Context, index uint64) error { return nil }

// Sealed reports whether the catalog is sealed.
func (c *Catalog) Sealed() bool { return c.view.Load() == nil }
