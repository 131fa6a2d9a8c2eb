package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
)

// writeStatus prints a status for people.
func writeStatus(out io.Writer, d statusapi.Document) error {
	return statusTable(d).write(out, 0)
}

// statusTable says everything that matters, and only what is known.
func statusTable(d statusapi.Document) *table {
	t := &table{}
	t.state(d)
	t.work(d)
	t.position(d)
	t.surroundings(d)
	return t
}

// state says where the worker stands and what stands in its way.
func (t *table) state(d statusapi.Document) {
	t.row("phase", "%s: %s", phaseText(d), d.Why)
	if d.Paused {
		t.row("paused", "yes, until it is resumed; restarts do not change that")
	}
	if d.Blocked != "" && d.Blocked != "paused" {
		t.row("blocked", "%s", d.Blocked)
	}
	if d.Trouble != "" {
		t.row("trouble", "%s", d.Trouble)
	}
	switch {
	case d.CatalogTrouble == "":
	case d.Followed != nil:
		t.row("catalog", "%s", d.CatalogTrouble)
	default:
		t.row("catalog", "the newest one is not used, the one before it is: %s", d.CatalogTrouble)
	}
	if d.OwnershipTrouble != "" {
		t.row("ownership", "a new document was refused, the old one stays in force: %s", d.OwnershipTrouble)
	}
	if d.Run > 0 {
		t.row("run", "%d, %s", d.Run, originText(d.Origin))
	}
}

// phaseText names the phase, or says since when nothing is known about it.
func phaseText(d statusapi.Document) string {
	text := d.Phase
	switch d.Phase {
	case statusapi.PhaseNotRunning:
		text = "not running"
	case statusapi.PhaseNoAnswer:
		text = "a process holds the state directory and does not answer (starting, or ending?)"
	}
	if !d.Running && !d.At.IsZero() {
		text = "as of " + timeText(d.At) + ", " + text
	}
	return text
}

// originText says how the run, or this process's part of it, began, and why.
func originText(o recovery.Origin) string {
	words := map[recovery.DecisionKind]string{
		recovery.Fresh:   "began from nothing",
		recovery.Resume:  "resumed at " + shortMark(o.From),
		recovery.Extend:  "went on with a newer catalog",
		recovery.Relook:  "looks at everything again",
		recovery.Discard: "discarded earlier progress, which was at " + shortMark(o.From),
		recovery.Nothing: "found everything done",
	}
	text, ok := words[o.Decision]
	if !ok {
		text = string(o.Decision)
	}
	if o.Why != "" {
		text += ": " + o.Why
	}
	return text
}

// work says what was done, what is not, and how fast it goes.
func (t *table) work(d statusapi.Document) {
	if d.Run == 0 {
		return
	}
	c := d.Counters
	t.row("looked at", "%s", lookedText(d))
	t.row("stored", "%s, %s", plural(c.Stored, "blob"), size(c.StoredBytes))
	t.row("skipped", "%s already stored, %s not certified any more, %s expired", count(c.AlreadyStored), count(c.NotCertified), count(c.Expired))
	t.row("unsettled", "%s", unsettledText(d))
	if !d.Running {
		return
	}
	if d.Phase == recovery.PhaseComplete.String() {
		return
	}
	t.row("rate", "%s blobs/s, %s/s", rate(d.BlobsPerSecond), size(int64(d.BytesPerSecond)))
	t.row("remaining", "%s", remainingText(d))
}

func lookedText(d statusapi.Document) string {
	text := plural(d.Counters.Looked, "blob") + " in this pass"
	if looked, total, ok := lookedAt(d); ok {
		about := ""
		if d.Bound != nil && d.Newest != nil && *d.Bound != *d.Newest {
			about = "about " // the count is the newest catalog's
		}
		text = fmt.Sprintf("%s of %s%s in this pass", count(looked), about, plural(total, "catalog blob"))
	}
	if share := settledText(d); share != "" {
		text += ", " + share + " settled"
	}
	if n := d.Counters.Passes; n > 0 {
		text += "; passes finished: " + count(n)
	}
	return text
}

// settledText is a percentage, or "" where there is none.
func settledText(d statusapi.Document) string {
	permille, ok := settledPermille(d)
	if !ok {
		return ""
	}
	if permille == 1_000 {
		return "100 %"
	}
	return fmt.Sprintf("%d.%d %%", permille/10, permille%10)
}

