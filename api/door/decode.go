package door

import (
	"bytes"
	"encoding/base64"
	"errors"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/lockstep-kms/lockstep/kms"
)

// maxDepth is how deep objects and arrays may nest. A policy document needs 6.
const maxDepth = 32

// Decode decodes a body into v, a pointer to a struct; an empty body is an empty object. Everything
// that two readers could take for different things is refused with CodeInvalidRequest: duplicate
// names, names in another case, invalid UTF-8, unknown members, loose base64, trailing data. The
// message names the member and never its value.
func Decode(body []byte, v any) error { return decode(body, v, json.RejectUnknownMembers(true)) }

// DecodeExtensible is Decode for messages to which senders may add members: unknown ones are skipped.
func DecodeExtensible(body []byte, v any) error { return decode(body, v) }

func decode(body []byte, v any, options ...json.Options) error {
	body = bytes.TrimLeft(body, " \t\r\n")
	if len(body) == 0 {
		return nil
	}
	if body[0] != '{' {
		return kms.Errorf(kms.CodeInvalidRequest, "The body must be a JSON object.")
	}
	if deeperThan(body, maxDepth) {
		return kms.Errorf(kms.CodeInvalidRequest, "The body nests deeper than %d levels.", maxDepth)
	}
	if err := json.Unmarshal(body, v, options...); err != nil {
		return decodeError(err)
	}
	return nil
}

// deeperThan reports whether objects and arrays nest deeper than limit, on any bytes.
func deeperThan(body []byte, limit int) bool {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

func decodeError(err error) error {
	refuse := func(format string, args ...any) error {
		return kms.Errorf(kms.CodeInvalidRequest, format, args...)
	}
	var corrupt base64.CorruptInputError
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		name := member(semantic.JSONPointer)
		switch {
		case errors.Is(err, json.ErrUnknownName):
			return refuse("The body holds the unknown member %s.", name)
		case errors.As(err, &corrupt), isBytes(semantic):
			return refuse("The member %s is not standard base64 with padding.", name)
		default:
			return refuse("The member %s has the wrong type or value.", name)
		}
	}
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		switch {
		case errors.Is(err, jsontext.ErrDuplicateName):
			return refuse("The body holds the member %s twice.", member(syntactic.JSONPointer))
		case strings.Contains(syntactic.Err.Error(), "UTF-8"):
			return refuse("The body is not valid UTF-8 at byte %d.", syntactic.ByteOffset)
		default:
			return refuse("The body is not valid JSON at byte %d.", syntactic.ByteOffset)
		}
	}
	return refuse("The body is not valid JSON.")
}

func isBytes(e *json.SemanticError) bool {
	return e.JSONKind == '"' && e.GoType != nil && e.GoType.Kind() == reflect.Slice
}

// member renders a JSON pointer for a message.
func member(p jsontext.Pointer) string {
	return "\"" + kms.Printable(strings.TrimPrefix(string(p), "/")) + "\""
}
