package awsquery

import (
	"bytes"
	"encoding/xml"
	"reflect"
	"strconv"
	"time"
)

// appendXML writes a value as the element called name: structs by their fields, lists as <member> elements, times in ISO 8601. What
// is optional at AWS is absent when it is empty: texts, times, nil pointers. Lists, numbers and truth values are always there.
func appendXML(b *bytes.Buffer, name string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			appendXML(b, name, v.Elem())
		}
		return
	case reflect.String:
		if v.Len() == 0 {
			return
		}
	}
	if t, ok := v.Interface().(time.Time); ok {
		if !t.IsZero() {
			appendText(b, name, t.UTC().Format("2006-01-02T15:04:05Z"))
		}
		return
	}
	b.WriteString("<" + name + ">")
	switch v.Kind() {
	case reflect.Struct:
		appendFields(b, v)
	case reflect.Slice:
		for i := range v.Len() {
			if v.Index(i).Kind() == reflect.String { // an empty member is one, too
				appendText(b, "member", v.Index(i).String())
			} else {
				appendXML(b, "member", v.Index(i))
			}
		}
	case reflect.String:
		xml.EscapeText(b, []byte(v.String())) // a buffer takes everything
	case reflect.Int:
		b.WriteString(strconv.FormatInt(v.Int(), 10))
	case reflect.Bool:
		b.WriteString(strconv.FormatBool(v.Bool()))
	default:
		panic("awsquery: a result has a field of type " + v.Type().String())
	}
	b.WriteString("</" + name + ">")
}

// appendFields writes the fields of a struct; those of an embedded one are its own. A text that is required, such as the
// value of a tag, is there also when it is empty.
func appendFields(b *bytes.Buffer, v reflect.Value) {
	for i := range v.NumField() {
		if field := v.Type().Field(i); field.Anonymous || field.Tag.Get("aws") == "inline" {
			appendFields(b, v.Field(i))
		} else if field.Type.Kind() == reflect.String && hasRule(field.Tag.Get("is"), "required") {
			appendText(b, field.Name, v.Field(i).String())
		} else {
			appendXML(b, field.Name, v.Field(i))
		}
	}
}

func appendText(b *bytes.Buffer, name, text string) {
	b.WriteString("<" + name + ">")
	xml.EscapeText(b, []byte(text))
	b.WriteString("</" + name + ">")
}
