package snapshot

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

// memoryFile takes a snapshot's file into memory. It is read while it is written,
// as files are.
type memoryFile struct {
	mu   sync.Mutex
	all  []byte
	name string // once published
}

// Bytes returns what was written. The writer must have ended.
func (m *memoryFile) Bytes() []byte { return m.all }

func (m *memoryFile) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = append(m.all, b...)
	return len(b), nil
}

func (m *memoryFile) ReadAt(b []byte, at int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.NewReader(m.all).ReadAt(b, at)
}

func (m *memoryFile) WriteAt(b []byte, at int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return copy(m.all[at:], b), nil
}

func (m *memoryFile) Flush() error { return nil }
func (m *memoryFile) Abort() error { return nil }

func (m *memoryFile) Publish(name string) error {
	m.name = name
	return nil
}

// memoryStorage takes a snapshot into memory.
type memoryStorage struct{ files []*memoryFile }

func (m *memoryStorage) create() (output, error) {
	f := &memoryFile{}
	m.files = append(m.files, f)
	return f, nil
}

func (m *memoryStorage) settle() error { return nil }

var errFault = errors.New("injected fault")

// faults fails at one of the calls that are made, and counts them.
type faults struct {
	calls  atomic.Int64
	failAt int64
	short  bool // a failing write or read does half of its work
}

func (f *faults) fails() bool { return f.calls.Add(1) == f.failAt }

// reached reports whether the fault was met.
func (f *faults) reached() bool { return f.calls.Load() >= f.failAt }

// faultyStorage fails where its faults say.
type faultyStorage struct {
	storage
	*faults
}

func (f faultyStorage) create() (output, error) {
	if f.fails() {
		return nil, errFault
	}
	out, err := f.storage.create()
	if err != nil {
		return nil, err
	}
	return faultyOutput{out, f.faults}, nil
}

type faultyOutput struct {
	output
	*faults
}

func (f faultyOutput) Write(b []byte) (int, error) {
	if f.fails() {
		n := 0
		if f.short {
			n, _ = f.output.Write(b[:len(b)/2])
		}
		return n, errFault
	}
	return f.output.Write(b)
}

func (f faultyOutput) WriteAt(b []byte, at int64) (int, error) {
	if f.fails() {
		return 0, errFault
	}
	return f.output.WriteAt(b, at)
}

func (f faultyOutput) ReadAt(b []byte, at int64) (int, error) {
	if f.fails() {
		if f.short {
			return len(b) / 2, io.EOF
		}
		return 0, errFault
	}
	return f.output.ReadAt(b, at)
}

func (f faultyOutput) Flush() error {
	if f.fails() {
		return errFault
	}
	return f.output.Flush()
}

func (f faultyOutput) Publish(name string) error {
	if f.fails() {
		return errFault
	}
	return f.output.Publish(name)
}
