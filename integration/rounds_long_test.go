//go:build long

package integration

// rounds picks the number of rounds of this run.
func rounds(_, long int) int { return long }
