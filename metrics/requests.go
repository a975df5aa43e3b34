package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lockstep-kms/lockstep/kms"
)

const (
	outcomeOK    = "ok"
	outcomeError = "error"
	other        = "other"
)

// outcomes are the values of the label outcome: ok, and a name for each class of error codes at its number.
var outcomes = [...]string{
	0:                        outcomeOK,
	kms.ClassInvalid:         "invalid",
	kms.ClassUnauthenticated: "unauthenticated",
	kms.ClassDenied:          "denied",
	kms.ClassNotFound:        "not_found",
	kms.ClassMethod:          "method_not_allowed",
	kms.ClassState:           "state",
	kms.ClassPrecondition:    "precondition",
	kms.ClassTooLarge:        "too_large",
	kms.ClassThrottled:       "throttled",
	kms.ClassInternal:        "internal",
	kms.ClassUnavailable:     "unavailable",
	kms.ClassUnknown:         "outcome_unknown",
}

// failures are the classes of errors that are the cluster's.
var failures = [...]kms.Class{kms.ClassInternal, kms.ClassUnavailable, kms.ClassUnknown}

func outcomeOf(code kms.Code) int {
	if code == "" {
		return 0
	}
	return int(code.Class())
}

// requests counts calls by operation, door and outcome. There are over 10,000 combinations, of which a cluster meets some
// dozens, so a series is made when its combination is first met, and the counters of failures beside the first of their operation
// and door. It is found again with three look-ups and without a lock.
type requests struct {
	operations positions[*kms.Operation]
	doors      positions[string]
	cells      []atomic.Pointer[cell] // by operation, door and outcome
	total      *prometheus.CounterVec
	took       *prometheus.HistogramVec
}

// cell is one combination.
type cell struct {
	count prometheus.Counter
	took  prometheus.Observer
}

// positions numbers the values of a label from 1 on; 0 is every value that is not in it. It is immutable.
type positions[T comparable] struct {
	at    map[T]int
	names []string
}

func newPositions[T comparable](values []T, name func(T) string) positions[T] {
	p := positions[T]{at: make(map[T]int, len(values)), names: []string{other}}
	for _, v := range values {
		p.at[v] = len(p.names)
		p.names = append(p.names, name(v))
	}
	return p
}

func operations() positions[*kms.Operation] {
	all := append(append([]*kms.Operation{}, kms.Operations...), kms.AWSOperations...)
	return newPositions(all, func(o *kms.Operation) string { return o.Name })
}

func newRequests(doors []string) *requests {
	labels := []string{"operation", "door", "outcome"}
	r := &requests{
		operations: operations(),
		doors:      newPositions(doors, func(s string) string { return s }),
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lockstep_requests_total",
			Help: "Calls that were answered, by operation (AWS's name), door and outcome: ok, or the class of the error's code."}, labels),
		took: prometheus.NewHistogramVec(histogram("lockstep_request_duration_seconds",
			"Time from a call's entry into the service to its answer, its audit record and waiting for members included.", requestBuckets), labels),
	}
	r.cells = make([]atomic.Pointer[cell], len(r.operations.names)*len(r.doors.names)*len(outcomes))
	return r
}

func (r *requests) cell(op *kms.Operation, door string, code kms.Code) *cell {
	o, d, c := r.operations.at[op], r.doors.at[door], outcomeOf(code)
	place := &r.cells[(o*len(r.doors.names)+d)*len(outcomes)+c]
	if found := place.Load(); found != nil {
		return found
	}
	labels := []string{r.operations.names[o], r.doors.names[d], outcomes[c]}
	place.CompareAndSwap(nil, &cell{count: r.total.WithLabelValues(labels...), took: r.took.WithLabelValues(labels...)})
	for _, class := range failures { // there from the first call on: what fails after the next scrape is an increase
		r.total.WithLabelValues(labels[0], labels[1], outcomes[class])
	}
	return place.Load()
}

// cryptography counts uses of keys by operation and key spec, likewise.
type cryptography struct {
	operations positions[*kms.Operation]
	specs      positions[kms.KeySpec]
	cells      []atomic.Pointer[prometheus.Counter]
	total      *prometheus.CounterVec
}

func newCryptography() *cryptography {
	c := &cryptography{
		operations: operations(),
		specs:      newPositions(kms.KeySpecs, func(s kms.KeySpec) string { return string(s) }),
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lockstep_crypto_operations_total",
			Help: "Uses of keys by cryptographic operations that were done, by operation and key spec. ReEncrypt uses two keys."}, []string{"operation", "key_spec"}),
	}
	c.cells = make([]atomic.Pointer[prometheus.Counter], len(c.operations.names)*len(c.specs.names))
	return c
}

func (c *cryptography) counter(op *kms.Operation, spec kms.KeySpec) prometheus.Counter {
	o, s := c.operations.at[op], c.specs.at[spec]
	place := &c.cells[o*len(c.specs.names)+s]
	found := place.Load()
	if found == nil {
		made := c.total.WithLabelValues(c.operations.names[o], c.specs.names[s])
		place.CompareAndSwap(nil, &made)
		found = place.Load()
	}
	return *found
}
