package service

import (
	"encoding/base64"

	"github.com/lockstep-kms/lockstep/kms"
)

// A marker is what a listing goes on after, behind 8 bytes of a keyed hash that ties it to the
// operation, account and region it was given to, in URL-safe base64.
const markerMAC = 8

func (r *request) markerMAC(after string) []byte {
	mac := r.view.IDs().Hash("marker", r.op.Name, r.scope.Account, r.scope.Region, after)
	return mac[:markerMAC]
}

// marker returns the marker behind which a listing goes on after a name.
func (r *request) marker(after string) string {
	return base64.RawURLEncoding.EncodeToString(append(r.markerMAC(after), after...))
}

// after reads a marker; the empty one is before everything.
func (r *request) after(marker string) (string, error) {
	if marker == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(marker)
	if err != nil || len(raw) < markerMAC || string(r.markerMAC(string(raw[markerMAC:]))) != string(raw[:markerMAC]) {
		return "", errMarker()
	}
	return string(raw[markerMAC:]), nil
}

func errMarker() error {
	return kms.Errorf(kms.CodeInvalidMarker, "The marker is invalid: it must be the next_marker of the same listing.")
}

// checkLimit refuses a page size outside 1 to highest; 0 stands for the default.
func checkLimit(limit, highest int) error {
	switch {
	case limit < 0:
		return constraint("limit", "Member must have value greater than or equal to 1")
	case limit > highest:
		return constraint("limit", "Member must have value less than or equal to %d", highest)
	}
	return nil
}

// page cuts a listing that was read one entry further than it may go.
func page[E any](all []E, limit int) (shown []E, more bool) {
	if len(all) > limit {
		return all[:limit], true
	}
	return all, false
}
