package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/recovery/statusapi"
)

// healthcheckVerb are the flags of `recoverd healthcheck`.
type healthcheckVerb struct {
	stateDir string
	ready    bool
	live     bool
	timeout  time.Duration
}

func newHealthcheckCommand() *cobra.Command {
	v := &healthcheckVerb{}
	cmd := &cobra.Command{
		Use:   "healthcheck [--live | --ready]",
		Short: "Ask whether the daemon is alive, for probes in containers",
		Long: `Ask the daemon over its socket what /livez (--live, the default) or /readyz
(--ready) says. Ready is not "recovered": that is "recoverd wait --for complete".

The exit code is 0 for yes and 1 for no; no daemon is a no.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if v.live && v.ready {
				return withCode(exitUsage, errors.New("--live and --ready are two questions: give one"))
			}
			answer, err := v.ask(cmd.Context())
			if err == nil {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), answer)
			}
			return err
		},
	}
	stateDirFlag(cmd, &v.stateDir)
	f := cmd.Flags()
	f.BoolVar(&v.live, "live", false, "does its main loop turn?")
	f.BoolVar(&v.ready, "ready", false, "does it do its work, so that others may depend on it?")
	f.DurationVar(&v.timeout, "timeout", 5*time.Second, "no answer in this time is a no")
	return cmd
}

func (v *healthcheckVerb) ask(ctx context.Context) (answer string, err error) {
	dir, err := findStateDir(v.stateDir)
	if err != nil {
		var exit *exitError
		if errors.As(err, &exit) && exit.code == exitConfig {
			exit.code = exitFailure // it is not there: no daemon is
		}
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	client, err := statusapi.Dial(ctx, dir)
	if err != nil {
		return "", err
	}
	defer client.Close()
	if v.ready {
		return "ready", client.Ready(ctx)
	}
	return "live", client.Live(ctx)
}
