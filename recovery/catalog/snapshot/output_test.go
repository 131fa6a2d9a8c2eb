package snapshot

import (
	"bytes"
	"errors"
	"io"
)

// memoryOutput takes a snapshot into memory.
type memoryOutput struct{ bytes.Buffer }

func (m *memoryOutput) ReadAt(b []byte, at int64) (int, error) {
	return bytes.NewReader(m.Bytes()).ReadAt(b, at)
}

func (m *memoryOutput) Commit() error { return nil }
func (m *memoryOutput) Abort() error  { return nil }

var errFault = errors.New("injected fault")

// faultyOutput fails at one of the calls to the output behind it, and counts
// them.
type faultyOutput struct {
	output
	calls, failAt int
	short         bool // a failing write leaves half of its bytes
}

func (f *faultyOutput) fails() bool {
	f.calls++
	return f.calls == f.failAt
}

func (f *faultyOutput) Write(b []byte) (int, error) {
	if f.fails() {
		n := 0
		if f.short {
			n, _ = f.output.Write(b[:len(b)/2])
		}
		return n, errFault
	}
	return f.output.Write(b)
}

func (f *faultyOutput) ReadAt(b []byte, at int64) (int, error) {
	if f.fails() {
		if f.short {
			return len(b) / 2, io.EOF
		}
		return 0, errFault
	}
	return f.output.ReadAt(b, at)
}

func (f *faultyOutput) Commit() error {
	if f.fails() {
		return errors.Join(errFault, f.output.Abort())
	}
	return f.output.Commit()
}
