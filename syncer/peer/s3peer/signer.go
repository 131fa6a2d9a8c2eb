package s3peer

import (
	"context"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/peer"
)

// noBody is the SHA-256 of nothing, which is what a GET carries.
const noBody = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// Signer signs the requests to one bucket. Its methods may be called from many
// goroutines.
type Signer struct {
	region string
	purse  *purse // nil: requests are not signed
}

// NewSigner returns a signer. Nothing is read and nobody asked before the first
// request. trouble, if not nil, is told why credentials that have changed cannot be
// used, once for each text, and nil when that is over; from any goroutine.
func NewSigner(l Location, trouble func(error)) *Signer {
	s := &Signer{region: l.region}
	if l.keys != keysNone {
		s.purse = newPurse(l.keys, l.profile, trouble)
	}
	return s
}

// Check reports whether there are credentials now. It may ask for those of a role.
func (s *Signer) Check(ctx context.Context) error {
	if s.purse == nil {
		return nil
	}
	_, err := s.purse.get(ctx)
	return err
}

// Files lists the files that credentials are read from.
func (s *Signer) Files() []string {
	if s.purse == nil {
		return nil
	}
	return s.purse.paths
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
