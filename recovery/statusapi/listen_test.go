package statusapi

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

func TestListenTCPRefusesOtherMachines(t *testing.T) {
	for _, address := range []string{
		":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:0", "localhost.evil.example:0", "169.254.1.1:0", "[fe80::1]:0",
	} {
		l, err := ListenTCP(t.Context(), address)
		if !errors.Is(err, ErrNotLoopback) {
			t.Errorf("%s: %v, want ErrNotLoopback", address, err)
		}
		if err == nil {
			l.Close()
		}
	}
	if _, err := ListenTCP(t.Context(), "127.0.0.1"); err == nil || errors.Is(err, ErrNotLoopback) {
		t.Errorf("without a port: %v", err)
	}
	for _, address := range []string{"127.0.0.1:0", "localhost:0", "127.8.8.8:0"} {
		l, err := ListenTCP(t.Context(), address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
			t.Errorf("%s listens on %v", address, l.Addr())
		}
		l.Close()
	}
}

func listenUnix(t *testing.T, path string) *unixListener {
	t.Helper()
	l, err := ListenUnix(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*unixListener)
}

func TestSocketIsPrivate(t *testing.T) {
	path := SocketPath(t.TempDir())
	l := listenUnix(t, path)
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode is %v, want a socket with 0600", info.Mode())
	}
	if got := l.Addr().String(); got != path {
		t.Errorf("address is %s, want %s", got, path)
	}
	l.Close()
	if left, _ := filepath.Glob(path + "*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Hazard 50. What a killed process left does not stop the next start.
func TestStaleSocket(t *testing.T) {
	path := SocketPath(t.TempDir())
	for _, leftover := range []string{path, path + ".new"} {
		old, err := net.ListenUnix("unix", &net.UnixAddr{Name: leftover, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		old.SetUnlinkOnClose(false)
		old.Close()
	}
	listenUnix(t, path)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("nobody listens on the new socket: %v", err)
	}
	conn.Close()
}

func TestSocketInTheWay(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	alive := filepath.Join(dir, "alive")
	listenUnix(t, alive)
	for name, path := range map[string]string{
		"a file": file, "a directory": dir, "a socket in use": alive,
		"a path that is too long": filepath.Join(dir, strings.Repeat("x", maxSocketPath)),
	} {
		if _, err := ListenUnix(t.Context(), path); !errors.Is(err, ErrSocket) {
			t.Errorf("%s: %v, want ErrSocket", name, err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("the file in the way became %q, %v", text, err)
	}
	if _, err := os.Lstat(alive); err != nil {
		t.Errorf("the socket in use is gone: %v", err)
	}
}

// A listener that was replaced leaves its successor's socket alone.
func TestCloseKeepsTheSuccessorsSocket(t *testing.T) {
	path := SocketPath(t.TempDir())
	first := listenUnix(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	listenUnix(t, path)
	first.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the successor's socket is gone: %v", err)
	}
}

func TestOnlyTheOwnerAndRootMayConnect(t *testing.T) {
	self := uint32(os.Geteuid())
	for _, tc := range []struct {
		name string
		uid  uint32
		err  error
		ok   bool
	}{
		{"the owner", self, nil, true},
		{"root", 0, nil, true},
		{"somebody else", self + 4711, nil, false},
		{"nobody knows", 0, errors.New("no credentials"), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := listenUnix(t, SocketPath(t.TempDir()))
			l.peer = func(*net.UnixConn) (uint32, error) { return tc.uid, tc.err }
			accepted := make(chan bool, 1)
			go func() {
				conn, err := l.Accept()
				if err == nil {
					conn.Close()
				}
				accepted <- err == nil
			}()
			conn, err := net.Dial("unix", l.path)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("read: %v, want the end", err) // closed in either case
			}
			l.Close()
			if got := <-accepted; got != tc.ok {
				t.Errorf("accepted: %v, want %v", got, tc.ok)
			}
		})
	}
}

// The kernel says who connects: this process.
func TestPeerUID(t *testing.T) {
	l := listenUnix(t, SocketPath(t.TempDir()))
	conn, err := net.Dial("unix", l.path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	accepted, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if uid, err := peerUID(accepted); err != nil || uid != uint32(os.Geteuid()) {
		t.Errorf("uid %d, %v; want %d", uid, err, os.Geteuid())
	}
}

// pipes is a listener of connections in memory.
type pipes struct {
	net.Listener
	closed chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case <-p.closed:
		return nil, net.ErrClosed
	default:
		near, _ := net.Pipe()
		return near, nil
	}
}

func (p pipes) Close() error { close(p.closed); return nil }

func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := LimitConns(pipes{closed: make(chan struct{})}, 2)
		accepted, ended := make(chan net.Conn, 10), make(chan error, 1)
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					ended <- err
					return
				}
				accepted <- conn
			}
		}()
		synctest.Wait()
		if len(accepted) != 2 {
			t.Fatalf("%d connections are open, want 2", len(accepted))
		}
		conn := <-accepted
		conn.Close()
		conn.Close() // gives one slot back, not two
		synctest.Wait()
		if len(accepted) != 2 {
			t.Errorf("%d connections are open after one was closed, want 2", len(accepted))
		}
		l.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept ended with %v", err)
		}
	})
}
