package keyfile_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery/keyfile"
)

// put replaces a file as publishers should.
func put(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

// selfSigned returns a certificate and its key, as PEM.
func selfSigned(t *testing.T, from, to time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}))
}

// A file that changes is read again, not more often than asked for; one that is no good
// leaves the last good value, which is told once, as is that it is over.
func TestKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "token")
		var told []string
		trouble := func(err error) {
			if err == nil {
				told = append(told, "over")
			} else {
				told = append(told, err.Error())
			}
		}
		files := keyfile.Files{Paths: []string{path}, Every: time.Second, Trouble: trouble}
		reads := 0
		read := func() (string, error) { reads++; return keyfile.Token(path) }
		if _, err := keyfile.Keep(files, read); !errors.Is(err, keyfile.ErrToken) || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("without a file: %v", err)
		}
		put(t, path, "first\n")
		kept, err := keyfile.Keep(files, read)
		if err != nil {
			t.Fatal(err)
		}
		reads = 0
		wants := func(what, want string) {
			t.Helper()
			if got := kept.Get(); got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		put(t, path, "second")
		wants("within the second", "first")
		time.Sleep(time.Second)
		wants("after it", "second")
		time.Sleep(time.Second)
		wants("unchanged", "second")
		if reads != 1 {
			t.Errorf("read %d times for one change", reads)
		}
		put(t, path, "not a token")
		for range 3 {
			time.Sleep(time.Second)
			wants("with a bad one", "second")
		}
		os.Remove(path)
		time.Sleep(time.Second)
		wants("without one", "second")
		put(t, path, "third")
		time.Sleep(time.Second)
		wants("mended", "third")
		if len(told) != 3 || told[2] != "over" || strings.Contains(strings.Join(told, ""), "not a token") {
			t.Errorf("told %q", told)
		}
	})
}

func TestTokenFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	for _, bad := range []string{"", "\n", "hush hush", "hush\nhush", "hush\r\nX-Injected: 1", "h\x00", "hüsh", strings.Repeat("h", 5000)} {
		put(t, path, bad)
		if _, err := keyfile.Token(path); !errors.Is(err, keyfile.ErrToken) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	for text, want := range map[string]string{"hush": "hush", "hush\n": "hush", "a.b-c_d~+/=\r\n": "a.b-c_d~+/="} {
		put(t, path, text)
		if got, err := keyfile.Token(path); err != nil || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if _, err := keyfile.Token(filepath.Dir(path)); !errors.Is(err, keyfile.ErrToken) {
		t.Errorf("a directory: %v", err)
	}
}

func TestClientFiles(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		put(t, path, text)
		return path
	}
	cert, key := selfSigned(t, now.Add(-time.Hour), now.Add(time.Hour))
	otherCert, otherKey := selfSigned(t, now.Add(-2*time.Hour), now.Add(-time.Hour))
	good := keyfile.ClientFiles{CA: file("ca", cert), Cert: file("cert", cert), Key: file("key", key)}
	old := keyfile.ClientFiles{Cert: file("old", otherCert), Key: file("old.key", otherKey)}
	open := file("open.key", key)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		files  keyfile.ClientFiles
		at     time.Time
		usable bool
		want   string // in what Check says; empty: nothing
	}{
		{"good", good, now, true, ""},
		{"none", keyfile.ClientFiles{}, now, true, ""},
		{"an authority alone", keyfile.ClientFiles{CA: good.CA}, now, true, ""},
		{"expired", old, now, true, "expired on"},
		{"not valid yet", keyfile.ClientFiles{Cert: good.Cert, Key: good.Key}, now.Add(-2 * time.Hour), true, "not valid before"},
		{"an expired authority", keyfile.ClientFiles{CA: old.Cert}, now, true, "expired on"},
		{"one authority of two has expired", keyfile.ClientFiles{CA: file("both", cert+otherCert)}, now, true, ""},
		{"a key for everybody", keyfile.ClientFiles{Cert: good.Cert, Key: open}, now, true, "may be read by everybody"},
		{"a key of another", keyfile.ClientFiles{Cert: good.Cert, Key: old.Key}, now, false, "private key does not match"},
		{"no key", keyfile.ClientFiles{Cert: good.Cert}, now, false, "go together"},
		{"a key alone", keyfile.ClientFiles{Key: good.Key}, now, false, "go together"},
		{"no such file", keyfile.ClientFiles{CA: filepath.Join(dir, "none")}, now, false, "no such file"},
		{"an authority without one", keyfile.ClientFiles{CA: good.Key}, now, false, "no certificate in it"},
	} {
		config, err := tc.files.Read()
		if (err == nil) != tc.usable {
			t.Errorf("%s: read: %v", tc.name, err)
		}
		if err == nil && config.MinVersion < 0x0303 {
			t.Errorf("%s: takes TLS %#x", tc.name, config.MinVersion)
		}
		err = tc.files.Check(tc.at)
		if (err == nil) != (tc.want == "") || err != nil && (!strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "PRIVATE")) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
	if d := cmp.Diff([]string{good.CA, good.Cert, good.Key}, good.Paths()); d != "" {
		t.Error(d)
	}
}
