package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// Result says what a fetch led to.
type Result struct {
	// Route is what the archive now has: a full snapshot, perhaps with an
	// incremental over it.
	Route archive.Route
	// Fetched are bytes that peers sent, Reused those that lay in drafts of an
	// earlier try.
	Fetched, Reused int64
	Peers           []PeerReport
}

// Fetch brings the snapshots that lead furthest into the archive. It asks all
// peers what they have, chooses, and brings what is missing piece by piece, from
// one peer after another where some fail, with what an earlier try left. What
// has arrived whole is proven and then published; where the peers have moved on
// meanwhile, it chooses again, with what is here by then.
//
// Errors are that of a bad Config, or a *FetchError. A fetch that failed or was
// killed goes on with the next call.
func Fetch(ctx context.Context, cfg Config) (Result, error) {
	if err := cfg.Validate(); err != nil {
		return Result{}, err
	}
	cfg = cfg.withDefaults()
	f := &fetch{cfg: cfg, unfit: map[Sum]misfit{}}
	transport := newTransport(cfg)
	defer transport.CloseIdleConnections()
	for _, text := range cfg.Peers {
		p, err := parsePeer(text)
		if err != nil {
			return Result{}, err
		}
		p.client, p.cfg = transport, cfg
		f.peers = append(f.peers, p)
	}
	route, err := f.run(ctx)
	if err != nil {
		return Result{}, &FetchError{Err: err, Peers: f.reports()}
	}
	return Result{Route: route, Fetched: f.fetched(), Reused: f.reused, Peers: f.reports()}, nil
}

// fetch is one call of Fetch. Its goroutine is the only one that uses it, but
// for the lists, which are asked for all at once.
type fetch struct {
	cfg     Config
	peers   []*peer
	network string         // the only one that is fetched from; empty: not known yet
	offers  []offered      // of this round
	unfit   map[Sum]misfit // offers that this machine has no room for
	chosen  archive.Route
	reused  int64
}

func (f *fetch) run(ctx context.Context) (archive.Route, error) {
	if err := f.settleNetwork(ctx); err != nil {
		return archive.Route{}, err
	}
	for round := range f.cfg.Rounds {
		if round > 0 {
			if err := pause(ctx, f.cfg.Pause); err != nil {
				return archive.Route{}, err
			}
		}
		if err := f.ask(ctx); err != nil {
			return archive.Route{}, err
		}
		local, err := f.choose(ctx)
		if err != nil {
			return archive.Route{}, err
		}
		// Only the drafts of what is chosen now are kept: whatever peers offer, no more
		// than that lies here.
		if err := f.cfg.Archive.DropParts(ctx, f.names()...); err != nil {
			return archive.Route{}, err
		}
		switch err := f.bring(ctx, local); {
		case errors.Is(err, errNoSource):
		case err != nil:
			return archive.Route{}, err
		case f.want().leadsOn(f.chosen.Position()):
			return f.chosen, nil
		}
	}
	return archive.Route{}, fmt.Errorf("%w after asking %d times", ErrGaveUp, f.cfg.Rounds)
}

// settleNetwork takes the archive's network for the one to fetch from, unless
// one was named.
func (f *fetch) settleNetwork(ctx context.Context) error {
	l, err := f.cfg.Archive.List(ctx)
	if err != nil {
		return err
	}
	f.network = f.cfg.Network
	for _, e := range l.Entries {
		if e.Status == archive.Complete {
			f.network = cmp.Or(f.network, e.Bound.Network)
		}
	}
	return nil
}

// listsAtOnce bounds the lists in memory: what a peer sends may be all lies, and
// as long as a list may be.
const listsAtOnce = 8

// ask gets the lists of all peers that can be asked.
func (f *fetch) ask(ctx context.Context) error {
	lists := make([][]offer, len(f.peers))
	networks := make([]string, len(f.peers))
	var wg errgroup.Group
	wg.SetLimit(listsAtOnce)
	for i, p := range f.peers {
		if !p.banned {
			wg.Go(func() error {
				networks[i], lists[i], p.err = p.list(ctx)
				return nil
			})
		}
	}
	_ = wg.Wait() // each peer has its own error
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	f.offers = nil
	answered := false
	for i, p := range f.peers {
		p.offers = nil
		switch {
		case p.banned:
			continue
		case errors.Is(p.err, ErrLied):
			p.banned = true
		case p.err == nil && networks[i] != "" && f.network != "" && networks[i] != f.network:
			p.err = fmt.Errorf("it is of network %q, not %q", networks[i], f.network)
			p.banned = true
		}
		if p.err != nil {
			continue
		}
		answered = true
		p.strikes = 0
		p.offers = []archive.Name{}
		for _, o := range lists[i] {
			p.offers = append(p.offers, o.Name)
			f.offers = append(f.offers, offered{o, i})
		}
	}
	if !answered {
		return ErrNoAnswer
	}
	return nil
}

func (f *fetch) want() want {
	return want{target: f.cfg.Target, digest: f.cfg.Digest, agree: f.cfg.Agree, covers: f.cfg.Covers, chosen: f.chosen}
}

