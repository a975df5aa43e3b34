package sigv4

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

func (k *Keys) count() (n int) {
	for i := range k.shards {
		n += len(k.shards[i].index)
	}
	return n
}

func idOf(i int) keyID { return keyID{fmt.Sprint("AKIA", i), "20260304", "us-east-1", "kms"} }

func TestKeysAreBounded(t *testing.T) {
	k := NewKeys(64)
	secret := []byte(testSecret)
	for i := range 1000 {
		_, ticket, found := k.get(idOf(i), secret)
		if found {
			t.Fatal("found what was not put in")
		}
		k.put(idOf(i), ticket, [32]byte{1, byte(i)})
		if key, _, found := k.get(idOf(i), secret); !found || key != [32]byte{1, byte(i)} {
			t.Fatal("lost what was just put in")
		}
	}
	if n := k.count(); n > 64 || n < 48 {
		t.Fatalf("%d keys in a cache of 64", n)
	}
	for i := range k.shards {
		for id, place := range k.shards[i].index {
			if k.shards[i].entries[place].id != id {
				t.Fatal("the index is wrong")
			}
		}
	}
}

func TestKeysKeepWhatIsUsed(t *testing.T) {
	k := NewKeys(shards * 4)
	secret := []byte(testSecret)
	_, ticket, _ := k.get(idOf(0), secret)
	k.put(idOf(0), ticket, [32]byte{7})
	for i := 1; i < 500; i++ {
		_, ticket, _ := k.get(idOf(i), secret)
		k.put(idOf(i), ticket, [32]byte{1})
		if _, _, found := k.get(idOf(0), secret); !found {
			t.Fatal("evicted the key that is used most")
		}
	}
}

func TestKeysAreBoundToTheirSecret(t *testing.T) {
	k, r, rules := NewKeys(16), kmsRequest(t), kmsRules()
	if err := check(r, rules, testSecret, k); err != nil {
		t.Fatal(err)
	}
	if k.count() != 1 {
		t.Fatal("the key was not cached")
	}
	for _, secret := range []string{"", "x", testSecret + "x", testSecret[1:], strings.ToLower(testSecret), strings.Repeat("0", 40)} {
		if f := failureOf(t, check(r, rules, secret, k)); f != Mismatch {
			t.Fatalf("secret %q verified with the key of another: %v", secret, f)
		}
	}
	// The same key serves on, and the entry of a changed secret is replaced.
	if err := check(r, rules, testSecret, k); err != nil {
		t.Fatal(err)
	}
}

// TestRefusedRequestsAreNotCached: nobody without a secret fills the cache.
func TestRefusedRequestsAreNotCached(t *testing.T) {
	k, r := NewKeys(16), kmsRequest(t)
	for _, secret := range []string{"", "wrong"} {
		if f := failureOf(t, check(r, kmsRules(), secret, k)); f != Mismatch || k.count() != 0 {
			t.Fatalf("%v with %d keys", f, k.count())
		}
	}
}

// TestEqualWork compares refusals by their allocations, most of which are those of the four HMACs of a
// derivation: an access key that does not exist, one whose key is cached and one whose key is not.
func TestEqualWork(t *testing.T) {
	k, r := NewKeys(16), kmsRequest(t)
	if err := check(r, kmsRules(), testSecret, k); err != nil {
		t.Fatal(err)
	}
	s, err := Parse(r, kmsRules())
	if err != nil {
		t.Fatal(err)
	}
	s.Signature[0] ^= 1
	work := func(keys *Keys, secret string) float64 {
		return testing.AllocsPerRun(100, func() {
			if s.Verify(r, []byte(secret), keys) == nil {
				t.Fatal("verified")
			}
		})
	}
	cached, cold, unknown := work(k, testSecret), work(NewKeys(1), testSecret), work(k, "")
	if cached != cold || unknown < cold || unknown > cold+1 {
		t.Fatalf("allocations: %v for a cached key, %v for one that is not, %v for none", cached, cold, unknown)
	}
}

func TestWipe(t *testing.T) {
	k := NewKeys(64)
	secret := []byte(testSecret)
	_, before, _ := k.get(idOf(0), secret)
	for i := range 64 {
		_, ticket, _ := k.get(idOf(i), secret)
		k.put(idOf(i), ticket, [32]byte{1})
	}
	k.Wipe()
	k.put(idOf(0), before, [32]byte{1})
	if k.count() != 0 {
		t.Fatal("a key outlived Wipe, or a Verify under way put one in")
	}
	for i := range k.shards {
		for _, e := range k.shards[i].entries[:cap(k.shards[i].entries)] {
			if e != (entry{}) {
				t.Fatal("an entry was not overwritten")
			}
		}
	}
	if err := check(kmsRequest(t), kmsRules(), testSecret, k); err != nil || k.count() != 1 {
		t.Fatalf("after Wipe: %v, %d keys", err, k.count())
	}
}

func TestKeysConcurrently(t *testing.T) {
	k, r, rules := NewKeys(8), kmsRequest(t), kmsRules()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				if err := check(r, rules, testSecret, k); err != nil {
					t.Error(err)
				}
				if err := check(r, rules, "wrong", k); err == nil {
					t.Error("verified under a wrong secret")
				}
				id := idOf(g*1000 + i)
				_, ticket, _ := k.get(id, []byte(testSecret))
				k.put(id, ticket, [32]byte{1})
				if i%50 == 0 {
					k.Wipe()
				}
			}
		})
	}
	wg.Wait()
	if n := k.count(); n > shards {
		t.Fatalf("%d keys in %d places", n, shards)
	}
}
