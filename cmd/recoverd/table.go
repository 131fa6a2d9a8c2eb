package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// table is a list of labelled lines; a line without a label goes on from the one
// before it.
type table struct{ rows [][2]string }

func (t *table) row(label, format string, args ...any) {
	t.rows = append(t.rows, [2]string{label, fmt.Sprintf(format, args...)})
}

// write prints the lines aligned, each cut to width characters if width is more
// than 0, so that none wraps.
func (t *table) write(out io.Writer, width int) error {
	labels := 0
	for _, r := range t.rows {
		labels = max(labels, utf8.RuneCountInString(r[0]))
	}
	var text strings.Builder
	for _, r := range t.rows {
		line := printable(fmt.Sprintf("%-*s  %s", labels, r[0], r[1])) // a label may be a file's name
		text.WriteString(strings.TrimRight(cutTo(line, width), " "))
		text.WriteByte('\n')
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// printable keeps what others wrote, such as a peer's error, from steering the
// terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}

func cutTo(line string, width int) string {
	if width <= 0 || utf8.RuneCountInString(line) <= width {
		return line
	}
	runes := []rune(line)
	return string(runes[:max(0, width-1)]) + "~"
}
