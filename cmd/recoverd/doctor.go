package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/transfer"
	"github.com/recoverd/recoverd/recovery/statusapi"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
)

// verdict is how a look at one thing ended. The values are the words of JSON.
type verdict string

const (
	verdictOK   verdict = "ok"
	verdictWarn verdict = "warn"
	verdictFail verdict = "fail"
)

// symptom is what a look at one thing has found.
type symptom struct {
	What    string  `json:"what"`
	Verdict verdict `json:"verdict"`
	Found   string  `json:"found"`
	Do      string  `json:"do,omitempty"` // what to do about it
}

func newDoctorCommand() *cobra.Command {
	var output string
	var writeTest bool
	cmd := &cobra.Command{
		Use:   "doctor [flags of run]",
		Short: "Look for what stands in the way of a run, here and at the peers",
		Long: `Do what "recoverd config check" does, and then look at the surroundings: free space
and inodes, open files, the clock against the peers', a running daemon. Each peer is
asked for one blob that it should have, and the bytes are hashed; each snapshot peer
for its list. Nothing is changed.

The exit code is 1 if something fails.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			found := examine(cmd.Context(), givenOfRun(cmd), writeTest)
			if err := printSymptoms(cmd.OutOrStdout(), found, output); err != nil {
				return err
			}
			for _, s := range found {
				if s.Verdict == verdictFail {
					return &exitError{code: exitFailure} // it is printed already
				}
			}
			return nil
		},
	}
	new(runConfig).register(cmd.Flags())
	outputFlag(cmd, &output)
	cmd.Flags().BoolVar(&writeTest, "write-test", false, "also time a flush of a small file in the state directory, which is removed again")
	return cmd
}

// doctor collects what it finds.
type doctor struct {
	cfg   *runConfig
	found []symptom
}

func (d *doctor) add(what string, v verdict, found, do string) {
	d.found = append(d.found, symptom{what, v, hideSecrets(found), do})
}

func (d *doctor) ok(what, format string, args ...any) {
	d.add(what, verdictOK, fmt.Sprintf(format, args...), "")
}

// examine looks at everything, and goes on after a problem.
func examine(ctx context.Context, given []givenFlag, writeTest bool) []symptom {
	d := &doctor{}
	for _, c := range checkSettings(ctx, given, os.Environ()) {
		if c.Problem != "" {
			d.add(c.What, verdictFail, c.Problem, "correct it; recoverd config print says where each value comes from")
		} else {
			d.ok(c.What, "%s", c.Note)
		}
	}
	s, err := readSettings(given, os.Environ())
	if err != nil {
		return d.found
	}
	d.cfg = s.cfg
	d.room("store", d.cfg.Store)
	d.room("state-dir", d.cfg.StateDir)
	d.volumes()
	d.files(ctx)
	d.clockHere()
	d.facts(ctx)
	if writeTest {
		d.flush()
	}
	d.daemon(ctx)
	d.peers(ctx)
	for _, peer := range d.cfg.SnapshotPeers {
		d.snapshotPeer(ctx, peer)
	}
	return d.found
}

func printSymptoms(out io.Writer, found []symptom, format string) error {
	if format == "json" {
		return writeIndented(out, found)
	}
	words := map[verdict]string{verdictOK: "ok  ", verdictWarn: "warn", verdictFail: "FAIL"}
	t := &table{}
	failed := 0
	for _, s := range found {
		t.row(s.What, "%s  %s", words[s.Verdict], s.Found)
		if s.Do != "" {
			t.row("", "      -> %s", s.Do)
		}
		if s.Verdict == verdictFail {
			failed++
		}
	}
	if failed == 0 {
		t.row("", "nothing stands in the way")
	} else {
		t.row("", "%s in the way", plural(failed, "thing"))
	}
	return t.write(out, 0)
}

// Below these shares of a volume it is time to do something.
const (
	lowInodes = 20 // one in so many
	lowSpace  = 20
)

// room looks at free space and inodes of the volume where a directory is, or will be.
func (d *doctor) room(what, dir string) {
	if dir == "" {
		return
	}
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		d.add(what, verdictFail, fmt.Sprintf("free space of %s: %v", dir, err), "is the disk mounted?")
		return
	}
	free, all := fs.Bavail*uint64(fs.Bsize), fs.Blocks*uint64(fs.Bsize)
	text := fmt.Sprintf("%s of %s free on the volume of %s", size(free), size(all), dir)
	switch {
	case free < all/lowSpace:
		d.add(what, verdictWarn, text, "make room: below --min-free the scan waits")
	case fs.Files > 0 && fs.Ffree < fs.Files/lowInodes:
		d.add(what, verdictWarn, fmt.Sprintf("%s; %s of %s inodes free", text, count(fs.Ffree), count(fs.Files)), "each blob takes an inode")
	default:
		d.ok(what, "%s", text)
	}
}

// filesFor is how many descriptors a run may need: a peer's connection and a draft for
// each blob in flight, and what waits for the barrier.
func (c *runConfig) filesFor() uint64 {
	return uint64(2*c.Concurrency.most(c.ConcurrencyMax) + c.GroupBlobs + 200)
}

// stripedFilesFor is what comes on top with striped blobs: a draft for each owned shard
// of each blob, and the connections that rebuilds read from.
func (c *runConfig) stripedFilesFor(owned int) uint64 {
	return uint64(c.Concurrency.most(c.ConcurrencyMax)*owned) + 256
}

func (d *doctor) files(ctx context.Context) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		d.add("open files", verdictWarn, err.Error(), "")
		return
	}
	need := d.cfg.filesFor()
	if own, err := loadOwnership(ctx, d.cfg); err == nil {
		need += uint64(own.Owned.Len()) // each shard's directory stays open
		if p, err := d.cfg.placement(); err == nil && p == shards.Striped {
			need += d.cfg.stripedFilesFor(own.Owned.Len())
		}
	}
	if limit.Max < need {
		d.add("open files", verdictFail, fmt.Sprintf("at most %s, a run may need %s", count(limit.Max), count(need)), "raise the limit (LimitNOFILE=), or lower --concurrency (with auto: --concurrency-max) or --group-blobs")
		return
	}
	d.ok("open files", "at most %s", count(limit.Max))
}

// warnFiles says beforehand what, once it happens, hinders those who would ask why: the
// socket needs descriptors too.
func (n *node) warnFiles() {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil && limit.Max < n.cfg.filesFor() {
		n.log.Warn().Uint64("limit", limit.Max).Uint64("needed", n.cfg.filesFor()).
			Msg("the limit of open files is low: blobs may wait for want of one")
	}
}

// slowFlush is when a flush of a few bytes is worth a word.
const slowFlush = time.Second

func (d *doctor) flush() {
	f, err := os.CreateTemp(d.cfg.StateDir, ".doctor-")
	if err != nil {
		d.add("flush", verdictFail, err.Error(), "the state directory must be writable")
		return
	}
	began := time.Now()
	_, err = f.WriteString("recoverd doctor\n")
	err = errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
	took := time.Since(began)
	switch {
	case err != nil:
		d.add("flush", verdictFail, err.Error(), "look at the disk: a run would halt")
	case took > slowFlush:
		d.add("flush", verdictWarn, fmt.Sprintf("a small file took %v to become durable", took.Round(time.Millisecond)), "look at the disk")
	default:
		d.ok("flush", "a small file is durable after %v", took.Round(10*time.Microsecond))
	}
}

func (d *doctor) daemon(ctx context.Context) {
	doc, err := askStatus(ctx, d.cfg.StateDir)
	switch {
	case errors.Is(err, statusapi.ErrNotRunning):
		d.ok("daemon", "none runs")
	case err != nil:
		d.add("daemon", verdictWarn, err.Error(), "it may be starting, ending, or hanging")
	case doc.Phase == recovery.PhaseHalted.String():
		d.add("daemon", verdictFail, "halted: "+doc.Why, "mend the cause and start it again")
	case doc.Trouble != "" || doc.Blocked != "":
		d.add("daemon", verdictWarn, strings.TrimSpace(doc.Phase+": "+doc.Blocked+" "+doc.Trouble), "recoverd status")
	default:
		d.ok("daemon", "%s: %s", doc.Phase, doc.Why)
	}
}

func askStatus(ctx context.Context, stateDir string) (statusapi.Document, error) {
	client, err := statusapi.Dial(ctx, stateDir)
	if err != nil {
		return statusapi.Document{}, err
	}
	defer client.Close()
	return client.Status(ctx)
}

// snapshotPeer asks for a list of snapshots, which proves nothing of what is in it.
func (d *doctor) snapshotPeer(ctx context.Context, base string) {
	what := "snapshot peer"
	ctx, cancel := context.WithTimeout(ctx, peerPatience)
	defer cancel()
	list, err := askForSnapshots(ctx, base)
	switch {
	case err != nil:
		d.add(what, verdictFail, fmt.Sprintf("%s: %v", base, err), "does recoverd serve --snapshots run there?")
	case len(list.Snapshots) == 0:
		d.add(what, verdictWarn, base+" has no snapshot", "wait until it has made one, or name another")
	default:
		d.ok(what, "%s has %s of network %s", base, plural(len(list.Snapshots), "snapshot"), list.Network)
	}
}

func askForSnapshots(ctx context.Context, base string) (list transfer.Document, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/snapshots", nil)
	if err != nil {
		return list, err
	}
	response, err := plainClient(nil).Do(request)
	if err != nil {
		return list, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return list, fmt.Errorf("it answers %s", response.Status)
	}
	return list, json.NewDecoder(io.LimitReader(response.Body, transfer.MaxDocument)).Decode(&list)
}

// knownPiece returns a certified blob of an owned shard that peers should have, or the
// manifest of a striped one.
func (d *doctor) knownPiece(ctx context.Context) (piece syncer.Piece, err error) {
	own, err := loadOwnership(ctx, d.cfg)
	if err != nil {
		return piece, err
	}
	r, err := openReading(ctx, d.cfg)
	if err != nil {
		return piece, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	placement, err := d.cfg.placement()
	if err != nil {
		return piece, err
	}
	for row, err := range r.rows(ctx, recovery.Mark{}) {
		if err != nil {
			return piece, err
		}
		if !placement.Concerns(row.ID, own.TotalShards, own.Owned) || unverifiable(placement, &row.Blob) != "" {
			continue
		}
		if placement == shards.Striped { // which peer holds which pieces is not known
			return syncer.Piece{Blob: row.Blob, Manifest: true}, nil
		}
		return syncer.Piece{Blob: row.Blob, Shard: shards.Home(row.ID, own.TotalShards)}, nil
	}
	return piece, errors.New("no certified blob lies on an owned shard")
}
