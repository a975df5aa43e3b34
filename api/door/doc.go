// Package door is the edge that every HTTP door of a node shares: the checks before any route, body
// limits, strict JSON, the error body, request ids and the server's time limits.
//
// It promises bounded memory whatever a client sends, one answer in JSON for every request it refuses,
// and no redirect. It knows no operation and no identity.
//
// What net/http cannot read as a request never reaches it and is answered by net/http: 400 (431 for too
// long a header, 505 for another version) in plain text without a request id, and the connection ends.
// So are a request line whose percent-encoding is broken, control characters in a header, two
// different lengths and a missing Host. A connection over the limits is closed without an answer.
//
// Memory that senders can hold without a right to anything: for each open connection its headers and
// up to 64 KiB of a body, for as long as the time limits allow, and a few larger bodies in all.
//
// The invariant that would hurt: what the strict decoder accepts has one meaning; duplicate names,
// invalid UTF-8, unknown members (but for DecodeExtensible) and trailing data are refused, never resolved.
package door
