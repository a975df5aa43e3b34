package door

import (
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/kms"
)

// Status returns the HTTP status of a code.
func Status(c kms.Code) int {
	switch c.Class() {
	case kms.ClassInvalid:
		return http.StatusBadRequest
	case kms.ClassUnauthenticated:
		return http.StatusUnauthorized
	case kms.ClassDenied:
		return http.StatusForbidden
	case kms.ClassNotFound:
		return http.StatusNotFound
	case kms.ClassMethod:
		return http.StatusMethodNotAllowed
	case kms.ClassState:
		return http.StatusConflict
	case kms.ClassPrecondition:
		return http.StatusPreconditionFailed
	case kms.ClassTooLarge:
		return http.StatusRequestEntityTooLarge
	case kms.ClassThrottled:
		return http.StatusTooManyRequests
	case kms.ClassUnavailable:
		return http.StatusServiceUnavailable
	case kms.ClassUnknown:
		return http.StatusGatewayTimeout
	default:
		return http.StatusInternalServerError
	}
}

// Error answers err. What is not a *kms.Error is answered as an internal error that tells nothing; see Failed.
func (d *Door) Error(w http.ResponseWriter, q *http.Request, err error) {
	epoch, index := d.index()
	d.ErrorAt(w, q, epoch, index, err)
}

// OfNone is the name of no door, for requests that reached none.
const OfNone = "none"

// Refuse is Error for a request that the service never sees.
func (d *Door) Refuse(w http.ResponseWriter, q *http.Request, door string, err error) {
	d.Refused(door, kms.CodeOf(err))
	d.Error(w, q, err)
}

// Refused counts a request that the service never sees; see Config.
func (d *Door) Refused(door string, code kms.Code) { d.refused(door, code) }

// ErrorAt is Error with the state that the verdict was taken on.
func (d *Door) ErrorAt(w http.ResponseWriter, q *http.Request, epoch, index uint64, err error) {
	e := kms.AsError(err)
	id := RequestID(w)
	detail := wire.ErrorDetail{Code: e.Code, Message: e.Message, RequestID: id, Reason: e.Reason}
	h := w.Header()
	switch e.Code.Class() {
	case kms.ClassUnavailable:
		if detail.Reason == "" {
			detail.Reason = string(e.Code)
		}
		h.Set("Retry-After", retryAfter(e))
	case kms.ClassThrottled:
		h.Set("Retry-After", retryAfter(e))
	case kms.ClassUnauthenticated:
		if h.Get("WWW-Authenticate") == "" {
			h.Set("WWW-Authenticate", `Basic realm="lockstep", charset="UTF-8"`)
		}
	}
	d.Failed(w, q, e)
	body, err := json.Marshal(wire.ErrorBody{Error: detail})
	if err != nil { // only a message that is no UTF-8 can do that
		body = []byte(`{"error":{"code":"` + string(kms.CodeInternal) + `","message":"","request_id":"` + id + `"}}`)
	}
	d.Write(w, Status(e.Code), epoch, index, body)
}

// Failed writes to the log, under the request's id, why the node did not do what was asked; every door calls it once for such an
// answer. Only what is wrong inside is an error there: that the node is sealed, blocked or without a leader was logged when it began,
// and would otherwise fill the log at the pace of everybody who asks, strangers too. What is the caller's is not logged.
func (d *Door) Failed(w http.ResponseWriter, q *http.Request, err error) {
	e := kms.AsError(err)
	level := slog.LevelDebug
	switch e.Code.Class() {
	case kms.ClassInternal:
		level = slog.LevelError
	case kms.ClassUnavailable, kms.ClassUnknown:
	default:
		return
	}
	cause := e.Unwrap()
	if cause == nil {
		cause = e
	}
	d.log.Log(Context(w, q), level, "request failed", "code", string(e.Code), "cause", cause.Error())
}

// retryAfter returns whole seconds, at least 1.
func retryAfter(e *kms.Error) string {
	return strconv.FormatInt(max(1, int64((e.RetryAfter+time.Second-1)/time.Second)), 10)
}

// Answer writes v as JSON with the state it was read from.
func (d *Door) Answer(w http.ResponseWriter, q *http.Request, status int, epoch, index uint64, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		d.Error(w, q, err)
		return
	}
	d.Write(w, status, epoch, index, body)
}

// Write writes a JSON body that is already encoded, and a newline for those who read it in a terminal.
func (d *Door) Write(w http.ResponseWriter, status int, epoch, index uint64, body []byte) {
	h := w.Header()
	h["Content-Type"] = d.json
	h["Cache-Control"] = d.noStore
	h[wire.HeaderIndex] = []string{FormatIndex(epoch, index)}
	if len(body) >= 2048 { // up to here net/http counts by itself
		h["Content-Length"] = []string{strconv.Itoa(len(body) + 1)}
	}
	w.WriteHeader(status)
	// If these fail the client is gone and nobody is left to tell.
	w.Write(body)
	w.Write(d.newline)
}

// FormatIndex returns "EPOCH.INDEX".
func FormatIndex(epoch, index uint64) string {
	var b [41]byte
	s := strconv.AppendUint(b[:0], epoch, 10)
	s = append(s, '.')
	return string(strconv.AppendUint(s, index, 10))
}

// newRequestID returns a random UUID. It must be unique, not secret.
func newRequestID() string {
	var raw [16]byte
	hi, lo := rand.Uint64(), rand.Uint64()
	for i := range 8 {
		raw[i], raw[8+i] = byte(hi>>(8*i)), byte(lo>>(8*i))
	}
	raw[6], raw[8] = raw[6]&0x0f|0x40, raw[8]&0x3f|0x80
	return kms.UUID(raw)
}
