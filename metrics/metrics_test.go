package metrics

import (
	"bytes"
	"compress/gzip"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/lockstep-kms/lockstep/kms"
)

// node returns metrics of a node that is as state says.
func node(state State) *Metrics {
	return New(Options{Node: "node-0", Version: "v1", Commit: "abc", Doors: []string{"rest", "awskms"}, Keys: 3, State: func() State { return state }})
}

// gathered returns the families by name.
func gathered(t testing.TB, m *Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	all, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]*dto.MetricFamily{}
	for _, f := range all {
		by[f.GetName()] = f
	}
	return by
}

// value returns the one series of a family that has these labels, as name=value; ok is false when there is none.
func value(f *dto.MetricFamily, labels ...string) (v float64, ok bool) {
	for _, m := range f.GetMetric() {
		have := map[string]bool{}
		for _, l := range m.GetLabel() {
			have[l.GetName()+"="+l.GetValue()] = true
		}
		all := len(have) == len(labels)
		for _, l := range labels {
			all = all && have[l]
		}
		if all {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount()), true
		}
	}
	return 0, false
}

// Every code of the product has an outcome of its class, and every operation a label of its name.
func TestRequestLabels(t *testing.T) {
	m := node(State{})
	want := map[string]float64{"ok": 1}
	m.Request(kms.OpEncrypt, "rest", "", time.Millisecond)
	for _, code := range kms.Codes() {
		m.Request(kms.OpEncrypt, "rest", code, time.Millisecond)
		want[outcomes[code.Class()]]++
	}
	if len(want) != len(outcomes) || want[""] != 0 {
		t.Errorf("outcomes %v, %d of them are named", want, len(outcomes))
	}
	for _, op := range append(append([]*kms.Operation{}, kms.Operations...), kms.AWSOperations...) {
		m.Request(op, "awskms", "", time.Second)
	}
	m.Request(&kms.Operation{Name: "Unheard"}, "a door", "", 0)
	got := gathered(t, m)
	for _, name := range []string{"lockstep_requests_total", "lockstep_request_duration_seconds"} {
		for outcome, n := range want {
			if v, _ := value(got[name], "operation=Encrypt", "door=rest", "outcome="+outcome); v != n {
				t.Errorf("%s: %v of outcome %s, want %v", name, v, outcome, n)
			}
		}
		for _, op := range kms.Operations {
			if v, _ := value(got[name], "operation="+op.Name, "door=awskms", "outcome=ok"); v != 1 {
				t.Errorf("%s: %v of %s", name, v, op.Name)
			}
		}
		if v, _ := value(got[name], "operation=other", "door=other", "outcome=ok"); v != 1 {
			t.Errorf("%s: what is not known counts %v", name, v)
		}
	}
}

// The counters of failures are there from the first call of an operation at a door on: Prometheus sees no increase in a series that
// begins with its value.
func TestFailuresBeginAtZero(t *testing.T) {
	m := node(State{})
	m.Request(kms.OpSign, "rest", kms.CodeAccessDenied, time.Millisecond)
	got := gathered(t, m)
	for _, outcome := range []string{"internal", "unavailable", "outcome_unknown"} {
		if v, ok := value(got["lockstep_requests_total"], "operation=Sign", "door=rest", "outcome="+outcome); !ok || v != 0 {
			t.Errorf("%s: %v %v", outcome, v, ok)
		}
	}
	if n := len(got["lockstep_requests_total"].GetMetric()); n != 4 {
		t.Errorf("%d series of one operation at one door", n)
	}
	if n := len(got["lockstep_request_duration_seconds"].GetMetric()); n != 1 {
		t.Errorf("%d histograms of one call", n)
	}
}

