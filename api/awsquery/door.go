package awsquery

import (
	"bytes"
	"net/http"
	"reflect"
	"slices"

	"github.com/lockstep-kms/lockstep/api/aws"
	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/auth/sigv4"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
)

// Door answers form-encoded requests to POST /. It is safe for concurrent use.
type Door struct {
	edge   *aws.Edge
	region string // of calls of IAM
	scopes map[*api]*aws.Scope
	served map[*api]map[string]*operation
}

// global is the region that requests of IAM, which has no regions, are signed for whatever regions are served. Clients
// that are given an endpoint may sign for their own instead: SDK for Go v2.
// https://docs.aws.amazon.com/general/latest/gr/iam-service.html
const global = "us-east-1"

// New returns the door. regions are those that are served; the operations of IAM are said to happen in the first.
func New(e *aws.Edge, regions []string) *Door {
	d := &Door{edge: e, region: regions[0], served: map[*api]map[string]*operation{sts: {}, iam: {}}, scopes: map[*api]*aws.Scope{
		sts: {Name: "sts", Services: []string{"sts"}, Regions: regions},
		iam: {Name: "iam", Services: []string{"iam"}, Regions: append(slices.Clone(regions), global)},
	}}
	for _, o := range operations() {
		d.served[o.api][o.op.Name] = o
	}
	return d
}

// ServeHTTP implements http.Handler.
func (d *Door) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := d.edge.ReadBody(w, q)
	defer body.Release()
	if err != nil { // what is asked for stands in the body
		a := apiOf(q.Header, nil)
		d.edge.Refused(a.name, kms.CodeOf(err))
		d.refuse(w, a, nil, err)
		return
	}
	var busy error
	if d.edge.Serving.Enter() {
		defer d.edge.Serving.Leave()
	} else {
		busy = door.Busy()
	}
	f, err := parseForm(string(body.Bytes))
	if err == nil && q.URL.RawQuery != "" {
		err = malformed("The parameters belong into the body; the URL takes none.")
	}
	a := apiOf(q.Header, f)
	o, unknown := d.operation(a, f)
	if unknown != nil {
		code := kms.CodeNotFound
		if earlier := first(busy, err); earlier != nil {
			code = kms.CodeOf(earlier)
		}
		d.edge.Refused(a.name, code)
		d.refuse(w, a, nil, first(busy, err, unknown))
		return
	}
	r := aws.Request{Operation: o.op, Refused: busy, Malformed: err}
	if a == iam {
		r.Region = d.region
	}
	var shape any
	requests := []any{nil}
	if busy == nil && err == nil {
		delete(f, "Action")
		delete(f, "Version")
		if shape, r.Malformed = o.decode(f); r.Malformed == nil {
			requests = o.requests(shape)
		}
	}
	var result *service.Result
	var answers []any
	for _, r.Request = range requests {
		if result, err = d.edge.Do(w, q, body.Bytes, d.scopes[a], r); err != nil {
			d.refuse(w, a, result, err)
			return
		}
		answers = append(answers, result.Answer)
	}
	var b bytes.Buffer
	name := o.op.Name
	b.WriteString("<" + name + `Response xmlns="` + a.namespace + `">`)
	if o.result != nil {
		appendXML(&b, name+"Result", reflect.ValueOf(o.result(shape, answers)))
	}
	b.WriteString("<ResponseMetadata>")
	appendText(&b, "RequestId", door.RequestID(w))
	b.WriteString("</ResponseMetadata></" + name + "Response>\n")
	d.edge.Write(w, http.StatusOK, contentType, result, nil, b.Bytes())
}

const contentType = "text/xml"

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// apiOf returns which service a request is for: the one whose signature it carries; for a request that says none, the one of its
// version.
func apiOf(h http.Header, f form) *api {
	switch service := sigv4.Service(h); {
	case service == iam.name, service != sts.name && f["Version"] == iam.version:
		return iam
	default:
		return sts
	}
}

// operation finds what a form asks for. The error says that there is nothing of that name.
func (d *Door) operation(a *api, f form) (*operation, error) {
	action, version := f["Action"], f["Version"]
	if action == "" {
		return nil, &refusal{"MissingAction", http.StatusBadRequest, "The request must contain the parameter Action."}
	}
	if version == "" {
		version = "NO_VERSION_SPECIFIED"
	}
	if o := d.served[a][action]; o != nil && version == a.version {
		return o, nil
	}
	return nil, &refusal{"InvalidAction", http.StatusBadRequest, "Could not find operation " + kms.Printable(action) + " for version " + kms.Printable(version)}
}

// refuse answers an error.
func (d *Door) refuse(w http.ResponseWriter, a *api, result *service.Result, err error) {
	e := refusalOf(a, err)
	fault := "Sender"
	if e.status >= 500 {
		fault = "Receiver"
	}
	var b bytes.Buffer
	b.WriteString(`<ErrorResponse xmlns="` + a.namespace + `"><Error>`)
	appendText(&b, "Type", fault)
	appendText(&b, "Code", e.code)
	appendText(&b, "Message", e.message)
	b.WriteString("</Error>")
	appendText(&b, "RequestId", door.RequestID(w))
	b.WriteString("</ErrorResponse>\n")
	d.edge.Write(w, e.status, contentType, result, err, b.Bytes())
}
