package keyfile

import (
	"io/fs"
	"os"
	"slices"
	"time"
)

// Stamp tells versions of some files apart. The zero value is like no other.
type Stamp struct{ files []fileState }

type fileState struct {
	info fs.FileInfo // nil: it could not be looked at
	size int64
	at   time.Time
}

// Look takes the stamp of files as they are now. Links are followed. A file that is not
// there has a stamp as well: reading it says what is wrong.
func Look(paths ...string) Stamp {
	s := Stamp{files: make([]fileState, len(paths))}
	for i, path := range paths {
		if info, err := os.Stat(path); err == nil {
			s.files[i] = fileState{info, info.Size(), info.ModTime()}
		}
	}
	return s
}

// Same reports whether two stamps are of the same version of the same files.
func (s Stamp) Same(o Stamp) bool {
	return s.files != nil && o.files != nil && slices.EqualFunc(s.files, o.files, fileState.same)
}

func (s fileState) same(o fileState) bool {
	if s.info == nil || o.info == nil {
		return s.info == nil && o.info == nil
	}
	return os.SameFile(s.info, o.info) && s.size == o.size && s.at.Equal(o.at)
}
