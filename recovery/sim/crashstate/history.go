package crashstate

import "fmt"

// Kind is what an operation does.
type Kind uint8

const (
	Create   Kind = iota // an empty file gets the name Path
	Nameless             // an empty file has no name; here it is called Path: /1, /2, ...
	Mkdir                // a directory gets it
	Write                // Data at Off
	Truncate             // to Size
	Rename               // Path becomes To
	Link                 // To is a second name of Path
	Remove               // of a file or an empty directory
	Sync                 // fsync or fdatasync of what Path names
	SyncAll              // syncfs
	Note                 // Text, in Path; no operation of the disk
)

func (k Kind) String() string {
	return [...]string{"create", "nameless", "mkdir", "write", "truncate", "rename", "link", "remove", "sync", "sync all", "note"}[k]
}

// Op is one operation. Paths are relative to the root, with slashes; "." is the root.
// A file that had no name when it was made keeps what it is called, also when it has one.
type Op struct {
	Kind Kind
	Path string
	To   string
	Off  int64
	Size int64
	Data []byte
	Text string
	// Begin and End are moments: numbers that rise from event to event of all
	// threads. An operation that never ended has End Never.
	Begin, End int
}

// Never is the end of what was under way when the process died.
const Never = int(^uint(0) >> 1)

// History is what happened, in the order of Begin.
type History []Op

func (o Op) String() string {
	switch o.Kind {
	case Write:
		return fmt.Sprintf("write %s %d+%d", o.Path, o.Off, len(o.Data))
	case Truncate:
		return fmt.Sprintf("truncate %s to %d", o.Path, o.Size)
	case Rename, Link:
		return fmt.Sprintf("%s %s to %s", o.Kind, o.Path, o.To)
	case Note:
		return "note " + o.Text
	}
	return fmt.Sprintf("%s %s", o.Kind, o.Path)
}

// Add appends an operation that begins after all others ended, and ends at once: the
// form in which a port records.
func (h *History) Add(o Op) {
	now := 0
	if n := len(*h); n > 0 {
		now = (*h)[n-1].End + 1
	}
	o.Begin, o.End = now, now+1
	*h = append(*h, o)
}
