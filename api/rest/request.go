package rest

import (
	"crypto/sha256"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gorilla/mux"

	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/auth/sigv4"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
)

const (
	maxWait           = time.Hour // the longest revocation bound, so the longest wait that makes sense
	maxIdempotencyKey = 255
)

// signedServices are the names that a SigV4 scope may have for this door.
var signedServices = []string{"kms", "lockstep"}

// binding is how requests of one route are filled. Immutable after bind.
type binding struct {
	route wire.Route
	path  []field
	query map[string]field
}

// field is one field of the request struct that is not in the body.
type field struct {
	name  string
	index int
}

func bind(rt wire.Route) *binding {
	b := &binding{route: rt, query: map[string]field{}}
	t := rt.Request
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		if name := tag.Get("path"); name != "" && strings.Contains(rt.Path, "{"+name+"}") {
			b.path = append(b.path, field{name, i})
		}
		if name := tag.Get("query"); name != "" {
			b.query[name] = field{name, i}
		}
	}
	return b
}

// blank is a call of the route with what is known before anything of it is decoded.
func (b *binding) blank(d *door.Door, w http.ResponseWriter, q *http.Request) *service.Call {
	source := d.Source(q)
	return &service.Call{
		Operation: b.route.Operation,
		RequestID: door.RequestID(w),
		Source:    source,
		UserAgent: q.UserAgent(),
		Door:      "rest",
		TLS:       q.TLS != nil,
		Auth: auth.Request{Method: q.Method, Host: q.Host, RawPath: q.URL.EscapedPath(), RawQuery: q.URL.RawQuery, Header: q.Header,
			Source: source, TLS: q.TLS, Services: signedServices},
	}
}

// call turns a request into a call of the service. Every error is the client's.
func (b *binding) call(d *door.Door, w http.ResponseWriter, q *http.Request, body []byte) (*service.Call, error) {
	request := b.route.Operation.NewRequest()
	if err := door.Decode(body, request); err != nil {
		return nil, err
	}
	c := b.blank(d, w, q)
	c.Request = request
	if len(body) > 0 {
		c.Auth.BodySHA256 = func() [32]byte { return sha256.Sum256(body) }
	}
	if err := b.fillPath(request, q); err != nil {
		return nil, err
	}
	if q.URL.RawQuery != "" {
		if err := b.fillQuery(c, q.URL.RawQuery); err != nil {
			return nil, err
		}
	}
	if err := fillHeaders(c, q.Header); err != nil {
		return nil, err
	}
	if c.Region == "" {
		c.Region = sigv4.Region(q.Header) // what is signed for a region is meant for it
	}
	if c.IdempotencyKey == "" && c.Operation.Mutates {
		c.IdempotencyKey = sigv4.RetryID(q.Header) // a signed change that is sent again is one change
	}
	c.Operation = withoutPlaintext(c.Operation, request)
	return c, nil
}

// withoutPlaintext returns the operation that the request's without_plaintext makes of op.
func withoutPlaintext(op *kms.Operation, request any) *kms.Operation {
	switch r := request.(type) {
	case *kms.GenerateDataKeyRequest:
		if r.WithoutPlaintext {
			return kms.OpGenerateDataKeyWithoutPlaintext
		}
	case *kms.GenerateDataKeyPairRequest:
		if r.WithoutPlaintext {
			return kms.OpGenerateDataKeyPairWithoutPlaintext
		}
	}
	return op
}

func (b *binding) fillPath(request any, q *http.Request) error {
	if len(b.path) == 0 {
		return nil
	}
	vars := mux.Vars(q)
	v := reflect.ValueOf(request).Elem()
	for _, f := range b.path {
		// checkPath has seen that the whole path decodes to valid UTF-8.
		s, err := url.PathUnescape(vars[f.name])
		if err != nil {
			return kms.Errorf(kms.CodeInvalidRequest, "The path is not percent-encoded correctly.")
		}
		v.Field(f.index).SetString(b.route.NamePrefix + s)
	}
	return nil
}

