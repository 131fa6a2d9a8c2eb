package listing

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// lineMax bounds a line: the longest name that sha256sum can print, all of it
// escaped, and what stands before it.
const lineMax = 16 << 10

// ctxEvery is how many lines or rows a loop looks at between two looks at its
// context.
const ctxEvery = 1024

// lines reads a text and finds out its format: the one in which every line can
// be read.
type lines struct {
	path   string
	src    *bufio.Reader
	fits   []Format // that all lines so far could be
	number uint64   // of the last line read
	row    Row
	other  Row // of a format that fits less well
}

// textFormats are the formats of text.
func textFormats() []Format { return []Format{NDJSON, IDs, SHA256Sum, OCI} }

func newLines(path string, src *bufio.Reader, f Format) *lines {
	l := &lines{path: path, src: src, fits: textFormats()}
	if f != Auto {
		l.fits = []Format{f}
	}
	return l
}

// each calls visit with the row of each line. While more than one format fits,
// that is the row of the first one.
func (l *lines) each(ctx context.Context, visit func(*Row) error) error {
	for {
		if l.number%ctxEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		line, err := l.next()
		if err != nil {
			return err
		}
		if line == nil {
			return nil
		}
		if err := l.parse(line); err != nil {
			return err
		}
		l.row.Line = l.number
		if err := visit(&l.row); err != nil {
			return err
		}
	}
}

// format is the one that fits, once all lines were read.
func (l *lines) format() (Format, error) {
	switch {
	case l.number == 0:
		return Auto, fmt.Errorf("%w: %s is empty", ErrImport, l.path)
	case len(l.fits) > 1:
		return Auto, fmt.Errorf("%w: %s, lines 1 to %d, could be %v with sizes, or %v of files that have numbers for names; say which with --format",
			ErrImport, l.path, l.number, l.fits[0], l.fits[1])
	}
	return l.fits[0], nil
}

// next returns the next line without its end; nil after the last one.
func (l *lines) next() ([]byte, error) {
	line, err := l.src.ReadSlice('\n')
	switch {
	case err == nil:
		l.number++
		return l.check(line[:len(line)-1])
	case errors.Is(err, bufio.ErrBufferFull):
		l.number++
		return nil, l.fault("it has more than %d bytes", lineMax)
	case !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("read %s after line %d: %w", l.path, l.number, err)
	case len(line) == 0:
		return nil, nil
	}
	l.number++
	if line, err = l.check(line); err != nil {
		return nil, err
	}
	return line, l.whole(line)
}

func (l *lines) check(line []byte) ([]byte, error) {
	switch {
	case len(line) == 0:
		return nil, l.fault("it is empty")
	case len(line) > lineMax:
		return nil, l.fault("it has more than %d bytes", lineMax)
	}
	return line, nil
}

// whole refuses a last line without an end if it would still be good when it was
// cut: one that ends in a size.
func (l *lines) whole(line []byte) error {
	_, size := cutBlank(line)
	if last := line[len(line)-1]; len(size) > 0 && last >= '0' && last <= '9' && (l.can(IDs) || l.can(OCI)) {
		return l.fault("it ends in a number and has no line end: was the list cut?")
	}
	return nil
}

func (l *lines) can(f Format) bool { return slices.Contains(l.fits, f) }

// parse sets the row to what the line says in the first format that fits, and
// strikes those off that do not.
func (l *lines) parse(line []byte) error {
	if len(l.fits) == 1 { // as for almost all lines
		if err := l.fits[0].parse(line, &l.row); err != nil {
			return l.misfit(line, err)
		}
		return nil
	}
	var rest []Format
	for _, f := range l.fits {
		if f.parse(line, &l.other) != nil {
			continue
		}
		if len(rest) == 0 {
			l.row = l.other
		}
		rest = append(rest, f)
	}
	if len(rest) == 0 {
		return l.misfit(line, nil)
	}
	l.fits = rest
	return nil
}

// misfit says why a line is of no format that fits the lines before it.
func (l *lines) misfit(line []byte, why error) error {
	names := make([]string, len(l.fits))
	for i, f := range l.fits {
		names[i] = f.String()
	}
	for _, f := range textFormats() {
		if l.number > 1 && !l.can(f) && f.parse(line, &l.other) == nil {
			return l.fault("it is %v, those before it are %s", f, strings.Join(names, " or "))
		}
	}
	switch {
	case len(l.fits) == 1:
		return l.fault("it is not %s: %v", names[0], why)
	case line[0] == '{':
		return l.fault("it is not %v: %v", NDJSON, NDJSON.parse(line, &l.other))
	case line[len(line)-1] == '\r':
		return l.fault("it ends in a carriage return")
	}
	return l.fault("%.80q is none of %s", line, strings.Join(names, ", "))
}

func (l *lines) fault(format string, args ...any) error {
	return &LineError{Path: l.path, Line: l.number, What: fmt.Sprintf(format, args...)}
}
