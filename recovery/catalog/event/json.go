package event

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/recoverd/recoverd/recovery"
)

// MaxLine is the most bytes of a line, its end not counted.
const MaxLine = 4096

// Header is what a stream of events may say of itself in its first line.
type Header struct {
	Network string // whose events they are
	Tip     uint64 // the highest position there is; 0: not said
}

// ParseHeader reads a stream's first line. ok is false where it is no header;
// then it must be an event. Errors wrap ErrMalformed.
func ParseHeader(line []byte) (h Header, ok bool, err error) {
	seen := map[string]bool{}
	err = members(line, func(m member) (err error) {
		if ok = len(seen) > 0 || m.name == "network" || m.name == "tip"; !ok {
			return errNoHeader
		}
		if seen[m.name] {
			return errTwice(m)
		}
		seen[m.name] = true
		switch m.name {
		case "network":
			h.Network, err = m.text()
		case "tip":
			h.Tip, err = m.number(math.MaxUint64)
		default:
			err = fmt.Errorf("%w: a header has no %q", ErrMalformed, m.name)
		}
		return err
	})
	switch {
	case !ok: // an event, or what will be refused as one
		return Header{}, false, nil
	case err == nil && h.Network == "":
		err = fmt.Errorf("%w: a header without a network", ErrMalformed)
	}
	return h, true, err
}

var errNoHeader = fmt.Errorf("%w: not a header", ErrMalformed)

// AppendHeader appends a header as a line, its end included.
func AppendHeader(dst []byte, h Header) ([]byte, error) {
	name, err := json.Marshal(h.Network)
	if err != nil {
		return dst, err
	}
	dst = append(append(dst, `{"network":`...), name...)
	if h.Tip != 0 {
		dst = strconv.AppendUint(append(dst, `,"tip":`...), h.Tip, 10)
	}
	return append(dst, "}\n"...), nil
}

// AppendLine appends an event, which must be valid, as a line of JSON, its end
// included: without spaces, members in one order, what is usual left out.
func AppendLine(dst []byte, e *Event) []byte {
	h := e.has()
	dst = strconv.AppendUint(append(dst, `{"position":`...), e.Position, 10)
	dst = append(append(append(dst, `,"kind":"`...), e.Kind.String()...), '"')
	if e.Kind == EpochStarted {
		dst = strconv.AppendUint(append(dst, `,"epoch":`...), uint64(e.Epoch), 10)
	}
	if h.blob {
		dst = appendID(dst, "blob", e.Blob)
	}
	if h.object && e.Object != e.Blob {
		dst = appendID(dst, "object", e.Object)
	}
	if h.content {
		if e.Size != recovery.SizeUnknown {
			dst = strconv.AppendInt(append(dst, `,"size":`...), e.Size, 10)
		}
		dst = append(append(append(dst, `,"encoding":"`...), e.Encoding.String()...), '"')
		if e.Digest != usualDigest(e.Blob, e.Encoding) {
			dst = appendID(dst, "digest", e.Digest)
		}
	}
	if h.pool {
		dst = appendID(dst, "pool", e.Pool)
	}
	if h.end && e.EndEpoch != recovery.EpochForever {
		dst = strconv.AppendUint(append(dst, `,"end_epoch":`...), uint64(e.EndEpoch), 10)
	}
	if e.Deletable {
		dst = append(dst, `,"deletable":true`...)
	}
	return append(dst, "}\n"...)
}

func appendID(dst []byte, name string, id [32]byte) []byte {
	dst = append(append(append(dst, ',', '"'), name...), '"', ':', '"')
	return append(hex.AppendEncode(dst, id[:]), '"')
}

// ParseLine reads a line, its end left out. It refuses, wrapping ErrMalformed,
// every member that the event's kind does not have, every one that is there
// twice, and what no event can be.
func ParseLine(line []byte) (Event, error) {
	if len(line) > MaxLine {
		return Event{}, fmt.Errorf("%w: a line of more than %d bytes", ErrMalformed, MaxLine)
	}
	var p lineParser
	if err := members(line, p.member); err != nil {
		return Event{}, err
	}
	if err := p.finish(); err != nil {
		return Event{}, err
	}
	return p.e, nil
}

// names are the members that a line can have, each with a bit.
type names uint16

const (
	namePosition names = 1 << iota
	nameKind
	nameEpoch
	nameBlob
	nameObject
	nameSize
	nameEncoding
	nameDigest
	namePool
	nameEndEpoch
	nameDeletable
)

// lineParser collects the members of one line.
type lineParser struct {
	e    Event
	seen names
}

