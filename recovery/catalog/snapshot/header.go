package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"unicode"
	"unicode/utf8"

	"github.com/recoverd/recoverd/recovery"
)

// Version is the version of the format that this package writes and reads.
const Version = 1

// Kind says what the tables of a file hold.
type Kind uint8

const (
	// Full: the whole state.
	Full Kind = 1
	// Incremental: what is other than in a base, which is a full snapshot: rows to
	// put in, and keys to drop.
	Incremental Kind = 2
)

func (k Kind) String() string {
	switch k {
	case Full:
		return "full"
	case Incremental:
		return "incremental"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Limits of a header.
const (
	MaxNetwork   = 128 // bytes of a network's name
	MaxAncestors = 256
)

// Header says which state a file holds.
type Header struct {
	// Stamp is the state's network, epoch and position: the number of the last
	// event in it.
	recovery.Stamp
	// Base names the full snapshot that an incremental one changes, which lies at
	// a lower position; nil in a full one.
	Base *recovery.Ancestor
	// Ancestors are states that this one descends from, by strictly rising
	// positions below its own; at most MaxAncestors. They are what this node
	// knows, so the digest does not cover them.
	Ancestors []recovery.Ancestor
}

// Kind tells a full snapshot from an incremental one.
func (h Header) Kind() Kind {
	if h.Base != nil {
		return Incremental
	}
	return Full
}

// Validate reports, wrapping ErrRow, the first field that a file can't hold.
func (h Header) Validate() error {
	switch {
	case h.Network == "" || len(h.Network) > MaxNetwork:
		return fmt.Errorf("%w: the network's name has %d bytes, want 1 to %d", ErrRow, len(h.Network), MaxNetwork)
	case !utf8.ValidString(h.Network):
		return fmt.Errorf("%w: the network's name is not UTF-8", ErrRow)
	case h.Base != nil && h.Base.Position >= h.Position:
		return fmt.Errorf("%w: position %d is not above the base's, %d", ErrRow, h.Position, h.Base.Position)
	case len(h.Ancestors) > MaxAncestors:
		return fmt.Errorf("%w: %d ancestors, at most %d are kept", ErrRow, len(h.Ancestors), MaxAncestors)
	}
	for _, r := range h.Network {
		if unicode.IsControl(r) {
			return fmt.Errorf("%w: the network's name %q has a control character", ErrRow, h.Network)
		}
	}
	for i, a := range h.Ancestors {
		if a.Position >= h.Position || i > 0 && a.Position <= h.Ancestors[i-1].Position {
			return fmt.Errorf("%w: the ancestor at position %d is not between its neighbours", ErrRow, a.Position)
		}
	}
	return nil
}

// Descend returns the ancestors of a state made from base, oldest dropped
// first.
func Descend(base recovery.Bound, ancestors []recovery.Ancestor) []recovery.Ancestor {
	all := append(append([]recovery.Ancestor{}, ancestors...), recovery.Ancestor{Position: base.Position, Digest: base.Digest})
	return all[max(0, len(all)-MaxAncestors):]
}

// magic begins a file. Its first byte is not ASCII and its last two are a line
// end, so that transfers that change either are noticed.
const magic = "\x89rsnap\r\n"

// Magic is what a file is known by among other files.
const Magic = magic

// Places in the header.
const (
	headerVersion   = 8
	headerKind      = 10
	headerLength    = 12
	headerEpoch     = 16
	headerPosition  = 20
	headerBase      = 28 // position and digest
	headerChunk     = 68 // number and count
	headerNetwork   = 76 // a length byte and the name
	headerAncestor  = 8 + 32
	headerMinLength = headerNetwork + 1 + 1 + 2 + crcLength
	headerMaxLength = headerNetwork + 1 + MaxNetwork + 2 + MaxAncestors*headerAncestor + crcLength
)

// crcLength is the length of every CRC32C in a file.
const crcLength = 4

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// appendTo appends the header's bytes in one file of the snapshot. The header
// must be valid.
func (h Header) appendTo(dst []byte, c Chunk) []byte {
	start := len(dst)
	dst = append(dst, magic...)
	dst = binary.BigEndian.AppendUint16(dst, Version)
	dst = append(dst, byte(h.Kind()), 0)
	dst = binary.BigEndian.AppendUint32(dst, 0) // length, below
	dst = binary.BigEndian.AppendUint32(dst, h.Epoch)
	dst = binary.BigEndian.AppendUint64(dst, h.Position)
	dst = h.appendBase(dst)
	dst = binary.BigEndian.AppendUint32(dst, c.Number)
	dst = binary.BigEndian.AppendUint32(dst, c.Count)
	dst = append(dst, byte(len(h.Network)))
	dst = append(dst, h.Network...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(h.Ancestors)))
	for _, a := range h.Ancestors {
		dst = binary.BigEndian.AppendUint64(dst, a.Position)
		dst = append(dst, a.Digest[:]...)
	}
	binary.BigEndian.PutUint32(dst[start+headerLength:], uint32(len(dst)-start+crcLength))
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli()))
}

