package checkpoint

import (
	"bytes"
	"fmt"
)

// Medium is where the copies of a checkpoint lie, as bytes. Store keeps files and a
// bbolt; a simulation brings a disk of its own, on which everything else is the
// same: numbers, encoding, choice between copies, order of writes. One goroutine at
// a time uses it.
type Medium interface {
	// ReadSlot returns what a slot of the mirror (0 or 1) holds, nothing if it was
	// never written. An error is never taken for damage.
	ReadSlot(slot int) ([]byte, error)
	// WriteSlot overwrites the beginning of a slot, and returns when that is durable.
	WriteSlot(slot int, data []byte) error
	// ReadDatabase returns the values of the newest transaction; ok is false if there
	// is no database.
	ReadDatabase() (head, list []byte, ok bool, err error)
	// PutDatabase writes both values in one transaction, and returns when it is
	// durable. It makes a database that is missing.
	PutDatabase(head, list []byte) error
}

// OpenMedium is Open without a directory and its lock. The medium stays the
// caller's, who sees to it that nobody else uses it.
func OpenMedium(m Medium) (*Store, error) {
	s, err := openCopies(mediumCopies{m})
	if err != nil {
		return nil, fmt.Errorf("open checkpoint: %w", err)
	}
	return s, nil
}

// mediumCopies are the copies on a Medium.
type mediumCopies struct{ m Medium }

func (c mediumCopies) survey() (survey, error) {
	var s survey
	for slot, name := range slotSources() {
		data, err := c.m.ReadSlot(slot)
		if err != nil {
			return survey{}, fmt.Errorf("read %s: %w", name, err)
		}
		if err := s.addSlot(bytes.NewReader(data), int64(len(data)), name, string(name)); err != nil {
			return survey{}, fmt.Errorf("read %s: %w", name, err)
		}
	}
	head, list, ok, err := c.m.ReadDatabase()
	switch {
	case err != nil:
		return survey{}, fmt.Errorf("read %s: %w", databaseName, err)
	case !ok:
		s.missDatabase()
	default:
		if err := s.addValues(head, list, nil, databaseName); err != nil {
			return survey{}, err
		}
	}
	s.noteFirstWrite()
	s.noteLostWrites()
	return s, nil
}

func (c mediumCopies) provide(state databaseState, img image) (aside string, err error) {
	if state == databaseUnfit {
		aside = corruptName
	}
	if state != databaseFit {
		err = c.put(img)
	}
	return aside, err
}

func (c mediumCopies) put(img image) error { return c.m.PutDatabase(img.head, img.list) }

func (c mediumCopies) mirror(img image) error {
	return c.m.WriteSlot(slotOf(img.order.seq), encodeSlot(img))
}

func (mediumCopies) close() error { return nil }
