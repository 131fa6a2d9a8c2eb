package statusapi

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// doorway is a listener on a loopback address that exists only in memory, so that
// a server's limits of time can be seen in virtual time.
type doorway struct {
	conns  chan net.Conn
	closed chan struct{}
}

var doorwayAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7070}

const doorwayHost = "127.0.0.1:7070"

// openDoorway serves on a doorway until the function that it returns is called.
func openDoorway(t *testing.T, serve func(context.Context, net.Listener) error) (d *doorway, end func()) {
	t.Helper()
	d = &doorway{conns: make(chan net.Conn), closed: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, d) }()
	return d, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serving ended with %v", err)
		}
	}
}

func (d *doorway) Accept() (net.Conn, error) {
	select {
	case conn := <-d.conns:
		return conn, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

func (d *doorway) Close() error   { close(d.closed); return nil }
func (d *doorway) Addr() net.Addr { return doorwayAddr }

// dial returns the near end of a connection; the server accepts the far end when
// it has room.
func (d *doorway) dial() net.Conn {
	near, far := net.Pipe()
	go func() {
		select {
		case d.conns <- doorwayConn{far}:
		case <-d.closed:
			far.Close()
		}
	}()
	return near
}

type doorwayConn struct{ net.Conn }

func (doorwayConn) LocalAddr() net.Addr  { return doorwayAddr }
func (doorwayConn) RemoteAddr() net.Addr { return doorwayAddr }

// answered is what came back: a code of 0 says that the connection was closed
// without an answer.
type answered struct {
	code   int
	header http.Header
	body   string
}

// readAnswer reads one answer to a request with this method.
func readAnswer(from *bufio.Reader, method string) answered {
	response, err := http.ReadResponse(from, &http.Request{Method: method})
	if err != nil {
		return answered{}
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answered{}
	}
	return answered{response.StatusCode, response.Header, string(body)}
}

// methodOf returns the method of a request as sent.
func methodOf(raw string) string {
	method, _, _ := strings.Cut(raw, " ")
	return method
}
