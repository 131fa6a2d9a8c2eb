package archive

import (
	"errors"
	"os"
)

// disk makes the changes to the directory that others see. Everything else is
// written below a draft.
type disk interface {
	Mkdir(path string) error
	Rename(from, to string) error
	Remove(path string) error
	// Sync makes a file, or the names in a directory, durable.
	Sync(path string) error
}

type osDisk struct{}

// Mkdir implements disk.
func (osDisk) Mkdir(path string) error { return os.Mkdir(path, 0o755) }

// Rename implements disk.
func (osDisk) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements disk.
func (osDisk) Remove(path string) error { return os.Remove(path) }

// Sync implements disk.
func (osDisk) Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
