package seal

import (
	"fmt"
	"math/bits"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
)

// submit fails the test when the share is refused.
func submit(t *testing.T, u *Unsealer, c Config, text, attempt string) (Progress, *Barrier) {
	t.Helper()
	p, b, err := u.Submit(c, text, attempt)
	if err != nil {
		t.Fatal(err)
	}
	return p, b
}

func TestUnseal(t *testing.T) {
	c, texts, first := newSet(t, 3, 5)
	body, _, err := first.Seal(3, "id", 9, []byte("record"))
	if err != nil {
		t.Fatal(err)
	}
	u := NewUnsealer(0, false)
	if p := u.Status(c); p != (Progress{Sealed: true, Threshold: 3, Shares: 5}) {
		t.Errorf("before: %+v", p)
	}
	one, b := submit(t, u, c, texts[4], "")
	if b != nil || !one.Sealed || one.Progress != 1 || len(one.AttemptID) < 26 || len(one.AttemptLabel) != 4 || strings.Contains(strings.ToLower(one.AttemptID), one.AttemptLabel) {
		t.Errorf("after one: %+v", one)
	}
	if left := time.Until(one.ExpiresAt); left <= DefaultExpiry-time.Minute || left > DefaultExpiry {
		t.Errorf("it expires in %s", left)
	}
	two, b := submit(t, u, c, texts[0], one.AttemptID)
	want := one
	want.Progress = 2
	if b != nil || two != want {
		t.Errorf("after two: %+v", two)
	}
	want.AttemptID = ""
	if p := u.Status(c); p != want {
		t.Errorf("status: %+v, want no id", p)
	}
	three, b := submit(t, u, c, texts[2], "")
	if b == nil || three.Sealed || three.Progress != 3 {
		t.Fatalf("after three: %+v", three)
	}
	defer b.Wipe()
	if got, err := b.Open(3, "id", 9, body); err != nil || string(got) != "record" {
		t.Errorf("%q, %v", got, err)
	}
	if b.NameID("x", "y") != first.NameID("x", "y") {
		t.Error("names changed")
	}
	if p := u.Status(c); p.Progress != 0 || p.AttemptLabel != "" || !p.ExpiresAt.IsZero() {
		t.Errorf("the attempt goes on: %+v", p)
	}
}

func TestOneOfOne(t *testing.T) {
	c, texts, _ := newSet(t, 1, 1)
	p, b := submit(t, NewUnsealer(0, false), c, texts[0], "")
	if b == nil || p.Sealed {
		t.Fatalf("%+v", p)
	}
	b.Wipe()
}

// TestRefusalsKeepProgress submits everything that cannot count between two good shares.
func TestRefusalsKeepProgress(t *testing.T) {
	old, oldTexts, _ := newSet(t, 3, 5)
	c, secrets, b, err := ReInitialize(old, Params{Shares: 5, Threshold: 3})
	if err != nil {
		t.Fatal(err)
	}
	b.Wipe()
	texts := plain(secrets)
	_, foreign, _ := newSet(t, 3, 5)
	wrong, err := c.checkShare(texts[3])
	if err != nil {
		t.Fatal(err)
	}
	wrong.y[0] ^= 1

	u := NewUnsealer(0, false)
	submit(t, u, c, texts[0], "")
	submit(t, u, c, texts[1], "")
	before := u.Status(c)
	for _, tt := range []struct {
		name, text, attempt string
		want                kms.Code
	}{
		{"typo", texts[2][:40] + "b" + texts[2][41:], "", kms.CodeInvalidShare},
		{"empty", "", "", kms.CodeInvalidShare},
		{"other cluster", foreign[2], "", kms.CodeShareOtherCluster},
		{"superseded", oldTexts[2], "", kms.CodeShareSuperseded},
		{"duplicate", texts[1], "", kms.CodeShareDuplicate},
		{"duplicate in capitals", strings.ToUpper(texts[0]), "", kms.CodeShareDuplicate},
		{"wrong value", string(wrong.text()), "", kms.CodeShareWrong},
		{"other attempt", texts[2], "NOSUCHATTEMPT", kms.CodeConflict},
	} {
		p, b, err := u.Submit(c, tt.text, tt.attempt)
		if kms.CodeOf(err) != tt.want || b != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if p != before || u.Status(c) != before {
			t.Errorf("%s: progress is %+v, was %+v", tt.name, p, before)
		}
		if tt.text != "" && strings.Contains(fmt.Sprintf("%+v", err), tt.text[9:]) {
			t.Errorf("%s: the error holds the share", tt.name)
		}
	}
	if _, b := submit(t, u, c, texts[2], ""); b == nil {
		t.Fatal("the third good share did not unseal")
	} else {
		b.Wipe()
	}
}