func TestUses(t *testing.T) {
	m := node(State{})
	m.Used(kms.OpSign, kms.RSA4096, "k1")
	m.Used(kms.OpSign, kms.RSA4096, "k1")
	m.Used(kms.OpSign, "NEW_SPEC", "k2")
	m.PendingDeletion("k3")
	m.Scheduled(kms.EventRotateKey, "")
	m.Scheduled(kms.EventRotateKey, kms.CodeNoQuorum)
	m.DoorRefused("sys", kms.CodeAccessDenied)
	m.LogAppended(time.Millisecond, 7)
	m.AuditWritten("stdout", time.Millisecond, nil)
	m.AuditWritten("stdout", time.Second, io.ErrClosedPipe)
	got := gathered(t, m)
	for _, tt := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"lockstep_crypto_operations_total", []string{"operation=Sign", "key_spec=RSA_4096"}, 2},
		{"lockstep_crypto_operations_total", []string{"operation=Sign", "key_spec=other"}, 1},
		{"lockstep_key_uses_total", []string{"key_id=k1"}, 2},
		{"lockstep_key_uses_total", []string{"key_id=k2"}, 1},
		{"lockstep_key_uses_total", []string{"key_id=other"}, 0},
		{"lockstep_pending_deletion_requests_total", nil, 1},
		{"lockstep_scheduler_done_total", []string{"event=RotateKey", "outcome=ok"}, 1},
		{"lockstep_scheduler_done_total", []string{"event=RotateKey", "outcome=error"}, 1},
		{"lockstep_scheduler_done_total", []string{"event=DeleteKey", "outcome=ok"}, 0},
		{"lockstep_door_refused_total", []string{"door=sys", "outcome=denied"}, 1},
		{"lockstep_log_append_entries_total", nil, 7},
		{"lockstep_log_append_duration_seconds", nil, 1},
		{"lockstep_audit_write_duration_seconds", []string{"sink=stdout"}, 2},
		{"lockstep_audit_write_errors_total", []string{"sink=stdout"}, 1},
		{"lockstep_build_info", []string{"node=node-0", "version=v1", "commit=abc", "fips=false", "go_version=" + goVersion(got)}, 1},
	} {
		if v, ok := value(got[tt.name], tt.labels...); !ok || v != tt.want {
			t.Errorf("%s%v is %v (%v), want %v", tt.name, tt.labels, v, ok, tt.want)
		}
	}
	if at, ok := value(got["lockstep_key_pending_deletion_last_request_timestamp_seconds"], "key_id=k3"); !ok || time.Since(time.UnixMilli(int64(at*1000))) > time.Minute {
		t.Errorf("the last request for k3 was at %v", at)
	}
}

func goVersion(got map[string]*dto.MetricFamily) string {
	for _, l := range got["lockstep_build_info"].GetMetric()[0].GetLabel() {
		if l.GetName() == "go_version" {
			return l.GetValue()
		}
	}
	return ""
}

// What a node does not know it leaves out, and does not call 0.
func TestUnknownIsLeftOut(t *testing.T) {
	unknown := State{Lag: -1, Unreadable: -1, Cluster: Cluster{Healthy: -1, HealthyVoters: -1, Sealed: -1}, Bolt: Bolt{FileBytes: -1}, Raft: Raft{LastContact: -1}}
	known := State{Keys: []KeyCount{{"RSA_2048", "Enabled", 2}}, Audit: Audit{Head: time.Now(), Anchor: time.Now()}}
	for _, name := range []string{"lag_seconds", "unreadable_records", "members_healthy", "voters_healthy", "members_sealed", "bolt_file_bytes", "raft_last_contact_seconds",
		"audit_head_age_seconds", "audit_anchor_age_seconds", "keys"} {
		if f := gathered(t, node(unknown))["lockstep_"+name]; f != nil {
			t.Errorf("%s is there: %v", name, f)
		}
		if f := gathered(t, node(known))["lockstep_"+name]; f == nil {
			t.Errorf("%s is not there", name)
		}
	}
}

// Every metric of the table is there for a state that has one of everything.
func TestTable(t *testing.T) {
	now := time.Now()
	s := State{Queues: []Queue{{"q", 1, 2, 3}}, Scheduler: []Due{{"RotateKey", 1, time.Hour}}, Keys: []KeyCount{{"RSA_2048", "Enabled", 2}},
		Audit:        Audit{Sinks: []Sink{{"stdout", true, 1, 2, 3, true}}, Head: now.Add(-time.Minute), Anchor: now.Add(time.Minute)},
		Certificates: []Certificate{{"api", now}}, Disks: []Disk{{"data", 1, 2}}, Raft: Raft{State: "Leader"}}
	got := gathered(t, node(s))
	for i := range table {
		name := strings.Split(table[i].desc.String(), `"`)[1]
		if got[name] == nil {
			t.Errorf("%s is not there", name)
		}
	}
	if v, _ := value(got["lockstep_raft_state"], "state=Leader"); v != 1 {
		t.Errorf("Raft leads: %v", v)
	}
	if v, _ := value(got["lockstep_audit_sink_trouble"], "sink=stdout"); v != 1 {
		t.Errorf("a sink in trouble has %v", v)
	}
	if v, _ := value(got["lockstep_scheduler_overdue_seconds"], "event=RotateKey"); v != 3600 {
		t.Errorf("overdue by %v", v)
	}
	if v, _ := value(got["lockstep_audit_head_age_seconds"]); v < 60 || v > 120 {
		t.Errorf("the head is %v old", v)
	}
	if v, _ := value(got["lockstep_audit_anchor_age_seconds"]); v != 0 {
		t.Errorf("an anchor of the future is %v old", v)
	}
}

