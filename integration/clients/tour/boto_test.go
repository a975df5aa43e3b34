package tour

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

func TestMain(m *testing.M) { cluster.Main(m) }

// missing skips the test, but not where every client has to be there.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// python is an interpreter that has boto3.
type python struct{ path, version string }

// pythons returns those of this machine that have different versions of boto3: the one of PATH, and Debian's.
func pythons(t *testing.T) (all []python) {
	seen := map[string]bool{}
	for _, path := range []string{"python3", "/usr/bin/python3"} {
		out, err := exec.Command(path, "-c", "import boto3; print(boto3.__version__)").Output()
		if version := strings.TrimSpace(string(out)); err == nil && !seen[version] {
			seen[version] = true
			all = append(all, python{path, version})
		}
	}
	if len(all) == 0 {
		missing(t, "no Python here has boto3 (apt-get install python3-boto3)")
	}
	return all
}

// run runs one of the scripts to its end.
func (p python) run(t *testing.T, env []string, script string, arguments ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.path, append([]string{"-B", filepath.Join("python", script)}, arguments...)...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s with boto3 %s: %v\n%s", script, p.version, err, out)
	}
	t.Logf("%s", out)
}

// environment is what a user of boto3 sets, and nothing that would stand in for it: an endpoint for each service, and the
// region under the only name that boto3 reads.
func environment(c *cluster.Cluster) []string {
	var env []string
	for _, kv := range append(os.Environ(), c.Env()...) {
		if !strings.HasPrefix(kv, "AWS_ENDPOINT_URL=") && !strings.HasPrefix(kv, "AWS_REGION=") {
			env = append(env, kv)
		}
	}
	return env
}

// TestBoto3 has each version of boto3 ask for everything it knows.
func TestBoto3(t *testing.T) {
	all := pythons(t)
	c := cluster.Get(t)
	for _, p := range all {
		for _, script := range []string{"kms.py", "errors.py", "identities.py"} {
			t.Run(p.version+"/"+script, func(t *testing.T) { p.run(t, environment(c), script) })
		}
	}
}

// TestBoto3MeetsASealedNode shows that boto3 tries again what a sealed node refuses.
func TestBoto3MeetsASealedNode(t *testing.T) {
	all := pythons(t)
	c := cluster.Start(t, cluster.Options{})
	seal(t, c, c.Nodes[2])
	for _, p := range all {
		t.Run(p.version, func(t *testing.T) { p.run(t, environment(c), "sealed.py", c.Nodes[2]) })
	}
}

// seal seals one node, and returns when it says so.
func seal(t *testing.T, c *cluster.Cluster, node string) {
	t.Helper()
	sealed := func() error {
		r, err := http.NewRequestWithContext(t.Context(), "POST", node+"/v1/sys/seal", strings.NewReader("{}"))
		if err != nil {
			return err
		}
		r.SetBasicAuth(c.AccessKeyID, c.SecretAccessKey)
		if resp, err := http.DefaultClient.Do(r); err == nil {
			resp.Body.Close()
		}
		resp, err := http.Get(node + "/v1/sys/seal-status")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var status struct{ Sealed bool }
		if err := json.NewDecoder(resp.Body).Decode(&status); err != nil || !status.Sealed {
			return fmt.Errorf("status %d, sealed %v, %v", resp.StatusCode, status.Sealed, err)
		}
		return nil
	}
	deadline, tick := time.Now().Add(time.Minute), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for err := sealed(); err != nil; err = sealed() {
		if time.Now().After(deadline) {
			t.Fatalf("the node is not sealed: %v", err)
		}
		<-tick.C
	}
}