// TestFewerNeverUnseal submits every subset of shares, each share twice: only subsets that reach the
// threshold unseal.
func TestFewerNeverUnseal(t *testing.T) {
	const n, threshold = 5, 3
	c, texts, _ := newSet(t, threshold, n)
	for subset := range uint(1 << n) {
		u := NewUnsealer(0, false)
		unsealed := false
		for i, text := range texts {
			for range 2 {
				if subset>>i&1 == 0 || unsealed {
					continue
				}
				_, b, err := u.Submit(c, text, "")
				if err != nil && kms.CodeOf(err) != kms.CodeShareDuplicate {
					t.Fatal(err)
				}
				if b != nil {
					unsealed = true
					b.Wipe()
				}
			}
		}
		if want := bits.OnesCount(subset) >= threshold; unsealed != want {
			t.Errorf("shares %05b: unsealed is %v", subset, unsealed)
		}
		u.Close()
	}
}

func TestCancel(t *testing.T) {
	c, texts, _ := newSet(t, 2, 3)
	u := NewUnsealer(0, false)
	if err := u.Cancel(""); kms.CodeOf(err) != kms.CodeNotFound {
		t.Errorf("without an attempt: %v", err)
	}
	p, _ := submit(t, u, c, texts[0], "")
	for _, id := range []string{"", "x", p.AttemptLabel, p.AttemptID[1:], strings.ToLower(p.AttemptID)} {
		if err := u.Cancel(id); kms.CodeOf(err) != kms.CodeNotFound || u.Status(c).Progress != 1 {
			t.Errorf("id %q: %v", id, err)
		}
	}
	if err := u.Cancel(p.AttemptID); err != nil || u.Status(c).Progress != 0 {
		t.Errorf("the right id: %v", err)
	}
	if _, _, err := u.Submit(c, texts[0], p.AttemptID); kms.CodeOf(err) != kms.CodeConflict {
		t.Errorf("a share for the cancelled attempt: %v", err)
	}
	if next, _ := submit(t, u, c, texts[0], ""); next.Progress != 1 || next.AttemptID == p.AttemptID {
		t.Errorf("the next attempt: %+v", next)
	}
}

func TestExpiry(t *testing.T) {
	c, texts, _ := newSet(t, 3, 3)
	before := lockedMemory(t)
	synctest.Test(t, func(t *testing.T) {
		u := NewUnsealer(10*time.Minute, false)
		p, _ := submit(t, u, c, texts[0], "")
		time.Sleep(9 * time.Minute)
		later, _ := submit(t, u, c, texts[1], "")
		if later.ExpiresAt != p.ExpiresAt || later.Progress != 2 {
			t.Errorf("after 9 minutes: %+v, began as %+v", later, p)
		}
		if lockedMemory(t) == before {
			t.Error("the shares are not in locked memory")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := lockedMemory(t); got != before {
			t.Errorf("after the expiry VmLck is %s, was %s: the shares were not wiped by themselves", got, before)
		}
		if p := u.Status(c); p.Progress != 0 || !p.ExpiresAt.IsZero() {
			t.Errorf("after the expiry: %+v", p)
		}
		// The timer of an attempt that is over must not end the next one.
		p, _ = submit(t, u, c, texts[0], "")
		time.Sleep(5 * time.Minute)
		if err := u.Cancel(p.AttemptID); err != nil {
			t.Error(err)
		}
		submit(t, u, c, texts[0], "")
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		if p := u.Status(c); p.Progress != 1 {
			t.Errorf("the next attempt ended early: %+v", p)
		}
		u.Close()
	})
}

// TestNewSetEndsAttempt changes the set of shares in the middle of an attempt.
func TestNewSetEndsAttempt(t *testing.T) {
	old, oldTexts, _ := newSet(t, 2, 2)
	c, secrets, b, err := ReInitialize(old, Params{Shares: 2, Threshold: 2})
	if err != nil {
		t.Fatal(err)
	}
	b.Wipe()
	u := NewUnsealer(0, false)
	submit(t, u, old, oldTexts[0], "")
	if p := u.Status(c); p.Progress != 0 {
		t.Errorf("the old attempt counts for the new set: %+v", p)
	}
	submit(t, u, old, oldTexts[0], "")
	p, b := submit(t, u, c, string(secrets[1]), "")
	if b != nil || p.Progress != 1 {
		t.Errorf("%+v", p)
	}
	u.Close()
}

// TestDamagedConfigEndsAttempt reaches the threshold of a configuration that does not verify.
func TestDamagedConfigEndsAttempt(t *testing.T) {
	c, texts, _ := newSet(t, 2, 2)
	c.Activated = true // without a new MAC
	u := NewUnsealer(0, false)
	submit(t, u, c, texts[0], "")
	p, b, err := u.Submit(c, texts[1], "")
	if !isConfigError(err) || b != nil {
		t.Fatalf("%v", err)
	}
	if p.Progress != 0 || !p.Sealed || u.Status(c).Progress != 0 {
		t.Errorf("the attempt goes on: %+v", p)
	}
}
