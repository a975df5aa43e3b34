package audit

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
)

// refused is a refusal of somebody who has no identity.
func refused(source, name string) *Record {
	return &Record{Time: time.Now(), Source: "kms.amazonaws.com", Name: name, SourceIP: source, ErrorCode: string(kms.CodeUnauthenticated), Epoch: 1, Index: 9}
}

// folds are the counted records of a trail.
func folds(all []entry) (found []entry) {
	for _, e := range all {
		if e.name == eventFold {
			found = append(found, e)
		}
	}
	return found
}

func TestRefusalsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		l := newLog(t, 1, m)
		for i := range 25 {
			must(t, l.Append(refused("192.0.2.1", []string{"Encrypt", "Decrypt"}[i%2])))
			time.Sleep(20 * time.Millisecond)
		}
		must(t, l.Append(refused("192.0.2.2", "Encrypt")))
		if all := entries(t, m.bytes()); len(all) != 1+foldAfter+1 || l.Stats().Folded != 15 {
			t.Errorf("within the second: %v, %+v", names(all), l.Stats())
		}
		time.Sleep(499 * time.Millisecond)
		synctest.Wait()
		if n := len(folds(entries(t, m.bytes()))); n != 0 {
			t.Error("the second is not over")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		counted := folds(entries(t, m.bytes()))
		if len(counted) != 1 {
			t.Fatalf("the trail has %v", names(entries(t, m.bytes())))
		}
		e := counted[0]
		want := "map[count:15 events:map[Decrypt:7 Encrypt:8] firstTime:2000-01-01T00:00:00.200Z lastTime:2000-01-01T00:00:00.480Z]"
		if e.ip != "192.0.2.1" || fmt.Sprint(e.asked) != want || e.details != nil {
			t.Errorf("counted from %s: %v, want %s", e.ip, e.asked, want)
		}
		time.Sleep(time.Hour)
		if n := len(folds(entries(t, m.bytes()))); n != 1 {
			t.Errorf("%d counted records of one second", n)
		}
		must(t, l.Append(refused("192.0.2.1", "Encrypt"))) // another second has ten again
		if all := entries(t, m.bytes()); all[len(all)-1].name != "Encrypt" {
			t.Errorf("the first of another second: %v", all[len(all)-1])
		}
	})
}

// A counted record has the error code that all had; of several it says how many had which.
func TestCountedCodes(t *testing.T) {
	var many []kms.Code
	for i := range foldNames + 4 {
		many = append(many, kms.Code(fmt.Sprint("code_", i)))
	}
	for _, c := range []struct {
		codes []kms.Code
		code  string
		told  int
	}{
		{[]kms.Code{kms.CodeSealed}, "sealed", 0},
		{[]kms.Code{kms.CodeUnauthenticated}, "unauthenticated", 0},
		{[]kms.Code{kms.CodeUnauthenticated, kms.CodeThrottled, kms.CodeThrottled}, "", 2},
		{many, "", foldNames + 1},
	} {
		m := &memory{}
		l := newLog(t, 1, m)
		for range foldAfter {
			must(t, l.Append(refused("192.0.2.1", "Encrypt")))
		}
		for _, code := range c.codes {
			r := refused("192.0.2.1", "Encrypt")
			r.ErrorCode = string(code)
			must(t, l.Append(r))
		}
		must(t, l.Close())
		counted := folds(entries(t, m.bytes()))
		if len(counted) != 1 || counted[0].code != c.code {
			t.Errorf("%v are counted as %v", c.codes, counted)
			continue
		}
		codes, _ := counted[0].asked["errorCodes"].(map[string]any)
		sum := 0
		for _, n := range codes {
			i, err := strconv.Atoi(fmt.Sprint(n))
			must(t, err)
			sum += i
		}
		if len(codes) != c.told || c.told > 0 && sum != len(c.codes) {
			t.Errorf("%v are told as %v", c.codes, codes)
		}
	}
}

