package event

import "context"

// Source yields events beyond a position. One goroutine uses it at a time; Close
// may be called by another, and wakes a Changed under way.
type Source interface {
	// Read returns up to limit events with the positions after+1, after+2 and so
	// on, without a gap; none: there are none for now. tip is the highest position
	// that the source knows of. An event that should be there and is not, because
	// later ones are, is a *MissingError; text that is no event, a *LineError. With
	// an error there are no events: those before the bad place come first, without
	// it.
	Read(ctx context.Context, after uint64, limit int) (events []Event, tip uint64, err error)
	// Changed returns nil when more than was read may be there, at once if it may
	// be already, and an error when ctx ends or the source is closed.
	Changed(ctx context.Context) error
	// Close releases what the source holds.
	Close() error
}
