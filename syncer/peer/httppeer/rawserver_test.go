package httppeer_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// exchange is one connection to a rawServer on which a request has been read.
type exchange struct {
	net.Conn
	request *http.Request
	n       int           // of the server's requests, from 1
	gone    chan struct{} // closed when the client has closed its side
}

// answer writes a response with these header lines. The body is taken as it is.
func (x *exchange) answer(status int, header string, body string) {
	var text strings.Builder
	fmt.Fprintf(&text, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	for line := range strings.Lines(header) {
		text.WriteString(strings.TrimSpace(line) + "\r\n")
	}
	// A client that hangs up early is what many tests want.
	_, _ = io.WriteString(x, text.String()+"\r\n"+body)
}

// reset ends the connection with RST instead of FIN.
func (x *exchange) reset() { _ = x.Conn.(*net.TCPConn).SetLinger(0) }

// rawServer answers each request, one for a connection, with bytes of a
// script's choosing, and closes the connection when the script returns.
type rawServer struct {
	URL  string
	mute bool // it reads nothing and says nothing

	mu       sync.Mutex
	requests []*http.Request
}

func newRawServer(t *testing.T, script func(x *exchange)) *rawServer {
	t.Helper()
	return startRawServer(t, &rawServer{}, script)
}

// newMuteServer accepts connections, and that is all.
func newMuteServer(t *testing.T) *rawServer {
	t.Helper()
	return startRawServer(t, &rawServer{mute: true}, nil)
}

func startRawServer(t *testing.T, s *rawServer, script func(x *exchange)) *rawServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.URL = "http://" + listener.Addr().String()
	var wg sync.WaitGroup
	open := make(map[net.Conn]bool)
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
			s.mu.Lock()
			open[conn] = true
			s.mu.Unlock()
			wg.Go(func() { s.serve(conn, script) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		s.mu.Lock()
		for conn := range open {
			conn.Close()
		}
		s.mu.Unlock()
		wg.Wait()
	})
	return s
}

func (s *rawServer) serve(conn net.Conn, script func(x *exchange)) {
	defer conn.Close()
	if s.mute {
		_, _ = io.Copy(io.Discard, conn) // until the client hangs up
		return
	}
	reader := bufio.NewReader(conn)
	request, err := http.ReadRequest(reader)
	if err != nil {
		return // a probe, or a client that hung up
	}
	s.mu.Lock()
	s.requests = append(s.requests, request)
	n := len(s.requests)
	s.mu.Unlock()
	x := &exchange{Conn: conn, request: request, n: n, gone: make(chan struct{})}
	go func() {
		defer close(x.gone)
		_, _ = io.Copy(io.Discard, reader)
	}()
	script(x)
	conn.Close()
	<-x.gone
}

// seen returns the requests so far.
func (s *rawServer) seen() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*http.Request(nil), s.requests...)
}
