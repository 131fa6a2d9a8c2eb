package checkpoint_test

import (
	"path/filepath"
	"testing"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/checkpoint/checkpointtest"
)

func TestStoreConforms(t *testing.T) {
	checkpointtest.Run(t, func(t *testing.T) checkpointtest.Opener {
		cfg := checkpoint.Config{Dir: filepath.Join(t.TempDir(), "state")}
		return func(t *testing.T) checkpointtest.Checkpoint {
			s, err := checkpoint.Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	})
}

func TestNopConforms(t *testing.T) {
	checkpointtest.Run(t, func(t *testing.T) checkpointtest.Opener {
		memory := &checkpoint.Nop{}
		return func(t *testing.T) checkpointtest.Checkpoint { return memory.Reopen() }
	})
}
