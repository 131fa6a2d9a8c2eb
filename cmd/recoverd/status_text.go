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
	if d.CatalogTrouble != "" {
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
	if d.Phase != recovery.PhaseComplete.String() {
		t.row("rate", "%s blobs/s, %s/s", rate(d.BlobsPerSecond), size(int64(d.BytesPerSecond)))
	}
	t.row("remaining", "%s", remainingText(d))
}

func lookedText(d statusapi.Document) string {
	text := plural(d.Counters.Looked, "blob") + " in this pass"
	if d.CatalogBlobs != nil {
		about := ""
		if d.Bound != nil && d.Newest != nil && *d.Bound != *d.Newest {
			about = "about " // the count is the newest catalog's
		}
		text = fmt.Sprintf("%s of %s%s in this pass", count(d.Counters.Looked), about, plural(*d.CatalogBlobs, "catalog blob"))
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
	for _, p := range d.Peers {
		if text := peerText(d.At, p); text != "" {
			t.row("", "%s", text)
		}
	}
	if r := d.Room; r != nil {
		t.row("free space", "%s, %s are kept free", size(r.FreeBytes), size(r.MinFreeBytes))
	}
	if s := d.Store; s != nil && s.Foreign {
		t.row("store", "%s has pieces that others wrote: their names are trusted, not hashed", s.Root)
	}
	t.row("daemon", "up %s, version %s", spell(d.At.Sub(d.Started)), d.Version)
}

// peerText describes a peer that is in trouble or has caused some; "" for one
// that has not.
func peerText(now time.Time, p statusapi.PeerView) string {
	if p.LastError == "" && p.State == "reachable" && p.WrongBytes+p.Failed+p.Unreachable == 0 {
		return ""
	}
	text := fmt.Sprintf("%s %s: %s fetched, %s absent, %s wrong, %s failed, %s unanswered", p.Name, p.State,
		count(p.Fetched), count(p.Absent), count(p.WrongBytes), count(p.Failed), count(p.Unreachable))
	if p.LastError != "" {
		text += fmt.Sprintf("; %s ago: %s", spell(now.Sub(p.LastErrorAt)), p.LastError)
	}
	return text
}
