package listing

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/recoverd/recoverd/recovery"
)

// ErrImport reports a list that contradicts itself, the base or the settings.
var ErrImport = errors.New("listing: cannot import")

// LineError says which line is at fault.
type LineError struct {
	Path string
	Line uint64 // from 1
	What string
}

// Error names the file, the line and the fault.
func (e *LineError) Error() string {
	return fmt.Sprintf("listing: %s, line %d: %s", e.Path, e.Line, e.What)
}

// Unwrap makes a LineError an ErrImport.
func (e *LineError) Unwrap() error { return ErrImport }

// Row is what a line says of a blob.
type Row struct {
	recovery.Blob         // Size may be unknown; a Digest of zeros is
	CertifiedEpoch uint32 // default 1
	EndEpoch       uint32 // exclusive; default recovery.EpochForever
	Position       uint64 // of the certification's event; 0: the list has none
	Line           uint64

	digested bool // Digest was given, if only as unknown
}

// defaultEpoch is the certified epoch of a blob whose line has none.
const defaultEpoch = 1

// complete fills in what depends on the encoding, and reports what makes no
// sense.
func (r *Row) complete() error {
	if !r.digested {
		r.Digest = usualDigest(&r.Blob)
	}
	if r.EndEpoch <= r.CertifiedEpoch {
		return fmt.Errorf("end epoch %d is not after certified epoch %d", r.EndEpoch, r.CertifiedEpoch)
	}
	return nil
}

// usualDigest is what a list need not say: the id of a raw blob, and that it is
// unknown of others.
func usualDigest(b *recovery.Blob) [32]byte {
	if b.Encoding == recovery.Raw {
		return b.ID
	}
	return [32]byte{}
}

// A record is a row as bytes that sort by id first. What is known sorts before
// what is not.
const (
	recordLength = 32 + 8 + 4 + 4 + 8 + 1 + 32 + 8
	recordFacts  = recordLength - 8 // all but the line
)

func (r *Row) appendRecord(dst []byte) []byte {
	dst = append(dst, r.ID[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Size)) // unknown is the highest
	dst = binary.BigEndian.AppendUint32(dst, r.CertifiedEpoch)
	dst = binary.BigEndian.AppendUint32(dst, r.EndEpoch)
	dst = binary.BigEndian.AppendUint64(dst, r.Position)
	dst = append(append(dst, byte(r.Encoding)), r.Digest[:]...)
	return binary.BigEndian.AppendUint64(dst, r.Line)
}

func (r *Row) setRecord(raw []byte) {
	r.ID = recovery.BlobID(raw[:32])
	r.Size = int64(binary.BigEndian.Uint64(raw[32:]))
	r.CertifiedEpoch = binary.BigEndian.Uint32(raw[40:])
	r.EndEpoch = binary.BigEndian.Uint32(raw[44:])
	r.Position = binary.BigEndian.Uint64(raw[48:])
	r.Encoding, r.Digest = recovery.Encoding(raw[56]), [32]byte(raw[57:])
	r.Line = binary.BigEndian.Uint64(raw[89:])
}

// differs names how two rows of one blob contradict each other; empty: they do
// not. An unknown size contradicts none.
func (r *Row) differs(o *Row) string {
	switch {
	case r.Size != o.Size && r.Size != recovery.SizeUnknown && o.Size != recovery.SizeUnknown:
		return fmt.Sprintf("%d bytes and %d", r.Size, o.Size)
	case r.CertifiedEpoch != o.CertifiedEpoch:
		return fmt.Sprintf("certified epochs %d and %d", r.CertifiedEpoch, o.CertifiedEpoch)
	case r.EndEpoch != o.EndEpoch:
		return fmt.Sprintf("end epochs %d and %d", r.EndEpoch, o.EndEpoch)
	case r.Position != o.Position:
		return fmt.Sprintf("positions %d and %d", r.Position, o.Position)
	case r.Encoding != o.Encoding:
		return fmt.Sprintf("encodings %v and %v", r.Encoding, o.Encoding)
	case r.Digest != o.Digest:
		return fmt.Sprintf("digests %x and %x", r.Digest, o.Digest)
	}
	return ""
}