// scrape asks as a scraper with these headers does.
func scrape(t *testing.T, m *Metrics, headers map[string]string) (*http.Response, []byte) {
	t.Helper()
	w := httptest.NewRecorder()
	q := httptest.NewRequest("GET", "/metrics", nil)
	for name, v := range headers {
		q.Header.Set(name, v)
	}
	m.Handler(slog.New(slog.DiscardHandler)).ServeHTTP(w, q)
	return w.Result(), w.Body.Bytes()
}

func TestHandlerNegotiates(t *testing.T) {
	m := node(State{})
	m.Request(kms.OpEncrypt, "rest", "", 300*time.Microsecond)
	r, body := scrape(t, m, nil)
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain") || !bytes.Contains(body, []byte(`lockstep_request_duration_seconds_bucket{door="rest",operation="Encrypt",outcome="ok",le="0.0005"} 1`)) {
		t.Errorf("%s %s", r.Header.Get("Content-Type"), body)
	}
	r, body = scrape(t, m, map[string]string{"Accept": "application/openmetrics-text;version=1.0.0"})
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/openmetrics-text") || !bytes.HasSuffix(body, []byte("# EOF\n")) {
		t.Errorf("OpenMetrics: %s", r.Header.Get("Content-Type"))
	}
	r, body = scrape(t, m, map[string]string{"Accept-Encoding": "gzip"})
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil || r.Header.Get("Content-Encoding") != "gzip" {
		t.Fatal(r.Header, err)
	}
	if plain, err := io.ReadAll(z); err != nil || !bytes.Contains(plain, []byte("lockstep_sealed 0")) {
		t.Errorf("gzip: %v", err)
	}
}

// A scraper that asks for protocol buffers gets native histograms beside the classic ones.
func TestNativeHistograms(t *testing.T) {
	m := node(State{})
	m.Request(kms.OpEncrypt, "rest", "", 300*time.Microsecond)
	r, body := scrape(t, m, map[string]string{"Accept": "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"})
	for d := expfmt.NewDecoder(bytes.NewReader(body), expfmt.ResponseFormat(r.Header)); ; {
		var f dto.MetricFamily
		if err := d.Decode(&f); err != nil {
			t.Fatalf("the histogram is not there: %v", err)
		}
		if f.GetName() == "lockstep_request_duration_seconds" {
			h := f.GetMetric()[0].GetHistogram()
			if h.GetSampleCount() != 1 || len(h.GetPositiveSpan()) != 1 || len(h.GetBucket()) != len(requestBuckets) {
				t.Errorf("%v", h)
			}
			return
		}
	}
}

// Counting a request takes no memory once its kind has been met.
func TestCountingTakesNoMemory(t *testing.T) {
	m := node(State{})
	count := func() {
		m.Used(kms.OpEncrypt, kms.SymmetricDefault, "k1")
		m.Request(kms.OpEncrypt, "rest", "", 300*time.Microsecond)
		m.Request(kms.OpEncrypt, "rest", kms.CodeAccessDenied, 300*time.Microsecond)
	}
	count()
	if n := testing.AllocsPerRun(1000, count); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCount(b *testing.B) {
	for name, keys := range map[string][]string{"one key": {"k1"}, "more keys than shown": {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"}} {
		b.Run(name, func(b *testing.B) {
			m := node(State{})
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				m.Used(kms.OpEncrypt, kms.SymmetricDefault, keys[i%len(keys)])
				m.Request(kms.OpEncrypt, "rest", "", 300*time.Microsecond)
			}
		})
	}
}
