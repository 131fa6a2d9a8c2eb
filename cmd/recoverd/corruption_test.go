package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/boltfile"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
	"github.com/recoverd/recoverd/recovery/statusapi"
	"github.com/recoverd/recoverd/shards"
)

var (
	corruptions    = flag.Int("corruptions", 20, "corruptions of TestCorruptionCheckpoint")
	corruptionSeed = flag.Uint64("corruption-seed", 1, "the seed of the first one; the next ones follow")
)

// TestCorruptionCheckpoint corrupts the saved progress of interrupted recoveries, its
// database, its mirror or both, and starts recoverd on what is left, with a peer that has
// everything. It must not crash, must end with every blob stored or refuse with an exit
// code that is documented, and must name each file of which it read other bytes than
// were written. Which bytes are read is judged here, from the good file.
//
// Hazards 15, 42 and 86.
func TestCorruptionCheckpoint(t *testing.T) {
	wrecks := newWrecks(t)
	memory := wrecks[0].memory()
	lanes := min(4, *corruptions)
	all := make(chan counts, lanes)
	t.Run("lanes", func(t *testing.T) {
		for lane := range lanes {
			t.Run(fmt.Sprint(lane), func(t *testing.T) {
				t.Parallel()
				sum := counts{}
				for n := lane; n < *corruptions && !t.Failed(); n += lanes {
					seed := *corruptionSeed + uint64(n)
					c := newCorruption(seed, wrecks[seed%uint64(len(wrecks))], filepath.Join(memory, fmt.Sprint(seed)))
					c.run(t, sum)
				}
				all <- sum
			})
		}
	})
	close(all)
	sum := counts{}
	for s := range all {
		for what, n := range s {
			sum[what] += n
		}
	}
	evidence.Proved(t, evidence.Entry{
		Layer: "corruption", What: "the saved progress of real processes, corrupted at random: database, mirror, both", Tried: uint64(sum["tried"]), Unit: "corruptions",
		Detail: sum.String(),
	})
	if *corruptions >= 100 && sum["reported"] < sum["tried"]/2 {
		t.Errorf("only %d of %d corruptions hit what is read: the test does not test", sum["reported"], sum["tried"])
	}
}

// counts counts what became of corruptions.
type counts map[string]int

func (s counts) String() string {
	text := fmt.Sprintf("%d of bytes that are read, each to be named; %d of bytes that are not read (free pages, slack, beyond the end), of which bbolt reads the same; "+
		"%d made an earlier database of it, whole, beside a newer mirror; %d were refused with a documented exit code; on %d a first start was killed within 60 ms; "+
		"%d lost all progress, and %d forgot repairs, which is said",
		s["reported"], s["unread"], s["older"], s["refused"], s["killed"], s["fresh"], s["forgot"])
	for _, what := range slices.Sorted(maps.Keys(s)) {
		if kind, ok := strings.CutPrefix(what, "kind: "); ok {
			text += fmt.Sprintf("; %s %d", kind, s[what])
		}
	}
	return text
}

// corruption is one state directory that was spoilt, and what recoverd makes of it.
type corruption struct {
	seed  uint64
	w     *wreck
	dir   string
	state map[string][]byte // its files, spoilt
	how   []string          // what was done, in words
	kinds []string
	// read are the files of which recoverd reads other bytes than were written.
	read []string
	// older: the database is an earlier one, and whole. Nothing in it tells.
	older bool
	// killedAfter is when a first process on it is killed; 0: there is none.
	killedAfter time.Duration
	unheard     bool // it was killed before it had said anything
}

// newCorruption does what its seed says. More often than not it is the database.
func newCorruption(seed uint64, w *wreck, dir string) *corruption {
	rng := rand.New(rand.NewPCG(seed, 6))
	c := &corruption{seed: seed, w: w, dir: dir, state: maps.Clone(w.state)}
	switch rng.IntN(10) {
	default:
		c.spoil(rng, "checkpoint.db")
	case 6:
		c.spoil(rng, "progress-a")
	case 7:
		c.spoil(rng, "progress-b")
	case 8:
		c.spoil(rng, "checkpoint.db")
		c.spoil(rng, []string{"progress-a", "progress-b"}[rng.IntN(2)])
	case 9:
		for _, name := range []string{"checkpoint.db", "progress-a", "progress-b"} {
			c.spoil(rng, name)
		}
	}
	if rng.IntN(6) == 0 {
		c.killedAfter = time.Duration(1+rng.IntN(60)) * time.Millisecond
	}
	return c
}

