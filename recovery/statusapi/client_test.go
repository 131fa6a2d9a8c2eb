package statusapi

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

// servingUnix serves everything on a state directory's socket.
func servingUnix(t *testing.T, s *Server, stateDir string) (stop func()) {
	t.Helper()
	l, err := ListenUnix(t.Context(), SocketPath(stateDir))
	if err != nil {
		t.Fatal(err)
	}
	return serving(t, s.Serve, l)
}

func dial(t *testing.T, stateDir string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), stateDir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestClient(t *testing.T) {
	cfg, w := sampleConfig()
	s, dir := newServer(t, cfg), t.TempDir()
	stop := servingUnix(t, s, dir)
	c := dial(t, dir)

	got, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same := cmp.Options{cmp.Comparer(func(a, b recovery.Mark) bool { return a == b }), cmp.Comparer(shards.Set.Equal)}
	if diff := cmp.Diff(s.Document(), got, same); diff != "" {
		t.Error(diff)
	}

	page, err := c.Unsettled(t.Context(), nil, 1)
	if err != nil || len(page.Unsettled) != 1 || page.NextAfter == nil {
		t.Fatalf("first page: %+v, %v", page, err)
	}
	page, err = c.Unsettled(t.Context(), page.NextAfter, 0)
	if err != nil || len(page.Unsettled) != 1 || page.Unsettled[0].ID != w.list[1].ID {
		t.Errorf("second page: %+v, %v", page, err)
	}

	var refused *APIError
	if _, err := c.Unsettled(t.Context(), nil, 1_000_000); !errors.As(err, &refused) || refused.Code != http.StatusBadRequest {
		t.Errorf("a limit too large: %v", err)
	}
	stop()
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the daemon left: %v, want ErrNotRunning", err)
	}
}

// Hazard 39. That no daemon runs is an error of its own, which nobody can take
// for "done".
func TestNotRunning(t *testing.T) {
	empty, stale := t.TempDir(), t.TempDir()
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: SocketPath(stale), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	old.Close()
	for name, dir := range map[string]string{
		"no socket": empty, "no directory": filepath.Join(empty, "none"), "a stale socket": stale,
	} {
		if _, err := Dial(t.Context(), dir); !errors.Is(err, ErrNotRunning) {
			t.Errorf("%s: %v, want ErrNotRunning", name, err)
		}
	}
	long := filepath.Join(empty, strings.Repeat("x", maxSocketPath))
	if _, err := Dial(t.Context(), long); !errors.Is(err, ErrSocket) {
		t.Errorf("a path that is too long: %v, want ErrSocket", err)
	}
}

// What answers on the socket may be anything.
func TestClientRefusesOddAnswers(t *testing.T) {
	for _, tc := range []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"not JSON", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }, "read the answer"},
		{"text with an error code", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "teapot", http.StatusTeapot) }, "teapot"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		}, "302"},
		{"endless", func(w http.ResponseWriter, _ *http.Request) {
			for block := make([]byte, 1<<20); ; {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}, "longer than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			l, err := ListenUnix(t.Context(), SocketPath(dir))
			if err != nil {
				t.Fatal(err)
			}
			server := &http.Server{Handler: tc.handler}
			ended := make(chan error, 1)
			go func() { ended <- server.Serve(l) }()
			t.Cleanup(func() { server.Close(); <-ended })
			c := dial(t, dir)
			if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want it to say %q", err, tc.want)
			}
		})
	}
}

// Serving ends with its context even though a client keeps its connection and
// the worker does not answer.
func TestServeEnds(t *testing.T) {
	cfg, w := sampleConfig()
	w.stuck, w.waits = make(chan struct{}), make(chan struct{})
	dir := t.TempDir()
	stop := servingUnix(t, newServer(t, cfg), dir)
	c := dial(t, dir)
	if _, err := c.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	asked := make(chan error, 1)
	go func() {
		_, err := c.Unsettled(t.Context(), nil, 0)
		asked <- err
	}()
	<-w.waits
	stop()
	var refused *APIError
	if err := <-asked; !errors.As(err, &refused) || refused.Code != http.StatusServiceUnavailable {
		t.Errorf("the question of a stuck worker ended with %v, want an answer of 503", err)
	}
	if _, err := os.Lstat(SocketPath(dir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}
