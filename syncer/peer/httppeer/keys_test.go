package httppeer_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/httppeer"
	"github.com/recoverd/recoverd/syncer/peer/peertest"
)

// certify makes a certificate for loopback that signer signs, or itself.
func certify(t testing.TB, name string, signer *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: signer == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	parent, parentKey := template, any(key)
	if signer != nil {
		parent, parentKey = signer.Leaf, signer.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func poolOf(authorities ...tls.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, a := range authorities {
		pool.AddCert(a.Leaf)
	}
	return pool
}

// mutual serves blobs to those with a certificate, and lists the names they had.
type mutual struct {
	*httptest.Server
	authority tls.Certificate // of both sides

	mu    sync.Mutex
	names []string
	hold  chan struct{} // closed to let answers end after their first half
}

func newMutual(t *testing.T, far peertest.Far, change func(*tls.Config)) *mutual {
	m := &mutual{authority: certify(t, "authority", nil)}
	blobs := serveBlobs(from(far))
	m.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		m.names = append(m.names, r.TLS.PeerCertificates[0].Subject.CommonName)
		hold := m.hold
		m.mu.Unlock()
		if hold != nil {
			w = &halting{w, hold}
		}
		blobs.ServeHTTP(w, r)
	}))
	m.Config.ErrorLog = log.New(io.Discard, "", 0)
	m.TLS = &tls.Config{
		Certificates: []tls.Certificate{certify(t, "server", &m.authority)},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: poolOf(m.authority),
	}
	if change != nil {
		change(m.TLS)
	}
	m.StartTLS()
	t.Cleanup(m.Close)
	return m
}

// halting stops after the first byte of a body until it is let go.
type halting struct {
	http.ResponseWriter
	hold <-chan struct{}
}

func (h *halting) Write(b []byte) (int, error) {
	n, err := h.ResponseWriter.Write(b[:1])
	if err != nil {
		return n, err
	}
	if err := http.NewResponseController(h.ResponseWriter).Flush(); err != nil {
		return n, err
	}
	<-h.hold
	rest, err := h.ResponseWriter.Write(b[1:])
	return n + rest, err
}

func (m *mutual) seen() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.names
}

// keys returns a client's configuration with a certificate of the authority's.
func (m *mutual) keys(t *testing.T, name string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: poolOf(m.authority), Certificates: []tls.Certificate{certify(t, name, &m.authority)},
	}
}

