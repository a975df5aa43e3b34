package seal

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

// fakeMembers are the other nodes of a cluster, each with an Unsealer of its own.
type fakeMembers struct {
	t      *testing.T
	config Config

	mu      sync.Mutex
	members map[string]*fakeMember // guarded by mu
	kept    []secret.Bytes         // guarded by mu: every slice that Deliver was given
}

type fakeMember struct {
	unsealer *Unsealer
	down     bool          // refuses
	hung     bool          // does not answer until the context ends
	calls    int           // deliveries begun
	busy     bool          // one is under way
	ask      chan struct{} // when set, Sealed answers once it is closed
	sealedAt time.Time
	refused  int // shares given before it was sealed
	unsealed bool
}

func newFakeMembers(t *testing.T, c Config, names ...string) *fakeMembers {
	f := &fakeMembers{t: t, config: c, members: map[string]*fakeMember{}}
	for _, name := range names {
		f.members[name] = &fakeMember{unsealer: NewUnsealer(0, false)}
	}
	return f
}

func (f *fakeMembers) set(name string, change func(m *fakeMember)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f.members[name])
}

// restart makes a member forget its progress, as a new process does.
func (f *fakeMembers) restart(name string) {
	f.set(name, func(m *fakeMember) {
		m.unsealer.Close()
		m.down, m.hung, m.unsealed = false, false, false
	})
}

func (f *fakeMembers) Waiting() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for name, m := range f.members {
		if !m.unsealed {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (f *fakeMembers) Members(context.Context) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.members))
}

