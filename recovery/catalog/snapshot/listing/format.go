package listing

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/recoverd/recoverd/recovery"
)

// Format is the form of a list.
type Format uint8

const (
	// Auto: found out from the content.
	Auto Format = iota
	// NDJSON: an object a line, with id and, each optional, size, certified_epoch,
	// end_epoch, position, encoding and digest.
	NDJSON
	// IDs: an id in hex or URL-safe base64 and, optionally, blanks and a size.
	IDs
	// SHA256Sum: the output of sha256sum, in text or binary mode.
	SHA256Sum
	// OCI: sha256: and an id in lower-case hex and, optionally, blanks and a size.
	OCI
	// Walrus: a blob-info snapshot of a Walrus node, in either layout.
	Walrus
)

// formats are the names, in the order of the constants.
func formats() [6]string { return [...]string{"auto", "ndjson", "ids", "sha256sum", "oci", "walrus"} }

func (f Format) String() string {
	if names := formats(); int(f) < len(names) {
		return names[f]
	}
	return fmt.Sprintf("format(%d)", uint8(f))
}

// ParseFormat reads what String writes.
func ParseFormat(text string) (Format, error) {
	names := formats()
	for f, name := range names {
		if name == text {
			return Format(f), nil
		}
	}
	return Auto, fmt.Errorf("listing: format %q is not one of %v", text, names)
}

// parse reads a line, without its end, in the format of a text.
func (f Format) parse(line []byte, r *Row) error {
	*r = Row{CertifiedEpoch: defaultEpoch, EndEpoch: recovery.EpochForever}
	r.Size, r.Encoding = recovery.SizeUnknown, recovery.Raw
	var err error
	switch f {
	case NDJSON:
		err = parseJSON(line, r)
	case IDs:
		err = parseID(line, r)
	case SHA256Sum:
		err = parseSum(line, r)
	case OCI:
		err = parseOCI(line, r)
	default:
		err = fmt.Errorf("%v is no format of lines", f)
	}
	if err != nil {
		return err
	}
	return r.complete()
}

func parseID(line []byte, r *Row) (err error) {
	id, size := cutBlank(line)
	if r.ID, err = recovery.ParseBlobID(string(id)); err != nil {
		return err
	}
	return parseSize(size, r)
}

// cutBlank cuts a line at its first blank.
func cutBlank(line []byte) (first, rest []byte) {
	if i := bytes.IndexAny(line, " \t"); i >= 0 {
		return line[:i], line[i:]
	}
	return line, nil
}

// parseSize reads the size behind an id, with the blanks before it.
func parseSize(rest []byte, r *Row) (err error) {
	if len(rest) == 0 {
		return nil
	}
	r.Size, err = parseNumber[int64](bytes.TrimLeft(rest, " \t"), math.MaxInt64)
	if err != nil {
		return fmt.Errorf("size: %w", err)
	}
	return nil
}

var errNumber = errors.New("want digits, without a sign and leading zeros")

// parseNumber reads a decimal number in its only form.
func parseNumber[N int64 | uint32 | uint64](text []byte, limit uint64) (N, error) {
	if len(text) == 0 || text[0] < '0' || text[0] > '9' || text[0] == '0' && len(text) > 1 {
		return 0, fmt.Errorf("%.40q: %w", text, errNumber)
	}
	v, err := strconv.ParseUint(string(text), 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) || err == nil && v > limit:
		return 0, fmt.Errorf("%.40q is more than %d", text, limit)
	case err != nil:
		return 0, fmt.Errorf("%.40q: %w", text, errNumber)
	}
	return N(v), nil
}

const ociPrefix = "sha256:"

func parseOCI(line []byte, r *Row) error {
	digest, size := cutBlank(line)
	text, ok := bytes.CutPrefix(digest, []byte(ociPrefix))
	if !ok || len(text) != 2*len(r.ID) || !bytes.Equal(text, bytes.ToLower(text)) {
		return errors.New("want sha256: and 64 lower-case hex digits")
	}
	if _, err := hex.Decode(r.ID[:], text); err != nil {
		return errors.New("want sha256: and 64 lower-case hex digits")
	}
	return parseSize(size, r)
}

var errSum = errors.New("want 64 hex digits, two blanks (or a blank and *), and a file's name")

// parseSum reads a line of sha256sum. One that begins with a backslash has
// escapes in its name. The name itself is of no use.
func parseSum(line []byte, r *Row) error {
	rest, escaped := bytes.CutPrefix(line, []byte(`\`))
	const digits = 2 * len(r.ID)
	if len(rest) < digits+3 || rest[digits] != ' ' || rest[digits+1] != ' ' && rest[digits+1] != '*' {
		return errSum
	}
	if _, err := hex.Decode(r.ID[:], rest[:digits]); err != nil {
		return errSum
	}
	if escaped && !escapesOK(rest[digits+2:]) {
		return errors.New(`the name has a backslash that is not part of \\, \n or \r`)
	}
	return nil
}

// escapesOK reports whether a name has an escape, and none but those that
// sha256sum makes.
func escapesOK(name []byte) bool {
	any := false
	for i := 0; i < len(name); i++ {
		if name[i] != '\\' {
			continue
		}
		if i++; i == len(name) || name[i] != '\\' && name[i] != 'n' && name[i] != 'r' {
			return false
		}
		any = true
	}
	return any
}
