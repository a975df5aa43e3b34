package audit

import (
	"crypto/tls"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

// Bounds of what a record says in a caller's words, in bytes as they stand in the line, where an escaped character takes six: of a
// text, of an object or array, which an encryption context (8 KiB) reaches only when it is all control characters, of a policy, and
// of the whole line, so that it fits into a datagram with what syslog puts before it. CloudTrail cuts user agents and error
// messages likewise.
const (
	maxText      = 1024
	maxObject    = 16 << 10
	maxDocument  = 24 << 10
	maxRecord    = 48 << 10
	maxResources = 2
)

// Record is one audited call, or an event of the node or the cluster itself. An empty string is left out of the line unless
// CloudTrail always has the field.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
type Record struct {
	Time         time.Time // eventTime, rendered in UTC with milliseconds
	EventID      [16]byte  // eventID, rendered as a UUID; Log.Append numbers a zero one
	RequestID    string    // requestID
	Source       string    // eventSource, "kms.amazonaws.com"
	Name         string    // eventName, "Encrypt"
	Region       string    // awsRegion
	SourceIP     string    // sourceIPAddress
	UserAgent    string    // userAgent, cut to 1 KiB
	Identity     Identity  // userIdentity
	Parameters   []Pair    // requestParameters; nil: null
	Response     []Pair    // responseElements; nil: null
	Resources    []Resource
	ErrorCode    string // errorCode; "": the call succeeded
	ErrorMessage string // errorMessage, cut to 1 KiB
	ReadOnly     bool   // readOnly
	Recipient    string // recipientAccountId
	TLS          TLS    // tlsDetails
	Service      bool   // eventType is AwsServiceEvent: nobody called
	Details      []Pair // serviceEventDetails; not nil: Service is understood
	Node         string // additionalEventData.node: the node that served the call
	Epoch, Index uint64 // additionalEventData.index, "EPOCH.INDEX": the state it was decided on
	Door         string // additionalEventData.door: which door took the call, "rest"
	TraceID      string // additionalEventData.traceId: of the W3C trace that the call is part of, 32 hex digits
}

// TLS is what the call's connection was protected with; the zero value is none.
type TLS struct {
	Version, Cipher uint16 // as crypto/tls numbers them
	Host            string // clientProvidedHostHeader
}

// TLSOf is what a connection's state says; nil is none.
func TLSOf(t *tls.ConnectionState, host string) TLS {
	if t == nil {
		return TLS{}
	}
	return TLS{Version: t.Version, Cipher: t.CipherSuite, Host: host}
}

// Identity is who called: CloudTrail's userIdentity. The zero value is rendered as type Unknown.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html
type Identity struct {
	Type        string // "Root"
	PrincipalID string
	ARN         string
	AccountID   string
	AccessKeyID string
	UserName    string // of a user; of a web identity its subject
	Provider    string // identityProvider: of a web identity
	Session     Session
}

// Session is an identity's sessionContext; the zero value is none.
type Session struct {
	Created  time.Time // attributes.creationDate
	Issuer   Issuer
	Provider string // webIdFederationData.federatedProvider: the ARN of the provider that a web identity came from
	Subject  string // webIdFederationData.attributes["ISSUER:sub"]: who it is there
}

// Issuer is whose rights a session has: sessionIssuer. The zero value is none.
type Issuer struct{ Type, PrincipalID, ARN, AccountID, UserName string }

// Resource is what a call acted on.
type Resource struct {
	ARN       string
	AccountID string
	Type      string // "AWS::KMS::Key"
}

// Pair is one recorded parameter; the keys of one list differ from each other. Object, when not nil, stands in place of Value,
// as an object with sorted keys, and so do Members, as an object in their order. A value is cut to 1 KiB, an object or
// array to its first 16 KiB; keys stand whole or not at all.
type Pair struct {
	Key, Value string
	Object     map[string]string
	Members    []Pair
	bare       bool // Value is a JSON number or boolean
	list       bool // Members are an array: their keys are not rendered
	whole      bool // Value is cut to 24 KiB
}

// Int is a Pair with a number.
func Int(key string, n int64) Pair {
	return Pair{Key: key, Value: strconv.FormatInt(n, 10), bare: true}
}

// Bool is a Pair with a boolean.
func Bool(key string, b bool) Pair {
	return Pair{Key: key, Value: strconv.FormatBool(b), bare: true}
}

// Members is a Pair with an object.
func Members(key string, members ...Pair) Pair {
	if members == nil {
		members = []Pair{}
	}
	return Pair{Key: key, Members: members}
}

// List is a Pair with an array of texts.
func List[T ~string](key string, texts []T) Pair {
	p := Pair{Key: key, Members: make([]Pair, len(texts)), list: true}
	for i, s := range texts {
		p.Members[i].Value = string(s)
	}
	return p
}

// Entries is a Pair with an array of the entries' values.
func Entries(key string, entries []Pair) Pair { return Pair{Key: key, Members: entries, list: true} }

// Document is a Pair with a text that is cut to 24 KiB: a policy is read as a whole or not at all.
func Document(key, text string) Pair { return Pair{Key: key, Value: text, whole: true} }

// AppendJSON appends the record as one JSON object, without its place in the chain and a newline. Bytes that are not UTF-8
// become U+FFFD.
func (r *Record) AppendJSON(b []byte) []byte { return append(r.appendOpen(b), "}}"...) }

// appendOpen appends the record up to where chain.AppendLink goes on. If the line became too long, its parameters, response and
// details are cut by what is too much: everything else takes less than 40 KiB.
func (r *Record) appendOpen(b []byte) []byte {
	const atLeast = len("nullnullnull") // of what is cut
	start := len(b)
	b, lists := r.appendWithin(b, maxRecord)
	if over := len(b) - start + chain.LinkSize - maxRecord; over >= 0 {
		b, _ = r.appendWithin(b[:start], lists-over-atLeast)
	}
	return b
}

// appendWithin is appendOpen with at most room bytes of parameters, response and details, and says how many they took.
func (r *Record) appendWithin(b []byte, room int) (line []byte, lists int) {
	pairs := func(b []byte, all []Pair) []byte {
		before := len(b)
		b = appendPairs(b, all, before+room-lists)
		lists += len(b) - before
		return b
	}
	b = append(b, `{"eventVersion":"1.11","eventTime":"`...)
	b = appendTime(b, r.Time)
	b = append(b, `","eventID":"`...)
	b = appendUUID(b, r.EventID)
	b = append(b, '"')
	b = appendField(b, "requestID", r.RequestID)
	b = append(b, `,"eventSource":`...)
	b = appendString(b, r.Source)
	b = append(b, `,"eventName":`...)
	b = appendString(b, r.Name)
	b = append(b, `,"awsRegion":`...)
	b = appendString(b, r.Region)
	b = append(b, `,"sourceIPAddress":`...)
	b = appendString(b, r.SourceIP)
	b = append(b, `,"userAgent":`...)
	b = appendString(b, r.UserAgent)
	b = append(b, `,"userIdentity":`...)
	b = r.Identity.appendJSON(b)
	b = append(b, `,"requestParameters":`...)
	b = pairs(b, r.Parameters)
	b = append(b, `,"responseElements":`...)
	b = pairs(b, r.Response)
	if len(r.Resources) > 0 {
		b = append(b, `,"resources":[`...)
		for i := range min(len(r.Resources), maxResources) {
			if i > 0 {
				b = append(b, ',')
			}
			b = r.Resources[i].appendJSON(b)
		}
		b = append(b, ']')
	}
	b = appendField(b, "errorCode", r.ErrorCode)
	b = appendField(b, "errorMessage", r.ErrorMessage)
	b = append(b, `,"readOnly":`...)
	b = strconv.AppendBool(b, r.ReadOnly)
	b = append(b, `,"eventType":"`...)
	if r.Service || r.Details != nil {
		b = append(b, "AwsServiceEvent"...)
	} else {
		b = append(b, "AwsApiCall"...)
	}
	b = append(b, `","managementEvent":true,"eventCategory":"Management"`...)
	b = appendField(b, "recipientAccountId", r.Recipient)
	b = r.TLS.appendJSON(b)
	if r.Details != nil {
		b = append(b, `,"serviceEventDetails":`...)
		b = pairs(b, r.Details)
	}
	return r.appendAdditional(b), lists
}

// appendAdditional appends additionalEventData without its end.
func (r *Record) appendAdditional(b []byte) []byte {
	b = append(b, `,"additionalEventData":{"node":`...)
	b = appendString(b, r.Node)
	b = append(b, `,"index":"`...)
	b = strconv.AppendUint(b, r.Epoch, 10)
	b = append(b, '.')
	b = strconv.AppendUint(b, r.Index, 10)
	b = append(b, '"')
	b = appendField(b, "door", r.Door)
	return appendField(b, "traceId", r.TraceID)
}

func (i *Identity) appendJSON(b []byte) []byte {
	kind := i.Type
	if kind == "" {
		kind = "Unknown"
	}
	b = append(b, `{"type":`...)
	b = appendString(b, kind)
	b = appendField(b, "principalId", i.PrincipalID)
	b = appendField(b, "arn", i.ARN)
	b = appendField(b, "accountId", i.AccountID)
	b = appendField(b, "accessKeyId", i.AccessKeyID)
	b = appendField(b, "userName", i.UserName)
	b = appendField(b, "identityProvider", i.Provider)
	if !i.Session.Created.IsZero() {
		b = i.Session.appendJSON(b)
	}
	return append(b, '}')
}

// appendJSON appends the context of a session; its time has no digits of a second, as CloudTrail's.
func (s *Session) appendJSON(b []byte) []byte {
	b = append(b, `,"sessionContext":{`...)
	if i := &s.Issuer; i.Type != "" {
		b = append(b, `"sessionIssuer":{"type":`...)
		b = appendString(b, i.Type)
		b = appendField(b, "principalId", i.PrincipalID)
		b = appendField(b, "arn", i.ARN)
		b = appendField(b, "accountId", i.AccountID)
		b = appendField(b, "userName", i.UserName)
		b = append(b, "},"...)
	}
	if s.Provider != "" {
		b = append(b, `"webIdFederationData":{"federatedProvider":`...)
		b = appendString(b, s.Provider)
		b = append(b, `,"attributes":{`...)
		_, issuer, _ := strings.Cut(s.Provider, "/")
		b = appendString(b, issuer)
		b = append(b[:len(b)-1], `:sub":`...) // named as the condition key is
		b = append(appendString(b, s.Subject), "}},"...)
	}
	b = append(b, `"attributes":{"creationDate":"`...)
	b = utc(s.Created).AppendFormat(b, "2006-01-02T15:04:05Z")
	return append(b, `","mfaAuthenticated":"false"}}`...)
}

// appendJSON appends what is known of a connection's protection.
func (t *TLS) appendJSON(b []byte) []byte {
	if t.Version == 0 {
		return b
	}
	b = append(b, `,"tlsDetails":{"tlsVersion":"`...)
	b = append(b, versionName(t.Version)...)
	b = append(b, `","cipherSuite":`...)
	b = appendString(b, cipherNames[t.Cipher])
	b = appendField(b, "clientProvidedHostHeader", t.Host)
	return append(b, '}')
}

// versionName returns how CloudTrail spells a version.
func versionName(v uint16) string {
	switch v {
	case tls.VersionTLS13:
		return "TLSv1.3"
	case tls.VersionTLS12:
		return "TLSv1.2"
	default:
		return "unknown"
	}
}

// cipherNames are those of the IANA; tls.CipherSuiteName makes a list for each question.
var cipherNames = func() map[uint16]string {
	names := map[uint16]string{}
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		names[s.ID] = s.Name
	}
	return names
}()

