package main

import (
	"bytes"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/recovery/sim/overlay"
)

// failpointVar names the place where a recoverd that was built with failpoints kills
// itself, and at which of the times it comes there: "publish-before:3". No other build
// knows it.
const failpointVar = "RECOVERD_TEST_FAILPOINT"

// failpoint is the function that the overlay gives each package with places in it.
const failpoint = `package %PACKAGE%

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var failpointCame atomic.Int64

// failpoint does what is given, and ends the process by SIGKILL, if this is the place
// that was asked for.
func failpoint(name string, last ...func()) {
	want, times, _ := strings.Cut(os.Getenv("` + failpointVar + `"), ":")
	n, _ := strconv.ParseInt(times, 10, 64)
	if want != name || failpointCame.Add(1) != n {
		return
	}
	for _, f := range last {
		f()
	}
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
	select {}
}
`

// place is a stretch of code with points in it: before, in and after what is persisted,
// renamed, flushed, answered or published.
type place struct{ file, before, in string }

// places are where the points of killPoints are. In each, the first text, which occurs
// once, becomes the second.
var places = []place{
	{
		"checkpoint/fsys.go", "	n, err := w.WriteAt(data, 0)\n",
		`	failpoint("write-torn", func() { _, _ = w.WriteAt(data[:len(data)/2], 0) })` + "\n	n, err := w.WriteAt(data, 0)\n" + `	failpoint("write-unflushed")` + "\n",
	},
	{
		"checkpoint/mirror.go", "	if err := writeSynced(m.slots[i], encodeSlot(img)); err != nil {\n		return fmt.Errorf(\"%s: %w\", slotSources()[i], err)\n	}\n",
		`	failpoint("mirror-before")` + "\n	if err := writeSynced(m.slots[i], encodeSlot(img)); err != nil {\n		return fmt.Errorf(\"%s: %w\", slotSources()[i], err)\n	}\n" + `	failpoint("mirror-after")` + "\n",
	},
	{
		"checkpoint/database.go", "			head := binary.BigEndian.AppendUint64(nil, uint64(tx.ID()))\n",
		"			head := binary.BigEndian.AppendUint64(nil, uint64(tx.ID()))\n" + `			failpoint("commit-before")` + "\n",
	},
	{
		"checkpoint/database.go", "	if err != nil {\n		return fmt.Errorf(\"%s: %w\", databaseName, err)\n	}\n",
		"	if err != nil {\n		return fmt.Errorf(\"%s: %w\", databaseName, err)\n	}\n" + `	failpoint("commit-after")` + "\n",
	},
	{
		"checkpoint/database.go", "	if err := fs.rename(build, filepath.Join(dir, databaseName)); err != nil {\n		return err\n	}\n",
		`	failpoint("database-before")` + "\n	if err := fs.rename(build, filepath.Join(dir, databaseName)); err != nil {\n		return err\n	}\n" + `	failpoint("database-after")` + "\n",
	},
	{
		"checkpoint/store.go", "	for _, step := range steps {\n",
		"	for i, step := range steps {\n		if p.less {\n" + `			failpoint([...]string{"reset-first", "reset-second", "reset-third", "reset-fourth"}[i])` + "\n		}\n",
	},
	{
		"checkpoint/store.go", "	s.ledger.done(p)\n",
		"	if p.less {\n" + `		failpoint("reset-done")` + "\n	}\n	s.ledger.done(p)\n",
	},
	{
		"syncer/lane.go", "		if err := l.volume.Flush(l.data, l.names); err != nil {\n			b.fail(err)\n		}\n",
		`		failpoint("flush-before")` + "\n		if err := l.volume.Flush(l.data, l.names); err != nil {\n			b.fail(err)\n		}\n" + `		failpoint("flush-after")` + "\n",
	},
	{
		"syncer/lane.go", "		if err := t.draft.Publish(); err != nil {\n", `		failpoint("rename-before")` + "\n		if err := t.draft.Publish(); err != nil {\n",
	},
	{
		"syncer/lane.go", "		published = append(published, t)\n", "		published = append(published, t)\n" + `		failpoint("rename-after")` + "\n",
	},
	{
		"syncer/lane.go", "	for _, t := range named {\n		t.owner.answered(nil)\n	}\n",
		`	failpoint("success-before")` + "\n	for _, t := range named {\n		t.owner.answered(nil)\n" + `		failpoint("success-after")` + "\n	}\n",
	},
	{
		"syncer/store/fs/draft.go", "func (d *draft) Write(p []byte) (int, error) {\n",
		"func (d *draft) Write(p []byte) (int, error) {\n" + `	failpoint("draft-torn", func() { _, _ = d.Write(p[:len(p)/2]) })` + "\n",
	},
	{
		"syncer/store/fs/prepare.go", "	made := false\n", `	failpoint("root-marked")` + "\n	made := false\n",
	},
	{
		"syncer/store/fs/prepare.go", "	if made {\n", `	failpoint("shards-made")` + "\n	if made {\n",
	},
	{
		"recovery/worker/perform.go", "	report, err := w.cfg.Store.Prepare(ctx, e.Request)\n",
		"	report, err := w.cfg.Store.Prepare(ctx, e.Request)\n" + `	failpoint("store-prepared")` + "\n",
	},
	{
		"recovery/worker/perform.go", "	w.tries.note(e.Blob.ID, outcome, watch.Answers())\n",
		`	failpoint("settle-before")` + "\n	w.tries.note(e.Blob.ID, outcome, watch.Answers())\n",
	},
	{
		"recovery/worker/perform.go", "	write := w.cfg.Checkpoint.Save\n",
		`	failpoint("save-before")` + "\n	if p := e.Record.Progress; p != nil && p.Covered != nil && *p.Covered != p.Bound {\n" + `		failpoint("next-pass-before")` + "\n	}\n	write := w.cfg.Checkpoint.Save\n",
	},
	{
		"recovery/worker/perform.go", "			return recovery.Saved{Seq: e.Seq}\n",
		`			failpoint("save-after")` + "\n			if p := e.Record.Progress; p != nil && p.Covered != nil && *p.Covered != p.Bound {\n" + `				failpoint("next-pass-after")` + "\n			}\n			return recovery.Saved{Seq: e.Seq}\n",
	},
	{
		"recovery/worker/perform.go", "			w.desk.answer(e)\n", `			failpoint("answer-before")` + "\n			w.desk.answer(e)\n" + `			failpoint("answer-after")` + "\n",
	},
	{
		"recovery/catalog/file.go", "	return next.tip(), f.install(next)\n",
		`	failpoint("switch-before")` + "\n	err = f.install(next)\n" + `	failpoint("switch-after")` + "\n	return next.tip(), err\n",
	},
	{
		"recovery/catalog/snapshot/archive/publish.go", "	if err := a.show(paths[0]); err != nil {\n		return Entry{}, errors.Join(err, a.hide(paths[1:]))\n	}\n",
		`	failpoint("snapshot-before")` + "\n	if err := a.show(paths[0]); err != nil {\n		return Entry{}, errors.Join(err, a.hide(paths[1:]))\n	}\n" + `	failpoint("snapshot-after")` + "\n",
	},
	{
		"recovery/catalog/snapshot/archive/publish.go", "	return e, nil\n}\n\n// describe", `	failpoint("snapshot-durable")` + "\n	return e, nil\n}\n\n// describe",
	},
}

