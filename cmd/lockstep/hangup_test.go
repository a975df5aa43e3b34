package main

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"
)

// A hangup reopens the audit file, again and again, and ends nothing.
func TestHangupReopens(t *testing.T) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	reopened := make(chan struct{})
	go onHangup(t.Context(), hangups, func() { reopened <- struct{}{} })
	for range 3 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		select {
		case <-reopened:
		case <-time.After(20 * time.Second):
			t.Fatal("the file is not reopened")
		}
	}
}
