package seal

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

// Timing of a Relay.
const (
	defaultRelayEvery = 500 * time.Millisecond
	askTimeout        = 2 * time.Second
	deliveryTimeout   = 5 * time.Second
)

// RelayConfig says where a Relay brings shares. The functions end when their context does.
type RelayConfig struct {
	// Members names the other members of the cluster.
	Members func(ctx context.Context) []string
	// Sealed asks one member whether it is sealed; the error says that it did not answer.
	Sealed func(ctx context.Context, member string) (bool, error)
	// Deliver submits one share, given to the Relay that long ago, to a member. The member answers a
	// share that it has already with kms.CodeShareDuplicate, and one that was given before it was
	// sealed with kms.CodeConflict. Deliver does not keep the share, which is wiped after it returned.
	Deliver func(ctx context.Context, member string, share secret.Bytes, age time.Duration) error

	Expiry        time.Duration // of the shares, counted from the first; default DefaultExpiry
	Every         time.Duration // between two tries at a member; default 500 ms
	AllowUnlocked bool          // hold shares where memory cannot be locked
	Logger        *slog.Logger  // default: none
}

// Relay holds submitted shares and keeps giving all of them to every sealed member, also to one
// that restarts midway. The shares are wiped when a whole threshold is held and every member has said, after
// the last of them came, that it is unsealed; when they expire; when another set takes their place;
// and by Drop and Close. A share never reaches a member that refused it as older than its seal. A Relay is
// safe for concurrent use and runs goroutines only while it holds shares.
type Relay struct {
	config RelayConfig

	mu     sync.Mutex
	round  *round // guarded by mu; nil when nothing is held
	closed bool   // guarded by mu
	tasks  sync.WaitGroup
}

// round is one set's shares on their way. What is not said to be immutable is guarded by the
// Relay's mu.
type round struct {
	config Config          // immutable
	wake   chan struct{}   // immutable
	ctx    context.Context // immutable; done when the round ended
	end    context.CancelFunc

	holding  holding              // mem closed once ended
	given    []time.Time          // when each share of holding was given, last
	count    uint64               // of times a share was given
	looking  bool                 // a look is under way
	busy     map[string]bool      // members a visit is under way to
	unsealed map[string]uint64    // members found unsealed, with the count when they were asked
	refused  map[string]time.Time // members sealed since the shares given until then
}

// NewRelay returns a Relay that holds nothing.
func NewRelay(config RelayConfig) *Relay {
	if config.Expiry <= 0 {
		config.Expiry = DefaultExpiry
	}
	if config.Every <= 0 {
		config.Every = defaultRelayEvery
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	return &Relay{config: config}
}

// Add takes one share of the set that c names and delivers it from now on. One that is held already
// counts as given now; beyond a threshold, a share takes the place of the one given longest ago.
// Errors are those of Unsealer.Submit for a share that cannot count, and kms.CodeUnavailable when
// memory cannot be locked or the Relay is closed.
func (r *Relay) Add(c Config, text string) error {
	s, err := c.checkShare(text)
	if err != nil {
		return err
	}
	defer s.wipe()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return kms.Errorf(kms.CodeUnavailable, "This node is stopping.")
	}
	if r.round != nil && (!r.round.holding.of(c) || r.round.ctx.Err() != nil) {
		r.drop(r.round)
	}
	if r.round == nil {
		if err := r.begin(c); err != nil {
			return err
		}
	}
	r.round.take(s)
	r.round.poke()
	return nil
}

// Held returns how many shares are held for delivery.
func (r *Relay) Held() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.round == nil {
		return 0
	}
	return len(r.round.holding.xs)
}

// Drop wipes what is held and ends deliveries under way, without waiting for them. The Relay can be
// used again.
func (r *Relay) Drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.round != nil {
		r.drop(r.round)
	}
}

// Close wipes what is held, ends deliveries under way and waits for them.
func (r *Relay) Close() {
	r.mu.Lock()
	r.closed = true
	if r.round != nil {
		r.drop(r.round)
	}
	r.mu.Unlock()
	r.tasks.Wait()
}

// begin needs mu.
func (r *Relay) begin(c Config) error {
	h, err := newHolding(c, r.config.AllowUnlocked)
	if err != nil {
		return err
	}
	n := &round{config: c, holding: h, wake: make(chan struct{}, 1),
		busy: map[string]bool{}, unsealed: map[string]uint64{}, refused: map[string]time.Time{}}
	n.ctx, n.end = context.WithTimeout(context.Background(), r.config.Expiry)
	r.round = n
	r.tasks.Go(func() { r.run(n) })
	return nil
}

