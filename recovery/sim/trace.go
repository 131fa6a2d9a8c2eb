package sim

import (
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"slices"
	"strings"

	"github.com/recoverd/recoverd/recovery"
)

// trace is the history in words. Its hash proves that a seed is one history.
type trace struct {
	hash hash.Hash64
	out  io.Writer // nil: nobody reads
	buf  []byte
}

func newTrace(out io.Writer) trace { return trace{hash: fnv.New64a(), out: out} }

// note adds a line to the trace.
func (w *world) note(format string, args ...any) {
	t := &w.trace
	t.buf = fmt.Appendf(t.buf[:0], "%8.3f ", w.now.Seconds())
	t.buf = fmt.Appendf(t.buf, format, args...)
	t.buf = append(t.buf, '\n')
	_, _ = t.hash.Write(t.buf)
	if t.out != nil {
		_, _ = t.out.Write(t.buf)
	}
}

// name is a blob's letter: they go by rising id.
func (w *world) name(id recovery.BlobID) string {
	if i, ok := w.index[id]; ok {
		return string(rune('a' + i))
	}
	return "?"
}

func (w *world) names(ids []recovery.BlobID) string {
	var b strings.Builder
	for _, id := range ids {
		b.WriteString(w.name(id))
	}
	return b.String()
}

// mark is a mark in letters.
func (w *world) mark(m recovery.Mark) string {
	if m.None() || m.End() {
		return m.String()
	}
	id, _ := m.ID()
	if i, ok := w.index[id]; ok {
		return string(rune('a' + i))
	}
	for i := len(w.blobs) - 1; i >= 0; i-- {
		if m.Covers(w.blobs[i].ID) {
			return ">" + string(rune('a'+i))
		}
	}
	return "<a"
}

func (w *world) bound(b *recovery.Bound) string {
	if b == nil {
		return "none"
	}
	return fmt.Sprintf("%d/%d.%d", b.Position, b.Epoch, b.Digest[0])
}

// record is a record in a few words. Two records with the same words are the same
// to everybody who reads them.
func (w *world) record(r recovery.Record) string {
	p := r.Progress
	if p == nil {
		return fmt.Sprintf("paused=%v, nothing", r.Paused)
	}
	list := make([]string, 0, len(p.Unsettled))
	for _, u := range p.Unsettled {
		replace := ""
		if u.Replace {
			replace = "!"
		}
		list = append(list, fmt.Sprintf("%s%s%d.%d.%d%s", w.name(u.ID), replace, u.State, u.Tries, u.Attempts, u.Reason))
	}
	slices.Sort(list)
	return fmt.Sprintf("paused=%v run=%d %s e%d owned=%s/%d %q %.6s covered=%s bound=%s cursor=%s scan=%s list=%v %v",
		r.Paused, p.Run, p.Fence.Network, p.Epoch, p.Fence.Owned, p.Fence.TotalShards, p.Fence.Continuity, p.Fence.Store,
		w.bound(p.Covered), w.bound(&p.Bound), w.mark(p.Cursor), w.mark(p.Scan), list, p.Counters)
}

