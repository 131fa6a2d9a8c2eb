package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/httppeer"
)

// peerPatience is how long a peer may take to answer a doctor.
const peerPatience = 10 * time.Second

// plainClient asks as peers are asked: no redirects, no proxy, nothing inflated.
func plainClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableCompression: true, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// peers asks each one for the same blob.
func (d *doctor) peers(ctx context.Context) {
	blob, shard, err := d.knownBlob(ctx)
	if err != nil {
		d.add("peers", verdictWarn, "not asked: "+err.Error(), "")
		return
	}
	piece := syncer.Piece{Blob: blob, Shard: shard}
	for _, text := range d.cfg.Peers {
		template, err := peer.ParseTemplate(text)
		if err != nil {
			continue // it is among the problems already
		}
		d.peer(ctx, template, piece)
	}
}

func (d *doctor) peer(ctx context.Context, template peer.Template, piece syncer.Piece) {
	ctx, cancel := context.WithTimeout(ctx, peerPatience)
	defer cancel()
	began := time.Now()
	err := fetchOne(ctx, template, piece)
	took := time.Since(began).Round(time.Millisecond)
	name := template.Name()
	switch {
	case errors.Is(err, errOtherBytes):
		d.add("peer", verdictFail, fmt.Sprintf("%s: %v", name, err), "it lies or serves something else: take it off the list, and tell its operator")
	case err != nil:
		d.add("peer", verdictFail, fmt.Sprintf("%s: blob %v: %v", name, piece.Blob.ID, err), "is it up, is the template right, and should it have this blob?")
	default:
		d.ok("peer", "%s sent blob %v, %s, in %v", name, piece.Blob.ID, size(piece.Blob.Size), took)
		d.clock(ctx, template, piece)
	}
}

var errOtherBytes = errors.New("other bytes than the catalog promises")

// fetchOne fetches a blob and hashes it.
func fetchOne(ctx context.Context, template peer.Template, piece syncer.Piece) (err error) {
	p, err := httppeer.New(template, httppeer.Config{Concurrency: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	body, err := p.Get(ctx, piece, peer.Resume{})
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // only read
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(body, piece.Blob.Size+1))
	if err != nil {
		return err
	}
	if n != piece.Blob.Size || [32]byte(h.Sum(nil)) != piece.Blob.Digest {
		return fmt.Errorf("%w (%d bytes of %d)", errOtherBytes, n, piece.Blob.Size)
	}
	return nil
}

// maxSkew is how far two clocks may be apart before it is worth a word.
const maxSkew = 30 * time.Second

// clock compares this machine's clock with what a peer says the time is. Nothing here
// depends on it but what people read.
func (d *doctor) clock(ctx context.Context, template peer.Template, piece syncer.Piece) {
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, template.Expand(piece).String(), nil)
	if err != nil {
		return
	}
	if auth := template.Authorization(); auth != "" {
		request.Header.Set("Authorization", auth)
	}
	response, err := plainClient().Do(request)
	if err != nil {
		return // it answered a moment ago, and need not know HEAD
	}
	defer response.Body.Close()
	theirs, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return
	}
	if skew := time.Since(theirs).Round(time.Second); skew.Abs() > maxSkew {
		d.add("clock", verdictWarn, fmt.Sprintf("%v apart from that of %s", skew.Abs(), template.Name()), "look at the time service of both: times in status and alerts depend on it")
	}
}