// drop ends a round and wipes its shares; it needs mu and may be called again.
func (r *Relay) drop(n *round) {
	n.end()
	n.holding.close()
	if r.round == n {
		r.round = nil
	}
}

// take needs mu.
func (n *round) take(s *share) {
	now := time.Now()
	n.count++
	i := slices.Index(n.holding.xs, s.x)
	switch {
	case i >= 0:
	case !n.holding.full():
		i = len(n.holding.xs)
		n.holding.add(s)
		n.given = append(n.given, now)
	default:
		i = slices.Index(n.given, slices.MinFunc(n.given, time.Time.Compare))
		n.holding.replace(i, s)
	}
	n.given[i] = now
}

// replace puts a checked share in the place of the i-th.
func (h *holding) replace(i int, s *share) {
	copy(h.slot(i), s.y[:])
	h.xs[i] = s.x
}

// poke makes run look now.
func (n *round) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// run looks after the members until n ends.
func (r *Relay) run(n *round) {
	ticker := time.NewTicker(r.config.Every)
	defer ticker.Stop()
	for {
		select {
		case <-n.ctx.Done():
			r.mu.Lock()
			defer r.mu.Unlock()
			r.drop(n)
			return
		case <-n.wake:
		case <-ticker.C:
		}
		r.mu.Lock()
		if !n.looking && n.ctx.Err() == nil {
			n.looking = true
			count := n.count
			r.tasks.Go(func() { r.look(n, count) })
		}
		r.mu.Unlock()
	}
}

// look ends n when it is full and nobody waits for it, else it has every member visited.
func (r *Relay) look(n *round, count uint64) {
	ctx, cancel := context.WithTimeout(n.ctx, askTimeout)
	defer cancel()
	members := r.config.Members(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	n.looking = false
	if n.ctx.Err() != nil {
		return
	}
	if n.holding.full() && !slices.ContainsFunc(members, n.awaitedBy) {
		r.drop(n)
		return
	}
	for _, member := range members {
		if !n.busy[member] {
			n.busy[member] = true
			count := n.count
			r.tasks.Go(func() { r.visit(n, member, count) })
		}
	}
	if n.count != count {
		n.poke()
	}
}

// awaitedBy reports whether a member may still need a share: it has not said since the last one came
// that it is unsealed, and has not refused them all. It needs mu.
func (n *round) awaitedBy(member string) bool {
	if count, ok := n.unsealed[member]; ok && count == n.count {
		return false
	}
	return slices.ContainsFunc(n.given, n.refused[member].Before)
}

// visit asks one member, and gives it what n holds if it is sealed. count is n's when it begins.
func (r *Relay) visit(n *round, member string, count uint64) {
	ctx, cancel := context.WithTimeout(n.ctx, askTimeout)
	sealed, err := r.config.Sealed(ctx, member)
	cancel()
	switch {
	case err != nil:
		r.config.Logger.Debug("member not asked whether it is sealed", "member", member, "error", err)
	case sealed:
		r.give(n, member)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(n.busy, member)
	delete(n.unsealed, member)
	if err == nil && !sealed {
		n.unsealed[member] = count
	}
	if n.count != count {
		n.poke()
	}
}

// give delivers every share that n holds to one member, once.
func (r *Relay) give(n *round, member string) {
	ctx, cancel := context.WithTimeout(n.ctx, deliveryTimeout)
	defer cancel()
	for i := range int(n.config.Threshold) {
		text, given := r.text(n, member, i)
		if text == nil {
			continue
		}
		err := r.config.Deliver(ctx, member, text, time.Since(given))
		text.Wipe()
		switch code := kms.CodeOf(err); {
		case err == nil || code == kms.CodeShareDuplicate:
		case code == kms.CodeConflict:
			r.refuse(n, member, given)
		default:
			r.config.Logger.Debug("key share not delivered", "member", member, "error", err)
			return
		}
	}
}

// refuse notes that a member was sealed after the shares that were given until then.
func (r *Relay) refuse(n *round, member string, given time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n.refused[member].Before(given) {
		n.refused[member] = given
	}
}

// text returns n's i-th share and when it was given, or nil when there is none, when it is not for
// that member, or when n has ended.
func (r *Relay) text(n *round, member string, i int) (secret.Bytes, time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n.ctx.Err() != nil || i >= len(n.holding.xs) || !n.refused[member].Before(n.given[i]) {
		return nil, time.Time{}
	}
	s := n.holding.share(n.config, i)
	defer s.wipe()
	return s.text(), n.given[i]
}
