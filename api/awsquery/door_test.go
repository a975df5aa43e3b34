package awsquery

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/api/aws"
	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/auth/sigv4"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
)

// fake is a service that keeps the call and answers as told.
type fake struct {
	call   *service.Call
	answer any
	err    error
}

func (f *fake) Do(_ context.Context, c *service.Call) (*service.Result, error) {
	f.call = c
	if err := errors.Join(c.Refused, c.Malformed); err != nil {
		return nil, first(c.Refused, c.Malformed)
	}
	if f.err != nil {
		return &service.Result{Epoch: 2, Index: 41}, f.err
	}
	answer := f.answer
	if answer == nil {
		answer = reflect.New(c.Operation.AnswerType()).Interface()
	}
	return &service.Result{Answer: answer, Epoch: 2, Index: 41}, nil
}

// served are the regions of the door.
var served = []string{"eu-north-1", "eu-west-1"}

const timestamp = "20260102T030405Z"

// send posts a form, signed for a scope unless that is "". The signature is none that verifies: the service is a fake.
func send(f *fake, scope, target, body string) *httptest.ResponseRecorder {
	d := door.New(door.Config{BodyLimit: 8 << 10})
	h := d.Handler(New(aws.New(aws.Config{Service: f, Door: d}), served))
	q := httptest.NewRequest("POST", target, strings.NewReader(body))
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	if scope != "" {
		q.Header.Set("X-Amz-Date", timestamp)
		q.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIATEST/20260102/"+scope+"/aws4_request, SignedHeaders=host;x-amz-date, Signature="+strings.Repeat("0a", 32))
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, q)
	return w
}

const (
	ofIAM = "us-east-1/iam"
	ofSTS = "eu-west-1/sts"
)

func action(a *api, rest string) string { return "Version=" + a.version + "&Action=" + rest }

type errorBody struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

