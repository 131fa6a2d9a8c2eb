package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/store/fs"
)

func newStoreCommand() *cobra.Command {
	cmd := newGroup("store", "Fill a store from files, or accept one that progress does not know")
	cmd.AddCommand(newImportCommand(), newAcceptCommand())
	return cmd
}

func newAcceptCommand() *cobra.Command {
	var root, stateDir string
	cmd := &cobra.Command{
		Use:   "accept --store DIR --state-dir DIR",
		Short: "Say that an empty or replaced store is meant, so that it may be filled again",
		Long: `A store that is empty although progress claims work is not touched: its disk may
not be mounted. When it is meant to be empty (the disk was replaced), accept
gives it new markers. The daemon sees them at its next look, discards its
progress, and fills the store from the start.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if root == "" || stateDir == "" {
				return withCode(exitUsage, errors.New("--store and --state-dir are required"))
			}
			return acceptStore(cmd, root, stateDir)
		},
	}
	cmd.Flags().StringVar(&root, "store", "", "directory of the store (required)")
	cmd.Flags().StringVar(&stateDir, "state-dir", "", "the daemon's state directory, which says what the store is for (required)")
	return cmd
}

func acceptStore(cmd *cobra.Command, root, stateDir string) error {
	if info, err := os.Stat(root); err != nil || !info.IsDir() {
		return withCode(exitConfig, fmt.Errorf("--store %s is not a directory: accept is for a store that is there and empty", root))
	}
	stateDir, err := findStateDir(stateDir)
	if err != nil {
		return err
	}
	record, _, err := checkpoint.ReadMirror(stateDir)
	if err != nil {
		return err
	}
	p := record.Progress
	if p == nil {
		return withCode(exitConfig, fmt.Errorf("%s holds no progress that claims a store: nothing is to be accepted", stateDir))
	}
	s, err := fs.Open(fs.Config{Root: root, Create: true})
	if err != nil {
		return storeCode(err)
	}
	_, err = s.Accept(cmd.Context(), recovery.StoreRequest{
		Network: p.Fence.Network, TotalShards: p.Fence.TotalShards, Placement: p.Fence.Placement, Owned: p.Fence.Owned,
		Identity: p.Fence.Store, Claimed: p.Fence.Owned, Settled: p.Counters.Stored + p.Counters.AlreadyStored,
	})
	if err = errors.Join(err, s.Close()); err != nil {
		return withCode(exitConfig, err)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is accepted for shards %s of network %q; the daemon will discard its progress and fill it\n", root, p.Fence.Owned, p.Fence.Network)
	return err
}
