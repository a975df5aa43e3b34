package seal

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

// Timing of a Relay.
const (
	defaultRelayEvery = 500 * time.Millisecond
	deliveryTimeout   = 5 * time.Second
)

// RelayConfig says where a Relay brings shares.
type RelayConfig struct {
	// Waiting names the other members that are not known to be unsealed, unreachable ones
	// included, as they stand now. It must not block.
	Waiting func() []string
	// Deliver submits one share to a member, which answers a share that it has already with
	// kms.CodeShareDuplicate. It must end when ctx does and not keep the share, which is wiped
	// after it returned.
	Deliver func(ctx context.Context, member string, share secret.Bytes) error

	Expiry        time.Duration // of the shares, counted from the first; default DefaultExpiry
	Every         time.Duration // between two tries at a member; default 500 ms
	AllowUnlocked bool          // hold shares where memory cannot be locked
	Logger        *slog.Logger  // default: none
}

// Relay holds submitted shares and keeps giving all of them to every waiting member. It remembers
// nothing about members, so one that restarts midway is given everything again. The shares are
// wiped when a whole threshold is held and nobody waits, when they expire, when another set takes
// their place, and by Close. It is safe for concurrent use and runs goroutines only while
// it holds shares.
type Relay struct {
	config RelayConfig

	mu     sync.Mutex
	round  *round // guarded by mu; nil when nothing is held
	closed bool   // guarded by mu
	tasks  sync.WaitGroup
}

// round is one set's shares on their way.
type round struct {
	config  Config  // immutable
	holding holding // guarded by the Relay's mu; mem closed once ended
	wake    chan struct{}
	ctx     context.Context // done when the round ended
	end     context.CancelFunc
	busy    map[string]bool // guarded by the Relay's mu: members a delivery is under way to
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

// Add takes one share of the set that c names and delivers it from now on. A share that is held
// already, or more than a threshold, changes nothing. Errors are those of Unsealer.Submit for a share that
// cannot count, and kms.CodeUnavailable when memory cannot be locked or the Relay is closed.
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
	if h := &r.round.holding; !h.has(s.x) && !h.full() {
		h.add(s)
	}
	select {
	case r.round.wake <- struct{}{}:
	default:
	}
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
	n := &round{config: c, holding: h, wake: make(chan struct{}, 1), busy: map[string]bool{}}
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

// run gives n's shares to who waits until nobody does or n ends.
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
		waiting := r.config.Waiting()
		r.mu.Lock()
		if len(waiting) == 0 && n.holding.full() {
			r.drop(n)
			r.mu.Unlock()
			return
		}
		for _, member := range waiting {
			if !n.busy[member] && n.ctx.Err() == nil {
				n.busy[member] = true
				r.tasks.Go(func() { r.give(n, member) })
			}
		}
		r.mu.Unlock()
	}
}

// give delivers every share that n holds to one member, once.
func (r *Relay) give(n *round, member string) {
	ctx, cancel := context.WithTimeout(n.ctx, deliveryTimeout)
	defer cancel()
	for i := 0; ; i++ {
		text := r.text(n, i)
		if text == nil {
			break
		}
		err := r.config.Deliver(ctx, member, text)
		text.Wipe()
		if err != nil && kms.CodeOf(err) != kms.CodeShareDuplicate {
			r.config.Logger.Debug("key share not delivered", "member", member, "error", err)
			break
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(n.busy, member)
}

// text returns n's i-th share, or nil when there is none or n has ended.
func (r *Relay) text(n *round, i int) secret.Bytes {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n.ctx.Err() != nil || i >= len(n.holding.xs) {
		return nil
	}
	s := n.holding.share(n.config, i)
	defer s.wipe()
	return s.text()
}