func keyedPeer(t *testing.T, template string, cfg httppeer.Config) *httppeer.Peer {
	t.Helper()
	tmpl, err := peer.ParseTemplate(template)
	if err != nil {
		t.Fatal(err)
	}
	p, err := httppeer.New(tmpl, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// New keys are used by the next request, though a connection with the old ones is open;
// what is under way with the old ones ends.
func TestKeysAreRenewed(t *testing.T) {
	piece, content := peertest.NewPiece(1, wantedSize)
	m := newMutual(t, peertest.Far{piece.Blob.ID: content}, nil)
	var keys atomic.Pointer[tls.Config]
	keys.Store(m.keys(t, "first"))
	p := keyedPeer(t, m.URL+"/{id}", httppeer.Config{Keys: keys.Load})
	pool := peertest.NewPool(t, peer.Config{}, p)
	fetch := func() {
		t.Helper()
		sink := peertest.NewSink(piece)
		if _, err := pool.Fetch(t.Context(), piece, sink); err != nil || !bytes.Equal(sink.Accepted(), content) {
			t.Fatal(err)
		}
	}
	fetch()
	m.mu.Lock()
	m.hold = make(chan struct{})
	m.mu.Unlock()
	underWay, err := p.Get(t.Context(), piece, peer.Resume{})
	if err != nil {
		t.Fatal(err)
	}
	hold := m.hold
	m.mu.Lock()
	m.hold = nil
	m.mu.Unlock()
	keys.Store(m.keys(t, "second"))
	fetch()
	fetch()
	close(hold)
	if rest, err := io.ReadAll(underWay); err != nil || !bytes.Equal(rest, content) {
		t.Errorf("what was under way: %d bytes, %v", len(rest), err)
	}
	underWay.Close()
	keys.Store(m.keys(t, "third"))
	fetch()
	if got := strings.Join(m.seen(), " "); got != "first first second second third" {
		t.Errorf("asked as %s", got)
	}
}

// Whoever the other side turns out to be, or takes this one for, nothing is served
// unless both are sure.
func TestWhoIsNotTrusted(t *testing.T) {
	piece, content := peertest.NewPiece(1, wantedSize)
	far := peertest.Far{piece.Blob.ID: content}
	stranger := certify(t, "stranger", nil)
	for _, c := range []struct {
		name   string
		server func(*tls.Config)
		client func(*tls.Config)
		text   string
	}{
		{"a server of another authority", nil, func(k *tls.Config) { k.RootCAs = poolOf(stranger) }, "unknown authority"},
		{"a server with another name", nil, func(k *tls.Config) { k.ServerName = "peer.example" }, "wanted to match peer.example"},
		{"a client without a certificate", nil, func(k *tls.Config) { k.Certificates = nil }, "certificate required"},
		{"a client of another authority", nil, func(k *tls.Config) { k.Certificates = []tls.Certificate{certify(t, "x", &stranger)} }, "certificate"},
		{"TLS 1.1", func(k *tls.Config) { k.MinVersion, k.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, func(*tls.Config) {}, "version"},
	} {
		m := newMutual(t, far, c.server)
		keys := m.keys(t, "x")
		c.client(keys)
		pool := peertest.NewPool(t, peer.Config{}, keyedPeer(t, m.URL+"/{id}", httppeer.Config{Keys: func() *tls.Config { return keys }}))
		sink := peertest.NewSink(piece)
		_, err := pool.Fetch(t.Context(), piece, sink)
		var failed *syncer.FetchError
		if !errors.As(err, &failed) || failed.Reason() != recovery.PeerFailed || !strings.Contains(err.Error(), c.text) || sink.Written() != 0 {
			t.Errorf("%s: %v, want %q", c.name, err, c.text)
		}
		if n := len(m.seen()); n != 0 {
			t.Errorf("%s: %d requests came through", c.name, n)
		}
	}
}

// A token goes along as it is at the time, with whole and resumed requests, and no
// error tells it. User info in the URL is stronger.
func TestTokenGoesAlong(t *testing.T) {
	piece, content := peertest.NewPiece(1, wantedSize)
	var server *rawServer
	server = newRawServer(t, func(x *exchange) {
		switch len(server.seen()) {
		case 1:
			first(x, string(content), `"v1"`)
		case 2:
			x.answer(206, rangeHeader(10_000), string(content[10_000:]))
		default:
			x.answer(401, "Content-Length: 0", "")
		}
	})
	sent := func(i int) string { return server.seen()[i].Header.Get("Authorization") }
	turn := 0
	token := func() string { turn++; return fmt.Sprint("hush-", turn) }
	pool := peertest.NewPool(t, peer.Config{}, keyedPeer(t, server.URL+"/{id}", httppeer.Config{Token: token}))
	if _, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece)); err != nil {
		t.Fatal(err)
	}
	_, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece))
	if s := pool.Status()[0]; err == nil || strings.Contains(err.Error()+s.Name+s.LastError, "hush") {
		t.Errorf("%v; %+v", err, s)
	}
	for i := range 3 {
		if got, want := sent(i), fmt.Sprint("Bearer hush-", i+1); got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
	}
	named := keyedPeer(t, strings.Replace(server.URL, "://", "://node:pass@", 1)+"/{id}", httppeer.Config{Token: token})
	pool = peertest.NewPool(t, peer.Config{}, named)
	if _, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece)); err == nil || sent(3) != "Basic bm9kZTpwYXNz" {
		t.Errorf("sent %q: %v", sent(3), err)
	}
}

// Hazard 71: a redirect is not followed, so a token is shown to nobody else.
func TestRedirectWithAToken(t *testing.T) {
	piece, content := peertest.NewPiece(1, wantedSize)
	elsewhere := newRawServer(t, func(x *exchange) {
		x.answer(200, fmt.Sprintf("Content-Length: %d", wantedSize), string(content))
	})
	server := newRawServer(t, func(x *exchange) {
		x.answer(307, "Location: "+elsewhere.URL+"/\nContent-Length: 0", "")
	})
	p := keyedPeer(t, server.URL+"/{id}", httppeer.Config{Token: func() string { return "hush" }})
	pool := peertest.NewPool(t, peer.Config{}, p)
	_, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece))
	if err == nil || !strings.Contains(err.Error(), "redirect refused") || len(elsewhere.seen()) != 0 {
		t.Errorf("%v; elsewhere was asked %d times", err, len(elsewhere.seen()))
	}
}
