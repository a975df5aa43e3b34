// Package cluster gives clients that were not written here a real cluster to talk to: three server processes of the
// product's binary, reached by its command line and its doors alone. It imports nothing of the product, so whatever
// these tests find working, a user's client finds working too.
//
// Its one invariant: requests to Cluster.URL go to the nodes in turn, call by call, so that a node which lags behind an
// acknowledged change shows.
package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Options shape a cluster. The zero value is what Get gives.
type Options struct {
	Regions []string // served regions, the first is the default; nil: us-east-1 and eu-west-1
	TLS     bool     // the API is served over TLS by servers configured one by one, as on real machines
}

// Cluster is a running cluster of three unsealed nodes.
type Cluster struct {
	Nodes []string // URL of each node
	// URL sends each request to the next node, over plain HTTP; with TLS, which it passes through untouched, it does so
	// connection by connection.
	URL    string
	CAFile string // PEM file of the CA that the nodes' certificates chain to; empty without TLS

	AccessKeyID     string // of the root of the operator account, which may do everything
	SecretAccessKey string
	Region          string // the default one
	Account         string

	dir   string
	nodes runner
	close []func()
}

// runner is how the nodes of a cluster are run.
type runner interface {
	kill(n int) error    // by SIGKILL; returns when the process is gone
	restart(n int) error // returns when the node serves again
	stop() error
}

const account = "000000000000" // the default of both 'dev' and 'server'

// shared holds the clusters of a test process, started when first asked for.
var shared struct {
	sync.Mutex
	clusters map[bool]*Cluster // by Options.TLS; nil when its start failed
}

// Main runs the tests of a package, and stops after them the clusters that Get and GetTLS gave them.
// It is the body of a TestMain and does not return.
func Main(m *testing.M) {
	for _, name := range []string{"AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"} { // of who runs the tests
		os.Unsetenv(name)
	}
	status := m.Run()
	shared.Lock()
	for _, c := range shared.clusters {
		if c == nil {
			continue
		}
		if err := c.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the cluster:", err)
			status = max(status, 1)
		}
	}
	removeBinary()
	os.Exit(status)
}

// Get returns the cluster that the tests of this process share.
func Get(tb testing.TB) *Cluster {
	tb.Helper()
	return get(tb, Options{})
}

// GetTLS returns a second shared cluster, whose API is served over TLS.
func GetTLS(tb testing.TB) *Cluster {
	tb.Helper()
	return get(tb, Options{TLS: true})
}

func get(tb testing.TB, o Options) *Cluster {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	c, asked := shared.clusters[o.TLS]
	if !asked {
		var err error
		if c, err = start(o); err != nil {
			tb.Error(err)
		}
		if shared.clusters == nil {
			shared.clusters = map[bool]*Cluster{}
		}
		shared.clusters[o.TLS] = c
	}
	if c == nil {
		tb.Fatal("the shared cluster did not start")
	}
	return c
}

// Start starts a cluster for one test, which may kill and restart nodes as it likes.
func Start(tb testing.TB, o Options) *Cluster {
	tb.Helper()
	c, err := start(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.stop(); err != nil {
			tb.Errorf("stopping the cluster: %v", err)
		}
	})
	return c
}

func start(o Options) (_ *Cluster, err error) {
	if o.Regions == nil {
		o.Regions = []string{"us-east-1", "eu-west-1"}
	}
	c := &Cluster{Region: o.Regions[0], Account: account}
	if c.dir, err = os.MkdirTemp("", "lockstep-clients-"); err != nil {
		return nil, err
	}
	c.close = append(c.close, func() { os.RemoveAll(c.dir) })
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop())
		}
	}()
	if o.TLS {
		return c, c.startServers(o.Regions)
	}
	return c, c.startDev(o.Regions)
}

func (c *Cluster) stop() error {
	var err error
	if c.nodes != nil {
		err = c.nodes.stop()
	}
	for _, f := range c.close {
		f()
	}
	return err
}

// Kill ends node n with SIGKILL and returns when it is gone.
func (c *Cluster) Kill(tb testing.TB, n int) {
	tb.Helper()
	if err := c.nodes.kill(n); err != nil {
		tb.Fatalf("killing node %d: %v", n, err)
	}
}

// Restart starts node n, which does not run, again and unseals it. It returns when the node serves.
func (c *Cluster) Restart(tb testing.TB, n int) {
	tb.Helper()
	if err := c.nodes.restart(n); err != nil {
		tb.Fatalf("restarting node %d: %v", n, err)
	}
}

// Env is what programs of the AWS family read from the environment to use the rotating endpoint as the root of the
// operator account, and nothing else: no configuration file, no metadata service.
func (c *Cluster) Env() []string { return c.EnvFor(c.URL) }

// EnvFor is Env with another endpoint, say that of one node.
func (c *Cluster) EnvFor(url string) []string {
	none := filepath.Join(c.dir, "no-such-file")
	env := []string{
		"AWS_ENDPOINT_URL=" + url, "AWS_ENDPOINT_URL_KMS=" + url, "AWS_ENDPOINT_URL_STS=" + url, "AWS_ENDPOINT_URL_IAM=" + url,
		"AWS_ACCESS_KEY_ID=" + c.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + c.SecretAccessKey,
		"AWS_REGION=" + c.Region, "AWS_DEFAULT_REGION=" + c.Region,
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=" + none, "AWS_SHARED_CREDENTIALS_FILE=" + none,
	}
	if c.CAFile != "" {
		env = append(env, "AWS_CA_BUNDLE="+c.CAFile)
	}
	return env
}

// Setenv puts Env into the environment of the test, for libraries that read it.
func (c *Cluster) Setenv(t *testing.T) {
	for _, kv := range c.Env() {
		t.Setenv(cut(kv))
	}
}

// Config configures clients of aws-sdk-go-v2 for the rotating endpoint.
func (c *Cluster) Config(tb testing.TB) aws.Config {
	tb.Helper()
	return c.ConfigFor(tb, c.URL)
}

// ConfigFor is Config with another endpoint.
func (c *Cluster) ConfigFor(tb testing.TB, url string) aws.Config {
	tb.Helper()
	cfg := aws.Config{
		Region:       c.Region,
		BaseEndpoint: aws.String(url),
		Credentials:  credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, ""),
	}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			tb.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		cfg.HTTPClient = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	}
	return cfg
}
