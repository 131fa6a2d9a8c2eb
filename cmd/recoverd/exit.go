package main

import (
	"errors"
	"fmt"
	"math"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery/statusapi"
)

// Exit codes (DESIGN 9); most are those of sysexits.h. 2 is left to Go's runtime.
const (
	exitOK         = 0
	exitFailure    = 1
	exitIncomplete = 3  // all is settled but the ids listed
	exitUsage      = 64 // the command line is wrong
	exitNoCreate   = 73 // what is to be written cannot be created: the place, or its permissions
	exitHalted     = 74 // I/O: durability is in doubt, or a disk fails or is full
	exitTryAgain   = 75 // locked by another process, or not ready
	exitConfig     = 78 // configuration or facts contradict each other
)

// exitError carries the exit code an error ends the process with. A nil err
// prints nothing: the verb has said all there is.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// withCode gives an error its exit code; nil stays nil.
func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code: code, err: err}
}

// withCreateCode gives an error of making something its exit code: 73 for a place that
// cannot be written. Whatever else fails is a disk that fails or is full, which is the
// same trouble whether there is something to lose already or not (I12); bbolt's errors do
// not say which call it was.
func withCreateCode(err error) error {
	for _, place := range []error{
		unix.EACCES, unix.EPERM, unix.EROFS, unix.ENOENT, unix.ENOTDIR, unix.EISDIR, unix.EEXIST, unix.ELOOP, unix.ENAMETOOLONG,
		statusapi.ErrSocket,
	} {
		if errors.Is(err, place) {
			return withCode(exitNoCreate, err)
		}
	}
	return withCode(exitHalted, err)
}

// noArgs and the like refuse another number of arguments with the usage exit code.
func noArgs(cmd *cobra.Command, args []string) error { return countArgs(cmd, args, 0, 0) }

func exactArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error { return countArgs(cmd, args, n, n) }
}

func minArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error { return countArgs(cmd, args, n, math.MaxInt) }
}

func countArgs(cmd *cobra.Command, args []string, least, most int) error {
	switch {
	case len(args) > most:
		return withCode(exitUsage, fmt.Errorf("%q is more than it takes: %s", args[most], cmd.UseLine()))
	case len(args) < least:
		return withCode(exitUsage, fmt.Errorf("it takes at least %d, and %d were given: %s", least, len(args), cmd.UseLine()))
	}
	return nil
}
