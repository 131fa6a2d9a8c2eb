package page

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func get(t *testing.T, method, target string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	New().ServeHTTP(w, r)
	return w.Result()
}

func TestHandlerServesItsFiles(t *testing.T) {
	want := []string{
		"/page/api.js", "/page/dialogs.js", "/page/dom.js", "/page/draw.js", "/page/format.js", "/page/judge.js", "/page/list.js", "/page/live.js",
		"/page/page.css", "/page/page.js", "/page/sections.js", "/page/shards.js", "/{$}",
	}
	h := New()
	if diff := cmp.Diff(want, h.Patterns()); diff != "" {
		t.Fatalf("patterns (-want +got):\n%s", diff)
	}
	mux := http.NewServeMux()
	for _, p := range h.Patterns() {
		mux.Handle(p, h)
	}
	types := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", "{$}": "text/html; charset=utf-8"}
	for _, p := range h.Patterns() {
		path, end := strings.TrimSuffix(p, "{$}"), p[strings.LastIndexAny(p, ".{"):]
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != 200 || w.Header().Get("Content-Type") != types[end] || w.Body.Len() == 0 {
			t.Errorf("%s: code %d, type %q, %d bytes", path, w.Code, w.Header().Get("Content-Type"), w.Body.Len())
		}
	}
}

func TestHandlerRefuses(t *testing.T) {
	for _, tc := range []struct {
		method, target string
		code           int
	}{
		{http.MethodGet, "/page", 404},
		{http.MethodGet, "/page/", 404},
		{http.MethodGet, "/index.html", 404},
		{http.MethodGet, "/page/index.html", 404},
		{http.MethodGet, "/page/../page.go", 404},
		{http.MethodGet, "/page/page.go", 404},
		{http.MethodGet, "/page/PAGE.JS", 404},
		{http.MethodGet, "/page/page.js/", 404},
		{http.MethodGet, "/page/%2e%2e/page.js", 404},
		{http.MethodPost, "/", 405},
		{http.MethodPut, "/page/page.js", 405},
		{http.MethodDelete, "/", 405},
	} {
		answer := get(t, tc.method, tc.target)
		if answer.StatusCode != tc.code {
			t.Errorf("%s %s: code %d, want %d", tc.method, tc.target, answer.StatusCode, tc.code)
		}
		if got := answer.Header.Get("Content-Security-Policy"); got != ContentSecurityPolicy {
			t.Errorf("%s %s: policy %q", tc.method, tc.target, got)
		}
	}
}

func TestHandlerRevalidates(t *testing.T) {
	first := get(t, http.MethodGet, "/page/page.js")
	etag := first.Header.Get("ETag")
	if !regexp.MustCompile(`^"[0-9a-f]{24}"$`).MatchString(etag) || first.Header.Get("Cache-Control") != "no-cache" {
		t.Fatalf("ETag %q, Cache-Control %q", etag, first.Header.Get("Cache-Control"))
	}
	if again := get(t, http.MethodGet, "/page/page.js", "If-None-Match", etag); again.StatusCode != http.StatusNotModified {
		t.Errorf("the same content again: code %d, want 304", again.StatusCode)
	}
	if other := get(t, http.MethodGet, "/", "If-None-Match", etag); other.StatusCode != http.StatusOK {
		t.Errorf("another file with this one's ETag: code %d, want 200", other.StatusCode)
	}
	if head := get(t, http.MethodHead, "/"); head.StatusCode != 200 || head.ContentLength == 0 {
		t.Errorf("HEAD: code %d, length %d", head.StatusCode, head.ContentLength)
	}
	want := map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
		"Cross-Origin-Opener-Policy": "same-origin",
	}
	for name, value := range want {
		if got := first.Header.Get(name); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
}

// What the policy would stop in a browser is not even there: scripts and styles
// inside the document, and ways to make markup of a text.
func TestFilesKeepTheirPolicy(t *testing.T) {
	forbidden := map[string]*regexp.Regexp{
		".html": regexp.MustCompile(`(?i)<script(?:[^>]*)>[^<]|<style|\sstyle\s*=|\son[a-z]+\s*=|javascript:|https?://(?:[^w]|w[^w])`),
		".js": regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|createContextualFragment|` +
			`setAttribute\(\s*"(?:style|on)|localStorage|cookie|https?://(?:[^w]|w[^w])`),
		".css": regexp.MustCompile(`@import|url\(|https?://`),
	}
	seen := 0
	err := fs.WalkDir(static, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(static, name)
		if err != nil {
			return err
		}
		seen++
		if found := forbidden[name[strings.LastIndex(name, "."):]].FindString(string(body)); found != "" {
			t.Errorf("%s has %q", name, found)
		}
		if lines := strings.Count(string(body), "\n"); lines > 400 {
			t.Errorf("%s has %d lines", name, lines)
		}
		return nil
	})
	if err != nil || seen < 5 {
		t.Errorf("%d files read: %v", seen, err)
	}
}
