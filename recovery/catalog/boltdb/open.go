package boltdb

import "github.com/recoverd/recoverd/recovery/catalog"

// Open returns the catalog at c.Path, which follows the name as a catalog.File
// of snapshots does: a file that another Restore put there is proven whole
// before the present one is left. c.Open is not used. The caller closes it.
func Open(c catalog.FileConfig) (*catalog.File, error) {
	c.Open = openContent
	return catalog.NewFile(c)
}

func openContent(path string) (catalog.Content, error) {
	r, err := OpenReader(path)
	if err != nil {
		return nil, err
	}
	return r, nil
}
