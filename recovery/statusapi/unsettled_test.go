package statusapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
	"github.com/recoverd/recoverd/recovery/worker"
)

// Following next_after yields every entry once, in order, for every limit.
func TestUnsettledPages(t *testing.T) {
	evidence.Property(t, "status: pages of the unsettled list hold every entry once", func(t *rapid.T) {
		first := rapid.SliceOfNDistinct(rapid.Byte(), 0, 40, rapid.ID).Draw(t, "ids")
		slices.Sort(first)
		var list []recovery.Unsettled
		for _, b := range first {
			list = append(list, recovery.Unsettled{ID: idOf(b), State: recovery.Retrying})
		}
		limit := rapid.IntRange(0, 12).Draw(t, "limit")
		var got []recovery.BlobID
		var after *recovery.BlobID
		for pages := 0; ; pages++ {
			page := NewUnsettledPage(list, after, limit)
			if page.Total != len(list) || limit > 0 && len(page.Unsettled) > limit || pages > len(list) {
				t.Fatalf("page %d: total %d, %d entries, limit %d", pages, page.Total, len(page.Unsettled), limit)
			}
			for _, u := range page.Unsettled {
				got = append(got, u.ID)
			}
			if after = page.NextAfter; after == nil {
				break
			}
		}
		if !slices.EqualFunc(list, got, func(u recovery.Unsettled, id recovery.BlobID) bool { return u.ID == id }) {
			t.Fatalf("got %v", got)
		}
	})
}

// An id that has settled since is as good a place to go on from as any.
func TestUnsettledAfterAbsentID(t *testing.T) {
	list := []recovery.Unsettled{{ID: idOf(1)}, {ID: idOf(3)}}
	gone := idOf(2)
	page := NewUnsettledPage(list, &gone, 10)
	if len(page.Unsettled) != 1 || page.Unsettled[0].ID != idOf(3) || page.NextAfter != nil {
		t.Errorf("got %+v", page)
	}
}

// ask sends a request to the handler without a network.
func ask(s *Server, path string) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodGet, path, nil)
	request.Host = "node1.example:8080"
	s.Handler().ServeHTTP(recorder, request)
	return recorder
}

// Hazard 38. Every count of failures comes with the list of which, and why.
func TestFailuresAreListed(t *testing.T) {
	cfg, w := sampleConfig()
	answer := ask(newServer(t, cfg), "/api/v1/unsettled")
	var page UnsettledPage
	if err := json.Unmarshal(answer.Body.Bytes(), &page); err != nil {
		t.Fatal(err)
	}
	if page.Total != w.status.Unsettled.Total || len(page.Unsettled) != page.Total {
		t.Fatalf("%d counted, %d listed of %d", w.status.Unsettled.Total, len(page.Unsettled), page.Total)
	}
	parked := page.Unsettled[1]
	if parked.State != "parked" || parked.Reason != recovery.Absent || parked.LastError == "" || parked.Size != nil {
		t.Errorf("the parked blob is shown as %+v", parked)
	}
	golden(t, "unsettled.json", answer.Body.Bytes())
}

func TestEmptyUnsettledListIsAList(t *testing.T) {
	cfg, w := sampleConfig()
	w.list = nil
	if body := ask(newServer(t, cfg), "/api/v1/unsettled").Body.String(); !strings.Contains(body, `"unsettled": []`) {
		t.Errorf("got %s", body)
	}
}

func TestUnsettledOfAnEndedWorker(t *testing.T) {
	cfg, w := sampleConfig()
	w.err = worker.ErrEnded
	if answer := ask(newServer(t, cfg), "/api/v1/unsettled"); answer.Code != http.StatusServiceUnavailable {
		t.Errorf("code %d: %s", answer.Code, answer.Body)
	}
}

// A loop that does not answer costs a reader listPatience, whoever waits first.
func TestUnsettledOfAStuckWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, w := sampleConfig()
		w.stuck = make(chan struct{})
		s := newServer(t, cfg)
		start := time.Now()
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				if _, err := s.list.get(t.Context()); !errors.Is(err, errBusy) {
					t.Errorf("got %v, want errBusy", err)
				}
			})
		}
		readers.Wait()
		if took := time.Since(start); took != listPatience {
			t.Errorf("took %v, want %v", took, listPatience)
		}
	})
}

// Any number of readers costs the loop one question each listFresh.
func TestUnsettledIsAskedOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, w := sampleConfig()
		s := newServer(t, cfg)
		read := func() {
			var readers sync.WaitGroup
			for range 20 {
				readers.Go(func() {
					if list, err := s.list.get(t.Context()); err != nil || len(list) != 2 {
						t.Errorf("got %d entries, %v", len(list), err)
					}
				})
			}
			readers.Wait()
		}
		read()
		read()
		if w.asked != 1 {
			t.Errorf("asked %d times, want 1", w.asked)
		}
		time.Sleep(listFresh)
		read()
		if w.asked != 2 {
			t.Errorf("asked %d times, want 2", w.asked)
		}
	})
}

// A reader that leaves gives the turn back, and its error is its own.
func TestUnsettledReaderLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, w := sampleConfig()
		w.stuck = make(chan struct{})
		s := newServer(t, cfg)
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := s.list.get(ctx)
			left <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want canceled", err)
		}
		close(w.stuck)
		if _, err := s.list.get(t.Context()); err != nil {
			t.Errorf("the next reader got %v", err)
		}
	})
}
