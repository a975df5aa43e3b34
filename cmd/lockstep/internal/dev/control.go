package dev

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The control socket carries one request a connection, "restart N\n", and one answer line that
// begins "ok " or "error ". It lies in a folder that only this user may enter; dev clusters with
// different base ports have sockets of their own.

func controlPath(basePort int) (string, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("lockstep-dev-control-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if info, err := os.Lstat(dir); err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
		return "", fmt.Errorf("%s is not a folder of mode 0700 of this user; remove it", dir)
	}
	return filepath.Join(dir, fmt.Sprintf("%d.sock", basePort)), nil
}

func (d *cluster) listenControl() (net.Listener, error) {
	path, err := controlPath(d.o.basePort)
	if err != nil {
		return nil, err
	}
	// The API port is ours by now, so a socket that is already there was left by a dev that died.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (d *cluster) serveControl(ctx context.Context, l net.Listener) {
	stop := context.AfterFunc(ctx, func() { l.Close() }) // closing also removes the socket
	defer stop()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(time.Minute))
			line, err := bufio.NewReaderSize(conn, 256).ReadSlice('\n')
			if err != nil {
				return
			}
			answer, err := d.control(ctx, string(line))
			if err != nil {
				fmt.Fprintf(conn, "error %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
				return
			}
			fmt.Fprintf(conn, "ok %s\n", answer)
		}()
	}
}

// control carries out one request.
func (d *cluster) control(ctx context.Context, line string) (string, error) {
	arg, ok := strings.CutPrefix(strings.TrimSpace(line), "restart ")
	n, err := strconv.Atoi(arg)
	if !ok || err != nil {
		return "", errors.New("the request is not understood")
	}
	if n < 0 || n >= d.o.nodes {
		return "", fmt.Errorf("there is no node %d; the nodes are 0 to %d", n, d.o.nodes-1)
	}
	if err := d.start(n); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 45*time.Second)
	defer cancel()
	if err := d.unsealNode(ctx, n); err != nil {
		return "", err
	}
	if err := d.writeEnv(); err != nil {
		return "", err
	}
	answer := fmt.Sprintf("node-%d is up again and unsealed", n)
	d.say("%s", answer)
	return answer, nil
}

// unsealNode waits until node n can serve, giving it shares when it asks for them. With fewer than
// a majority running it can be unsealed but not ready; then it says why when the time is over.
func (d *cluster) unsealNode(ctx context.Context, n int) error {
	for {
		h, err := d.client(n).Health(ctx)
		switch {
		case err == nil && h.CanServeCrypto:
			return nil
		case err == nil && h.Initialized && h.Sealed:
			// A share that another attempt has delivered meanwhile is refused as a duplicate;
			// the next look at health settles it.
			_ = d.unseal(ctx, n)
		}
		timer := time.NewTimer(50 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			reason := "it does not answer"
			if err == nil {
				reason = h.Reason
			}
			return fmt.Errorf("node-%d was started but does not serve yet: %s", n, reason)
		case <-timer.C:
		}
	}
}

// askDev sends one request to the dev that runs on basePort.
func askDev(ctx context.Context, basePort, node int) (string, error) {
	path, err := controlPath(basePort)
	if err != nil {
		return "", err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return "", fmt.Errorf("no 'lockstep dev' of this user runs with --base-port %d", basePort)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(conn, "restart %d\n", node)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "", errors.New("'lockstep dev' ended before it answered")
	}
	line = strings.TrimSpace(line)
	if text, ok := strings.CutPrefix(line, "error "); ok {
		return "", errors.New(text)
	}
	return strings.TrimPrefix(line, "ok "), nil
}
