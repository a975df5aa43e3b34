package iam

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

// walk runs a script of testdata with a program, in a directory of its own, as the root of a cluster that nobody else uses.
func walk(t *testing.T, program, script string) {
	t.Helper()
	c := cluster.Start(t, cluster.Options{})
	path, err := filepath.Abs(filepath.Join("testdata", script))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, path)
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "PYTHONWARNINGS=ignore", "AWS_PAGER="}, c.Env()...)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), "done") {
		t.Errorf("%s: %v\n%s", script, err, out)
	}
}

// absent skips a test of a client that is not installed, or fails it where all are to be tested.
func absent(t *testing.T, client string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed", client)
	}
	t.Skipf("%s is not installed", client)
}

func TestBoto3(t *testing.T) {
	t.Parallel()
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import boto3").Run() == nil {
			walk(t, python, "tour.py")
			return
		}
	}
	absent(t, "boto3")
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("aws"); err != nil {
		absent(t, "aws")
	}
	walk(t, "sh", "tour.sh")
}
