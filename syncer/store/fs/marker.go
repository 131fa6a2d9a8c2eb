package fs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/recoverd/recoverd/syncer/store"
)

// readMarker returns a directory's marker, or nil if it has none. decode is
// store.DecodeRoot or store.DecodeShard.
func readMarker[M any](dir *os.Root, decode func([]byte) (M, error)) (*M, error) {
	f, _, err := openRegular(dir, store.MarkerName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open marker: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(f, store.MaxMarker+1))
	if err != nil {
		return nil, fmt.Errorf("read marker: %w", err)
	}
	m, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("read marker %s: %w", joined(dir, store.MarkerName), err)
	}
	return &m, nil
}

// writeMarker gives a directory its marker, durably (hazard 46).
func writeMarker(dir *os.Root, data []byte) error {
	temp, f, err := createTemp(dir)
	if err != nil {
		return fmt.Errorf("write marker: %w", err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = inDoubt(f.Sync())
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = retryEINTR(func() error { return dir.Rename(temp, store.MarkerName) })
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write marker: %w", err), dir.Remove(temp))
	}
	if err := flushDir(dir, "."); err != nil {
		return fmt.Errorf("write marker: %w", err)
	}
	return nil
}

// createTemp makes a new file under a temporary name, which is never one that
// is there already, whatever it is. It lies in a directory of its own, so that
// leftovers are found without reading the names of all pieces.
func createTemp(dir *os.Root) (name string, f *os.File, err error) {
	for range 8 {
		name = store.TempDir + "/" + tempName()
		f, err = dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if err = dir.Mkdir(store.TempDir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
				return "", nil, err
			}
		case !errors.Is(err, fs.ErrExist):
			return name, f, err
		}
	}
	return name, f, err
}
