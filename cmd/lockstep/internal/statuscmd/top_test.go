package statuscmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
)

// counted is the metrics of a node that has answered so many requests of an operation well, so many not, and so many not by its own
// fault.
func counted(ok, denied, unavailable int) string {
	var b strings.Builder
	b.WriteString(wellText + "# TYPE lockstep_requests_total counter\n")
	for outcome, n := range map[string]int{"ok": ok, "denied": denied, "unavailable": unavailable} {
		fmt.Fprintf(&b, "lockstep_requests_total{operation=\"Encrypt\",door=\"rest\",outcome=%q} %d\n", outcome, n)
	}
	fmt.Fprintf(&b, "# TYPE lockstep_request_duration_seconds histogram\n")
	for _, le := range []string{"0.001", "0.002", "+Inf"} {
		n := ok
		if le == "0.001" {
			n = 0
		}
		fmt.Fprintf(&b, "lockstep_request_duration_seconds_bucket{operation=\"Encrypt\",door=\"rest\",outcome=\"ok\",le=%q} %d\n", le, n)
	}
	fmt.Fprintf(&b, "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total %d\n", ok/10)
	return b.String()
}

func is(v *float64, want float64) bool { return v != nil && math.Abs(*v-want) < 1e-9 }

func TestCompare(t *testing.T) {
	before := []reading{{"a", mustParse(t, counted(100, 0, 0), testNow), nil}, {"b", nil, errors.New("gone")}}
	now := []reading{{"a", mustParse(t, counted(120, 4, 2), testNow.Add(2*time.Second)), nil}, {"b", mustParse(t, counted(7, 0, 0), testNow.Add(2*time.Second)), nil}}
	a := compare(before, now)
	n := a.Nodes[0]
	if n.Name != "node-0" || n.State != "leads" || !is(n.Requests, 13) || !is(n.Errors, 3) || !is(n.Failures, 1) || !is(n.CPU, 1) ||
		!is(n.P50, .0015) || !is(n.P99, .00199) || !is(n.Lease, 59.5) || !is(n.Audit, 2) || n.Lag != nil {
		t.Errorf("%+v", n)
	}
	if n := a.Nodes[1]; n.Requests != nil || n.Name != "node-0" { // nothing to compare with yet
		t.Errorf("%+v", n)
	}
	if len(a.Operations) != 1 || a.Operations[0].Operation != "Encrypt" || a.Operations[0].Requests != 13 || !is(a.Operations[0].P50, .0015) {
		t.Errorf("%+v", a.Operations)
	}
	// The second had counted much before it was away: that is none of what was done between.
	now[1].sample = mustParse(t, strings.ReplaceAll(counted(10_000, 0, 0), `le="0.001"} 0`, `le="0.001"} 10000`), testNow.Add(2*time.Second))
	if a := compare(before, now); len(a.Operations) != 1 || !is(a.Operations[0].P50, .0015) {
		t.Errorf("%+v", a.Operations)
	}
	a = compare(now, before) // the first began anew, the second is gone
	if n := a.Nodes[1]; n.State != "no answer" || n.Error != "gone" || n.Requests != nil {
		t.Errorf("%+v", n)
	}
}

func TestStateOf(t *testing.T) {
	set := func(name string, v int) string {
		return "# TYPE lockstep_" + name + " gauge\nlockstep_" + name + fmt.Sprintf(" %d\n", v)
	}
	well := set("initialized", 1) + set("can_serve_crypto", 1)
	for want, text := range map[string]string{
		"not initialized": set("initialized", 0), "sealed": well + set("sealed", 1), "audit blocked": well + set("audit_blocked", 1),
		"not serving": set("initialized", 1), "leads": well + set("leader", 1), "follows": well + set("leader", 0),
	} {
		if got := stateOf(mustParse(t, text, testNow)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// answering serves metrics that grow with every reading, to who shows the token.
func answering(t *testing.T, readings *atomic.Int64) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path != "/metrics" || q.Header.Get("Authorization") != "Bearer a token of the metrics" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		n := int(readings.Add(1))
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		io.WriteString(w, counted(10*n, n, 0))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// run runs a command of Commands.
func run(ctx context.Context, which int, out io.Writer, env map[string]string, args ...string) error {
	app := &cli.App{Streams: cli.Streams{Out: out, Err: io.Discard, Env: func(name string) string { return env[name] }}}
	cmd := Commands(app)[which]
	cmd.SetArgs(args)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	return cmd.ExecuteContext(ctx)
}

func top(ctx context.Context, out io.Writer, env map[string]string, args ...string) error {
	return run(ctx, 1, out, env, args...)
}

func TestTopOnce(t *testing.T) {
	t.Parallel()
	var readings atomic.Int64
	env := map[string]string{"LOCKSTEP_ADDR": answering(t, &readings) + ",http://127.0.0.1:1", "LOCKSTEP_METRICS_TOKEN": "a token of the metrics"}
	var b bytes.Buffer
	if err := top(t.Context(), &b, env, "--once", "--interval", "2s"); err != nil {
		t.Fatal(err)
	}
	if out := b.String(); readings.Load() != 2 || !strings.Contains(out, "node-0") || !strings.Contains(out, "no answer") || !strings.Contains(out, "Encrypt") || strings.Contains(out, "\x1b") {
		t.Errorf("%d readings\n%s", readings.Load(), out)
	}
	env["LOCKSTEP_METRICS_TOKEN"] = "another one"
	if err := top(t.Context(), io.Discard, env, "--once"); err == nil {
		t.Error("nobody answers, and top shows it as if")
	}
	if err := top(t.Context(), io.Discard, env, "--interval", "1ms"); !cli.IsMisuse(err) {
		t.Errorf("%v", err)
	}
}

// An address that takes the connection and says nothing is waited for no longer than an interval, or a second.
func TestTopDoesNotWaitForTheSilent(t *testing.T) {
	t.Parallel()
	var readings atomic.Int64
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	env := map[string]string{"LOCKSTEP_ADDR": answering(t, &readings) + ",http://" + l.Addr().String(), "LOCKSTEP_METRICS_TOKEN": "a token of the metrics"}
	var b bytes.Buffer
	if err := top(t.Context(), &b, env, "--once", "--interval", "2s"); err != nil {
		t.Fatal(err)
	}
	if out := b.String(); !strings.Contains(out, "node-0") || !strings.Contains(out, "no answer within 2s") {
		t.Errorf("%s", out)
	}
}

// until is a writer that calls done once it was given enough lines.
type until struct {
	bytes.Buffer
	lines int
	done  func()
}

func (u *until) Write(p []byte) (int, error) {
	n, err := u.Buffer.Write(p)
	if bytes.Count(u.Bytes(), []byte("\n")) >= u.lines {
		u.done()
	}
	return n, err
}

// With -o json each reading after the first is one object, until the command is interrupted.
func TestTopGoesOn(t *testing.T) {
	var readings atomic.Int64
	env := map[string]string{"LOCKSTEP_ADDR": answering(t, &readings)}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	u := &until{lines: 3, done: cancel}
	if err := top(ctx, u, env, "-o", "json", "--interval", "100ms", "--metrics-token", "a token of the metrics"); err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(&u.Buffer)
	for range 3 {
		var a activity
		if err := d.Decode(&a); err != nil || len(a.Nodes) != 1 || a.Nodes[0].Requests == nil || *a.Nodes[0].Requests <= 0 {
			t.Errorf("%+v %v", a, err)
		}
	}
}
