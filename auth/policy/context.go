package policy

// Context holds the condition keys of one request.
//
// A name is lower case, because condition keys are compared without case. Keys of a family come in
// two parts: "aws:PrincipalTag/Team" asks for ("aws:principaltag", "Team"), and so do
// aws:ResourceTag and aws:RequestTag; "kms:EncryptionContext:App" asks for
// ("kms:encryptioncontext", "App"). All other keys, those of identity providers included, are one
// name with an empty sub.
//
// sub is as the policy wrote it. AWS compares tag keys and encryption context keys that are part of
// a condition key without case, so an implementation does too.
//
// An implementation must be safe to call more than once for one key and must not allocate if the
// evaluation is not to.
type Context interface {
	Lookup(name, sub string) (Values, bool)
}

// Values are those of one condition key. The zero value is one empty string.
//
// Numbers are decimal ("30", "0.5"), booleans "true" or "false", times RFC 3339 in UTC or epoch
// seconds, addresses without a zone, binary values standard base64.
type Values struct {
	one   string
	many  []string
	multi bool
}

// One returns the value of a single-valued key. It does not allocate.
func One(value string) Values { return Values{one: value} }

// Many returns the values of a multivalued key. It keeps the slice. Evaluation treats a key without
// values as one that is absent: AWS calls both null.
func Many(values []string) Values { return Values{many: values, multi: true} }

// Len returns the number of values.
func (v Values) Len() int {
	if v.multi {
		return len(v.many)
	}
	return 1
}

// At returns value i, counted from 0.
func (v Values) At(i int) string {
	if v.multi {
		return v.many[i]
	}
	return v.one
}
