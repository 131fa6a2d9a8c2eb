package listing

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// ErrExport reports a blob that a format has no words for.
var ErrExport = errors.New("listing: cannot export")

// Export writes the certified blobs of a catalog as a list, by rising id, and
// returns how many they are. Import makes of NDJSON a catalog with the same
// certified blobs, with their sizes, epochs and positions; of IDs, one with the
// same ids and sizes; of SHA256Sum, which refuses blobs whose id is not their
// hash, one with the same ids. Errors wrap ErrExport, or are those of reading and
// writing.
func Export(ctx context.Context, r *snapshot.Reader, f Format, out io.Writer) (n uint64, err error) {
	write, err := exporter(f)
	if err != nil {
		return 0, err
	}
	to := bufio.NewWriterSize(out, 64<<10)
	rows := make([]recovery.Row, 256)
	var line []byte
	for scan, end := r.Scan(), false; !end; {
		var filled int
		if filled, end, err = scan.Fill(ctx, rows); err != nil {
			return n, err
		}
		for i := range rows[:filled] {
			if line, err = write(line[:0], &rows[i]); err != nil {
				return n, err
			}
			if _, err := to.Write(append(line, '\n')); err != nil {
				return n, fmt.Errorf("write list: %w", err)
			}
			n++
		}
	}
	if err := to.Flush(); err != nil {
		return n, fmt.Errorf("write list: %w", err)
	}
	return n, nil
}

// exporter returns what appends a row's line.
func exporter(f Format) (func(dst []byte, r *recovery.Row) ([]byte, error), error) {
	switch f {
	case NDJSON:
		return appendJSON, nil
	case IDs:
		return appendID, nil
	case SHA256Sum:
		return appendSum, nil
	}
	return nil, fmt.Errorf("%w: as %v; there are %v, %v and %v", ErrExport, f, NDJSON, IDs, SHA256Sum)
}

// appendJSON leaves out what is the default, but for epochs and positions.
func appendJSON(dst []byte, r *recovery.Row) ([]byte, error) {
	dst = append(append(append(dst, `{"id":"`...), r.ID.String()...), '"')
	if r.Size != recovery.SizeUnknown {
		dst = strconv.AppendInt(append(dst, `,"size":`...), r.Size, 10)
	}
	dst = strconv.AppendUint(append(dst, `,"certified_epoch":`...), uint64(r.CertifiedEpoch), 10)
	if r.EndEpoch != recovery.EpochForever {
		dst = strconv.AppendUint(append(dst, `,"end_epoch":`...), uint64(r.EndEpoch), 10)
	}
	if r.Gained != 0 {
		dst = strconv.AppendUint(append(dst, `,"position":`...), r.Gained, 10)
	}
	if r.Encoding != recovery.Raw {
		dst = append(append(append(dst, `,"encoding":"`...), r.Encoding.String()...), '"')
	}
	switch {
	case r.Digest == usualDigest(&r.Blob):
	case r.Digest == [32]byte{}:
		dst = append(dst, `,"digest":null`...)
	default:
		dst = append(append(append(dst, `,"digest":"`...), recovery.BlobID(r.Digest).String()...), '"')
	}
	return append(dst, '}'), nil
}

// appendID says nothing of epochs, positions and encodings.
func appendID(dst []byte, r *recovery.Row) ([]byte, error) {
	dst = append(dst, r.ID.String()...)
	if r.Size != recovery.SizeUnknown {
		dst = strconv.AppendInt(append(dst, ' '), r.Size, 10)
	}
	return dst, nil
}

// appendSum names the file as a store does.
func appendSum(dst []byte, r *recovery.Row) ([]byte, error) {
	if !r.ContentAddressed() {
		return dst, fmt.Errorf("%w: the id of blob %v is not the SHA-256 of its bytes", ErrExport, r.ID)
	}
	dst = append(append(dst, r.ID.String()...), "  "...)
	return append(dst, r.ID.String()...), nil
}
