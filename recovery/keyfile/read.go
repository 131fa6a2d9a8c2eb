package keyfile

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/recoverd/recoverd/recovery/regular"
)

// The most that is read of a file, in bytes.
const (
	maxPEM   = 1 << 20
	maxToken = 4 << 10
)

// ErrToken reports a file without a usable token.
var ErrToken = errors.New("keyfile: bad token file")

// Pair reads a certificate with its chain, and its key, both PEM.
func Pair(cert, key string) (tls.Certificate, error) {
	var text [2][]byte
	for i, path := range []string{cert, key} {
		var err error
		if text[i], err = regular.Read(path, maxPEM); err != nil {
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
	text, err := regular.Read(path, maxPEM)
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
	text, err := regular.Read(path, maxToken)
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
