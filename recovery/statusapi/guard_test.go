package statusapi

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/recovery/statusapi/page"
)

// exchange sends raw bytes over a real connection and reads one answer.
func exchange(t *testing.T, address, raw string) answered {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	answer := readAnswer(bufio.NewReader(conn), methodOf(raw))
	if answer.code == 0 {
		t.Fatalf("%.200q: no answer", raw)
	}
	return answer
}

func checkHeaders(t *testing.T, answer answered) {
	t.Helper()
	for name, want := range map[string]string{
		"X-Content-Type-Options":  "nosniff",
		"Cache-Control":           "no-store",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
	} {
		if got := answer.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if allow := answer.header.Get("Allow"); (answer.code == 405) != (allow == "GET, HEAD" || allow == "POST") {
		t.Errorf("code %d has Allow %q", answer.code, allow)
	}
	if ask := answer.header.Get("WWW-Authenticate"); (answer.code == 401) != (ask == `Bearer realm="recoverd"`) {
		t.Errorf("code %d has WWW-Authenticate %q", answer.code, ask)
	}
	if allowed := answer.header.Get("Access-Control-Allow-Origin"); allowed != "" {
		t.Errorf("pages of %s may read the answer", allowed)
	}
}

func checkError(t *testing.T, answer answered, part string) {
	t.Helper()
	var e errorBody
	if err := json.Unmarshal([]byte(answer.body), &e); err != nil || e.Error == "" {
		t.Fatalf("the error is not JSON: %q (%v)", answer.body, err)
	}
	if !strings.Contains(e.Error, part) {
		t.Errorf("the error %q does not name %q", e.Error, part)
	}
	if got := answer.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("the error is %q", got)
	}
}

// The metrics listener tells nobody ids or peers, whatever name it is asked by.
// What it does not answer is in the table of forbidden requests.
func TestMetricsListenerTellsNoNames(t *testing.T) {
	cfg, _ := sampleConfig()
	l, err := ListenAny(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serving(t, newServer(t, cfg).ServeMetrics, l)
	for _, path := range []string{"/metrics", "/livez", "/readyz"} {
		answer := exchange(t, l.Addr().String(), "GET "+path+" HTTP/1.1\r\nHost: pod-7.cluster\r\n\r\n")
		if answer.code != 200 {
			t.Errorf("%s: code %d: %s", path, answer.code, answer.body)
		}
		checkHeaders(t, answer)
		for _, secret := range []string{"peer-a", "peer-b", idOf(0x41).String()[:16], idOf(0x2f).String()[:16]} {
			if strings.Contains(answer.body, secret) {
				t.Errorf("%s tells %s to everybody", path, secret)
			}
		}
	}
}

// The page is for whoever asks for HTML, with its own policy; nobody else gets it.
func TestFrontIsAPageForBrowsers(t *testing.T) {
	cfg, _ := sampleConfig()
	s := newServer(t, cfg)
	for accept, want := range map[string]string{
		"text/html,application/xhtml+xml,*/*;q=0.8": "text/html; charset=utf-8", "": "text/plain; charset=utf-8",
		"*/*": "text/plain; charset=utf-8", "application/json": "text/plain; charset=utf-8",
	} {
		answer := httptest.NewRecorder()
		request := sampleRequest{operation: "GET ", path: "/"}.request()
		request.Header.Set("Accept", accept)
		s.Handler().ServeHTTP(answer, request)
		policy := "default-src 'none'; frame-ancestors 'none'"
		if strings.HasPrefix(want, "text/html") {
			policy = page.ContentSecurityPolicy
		}
		if got := answer.Header().Get("Content-Type"); answer.Code != 200 || got != want || answer.Header().Get("Content-Security-Policy") != policy {
			t.Errorf("%q: code %d, %s, %s", accept, answer.Code, got, answer.Header().Get("Content-Security-Policy"))
		}
	}
	for _, path := range page.New().Patterns() {
		if answer := ask(s, strings.TrimSuffix(path, "{$}")); answer.Code != 200 || answer.Body.Len() == 0 {
			t.Errorf("%s: code %d", path, answer.Code)
		}
	}
	if answer := ask(s, "/page/none.js"); answer.Code != 404 {
		t.Errorf("a file that is not there: code %d", answer.Code)
	}
}
