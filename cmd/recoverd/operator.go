package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
)

// daemonVerb is what the verbs have in common that ask a daemon.
type daemonVerb struct {
	stateDir string
	output   string
}

func (v *daemonVerb) register(cmd *cobra.Command) {
	stateDirFlag(cmd, &v.stateDir)
	outputFlag(cmd, &v.output)
}

// ask lets use ask the daemon of the state directory. Without a daemon nothing is
// changed, and the exit code is 75.
func (v *daemonVerb) ask(ctx context.Context, use func(*statusapi.Client) error) error {
	return v.askOr(ctx, use, func(saved checkpoint.Description) error {
		return withCode(exitTryAgain, fmt.Errorf("%s; nothing was changed", nobodyAnswers(saved)))
	})
}

// askOr is ask for verbs that have something to say without a daemon, from what it
// saved.
func (v *daemonVerb) askOr(ctx context.Context, use func(*statusapi.Client) error, without func(checkpoint.Description) error) error {
	if err := checkOutput(v.output); err != nil {
		return err
	}
	dir, err := findStateDir(v.stateDir)
	if err != nil {
		return err
	}
	client, err := statusapi.Dial(ctx, dir)
	if err == nil {
		err = use(client)
		client.Close()
	}
	if !errors.Is(err, statusapi.ErrNotRunning) {
		return daemonCode(err)
	}
	saved, err := checkpoint.Describe(dir)
	if err != nil {
		return describeCode(fmt.Errorf("no daemon runs on %s, and what it saved cannot be read: %w", dir, err))
	}
	return without(saved)
}

// daemonCode turns an error of asking a daemon that runs into its exit code.
func daemonCode(err error) error {
	var answered *statusapi.APIError
	switch {
	case errors.Is(err, fs.ErrPermission):
		return withCode(exitFailure, fmt.Errorf("%w: only the daemon's user and root may ask it", err))
	case errors.As(err, &answered):
		return withCode(answerCode(answered.Code), err)
	}
	return err // it has its code, or is a failure
}

// answerCode is the exit code for what the daemon answered.
func answerCode(status int) int {
	switch status {
	case http.StatusBadRequest:
		return exitUsage
	case http.StatusConflict, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return exitTryAgain
	}
	return exitFailure
}

// nobodyAnswers tells a daemon that is starting or ending from none.
func nobodyAnswers(saved checkpoint.Description) string {
	switch {
	case saved.InUse:
		return fmt.Sprintf("a process holds %s and does not answer (starting, or ending?): try again", saved.Dir)
	case saved.Record.Paused:
		return fmt.Sprintf("no daemon runs on %s (it is saved as paused, and will start so)", saved.Dir)
	}
	return "no daemon runs on " + saved.Dir
}

// asOf says from when something saved is, and that nobody confirms it.
func asOf(at time.Time, inUse bool) string {
	return phaseText(statusapi.Document{At: at, Phase: savedPhase(inUse)})
}

// parseIDs reads the ids of a command line, or says which one is none.
func parseIDs(args []string) ([]recovery.BlobID, error) {
	ids := make([]recovery.BlobID, 0, len(args))
	for _, arg := range args {
		id, err := recovery.ParseBlobID(arg)
		if err != nil {
			return nil, withCode(exitUsage, err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}
