package main

import (
	"context"
	"os"
	"path/filepath"
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
echo "$@" > "$5.args"; mkdir "$5"; echo ready > "$7"
while :; do sleep 0.05; done`)
	o := options{basePort: 18200, envFile: filepath.Join(dir, "dev.env")}
	dev, err := startDev(context.Background(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	dev.stop()
	data := filepath.Join(dir, "data")
	args, err := os.ReadFile(data + ".args")
	if want := "dev --base-port 18200 --data " + data + " --env-file " + o.envFile; err != nil || strings.TrimSpace(string(args)) != want {
		t.Errorf("started with %q, want %q (%v)", args, want, err)
	}
	if _, err := os.Stat(filepath.Join(data, "end")); err != nil {
		t.Errorf("it was not asked to stop: %v", err)
	}
	dev.stop() // of what has ended
}

func TestStartDevThatEnds(t *testing.T) {
	dir := program(t, "exit 1")
	dev, err := startDev(context.Background(), dir, options{envFile: filepath.Join(dir, "dev.env")})
	if err == nil || dev != nil || !strings.Contains(err.Error(), "ended before it was ready") {
		t.Errorf("got %v", err)
	}
}
