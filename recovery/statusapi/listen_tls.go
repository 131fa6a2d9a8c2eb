package statusapi

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/recoverd/recoverd/recovery/keyfile"
)

// TLSFiles names the files, all PEM, of an address that other machines reach.
// They are read again when they have changed.
type TLSFiles struct {
	Cert string // this side's certificate, with its chain
	Key  string // its key
	// ClientCA signs the certificates of those who may connect. Nobody else gets
	// as far as a request.
	ClientCA string
}

// ListenTLS listens on whatever address for those who have a certificate. Files
// that cannot be used are an error; later ones that cannot leave the last good
// ones in force, and trouble is told why, once for each text, from any goroutine;
// nil when it is over. A connection that is open stays open when the files change.
func ListenTLS(ctx context.Context, address string, files TLSFiles, trouble func(error)) (net.Listener, error) {
	keys, err := keyfile.Keep(keyfile.Files{Paths: []string{files.Cert, files.Key, files.ClientCA}, Trouble: trouble}, files.read)
	if err != nil {
		return nil, err
	}
	var config net.ListenConfig
	inner, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return newTLSListener(inner, keys), nil
}

// tlsListener accepts connections that will shake hands first.
type tlsListener struct {
	net.Listener
	inner net.Listener
	keys  *keyfile.Kept[*tls.Config]
}

// newTLSListener takes the newest good files for each handshake.
func newTLSListener(inner net.Listener, keys *keyfile.Kept[*tls.Config]) *tlsListener {
	newest := func(*tls.ClientHelloInfo) (*tls.Config, error) { return keys.Get(), nil }
	config := &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: newest}
	return &tlsListener{Listener: tls.NewListener(inner, config), inner: inner, keys: keys}
}

// limited returns the same listener with a bound on its connections, below TLS:
// net/http wants to see the handshake itself, to give it a deadline.
func (l *tlsListener) limited(limit int) net.Listener {
	return newTLSListener(LimitConns(l.inner, limit), l.keys).Listener
}

// Check reports what keeps the files from being used, without listening.
func (f TLSFiles) Check() error {
	_, err := f.read()
	return err
}

// read makes the configuration of one handshake. A session cannot be resumed: its
// certificate would not be looked at again.
func (f TLSFiles) read() (*tls.Config, error) {
	own, err := keyfile.Pair(f.Cert, f.Key)
	if err != nil {
		return nil, err
	}
	pool, err := keyfile.Pool(f.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("client CA: %w", err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, NextProtos: []string{"http/1.1"},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, SessionTicketsDisabled: true,
	}, nil
}
