package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
	"github.com/recoverd/recoverd/shards"
)

// peerPort is an address of this machine alone that exists only in memory, so that
// limits of time are seen in virtual time.
type peerPort struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *peerPort) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *peerPort) Close() error   { close(p.closed); return nil }
func (p *peerPort) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080} }

// peerConn is the far end of a connection.
type peerConn struct {
	net.Conn
	at net.Addr
}

func (c peerConn) LocalAddr() net.Addr { return c.at }

// peerScene is a store with one small and one large blob, a directory of snapshots,
// and beside both a file that nobody may see.
type peerScene struct {
	dir          string
	small, large recovery.BlobID
	snapshot     string // its file's name
	handler      http.Handler
}

const (
	secretText = "nobody outside may see this"
	peerHost   = "127.0.0.1:8080"
)

func newPeerScene(t testing.TB) *peerScene {
	t.Helper()
	s := &peerScene{dir: t.TempDir()}
	for name, text := range map[string]string{"files/a": "a small blob", "files/b": strings.Repeat("large", 100_000), "secret": secretText} {
		path := filepath.Join(s.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(name, "files/") {
			id := &s.small
			if name == "files/b" {
				id = &s.large
			}
			*id = sha256.Sum256([]byte(text))
		}
	}
	works(t, "store", "import", "--from", s.path("files"), "--store", s.path("store"), "--out", s.path("catalog.rsnap"), "--total-shards", fmt.Sprint(totalShards))
	if err := os.Mkdir(s.path("snapshots"), 0o755); err != nil {
		t.Fatal(err)
	}
	var is struct {
		Position uint64
		Digest   string
	}
	if err := json.Unmarshal([]byte(works(t, "snapshot", "inspect", "-o", "json", s.path("catalog.rsnap"))), &is); err != nil {
		t.Fatal(err)
	}
	s.snapshot = fmt.Sprintf("full-%d-%.16s.rsnap", is.Position, is.Digest)
	if err := os.Rename(s.path("catalog.rsnap"), s.path("snapshots/"+s.snapshot)); err != nil {
		t.Fatal(err)
	}
	handler, letGo, err := newServed(t.Context(), serveConfig{store: s.path("store"), snapshots: s.path("snapshots")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = letGo() })
	s.handler = handler
	return s
}

func (s *peerScene) path(name string) string { return filepath.Join(s.dir, name) }

// home is the shard of a blob, as its directory is called.
func (s *peerScene) home(id recovery.BlobID) string {
	return strconv.Itoa(int(shards.Home(id, totalShards)))
}

// peerRequest is what is sent, and what comes.
type peerRequest struct {
	name, raw string
	code      int // 0: the connection is closed without an answer; refused: 400 to 499
	after     time.Duration
	plain     bool // net/http answers in its own words
	unread    bool // the answer is left unread
}

const refused = -1

// endpoints are the paths, and what GET of each answers.
func (s *peerScene) endpoints() map[string]int {
	id := s.small.String()
	return map[string]int{
		"/" + id: 200, "/" + s.small.Base64URL(): 200, "/" + s.home(s.small) + "/" + id: 200, "/" + s.home(s.small) + "/" + id[:2] + "/" + id: 200,
		"/manifest/" + id: 404, "/pieces/0/" + id: 400, "/pieces/manifest/" + id: 404, "/snapshots": 200, "/snapshots/" + s.snapshot: 200,
		"/" + strings.Repeat("0", 64): 404, "/3/" + strings.Repeat("0", 64): 404, "/snapshots/full-9-0123456789abcdef.rsnap": 404,
	}
}

func ask(line, host, headers string) string {
	if headers != "" {
		headers += "\r\n"
	}
	return fmt.Sprintf("%s HTTP/1.1\r\nHost: %s\r\n%s\r\n", line, host, headers)
}

// ways are the ways of asking for one path.
func peerWays(path string, base int) (list []peerRequest) {
	add := func(code int, name, raw string) { list = append(list, peerRequest{name: name, raw: raw, code: code}) }
	add(base, "GET", ask("GET "+path, peerHost, ""))
	add(base, "HEAD", ask("HEAD "+path, peerHost, ""))
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "GETS"} {
		add(405, method, ask(method+" "+path, peerHost, ""))
	}
	for _, host := range []string{"localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8080", "[::1]", "10.0.0.7:80"} {
		add(base, "host "+host, ask("GET "+path, host, ""))
	}
	for _, host := range []string{"evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "localhost.", "peer", "", "2130706433", "0x7f.1"} {
		add(421, "host "+host, ask("GET "+path, host, ""))
	}
	for _, page := range []string{
		"Origin: http://evil.example", "Origin: null", "Origin: http://127.0.0.1:9", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site",
		"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors",
	} {
		add(403, page, ask("GET "+path, peerHost, page))
	}
	add(base, "typed by a person", ask("GET "+path, peerHost, "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate"))
	add(base, "web socket", ask("GET "+path, peerHost, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x"))
	add(base, "token", ask("GET "+path, peerHost, "Authorization: Bearer x\r\nCookie: a=b"))
	add(400, "body", ask("GET "+path, peerHost, "Content-Length: 2")+"{}")
	add(400, "chunked body", ask("GET "+path, peerHost, "Transfer-Encoding: chunked")+"0\r\n\r\n")
	add(400, "body that is asked about", ask("GET "+path, peerHost, "Expect: 100-continue\r\nContent-Length: 1000000"))
	for _, query := range []string{"?", "?x=1", "?%zz", "?../../secret", "?" + strings.Repeat("a=b&", 500)} {
		add(base, "query "+query[:min(len(query), 20)], ask("GET "+path+query, peerHost, ""))
	}
	for _, trick := range []string{
		path + "/", "/" + path, "/." + path, "/x/.." + path, path + "/..", path + "/.", path + "//", path + "%00", path + "%2f", path + "/%2e%2e/secret", path + "%0d%0aX:y",
		"/%2e%2e" + path, "/..%2f..%2fsecret", path + "%ff", "/%2f%2fevil.example" + path, path + "#x",
	} {
		add(404, "path "+trick, ask("GET "+trick, peerHost, ""))
	}
	return list
}

// oddities are requests that no path matters for.
func peerOddities(path string) []peerRequest {
	begin := "GET " + path + " HTTP/1.1\r\nHost: " + peerHost + "\r\n"
	return []peerRequest{
		{name: "everything", raw: ask("OPTIONS *", peerHost, ""), code: 404},
		{name: "a tunnel", raw: "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: " + peerHost + "\r\n\r\n", code: 404},
		{name: "another server", raw: ask("GET http://evil.example"+path, peerHost, ""), code: 421},
		{name: "two hosts", raw: begin + "Host: evil.example\r\n\r\n", code: 400, plain: true},
		{name: "no host", raw: "GET " + path + " HTTP/1.1\r\n\r\n", code: 400, plain: true},
		{name: "HTTP/1.0 without a host", raw: "GET " + path + " HTTP/1.0\r\n\r\n", code: 421},
		{name: "HTTP/3", raw: "GET " + path + " HTTP/3.0\r\nHost: x\r\n\r\n", code: 505, plain: true},
		{name: "HTTP/2", raw: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", code: 421},
		{name: "TLS", raw: "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\r\n\r\n", code: 400, plain: true},
		{name: "two lengths", raw: begin + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", code: 400, plain: true},
		{name: "a length and chunks", raw: begin + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", code: 400},
		{name: "a header without a name", raw: begin + ": x\r\n\r\n", code: 400, plain: true},
		{name: "a huge header", raw: begin + "X: " + strings.Repeat("x", 30<<10) + "\r\n\r\n", code: 431, plain: true},
		{name: "many headers", raw: begin + strings.Repeat("X: x\r\n", 5000) + "\r\n", code: 431, plain: true},
		{name: "a huge path", raw: ask("GET /"+strings.Repeat("x", 30<<10), peerHost, ""), code: 431, plain: true},
		{name: "a path with a space", raw: ask("GET /a b", peerHost, ""), code: 400, plain: true},
		{name: "a path with a control character", raw: ask("GET /\x07", peerHost, ""), code: 400, plain: true},
		{name: "a header that does not come", raw: begin, after: 5 * time.Second},
		{name: "nothing at all", after: 5 * time.Second},
		{name: "no such page", raw: ask("GET /a/b/c/d", peerHost, ""), code: 404},
		{name: "the root", raw: ask("GET /", peerHost, ""), code: 404},
	}
}

// ranges are parts that are asked for of a blob of 12 bytes.
func peerRanges(path string) (list []peerRequest) {
	for header, code := range map[string]int{
		"bytes=0-0": 206, "bytes=-1": 206, "bytes=11-": 206, "bytes=0-99999999999999999": 206, "bytes=12-": 416, "bytes=x": 416, "bytes=5-1": 416,
		"bytes=-99999999999999999999": 416, "bytes=0-0,2-2": 206, "bytes=" + strings.Repeat("0-,", 2000) + "0-": 200, "lines=1": 416, "bytes=": 200,
	} {
		list = append(list, peerRequest{name: "range " + header[:min(len(header), 30)], raw: ask("GET "+path, peerHost, "Range: "+header), code: code})
	}
	return append(list,
		peerRequest{name: "known already", raw: ask("GET "+path, peerHost, "If-None-Match: *"), code: 304},
		peerRequest{name: "not what it is", raw: ask("GET "+path, peerHost, `If-Match: "x"`), code: 412})
}

// TestSecurityPeerRequests is the table of what `serve` answers, and refuses: every
// endpoint in every way.
func TestSecurityPeerRequests(t *testing.T) {
	s := newPeerScene(t)
	var list []peerRequest
	for path, code := range s.endpoints() {
		for _, way := range peerWays(path, code) {
			way.name = path + ": " + way.name
			list = append(list, way)
		}
	}
	list = append(list, peerOddities("/"+s.small.String())...)
	list = append(list, peerRanges("/"+s.small.String())...)
	list = append(list, peerRequest{
		name: "who does not read", raw: ask("GET /"+s.large.String(), peerHost, ""), unread: true, after: servedGrace + (500_000/leastSpeed+1)*time.Second,
	})
	var wrong []string
	for _, r := range list {
		synctest.Test(t, func(*testing.T) {
			s.sends(r, func(format string, args ...any) { wrong = append(wrong, r.name+": "+fmt.Sprintf(format, args...)) })
		})
	}
	for _, text := range wrong {
		t.Error(text)
	}
	evidence.Record(t, evidence.Entry{Layer: "security", What: "every endpoint of serve, asked in every way", Tried: uint64(len(list)), Unit: "requests", Violations: uint64(len(wrong))})
}

// sends sends a request over a connection of its own and looks at what comes.
func (s *peerScene) sends(r peerRequest, fail func(format string, args ...any)) {
	ctx, stop := context.WithCancel(context.Background())
	port := &peerPort{conns: make(chan net.Conn), closed: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- serveHTTP(ctx, port, s.handler) }()
	near, far := net.Pipe()
	port.conns <- peerConn{far, port.Addr()}
	began := time.Now()
	var sender sync.WaitGroup
	sender.Go(func() { _, _ = io.WriteString(near, r.raw) })
	defer func() {
		_ = near.Close()
		sender.Wait()
		stop()
		if err := <-ended; err != nil {
			fail("serving ended with %v", err)
		}
	}()
	if r.unread {
		sender.Wait()
		time.Sleep(r.after + time.Second) // virtual; there is nothing to wait for
		if n, err := io.Copy(io.Discard, near); err != nil || n > 100_000 {
			fail("%d bytes came in the end, %v: it was not cut off", n, err)
		}
		return
	}
	method, _, _ := strings.Cut(r.raw, " ")
	answer, err := http.ReadResponse(bufio.NewReader(near), &http.Request{Method: method})
	if err != nil {
		if took := time.Since(began); r.code != 0 || took != r.after {
			fail("closed after %v, want code %d after %v", took, r.code, r.after)
		}
		return
	}
	body, err := io.ReadAll(answer.Body)
	if is := answer.StatusCode; err != nil || is != r.code && (r.code != refused || is < 400 || is > 499) {
		fail("code %d, want %d: %v %.200q", answer.StatusCode, r.code, err, body)
		return
	}
	s.judge(r, answer, string(body), fail)
}

// judge looks at an answer's headers, and at what it tells.
func (s *peerScene) judge(r peerRequest, answer *http.Response, body string, fail func(format string, args ...any)) {
	if strings.Contains(body, secretText) || strings.Contains(body, s.dir) {
		fail("it tells of this machine: %.200q", body)
	}
	if r.plain {
		return
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin", "Access-Control-Allow-Origin": ""} {
		if got := answer.Header.Get(name); got != want {
			fail("%s is %q, want %q", name, got, want)
		}
	}
	if policy := answer.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") {
		fail("the policy is %q", policy)
	}
	if kind := answer.Header.Get("Content-Type"); strings.Contains(kind, "html") || answer.Header.Get("Location") != "" {
		fail("it is %s, and leads to %q", kind, answer.Header.Get("Location"))
	}
	if sum := sha256.Sum256([]byte(body)); answer.StatusCode == 200 && strings.HasPrefix(r.raw, "GET /"+s.small.String()) && hex.EncodeToString(sum[:]) != s.small.String() {
		fail("other bytes than asked for")
	}
}

// What has the name of a snapshot and is no file of ours is not served, and holds up
// nobody who asks for it or for the list.
func TestSecurityHostileSnapshots(t *testing.T) {
	s := newPeerScene(t)
	tried := 0
	var wrong []string
	for i, in := range intruders() {
		if in.root && os.Geteuid() != 0 {
			continue
		}
		name := fmt.Sprintf("full-%d-0123456789abcdef.rsnap", 100+i)
		if err := in.put(s.path("snapshots/"+name), s.dir); err != nil {
			t.Fatal(err)
		}
		for _, r := range []peerRequest{
			{name: in.name, raw: ask("GET /snapshots/"+name, peerHost, ""), code: 404},
			{name: "list with " + in.name, raw: ask("GET /snapshots", peerHost, ""), code: 200},
			{name: "good one beside " + in.name, raw: ask("GET /snapshots/"+s.snapshot, peerHost, ""), code: 200},
		} {
			tried++
			synctest.Test(t, func(*testing.T) {
				s.sends(r, func(format string, args ...any) { wrong = append(wrong, r.name+": "+fmt.Sprintf(format, args...)) })
			})
		}
		if out, _, code := line(t, "snapshot", "list", "--dir", s.path("snapshots")); code != 0 && code != exitFailure || strings.Contains(out, secretText) {
			t.Errorf("list with %s: exit code %d: %s", in.name, code, out)
		}
	}
	for _, text := range wrong {
		t.Error(text)
	}
	evidence.Record(t, evidence.Entry{Layer: "security", What: "hostile contents of a directory of snapshots, asked of serve", Tried: uint64(tried), Unit: "requests", Violations: uint64(len(wrong))})
}
