package snapshot

import (
	"github.com/recoverd/recoverd/recovery"
)

// State is four tables at one position. Each call returns a cursor of its own,
// from the first row; they may be used at the same time, by one goroutine. What
// they yield does not change as long as the state is in use. A *Reader of a full
// snapshot is one, and so is an *Overlay.
type State interface {
	// Header says which state it is. Base is nil.
	Header() Header
	Blobs() Cursor[Blob]
	Registrations() Cursor[Registration]
	Pooled() Cursor[Pooled]
	// Pools returns at most MaxPools pools by rising id. The slice is read-only.
	Pools() []Pool
}

// Cursors are one state's tables, to be read from any blob on. Pools are not
// among them, because they are held in memory.
type Cursors struct {
	Blobs         Seeker[Blob]
	Registrations Seeker[Registration]
	Pooled        Seeker[Pooled]
}

// seek moves all of them.
func (c Cursors) seek(id recovery.BlobID) error {
	if err := c.Blobs.Seek(id); err != nil {
		return err
	}
	if err := c.Registrations.Seek(id); err != nil {
		return err
	}
	return c.Pooled.Seek(id)
}
