package main

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
)

// logLevel is the least level that is logged. It may change at any time.
type logLevel struct{ level atomic.Int32 }

// newLogLevel returns the level that a flag names.
func newLogLevel(text string) (*logLevel, error) {
	level, err := parseLevel(text)
	if err != nil {
		return nil, err
	}
	l := &logLevel{}
	l.level.Store(int32(level))
	return l, nil
}

func parseLevel(text string) (zerolog.Level, error) {
	switch level, err := zerolog.ParseLevel(text); {
	case err == nil && level >= zerolog.DebugLevel && level <= zerolog.ErrorLevel:
		return level, nil
	}
	return 0, fmt.Errorf("--log-level %q is not debug, info, warn or error", text)
}

// Level returns debug, info, warn or error.
func (l *logLevel) Level() string { return zerolog.Level(l.level.Load()).String() }

// SetLevel takes one of those words, and leaves the level alone for any other.
func (l *logLevel) SetLevel(text string) {
	if level, err := parseLevel(text); err == nil {
		l.level.Store(int32(level))
	}
}

// leveled lets through what its level allows.
type leveled struct {
	io.Writer
	least *logLevel
}

// WriteLevel implements zerolog.LevelWriter.
func (w leveled) WriteLevel(level zerolog.Level, p []byte) (int, error) {
	if level < zerolog.Level(w.least.level.Load()) {
		return len(p), nil
	}
	return w.Write(p)
}

// newLogger writes to the standard error: JSON lines, or readable ones.
func newLogger(cfg *runConfig, w io.Writer) (zerolog.Logger, *logLevel, error) {
	level, err := newLogLevel(cfg.LogLevel)
	if err != nil {
		return zerolog.Nop(), nil, withCode(exitConfig, err)
	}
	switch cfg.LogFormat {
	case "json":
	case "console":
		w = console(w)
	case "auto":
		if isTerminal(w) {
			w = console(w)
		}
	default:
		return zerolog.Nop(), nil, withCode(exitConfig, fmt.Errorf("--log-format %q is not json, console or auto", cfg.LogFormat))
	}
	return zerolog.New(leveled{w, level}).Level(zerolog.DebugLevel).With().Timestamp().Logger(), level, nil
}

func console(w io.Writer) io.Writer {
	return zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: !isTerminal(w)}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}
