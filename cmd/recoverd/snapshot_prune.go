package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// retention says which snapshots stay.
type retention struct{ fulls, increments, older int }

func (r *retention) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&r.fulls, "keep-fulls", 2, "newest full snapshots to keep, at least 1")
	f.IntVar(&r.increments, "keep-increments", 4, "newest incremental snapshots to keep of the newest full one; -1 for none")
	f.IntVar(&r.older, "keep-older", 1, "the same for each older full one; -1 for none")
}

func (r *retention) policy() (archive.Policy, error) {
	p := archive.Policy{Fulls: r.fulls, Increments: r.increments, Older: r.older}
	return p, withCode(exitUsage, p.Validate())
}

func newSnapshotPruneCommand() *cobra.Command {
	var where snapshotDir
	var keep retention
	var yes bool
	var output string
	cmd := &cobra.Command{
		Use:   "prune (--dir DIR | --state-dir DIR)",
		Short: "Remove snapshots that are not kept, and say why for each",
		Long: `Remove the snapshots that the policy does not keep. Without --yes it only says what
would be removed. A snapshot that is being read, the newest full one, and what
cannot be judged always stay; one that is not whole is never counted as one.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			policy, err := keep.policy()
			if err != nil {
				return err
			}
			a, err := where.open()
			if err != nil {
				return err
			}
			judge := a.Verdicts
			if yes {
				judge = a.Prune
			}
			verdicts, err := judge(cmd.Context(), policy)
			if err != nil {
				return err
			}
			if output == "json" {
				return writeIndented(cmd.OutOrStdout(), viewVerdicts(verdicts, yes))
			}
			return writeVerdicts(cmd.OutOrStdout(), verdicts, yes)
		},
	}
	where.register(cmd)
	keep.register(cmd)
	outputFlag(cmd, &output)
	cmd.Flags().BoolVar(&yes, "yes", false, "really remove them")
	return cmd
}

// verdictView is what becomes of one snapshot, in JSON.
type verdictView struct {
	snapshotView
	Keep    bool   `json:"keep"`
	Removed bool   `json:"removed"`
	Reason  string `json:"reason"`
}

func viewVerdicts(verdicts []archive.Verdict, done bool) []verdictView {
	views := []verdictView{}
	for _, v := range verdicts {
		views = append(views, verdictView{viewSnapshot(v.Entry), v.Keep, done && !v.Keep, string(v.Reason)})
	}
	return views
}

func writeVerdicts(out io.Writer, verdicts []archive.Verdict, done bool) error {
	verb := "would remove"
	if done {
		verb = "removed"
	}
	var t table
	left := 0
	for _, v := range verdicts {
		what := "keep"
		if !v.Keep {
			what = verb
			left++
		}
		t.row(v.Name.String(), "%-12s  %9s  %s", what, size(v.Size), v.Reason)
	}
	if err := t.write(out, 0); err != nil {
		return err
	}
	if left > 0 && !done {
		_, err := fmt.Fprintln(out, "nothing was removed: say --yes to do it")
		return err
	}
	return nil
}
