package integration

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	prom "github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
)

const (
	rulesFile  = "../deploy/prometheus/lockstep.rules.yml"
	testsFile  = "../deploy/prometheus/lockstep.rules.test.yml"
	dashboards = "../deploy/grafana/*.json"
	metricsDoc = "../docs/metrics.md"
)

// tool returns the path of a program that Debian has. Where it is missing a test is skipped, but not in CI.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is missing; Debian's package prometheus has it", name)
		}
		t.Skipf("%s is missing; Debian's package prometheus has it", name)
	}
	return path
}

// busy has a cluster do one of everything that metrics tell of: a use of a key, one refused because the key is to be deleted,
// one refused as nobody's, and a request that is none. The use is repeated so that rates are not zero.
func busy(t *testing.T, c *cluster.Cluster) (key string) {
	t.Helper()
	all := c.Client()
	key = createKey(t, all, "in use")
	doomed := createKey(t, all, "a description")
	days := 7
	if _, err := all.ScheduleKeyDeletion(background(t), &kms.ScheduleKeyDeletionRequest{KeyID: doomed, PendingWindowInDays: &days}); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes {
		if err := roundTrip(background(t), key, n.Client(), n.Client()); err != nil {
			t.Fatal(err)
		}
		_, err := n.Client().Encrypt(background(t), &kms.EncryptRequest{KeyID: doomed, Plaintext: []byte("x")})
		mustCode(t, err, kms.CodeInvalidState)
		if r, err := http.Get(n.APIAddr + "/v1/nothing"); err != nil || r.Body.Close() != nil || r.StatusCode != 404 {
			t.Fatalf("%v %v", r, err)
		}
		_, err = c.NewClient("AKIAAAAAAAAAAAAAAAAA", "wrong", n).Encrypt(background(t), &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x")})
		mustCode(t, err, kms.CodeUnauthenticated)
	}
	return key
}

// metricsOf returns a node's metrics as text.
func metricsOf(t *testing.T, n *cluster.Node) []byte {
	t.Helper()
	text, err := n.Client().Metrics(background(t), "")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func parseMetrics(t *testing.T, text []byte) map[string]*dto.MetricFamily {
	t.Helper()
	p := expfmt.NewTextParser(prom.LegacyValidation)
	all, err := p.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return all
}

// families are the metrics that some node of a cluster tells.
func families(t *testing.T, c *cluster.Cluster) map[string]*dto.MetricFamily {
	t.Helper()
	all := map[string]*dto.MetricFamily{}
	for _, n := range c.Nodes {
		for name, f := range parseMetrics(t, metricsOf(t, n)) {
			if all[name] == nil {
				all[name] = f
				continue
			}
			all[name].Metric = append(all[name].Metric, f.Metric...)
		}
	}
	return all
}

// names are the words of an expression that name metrics of a node.
func names(expr string) (all []string) {
	for _, word := range regexp.MustCompile(`[a-zA-Z_:][\w:]*`).FindAllString(expr, -1) {
		if strings.HasPrefix(word, "lockstep_") || strings.HasPrefix(word, "go_") || strings.HasPrefix(word, "process_") {
			all = append(all, word)
		}
	}
	return all
}

// labelValues are those that labels may be compared with in an expression.
var labelValues = map[string][]string{
	"outcome": {"ok", "invalid", "unauthenticated", "denied", "not_found", "method_not_allowed", "state", "precondition", "too_large", "throttled",
		"internal", "unavailable", "outcome_unknown"},
	"event":     kms.ScheduledEvents,
	"directory": {"data", "audit", "audit:/mnt"},
	"queue":     {"serving", "waiting", "system", "proposals", "flights", "forwards", "confirmations"},
	"job":       {"lockstep"},
}

// strange returns the comparisons of an expression with what a label never is.
func strange(expr string) (all []string) {
	for _, m := range regexp.MustCompile(`(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"`).FindAllStringSubmatch(expr, -1) {
		values := []string{regexp.QuoteMeta(m[3])}
		if strings.HasSuffix(m[2], "~") {
			values = strings.Split(m[3], "|")
		}
		for _, v := range values {
			is := regexp.MustCompile("^(?:" + v + ")$")
			if v != "$job" && !slices.ContainsFunc(labelValues[m[1]], is.MatchString) {
				all = append(all, m[0])
			}
		}
	}
	return all
}

func TestStrangeComparisons(t *testing.T) {
	for expr, want := range map[string]int{
		`a{outcome=~"internal|unavailable"} > b{event!="RotateKey",job=~"$job"}`: 0, `a{directory=~"audit.*",job=~"lockstep.*"}`: 0,
		`a{outcome=~"internal|unavailible"}`: 1, `a{event="RotatedKey"}`: 1, `a{outcom="ok",directory="log"}`: 2, `a{directory="audit.*"}`: 1,
	} {
		if got := strange(expr); len(got) != want {
			t.Errorf("%s: %q", expr, got)
		}
	}
}

// alert is one rule.
type alert struct {
	Alert, Record, Expr string
	Labels, Annotations map[string]string
}

func rules(t *testing.T) (all []alert) {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []alert }
	}
	raw, err := os.ReadFile(rulesFile)
	if err == nil {
		err = yaml.Unmarshal(raw, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// panel is what tests look at of a panel of a dashboard.
type panel struct {
	Type, Title string
	Datasource  struct{ UID string }
	Targets     []struct {
		Expr       string
		Datasource struct{ UID string }
	}
}

// panels returns the panels of all dashboards, by the file.
func panels(t *testing.T) map[string][]panel {
	t.Helper()
	files, err := filepath.Glob(dashboards)
	if err != nil || len(files) < 3 {
		t.Fatalf("dashboards: %v %v", files, err)
	}
	all := map[string][]panel{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			Panels     []panel
			Templating struct {
				List []struct{ Name, Type string }
			}
		}
		if err := json.Unmarshal(raw, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if v := d.Templating.List; len(v) == 0 || v[0].Name != "datasource" || v[0].Type != "datasource" {
			t.Errorf("%s: the first variable is not the data source: %v", file, v)
		}
		for _, p := range d.Panels {
			if p.Type == "row" {
				continue
			}
			if p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
				t.Errorf("%s: %s asks %q %v", file, p.Title, p.Datasource.UID, p.Targets)
			}
			all[filepath.Base(file)] = append(all[filepath.Base(file)], p)
		}
	}
	return all
}

// Every metric that an alert, a dashboard or the table of metrics names is one of a real cluster, and the table is whole and
// says of each what the node says.
func TestMetricsThatAreNamedAreTold(t *testing.T) {
	c := cluster.Start(t, cluster.Options{})
	busy(t, c)
	all := families(t, c)
	named := 0
	check := func(where, expr string) {
		for _, name := range names(expr) {
			named++
			family := name
			for _, suffix := range []string{"_bucket", "_count", "_sum"} {
				if base, cut := strings.CutSuffix(name, suffix); cut && all[base] != nil && all[base].GetType() == dto.MetricType_HISTOGRAM {
					family = base
				}
			}
			if all[family] == nil {
				t.Errorf("%s names %s, which no node tells", where, name)
			}
		}
		for _, comparison := range strange(expr) {
			t.Errorf("%s compares %s, which never is", where, comparison)
		}
	}
	for _, r := range rules(t) {
		check(r.Alert+r.Record, r.Expr)
	}
	for file, list := range panels(t) {
		for _, p := range list {
			for _, q := range p.Targets {
				check(file+": "+p.Title, q.Expr)
			}
		}
	}
	if named < 100 {
		t.Errorf("only %d names were found in rules and dashboards", named)
	}
	checkTable(t, all)
	checkDoors(t, c)
	for _, n := range c.Nodes {
		text := string(metricsOf(t, n))
		for _, secret := range append(slices.Clone(c.Shares), c.AccessKeyID, c.SecretAccessKey, "000000000000", "a description") {
			if strings.Contains(text, secret) {
				t.Errorf("the metrics of %s tell %q", n.Name, secret)
			}
		}
	}
}

// checkDoors knocks at every door and fails unless the metrics know it by its name.
func checkDoors(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	n := c.Nodes[0]
	jsonType, form := http.Header{"X-Amz-Target": {"TrentService.ListKeys"}, "Content-Type": {"application/x-amz-json-1.1"}}, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	for _, r := range []request{
		{method: "POST", path: "/", body: "{}", header: jsonType},
		{method: "POST", path: "/", body: "Action=GetCallerIdentity&Version=2011-06-15", header: form},
		{method: "POST", path: "/", body: "Action=ListUsers&Version=2010-05-08", header: form},
		{method: "POST", path: "/xks/us-east-1/kms/xks/v1/health", body: "{}", header: http.Header{"Content-Type": {"application/json"}}},
	} {
		answer, err := http.DefaultClient.Do(r.unsigned(t, n))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	doors := map[string]bool{}
	for _, m := range parseMetrics(t, metricsOf(t, n))["lockstep_requests_total"].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "door" {
				doors[l.GetValue()] = true
			}
		}
	}
	if got, want := slices.Sorted(maps.Keys(doors)), []string{"awskms", "iam", "rest", "sts", "xks"}; !slices.Equal(got, want) {
		t.Errorf("doors %q, want %q", got, want)
	}
}

var tableRow = regexp.MustCompile("(?m)^\\| `(lockstep_\\w+)` \\| (\\w+) \\| ([^|]*) \\| (.*) \\|$")

// checkTable compares docs/metrics.md with what nodes tell.
func checkTable(t *testing.T, all map[string]*dto.MetricFamily) {
	t.Helper()
	doc, err := os.ReadFile(metricsDoc)
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, row := range tableRow.FindAllStringSubmatch(string(doc), -1) {
		name := row[1]
		documented[name] = true
		f := all[name]
		if f == nil {
			t.Errorf("docs/metrics.md lists %s, which no node tells", name)
			continue
		}
		if want := rowOf(f); row[0] != want {
			t.Errorf("docs/metrics.md says\n%s\nand the node\n%s", row[0], want)
		}
	}
	for name, f := range all {
		if strings.HasPrefix(name, "lockstep_") && !documented[name] {
			t.Errorf("docs/metrics.md lacks\n%s", rowOf(f))
		}
	}
}

// rowOf is a family as docs/metrics.md shows it.
func rowOf(f *dto.MetricFamily) string {
	var labels []string
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if name := "`" + l.GetName() + "`"; !slices.Contains(labels, name) {
				labels = append(labels, name)
			}
		}
	}
	slices.Sort(labels)
	return "| `" + f.GetName() + "` | " + strings.ToLower(f.GetType().String()) + " | " + strings.Join(labels, ", ") + " | " + f.GetHelp() + " |"
}

