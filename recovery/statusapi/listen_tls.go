package statusapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"
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
	k := &keyring{files: files, trouble: trouble}
	if err := k.load(); err != nil {
		return nil, err
	}
	var config net.ListenConfig
	inner, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return newTLSListener(inner, k), nil
}

// tlsListener accepts connections that will shake hands first.
type tlsListener struct {
	net.Listener
	inner net.Listener
	keys  *keyring
}

func newTLSListener(inner net.Listener, keys *keyring) *tlsListener {
	config := &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: keys.forClient}
	return &tlsListener{Listener: tls.NewListener(inner, config), inner: inner, keys: keys}
}

// limited returns the same listener with a bound on its connections, below TLS:
// net/http wants to see the handshake itself, to give it a deadline.
func (l *tlsListener) limited(limit int) net.Listener {
	return newTLSListener(limitConns(l.inner, limit), l.keys).Listener
}

// keyring holds what the files said when they were last good.
type keyring struct {
	files   TLSFiles
	trouble func(error)

	mu     sync.Mutex
	seen   [3]fileState
	config *tls.Config
	told   string
}

// fileState tells versions of a file apart.
type fileState struct {
	info fs.FileInfo
	size int64
	at   time.Time
}

func (s fileState) same(o fileState) bool {
	return s.info != nil && o.info != nil && os.SameFile(s.info, o.info) && s.size == o.size && s.at.Equal(o.at)
}

// forClient returns the newest good configuration, for one handshake.
func (k *keyring) forClient(*tls.ClientHelloInfo) (*tls.Config, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	text, err := "", k.loadChanged()
	if err != nil {
		text = err.Error()
	}
	if text != k.told && k.trouble != nil {
		k.trouble(err)
	}
	k.told = text
	return k.config, nil
}

func (k *keyring) load() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.loadChanged()
}

// loadChanged reads the files unless they are as they were. They are looked at
// before they are read: what changes in between is read again next time.
func (k *keyring) loadChanged() error {
	var now [3]fileState
	same := true
	for i, path := range []string{k.files.Cert, k.files.Key, k.files.ClientCA} {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("look at the TLS files: %w", err)
		}
		now[i] = fileState{info, info.Size(), info.ModTime()}
		same = same && now[i].same(k.seen[i])
	}
	if same {
		return nil
	}
	config, err := k.files.read()
	if err != nil {
		return err
	}
	k.config, k.seen = config, now
	return nil
}

// Check reports what keeps the files from being used, without listening.
func (f TLSFiles) Check() error {
	_, err := f.read()
	return err
}

// read makes the configuration of one handshake. A session cannot be resumed: its
// certificate would not be looked at again.
func (f TLSFiles) read() (*tls.Config, error) {
	var text [3][]byte
	for i, path := range []string{f.Cert, f.Key, f.ClientCA} {
		var err error
		if text[i], err = readPEM(path); err != nil {
			return nil, err
		}
	}
	own, err := tls.X509KeyPair(text[0], text[1])
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", f.Cert, f.Key, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text[2]) {
		return nil, fmt.Errorf("client CA %s: there is no certificate in it", f.ClientCA)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, NextProtos: []string{"http/1.1"},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, SessionTicketsDisabled: true,
	}, nil
}

// maxPEM bounds a TLS file, in bytes.
const maxPEM = 1 << 20

func readPEM(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open a TLS file: %w", err)
	}
	defer func() { _ = file.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(file, maxPEM+1))
	if err == nil && len(text) > maxPEM {
		err = errors.New("it is too large for a certificate or key")
	}
	if err != nil {
		return nil, fmt.Errorf("read the TLS file %s: %w", path, err)
	}
	return text, nil
}