// fillQuery takes the parameters of the request type and the door's own, each once.
func (b *binding) fillQuery(c *service.Call, raw string) error {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return kms.Errorf(kms.CodeInvalidRequest, "The query string is malformed.")
	}
	v := reflect.ValueOf(c.Request).Elem()
	for name, all := range values {
		if len(all) != 1 || !utf8.ValidString(all[0]) {
			return kms.Errorf(kms.CodeInvalidRequest, "The query parameter %q is given more than once or is not UTF-8.", kms.Printable(name))
		}
		value := all[0]
		if f, ok := b.query[name]; ok {
			err = setField(v.Field(f.index), name, value)
		} else {
			err = b.setOption(c, name, value)
		}
		if err != nil {
			return err
		}
	}
	if c.Timeout != 0 && c.Wait != service.WaitAll {
		return kms.Errorf(kms.CodeInvalidRequest, "The query parameter \"timeout\" goes with wait=all only.")
	}
	return nil
}

// setField sets a string, a list of strings separated by commas, or a number.
func setField(v reflect.Value, name, value string) error {
	switch v.Kind() {
	case reflect.String:
		v.SetString(value)
		return nil
	case reflect.Slice:
		if value != "" {
			v.Set(reflect.ValueOf(strings.Split(value, ",")))
		}
		return nil
	}
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil {
		return kms.Errorf(kms.CodeInvalidRequest, "The query parameter %q is not a number.", name)
	}
	v.SetInt(n)
	return nil
}

// setOption takes the parameters that every route of a kind has: wait and timeout where something is
// changed, stale where something is read.
func (b *binding) setOption(c *service.Call, name, value string) error {
	op := b.route.Operation
	bad := func(want string) error {
		return kms.Errorf(kms.CodeInvalidRequest, "The query parameter %q must be %s.", name, want)
	}
	switch {
	case name == "wait" && op.Mutates:
		switch value {
		case "all":
			c.Wait = service.WaitAll
		case "none":
			c.Wait = service.WaitNone
		default:
			return bad("all or none")
		}
	case name == "timeout" && op.Mutates:
		d, err := time.ParseDuration(value)
		if err != nil || d < time.Millisecond || d > maxWait {
			return bad("a duration from 1ms to 1h, such as 500ms or 5s")
		}
		c.Timeout = d
	case name == "stale" && !op.Mutates:
		stale, err := strconv.ParseBool(value)
		if err != nil {
			return bad("true or false")
		}
		c.Stale = stale
	default:
		return kms.Errorf(kms.CodeInvalidRequest, "This path takes no query parameter %q.", kms.Printable(name))
	}
	return nil
}

func fillHeaders(c *service.Call, h http.Header) (err error) {
	if c.Region, err = single(h, wire.HeaderRegion); err != nil {
		return err
	}
	if c.IdempotencyKey, err = single(h, wire.HeaderIdempotencyKey); err != nil {
		return err
	}
	if len(c.IdempotencyKey) > maxIdempotencyKey || kms.Printable(c.IdempotencyKey) != c.IdempotencyKey {
		return kms.Errorf(kms.CodeInvalidRequest, "The header %s holds at most %d printable characters.", wire.HeaderIdempotencyKey, maxIdempotencyKey)
	}
	minIndex, err := single(h, wire.HeaderMinIndex)
	if err != nil || minIndex == "" {
		return err
	}
	epoch, index, _ := strings.Cut(minIndex, ".")
	var errEpoch, errIndex error
	c.MinEpoch, errEpoch = strconv.ParseUint(epoch, 10, 64)
	c.MinIndex, errIndex = strconv.ParseUint(index, 10, 64)
	if errEpoch != nil || errIndex != nil {
		return kms.Errorf(kms.CodeInvalidRequest, "The header %s must be EPOCH.INDEX, as %s gives it.", wire.HeaderMinIndex, wire.HeaderIndex)
	}
	return nil
}

// single returns the value of a header that may be given once. name is in canonical form.
func single(h http.Header, name string) (string, error) {
	switch v := h[name]; len(v) {
	case 0:
		return "", nil
	case 1:
		return v[0], nil
	default:
		return "", kms.Errorf(kms.CodeInvalidRequest, "The header %s is given more than once.", name)
	}
}
