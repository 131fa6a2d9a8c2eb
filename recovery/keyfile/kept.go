package keyfile

import (
	"sync"
	"time"
)

// Files says which files are kept in mind, and how.
type Files struct {
	// Paths are the files that are looked at.
	Paths []string
	// Every is the least time between two looks; 0: each Get looks.
	Every time.Duration
	// Trouble is told why files that have changed cannot be used, once for each text,
	// and nil when that is over; nil: nobody is. It is called from any goroutine, and
	// must not call Get.
	Trouble func(error)
}

// Kept is what some files said when they were last good. Its methods may be called
// from many goroutines.
type Kept[T any] struct {
	files Files
	read  func() (T, error)

	mu    sync.Mutex
	seen  Stamp // of value
	next  time.Time
	value T
	told  string
}

// Keep reads the files for the first time; an error of that is returned.
func Keep[T any](files Files, read func() (T, error)) (*Kept[T], error) {
	k := &Kept[T]{files: files, read: read}
	if err := k.refresh(); err != nil {
		return nil, err
	}
	k.next = time.Now().Add(files.Every)
	return k, nil
}

// Get returns what the files say now, or else what they said when they were last good.
func (k *Kept[T]) Get() T {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.files.Every > 0 {
		now := time.Now()
		if now.Before(k.next) {
			return k.value
		}
		k.next = now.Add(k.files.Every)
	}
	text, err := "", k.refresh()
	if err != nil {
		text = err.Error()
	}
	if text != k.told && k.files.Trouble != nil {
		k.files.Trouble(err)
	}
	k.told = text
	return k.value
}

// refresh reads the files unless they are as they were. They are looked at before they
// are read: what changes in between is read again next time.
func (k *Kept[T]) refresh() error {
	now := Look(k.files.Paths...)
	if now.Same(k.seen) {
		return nil
	}
	value, err := k.read()
	if err != nil {
		return err
	}
	k.value, k.seen = value, now
	return nil
}
