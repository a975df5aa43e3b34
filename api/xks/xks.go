// Package xks is the door for AWS KMS itself: an XKS proxy, through which keys of this cluster are the external keys
// of an external key store. It speaks version 1 of the "External Key Store Proxy API Specification",
// https://github.com/aws/aws-kms-xksproxy-api-spec, at
//
//	POST /xks/{region}/kms/xks/v1/health
//	POST /xks/{region}/kms/xks/v1/keys/{key id}/metadata, /encrypt, /decrypt
//
// The path names the region of ours that the keys are in; the region that the signature is scoped to is the one AWS KMS
// calls from and need not be one of ours. The access key says whose keys they are and what may be done with them.
//
// It promises that a request which is not exactly understood reaches no key, and that what waits for the cluster is
// answered within answerWithin, since AWS KMS waits 250 ms. It decides nothing else: identity, rights and state are the
// service's. The invariant that would hurt: what a request says of the AWS principal behind it proves nothing.
package xks

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/gorilla/mux"

	"github.com/lockstep-kms/lockstep/api/aws"
	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/auth/sigv4"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
)

// answerWithin is how long a request waits for anything but a processor: the 250 ms that AWS KMS waits, less one
// round trip of the 35 ms that the specification recommends at most, and some room.
const answerWithin = 200 * time.Millisecond

const prefix = "/xks/"

// Config is what New needs.
type Config struct {
	Edge    *aws.Edge
	Regions []string // served
	Version string   // of the product, for GetHealthStatus
}

// Door serves the XKS proxy API. It is safe for concurrent use.
type Door struct {
	edge    *aws.Edge
	regions []string
	version string
}

// New returns the door.
func New(c Config) *Door { return &Door{edge: c.Edge, regions: c.Regions, version: c.Version} }

// Mount adds every path under /xks/ to r: what is none of the API is refused as the API says, too.
func (d *Door) Mount(r *mux.Router) { r.PathPrefix(prefix).HandlerFunc(d.serve) }

// api is one of the four operations.
type api struct {
	operation *kms.Operation
	decode    func(body []byte, key string) (any, *service.XKS, error)
	answer    func(d *Door, answer any) any
}

var (
	health   = &api{kms.OpGetCallerIdentity, decodeHealth, (*Door).health}
	metadata = &api{kms.OpDescribeKey, decodeMetadata, (*Door).metadata}
	encrypt  = &api{kms.OpEncrypt, decodeEncrypt, (*Door).encrypted}
	decrypt  = &api{kms.OpDecrypt, decodeDecrypt, (*Door).decrypted}
)

// find returns the operation at a path as it was sent, with the region and the key that the path names. The key need
// not be one of ours: the service refuses it, once the caller is known.
func (d *Door) find(path string) (a *api, region, key string) {
	region, rest, _ := strings.Cut(strings.TrimPrefix(path, prefix), "/")
	rest, ours := strings.CutPrefix(rest, "kms/xks/v1/")
	if !ours || !slices.Contains(d.regions, region) {
		return nil, "", ""
	}
	if rest == "health" {
		return health, region, ""
	}
	rest, ours = strings.CutPrefix(rest, "keys/")
	key, name, _ := strings.Cut(rest, "/")
	if !ours || !isKeyID(key) {
		return nil, "", ""
	}
	return map[string]*api{"metadata": metadata, "encrypt": encrypt, "decrypt": decrypt}[name], region, key
}

// isKeyID reports whether s is an externalKeyId.
func isKeyID(s string) bool {
	return s != "" && len(s) <= 128 && only(s, func(c byte) bool {
		return isLower(c) || isDigit(c) || c >= 'A' && c <= 'Z' || strings.IndexByte("-_.", c) >= 0
	})
}

func only(s string, is func(byte) bool) bool {
	for i := range len(s) {
		if !is(s[i]) {
			return false
		}
	}
	return true
}

func isLower(c byte) bool { return c >= 'a' && c <= 'z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func (d *Door) serve(w http.ResponseWriter, q *http.Request) {
	ctx, cancel := context.WithTimeout(q.Context(), answerWithin)
	defer cancel()
	a, region, key := d.find(q.URL.EscapedPath())
	switch {
	case a == nil:
		d.edge.Refused("xks", kms.CodeNotFound)
		d.fail(w, nil, kms.Errorf(kms.CodeNotFound, "The path is none of the XKS proxy API, or names a region that is not served."), invalidURIPath)
		return
	case q.Method != http.MethodPost:
		d.edge.Refused("xks", kms.CodeMethodNotAllowed)
		w.Header().Set("Allow", http.MethodPost)
		d.refuse(w, nil, kms.Errorf(kms.CodeMethodNotAllowed, "This path takes POST."))
		return
	}
	body, err := d.edge.ReadBody(w, q)
	defer body.Release()
	if d.edge.Serving.Enter() {
		defer d.edge.Serving.Leave()
	} else {
		err = door.Busy()
	}
	r := aws.Request{Operation: a.operation, Region: region}
	if err != nil {
		r.Refused, r.XKS = err, new(service.XKS)
	} else if r.Request, r.XKS, err = a.decode(body.Bytes, key); err != nil {
		r.Malformed = err
	}
	result, err := d.edge.Do(w, q.WithContext(ctx), body.Bytes, scopeOf(q), r)
	if err != nil {
		d.refuse(w, result, err)
		return
	}
	out, err := json.Marshal(a.answer(d, result.Answer))
	if err != nil {
		d.edge.Failed(w, q, err)
		d.refuse(w, result, err)
		return
	}
	d.edge.Write(w, http.StatusOK, contentType, result, nil, out)
}

const contentType = "application/json"

// scopeOf is what a signature may be scoped to: the region is the one that AWS KMS calls from, any that could be one.
// Of a request of AWS KMS it covers no more than the host, the time and the body.
func scopeOf(q *http.Request) *aws.Scope {
	s := &aws.Scope{Name: "xks", Services: []string{"kms-xks-proxy"}, Regions: []string{}, Untyped: true}
	region := sigv4.Region(q.Header)
	if region != "" && len(region) <= 64 && only(region, func(c byte) bool { return isLower(c) || isDigit(c) || c == '-' }) {
		s.Regions = append(s.Regions, region)
	}
	return s
}
