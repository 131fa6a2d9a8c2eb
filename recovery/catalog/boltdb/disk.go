package boltdb

import (
	"errors"
	"os"

	"go.etcd.io/bbolt"
)

// disk is what makes a file and its name durable, in this order.
type disk interface {
	sync(db *bbolt.DB) error
	rename(from, to string) error
	syncDir(dir string) error
}

type realDisk struct{}

func (realDisk) sync(db *bbolt.DB) error      { return db.Sync() }
func (realDisk) rename(from, to string) error { return os.Rename(from, to) }

func (realDisk) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