func (r *Resource) appendJSON(b []byte) []byte {
	b = append(b, `{"ARN":`...)
	b = appendString(b, r.ARN)
	b = appendField(b, "accountId", r.AccountID)
	b = appendField(b, "type", r.Type)
	return append(b, '}')
}

// appendPairs appends pairs as an object, as many as fit before b is longer than to.
func appendPairs(b []byte, pairs []Pair, to int) []byte {
	if pairs == nil {
		return append(b, "null"...)
	}
	b = append(b, '{')
	for i := range pairs {
		before := len(b)
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendKey(b, pairs[i].Key), ':')
		if b = pairs[i].appendValue(b, to-len("}")); len(b) > to-len("}") {
			b = b[:before]
			break
		}
	}
	return append(b, '}')
}

// appendList appends the values of entries as an array, as many as fit.
func appendList(b []byte, entries []Pair, to int) []byte {
	to = min(to, len(b)+maxObject) - len("]")
	b = append(b, '[')
	for i := range entries {
		before := len(b)
		if i > 0 {
			b = append(b, ',')
		}
		if b = entries[i].appendValue(b, to); len(b) > to {
			b = b[:before]
			break
		}
	}
	return append(b, ']')
}

// appendValue appends the value of a pair. When it takes more than to allows, which what has no text in it may, the caller takes it
// back.
func (p *Pair) appendValue(b []byte, to int) []byte {
	switch {
	case p.list:
		return appendList(b, p.Members, to)
	case p.Members != nil:
		return appendPairs(b, p.Members, to)
	case p.Object != nil:
		return appendObject(b, p.Object, to)
	case p.bare:
		return append(b, p.Value...)
	case p.whole:
		return appendText(b, p.Value, min(maxDocument, to-len(b)-len(`""`)))
	default:
		return appendText(b, p.Value, min(maxText, to-len(b)-len(`""`)))
	}
}

