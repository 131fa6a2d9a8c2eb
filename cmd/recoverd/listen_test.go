package main

import (
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
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery/statusapi"
)

// served starts a daemon that also listens on a free address of loopback, and
// returns it and its URL.
func (f *fleet) served(more ...string) (p *process, address string) {
	f.t.Helper()
	p = start(f.t, f.run(append([]string{"--listen", "127.0.0.1:0"}, more...)...)...)
	said := regexp.MustCompile(`"address":"(https?://[^"]+)"`)
	until(f.t, "it says where it serves", func() bool {
		if m := said.FindStringSubmatch(p.stderr.String()); m != nil {
			address = m[1]
		}
		return address != "" || p.hasEnded()
	})
	if address == "" {
		f.t.Fatalf("it ended with %d: %s", p.wait(), p.stderr.String())
	}
	until(f.t, "it answers", func() bool { _, ok := status(f.t, f.path("state")); return ok })
	return p, address
}

// talk sends a request, a POST with an empty object, and returns the code and the
// answer.
func talk(t testing.TB, client *http.Client, method, url, token string) (code int, answer string) {
	t.Helper()
	body := ""
	if method == http.MethodPost {
		body = "{}"
	}
	return say(t, client, method, url, token, body)
}

func say(t testing.TB, client *http.Client, method, url, token, body string) (code int, answer string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "text/html, application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func readToken(t testing.TB, stateDir string) string {
	t.Helper()
	text, err := os.ReadFile(statusapi.TokenPath(stateDir))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// The page is there to read, and its buttons work with the token, which a restart
// keeps.
func TestTokenThroughTheBinary(t *testing.T) {
	f := newFleet(t, 5, 100)
	p, address := f.served()
	token := readToken(t, f.path("state"))
	for _, tc := range []struct {
		method, path, token string
		code                int
		part                string
	}{
		{"GET", "/", "", 200, "<html"},
		{"GET", "/openapi.yaml", "", 200, "openapi: 3.1"},
		{"GET", "/api/v1/history", "", 200, "history"},
		{"POST", "/api/v1/pause", "", 401, "file token"},
		{"POST", "/api/v1/pause", token[1:], 403, "wrong"},
		{"POST", "/api/v1/pause", token, 200, "true"},
		{"GET", "/debug/pprof/heap", "", 404, "nothing"},
	} {
		if code, body := talk(t, http.DefaultClient, tc.method, address+tc.path, tc.token); code != tc.code || !strings.Contains(body, tc.part) {
			t.Errorf("%s %s: code %d, want %d with %q: %.300s", tc.method, tc.path, code, tc.code, tc.part, body)
		}
	}
	if info, err := os.Stat(statusapi.TokenPath(f.path("state"))); err != nil || info.Mode() != 0o600 {
		t.Errorf("the token's file is %v, %v", info, err)
	}
	p.kill()
	_, address = f.served("--pprof")
	if code, body := talk(t, http.DefaultClient, "POST", address+"/api/v1/resume", token); code != 200 {
		t.Errorf("the token after a restart: code %d: %s", code, body)
	}
	if code, _ := talk(t, http.DefaultClient, "GET", address+"/debug/pprof/heap", ""); code != 200 {
		t.Errorf("profiles that were asked for: code %d", code)
	}
}

// A token that others may know stops the start, and the message says what to do.
func TestTokenThatOthersMayKnow(t *testing.T) {
	f := newFleet(t, 5, 100)
	p, _ := f.served()
	p.kill()
	path := statusapi.TokenPath(f.path("state"))
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := invoke(t, f.run()...); code != exitConfig || !strings.Contains(stderr, path) || !strings.Contains(stderr, "remove it") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	f.served()
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the new file is %v, %v", info, err)
	}
}

