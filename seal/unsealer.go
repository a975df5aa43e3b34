package seal

import (
	"crypto/rand"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

// DefaultExpiry is how long an unseal attempt and a relay hold shares.
const DefaultExpiry = 15 * time.Minute

// Progress tells how far unsealing is. Sealed speaks of the Unsealer alone: it is false only in
// the answer to the share that reached the threshold.
type Progress struct {
	Sealed       bool
	Threshold    int       // t
	Shares       int       // n
	Progress     int       // shares collected
	AttemptID    string    // only in answers of Submit; names the attempt for Cancel
	AttemptLabel string    // 4 characters that tell attempts apart; "" without one
	ExpiresAt    time.Time // when the collected shares are wiped; zero without an attempt
}

// Unsealer collects shares on one node, one attempt at a time. A share that is refused never
// changes the attempt. The attempt ends when the threshold is reached, when it expires (counted
// from its first share), when it is cancelled, or when the cluster's set of shares changes. It is
// safe for concurrent use.
type Unsealer struct {
	expiry        time.Duration
	allowUnlocked bool

	mu      sync.Mutex
	attempt *attempt // guarded by mu; nil without one
}

// attempt is guarded by the Unsealer's mu.
type attempt struct {
	id, label string
	holding   holding
	expiresAt time.Time
	timer     *time.Timer
}

// NewUnsealer returns an Unsealer whose attempts last expiry, by default DefaultExpiry.
func NewUnsealer(expiry time.Duration, allowUnlocked bool) *Unsealer {
	if expiry <= 0 {
		expiry = DefaultExpiry
	}
	return &Unsealer{expiry: expiry, allowUnlocked: allowUnlocked}
}

// Submit gives the attempt one share of the set that c names. attempt, when not "", must be the id
// of the running attempt; with "" the share joins it or begins one. When the threshold is reached the
// attempt ends and the Barrier is returned; the caller owns it. Errors are *kms.Error:
// CodeInvalidShare, CodeShareOtherCluster, CodeShareSuperseded, CodeShareWrong, CodeShareDuplicate
// and CodeConflict (another attempt id) leave the attempt as it was; CodeUnavailable says that the
// configuration does not verify (the attempt is over) or that memory cannot be locked.
func (u *Unsealer) Submit(c Config, text, attemptID string) (Progress, *Barrier, error) {
	s, err := c.checkShare(text)
	if err != nil {
		return u.Status(c), nil, err
	}
	defer s.wipe()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.dropStale(c)
	if attemptID != "" && (u.attempt == nil || !secret.Equal([]byte(attemptID), []byte(u.attempt.id))) {
		return u.progress(c), nil, kms.Errorf(kms.CodeConflict, "The unseal attempt that was named is over; begin again without an attempt id.")
	}
	if u.attempt != nil && u.attempt.holding.has(s.x) {
		return u.progress(c), nil, kms.Errorf(kms.CodeShareDuplicate, "This key share was already submitted in this attempt. The shares submitted before still count.")
	}
	if u.attempt == nil {
		if err := u.begin(c); err != nil {
			return u.progress(c), nil, err
		}
	}
	a := u.attempt
	a.holding.add(s)
	p := u.progress(c)
	p.AttemptID = a.id
	if len(a.holding.xs) < int(c.Threshold) {
		return p, nil, nil
	}
	b, err := a.holding.unseal(c, u.allowUnlocked)
	u.drop()
	if err != nil {
		return u.progress(c), nil, err
	}
	p.Sealed = false
	return p, b, nil
}

// Status returns the progress without the attempt's id.
func (u *Unsealer) Status(c Config) Progress {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.dropStale(c)
	return u.progress(c)
}

// Cancel ends the attempt with that id and wipes its shares. Another id is kms.CodeNotFound.
func (u *Unsealer) Cancel(attemptID string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.attempt == nil || !secret.Equal([]byte(attemptID), []byte(u.attempt.id)) {
		return kms.Errorf(kms.CodeNotFound, "No unseal attempt with this id is running on this node.")
	}
	u.drop()
	return nil
}

// Close wipes what was collected. The Unsealer can be used again.
func (u *Unsealer) Close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.drop()
}

// begin needs mu.
func (u *Unsealer) begin(c Config) error {
	h, err := newHolding(c, u.allowUnlocked)
	if err != nil {
		return err
	}
	a := &attempt{id: rand.Text(), label: strings.ToLower(rand.Text()[:4]), holding: h, expiresAt: time.Now().Add(u.expiry)}
	a.timer = time.AfterFunc(u.expiry, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.attempt == a {
			u.drop()
		}
	})
	u.attempt = a
	return nil
}

// dropStale ends an attempt that is not for the set that c names; it needs mu.
func (u *Unsealer) dropStale(c Config) {
	if u.attempt != nil && !u.attempt.holding.of(c) {
		u.drop()
	}
}

// drop needs mu.
func (u *Unsealer) drop() {
	if u.attempt == nil {
		return
	}
	u.attempt.timer.Stop()
	u.attempt.holding.close()
	u.attempt = nil
}

// progress needs mu.
func (u *Unsealer) progress(c Config) Progress {
	p := Progress{Sealed: true, Threshold: int(c.Threshold), Shares: int(c.Shares)}
	if a := u.attempt; a != nil {
		p.Progress, p.AttemptLabel, p.ExpiresAt = len(a.holding.xs), a.label, a.expiresAt
	}
	return p
}

// holding is up to a threshold of shares of one set, in locked memory. Its owner synchronizes it.
type holding struct {
	cluster   [16]byte
	set       [8]byte
	threshold int
	xs        []byte         // numbers of the shares held; public
	mem       *secret.Locked // threshold values, and room for the unseal key
}

func newHolding(c Config, allowUnlocked bool) (holding, error) {
	mem, err := secret.NewLocked((int(c.Threshold)+1)*keySize, allowUnlocked)
	if err != nil {
		return holding{}, errMemory(err)
	}
	return holding{cluster: c.ClusterID, set: c.SetID, threshold: int(c.Threshold), mem: mem}, nil
}

func (h *holding) of(c Config) bool { return h.cluster == c.ClusterID && h.set == c.SetID }

func (h *holding) has(x byte) bool { return slices.Contains(h.xs, x) }

func (h *holding) full() bool { return len(h.xs) == h.threshold }

// slot returns the place of the i-th value.
func (h *holding) slot(i int) []byte { return h.mem.Bytes()[i*keySize : (i+1)*keySize] }

// add takes a copy of a checked share that it does not have; it must not be full.
func (h *holding) add(s *share) {
	copy(h.slot(len(h.xs)), s.y[:])
	h.xs = append(h.xs, s.x)
}

// share returns a copy of the i-th share of c's set; the caller wipes it.
func (h *holding) share(c Config, i int) *share {
	return &share{
		fingerprint: fingerprint(h.cluster), set: h.set, t: c.Threshold, n: c.Shares, x: h.xs[i],
		y: [keySize]byte(h.slot(i)),
	}
}

// unseal combines a full holding and opens c with the result.
func (h *holding) unseal(c Config, allowUnlocked bool) (*Barrier, error) {
	ys := make([][]byte, len(h.xs))
	for i := range ys {
		ys[i] = h.slot(i)
	}
	key := h.slot(h.threshold)
	if err := combine(key, h.xs, ys); err != nil {
		return nil, errConfig("the shares do not combine")
	}
	return openBarrier(c, key, allowUnlocked)
}

func (h *holding) close() {
	_ = h.mem.Close() // wipes first; what fails can only be giving the page back
}
