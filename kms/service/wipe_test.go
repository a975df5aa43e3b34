package service_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// eachSensitive calls do with every kms.Sensitive of an answer.
func eachSensitive(v reflect.Value, path string, do func(path string, v reflect.Value)) {
	if v.Type() == reflect.TypeFor[kms.Sensitive]() {
		do(path, v)
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			eachSensitive(v.Elem(), path, do)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				eachSensitive(v.Field(i), path+"."+f.Name, do)
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			eachSensitive(v.Index(i), path+"[]", do)
		}
	}
}

// filled returns an answer of a type in which every pointer points to something and every slice but those of
// bytes has an element.
func filled(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	fill(v.Elem(), 0)
	return v
}

func fill(v reflect.Value, depth int) {
	if depth > 8 {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), depth+1)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte("secret material"))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth+1)
	}
}

// holdsSensitive reports whether answers of an operation have a secret.
func holdsSensitive(op *kms.Operation) (has bool) {
	eachSensitive(filled(op.AnswerType()), "", func(string, reflect.Value) { has = true })
	return has
}

// Every secret of every type of answer is overwritten: a new one cannot be forgotten.
func TestEverySecretOfAnAnswerIsWiped(t *testing.T) {
	var all int
	for _, op := range kms.Operations {
		v := filled(op.AnswerType())
		service.WipeAnswer(v.Interface())
		eachSensitive(v, op.Name, func(path string, v reflect.Value) {
			if all++; strings.Trim(string(v.Bytes()), "\x00") != "" {
				t.Errorf("%s is not overwritten", path)
			}
		})
	}
	if all < 9 {
		t.Errorf("only %d secrets were found", all)
	}
	service.WipeAnswer(nil)
}

// An answer that its audit record or the lease keeps back is overwritten.
func TestAnAnswerKeptBackIsWiped(t *testing.T) {
	lost := kms.Errorf(kms.CodeNoLease, "The node has not heard from the leader.")
	w := newWorld(t, twoRegions)
	var kept any
	w.Service.KeepAnswers(func(answer any) { kept = answer })
	for i, op := range kms.Operations {
		if !op.Crypto || !holdsSensitive(op) {
			continue
		}
		s := w.topic(t, w.alice, op, fmt.Sprintf("alias/%d", i))
		request := rights[op].request(s)
		ask := func(f servicetest.Faults, code kms.Code) (length int, wiped bool) {
			kept, wiped = nil, true
			w.Break(f)
			left, err := w.Do(w.alice, op, request)
			want(t, op.Name, err, code)
			w.Break(servicetest.Faults{})
			if kept == nil || err == nil && left != kept {
				t.Fatalf("%s: the answer was not kept", op.Name)
			}
			eachSensitive(reflect.ValueOf(kept), "", func(_ string, v reflect.Value) {
				length += v.Len()
				wiped = wiped && strings.Trim(string(v.Bytes()), "\x00") == ""
			})
			return length, wiped
		}
		without := op == kms.OpGenerateDataKeyWithoutPlaintext || op == kms.OpGenerateDataKeyPairWithoutPlaintext
		if length, wiped := ask(servicetest.Faults{}, ""); (length == 0) != without || wiped != without {
			t.Errorf("%s: an answer that left has %d bytes of secrets, overwritten: %t", op.Name, length, wiped)
		}
		var asked int
		if length, wiped := ask(servicetest.Faults{Lease: func() error {
			if asked++; asked > 1 { // it holds until the answer is made
				return lost
			}
			return nil
		}}, kms.CodeNoLease); (length == 0) != without || !wiped {
			t.Errorf("%s: without the lease, %d bytes of secrets are overwritten: %t", op.Name, length, wiped)
		}
		if length, wiped := ask(servicetest.Faults{Audit: func([]byte) error { return servicetest.ErrFault }}, kms.CodeAuditBlocked); (length == 0) != without || !wiped {
			t.Errorf("%s: without a record, %d bytes of secrets are overwritten: %t", op.Name, length, wiped)
		}
		w.must(t, w.alice, kms.OpGetCallerIdentity, &kms.Empty{}) // records are written again
	}
}
