package transfer

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// DocumentVersion is the version of the list that this package writes and reads.
const DocumentVersion = 1

// Limits of a list.
const (
	MaxDocument  = 4 << 20 // bytes; enough for 250 GiB of snapshots
	MaxSnapshots = 256
	MaxFile      = 1 << 40 // bytes of one file
	MinPiece     = 64 << 10
	MaxPiece     = 16 << 20
	maxPosition  = math.MaxInt64
	DefaultPiece = 4 << 20
)

// ErrDocument: a list that contradicts itself, or is none.
var ErrDocument = errors.New("transfer: bad list of snapshots")

// Document is what a server offers.
type Document struct {
	Version   int      `json:"version"`
	Network   string   `json:"network"` // empty if there is no snapshot
	Piece     int64    `json:"piece"`   // bytes of every piece but a file's last
	Snapshots []Listed `json:"snapshots"`
}

// Listed is one snapshot of a list.
type Listed struct {
	Name       string           `json:"name"` // without the suffix of its files
	Kind       string           `json:"kind"` // full or incremental
	Base       uint64           `json:"base"`
	BaseDigest *recovery.Digest `json:"base_digest,omitempty"`
	Position   uint64           `json:"position"`
	Epoch      uint32           `json:"epoch"`
	Digest     recovery.Digest  `json:"digest"`
	Size       int64            `json:"size"`  // bytes of all files
	Files      fileList         `json:"files"` // one, or the chunks in order
}

// ListedFile is one file of a snapshot.
type ListedFile struct {
	Size   int64   `json:"size"`
	Pieces sumList `json:"pieces"` // of every piece, in order
}

// The lists in a list are read one by one, so that a text never takes much more
// memory than it is long (hazard 65).
type (
	fileList []ListedFile
	sumList  []Sum
)

// UnmarshalJSON implements json.Unmarshaler.
func (l *fileList) UnmarshalJSON(text []byte) (err error) {
	*l, err = decodeList[ListedFile](json.NewDecoder(bytes.NewReader(text)), snapshot.MaxChunks)
	return err
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *sumList) UnmarshalJSON(text []byte) (err error) {
	*l, err = decodeList[Sum](json.NewDecoder(bytes.NewReader(text)), len(text)/(2*sha256.Size))
	return err
}

// Sum is the SHA-256 of some bytes.
type Sum [sha256.Size]byte

// String returns 64 hex digits.
func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// MarshalText writes 64 hex digits.
func (s Sum) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads 64 hex digits.
func (s *Sum) UnmarshalText(text []byte) error {
	return (*recovery.Digest)(s).UnmarshalText(text)
}

// sum names the bytes of a file: the SHA-256 of its pieces' sums.
func (f ListedFile) sum() Sum {
	h := sha256.New()
	for _, p := range f.Pieces {
		h.Write(p[:])
	}
	return Sum(h.Sum(nil))
}

// offer is a snapshot that a peer has: what an archive would list, and where
// its bytes end.
type offer struct {
	archive.Entry
	piece int64
	files []ListedFile
}

// sum names the bytes of all files.
func (o offer) sum() Sum {
	h := sha256.New()
	for _, f := range o.files {
		s := f.sum()
		h.Write(s[:])
	}
	return Sum(h.Sum(nil))
}

// readDocument reads a list strictly, holding no more than it may have. Errors
// wrap ErrDocument, or are those of reading; a list that was cut off is
// io.ErrUnexpectedEOF.
func readDocument(r io.Reader) (network string, offers []offer, err error) {
	src := &source{r: r, left: MaxDocument + 1}
	d, err := decodeDocument(json.NewDecoder(src))
	switch {
	case src.err != nil:
		return "", nil, src.err
	case src.left == 0:
		return "", nil, fmt.Errorf("%w: it has more than %d bytes", ErrDocument, MaxDocument)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, ErrDocument):
		return "", nil, err
	case err != nil:
		return "", nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	if offers, err = d.offers(); err != nil {
		return "", nil, err
	}
	return d.Network, offers, nil
}

// source tells a bad text from one that could not be read.
type source struct {
	r    io.Reader
	left int64
	err  error // of reading, and not the end
}