// failpoints are the faults that put the places' points into the program.
func failpoints() (list []overlay.Fault) {
	packages := map[string]bool{}
	for _, p := range places {
		list = append(list, overlay.Fault{Name: path.Base(p.file), What: "a kill at a named place", File: p.file, Old: p.before, New: p.in})
		if dir := path.Dir(p.file); !packages[dir] {
			packages[dir] = true
			list = append(list, overlay.Fault{
				Name: "failpoint in " + dir, What: "the function that kills", File: dir + "/failpoint.go",
				New: strings.ReplaceAll(failpoint, "%PACKAGE%", path.Base(dir)),
			})
		}
	}
	return list
}

// Every failpoint still has its place in the source, and compiles; each has one place.
func TestFailpointsApply(t *testing.T) {
	if err := overlay.Check(t.Context(), t.TempDir(), failpoints()...); err != nil {
		t.Fatal(err)
	}
	for _, k := range killPoints {
		n := 0
		for _, p := range places {
			n += strings.Count(p.in, `"`+k.name+`"`)
		}
		if n != 1 {
			t.Errorf("the failpoint %s is at %d places", k.name, n)
		}
	}
}

// buildFailpoints builds recoverd with the points in it.
func buildFailpoints(t *testing.T) (binary string) {
	t.Helper()
	o, err := overlay.New(t.TempDir(), failpoints()...)
	if err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(t.TempDir(), "recoverd-failpoints")
	if err := o.Build(t.Context(), "cmd/recoverd", binary); err != nil {
		t.Fatal(err)
	}
	return binary
}

// notShipped holds the program that is shipped, which has no failpoint and nothing of the
// tests in it, against the one that is built for them, which has.
func notShipped(t *testing.T, failing string) {
	t.Helper()
	o, err := overlay.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	shipped := filepath.Join(t.TempDir(), "recoverd")
	if err := o.Build(t.Context(), "cmd/recoverd", shipped); err != nil {
		t.Fatal(err)
	}
	names := []string{failpointVar, asProgram, "failpointCame", "recovery/sim/"}
	for _, k := range killPoints {
		names = append(names, k.name)
	}
	holds := func(binary string) (found []string) {
		data, err := os.ReadFile(binary)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range names {
			if bytes.Contains(data, []byte(text)) {
				found = append(found, text)
			}
		}
		return found
	}
	if found := holds(shipped); len(found) > 0 {
		t.Errorf("the program that is shipped holds %q", found)
	}
	if found := holds(failing); len(found) < len(killPoints) {
		t.Errorf("the program with failpoints holds only %q: the search finds nothing", found)
	}
	proved(t, "failpoints and test code in the program that is shipped", "texts", len(names), "none; the one that is built for the tests has them")
}
