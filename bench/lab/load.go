package lab

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Load is a closed loop: every connection sends its next request when the last was answered.
type Load struct {
	Address     string
	Request     Request
	Status      int // of a success
	Connections int
	WarmUp      time.Duration
	Duration    time.Duration
	Limit       int   // of requests, all measured; then WarmUp and Duration do not count
	PIDs        []int // of processes whose CPU time is read

	// Vary, when set, changes a connection's own copy of the request before each sending; n counts
	// the requests of all connections.
	Vary func(r Request, n uint64)
}

// Result is what a Load measured; latencies and CPU times are microseconds.
type Result struct {
	Requests   int             `json:"requests"` // answered with success within the measurement
	Sent       int             `json:"sent"`     // all, warm-up included
	Failed     int             `json:"failed"`
	Refused    map[int]int     `json:"refused,omitempty"` // by status, warm-up included
	Seconds    float64         `json:"seconds"`
	PerSecond  float64         `json:"requests_per_second"`
	P50        float64         `json:"p50_us"`
	P99        float64         `json:"p99_us"`
	CPU        float64         `json:"server_cpu_us_per_request,omitempty"` // of all PIDs
	CPUOf      map[int]float64 `json:"cpu_of,omitempty"`                    // the same by PID
	FirstError string          `json:"first_error,omitempty"`
}

// The phases of a run, in order.
const (
	phaseWarmUp int32 = iota
	phaseMeasure
	phaseStop
)

// worker is one connection. Its fields are owned by its goroutine until that has ended.
type worker struct {
	sent      int
	latencies []time.Duration // of successes within the measurement
	refused   map[int]int
	failed    int
	err       error // the first failure
}

// requestLimit is how long a connection waits for an answer.
const requestLimit = 10 * time.Second

// Run runs the load. An answer of another status, and a broken connection, count as failed.
func (l Load) Run() (*Result, error) {
	if l.Connections < 1 {
		return nil, errors.New("a load has at least 1 connection")
	}
	var phase atomic.Int32
	var count atomic.Uint64
	var wg sync.WaitGroup
	workers := make([]worker, l.Connections)
	for i := range workers {
		w := &workers[i]
		wg.Go(func() { w.run(&l, &phase, &count) })
	}
	if l.Limit == 0 {
		time.Sleep(l.WarmUp)
	}
	before, cpuErr := cpuTimes(l.PIDs)
	start := time.Now()
	phase.Store(phaseMeasure)
	if l.Limit == 0 {
		time.Sleep(l.Duration)
	} else {
		wg.Wait()
	}
	phase.Store(phaseStop)
	took := time.Since(start)
	after, err := cpuTimes(l.PIDs)
	wg.Wait()
	if err = errors.Join(cpuErr, err); err != nil {
		return nil, err
	}
	r := summarize(workers, took)
	for i, pid := range l.PIDs {
		if r.Requests > 0 {
			if r.CPUOf == nil {
				r.CPUOf = map[int]float64{}
			}
			r.CPUOf[pid] = microseconds(after[i]-before[i]) / float64(r.Requests)
			r.CPU += r.CPUOf[pid]
		}
	}
	return r, nil
}

func cpuTimes(pids []int) ([]time.Duration, error) {
	times := make([]time.Duration, len(pids))
	var err error
	for i, pid := range pids {
		if times[i], err = CPUTime(pid); err != nil {
			return nil, err
		}
	}
	return times, nil
}

// run sends requests until the phase says stop or the connection breaks.
func (w *worker) run(l *Load, phase *atomic.Int32, count *atomic.Uint64) {
	conn, err := Dial(l.Address)
	if err != nil {
		w.fail(err)
		return
	}
	defer conn.Close()
	request := slices.Clone(l.Request)
	for phase.Load() != phaseStop {
		n := count.Add(1)
		if l.Limit > 0 && n > uint64(l.Limit) {
			return
		}
		if l.Vary != nil {
			l.Vary(request, n)
		}
		w.sent++
		start := time.Now()
		status, body, err := conn.Do(request, requestLimit)
		took := time.Since(start)
		if err != nil {
			w.fail(err)
			return
		}
		if status != l.Status {
			if w.refused == nil {
				w.refused = map[int]int{}
			}
			w.refused[status]++
			w.fail(fmt.Errorf("status %d: %.1024s", status, body))
			continue
		}
		if l.Limit > 0 || phase.Load() == phaseMeasure {
			w.latencies = append(w.latencies, took)
		}
	}
}

func (w *worker) fail(err error) {
	w.failed++
	if w.err == nil {
		w.err = err
	}
}

// summarize adds the workers up.
func summarize(workers []worker, took time.Duration) *Result {
	r := &Result{Seconds: took.Seconds()}
	var all []time.Duration
	for _, w := range workers {
		all = append(all, w.latencies...)
		r.Failed, r.Sent = r.Failed+w.failed, r.Sent+w.sent
		if w.err != nil && r.FirstError == "" {
			r.FirstError = w.err.Error()
		}
		for status, n := range w.refused {
			if r.Refused == nil {
				r.Refused = map[int]int{}
			}
			r.Refused[status] += n
		}
	}
	r.Requests = len(all)
	if r.Requests == 0 {
		return r
	}
	r.PerSecond = float64(r.Requests) / r.Seconds
	s := Summarize(all)
	r.P50, r.P99 = microseconds(s.P50), microseconds(s.P99)
	return r
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
