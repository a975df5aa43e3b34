package audit

import (
	"errors"
	"fmt"
	"maps"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// late appends a record of something that was done, and has it written later when it cannot be now.
func late(l *Log, id string) (eventID string, err error) {
	r := record("Change")
	r.RequestID, r.Parameters = id, []Pair{{Key: "keyId", Value: id}}
	if err = l.Append(r); err != nil {
		l.Later(*r)
		r.Parameters[0].Value = "of the next call"
	}
	return string(appendUUID(nil, r.EventID)), err
}

// What was done in the moment in which records cannot be written any more has its record as soon as they can: once, under its
// event id, in order.
func TestLaterIsWrittenOnce(t *testing.T) {
	for name, resume := range map[string]func(*Log) error{
		"before a call": func(l *Log) error { return l.Append(record("Next")) },
		"when asked":    (*Log).Healthy,
		"at the stop":   func(*Log) error { return nil },
	} {
		for _, s := range []struct{ sinks, require int }{{1, 1}, {2, 1}, {2, 2}} {
			t.Run(fmt.Sprintf("%s/%d of %d", name, s.require, s.sinks), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, s.sinks, s.require, FileOptions{})
					must(t, r.call())
					fail := func(err error) {
						for _, d := range r.disks {
							d.set(func() { d.fail = err })
						}
					}
					fail(syscall.ENOSPC)
					ids := map[string]string{} // by request id
					for i := range 3 {
						id := fmt.Sprint("change-", i)
						var err error
						if ids[id], err = late(r.log, id); err == nil {
							t.Fatal("it is written")
						}
						synctest.Wait()
					}
					fail(nil)
					time.Sleep(retryAfter)
					must(t, resume(r.log), r.log.Close())
					for i := range r.paths {
						var got []string
						found := map[string]string{}
						for _, e := range r.trail(i) {
							switch e.name {
							case "Change":
								got, found[e.request] = append(got, e.request), e.id
								if e.asked["keyId"] != e.request {
									t.Errorf("%s asked for %v", e.request, e.asked)
								}
							case eventStopped:
								if len(got) != 3 {
									t.Errorf("%s stands before %d of the changes", e.name, 3-len(got))
								}
							}
						}
						if fmt.Sprint(got) != "[change-0 change-1 change-2]" || !maps.Equal(found, ids) {
							t.Errorf("sink %d has %v under %v, want %v", i, got, found, ids)
						}
					}
					r.sound(t)
				})
			})
		}
	}
}

// What waits behind a write that hangs is written once that ends, whether or not anybody appends then.
func TestLaterBehindAHungWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 1, FileOptions{})
		release := r.hang(0)
		if _, err := late(r.log, "hung"); !errors.Is(err, ErrHung) {
			t.Fatal(err)
		}
		release()
		synctest.Wait()
		must(t, r.log.Healthy())
		var ids []string
		for _, e := range r.trail(0) {
			if e.name == "Change" {
				ids = append(ids, e.id)
			}
		}
		if len(ids) != 2 || ids[0] != ids[1] { // the write that hung went well in the end
			t.Errorf("it stands under %v", ids)
		}
		must(t, r.log.Close())
		r.sound(t)
	})
}

// While a sink that is needed takes nothing, each call is tried, and no attempt writes what is late into the sink that works.
func TestLaterIsNotWrittenInVain(t *testing.T) {
	good, bad := &memory{name: "good"}, &memory{name: "bad"}
	l := newLog(t, 2, good, bad)
	bad.set(syscall.ENOSPC)
	if _, err := late(l, "late"); err == nil {
		t.Fatal("it is written")
	}
	for range 5 {
		if err := l.Append(record("Refused")); err == nil {
			t.Fatal("it is written")
		}
	}
	bad.set(nil)
	must(t, l.Healthy(), l.Append(record("Next")), l.Close())
	changes := 0
	for _, e := range entries(t, good.bytes()) {
		if e.name == "Change" {
			changes++
		}
	}
	if changes != 2 { // when it was done, and late
		t.Errorf("the change stands there %d times", changes)
	}
}

// What waits is bounded, and what is beyond is counted; a closed log keeps nothing.
func TestLaterIsBounded(t *testing.T) {
	m := &memory{}
	l := newLog(t, 1, m)
	m.set(syscall.ENOSPC)
	if _, err := late(l, "first"); err == nil {
		t.Fatal("it is written")
	}
	for range maxLate + 9 {
		l.Later(*record("Change"))
	}
	m.set(nil)
	must(t, l.Healthy(), l.Append(record("Next")), l.Close())
	kept, dropped := 0, []uint64(nil)
	for _, e := range entries(t, m.bytes()) {
		switch e.name {
		case "Change":
			kept++
		case eventDropped:
			dropped = append(dropped, e.number("records"))
		}
	}
	if kept != maxLate || fmt.Sprint(dropped) != "[10]" {
		t.Errorf("%d were kept, told are %v", kept, dropped)
	}
	l.Later(*record("Change"))
	if all := entries(t, m.bytes()); all[len(all)-1].name != eventStopped || all[len(all)-2].name != "Next" {
		t.Errorf("the trail ends with %v", all[len(all)-2:])
	}
	checkTrail(t, m.Name(), entries(t, m.bytes()))
}
