package transfer

import (
	"context"
	"errors"
	"time"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// errNoSource: none of the peers that offer these bytes can be asked any more in
// this round.
var errNoSource = errors.New("transfer: no peer is left to fetch it from")

// download brings the files of one snapshot, as some peers offer it in the very
// same bytes, into a draft.
type download struct {
	f     *fetch
	part  *archive.Part
	offer offer
	peers []*peer
	gone  map[*peer]bool // these no longer have it
	buf   []byte         // one piece

	files        []*pieces
	done, reused int64
}

func newDownload(f *fetch, part *archive.Part, group []offered) *download {
	d := &download{f: f, part: part, offer: group[0].offer, gone: map[*peer]bool{}}
	d.buf = make([]byte, min(d.offer.piece, d.offer.Size))
	for _, o := range group {
		d.peers = append(d.peers, f.peers[o.peer])
	}
	return d
}

// run returns nil when every piece is there, errNoSource where the peers cannot
// bring it, or what went wrong here. What has arrived stays in the draft.
func (d *download) run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.open(ctx); err != nil {
		return err
	}
	if err := d.f.cfg.Archive.Room(d.offer.Size - d.done); err != nil {
		return err
	}
	for at := 0; ; {
		file := d.next()
		if file == nil {
			return nil
		}
		var p *peer
		if at, p = d.source(at); p == nil {
			return errNoSource
		}
		if p.strikes > 0 {
			if err := pause(ctx, d.f.cfg.Pause); err != nil {
				return err
			}
		}
		if err := d.transfer(ctx, p, file); err != nil {
			if err := d.blame(ctx, p, err); err != nil {
				return err
			}
			at++
		}
	}
}

// open looks at what is there.
func (d *download) open(ctx context.Context) error {
	for i, f := range d.offer.Files() {
		p, err := openPieces(ctx, d.part.Path(f), f, d.offer.files[i], d.offer.piece, d.buf)
		if err != nil {
			return err
		}
		d.files = append(d.files, p)
		d.reused += p.done()
	}
	d.done = d.reused
	return nil
}

func (d *download) close() (err error) {
	for _, p := range d.files {
		err = errors.Join(err, p.f.Close()) // hazard 47
	}
	return err
}

// next is the first file that is not whole.
func (d *download) next() *pieces {
	for _, p := range d.files {
		if _, _, any := p.missing(); any {
			return p
		}
	}
	return nil
}

// source is the first peer from a place on that can be asked, or nil.
func (d *download) source(from int) (at int, p *peer) {
	for at := from; at < from+len(d.peers); at++ {
		p := d.peers[at%len(d.peers)]
		if !p.banned && !d.gone[p] && p.strikes < d.f.cfg.Strikes {
			return at, p
		}
	}
	return from, nil
}

// transfer asks a peer for the first run of missing pieces, and keeps those that
// are right.
func (d *download) transfer(ctx context.Context, p *peer, file *pieces) error {
	first, end, _ := file.missing()
	from, _ := file.span(first)
	_, to := file.span(end - 1)
	body, err := p.open(ctx, stretch{file: file.file, from: from, to: to, size: file.size})
	if err != nil {
		return err
	}
	defer body.Close()
	for i := first; i < end; i++ {
		n, err := file.take(body, i, d.buf)
		if err != nil {
			return err
		}
		p.bytes += n
		p.strikes = 0
		d.done += n
		d.f.progress(Progress{Name: d.offer.Name, Peer: p.name, Done: d.done, Reused: d.reused, Total: d.offer.Size})
	}
	return nil
}

// blame remembers what went wrong with a peer; what was not the peer's doing it
// returns.
func (d *download) blame(ctx context.Context, p *peer, err error) error {
	var local *localError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &local):
		return err
	case errors.Is(err, ErrLied):
		p.banned = true
	case errors.Is(err, ErrGone):
		d.gone[p] = true
	default:
		p.strikes++
	}
	p.err = err
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
