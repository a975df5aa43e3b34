// Package service is the use cases.
package service

import (
	"context"

	"github.com/lockstep-kms/lockstep/kms"
)

// Service is the one gate of every operation. It is safe for concurrent use.
type Service struct{ cfg Config }

// New returns a Service.
func New(c Config) *Service { return &Service{cfg: c} }

// Do authenticates, authorizes, decides, does and audits one call.
func (s *Service) Do(ctx context.Context, c *Call) (*Result, error) {
	return nil, kms.Errorf(kms.CodeInternal, "The node cannot do this.")
}
