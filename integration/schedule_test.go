package integration

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/server"
	"github.com/lockstep-kms/lockstep/server/replica"
)

// shifted is a clock that can be set.
type shifted struct {
	begin time.Time
	by    atomic.Int64 // ns
}

// Wall implements replica.Clock.
func (c *shifted) Wall() time.Time { return time.Now().Add(time.Duration(c.by.Load())) }

// Boot implements replica.Clock.
func (c *shifted) Boot() time.Duration { return time.Since(c.begin) }

// scheduled is a cluster that does what is due soon after it is.
type scheduled struct {
	*cluster.Cluster
	t      *testing.T
	clocks []*shifted
}

func startScheduled(t *testing.T) *scheduled {
	s := &scheduled{t: t}
	for range 3 {
		s.clocks = append(s.clocks, &shifted{begin: time.Now().Add(-time.Hour)})
	}
	s.Cluster = cluster.Start(t, cluster.Options{Seams: func(i int, seams *server.Seams) {
		seams.Clock = s.clocks[i]
		timing := seams.Timing
		seams.Timing = func(to *replica.Timing) {
			timing(to)
			to.Schedule, to.Calm = 50*time.Millisecond, 300*time.Millisecond
		}
	}})
	return s
}

// tick returns when the scheduler has done something that fell due just now: material that is imported for three
// seconds. What else was due then is done too.
func (s *scheduled) tick(now func() time.Time) {
	s.t.Helper()
	ctx, cl := background(s.t), s.Client()
	k, err := cl.CreateKey(ctx, &kms.CreateKeyRequest{Origin: kms.OriginExternal})
	if err != nil {
		s.t.Fatal(err)
	}
	p, err := cl.GetParametersForImport(ctx, &kms.GetParametersForImportRequest{KeyID: k.Key.KeyID, WrappingAlgorithm: kms.WrapRSAESOAEPSHA256, WrappingKeySpec: kms.RSA2048})
	if err != nil {
		s.t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(p.PublicKey)
	if err != nil {
		s.t.Fatal(err)
	}
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public.(*rsa.PublicKey), make([]byte, 32), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	before := s.recorded("DeleteExpiredKeyMaterial")
	until := now().Add(3 * time.Second)
	if _, err := cl.ImportKeyMaterial(ctx, &kms.ImportKeyMaterialRequest{KeyID: k.Key.KeyID, ImportToken: p.ImportToken, EncryptedKeyMaterial: wrapped, ValidTo: &until}); err != nil {
		s.t.Fatal(err)
	}
	s.Eventually(30*time.Second, "the expiry of imported material", func(context.Context) error {
		if s.recorded("DeleteExpiredKeyMaterial") == before {
			return errors.New("the scheduler has not ended it")
		}
		return nil
	})
}

// recorded counts the successes of an event in the audit files of all nodes.
func (s *scheduled) recorded(event string) (n int) {
	s.t.Helper()
	for _, node := range s.Nodes {
		raw, err := os.ReadFile(filepath.Join(node.Dir, "audit.jsonl"))
		if err != nil {
			s.t.Fatal(err)
		}
		for line := range bytes.Lines(raw) {
			var r struct {
				Name  string `json:"eventName"`
				Error string `json:"errorCode"`
			}
			if json.Unmarshal(line, &r) == nil && r.Name == event && (r.Error == "" || r.Error == string(kms.CodeOutcomeUnknown)) {
				n++
			}
		}
	}
	return n
}

// TestScheduledWork has a key that is to be destroyed and one that is to be rotated. One clock that is wrong does
// neither. When all clocks say that it is time, both are done once, whoever leads, stops or is sealed meanwhile.
func TestScheduledWork(t *testing.T) {
	t.Parallel()
	s := startScheduled(t)
	ctx, cl := background(t), s.Client()
	doomed, rotated := createKey(t, cl, "doomed"), createKey(t, cl, "rotated")
	week, period := 7, 90
	if _, err := cl.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionRequest{KeyID: doomed, PendingWindowInDays: &week}); err != nil {
		t.Fatal(err)
	}
	if _, err := cl.EnableKeyRotation(ctx, &kms.EnableKeyRotationRequest{KeyID: rotated, RotationPeriodInDays: &period}); err != nil {
		t.Fatal(err)
	}
	e, err := cl.Encrypt(ctx, &kms.EncryptRequest{KeyID: rotated, Plaintext: []byte("before")})
	if err != nil {
		t.Fatal(err)
	}

	leader := s.Leader()
	for i, n := range s.Nodes {
		if n != leader {
			s.clocks[i].by.Store(int64(100 * 24 * time.Hour))
			break
		}
	}
	s.tick(time.Now)
	if d, err := cl.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: doomed}); err != nil || d.Key.KeyState != kms.StatePendingDeletion {
		t.Fatalf("one wrong clock: %v, %v", d, err)
	}
	if n := s.recorded("RotateKey") + s.recorded("DeleteKey"); n != 0 {
		t.Fatalf("one wrong clock did %d things", n)
	}

	for _, clock := range s.clocks {
		clock.by.Store(int64(100 * 24 * time.Hour))
	}
	first := s.Leader()
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	first.Start()
	first.Unseal()
	first.WaitServing()
	second := s.Leader()
	if _, err := second.Client().Seal(background(t), &kms.SealRequest{}); err != nil {
		t.Fatal(err)
	}
	s.Eventually(30*time.Second, "the work that is due", func(ctx context.Context) error {
		if _, err := cl.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: doomed}); kms.CodeOf(err) != kms.CodeNotFound {
			return fmt.Errorf("the key is not destroyed: %v", err)
		}
		a, err := cl.ListKeyRotations(ctx, &kms.ListKeyRotationsRequest{KeyID: rotated})
		if err == nil && len(a.Rotations) == 0 {
			err = fmt.Errorf("the key is not rotated")
		}
		return err
	})
	s.Unseal()
	s.tick(s.clocks[0].Wall)
	for _, n := range s.Nodes {
		a, err := n.Client().ListKeyRotations(background(t), &kms.ListKeyRotationsRequest{KeyID: rotated})
		if err != nil || len(a.Rotations) != 1 {
			t.Errorf("%s: rotations %+v, %v", n.Name, a, err)
		}
		d, err := n.Client().Decrypt(background(t), &kms.DecryptRequest{CiphertextBlob: e.CiphertextBlob})
		if err != nil || string(d.Plaintext) != "before" {
			t.Errorf("%s: %v", n.Name, err)
		}
	}
	for _, event := range []string{"RotateKey", "DeleteKey"} {
		if n := s.recorded(event); n != 1 {
			t.Errorf("%s is recorded %d times", event, n)
		}
	}
}
