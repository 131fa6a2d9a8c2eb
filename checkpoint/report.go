package checkpoint

import (
	"fmt"
	"strings"
)

// Source names the copy that a record was read from.
type Source string

const (
	// SourceNone: there was no readable copy.
	SourceNone     Source = "none"
	SourceDatabase Source = "checkpoint.db"
	SourceMirrorA  Source = "progress-a"
	SourceMirrorB  Source = "progress-b"
	// SourceMemory: a Nop, which keeps nothing.
	SourceMemory Source = "memory"
)

// Damage is one copy that could not be read, or not whole.
type Damage struct {
	File string `json:"file"` // its name in the state directory
	Why  string `json:"why"`
}

// LoadReport says where a record came from, and what was lost on the way.
type LoadReport struct {
	Source Source `json:"source"`
	Path   string `json:"path,omitempty"` // of that copy; empty for none
	// Run is the run of the record's progress, 0 without progress. LastRun is the
	// highest run that any readable copy names: a new run is numbered above it.
	Run     uint64 `json:"run"`
	LastRun uint64 `json:"last_run"`
	// Seq is the number of the write that made the copy.
	Seq uint64 `json:"seq"`
	// Entries is the length of the unsettled list as the copy's head counts it;
	// List says whether it was read. After a Load, a list that is not whole was
	// dropped together with covered and the scan position (I4).
	Entries int       `json:"entries"`
	List    ListState `json:"list"`
	// Fallbacks counts the copies that should have been used before this one, and
	// could not be (hazard 15).
	Fallbacks int      `json:"fallbacks"`
	Damage    []Damage `json:"damage,omitempty"`
	// SetAside is the path that a damaged database was renamed to; or empty.
	SetAside string `json:"set_aside,omitempty"`
}

// forgotten is what a lost list costs beyond work: blobs that are stored with wrong
// bytes, and were to be replaced, have nothing in the store that says so.
const forgotten = "; repairs that were not finished are forgotten, recoverd verify --repair finds them again"

// Note says in one line, for the run's origin and the log, what was lost or set
// aside; empty when all is well.
func (r LoadReport) Note() string {
	var parts []string
	for _, d := range r.Damage {
		parts = append(parts, d.File+": "+d.Why)
	}
	if r.SetAside != "" {
		parts = append(parts, "the damaged database is kept as "+r.SetAside)
	}
	if r.Fallbacks > 0 {
		from := "progress is from " + string(r.Source)
		if r.Source == SourceNone {
			from = "no progress could be read" + forgotten
		}
		parts = append(parts, from)
	}
	if r.Source != SourceNone && r.List != ListWhole {
		parts = append(parts, fmt.Sprintf("the list of %d unsettled blobs is %s, so everything above the cursor is looked at again%s", r.Entries, r.List, forgotten))
	}
	return strings.Join(parts, "; ")
}

// follow takes over the numbers of a record that was written.
func (r *LoadReport) follow(h head) {
	r.Seq, r.LastRun, r.Run = h.seq, h.lastRun, 0
	if h.progress != nil {
		r.Run = h.progress.Run
	}
}

// reportOf describes a copy.
func reportOf(s stored) LoadReport {
	r := LoadReport{
		Source: s.source, Path: s.path, LastRun: s.lastRun, Seq: s.seq,
		Entries: s.list.entries, List: s.listState,
	}
	if s.progress != nil {
		r.Run = s.progress.Run
	}
	return r
}
