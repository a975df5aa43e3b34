package main

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/lockstep-kms/lockstep/bench/lab"
)

// bare is what bench/raft printed; times are microseconds.
type bare struct {
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_us"`
	P99       float64 `json:"p99_us"`
	PerEntry  float64 `json:"commands_per_entry"`
	FsyncP50  float64 `json:"fsync_p50_us"`
	FsyncP99  float64 `json:"fsync_p99_us"`
}

// String renders milliseconds.
func (b bare) String() string {
	return fmt.Sprintf("%6.0f/s  p50 %6.1f ms  p99 %6.1f ms  %5.1f commands/entry  fsync p50 %.2f ms p99 %.2f ms",
		b.PerSecond, b.P50/1e3, b.P99/1e3, b.PerEntry, b.FsyncP50/1e3, b.FsyncP99/1e3)
}

// measurement is one run against the cluster; CPU times are microseconds a creation.
type measurement struct {
	lab.Result
	leader, follower, other float64 // the CPU time of each node
	perEntry                float64 // creations a log entry, warm-up included
}

// String renders milliseconds.
func (m measurement) String() string {
	return fmt.Sprintf("%6.0f/s  p50 %6.1f ms  p99 %6.1f ms  %5.1f creations/entry  CPU us/creation: follower %.0f, leader %.0f, other %.0f  failed %d (conflicts %d)",
		m.PerSecond, m.P50/1e3, m.P99/1e3, m.perEntry, m.follower, m.leader, m.other, m.Failed, m.Refused[http.StatusConflict])
}

// table collects the rounds by number of clients.
type table struct {
	clients  []int
	raft     map[int][]bare
	lockstep map[int][]measurement
}

func newTable(clients []int) *table {
	return &table{clients: clients, raft: map[int][]bare{}, lockstep: map[int][]measurement{}}
}

// String renders the medians and their ratio.
func (t *table) String() string {
	var b strings.Builder
	for _, n := range t.clients {
		raft, lockstep := t.raft[n], t.lockstep[n]
		if len(raft) == 0 || len(raft) != len(lockstep) {
			continue
		}
		r := bare{PerSecond: medianOf(raft, func(b bare) float64 { return b.PerSecond }),
			P50: medianOf(raft, func(b bare) float64 { return b.P50 }), P99: medianOf(raft, func(b bare) float64 { return b.P99 }),
			PerEntry: medianOf(raft, func(b bare) float64 { return b.PerEntry }),
			FsyncP50: medianOf(raft, func(b bare) float64 { return b.FsyncP50 }), FsyncP99: medianOf(raft, func(b bare) float64 { return b.FsyncP99 })}
		m := measurement{leader: medianOf(lockstep, func(m measurement) float64 { return m.leader }),
			follower: medianOf(lockstep, func(m measurement) float64 { return m.follower }),
			other:    medianOf(lockstep, func(m measurement) float64 { return m.other })}
		m.perEntry = medianOf(lockstep, func(m measurement) float64 { return m.perEntry })
		m.PerSecond = medianOf(lockstep, func(m measurement) float64 { return m.PerSecond })
		m.P50, m.P99 = medianOf(lockstep, func(m measurement) float64 { return m.P50 }), medianOf(lockstep, func(m measurement) float64 { return m.P99 })
		m.Refused = map[int]int{}
		var ratios []float64
		for i, one := range lockstep {
			m.Failed += one.Failed
			m.Refused[http.StatusConflict] += one.Refused[http.StatusConflict]
			ratios = append(ratios, one.PerSecond/raft[i].PerSecond)
		}
		fmt.Fprintf(&b, "median   %3d clients  raft      %v\nmedian   %3d clients  lockstep  %v\n", n, r, n, m)
		fmt.Fprintf(&b, "         %3d clients  lockstep / raft: %.2f\n", n, lab.Median(ratios))
	}
	return b.String()
}

func medianOf[T any](rounds []T, field func(T) float64) float64 {
	values := make([]float64, len(rounds))
	for i, r := range rounds {
		values[i] = field(r)
	}
	return lab.Median(values)
}
