package cluster

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

// echo is a node that says which it is and what it got.
func echo(name string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Node", name)
		io.WriteString(w, strings.Join([]string{r.Method, r.Host, r.RequestURI, r.Header.Get("X-Signed"), r.Header.Get("Accept-Encoding"), string(body)}, "|"))
	}))
}

// TestRotation shows that requests reach the nodes in turn as they were sent, and that a dead node costs none.
func TestRotation(t *testing.T) {
	a, b, c := echo("a"), echo("b"), echo("c")
	defer a.Close()
	defer c.Close()
	addr, stop, err := rotate([]string{a.URL, b.URL, c.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	call := func() (node string) {
		t.Helper()
		r, _ := http.NewRequest("POST", "http://"+addr+"/x%2Fy?q=a;b", strings.NewReader("the body"))
		r.Host = "kms.example.com"
		r.Header.Set("X-Signed", "yes")
		r.Header.Set("Accept-Encoding", "identity")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, _ := io.ReadAll(resp.Body)
		if want := "POST|kms.example.com|/x%2Fy?q=a;b|yes|identity|the body"; string(got) != want {
			t.Fatalf("a node got %s, want %s", got, want)
		}
		return resp.Header.Get("Node")
	}
	seen := ""
	for range 6 {
		seen += call()
	}
	if !strings.Contains("abcabcabc", seen) {
		t.Errorf("the nodes were asked in the order %s", seen)
	}
	b.Close()
	for range 6 {
		if node := call(); node == "b" {
			t.Errorf("the dead node answered")
		}
	}
}

// healthy returns how many of the nodes can serve.
func healthy(c *Cluster) (n int) {
	for _, node := range c.Nodes {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
		if resp, err := client.Get(node + "/v1/sys/health"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				n++
			}
		}
	}
	return n
}

// TestNodesDieAndComeBack kills and restarts a node of each kind of cluster.
func TestNodesDieAndComeBack(t *testing.T) {
	for name, o := range map[string]Options{"dev": {}, "TLS": {TLS: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := Start(t, o)
			if n := healthy(c); n != 3 {
				t.Fatalf("%d nodes serve", n)
			}
			c.Kill(t, 1)
			if n := healthy(c); n != 2 {
				t.Fatalf("after one was killed %d nodes serve", n)
			}
			client := c.ConfigFor(t, c.Nodes[0]).HTTPClient
			if client == nil {
				client = http.DefaultClient
			}
			for range 3 {
				r, _ := http.NewRequest("GET", c.URL+"/v1/sys/health", nil)
				resp, err := client.Do(r)
				if err != nil {
					t.Fatalf("through the rotating endpoint: %v", err)
				}
				resp.Body.Close()
			}
			c.Restart(t, 1)
			if n := healthy(c); n != 3 {
				t.Fatalf("after the restart %d nodes serve", n)
			}
		})
	}
}
