package lab

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// program writes a shell script named lockstep and returns its folder.
func program(t *testing.T, script string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "lockstep"), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestStartDev(t *testing.T) {
	dir := program(t, `trap 'echo stopped > "$5/end"; exit 0' INT
echo "$@" > "$5.args"; mkdir "$5"; printf 'LOCKSTEP_ADDR=http://a:1,http://b:2\nLOCKSTEP_NODE_PIDS=11,0\n' > "$7.new"; mv "$7.new" "$7"
while :; do sleep 0.05; done`)
	c, err := StartDev(context.Background(), DevOptions{Dir: dir, BasePort: 18200})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	data := filepath.Join(dir, "data")
	args, err := os.ReadFile(data + ".args")
	if want := "dev --base-port 18200 --data " + data + " --env-file " + filepath.Join(dir, "dev.env") + " --nodes 3"; err != nil || strings.TrimSpace(string(args)) != want {
		t.Errorf("started with %q, want %q (%v)", args, want, err)
	}
	if want := []Node{{"http://a:1", 11}, {"http://b:2", 0}}; !slices.Equal(c.Nodes, want) {
		t.Errorf("nodes %v, want %v", c.Nodes, want)
	}
	if _, err := os.Stat(filepath.Join(data, "end")); err != nil {
		t.Errorf("it was not asked to stop: %v", err)
	}
	c.Close() // of what has ended
}

func TestStartDevThatEnds(t *testing.T) {
	dir := program(t, "exit 1")
	c, err := StartDev(context.Background(), DevOptions{Dir: dir, BasePort: 18200})
	if err == nil || c != nil || !strings.Contains(err.Error(), "ended before it was ready") {
		t.Errorf("got %v", err)
	}
}
