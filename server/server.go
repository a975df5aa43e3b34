// Package server is one node: it reads the configuration, wires every part, starts and stops them in
// order. Nothing is wired anywhere else; tests and 'lockstep dev' start nodes through New.
//
// It promises that a node which cannot protect key memory, read its certificates or own its data
// directory does not start, and that stopping loses nothing that was acknowledged. The invariant
// that would hurt: the API opens only after Raft, catalog, audit and gate stand behind it.
package server

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/gorilla/mux"
	_ "golang.org/x/crypto/x509roots/fallback" // root certificates where the image has none

	"github.com/lockstep-kms/lockstep/api/aws"
	"github.com/lockstep-kms/lockstep/api/awskms"
	"github.com/lockstep-kms/lockstep/api/awsquery"
	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/api/rest"
	"github.com/lockstep-kms/lockstep/api/sys"
	"github.com/lockstep-kms/lockstep/api/xks"
	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/audit/index"
	"github.com/lockstep-kms/lockstep/audit/sink"
	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/auth/limit"
	"github.com/lockstep-kms/lockstep/auth/oidc"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/service"
	"github.com/lockstep-kms/lockstep/seal"
	"github.com/lockstep-kms/lockstep/secret"
	"github.com/lockstep-kms/lockstep/server/replica"
	"github.com/lockstep-kms/lockstep/storage"
	"github.com/lockstep-kms/lockstep/transport"
)

// Seams are what tests put in place of the outside world. The zero value is a real node.
type Seams struct {
	Version      string // of the product, shown in health and members
	Logger       *slog.Logger
	APIListener  net.Listener
	PeerListener net.Listener
	Dial         func(ctx context.Context, addr string) (net.Conn, error) // to other nodes
	Clock        replica.Clock
	Log          storage.LogOptions    // the log store's fault seams
	Timing       func(*replica.Timing) // faster clocks
	UnsealExpiry time.Duration         // of an unseal attempt
}

// Server is one node. Make it with New, run it once with Run.
type Server struct {
	node    *node
	http    *http.Server
	api     net.Listener
	scrapes net.Listener // of metrics_listen; nil without one
	scraped *http.Server // serves it
	logs    *logs
	log     *slog.Logger
	audit   *audit.Log
	fatal   chan error // capacity 1: what stops the node
	closers []closer   // in the order of opening
}

type closer struct {
	name  string
	close func() error
}

// New builds a node and joins it to its cluster; the API answers once Run is called.
func New(cfg Config, seams Seams) (_ *Server, err error) {
	s := &Server{logs: newLogs(cfg.Log, cfg.Name, seams.Logger, os.Stderr), fatal: make(chan error, 1)}
	s.log = s.logs.of("node")
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := secret.Harden(cfg.AllowUnlockedMemory); err != nil {
		return nil, err
	}
	if seams.Version == "" {
		seams.Version = "dev"
	}
	n := &node{cfg: cfg, version: seams.Version, log: s.log}
	n.anchors = newAnchors(n)
	s.node = n
	n.metrics = n.newMetrics()
	if err := s.openDir(cfg); err != nil { // first: its lock keeps a second node from this one's files
		return nil, err
	}
	s.closeLater("audit key", func() error { n.anchors.forget(); return nil })
	auditLog, err := s.openAudit(cfg) // closed after the parts: what they do until then is recorded
	if err != nil {
		return nil, err
	}
	n.events = newEvents(auditLog.Append)
	s.closeLater("events", n.events.close)
	n.tell(eventStarted, audit.Pair{Key: "version", Value: seams.Version})
	if err := s.openState(cfg, seams); err != nil {
		return nil, err
	}
	svc := service.New(service.Config{Catalog: n.catalog, Replica: replicaOf{n.replica}, Cluster: n, Authenticator: auth.NewAuthenticator(auth.Options{Regions: cfg.Regions, OperatorAccount: cfg.OperatorAccountID, Certificates: cfg.ClientCertificates}), Audit: auditLog, Trail: s.openTrail(cfg),
		Backoff: limit.NewBackoff(limit.BackoffConfig{Waiting: max(1, cfg.Limits.MaxConcurrent/4)}), OIDC: oidc.New(oidc.Config{AllowLoopbackHTTP: cfg.Dev, Logger: s.logs.of("oidc")}), LoopbackIssuers: cfg.Dev,
		Quota:     limit.NewQuota(limit.QuotaConfig{PerSecond: float64(cfg.Limits.RequestsPerSecond), Burst: cfg.Limits.RequestsBurst}),
		Partition: cfg.Partition, Regions: cfg.Regions, Node: cfg.Name, MaxKeys: uint64(cfg.Limits.MaxKeysPerAccount), Observer: n.metrics, Logger: s.logs.of("service")})
	n.service = svc
	n.handlePeers() // whose calls are audited, and answered by the service
	n.replica.Schedule("keys that are due", svc.RunDue)
	s.openUsage()
	s.openAnchors()
	return s, s.openAPI(cfg, seams, svc)
}

