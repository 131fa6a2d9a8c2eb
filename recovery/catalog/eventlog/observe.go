package eventlog

import (
	"time"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// Observer is told what happens to a catalog. Observe must not block, and may be
// called from any goroutine.
type Observer interface{ Observe(Notice) }

// Notice is one of the types below.
type Notice interface{ notice() }

// TroubleBegan: the catalog cannot follow for now, or for another reason than
// before. It is told once for each reason, and tried again.
type TroubleBegan struct{ Err error }

// TroubleEnded: the catalog follows again.
type TroubleEnded struct {
	Failures uint64 // tries that failed since it began
}

// SnapshotMade: a snapshot is durable.
type SnapshotMade struct {
	Kind     snapshot.Kind
	Position uint64
	Took     time.Duration
}

// SnapshotFailed: a snapshot could not be made. It is tried again when the next
// one is due.
type SnapshotFailed struct {
	Kind snapshot.Kind
	Err  error
}

func (TroubleBegan) notice()   {}
func (TroubleEnded) notice()   {}
func (SnapshotMade) notice()   {}
func (SnapshotFailed) notice() {}

func (c *Catalog) tell(n Notice) {
	if c.cfg.Observer != nil {
		c.cfg.Observer.Observe(n)
	}
}
