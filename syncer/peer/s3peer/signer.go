package s3peer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/keyfile"
	"github.com/recoverd/recoverd/syncer/peer"
)

// noBody is the SHA-256 of nothing, which is what a GET carries.
const noBody = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// Signer signs the requests to one bucket. Its methods may be called from many
// goroutines.
type Signer struct {
	region string
	purse  *purse                                           // nil: requests are not signed
	check  func(context.Context) (credentials.Value, error) // reads the file that was named; or nil
}

// NewSigner returns a signer. A file that the location names must be there; nothing else
// is read, and nobody asked, before the first request. trouble, if not nil, is told why
// credentials cannot be had, once for each text, and nil when that is over; from any
// goroutine.
func NewSigner(l Location, trouble func(error)) (*Signer, error) {
	s := &Signer{region: l.region}
	if l.keys == keysNone {
		return s, nil
	}
	if l.keys != keysChain {
		if _, err := os.Stat(l.keys); err != nil {
			return nil, fmt.Errorf("keys: %w", err)
		}
		s.check = fromFile(l.keys, l.profile)
	}
	s.purse = newPurse(l.keys, l.profile, trouble)
	return s, nil
}

// Check reports what is wrong with the files that credentials are read from: one that
// the location names and that holds none, and those that everybody may read.
func (s *Signer) Check(ctx context.Context) error {
	var problems []error
	if s.check != nil {
		if _, err := s.check(ctx); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", s.purse.paths[0], err))
		}
	}
	if s.purse != nil {
		for _, path := range s.purse.paths {
			if err := keyfile.Exposed(path); !errors.Is(err, fs.ErrNotExist) {
				problems = append(problems, err)
			}
		}
	}
	return errors.Join(problems...)
}

// Wrap returns what signs requests and sends them with inner.
func (s *Signer) Wrap(inner http.RoundTripper) http.RoundTripper { return &sender{s, inner} }

type sender struct {
	*Signer
	inner http.RoundTripper
}

// RoundTrip implements http.RoundTripper. Where the object is not the one that a
// resumed request goes on with, it is asked for whole.
func (s *sender) RoundTrip(req *http.Request) (*http.Response, error) {
	resumes := req.Header.Get("If-Range")
	resp, err := s.send(req, func(h http.Header) {
		if resumes != "" {
			h.Del("If-Range")
			h.Set("If-Match", resumes)
		}
	})
	if err == nil && resumes != "" && resp.StatusCode == http.StatusPreconditionFailed {
		finish(resp)
		resp, err = s.send(req, func(h http.Header) {
			h.Del("If-Range")
			h.Del("Range")
		})
	}
	if err != nil {
		return nil, err
	}
	return explain(resp)
}

func (s *sender) send(req *http.Request, change func(http.Header)) (*http.Response, error) {
	ctx := req.Context()
	req = req.Clone(ctx)
	change(req.Header)
	if s.purse == nil {
		return s.inner.RoundTrip(req)
	}
	value, err := s.purse.get(ctx)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, &peer.Error{Reason: recovery.PeerFailed, Err: fmt.Errorf("nothing to sign with: %w", err)}
	}
	req.Header.Set("X-Amz-Content-Sha256", noBody)
	req = signer.SignV4(*req, value.AccessKeyID, value.SecretAccessKey, value.SessionToken, s.region)
	return s.inner.RoundTrip(req)
}