// openDir locks the data directory.
func (s *Server) openDir(cfg Config) error {
	dir, err := storage.Open(cfg.DataDir)
	if err != nil {
		return err
	}
	s.node.dir = dir
	s.closeLater("data directory", dir.Close)
	return nil
}

// openState opens what holds and moves records: state machine, catalog, transport,
// replica, gossip.
func (s *Server) openState(cfg Config, seams Seams) error {
	n, dir := s.node, s.node.dir
	n.fsm = fsm.New(fsm.Options{Fatal: s.stop, Logger: s.logs.of("fsm")})
	n.catalog = catalog.New(n.fsm, cfg.Partition, s.logs.of("catalog"))
	s.closeLater("catalog", func() error { n.catalog.Seal(); return nil })

	pair, pool, err := loadTLS(cfg.PeerTLS)
	if err != nil {
		return fmt.Errorf("peer_tls: %w", err)
	}
	identity := replica.NewIdentity(replica.IdentityConfig{Name: cfg.Name, APIAddr: cfg.APIAddr, PeerAddr: cfg.PeerAddr, Version: seams.Version,
		Peers: expectedPeers(cfg), Dir: dir, FSM: n.fsm, KeyHash: sha256.Sum256(pair.Leaf.RawSubjectPublicKeyInfo)})
	n.transport, err = transport.New(transport.Config{Listen: cfg.PeerListen, Listener: seams.PeerListener, Cert: pair, CA: pool, Name: cfg.Name,
		MaxFrame: maxFrame, Local: identity.Hello, Check: identity.Check, Resolve: identity.Resolve, Dial: seams.Dial, Logger: s.logs.of("transport")})
	if err != nil {
		return fmt.Errorf("peer_listen: %w", err)
	}
	s.closeLater("transport", n.transport.Close)
	timing := replica.Timing{HeartbeatTimeout: cfg.Raft.HeartbeatTimeout, ElectionTimeout: cfg.Raft.ElectionTimeout, CommitTimeout: cfg.Raft.CommitTimeout,
		TrailingLogs: cfg.Raft.TrailingLogs, SnapshotThreshold: cfg.Raft.SnapshotThreshold, SnapshotInterval: cfg.Raft.SnapshotInterval, Checkpoint: cfg.Raft.CheckpointInterval}
	if seams.Timing != nil {
		seams.Timing(&timing)
	}
	logOptions := seams.Log
	logOptions.Logger, logOptions.OnAppend = s.logs.of("storage"), n.metrics.LogAppended
	n.replica, err = replica.Open(replica.Config{Identity: identity, Transport: n.transport, Opened: n.catalog, Bound: n.bound, Longest: n.longestBound, Unfit: n.unfit,
		Clock: seams.Clock, Timing: timing, Log: logOptions, Logger: s.logs.of("replica"), RaftLogger: s.logs.of("raft"), Events: n.heard})
	if err != nil {
		return err
	}
	s.closeLater("replica", n.replica.Close)
	n.unsealer = seal.NewUnsealer(seams.UnsealExpiry, cfg.AllowUnlockedMemory)
	s.closeLater("unsealer", func() error { n.unsealer.Close(); return nil })
	n.relay = seal.NewRelay(seal.RelayConfig{Members: n.otherMembers, Sealed: n.askSealed, Deliver: n.deliver, Expiry: seams.UnsealExpiry,
		AllowUnlocked: cfg.AllowUnlockedMemory, Logger: s.logs.of("seal")})
	s.closeLater("relay", func() error { n.relay.Close(); return nil })
	ctx, cancel := context.WithCancel(context.Background())
	bound := make(chan struct{})
	go func() { defer close(bound); n.bindDirectory(ctx) }()
	s.closeLater("binding of the data directory", func() error { cancel(); <-bound; return nil })
	gossip, err := transport.NewGossip(n.transport, transport.GossipConfig{Name: cfg.Name, Advertise: cfg.PeerAddr,
		Seeds: func() []string { return gossipSeeds(cfg) }, Logger: s.logs.of("gossip")})
	if err != nil {
		return err
	}
	n.gossip = gossip
	identity.Hint(gossip.Addr)
	s.closeLater("gossip", gossip.Close)
	return nil
}