func errorOf(t *testing.T, w *httptest.ResponseRecorder) (e errorBody) {
	t.Helper()
	if err := xml.Unmarshal(w.Body.Bytes(), &e); err != nil {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return e
}

// Every operation is reached with its own request type, and what the service answers is well-formed XML under the operation's name.
func TestEveryOperation(t *testing.T) {
	needed := map[string]string{"UserName": "ann", "GroupName": "g", "RoleName": "r", "PolicyName": "p", "RoleArn": "arn:aws:iam::111122223333:role/r", "RoleSessionName": "s1",
		"WebIdentityToken": "a.b.c", "PolicyArn": "arn:aws:iam::111122223333:policy/p", "PolicyDocument": "{}", "AssumeRolePolicyDocument": "{}", "PermissionsBoundary": "arn:aws:iam::111122223333:policy/p",
		"OpenIDConnectProviderArn": "arn:aws:iam::111122223333:oidc-provider/x", "Url": "https://x", "ClientID": "c", "AccessKeyId": "AKIAAAAAAAAAAAAAAAAA", "Status": "Active", "VersionId": "v1",
		"Description": "d", "Tags": "", "TagKeys": "", "ThumbprintList": "", "PolicySourceArn": "arn:aws:iam::111122223333:user/ann", "ActionNames.member.1": "kms:Encrypt"}
	for _, o := range operations() {
		shape, _ := o.decode(form{})
		body := action(o.api, o.op.Name)
		for _, name := range requiredOf(reflect.TypeOf(shape).Elem()) {
			if name == "ActionNames" { // may not be empty
				name += ".member.1"
			}
			value, ok := needed[name]
			if !ok {
				t.Errorf("%s: no value for %s", o.op.Name, name)
			}
			body += "&" + name + "=" + value
		}
		f := &fake{}
		w := send(f, map[*api]string{sts: ofSTS, iam: ofIAM}[o.api], "/", body)
		if w.Code != 200 || f.call == nil || f.call.Operation != o.op {
			t.Errorf("%s: %d %s", o.op.Name, w.Code, w.Body)
			continue
		}
		if got := reflect.TypeOf(f.call.Request).Elem(); got != o.op.RequestType() {
			t.Errorf("%s: the request is a %s", o.op.Name, got)
		}
		region, services := "eu-west-1", []string{"sts"}
		if o.api == iam {
			region, services = "eu-north-1", []string{"iam"}
		}
		if f.call.Region != region || !slices.Equal(f.call.Auth.Services, services) || !f.call.Auth.Signed {
			t.Errorf("%s: region %q, auth %+v", o.op.Name, f.call.Region, f.call.Auth)
		}
		if (f.call.IdempotencyKey != "") != o.op.Mutates {
			t.Errorf("%s: idempotency key %q", o.op.Name, f.call.IdempotencyKey)
		}
		var answer struct {
			XMLName xml.Name
			ID      string `xml:"ResponseMetadata>RequestId"`
		}
		if err := xml.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.XMLName.Local != o.op.Name+"Response" || answer.XMLName.Space != o.api.namespace || answer.ID != f.call.RequestID || answer.ID == "" {
			t.Errorf("%s: %s: %v", o.op.Name, w.Body, err)
		}
		if has := strings.Contains(w.Body.String(), "<"+o.op.Name+"Result>"); has != (o.result != nil) {
			t.Errorf("%s: %s", o.op.Name, w.Body)
		}
		if h := w.Header(); h.Get("X-Amzn-Requestid") != answer.ID || h.Get("Content-Type") != "text/xml" || h.Get("Lockstep-Index") != "2.41" {
			t.Errorf("%s: headers %v", o.op.Name, h)
		}
	}
}

// A signature of STS is for a served region, one of IAM for a served one or us-east-1; where a call of IAM happens does not
// depend on it.
func TestSignedRegions(t *testing.T) {
	for _, tt := range []struct {
		a      *api
		region string
		taken  bool
	}{
		{iam, "us-east-1", true}, {iam, "eu-west-1", true}, {iam, "eu-north-1", true}, {iam, "us-west-2", false}, {iam, "", false},
		{sts, "eu-west-1", true}, {sts, "us-east-1", false}, {sts, "us-west-2", false},
	} {
		f := &fake{}
		send(f, tt.region+"/"+tt.a.name, "/", action(tt.a, map[*api]string{sts: "GetCallerIdentity", iam: "GetUser"}[tt.a]))
		in := f.call.Auth
		now, _ := time.Parse("20060102T150405Z", timestamp)
		_, err := sigv4.Parse(&sigv4.Request{Method: in.Method, Host: in.Host, RawPath: in.RawPath, Header: in.Header},
			&sigv4.Rules{Services: in.Services, Regions: in.Regions, Now: now, Untyped: true})
		if taken := err == nil; taken != tt.taken || !taken && !strings.Contains(err.Error(), "scoped to a valid region, not '"+tt.region+"'") {
			t.Errorf("%s for %s: %v", tt.a.name, tt.region, err)
		}
		if tt.a == iam && f.call.Region != "eu-north-1" {
			t.Errorf("signed for %s, the call is in %s", tt.region, f.call.Region)
		}
	}
}

func requiredOf(shape reflect.Type) (names []string) {
	for i := range shape.NumField() {
		field := shape.Field(i)
		if field.Anonymous || field.Tag.Get("aws") == "inline" {
			names = append(names, requiredOf(field.Type)...)
		} else if whole, _, _ := strings.Cut(field.Tag.Get("is"), ";"); hasRule(whole, "required") {
			names = append(names, field.Name)
		}
	}
	return names
}

// notAWS are operations on identities and sessions that AWS has in another API or not at all.
var notAWS = []*kms.Operation{kms.OpRevokeSessions, kms.OpCreateTrustAnchor, kms.OpGetTrustAnchor, kms.OpListTrustAnchors, kms.OpDeleteTrustAnchor,
	kms.OpGetResources, kms.OpLookupEvents}

// Every operation on identities and sessions is served here or is none of AWS's IAM and STS.
func TestEveryIdentityOperationIsServed(t *testing.T) {
	served := map[*kms.Operation]bool{}
	for _, o := range operations() {
		if served[o.op] {
			t.Errorf("%s is there twice", o.op.Name)
		}
		served[o.op] = true
		if service, _, _ := strings.Cut(o.op.Action, ":"); service != o.api.name {
			t.Errorf("%s is served as an operation of %s", o.op.Action, o.api.name)
		}
	}
	for _, op := range slices.Concat(kms.Operations, kms.AWSOperations) {
		ours := op.Source != "kms.amazonaws.com" && op.Source != "lockstep"
		if want := ours && !slices.Contains(notAWS, op); served[op] != want {
			t.Errorf("%s: served is %v", op.Name, served[op])
		}
	}
}

// The page says of every operation what is served of it, and of no other.
func TestThePageAgrees(t *testing.T) {
	const page = "../../docs/aws-compatibility-iam.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| served").FindAllStringSubmatch(string(text), -1) {
		if told[m[1]] {
			t.Errorf("%s is there twice", m[1])
		}
		told[m[1]] = true
	}
	for _, o := range operations() {
		if !told[o.op.Name] {
			t.Errorf("%s does not say that %s is served", page, o.op.Name)
		}
		delete(told, o.op.Name)
	}
	for name := range told {
		t.Errorf("%s says that %s is served", page, name)
	}
}

