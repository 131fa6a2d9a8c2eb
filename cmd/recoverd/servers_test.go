package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"testing"
)

// requireServers is set where a missing server is a failure and not a skip.
const requireServers = "RECOVERD_REQUIRE_SERVERS"

// need skips the test, or fails it in CI, where a program is missing.
func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			lack(t, p+" is not installed")
		}
	}
}

func lack(t testing.TB, why string) {
	t.Helper()
	if os.Getenv(requireServers) != "" {
		t.Fatalf("%s, and %s is set", why, requireServers)
	}
	t.Skip(why)
}

// freePort returns a loopback address nobody listens on now.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// startNginx serves a directory as a plain web server does. The configuration
// is the README's.
func startNginx(t testing.TB, root string) (url string) {
	t.Helper()
	need(t, "nginx")
	dir, address := t.TempDir(), freePort(t)
	as := ""
	if u, err := user.Current(); err == nil && u.Uid == "0" {
		as = "user root;" // its workers must be able to read the test's directory
	}
	conf := fmt.Sprintf(`%s
daemon off; pid %[2]s/pid; error_log %[2]s/error.log; worker_processes 1;
events { worker_connections 512; }
http {
	access_log off; keepalive_requests 1000000;
	client_body_temp_path %[2]s/a; proxy_temp_path %[2]s/b; fastcgi_temp_path %[2]s/c; uwsgi_temp_path %[2]s/d; scgi_temp_path %[2]s/e;
	server { listen %[3]s; root %[4]s; }
}
`, as, dir, address, root)
	path := filepath.Join(dir, "nginx.conf")
	writeFile(t, path, conf)
	cmd := exec.Command("nginx", "-c", path, "-p", dir, "-e", filepath.Join(dir, "error.log"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // nginx ends its workers by itself
		_ = cmd.Wait()
	})
	url = "http://" + address
	until(t, "nginx answers", func() bool {
		answer, err := http.Get(url)
		if err != nil {
			return false
		}
		return answer.Body.Close() == nil
	})
	return url
}

// Recovering from a plain nginx that serves a store's directory.
func TestServersNginx(t *testing.T) {
	f := newFleet(t, 2_000, 4_096)
	url := startNginx(t, f.path("source"))
	args := append(f.args[:len(f.args):len(f.args)], "--peer", url+"/{shard}/{id}", "--exit-when-complete")
	must(t, args...)
	f.sameStore()
}
