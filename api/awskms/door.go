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
)

const (
	contentType = "application/x-amz-json-1.1"
	target      = "X-Amz-Target"
	prefix      = "TrentService."
)

// scope is what a signature for this door is scoped to.
var scope = aws.Scope{Name: "awskms", Services: []string{"kms"}}

// action is one operation in AWS's shapes. Immutable after bind.
type action struct {
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
	return slices.Concat(cryptoActions(), keyActions(), materialActions(), grantActions(), aliasActions(), storeActions())
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
		d.actions[prefix+a.operation.Name] = a
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
		d.edge.Write(w, http.StatusBadRequest, contentType, nil, nil, body("UnknownOperationException", ""))
		return
	}
	read, err := d.edge.ReadBody(w, q)
	defer read.Release()
	r := aws.Request{Operation: a.operation, Unreadable: err}
	if err == nil {
		r.Request, r.Malformed = a.request(read.Bytes)
	}
	result, err := d.edge.Do(w, q, read.Bytes, &scope, r)
	if err != nil {
		x, message := exceptionOf(err)
		d.edge.Write(w, x.status, contentType, result, err, body(x.name, message))
		return
	}
	answer, err := json.Marshal(a.render(r.Request, result.Answer))
	if err != nil {
		x, message := exceptionOf(err)
		d.edge.Write(w, x.status, contentType, result, err, body(x.name, message))
		return
	}
	d.edge.Write(w, http.StatusOK, contentType, result, nil, answer)
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

// body renders an error.
func body(name, message string) []byte {
	b, err := json.Marshal(struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}{name, message})
	if err != nil { // only a message that is no UTF-8 can do that
		return []byte(`{"__type":"` + name + `"}`)
	}
	return b
}
