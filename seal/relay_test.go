package seal

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
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
	down     bool // refuses
	hung     bool // does not answer until the context ends
	calls    int  // deliveries begun
	busy     bool // one is under way
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

func (f *fakeMembers) Deliver(ctx context.Context, name string, share secret.Bytes) error {
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
	return NewRelay(RelayConfig{Waiting: f.Waiting, Deliver: f.Deliver})
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
		time.Sleep(deliveryTimeout + time.Second)
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
			Waiting: func() []string { return []string{"b"} },
			Deliver: func(_ context.Context, _ string, share secret.Bytes) error {
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
