package sigv4

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// The words of the protocol.
const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	basic      = "20060102T150405Z" // ISO 8601 basic format, as a layout of package time
)

// Bounds on what is read of a request. They are far above what AWS clients send, and what is above
// them is refused before any work is done on it.
const (
	maxAuthorization = 4 << 10  // bytes of the Authorization header
	maxAccessKeyID   = 128      // bytes
	maxSignedHeaders = 64       // names
	maxHeaderName    = 128      // bytes
	maxSignedValues  = 32 << 10 // bytes of the values of all signed headers
	maxPath          = 4 << 10  // bytes
	maxQuery         = 8 << 10  // bytes
	maxQueryPairs    = 256
	maxMethod        = 32  // bytes
	maxHost          = 512 // bytes
)

// Skew is how far the time of a signature may be from the server's, either way.
const Skew = 5 * time.Minute

// Request is what is signed of an HTTP request, as it arrived.
type Request struct {
	Method     string
	Host       string // as the Host header or :authority has it
	RawPath    string // the path as sent, still escaped
	RawQuery   string
	Header     http.Header     // canonical names as net/http makes them, without Host
	BodySHA256 func() [32]byte // the hash of the body; nil for no body
}

// Rules are what a server asks of a signature.
type Rules struct {
	Services []string  // names accepted in the scope, such as kms; the first is named in errors
	Regions  []string  // names accepted in the scope
	Now      time.Time // the server's time
	Required []string  // further lower-case header names that must be signed when they are present
	Untyped  bool      // the server does not read Content-Type, which need not be signed then
}

// Signature is what a request says of its signature. Parse makes it; nothing in it is proven before
// Verify has returned nil.
type Signature struct {
	AccessKeyID   string
	Date          string // YYYYMMDD, of the scope
	Region        string
	Service       string
	SecurityToken string    // of X-Amz-Security-Token; empty without one
	Time          time.Time // UTC, in whole seconds
	Signature     [32]byte

	stamp         string // Time in ISO 8601 basic format
	scope         string // date/region/service/aws4_request
	signedHeaders string // lower-case names, ascending, joined with ';'
}

// Parse checks everything of r's signature that can be checked without the secret, in the order in
// which AWS checks it. The error is an *Error. See the package comment for the rules.
func Parse(r *Request, rules *Rules) (Signature, error) {
	if err := checkLine(r); err != nil {
		return Signature{}, err
	}
	header, err := authorizationHeader(r)
	if err != nil {
		return Signature{}, err
	}
	auth, err := parseAuthorization(header, r.Header)
	if err != nil {
		return Signature{}, err
	}
	s := Signature{signedHeaders: auth.signedHeaders, Signature: auth.signature}
	dateHeader, err := s.setTime(r.Header)
	if err != nil {
		return Signature{}, err
	}
	if err := checkSkew(s.Time, rules.Now); err != nil {
		return Signature{}, err
	}
	if err := s.setCredential(auth.credential, rules); err != nil {
		return Signature{}, err
	}
	if err := s.checkHeaders(r, rules, dateHeader); err != nil {
		return Signature{}, err
	}
	s.SecurityToken = single(r.Header, "X-Amz-Security-Token")
	return s, nil
}

// authorizationHeader returns the one Authorization header.
func authorizationHeader(r *Request) (string, error) {
	values := r.Header["Authorization"]
	switch {
	case len(values) == 0 || !strings.HasPrefix(values[0], "AWS4-"):
		return "", &Error{MissingToken, "Missing Authentication Token"}
	case len(values) > 1:
		return "", duplicated("authorization")
	case len(values[0]) > maxAuthorization:
		return "", incomplete("The Authorization header is too long.")
	}
	return values[0], nil
}

// setTime reads the time of the request: of X-Amz-Date or, when the request has none, of Date. It
// returns the lower-case name of the header used.
func (s *Signature) setTime(h http.Header) (string, error) {
	name, value := "x-amz-date", ""
	if values := h["X-Amz-Date"]; len(values) > 0 {
		value = values[0]
	} else if values = h["Date"]; len(values) > 0 {
		name, value = "date", values[0]
	}
	// time.Parse also takes fractions of a second, which the length rules out.
	t, err := time.Parse(basic, value)
	if err == nil && len(value) == len(basic) {
		s.Time, s.stamp = t, value
		return name, nil
	}
	if t, err = time.Parse(http.TimeFormat, value); err == nil && name == "date" && len(value) == len(http.TimeFormat) {
		s.Time = t.UTC()
		s.stamp = s.Time.Format(basic)
		return name, nil
	}
	return "", incomplete("Date must be in ISO-8601 'basic format'. Got '" + shown(value) + "'. See http://en.wikipedia.org/wiki/ISO_8601")
}

// checkSkew refuses a time further than Skew from now.
func checkSkew(t, now time.Time) error {
	now = now.UTC()
	switch early, late := now.Add(-Skew), now.Add(Skew); {
	case t.Before(early):
		return &Error{TooOld, "Signature expired: " + t.Format(basic) + " is now earlier than " +
			early.Format(basic) + " (" + now.Format(basic) + " - 5 min.)"}
	case t.After(late):
		return &Error{TooNew, "Signature not yet current: " + t.Format(basic) + " is still later than " +
			late.Format(basic) + " (" + now.Format(basic) + " + 5 min.)"}
	}
	return nil
}

// setCredential takes the credential apart and checks its scope. The message names every part of the
// scope that is wrong.
func (s *Signature) setCredential(credential string, rules *Rules) error {
	var parts [5]string // access key id, date, region, service, end
	rest := credential
	for i := range parts {
		parts[i], rest, _ = strings.Cut(rest, "/")
	}
	if strings.Count(credential, "/") != 4 || !isAccessKeyID(parts[0]) {
		return incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '" + shown(credential) + "'")
	}
	var wrong []string
	if !slices.Contains(rules.Regions, parts[2]) {
		wrong = append(wrong, "Credential should be scoped to a valid region, not '"+shown(parts[2])+"'. ")
	}
	if !slices.Contains(rules.Services, parts[3]) {
		service := ""
		if len(rules.Services) > 0 {
			service = rules.Services[0]
		}
		wrong = append(wrong, "Credential should be scoped to correct service: '"+service+"'. ")
	}
	if parts[4] != terminator {
		wrong = append(wrong, "Credential should be scoped with a valid terminator: '"+terminator+"', not '"+shown(parts[4])+"'. ")
	}
	if date := s.stamp[:8]; parts[1] != date {
		wrong = append(wrong, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '"+
			shown(parts[1])+"' != '"+date+"', from '"+s.stamp+"'.")
	}
	if len(wrong) > 0 {
		return &Error{Scope, strings.Join(wrong, "")}
	}
	s.AccessKeyID, s.Date, s.Region, s.Service = parts[0], parts[1], parts[2], parts[3]
	s.scope = credential[len(parts[0])+1:]
	return nil
}

// single returns the value of a header that was checked to be there at most once.
func single(h http.Header, name string) string {
	if values := h[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}
