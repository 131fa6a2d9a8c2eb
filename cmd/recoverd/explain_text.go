package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
)

// explainWidth is how many characters a line of an explanation has at most, but for
// the id and for words that are longer.
const explainWidth = 80

// writeExplanation prints an explanation for people.
func writeExplanation(out io.Writer, e explanation) error {
	t := &table{}
	state := e.State
	if !e.Running {
		state = asOf(e.At, e.inUse) + ": " + e.State
	}
	t.row("blob", "%s", e.ID)
	t.row("state", "%s", strings.ReplaceAll(state, "_", " "))
	t.row("why", "%s", e.Why)
	t.entry(e)
	t.certified(e)
	t.holders(e)
	t.tries(e)
	t.row("do", "%s", e.advice())
	return t.wrapped(explainWidth).write(out, 0)
}

func (t *table) entry(e explanation) {
	u := e.Entry
	if u == nil {
		return
	}
	text := fmt.Sprintf("%s, %s (a peer answered: it has not got it, or sent wrong bytes)", plural(u.Attempts, "attempt"), plural(u.Tries, "definite failure"))
	if !u.FirstFailed.IsZero() {
		text += ", the first at " + timeText(u.FirstFailed)
	}
	t.row("failures", "%s", text)
	if u.Reason != "" {
		t.row("last one", "%s: %s", u.Reason, u.LastError)
	}
	if wait := u.NextTry.Sub(e.At); e.Running && !u.NextTry.IsZero() {
		t.row("next try", "in %s", spell(max(wait, 0)))
	}
}

// certified says what the catalog says, and which state of it.
func (t *table) certified(e explanation) {
	at := ""
	if s := e.Stamp; s != nil {
		at = fmt.Sprintf("; asked: %s at position %d, epoch %d", s.Network, s.Position, s.Epoch)
	}
	switch {
	case e.Certified == nil:
		t.row("certified", "not known: %s%s", e.CertifiedError, at)
		return
	case !*e.Certified:
		t.row("certified", "no%s", at)
		return
	}
	r := e.Row
	until := "without end"
	if r.EndEpoch != nil {
		until = fmt.Sprintf("to epoch %d, exclusive", *r.EndEpoch)
	}
	text := fmt.Sprintf("from epoch %d %s, gained at position %d", r.CertifiedEpoch, until, r.Gained)
	if r.Expired {
		text = "expired: " + text
	}
	t.row("certified", "%s%s", text, at)
	bytes := "size not known"
	if r.Size != nil {
		bytes = size(*r.Size)
		if *r.Size >= 1<<10 {
			bytes += fmt.Sprintf(" (%s bytes)", count(*r.Size))
		}
	}
	t.row("content", "%s, encoding %s", bytes, r.Encoding)
}

// listedShards bounds the shards that are told one by one.
const listedShards = 20

func (t *table) holders(e explanation) {
	epoch := ""
	if e.OwnershipEpoch != nil {
		epoch = fmt.Sprintf(" (epoch %d)", *e.OwnershipEpoch)
	}
	if len(e.Shards) == 0 {
		t.row("shards", "not known: no ownership is")
		return
	}
	label, foreign := "shards", 0
	for i, s := range e.Shards {
		if !s.Owned {
			foreign++
			continue
		}
		if i-foreign < listedShards {
			t.row(label, "%d: owned%s, %s", s.Shard, epoch, storedText(s.Stored))
			label, epoch = "", ""
		}
	}
	own := len(e.Shards) - foreign
	if own > listedShards {
		t.row("", "and %s more that are owned", count(own-listedShards))
	}
	if e.Manifest != nil {
		t.row(label, "manifest: %s", storedText(e.Manifest))
		label = ""
	}
	switch {
	case foreign == 1 && own == 0:
		t.row(label, "%d: not owned%s", e.Shards[0].Shard, epoch)
	case foreign > 0:
		t.row(label, "%s of other nodes%s", plural(foreign, "shard"), epoch)
	}
}

