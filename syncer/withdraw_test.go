package syncer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
)

// One request is taken back; the flight goes on for the others, and stops when
// there are none.
func TestWithdrawOne(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world, h *Handler) {
		w.serve(1)
		open := gate(w)
		defer open()
		a, b := h.Sync(ask(0, 0)), h.Sync(ask(0, 0))
		synctest.Wait()
		a.Withdraw()
		wantCancelled(t, wait(t, a), recovery.Stopped, false)
		if s := b.Status().Stage; s != Fetching {
			t.Errorf("the other request is %v", s)
		}
		a.Withdraw() // nothing more to take back
		b.Withdraw()
		synctest.Wait()
		if h.Flying(ask(0, 0).Blob.ID) {
			t.Error("a flight that nobody wants goes on")
		}
	})
}

// What the peers said is kept: as it was at the end, bounded, one line each.
func TestAnswersOfAFlight(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world, h *Handler) {
		w.serve(2)
		var said []PeerAnswer
		for n := range 2 * MaxAnswers {
			said = append(said, PeerAnswer{Peer: fmt.Sprint("p", n), Reason: recovery.Absent, Err: errors.New("no\n" + strings.Repeat("!", 1000))})
		}
		served := w.instead
		w.instead = func(context.Context, Piece, Sink) (string, error) { return "", &FetchError{Answers: said} }
		failed := h.Sync(ask(1, 0))
		if len(failed.Answers()) > 0 {
			t.Error("answers before the end")
		}
		wantCancelled(t, wait(t, failed), recovery.Absent, true)
		answers := failed.Answers()
		if len(answers) != MaxAnswers || len(answers[0].Err) > recovery.MaxErrorText || strings.Contains(answers[0].Err, "\n") {
			t.Errorf("%d answers, the first one %+v", len(answers), answers[0])
		}
		answers[1].Err = ""
		if diff := cmp.Diff(Answer{Peer: "p1", Reason: recovery.Absent}, answers[1]); diff != "" {
			t.Error(diff)
		}
		w.instead = served
		fine := h.Sync(ask(1, 1))
		if wait(t, fine); len(fine.Answers()) > 0 {
			t.Errorf("answers of a success: %v", fine.Answers())
		}
	})
}