func TestPromtoolAcceptsTheMetrics(t *testing.T) {
	promtool := tool(t, "promtool")
	c := cluster.Start(t, cluster.Options{Nodes: 1})
	busy(t, c)
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = bytes.NewReader(metricsOf(t, c.Nodes[0]))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// Each alert says what it is and what to do, and has a test in which it fires and one in which it does not. Where it says a value, or one
// thing or another, a test holds what it says.
func TestAlerts(t *testing.T) {
	raw, err := os.ReadFile(testsFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Tests []struct {
			Name   string
			Series []struct{ Series string } `yaml:"input_series"`
			Exprs  []struct {
				Expr    string
				Samples []struct{ Labels string } `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
			Alerts []struct {
				Name string `yaml:"alertname"`
				Said []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	fires, silent, said := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		name, how, _ := strings.Cut(test.Name, " ")
		for _, a := range test.Alerts {
			said[a.Name] = said[a.Name] || len(a.Said) > 0
		}
		if len(test.Series) == 0 || len(test.Exprs) != 1 || test.Exprs[0].Expr != `count by (alertname) (ALERTS{alertstate="firing"})` {
			t.Errorf("%s does not ask for what fires", test.Name)
			continue
		}
		is := slices.ContainsFunc(test.Exprs[0].Samples, func(s struct{ Labels string }) bool { return s.Labels == `{alertname="`+name+`"}` })
		switch {
		case how == "fires" && is:
			fires[name] = true
		case how == "is silent" && !is:
			silent[name] = true
		default:
			t.Errorf("%q expects the other thing", test.Name)
		}
	}
	for _, r := range rules(t) {
		if r.Record != "" {
			continue
		}
		if !fires[r.Alert] || !silent[r.Alert] {
			t.Errorf("%s: a test in which it fires: %v, in which it is silent: %v", r.Alert, fires[r.Alert], silent[r.Alert])
		}
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		for _, a := range []string{"summary", "description", "runbook"} {
			if r.Annotations[a] == "" {
				t.Errorf("%s has no %s", r.Alert, a)
			}
			if text := r.Annotations[a]; (strings.Contains(text, "$value") || strings.Contains(text, "{{ if")) && !said[r.Alert] {
				t.Errorf("%s: no test holds what its %s says", r.Alert, a)
			}
		}
	}
	promtool := tool(t, "promtool")
	for _, args := range [][]string{{"check", "rules", filepath.Base(rulesFile)}, {"test", "rules", filepath.Base(testsFile)}, {"check", "config", "--syntax-only", "prometheus.yml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = filepath.Dir(rulesFile)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// Metrics are served on an address of their own to everybody, on the API's to who shows the token, and sealed or not.
func TestWhereMetricsAreServed(t *testing.T) {
	const token = "a token of the metrics"
	own := make([]string, 1)
	c := cluster.Start(t, cluster.Options{Nodes: 1, TLS: true, Sealed: true, Config: production(t, token, own)})
	n := c.Nodes[0]
	for given, want := range map[string]kms.Code{token: "", "another token": kms.CodeUnauthenticated, "": kms.CodeUnauthenticated} {
		text, err := n.Client().Metrics(background(t), given)
		if got := kms.CodeOf(err); got != want || (err == nil) != bytes.Contains(text, []byte("\nlockstep_sealed 1\n")) {
			t.Errorf("with %q: %v\n%.200s", given, err, text)
		}
	}
	r, err := http.Get("http://" + own[0] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if text, err := io.ReadAll(r.Body); err != nil || r.StatusCode != 200 || !bytes.Contains(text, []byte("\nlockstep_sealed 1\n")) {
		t.Errorf("%d %v", r.StatusCode, err)
	}
	if r, err := http.Get("http://" + own[0] + "/v1/sys/health"); err != nil || r.StatusCode != 404 {
		t.Errorf("that address serves more: %v %v", r, err)
	}
	audit, err := os.ReadFile(n.Config.Audit.File)
	if err != nil || len(audit) == 0 || bytes.Contains(audit, []byte("etrics")) || bytes.Contains(audit, []byte(token)) {
		t.Errorf("scrapes are audited: %v\n%s", err, audit)
	}
}
