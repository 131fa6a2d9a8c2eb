package checkpoint

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// Durable is what would be found after a power cut now.
type Durable struct {
	// LoadReport says what was found when the checkpoint was opened; its Run,
	// LastRun and Seq are those of the newest write.
	LoadReport
	// Cursor and SavedAt are the zero value without progress.
	Cursor  recovery.Mark
	SavedAt time.Time
}

// Backend is a checkpoint that waits for its disk: a Store or a Nop.
type Backend interface {
	Saver
	Load() (recovery.Record, LoadReport, error)
	// Durable returns what was written last, also after a failure or Close.
	Durable() Durable
	Close() error
}

// Keeper is a Backend as the host of a recovery.Machine wants it: it answers in
// the machine's words, writes off the caller's goroutine, and says at any time
// what is durable. Its methods may be called from many goroutines.
type Keeper struct {
	backend Backend
	writer  *Writer
	durable atomic.Pointer[Durable]
}

// NewKeeper starts a keeper, which owns the backend from then on. Close ends it.
func NewKeeper(b Backend) *Keeper {
	k := &Keeper{backend: b}
	k.note()
	k.writer = NewWriter(keeperSaver{k})
	return k
}

// Load returns what was saved last, as an answer to recovery.LoadCheckpoint.
// Errors are the backend's. It waits for a write under way.
func (k *Keeper) Load() (recovery.Loaded, error) {
	record, report, err := k.backend.Load()
	if err != nil {
		return recovery.Loaded{}, err
	}
	return recovery.Loaded{Record: record, LastRun: report.LastRun, Note: report.Note()}, nil
}

// Save hands in a record that claims no less than the last one (Writer.Save).
func (k *Keeper) Save(r recovery.Record, done func(error)) { k.writer.Save(r, done) }

// Reset hands in a record that claims less (Writer.Reset).
func (k *Keeper) Reset(r recovery.Record, done func(error)) { k.writer.Reset(r, done) }

// Durable returns what was durable when the last write ended. It never waits.
func (k *Keeper) Durable() Durable { return *k.durable.Load() }

// Close writes what waits, joins the writer and closes the backend. It returns
// the first error of a write (I12), and that of closing.
func (k *Keeper) Close() error { return errors.Join(k.writer.Close(), k.backend.Close()) }

// note looks up what is durable now.
func (k *Keeper) note() {
	d := k.backend.Durable()
	k.durable.Store(&d)
}

// noted does so after a write that ended without an error.
func (k *Keeper) noted(err error) error {
	if err == nil {
		k.note()
	}
	return err
}

// keeperSaver is the backend as the writer sees it: noted before anybody hears
// that a write has ended.
type keeperSaver struct{ *Keeper }

func (s keeperSaver) Save(r recovery.Record) error  { return s.noted(s.backend.Save(r)) }
func (s keeperSaver) Reset(r recovery.Record) error { return s.noted(s.backend.Reset(r)) }
