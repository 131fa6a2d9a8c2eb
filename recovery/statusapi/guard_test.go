package statusapi

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// exchange sends raw bytes and reads one answer.
func exchange(t *testing.T, address, raw string) (*http.Response, string) {
	t.Helper()
	response := send(t, address, raw)
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// send sends raw bytes and reads the beginning of the answer.
func send(t *testing.T, address, raw string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(raw, " ")
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%.200q: %v", raw, err)
	}
	return response
}

func TestRequests(t *testing.T) {
	cfg, _ := sampleConfig()
	address := servingTCP(t, newServer(t, cfg))
	_, port, _ := net.SplitHostPort(address)
	get := func(path, host string) string { return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host) }
	for _, tc := range []struct {
		name  string
		raw   string
		code  int
		error string // a part of it; "" for none
	}{
		{"status", get("/api/v1/status", address), 200, ""},
		{"localhost", get("/api/v1/status", "localhost:"+port), 200, ""},
		{"localhost in capitals", get("/api/v1/status", "LOCALHOST:"+port), 200, ""},
		{"IPv6 loopback", get("/api/v1/status", "[::1]:"+port), 200, ""},
		{"configured host", get("/api/v1/status", "node1.example:8080"), 200, ""},
		{"pointer", get("/", address), 200, ""},
		{"head", "HEAD /api/v1/status HTTP/1.1\r\nHost: " + address + "\r\n\r\n", 200, ""},
		{"unsettled", get("/api/v1/unsettled?limit=1&after="+idOf(0x30).String(), address), 200, ""},
		{"unsettled after base64", get("/api/v1/unsettled?after="+idOf(0x30).Base64URL(), address), 200, ""},

		{"rebound name", get("/api/v1/status", "evil.example:"+port), 421, `"evil.example:`},
		{"rebound name, metrics", get("/metrics", "evil.example"), 421, "evil.example"},
		{"rebound name, liveness", get("/livez", "evil.example"), 421, "evil.example"},
		{"right name, other port", get("/", "localhost:1"), 421, "localhost:1"},
		{"right name, no port", get("/", "localhost"), 421, "localhost"},
		{"configured host, other port", get("/", "node1.example"), 421, "node1.example"},
		{"loopback name with a dot", get("/", "localhost.:"+port), 421, "localhost."},
		{"name in the path's address", "GET http://evil.example/ HTTP/1.1\r\nHost: " + address + "\r\n\r\n", 421, "evil.example"},
		{"empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 421, ""},
		{"old protocol without host", "GET / HTTP/1.0\r\n\r\n", 421, ""},

		{"post", "POST /api/v1/status HTTP/1.1\r\nHost: " + address + "\r\nContent-Length: 0\r\n\r\n", 405, "POST"},
		{"delete", "DELETE /api/v1/unsettled HTTP/1.1\r\nHost: " + address + "\r\n\r\n", 405, "DELETE"},
		{"options", "OPTIONS /metrics HTTP/1.1\r\nHost: " + address + "\r\n\r\n", 405, "OPTIONS"},
		{"options of everything", "OPTIONS * HTTP/1.1\r\nHost: " + address + "\r\n\r\n", 404, "nothing at"},
		{"post from another origin", "POST /api/v1/status HTTP/1.1\r\nHost: " + address +
			"\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n\r\n", 403, "origin"},
		{"body", "GET /api/v1/status HTTP/1.1\r\nHost: " + address + "\r\nContent-Length: 2\r\n\r\nhi", 400, "body"},
		{"chunked body", "GET /livez HTTP/1.1\r\nHost: " + address + "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "body"},

		{"elsewhere", get("/api/v1/blobs", address), 404, "/api/v1/blobs"},
		{"profiles", get("/debug/pprof/", address), 404, "pprof"},
		{"path to be cleaned", get("/api//v1/status", address), 404, "nothing at"},
		{"path upwards", get("/api/v1/../../etc/passwd", address), 404, "nothing at"},
		{"path upwards, hidden", get("/api/v1/%2e%2e/status", address), 404, "nothing at"},
		{"trailing slash", get("/api/v1/status/", address), 404, "nothing at"},

		{"after is a path", get("/api/v1/unsettled?after=../../etc", address), 400, "../../etc"},
		{"after is empty", get("/api/v1/unsettled?after=", address), 400, "after"},
		{"limit is zero", get("/api/v1/unsettled?limit=0", address), 400, "limit"},
		{"limit is too large", get("/api/v1/unsettled?limit=10001", address), 400, "10001"},
		{"limit is no number", get("/api/v1/unsettled?limit=all", address), 400, "all"},
		{"limit is given twice", get("/api/v1/unsettled?limit=1&limit=2", address), 400, "limit is given 2 times"},
		{"unknown parameter", get("/api/v1/unsettled?limt=1", address), 400, "limt"},
		{"unknown parameter of status", get("/api/v1/status?verbose", address), 400, "verbose"},
		{"broken query", get("/api/v1/unsettled?after=%zz", address), 400, "query"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			response, body := exchange(t, address, tc.raw)
			if response.StatusCode != tc.code {
				t.Fatalf("code %d, want %d: %s", response.StatusCode, tc.code, body)
			}
			checkHeaders(t, response)
			if tc.code != 200 {
				checkError(t, response, body, tc.error)
			}
		})
	}
}

func checkHeaders(t *testing.T, response *http.Response) {
	t.Helper()
	for name, want := range map[string]string{
		"X-Content-Type-Options":  "nosniff",
		"Cache-Control":           "no-store",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
	} {
		if got := response.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if allow := response.Header.Get("Allow"); (response.StatusCode == 405) != (allow == "GET, HEAD") {
		t.Errorf("code %d has Allow %q", response.StatusCode, allow)
	}
}

func checkError(t *testing.T, response *http.Response, body, part string) {
	t.Helper()
	var e errorBody
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error == "" {
		t.Fatalf("the error is not JSON: %q (%v)", body, err)
	}
	if !strings.Contains(e.Error, part) {
		t.Errorf("the error %q does not name %q", e.Error, part)
	}
	if got := response.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("the error is %q", got)
	}
}

// A header over the limit is refused before anything is looked at.
func TestOversizeHeader(t *testing.T) {
	cfg, _ := sampleConfig()
	address := servingTCP(t, newServer(t, cfg))
	big := strings.Repeat("x", maxHeaderBytes+5000) // net/http allows itself 4096 more
	response := send(t, address, "GET /api/v1/status HTTP/1.1\r\nHost: "+address+"\r\nX-Big: "+big+"\r\n\r\n")
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("code %d, want 431", response.StatusCode)
	}
}

// The metrics door knows nothing else, and has no list of names.
func TestMetricsDoor(t *testing.T) {
	cfg, _ := sampleConfig()
	l, err := ListenAny(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serving(t, newServer(t, cfg).ServeMetrics, l)
	for path, want := range map[string]int{
		"/metrics": 200, "/livez": 200, "/readyz": 200,
		"/": 404, "/api/v1/status": 404, "/api/v1/unsettled": 404, "/metrics/": 404,
	} {
		response, body := exchange(t, l.Addr().String(), "GET "+path+" HTTP/1.1\r\nHost: pod-7.cluster\r\n\r\n")
		if response.StatusCode != want {
			t.Errorf("%s: code %d, want %d", path, response.StatusCode, want)
		}
		checkHeaders(t, response)
		for _, secret := range []string{"peer-a", "peer-b", idOf(0x41).String()[:16], idOf(0x2f).String()[:16]} {
			if strings.Contains(body, secret) {
				t.Errorf("%s tells %s to everybody", path, secret)
			}
		}
	}
}
