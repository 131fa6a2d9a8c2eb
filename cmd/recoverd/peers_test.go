package main

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/recoverd/recoverd/syncer/peer"
)

// putKeys writes a certificate and its key, as those who renew certificates should.
func putKeys(t testing.TB, own tls.Certificate, certPath, keyPath string) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, certPath, pemText("CERTIFICATE", own.Certificate[0]))
	replace(t, keyPath, pemText("PRIVATE KEY", key))
}

func pemText(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// replace gives a file another content in one step; only this user may read it.
func replace(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// strict is a peer that serves only who has the right certificate and token.
func strict(t *testing.T, f *fleet, ca tls.Certificate, token string) *httptest.Server {
	roots := x509.NewCertPool()
	roots.AddCert(ca.Leaf)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		f.source.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t, &ca)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// Certificate, key and token of a peer are replaced under a running daemon, which goes
// on with the new ones; bad ones in between are told once, and no secret ever is.
func TestPeerKeysAreReplacedUnderTheBinary(t *testing.T) {
	f := newFleet(t, 50, 300)
	ca, stranger := certificate(t, nil), certificate(t, nil)
	server := strict(t, f, ca, "hush-new")
	replace(t, f.path("ca"), pemText("CERTIFICATE", ca.Certificate[0]))
	putKeys(t, certificate(t, &stranger), f.path("crt"), f.path("key"))
	replace(t, f.path("token"), "hush-old\n")
	args := append(f.args[:len(f.args):len(f.args)], "--peer", server.URL+"/{shard}/{id}", "--peer-ca", f.path("ca"),
		"--peer-cert", f.path("crt"), "--peer-key", f.path("key"), "--peer-token-file", f.path("token"), "--log-level", "debug")
	p := start(t, args...)
	until(t, "the certificate is refused", func() bool {
		doc, ok := status(t, f.path("state"))
		return ok && len(doc.Peers) == 1 && strings.Contains(doc.Peers[0].LastError, "certificate")
	})
	const told = "key or token files of peers cannot be used"
	replace(t, f.path("key"), "no key\n")
	until(t, "a key that is none is told", func() bool { return strings.Contains(p.stderr.String(), told) })
	putKeys(t, certificate(t, &ca), f.path("crt"), f.path("key"))
	replace(t, f.path("token"), "hush-new\n")
	until(t, "all is recovered", func() bool {
		doc, ok := status(t, f.path("state"))
		return ok && doc.Phase == "complete"
	})
	f.sameStore()
	shown := must(t, "status", "--state-dir", f.path("state"), "-o", "json")
	p.kill()
	said := p.stderr.String()
	if n := strings.Count(said, told); n < 1 || n > 2 { // the key of another is a second text
		t.Errorf("told %d times: %s", n, said)
	}
	if !strings.Contains(said, "can be used again") {
		t.Error("it is not told that the files can be used again")
	}
	for _, secret := range []string{"hush", "PRIVATE", "no key"} {
		if strings.Contains(said+shown, secret) {
			t.Errorf("%q is told", secret)
		}
	}
}

func TestHostFiles(t *testing.T) {
	if _, err := parseHostFiles("peer-ca", []string{"/all", "./x=y"}); err == nil || !strings.Contains(err.Error(), "twice for all") {
		t.Errorf("two for all: %v", err)
	}
	h, err := parseHostFiles("peer-ca", []string{"/all=1", "a:8443=/port", "a=/host", "[::1]:90=/six", "b=c=d", "c:443=/std"})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"https://a:8443/{id}": "/port", "https://a/{id}": "/host", "http://[::1]:90/{id}": "/six", "http://b/{id}": "c=d",
		"https://c/{id}": "/std", "http://c/{id}": "/all=1", "http://other/{id}": "/all=1",
	} {
		template, err := peer.ParseTemplate(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, named := h.of(template); got != want || named == (want == "/all=1") {
			t.Errorf("%s: %s, named %t, want %s", text, got, named, want)
		}
	}
	for _, bad := range [][]string{{""}, {"a="}, {"a=/x", "a=/y"}} {
		if _, err := parseHostFiles("peer-ca", bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// Who gets the token: https peers and those on loopback, and whoever is named; never
// one that has user info.
func TestWhoGetsTheToken(t *testing.T) {
	path := t.TempDir() + "/token"
	replace(t, path, "hush\n")
	for _, tc := range []struct {
		peer, file string
		want       bool
	}{
		{"https://peer.example/{id}", path, true},
		{"http://127.0.0.1:1/{id}", path, true},
		{"http://[::1]:1/{id}", path, true},
		{"http://localhost/{id}", path, true},
		{"http://peer.example/{id}", path, false},
		{"http://10.0.0.7:8080/{id}", path, false},
		{"http://127.0.0.1.peer.example/{id}", path, false},
		{"http://peer.example/{id}", "peer.example=" + path, true},
		{"http://10.0.0.7:8080/{id}", "10.0.0.7:8080=" + path, true},
		{"https://node:pass@peer.example/{id}", path, false},
	} {
		o, err := newPeerOpener(&peerConfig{Peers: []string{tc.peer}, PeerTokens: []string{tc.file}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := o.open(tc.peer, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.config.Token != nil && p.config.Token() == "hush"; got != tc.want {
			t.Errorf("%s with %s: sent %t, want %t", tc.peer, tc.file, got, tc.want)
		}
	}
}

// What is wrong with peers' files is found before a run, or by one that does not start.
func TestPeerFilesAreChecked(t *testing.T) {
	f := newFleet(t, 5, 100)
	ca := certificate(t, nil)
	replace(t, f.path("ca"), pemText("CERTIFICATE", ca.Certificate[0]))
	putKeys(t, certificate(t, &ca), f.path("crt"), f.path("key"))
	putKeys(t, certificate(t, &ca), f.path("other.crt"), f.path("other.key"))
	old := certificate(t, &ca)
	old.Certificate[0] = expired(t, old, ca)
	putKeys(t, old, f.path("old.crt"), f.path("old.key"))
	for name, text := range map[string]string{"open.key": readText(t, f.path("key")), "open.token": "hush\n"} {
		writeFile(t, f.path(name), text)
		if err := os.Chmod(f.path(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	replace(t, f.path("bad.token"), "hush hush\n")
	const elsewhere = "https://127.0.0.1:1/{shard}/{id}"
	for _, tc := range []struct {
		name  string
		args  []string
		says  string
		stops bool // a run does not start
	}{
		{"another's key", []string{"--peer-cert", f.path("crt"), "--peer-key", f.path("other.key")}, "private key does not match", true},
		{"no key", []string{"--peer-cert", f.path("crt")}, "go together", true},
		{"no such authority", []string{"--peer-ca", f.path("none")}, "no such file", true},
		{"a bad token", []string{"--peer-token-file", f.path("bad.token")}, "bad token file", true},
		{"a host that no peer has", []string{"--peer-ca", "peer.example=" + f.path("ca")}, "no --peer has that host", true},
		{"an expired certificate", []string{"--peer-cert", f.path("old.crt"), "--peer-key", f.path("old.key")}, "expired on", false},
		{"a key for everybody", []string{"--peer-cert", f.path("crt"), "--peer-key", f.path("open.key")}, "may be read by everybody", false},
		{"a token for everybody", []string{"--peer-token-file", f.path("open.token")}, "may be read by everybody", false},
	} {
		args := append([]string{"check"}, f.args[1:]...)
		args = append(args, "--peer", elsewhere)
		stdout, _, code := invoke(t, append([]string{"config"}, append(args, tc.args...)...)...)
		if code != exitConfig || !strings.Contains(stdout, tc.says) || strings.Contains(stdout, "hush") {
			t.Errorf("check: %s: exit code %d: %s", tc.name, code, stdout)
		}
		if tc.stops {
			_, stderr, code := invoke(t, f.run(append(tc.args, "--peer", elsewhere, "--exit-when-complete")...)...)
			if code != exitConfig || !strings.Contains(stderr, tc.says) || strings.Contains(stderr, "hush") {
				t.Errorf("run: %s: exit code %d: %s", tc.name, code, stderr)
			}
		}
	}
	good := []string{"--peer", elsewhere, "--peer-ca", f.path("ca"), "--peer-cert", f.path("crt"), "--peer-key", f.path("key")}
	must(t, append(append([]string{"config", "check"}, f.args[1:]...), good...)...)
}

// expired makes a certificate of a key that ended an hour ago.
func expired(t *testing.T, own, signer tls.Certificate) []byte {
	t.Helper()
	late := *own.Leaf
	late.NotBefore, late.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, &late, signer.Leaf, own.Leaf.PublicKey, signer.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
