package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/erasure"
	"github.com/recoverd/recoverd/syncer/peer"
)

// peerPatience is how long a peer may take to answer a doctor.
const peerPatience = 10 * time.Second

// plainClient asks as peers are asked: no redirects, no proxy, nothing inflated.
func plainClient(keys *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: keys, DisableCompression: true, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// peers asks each one for the same blob.
func (d *doctor) peers(ctx context.Context) {
	if d.cfg.Ownership == "" || len(d.cfg.Peers) == 0 {
		return // that they are not given is among the problems already
	}
	piece, err := d.knownPiece(ctx)
	if err != nil {
		d.add("peers", verdictWarn, "not asked: "+err.Error(), "")
		return
	}
	opener, err := newPeerOpener(&d.cfg.peerConfig, nil)
	if err != nil {
		return // it is among the problems already
	}
	for _, text := range d.cfg.Peers {
		p, err := opener.open(text, 1)
		if err != nil {
			continue // this too
		}
		d.peer(ctx, p, piece)
		_ = p.Close() // only asked
	}
}

func (d *doctor) peer(ctx context.Context, p *openedPeer, piece syncer.Piece) {
	ctx, cancel := context.WithTimeout(ctx, peerPatience)
	defer cancel()
	began := time.Now()
	n, err := fetchOne(ctx, p, piece)
	took := time.Since(began).Round(time.Millisecond)
	name, what, bytes := p.Name(), "blob", piece.Blob.Size
	if piece.Manifest {
		what, bytes = "the manifest of blob", n
	}
	switch {
	case errors.Is(err, errOtherBytes):
		d.add("peer", verdictFail, fmt.Sprintf("%s: %v", name, err), "it lies or serves something else: take it off the list, and tell its operator")
	case err != nil:
		d.add("peer", verdictFail, fmt.Sprintf("%s: %s %v: %v", name, what, piece.Blob.ID, err), "is it up, is the template right, and should it have this blob?")
	default:
		d.ok("peer", "%s sent %s %v, %s, in %v", name, what, piece.Blob.ID, size(bytes), took)
		d.clock(ctx, p, piece)
	}
}

var errOtherBytes = errors.New("other bytes than the catalog promises")

// fetchOne fetches a blob, or a manifest, and hashes it.
func fetchOne(ctx context.Context, p peer.Peer, piece syncer.Piece) (n int64, err error) {
	body, err := p.Get(ctx, piece, peer.Resume{})
	if err != nil {
		return 0, err
	}
	defer func() { _ = body.Close() }() // only read
	limit, right := piece.Blob.Size, func(n int64) bool { return n == piece.Blob.Size }
	if piece.Manifest { // whose digest is the id; the size that is known is the blob's
		limit, right = erasure.MaxManifest, func(n int64) bool { return n <= erasure.MaxManifest }
	}
	h := sha256.New()
	if n, err = io.Copy(h, io.LimitReader(body, limit+1)); err != nil {
		return n, err
	}
	if !right(n) || [32]byte(h.Sum(nil)) != piece.Blob.Digest {
		return n, fmt.Errorf("%w (%d bytes)", errOtherBytes, n)
	}
	return n, nil
}

// maxSkew is how far two clocks may be apart before it is worth a word.
const maxSkew = 30 * time.Second

// clock compares this machine's clock with what a peer says the time is. Nothing here
// depends on it but what people read.
func (d *doctor) clock(ctx context.Context, p *openedPeer, piece syncer.Piece) {
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, p.template.Expand(piece).String(), nil)
	if err != nil {
		return
	}
	if auth := p.template.Authorization(); auth != "" {
		request.Header.Set("Authorization", auth)
	} else if p.config.Token != nil {
		request.Header.Set("Authorization", "Bearer "+p.config.Token())
	}
	var keys *tls.Config
	if p.config.Keys != nil {
		keys = p.config.Keys()
	}
	response, err := plainClient(keys).Do(request)
	if err != nil {
		return // it answered a moment ago, and need not know HEAD
	}
	defer response.Body.Close()
	theirs, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return
	}
	if skew := time.Since(theirs).Round(time.Second); skew.Abs() > maxSkew {
		d.add("clock", verdictWarn, fmt.Sprintf("%v apart from that of %s", skew.Abs(), p.Name()), "look at the time service of both: times in status and alerts depend on it")
	}
}
