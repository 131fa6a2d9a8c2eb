package shardstest

import (
	"context"
	"errors"
	"testing"

	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/shards/provider"
)

// Run checks the whole contract against sources that f makes.
func Run(t *testing.T, f Factory) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Factory)
	}{
		{"the first answer is the current document", testFirst},
		{"a bad first document is an error", testBadFirst},
		{"a change is told", testChange},
		{"the same again is not told", testSameAgain},
		{"the same in other words is not told", testOtherWords},
		{"a bad version is told once and keeps the old", testBadVersion},
		{"each bad version is told", testEachBadVersion},
		{"an unreadable source is told once and keeps the old", testUnreadable},
		{"a change while nobody asks is not lost", testUnasked},
		{"next ends with its context", testContext},
		{"a cancelled next loses nothing", testCancelledLosesNothing},
		{"close ends a blocked next", testCloseUnblocks},
		{"nothing is told after close", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, f) })
	}
}

func testFirst(t *testing.T, f Factory) {
	open(t, f, document(1)).wants(1)
}

func testBadFirst(t *testing.T, f Factory) {
	s := open(t, f, bad(1))
	if err := s.wantsError(); !errors.Is(err, shards.ErrOwnership) {
		t.Errorf("%v does not wrap ErrOwnership", err)
	}
	s.publish(document(1))
	s.wants(1)
}

func testChange(t *testing.T, f Factory) {
	s := open(t, f, document(1))
	for epoch := uint32(1); epoch < 5; epoch++ {
		s.wants(epoch)
		s.publish(document(epoch + 1))
	}
	s.wants(5)
}

func testSameAgain(t *testing.T, f Factory) {
	s := open(t, f, document(1))
	s.wants(1)
	s.publish(document(1))
	s.publish(document(2))
	s.wants(2)
}

func testOtherWords(t *testing.T, f Factory) {
	s := open(t, f, document(1))
	s.wants(1)
	s.publish(`{"epoch": 1, "total_shards": 100, "owned": "1,0", "continuity": "a", "node": "active"}`)
	s.publish("# nothing new\n" + document(1))
	tell(s, bad(1))
	s.publish(document(2))
	s.wants(2)
}

func testBadVersion(t *testing.T, f Factory) {
	s := open(t, f, document(1))
	s.wants(1)
	s.publish(bad(1))
	if err := s.wantsError(); !errors.Is(err, shards.ErrOwnership) {
		t.Errorf("%v does not wrap ErrOwnership", err)
	}
	s.publish(bad(1))
	s.publish(document(1)) // in force all the time
	s.publish(document(2))
	s.wants(2)
}

func testEachBadVersion(t *testing.T, f Factory) {
	s := open(t, f, document(1))
	s.wants(1)
	first := tell(s, bad(1))
	if second := tell(s, bad(2)); second == first {
		t.Errorf("two bad versions, one error: %s", first)
	}
	s.publish(document(1))
	// Whether or not the good one in between was seen, this one is new.
	tell(s, bad(3))
}

// tell publishes a bad document and returns the error that follows.
func tell(s subject, document string) string {
	s.Helper()
	s.publish(document)
	return s.wantsError().Error()
}

func testUnreadable(t *testing.T, f Factory) {
	s := open(t, f, document(1))
	s.wants(1)
	s.Break(t)
	if err := s.wantsError(); errors.Is(err, shards.ErrOwnership) {
		t.Errorf("a source that cannot be read was taken for a bad document: %v", err)
	}
	s.publish(document(1)) // in force all the time
	s.publish(document(2))
	s.wants(2)
}

func testUnasked(t *testing.T, f Factory) {
	s := open(t, f, document(1))
	s.publish(document(2))
	got, err := s.next()
	if err == nil && got.Equal(ownership(1)) {
		got, err = s.next()
	}
	if err != nil || !got.Equal(ownership(2)) {
		t.Errorf("got %+v, %v, want epoch 2 in the end", got, err)
	}
}

func testContext(t *testing.T, f Factory) {
	s := open(t, f, document(1))
	s.wants(1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := s.Provider.Next(ctx)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func testCancelledLosesNothing(t *testing.T, f Factory) {
	s := open(t, f, document(1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		if o, err := s.Provider.Next(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %+v, %v, want the context's error", o, err)
		}
	}
	s.wants(1)
}

func testCloseUnblocks(t *testing.T, f Factory) {
	s := open(t, f, document(1))
	s.wants(1)
	ended := make(chan error)
	go func() {
		_, err := s.Provider.Next(context.Background())
		ended <- err
	}()
	if err := s.Provider.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, provider.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

func testClosed(t *testing.T, f Factory) {
	s := open(t, f, document(1))
	for range 2 {
		if err := s.Provider.Close(); err != nil {
			t.Error(err)
		}
	}
	s.publish(document(2))
	if o, err := s.next(); !errors.Is(err, provider.ErrClosed) {
		t.Errorf("got %+v, %v, want ErrClosed", o, err)
	}
}
