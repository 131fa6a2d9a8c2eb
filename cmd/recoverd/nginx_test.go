package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/recoverd/recoverd/shards"
)

// nginx is a running nginx over a directory.
type nginx struct {
	address string // host:port
	log     string // path: a line for each answer, "<status> <bytes of the body>"
	process *os.Process
}

// startNginx serves a directory as a plain web server does, with further lines in its
// server block. The configuration is that of OPERATIONS.md.
func startNginx(t testing.TB, root, more string) *nginx {
	t.Helper()
	need(t, "nginx")
	dir := t.TempDir()
	n := &nginx{address: freePort(t), log: filepath.Join(dir, "access.log")}
	as := ""
	if u, err := user.Current(); err == nil && u.Uid == "0" {
		as = "user root;" // its workers must be able to read the test's directory
	}
	listen := n.address
	if strings.Contains(more, "ssl_certificate ") {
		listen += " ssl"
	}
	conf := fmt.Sprintf(`%s
daemon off; pid %[2]s/pid; error_log %[2]s/error.log; worker_processes 1;
events { worker_connections 512; }
http {
	log_format plain '$status $body_bytes_sent';
	access_log %[6]s plain; keepalive_requests 1000000;
	client_body_temp_path %[2]s/a; proxy_temp_path %[2]s/b; fastcgi_temp_path %[2]s/c; uwsgi_temp_path %[2]s/d; scgi_temp_path %[2]s/e;
	server { listen %[3]s; root %[4]s; location ~ /\. { return 404; } %[5]s }
}
`, as, dir, listen, root, more, n.log)
	path := filepath.Join(dir, "nginx.conf")
	writeFile(t, path, conf)
	cmd := exec.Command("nginx", "-c", path, "-p", dir, "-e", filepath.Join(dir, "error.log"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n.process = cmd.Process
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // nginx ends its workers by itself
		_ = cmd.Wait()
	})
	until(t, "nginx answers", func() bool { return listens(n.address) })
	return n
}

func listens(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// answers counts the answers of a status that it has sent.
func (n *nginx) answers(t testing.TB, status int) (count int) {
	t.Helper()
	for line := range strings.Lines(readText(t, n.log)) {
		if strings.HasPrefix(line, fmt.Sprint(status, " ")) {
			count++
		}
	}
	return count
}

// Recovering from a plain nginx that serves a store's directory, in both layouts.
func TestServersNginx(t *testing.T) {
	f := newFleet(t, 2_000, 4_096)
	for layout, template := range map[string]string{"flat": "/{shard}/{id}", "fanout": "/{shard}/{aa}/{id}"} {
		root := f.path("source-" + layout)
		must(t, "store", "import", "--from", f.path("files"), "--store", root, "--out", f.path(layout+".rsnap"),
			"--total-shards", fmt.Sprint(totalShards), "--layout", layout)
		n := startNginx(t, root, "")
		for _, dir := range []string{"state", "node"} {
			if err := os.RemoveAll(f.path(dir)); err != nil {
				t.Fatal(err)
			}
		}
		must(t, append(f.args[:len(f.args):len(f.args)], "--peer", "http://"+n.address+template, "--exit-when-complete")...)
		f.sameStore()
	}
}

// A store of pieces behind a plain nginx: manifests and pieces lie where the template
// says, and a shard that is not there is rebuilt.
func TestServersNginxStriped(t *testing.T) {
	f := newStripedFleet(t, 300, 100_000)
	f.own("0-2,8")
	if err := os.RemoveAll(f.path("gone")); err != nil {
		t.Fatal(err)
	}
	n := startNginx(t, f.path("source"), "")
	if err := os.Rename(f.path("source/1"), f.path("gone")); err != nil {
		t.Fatal(err)
	}
	must(t, append(f.args[:len(f.args):len(f.args)], "--peer", "http://"+n.address+"/{shard}/{id}", "--exit-when-complete")...)
	if err := os.Rename(f.path("gone"), f.path("source/1")); err != nil {
		t.Fatal(err)
	}
	f.samePieces(shards.SetOf(0, 1, 2, 8))
}

// cutter passes TCP on to a server, and cuts each connection off after so many bytes of
// answers.
type cutter struct {
	address string
	cuts    atomic.Int64
}

func startCutter(t testing.TB, server string, after int64) *cutter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{address: listener.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed
			}
			wg.Go(func() { c.pass(client, server, after) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		wg.Wait()
	})
	return c
}

