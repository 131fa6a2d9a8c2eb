package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/recoverd/recoverd/recovery/statusapi"
)

// listedPeers bounds the peers that are told one by one.
const listedPeers = 12

// peers tells about each peer in a line, those in trouble first, with what went wrong
// below it.
func (t *table) peers(d statusapi.Document) {
	peers := slices.Clone(d.Peers)
	slices.SortStableFunc(peers, func(a, b statusapi.PeerView) int { return cmp.Compare(peerRank(a), peerRank(b)) })
	more := max(0, len(peers)-listedPeers)
	peers = peers[:len(peers)-more]
	if len(peers) == 0 {
		return
	}
	rows := [][]string{{"state", "speed", "half answer in", "99 % in", "in flight", "fetched", "peer"}}
	for _, p := range peers {
		rows = append(rows, []string{
			p.State, size(int64(p.BytesPerSecond)) + "/s", answersIn(p.AnswerP50Seconds), answersIn(p.AnswerP99Seconds),
			count(p.InFlight), count(p.Fetched), p.Name,
		})
	}
	for i, line := range columns(rows) {
		t.row("", "%s", line)
		if i == 0 {
			continue
		}
		if text := peerTrouble(d.At, peers[i-1]); text != "" {
			t.row("", "  %s", text)
		}
	}
	if more > 0 {
		t.row("", "and %s: -o json has them all", plural(more, "more peer"))
	}
}

// answersIn spells a time until answers begin.
func answersIn(seconds float64) string {
	switch ms := seconds * 1e3; {
	case seconds <= 0:
		return "-"
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 1e3:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f s", seconds)
}

// asked is how a peer's Why reads while nothing is the matter.
const asked = "asked for pieces"

// peerRank sorts peers: 0 needs somebody's attention most.
func peerRank(p statusapi.PeerView) int {
	switch {
	case p.WrongBytes > 0:
		return 0
	case p.State == "unreachable":
		return 1
	case p.State != "reachable", p.LastError != "":
		return 2
	}
	return 3
}

// peerTrouble says why a peer is not asked, what it did not serve, and its last error;
// "" if it served everything.
func peerTrouble(now time.Time, p statusapi.PeerView) string {
	var parts []string
	if p.Why != "" && p.Why != asked {
		parts = append(parts, p.Why)
	}
	for _, c := range []struct {
		n    uint64
		what string
	}{{p.WrongBytes, "WRONG"}, {p.Absent, "absent"}, {p.Failed, "failed"}, {p.Unreachable, "unanswered"},
		{p.Failovers, "broken off"}, {p.Beaten, "slower than another"}} {
		if c.n > 0 {
			parts = append(parts, count(c.n)+" "+c.what)
		}
	}
	text := strings.Join(parts, ", ")
	if p.LastError != "" {
		text += fmt.Sprintf("; %s ago: %s", spell(now.Sub(p.LastErrorAt)), p.LastError)
	}
	return strings.TrimPrefix(text, "; ")
}

// columns aligns the cells of rows: the first and the last to the left, numbers to
// the right.
func columns(rows [][]string) (lines []string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	last := len(widths) - 1
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			switch i {
			case 0:
				cells[i] = fmt.Sprintf("%-*s", widths[i], cell)
			case last:
				cells[i] = cell
			default:
				cells[i] = fmt.Sprintf("%*s", widths[i], cell)
			}
		}
		lines = append(lines, strings.Join(cells, "  "))
	}
	return lines
}
