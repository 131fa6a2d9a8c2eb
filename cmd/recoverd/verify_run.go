package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/audit"
	"github.com/recoverd/recoverd/syncer/store"
	"github.com/recoverd/recoverd/syncer/store/fs"
)

// verification is one run of `recoverd verify`.
type verification struct {
	opts     *verifyOptions
	catalog  *reading
	reader   *fs.Reader
	audit    audit.Config
	keeper   verifyKeeper
	report   *verifyReport
	stderr   io.Writer
	stateDir string
	daemon   *statusapi.Client // nil without --repair

	state    *verifyState
	pending  []recovery.BlobID // wrong, and not handed over yet
	full     bool              // the daemon's list took no more
	saved    time.Time
	shown    atomic.Pointer[verifyShown]
	needless map[audit.Kind]uint64 // nil without --orphans
}

// verifyShown is what the meter shows; it is never changed.
type verifyShown struct {
	share float64
	text  string
}

func (v *verification) keyOf(cfg *runConfig, own shards.Ownership) verifyKey {
	path, err := filepath.Abs(cfg.Store)
	if err != nil {
		path = cfg.Store
	}
	k := verifyKey{
		Catalog: v.catalog.tip.Bound, Store: path, Placement: v.audit.Placement, TotalShards: own.TotalShards, Owned: own.Owned, Epoch: own.Epoch, Repair: v.opts.repair,
	}
	if m, ok := v.reader.Marker(); ok {
		k.Marker = m.ID.String()
	}
	return k
}

func (v *verification) run(ctx context.Context, of verifyKey) error {
	if err := v.begin(of); err != nil {
		return err
	}
	absent, err := v.absentShards(of.Owned)
	if err != nil {
		return err
	}
	if err := v.prove(ctx); err != nil {
		return v.interrupted(ctx, err)
	}
	if v.opts.orphans {
		if err := v.sift(ctx); err != nil {
			return v.interrupted(ctx, err)
		}
	}
	if err := v.report.end(v, absent); err != nil {
		return err
	}
	if err := v.keeper.drop(); err != nil {
		return err
	}
	if v.state.Sums.wrong() > 0 || len(v.needless) > 0 {
		return &exitError{code: exitIncomplete} // all is told
	}
	return nil
}

// begin takes up an earlier verification, and says so.
func (v *verification) begin(of verifyKey) (err error) {
	if v.catalog.note != "" {
		fmt.Fprintf(v.stderr, "catalog %s\n", printable(v.catalog.note))
	}
	if v.opts.restart {
		v.state = newVerifyState(of)
		return nil
	}
	dropped := ""
	if v.state, dropped, err = v.keeper.load(of); err != nil {
		return err
	}
	switch {
	case dropped != "":
		fmt.Fprintf(v.stderr, "beginning anew: %s\n", printable(dropped))
	case !v.state.Mark.None():
		fmt.Fprintf(v.stderr, "going on after %s, where the verification of %s ended (%s blobs, %d wrong); --restart begins anew\n",
			v.state.Mark, v.state.Began.Format(time.RFC3339), humanize.Comma(int64(v.state.Sums.Blobs)), v.state.Sums.wrong())
	}
	for _, f := range v.state.Findings {
		if err := v.report.finding(f); err != nil {
			return err
		}
	}
	return nil
}

// absentShards tells which owned shards have no directory. With --repair that is an
// error: all of their blobs would be fetched, perhaps because a disk is not mounted.
func (v *verification) absentShards(owned shards.Set) (shards.Set, error) {
	var absent []uint32
	for shard := range owned.All() {
		there, err := v.reader.HasShard(shard)
		if err != nil {
			return shards.Set{}, err
		}
		if !there {
			absent = append(absent, shard)
		}
	}
	set := shards.SetOf(absent...)
	if manifests, err := v.reader.HasShard(store.Manifests); err != nil {
		return set, err
	} else if v.opts.repair && v.audit.Placement == shards.Striped && owned.Len() > 0 && !manifests {
		return set, withCode(exitConfig, errors.New("the directory of the manifests is not there: is its disk mounted? Nothing was handed to the daemon"))
	}
	if len(absent) > 0 && v.opts.repair {
		return set, withCode(exitConfig, fmt.Errorf("shard %s has no directory: is its disk mounted? Nothing was handed to the daemon, which makes a shard that is meant to be new by itself", set))
	}
	return set, nil
}

