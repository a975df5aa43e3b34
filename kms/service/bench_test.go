package service_test

import (
	"context"
	"testing"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
	"github.com/lockstep-kms/lockstep/metrics"
)

// idle is a Replica that only ever holds its lease, as cheaply as a real one.
type idle struct{}

func (idle) Propose(context.Context, *fsm.Txn) (fsm.Outcome, error)     { panic("a Raft entry") }
func (idle) Confirm(context.Context) error                              { panic("a hop") }
func (idle) Lease() error                                               { return nil }
func (idle) Sound() error                                               { return nil }
func (idle) AwaitAll(context.Context, uint64) (who []string, err error) { return nil, nil }
func (idle) Due(int64) bool                                             { return false }
func (idle) LogNow() int64                                              { return servicetest.Epoch }

// discard is a sink that costs nothing.
type discard struct{}

func (discard) Name() string             { return "discard" }
func (discard) Write(*audit.Batch) error { return nil }
func (discard) Close() error             { return nil }

// subject is a service around a real catalog, with nothing else that costs.
func subject(b testing.TB) (s *service.Service, who servicetest.Credentials, key string) {
	return observedSubject(b, nil)
}

// observedSubject is subject with an observer.
func observedSubject(b testing.TB, o service.Observer) (s *service.Service, who servicetest.Credentials, key string) {
	c := servicetest.New(b)
	n := c.Node(servicetest.Options{})
	log, err := audit.New(audit.Options{Sinks: []audit.Sink{discard{}}})
	if err != nil {
		b.Fatal(err)
	}
	s = service.New(service.Config{Catalog: n.Catalog, Replica: idle{}, Authenticator: auth.NewAuthenticator(auth.Options{}), Audit: log, Node: "node-1", Observer: o})
	return s, c.Root, n.CreateKey(c.Root)
}

func BenchmarkEncrypt(b *testing.B) {
	s, who, key := subject(b)
	for name, call := range map[string]*service.Call{
		"plain":   servicetest.Call(who, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: make([]byte, 32)}),
		"context": servicetest.Call(who, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: make([]byte, 32), EncryptionContext: map[string]string{"tenant": "a", "purpose": "b"}}),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Do(context.Background(), call); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEncryptObserved is what metrics cost an encryption: it is done with and without them in turn.
func BenchmarkEncryptObserved(b *testing.B) {
	for name, o := range map[string]service.Observer{"unobserved": nil, "metrics": metrics.New(metrics.Options{Doors: []string{"test"}, Keys: 50, State: func() metrics.State { return metrics.State{} }})} {
		s, who, key := observedSubject(b, o)
		call := servicetest.Call(who, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: make([]byte, 32)})
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Do(context.Background(), call); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncryptParallel(b *testing.B) {
	s, who, key := subject(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		call := servicetest.Call(who, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: make([]byte, 32)})
		for pb.Next() {
			if _, err := s.Do(context.Background(), call); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecrypt(b *testing.B) {
	s, who, key := subject(b)
	result, err := s.Do(context.Background(), servicetest.Call(who, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: make([]byte, 32)}))
	if err != nil {
		b.Fatal(err)
	}
	call := servicetest.Call(who, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: result.Answer.(*kms.EncryptAnswer).CiphertextBlob})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Do(context.Background(), call); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCreateKey is everything of a creation but Raft.
func BenchmarkCreateKey(b *testing.B) {
	c := servicetest.New(b)
	n := c.Node(servicetest.Options{Sink: discard{}, MaxKeys: 1 << 40})
	b.ReportAllocs()
	for b.Loop() {
		n.CreateKey(c.Root)
	}
}
