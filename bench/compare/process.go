package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// startLimit is how long a server may take until it answers.
const startLimit = time.Minute

// server is a process this program started.
type server struct {
	cmd  *exec.Cmd
	url  string        // base URL, of the floor only
	done chan struct{} // closed when the process has ended
}

// start runs a program. Canceling ctx asks it to stop, as stop does.
func start(ctx context.Context, name string, args ...string) (*server, error) {
	s := &server{cmd: exec.CommandContext(ctx, name, args...), done: make(chan struct{})}
	s.cmd.Stderr = os.Stderr
	s.cmd.Cancel = s.interrupt
	s.cmd.WaitDelay = 15 * time.Second
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = s.cmd.Wait() // how it ended is told by what it printed
		close(s.done)
	}()
	return s, nil
}

func (s *server) pid() int { return s.cmd.Process.Pid }

func (s *server) interrupt() error { return s.cmd.Process.Signal(os.Interrupt) }

// stop ends the process and waits for it; one that does not heed the interrupt is killed.
func (s *server) stop() {
	_ = s.interrupt() // an error means that it has ended
	select {
	case <-s.done:
	case <-time.After(s.cmd.WaitDelay):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
}

// await polls ready until it is true, the process ends, or startLimit passes.
func (s *server) await(ctx context.Context, ready func() bool) error {
	limit, poll := time.After(startLimit), time.NewTicker(50*time.Millisecond)
	defer poll.Stop()
	for !ready() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.done:
			return fmt.Errorf("%s ended before it was ready", filepath.Base(s.cmd.Path))
		case <-limit:
			return fmt.Errorf("%s was not ready after %v", filepath.Base(s.cmd.Path), startLimit)
		case <-poll.C:
		}
	}
	return nil
}

// startFloor starts bench/floor on a free port.
func startFloor(ctx context.Context, dir string) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s, err := start(ctx, filepath.Join(dir, "floor"), "-listen", address)
	if err != nil {
		return nil, err
	}
	s.url = "http://" + address
	err = s.await(ctx, func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// freeAddress returns a loopback address nobody listens on at the moment.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// startDev starts a cluster, which is ready once its env file is there.
func startDev(ctx context.Context, dir string, o options) (*server, error) {
	s, err := start(ctx, filepath.Join(dir, "lockstep"), "dev", "--base-port", strconv.Itoa(o.basePort),
		"--data", filepath.Join(dir, "data"), "--env-file", o.envFile)
	if err != nil {
		return nil, err
	}
	err = s.await(ctx, func() bool {
		_, err := os.Stat(o.envFile)
		return err == nil
	})
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}