func (s *Server) openAudit(cfg Config) (*audit.Log, error) {
	sinks, err := s.openSinks(cfg.Audit)
	if err == nil {
		s.audit, err = audit.New(audit.Options{Sinks: sinks, Require: cfg.Audit.Require, Timeout: cfg.Audit.Timeout, Node: cfg.Name, Logger: s.logs.of("audit"),
			Observe: s.node.metrics.AuditWritten})
	}
	if err != nil {
		for _, opened := range sinks {
			opened.Close()
		}
		return nil, err
	}
	s.node.audit = s.audit
	s.closeLater("audit", s.audit.Close)
	return s.audit, nil
}

// openSinks opens every sink that the configuration names; those that are open already come with an error.
func (s *Server) openSinks(c AuditConfig) (sinks []audit.Sink, err error) {
	if c.File != "" {
		file, err := s.openAuditFile(c, c.File)
		if err != nil {
			return sinks, fmt.Errorf("audit.file: %w", err)
		}
		sinks = append(sinks, file)
	}
	for _, text := range c.Sinks {
		opened, err := s.openSink(c, text)
		if err != nil {
			return sinks, fmt.Errorf("audit.sinks: %s: %w", text, err)
		}
		sinks = append(sinks, opened)
	}
	return sinks, nil
}

func (s *Server) openSink(c AuditConfig, text string) (audit.Sink, error) {
	u, err := sink.Parse(text)
	if err != nil {
		return nil, err
	}
	switch u.Kind {
	case sink.File:
		return s.openAuditFile(c, u.Path)
	case sink.Stdout:
		return sink.OpenStdout()
	}
	o := sink.SyslogOptions{Node: s.node.cfg.Name, Timeout: c.Timeout, TLS: &tls.Config{}}
	if u.CAFile != "" {
		if o.TLS.RootCAs, err = transport.LoadPool(u.CAFile); err != nil {
			return nil, err
		}
	}
	if u.CertFile != "" {
		pair, err := transport.LoadPair(u.CertFile, u.KeyFile)
		if err != nil {
			return nil, err
		}
		o.TLS.Certificates = []tls.Certificate{pair}
	}
	return sink.OpenSyslog(u, o), nil
}

func (s *Server) openAuditFile(c AuditConfig, path string) (*audit.FileSink, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return audit.OpenFile(path, audit.FileOptions{Fsync: c.Durability == "fsync", MaxSize: c.MaxSize, MaxAge: c.MaxAge,
		Retain: c.Retain, RetainSize: c.RetainSize, Logger: s.logs.of("audit")})
}

