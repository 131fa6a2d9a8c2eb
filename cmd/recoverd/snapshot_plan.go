package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

func newSnapshotPlanCommand() *cobra.Command {
	var where snapshotDir
	var at, log, output string
	cmd := &cobra.Command{
		Use:   "plan --at POSITION (--dir DIR | --state-dir DIR)",
		Short: "Say which snapshot and which events lead to a position",
		Long: `Say which full snapshot, which incremental over it, and which events after them
lead to a position. Nothing is changed. A snapshot beyond the position is not in
the way. Where it cannot be reached the exit code tells why:

  31  no snapshot lies at or before it; the message names the first one that does not
  32  events between the snapshots and it are missing; the message names the first
  33  a snapshot that would lead there is damaged, or there are two with different
      digests; the message names the files`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			target, err := parseTarget(at)
			if err != nil {
				return err
			}
			a, err := where.open()
			if err != nil {
				return err
			}
			events, err := eventsAtHand(a.Dir(), log)
			if err != nil {
				return err
			}
			listing, err := a.List(cmd.Context())
			if err != nil {
				return err
			}
			plan, err := archive.MakePlan(listing.Entries, events, target)
			if err != nil {
				return planCode(err)
			}
			if output == "json" {
				return writeIndented(cmd.OutOrStdout(), viewPlan(plan, events))
			}
			return writePlan(cmd.OutOrStdout(), plan, events)
		},
	}
	where.register(cmd)
	outputFlag(cmd, &output)
	cmd.Flags().StringVar(&at, "at", "", `position to reach, or "latest" (required)`)
	cmd.Flags().StringVar(&log, "log", "", `events that are at hand, as FIRST-LAST or "none"; by default those of the directory's own log`)
	return cmd
}

// parseTarget reads a position, or "latest".
func parseTarget(text string) (uint64, error) {
	switch text {
	case "":
		return 0, withCode(exitUsage, errors.New(`--at is required: a position, or "latest"`))
	case "latest":
		return archive.Latest, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 || n == archive.Latest {
		return 0, withCode(exitUsage, fmt.Errorf("--at %q is not a position", text))
	}
	return n, nil
}

// parseRange reads FIRST-LAST.
func parseRange(text string) (archive.Range, error) {
	first, last, ok := strings.Cut(text, "-")
	a, errA := strconv.ParseUint(first, 10, 64)
	b, errB := strconv.ParseUint(last, 10, 64)
	if !ok || errA != nil || errB != nil || a == 0 || b < a {
		return archive.Range{}, withCode(exitUsage, fmt.Errorf("--log %q is not FIRST-LAST", text))
	}
	return archive.Range{First: a, Last: b}, nil
}

// rangeView is a stretch of events in JSON; null: none.
type rangeView struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

func viewRange(r archive.Range) *rangeView {
	if r.Empty() {
		return nil
	}
	return &rangeView{r.First, r.Last}
}

// planView is the way to a position in JSON.
type planView struct {
	Position    uint64         `json:"position"`
	Full        *snapshotView  `json:"full"`
	Incremental *snapshotView  `json:"incremental"`
	Replay      *rangeView     `json:"replay"`
	Log         *rangeView     `json:"log"`
	Newer       []snapshotView `json:"newer"`  // beyond the position, and not in the way
	Passed      []snapshotView `json:"passed"` // before it, and of no use
}

func viewPlan(p archive.Plan, log archive.Range) planView {
	v := planView{Position: p.Position, Replay: viewRange(p.Replay), Log: viewRange(log), Newer: viewSnapshots(p.Newer), Passed: []snapshotView{}}
	if p.Full != nil {
		full := viewSnapshot(*p.Full)
		v.Full = &full
	}
	if p.Incremental != nil {
		incremental := viewSnapshot(*p.Incremental)
		v.Incremental = &incremental
	}
	for _, u := range p.Passed {
		v.Passed = append(v.Passed, viewSnapshot(u.Entry))
	}
	return v
}

func writePlan(out io.Writer, p archive.Plan, log archive.Range) error {
	var t table
	t.row("position", "%d", p.Position)
	switch {
	case p.Full == nil:
		t.row("begin with", "nothing: the log has the first event")
	default:
		t.row("full", "%s", p.Full.Name)
	}
	if p.Incremental != nil {
		t.row("incremental", "%s", p.Incremental.Name)
	}
	switch {
	case p.Replay.Empty():
		t.row("replay", "nothing")
	default:
		t.row("replay", "events %d to %d", p.Replay.First, p.Replay.Last)
	}
	if !log.Empty() {
		t.row("log", "events %d to %d", log.First, log.Last)
	}
	for _, e := range p.Newer {
		t.row("newer", "%s: not in the way", e.Name)
	}
	for _, u := range p.Passed {
		t.row("passed by", "%s: %s", u.Name, whyPassed(u))
	}
	return t.write(out, 0)
}

func whyPassed(u archive.Unusable) string {
	switch {
	case u.Err != nil:
		return fmt.Sprintf("%s: %v", u.Status, u.Err)
	case len(u.Rivals) > 0:
		return fmt.Sprintf("another one of its position has another digest: %s", u.Rivals[0].Name)
	}
	return string(u.Status)
}
