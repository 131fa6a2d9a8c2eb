package provider_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/shards/provider"
	"github.com/recoverd/recoverd/shards/shardstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLedgerConformance(t *testing.T) {
	shardstest.Run(t, func(_ testing.TB, document string) shardstest.Source {
		l := provider.NewLedger("a test", time.Now)
		l.Document([]byte(document))
		return shardstest.Source{
			Provider: l,
			Publish:  func(_ testing.TB, document string) { l.Document([]byte(document)) },
			Break:    func(testing.TB) { l.Trouble(fs.ErrNotExist) },
		}
	})
}

func doc(epoch int) []byte {
	return fmt.Appendf(nil, "epoch: %d\ntotal_shards: 10\nowned: 0-4\n", epoch)
}

// told returns the epochs and errors that Next has to tell before it blocks.
func told(t *testing.T, l *provider.Ledger) []string {
	t.Helper()
	var all []string
	for {
		ctx, cancel := context.WithCancel(t.Context())
		answer := make(chan string, 1)
		go func() {
			o, err := l.Next(ctx)
			if err != nil {
				answer <- err.Error()
				return
			}
			answer <- fmt.Sprintf("epoch %d", o.Epoch)
		}()
		synctest.Wait()
		blocked := len(answer) == 0
		cancel()
		if blocked {
			<-answer
			return all
		}
		all = append(all, <-answer)
	}
}

// Hazard 27. One error a change, not one a look; and the ownership that was
// there before the trouble is there after it.
func TestLedgerTellsEachThingOnce(t *testing.T) {
	gone := errors.New("gone")
	for _, tc := range []struct {
		name string
		do   func(*provider.Ledger)
		want []string
	}{
		{"nothing", func(*provider.Ledger) {}, nil},
		{"a document", func(l *provider.Ledger) { l.Document(doc(1)) }, []string{"epoch 1"}},
		{"the newest of two", func(l *provider.Ledger) { l.Document(doc(1)); l.Document(doc(2)) }, []string{"epoch 2"}},
		{"good, then bad", func(l *provider.Ledger) { l.Document(doc(1)); l.Trouble(gone) },
			[]string{"epoch 1", "ownership from the network: gone"}},
		{"bad, then good", func(l *provider.Ledger) { l.Trouble(gone); l.Document(doc(1)) }, []string{"epoch 1"}},
		{"bad a hundred times", func(l *provider.Ledger) {
			for range 100 {
				l.Trouble(gone)
			}
		}, []string{"ownership from the network: gone"}},
		{"an empty document", func(l *provider.Ledger) { l.Document(nil) },
			[]string{"ownership from the network: shards: bad ownership: the document is empty"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := provider.NewLedger("the network", time.Now)
				tc.do(l)
				if diff := cmp.Diff(tc.want, told(t, l)); diff != "" {
					t.Error(diff)
				}
				if again := told(t, l); again != nil {
					t.Errorf("told again: %q", again)
				}
			})
		})
	}
}

func TestLedgerSameAfterTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := provider.NewLedger("the network", time.Now)
		l.Document(doc(1))
		told(t, l)
		l.Trouble(errors.New("gone"))
		if got := told(t, l); len(got) != 1 || !strings.Contains(got[0], "gone") {
			t.Errorf("told %q, want the trouble", got)
		}
		l.Document(doc(1))
		if got := told(t, l); got != nil {
			t.Errorf("told %q for what was in force all along", got)
		}
		l.Trouble(errors.New("gone"))
		if got := told(t, l); len(got) != 1 {
			t.Errorf("told %q, want the trouble that came again", got)
		}
	})
}

func TestLedgerStatus(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	l := provider.NewLedger("the network", func() time.Time { at = at.Add(time.Second); return at })
	loaded := func(s int) time.Time { return time.Date(2030, 1, 2, 3, 4, 5+s, 0, time.UTC) }
	missing := "the server is away"
	for i, step := range []struct {
		do   func()
		want provider.Status
	}{
		{func() {}, provider.Status{}},
		{func() { l.Trouble(errors.New(missing)) }, provider.Status{BadVersions: 1, LastError: missing}},
		{func() { l.Trouble(errors.New(missing)) }, provider.Status{BadVersions: 1, LastError: missing}},
		{func() { l.Document(doc(1)) }, provider.Status{Loaded: loaded(2), Versions: 1, BadVersions: 1}},
		{func() { l.Document(doc(1)) }, provider.Status{Loaded: loaded(2), Versions: 1, BadVersions: 1}},
		{func() { l.Document([]byte("x")) }, provider.Status{Loaded: loaded(2), Versions: 1, BadVersions: 2,
			LastError: `shards: bad ownership: line 1: want keys and values, found "x"`}},
		{func() { l.Document(doc(1)) }, provider.Status{Loaded: loaded(2), Versions: 1, BadVersions: 2}},
		{func() { l.Document(doc(2)) }, provider.Status{Loaded: loaded(5), Versions: 2, BadVersions: 2}},
	} {
		step.do()
		if diff := cmp.Diff(step.want, l.Status()); diff != "" {
			t.Errorf("after step %d: %s", i, diff)
		}
	}
}

// Hazard 5. Between two looks a shard can go and come back: the owned sets are equal
// then, and only the continuity says so.
func TestLostAndRegained(t *testing.T) {
	l := provider.NewLedger("the network", time.Now)
	doc := "epoch: 7\ntotal_shards: 10\nowned: 0-4\ncontinuity: %s\n"
	for _, continuity := range []string{"a1", "a2"} {
		l.Document(fmt.Appendf(nil, doc, continuity))
		o, err := l.Next(t.Context())
		if err != nil || o.Continuity != continuity || !o.Owned.Equal(shards.Range(0, 4)) {
			t.Fatalf("got %+v, %v, want continuity %s", o, err, continuity)
		}
	}
}
