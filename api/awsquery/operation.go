package awsquery

import (
	"github.com/lockstep-kms/lockstep/kms"
)

// api is one of the services that this door is.
type api struct {
	name      string // as SigV4 scopes have it
	version   string
	namespace string // of the XML
	internal  string // error code of failures inside
}

var (
	sts = &api{name: "sts", version: "2011-06-15", namespace: "https://sts.amazonaws.com/doc/2011-06-15/", internal: "InternalFailure"}
	iam = &api{name: "iam", version: "2010-05-08", namespace: "https://iam.amazonaws.com/doc/2010-05-08/", internal: "ServiceFailure"}
)

// operation is how one operation of AWS is served: its parameters as AWS documents them become a request of the service, whose
// answer becomes the result as AWS documents it.
type operation struct {
	api *api
	op  *kms.Operation
	// decode reads the parameters.
	decode func(form) (shape any, err error)
	// requests makes the service's requests of the parameters: one, but where AWS asks several questions at once.
	requests func(shape any) []any
	// result makes what the answer's Result element holds of their answers; nil: the answer has none.
	result func(shape any, answers []any) any
}

// serve binds an operation of the service to shapes of AWS.
func serve[Shape, Request, Answer, Result any](a *api, op *kms.Operation, request func(*Shape) *Request, result func(*Shape, *Answer) *Result) *operation {
	o := &operation{api: a, op: op,
		decode:   func(f form) (any, error) { s := new(Shape); return s, decode(f, s) },
		requests: func(shape any) []any { return []any{request(shape.(*Shape))} }}
	if result != nil {
		o.result = func(shape any, answers []any) any { return result(shape.(*Shape), answers[0].(*Answer)) }
	}
	return o
}

// change is serve of an operation whose answer has no result.
func change[Shape, Request any](a *api, op *kms.Operation, request func(*Shape) *Request) *operation {
	return serve[Shape, Request, kms.Empty, struct{}](a, op, request, nil)
}

// operations returns every operation of this door.
func operations() []*operation {
	var all []*operation
	for _, some := range [][]*operation{stsOperations(), userOperations(), accessKeyOperations(), groupOperations(), roleOperations(),
		managedPolicyOperations(), attachmentOperations[ofUser](&kms.UserPolicyOperations), attachmentOperations[ofGroup](&kms.GroupPolicyOperations), attachmentOperations[ofRole](&kms.RolePolicyOperations),
		boundaryOperations[ofUser](&kms.UserPolicyOperations), boundaryOperations[ofRole](&kms.RolePolicyOperations), providerOperations(), noneOperations(), {simulation()}} {
		all = append(all, some...)
	}
	return all
}