func (p *lineParser) member(m member) (err error) {
	bit := nameOf(m.name)
	switch {
	case bit == 0:
		return fmt.Errorf("%w: an event has no %q", ErrMalformed, m.name)
	case p.seen&bit != 0:
		return errTwice(m)
	}
	p.seen |= bit
	switch bit {
	case namePosition:
		p.e.Position, err = m.number(math.MaxUint64)
	case nameKind:
		p.e.Kind, err = m.kind()
	case nameEpoch:
		p.e.Epoch, err = m.epoch()
	case nameBlob:
		p.e.Blob, err = m.blob()
	case nameObject:
		p.e.Object, err = m.bytes32()
	case nameSize:
		var size uint64
		size, err = m.number(math.MaxInt64)
		p.e.Size = int64(size)
	case nameEncoding:
		p.e.Encoding, err = m.encoding()
	case nameDigest:
		p.e.Digest, err = m.bytes32()
	case namePool:
		p.e.Pool, err = m.bytes32()
	case nameEndEpoch:
		p.e.EndEpoch, err = m.epoch()
	case nameDeletable:
		p.e.Deletable, err = m.boolean()
	}
	return err
}

func nameOf(name string) names {
	switch name {
	case "position":
		return namePosition
	case "kind":
		return nameKind
	case "epoch":
		return nameEpoch
	case "blob":
		return nameBlob
	case "object":
		return nameObject
	case "size":
		return nameSize
	case "encoding":
		return nameEncoding
	case "digest":
		return nameDigest
	case "pool":
		return namePool
	case "end_epoch":
		return nameEndEpoch
	case "deletable":
		return nameDeletable
	}
	return 0
}

// finish fills in what was left out, and checks the whole.
func (p *lineParser) finish() error {
	e := &p.e
	if p.seen&(namePosition|nameKind) != namePosition|nameKind {
		return fmt.Errorf("%w: an event has a position and a kind", ErrMalformed)
	}
	must, may := e.members(p.seen)
	switch {
	case p.seen&must != must:
		return fmt.Errorf("%w: position %d, %v: %q is missing", ErrMalformed, e.Position, e.Kind, firstName(must&^p.seen))
	case p.seen&^(must|may) != 0:
		return fmt.Errorf("%w: position %d, %v: it has no %q", ErrMalformed, e.Position, e.Kind, firstName(p.seen&^(must|may)))
	}
	h := e.has()
	if h.object && p.seen&nameObject == 0 {
		e.Object = e.Blob
	}
	if h.content && p.seen&nameSize == 0 {
		e.Size = recovery.SizeUnknown
	}
	if h.content && p.seen&nameDigest == 0 {
		e.Digest = usualDigest(e.Blob, e.Encoding)
	}
	if h.end && p.seen&nameEndEpoch == 0 {
		e.EndEpoch = recovery.EpochForever
	}
	return e.Validate()
}

// members are those that a line of the event's kind must and may have.
func (e *Event) members(seen names) (must, may names) {
	must = namePosition | nameKind
	switch e.Kind {
	case EpochStarted:
		return must | nameEpoch, 0
	case Register:
		must, may = must|nameBlob|nameEncoding, nameObject|nameDigest|nameSize
		if seen&namePool != 0 {
			return must | namePool, may
		}
		return must, may | nameEndEpoch | nameDeletable
	case Certify, Delete:
		return must | nameBlob, nameObject
	case Extend:
		return must | nameBlob, nameObject | nameEndEpoch
	case Invalidate:
		return must | nameBlob, 0
	}
	return must | namePool, nameEndEpoch
}

func firstName(set names) string {
	for _, name := range []string{
		"position", "kind", "epoch", "blob", "object", "size", "encoding", "digest", "pool", "end_epoch", "deletable",
	} {
		if set&nameOf(name) != 0 {
			return name
		}
	}
	return ""
}

func errTwice(m member) error { return fmt.Errorf("%w: %q is there twice", ErrMalformed, m.name) }

func (m member) kind() (Kind, error) {
	if name, err := m.text(); err == nil {
		if k, ok := parseKind(name); ok {
			return k, nil
		}
	}
	return 0, m.bad("a kind of event")
}

func (m member) encoding() (recovery.Encoding, error) {
	if name, err := m.text(); err == nil {
		for enc := recovery.Raw; enc <= recovery.Walrus; enc++ {
			if enc.String() == name {
				return enc, nil
			}
		}
	}
	return 0, m.bad(`"raw", "striped" or "walrus"`)
}

// epoch leaves out the number that stands for none: that is said by silence.
func (m member) epoch() (uint32, error) {
	v, err := m.number(recovery.EpochForever - 1)
	return uint32(v), err
}

func (m member) blob() (recovery.BlobID, error) {
	if text, err := m.text(); err == nil {
		if id, err := recovery.ParseBlobID(text); err == nil {
			return id, nil
		}
	}
	return recovery.BlobID{}, m.bad("a blob id")
}

func (m member) bytes32() (b [32]byte, err error) {
	if len(m.value) != 2+2*len(b) || m.value[0] != '"' {
		return b, m.bad("64 hex digits")
	}
	if _, err := hex.Decode(b[:], m.value[1:len(m.value)-1]); err != nil {
		return b, m.bad("64 hex digits")
	}
	return b, nil
}
