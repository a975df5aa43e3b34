// Package door is the edge that every HTTP door of a node shares: the checks before any route, body
// limits, strict JSON, the error body, request ids and the server's time limits.
//
// It promises bounded memory whatever a client sends, one answer in JSON for everything that is
// refused, and no redirect. It knows no operation and no identity. The invariant that would hurt: what
// the strict decoder accepts has one meaning; duplicate names, invalid UTF-8, unknown members and
// trailing data are refused, never resolved.
package door
