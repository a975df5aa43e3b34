package statuscmd

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/api/client"
)

var testNow = time.Unix(1_800_000_000, 0)

// wellText is the metrics of a node that leads and is well.
const wellText = `# TYPE lockstep_build_info gauge
lockstep_build_info{node="node-0"} 1
# TYPE lockstep_initialized gauge
lockstep_initialized 1
# TYPE lockstep_can_serve_crypto gauge
lockstep_can_serve_crypto 1
# TYPE lockstep_leader gauge
lockstep_leader 1
# TYPE lockstep_members gauge
lockstep_members 1
# TYPE lockstep_members_healthy gauge
lockstep_members_healthy 1
# TYPE lockstep_lease_remaining_seconds gauge
lockstep_lease_remaining_seconds 59.5
# TYPE lockstep_revocation_bound_seconds gauge
lockstep_revocation_bound_seconds 60
# TYPE lockstep_audit_sink_healthy gauge
lockstep_audit_sink_healthy{sink="file"} 1
# TYPE lockstep_audit_sink_trouble gauge
lockstep_audit_sink_trouble{sink="file"} 0
# TYPE lockstep_audit_missed_records_total counter
lockstep_audit_missed_records_total{sink="file"} 0
# TYPE lockstep_audit_queue_records gauge
lockstep_audit_queue_records{sink="file"} 2
# TYPE lockstep_disk_free_bytes gauge
lockstep_disk_free_bytes{directory="data"} 5e10
# TYPE lockstep_disk_size_bytes gauge
lockstep_disk_size_bytes{directory="data"} 1e11
# TYPE lockstep_certificate_not_after_timestamp_seconds gauge
lockstep_certificate_not_after_timestamp_seconds{certificate="peer"} 1.9e9
# TYPE lockstep_scheduler_overdue_seconds gauge
lockstep_scheduler_overdue_seconds{event="RotateKey"} 3600
# TYPE lockstep_key_pending_deletion_last_request_timestamp_seconds gauge
lockstep_key_pending_deletion_last_request_timestamp_seconds{key_id="k"} 1.79999e9
# TYPE lockstep_unreadable_records gauge
lockstep_unreadable_records 0
# TYPE lockstep_keys gauge
lockstep_keys{key_spec="RSA_2048",key_state="Enabled"} 2
lockstep_keys{key_spec="SYMMETRIC_DEFAULT",key_state="Enabled"} 3
lockstep_keys{key_spec="SYMMETRIC_DEFAULT",key_state="Disabled"} 1
`

func wellNode(name string) Node {
	return Node{Addr: "http://" + name, Health: &client.Health{Name: name, Initialized: true, CanServeCrypto: true, CanWrite: true, Leader: true, Version: "v1"},
		SealStatus: &client.SealStatus{Initialized: true, Threshold: 3}}
}

func judged(t *testing.T, text string, change func(*Node)) *report {
	t.Helper()
	n := &reported{Node: wellNode("node-0")}
	if text != "" {
		n.sample = mustParse(t, text, testNow)
		n.Metrics = tell(n.sample)
	}
	if change != nil {
		change(&n.Node)
	}
	r := &report{Nodes: []*reported{n}, Warnings: []string{}}
	r.judge(testNow)
	return r
}

