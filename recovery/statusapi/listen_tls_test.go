package statusapi

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recoverd/recoverd/recovery/keyfile"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, err = x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

// sign returns a certificate and its key, as PEM; change may spoil it.
func (a *authority) sign(t *testing.T, name string, change func(*x509.Certificate)) (cert, key []byte) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if change != nil {
		change(template)
	}
	own := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, own.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

// put replaces a file as publishers should.
func put(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", text, 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

// tlsNode is a server with files of its own.
type tlsNode struct {
	files  TLSFiles
	server *authority // signs the server's certificates
	client *authority // signs the clients'
	mu     sync.Mutex
	told   []string
}

func newTLSNode(t *testing.T) *tlsNode {
	t.Helper()
	dir := t.TempDir()
	n := &tlsNode{
		files:  TLSFiles{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), ClientCA: filepath.Join(dir, "ca.crt")},
		server: newAuthority(t, "servers"), client: newAuthority(t, "clients"),
	}
	n.renew(t, "first")
	put(t, n.files.ClientCA, n.client.pem)
	return n
}

// renew gives the server another certificate.
func (n *tlsNode) renew(t *testing.T, name string) {
	t.Helper()
	cert, key := n.server.sign(t, name, nil)
	put(t, n.files.Cert, cert)
	put(t, n.files.Key, key)
}

func (n *tlsNode) trouble(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	text := "over"
	if err != nil {
		text = err.Error()
	}
	n.told = append(n.told, text)
}

func (n *tlsNode) troubles() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.told
}

func (n *tlsNode) serve(t *testing.T, cfg Config) (address string) {
	t.Helper()
	l, err := ListenTLS(t.Context(), "127.0.0.1:0", n.files, n.trouble)
	if err != nil {
		t.Fatal(err)
	}
	serving(t, newServer(t, cfg).Serve, l)
	return l.Addr().String()
}

// asTLS asks with a certificate, or without one; change may spoil the client.
func (n *tlsNode) asTLS(t *testing.T, request *http.Request, cert, key []byte, change func(*tls.Config)) (*http.Response, error) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(n.server.cert)
	config := &tls.Config{RootCAs: pool}
	if cert != nil {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if change != nil {
		change(config)
	}
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: clientTimeout}).Do(request)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { response.Body.Close() })
	return response, nil
}

func tlsRequest(t *testing.T, method, address, path string) *http.Request {
	t.Helper()
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader("{}")
	}
	request, err := http.NewRequestWithContext(t.Context(), method, "https://"+address+path, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	return request
}

