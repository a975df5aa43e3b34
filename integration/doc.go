// Package integration holds scenarios on real clusters: what users were promised, under faults. Each
// runs at least once in `go test ./...`; with the build tag long, the many-round forms run too.
package integration
