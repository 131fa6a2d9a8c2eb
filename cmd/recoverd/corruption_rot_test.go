package main

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"

	"github.com/recoverd/recoverd/syncer/audit"
)

// rot is a stored file that is about to be spoilt.
type rot struct {
	rng  *rand.Rand
	path string
	data []byte // what it holds
	// other are the bytes of another file.
	other []byte
}

// becomes overwrites the file, and says what that is where its size is known.
func (r rot) becomes(data []byte) (audit.Kind, error) {
	kind := audit.Rotten
	if len(data) != len(r.data) {
		kind = audit.WrongSize
	}
	return kind, os.WriteFile(r.path, data, 0o644)
}

// rotter is one way to spoil a file. What it says is wrong holds for a file that was
// as it should be, of random bytes and not empty.
type rotter struct {
	name string
	do   func(r rot) (audit.Kind, error)
}

var rotters = []rotter{
	{"bit flipped", func(r rot) (audit.Kind, error) {
		r.data[r.rng.IntN(len(r.data))] ^= 1 << r.rng.IntN(8)
		return r.becomes(r.data)
	}},
	{"bytes overwritten", func(r rot) (audit.Kind, error) {
		at := r.rng.IntN(len(r.data))
		for i := range min(1+r.rng.IntN(64), len(r.data)-at) {
			r.data[at+i] ^= byte(1 + r.rng.IntN(255))
		}
		return r.becomes(r.data)
	}},
	{"block zeroed in the middle", func(r rot) (audit.Kind, error) {
		from := r.rng.IntN((len(r.data) + 1) / 2)
		to := min(len(r.data), from+max(8, len(r.data)/4))
		if len(bytes.Trim(r.data[from:to], "\x00")) == 0 {
			r.data[from] = 1 // it was zero already
		} else {
			clear(r.data[from:to])
		}
		return r.becomes(r.data)
	}},
	{"all zeros", func(r rot) (audit.Kind, error) { return r.becomes(make([]byte, len(r.data))) }},
	{"emptied", func(r rot) (audit.Kind, error) { return r.becomes(nil) }},
	{"cut", func(r rot) (audit.Kind, error) { return r.becomes(r.data[:r.rng.IntN(len(r.data))]) }},
	{"grown", func(r rot) (audit.Kind, error) {
		return r.becomes(append(r.data, make([]byte, 1+r.rng.IntN(100))...))
	}},
	{"another's bytes", func(r rot) (audit.Kind, error) { return r.becomes(r.other) }},
	{"another's bytes, as many as before", func(r rot) (audit.Kind, error) {
		return r.becomes(append(r.other, r.data...)[:len(r.data)])
	}},
	{"removed", func(r rot) (audit.Kind, error) { return audit.Missing, os.Remove(r.path) }},
	{"no regular file", func(r rot) (audit.Kind, error) { // it must not even be opened
		err := os.Remove(r.path)
		switch r.rng.IntN(3) {
		case 0:
			err = errors.Join(err, syscall.Mkfifo(r.path, 0o644))
		case 1:
			err = errors.Join(err, os.Mkdir(r.path, 0o755))
		default: // the right bytes, behind a link
			aside := filepath.Join(filepath.Dir(r.path), "..", "aside-"+filepath.Base(r.path))
			err = errors.Join(err, os.WriteFile(aside, r.data, 0o644), os.Symlink(aside, r.path))
		}
		return audit.Irregular, err
	}},
}
