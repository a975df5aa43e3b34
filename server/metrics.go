package server

import (
	"crypto/fips140"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/audit/sink"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/metrics"
	"github.com/lockstep-kms/lockstep/secret"
	"github.com/lockstep-kms/lockstep/storage"
)

const (
	dueLooked = 10_000                 // keys with work that is due which a scrape looks at
	lookWait  = 250 * time.Millisecond // for a file system, which may hang
)

// newMetrics returns the metrics of the node, which may still be put together: it is asked how it is at the first scrape.
func (n *node) newMetrics() *metrics.Metrics {
	logSize := &look[int64]{read: func() (int64, error) { return storage.LogSize(n.cfg.DataDir) }}
	spaces, certificates, started := spacesOf(n.cfg), certificatesOf(n.cfg), time.Now()
	return metrics.New(metrics.Options{
		Node: n.cfg.Name, Version: n.version, Commit: commit(), FIPS: fips140.Enabled(), Keys: n.cfg.MetricsKeys,
		Doors: []string{"rest", "awskms", "sts", "iam", "xks"},
		State: func() metrics.State {
			s := n.state()
			s.Certificates, s.Audit = certificates, n.trail(started)
			if size := logSize.now(); size != nil {
				s.Bolt.FileBytes = *size
			}
			for _, one := range spaces {
				if d := one.now(); d != nil {
					s.Disks = append(s.Disks, *d)
				}
			}
			return s
		},
	})
}

// commit is what the binary was built from, as far as it knows.
func commit() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}

// state is how the node is now, as metrics have it.
func (n *node) state() metrics.State {
	st, seals, stats := n.replica.Status(), n.SealStatus(), n.replica.Stats()
	health, log := n.health(st), stats.Log
	s := metrics.State{
		Initialized: health.Initialized, Sealed: health.Sealed, UnsealProgress: seals.Progress, UnsealThreshold: seals.Threshold,
		CanServeCrypto: health.CanServeCrypto, CanWrite: health.CanWrite, AuditBlocked: n.audit.Blocked(),
		Quarantined: st.Quarantined != "", DigestSplit: st.Split, LogTrouble: st.DiskTrouble != "", ClockOK: st.ClockOK, ClockOffset: st.ClockOffset,
		LeaseLeft: st.Lease, RevocationBound: n.bound(), Lag: st.Lag, Applied: st.Applied, Opened: st.Opened, Unreadable: -1,
		Cluster: metrics.Cluster{Leader: st.Leader, LeaderKnown: st.LeaderName != "", Members: stats.Members, Voters: stats.Voters,
			Healthy: stats.Healthy, HealthyVoters: stats.HealthyVoters, Sealed: stats.Sealed},
		Raft: metrics.Raft{State: stats.State, Term: stats.Term, LeaderChanges: stats.LeaderChanges, LastContact: stats.LastContact,
			LastLog: stats.LastLog, Commit: stats.Commit, Applied: stats.Applied, LastSnapshot: stats.LastSnapshot, FSMPending: stats.FSMPending},
		Bolt: metrics.Bolt{FileBytes: -1, FreePages: log.FreePageN, PendingPages: log.PendingPageN, FreelistBytes: log.FreelistInuse,
			Reads: log.TxN, OpenReads: log.OpenTxN, Writes: log.TxStats.GetWrite(), WriteTime: log.TxStats.GetWriteTime(),
			SpillTime: log.TxStats.GetSpillTime(), RebalanceTime: log.TxStats.GetRebalanceTime(), PageBytes: log.TxStats.GetPageAlloc()},
		Gossip: metrics.Gossip{Members: len(n.gossip.Members()), Score: n.gossip.Score()},
	}
	if s.Sealed {
		s.LeaseLeft = 0 // there is nothing that it would serve
	}
	for _, name := range slices.Sorted(maps.Keys(n.gates)) {
		g := n.gates[name]
		s.Queues = append(s.Queues, metrics.Queue{Name: name, Depth: g.Inside(), Limit: g.Limit(), Refused: g.Refused()})
	}
	for _, q := range stats.Queues {
		s.Queues = append(s.Queues, metrics.Queue{Name: q.Name, Depth: q.Depth, Limit: q.Limit, Refused: q.Refused})
	}
	n.addKeys(&s)
	return s
}

// trail is how the audit trail is now. What has not been signed or anchored yet counts as old as the node's start, so that a trail
// which never is does not go unseen.
func (n *node) trail(started time.Time) metrics.Audit {
	stats := n.audit.Stats()
	a := metrics.Audit{Sequence: stats.Seq, Folded: stats.Folded, Head: stats.HeadTime, Anchor: started}
	if a.Head.IsZero() {
		a.Head = started
	}
	if head := n.anchors.Anchored(); head.Seq > 0 {
		a.Anchor = time.UnixMilli(head.Time)
	}
	for _, k := range stats.Sinks {
		a.Sinks = append(a.Sinks, metrics.Sink{Name: k.Name, Healthy: k.Healthy, Records: k.Records, Missed: k.Missed, Queue: k.Queue, Trouble: k.LastError != nil})
	}
	return a
}