// openTrail follows the audit file, if there is one, so that its records are found.
func (s *Server) openTrail(cfg Config) service.Trail {
	if cfg.Audit.File == "" {
		return nil
	}
	trail := index.Open(index.Options{Path: cfg.Audit.File, Logger: s.logs.of("audit")})
	s.closeLater("index of the audit trail", trail.Close)
	return trail
}

// openAPI mounts the doors, the system door first: on a sealed node it answers what both know.
func (s *Server) openAPI(cfg Config, seams Seams, svc *service.Service) error {
	index := func() (uint64, uint64) { v := s.node.fsm.View(); return v.Epoch(), v.Index() }
	d := door.New(door.Config{Index: index, Logger: s.logs.of("api"), BodyLimit: cfg.Limits.MaxBodyBytes, Source: sourceOf(cfg.TrustedProxies),
		Concurrency: cfg.Limits.MaxConcurrent, Refused: s.node.metrics.DoorRefused})
	router := d.Router()
	scrapes := s.node.metrics.Handler(s.logs.of("api"))
	system := sys.New(sys.Config{Node: s.node, Door: d, Metrics: scrapes, MayScrape: s.node.mayScrape})
	system.Mount(router)
	operations := mount(router, d, cfg, seams.Version, svc)
	s.node.gates = map[string]*door.Gate{"serving": d.Serving, "waiting": operations.Waiting(), "system": system.Gate()}
	s.http = door.Server(d.Handler(router), s.logs.of("api"))

	s.api = seams.APIListener
	if s.api == nil {
		l, err := net.Listen("tcp", cfg.APIListen)
		if err != nil {
			return fmt.Errorf("api_listen: %w", err)
		}
		s.api = l
	}
	s.closeLater("API listener", func() error { return ignoreClosed(s.api.Close()) })
	if err := s.openScrapes(cfg, scrapes); err != nil {
		return err
	}
	if cfg.APITLS.CertFile == "" {
		return nil
	}
	pair, pool, err := loadTLS(cfg.APITLS)
	if err != nil {
		return fmt.Errorf("api_tls: %w", err)
	}
	conf := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if s.node.clientCA = pool; pool != nil || cfg.ClientCertificates {
		conf.ClientAuth = tls.RequestClientCert // whose word a certificate is, is asked where it is used
	}
	s.api = tls.NewListener(s.api, conf)
	return nil
}

// mount adds the doors for operations to a router.
func mount(router *mux.Router, d *door.Door, cfg Config, version string, svc rest.Service) *rest.Door {
	operations := rest.New(rest.Config{Service: svc, Door: d, Version: version, MaxPlaintext: cfg.Limits.MaxPlaintextBytes})
	operations.Mount(router)
	edge := aws.New(aws.Config{Service: svc, Door: d})
	router.MatcherFunc(door.Path("/")).Handler(d.Methods(map[string]http.HandlerFunc{http.MethodPost: forAWS(awskms.New(edge), awsquery.New(edge, cfg.Regions))}))
	xks.New(xks.Config{Edge: edge, Regions: cfg.Regions, Version: version}).Mount(router)
	return operations
}

// forAWS is POST /, where AWS's clients look for every service: AWS JSON names the operation in a header, the query
// protocol in its form.
func forAWS(kms, query http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		if len(q.Header["X-Amz-Target"]) > 0 {
			kms.ServeHTTP(w, q)
			return
		}
		query.ServeHTTP(w, q)
	}
}

// sourceOf returns what tells where a request comes from behind trusted proxies; nil when there are none.
func sourceOf(proxies []string) func(peer string, forwarded []string) string {
	if len(proxies) == 0 {
		return nil
	}
	trusted := make([]netip.Prefix, len(proxies))
	for i, p := range proxies {
		trusted[i], _ = parseProxy(p) // validated
	}
	return func(peer string, forwarded []string) string { return limit.Source(peer, forwarded, trusted) }
}