func TestAnswers(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678, time.FixedZone("", 3600))
	role := kms.IdentityEntry{Name: "r", ID: "AROA", ARN: "arn:aws:iam::111122223333:role/a/r", Path: "/a/", CreatedAt: at, Description: `<&">` + "\x00", MaxSessionDuration: 3600,
		AssumeRolePolicyDocument: `{"a": "b+c~é"}`, PermissionsBoundary: "arn:b", Tags: map[string]string{"z": "", "a": "1"}}
	tests := map[string]struct {
		scope, body string
		answer      any
		want        string
	}{
		"who": {ofSTS, action(sts, "GetCallerIdentity"), &kms.CallerIdentityAnswer{Account: "111122223333", ARN: "arn:x", UserID: "AIDA"},
			"<GetCallerIdentityResult><UserId>AIDA</UserId><Account>111122223333</Account><Arn>arn:x</Arn></GetCallerIdentityResult>"},
		"session": {ofSTS, action(sts, "GetSessionToken"), &kms.SessionTokenAnswer{AccessKeyID: "ASIA", SecretAccessKey: "sec", SessionToken: "tok", Expiration: at},
			"<GetSessionTokenResult><Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>sec</SecretAccessKey><SessionToken>tok</SessionToken><Expiration>2026-01-02T02:04:05Z</Expiration></Credentials></GetSessionTokenResult>"},
		"role": {ofIAM, action(iam, "GetRole&RoleName=r"), &kms.RoleAnswer{Role: role},
			"<Role><Path>/a/</Path><RoleName>r</RoleName><RoleId>AROA</RoleId><Arn>arn:aws:iam::111122223333:role/a/r</Arn><CreateDate>2026-01-02T02:04:05Z</CreateDate>" +
				"<AssumeRolePolicyDocument>%7B%22a%22%3A%20%22b%2Bc~%C3%A9%22%7D</AssumeRolePolicyDocument><Description>&lt;&amp;&#34;&gt;\uFFFD</Description><MaxSessionDuration>3600</MaxSessionDuration>" +
				"<PermissionsBoundary><PermissionsBoundaryType>PermissionsBoundaryPolicy</PermissionsBoundaryType><PermissionsBoundaryArn>arn:b</PermissionsBoundaryArn></PermissionsBoundary>" +
				"<Tags><member><Key>a</Key><Value>1</Value></member><member><Key>z</Key><Value></Value></member></Tags></Role>"},
		"empty list": {ofIAM, action(iam, "ListUsers"), &kms.ListUsersAnswer{}, "<ListUsersResult><Users></Users><IsTruncated>false</IsTruncated></ListUsersResult>"},
		"a page": {ofIAM, action(iam, "ListRoles&PathPrefix=/b/&MaxItems=1"), &kms.ListRolesAnswer{Roles: []kms.IdentityEntry{role}, NextMarker: "m"},
			"<ListRolesResult><Roles></Roles><IsTruncated>true</IsTruncated><Marker>m</Marker></ListRolesResult>"},
		"inline": {ofIAM, action(iam, "GetUserPolicy&UserName=ann&PolicyName=p"), &kms.InlinePolicyAnswer{PolicyName: "p", PolicyDocument: "{}"},
			"<GetUserPolicyResult><UserName>ann</UserName><PolicyName>p</PolicyName><PolicyDocument>%7B%7D</PolicyDocument></GetUserPolicyResult>"},
		"names":      {ofIAM, action(iam, "ListUserPolicies&UserName=ann"), &kms.ListInlinePoliciesAnswer{PolicyNames: []string{"p"}}, "<PolicyNames><member>p</member></PolicyNames><IsTruncated>false</IsTruncated>"},
		"root's key": {ofIAM, action(iam, "ListAccessKeys"), &kms.ListAccessKeysAnswer{AccessKeys: []kms.AccessKeyEntry{{AccessKeyID: "AKIA", UserName: kms.RootName, Status: "Active", CreatedAt: at}}}, "<AccessKeyMetadata><member><AccessKeyId>AKIA</AccessKeyId>"},
		"never used": {ofIAM, action(iam, "GetAccessKeyLastUsed&AccessKeyId=AKIAAAAAAAAAAAAAAAAA"), &kms.AccessKeyLastUsedAnswer{UserName: "ann"},
			"<UserName>ann</UserName><AccessKeyLastUsed><ServiceName>N/A</ServiceName><Region>N/A</Region></AccessKeyLastUsed>"},
		"attached under a path": {ofIAM, action(iam, "ListAttachedUserPolicies&UserName=ann&PathPrefix=/p/"), &kms.ListAttachedPoliciesAnswer{AttachedPolicies: []kms.AttachedPolicy{
			{PolicyName: "a", PolicyARN: "arn:aws:iam::1:policy/a"}, {PolicyName: "b", PolicyARN: "arn:aws:iam::1:policy/p/b"}}},
			"<AttachedPolicies><member><PolicyName>b</PolicyName><PolicyArn>arn:aws:iam::1:policy/p/b</PolicyArn></member></AttachedPolicies>"},
		"issuer": {ofIAM, action(iam, "GetOpenIDConnectProvider&OpenIDConnectProviderArn=arn:aws:iam::111122223333:oidc-provider/x"), &kms.OIDCProviderAnswer{Provider: kms.OIDCProviderEntry{URL: "https://x/y", ClientIDList: []string{"c"}}},
			"<Url>x/y</Url><ClientIDList><member>c</member></ClientIDList><ThumbprintList></ThumbprintList>"},
	}
	for name, tt := range tests {
		w := send(&fake{answer: tt.answer}, tt.scope, "/", tt.body)
		if w.Code != 200 || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: %d %s\nwant %s", name, w.Code, w.Body, tt.want)
		}
	}
}