func (c *corruption) spoil(rng *rand.Rand, name string) {
	good, unit, older := c.state[name], 512, [][]byte(nil)
	read := readOfSlot
	if name == "checkpoint.db" {
		read, unit, older = readOfDatabase, dbPage, c.w.older
	}
	spoilt, kind, where := spoil(rng, good, read(good), unit, older)
	c.state[name] = spoilt
	c.kinds = append(c.kinds, kind)
	c.how = append(c.how, fmt.Sprintf("%s: %s %s", name, kind, where))
	switch {
	case name != "checkpoint.db":
		if hits(good, spoilt, read(good)) {
			c.read = append(c.read, name)
		}
	case rolledBack(good, spoilt, older):
		c.older = true
	case hitsDatabase(good, spoilt):
		c.read = append(c.read, name)
	}
}

// run starts recoverd on it and judges.
func (c *corruption) run(t *testing.T, sum counts) {
	if err := c.judge(t, sum); err != nil {
		kept, keptErr := os.MkdirTemp("", "recoverd-corruption-")
		keptErr = errors.Join(keptErr, c.w.layOut(kept, c.state), c.w.layOut(filepath.Join(kept, "good"), c.w.state))
		t.Errorf("%v\n  wreck %q: %s\n  kept in %s (%v)\n  again: go test ./cmd/recoverd -run TestCorruptionCheckpoint -count=1 -corruptions=1 -corruption-seed=%d",
			err, c.w.name, strings.Join(c.how, "; "), kept, keptErr, c.seed)
	}
	if err := os.RemoveAll(c.dir); err != nil {
		t.Error(err)
	}
}

func (c *corruption) judge(t *testing.T, sum counts) error {
	if err := c.w.layOut(c.dir, c.state); err != nil {
		return err
	}
	looked, err := checkpoint.Describe(filepath.Join(c.dir, "state"))
	if err != nil {
		return fmt.Errorf("checkpoint show: %w", err)
	}
	log := ""
	if c.killedAfter > 0 {
		p := start(t, c.w.argsIn(c.dir)...)
		p.endsWithin(c.killedAfter)
		p.kill()
		log = p.stderr.String()
		c.unheard = log == ""
		sum["killed"]++
	}
	p := start(t, c.w.argsIn(c.dir)...)
	if c.w.paused {
		c.resume(t, p)
	}
	code := p.wait()
	log += p.stderr.String()
	sum["tried"]++
	for _, kind := range c.kinds {
		sum["kind: "+kind]++
	}
	ended := p.cmd.ProcessState
	switch memory := ended.SysUsage().(*syscall.Rusage).Maxrss << 10; {
	case !ended.Exited() || code == 2 || strings.Contains(log, "goroutine "):
		return fmt.Errorf("it crashed, %v: %s", ended, log)
	case memory > maxCorruptionMemory:
		return fmt.Errorf("it took %d bytes of memory", memory)
	case slices.Contains([]int{exitNoCreate, exitHalted, exitConfig}, code):
		sum["refused"]++
		if !strings.Contains(log, c.dir) {
			return fmt.Errorf("it refused with %d, and does not name the directory: %s", code, log)
		}
		return nil
	case code != exitOK:
		return fmt.Errorf("exit code %d: %s", code, log)
	}
	return errors.Join(c.reported(looked, log, sum), c.whole(log, sum), c.keptAside())
}

// maxCorruptionMemory bounds what a process may need, in bytes. An idle one takes a
// quarter of it.
const maxCorruptionMemory = 400 << 20

// resume lets a paused process go on; one that lost its pause goes on by itself.
func (c *corruption) resume(t *testing.T, p *process) {
	until(t, "it goes on", func() bool {
		client, err := statusapi.Dial(t.Context(), filepath.Join(c.dir, "state"))
		if err != nil {
			return p.hasEnded()
		}
		defer client.Close()
		doc, err := client.Status(t.Context())
		if err == nil && doc.Paused {
			err = client.Pause(t.Context(), false)
		}
		return err == nil && doc.Paused || p.hasEnded()
	})
}

