package erasure

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// ShortError says that fewer than K pieces of a blob could be had, and who had what. It
// unwraps to a *syncer.FetchError with one answer for each peer that failed.
type ShortError struct {
	Have, Need int
	Answers    *syncer.FetchError
	text       string
}

func (e *ShortError) Error() string {
	return fmt.Sprintf("%d of %d pieces could be had: %s", e.Have, e.Need, e.text)
}

// Unwrap returns what the peers answered.
func (e *ShortError) Unwrap() error { return e.Answers }

// ledger notes who had which pieces of one blob. Its methods may be called from many
// goroutines.
type ledger struct {
	mu    sync.Mutex
	peers map[string]*account
	order []string
	had   map[int]bool // pieces that were right
}

// account is what one peer, or the own store, answered.
type account struct {
	had    []int
	failed map[recovery.Reason][]int
	last   map[recovery.Reason]error
}

// tellingReasons orders reasons by how much they tell, as syncer.FetchError does.
func tellingReasons() []recovery.Reason {
	return []recovery.Reason{recovery.WrongBytes, recovery.Absent, recovery.PeerFailed, recovery.Deadline, recovery.Unreachable}
}

func (l *ledger) of(peer string) *account {
	if l.peers == nil {
		l.peers, l.had = map[string]*account{}, map[int]bool{}
	}
	a := l.peers[peer]
	if a == nil {
		a = &account{failed: map[recovery.Reason][]int{}, last: map[recovery.Reason]error{}}
		l.peers[peer] = a
		l.order = append(l.order, peer)
	}
	return a
}

// served notes a piece that was right.
func (l *ledger) served(peer string, index int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.of(peer); !slices.Contains(a.had, index) {
		a.had = append(a.had, index)
	}
	l.had[index] = true
}

// refused notes how a peer failed to give a piece.
func (l *ledger) refused(peer string, index int, reason recovery.Reason, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.of(peer)
	if !slices.Contains(a.failed[reason], index) {
		a.failed[reason] = append(a.failed[reason], index)
	}
	a.last[reason] = err
}

// answers notes what all peers said of a piece.
func (l *ledger) answers(index int, err error) {
	var fetch *syncer.FetchError
	if !errors.As(err, &fetch) {
		return
	}
	for _, a := range fetch.Answers {
		l.refused(a.Peer, index, a.Reason, a.Err)
	}
}

// short sums up why there were not enough.
func (l *ledger) short(need int) *ShortError {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &ShortError{Have: len(l.had), Need: need, Answers: &syncer.FetchError{}}
	var parts []string
	for _, peer := range l.order {
		a := l.peers[peer]
		part, reason := a.text()
		parts = append(parts, peer+" "+part)
		if reason != "" && peer != ourselves {
			e.Answers.Answers = append(e.Answers.Answers, syncer.PeerAnswer{
				Peer: peer, Reason: reason, Err: fmt.Errorf("%s (%w)", part, a.last[reason]),
			})
		}
	}
	if e.text = strings.Join(parts, "; "); e.text == "" {
		e.text = "nobody could be asked"
	}
	return e
}

// text says what the account holds, and its most telling failure; empty: none.
func (a *account) text() (text string, telling recovery.Reason) {
	var parts []string
	if len(a.had) > 0 {
		parts = append(parts, "had "+ranges(a.had))
	}
	for _, r := range tellingReasons() {
		if len(a.failed[r]) == 0 {
			continue
		}
		if telling == "" {
			telling = r
		}
		parts = append(parts, fmt.Sprintf("%s: %s", strings.ReplaceAll(string(r), "_", " "), ranges(a.failed[r])))
	}
	return strings.Join(parts, ", "), telling
}

// ranges writes numbers as "0-3,7".
func ranges(numbers []int) string {
	all := slices.Sorted(slices.Values(numbers))
	var b strings.Builder
	for i := 0; i < len(all); {
		j := i
		for j+1 < len(all) && all[j+1] == all[j]+1 {
			j++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(all[i]))
		if j > i {
			b.WriteString("-" + strconv.Itoa(all[j]))
		}
		i = j + 1
	}
	return b.String()
}