// choose sets f.chosen, and returns what lies here.
func (f *fetch) choose(ctx context.Context) ([]archive.Entry, error) {
	l, err := f.cfg.Archive.List(ctx)
	if err != nil {
		return nil, err
	}
	f.offers = slices.DeleteFunc(f.offers, func(o offered) bool { return f.unfit[o.sum()].err != nil })
	f.chosen, err = choose(l.Entries, f.offers, f.want())
	for _, m := range f.unfit { // one is enough to be told
		if err != nil || m.position > f.chosen.Position() && f.cfg.Covers == nil {
			return nil, m.err
		}
	}
	return l.Entries, err
}

// misfit is an offer that this machine has no room for. It is in nobody's way
// where events lead as far from another one.
type misfit struct {
	position uint64
	err      error
}

// names are those of the chosen snapshots.
func (f *fetch) names() (all []archive.Name) {
	for _, e := range f.chosen.Entries() {
		all = append(all, e.Name)
	}
	return all
}

// bring gets what is missing of the chosen route, the full snapshot first.
func (f *fetch) bring(ctx context.Context, local []archive.Entry) error {
	entries := f.chosen.Entries()
	for i, e := range entries {
		here := slices.ContainsFunc(local, func(o archive.Entry) bool {
			return o.Status == archive.Complete && o.Name == e.Name && o.Bound == e.Bound
		})
		if here {
			continue
		}
		var base *archive.Entry
		if i > 0 {
			base = &entries[0]
		}
		if err := f.get(ctx, e, base); err != nil {
			return err
		}
	}
	return nil
}

// get brings one snapshot. The peers that say the same of it are used together,
// and those that say otherwise, one group after the other: of them one at most
// tells the truth.
func (f *fetch) get(ctx context.Context, e archive.Entry, base *archive.Entry) error {
	var same []offered
	for _, o := range f.offers {
		if o.Name == e.Name && o.Chunks == e.Chunks {
			same = append(same, o)
		}
	}
	type version struct {
		claim
		bytes Sum
	}
	for _, group := range groups(same, func(o offered) version { return version{claimOf(o), o.sum()} }) {
		err := f.getFrom(ctx, group, base)
		if !errors.Is(err, errNoSource) {
			return err
		}
	}
	return errNoSource
}

// getFrom brings a snapshot from peers that offer the same bytes.
func (f *fetch) getFrom(ctx context.Context, group []offered, base *archive.Entry) error {
	o := group[0]
	part, err := f.cfg.Archive.TakePart(o.Name, o.Chunks)
	if err != nil {
		return err
	}
	d := newDownload(f, part, group)
	err = d.run(ctx)
	f.reused += d.reused
	var space *archive.SpaceError
	if errors.As(err, &space) {
		f.unfit[o.sum()] = misfit{o.Position, fmt.Errorf("%v, as %s offers it: %w", o.Name, d.peers[0].name, err)}
		err = errNoSource
	}
	if err != nil {
		return errors.Join(err, part.Keep())
	}
	switch err := f.prove(ctx, part, o, base); {
	case errors.Is(err, archive.ErrGone): // the base was pruned
		return errors.Join(errNoSource, part.Keep())
	case errors.Is(err, ErrLied):
		for _, p := range d.peers {
			p.banned, p.err = true, err
		}
		if errors.Is(err, errOther) {
			return errors.Join(errNoSource, part.Keep())
		}
		return errors.Join(errNoSource, part.Drop())
	case err != nil:
		return errors.Join(err, part.Keep())
	}
	if _, err := part.Publish(ctx); err != nil {
		return errors.Join(err, part.Keep())
	}
	return nil
}

// errOther: what has arrived is sound and of the right name, but not as it was
// described. Another peer may have told the truth about it.
var errOther = errors.New("not what it described")

// prove is the last word on what has arrived. Its error wraps ErrLied where the
// bytes, each as promised, are not the snapshot that was promised.
func (f *fetch) prove(ctx context.Context, part *archive.Part, o offered, base *archive.Entry) error {
	e, err := part.Prove(ctx, base)
	var unbased *snapshot.BaseError
	switch {
	case err == nil && (e.Bound != o.Bound || e.BaseDigest != o.BaseDigest):
		return fmt.Errorf("%w: %w: it offered %v and sent %v", ErrLied, errOther, o.Bound, e.Bound)
	case archive.IsDamage(err), errors.As(err, &unbased), errors.Is(err, snapshot.ErrUnsupported),
		errors.Is(err, snapshot.ErrRow), errors.Is(err, snapshot.ErrKind), errors.Is(err, snapshot.ErrOrphan):
		return fmt.Errorf("%w: what it sent as %v is not that: %w", ErrLied, o.Name, err)
	}
	return err
}

func (f *fetch) progress(p Progress) {
	if f.cfg.Progress != nil {
		f.cfg.Progress(p)
	}
}

func (f *fetch) fetched() (n int64) {
	for _, p := range f.peers {
		n += p.bytes
	}
	return n
}

func (f *fetch) reports() []PeerReport {
	all := make([]PeerReport, len(f.peers))
	for i, p := range f.peers {
		all[i] = PeerReport{Peer: p.name, Offers: p.offers, Bytes: p.bytes, Err: p.err, Lied: errors.Is(p.err, ErrLied)}
	}
	return all
}
