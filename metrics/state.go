package metrics

import "time"

// State is how a node is at a scrape. A duration that is negative, a time that is zero and a number of -1 are not known: their
// metrics are left out.
type State struct {
	Initialized, Sealed      bool
	UnsealProgress           int // shares given in the current attempt
	UnsealThreshold          int // 0 before init
	CanServeCrypto, CanWrite bool

	AuditBlocked, Quarantined, DigestSplit, LogTrouble bool
	ClockOK                                            bool
	ClockOffset                                        time.Duration // against the voters' median; may be negative

	LeaseLeft       time.Duration // 0: no lease holds
	RevocationBound time.Duration
	Lag             time.Duration // age of the node's view

	Applied, Opened uint64 // index of the last command applied, and opened; the latter 0 while sealed

	Cluster    Cluster
	Raft       Raft
	Bolt       Bolt
	Gossip     Gossip
	Queues     []Queue
	Scheduler  []Due
	Keys       []KeyCount
	Unreadable int // live records that do not open; -1 while sealed

	Audit        Audit
	Certificates []Certificate
	Disks        []Disk
}

// Cluster is the membership. Only the leader hears from the others: elsewhere Healthy, HealthyVoters and Sealed are -1.
type Cluster struct {
	Leader        bool // this node leads and has everything applied that was acknowledged before
	LeaderKnown   bool
	Members       int
	Voters        int
	Healthy       int // members heard of lately and without trouble
	HealthyVoters int // of them those with a vote
	Sealed        int // members that say so
}

// Raft is what Raft says of itself.
type Raft struct {
	State         string // Follower, Candidate, Leader or Shutdown
	Term          uint64
	LeaderChanges uint64        // seen by this node since its start
	LastContact   time.Duration // since a follower heard of the leader; 0 on the leader
	LastLog       uint64        // indexes
	Commit        uint64
	Applied       uint64
	LastSnapshot  uint64
	FSMPending    int // batches that wait for the state machine
}

// Bolt is what the log's store says of itself.
type Bolt struct {
	FileBytes     int64 // -1 when it cannot be told
	FreePages     int
	PendingPages  int
	FreelistBytes int
	Reads         int // transactions since the start
	OpenReads     int
	Writes        int64 // to the file, since the start
	WriteTime     time.Duration
	SpillTime     time.Duration
	RebalanceTime time.Duration
	PageBytes     int64 // allocated since the start
}

// Gossip is what memberlist says.
type Gossip struct {
	Members int // believed to be up, this node included
	Score   int // 0 is healthy
}

// Queue is something in which requests or entries are or wait.
type Queue struct {
	Name    string
	Depth   int
	Limit   int
	Refused uint64 // since the start, for want of a place
}

// Due is scheduled work of one kind whose time has come.
type Due struct {
	Event  string // one of kms.ScheduledEvents
	Keys   int
	Oldest time.Duration // since the first of them was due
}

// KeyCount is how many keys of a spec are in a state.
type KeyCount struct {
	Spec, State string
	Keys        int
}

// Audit is what the audit trail says.
type Audit struct {
	Sinks    []Sink
	Sequence uint64    // of the last record
	Folded   uint64    // refusals counted in a record of many, since the start
	Head     time.Time // when the head of the chain was last signed
	Anchor   time.Time // when it was last kept in the cluster's state
}

// Sink is one audit sink.
type Sink struct {
	Name    string
	Healthy bool
	Records uint64 // taken since the start
	Missed  uint64 // not taken since the start
	Queue   int    // records that wait
	Trouble bool   // its last write failed, or its files cannot be synced, rotated or removed
}

// Certificate is a certificate that this node uses.
type Certificate struct {
	Name     string
	NotAfter time.Time
}

// Disk is a file system that this node writes to.
type Disk struct {
	Directory string // what is in it: data, audit, or audit: and the path of a further directory with records
	Free      uint64 // bytes that the node may take
	Size      uint64
}
