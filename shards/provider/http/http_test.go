package httpprovider_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/shards/provider"
	httpprovider "github.com/recoverd/recoverd/shards/provider/http"
	"github.com/recoverd/recoverd/shards/shardstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host serves a document as a node would.
type host struct {
	*httptest.Server

	mu       sync.Mutex
	document string // empty: 503
	tag      string // of the document; empty: it has none
	token    string // that must come; empty: none need
	whole    int    // answers with a body
	same     int    // answers of 304
	looks    chan struct{}
}

func serve(t testing.TB, document string) *host {
	h := &host{document: document, looks: make(chan struct{}, 1)}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer func() {
		select {
		case h.looks <- struct{}{}:
		default:
		}
	}()
	switch {
	case h.token != "" && r.Header.Get("Authorization") != "Bearer "+h.token:
		w.WriteHeader(http.StatusUnauthorized)
	case h.document == "":
		w.WriteHeader(http.StatusServiceUnavailable)
	case h.tag != "" && r.Header.Get("If-None-Match") == h.tag:
		h.same++
		w.WriteHeader(http.StatusNotModified)
	default:
		if h.tag != "" {
			w.Header().Set("ETag", h.tag)
		}
		h.whole++
		_, _ = w.Write([]byte(h.document))
	}
}

func (h *host) publish(document, tag string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.document, h.tag = document, tag
}

func (h *host) counts() (whole, same int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.whole, h.same
}

func open(t testing.TB, c httpprovider.Config) *httpprovider.Provider {
	t.Helper()
	c.Poll = httpprovider.MinPoll
	p, err := httpprovider.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func doc(epoch int) string {
	return fmt.Sprintf(`{"epoch": %d, "total_shards": 10, "owned": "0-4"}`, epoch)
}

func wants(t *testing.T, p *httpprovider.Provider, epoch uint32) {
	t.Helper()
	if o, err := p.Next(t.Context()); err != nil || o.Epoch != epoch {
		t.Fatalf("got %+v, %v, want epoch %d", o, err, epoch)
	}
}

func TestConformance(t *testing.T) {
	for _, tagged := range []bool{false, true} {
		t.Run(fmt.Sprintf("tagged %t", tagged), func(t *testing.T) {
			shardstest.Run(t, func(t testing.TB, document string) shardstest.Source {
				h, tag := serve(t, document), ""
				publish := func(_ testing.TB, document string) {
					if tagged {
						tag = fmt.Sprintf(`"%x"`, sha256.Sum256([]byte(document)))
					}
					h.publish(document, tag)
				}
				publish(t, document)
				return shardstest.Source{
					Provider: open(t, httpprovider.Config{URL: h.URL}), Publish: publish,
					Break: func(testing.TB) { h.publish("", "") },
				}
			})
		})
	}
}

// A tag that still holds costs no body; after trouble a 304 puts the same document
// back in force; and a tag that a server forgot to change is believed for so long only.
func TestEntityTags(t *testing.T) {
	h := serve(t, "")
	h.publish(doc(1), `"one"`)
	p := open(t, httpprovider.Config{URL: h.URL, Refetch: time.Hour})
	wants(t, p, 1)
	for _, same := h.counts(); same < 3; _, same = h.counts() {
		<-h.looks
	}
	h.publish("", "")
	if o, err := p.Next(t.Context()); !strings.Contains(fmt.Sprint(err), "status 503") {
		t.Fatalf("got %+v, %v, want status 503", o, err)
	}
	_, before := h.counts()
	h.publish(doc(1), `"one"`)
	for p.Status().LastError != "" {
		<-h.looks
	}
	if whole, same := h.counts(); whole != 1 || same <= before {
		t.Errorf("%d bodies and %d times 304, want one body and more than %d", whole, same, before)
	}

	forgetful := open(t, httpprovider.Config{URL: h.URL, Refetch: 50 * time.Millisecond})
	wants(t, forgetful, 1)
	h.publish(doc(2), `"one"`)
	wants(t, forgetful, 2)
}

// The token goes along, may be replaced, and is never in a message.
func TestToken(t *testing.T) {
	h := serve(t, doc(1))
	h.token = "hush-hush-1"
	path := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	load := func() error {
		_, err := httpprovider.Load(t.Context(), httpprovider.Config{URL: h.URL, TokenFile: path})
		if strings.Contains(fmt.Sprint(err), "hush") {
			t.Errorf("the token is in %q", err)
		}
		return err
	}
	if err := load(); !errors.Is(err, os.ErrNotExist) || !errors.Is(err, httpprovider.ErrToken) {
		t.Errorf("without the file: %v", err)
	}
	write("hush-hush-0\n")
	if err := load(); !strings.Contains(fmt.Sprint(err), "status 401") {
		t.Errorf("with another token: %v", err)
	}
	write("hush-hush-1\n")
	if err := load(); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "\n", "hush hush", "hush\nhush", "hush\r\nX-Injected: 1", strings.Repeat("h", 5000)} {
		write(bad)
		if err := load(); !errors.Is(err, httpprovider.ErrToken) {
			t.Errorf("token file %.20q: %v, want ErrToken", bad, err)
		}
	}
}

