package integration

import (
	"testing"

	"github.com/lockstep-kms/lockstep/integration/cluster"
)

// TestFIPSOnly runs the nodes with every algorithm forbidden that is not in Go's FIPS 140-3 module: they
// start, are unsealed and serve.
func TestFIPSOnly(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Processes: true, Env: []string{"GODEBUG=fips140=only"}})
	key := createKey(t, c.Nodes[0].Client(), "under FIPS 140-3")
	for i, n := range c.Nodes {
		if err := roundTrip(background(t), key, n.Client(), c.Nodes[(i+1)%3].Client()); err != nil {
			t.Error(err)
		}
	}
}