// Only refusals of those who have no identity are counted.
func TestWhatIsNotCounted(t *testing.T) {
	m := &memory{}
	l := newLog(t, 1, m)
	ofRoot, done, event := refused("192.0.2.1", "Encrypt"), refused("192.0.2.1", "SubmitUnsealShare"), refused("192.0.2.1", "Event")
	ofRoot.Identity.Type = "Root"
	done.ErrorCode = ""
	event.Identity, event.Service = Identity{Type: "Service"}, true
	for range 3 * foldAfter {
		for _, r := range []Record{*ofRoot, *done, *event} {
			must(t, l.Append(&r))
		}
	}
	if n := len(entries(t, m.bytes())); n != 1+9*foldAfter {
		t.Errorf("%d records", n)
	}
}

func TestSourcesOfRefusals(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::": "2001:db8:1:2::/64",
		"fe80::1%eth0": "fe80::/64", "node-1": "node-1", "": "", string(make([]byte, 100)): string(make([]byte, maxSource)),
	} {
		if got := sourceOf(addr); got != want {
			t.Errorf("%q is counted as %q, want %q", addr, got, want)
		}
	}
}

// However many sources and names there are, what is kept and written is bounded, and everything is counted.
func TestFloodFromEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		l := newLog(t, 1, m)
		const sources, each = 1000, foldAfter + 20
		for s := range sources {
			for i := range each {
				must(t, l.Append(refused(fmt.Sprintf("10.0.%d.%d", s/250, s%250), fmt.Sprint("Event", i))))
			}
		}
		time.Sleep(foldWindow)
		synctest.Wait()
		all := entries(t, m.bytes())
		counted := folds(all)
		if len(counted) != foldSources+1 || len(all) != 1+foldOwn+len(counted) {
			t.Errorf("%d counted records of %d", len(counted), len(all))
		}
		sum := len(all) - 1 - len(counted)
		for _, e := range counted {
			n, _ := e.asked["count"].(float64)
			events, _ := e.asked["events"].(map[string]any)
			if len(events) != foldNames+1 || events[foldOther] == nil {
				t.Errorf("%s: %d names: %v", e.ip, len(events), events)
			}
			sum += int(n)
		}
		if sum != sources*each {
			t.Errorf("%d refusals became %d", sources*each, sum)
		}
	})
}

func TestCloseWritesWhatIsCounted(t *testing.T) {
	m := &memory{}
	l := newLog(t, 1, m)
	for range foldAfter + 5 {
		must(t, l.Append(refused("192.0.2.1", "Encrypt")))
	}
	must(t, l.Close())
	all := entries(t, m.bytes())
	if c := folds(all); len(c) != 1 || c[0].asked["count"] != 5.0 || all[len(all)-1].name != eventStopped {
		t.Errorf("the trail has %v", names(all))
	}
}

// While no record can be written, what would be counted is refused like everything else; what was counted before is written as
// soon as something is.
func TestNothingIsCountedWhileBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		l := newLog(t, 1, m)
		for range foldAfter + 5 {
			must(t, l.Append(refused("192.0.2.1", "Encrypt")))
		}
		m.set(syscall.ENOSPC)
		if err := l.Append(record("Call")); kms.CodeOf(err) != kms.CodeAuditBlocked {
			t.Fatal(err)
		}
		for range 5 {
			if err := l.Append(refused("192.0.2.1", "Encrypt")); kms.CodeOf(err) != kms.CodeAuditBlocked {
				t.Errorf("while blocked: %v", err)
			}
		}
		time.Sleep(10 * foldWindow)
		m.set(nil)
		must(t, l.Healthy())
		all := entries(t, m.bytes())
		if c := folds(all); len(c) != 1 || c[0].asked["count"] != 5.0 || l.Stats().Folded != 5 {
			t.Errorf("the trail has %v", all)
		}
		checkTrail(t, m.Name(), all)
	})
}

// Counts are not lost when the log is closed in the moment in which their second ends.
func TestCloseAsTheSecondEnds(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			m := &memory{}
			l := newLog(t, 1, m)
			for range foldAfter + 5 {
				must(t, l.Append(refused("192.0.2.1", "Encrypt")))
			}
			time.Sleep(foldWindow)
			must(t, l.Close())
			if n := len(folds(entries(t, m.bytes()))); n != 1 {
				t.Errorf("%d counted records", n)
			}
		})
	}
}

