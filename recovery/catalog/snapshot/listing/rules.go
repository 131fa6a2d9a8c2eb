package listing

import (
	"fmt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// rules decide what a row changes in a base. They read the base once, beside the
// list, so rows must come by rising ids.
type rules struct {
	path     string // of the list
	epoch    uint32 // of the new state
	position uint64 // of the base; 0: there is none
	before   *before
	blob     snapshot.Blob         // what change.blob points to
	reg      snapshot.Registration // what change.reg points to
}

// newRules returns the rules over a base, which may be nil.
func newRules(path string, epoch uint32, base *snapshot.Reader) *rules {
	r := &rules{path: path, epoch: epoch}
	if base != nil {
		r.position, r.before = base.Header().Position, newBefore(base)
	}
	return r
}

// verdict says what became of a row.
type verdict uint8

const (
	added      verdict = iota // newly certified
	lengthened                // certified until later than before, or anew
	learned                   // certified for as long already, but of unknown size
	kept                      // certified for as long already
	ended                     // certified until the state's epoch or an earlier one
)

// change is what a row changes: rows to put, nil: none. They are valid until the
// next decision.
type change struct {
	verdict verdict
	blob    *snapshot.Blob
	reg     *snapshot.Registration
}

// decide says what a row changes. An error is a LineError, or that of reading the
// base.
func (r *rules) decide(row *Row) (change, error) {
	if row.EndEpoch <= r.epoch {
		return change{verdict: ended}, nil
	}
	old, err := r.before.blob(row.ID)
	if err != nil {
		return change{}, err
	}
	c := change{verdict: added}
	if r.blob, err = r.merged(row, old); err != nil {
		return change{}, err
	}
	if old == nil || *old != r.blob {
		c.blob = &r.blob
	}
	now, err := r.before.certified(row.ID)
	if err != nil {
		return change{}, err
	}
	switch {
	case now == nil || now.EndEpoch <= r.epoch:
	case now.EndEpoch < row.EndEpoch || row.Position > r.position:
		c.verdict = lengthened
	case c.blob != nil:
		c.verdict = learned
	default:
		return change{verdict: kept}, nil
	}
	if row.Position != 0 && row.Position <= r.position && c.verdict != learned {
		return change{}, r.fault(row, "position %d is not beyond the base's, %d, and the base does not certify blob %v until epoch %d",
			row.Position, r.position, row.ID, row.EndEpoch)
	}
	c.reg = &r.reg
	return c, r.register(row)
}

// merged returns the blob's row. Size, encoding and digest of an id never change
// within a network (DESIGN 3); what was unknown may become known.
func (r *rules) merged(row *Row, old *snapshot.Blob) (snapshot.Blob, error) {
	b := snapshot.Blob{Blob: row.Blob}
	if old == nil {
		return b, nil
	}
	switch {
	case old.Invalidated != 0:
		return b, r.fault(row, "blob %v was invalidated at position %d of the base", row.ID, old.Invalidated)
	case old.Encoding != b.Encoding:
		return b, r.fault(row, "blob %v is %v, in the base it is %v", row.ID, b.Encoding, old.Encoding)
	case old.Size != b.Size && old.Size != recovery.SizeUnknown && b.Size != recovery.SizeUnknown:
		return b, r.fault(row, "blob %v has %d bytes, in the base it has %d", row.ID, b.Size, old.Size)
	case old.Digest != b.Digest && old.Digest != [32]byte{} && b.Digest != [32]byte{}:
		return b, r.fault(row, "blob %v has digest %x, in the base it has %x", row.ID, b.Digest, old.Digest)
	}
	if b.Size == recovery.SizeUnknown {
		b.Size = old.Size
	}
	if b.Digest == [32]byte{} {
		b.Digest = old.Digest
	}
	return b, nil
}

// register sets the blob's registration by itself, which goes on from a live one
// of the base's.
func (r *rules) register(row *Row) error {
	r.reg = snapshot.Registration{
		Key: snapshot.KeyOf(row.ID, row.ID), RegisteredEpoch: row.CertifiedEpoch, Certified: true,
		CertifiedEpoch: row.CertifiedEpoch, EndEpoch: row.EndEpoch, Gained: row.Position,
	}
	if r.reg.Gained <= r.position {
		r.reg.Gained = r.position + 1
	}
	old, err := r.before.registration(&r.reg.Key)
	if old == nil || err != nil || !old.Live(r.epoch) {
		return err
	}
	gained := r.reg.Gained
	r.reg = *old
	r.reg.CertifiedEpoch = max(old.CertifiedEpoch, row.CertifiedEpoch)
	r.reg.EndEpoch = max(old.EndEpoch, row.EndEpoch)
	r.reg.Gained = gained
	return nil
}

func (r *rules) fault(row *Row, format string, args ...any) error {
	return &LineError{Path: r.path, Line: row.Line, What: fmt.Sprintf(format, args...)}
}