// appendObject appends the members of m in the order of their keys, as many as fit; the last one may be cut.
func appendObject(b []byte, m map[string]string, to int) []byte {
	var few [8]string // a longer list is allocated
	keys := few[:0]
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	to = min(to, len(b)+maxObject) - len("}")
	b = append(b, '{')
	for i, k := range keys {
		before := len(b)
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendKey(b, k), ':')
		if b = appendText(b, m[k], to-len(b)-len(`""`)); len(b) > to {
			b = b[:before]
			break
		}
	}
	return append(b, '}')
}

// appendField appends a member after others, or nothing when value is empty. name is one of ours
// and needs no escaping.
func appendField(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":`...)
	return appendString(b, value)
}

// plain marks the bytes that stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\' && c != 0x7f
	}
	return t
}()

// appendString appends s as a JSON string, cut to maxText.
func appendString(b []byte, s string) []byte { return appendText(b, s, maxText) }

// appendKey appends s as a JSON string, whole: a key that is cut could be one that is there already.
func appendKey(b []byte, s string) []byte { return appendText(b, s, 6*len(s)) }

// appendText appends s as a JSON string, as much of it as takes room bytes between its quotes. Control characters and every
// character that some reader takes for the end of a line are escaped.
func appendText(b []byte, s string, room int) []byte {
	b = append(b, '"')
	to := len(b) + max(room, 0)
	s = s[:min(len(s), max(room, 0)+utf8.UTFMax)] // a byte takes at least one; a character that this cuts does not fit
	start := 0
	for i := 0; i < len(s); {
		if plain[s[i]] {
			i++
			continue
		}
		r, size := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
			if r > 0x9f && r != '\u2028' && r != '\u2029' && (r != utf8.RuneError || size > 1) {
				i += size
				continue
			}
		}
		var escaped [6]byte
		e := escaped[:0]
		switch r {
		case utf8.RuneError:
			e = append(e, "\ufffd"...)
		case '"', '\\':
			e = append(e, '\\', byte(r))
		default:
			const digits = "0123456789abcdef"
			e = append(e, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
		}
		if len(b)+i-start+len(e) > to {
			s = s[:i] // what stands before may be too long already
			break
		}
		b = append(append(b, s[start:i]...), e...)
		i += size
		start = i
	}
	s = s[start:]
	if n := to - len(b); len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	b = append(b, s...)
	return append(b, '"')
}

// appendTime appends t as 2006-01-02T15:04:05.000Z.
func appendTime(b []byte, t time.Time) []byte {
	return utc(t).AppendFormat(b, "2006-01-02T15:04:05.000Z")
}

// utc returns t, or the zero time for one whose year has not the four digits that RFC 3339 has for it.
func utc(t time.Time) time.Time {
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		t = time.Time{}
	}
	return t
}

func appendUUID(b []byte, id [16]byte) []byte {
	b = hex.AppendEncode(b, id[0:4])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[4:6])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[6:8])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[8:10])
	b = append(b, '-')
	return hex.AppendEncode(b, id[10:16])
}
