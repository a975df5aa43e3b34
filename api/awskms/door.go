package awskms

import (
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/lockstep-kms/lockstep/api/aws"
	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
)

const (
	contentType = "application/x-amz-json-1.1"
	target      = "X-Amz-Target"
)

// api is one of AWS's APIs that this door serves. Immutable.
type api struct {
	prefix  string            // of X-Amz-Target, before the operation's name
	scope   aws.Scope         // of its signatures
	message string            // how it spells the member of an error that says why
	names   map[string]string // how it names what AWS KMS gives another name
}

// trent is AWS KMS.
var trent = api{prefix: "TrentService.", scope: aws.Scope{Name: "awskms", Services: []string{"kms"}}, message: "message"}

// action is one operation in AWS's shapes. Immutable after bind.
type action struct {
	api       *api
	operation *kms.Operation
	input     reflect.Type // shape of the request
	output    reflect.Type // shape of the answer
	members   []member
	convert   func(in any) (any, error)     // to the request of the service
	render    func(request, answer any) any // to the output shape
}

// bind binds an operation to its shapes. request runs on an input that keeps its constraints.
func bind[In, Q, A, Out any](op *kms.Operation, request func(*In) (*Q, error), answer func(*Q, *A) *Out) *action {
	return &action{
		api:       &trent,
		operation: op,
		input:     reflect.TypeFor[In](),
		output:    reflect.TypeFor[Out](),
		members:   membersOf(reflect.TypeFor[In]()),
		convert:   func(in any) (any, error) { return request(in.(*In)) },
		render: func(q, a any) any {
			of, _ := a.(*A) // what answers nothing may have none
			return answer(q.(*Q), of)
		},
	}
}

// actions is the table of the door.
func actions() []*action {
	return slices.Concat(cryptoActions(), keyActions(), materialActions(), grantActions(), aliasActions(), storeActions(), taggingActions())
}

// Door serves AWS KMS's operations. It is safe for concurrent use.
type Door struct {
	edge    *aws.Edge
	actions map[string]*action // by the value of X-Amz-Target
}

// New returns the door.
func New(edge *aws.Edge) *Door {
	d := &Door{edge: edge, actions: map[string]*action{}}
	for _, a := range actions() {
		d.actions[a.api.prefix+a.operation.Name] = a
	}
	return d
}

// ServeHTTP serves POST / with one X-Amz-Target.
func (d *Door) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	var a *action
	if names := q.Header[target]; len(names) == 1 {
		a = d.actions[names[0]]
	}
	if a == nil {
		d.edge.Refused(trent.scope.Name, kms.CodeNotFound)
		d.edge.Write(w, http.StatusBadRequest, contentType, nil, nil, trent.body("UnknownOperationException", ""))
		return
	}
	read, err := d.edge.ReadBody(w, q)
	defer read.Release()
	if d.edge.Serving.Enter() {
		defer d.edge.Serving.Leave()
	} else {
		err = door.Busy()
	}
	r := aws.Request{Operation: a.operation, Refused: err}
	if err == nil {
		r.Request, r.Malformed = a.request(read.Bytes)
	}
	result, err := d.edge.Do(w, q, read.Bytes, &a.api.scope, r)
	if err != nil {
		d.refuse(w, a.api, result, err)
		return
	}
	answer, err := json.Marshal(a.render(r.Request, result.Answer))
	if err != nil {
		d.edge.Failed(w, q, err)
		d.refuse(w, a.api, result, err)
		return
	}
	d.edge.Write(w, http.StatusOK, contentType, result, nil, answer)
}

func (d *Door) refuse(w http.ResponseWriter, of *api, result *service.Result, err error) {
	x, message := exceptionOf(err)
	d.edge.Write(w, x.status, contentType, result, err, of.body(x.name, message))
}

// request decodes and checks a body. The request is nil beside an error.
func (a *action) request(body []byte) (any, error) {
	in := reflect.New(a.input)
	if err := door.Decode(body, in.Interface()); err != nil {
		return nil, err
	}
	if err := check(in.Elem(), a.members, body); err != nil {
		return nil, err
	}
	if err := checkKeys(in.Elem(), a.members); err != nil {
		return nil, err
	}
	q, err := a.convert(in.Interface())
	if err != nil {
		return nil, err
	}
	return q, nil
}

// checkKeys refuses aliases where AWS KMS takes key ids and key ARNs only.
func checkKeys(in reflect.Value, members []member) error {
	for i := range members {
		if m := &members[i]; m.key && !m.aliases {
			if id := in.Field(m.index).String(); strings.HasPrefix(id[strings.LastIndexByte(id, ':')+1:], kms.AliasPrefix) {
				return kms.Errorf(kms.CodeInvalidKeyID, "Invalid keyId '%s'", kms.Printable(id))
			}
		}
	}
	return nil
}

// body renders an error, named as AWS KMS does.
func (of *api) body(name, message string) []byte {
	if other := of.names[name]; other != "" {
		name = other
	}
	b, err := json.Marshal(map[string]string{"__type": name, of.message: message}, json.Deterministic(true))
	if err != nil { // only a message that is no UTF-8 can do that
		return []byte(`{"__type":"` + name + `"}`)
	}
	return b
}
