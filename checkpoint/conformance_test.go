package checkpoint_test

import (
	"path/filepath"
	"slices"
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

func TestMediumConforms(t *testing.T) {
	checkpointtest.Run(t, func(t *testing.T) checkpointtest.Opener {
		m := &memory{}
		return func(t *testing.T) checkpointtest.Checkpoint {
			s, err := checkpoint.OpenMedium(m)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	})
}

// memory is the simplest Medium: nothing is ever lost.
type memory struct {
	slots      [2][]byte
	head, list []byte
}

func (m *memory) ReadSlot(slot int) ([]byte, error) { return m.slots[slot], nil }

func (m *memory) WriteSlot(slot int, data []byte) error {
	m.slots[slot] = append(slices.Clone(data), m.slots[slot][min(len(data), len(m.slots[slot])):]...)
	return nil
}

func (m *memory) ReadDatabase() (head, list []byte, ok bool, err error) {
	return m.head, m.list, m.head != nil, nil
}

func (m *memory) PutDatabase(head, list []byte) error {
	m.head, m.list = slices.Clone(head), slices.Clone(list)
	return nil
}