// Whatever the server does, the answer is an error that tells what is wrong, in
// bounded time and memory. Hazards 65, 70, 71.
func TestHostileServers(t *testing.T) {
	elsewhere := serve(t, doc(1))
	for _, tc := range []struct {
		name, want string
		is         error
		answer     http.HandlerFunc
	}{
		{"an endless body", "more than 1048576 bytes", httpprovider.ErrTooLarge, func(w http.ResponseWriter, _ *http.Request) {
			for block := make([]byte, 1<<16); ; {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}},
		{"a redirect", "redirects are not followed", httpprovider.ErrStatus, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		}},
		{"a 304 nobody asked for", "status 304", httpprovider.ErrStatus, status(http.StatusNotModified)},
		{"a 500", "status 500", httpprovider.ErrStatus, status(http.StatusInternalServerError)},
		{"a 204", "status 204", httpprovider.ErrStatus, status(http.StatusNoContent)},
		{"a page", "want keys and values", shards.ErrOwnership, text("<!doctype html>\n")},
		{"nothing", "the document is empty", shards.ErrOwnership, text("")},
		{"compressed, unasked", `"gzip"`, httpprovider.ErrEncoding, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			text(doc(1))(w, r)
		}},
		{"a cut body", "unexpected EOF", nil, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			text(doc(1))(w, r)
		}},
		{"a huge header", "", nil, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Huge", strings.Repeat("h", 1<<17))
			text(doc(1))(w, r)
		}},
		{"no header in time", "200ms", httpprovider.ErrTimeout, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{"no body in time", "200ms", httpprovider.ErrTimeout, func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := httptest.NewServer(tc.answer)
			defer server.Close()
			c := httpprovider.Config{URL: server.URL + "/own?secret=hush"}
			if errors.Is(tc.is, httpprovider.ErrTimeout) {
				c.Timeout = 200 * time.Millisecond
			}
			o, err := httpprovider.Load(t.Context(), c)
			if err == nil || tc.is != nil && !errors.Is(err, tc.is) {
				t.Fatalf("got %+v, %v, want %v", o, err, tc.is)
			}
			if text := err.Error(); !strings.Contains(text, tc.want) || !strings.Contains(text, server.URL+"/own") || strings.Contains(text, "hush") {
				t.Errorf("got %q, want %q in it, and the URL without its query", text, tc.want)
			}
		})
	}
	if whole, _ := elsewhere.counts(); whole != 0 {
		t.Error("a redirect was followed")
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

// Hazard 27. A connection that breaks again and again is one piece of news, though
// it comes from another port each time.
func TestTroubleIsToldOnce(t *testing.T) {
	cut := make(chan struct{}, 16)
	h := serve(t, "")
	h.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		select {
		case cut <- struct{}{}:
		default:
		}
		panic(http.ErrAbortHandler)
	})
	p := open(t, httpprovider.Config{URL: h.URL})
	for range 10 {
		<-cut
	}
	if s := p.Status(); s.BadVersions != 1 || s.LastError == "" {
		t.Errorf("ten broken connections: %+v, want one bad version", s)
	}
}

// Close ends a look under way, and that is no trouble of the server's.
func TestCloseEndsALook(t *testing.T) {
	asked := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	defer server.Close()
	p := open(t, httpprovider.Config{URL: server.URL, Timeout: time.Hour})
	<-asked
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if s := p.Status(); s.BadVersions != 0 {
		t.Errorf("closing was taken for trouble: %+v", s)
	}
	if _, err := p.Next(context.Background()); !errors.Is(err, provider.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []httpprovider.Config{
		{}, {URL: "ownership.yaml"}, {URL: "file:///etc/passwd"}, {URL: "http://"}, {URL: "http://:80/x"}, {URL: "http://a b/"},
		{URL: "http://user:hush@127.0.0.1/"}, {URL: "http://a/", Poll: -1}, {URL: "http://a/", Timeout: -1}, {URL: "http://a/", Refetch: -1},
	} {
		if err := c.Validate(); !errors.Is(err, httpprovider.ErrConfig) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := (httpprovider.Config{URL: "https://[::1]:8443/ownership?node=7"}).Validate(); err != nil {
		t.Error(err)
	}
}