// prove reads what should be stored.
func (v *verification) prove(ctx context.Context) (err error) {
	v.show()
	meter := startMeter(v.stderr, "verify", v.progress)
	defer meter.close()
	v.saved = time.Now()
	if err := audit.Run(ctx, v.audit, v.catalog.rows(ctx, v.state.Mark), func(c audit.Checked) error {
		return v.take(ctx, c)
	}); err != nil {
		return err
	}
	return v.save(ctx)
}

// take notes what became of one blob.
func (v *verification) take(ctx context.Context, c audit.Checked) error {
	v.state.take(c)
	for _, f := range c.Findings {
		if err := v.report.finding(f); err != nil {
			return err
		}
		if v.daemon != nil && f.Mendable() {
			v.pending = append(v.pending, f.ID)
		}
	}
	v.show()
	if len(v.pending) < repairBatch && time.Since(v.saved) < verifySaveEvery {
		return nil
	}
	v.saved = time.Now()
	return v.save(ctx)
}

// repairBatch is how many blobs are handed over at once.
const repairBatch = 256

// save hands over what is pending, and only then keeps the mark beyond it.
func (v *verification) save(ctx context.Context) error {
	if err := v.handOver(ctx); err != nil {
		return err
	}
	return v.keeper.save(v.state)
}

func (v *verification) handOver(ctx context.Context) error {
	if len(v.pending) == 0 {
		return nil
	}
	if v.full {
		v.state.Sums.Repair.NotAsked += uint64(len(v.pending))
		v.pending = v.pending[:0]
		return nil
	}
	result, err := v.daemon.Repair(ctx, v.pending)
	if err != nil {
		return repairCode(err, v.stateDir)
	}
	v.state.Sums.Repair.add(result)
	v.full = len(result.Refused) > 0
	v.pending = v.pending[:0]
	return nil
}

// interrupted saves what can be, so that the next verification goes on from there.
func (v *verification) interrupted(ctx context.Context, err error) error {
	if ctx.Err() == nil || !errors.Is(err, context.Canceled) {
		return err
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := v.save(ending); err != nil {
		return err
	}
	where := "; nothing keeps how far it was (--state-dir or --resume would)"
	if v.keeper.path != "" {
		where = "; the same command goes on from there"
	}
	return withCode(exitTryAgain, fmt.Errorf("stopped after %s blobs, %d wrong so far%s", humanize.Comma(int64(v.state.Sums.Blobs)), v.state.Sums.wrong(), where))
}

// show makes the present figures those of the meter.
func (v *verification) show() {
	share := 0.0
	if id, ok := v.state.Mark.ID(); ok {
		share = idShare(leading(id))
	}
	s := v.state.Sums
	v.shown.Store(&verifyShown{share, fmt.Sprintf("%s blobs, %s read, %d wrong",
		humanize.Comma(int64(s.Blobs)), humanize.IBytes(s.Bytes), s.wrong())})
}

func (v *verification) progress() (float64, string) {
	s := v.shown.Load()
	return s.share, s.text
}

// sift lists what need not be stored.
func (v *verification) sift(ctx context.Context) error {
	v.needless = map[audit.Kind]uint64{}
	return audit.FindNeedless(ctx, v.audit, v.reader, v.catalog.rows(ctx, recovery.Mark{}), func(f audit.Finding) error {
		v.needless[f.Kind]++
		return v.report.finding(f)
	})
}
