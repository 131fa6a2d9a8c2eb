package main

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery/catalog/eventlog"
	"github.com/recoverd/recoverd/recovery/statusapi"
)

// A disk in trouble is told by 74, whether there is state already or it is being made;
// 73 is for a place that cannot be written.
func TestDiskTroubleIsNotAMissingPlace(t *testing.T) {
	for errno, want := range map[error]int{
		unix.EIO: exitHalted, unix.ENOSPC: exitHalted, unix.EDQUOT: exitHalted, unix.EINTR: exitHalted,
		unix.EACCES: exitNoCreate, unix.EROFS: exitNoCreate, unix.ENOTDIR: exitNoCreate, unix.ENOENT: exitNoCreate, unix.EPERM: exitNoCreate,
	} {
		failed := &os.PathError{Op: "fsync", Path: "state", Err: errno}
		for what, err := range map[string]error{
			"checkpoint": checkpointCode(fmt.Errorf("%w: %w", checkpoint.ErrCreate, failed)),
			"catalog":    catalogCode(fmt.Errorf("%w: %w", eventlog.ErrCreate, failed)),
			"token":      tokenCode(fmt.Errorf("make the token: %w", failed)),
		} {
			var e *exitError
			if !errors.As(err, &e) || e.code != want || !errors.Is(err, errno) {
				t.Errorf("%s, %v: %v, want exit code %d", what, errno, err, want)
			}
		}
	}
	hidden := fmt.Errorf("%w: checkpoint.db: file sync error: input/output error", checkpoint.ErrCreate) // as bbolt says it
	if err := checkpointCode(hidden); err.(*exitError).code != exitHalted {
		t.Errorf("a flush that failed in bbolt: %v", err)
	}
	if err := tokenCode(statusapi.ErrToken); err.(*exitError).code != exitConfig {
		t.Errorf("a bad token: %v", err)
	}
}
