package main

import (
	"fmt"
	"io"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
)

// progressText names progress in a line.
func progressText(r recovery.Record, report checkpoint.LoadReport) string {
	p := r.Progress
	if p == nil {
		return "progress that cannot be read"
	}
	return fmt.Sprintf("run %d, cursor %s, %s stored, %s unsettled", p.Run, shortMark(p.Cursor),
		plural(p.Counters.Stored, "blob"), count(report.Entries))
}

// writeCheckpoint prints a checkpoint for people.
func writeCheckpoint(out io.Writer, d checkpoint.Description, unsettled bool) error {
	t := &table{}
	t.source(d)
	if p := d.Record.Progress; p != nil {
		t.progress(p)
		t.list(d, unsettled)
	}
	return t.write(out, 0)
}

func (t *table) source(d checkpoint.Description) {
	t.row("directory", "%s", d.Dir)
	from := "nothing was saved here"
	if d.Source != checkpoint.SourceNone {
		from = fmt.Sprintf("%s, write %d", d.Source, d.Seq)
	}
	if d.InUse {
		from += "; a daemon is running, so only the mirror was read"
	}
	t.row("source", "%s", from)
	for _, damage := range d.Damage {
		t.row("damage", "%s: %s", damage.File, damage.Why)
	}
	if d.Record.Paused {
		t.row("paused", "yes")
	}
	if d.Record.Progress == nil && d.LastRun > 0 {
		t.row("progress", "none; the last run was number %d", d.LastRun)
	}
}

func (t *table) progress(p *recovery.Progress) {
	f, c := p.Fence, p.Counters
	covered := "none"
	if p.Covered != nil {
		covered = p.Covered.String()
	}
	t.row("saved", "%s", timeText(p.SavedAt))
	t.row("run", "%d, %s", p.Run, originText(p.Origin))
	t.row("bound to", "network %q, shards %s of %d, placement %s, continuity %q, epoch %d", f.Network, f.Owned, f.TotalShards, f.Placement, f.Continuity, p.Epoch)
	t.row("store", "%s", f.Store)
	t.row("covered", "%s", covered)
	t.row("bound", "%s", p.Bound)
	t.row("cursor", "%s", p.Cursor)
	t.row("scan", "%s", p.Scan)
	t.row("stored", "%s, %s; already there %s, not certified any more %s, expired %s", plural(c.Stored, "blob"), size(c.StoredBytes),
		count(c.AlreadyStored), count(c.NotCertified), count(c.Expired))
}

func (t *table) list(d checkpoint.Description, each bool) {
	if d.List != checkpoint.ListWhole {
		t.row("unsettled", "%s; the list is %s in this copy", count(d.Entries), d.List)
		return
	}
	t.row("unsettled", "%s", count(d.Entries))
	if !each {
		return
	}
	for _, u := range statusapi.NewUnsettledPage(d.Record.Progress.Unsettled, nil, 0).Unsettled {
		text := fmt.Sprintf("%s %s, attempts %d", u.ID, u.State, u.Attempts)
		if u.Reason != "" {
			text += fmt.Sprintf(", %s: %s", u.Reason, u.LastError)
		}
		t.row("", "%s", text)
	}
}
