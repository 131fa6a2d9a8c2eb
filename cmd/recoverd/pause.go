package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/recovery/statusapi"
)

func newPauseCommand() *cobra.Command {
	return newPausing("pause", true, "Begin nothing new, also after a restart, until `recoverd resume`",
		`Begin nothing new until "recoverd resume". What is in flight ends first. The
answer comes when the pause is durable: it holds over restarts, kills and power
cuts, and a checkpoint that is discarded. To pause twice does no harm.

Without a daemon nothing is changed (75): a pause is the daemon's to remember.`)
}

func newResumeCommand() *cobra.Command {
	return newPausing("resume", false, "Go on after a pause",
		`Go on after "recoverd pause". The answer comes when that is durable. To resume
what is not paused does no harm.

Without a daemon nothing is changed (75).`)
}

func newPausing(use string, paused bool, short, long string) *cobra.Command {
	v := &daemonVerb{}
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return v.ask(cmd.Context(), func(client *statusapi.Client) error {
				if err := client.Pause(cmd.Context(), paused); err != nil {
					return err
				}
				return v.printPause(cmd.OutOrStdout(), paused)
			})
		},
	}
	v.register(cmd)
	return cmd
}

func (v *daemonVerb) printPause(out io.Writer, paused bool) error {
	if v.output == "json" {
		return writeIndented(out, statusapi.Paused{Paused: paused})
	}
	text := "resumed"
	if paused {
		text = "paused: what is in flight ends, and nothing new begins, also after a restart, until `recoverd resume`"
	}
	_, err := fmt.Fprintln(out, text)
	return err
}
