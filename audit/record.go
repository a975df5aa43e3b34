package audit

import (
	"encoding/hex"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// Bounds of what a record says in a caller's words, in bytes: of a text, and of names and values of an object, which an
// encryption context (8 KiB) never reaches. CloudTrail cuts user agents and error messages likewise.
const (
	maxText   = 1024
	maxObject = 16 << 10
)

// Record is one audited call. An empty string is left out of the line unless CloudTrail always has
// the field.
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
	Node         string // additionalEventData.node: the node that served the call
	Epoch, Index uint64 // additionalEventData.index, "EPOCH.INDEX": the state it was decided on
}

// Identity is who called: CloudTrail's userIdentity. The zero value is rendered as type Unknown.
type Identity struct {
	Type        string // "Root"
	PrincipalID string
	ARN         string
	AccountID   string
	AccessKeyID string
}

// Resource is what a call acted on.
type Resource struct {
	ARN       string
	AccountID string
	Type      string // "AWS::KMS::Key"
}

// Pair is one recorded parameter; the keys of one list differ from each other. Object, when not
// nil, stands in place of Value, as an object with sorted keys. A value is cut to 1 KiB, an object to its first 64 members;
// keys stand as they are: whoever records an object has checked it.
type Pair struct {
	Key, Value string
	Object     map[string]string
	bare       bool // Value is a JSON number or boolean
}

// Int is a Pair with a number.
func Int(key string, n int64) Pair {
	return Pair{Key: key, Value: strconv.FormatInt(n, 10), bare: true}
}

// Bool is a Pair with a boolean.
func Bool(key string, b bool) Pair {
	return Pair{Key: key, Value: strconv.FormatBool(b), bare: true}
}

// AppendJSON appends the record as one JSON object, without a newline. Bytes that are not UTF-8
// become U+FFFD.
func (r *Record) AppendJSON(b []byte) []byte {
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
	b = appendString(b, cut(r.UserAgent))
	b = append(b, `,"userIdentity":`...)
	b = r.Identity.appendJSON(b)
	b = append(b, `,"requestParameters":`...)
	b = appendPairs(b, r.Parameters)
	b = append(b, `,"responseElements":`...)
	b = appendPairs(b, r.Response)
	if len(r.Resources) > 0 {
		b = append(b, `,"resources":[`...)
		for i := range r.Resources {
			if i > 0 {
				b = append(b, ',')
			}
			b = r.Resources[i].appendJSON(b)
		}
		b = append(b, ']')
	}
	b = appendField(b, "errorCode", r.ErrorCode)
	b = appendField(b, "errorMessage", cut(r.ErrorMessage))
	b = append(b, `,"readOnly":`...)
	b = strconv.AppendBool(b, r.ReadOnly)
	b = append(b, `,"eventType":"AwsApiCall","managementEvent":true,"eventCategory":"Management"`...)
	b = appendField(b, "recipientAccountId", r.Recipient)
	b = append(b, `,"additionalEventData":{"node":`...)
	b = appendString(b, r.Node)
	b = append(b, `,"index":"`...)
	b = strconv.AppendUint(b, r.Epoch, 10)
	b = append(b, '.')
	b = strconv.AppendUint(b, r.Index, 10)
	return append(b, `"}}`...)
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
	return append(b, '}')
}

func (r *Resource) appendJSON(b []byte) []byte {
	b = append(b, `{"ARN":`...)
	b = appendString(b, r.ARN)
	b = appendField(b, "accountId", r.AccountID)
	b = appendField(b, "type", r.Type)
	return append(b, '}')
}

func appendPairs(b []byte, pairs []Pair) []byte {
	if pairs == nil {
		return append(b, "null"...)
	}
	b = append(b, '{')
	for i := range pairs {
		p := &pairs[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, p.Key), ':')
		switch {
		case p.Object != nil:
			b = appendObject(b, p.Object)
		case p.bare:
			b = append(b, p.Value...)
		default:
			b = appendString(b, cut(p.Value))
		}
	}
	return append(b, '}')
}

func appendObject(b []byte, m map[string]string) []byte {
	var few [8]string // a longer list is allocated
	keys := few[:0]
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	b = append(b, '{')
	room := maxObject
	for i, k := range keys {
		value := m[k]
		if room -= len(k); room <= 0 {
			break
		}
		value = value[:min(len(value), room)]
		room -= len(value)
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, k), ':')
		b = appendString(b, value)
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

func cut(s string) string { return s[:min(len(s), maxText)] }

// plain marks the bytes that stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\' && c != 0x7f
	}
	return t
}()

// appendString appends s as a JSON string. Control characters and every character that some reader
// takes for the end of a line are escaped.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
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
		b = append(b, s[start:i]...)
		i += size
		start = i
		switch r {
		case utf8.RuneError:
			b = append(b, "\ufffd"...)
		case '"', '\\':
			b = append(b, '\\', byte(r))
		default:
			const digits = "0123456789abcdef"
			b = append(b, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
		}
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// appendTime appends t as 2006-01-02T15:04:05.000Z. RFC 3339 has four digits for the year.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		t = time.Time{}
	}
	return t.AppendFormat(b, "2006-01-02T15:04:05.000Z")
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
