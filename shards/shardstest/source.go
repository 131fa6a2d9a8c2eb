// Package shardstest holds the contract that every source of ownership keeps, as
// tests. A source's own test is a Factory and a call of Run.
package shardstest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/recoverd/recoverd/shards"
)

// Provider is what a reader of ownership sees of a source.
type Provider interface {
	// Next blocks until there is an ownership that differs from the last one
	// returned, or a bad new version, which is returned once, as an error, and
	// leaves the old ownership in force.
	Next(ctx context.Context) (shards.Ownership, error)
	// Close makes Next return provider.ErrClosed. It may be called twice.
	Close() error
}

// Source is a place that documents come from, and a provider that follows it.
type Source struct {
	// Provider is open. Run closes it.
	Provider Provider
	// Publish replaces the document. It need not wait for the provider.
	Publish func(t testing.TB, document string)
	// Break makes the source unreadable until the next Publish.
	Break func(t testing.TB)
}

// Factory makes a source that holds a document, and opens its provider after that.
type Factory func(t testing.TB, document string) Source

// patience is when a Next that should have answered counts as hung. Nothing passes
// because of it.
const patience = time.Minute

// subject is a source under test.
type subject struct {
	*testing.T
	Source
}

func open(t *testing.T, f Factory, document string) subject {
	s := subject{T: t, Source: f(t, document)}
	t.Cleanup(func() {
		if err := s.Provider.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func (s subject) publish(document string) {
	s.Helper()
	s.Publish(s.T, document)
}

func (s subject) next() (shards.Ownership, error) {
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	return s.Provider.Next(ctx)
}

// wants checks that the next answer is the ownership of an epoch.
func (s subject) wants(epoch uint32) {
	s.Helper()
	got, err := s.next()
	if err != nil {
		s.Fatalf("want epoch %d, got error: %v", epoch, err)
	}
	if want := ownership(epoch); !got.Equal(want) {
		s.Fatalf("got %+v, want %+v", got, want)
	}
}

// wantsError checks that the next answer is an error, and returns it.
func (s subject) wantsError() error {
	s.Helper()
	got, err := s.next()
	if err == nil {
		s.Fatalf("want an error, got %+v", got)
	}
	return err
}

// ownership is a valid one, different for each epoch.
func ownership(epoch uint32) shards.Ownership {
	return shards.Ownership{
		Epoch: epoch, TotalShards: 100, Owned: shards.Range(0, epoch),
		Continuity: "a", Node: shards.Active,
	}
}

func document(epoch uint32) string {
	return fmt.Sprintf("epoch: %d\ntotal_shards: 100\nowned: 0-%d\ncontinuity: a\n", epoch, epoch)
}

// bad documents cannot be parsed; each number gives another one.
func bad(number int) string { return fmt.Sprintf("epoch: none-%d\n", number) }
