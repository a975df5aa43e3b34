// Package wire is what the REST door and its clients agree on: the one route table, the header
// names and the messages of the system routes. The messages of everything else are in package kms.
//
// The invariant that would hurt: the door serves exactly Routes and the client calls exactly
// Routes, so a path, a method or a status is written once.
package wire

// Headers of the door's own.
const (
	HeaderIndex          = "Lockstep-Index"     // answer: EPOCH.INDEX of the state it saw
	HeaderMinIndex       = "Lockstep-Min-Index" // request: EPOCH.INDEX to have seen at least
	HeaderRegion         = "Lockstep-Region"    // request: the region, default the first served one
	HeaderRequestID      = "X-Request-Id"       // answer: finds the request in the node's log and audit
	HeaderIdempotencyKey = "Idempotency-Key"    // request: makes a repeated write one write
)
