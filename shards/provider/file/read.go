package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/shards/provider"
)

var (
	// ErrNotRegular reports a directory, pipe, socket or device at the path.
	ErrNotRegular = errors.New("file: not a regular file")
	// ErrTooLarge reports a file of more than provider.MaxDocument bytes.
	ErrTooLarge = errors.New("file: too large")
)

// Load reads the document at path once, within the limits of a Provider. Errors
// name the path; those about the content wrap shards.ErrOwnership.
func Load(path string) (shards.Ownership, error) {
	data, err := read(path)
	if err != nil {
		return shards.Ownership{}, fmt.Errorf("ownership from %s: %w", path, err)
	}
	o, err := provider.ParseDocument(data)
	if err != nil {
		return shards.Ownership{}, fmt.Errorf("ownership from %s: %w", path, err)
	}
	return o, nil
}

// read returns the whole file. It blocks on no pipe, and takes in at most one byte
// more than provider.MaxDocument. Errors do not repeat the path.
func read(path string) ([]byte, error) {
	// Without O_NONBLOCK opening a pipe waits for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w but %s", ErrNotRegular, kind(info.Mode()))
	}
	data, err := io.ReadAll(io.LimitReader(f, provider.MaxDocument+1))
	if err != nil {
		return nil, withoutPath(err)
	}
	if len(data) > provider.MaxDocument {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, provider.MaxDocument)
	}
	return data, nil
}

func withoutPath(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", p.Op, p.Err)
	}
	return err
}

func kind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&fs.ModeNamedPipe != 0:
		return "a pipe"
	}
	return "a device"
}
