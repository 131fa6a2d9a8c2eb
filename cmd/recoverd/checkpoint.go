package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/checkpoint"
)

func newCheckpointCommand() *cobra.Command {
	cmd := newGroup("checkpoint", "Look at the saved progress, or discard it")
	cmd.AddCommand(newCheckpointShowCommand(), newCheckpointDiscardCommand())
	return cmd
}

func newCheckpointShowCommand() *cobra.Command {
	var stateDir, output string
	var unsettled bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print the saved progress, and which copy it is from",
		Long: `Print the saved progress, and which copy it is from. While a daemon runs, that is
the mirror, which is at most one save behind. Nothing is changed.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			dir, err := findStateDir(stateDir)
			if err != nil {
				return err
			}
			d, err := checkpoint.Describe(dir)
			if err != nil {
				return describeCode(err)
			}
			if output == "json" {
				return writeIndented(cmd.OutOrStdout(), d)
			}
			return writeCheckpoint(cmd.OutOrStdout(), d, unsettled)
		},
	}
	stateDirFlag(cmd, &stateDir)
	outputFlag(cmd, &output)
	cmd.Flags().BoolVar(&unsettled, "unsettled", false, "list the unsettled blobs as well (JSON has them always)")
	return cmd
}

func newCheckpointDiscardCommand() *cobra.Command {
	var stateDir string
	var yes bool
	cmd := &cobra.Command{
		Use:   "discard",
		Short: "Drop the saved progress, so that the next run looks at every blob again",
		Long: `Drop the saved progress, so that the next run looks at every blob again. Stored
blobs are kept, and found again without being fetched. A pause is kept too. The
daemon must not be running. Without --yes it only says what would be dropped.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := findStateDir(stateDir)
			if err != nil {
				return err
			}
			return discard(cmd.OutOrStdout(), dir, yes)
		},
	}
	stateDirFlag(cmd, &stateDir)
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	return cmd
}

// discard drops the progress of a state directory that no daemon uses (75).
func discard(out io.Writer, dir string, yes bool) error {
	before, err := checkpoint.Describe(dir)
	switch {
	case err != nil:
		return describeCode(err)
	case before.InUse:
		return withCode(exitTryAgain, fmt.Errorf("%w: stop the daemon first", checkpoint.ErrLocked))
	case before.Record.Progress == nil && before.Fallbacks == 0:
		_, err := fmt.Fprintln(out, "there is no saved progress to discard")
		return err
	case !yes:
		return withCode(exitUsage, fmt.Errorf("nothing was discarded; say --yes to drop %s", progressText(before.Record, before.LoadReport)))
	}
	record, report, err := checkpoint.Discard(checkpoint.Config{Dir: dir})
	if err != nil {
		return checkpointCode(err)
	}
	_, err = fmt.Fprintf(out, "discarded %s\nthe next run is number %d\n", progressText(record, report), report.LastRun+1)
	return err
}

// describeCode turns an error of looking at the state into its exit code.
func describeCode(err error) error {
	if errors.Is(err, checkpoint.ErrVersion) {
		return withCode(exitConfig, err)
	}
	return withCode(exitFailure, err)
}