func (f *fakeMembers) Sealed(ctx context.Context, name string) (bool, error) {
	f.mu.Lock()
	m := f.members[name]
	ask, sealed := m.ask, !m.unsealed
	f.mu.Unlock()
	if ask == nil {
		return sealed, nil
	}
	select { // the answer is as old as the question
	case <-ask:
		return sealed, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (f *fakeMembers) Deliver(ctx context.Context, name string, share secret.Bytes, age time.Duration) error {
	f.mu.Lock()
	m := f.members[name]
	m.calls++
	if m.busy {
		f.t.Errorf("%s is given shares twice at a time", name)
	}
	m.busy = true
	defer f.set(name, func(m *fakeMember) { m.busy = false })
	f.kept = append(f.kept, share)
	down, hung := m.down, m.hung
	f.mu.Unlock()
	if hung {
		<-ctx.Done()
		return ctx.Err()
	}
	if down {
		return errors.New("connection refused")
	}
	if given := time.Now().Add(-age); given.Before(m.sealedAt) {
		f.set(name, func(m *fakeMember) { m.refused++ })
		return kms.Errorf(kms.CodeConflict, "It was sealed since.")
	}
	_, b, err := m.unsealer.Submit(f.config, string(share), "")
	if b != nil {
		b.Wipe()
		f.set(name, func(m *fakeMember) { m.unsealed = true })
	}
	return err
}

func (f *fakeMembers) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.members {
		m.unsealer.Close()
	}
	for _, share := range f.kept {
		if !bytes.Equal(share, make([]byte, len(share))) {
			f.t.Error("a delivered share was not wiped")
		}
	}
}

func (f *fakeMembers) relay() *Relay {
	return NewRelay(RelayConfig{Members: f.Members, Sealed: f.Sealed, Deliver: f.Deliver})
}

func add(t *testing.T, r *Relay, c Config, text string) {
	t.Helper()
	if err := r.Add(c, text); err != nil {
		t.Fatal(err)
	}
}

func TestRelayUnsealsEveryMember(t *testing.T) {
	c, texts, _ := newSet(t, 3, 5)
	synctest.Test(t, func(t *testing.T) {
		f := newFakeMembers(t, c, "b", "c", "d", "e")
		defer f.close()
		f.set("c", func(m *fakeMember) { m.down = true })
		f.set("e", func(m *fakeMember) { m.hung = true })
		r := f.relay()
		defer r.Close()

		add(t, r, c, texts[0])
		add(t, r, c, texts[0])
		synctest.Wait()
		if got := f.members["b"].unsealer.Status(c).Progress; got != 1 || r.Held() != 1 {
			t.Fatalf("b has %d shares, %d held", got, r.Held())
		}
		add(t, r, c, texts[3])
		synctest.Wait()
		f.restart("d") // midway: it lost both shares
		add(t, r, c, texts[4])
		synctest.Wait()
		if got := f.Waiting(); !slices.Equal(got, []string{"c", "e"}) {
			t.Fatalf("%v wait", got)
		}
		time.Sleep(time.Minute)
		f.restart("c")
		time.Sleep(time.Second)
		synctest.Wait()
		if got := f.Waiting(); !slices.Equal(got, []string{"e"}) {
			t.Fatalf("after c came up %v wait", got)
		}
		f.restart("e")
		time.Sleep(deliveryTimeout + 2*time.Second)
		synctest.Wait()
		if got := f.Waiting(); len(got) != 0 || r.Held() != 0 {
			t.Fatalf("at the end %v wait, %d held", got, r.Held())
		}
	})
}

// TestRelayEnds shows every way in which held shares are wiped and deliveries stop.
func TestRelayEnds(t *testing.T) {
	c, texts, _ := newSet(t, 2, 3)
	before := lockedMemory(t)
	ended := func(t *testing.T, f *fakeMembers, r *Relay) {
		t.Helper()
		synctest.Wait()
		if r.Held() != 0 || lockedMemory(t) != before {
			t.Errorf("%d held, VmLck %s, %s before", r.Held(), lockedMemory(t), before)
		}
		f.mu.Lock()
		calls := f.members["b"].calls
		f.mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		if f.members["b"].calls != calls {
			t.Error("deliveries go on")
		}
	}
	for name, run := range map[string]func(t *testing.T, f *fakeMembers, r *Relay){
		"expiry": func(t *testing.T, f *fakeMembers, r *Relay) {
			time.Sleep(DefaultExpiry - time.Second)
			add(t, r, c, texts[1]) // does not prolong
			if r.Held() != 2 {
				t.Errorf("%d held just before the expiry", r.Held())
			}
			time.Sleep(time.Second)
		},
		"drop": func(t *testing.T, f *fakeMembers, r *Relay) { r.Drop() },
		"drop, full": func(t *testing.T, f *fakeMembers, r *Relay) {
			add(t, r, c, texts[1])
			time.Sleep(time.Second)
			r.Drop()
		},
		"close": func(t *testing.T, f *fakeMembers, r *Relay) { r.Close() },
		"close, hung": func(t *testing.T, f *fakeMembers, r *Relay) {
			f.set("b", func(m *fakeMember) { m.hung = true })
			time.Sleep(time.Second)
			r.Close()
		},
		"all are unsealed": func(t *testing.T, f *fakeMembers, r *Relay) {
			add(t, r, c, texts[2])
			f.set("b", func(m *fakeMember) { m.unsealed = true })
			time.Sleep(time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeMembers(t, c, "b")
				defer f.close()
				f.set("b", func(m *fakeMember) { m.down = true })
				r := f.relay()
				add(t, r, c, texts[0])
				run(t, f, r)
				ended(t, f, r)
				r.Close()
				if err := r.Add(c, texts[0]); kms.CodeOf(err) != kms.CodeUnavailable {
					t.Errorf("after Close: %v", err)
				}
			})
		})
	}
}

// TestRelayKeepsUntilThreshold: who is unsealed now may restart before the threshold is reached.
func TestRelayKeepsUntilThreshold(t *testing.T) {
	c, texts, _ := newSet(t, 2, 3)
	synctest.Test(t, func(t *testing.T) {
		f := newFakeMembers(t, c, "b")
		defer f.close()
		f.set("b", func(m *fakeMember) { m.unsealed = true })
		r := f.relay()
		defer r.Close()
		add(t, r, c, texts[0])
		time.Sleep(time.Minute)
		f.restart("b")
		add(t, r, c, texts[1])
		synctest.Wait()
		if len(f.Waiting()) != 0 {
			t.Error("b did not get both shares")
		}
	})
}

