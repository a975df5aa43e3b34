package main

import "testing"

func TestLiveHeap(t *testing.T) {
	const log = `time=... msg="a line"
gc 1 @0.012s 2%: 0.02+1.1+0.004 ms clock, 0.05+0.3/0.9/0+0.009 ms cpu, 3->4->1 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P
gc 2 @120.2s 0%: 0.02+1.1+0.004 ms clock, 0.05+0.3/0.9/0+0.009 ms cpu, 30->31->28 MB, 56 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)
`
	if got, err := liveHeap([]byte(log)); err != nil || got != 28<<20 {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := liveHeap([]byte("no collection\n")); err == nil {
		t.Error("a log without a collection was accepted")
	}
}