// reported fails unless the log and `checkpoint show` name every file of which other
// bytes were read. What is not read need not be noticed: then bbolt itself finds the same
// record in the file.
func (c *corruption) reported(looked checkpoint.Description, log string, sum counts) error {
	var said string
	for line := range strings.Lines(log) {
		if strings.Contains(line, `"saved progress was damaged"`) {
			said += line
		}
	}
	for _, name := range c.read {
		if !strings.Contains(said, name+": ") && !c.unheard || !strings.Contains(looked.Note(), name+": ") {
			return fmt.Errorf("%s was corrupted, and nobody says so; the log: %s; checkpoint show: %s", name, log, looked.Note())
		}
	}
	switch {
	case len(c.read) > 0:
		sum["reported"]++
	case c.older:
		sum["older"]++
		if c.w.mirrored != "" && toJSON(looked.Record) != c.w.mirrored {
			return fmt.Errorf("the mirror has the newest record, and it was not taken: %s", toJSON(looked))
		}
		return nil
	default:
		sum["unread"]++
	}
	if strings.Contains(said, "no progress could be read") {
		sum["fresh"]++
	}
	if len(c.read) == 0 && said == "" {
		return c.sameRecord()
	}
	return nil
}

// sameRecord fails unless bbolt finds the same in the spoilt database as in the good one.
func (c *corruption) sameRecord() error {
	var found [2]string
	for i, data := range [][]byte{c.w.state["checkpoint.db"], c.state["checkpoint.db"]} {
		path := filepath.Join(c.dir, fmt.Sprint("bolt", i))
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return err
		}
		db, file, err := boltfile.Open(path, 0o600, 0)
		if err != nil {
			return fmt.Errorf("bbolt refuses a database that was taken: %w", err)
		}
		err = boltfile.Guard(func() error {
			return db.View(func(tx *bbolt.Tx) error {
				return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
					return b.ForEach(func(k, v []byte) error { found[i] += fmt.Sprintf("%s %s %x\n", name, k, v); return nil })
				})
			})
		})
		if err := errors.Join(err, boltfile.Close(db, file, err != nil)); err != nil {
			return fmt.Errorf("bbolt on a database that was taken: %w", err)
		}
	}
	if found[0] != found[1] || found[0] == "" {
		return fmt.Errorf("bbolt finds another record than was written, and nobody says so")
	}
	return nil
}

// whole fails unless every piece is stored, with the right bytes. One that rotted and
// was to be replaced may be as it was where that list was lost, which must be said.
func (c *corruption) whole(log string, sum counts) error {
	forgot := false
	for _, row := range c.w.rows {
		name := fmt.Sprintf("%d/%v", shards.Home(row.ID, totalShards), row.ID)
		data, err := os.ReadFile(filepath.Join(c.dir, "node", name))
		if err != nil {
			return fmt.Errorf("a blob was skipped: %w", err)
		}
		if id := recovery.BlobID(sha256.Sum256(data)); id != row.ID {
			if forgot = true; !slices.Contains(c.w.rotten, name) || !strings.Contains(log, "verify --repair finds them again") && !c.unheard {
				return fmt.Errorf("%s has other bytes (%s); the log: %s", name, hex.EncodeToString(id[:4]), log)
			}
		}
	}
	if forgot {
		sum["forgot"]++
	}
	d, err := checkpoint.Describe(filepath.Join(c.dir, "state"))
	if p := d.Record.Progress; err != nil || p == nil || p.Covered == nil || *p.Covered != p.Bound || !p.Cursor.End() || len(p.Unsettled) > 0 {
		return fmt.Errorf("at the end it claims %s: %w", toJSON(p), err)
	}
	return nil
}

// keptAside fails unless a database that was read wrong is kept as it was.
func (c *corruption) keptAside() error {
	if !slices.Contains(c.read, "checkpoint.db") {
		return nil
	}
	kept, err := filepath.Glob(filepath.Join(c.dir, "state/checkpoint.db.corrupt-*"))
	if err != nil || len(kept) != 1 {
		return fmt.Errorf("the damaged database is kept as %q: %w", kept, err)
	}
	if data, err := os.ReadFile(kept[0]); err != nil || !bytes.Equal(data, c.state["checkpoint.db"]) {
		return fmt.Errorf("%s is not the damaged database: %w", kept[0], err)
	}
	return nil
}
