// Command load sends one HTTP request over and over on keep-alive connections and prints, as one
// JSON line, how many were answered, how fast, and what CPU time the server process spent on each.
//
// It is a closed loop: every connection sends its next request when the last was answered. Raw
// connections keep the generator cheap, since it shares the machine with the server. An answer that
// is not 200 makes the measurement worthless: it is reported and the exit status is 1.
//
// With -basic, LOCKSTEP_ACCESS_KEY_ID and LOCKSTEP_SECRET_ACCESS_KEY go into an Authorization header;
// the command line, which other users can read, never carries them.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// options are the command's flags.
type options struct {
	url         string
	body        string
	pid         int // the server process, 0 for no CPU figure
	connections int
	warmUp      time.Duration
	duration    time.Duration
	basic       string // the Authorization header's value, or ""
}

// result is what one run measured; latencies and CPU time are microseconds.
type result struct {
	Requests   int     `json:"requests"`
	Failed     int     `json:"failed"`
	Seconds    float64 `json:"seconds"`
	PerSecond  float64 `json:"requests_per_second"`
	P50        float64 `json:"p50_us"`
	P99        float64 `json:"p99_us"`
	CPU        float64 `json:"server_cpu_us_per_request,omitempty"`
	FirstError string  `json:"first_error,omitempty"`
}

func main() {
	var o options
	flag.StringVar(&o.url, "url", "", "http URL to POST to")
	flag.StringVar(&o.body, "body", `{"plaintext":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=","encryption_context":{"purpose":"bench"}}`, "request body")
	flag.IntVar(&o.pid, "pid", 0, "process id of the server, for CPU time per request")
	flag.IntVar(&o.connections, "connections", 16, "keep-alive connections, one request at a time on each")
	flag.DurationVar(&o.warmUp, "warm-up", time.Second, "time before the measurement")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "time of the measurement")
	basic := flag.Bool("basic", false, "authenticate with LOCKSTEP_ACCESS_KEY_ID and LOCKSTEP_SECRET_ACCESS_KEY")
	flag.Parse()
	if *basic {
		o.basic = "Basic " + base64.StdEncoding.EncodeToString(
			[]byte(os.Getenv("LOCKSTEP_ACCESS_KEY_ID")+":"+os.Getenv("LOCKSTEP_SECRET_ACCESS_KEY")))
	}
	r, err := measure(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil || r.Failed > 0 {
		os.Exit(1)
	}
}

// The phases of a run, in order.
const (
	phaseWarmUp int32 = iota
	phaseMeasure
	phaseStop
)

// worker is one connection. Its fields are owned by its goroutine until that has ended.
type worker struct {
	latencies []time.Duration // of answers within the measurement
	failed    int
	err       error // the first failure
}

// measure runs the load.
func measure(o options) (*result, error) {
	address, request, err := rawRequest(o)
	if err != nil {
		return nil, err
	}
	var phase atomic.Int32
	var wg sync.WaitGroup
	workers := make([]worker, o.connections)
	for i := range workers {
		w := &workers[i]
		wg.Go(func() { w.run(address, request, &phase, o.warmUp+o.duration) })
	}
	time.Sleep(o.warmUp)
	before, cpuErr := cpuTime(o.pid)
	start := time.Now()
	phase.Store(phaseMeasure)
	time.Sleep(o.duration)
	phase.Store(phaseStop)
	took := time.Since(start)
	after, err := cpuTime(o.pid)
	wg.Wait()
	if err = errors.Join(cpuErr, err); err != nil {
		return nil, err
	}
	return summarize(workers, took, after-before), nil
}

// rawRequest returns the host:port to dial and the bytes of the request.
func rawRequest(o options) (address string, request []byte, err error) {
	u, err := url.Parse(o.url)
	if err != nil {
		return "", nil, err
	}
	if u.Scheme != "http" || u.Port() == "" {
		return "", nil, fmt.Errorf("-url %q is not of the form http://host:port/path", o.url)
	}
	if o.connections < 1 {
		return "", nil, fmt.Errorf("-connections must be at least 1")
	}
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", u.RequestURI(), u.Host, len(o.body))
	if o.basic != "" {
		head += "Authorization: " + o.basic + "\r\n"
	}
	return u.Host, []byte(head + "\r\n" + o.body), nil
}

// grace is how much longer than the run a connection may wait for an answer.
const grace = 10 * time.Second

// run sends requests until the phase says stop or the connection breaks.
func (w *worker) run(address string, request []byte, phase *atomic.Int32, run time.Duration) {
	conn, err := net.DialTimeout("tcp", address, grace)
	if err != nil {
		w.fail(err)
		return
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(run + grace)); err != nil {
		w.fail(err)
		return
	}
	in := bufio.NewReader(conn)
	for phase.Load() != phaseStop {
		start := time.Now()
		status, text, err := exchange(conn, in, request)
		if err != nil {
			w.fail(err)
			return
		}
		if status != http.StatusOK {
			w.fail(fmt.Errorf("status %d: %s", status, text))
		}
		if phase.Load() == phaseMeasure {
			w.latencies = append(w.latencies, time.Since(start))
		}
	}
}

// exchange sends one request and reads its answer whole; text is the body of what is not 200.
func exchange(out io.Writer, in *bufio.Reader, request []byte) (status int, text []byte, err error) {
	if _, err := out.Write(request); err != nil {
		return 0, nil, err
	}
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, err = io.ReadAll(io.LimitReader(answer.Body, 1024))
		if err != nil {
			return 0, nil, err
		}
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, text, err
}

func (w *worker) fail(err error) {
	w.failed++
	if w.err == nil {
		w.err = err
	}
}

// summarize adds the workers up.
func summarize(workers []worker, took, cpu time.Duration) *result {
	r := &result{Seconds: took.Seconds()}
	var all []time.Duration
	for _, w := range workers {
		all = append(all, w.latencies...)
		r.Failed += w.failed
		if w.err != nil && r.FirstError == "" {
			r.FirstError = w.err.Error()
		}
	}
	slices.Sort(all)
	r.Requests = len(all)
	if r.Requests == 0 {
		return r
	}
	r.PerSecond = float64(r.Requests) / r.Seconds
	r.P50, r.P99 = microseconds(percentile(all, 50)), microseconds(percentile(all, 99))
	r.CPU = microseconds(cpu) / float64(r.Requests)
	return r
}

// percentile returns the smallest value of ascending that p percent of them do not exceed.
func percentile(ascending []time.Duration, p int) time.Duration {
	return ascending[max(0, (len(ascending)*p+99)/100-1)]
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
