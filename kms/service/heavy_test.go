package service_test

import (
	"strconv"
	"testing"

	"github.com/lockstep-kms/lockstep/kms/service"
)

// One account cannot take the turns of the others, and all together not those of the node.
func TestRSAKeysAreMadeInTurn(t *testing.T) {
	h := service.NewHeavyWork()
	for range service.HeavyAccount {
		if !h.Enter("greedy") {
			t.Fatal("refused within its share")
		}
	}
	if h.Enter("greedy") {
		t.Error("an account got more than its share")
	}
	taken := service.HeavyAccount
	for i := 0; taken < service.HeavyAll; i++ {
		if !h.Enter(strconv.Itoa(i)) {
			t.Fatalf("%d are waiting and another account is refused", taken)
		}
		taken++
	}
	if h.Enter("late") {
		t.Error("more wait than may")
	}
	h.Leave("greedy")
	if !h.Enter("late") || h.Enter("greedy") {
		t.Error("a turn that was given back is not whose it should be")
	}
}
