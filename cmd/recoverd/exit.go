package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// Exit codes (DESIGN 9); most are those of sysexits.h. 2 is left to Go's runtime.
const (
	exitOK         = 0
	exitFailure    = 1
	exitIncomplete = 3  // all is settled but the ids listed
	exitUsage      = 64 // the command line is wrong
	exitNoCreate   = 73 // state cannot be created
	exitHalted     = 74 // I/O: durability is in doubt
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

// noArgs and the like refuse arguments with the usage exit code.
func noArgs(cmd *cobra.Command, args []string) error {
	return withCode(exitUsage, cobra.NoArgs(cmd, args))
}
