package statusapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// The number of entries of an UnsettledPage.
const (
	defaultUnsettled = 1_000
	maxUnsettled     = 10_000
)

// UnsettledPage is a part of the unsettled list, in id order. Each page is of
// its own moment: an entry that settled meanwhile is on none.
type UnsettledPage struct {
	Unsettled []UnsettledBlob `json:"unsettled"`
	Total     int             `json:"total"` // of the whole list
	// NextAfter asks for the following page; null: nothing follows.
	NextAfter *recovery.BlobID `json:"next_after"`
}

// UnsettledBlob is one blob that is not done, and why.
type UnsettledBlob struct {
	ID          recovery.BlobID `json:"id"`
	Size        *int64          `json:"size"`  // bytes; null: unknown
	State       string          `json:"state"` // waiting, fetching, flushing, retrying or parked
	Tries       uint32          `json:"tries"` // definite failures, which count towards parking
	Attempts    uint32          `json:"attempts"`
	FirstFailed time.Time       `json:"first_failed,omitzero"`
	NextTry     time.Time       `json:"next_try,omitzero"`
	Reason      recovery.Reason `json:"reason"` // of the last failure, or ""
	LastError   string          `json:"last_error"`
}

// NewUnsettledPage cuts the page after an id (nil: the first) out of a list in
// id order. A limit below 1 means no limit.
func NewUnsettledPage(list []recovery.Unsettled, after *recovery.BlobID, limit int) UnsettledPage {
	first := 0
	if after != nil {
		at, found := slices.BinarySearchFunc(list, *after, func(u recovery.Unsettled, id recovery.BlobID) int { return u.ID.Compare(id) })
		if first = at; found {
			first++
		}
	}
	end := len(list)
	if limit > 0 {
		end = min(end, first+limit)
	}
	page := UnsettledPage{Total: len(list), Unsettled: make([]UnsettledBlob, 0, end-first)}
	for _, u := range list[first:end] {
		page.Unsettled = append(page.Unsettled, newUnsettledBlob(u))
	}
	if end < len(list) {
		page.NextAfter = &list[end-1].ID
	}
	return page
}

func newUnsettledBlob(u recovery.Unsettled) UnsettledBlob {
	return UnsettledBlob{
		ID: u.ID, Size: knownSize(u.Size), State: u.State.String(), Tries: u.Tries, Attempts: u.Attempts,
		FirstFailed: u.FirstFailed, NextTry: u.NextTry, Reason: u.Reason, LastError: u.LastError,
	}
}

func (s *Server) serveUnsettled(w http.ResponseWriter, r *http.Request) {
	limit, after, err := unsettledQuery(r)
	if err != nil {
		answerError(w, err)
		return
	}
	list, err := s.list.get(r.Context())
	if err != nil {
		answerError(w, fmt.Errorf("ask for the unsettled list: %w", err))
		return
	}
	writeJSON(w, http.StatusOK, NewUnsettledPage(list, after, limit))
}

// unsettledQuery reads limit and after; the error is a refusal that names what is
// wrong.
func unsettledQuery(r *http.Request) (limit int, after *recovery.BlobID, err error) {
	query, err := parameters(r, "limit", "after")
	if err != nil {
		return 0, nil, err
	}
	if limit, err = number(query, "limit", defaultUnsettled, 1, maxUnsettled); err != nil {
		return 0, nil, err
	}
	if text, ok := query["after"]; ok {
		id, err := recovery.ParseBlobID(text)
		if err != nil {
			return 0, nil, refuse(http.StatusBadRequest, "after: %v", err)
		}
		after = &id
	}
	return limit, after, nil
}

// listFresh is how long an answer about the unsettled list is used again, and
// listPatience how long one is waited for.
const (
	listFresh    = 250 * time.Millisecond
	listPatience = 5 * time.Second
)

// errBusy says that the worker's loop did not answer in time.
var errBusy = errors.New("the worker did not answer in time")

// unsettledList asks the worker's loop for its list on behalf of all readers:
// one question at a time, and one each listFresh, so that readers cannot slow
// the loop down.
type unsettledList struct {
	ask  func(context.Context) ([]recovery.Unsettled, error)
	turn chan struct{} // holds one while somebody asks; it guards the rest
	list []recovery.Unsettled
	at   time.Time
}

func newUnsettledList(ask func(context.Context) ([]recovery.Unsettled, error)) *unsettledList {
	return &unsettledList{ask: ask, turn: make(chan struct{}, 1)}
}

// get returns the list in id order; it belongs to all readers.
func (l *unsettledList) get(ctx context.Context) ([]recovery.Unsettled, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, listPatience, errBusy)
	defer cancel()
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if age := time.Since(l.at); !l.at.IsZero() && age < listFresh {
		return l.list, nil
	}
	list, err := l.ask(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, err
	}
	l.list, l.at = list, time.Now()
	return list, nil
}
