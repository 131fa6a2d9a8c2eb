package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
)

// waitVerb are the flags of `recoverd wait`.
type waitVerb struct {
	stateDir         string
	output           string
	goal             string
	timeout          time.Duration
	failOnIncomplete bool
	quiet            bool
}

// What can be waited for.
const (
	goalRunning    = "running"
	goalReady      = "ready"
	goalIncomplete = "incomplete"
	goalComplete   = "complete"
)

func newWaitCommand() *cobra.Command {
	v := &waitVerb{}
	cmd := &cobra.Command{
		Use:   "wait --for complete|incomplete|ready|running",
		Short: "Wait until the daemon is as far as that",
		Long: `Wait until the daemon of a state directory is as far as --for says:

  running     it answers
  ready       it does its work: what /readyz says
  incomplete  nothing is left to do but what is parked, or nothing at all
  complete    everything is settled

Daemons may end and start meanwhile, and the first one may start later: no daemon is
never taken for a daemon that is done. What is waited for is told on stderr.

Exit codes: 0 as far as that; 75 not in --timeout; 3 with --fail-on-incomplete when
only parked blobs are left.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := v.validate(); err != nil {
				return err
			}
			return v.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	stateDirFlag(cmd, &v.stateDir)
	outputFlag(cmd, &v.output)
	f := cmd.Flags()
	f.StringVar(&v.goal, "for", goalComplete, "complete, incomplete, ready or running")
	f.DurationVar(&v.timeout, "timeout", 0, "give up after this time, e.g. 2h; 0 for never")
	f.BoolVar(&v.failOnIncomplete, "fail-on-incomplete", false, "when only parked blobs are left, exit with 3 instead of waiting for them")
	f.BoolVarP(&v.quiet, "quiet", "q", false, "do not tell what is waited for")
	return cmd
}

// validate does not look for the state directory: the daemon may be about to make
// it.
func (v *waitVerb) validate() error {
	if v.stateDir == "" {
		v.stateDir = os.Getenv(envName("state-dir"))
	}
	switch {
	case v.stateDir == "":
		return withCode(exitUsage, fmt.Errorf("which daemon? give --state-dir or set %s", envName("state-dir")))
	case !slices.Contains([]string{goalRunning, goalReady, goalIncomplete, goalComplete}, v.goal):
		return withCode(exitUsage, fmt.Errorf("--for %q is not complete, incomplete, ready or running", v.goal))
	case v.timeout < 0:
		return withCode(exitUsage, fmt.Errorf("--timeout %v is negative", v.timeout))
	}
	return checkOutput(v.output)
}

// askAgain is the time between two looks for a daemon.
const askAgain = time.Second

// errReached ends a watch: it is as far as that.
var errReached = errors.New("reached")

func (v *waitVerb) run(ctx context.Context, out, progress io.Writer) error {
	if v.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, v.timeout)
		defer cancel()
	}
	if v.quiet {
		progress = io.Discard
	}
	w := &waiting{verb: v, tell: teller{out: progress}}
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-again.C:
		case <-ctx.Done():
			return v.gaveUp(ctx, w.tell.last)
		}
		err := w.follow(ctx)
		switch {
		case errors.Is(err, errReached):
			return v.print(out, w.newest)
		case ctx.Err() == nil && !passes(err):
			return daemonCode(err)
		}
		again.Reset(askAgain)
	}
}

// passes reports whether an error is one that another try may not meet.
func passes(err error) bool {
	var exit *exitError
	var answered *statusapi.APIError
	switch {
	case errors.As(err, &exit), errors.Is(err, fs.ErrPermission), errors.Is(err, statusapi.ErrSocket):
		return false
	case errors.As(err, &answered):
		return answered.Code == http.StatusServiceUnavailable
	}
	return true // none runs, or it ends or starts in this moment
}

func (v *waitVerb) gaveUp(ctx context.Context, last string) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err()
	}
	return withCode(exitTryAgain, fmt.Errorf("not %s in %v: %s", v.goal, v.timeout, last))
}

func (v *waitVerb) print(out io.Writer, d statusapi.Document) error {
	if v.output == "json" {
		return writeIndented(out, d)
	}
	_, err := fmt.Fprintln(out, printable(d.Phase+": "+d.Why))
	return err
}

// waiting follows one daemon after the other.
type waiting struct {
	verb   *waitVerb
	tell   teller
	newest statusapi.Document
}

// follow watches one daemon until it is as far as asked for (errReached) or ends.
func (w *waiting) follow(ctx context.Context) error {
	client, err := statusapi.Dial(ctx, w.verb.stateDir)
	if err != nil {
		why := err.Error()
		if errors.Is(err, statusapi.ErrNotRunning) {
			why = "no daemon runs on " + w.verb.stateDir
		}
		w.tell.say(why, "")
		return err
	}
	defer client.Close()
	return client.Watch(ctx, func(d statusapi.Document) error {
		w.newest = d
		if err := w.reached(ctx, client, d); err != nil {
			return err
		}
		w.tell.say(stateText(d), statusLine(d))
		return nil
	})
}

// reached returns errReached if a daemon is as far as asked for.
func (w *waiting) reached(ctx context.Context, client *statusapi.Client, d statusapi.Document) error {
	complete, incomplete := d.Phase == recovery.PhaseComplete.String(), d.Phase == recovery.PhaseIncomplete.String()
	switch w.verb.goal {
	case goalRunning:
		return errReached
	case goalReady:
		if client.Ready(ctx) == nil {
			return errReached
		}
	case goalIncomplete:
		if complete || incomplete {
			return errReached
		}
	case goalComplete:
		switch {
		case complete:
			return errReached
		case incomplete && w.verb.failOnIncomplete:
			return withCode(exitIncomplete, fmt.Errorf("incomplete: %s; which blobs: recoverd unsettled list", d.Why))
		}
	}
	return nil
}

// teller writes a line when something else is said, and every lineEvery while the
// details change.
type teller struct {
	out  io.Writer
	last string
	at   time.Time
}

// say tells what, in the words of line if there are any.
func (t *teller) say(what, line string) {
	if what == t.last && (line == "" || time.Since(t.at) < lineEvery) {
		return
	}
	t.last, t.at = what, time.Now()
	if line == "" {
		line = t.at.UTC().Format(time.RFC3339) + " " + what
	}
	fmt.Fprintln(t.out, strings.TrimSpace(printable(line)))
}
