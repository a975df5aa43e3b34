package oidc

import (
	"context"
	"time"
)

// How long what we know of an issuer lasts.
const (
	minFresh        = 5 * time.Minute
	defaultFresh    = time.Hour
	maxFresh        = 24 * time.Hour
	maxStale        = 24 * time.Hour   // after keys ceased to be fresh, if the issuer is unreachable
	failureLifetime = 5 * time.Second  // so that a dead issuer does not hold up every login
	refetchInterval = 30 * time.Second // so that made-up key ids do not flood the issuer
	maxSources      = 256
)

// sourceKey has the CA because whoever chooses the CA chooses who may answer for the issuer.
type sourceKey struct{ owner, issuer, ca string }

// source is what is known of one issuer. Its fields are guarded by Verifier.mu.
type source struct {
	set       *keySet   // the last good answer, or nil
	flight    *flight   // the fetch that is under way, or nil
	failure   error     // of the last fetch, nil if it succeeded
	retry     time.Time // while there is a failure: no fetch before
	refetched time.Time // when a fetch was last made for a key that the set lacks
	used      uint64    // Verifier.uses at the last look-up
}

// keySet is one answer of an issuer. It is immutable.
type keySet struct {
	keys  []key
	fresh time.Time // until then it is used without asking
}

// flight is one fetch, for all who wait for it.
type flight struct {
	done chan struct{} // closed when set and err, which are immutable then, are there
	set  *keySet
	err  error
}

// current returns the keys of p's issuer: fresh ones, or else those of a fetch, or else stale ones.
// Stale keys are for an issuer that cannot be asked; one that answers decides, even with no keys.
func (v *Verifier) current(ctx context.Context, p *Provider) (*keySet, error) {
	v.mu.Lock()
	now := v.now()
	s := v.source(p)
	if s.set != nil && now.Before(s.set.fresh) {
		defer v.mu.Unlock()
		return s.set, nil
	}
	if s.flight == nil && s.failure != nil && now.Before(s.retry) {
		defer v.mu.Unlock()
		return s.stale(now)
	}
	f := v.fly(ctx, p, s)
	v.mu.Unlock()

	if err := f.wait(ctx); err != nil {
		return nil, err
	}
	if f.err == nil {
		return f.set, nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return s.stale(v.now())
}

// newer returns keys that are newer than those of set, which lacks the key of a token, or set itself
// if it asked the issuer for such a key a short while ago.
func (v *Verifier) newer(ctx context.Context, p *Provider, set *keySet) (*keySet, error) {
	v.mu.Lock()
	now := v.now()
	s := v.source(p)
	if s.set != nil && s.set != set {
		defer v.mu.Unlock()
		return s.set, nil
	}
	if s.flight == nil {
		limited := !s.refetched.IsZero() && now.Sub(s.refetched) < refetchInterval
		if limited || s.failure != nil && now.Before(s.retry) {
			defer v.mu.Unlock()
			return set, s.failure
		}
		s.refetched = now
	}
	f := v.fly(ctx, p, s)
	v.mu.Unlock()

	if err := f.wait(ctx); err != nil {
		return nil, err
	}
	return f.set, f.err
}

// stale returns the last good answer after a failure, or the failure if it is too old.
func (s *source) stale(now time.Time) (*keySet, error) {
	if s.set != nil && now.Before(s.set.fresh.Add(maxStale)) {
		return s.set, nil
	}
	return nil, s.failure
}

// source returns what is known of p's issuer. It forgets the issuer that was not asked for longest
// when there are too many: that costs a fetch, and frees its refetch limit. v.mu is held.
func (v *Verifier) source(p *Provider) *source {
	v.uses++
	k := sourceKey{p.Owner, p.Issuer, p.CA}
	s := v.sources[k]
	if s == nil {
		if len(v.sources) >= maxSources {
			v.forgetOne()
		}
		s = &source{}
		v.sources[k] = s
	}
	s.used = v.uses
	return s
}

func (v *Verifier) forgetOne() {
	var oldest sourceKey
	least := v.uses
	for k, s := range v.sources {
		if s.used < least {
			oldest, least = k, s.used
		}
	}
	delete(v.sources, oldest)
}

// fly starts a fetch, or joins the one that is under way. The fetch does not end with the request
// that started it, since others may have joined. v.mu is held.
func (v *Verifier) fly(ctx context.Context, p *Provider, s *source) *flight {
	if s.flight != nil {
		return s.flight
	}
	f := &flight{done: make(chan struct{})}
	s.flight = f
	k := sourceKey{p.Owner, p.Issuer, p.CA}
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), v.timeout)
		defer cancel()
		keys, fresh, err := v.fetch(ctx, k)
		v.land(s, f, keys, fresh, err)
	}()
	return f
}

func (v *Verifier) land(s *source, f *flight, keys []key, fresh time.Duration, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.now()
	s.flight = nil
	s.failure = err
	if err != nil {
		s.retry = now.Add(failureLifetime)
		f.err = err
	} else {
		s.set = &keySet{keys: keys, fresh: now.Add(fresh)}
		f.set = s.set
	}
	close(f.done)
}

func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return fail(Unreachable, ctx.Err(), "The provider did not answer in time.")
	}
}