// appendBase appends position and digest of the base, or zeros.
func (h Header) appendBase(dst []byte) []byte {
	if h.Base == nil {
		return append(dst, make([]byte, headerAncestor)...)
	}
	dst = binary.BigEndian.AppendUint64(dst, h.Base.Position)
	return append(dst, h.Base.Digest[:]...)
}

// length is how many bytes the header takes.
func (h Header) length() int64 {
	return int64(headerMinLength - 1 + len(h.Network) + len(h.Ancestors)*headerAncestor)
}

// readHeader reads and checks the header of one file.
func readHeader(src io.ReaderAt, size int64, d damage) (Header, Chunk, error) {
	fixed := make([]byte, headerNetwork)
	n, err := src.ReadAt(fixed, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return Header{}, Chunk{}, d.read(0, "header", err)
	}
	if err := checkFormat(fixed[:n], d); err != nil {
		return Header{}, Chunk{}, err
	}
	length := int64(binary.BigEndian.Uint32(fixed[headerLength:]))
	if length < headerMinLength || length > min(headerMaxLength, size) {
		return Header{}, Chunk{}, d.at(headerLength, "the header cannot be %d bytes long", length)
	}
	raw := make([]byte, length)
	if err := readFull(src, raw, 0); err != nil {
		return Header{}, Chunk{}, d.read(0, "header", err)
	}
	body, sum := raw[:length-crcLength], binary.BigEndian.Uint32(raw[length-crcLength:])
	if crc32.Checksum(body, castagnoli()) != sum {
		return Header{}, Chunk{}, d.at(0, "the header's checksum is wrong")
	}
	h, err := parseHeader(body)
	if err != nil {
		return Header{}, Chunk{}, d.at(0, "%v", err)
	}
	c := Chunk{binary.BigEndian.Uint32(body[headerChunk:]), binary.BigEndian.Uint32(body[headerChunk+4:])}
	if c.Count < 1 || c.Count > MaxChunks || c.Number >= c.Count {
		return Header{}, Chunk{}, d.at(headerChunk, "a file cannot be chunk %d, from 0, of %d", c.Number, c.Count)
	}
	return h, c, nil
}

// checkFormat refuses other files and other versions before anything else in
// them is believed.
func checkFormat(fixed []byte, d damage) error {
	switch n := min(len(fixed), len(magic)); {
	case string(fixed[:n]) != magic[:n]:
		return fmt.Errorf("%w: %s", ErrNotSnapshot, d.path)
	case len(fixed) < headerNetwork:
		return d.at(int64(len(fixed)), "the file ends inside the header")
	}
	if v := binary.BigEndian.Uint16(fixed[headerVersion:]); v != Version {
		return fmt.Errorf("%w: %s has version %d, this program reads %d", ErrUnsupported, d.path, v, Version)
	}
	if k := Kind(fixed[headerKind]); k != Full && k != Incremental {
		return fmt.Errorf("%w: %s is of %v, this program reads full and incremental ones", ErrUnsupported, d.path, k)
	}
	return nil
}

// parseHeader reads a header whose fixed part, length and checksum are good.
func parseHeader(body []byte) (h Header, err error) {
	base := body[headerBase:headerChunk]
	switch {
	case body[headerKind+1] != 0:
		return h, fmt.Errorf("%w: byte %d of the header is not 0", ErrRow, headerKind+1)
	case Kind(body[headerKind]) == Incremental:
		h.Base = &recovery.Ancestor{Position: binary.BigEndian.Uint64(base), Digest: recovery.Digest(base[8:])}
	case string(base) != string(make([]byte, headerAncestor)):
		return h, fmt.Errorf("%w: a full snapshot with a base", ErrRow)
	}
	h.Epoch = binary.BigEndian.Uint32(body[headerEpoch:])
	h.Position = binary.BigEndian.Uint64(body[headerPosition:])
	rest := body[headerNetwork+1:]
	if n := int(body[headerNetwork]); n+2 <= len(rest) {
		h.Network, rest = string(rest[:n]), rest[n:]
	}
	count := int(binary.BigEndian.Uint16(rest))
	if rest = rest[2:]; count > MaxAncestors || len(rest) != count*headerAncestor {
		return h, fmt.Errorf("%w: the header's parts do not fill it", ErrRow)
	}
	for ; len(rest) > 0; rest = rest[headerAncestor:] {
		h.Ancestors = append(h.Ancestors, recovery.Ancestor{
			Position: binary.BigEndian.Uint64(rest), Digest: recovery.Digest(rest[8:headerAncestor]),
		})
	}
	return h, h.Validate()
}

// readFull reads all of buf at offset; an early end is io.ErrUnexpectedEOF.
func readFull(src io.ReaderAt, buf []byte, offset int64) error {
	n, err := src.ReadAt(buf, offset)
	switch {
	case n == len(buf):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}
