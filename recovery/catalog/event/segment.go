package event

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/regular"
)

// segment is one open file of events, and a place in it.
type segment struct {
	path  string
	file  *os.File // nil: nothing is open
	info  os.FileInfo
	head  Header
	first uint64 // the number of the first event; 0: there is none yet
	begin int64  // where the first event's line begins

	offset int64  // where the line to be read next begins
	next   uint64 // the least number that the event in it can have
	ahead  []byte // bytes of the file from offset on, read already
	buf    []byte // what ahead lies in
}

// openSegment opens a file at its first event.
func openSegment(path, network string) (segment, error) {
	file, info, err := regular.Open(path)
	if err != nil {
		return segment{}, fmt.Errorf("open events: %w", err)
	}
	s := segment{path: path, file: file, info: info}
	if err := s.start(network); err != nil {
		return segment{}, errors.Join(err, s.close())
	}
	return s, nil
}

// start reads the header and the number of the first event.
func (s *segment) start(network string) (err error) {
	line, end, err := s.line()
	if line == nil || err != nil {
		return err
	}
	head, is, err := ParseHeader(line)
	switch {
	case err != nil:
		return s.bad(0, err)
	case is && network != "" && head.Network != network:
		return s.bad(0, fmt.Errorf("%w: these are events of network %q, not %q", recovery.ErrMisconfigured, head.Network, network))
	case is:
		s.head = head
		s.skip(end)
		s.begin = s.offset
		if line, _, err = s.line(); line == nil || err != nil {
			return err
		}
	}
	e, err := ParseLine(line)
	if err != nil {
		return s.bad(s.offset, err)
	}
	s.first, s.next = e.Position, e.Position
	return nil
}

func (s *segment) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	*s = segment{}
	return err
}

// same reports whether what lies at the path still is this file, and has not
// lost what was read of it.
func (s *segment) same() bool {
	if s.file == nil {
		return false
	}
	there, err := os.Stat(s.path)
	return err == nil && os.SameFile(there, s.info) && there.Size() >= s.offset
}

// readAhead is how many bytes are read at once; more than a line has.
const readAhead = 64 << 10

// line returns the next line without its end, and its length with it; nil
// without an error where no whole line follows. It is valid until the next call.
func (s *segment) line() (line []byte, length int, err error) {
	for {
		if n := bytes.IndexByte(s.ahead, '\n'); n >= 0 && n <= MaxLine {
			return s.ahead[:n:n], n + 1, nil
		}
		if len(s.ahead) > MaxLine {
			return nil, 0, s.bad(s.offset, fmt.Errorf("%w: a line of more than %d bytes", ErrMalformed, MaxLine))
		}
		if s.buf == nil {
			s.buf = make([]byte, readAhead)
		}
		had := copy(s.buf, s.ahead)
		n, err := s.file.ReadAt(s.buf[had:], s.offset+int64(had))
		s.ahead = s.buf[:had+n]
		if n == 0 {
			if err == nil || errors.Is(err, io.EOF) {
				return nil, 0, nil
			}
			return nil, 0, fmt.Errorf("read events of %s at byte %d: %w", s.path, s.offset, err)
		}
	}
}

// skip goes on behind a line.
func (s *segment) skip(length int) {
	s.offset += int64(length)
	s.ahead = s.ahead[length:]
}

// moveTo makes the line at an offset the next one.
func (s *segment) moveTo(offset int64) { s.offset, s.ahead = offset, nil }

// torn reports whether bytes without a line end follow the last whole line.
func (s *segment) torn() bool { return len(s.ahead) > 0 }

// read returns the event with that number, which is in the next line or in one
// behind it; more is false where no whole line follows.
func (s *segment) read(want uint64) (e Event, more bool, err error) {
	for {
		line, length, err := s.line()
		if line == nil || err != nil {
			return Event{}, false, err
		}
		e, err := ParseLine(line)
		switch {
		case err != nil:
			return Event{}, false, s.bad(s.offset, err)
		case e.Position < s.next:
			return Event{}, false, s.bad(s.offset, fmt.Errorf("%w: event %d follows event %d", ErrMalformed, e.Position, s.next-1))
		case e.Position > want:
			return Event{}, false, s.bad(s.offset, &MissingError{First: want, Found: e.Position})
		}
		s.skip(length)
		s.next = e.Position + 1
		if e.Position == want {
			return e, true, nil
		}
	}
}

// seek finds the line with that number, or the place where it will be. The
// first event's number is at most that.
func (s *segment) seek(ctx context.Context, want uint64) error {
	low, high := s.begin, s.info.Size() // the line at low has at most the number wanted
	for high-low > readAhead {
		middle := low + (high-low)/2
		at, number, err := s.lineBehind(middle)
		switch {
		case err != nil:
			return err
		case number != 0 && number <= want:
			low = at
		default:
			high = middle
		}
	}
	s.moveTo(low)
	for looked := 0; ; looked++ {
		if looked%256 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		line, length, err := s.line()
		if err != nil {
			return err
		}
		if line == nil {
			return nil // the file ends before it
		}
		e, err := ParseLine(line)
		switch {
		case err != nil:
			return s.bad(s.offset, err)
		case e.Position >= want:
			s.next = want
			return nil
		}
		s.skip(length)
		s.next = e.Position + 1
	}
}

// lineBehind returns the number of the first event whose line begins behind an
// offset, and where; 0: no whole line does.
func (s *segment) lineBehind(offset int64) (at int64, number uint64, err error) {
	s.moveTo(offset)
	line, length, err := s.line()
	if line == nil || err != nil {
		return 0, 0, err
	}
	s.skip(length) // the rest of the line that offset lies in
	if line, _, err = s.line(); line == nil || err != nil {
		return 0, 0, err
	}
	e, err := ParseLine(line)
	if err != nil {
		return 0, 0, s.bad(s.offset, err)
	}
	return s.offset, e.Position, nil
}

// last returns the number of the last whole event; 0: there is none.
func (s *segment) last() (number uint64, err error) {
	if s.first == 0 {
		return 0, nil
	}
	number = s.first
	from := max(s.begin, s.info.Size()-2*(MaxLine+1))
	s.moveTo(from)
	for whole := from == s.begin; ; whole = true {
		line, length, err := s.line()
		if line == nil || err != nil {
			return number, err
		}
		if whole {
			e, err := ParseLine(line)
			if err != nil {
				return 0, s.bad(s.offset, err)
			}
			number = e.Position
		}
		s.skip(length)
	}
}

// bad says which line is wrong. Lines are counted only then.
func (s *segment) bad(offset int64, err error) error {
	line := int64(1)
	buf := make([]byte, readAhead)
	for at := int64(0); at < offset; {
		n, readErr := s.file.ReadAt(buf[:min(int64(len(buf)), offset-at)], at)
		line += int64(bytes.Count(buf[:n], []byte{'\n'}))
		at += int64(n)
		if readErr != nil && n == 0 {
			break // the number is for people; what is wrong is said all the same
		}
	}
	return &LineError{Source: s.path, Line: line, Offset: offset, Err: err}
}