// Run serves until ctx ends or the node has to stop, then closes everything.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 2)
	go func() { served <- s.http.Serve(s.api) }()
	if s.scrapes != nil {
		go func() { served <- s.scraped.Serve(s.scrapes) }()
	}
	s.log.Info("the node is up", "api", s.node.cfg.APIAddr, "peers", s.node.cfg.PeerAddr, "version", s.node.version)
	var err error
	select {
	case <-ctx.Done():
		s.log.Info("stopping")
		s.node.tell(eventStopping)
	case err = <-s.fatal:
		s.log.Error("the node stops", "error", err)
		s.node.tell(eventStopping, audit.Pair{Key: "reason", Value: err.Error()})
	case err = <-served:
		err = fmt.Errorf("serving the API or the metrics: %w", err)
		s.node.tell(eventStopping, audit.Pair{Key: "reason", Value: err.Error()})
	}
	grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, h := range []*http.Server{s.http, s.scraped} {
		if h != nil && h.Shutdown(grace) != nil {
			h.Close()
		}
	}
	return errors.Join(err, s.close())
}

// ReopenAudit makes the node open its audit file again for the next record, after a rotation.
func (s *Server) ReopenAudit() { s.audit.Reopen() }

// stop ends Run with err; only the first call counts.
func (s *Server) stop(err error) {
	select {
	case s.fatal <- err:
	default:
	}
}

func (s *Server) closeLater(name string, close func() error) {
	s.closers = append(s.closers, closer{name, close})
}

// close closes what was opened, last first.
func (s *Server) close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		if err := s.closers[i].close(); err != nil {
			errs = append(errs, fmt.Errorf("closing the %s: %w", s.closers[i].name, err))
		}
	}
	s.closers = nil
	return errors.Join(errs...)
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// CheckFiles reads the files that cfg names, as New would.
func CheckFiles(cfg Config) error {
	var errs []error
	if _, _, err := loadTLS(cfg.PeerTLS); err != nil {
		errs = append(errs, fmt.Errorf("peer_tls: %w", err))
	}
	if cfg.APITLS.CertFile != "" {
		if _, _, err := loadTLS(cfg.APITLS); err != nil {
			errs = append(errs, fmt.Errorf("api_tls: %w", err))
		}
	}
	return errors.Join(errs...)
}

// loadTLS reads a certificate with its key, and the pool when a CA file is named.
func loadTLS(f TLSFiles) (tls.Certificate, *x509.CertPool, error) {
	pair, err := transport.LoadPair(f.CertFile, f.KeyFile)
	if err != nil || f.CAFile == "" {
		return pair, nil, err
	}
	pool, err := transport.LoadPool(f.CAFile)
	return pair, pool, err
}

func expectedPeers(cfg Config) []replica.Peer {
	peers := make([]replica.Peer, 0, len(cfg.Peers))
	for _, p := range cfg.Peers {
		peers = append(peers, replica.Peer{Name: p.Name, Addr: p.Addr})
	}
	return peers
}

func gossipSeeds(cfg Config) []string {
	var seeds []string
	for _, p := range cfg.Peers {
		if p.Name != cfg.Name {
			seeds = append(seeds, p.Name+"="+p.Addr)
		}
	}
	return seeds
}

// bound returns the revocation bound that this node knows; a sealed node knows the default only.
func (n *node) bound() time.Duration {
	if v := n.catalog.View(); v != nil {
		return v.RevocationBound()
	}
	return kms.DefaultRevocationBound
}

// longestBound returns the longest revocation bound that a lease may still have somewhere; a sealed
// node cannot know.
func (n *node) longestBound() time.Duration {
	if v := n.catalog.View(); v != nil {
		return v.LongestRevocationBound(v.LogTime())
	}
	return kms.MaxRevocationBound
}
