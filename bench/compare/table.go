package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
)

// target is one thing to measure.
type target struct {
	name        string
	url         string
	pid         int      // of the server process
	credentials []string // NAME=value for the load generator, nil for no authentication
}

// measurement is what bench/load printed; times are microseconds.
type measurement struct {
	Requests  int     `json:"requests"`
	PerSecond float64 `json:"requests_per_second"`
	P50       float64 `json:"p50_us"`
	P99       float64 `json:"p99_us"`
	CPU       float64 `json:"server_cpu_us_per_request"`
}

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
		fmt.Fprintf(&b, "CPU of %s / %s: %.2f (rounds %.2f to %.2f)\n", target.name, minimal, median(ratios), slices.Min(ratios), slices.Max(ratios))
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
		return median(values)
	}
	return measurement{
		PerSecond: of(func(m measurement) float64 { return m.PerSecond }),
		P50:       of(func(m measurement) float64 { return m.P50 }),
		P99:       of(func(m measurement) float64 { return m.P99 }),
		CPU:       of(func(m measurement) float64 { return m.CPU }),
	}
}

// median returns the middle of at least one value, the mean of the two middle ones when even.
func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// environment describes what the figures were measured on.
func environment(o options) string {
	cpu := "unknown CPU"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d CPUs (%s), %s/%s, %d connections, %d rounds of %v after %v warm-up\n\n",
		runtime.Version(), runtime.NumCPU(), cpu, runtime.GOOS, runtime.GOARCH, o.connections, o.rounds, o.duration, o.warmUp)
}
