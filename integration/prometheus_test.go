package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/integration/freeport"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/server"
)

// production makes nodes ask for a token and serve metrics on own addresses, which it fills in.
func production(t *testing.T, token string, own []string) func(int, *server.Config) {
	return func(i int, c *server.Config) {
		own[i] = freeport.Addr(t)
		c.Dev, c.MetricsToken, c.MetricsListen = false, token, own[i]
	}
}

// prometheus is a running Prometheus.
type prometheus struct {
	t    *testing.T
	base string
}

// startPrometheus has Debian's Prometheus scrape nodes at these addresses every second, with the rules of deploy/.
func startPrometheus(t *testing.T, addrs []string, flags ...string) prometheus {
	t.Helper()
	binary, dir := tool(t, "prometheus"), t.TempDir()
	rules, err := filepath.Abs(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\nrule_files: [%q]\n"+
		"scrape_configs: [{job_name: lockstep, static_configs: [{targets: [%q]}]}]\n", rules, strings.Join(addrs, `", "`))
	config = strings.ReplaceAll(config, `\"`, `"`)
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := freeport.Addr(t)
	cmd := exec.Command(binary, append([]string{"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + addr, "--log.level=warn"}, flags...)...)
	var out lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus said:\n%s", out.String())
		}
	})
	p := prometheus{t, "http://" + addr}
	poll(t, time.Minute, "prometheus is ready", func() error {
		r, err := http.Get(p.base + "/-/ready")
		if err != nil {
			return err
		}
		r.Body.Close()
		if r.StatusCode != http.StatusOK {
			return fmt.Errorf("it answers %s", r.Status)
		}
		return nil
	})
	return p
}

// get asks the HTTP API and decodes the data of its answer.
func (p prometheus) get(path string, data any) error {
	r, err := http.Get(p.base + path)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", answer.Status, answer.Error)
	}
	return nil
}

// sample is one series of an answer.
type sample struct {
	Metric map[string]string
	Value  [2]any
}

// query evaluates an expression now.
func (p prometheus) query(expr string) (result []sample, err error) {
	var data struct{ Result []sample }
	err = p.get("/api/v1/query?"+url.Values{"query": {expr}}.Encode(), &data)
	return data.Result, err
}

// eventually waits until an expression has a result that ok accepts.
func (p prometheus) eventually(what, expr string, ok func([]sample) bool) {
	p.t.Helper()
	poll(p.t, time.Minute, what, func() error {
		result, err := p.query(expr)
		if err == nil && !ok(result) {
			err = fmt.Errorf("%s gives %v", expr, result)
		}
		return err
	})
}

// Debian's Prometheus scrapes a cluster, and its API answers every query of the dashboards with data. One that takes native
// histograms gets those.
func TestPrometheusAnswersTheDashboards(t *testing.T) {
	c := cluster.Start(t, cluster.Options{})
	var addrs []string
	for _, n := range c.Nodes {
		addrs = append(addrs, strings.TrimPrefix(n.APIAddr, "http://"))
	}
	classic, native := startPrometheus(t, addrs), startPrometheus(t, addrs, "--enable-feature=native-histograms")
	key := busy(t, c)
	sealed := c.Followers()[0]
	if _, err := sealed.Client().Seal(background(t), &kms.SealRequest{}); err != nil {
		t.Fatal(err)
	}
	load := cryptoLoad(key, c.Leader())
	defer load.end(t)
	// What a sealed node refuses is what the cluster fails.
	ctx, cancel := context.WithCancel(context.Background())
	refused := make(chan struct{})
	go func() {
		defer close(refused)
		for ctx.Err() == nil {
			_, _ = sealed.Client().Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x")})
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond): // a rate, not a wait
			}
		}
	}()
	defer func() { cancel(); <-refused }()

	some := func(result []sample) bool { return len(result) > 0 }
	classic.eventually("three nodes scraped", `up{job="lockstep"} == 1`, func(r []sample) bool { return len(r) == 3 })
	asked := 0
	for file, list := range panels(t) {
		for _, p := range list {
			for _, q := range p.Targets {
				expr := strings.NewReplacer("$__rate_interval", "10s", "$job", "lockstep").Replace(q.Expr)
				if strings.Contains(expr, "$") {
					t.Errorf("%s: %s has a variable that is not known: %s", file, p.Title, expr)
				}
				classic.eventually(file+": "+p.Title, expr, some)
				asked++
			}
		}
	}
	if asked < 50 {
		t.Errorf("only %d queries were asked", asked)
	}
	classic.eventually("requests a second", `sum(rate(lockstep_requests_total{operation="Encrypt",outcome="ok"}[10s])) > 0`, some)
	classic.eventually("a latency", `histogram_quantile(0.99, sum by (le) (rate(lockstep_request_duration_seconds_bucket{operation="Encrypt",outcome="ok"}[10s]))) > 0`, some)
	native.eventually("a native latency", `histogram_quantile(0.99, sum(rate(lockstep_request_duration_seconds{operation="Encrypt",outcome="ok"}[10s]))) > 0`, some)
	native.eventually("a count beside native histograms", `sum(rate(lockstep_requests_total[10s])) > 0`, some)
	classic.eventually("the alert of the sealed node", `ALERTS{alertname="LockstepNodeSealed",alertstate="pending"}`, func(r []sample) bool {
		return len(r) == 1 && r[0].Metric["instance"] == strings.TrimPrefix(sealed.APIAddr, "http://")
	})
	checkRules(t, classic)
}

// checkRules fails unless every rule was evaluated without an error, and no alert but that of the sealed node and what follows from it is there.
func checkRules(t *testing.T, p prometheus) {
	t.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError, State string }
		}
	}
	if err := p.get("/api/v1/rules", &data); err != nil {
		t.Fatal(err)
	}
	evaluated := 0
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			evaluated++
			if r.Health != "ok" {
				t.Errorf("%s: %s %s", r.Name, r.Health, r.LastError)
			}
			if r.State == "firing" && r.Name != "LockstepKeyPendingDeletionInUse" && !strings.HasPrefix(r.Name, "LockstepErrorBudget") {
				t.Errorf("%s fires", r.Name)
			}
		}
	}
	if evaluated != len(rules(t)) {
		t.Errorf("%d rules were evaluated of %d", evaluated, len(rules(t)))
	}
}
