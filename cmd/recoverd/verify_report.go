package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/audit"
	"github.com/recoverd/recoverd/syncer/store/fs"
)

// verifyReport prints what is found, as it is found.
type verifyReport struct {
	out    io.Writer
	json   bool
	reader *fs.Reader
	lines  int
}

// maxFindingLines bounds the findings printed for people. JSON has all of them.
const maxFindingLines = 1_000

func newVerifyReport(out io.Writer, format string, reader *fs.Reader) *verifyReport {
	return &verifyReport{out: out, json: format == "json", reader: reader}
}

// findingView is a finding in JSON. Of a stray there are only shard and error.
type findingView struct {
	Kind  audit.Kind `json:"finding"`
	Shard *uint32    `json:"shard,omitempty"`
	// Manifest: it is about the blob's manifest, or their directory, and there is no shard.
	Manifest bool             `json:"manifest,omitempty"`
	ID       *recovery.BlobID `json:"id"`
	Path     string           `json:"path,omitempty"`
	Want     int64            `json:"want,omitempty"`
	Have     *int64           `json:"have,omitempty"`
	Err      string           `json:"error,omitempty"`
}

func (r *verifyReport) finding(f audit.Finding) error {
	view := findingView{Kind: f.Kind, Manifest: f.Manifest, Err: f.Err}
	where := "manifest"
	if !f.Manifest {
		view.Shard, where = &f.Shard, fmt.Sprintf("shard %d", f.Shard)
	}
	if f.Kind != audit.Stray {
		view.ID, view.Path = &f.ID, r.reader.Path(f.Place(), f.ID)
	}
	if f.Kind == audit.WrongSize {
		view.Want, view.Have = f.Want, &f.Have
	}
	if r.json {
		return json.NewEncoder(r.out).Encode(view)
	}
	var err error
	switch r.lines++; {
	case r.lines > maxFindingLines+1:
	case r.lines == maxFindingLines+1:
		_, err = fmt.Fprintf(r.out, "... further ones are only counted here; -o json lists them all\n")
	case view.ID == nil:
		_, err = fmt.Fprintf(r.out, "%s: %s\n", where, printable(f.String()))
	default:
		_, err = fmt.Fprintf(r.out, "%s: %s: %s\n", where, view.Path, printable(f.String()))
	}
	return err
}

// verifySummary is the last line of the JSON.
type verifySummary struct {
	// Good: all that should be stored was read and is as it should be.
	Good    bool           `json:"good"`
	Catalog recovery.Bound `json:"catalog"`
	Note    string         `json:"note,omitempty"`
	Began   time.Time      `json:"began"`
	Ended   time.Time      `json:"ended"`
	verifySums
	AbsentShards shards.Set            `json:"absent_shards"`
	Needless     map[audit.Kind]uint64 `json:"needless"` // null: not looked for
}

// end prints the sums.
func (r *verifyReport) end(v *verification, absent shards.Set) error {
	s := verifySummary{
		Good: v.state.Sums.wrong() == 0, Catalog: v.catalog.tip.Bound, Note: v.catalog.note, Began: v.state.Began,
		Ended: time.Now().UTC(), verifySums: v.state.Sums, AbsentShards: absent, Needless: v.needless,
	}
	if r.json {
		return json.NewEncoder(r.out).Encode(map[string]verifySummary{"summary": s})
	}
	var t table
	t.row("catalog", "%s", s.Catalog)
	if s.Note != "" {
		t.row("", "%s", s.Note)
	}
	t.row("looked at", "%s blobs; %s were read and hashed", humanize.Comma(int64(s.Blobs)), humanize.IBytes(s.Bytes))
	if s.Expired > 0 {
		t.row("expired", "%s, which need not be stored any more", humanize.Comma(int64(s.Expired)))
	}
	if absent.Len() > 0 {
		t.row("no directory", "shard %s: is its disk mounted?", absent)
	}
	for _, kind := range audit.Wrong() {
		if n := s.Wrong[kind]; n > 0 {
			t.row(kindText(kind), "%s", humanize.Comma(int64(n)))
		}
	}
	for _, kind := range audit.Needless() {
		if n := s.Needless[kind]; n > 0 {
			t.row(kindText(kind), "%s; nothing was deleted", humanize.Comma(int64(n)))
		}
	}
	t.row("result", "%s", s.verdict())
	if s.Repair != nil {
		s.Repair.tell(&t)
	}
	return t.write(r.out, 0)
}

func (s *verifySummary) verdict() string {
	n := humanize.Comma(int64(s.wrong()))
	switch {
	case s.Good:
		return "all that should be stored is stored, with the right bytes"
	case s.Repair == nil && s.Wrong[audit.Irregular] != s.wrong():
		return n + " wrong; verify --repair hands them to the daemon, which fetches them again"
	case s.Wrong[audit.Irregular] > 0:
		return n + " wrong; what is no regular file must be taken away by hand first"
	}
	return n + " wrong"
}

func (r *repairSums) tell(t *table) {
	t.row("repair", "%s queued; verify again when the daemon has fetched them", humanize.Comma(int64(r.Queued)))
	if r.NotCertified > 0 {
		t.row("", "%s are not certified any more, and were not wrong", humanize.Comma(int64(r.NotCertified)))
	}
	if r.NotOwned > 0 {
		t.row("", "%s are of shards that the daemon does not own now", humanize.Comma(int64(r.NotOwned)))
	}
	if n := r.Refused + r.NotAsked; n > 0 {
		t.row("", "%s found no room in the daemon's list: verify --repair again when it is shorter", humanize.Comma(int64(n)))
	}
}

func kindText(k audit.Kind) string {
	return map[audit.Kind]string{
		audit.Missing: "missing", audit.WrongSize: "wrong size", audit.Rotten: "bit rot", audit.Irregular: "no regular file",
		audit.Unreadable: "unreadable", audit.NotCertified: "not certified", audit.NotOwned: "shard not owned",
		audit.Misplaced: "in a wrong shard", audit.Stray: "no piece",
	}[k]
}
