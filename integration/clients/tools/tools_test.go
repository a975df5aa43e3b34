// Package tools runs programs of others against a real cluster, as their users do. The programs are built from the
// released sources, with the modules that their authors chose.
package tools

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

func TestMain(m *testing.M) { cluster.Main(m) }

const (
	sopsProgram   = "github.com/getsops/sops/v3/cmd/sops@v3.13.3"
	cosignProgram = "github.com/sigstore/cosign/v2/cmd/cosign@v2.6.5"
)

var builds sync.Mutex

// program returns the path of a program, built when this version of it was not built before.
func program(t *testing.T, source string) string {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	pkg, version, _ := strings.Cut(source, "@")
	dir := filepath.Join(cache, "lockstep-clients", path.Base(pkg)+"@"+version)
	name := filepath.Join(dir, path.Base(pkg))
	if _, err := os.Stat(name); err == nil {
		return name
	}
	cmd := exec.Command("go", "install", source)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", source, err, out)
	}
	return name
}

// user is someone who runs a program in a directory of their own.
type user struct {
	t    *testing.T
	dir  string
	path string
	env  []string
}

func newUser(t *testing.T, source string, env []string) *user {
	t.Helper()
	u := &user{t: t, dir: t.TempDir(), path: program(t, source)}
	u.env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + u.dir, "TMPDIR=" + u.dir}, env...)
	return u
}

// with is the same user, in the same directory, with another environment.
func (u *user) with(env ...string) *user {
	other := *u
	other.env = append(u.env[:len(u.env):len(u.env)], env...)
	return &other
}

// try runs the program and returns its standard output, or all of its output when it failed.
func (u *user) try(args ...string) (string, bool) {
	u.t.Helper()
	cmd := exec.Command(u.path, args...)
	cmd.Dir, cmd.Env = u.dir, u.env
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String() + stderr.String() + err.Error(), false
	}
	return stdout.String(), true
}

// run runs the program, which must succeed.
func (u *user) run(args ...string) string {
	u.t.Helper()
	out, ok := u.try(args...)
	if !ok {
		u.t.Fatalf("%s %s: %s", filepath.Base(u.path), strings.Join(args, " "), out)
	}
	return out
}

// refused runs the program, which must fail and say all of the words.
func (u *user) refused(words []string, args ...string) {
	u.t.Helper()
	out, ok := u.try(args...)
	if ok {
		u.t.Errorf("%s %s succeeded: %s", filepath.Base(u.path), strings.Join(args, " "), out)
	}
	for _, word := range words {
		if !strings.Contains(out, word) {
			u.t.Errorf("%s %s: does not say %q: %s", filepath.Base(u.path), strings.Join(args, " "), word, out)
		}
	}
}

func (u *user) write(name, content string) {
	u.t.Helper()
	if err := os.WriteFile(filepath.Join(u.dir, name), []byte(content), 0o700); err != nil {
		u.t.Fatal(err)
	}
}

func (u *user) read(name string) string {
	u.t.Helper()
	raw, err := os.ReadFile(filepath.Join(u.dir, name))
	if err != nil {
		u.t.Fatal(err)
	}
	return string(raw)
}