func (c *cutter) pass(client net.Conn, server string, after int64) {
	defer client.Close()
	far, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	var up sync.WaitGroup
	up.Go(func() { _, _ = io.Copy(far, client) })
	if n, _ := io.CopyN(client, far, after); n == after {
		c.cuts.Add(1)
	}
	far.Close()
	client.Close()
	up.Wait()
}

// Transfers from nginx that are cut off go on where they were, with If-Range, and what
// comes out is right.
func TestServersNginxResumes(t *testing.T) {
	f := newFleet(t, 12, 3<<20)
	n := startNginx(t, f.path("source"), "keepalive_timeout 0;") // each answer can be cut off in its middle
	c := startCutter(t, n.address, 1<<20)
	must(t, append(f.args[:len(f.args):len(f.args)], "--peer", "http://"+c.address+"/{shard}/{id}", "--exit-when-complete", "--concurrency", "2")...)
	f.sameStore()
	if resumed, cuts := n.answers(t, http.StatusPartialContent), c.cuts.Load(); resumed == 0 || cuts == 0 {
		t.Errorf("%d connections were cut off, %d transfers resumed", cuts, resumed)
	}
}

// An nginx that wants certificates and a token serves who has both; a certificate that
// is replaced is in force without a restart.
func TestServersNginxCertificates(t *testing.T) {
	f := newFleet(t, 200, 4_096)
	ca, stranger := certificate(t, nil), certificate(t, nil)
	replace(t, f.path("ca.crt"), pemText("CERTIFICATE", ca.Certificate[0]))
	putKeys(t, certificate(t, &ca), f.path("nginx.crt"), f.path("nginx.key"))
	putKeys(t, certificate(t, &stranger), f.path("node.crt"), f.path("node.key"))
	replace(t, f.path("token"), "hush\n")
	n := startNginx(t, f.path("source"), fmt.Sprintf(`ssl_certificate %s; ssl_certificate_key %s; ssl_client_certificate %s; ssl_verify_client on;
		if ($http_authorization != "Bearer hush") { return 401; }`, f.path("nginx.crt"), f.path("nginx.key"), f.path("ca.crt")))
	peer := []string{"--peer", "https://" + n.address + "/{shard}/{id}", "--peer-ca", f.path("ca.crt")}
	own := append(peer, "--peer-cert", f.path("node.crt"), "--peer-key", f.path("node.key"), "--peer-token-file", f.path("token"))
	for name, args := range map[string][]string{"no certificate": peer, "one of a stranger": own} {
		stdout, _, code := invoke(t, append(append([]string{"doctor"}, f.args[1:]...), args...)...)
		if code != exitFailure || !strings.Contains(stdout, "status 400") {
			t.Errorf("%s: exit code %d: %s", name, code, stdout)
		}
	}
	p := start(t, append(f.args[:len(f.args):len(f.args)], own...)...)
	until(t, "it is refused", func() bool {
		doc, ok := status(t, f.path("state"))
		return ok && strings.Contains(doc.Peers[0].LastError, "400")
	})
	putKeys(t, certificate(t, &ca), f.path("node.crt"), f.path("node.key"))
	until(t, "all is recovered", func() bool {
		doc, ok := status(t, f.path("state"))
		return ok && doc.Phase == "complete"
	})
	p.signal(syscall.SIGTERM)
	p.wait()
	f.sameStore()
	stdout, stderr, code := invoke(t, append(append([]string{"doctor"}, f.args[1:]...), own...)...)
	if code != exitOK {
		t.Errorf("doctor: exit code %d: %s%s", code, stdout, stderr)
	}
}