func TestRelayNewSetReplacesOld(t *testing.T) {
	old, oldTexts, _ := newSet(t, 2, 2)
	c, secrets, b, err := ReInitialize(old, Params{Shares: 2, Threshold: 2})
	if err != nil {
		t.Fatal(err)
	}
	b.Wipe()
	synctest.Test(t, func(t *testing.T) {
		f := newFakeMembers(t, c, "b")
		defer f.close()
		r := f.relay()
		defer r.Close()
		add(t, r, old, oldTexts[0])
		add(t, r, old, oldTexts[1])
		add(t, r, c, string(secrets[0]))
		if r.Held() != 1 {
			t.Errorf("%d held of the new set", r.Held())
		}
		add(t, r, c, string(secrets[1]))
		synctest.Wait()
		if len(f.Waiting()) != 0 {
			t.Error("b is not unsealed with the new set")
		}
	})
}

func TestRelayRefusesWhatCannotCount(t *testing.T) {
	c, texts, _ := newSet(t, 2, 2)
	_, foreign, _ := newSet(t, 2, 2)
	r := newFakeMembers(t, c).relay()
	defer r.Close()
	if err := r.Add(c, foreign[0]); kms.CodeOf(err) != kms.CodeShareOtherCluster {
		t.Error(err)
	}
	if err := r.Add(c, texts[0][1:]); kms.CodeOf(err) != kms.CodeInvalidShare {
		t.Error(err)
	}
	if r.Held() != 0 {
		t.Errorf("%d held", r.Held())
	}
}

// TestRelayLogsNoShare makes every delivery fail at the lowest log level.
func TestRelayLogsNoShare(t *testing.T) {
	c, texts, _ := newSet(t, 2, 2)
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r := NewRelay(RelayConfig{
			Members: func(context.Context) []string { return []string{"b"} },
			Sealed:  func(context.Context, string) (bool, error) { return true, nil },
			Deliver: func(_ context.Context, _ string, share secret.Bytes, _ time.Duration) error {
				return kms.Errorf(kms.CodeUnavailable, "refused %v", share)
			},
			Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		add(t, r, c, texts[0])
		synctest.Wait()
		r.Close()
		if got := log.String(); !strings.Contains(got, "member=b") || strings.Contains(got, texts[0][9:40]) {
			t.Errorf("the log is %q", got)
		}
	})
}

// TestRelayDropsOnFreshWordOnly: a member's word that it is unsealed counts if it was asked for after
// the last share came.
func TestRelayDropsOnFreshWordOnly(t *testing.T) {
	c, texts, _ := newSet(t, 2, 3)
	synctest.Test(t, func(t *testing.T) {
		f := newFakeMembers(t, c, "b")
		defer f.close()
		r := f.relay()
		defer r.Close()
		ask := make(chan struct{})
		f.set("b", func(m *fakeMember) { m.unsealed, m.ask = true, ask })
		add(t, r, c, texts[0])
		synctest.Wait() // b is being asked, and says that it is unsealed
		f.restart("b")
		f.set("b", func(m *fakeMember) { m.down, m.ask = true, nil })
		add(t, r, c, texts[1])
		close(ask) // its answer arrives
		time.Sleep(time.Minute)
		synctest.Wait()
		if r.Held() != 2 {
			t.Fatalf("%d held for a member that is sealed", r.Held())
		}
		f.restart("b")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(f.Waiting()) != 0 || r.Held() != 0 {
			t.Errorf("%v wait, %d held", f.Waiting(), r.Held())
		}
	})
}

