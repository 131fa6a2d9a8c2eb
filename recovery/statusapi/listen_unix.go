package statusapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// SocketPath is where the daemon of a state directory listens.
func SocketPath(stateDir string) string { return filepath.Join(stateDir, "recoverd.sock") }

// ErrSocket reports a path that no socket can be made at.
var ErrSocket = errors.New("statusapi: cannot make the socket")

// maxSocketPath is the longest path of a socket, in bytes; it is the kernel's.
const maxSocketPath = 107

// ListenUnix listens on a socket that only the same user and root may use: its
// mode is 0600, and connections of others are closed unread, whatever the mode
// has become. The caller holds the lock of the directory. A socket that a killed
// process left is replaced; one that somebody answers on, and anything that is
// no socket, is ErrSocket. Closing the listener removes the socket.
func ListenUnix(ctx context.Context, path string) (net.Listener, error) {
	if err := checkSocketPath(path); err != nil {
		return nil, err
	}
	// A socket is born with the mode that the umask gives it, so it gets its
	// name only afterwards.
	draft := path + ".new"
	if err := os.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove a leftover socket: %w", err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "unix", draft)
	if err != nil {
		return nil, fmt.Errorf("make the socket: %w", err)
	}
	l := &unixListener{
		UnixListener: listener.(*net.UnixListener), path: path, owner: uint32(os.Geteuid()), peer: peerUID,
	}
	l.SetUnlinkOnClose(false)
	if err := l.publish(draft); err != nil {
		return nil, errors.Join(fmt.Errorf("publish the socket: %w", err), l.UnixListener.Close(), os.Remove(draft))
	}
	return l, nil
}

// checkSocketPath makes sure that a socket may be put at path.
func checkSocketPath(path string) error {
	if n := len(path) + len(".new"); n > maxSocketPath {
		return fmt.Errorf("%w: %s is %d bytes too long; use a shorter state directory", ErrSocket, path, n-maxSocketPath)
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look for a socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%w: %s is there and is no socket", ErrSocket, path)
	}
	if conn, err := net.Dial("unix", path); err == nil {
		_ = conn.Close()
		return fmt.Errorf("%w: a process answers on %s", ErrSocket, path)
	}
	return nil
}

// unixListener accepts connections of its owner and of root.
type unixListener struct {
	*net.UnixListener
	path  string
	made  fs.FileInfo
	owner uint32
	peer  func(*net.UnixConn) (uid uint32, err error)
}

func (l *unixListener) publish(draft string) (err error) {
	if err = os.Chmod(draft, 0o600); err != nil {
		return err
	}
	if l.made, err = os.Lstat(draft); err != nil {
		return err
	}
	return os.Rename(draft, l.path)
}

// Addr returns the socket's path.
func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Accept returns the next connection of somebody who may ask.
func (l *unixListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if uid, err := l.peer(conn); err == nil && (uid == l.owner || uid == 0) {
			return conn, nil
		}
		_ = conn.Close()
	}
}

// Close stops listening and removes the socket, if it is still ours.
func (l *unixListener) Close() error {
	if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.made) {
		_ = os.Remove(l.path) // the next start replaces it
	}
	return l.UnixListener.Close()
}

// peerUID asks the kernel who connected.
func peerUID(conn *net.UnixConn) (uint32, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return cred.Uid, nil
}
