package httppeer_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/httppeer"
	"github.com/recoverd/recoverd/syncer/peer/peertest"
)

// impatient is a server that answers one request on each connection, and at the next
// one closes it, as a server does whose keep-alive time is just up.
type impatient struct {
	URL   string
	reset bool // it resets the connection instead
	conns atomic.Int64
}

func newImpatient(t *testing.T, content []byte, reset bool) *impatient {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &impatient{URL: "http://" + listener.Addr().String(), reset: reset}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				t.Errorf("accept: %v", err)
				return
			}
			s.conns.Add(1)
			wg.Go(func() { s.serve(conn, content) })
		}
	})
	t.Cleanup(wg.Wait) // the pool closes its idle connections before
	t.Cleanup(func() { listener.Close() })
	return s
}

func (s *impatient) serve(conn net.Conn, content []byte) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	if _, err := http.ReadRequest(reader); err != nil {
		return
	}
	fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(content), content)
	if _, err := http.ReadRequest(reader); err == nil && s.reset {
		_ = conn.(*net.TCPConn).SetLinger(0)
	}
}

// An idle connection that the server closes while we send is no fault of the peer's:
// the request is made again on a new one, and nobody is told.
func TestConnectionClosedWhileIdle(t *testing.T) {
	for _, reset := range []bool{false, true} {
		t.Run(fmt.Sprintf("reset=%t", reset), func(t *testing.T) {
			piece, content := peertest.NewPiece(1, 4096)
			server := newImpatient(t, content, reset)
			pool := peertest.NewPool(t, peer.Config{}, newPeer(t, server.URL+"/{id}"))
			const rounds, atOnce = 20, 8
			for range rounds {
				var wg sync.WaitGroup
				for range atOnce {
					wg.Go(func() {
						if _, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece)); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
			}
			if s := pool.Status()[0]; s.Fetched != rounds*atOnce || s.Failed+s.Unreachable != 0 || s.LastError != "" {
				t.Errorf("%+v", s)
			}
			if n := server.conns.Load(); n < rounds {
				t.Errorf("%d connections: none was closed", n)
			}
		})
	}
}

// As many connections as are used at once stay open when there is less to do, and serve
// what comes next.
func TestConnectionsFollowTheConcurrency(t *testing.T) {
	piece, content := peertest.NewPiece(1, 4096)
	conns := make(chan struct{}, 1000)
	var mu sync.Mutex
	together := sync.NewCond(&mu)
	waiting, atOnce := 0, 0 // requests are answered when as many are there
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		for waiting++; waiting < atOnce; {
			together.Wait()
		}
		together.Broadcast()
		mu.Unlock()
		_, _ = w.Write(content) // the client says whether it got it
	}))
	server.Config.ConnState = countNew(conns)
	server.Start()
	t.Cleanup(server.Close)
	tmpl, err := peer.ParseTemplate(server.URL + "/{id}")
	if err != nil {
		t.Fatal(err)
	}
	p, err := httppeer.New(tmpl, httppeer.Config{Concurrency: 4096})
	if err != nil {
		t.Fatal(err)
	}
	pool := peertest.NewPool(t, peer.Config{}, p)
	for _, n := range []int{64, 4, 64} {
		mu.Lock()
		waiting, atOnce = 0, n
		mu.Unlock()
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				if _, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	if n := len(conns); n > 100 { // a few are dialled while others are on their way back
		t.Errorf("%d connections for at most 64 requests at once", n)
	}
}
