package fs

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/store"
)

// Room returns the free space, in bytes that an ordinary user may use, of the
// volume that is closest to its limit. A volume without free inodes is low too.
func (s *Store) Room(ctx context.Context) (recovery.Room, error) {
	if err := ctx.Err(); err != nil {
		return recovery.Room{}, err
	}
	v := s.view.Load()
	if v == nil {
		return recovery.Room{}, store.ErrNotPrepared
	}
	var tightest recovery.Room
	margin := math.Inf(1)
	for _, vol := range v.volumes {
		room, err := roomOf(vol.dir, s.cfg.MinFree)
		if err != nil {
			return recovery.Room{}, err
		}
		left := float64(room.Free) - float64(room.Min)
		if room.Low && !tightest.Low || room.Low == tightest.Low && left < margin {
			tightest, margin = room, left
		}
	}
	return tightest, nil
}

func roomOf(dir *os.File, minFree uint64) (recovery.Room, error) {
	var st unix.Statfs_t
	err := retryEINTR(func() error { return unix.Fstatfs(int(dir.Fd()), &st) })
	runtime.KeepAlive(dir)
	if err != nil {
		return recovery.Room{}, fmt.Errorf("ask for the free space of %s: %w", dir.Name(), err)
	}
	unit := uint64(st.Frsize)
	if unit == 0 {
		unit = uint64(st.Bsize)
	}
	if minFree == 0 {
		minFree = max(st.Blocks*unit/20, 1<<30)
	}
	room := recovery.Room{Free: st.Bavail * unit, Min: minFree}
	room.Low = room.Free < room.Min || st.Files > 0 && st.Ffree == 0
	return room, nil
}
