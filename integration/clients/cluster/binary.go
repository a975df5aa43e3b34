package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

const product = "module github.com/lockstep-kms/lockstep\n"

var built struct {
	once sync.Once
	path string
	dir  string // to remove at the end; empty when the binary was given
	err  error
}

// binary returns the path of the product's binary: that of LOCKSTEP_BINARY, or one built from this source tree, once per
// test process.
func binary() (string, error) {
	built.once.Do(func() {
		if built.path = os.Getenv("LOCKSTEP_BINARY"); built.path != "" {
			built.path, built.err = filepath.Abs(built.path)
			return
		}
		root, err := repositoryRoot()
		if err != nil {
			built.err = err
			return
		}
		if built.dir, built.err = os.MkdirTemp("", "lockstep-binary-"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "lockstep")
		cmd := exec.Command("go", "build", "-mod=readonly", "-o", built.path, "./cmd/lockstep")
		cmd.Dir, cmd.Env = root, append(os.Environ(), "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("building the product's binary: %w\n%s", err, out)
		}
	})
	return built.path, built.err
}

func removeBinary() {
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
}

// repositoryRoot is the nearest directory upwards whose go.mod is the product's.
func repositoryRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if raw, _ := os.ReadFile(filepath.Join(dir, "go.mod")); strings.HasPrefix(string(raw), product) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("the product's source tree is not above this directory; set LOCKSTEP_BINARY")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// run runs the product's binary to its end and returns what it printed.
func run(env []string, stdin string, args ...string) (string, error) {
	path, err := binary()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(path, args...)
	cmd.Env, cmd.Stdin = append(cleanEnvironment(), env...), strings.NewReader(stdin)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("lockstep %s: %w: %s", strings.Join(args[:2], " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// cleanEnvironment is the environment without what the caller's shell says about another cluster.
func cleanEnvironment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "LOCKSTEP_") && !strings.HasPrefix(kv, "AWS_") {
			env = append(env, kv)
		}
	}
	return env
}

func cut(kv string) (name, value string) {
	name, value, _ = strings.Cut(kv, "=")
	return name, value
}