// Which policies and entities a filter shows.
func TestFilters(t *testing.T) {
	policies := []kms.PolicyEntry{{Name: "free", Path: "/"}, {Name: "attached", Path: "/", AttachmentCount: 1}, {Name: "bounds", Path: "/b/", BoundaryCount: 1}}
	for query, want := range map[string]string{"": "free attached bounds", "&OnlyAttached=true": "attached", "&PolicyUsageFilter=PermissionsBoundary": "bounds",
		"&PolicyUsageFilter=PermissionsPolicy": "attached", "&Scope=AWS": "", "&Scope=Local&PathPrefix=/b/": "bounds"} {
		w := send(&fake{answer: &kms.ListPoliciesAnswer{Policies: policies}}, ofIAM, "/", action(iam, "ListPolicies"+query))
		if got := elements(w.Body.String(), "PolicyName"); got != want {
			t.Errorf("%s: %q", query, got)
		}
	}
	entities := &kms.ListEntitiesForPolicyAnswer{Users: []kms.PolicyEntity{{Name: "u", ID: "1", Path: "/", Attached: true}}, Groups: []kms.PolicyEntity{{Name: "g", ID: "2", Path: "/g/", Attached: true}},
		Roles: []kms.PolicyEntity{{Name: "r", ID: "3", Path: "/", Bounds: true}}}
	for query, want := range map[string]string{"": "u g r", "&EntityFilter=Role": "r", "&EntityFilter=AWSManagedPolicy": "", "&PathPrefix=/g/": "g", "&PolicyUsageFilter=PermissionsBoundary": "r",
		"&PolicyUsageFilter=PermissionsPolicy": "u g"} {
		w := send(&fake{answer: entities}, ofIAM, "/", action(iam, "ListEntitiesForPolicy&PolicyArn=arn:aws:iam::111122223333:policy/p"+query))
		text := w.Body.String()
		got := strings.Fields(elements(text, "UserName") + " " + elements(text, "GroupName") + " " + elements(text, "RoleName"))
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q of %s", query, got, text)
		}
	}
}

func elements(text, name string) string {
	var all []string
	for _, m := range regexp.MustCompile("<"+name+">([^<]*)<").FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return strings.Join(all, " ")
}

