package keyfile

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// The most that is read of a file, in bytes.
const (
	maxPEM   = 1 << 20
	maxToken = 4 << 10
)

// ErrToken reports a file without a usable token.
var ErrToken = errors.New("keyfile: bad token file")

// read returns all of a regular file of at most limit bytes.
func read(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path) // opening a pipe would wait for its other end
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return text, nil
}

// Pair reads a certificate with its chain, and its key, both PEM.
func Pair(cert, key string) (tls.Certificate, error) {
	var text [2][]byte
	for i, path := range []string{cert, key} {
		var err error
		if text[i], err = read(path, maxPEM); err != nil {
			return tls.Certificate{}, fmt.Errorf("read a TLS file: %w", err)
		}
	}
	pair, err := tls.X509KeyPair(text[0], text[1])
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate %s with key %s: %w", cert, key, err)
	}
	return pair, nil
}

// Pool reads the certificates of authorities, PEM, at least one.
func Pool(path string) (*x509.CertPool, error) {
	text, err := read(path, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("read a TLS file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: there is no certificate in it", path)
	}
	return pool, nil
}

// Token reads the one line of a token file. Errors wrap ErrToken.
func Token(path string) (string, error) {
	text, err := read(path, maxToken)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrToken, err)
	}
	token := strings.TrimRight(string(text), "\r\n")
	unfit := func(r rune) bool { return r <= ' ' || r > '~' }
	if token == "" || strings.ContainsFunc(token, unfit) {
		return "", fmt.Errorf("%w: want one line of 1 to %d printable characters in %s", ErrToken, maxToken, path)
	}
	return token, nil
}
