package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/lockstep-kms/lockstep/bench/lab"
)

// target is one thing to measure.
type target struct {
	name       string
	url        string
	pid        int             // of the server process
	credential *lab.Credential // nil for no authentication
	signed     bool            // by SigV4, else Basic
	operation  string          // X-Amz-Target of a signed request
	body       string          // "" for that of the REST door
}

// measurement is what bench/load printed.
type measurement = lab.Result

func parseMeasurement(line []byte) (measurement, error) {
	var m measurement
	if err := json.Unmarshal(line, &m); err != nil {
		return m, err
	}
	if m.Requests == 0 || m.CPU <= 0 {
		return m, fmt.Errorf("nothing was measured: %s", bytes.TrimSpace(line))
	}
	return m, nil
}

// table collects the rounds of each target.
type table struct {
	targets []target
	rounds  [][]measurement // by target, then round
}

func newTable(targets []target) *table {
	return &table{targets: targets, rounds: make([][]measurement, len(targets))}
}

func (t *table) add(target int, m measurement) { t.rounds[target] = append(t.rounds[target], m) }

// String renders the medians, then each target's CPU time against that of minimal.
func (t *table) String() string {
	var b strings.Builder
	base := slices.IndexFunc(t.targets, func(t target) bool { return t.name == minimal })
	for i, target := range t.targets {
		fmt.Fprintf(&b, "median   %s\n", row(target.name, medians(t.rounds[i])))
	}
	b.WriteString("\n")
	for i, target := range t.targets {
		if i == base {
			continue
		}
		ratios := make([]float64, len(t.rounds[i]))
		for round, m := range t.rounds[i] {
			ratios[round] = m.CPU / t.rounds[base][round].CPU
		}
		fmt.Fprintf(&b, "CPU of %s / %s: %.2f (rounds %.2f to %.2f)\n", target.name, minimal, lab.Median(ratios), slices.Min(ratios), slices.Max(ratios))
	}
	return b.String()
}

func row(name string, m measurement) string {
	return fmt.Sprintf("%-9s %7.1f us CPU/request  %7.0f requests/s  p50 %7.0f us  p99 %7.0f us", name, m.CPU, m.PerSecond, m.P50, m.P99)
}

func medians(rounds []measurement) measurement {
	of := func(field func(measurement) float64) float64 {
		values := make([]float64, len(rounds))
		for i, m := range rounds {
			values[i] = field(m)
		}
		return lab.Median(values)
	}
	return measurement{
		PerSecond: of(func(m measurement) float64 { return m.PerSecond }),
		P50:       of(func(m measurement) float64 { return m.P50 }),
		P99:       of(func(m measurement) float64 { return m.P99 }),
		CPU:       of(func(m measurement) float64 { return m.CPU }),
	}
}