// What no operation can be found for is refused by the door alone; what is wrong with a request of one is told by the service.
func TestPolicyVersions(t *testing.T) {
	f := &fake{answer: &kms.ListPolicyVersionsAnswer{Versions: []kms.PolicyVersionEntry{{VersionID: "v1"}, {VersionID: "v9"}, {VersionID: "v10", IsDefaultVersion: true}}}}
	w := send(f, ofIAM, "/", action(iam, "ListPolicyVersions&PolicyArn=arn:aws:iam::111122223333:policy/p"))
	if text := w.Body.String(); w.Code != 200 || elements(text, "VersionId") != "v10 v9 v1" || elements(text, "IsDefaultVersion") != "true false false" {
		t.Errorf("%d %s", w.Code, text)
	}
}

func TestRefusedRequests(t *testing.T) {
	tests := map[string]struct {
		scope, target, body string
		status              int
		code, message       string
		called              bool
	}{
		"no action":         {ofIAM, "/", "Version=2010-05-08", 400, "MissingAction", "Action", false},
		"empty":             {"", "/", "", 400, "MissingAction", "Action", false},
		"unknown":           {ofIAM, "/", action(iam, "CreateInstanceProfile"), 400, "InvalidAction", "Could not find operation CreateInstanceProfile for version 2010-05-08", false},
		"of the other":      {ofIAM, "/", action(sts, "GetCallerIdentity"), 400, "InvalidAction", "Could not find operation GetCallerIdentity for version 2011-06-15", false},
		"of another API":    {ofSTS, "/", action(iam, "GetUser"), 400, "InvalidAction", "GetUser", false},
		"no version":        {ofSTS, "/", "Action=GetCallerIdentity", 400, "InvalidAction", "NO_VERSION_SPECIFIED", false},
		"malformed":         {ofIAM, "/", action(iam, "GetUser&UserName=%zz"), 400, "MalformedInput", "percent", true},
		"twice":             {ofIAM, "/", action(iam, "GetUser&UserName=a&UserName=b"), 400, "MalformedInput", "twice", true},
		"in the URL":        {ofIAM, "/?UserName=a", action(iam, "GetUser"), 400, "MalformedInput", "body", true},
		"invalid":           {ofIAM, "/", action(iam, "GetUser&UserName=a+b"), 400, "ValidationError", "1 validation error detected", true},
		"a lost limit":      {ofSTS, "/", action(sts, "AssumeRole&RoleArn=arn:aws:iam::111122223333:role/r&RoleSessionName=s1&PolicyArns.member.2.arn=arn:aws:iam::111122223333:policy/p"), 400, "ValidationError", "PolicyArns.member.2.arn", true},
		"MFA":               {ofSTS, "/", action(sts, "GetSessionToken&TokenCode=123456"), 400, "ValidationError", "TokenCode", true},
		"marker of no page": {ofIAM, "/", action(iam, "ListAccessKeys&Marker=x"), 400, "ValidationError", "marker", true},
		"too large":         {ofIAM, "/", action(iam, "GetUser&UserName="+strings.Repeat("a", 9<<10)), 413, "RequestEntityTooLarge", "larger", false},
	}
	for name, tt := range tests {
		f := &fake{}
		w := send(f, tt.scope, tt.target, tt.body)
		e := errorOf(t, w)
		if w.Code != tt.status || e.Code != tt.code || !strings.Contains(e.Message, tt.message) || e.Type != "Sender" || e.RequestID == "" || e.RequestID != w.Header().Get("X-Amzn-Requestid") {
			t.Errorf("%s: %d %+v", name, w.Code, e)
		}
		if (f.call != nil) != tt.called || tt.called && (f.call.Malformed == nil || f.call.Request != nil) {
			t.Errorf("%s: the service was called with %+v", name, f.call)
		}
	}
}

// A request without a signature is one of the API of its version: one operation needs none.
func TestUnsigned(t *testing.T) {
	f := &fake{}
	if w := send(f, "", "/", action(sts, "AssumeRoleWithWebIdentity&RoleArn=arn:aws:iam::111122223333:role/r&RoleSessionName=s1&WebIdentityToken=a.b.c")); w.Code != 200 || f.call.Operation != kms.OpAssumeRoleWithWebIdentity || f.call.Region != "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, a := range []*api{sts, iam} {
		f := &fake{err: kms.Errorf(kms.CodeUnauthenticated, "").WithCause(&auth.Failure{Kind: auth.FailureMissing, Message: "Missing Authentication Token"})}
		w := send(f, "", "/", action(a, map[*api]string{sts: "GetCallerIdentity", iam: "GetUser"}[a]))
		if e := errorOf(t, w); w.Code != 403 || e.Code != "MissingAuthenticationToken" || e.XMLName.Space != a.namespace {
			t.Errorf("%s: %d %+v", a.name, w.Code, e)
		}
	}
}

