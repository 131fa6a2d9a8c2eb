package mem_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store/mem"
	"github.com/recoverd/recoverd/syncer/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Medium {
		disk := mem.NewDisk()
		return storetest.Medium{
			Open: func(t *testing.T, set storetest.Settings) storetest.Store {
				s, err := mem.Open(disk, mem.Config{NoCreate: set.NoCreate})
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
			Kill: disk.Kill, Crash: disk.Crash, Unmount: disk.Unmount, Mount: disk.Mount,
			Wipe: disk.Wipe, Remove: disk.Remove, Plant: disk.Plant, Read: disk.Read,
		}
	})
}

func open(t *testing.T, disk *mem.Disk) *mem.Store {
	t.Helper()
	s, err := mem.Open(disk, mem.Config{VolumeOf: func(shard uint32) int { return int(shard) }})
	if err != nil {
		t.Fatal(err)
	}
	req := recovery.StoreRequest{Network: "n", TotalShards: 2, Placement: shards.Striped, Owned: shards.Range(0, 1)}
	if _, err := s.Prepare(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	return s
}

func sealed(t *testing.T, s *mem.Store, shard uint32) syncer.Draft {
	t.Helper()
	d, err := s.Create(t.Context(), syncer.Piece{Shard: shard}, 1)
	if err == nil {
		_, err = d.Write([]byte("x"))
	}
	if err == nil {
		err = d.Seal()
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Hazard 50: the lock goes with its process, however that ends.
func TestLock(t *testing.T) {
	disk := mem.NewDisk()
	open(t, disk)
	if _, err := mem.Open(disk, mem.Config{}); !errors.Is(err, mem.ErrLocked) {
		t.Errorf("a second process: %v", err)
	}
	disk.Kill()
	s := open(t, disk)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, disk)
}

// Hazard 85.
func TestOtherVolumeFlush(t *testing.T) {
	disk := mem.NewDisk()
	s := open(t, disk)
	a, b := sealed(t, s, 0), sealed(t, s, 1)
	if a.Volume() == b.Volume() {
		t.Fatal("two volumes are one")
	}
	if err := a.Volume().Flush([]syncer.Draft{a, b}, nil); err == nil {
		t.Error("a volume flushed a draft of another")
	}
	if err := b.Publish(); err == nil {
		t.Error("which could then be published")
	}
}

// Hazard 45.
func TestFlushFailureSticks(t *testing.T) {
	disk := mem.NewDisk()
	s := open(t, disk)
	d := sealed(t, s, 0)
	disk.FailFlushes(syscall.EIO)
	if err := d.Volume().Flush([]syncer.Draft{d}, nil); !errors.Is(err, syscall.EIO) {
		t.Fatalf("flush: %v", err)
	}
	disk.FailFlushes(nil)
	if err := d.Volume().Flush([]syncer.Draft{d}, nil); !errors.Is(err, syscall.EIO) {
		t.Errorf("a second flush: %v", err)
	}
}

// Hazard 51.
func TestFullDisk(t *testing.T) {
	disk := mem.NewDisk()
	s := open(t, disk)
	disk.SetCapacity(3)
	d, err := s.Create(t.Context(), syncer.Piece{}, 4)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := d.Write([]byte("four")); n != 3 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("wrote %d bytes: %v", n, err)
	}
	if err := d.Discard(); err != nil {
		t.Fatal(err)
	}
	if room, err := s.Room(t.Context()); err != nil || room.Free != 3 {
		t.Errorf("room after discarding: %+v, %v", room, err)
	}
}

func TestEndedProcess(t *testing.T) {
	disk := mem.NewDisk()
	s := open(t, disk)
	d := sealed(t, s, 0)
	disk.Crash()
	for what, err := range map[string]error{
		"publish": d.Publish(), "discard": d.Discard(), "flush": d.Volume().Flush([]syncer.Draft{d}, nil),
		"mark": s.Mark(t.Context(), nil),
	} {
		if !errors.Is(err, mem.ErrEnded) {
			t.Errorf("%s after the power cut: %v", what, err)
		}
	}
}