// A cluster that is well warns of nothing; each thing that is wrong gives one warning.
func TestWarnings(t *testing.T) {
	if r := judged(t, wellText, nil); len(r.Warnings) > 0 || !r.Serves || !r.Writes || r.Leader != "node-0" || r.Keys["Enabled"] != 5 || r.Keys["Disabled"] != 1 {
		t.Errorf("%+v", r)
	}
	for name, tt := range map[string]struct {
		old, new string
		change   func(*Node)
		want     string
	}{
		"no answer":     {change: func(n *Node) { n.Health, n.Error = nil, "refused" }, want: "http://node-0 does not answer: refused"},
		"sealed":        {change: func(n *Node) { n.Health.Sealed = true }, want: "node-0 is sealed"},
		"reason":        {change: func(n *Node) { n.Health.Reason = "clock" }, want: "node-0: clock"},
		"no changes":    {change: func(n *Node) { n.Health.CanWrite = false }, want: "no node takes changes"},
		"members":       {"lockstep_members 1", "lockstep_members 2", nil, "node-0 hears of 1 of 2 members only"},
		"lease":         {"seconds 59.5", "seconds 29", nil, "node-0 stops serving cryptography in 29 s"},
		"sink":          {`healthy{sink="file"} 1`, `healthy{sink="file"} 0`, nil, "the audit sink file takes no records"},
		"stuck":         {`trouble{sink="file"} 0`, `trouble{sink="file"} 1`, nil, "files of the audit sink file cannot be synced, rotated or removed"},
		"missed":        {`total{sink="file"} 0`, `total{sink="file"} 3`, nil, "the audit sink file has missed 3 records"},
		"disk":          {`directory="data"} 5e10`, `directory="data"} 9e9`, nil, "9.0 GB are free for the data directory"},
		"certificate":   {`"peer"} 1.9e9`, `"peer"} 1.800864e9`, nil, "the peer certificate ends in 10 days"},
		"overdue":       {`"RotateKey"} 3600`, `"RotateKey"} 7200`, nil, "RotateKey is overdue by 2h0m0s"},
		"to be deleted": {`"k"} 1.79999e9`, `"k"} 1.7999994e9`, nil, "key k is to be deleted and was asked for on node-0 10 minutes ago"},
		"unreadable":    {"unreadable_records 0", "unreadable_records 4", nil, "node-0: 4 records do not open"},
	} {
		r := judged(t, strings.Replace(wellText, tt.old, tt.new, 1), tt.change)
		if tt.old != "" && !strings.Contains(wellText, tt.old) {
			t.Fatalf("%s: %q is not there", name, tt.old)
		}
		seen := slices.ContainsFunc(r.Warnings, func(w string) bool { return strings.Contains(w, tt.want) })
		if extra := map[string]int{"members": 2}[name]; !seen || len(r.Warnings) != max(1, extra) {
			t.Errorf("%s: %q, want %q", name, r.Warnings, tt.want)
		}
	}
}

func TestWarningsOfManyNodes(t *testing.T) {
	r := &report{}
	for _, name := range []string{"node-0", "node-1"} {
		r.Nodes = append(r.Nodes, &reported{Node: wellNode(name)})
	}
	r.Nodes[1].Health.Version = "v2"
	r.judge(testNow)
	want := []string{"more than one node says that it leads: node-0, node-1", "the nodes have different versions: v1, v2"}
	if !slices.Equal(r.Warnings, want) {
		t.Errorf("%q", r.Warnings)
	}
}

// Who gives no health is not asked for metrics too.
func TestStatusAsksWhoAnswers(t *testing.T) {
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		asked = append(asked, q.URL.Path)
		w.WriteHeader(http.StatusNotFound)
	}))
	defer s.Close()
	var b bytes.Buffer
	err := run(t.Context(), 0, &b, map[string]string{"LOCKSTEP_ADDR": s.URL})
	if err == nil || !strings.Contains(b.String(), "does not answer") || !slices.Equal(asked, []string{"/v1/sys/health"}) {
		t.Errorf("asked for %q: %v\n%s", asked, err, b.String())
	}
}

// A node whose view nobody has confirmed yet has no lag to show.
func TestUnknownLag(t *testing.T) {
	n := wellNode("node-0")
	n.Health.LagSeconds = -1
	var b bytes.Buffer
	Table(&b, []Node{n})
	(&report{Nodes: []*reported{{Node: n}}}).table(&b)
	if strings.Contains(b.String(), "1.0s") || strings.Count(b.String(), "\t-\t") < 2 {
		t.Errorf("%s", b.String())
	}
}

func TestStatusTable(t *testing.T) {
	var b bytes.Buffer
	judged(t, wellText, nil).table(&b)
	for _, want := range []string{"serves cryptography and takes changes", "LEADER\tnode-0", "6 (1 Disabled, 5 Enabled)", "node-0\thttp://node-0\tunsealed\tyes\tyes\tyes\t59.5s\t0.0s\t0\tok\tv1"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q lacks %q", b.String(), want)
		}
	}
	if strings.Contains(b.String(), "metrics_token") || strings.Contains(b.String(), "!") {
		t.Errorf("%s", b.String())
	}
	b.Reset()
	judged(t, "", func(n *Node) { n.Health.CanServeCrypto, n.Health.CanWrite = false, false }).table(&b)
	if !strings.Contains(b.String(), "serves no cryptography") || !strings.Contains(b.String(), "metrics_token") {
		t.Errorf("%s", b.String())
	}
}
