package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/spf13/cobra"
)

// run executes one command line and returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// Libraries that write to the standard logger would print what peers send.
	log.SetOutput(io.Discard)
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
		fmt.Fprintf(stderr, "recoverd: %s\n", complaint(exit.err))
	}
	return exit.code
}

// complaint spells an error, which may quote what others wrote: names of files, peers'
// answers, arguments. It steers no terminal, and what follows a line's end is indented:
// it begins no line that could be taken for one of ours.
func complaint(err error) string {
	lines := strings.Split(strings.TrimRight(err.Error(), "\n"), "\n")
	for i, text := range lines {
		lines[i] = printable(text)
	}
	return strings.Join(lines, "\n  ")
}

// newRoot builds the tree of verbs, one file each.
func newRoot() *cobra.Command {
	root := newGroup("recoverd", "Make a storage node whole again, and remember how far it got")
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return withCode(exitUsage, err) })
	root.AddCommand(
		newRunCommand(), newStatusCommand(), newWaitCommand(), newExplainCommand(), newPlanCommand(), newVerifyCommand(), newDoctorCommand(), newUnsettledCommand(), newPauseCommand(), newResumeCommand(),
		newRetryCommand(), newLimitsCommand(), newCheckpointCommand(), newServeCommand(), newStoreCommand(), newCatalogCommand(), newSnapshotCommand(),
		newConfigCommand(), newHealthcheckCommand(), newDemoCommand(), newVersionCommand(),
	)
	return root
}

// newGroup makes a verb that only holds others: alone it prints its help, and a
// verb that it does not hold is an error.
func newGroup(use, short string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return withCode(exitUsage, fmt.Errorf("unknown verb %q for %q; see %s --help", args[0], cmd.CommandPath(), cmd.CommandPath()))
			}
			return cmd.Help()
		},
	}
}