// TestRelayKeepsWhileNobodyAnswers: words from before the last share end no round, and a member that
// hangs keeps no other one waiting.
func TestRelayKeepsWhileNobodyAnswers(t *testing.T) {
	c, texts, _ := newSet(t, 2, 3)
	synctest.Test(t, func(t *testing.T) {
		f := newFakeMembers(t, c, "b", "d")
		defer f.close()
		r := f.relay()
		defer r.Close()
		f.set("b", func(m *fakeMember) { m.unsealed = true })
		f.set("d", func(m *fakeMember) { m.unsealed = true })
		add(t, r, c, texts[0])
		time.Sleep(time.Minute) // both have said that they are unsealed
		f.restart("b")
		f.set("b", func(m *fakeMember) { m.ask = make(chan struct{}) }) // and answers nothing from now on
		f.restart("d")
		add(t, r, c, texts[1])
		synctest.Wait()
		if got := f.Waiting(); !slices.Equal(got, []string{"b"}) {
			t.Errorf("%v wait: one that hangs keeps the others waiting", got)
		}
		time.Sleep(time.Minute)
		if r.Held() != 2 {
			t.Errorf("%d held for a member that does not answer", r.Held())
		}
	})
}

// TestRelaySealedSince: shares given before a member was sealed are refused by it, and are not given to it
// again, even if it forgets that it was sealed. Given again they count, others beside the first as well.
func TestRelaySealedSince(t *testing.T) {
	c, texts, _ := newSet(t, 2, 4)
	synctest.Test(t, func(t *testing.T) {
		f := newFakeMembers(t, c, "b", "d")
		defer f.close()
		f.set("d", func(m *fakeMember) { m.down = true }) // keeps the round alive
		r := f.relay()
		defer r.Close()
		add(t, r, c, texts[0])
		add(t, r, c, texts[1])
		time.Sleep(time.Minute)
		f.restart("b")
		f.set("b", func(m *fakeMember) { m.sealedAt = time.Now() })
		time.Sleep(time.Minute)
		f.restart("b")
		f.set("b", func(m *fakeMember) { m.sealedAt = time.Time{} })
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := f.Waiting(); !slices.Equal(got, []string{"b", "d"}) || f.members["b"].refused == 0 || r.Held() != 2 {
			t.Fatalf("%v wait, %d refused, %d held", got, f.members["b"].refused, r.Held())
		}
		add(t, r, c, texts[1])
		add(t, r, c, texts[3])
		synctest.Wait()
		if got := f.Waiting(); !slices.Equal(got, []string{"d"}) {
			t.Errorf("%v wait after shares were given again", got)
		}
		if got := r.round.holding.xs; !slices.Equal(got, []byte{4, 2}) {
			t.Errorf("shares %v are held, of 2 and 4 given last", got)
		}
	})
}

// TestRelayEndsWhenAllRefuse: shares that nobody may have any more are wiped.
func TestRelayEndsWhenAllRefuse(t *testing.T) {
	c, texts, _ := newSet(t, 2, 2)
	synctest.Test(t, func(t *testing.T) {
		f := newFakeMembers(t, c, "b")
		defer f.close()
		f.set("b", func(m *fakeMember) { m.sealedAt = time.Now().Add(time.Second) })
		r := f.relay()
		defer r.Close()
		add(t, r, c, texts[0])
		add(t, r, c, texts[1])
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if r.Held() != 0 {
			t.Errorf("%d held", r.Held())
		}
	})
}

func TestVerify(t *testing.T) {
	old, _, b, err := Initialize(Params{Shares: 2, Threshold: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Wipe()
	c, _, other, err := ReInitialize(old, Params{Shares: 2, Threshold: 2})
	if err != nil {
		t.Fatal(err)
	}
	other.Wipe()
	if err := b.Verify(old); err != nil {
		t.Error(err)
	}
	if err := b.Verify(c); err == nil {
		t.Error("keys of another set verify")
	}
	if err := other.Verify(c); kms.CodeOf(err) != kms.CodeSealed {
		t.Errorf("wiped: %v", err)
	}
}
