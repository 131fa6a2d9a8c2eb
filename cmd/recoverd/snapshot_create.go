package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/recovery/catalog/eventlog"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

func newSnapshotCreateCommand() *cobra.Command {
	var where snapshotDir
	var keep retention
	var kind, output string
	var maxChunk, minFree byteSize
	cmd := &cobra.Command{
		Use:   "create (--dir DIR | --state-dir DIR)",
		Short: "Make a snapshot of a followed catalog, as it stands",
		Long: `Make a snapshot of a catalog that follows events, as it stands, and remove what the
policy does not keep. A running daemon makes its own, and holds the directory
(exit code 75). The same state gives the same bytes, on every node.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			kinds := map[string]snapshot.Kind{"full": snapshot.Full, "incremental": snapshot.Incremental}
			if kinds[kind] == 0 {
				return withCode(exitUsage, fmt.Errorf("--kind %q is neither full nor incremental", kind))
			}
			policy, err := keep.policy()
			if err != nil {
				return err
			}
			dir, err := where.find()
			if err != nil {
				return err
			}
			c, err := eventlog.Open(cmd.Context(), eventlog.Config{
				Dir: dir, Retain: policy, MinFree: int64(minFree), MaxChunk: int64(maxChunk), FullEvery: -1, IncrEvery: -1,
			})
			if err != nil {
				return catalogCode(err)
			}
			entry, err := c.Snapshot(cmd.Context(), kinds[kind])
			if closing := c.Close(); err == nil {
				err = closing
			}
			if err != nil {
				return catalogCode(err)
			}
			if output == "json" {
				return writeIndented(cmd.OutOrStdout(), viewSnapshot(entry))
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s (%s): %s\n", entry.Name, size(entry.Size), entry.Bound)
			return err
		},
	}
	where.register(cmd)
	keep.register(cmd)
	outputFlag(cmd, &output)
	f := cmd.Flags()
	f.StringVar(&kind, "kind", "full", "full or incremental; an incremental one can only be made in the epoch of its base")
	f.Var(&maxChunk, "max-chunk", "size above which the snapshot is cut into several files; 0 for never")
	f.Var(&minFree, "min-free", "free space to leave; 0 is the larger of 5 % and 1 GiB")
	return cmd
}
