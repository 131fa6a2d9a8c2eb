package main

import (
	"context"
	"encoding/json"
	"io"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/checkpoint"
)

// statusOptions are the flags of `recoverd status`.
type statusOptions struct {
	stateDir string
	output   string
	watch    bool
}

func newStatusCommand() *cobra.Command {
	o := &statusOptions{}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what the daemon does, how far it is, and what stands in the way",
		Long: `Ask the daemon of a state directory for its status. Without a daemon, show what
was saved last, and when.

The exit code says whether there was a status to show, not what it is.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	stateDirFlag(cmd, &o.stateDir)
	outputFlag(cmd, &o.output)
	cmd.Flags().BoolVar(&o.watch, "watch", false, "go on showing it until the daemon has ended: in place on a terminal, else every 10 s")
	return cmd
}

func (o *statusOptions) run(ctx context.Context, out io.Writer) error {
	if err := checkOutput(o.output); err != nil {
		return err
	}
	dir, err := findStateDir(o.stateDir)
	if err != nil {
		return err
	}
	source := &statusSource{dir: dir, describe: checkpoint.Describe}
	defer source.close()
	if o.watch {
		return daemonCode(watchStatus(ctx, source, o.show(out)))
	}
	doc, err := source.read(ctx)
	if err != nil {
		return err
	}
	if o.output == "json" {
		return writeIndented(out, doc)
	}
	return writeStatus(out, doc)
}

// show chooses how a status is shown again and again.
func (o *statusOptions) show(out io.Writer) statusView {
	switch {
	case o.output == "json":
		return jsonLines{out: out}
	case isTerminal(out):
		return newLiveView(out)
	}
	return textLines{out: out}
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func writeIndented(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
