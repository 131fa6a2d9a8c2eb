package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
)

// newLogger writes to the standard error: JSON lines, or readable ones.
func newLogger(cfg *runConfig, w io.Writer) (zerolog.Logger, error) {
	level, err := zerolog.ParseLevel(cfg.LogLevel)
	if err != nil || cfg.LogLevel == "" {
		return zerolog.Nop(), withCode(exitConfig, fmt.Errorf("--log-level %q is not debug, info, warn or error", cfg.LogLevel))
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
		return zerolog.Nop(), withCode(exitConfig, fmt.Errorf("--log-format %q is not json, console or auto", cfg.LogFormat))
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger(), nil
}

func console(w io.Writer) io.Writer {
	return zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: !isTerminal(w)}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}
