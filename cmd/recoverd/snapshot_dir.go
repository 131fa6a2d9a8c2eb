package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/recovery/catalog/eventlog"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// Exit codes of a position that cannot be reached; errors of choosing carry them.
const (
	exitNothing = 31 // no snapshot at or before it
	exitMissing = 32 // events between the snapshots and it are not there
	exitDamaged = 33 // a snapshot on the way is damaged, or one of two
)

// snapshotDir is where a verb looks for snapshots.
type snapshotDir struct{ dir, stateDir string }

// catalogDir is the directory of a daemon's catalog and its snapshots.
func catalogDir(stateDir string) string { return filepath.Join(stateDir, "catalog") }

func (d *snapshotDir) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.dir, "dir", "", "directory of the snapshots")
	cmd.Flags().StringVar(&d.stateDir, "state-dir", "", "state directory of the daemon whose snapshots are meant (or "+envName("state-dir")+")")
}

// find returns the directory, which must be there.
func (d *snapshotDir) find() (string, error) {
	dir := d.dir
	if dir == "" {
		if d.stateDir == "" && os.Getenv(envName("state-dir")) == "" {
			return "", withCode(exitUsage, errors.New("which snapshots? give --dir or --state-dir"))
		}
		stateDir, err := findStateDir(d.stateDir)
		if err != nil {
			return "", err
		}
		dir = catalogDir(stateDir)
	} else if d.stateDir != "" {
		return "", withCode(exitUsage, errors.New("--dir and --state-dir exclude each other"))
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return "", withCode(exitConfig, fmt.Errorf("snapshots: %w", err))
	case !info.IsDir():
		return "", withCode(exitConfig, fmt.Errorf("snapshots: %s is not a directory", dir))
	}
	return dir, nil
}

// open returns the archive in the directory.
func (d *snapshotDir) open() (*archive.Archive, error) {
	dir, err := d.find()
	if err != nil {
		return nil, err
	}
	a, err := archive.Open(archive.Config{Dir: dir})
	return a, withCode(exitConfig, err)
}

// planCode gives an error of choosing a way to a position its exit code.
func planCode(err error) error {
	var nothing *archive.NothingError
	var missing *archive.MissingError
	var damaged *archive.DamagedError
	var networks *archive.NetworksError
	switch {
	case errors.As(err, &nothing):
		return withCode(exitNothing, err)
	case errors.As(err, &missing):
		return withCode(exitMissing, err)
	case errors.As(err, &damaged):
		return withCode(exitDamaged, err)
	case errors.As(err, &networks):
		return withCode(exitConfig, err)
	}
	return err
}

// eventsAtHand reads --log, or else asks the directory's own log. While a daemon
// holds that, the range has to be given.
func eventsAtHand(dir, text string) (archive.Range, error) {
	switch text {
	case "none":
		return archive.Range{}, nil
	case "":
		log, err := eventlog.OpenLog(dir, time.Second)
		if errors.Is(err, eventlog.ErrLocked) {
			err = fmt.Errorf("%w; say which events are at hand with --log FIRST-LAST or --log none", err)
		}
		if err != nil {
			return archive.Range{}, catalogCode(err)
		}
		return log.Range(), log.Close()
	}
	return parseRange(text)
}