// Read implements io.Reader.
func (s *source) Read(b []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n, err := s.r.Read(b[:min(int64(len(b)), s.left)])
	s.left -= int64(n)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// decodeDocument refuses what is too much before it is in memory: the version
// comes first, and snapshots are counted as they come (hazard 65).
func decodeDocument(dec *json.Decoder) (d Document, err error) {
	if err := expect(dec, json.Delim('{')); err != nil {
		return d, err
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return d, err
		}
		switch key {
		case "version":
			err = dec.Decode(&d.Version)
		case "network":
			err = dec.Decode(&d.Network)
		case "piece":
			err = dec.Decode(&d.Piece)
		case "snapshots":
			d.Snapshots, err = decodeList[Listed](dec, MaxSnapshots)
		default:
			err = fmt.Errorf("%w: unknown key %.40q", ErrDocument, key)
		}
		if err == nil && d.Version != DocumentVersion {
			err = fmt.Errorf("%w: version %d, this program reads %d", ErrDocument, d.Version, DocumentVersion)
		}
		if err != nil {
			return d, err
		}
	}
	if err := expect(dec, json.Delim('}')); err != nil {
		return d, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return d, cmp.Or(err, fmt.Errorf("%w: something follows it", ErrDocument))
	}
	return d, nil
}

// decodeList reads an array of at most so many elements.
func decodeList[E any](dec *json.Decoder, most int) (all []E, err error) {
	dec.DisallowUnknownFields()
	if err := expect(dec, json.Delim('[')); err != nil {
		return nil, err
	}
	for dec.More() {
		if len(all) == most {
			return nil, fmt.Errorf("%w: an array has more than %d elements", ErrDocument, most)
		}
		var e E
		if err := dec.Decode(&e); err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, expect(dec, json.Delim(']'))
}

func expect(dec *json.Decoder, want json.Delim) error {
	switch got, err := dec.Token(); {
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case err != nil:
		return err
	case got != want:
		return fmt.Errorf("%w: %.40v where %v should be", ErrDocument, got, want)
	}
	return nil
}

// offers checks what the whole list says.
func (d *Document) offers() (offers []offer, err error) {
	switch {
	case d.Piece < MinPiece || d.Piece > MaxPiece:
		return nil, fmt.Errorf("%w: pieces of %d bytes, want %d to %d", ErrDocument, d.Piece, MinPiece, MaxPiece)
	case len(d.Network) > snapshot.MaxNetwork || d.Network == "" && len(d.Snapshots) > 0:
		return nil, fmt.Errorf("%w: the network's name has %d bytes", ErrDocument, len(d.Network))
	}
	seen := map[archive.Name]bool{}
	for i := range d.Snapshots {
		o, err := d.offer(&d.Snapshots[i])
		if err != nil {
			return nil, fmt.Errorf("%w: snapshot %d: %w", ErrDocument, i, err)
		}
		if seen[o.Name] {
			return nil, fmt.Errorf("%w: %v stands in it twice", ErrDocument, o.Name)
		}
		seen[o.Name] = true
		offers = append(offers, o)
	}
	return offers, nil
}

// offer checks that a snapshot of the list agrees with its own name and sizes.
func (d *Document) offer(l *Listed) (offer, error) {
	name, err := archive.ParseName(l.Name)
	if err != nil {
		return offer{}, err
	}
	if l.Kind != name.Kind.String() || l.Base != name.Base || l.Position != name.Position ||
		l.Position > maxPosition || archive.ShortOf(l.Digest) != name.Digest || (l.BaseDigest != nil) != (name.Kind == snapshot.Incremental) {
		return offer{}, fmt.Errorf("%v says otherwise than its name", name)
	}
	o := offer{piece: d.Piece, files: l.Files, Entry: archive.Entry{
		Name: name, Size: l.Size, Status: archive.Complete, Bound: recovery.Bound{
			Stamp: recovery.Stamp{Network: d.Network, Epoch: l.Epoch, Position: l.Position}, Digest: l.Digest,
		},
	}}
	if l.BaseDigest != nil {
		o.BaseDigest = *l.BaseDigest
	}
	if len(l.Files) == 0 || len(l.Files) > snapshot.MaxChunks {
		return offer{}, fmt.Errorf("%v has %d files", name, len(l.Files))
	}
	if len(l.Files) > 1 {
		o.Chunks = len(l.Files)
	}
	total := int64(0) // MaxChunks files of MaxFile bytes do not overflow it
	for i, f := range l.Files {
		if f.Size < 1 || f.Size > MaxFile || int64(len(f.Pieces)) != (f.Size+d.Piece-1)/d.Piece {
			return offer{}, fmt.Errorf("file %d of %v has %d bytes in %d pieces", i+1, name, f.Size, len(f.Pieces))
		}
		total += f.Size
	}
	if total != l.Size {
		return offer{}, fmt.Errorf("the files of %v have %d bytes, not %d", name, total, l.Size)
	}
	return o, nil
}
