package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/store/fs"
)

// Limits of the demo's runs, and with them the most that a kill may cost.
const (
	demoShards      = 10
	demoConcurrency = 64
	demoGroup       = 1_000
	demoGenerated   = 5_000
)

func newDemoCommand() *cobra.Command {
	var from string
	var keep, striped bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show it at work: a fleet on loopback, a SIGKILL, a resume, every byte verified",
		Long: `Import real files, serve them from three peers (one slow, one that lies about
some blobs), recover them into an empty store with a process of its own, kill
that process with SIGKILL part-way, start it again, and verify every byte that
arrived without using the code that fetched it.

With --striped the blobs are erasure-coded over 14 shards, any 10 pieces of which
rebuild one. The 4 shards whose holders are dead are recovered by a new node, from
exactly 10 pieces each, while one peer lies about some of them.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := os.MkdirTemp("", "recoverd-demo-")
			if err != nil {
				return withCreateCode(err)
			}
			d := &demo{dir: dir, out: cmd.OutOrStdout(), started: time.Now(), scene: hashedScene()}
			if striped {
				d.scene = stripedScene()
			}
			if keep {
				defer d.say("everything is kept in %s", dir)
			} else {
				defer func() { _ = os.RemoveAll(dir) }()
			}
			return d.run(cmd.Context(), from)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "directory of the files; by default the Go installation's src, or else 5,000 generated files")
	cmd.Flags().BoolVar(&striped, "striped", false, "erasure-coded blobs: four dead holders of fourteen, and a liar")
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the stores, the catalog and the state")
	return cmd
}

// demo is one show. Its peers live in this process, the node in another.
type demo struct {
	dir     string
	out     io.Writer
	started time.Time
	scene   demoScene
	fleet   *demoFleet
}

// demoScene is what differs between the shows.
type demoScene struct {
	code      int // pieces that rebuild a blob; 0: blobs are whole
	shards    uint32
	owned     shards.Set // by the node
	sources   string     // below the Go sources
	generated int        // files, where there are no Go sources
	members   func(*demoFleet, http.Handler) []demoMember
	template  string   // of a peer, after its URL
	args      []string // of the node
	allowed   int      // blobs that may be fetched again after the kill
	about     string   // said after the peers; empty: nothing
	conclude  func(*demo, context.Context) error
}

func hashedScene() demoScene {
	return demoScene{
		shards: demoShards, owned: shards.Range(0, demoShards-1), sources: ".", generated: demoGenerated,
		members: hashedMembers, template: "/{id}", allowed: demoConcurrency + demoGroup, conclude: (*demo).conclude,
	}
}

func (d *demo) path(name string) string { return filepath.Join(d.dir, name) }

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "%6.2fs  %s\n", time.Since(d.started).Seconds(), fmt.Sprintf(format, args...))
}

func (d *demo) run(ctx context.Context, from string) error {
	imported, err := d.fill(ctx, from)
	if err != nil {
		return err
	}
	blobs := int(imported.Build.Totals.Certified)
	if blobs < 20 {
		return fmt.Errorf("%d different files are too few to be killed in the middle of", blobs)
	}
	reader, err := fs.OpenReader(ctx, d.path("source"))
	if err != nil {
		return err
	}
	defer func() { _ = reader.Close() }()
	if d.fleet, err = startDemoFleet(newBlobHandler(reader), d.scene.members); err != nil {
		return err
	}
	defer d.fleet.close()
	for _, p := range d.fleet.peers {
		d.say("peer %s at %s: %s", p.name, p.url, p.about)
	}
	if d.scene.about != "" {
		d.say("%s", d.scene.about)
	}
	if err := d.killPartWay(ctx, blobs*2/5); err != nil {
		return err
	}
	if err := d.resume(ctx); err != nil {
		return err
	}
	return d.scene.conclude(d, ctx)
}

// fill makes the store that the peers serve, the catalog, and the ownership.
func (d *demo) fill(ctx context.Context, from string) (importResult, error) {
	if from == "" {
		from = goSources(d.scene.sources)
	}
	if from == "" {
		d.say("no Go sources here: generating %s files", humanize.Comma(int64(d.scene.generated)))
		from = d.path("generated")
		if err := generateFiles(from, d.scene.generated); err != nil {
			return importResult{}, err
		}
	}
	d.say("importing %s", from)
	imported, err := importFiles(ctx, importConfig{
		From: from, Store: d.path("source"), Out: d.path("catalog.rsnap"), TotalShards: d.scene.shards, Epoch: 1,
		EndEpoch: recovery.EpochForever, Layout: "auto", Striped: d.scene.code,
	})
	if err != nil {
		return imported, err
	}
	d.say("%s files are %s blobs (%s), on %d shards", humanize.Comma(int64(imported.Files)),
		humanize.Comma(int64(imported.Build.Totals.Certified)), humanize.IBytes(imported.Build.Totals.CertifiedBytes), d.scene.shards)
	ownership := fmt.Sprintf("epoch: 1\ntotal_shards: %d\nowned: %q\n", d.scene.shards, d.scene.owned)
	return imported, os.WriteFile(d.path("ownership.yaml"), []byte(ownership), 0o600)
}

// goSources returns a part of the sources of the Go installation, or "".
func goSources(part string) string {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return ""
	}
	src := filepath.Join(strings.TrimSpace(string(root)), "src", part)
	if info, err := os.Stat(src); err != nil || !info.IsDir() {
		return ""
	}
	return src
}

func generateFiles(dir string, n int) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	random := rand.NewChaCha8([32]byte{1})
	for i := range n {
		data := make([]byte, 1+random.Uint64()%(32<<10))
		_, _ = random.Read(data) // never fails
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// node starts `recoverd run` as a process of its own.
func (d *demo) node(ctx context.Context) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{
		"run", "--state-dir", d.path("state"), "--catalog", d.path("catalog.rsnap"), "--ownership", d.path("ownership.yaml"),
		"--store", d.path("node"), "--listen", "", "--min-free", "1", "--exit-when-complete", "--log-format", "json",
		"--concurrency", strconv.Itoa(demoConcurrency), "--group-blobs", strconv.Itoa(demoGroup),
	}
	args = append(args, d.scene.args...)
	for _, p := range d.fleet.peers {
		args = append(args, "--peer", p.url+d.scene.template)
	}
	log, err := os.OpenFile(d.path("node.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the process has its own descriptor
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stdout, cmd.Stderr = log, log
	return cmd, cmd.Start()
}

// killPartWay kills the node with SIGKILL once the peers have served enough.
func (d *demo) killPartWay(ctx context.Context, enough int) error {
	cmd, err := d.node(ctx)
	if err != nil {
		return err
	}
	d.say("recoverd run is process %d; it will be killed at about %s blobs", cmd.Process.Pid, humanize.Comma(int64(enough)))
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for d.fleet.servedBlobs() < enough {
		select {
		case err := <-ended:
			return d.withLog(fmt.Errorf("it ended before it could be killed: %w", err))
		case <-poll.C:
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		return err
	}
	if err := <-ended; err == nil {
		return d.withLog(errors.New("it ended by itself just before it was killed"))
	}
	d.fleet.nextLife()
	d.say("SIGKILL: the peers had served %s blobs; %s are in the store", humanize.Comma(int64(d.fleet.servedBlobs())),
		humanize.Comma(int64(len(d.stored()))))
	return nil
}

// resume starts the node again on the same state and lets it finish.
func (d *demo) resume(ctx context.Context) error {
	before, _, err := checkpoint.ReadMirror(d.path("state"))
	if err != nil {
		return err
	}
	cmd, err := d.node(ctx)
	if err != nil {
		return err
	}
	d.say("started again as process %d", cmd.Process.Pid)
	if err := cmd.Wait(); err != nil {
		return d.withLog(fmt.Errorf("the second run: %w", err))
	}
	after, _, err := checkpoint.ReadMirror(d.path("state"))
	if err != nil {
		return err
	}
	if before.Progress == nil || after.Progress == nil || after.Progress.Run != before.Progress.Run {
		return d.withLog(errors.New("the second run did not go on with the first one's progress"))
	}
	d.say("it resumed run %d: %s", after.Progress.Run, after.Progress.Origin.Why)
	d.say("from cursor %.16s..., and is complete", after.Progress.Origin.From)
	return nil
}

// withLog adds the end of the node's log to an error.
func (d *demo) withLog(err error) error {
	log, _ := os.ReadFile(d.path("node.log"))
	return fmt.Errorf("%w\n%s", err, log[max(0, len(log)-4_000):])
}

// stored lists the store's files by name, straight from the directories.
func (d *demo) stored() map[string]string {
	found := map[string]string{}
	files, _ := filepath.Glob(d.path("node/[0-9]*/*"))
	more, _ := filepath.Glob(d.path("node/[0-9]*/??/*"))
	for _, file := range append(files, more...) {
		if _, err := recovery.ParseBlobID(filepath.Base(file)); err == nil {
			found[filepath.Base(file)] = file
		}
	}
	return found
}

// conclude rereads every blob of the catalog from the store, with nothing but
// the file system and SHA-256, and prints what the whole thing cost.
func (d *demo) conclude(ctx context.Context) error {
	source, err := catalog.NewFile(catalog.FileConfig{Path: d.path("catalog.rsnap")})
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	if _, err := source.Pin(ctx); err != nil {
		return err
	}
	stored := d.stored()
	blobs, bytes := 0, int64(0)
	for row, err := range catalog.Rows(ctx, source, recovery.Mark{}) {
		if err != nil {
			return err
		}
		size, err := verifyFile(stored[row.ID.String()], row)
		if err != nil {
			return fmt.Errorf("verification: %w", err)
		}
		blobs, bytes = blobs+1, bytes+size
	}
	redone, allowed := d.fleet.redone(), d.scene.allowed
	d.say("every byte is verified against the catalog")
	fmt.Fprintf(d.out, "\n  blobs verified   %s\n  bytes verified   %s\n  redone           %d after the kill (allowed: %d in flight + %d in a barrier group)\n  lies caught      %d told by one peer, 0 in the store\n",
		humanize.Comma(int64(blobs)), humanize.IBytes(uint64(bytes)), redone, demoConcurrency, demoGroup, d.fleet.lies())
	if redone > allowed {
		return fmt.Errorf("%d blobs were fetched again, at most %d are allowed", redone, allowed)
	}
	return nil
}

func verifyFile(path string, row recovery.Row) (int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("blob %s: %w", row.ID, err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != row.ID.String() || int64(len(data)) != row.Size {
		return 0, fmt.Errorf("blob %s has wrong bytes", row.ID)
	}
	shard := strconv.FormatUint(uint64(shards.Home(row.ID, demoShards)), 10)
	if !strings.Contains(path, string(filepath.Separator)+shard+string(filepath.Separator)) {
		return 0, fmt.Errorf("blob %s is not on its shard %s but at %s", row.ID, shard, path)
	}
	return row.Size, nil
}