// Every code of the service has a name and status that clients of both APIs classify rightly: what will pass is retried, what
// will not is not.
func TestEveryCodeIsMapped(t *testing.T) {
	for _, a := range []*api{sts, iam} {
		for _, code := range kms.Codes() {
			err := kms.Errorf(code, "A sentence.")
			w := send(&fake{err: fmt.Errorf("wrapped: %w", err)}, map[*api]string{sts: ofSTS, iam: ofIAM}[a], "/", action(a, map[*api]string{sts: "GetCallerIdentity", iam: "GetUser"}[a]))
			e := errorOf(t, w)
			want := map[kms.Class]int{kms.ClassUnavailable: 503, kms.ClassUnknown: 500, kms.ClassInternal: 500}[code.Class()]
			if want == 0 && (w.Code < 400 || w.Code >= 500) || want != 0 && w.Code != want {
				t.Errorf("%s %s: %d", a.name, code, w.Code)
			}
			if (e.Type == "Receiver") != (w.Code >= 500) || e.Code == "" {
				t.Errorf("%s %s: %+v", a.name, code, e)
			}
			if code != kms.CodeUnauthenticated && e.Message != "A sentence." {
				t.Errorf("%s %s: message %q", a.name, code, e.Message)
			}
			retried := w.Code >= 500 || e.Code == "Throttling"
			if passes := code.Class() == kms.ClassUnavailable || code.Class() == kms.ClassUnknown || code.Class() == kms.ClassInternal || code == kms.CodeThrottled; retried != passes {
				t.Errorf("%s %s: %d %s is retried: %v", a.name, code, w.Code, e.Code, retried)
			}
			if (code.Class() == kms.ClassUnavailable || code == kms.CodeThrottled) != (w.Header().Get("Retry-After") != "") && code != kms.CodeLimitExceeded {
				t.Errorf("%s %s: Retry-After %q", a.name, code, w.Header().Get("Retry-After"))
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	failed := func(kind auth.FailureKind) error {
		return kms.Errorf(kms.CodeUnauthenticated, "hidden").WithCause(&auth.Failure{Kind: kind, Message: "told"})
	}
	tests := []struct {
		a      *api
		err    error
		code   string
		status int
	}{
		{iam, kms.Errorf(kms.CodeNotFound, ""), "NoSuchEntity", 404},
		{iam, kms.Errorf(kms.CodeAlreadyExists, ""), "EntityAlreadyExists", 409},
		{iam, kms.Errorf(kms.CodeLimitExceeded, ""), "LimitExceeded", 409},
		{sts, kms.Errorf(kms.CodeLimitExceeded, ""), "PackedPolicyTooLarge", 400},
		{iam, kms.Errorf(kms.CodeDeleteConflict, ""), "DeleteConflict", 409},
		{iam, kms.Errorf(kms.CodeMalformedPolicy, ""), "MalformedPolicyDocument", 400},
		{sts, kms.Errorf(kms.CodeMalformedPolicy, ""), "MalformedPolicyDocument", 400},
		{sts, kms.Errorf(kms.CodeInvalidIdentityToken, ""), "InvalidIdentityToken", 400},
		{iam, kms.Errorf(kms.CodeInvalidARN, ""), "InvalidInput", 400},
		{sts, kms.Errorf(kms.CodeInvalidARN, ""), "ValidationError", 400},
		{iam, kms.Errorf(kms.CodeAccessDenied, ""), "AccessDenied", 403},
		{iam, kms.Errorf(kms.CodeConflict, ""), "ConcurrentModification", 409},
		{iam, kms.Errorf(kms.CodeThrottled, ""), "Throttling", 400},
		{iam, kms.Errorf(kms.CodeSealed, ""), "ServiceUnavailable", 503},
		{iam, kms.Errorf(kms.CodeOutcomeUnknown, ""), "ServiceFailure", 500},
		{sts, kms.Errorf(kms.CodeInternal, ""), "InternalFailure", 500},
		{sts, errors.New("foreign"), "InternalFailure", 500},
		{sts, failed(auth.FailureMissing), "MissingAuthenticationToken", 403},
		{sts, failed(auth.FailureUnknown), "InvalidClientTokenId", 403},
		{sts, failed(auth.FailureMismatch), "SignatureDoesNotMatch", 403},
		{sts, failed(auth.FailureSkew), "SignatureDoesNotMatch", 403},
		{sts, failed(auth.FailureIncomplete), "IncompleteSignature", 400},
		{sts, failed(auth.FailureInvalidToken), "InvalidClientTokenId", 403},
		{sts, failed(auth.FailureExpired), "ExpiredToken", 403},
	}
	for _, tt := range tests {
		if r := refusalOf(tt.a, tt.err); r.code != tt.code || r.status != tt.status || kms.CodeOf(tt.err) == kms.CodeUnauthenticated && r.message != "told" {
			t.Errorf("%s %v: %+v", tt.a.name, tt.err, r)
		}
	}
	for kind := auth.FailureMissing; kind <= auth.FailureExpired; kind++ {
		if failures[kind] == (known{}) {
			t.Errorf("the failure %d has no name", kind)
		}
	}
	if strings.Contains(refusalOf(sts, errors.New("foreign")).message, "foreign") {
		t.Error("the message tells of the inside")
	}
}

// A simulation asks the service about each action with each resource, and no more than it may.
func TestSimulation(t *testing.T) {
	ask := func(query string) string {
		return action(iam, "SimulatePrincipalPolicy&PolicySourceArn=arn:aws:iam::111122223333:user/ann&ContextEntries.member.1.ContextKeyName=aws:SourceIp&ContextEntries.member.1.ContextKeyValues.member.1=192.0.2.1&ContextEntries.member.1.ContextKeyType=ip"+query)
	}
	f := &fake{answer: &kms.SimulateAnswer{Verdict: kms.Verdict{Decision: "allowed", Source: "identity policy", PolicyID: "arn:aws:iam::111122223333:user/ann p"}}}
	w := send(f, ofIAM, "/", ask("&ActionNames.member.1=kms:Encrypt&ActionNames.member.2=kms:Decrypt&ResourceArns.member.1=arn:a&ResourceArns.member.2=arn:b"))
	text := w.Body.String()
	if w.Code != 200 || elements(text, "EvalActionName") != "kms:Encrypt kms:Encrypt kms:Decrypt kms:Decrypt" || elements(text, "EvalResourceName") != "arn:a arn:b arn:a arn:b" ||
		elements(text, "SourcePolicyType") != "user user user user" {
		t.Errorf("%d %s", w.Code, text)
	}
	last := f.call.Request.(*kms.SimulateRequest)
	if last.Action != "kms:Decrypt" || last.Resource != "arn:b" || !slices.Equal(last.Context["aws:SourceIp"], []string{"192.0.2.1"}) {
		t.Errorf("asked %+v", last)
	}
	var many strings.Builder
	for i := range 11 {
		fmt.Fprintf(&many, "&ActionNames.member.%d=kms:Encrypt&ResourceArns.member.%d=arn:a", i+1, i+1)
	}
	f = &fake{}
	if w := send(f, ofIAM, "/", ask(many.String())); w.Code != 400 || errorOf(t, w).Code != "ValidationError" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	again := ask("&ActionNames.member.1=kms:Encrypt&ContextEntries.member.2.ContextKeyName=AWS:sourceip&ContextEntries.member.2.ContextKeyValues.member.1=192.0.2.2&ContextEntries.member.2.ContextKeyType=ip")
	if w := send(f, ofIAM, "/", again); w.Code != 400 || errorOf(t, w).Code != "ValidationError" || !strings.Contains(errorOf(t, w).Message, "AWS:sourceip is given twice") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for source, want := range map[string]string{"arn:aws:iam::1:policy/p": "user-managed", "arn:aws:iam::1:group/g p": "group", "arn:aws:iam::1:role/r p": "role"} {
		if got := policyType(&kms.Verdict{PolicyID: source, Source: "identity policy"}); got != want {
			t.Errorf("%s: %s", source, got)
		}
	}
	if policyType(&kms.Verdict{PolicyID: "arn:aws:kms:us-east-1:1:key/k", Source: "key policy"}) != "resource" {
		t.Error("a key policy is no policy of a resource")
	}
}
