package secret

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestLocked(t *testing.T) {
	l, err := NewLocked(100, false)
	if err != nil {
		t.Fatal(err)
	}
	b := l.Bytes()
	if len(b) != 100 || cap(b) != 100 {
		t.Fatalf("len %d, cap %d, want 100 both", len(b), cap(b))
	}
	copy(b, "top secret bytes")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, l); got != redacted {
			t.Errorf("%s prints %q", verb, got)
		}
	}
	l.Wipe()
	if !bytes.Equal(b, make([]byte, 100)) {
		t.Error("Wipe left bytes")
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if l.Bytes() != nil {
		t.Error("a closed region still has bytes")
	}
	for _, n := range []int{0, -1} {
		if _, err := NewLocked(n, true); err == nil {
			t.Errorf("NewLocked(%d) was allowed", n)
		}
	}
}

// childMode makes the test binary run one of the children below instead of its tests: hardening is
// for a whole process and cannot be undone.
const childMode = "LOCKSTEP_SECRET_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childMode) {
	case "":
		os.Exit(m.Run())
	case "hardened":
		hardenedChild()
	case "no-lock":
		noLockChild()
	}
}

// child runs this binary in a mode and returns what it printed as key=value lines.
func child(t *testing.T, mode string) map[string]string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childMode+"="+mode)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("child %s: %v\n%s", mode, err, out)
	}
	answers := map[string]string{}
	for line := range strings.Lines(string(out)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		answers[k] = v
	}
	return answers
}

func procStatus(field string) string {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err.Error()
	}
	m := regexp.MustCompile(`(?m)^` + field + `:\s*(.*)$`).FindSubmatch(status)
	if m == nil {
		return "missing"
	}
	return string(m[1])
}

func dumpable() string {
	n, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	return fmt.Sprint(n, err)
}

func hardenedChild() {
	fmt.Println("dumpable_before=" + dumpable())
	fmt.Println("harden=", Harden(false))
	fmt.Println("dumpable=" + dumpable())
	var limit unix.Rlimit
	_ = unix.Getrlimit(unix.RLIMIT_CORE, &limit)
	fmt.Println("core=" + fmt.Sprint(limit.Cur, limit.Max))
	fmt.Println("locked_before=" + procStatus("VmLck"))
	region, err := NewLocked(5000, false)
	fmt.Println("region=", err)
	fmt.Println("locked=" + procStatus("VmLck"))
	fmt.Println("flags=" + strconv.FormatBool(dontDump(region.Bytes())))
	_ = region.Close()
	fmt.Println("locked_after=" + procStatus("VmLck"))
}

// dontDump reports whether the mapping that holds b is locked and excluded from dumps.
func dontDump(b []byte) bool {
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return false
	}
	start := fmt.Sprintf("%x-", uintptr(unsafe.Pointer(unsafe.SliceData(b))))
	inside := false
	for line := range strings.Lines(string(smaps)) {
		if strings.HasPrefix(line, start) {
			inside = true
		}
		if flags, ok := strings.CutPrefix(line, "VmFlags:"); ok && inside {
			f := strings.Fields(flags)
			return slices.Contains(f, "dd") && slices.Contains(f, "lo")
		}
	}
	return false
}

// noLockChild runs where no memory may be locked: an unprivileged user with RLIMIT_MEMLOCK 0.
func noLockChild() {
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{}); err != nil {
		fmt.Println("setrlimit=", err)
	}
	if os.Geteuid() == 0 {
		if err := unix.Setuid(65534); err != nil {
			fmt.Println("setuid=", err)
		}
	}
	_, err := NewLocked(1, false)
	fmt.Println("new=", err)
	fmt.Println("harden=", Harden(false))
	fmt.Println("harden_allowed=", Harden(true))
	region, err := NewLocked(1, true)
	fmt.Println("new_allowed=", err)
	region.Bytes()[0] = 1
	fmt.Println("close=", region.Close())
}

func TestHarden(t *testing.T) {
	got := child(t, "hardened")
	want := map[string]string{
		"dumpable_before": "1 <nil>", "harden": " <nil>", "dumpable": "0 <nil>", "core": "0 0",
		"locked_before": "0 kB", "region": " <nil>", "locked": "8 kB", "flags": "true", "locked_after": "0 kB",
	}
	if unix.Getpagesize() != 4096 {
		delete(want, "locked")
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s is %q, want %q", k, got[k], v)
		}
	}
}

func TestHardenWithoutLocking(t *testing.T) {
	got := child(t, "no-lock")
	for _, k := range []string{"new", "harden"} {
		for _, part := range []string{"ulimit -l", "allow_unlocked_memory: true"} {
			if !strings.Contains(got[k], part) {
				t.Errorf("%s says %q, which does not mention %q", k, got[k], part)
			}
		}
	}
	for _, k := range []string{"harden_allowed", "new_allowed", "close"} {
		if got[k] != " <nil>" {
			t.Errorf("%s is %q", k, got[k])
		}
	}
}