// What is counted at the same time by several is counted once each.
func TestCountingConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		l := newLog(t, 1, m)
		const callers, each = 8, 200
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				for i := range each {
					must(t, l.Append(refused("192.0.2.1", "Encrypt")))
					if i%20 == 0 {
						time.Sleep(foldWindow / 5)
					}
				}
			})
		}
		all.Wait()
		must(t, l.Close())
		sum := 0
		for _, e := range entries(t, m.bytes()) {
			n, _ := e.asked["count"].(float64)
			sum += int(n)
			if e.name == "Encrypt" {
				sum++
			}
		}
		if sum != callers*each {
			t.Errorf("%d refusals became %d", callers*each, sum)
		}
	})
}

func TestHeads(t *testing.T) {
	m := &memory{}
	l := newLog(t, 1, m)
	if _, signed, err := l.SignHead(); signed || err != nil || len(entries(t, m.bytes())) != 1 {
		t.Errorf("with no signer: %v, %v", signed, err)
	}
	k := newKey()
	l.SetSigner(k)
	must(t, l.Append(record("Call")))
	head, signed, err := l.SignHead()
	all := entries(t, m.bytes())
	e := all[len(all)-1]
	if !signed || err != nil || e.name != eventHead || head.Seq != 2 || head.Hash != all[1].Hash || head.Node != "node-a" {
		t.Fatalf("%+v, %v, %v: %v", head, signed, err, all)
	}
	want := map[string]any{"clusterId": "c0", "headSeq": 2.0, "headHash": all[1].Hash.String(), "headTime": float64(head.Time)}
	for key, value := range want {
		if e.details[key] != value {
			t.Errorf("%s is %v, want %v", key, e.details[key], value)
		}
	}
	if st := l.Stats(); st.HeadSeq != 2 || st.HeadTime.UnixMilli() != head.Time || st.Seq != 3 {
		t.Errorf("%+v", st)
	}
	m.set(errors.New("full"))
	if _, signed, err := l.SignHead(); signed || kms.CodeOf(err) != kms.CodeAuditBlocked || l.Stats().HeadSeq != 2 {
		t.Errorf("while blocked: %v, %v", signed, err)
	}
	m.set(nil)
	l.SetSigner(nil)
	if _, signed, err := l.SignHead(); signed || err != nil {
		t.Errorf("with no signer again: %v, %v", signed, err)
	}
	l.SetSigner(k)
	must(t, l.Close())
	all = entries(t, m.bytes())
	if got := fmt.Sprint(names(all[len(all)-2:])); got != "[AuditHead AuditStopped]" {
		t.Errorf("it ends with %s", got)
	}
}

// The trail's own records are repeated until enough sinks have them, also that of the start.
func TestStartIsRecordedOnceItCanBe(t *testing.T) {
	m := &memory{fail: syscall.ENOSPC}
	l := newLog(t, 1, m)
	if err := l.Healthy(); kms.CodeOf(err) != kms.CodeAuditBlocked {
		t.Errorf("from the start: %v", err)
	}
	m.set(nil)
	must(t, l.Healthy())
	all := entries(t, m.bytes())
	if got := fmt.Sprint(names(all)); got != "[AuditRecordsMissed AuditStarted AuditResumed]" || all[1].number("previousSeq") != all[0].Seq || all[1].details["previousHash"] != all[0].Hash.String() || all[1].details["clean"] != false {
		t.Errorf("the trail has %v", all)
	}
	must(t, l.Append(record("Call")))
	if n := len(entries(t, m.bytes())); n != 4 {
		t.Errorf("%d records", n)
	}
}

func TestEvent(t *testing.T) {
	m := &memory{}
	l := newLog(t, 1, m)
	must(t, l.Event("AuditRecordsLost", Int("fromSeq", 7)), l.Event("Plain"))
	all := entries(t, m.bytes())
	if e := all[1]; e.name != "AuditRecordsLost" || e.number("fromSeq") != 7 {
		t.Errorf("%v", e)
	}
	if e := all[2]; e.name != "Plain" || e.details == nil {
		t.Errorf("%v", e)
	}
}
