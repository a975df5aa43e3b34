package service_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockstep-kms/lockstep/auth/limit"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// Wrong proofs of identity are answered later and later after the first few; a right one never is, and one that is
// refused for another reason neither.
func TestBackoffOfWrongProofs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, servicetest.Options{Backoff: limit.NewBackoff(limit.BackoffConfig{Free: 2, First: time.Second, Longest: 4 * time.Second})})
		took := func(who servicetest.Credentials, op *kms.Operation, request any, code kms.Code) time.Duration {
			start := time.Now()
			_, err := w.Do(who, op, request)
			want(t, op.Name, err, code)
			return time.Since(start)
		}
		wrong := servicetest.Credentials{AccessKeyID: w.alice.AccessKeyID, Secret: "guessed"}
		list := &kms.ListRequest{}
		for i, delay := range []time.Duration{0, 0, 1, 2, 4, 4} {
			if d := took(wrong, kms.OpListKeys, list, kms.CodeUnauthenticated); d != delay*time.Second {
				t.Errorf("failure %d took %s", i+1, d)
			}
			if i < 3 {
				continue
			}
			for _, right := range []servicetest.Credentials{w.bob, w.Root} {
				if d := took(right, kms.OpListKeys, list, ""); d != 0 {
					t.Errorf("a right one took %s", d)
				}
			}
		}
		if d := took(w.bob, kms.OpCreateAccount, &kms.CreateAccountRequest{}, kms.CodeAccessDenied); d != 0 {
			t.Errorf("who is only denied waited %s", d)
		}
		if d := took(w.alice, kms.OpListKeys, list, ""); d != 0 {
			t.Errorf("the owner of the guessed access key waited %s", d)
		}
		if d := took(wrong, kms.OpListKeys, list, kms.CodeUnauthenticated); d != 0 {
			t.Errorf("the failures are not forgotten after a success: %s", d)
		}
	})
}

// The deadline of a door that has one ends no such wait, also when it was over before; a caller who goes away does.
func TestBackoffOutlastsTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, servicetest.Options{Backoff: limit.NewBackoff(limit.BackoffConfig{Free: -1, First: time.Second, Longest: time.Second})})
		wrong := servicetest.Credentials{AccessKeyID: w.alice.AccessKeyID, Secret: "guessed"}
		for what, row := range map[string]struct{ deadline, gone, want time.Duration }{
			"a deadline":             {200 * time.Millisecond, time.Hour, time.Second},
			"a deadline far off":     {time.Minute, time.Hour, time.Second},
			"a caller who went away": {time.Minute, 300 * time.Millisecond, 300 * time.Millisecond},
		} {
			client, leave := context.WithCancel(t.Context())
			ctx, cancel := context.WithTimeout(client, row.deadline)
			defer time.AfterFunc(row.gone, leave).Stop()
			start := time.Now()
			_, err := w.Service.Do(ctx, servicetest.Call(wrong, kms.OpListKeys, &kms.ListRequest{}))
			want(t, what, err, kms.CodeUnauthenticated)
			if d := time.Since(start); d != row.want {
				t.Errorf("%s: it took %s", what, d)
			}
			cancel()
			leave()
		}
	})
}

// When too many answers wait already, the next is 429 at once and says when to try again.
func TestBackoffIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, servicetest.Options{Backoff: limit.NewBackoff(limit.BackoffConfig{Free: -1, First: time.Minute, Longest: time.Minute, WaitingPerSource: 1})})
		wrong := servicetest.Credentials{AccessKeyID: w.alice.AccessKeyID, Secret: "guessed"}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := w.Service.Do(ctx, servicetest.Call(wrong, kms.OpListKeys, &kms.ListRequest{}))
			done <- err
		}()
		synctest.Wait()
		_, err := w.Do(wrong, kms.OpListKeys, &kms.ListRequest{})
		want(t, "one more", err, kms.CodeThrottled)
		if after := kms.AsError(err).RetryAfter; after != time.Minute {
			t.Errorf("try again after %s", after)
		}
		w.must(t, w.alice, kms.OpListKeys, &kms.ListRequest{})
		cancel()
		want(t, "the one that waited", <-done, kms.CodeUnauthenticated)
	})
}

// The quota is of an identity: all its access keys share it, all sessions of a role do, and nobody else.
func TestQuotaOfIdentities(t *testing.T) {
	c := newClock()
	quota := limit.NewQuota(limit.QuotaConfig{PerSecond: 1, Burst: 3, Now: c.now})
	w := newWorld(t, servicetest.Options{Now: c.now, Quota: quota})
	c.advance(time.Hour)
	must := func(op *kms.Operation, q any) any {
		t.Helper()
		c.advance(time.Hour)
		return w.must(t, w.alice, op, q)
	}
	must(kms.OpCreateUser, &kms.CreateUserRequest{Name: "u"})
	var keys [2]servicetest.Credentials
	for i := range keys {
		a := must(kms.OpCreateAccessKey, &kms.IdentityRequest{Name: "u"}).(*kms.AccessKeyAnswer)
		keys[i] = servicetest.Credentials{AccessKeyID: a.AccessKey.AccessKeyID, Secret: string(a.SecretAccessKey)}
	}
	must(kms.OpCreateRole, &kms.CreateRoleRequest{Name: "r", AssumeRolePolicyDocument: trusting(iamARN(aliceID, "root"))})
	q := &kms.AssumeRoleRequest{RoleARN: iamARN(aliceID, "role/r"), RoleSessionName: "one"}
	c.ms.Store(servicetest.Epoch)
	c.advance(24 * time.Hour)
	w.Advance(24 * time.Hour)
	first := w.assume(t, w.alice, q)
	q.RoleSessionName = "two"
	second := w.assume(t, w.alice, q)

	for i := range 5 {
		_, err := w.Do(keys[i%2], kms.OpGetCallerIdentity, &kms.Empty{})
		if i < 3 {
			want(t, "within the quota", err, "")
			continue
		}
		want(t, "over the quota", err, kms.CodeThrottled)
		if after := kms.AsError(err).RetryAfter; after != time.Second {
			t.Errorf("try again after %s", after)
		}
	}
	for i, s := range []*kms.SessionAnswer{first, second, first, second} {
		want(t, "a session", whoAmI(w.Node, s), map[bool]kms.Code{true: kms.CodeThrottled}[i == 3])
	}
	_, err := w.Do(w.bob, kms.OpGetCallerIdentity, &kms.Empty{})
	want(t, "somebody else", err, "")
	wrong := servicetest.Credentials{AccessKeyID: w.Root.AccessKeyID, Secret: "guessed"}
	for range 5 { // nobody uses up the quota of another
		_, err := w.Do(wrong, kms.OpGetCallerIdentity, &kms.Empty{})
		want(t, "guessed", err, kms.CodeUnauthenticated)
	}
	w.must(t, w.Root, kms.OpGetCallerIdentity, &kms.Empty{})
	c.advance(time.Second)
	_, err = w.Do(keys[0], kms.OpGetCallerIdentity, &kms.Empty{})
	want(t, "a second later", err, "")
	_, err = w.Do(keys[1], kms.OpGetCallerIdentity, &kms.Empty{})
	want(t, "and again", err, kms.CodeThrottled)
}
