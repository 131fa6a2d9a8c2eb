package archive

import (
	"errors"
	"fmt"
	"strings"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

var (
	// ErrBusy: another creation of a snapshot in this directory, or another fetch
	// of this one, is under way.
	ErrBusy = errors.New("archive: busy")
	// ErrGone: the snapshot was removed, or is being removed.
	ErrGone = errors.New("archive: the snapshot is gone")
)

// NothingError: no full snapshot lies at or before the target, and the log does
// not begin with the first event.
type NothingError struct {
	Target uint64
	Newer  []Entry // complete ones beyond the target, by rising position
}

// Oldest is the full snapshot nearest beyond the target, or nil.
func (e *NothingError) Oldest() *Entry {
	for i := range e.Newer {
		if e.Newer[i].Kind == snapshot.Full {
			return &e.Newer[i]
		}
	}
	return nil
}

func (e *NothingError) Error() string {
	if e.Target == Latest {
		return "archive: there is no snapshot"
	}
	if o := e.Oldest(); o != nil {
		return fmt.Sprintf("archive: no snapshot at or before position %d; the oldest is %v at position %d", e.Target, o.Name, o.Position)
	}
	return fmt.Sprintf("archive: no snapshot at or before position %d, nor after it", e.Target)
}

// MissingError: snapshots lie before the target, and events between them and it
// are not there.
type MissingError struct {
	Target      uint64
	First, Last uint64 // the first hole; Last is before the log's first event, or the target
	Log         Range
	From        Route      // the one that leads furthest
	Newer       []Entry    // complete ones beyond the target: not in the way
	Passed      []Unusable // at or before it, of no use
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("archive: position %d is out of reach: event %d is missing (the best snapshot before it leads to position %d)",
		e.Target, e.First, e.First-1)
}

// DamagedError: the target could be reached, or reached further, were these
// snapshots good, or were it known which of them is.
type DamagedError struct {
	Target  uint64
	Entries []Unusable
	Newer   []Entry // complete ones beyond the target: not in the way
}

func (e *DamagedError) Error() string {
	var parts []string
	for _, u := range e.Entries {
		if len(u.Rivals) == 0 {
			parts = append(parts, fmt.Sprintf("%v is %s: %v", u.Name, u.Status, u.Err))
			continue
		}
		names := []string{u.Name.String()}
		for _, r := range u.Rivals {
			names = append(names, r.Name.String())
		}
		parts = append(parts, fmt.Sprintf("%s contradict each other (keep the right one, or ask for its digest)", strings.Join(names, " and ")))
	}
	where := "the newest position"
	if e.Target != Latest {
		where = fmt.Sprintf("position %d", e.Target)
	}
	return fmt.Sprintf("archive: %s cannot be relied on: %s", where, strings.Join(parts, "; "))
}

// NetworksError: snapshots of several networks lie in one directory.
type NetworksError struct{ Networks []string }

func (e *NetworksError) Error() string {
	return fmt.Sprintf("archive: snapshots of several networks, %q, in one place: keep one", e.Networks)
}

// RivalError: a snapshot was not published, because another one of the same
// slot with another digest is there (hazard 56). One of two nodes, or of two
// versions of a program, is wrong.
type RivalError struct{ New, There Name }

func (e *RivalError) Error() string {
	return fmt.Sprintf("archive: %v was made, and %v is there: the same position with another digest; find out which is wrong before anything else",
		e.New, e.There)
}

// SpaceError: creating a snapshot would leave less room than must stay free.
// Nothing was written. All figures are bytes.
type SpaceError struct {
	Dir                 string
	Free, Need, MinFree int64
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("archive: no room for a snapshot in %s: it needs about %d bytes, %d are free, and %d must stay free",
		e.Dir, e.Need, e.Free, e.MinFree)
}

// MisnamedError: a file's content is another snapshot than its name says.
type MisnamedError struct {
	File  string
	Holds recovery.Bound
	What  string // which part of the name is wrong
}

func (e *MisnamedError) Error() string {
	return fmt.Sprintf("archive: %s holds %v: its name gives another %s", e.File, e.Holds, e.What)
}