// addKeys adds what the opened catalog knows; a sealed node knows nothing of it.
func (n *node) addKeys(s *metrics.State) {
	view := n.catalog.View()
	if view == nil {
		return
	}
	s.Unreadable = view.Unreadable()
	for kind, count := range view.KeyKinds() {
		s.Keys = append(s.Keys, metrics.KeyCount{Spec: string(kind.Spec), State: string(kind.State), Keys: count})
	}
	now := n.replica.LogNow()
	s.Scheduler = make([]metrics.Due, len(kms.ScheduledEvents))
	for i, event := range kms.ScheduledEvents {
		s.Scheduler[i].Event = event
	}
	for _, k := range view.Due(now, dueLooked) {
		at, event := k.DueEvent()
		due := &s.Scheduler[slices.Index(kms.ScheduledEvents, event)]
		due.Keys++
		due.Oldest = max(due.Oldest, time.Duration(now-at)*time.Millisecond)
	}
}

// mayScrape refuses who may not have the metrics on the API's address.
func (n *node) mayScrape(bearer string) error {
	switch {
	case n.cfg.MetricsToken == "" && n.cfg.Dev:
		return nil
	case n.cfg.MetricsToken == "":
		return kms.Errorf(kms.CodeNotFound, "This node has no metrics_token in its configuration, so it serves no metrics at this address.")
	case !secret.Equal([]byte(bearer), []byte(n.cfg.MetricsToken)):
		return kms.Errorf(kms.CodeUnauthenticated, "The metrics are for who shows the metrics_token of the node's configuration, as bearer token.")
	}
	return nil
}

// openScrapes listens for scrapes on an address of their own, if there is to be one.
func (s *Server) openScrapes(cfg Config, scrapes http.Handler) error {
	if cfg.MetricsListen == "" {
		return nil
	}
	l, err := net.Listen("tcp", cfg.MetricsListen)
	if err != nil {
		return fmt.Errorf("metrics_listen: %w", err)
	}
	s.scrapes = l
	s.closeLater("metrics listener", func() error { return ignoreClosed(l.Close()) })
	rt := wire.SystemRoute(wire.Metrics)
	mux := http.NewServeMux()
	mux.Handle(rt.Method+" "+rt.Path, scrapes)
	s.scraped = door.Server(mux, s.logs.of("api"))
	return nil
}

// look reads something from a file system. A read that hangs holds up no scrape, and no second one is begun beside it.
type look[T any] struct {
	read func() (T, error)
	busy atomic.Bool
	last atomic.Pointer[T]
}

// now returns what is read now, nil when it cannot be told in time.
func (l *look[T]) now() *T {
	if !l.busy.CompareAndSwap(false, true) {
		return l.last.Load()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer l.busy.Store(false)
		v, err := l.read()
		if err != nil {
			l.last.Store(nil)
			return
		}
		l.last.Store(&v)
	}()
	timer := time.NewTimer(lookWait)
	defer timer.Stop()
	select {
	case <-done:
		return l.last.Load()
	case <-timer.C:
		l.last.Store(nil)
		return nil
	}
}

// spacesOf looks at the directories that cfg has the node write to, each once: data, audit with audit.file in it, and those of further
// files of records.
func spacesOf(cfg Config) []*look[metrics.Disk] {
	spaces, seen := []*look[metrics.Disk]{spaceOf("data", cfg.DataDir)}, map[string]bool{}
	add := func(name, file string) {
		if dir := filepath.Dir(file); !seen[dir] {
			seen[dir] = true
			spaces = append(spaces, spaceOf(name, dir))
		}
	}
	if cfg.Audit.File != "" {
		add("audit", cfg.Audit.File)
	}
	for _, text := range cfg.Audit.Sinks {
		if u, err := sink.Parse(text); err == nil && u.Kind == sink.File {
			add("audit:"+filepath.Dir(u.Path), u.Path)
		}
	}
	return spaces
}

// spaceOf looks at the room on the file system of a directory.
func spaceOf(name, path string) *look[metrics.Disk] {
	return &look[metrics.Disk]{read: func() (metrics.Disk, error) {
		free, size, err := storage.Space(path)
		return metrics.Disk{Directory: name, Free: free, Size: size}, err
	}}
}

// certificatesOf says when the certificates end that cfg names; of several for one use, the first that does. What cannot be read is
// left out: whoever opens it for use says why.
func certificatesOf(cfg Config) (all []metrics.Certificate) {
	chains := map[string][][]byte{}
	add := func(name string, files TLSFiles) {
		if files.CertFile != "" {
			if pair, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile); err == nil {
				chains[name] = append(chains[name], pair.Certificate...)
			}
		}
		if raw, err := os.ReadFile(files.CAFile); files.CAFile != "" && err == nil {
			for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
				chains[name+"_ca"] = append(chains[name+"_ca"], block.Bytes)
			}
		}
	}
	add("api", cfg.APITLS)
	add("peer", cfg.PeerTLS)
	for _, text := range cfg.Audit.Sinks {
		if u, err := sink.Parse(text); err == nil {
			add("audit", TLSFiles{CertFile: u.CertFile, KeyFile: u.KeyFile, CAFile: u.CAFile})
		}
	}
	for name, chain := range chains {
		if first := firstEnd(chain); !first.IsZero() {
			all = append(all, metrics.Certificate{Name: name, NotAfter: first})
		}
	}
	return all
}

// firstEnd says when the first of some certificates ends; zero when none is one.
func firstEnd(chain [][]byte) (first time.Time) {
	for _, der := range chain {
		if c, err := x509.ParseCertificate(der); err == nil && (first.IsZero() || c.NotAfter.Before(first)) {
			first = c.NotAfter
		}
	}
	return first
}
