package service_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// Whatever a caller says at length, in each text of each operation's request that is otherwise right, its audit record is short.
func TestRecordsAreShort(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	const long, most = 64 << 10, 8 << 10
	text := reflect.ValueOf(strings.Repeat("x", long))
	key := w.CreateKey(w.alice)
	for op, request := range requests(key, "alias/a", nil) {
		right := reflect.ValueOf(request).Elem()
		for i := range right.NumField() {
			q := reflect.New(right.Type())
			q.Elem().Set(right)
			f := q.Elem().Field(i)
			switch word := f.Type(); {
			case word.Kind() == reflect.String:
				f.Set(text.Convert(word))
			case word.Kind() == reflect.Slice && word.Elem().Kind() == reflect.String:
				f.Set(reflect.Append(reflect.Zero(word), text.Convert(word.Elem())))
			case word.Kind() == reflect.Map && word.Key().Kind() == reflect.String && word.Elem().Kind() == reflect.String:
				f.Set(reflect.MakeMap(word))
				f.SetMapIndex(text.Convert(word.Key()), reflect.Zero(word.Elem()))
			default:
				continue
			}
			before := len(w.Lines())
			_, err := w.Do(w.alice, op, q.Interface())
			if n := len(bytes.TrimSpace(w.Lines()[before:])); n == 0 || n > most {
				t.Errorf("%s, %s: a record of %d bytes (%.80v)", op.Name, right.Type().Field(i).Name, n, err)
			}
		}
	}
}

// What is recorded of a session that anybody may ask for was looked at first.
func TestUnfitSessionNamesAreNotRecorded(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	for name, shown := range map[string]bool{"good-name": true, "no name": false, strings.Repeat("x", 1<<20): false} {
		before := len(w.Lines())
		_, err := w.Do(servicetest.Credentials{}, kms.OpAssumeRoleWithWebIdentity,
			&kms.AssumeRoleWithWebIdentityRequest{RoleARN: iamARN(aliceID, "role/r"), RoleSessionName: name, WebIdentityToken: "a.b.c"})
		if record := w.Lines()[before:]; err == nil || bytes.Contains(record, []byte(`"roleSessionName":`)) != shown {
			t.Errorf("%.20s: %v, recorded %.2000s", name, err, record)
		}
	}
}
