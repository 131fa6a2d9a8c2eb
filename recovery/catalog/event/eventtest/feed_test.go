package eventtest_test

import (
	"testing"

	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/event/eventtest"
)

func TestFeed(t *testing.T) {
	eventtest.RunSource(t, func(_ *testing.T, events []event.Event) eventtest.Subject {
		f := eventtest.NewFeed(events)
		return eventtest.Subject{Source: f, Append: func(_ testing.TB, more []event.Event) { f.Append(more...) }}
	})
}
