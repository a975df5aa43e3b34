package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// stateCollector turns a State into metrics, by the table below.
type stateCollector struct {
	read func() State
	now  func() time.Time
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(to chan<- *prometheus.Desc) {
	for i := range table {
		to <- table[i].desc
	}
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(to chan<- prometheus.Metric) {
	s := c.read()
	now := c.now()
	for i := range table {
		row := &table[i]
		row.read(&s, now, func(value float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(row.desc, row.kind, value, labels...)
		})
	}
}

// emit is given each value of a metric, with the values of its labels.
type emit func(value float64, labels ...string)

// row is one metric.
type row struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(*State, time.Time, emit)
}

// table is every metric that is asked for at a scrape. It is immutable.
var table = concat(nodeRows, clusterRows, storageRows, workRows, auditRows)

func concat(parts ...[]row) (all []row) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// gauge is a number that rises and falls, counter one that only rises; the functions after them read one value of a state.
func gauge(name, help string, read func(*State, time.Time, emit), labels ...string) row {
	return row{prometheus.NewDesc("lockstep_"+name, help, labels, nil), prometheus.GaugeValue, read}
}

func counter(name, help string, read func(*State, time.Time, emit), labels ...string) row {
	return row{prometheus.NewDesc("lockstep_"+name, help, labels, nil), prometheus.CounterValue, read}
}

// number emits a number unless it is negative, which says that it is not known.
func number[N int | int64 | uint64](read func(*State) N) func(*State, time.Time, emit) {
	return func(s *State, _ time.Time, to emit) {
		if n := read(s); n >= 0 {
			to(float64(n))
		}
	}
}

// seconds emits a duration unless it is negative, which says that it is not known.
func seconds(read func(*State) time.Duration) func(*State, time.Time, emit) {
	return func(s *State, _ time.Time, to emit) {
		if d := read(s); d >= 0 {
			to(d.Seconds())
		}
	}
}

// since emits the seconds that have passed since a time, unless that is zero.
func since(read func(*State) time.Time) func(*State, time.Time, emit) {
	return func(s *State, now time.Time, to emit) {
		if at := read(s); !at.IsZero() {
			to(max(0, now.Sub(at).Seconds()))
		}
	}
}

// truth emits 1 or 0.
func truth(read func(*State) bool) func(*State, time.Time, emit) {
	return func(s *State, _ time.Time, to emit) { to(oneIf(read(s))) }
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// each emits a value for each element of a list.
func each[E any](list func(*State) []E, value func(E) float64, labels func(E) []string) func(*State, time.Time, emit) {
	return func(s *State, _ time.Time, to emit) {
		for _, e := range list(s) {
			to(value(e), labels(e)...)
		}
	}
}

var nodeRows = []row{
	gauge("initialized", "1 when the cluster has been initialized.", truth(func(s *State) bool { return s.Initialized })),
	gauge("sealed", "1 while this node is sealed.", truth(func(s *State) bool { return s.Sealed })),
	gauge("unseal_progress_shares", "Key shares given in the current unseal attempt.", number(func(s *State) int { return s.UnsealProgress })),
	gauge("unseal_threshold_shares", "Key shares that unseal; 0 before init.", number(func(s *State) int { return s.UnsealThreshold })),
	gauge("can_serve_crypto", "1 while this node can serve cryptography: unsealed, with a lease and with an audit trail.", truth(func(s *State) bool { return s.CanServeCrypto })),
	gauge("can_write", "1 while this node can take changes: a leader is known and nothing on this node forbids it.", truth(func(s *State) bool { return s.CanWrite })),
	gauge("audit_blocked", "1 while too few audit sinks take records, so that everything is refused.", truth(func(s *State) bool { return s.AuditBlocked })),
	gauge("quarantined", "1 when this node's state differs from the majority's.", truth(func(s *State) bool { return s.Quarantined })),
	gauge("digest_split", "1 while the nodes' states differ and none has a majority, so that nobody writes.", truth(func(s *State) bool { return s.DigestSplit })),
	gauge("log_trouble", "1 while the Raft log cannot be written: an error, a hang, or too little free space.", truth(func(s *State) bool { return s.LogTrouble })),
	gauge("clock_synchronized", "1 while this node's clock is known to be within 10 seconds of the voters' median.", truth(func(s *State) bool { return s.ClockOK })),
	gauge("clock_offset_seconds", "This node's clock against the voters' median; positive when it is ahead, 0 when that is not known.",
		func(s *State, _ time.Time, to emit) { to(s.ClockOffset.Seconds()) }),
	gauge("lease_remaining_seconds", "How long this node may serve cryptography if it hears nothing more; 0 without a lease or while it is sealed.", seconds(func(s *State) time.Duration { return s.LeaseLeft })),
	gauge("revocation_bound_seconds", "The setting revocation_bound as this node knows it: how long a lease lasts.", seconds(func(s *State) time.Duration { return s.RevocationBound })),
	gauge("lag_seconds", "Age of this node's view of the state, as last confirmed by the leader.", seconds(func(s *State) time.Duration { return s.Lag })),
	gauge("applied_index", "Raft index of the last command that this node has applied.", number(func(s *State) uint64 { return s.Applied })),
	gauge("opened_index", "Raft index up to which this node has opened the state; 0 while it is sealed.", number(func(s *State) uint64 { return s.Opened })),
	gauge("unreadable_records", "Live records that do not open on this node; left out while it is sealed.", number(func(s *State) int { return s.Unreadable })),
	gauge("certificate_not_after_timestamp_seconds", "When a certificate that this node uses ends: of the API, of the port between nodes, of syslog collectors that take audit records, and of their CAs.",
		each(func(s *State) []Certificate { return s.Certificates }, func(c Certificate) float64 { return float64(c.NotAfter.Unix()) },
			func(c Certificate) []string { return []string{c.Name} }), "certificate"),
}

var raftStates = []string{"Follower", "Candidate", "Leader", "Shutdown"}

var clusterRows = []row{
	gauge("leader", "1 while this node leads and has applied everything that was acknowledged before.", truth(func(s *State) bool { return s.Cluster.Leader })),
	gauge("leader_known", "1 while this node knows of a leader.", truth(func(s *State) bool { return s.Cluster.LeaderKnown })),
	gauge("members", "Members of the cluster.", number(func(s *State) int { return s.Cluster.Members })),
	gauge("voters", "Members of the cluster with a vote.", number(func(s *State) int { return s.Cluster.Voters })),
	gauge("members_healthy", "Members that the leader heard of lately and without trouble; told by the leader only.", number(func(s *State) int { return s.Cluster.Healthy })),
	gauge("voters_healthy", "Members with a vote that the leader heard of lately and without trouble; told by the leader only.", number(func(s *State) int { return s.Cluster.HealthyVoters })),
	gauge("members_sealed", "Members that say they are sealed; told by the leader only.", number(func(s *State) int { return s.Cluster.Sealed })),
	gauge("gossip_members", "Nodes that gossip believes to be up, this one included.", number(func(s *State) int { return s.Gossip.Members })),
	gauge("gossip_health_score", "How unwell gossip finds this node: 0 is well.", number(func(s *State) int { return s.Gossip.Score })),
	gauge("raft_state", "1 for the state that Raft is in on this node.", func(s *State, _ time.Time, to emit) {
		for _, name := range raftStates {
			to(oneIf(s.Raft.State == name), name)
		}
	}, "state"),
	gauge("raft_term", "Raft's current term.", number(func(s *State) uint64 { return s.Raft.Term })),
	counter("raft_leader_changes_total", "Changes of the leader that this node has seen.", number(func(s *State) uint64 { return s.Raft.LeaderChanges })),
	gauge("raft_last_contact_seconds", "Time since this node heard of the leader; 0 on the leader, left out before the first contact.", seconds(func(s *State) time.Duration { return s.Raft.LastContact })),
	gauge("raft_last_log_index", "Index of the last entry in this node's log.", number(func(s *State) uint64 { return s.Raft.LastLog })),
	gauge("raft_commit_index", "Index up to which this node knows entries as committed.", number(func(s *State) uint64 { return s.Raft.Commit })),
	gauge("raft_applied_index", "Index of the last entry that Raft gave to the state machine.", number(func(s *State) uint64 { return s.Raft.Applied })),
	gauge("raft_last_snapshot_index", "Index of the last entry in this node's newest snapshot.", number(func(s *State) uint64 { return s.Raft.LastSnapshot })),
	gauge("raft_fsm_pending_batches", "Batches of entries that wait for the state machine.", number(func(s *State) int { return s.Raft.FSMPending })),
}

var storageRows = []row{
	gauge("bolt_file_bytes", "Size of the Raft log's file.", number(func(s *State) int64 { return s.Bolt.FileBytes })),
	gauge("bolt_free_pages", "Free pages in the Raft log's file.", number(func(s *State) int { return s.Bolt.FreePages })),
	gauge("bolt_pending_pages", "Pages in the Raft log's file that are free once older readers end.", number(func(s *State) int { return s.Bolt.PendingPages })),
	gauge("bolt_freelist_bytes", "Memory that the list of free pages takes.", number(func(s *State) int { return s.Bolt.FreelistBytes })),
	counter("bolt_read_transactions_total", "Read transactions on the Raft log's file.", number(func(s *State) int { return s.Bolt.Reads })),
	gauge("bolt_open_read_transactions", "Read transactions on the Raft log's file that are open.", number(func(s *State) int { return s.Bolt.OpenReads })),
	counter("bolt_writes_total", "Writes to the Raft log's file.", number(func(s *State) int64 { return s.Bolt.Writes })),
	counter("bolt_write_seconds_total", "Time spent writing to the Raft log's file.", seconds(func(s *State) time.Duration { return s.Bolt.WriteTime })),
	counter("bolt_spill_seconds_total", "Time spent splitting pages of the Raft log's file.", seconds(func(s *State) time.Duration { return s.Bolt.SpillTime })),
	counter("bolt_rebalance_seconds_total", "Time spent merging pages of the Raft log's file.", seconds(func(s *State) time.Duration { return s.Bolt.RebalanceTime })),
	counter("bolt_page_allocated_bytes_total", "Bytes of pages allocated in the Raft log's file.", number(func(s *State) int64 { return s.Bolt.PageBytes })),
	gauge("disk_free_bytes", "Free bytes of the file system that holds the directory.",
		each(disks, func(d Disk) float64 { return float64(d.Free) }, diskLabels), "directory"),
	gauge("disk_size_bytes", "Size of the file system that holds the directory.",
		each(disks, func(d Disk) float64 { return float64(d.Size) }, diskLabels), "directory"),
}

func disks(s *State) []Disk        { return s.Disks }
func diskLabels(d Disk) []string   { return []string{d.Directory} }
func queues(s *State) []Queue      { return s.Queues }
func queueLabels(q Queue) []string { return []string{q.Name} }
func dues(s *State) []Due          { return s.Scheduler }
func dueLabels(d Due) []string     { return []string{d.Event} }
func sinks(s *State) []Sink        { return s.Audit.Sinks }
func sinkLabels(k Sink) []string   { return []string{k.Name} }

var workRows = []row{
	gauge("queue_depth", "Requests or entries inside a queue.", each(queues, func(q Queue) float64 { return float64(q.Depth) }, queueLabels), "queue"),
	gauge("queue_limit", "How many a queue takes.", each(queues, func(q Queue) float64 { return float64(q.Limit) }, queueLabels), "queue"),
	counter("queue_refused_total", "Requests refused because a queue was full.", each(queues, func(q Queue) float64 { return float64(q.Refused) }, queueLabels), "queue"),
	gauge("scheduler_due_keys", "Keys with scheduled work whose time has come and that is not done; left out while this node is sealed.",
		each(dues, func(d Due) float64 { return float64(d.Keys) }, dueLabels), "event"),
	gauge("scheduler_overdue_seconds", "Time since the longest waiting scheduled work was due; 0 when none is.",
		each(dues, func(d Due) float64 { return d.Oldest.Seconds() }, dueLabels), "event"),
	gauge("keys", "Keys by spec and state; left out while this node is sealed.", each(func(s *State) []KeyCount { return s.Keys },
		func(k KeyCount) float64 { return float64(k.Keys) }, func(k KeyCount) []string { return []string{k.Spec, k.State} }), "key_spec", "key_state"),
}

var auditRows = []row{
	counter("audit_records_total", "Records that an audit sink has taken.", each(sinks, func(k Sink) float64 { return float64(k.Records) }, sinkLabels), "sink"),
	counter("audit_missed_records_total", "Records that an audit sink has not taken.", each(sinks, func(k Sink) float64 { return float64(k.Missed) }, sinkLabels), "sink"),
	gauge("audit_queue_records", "Records that wait for an audit sink.", each(sinks, func(k Sink) float64 { return float64(k.Queue) }, sinkLabels), "sink"),
	gauge("audit_sink_healthy", "1 while an audit sink takes records.", each(sinks, func(k Sink) float64 { return oneIf(k.Healthy) }, sinkLabels), "sink"),
	gauge("audit_sink_trouble", "1 while an audit sink's last write has failed, or its files cannot be synced, rotated or removed.", each(sinks, func(k Sink) float64 { return oneIf(k.Trouble) }, sinkLabels), "sink"),
	gauge("audit_sequence", "Sequence number of this node's last audit record.", number(func(s *State) uint64 { return s.Audit.Sequence })),
	counter("audit_folded_refusals_total", "Refusals of unauthenticated callers that were counted in a record of many.", number(func(s *State) uint64 { return s.Audit.Folded })),
	gauge("audit_head_age_seconds", "Time since the head of this node's audit chain was signed, or since the node's start if it has not been.", since(func(s *State) time.Time { return s.Audit.Head })),
	gauge("audit_anchor_age_seconds", "Age of the head of this node's audit chain that the cluster's state has, as far as this node knows; since the node's start before it knows of one.", since(func(s *State) time.Time { return s.Audit.Anchor })),
}
