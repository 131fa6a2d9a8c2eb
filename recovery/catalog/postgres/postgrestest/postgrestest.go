// Package postgrestest starts Postgres servers for tests: each has a data
// directory of its own, listens on a Unix socket only, and ends with the test.
package postgrestest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// requireServers is set where a missing server is a failure and not a skip.
const requireServers = "RECOVERD_REQUIRE_SERVERS"

// startLimit bounds the time that a server takes to start or to end.
const startLimit = 60 * time.Second

// Config says which server to start.
type Config struct {
	// Settings are lines of postgresql.conf, such as "wal_level = minimal".
	Settings []string
	// Password is the superuser's; empty: none is asked for.
	Password string
}

// Server is a database of a running server.
type Server struct {
	*process
	database string
}

// process is the server itself, which databases share.
type process struct {
	cfg  Config
	bin  string
	dir  string
	as   *syscall.Credential // nil: as the test
	cmd  *exec.Cmd
	done chan error
	made atomic.Int64 // databases
}

// Start starts a server, or skips the test with the reason why there is none.
func Start(t testing.TB, c Config) *Server {
	t.Helper()
	s := &Server{&process{cfg: c}, "postgres"}
	if s.bin = binaries(); s.bin == "" {
		lack(t, "postgresql is not installed")
	}
	dir, err := os.MkdirTemp("", "recoverd-pg-")
	if err != nil {
		t.Fatal(err)
	}
	s.dir = dir
	t.Cleanup(func() { os.RemoveAll(dir) })
	s.becomeSomebody(t)
	s.initialize(t)
	s.Start(t)
	t.Cleanup(func() { s.stop(syscall.SIGQUIT) })
	return s
}

func lack(t testing.TB, why string) {
	t.Helper()
	if os.Getenv(requireServers) != "" {
		t.Fatalf("%s, and %s is set", why, requireServers)
	}
	t.Skip(why)
}

// binaries returns the directory of the newest server's programs. Debian keeps
// them out of PATH.
func binaries() string {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err == nil && len(found) > 0 {
		slices.SortFunc(found, func(a, b string) int { return len(a) - len(b) })
		slices.Sort(found)
		return filepath.Dir(found[len(found)-1])
	}
	if one, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(one)
	}
	return ""
}

// becomeSomebody chooses who the server runs as: it refuses root.
func (s *Server) becomeSomebody(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		lack(t, "the tests run as root, and there is no user postgres")
	}
	uid, errU := strconv.ParseUint(u.Uid, 10, 32)
	gid, errG := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(errU, errG, os.Chown(s.dir, int(uid), int(gid))); err != nil {
		t.Fatal(err)
	}
	s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func (s *Server) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Setpgid: true}
	return cmd
}

// MountSmall mounts a file system of that size, such as "20m", where the server
// may make a tablespace, or skips the test with the reason why it can't. resize
// gives it another size.
func (s *Server) MountSmall(t testing.TB, size string) (dir string, resize func(size string)) {
	t.Helper()
	if s.as == nil {
		lack(t, "only root may mount a file system")
	}
	dir = filepath.Join(s.dir, "small")
	options := fmt.Sprintf("size=%s,uid=%d,gid=%d,mode=0700", size, s.as.Uid, s.as.Gid)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "none", dir).CombinedOutput(); err != nil {
		lack(t, "no mounts here: "+string(out))
	}
	t.Cleanup(func() {
		s.Crash()
		_ = syscall.Unmount(dir, syscall.MNT_DETACH)
	})
	return dir, func(size string) {
		if out, err := exec.Command("mount", "-o", "remount,size="+size, dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

// Data is the data directory.
func (s *Server) Data() string { return filepath.Join(s.dir, "data") }

func (s *Server) initialize(t testing.TB) {
	t.Helper()
	args := []string{"-D", s.Data(), "-U", "tester", "-E", "UTF8", "--no-locale", "--no-sync", "-A", "trust"}
	if s.cfg.Password != "" {
		secret := filepath.Join(s.dir, "secret")
		if err := os.WriteFile(secret, []byte(s.cfg.Password), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args[:len(args)-1], "scram-sha-256", "--pwfile", secret)
	}
	if out, err := s.command("initdb", args...).CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	conf := append([]string{
		"", "listen_addresses = ''", "unix_socket_directories = '" + s.dir + "'", "max_connections = 40", "shared_buffers = 64MB",
	}, s.cfg.Settings...)
	f, err := os.OpenFile(filepath.Join(s.Data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(strings.Join(conf, "\n") + "\n")
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Start starts the server again, after Crash or Stop.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	var log bytes.Buffer
	cmd := s.command("postgres", "-D", s.Data())
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	s.cmd, s.done = cmd, done
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.DSN())
		if err == nil {
			if err := conn.Close(ctx); err != nil {
				t.Fatal(err)
			}
			return
		}
		select {
		case <-again.C:
		case end := <-done:
			s.done = nil
			t.Fatalf("postgres ended: %v\n%s", end, log.String())
		case <-ctx.Done():
			t.Fatalf("postgres does not start: %v", err)
		}
	}
}

// Stop ends the server in good order.
func (s *Server) Stop() { s.stop(syscall.SIGINT) }

// Crash ends the server at once, as pg_ctl stop -m immediate does: what it next
// begins with is what its WAL holds.
func (s *Server) Crash() { s.stop(syscall.SIGQUIT) }

func (s *Server) stop(how syscall.Signal) {
	if s.done == nil {
		return
	}
	_ = s.cmd.Process.Signal(how) // it may have ended by itself
	select {
	case <-s.done:
	case <-time.After(startLimit):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	s.done = nil
}

// Database returns a new, empty database of the server.
func (s *Server) Database(t testing.TB) *Server {
	t.Helper()
	name := fmt.Sprintf("db%d", s.made.Add(1))
	if _, err := s.Connect(t).Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return s.In(name)
}

// In returns a database that is there already.
func (s *Server) In(database string) *Server { return &Server{s.process, database} }

// DSN is the superuser's connection string.
func (s *Server) DSN() string { return s.DSNOf("tester", s.cfg.Password) }

// DSNOf is a user's connection string.
func (s *Server) DSNOf(user, password string) string {
	dsn := fmt.Sprintf("host=%s user=%s dbname=%s", s.dir, user, s.database)
	if password != "" {
		dsn += " password='" + password + "'"
	}
	return dsn
}

// Connect returns a superuser's connection for the length of the test.
func (s *Server) Connect(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		conn.Close(ctx)
	})
	return conn
}
