package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/recoverd/recoverd/recovery/boltfile"
)

const (
	// txidLen is how long the number is that the head's value begins with, big-endian:
	// that of the transaction which wrote it.
	txidLen = 8
	// maxDatabase bounds a file that is looked into, in bytes: dozens of lists of
	// the largest size, of which two or three are in the file at a time.
	maxDatabase = 1 << 30
)

// The database holds one bucket, and in it two keys.
var (
	bucketName = []byte("checkpoint")
	headKey    = []byte("head")
	listKey    = []byte("list")
)

// scanPages reads both values of a database file without bbolt. It succeeds only if
// the file is fit to be opened (boltfile.Walk), holds these two values and nothing
// else, and the head is of the file's last transaction: so a page whose last write
// never arrived, or went elsewhere, is noticed although its old content is intact.
// Otherwise it returns no values at all. Their own checksums are the caller's to look
// at. Errors are the reader's own, or damage.
func scanPages(r io.ReaderAt, size int64) (headValue, list []byte, err error) {
	if size < 4*boltfile.PageSize || size > maxDatabase {
		return nil, nil, damaged("the file is %d bytes long, want %d to %d", size, 4*boltfile.PageSize, maxDatabase)
	}
	var values [][]byte
	keys := [][]byte{headKey, listKey}
	txid, err := boltfile.Walk(r, size, func(bucket, key, value []byte) error {
		if n := len(values); !bytes.Equal(bucket, bucketName) || n == len(keys) || !bytes.Equal(key, keys[n]) {
			return damaged("key %d is %q in %q", n, key, bucket)
		}
		values = append(values, value)
		return nil
	})
	var bad *boltfile.Damage
	switch {
	case errors.As(err, &bad):
		return nil, nil, damaged("%s", bad.What)
	case err != nil:
		return nil, nil, err
	case len(values) < len(keys):
		return nil, nil, damaged("it holds %d values, want %d", len(values), len(keys))
	case len(values[0]) < txidLen || binary.BigEndian.Uint64(values[0]) != txid:
		return nil, nil, damaged("the head is not of transaction %d", txid)
	}
	return values[0][txidLen:], values[1], nil
}
