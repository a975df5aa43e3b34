package chain

import (
	"path/filepath"
	"strings"
	"time"
)

// rotatedTime is in the name of a rotated file: when it was rotated, UTC.
const rotatedTime = "20060102T150405.000Z"

// RotatedName returns where the file at path goes when it is rotated at t: audit.jsonl becomes
// audit-20261126T205313.123Z.jsonl beside it.
func RotatedName(path string, t time.Time) string {
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + "-" + t.UTC().Format(rotatedTime) + ext
}

// Rotated reports whether name, in the directory of path, is what the file at path was rotated to: by RotatedName, then ours
// is set and at says when, or by logrotate(8), which puts a number or a date behind the name, or before its extension. What
// an operator compressed or renamed is none.
func Rotated(path, name string) (at time.Time, ours, ok bool) {
	base := filepath.Base(path)
	ext := filepath.Ext(base)
	if rest, found := strings.CutPrefix(name, strings.TrimSuffix(base, ext)); found {
		if rest, found = strings.CutSuffix(rest, ext); found {
			at, err := time.Parse("-"+rotatedTime, rest)
			if err == nil && at.Format("-"+rotatedTime) == rest { // Parse takes a comma too
				return at, true, true
			}
			if numbered(rest) {
				return time.Time{}, false, true
			}
		}
	}
	rest, found := strings.CutPrefix(name, base)
	return time.Time{}, false, found && numbered(rest)
}

// numbered reports whether s is what logrotate puts into a name: .7, -20261126 or -2026-11-26.
func numbered(s string) bool {
	return len(s) > 1 && (s[0] == '.' || s[0] == '-') && s[1] != '-' && strings.Trim(s[1:], "0123456789-") == ""
}