func storedText(stored *bool) string {
	switch {
	case stored == nil:
		return "whether it is stored is not known"
	case *stored:
		return "stored"
	}
	return "not stored"
}

// tries tells each try and each peer's answer, the newest last.
func (t *table) tries(e explanation) {
	if !e.Running {
		t.row("tries", "not known: they are a running daemon's memory, and not saved")
		return
	}
	label := "tries"
	if len(e.Tries) == 0 {
		t.row(label, "none failed since this daemon began, %s ago", spell(e.At.Sub(e.Started)))
	}
	for _, try := range e.Tries {
		t.row(label, "%s ago: %s", spell(e.At.Sub(try.At)), tryText(try))
		label = ""
		for _, p := range try.Peers {
			t.row("", "  %s: %s", p.Peer, answerText(p))
		}
	}
	for i, liar := range e.Liars {
		label := "liars"
		if i > 0 {
			label = ""
		}
		t.row(label, "%s lately sent wrong bytes for it", liar)
	}
}

func tryText(try worker.Try) string {
	text := try.Outcome.String()
	if try.Reason != "" {
		text += ", " + string(try.Reason)
	}
	if try.Err != "" && len(try.Peers) == 0 {
		text += ": " + try.Err
	}
	return text
}

func answerText(p worker.PeerTry) string {
	switch {
	case p.Reason == "":
		return "served it"
	case p.Err == "":
		return string(p.Reason)
	}
	return fmt.Sprintf("%s: %s", p.Reason, p.Err)
}

// advice says what to do next, in a sentence.
func (e explanation) advice() string {
	again := "recoverd retry " + e.ID.String()
	switch {
	case !e.Running && e.inUse:
		return "ask again: the daemon is starting, or ending"
	case !e.Running:
		return "start the daemon, and ask again"
	case e.Entry == nil:
		return e.adviceSettled()
	}
	switch e.Entry.Reason {
	case recovery.Absent:
		return "find a peer that has it, or give the daemon one (--peer); then: " + again
	case recovery.WrongBytes:
		return "a peer holds damaged bytes, or lies: have it repaired, or name another one (--peer); then: " + again
	case recovery.Unreachable, recovery.PeerFailed, recovery.Deadline:
		return "see why peers do not serve (recoverd status); it is tried again by itself once one does"
	case recovery.NoSpace:
		return "make room on the store's volume; it is tried again by itself"
	case recovery.StoreError:
		return "mend the store; it is tried again by itself"
	case recovery.CatalogError:
		return "mend the catalog; it is tried again by itself"
	case recovery.Unverifiable:
		return "nothing here can verify this encoding; it needs a host that can"
	}
	return "nothing: it is under way"
}

func (e explanation) adviceSettled() string {
	for _, s := range e.Shards {
		if e.State == "settled" && s.Owned && s.Stored != nil && !*s.Stored {
			return "find out who took it away, and have it fetched again: recoverd verify --repair"
		}
	}
	switch e.State {
	case "not_reached":
		return "nothing: the scan comes to it; how far it is: recoverd status"
	case "unknown":
		return "mend what keeps the catalog from being read, and ask again"
	}
	return "nothing"
}

// wrapped breaks lines that are longer than width between words. Lines that go on
// are set in.
func (t *table) wrapped(width int) *table {
	labels := 0
	for _, r := range t.rows {
		labels = max(labels, len(r[0]))
	}
	w := &table{}
	for _, r := range t.rows {
		indent := r[1][:len(r[1])-len(strings.TrimLeft(r[1], " "))]
		label, line := r[0], indent
		for i, word := range strings.Fields(printable(r[1])) {
			if i > 0 && len([]rune(line))+1+len([]rune(word)) > width-labels-2 {
				w.row(label, "%s", line)
				label, line = "", indent+"  "+word
				continue
			}
			if i > 0 {
				line += " "
			}
			line += word
		}
		w.row(label, "%s", line)
	}
	return w
}
