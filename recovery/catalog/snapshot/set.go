package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/recoverd/recoverd/recovery"
)

// OpenSet opens the chunks of one snapshot, given in their order, or a single
// file. Errors are those of Open, or wrap ErrChunk where the files do not make up
// a whole snapshot in that order.
func OpenSet(paths ...string) (*Reader, error) {
	var sources []*source
	for _, path := range paths {
		s, err := openSource(path)
		if err != nil {
			return nil, errors.Join(err, closeSources(sources))
		}
		sources = append(sources, s)
	}
	r, err := newReader(sources)
	if err != nil {
		return nil, errors.Join(err, closeSources(sources))
	}
	return r, nil
}

func closeSources(sources []*source) error {
	var errs []error
	for _, s := range sources {
		if s.file != nil {
			errs = append(errs, s.file.Close())
		}
	}
	return errors.Join(errs...)
}

// newReader joins the files of a snapshot.
func newReader(sources []*source) (*Reader, error) {
	if len(sources) == 0 {
		return nil, fmt.Errorf("%w: no file is named", ErrChunk)
	}
	first := sources[0]
	r := &Reader{d: first.d, head: first.head, end: first.end}
	r.end.totals.Rows = Counts{}
	for i, s := range sources {
		if err := belongs(sources[:i], s); err != nil {
			return nil, err
		}
		if err := r.join(s); err != nil {
			return nil, err
		}
	}
	if missing := first.chunk.Count - uint32(len(sources)); missing != 0 {
		return nil, fmt.Errorf("%w: %s is %v, and %d after %s are missing",
			ErrChunk, first.d.path, first.chunk, missing, sources[len(sources)-1].d.path)
	}
	if t := r.end.totals; t.Certified > t.Rows.Blobs {
		return nil, r.d.at(r.Size(), "more blobs are certified than there are")
	} else if t.Rows.Pools > MaxPools {
		return nil, r.d.at(r.Size(), "%d pools, at most %d are read", t.Rows.Pools, MaxPools)
	}
	if r.head.Base != nil {
		return r, nil
	}
	return r, r.loadPools()
}

// belongs reports how a file is not the next chunk after those before it.
func belongs(before []*source, s *source) error {
	if len(before) == 0 {
		if s.chunk.Number == 0 {
			return nil
		}
		return fmt.Errorf("%w: %s is %v, and comes first", ErrChunk, s.d.path, s.chunk)
	}
	first := before[0]
	switch {
	case s.head.Network != first.head.Network || s.head.Stamp != first.head.Stamp || s.end.digest != first.end.digest:
		return fmt.Errorf("%w: %s is of %v, %s of %v", ErrChunk, s.d.path, s.bound(), first.d.path, first.bound())
	case s.head.Kind() != first.head.Kind(), s.head.Base != nil && *s.head.Base != *first.head.Base,
		!slices.Equal(s.head.Ancestors, first.head.Ancestors), s.end.sums() != first.end.sums():
		return fmt.Errorf("%w: %s and %s name one state, but not the same base, ancestors or totals", ErrChunk, s.d.path, first.d.path)
	case s.chunk.Count != first.chunk.Count:
		return fmt.Errorf("%w: %s is %v, %s is %v", ErrChunk, s.d.path, s.chunk, first.d.path, first.chunk)
	case int(s.chunk.Number) < len(before):
		return fmt.Errorf("%w: %s and %s are both %v", ErrChunk, before[s.chunk.Number].d.path, s.d.path, s.chunk)
	case int(s.chunk.Number) > len(before):
		return fmt.Errorf("%w: %s is %v, and follows %s, %v", ErrChunk,
			s.d.path, s.chunk, before[len(before)-1].d.path, before[len(before)-1].chunk)
	}
	return nil
}

func (s *source) bound() recovery.Bound {
	return recovery.Bound{Stamp: s.head.Stamp, Digest: s.end.digest}
}

// join adds a file's blocks, which must go on where those before it end.
func (r *Reader) join(s *source) error {
	r.add(s, s.index)
	at := s.end.indexOffset
	for t := Blobs; t <= Pools; t++ {
		own, all := s.index.of(t), r.index.of(t)
		*r.end.totals.Rows.of(t) += *s.end.totals.Rows.of(t)
		if len(own) == 0 || len(own) == len(all) {
			continue
		}
		for later := t + 1; later <= Pools; later++ {
			if n := len(r.index.of(later)); n > len(s.index.of(later)) {
				return s.d.at(at, "blocks of %v after those of %v", t, later)
			}
		}
		before, next := all[len(all)-len(own)-1], own[0]
		if what := before.checkEntry(false); what != "" {
			return r.sources[before.file].d.at(before.offset, "%s (%s goes on with the table)", what, s.d.path)
		}
		if bytes.Compare(before.first[:], next.first[:]) > 0 {
			return s.d.at(at, "keys are not increasing: %x follows %x of %s", next.first, before.first, r.sources[before.file].d.path)
		}
	}
	return nil
}

// add adds a file and its blocks.
func (r *Reader) add(s *source, x index) {
	for t, blocks := range x {
		for _, b := range blocks {
			b.file = uint16(len(r.sources))
			r.index[t] = append(r.index[t], b)
		}
	}
	r.sources = append(r.sources, s)
}
