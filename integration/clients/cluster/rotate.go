package cluster

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
)

// rotor hands out the hosts of the nodes in turn.
type rotor struct {
	hosts []string
	next  atomic.Uint64
}

func newRotor(urls []string) *rotor {
	r := &rotor{}
	for _, u := range urls {
		_, host, _ := strings.Cut(u, "://")
		r.hosts = append(r.hosts, host)
	}
	return r
}

func (r *rotor) host() string { return r.hosts[int(r.next.Add(1))%len(r.hosts)] }

// rotating is the transport that sends each request to the next node. Only a node that refuses the connection, and so
// has seen nothing of the request, is passed over, as a load balancer does it.
type rotating struct {
	*rotor
	http.RoundTripper
}

func (t *rotating) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body.Close()
	}
	for tries := 1; ; tries++ {
		out := r.Clone(r.Context())
		out.URL.Host = t.host()
		if body != nil {
			out.Body = io.NopCloser(bytes.NewReader(body))
		}
		resp, err := t.RoundTripper.RoundTrip(out)
		if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" && tries < len(t.hosts) {
			continue
		}
		return resp, err
	}
}

// rotate serves a proxy on loopback that keeps Host, path, headers and body as they came, since they are signed.
func rotate(nodes []string) (addr string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
	s := &http.Server{Handler: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http"})
			r.Out.URL.Path, r.Out.URL.RawPath, r.Out.URL.RawQuery = r.In.URL.Path, r.In.URL.RawPath, r.In.URL.RawQuery
			r.Out.Host = r.In.Host
		},
		Transport: &rotating{newRotor(nodes), transport},
	}}
	go s.Serve(l)
	return l.Addr().String(), func() { s.Close(); transport.CloseIdleConnections() }, nil
}

// passThrough serves a proxy on loopback that joins each connection with one to the next node.
func passThrough(nodes []string) (addr string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	hosts := newRotor(nodes)
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go join(client, hosts)
		}
	}()
	return l.Addr().String(), func() { l.Close() }, nil
}

// join carries bytes both ways until one side ends.
func join(client net.Conn, hosts *rotor) {
	defer client.Close()
	for range hosts.hosts {
		node, err := net.Dial("tcp", hosts.host())
		if err != nil {
			continue
		}
		defer node.Close()
		done := make(chan struct{}, 2)
		go func() { io.Copy(node, client); done <- struct{}{} }()
		go func() { io.Copy(client, node); done <- struct{}{} }()
		<-done
		return
	}
}
