package keyfile

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/recoverd/recoverd/recovery/regular"
)

// ClientFiles names the files, all PEM, of a side that connects. One that is empty is
// not used; Cert and Key go together.
type ClientFiles struct {
	CA   string // who signs the servers' certificates; empty: the system's authorities
	Cert string // this side's certificate, with its chain
	Key  string // its key
}

// Paths lists the files that are named.
func (f ClientFiles) Paths() (paths []string) {
	for _, path := range []string{f.CA, f.Cert, f.Key} {
		if path != "" {
			paths = append(paths, path)
		}
	}
	return paths
}

// Read makes the configuration of connections over TLS 1.2 or newer. That a
// certificate has expired is no error: the server judges it. Check tells.
func (f ClientFiles) Read() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		pool, err := Pool(f.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = pool
	}
	if (f.Cert == "") != (f.Key == "") {
		return nil, errors.New("a certificate and its key go together")
	}
	if f.Cert != "" {
		pair, err := Pair(f.Cert, f.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// Check reports everything that keeps the files from being of use at a time, joined:
// what Read reports, certificates out of their time, and a key that everybody may read.
func (f ClientFiles) Check(now time.Time) error {
	config, err := f.Read()
	if err != nil {
		return err
	}
	problems := []error{}
	if f.CA != "" {
		problems = append(problems, anyInTime(f.CA, now))
	}
	if f.Cert != "" {
		problems = append(problems, inTime(f.Cert, config.Certificates[0].Leaf, now), Exposed(f.Key))
	}
	return errors.Join(problems...)
}

func inTime(path string, cert *x509.Certificate, now time.Time) error {
	switch {
	case cert == nil:
		return nil
	case now.After(cert.NotAfter):
		return fmt.Errorf("%s expired on %s: renew it", path, cert.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(cert.NotBefore):
		return fmt.Errorf("%s is not valid before %s: is the clock right?", path, cert.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// anyInTime wants one authority of a file to be in its time, and else reports about the
// last one.
func anyInTime(path string, now time.Time) error {
	text, err := regular.Read(path, maxPEM)
	if err != nil {
		return err
	}
	var problem error
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			continue // Pool passes it over as well
		}
		if problem = inTime(path, cert, now); problem == nil {
			return nil
		}
	}
	return problem
}

// Exposed reports that everybody on this machine may read a file with a secret.
func Exposed(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o004 != 0 {
		return fmt.Errorf("%s may be read by everybody (mode %#o): chmod o-r it", path, info.Mode().Perm())
	}
	return nil
}
