package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// run executes one command line and returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	if err == nil {
		return exitOK
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		exit = &exitError{code: exitFailure, err: err}
	}
	if exit.err != nil {
		fmt.Fprintf(stderr, "recoverd: %v\n", exit.err)
	}
	return exit.code
}

// newRoot builds the tree of verbs, one file each.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "recoverd",
		Short:         "Make a storage node whole again, and remember how far it got",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return withCode(exitUsage, err) })
	root.AddCommand(newRunCommand(), newStatusCommand(), newCheckpointCommand(), newServeCommand(), newStoreCommand(), newCatalogCommand(), newDemoCommand(), newVersionCommand())
	return root
}
