package statusapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// ErrNotLoopback refuses an address that other machines can reach: who asks there
// is known only with ListenTLS. A command leaves with exit code 78.
var ErrNotLoopback = errors.New("statusapi: not a loopback address")

// ListenTCP listens on a loopback address: 127.0.0.1:port, [::1]:port or
// localhost:port, which means 127.0.0.1. Port 0 takes a free one. Names are not
// looked up. It wraps ErrNotLoopback for any other address.
func ListenTCP(ctx context.Context, address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen on %.80q: %w", address, err)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.Unmap().IsLoopback() {
		return nil, fmt.Errorf("%w: %.80q; use 127.0.0.1, [::1] or localhost, or serve metrics only", ErrNotLoopback, address)
	}
	var config net.ListenConfig
	return config.Listen(ctx, "tcp", net.JoinHostPort(host, port))
}

// ListenAny listens on whatever address; it is for ServeMetrics.
func ListenAny(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	return config.Listen(ctx, "tcp", address)
}