// Only a certificate of the right authority gets as far as a request, and a request
// gets no more than it would elsewhere: the token and the name are still looked at.
func TestTLSLetsInWhoHasACertificate(t *testing.T) {
	n := newTLSNode(t)
	cfg, _ := sampleConfig()
	address := n.serve(t, cfg)
	for _, tc := range []struct {
		name   string
		signer *authority
		change func(*x509.Certificate)
		client func(*tls.Config)
		ok     bool
	}{
		{"a good one", n.client, nil, nil, true},
		{"none", nil, nil, nil, false},
		{"one of another authority", newAuthority(t, "clients"), nil, nil, false},
		{"one of the servers' authority", n.server, nil, nil, false},
		{"one that has expired", n.client, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, nil, false},
		{"one that is not valid yet", n.client, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }, nil, false},
		{"one for servers", n.client, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, nil, false},
		{"a good one, by TLS 1.2", n.client, nil, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, false},
	} {
		var cert, key []byte
		if tc.signer != nil {
			cert, key = tc.signer.sign(t, "prober", tc.change)
		}
		response, err := n.asTLS(t, tlsRequest(t, "GET", address, "/api/v1/status"), cert, key, tc.client)
		if (err == nil) != tc.ok || tc.ok && response.StatusCode != 200 {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	cert, key := n.client.sign(t, "prober", nil)
	for name, tc := range map[string]struct {
		request func() *http.Request
		code    int
	}{
		"a post without the token": {func() *http.Request { return tlsRequest(t, "POST", address, "/api/v1/pause") }, 401},
		"a post with the token": {func() *http.Request {
			r := tlsRequest(t, "POST", address, "/api/v1/pause")
			r.Header.Set("Authorization", "Bearer "+sampleToken)
			return r
		}, 200},
		"another name": {func() *http.Request {
			r := tlsRequest(t, "GET", address, "/api/v1/status")
			r.Host = "evil.example"
			return r
		}, 421},
	} {
		response, err := n.asTLS(t, tc.request(), cert, key, nil)
		if err != nil || response.StatusCode != tc.code {
			t.Errorf("%s: %v, %+v; want %d", name, err, response, tc.code)
		}
	}
}

// Files that change are in force with the next connection; files that are no good
// leave the last good ones in force, and that is told once.
func TestTLSFilesAreReadAgain(t *testing.T) {
	n := newTLSNode(t)
	cfg, _ := sampleConfig()
	address := n.serve(t, cfg)
	cert, key := n.client.sign(t, "prober", nil)
	shown := func() string {
		response, err := n.asTLS(t, tlsRequest(t, "GET", address, "/livez"), cert, key, nil)
		if err != nil {
			return err.Error()
		}
		return response.TLS.PeerCertificates[0].Subject.CommonName
	}
	expect := func(what, want string) {
		t.Helper()
		for range 2 {
			if got := shown(); got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
	}
	expect("at first", "first")
	n.renew(t, "second")
	expect("renewed", "second")

	other, _ := n.server.sign(t, "third", nil)
	put(t, n.files.Cert, other)
	expect("a certificate without its key", "second")
	if told := n.troubles(); len(told) != 1 || !strings.Contains(told[0], n.files.Cert) {
		t.Errorf("told %q, want one about the certificate", told)
	}
	if err := os.Remove(n.files.Key); err != nil {
		t.Fatal(err)
	}
	expect("a key that is gone", "second")
	n.renew(t, "fourth")
	expect("mended", "fourth")
	if told := n.troubles(); len(told) != 3 || told[2] != "over" {
		t.Errorf("told %q", told)
	}
	for _, text := range n.troubles() {
		if strings.Contains(text, "PRIVATE") {
			t.Errorf("the key is told: %s", text)
		}
	}

	put(t, n.files.ClientCA, newAuthority(t, "other clients").pem)
	if got := shown(); !strings.Contains(got, "tls") {
		t.Errorf("a client whose authority was taken away is shown %s", got)
	}
}

func TestTLSFilesThatAreNoGood(t *testing.T) {
	for name, spoil := range map[string]func(*testing.T, *tlsNode){
		"no certificate":       func(t *testing.T, n *tlsNode) { os.Remove(n.files.Cert) },
		"no key":               func(t *testing.T, n *tlsNode) { os.Remove(n.files.Key) },
		"no authority":         func(t *testing.T, n *tlsNode) { os.Remove(n.files.ClientCA) },
		"an empty authority":   func(t *testing.T, n *tlsNode) { put(t, n.files.ClientCA, nil) },
		"a key of another":     func(t *testing.T, n *tlsNode) { _, key := n.server.sign(t, "x", nil); put(t, n.files.Key, key) },
		"a certificate in DER": func(t *testing.T, n *tlsNode) { put(t, n.files.Cert, n.server.cert.Raw) },
		"an endless key":       func(t *testing.T, n *tlsNode) { n.files.Key = "/dev/zero" },
		"a directory":          func(t *testing.T, n *tlsNode) { n.files.ClientCA = t.TempDir() },
	} {
		n := newTLSNode(t)
		spoil(t, n)
		l, err := ListenTLS(t.Context(), "127.0.0.1:0", n.files, nil)
		if err == nil {
			t.Errorf("%s: it listens", name)
			l.Close()
		}
		if err != nil && strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: the key is told: %v", name, err)
		}
	}
}

// Whoever does not shake hands is not waited for, and takes no place for long.
func TestTLSHandshakeHasADeadline(t *testing.T) {
	n := newTLSNode(t)
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := sampleConfig()
		s := newServer(t, cfg)
		keys, err := keyfile.Keep(keyfile.Files{}, n.files.read)
		if err != nil {
			t.Fatal(err)
		}
		d, end := openDoorway(t, func(ctx context.Context, l net.Listener) error { return s.Serve(ctx, newTLSListener(l, keys)) })
		defer end()
		began := time.Now()
		conn := d.dial()
		defer conn.Close()
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || time.Since(began) != headerTimeout {
			t.Errorf("%v after %v, want the end after %v", err, time.Since(began), headerTimeout)
		}
	})
}
