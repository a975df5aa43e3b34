package metrics

import (
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/lockstep-kms/lockstep/kms"
)

// Options makes a Metrics. State is required.
type Options struct {
	Node    string // this node's name
	Version string // of the product
	Commit  string // that it was built from
	FIPS    bool   // the FIPS 140-3 mode is on

	Doors []string // names of the doors, as service.Call.Door has them; others count as "other"
	Keys  int      // how many keys have a series of their own

	// State says how the node is. It is called at each scrape, may be called by several at a time, and answers at once.
	State func() State

	Now func() time.Time // default time.Now
}

// Metrics is the metrics of one node. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	now      func() time.Time
	requests *requests
	crypto   *cryptography
	uses     *keyUses
	pending  *pendingUses

	doorRefused    *prometheus.CounterVec
	scheduled      *prometheus.CounterVec
	appendTook     prometheus.Histogram
	appendEntries  prometheus.Counter
	auditTook      *prometheus.HistogramVec
	auditFailed    *prometheus.CounterVec
	pendingRefused prometheus.Counter
}

// Buckets of histograms, in seconds. Beside them every histogram is a native one too, which a Prometheus that asks for those
// gets instead.
var (
	requestBuckets = []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5}
	diskBuckets    = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .5, 2.5}
)

// histogram returns the options of a histogram that is served in both forms. A native one that would have more than 100 buckets
// begins anew, its classic form with it, if it has not for an hour; otherwise its buckets become twice as wide until that hour
// ends, and it begins anew then.
func histogram(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour}
}

// New returns the metrics of a node.
func New(o Options) *Metrics {
	if o.Now == nil {
		o.Now = time.Now
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(), now: o.Now,
		requests: newRequests(o.Doors), crypto: newCryptography(), uses: newKeyUses(o.Keys, o.Now), pending: newPendingUses(min(o.Keys, 1) * pendingShown),
		doorRefused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lockstep_door_refused_total",
			Help: "Requests that a door answered with an error by itself, so that they are no calls, by door and outcome."}, []string{"door", "outcome"}),
		scheduled: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lockstep_scheduler_done_total",
			Help: "Scheduled work on keys that this node did as leader, by event (CloudTrail's name) and by how it ended (ok or error)."}, []string{"event", "outcome"}),
		appendTook: prometheus.NewHistogram(histogram("lockstep_log_append_duration_seconds",
			"Time that appending a batch of entries to the Raft log took, until it was durable.", diskBuckets)),
		appendEntries: prometheus.NewCounter(prometheus.CounterOpts{Name: "lockstep_log_append_entries_total", Help: "Entries appended to the Raft log."}),
		auditTook: prometheus.NewHistogramVec(histogram("lockstep_audit_write_duration_seconds",
			"Time that an audit sink took to write a batch of records, until it had the sink's durability or failed.", diskBuckets), []string{"sink"}),
		auditFailed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lockstep_audit_write_errors_total",
			Help: "Batches of records that an audit sink could not write."}, []string{"sink"}),
		pendingRefused: prometheus.NewCounter(prometheus.CounterOpts{Name: "lockstep_pending_deletion_requests_total",
			Help: "Requests of callers who may use a key, refused because the key is to be deleted."}),
	}
	for _, event := range kms.ScheduledEvents { // from the start on, so that the first one is an increase
		m.scheduled.WithLabelValues(event, outcomeOK)
		m.scheduled.WithLabelValues(event, outcomeError)
	}
	m.registry.MustRegister(m.requests.total, m.requests.took, m.crypto.total, m.uses, m.pending, m.doorRefused, m.scheduled,
		m.appendTook, m.appendEntries, m.auditTook, m.auditFailed, m.pendingRefused,
		&stateCollector{read: o.State, now: o.Now}, build(o),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// build is what never changes while a node runs.
func build(o Options) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lockstep_build_info",
		Help: "What this node is: always 1. Labels are its name, version, commit, Go version, and whether the FIPS 140-3 mode is on.",
		ConstLabels: prometheus.Labels{"node": o.Node, "version": o.Version, "commit": o.Commit, "go_version": runtime.Version(),
			"fips": strconv.FormatBool(o.FIPS)}}, func() float64 { return 1 })
}

// Request counts a call that the service has answered. code is "" when it was done. It is called once for each call.
func (m *Metrics) Request(op *kms.Operation, door string, code kms.Code, took time.Duration) {
	c := m.requests.cell(op, door, code)
	c.count.Inc()
	c.took.Observe(took.Seconds())
}

// DoorRefused counts a request that a door answered with an error by itself; door is a name of the product's.
func (m *Metrics) DoorRefused(door string, code kms.Code) {
	m.doorRefused.WithLabelValues(door, outcomes[outcomeOf(code)]).Inc()
}

// Used counts a key as used by an operation that was done.
func (m *Metrics) Used(op *kms.Operation, spec kms.KeySpec, keyID string) {
	m.crypto.counter(op, spec).Inc()
	m.uses.add(keyID)
}

// PendingDeletion counts a request of a caller who may use a key that is to be deleted, and was refused for that.
func (m *Metrics) PendingDeletion(keyID string) {
	m.pendingRefused.Inc()
	m.pending.add(keyID, m.now())
}

// Scheduled counts scheduled work, one of kms.ScheduledEvents, as done (code "") or failed.
func (m *Metrics) Scheduled(event string, code kms.Code) {
	outcome := outcomeOK
	if code != "" {
		outcome = outcomeError
	}
	m.scheduled.WithLabelValues(event, outcome).Inc()
}

// LogAppended notes that a batch of entries was appended to the Raft log.
func (m *Metrics) LogAppended(took time.Duration, entries int) {
	m.appendTook.Observe(took.Seconds())
	m.appendEntries.Add(float64(entries))
}

// AuditWritten notes that an audit sink was given a batch of records, and how that ended.
func (m *Metrics) AuditWritten(sink string, took time.Duration, err error) {
	m.auditTook.WithLabelValues(sink).Observe(took.Seconds())
	failed := m.auditFailed.WithLabelValues(sink) // there from the first write on, so that the first failure is an increase
	if err != nil {
		failed.Inc()
	}
}
