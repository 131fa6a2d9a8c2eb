package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
)

// stateDirFlag gives a verb the flag that names the state directory.
func stateDirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "state-dir", "", "state directory of the daemon (required, or "+envName("state-dir")+")")
}

// findStateDir returns the state directory of a verb that makes none: the flag's,
// or else the environment's. None given is wrong usage (64); one that is not
// there, or that cannot be looked at, is a wrong configuration (78).
func findStateDir(flag string) (string, error) {
	dir := flag
	if dir == "" {
		dir = os.Getenv(envName("state-dir"))
	}
	if dir == "" {
		return "", withCode(exitUsage, fmt.Errorf("which daemon? give --state-dir or set %s", envName("state-dir")))
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", withCode(exitConfig, fmt.Errorf("there is no state directory %s", dir))
	case err != nil:
		return "", withCode(exitConfig, fmt.Errorf("state directory: %w", err))
	case !info.IsDir():
		return "", withCode(exitConfig, fmt.Errorf("state directory: %s is not a directory", dir))
	}
	return dir, nil
}

// outputFlag gives a verb the choice between text and JSON.
func outputFlag(cmd *cobra.Command, format *string) {
	cmd.Flags().StringVarP(format, "output", "o", "text", "text or json")
}

// checkOutput refuses other formats with the usage exit code.
func checkOutput(format string) error {
	if format != "text" && format != "json" {
		return withCode(exitUsage, fmt.Errorf("-o %q is not text or json", format))
	}
	return nil
}