// effect is an effect in a few words.
func (w *world) effect(e recovery.Effect) string {
	switch e := e.(type) {
	case recovery.TakeBound:
		return fmt.Sprintf("take bound #%d", e.Seq)
	case recovery.OpenStore:
		return fmt.Sprintf("open store #%d for %s/%d, claimed %s, settled %d", e.Seq, e.Request.Owned, e.Request.TotalShards, e.Request.Claimed, e.Request.Settled)
	case recovery.ReadPage:
		return fmt.Sprintf("read page #%d run %d after %s since %s", e.Seq, e.Run, w.mark(e.After), w.bound(e.Since))
	case recovery.LookUp:
		return fmt.Sprintf("look up #%d run %d %s", e.Seq, e.Run, w.names(e.IDs))
	case recovery.Sync:
		return fmt.Sprintf("sync #%d run %d %s attempt %d replace=%v", e.Seq, e.Run, w.name(e.Blob.ID), e.Attempt, e.Replace)
	case recovery.CancelRun:
		return fmt.Sprintf("cancel run %d", e.Run)
	case recovery.Save:
		return fmt.Sprintf("save #%d less=%v %s", e.Seq, e.Less, w.record(e.Record))
	case recovery.Answered:
		return fmt.Sprintf("answered %d taken=%d busy=%s unknown=%s refused=%s", e.Ticket, e.Taken, w.names(e.Busy), w.names(e.Unknown), w.names(e.Refused))
	case recovery.PhaseChanged:
		return fmt.Sprintf("%v -> %v: %s", e.From, e.To, e.Why)
	case recovery.Decided:
		return fmt.Sprintf("decided run %d: %s: %s", e.Run, e.Origin.Decision, e.Origin.Why)
	case recovery.BlobParked:
		return fmt.Sprintf("parked %s after %d", w.name(e.ID), e.Tries)
	case recovery.ReadTrouble:
		return fmt.Sprintf("trouble %s %q %d", e.What, e.Err, e.Count)
	case recovery.Halt:
		return fmt.Sprintf("halt misconfigured=%v: %s", e.Misconfigured, e.Reason)
	}
	return fmt.Sprintf("%T", e)
}

// event is an event in a few words.
func (w *world) event(e recovery.Event) string {
	switch e := e.(type) {
	case recovery.Tick:
		return "tick"
	case recovery.Loaded:
		return fmt.Sprintf("loaded last run %d, %q: %s", e.LastRun, e.Note, w.record(e.Record))
	case recovery.OwnershipSeen:
		o := e.Ownership
		return fmt.Sprintf("ownership e%d %s/%d %q %s", o.Epoch, o.Owned, o.TotalShards, o.Continuity, o.Node)
	case recovery.BoundTaken:
		return fmt.Sprintf("bound #%d %s tip=%v ancestors=%d", e.Seq, w.bound(&e.Tip.Bound), e.Tip.AtTip, len(e.Tip.Ancestors))
	case recovery.StoreOpened:
		return fmt.Sprintf("store opened #%d %.6s wiped=%s", e.Seq, e.Report.Identity, e.Report.Wiped)
	case recovery.PageRead:
		return fmt.Sprintf("page #%d %d/%d end=%v %s", e.Seq, e.Info.Stamp.Position, e.Info.Stamp.Epoch, e.Info.End, w.rows(e.Rows[:e.Info.N]))
	case recovery.LookedUp:
		return fmt.Sprintf("looked up #%d %d/%d %s", e.Seq, e.Stamp.Position, e.Stamp.Epoch, w.rows(e.Rows))
	case recovery.Sealed:
		return fmt.Sprintf("sealed #%d run %d %s", e.Seq, e.Run, w.name(e.ID))
	case recovery.Synced:
		return fmt.Sprintf("synced #%d run %d %s %v %s definite=%v covers %s/%d delay %v", e.Seq, e.Run, w.name(e.ID), e.Outcome.Result, e.Outcome.Reason,
			e.Outcome.Definite, e.Outcome.Covers.Owned, e.Outcome.Covers.Total, e.Delay)
	case recovery.RetryAsked:
		return fmt.Sprintf("retry asked %d %s", e.Ticket, w.names(e.IDs))
	case recovery.PutBack:
		var ids []recovery.BlobID
		for _, b := range e.Blobs {
			ids = append(ids, b.ID)
		}
		return fmt.Sprintf("put back %d %s", e.Ticket, w.names(ids))
	}
	return fmt.Sprintf("%T%+v", e, e)
}

func (w *world) rows(rows []recovery.Row) string {
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(w.name(r.ID))
		if r.Stored {
			b.WriteByte('+')
		}
	}
	return b.String()
}