func unsettledText(d statusapi.Document) string {
	u := d.Unsettled
	if u.Total == 0 {
		return "none"
	}
	var parts []string
	for _, p := range []struct {
		n    int
		text string
	}{
		{u.Fetching, "in flight"}, {u.Flushing, "being made durable"}, {u.Waiting, "waiting"},
		{u.Retrying, "retrying"}, {u.Parked, "parked"},
	} {
		if p.n > 0 {
			parts = append(parts, count(p.n)+" "+p.text)
		}
	}
	text := count(u.Total)
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	if d.BytesInFlight > 0 {
		text += fmt.Sprintf(" (%s in flight)", size(d.BytesInFlight))
	}
	return text
}

func remainingText(d statusapi.Document) string {
	if d.ETA == nil {
		return "unknown"
	}
	from, to := spell(d.ETA.Low()), spell(d.ETA.High())
	if from == to {
		return "about " + to
	}
	return from + " to " + to
}

// followedText says how far a catalog follows its events, and which snapshots it has.
func followedText(f *statusapi.FollowedView, now time.Time) string {
	text := fmt.Sprintf("applied up to %d", f.Position)
	switch {
	case f.Tip == nil:
		text += ", the source was not heard yet"
	case *f.Tip > f.Position:
		text += fmt.Sprintf(" of %d (%s behind)", *f.Tip, count(*f.Tip-f.Position))
	}
	for _, s := range []struct {
		kind string
		made statusapi.SnapshotView
	}{{"full", f.Full}, {"incremental", f.Incremental}} {
		switch {
		case s.made.Trouble != "":
			text += fmt.Sprintf("; %s snapshot FAILED: %s", s.kind, s.made.Trouble)
		case s.made.Position > 0:
			text += fmt.Sprintf("; %s snapshot at %d, %s ago", s.kind, s.made.Position, spell(now.Sub(s.made.At)))
		}
	}
	return text
}

// position says what is claimed durably.
func (t *table) position(d statusapi.Document) {
	if d.Bound != nil {
		from := "none"
		if d.Covered != nil {
			from = fmt.Sprintf("position %d", d.Covered.Position)
		}
		text := fmt.Sprintf("%s: covered %s, this pass goes up to position %d", d.Bound.Network, from, d.Bound.Position)
		if d.Newest != nil && d.Newest.Position != d.Bound.Position {
			text += fmt.Sprintf(", the catalog is at %d", d.Newest.Position)
		}
		t.row("catalog", "%s", text)
	}
	if f := d.Followed; f != nil {
		t.row("events", "%s", followedText(f, d.At))
	}
	if d.CursorDurable != nil && d.Run > 0 {
		text := shortMark(*d.CursorDurable) + " on disk"
		if c := d.Checkpoint; d.Running && c != nil && !c.SavedAt.IsZero() {
			text += fmt.Sprintf(", saved %s ago", spell(d.At.Sub(c.SavedAt)))
		}
		t.row("cursor", "%s", text)
	}
	if c := d.Checkpoint; c != nil && c.Note != "" {
		t.row("checkpoint", "%s", c.Note)
	}
}

// surroundings says what the worker depends on.
func (t *table) surroundings(d statusapi.Document) {
	if !d.Running {
		return
	}
	if o := d.Ownership; o != nil {
		t.row("shards", "%s of %s, epoch %d, node %s", count(o.Owned.Len()), count(o.TotalShards), o.Epoch, o.Node)
	}
	t.row("peers", "%d of %d reachable", d.PeersReachable, d.PeersTotal)
	t.peers(d)
	if r := d.Room; r != nil {
		t.row("free space", "%s, %s are kept free", size(r.FreeBytes), size(r.MinFreeBytes))
	}
	if s := d.Store; s != nil && s.Foreign {
		t.row("store", "%s has pieces that others wrote: their names are trusted, not hashed", s.Root)
	}
	if d.Store != nil {
		for _, v := range d.Store.Volumes {
			t.row("durability", "%s", volumeText(v))
		}
	}
	if l := d.Limits; l != nil {
		t.row("limits", "%s and %s in flight, bandwidth: %s", blobsOf(*l), size(l.BytesInFlight), bandwidth(*l))
	}
	text := fmt.Sprintf("up %s, version %s", spell(d.At.Sub(d.Started)), d.Version)
	if d.LogLevel != nil {
		text += ", logs " + *d.LogLevel
	}
	t.row("daemon", "%s", text)
}

// volumeText says how pieces are made durable on one volume.
func volumeText(v statusapi.VolumeView) string {
	text := fmt.Sprintf("%s: %s, %s", v.Path, v.Durability, v.Why)
	if v.LastFlushMS > 0 {
		text += fmt.Sprintf("; the last flush took %.1f ms", v.LastFlushMS)
	}
	if v.GroupBlobs > 0 { // else it was for names
		text += fmt.Sprintf(" for %s, %s", plural(v.GroupBlobs, "blob"), size(v.GroupBytes))
	}
	return text
}
