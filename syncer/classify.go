package syncer

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/recoverd/recoverd/recovery"
)

// classify turns the error that ended a flight into its Cancelled outcome.
// Covers is left to the caller.
func classify(err error) recovery.Outcome {
	o := recovery.Outcome{Result: recovery.Cancelled, Err: oneLine(err.Error())}
	o.Reason, o.Definite = reasonFor(err)
	return o
}

// reasonFor orders what an error may be at once: durability before all, then
// what happened here, then what the peers said. Only a peer's answer about the
// piece is definite (I11). What a Fetcher reports in no known way counts as a
// failed peer: tried again, and never parked for it.
func reasonFor(err error) (reason recovery.Reason, definite bool) {
	var fetch *FetchError
	switch {
	case errors.Is(err, ErrNotDurable):
		return recovery.NotDurable, false
	case errors.Is(err, ErrStore):
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			return recovery.NoSpace, false
		}
		return recovery.StoreError, false
	case errors.Is(err, ErrUnverifiable):
		return recovery.Unverifiable, false
	case errors.Is(err, ErrOtherSet):
		return recovery.OtherSet, false
	case errors.Is(err, ErrDeadline):
		return recovery.Deadline, false
	case errors.As(err, &fetch):
		return fetch.Reason(), fetch.Definite()
	case errors.Is(err, ErrWrongBytes), errors.Is(err, ErrTooLong):
		return recovery.WrongBytes, true
	case errors.Is(err, context.Canceled):
		return recovery.Stopped, false
	}
	return recovery.PeerFailed, false
}

// oneLine makes a text fit to be kept and shown: valid UTF-8, at most
// recovery.MaxErrorText bytes, and without anything that moves a cursor or
// turns the writing direction. Peers have a say in error texts.
func oneLine(text string) string {
	if len(text) > 4*recovery.MaxErrorText {
		text = text[:4*recovery.MaxErrorText]
	}
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsGraphic(r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
			return ' '
		}
		return r
	}, text)
	text = strings.TrimSpace(text)
	if len(text) <= recovery.MaxErrorText {
		return text
	}
	end := recovery.MaxErrorText
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
