package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	startLimit = time.Minute      // for a server to answer
	stopLimit  = 15 * time.Second // for a program to heed an interrupt
	pollEvery  = 50 * time.Millisecond
)

// Build makes programs of the module ("bench/floor") in dir, all with the same settings.
func Build(ctx context.Context, dir string, programs ...string) error {
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	for _, path := range programs {
		args = append(args, module+"/"+path)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build, inside the module: %w", err)
	}
	return nil
}

// Process is a program this one started.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// Start runs a program. Canceling ctx asks it to stop, as Stop does.
func Start(ctx context.Context, name string, args ...string) (*Process, error) {
	return startWith(ctx, nil, name, args...)
}

// startWith is Start with NAME=value lines beside this process's environment.
func startWith(ctx context.Context, env []string, name string, args ...string) (*Process, error) {
	p := &Process{cmd: exec.CommandContext(ctx, name, args...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = os.Stderr
	p.cmd.Cancel = p.interrupt
	p.cmd.WaitDelay = stopLimit
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is told by what it printed
		close(p.done)
	}()
	return p, nil
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

func (p *Process) interrupt() error { return p.cmd.Process.Signal(os.Interrupt) }

// Stop ends the process and waits for it; one that does not heed the interrupt is killed.
func (p *Process) Stop() {
	_ = p.interrupt() // an error means that it has ended
	select {
	case <-p.done:
	case <-time.After(stopLimit):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// Await polls ready until it is true, the process ends, or a minute passes.
func (p *Process) Await(ctx context.Context, ready func() bool) error {
	name, limit, poll := filepath.Base(p.cmd.Path), time.After(startLimit), time.NewTicker(pollEvery)
	defer poll.Stop()
	for !ready() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return fmt.Errorf("%s ended before it was ready", name)
		case <-limit:
			return fmt.Errorf("%s was not ready after %v", name, startLimit)
		case <-poll.C:
		}
	}
	return nil
}

// StartListener starts a program that serves on the address given by its flag -listen, a free one,
// and returns once it accepts connections.
func StartListener(ctx context.Context, name string) (p *Process, address string, err error) {
	if address, err = freeAddress(); err != nil {
		return nil, "", err
	}
	if p, err = Start(ctx, name, "-listen", address); err != nil {
		return nil, "", err
	}
	err = p.Await(ctx, func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
	if err != nil {
		p.Stop()
		return nil, "", err
	}
	return p, address, nil
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
