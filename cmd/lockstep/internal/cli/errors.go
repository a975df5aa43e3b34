package cli

import (
	"errors"
	"fmt"
	"strings"
)

// usageError is an error of whoever typed the command line: exit status 2.
type usageError struct{ error }

// Unwrap returns the error inside.
func (e usageError) Unwrap() error { return e.error }

// Misuse returns an error of whoever typed the command line.
func Misuse(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// WrongUse returns err as an error of whoever typed the command line.
func WrongUse(err error) error { return usageError{err} }

// IsMisuse reports whether err is an error of whoever typed the command line.
func IsMisuse(err error) bool {
	_, wrong := errors.AsType[usageError](err)
	return wrong
}

// OneLine returns the text of err on one line.
func OneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