// Neither the token nor the password of a peer is told anywhere: not in answers,
// not in the log at its most talkative.
func TestNothingSecretIsTold(t *testing.T) {
	const password = "hunter2-hunter2"
	f := newFleet(t, 5, 100)
	// The second peer asks for a password and is not there: its errors are told.
	f.args = append(f.args, "--peer", "http://operator:"+password+"@127.0.0.1:9/{id}?key="+password)
	id := f.someBlob(0)
	f.source.miss(id.String(), true)
	p, address := f.served("--log-level", "debug", "--park-after", "1", "--concurrency", "1")
	until(t, "a blob has failed", func() bool {
		doc, ok := status(t, f.path("state"))
		return ok && doc.Unsettled.Total == 1 && doc.Counters.Cancelled > 0
	})
	token := readToken(t, f.path("state"))
	told := map[string]string{}
	for _, path := range []string{"status", "unsettled", "shards", "history", "blobs/" + id.String()} {
		_, told[path] = talk(t, http.DefaultClient, "GET", address+"/api/v1/"+path, "")
	}
	_, told["metrics"] = talk(t, http.DefaultClient, "GET", address+"/metrics", "")
	_, told["a wrong token"] = talk(t, http.DefaultClient, "POST", address+"/api/v1/pause", token+"x")
	told["the terminal"] = must(t, "status", "--state-dir", f.path("state"))
	p.kill()
	told["the log"] = p.stderr.String()
	for what, text := range told {
		if text == "" {
			t.Errorf("%s tells nothing at all", what)
		}
		for _, secret := range []string{password, token, "b3BlcmF0b3I6"} { // the last is the user, as sent
			if strings.Contains(text, secret) {
				t.Errorf("%s tells %s: %s", what, secret, text)
			}
		}
	}
	if !strings.Contains(told["status"], "127.0.0.1:9") {
		t.Error("the status does not show the peer at all")
	}
}

// Whoever watches sees the work to its end, holds up no stop, and is told that the
// daemon has left (hazard 39).
func TestWatchOfADaemonThatStops(t *testing.T) {
	f := newFleet(t, 50, 100)
	p, _ := f.served()
	client, err := statusapi.Dial(t.Context(), f.path("state"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	phases := map[string]bool{}
	err = client.Watch(t.Context(), func(d statusapi.Document) error {
		phases[d.Phase] = true
		if d.Phase == "complete" {
			p.signal(syscall.SIGTERM)
		}
		return nil
	})
	if !errors.Is(err, statusapi.ErrNotRunning) || !phases["complete"] {
		t.Errorf("%v, after %v", err, phases)
	}
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// certificate makes a key and a certificate that signer signs, or itself.
func certificate(t testing.TB, signer *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "node"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: signer == nil, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if signer == nil {
		template.Subject.CommonName = "authority" // or others take what it signs for self-signed
	}
	parent, private := template, any(key)
	if signer != nil {
		parent, private = signer.Leaf, signer.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// With certificates the daemon answers those who have one, and nobody else.
func TestCertificatesThroughTheBinary(t *testing.T) {
	f := newFleet(t, 5, 100)
	ca := certificate(t, nil)
	server, client := certificate(t, &ca), certificate(t, &ca)
	key, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"tls.crt": {Type: "CERTIFICATE", Bytes: server.Certificate[0]}, "tls.key": {Type: "PRIVATE KEY", Bytes: key},
		"ca.crt": {Type: "CERTIFICATE", Bytes: ca.Certificate[0]},
	} {
		writeFile(t, f.path(name), string(pem.EncodeToMemory(block)))
	}
	files := []string{"--tls-cert", f.path("tls.crt"), "--tls-key", f.path("tls.key"), "--tls-client-ca", f.path("ca.crt")}
	p, address := f.served(files...)
	if !strings.HasPrefix(address, "https://") {
		t.Fatalf("it serves %s", address)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Leaf)
	with := func(own ...tls.Certificate) *http.Client {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: own}, DisableKeepAlives: true}
		return &http.Client{Transport: transport, Timeout: patience}
	}
	for name, tc := range map[string]struct {
		client *http.Client
		code   int
	}{"with a certificate": {with(client), 200}, "without": {with(), 0}, "with one of nobody": {with(certificate(t, nil)), 0}} {
		if code, body := talk(t, tc.client, "GET", address+"/api/v1/status", ""); code != tc.code {
			t.Errorf("%s: code %d, want %d: %.200s", name, code, tc.code, body)
		}
	}
	p.kill()
	if _, stderr, code := invoke(t, f.run(append(files, "--listen", "127.0.0.1:0", "--tls-key", f.path("ca.crt"))...)...); code != exitConfig || !strings.Contains(stderr, "ca.crt") {
		t.Errorf("a key that is none: exit code %d: %s", code, stderr)
	}
}
