package main

import (
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

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/audit"
)

var rotten = flag.Int("rotten", 60, "stored files that TestCorruptionStored spoils")

// TestCorruptionStored spoils stored blobs, and pieces and manifests of striped ones.
// verify names each of them once, and nothing else; what is no regular file is taken away
// by hand, and with --repair the running daemon mends all of it. Hazard 92.
func TestCorruptionStored(t *testing.T) {
	t.Run("blobs", func(t *testing.T) {
		n := *rotten * 7 / 10
		f := recovered(t, n+n/4+2, 2_000)
		s := newRotting(t, f, nil)
		s.spoilAll(f.files(), n)
		s.found()
		s.mends(f.run())
		f.sameStore()
		s.proved("stored blobs, spoilt in all ways")
	})
	t.Run("striped", func(t *testing.T) {
		n := *rotten - *rotten*7/10
		owned := shards.Range(0, 4)
		f := newStripedFleet(t, n/4+4, 20_000)
		f.own(owned.String())
		f.serve(shards.Range(0, stripedTotal-1))
		must(t, f.run("--exit-when-complete")...)
		s := newRotting(t, f.fleet, []string{"--placement", "striped"})
		s.spoilAll(s.stripedFiles(), n)
		s.found()
		s.spoilBehindManifests()
		s.mends(f.run())
		f.samePieces(owned)
		s.proved("stored pieces and manifests of striped blobs, spoilt in all ways")
	})
}

// rotting is a complete node whose files are spoilt.
type rotting struct {
	*fleet
	rng    *rand.Rand
	verify []string // further arguments of verify
	want   map[string]audit.Kind
	kinds  counts // by what was done
	hidden int    // pieces that cannot be judged before their manifest is mended
}

func newRotting(t *testing.T, f *fleet, verify []string) *rotting {
	own := *f
	own.t = t
	return &rotting{fleet: &own, rng: rand.New(rand.NewPCG(*corruptionSeed, 7)), verify: verify, want: map[string]audit.Kind{}, kinds: counts{}}
}

// stripedFiles lists pieces and manifests that are not empty; of no blob both, for a piece
// is only proven by its manifest.
func (s *rotting) stripedFiles() (paths []string) {
	s.t.Helper()
	manifests, err := filepath.Glob(s.path("node/manifest/[0-9a-f]*"))
	s.must(err)
	for i, manifest := range manifests {
		if i%4 == 0 {
			paths = append(paths, manifest)
			continue
		}
		found, err := filepath.Glob(s.path("node/[0-9]*/" + filepath.Base(manifest)))
		s.must(err)
		paths = append(paths, slices.DeleteFunc(found, func(path string) bool {
			info, err := os.Stat(path)
			return err != nil || info.Size() == 0
		})...)
	}
	return paths
}

// spoilAll spoils so many of the files, some by swapping two of them.
func (s *rotting) spoilAll(paths []string, n int) {
	s.t.Helper()
	if len(paths) < n {
		s.t.Fatalf("%d files are too few to spoil %d", len(paths), n)
	}
	s.rng.Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
	content := map[string][]byte{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		s.must(err)
		content[path] = data
	}
	swap := rotter{"swapped with another", func(r rot) (audit.Kind, error) { return r.becomes(r.other) }}
	for i := 0; i < n; i++ {
		a, b := paths[i], paths[(i+1)%len(paths)]
		if i%12 == 0 && i+1 < n {
			s.spoil(swap, rot{s.rng, a, content[a], content[b]})
			s.spoil(swap, rot{s.rng, b, content[b], content[a]})
			i++
			continue
		}
		s.spoil(rotters[s.rng.IntN(len(rotters))], rot{s.rng, a, slices.Clone(content[a]), slices.Clone(content[b])})
	}
}

func (s *rotting) spoil(how rotter, r rot) {
	s.t.Helper()
	kind, err := how.do(r)
	s.must(err)
	if kind == audit.WrongSize && filepath.Base(filepath.Dir(r.path)) == "manifest" {
		kind = audit.Rotten // nothing but its id says how long it is
	}
	s.want[r.path] = kind
	s.kinds[how.name]++
}

// look verifies, and returns the kinds of what is found by path; a path that is named
// twice is an error.
func (s *rotting) look(wantCode int, more ...string) (map[string]audit.Kind, verifySummary) {
	s.t.Helper()
	args := append(append(s.fleet.verify("--state-dir", s.path("state"), "--restart"), s.verify...), more...)
	stdout, stderr, code := invoke(s.t, args...)
	if code != wantCode {
		s.t.Fatalf("verify ended with %d, want %d: %s\n%s", code, wantCode, stderr, s.again())
	}
	got, sum := found(s.t, stdout)
	if n := strings.Count(stdout, `"finding":`); n != len(got) {
		s.t.Errorf("%d findings name %d paths\n%s", n, len(got), s.again())
	}
	return got, sum
}

// found fails unless verify finds just what was spoilt, as what it is, and says the same
// to people.
func (s *rotting) found() {
	s.t.Helper()
	got, sum := s.look(exitIncomplete)
	if diff := cmp.Diff(s.want, got); diff != "" || sum.Good {
		s.t.Errorf("findings (-want +got):\n%s\n%s", diff, s.again())
	}
	args := append(s.fleet.verify("-o", "text"), s.verify...)
	text, _, code := invoke(s.t, args...)
	for path := range s.want {
		where := "shard " + filepath.Base(filepath.Dir(path))
		if strings.HasSuffix(where, "manifest") {
			where = "manifest"
		}
		if lines([]byte(text), where+": "+path+": ") != 1 {
			s.t.Errorf("people are not told once of %s in %q", path, where)
		}
	}
	if code != exitIncomplete {
		s.t.Errorf("exit code %d", code)
	}
}

// spoilBehindManifests spoils pieces of blobs whose manifest is spoilt: nothing can tell
// before that is mended, and mending it mends them too.
func (s *rotting) spoilBehindManifests() {
	s.t.Helper()
	for _, path := range slices.Sorted(maps.Keys(s.want)) {
		if filepath.Base(filepath.Dir(path)) != "manifest" {
			continue
		}
		found, err := filepath.Glob(s.path("node/[0-9]*/" + filepath.Base(path)))
		s.must(err)
		data, err := os.ReadFile(found[0])
		s.must(err)
		if len(data) > 0 {
			data[s.rng.IntN(len(data))] ^= 1
			s.must(os.WriteFile(found[0], data, 0o644))
			s.hidden++
		}
	}
	got, _ := s.look(exitIncomplete)
	if diff := cmp.Diff(s.want, got); diff != "" {
		s.t.Errorf("with pieces behind spoilt manifests (-want +got):\n%s\n%s", diff, s.again())
	}
}

// mends takes away what is no regular file, hands the rest to a daemon, and fails unless
// all of it is as it should be afterwards.
func (s *rotting) mends(run []string) {
	s.t.Helper()
	p := start(s.t, run...)
	s.reaches(recovery.PhaseComplete)
	blobs := map[string]bool{}
	for path, kind := range s.want {
		if kind == audit.Irregular {
			if aside, err := os.Readlink(path); err == nil {
				s.must(os.Remove(aside))
			}
			s.must(os.Remove(path))
			s.want[path] = audit.Missing
		}
		blobs[filepath.Base(path)] = true
	}
	got, sum := s.look(exitIncomplete, "--repair")
	if sum.Repair == nil || int(sum.Repair.Queued) < len(blobs) || sum.Repair.Refused+sum.Repair.NotAsked > 0 {
		s.t.Errorf("of %d blobs with %d findings the daemon was handed %s\n%s", len(blobs), len(got), toJSON(sum.Repair), s.again())
	}
	until(s.t, "all is fetched again", func() bool {
		doc, ok := status(s.t, s.path("state"))
		return ok && doc.Phase == recovery.PhaseComplete.String() && doc.Unsettled.Total == 0 && doc.CursorDurable != nil && doc.CursorDurable.End()
	})
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitOK {
		s.t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
	if got, sum := s.look(exitOK); len(got) > 0 || !sum.Good {
		s.t.Errorf("after the repair: %s", toJSON(got))
	}
}

func (s *rotting) again() string {
	return fmt.Sprintf("again: go test ./cmd/recoverd -run TestCorruptionStored -count=1 -rotten=%d -corruption-seed=%d", *rotten, *corruptionSeed)
}

func (s *rotting) proved(what string) {
	s.t.Helper()
	detail := "to be named once by verify, and nothing else; then to be mended by --repair and a running daemon"
	if s.hidden > 0 {
		detail += fmt.Sprintf("; so are %d more pieces whose manifests were spoilt too, and only these can be named", s.hidden)
	}
	for _, how := range slices.Sorted(maps.Keys(s.kinds)) {
		detail += fmt.Sprintf("; %s %d", how, s.kinds[how])
	}
	evidence.Proved(s.t, evidence.Entry{Layer: "corruption", What: what, Tried: uint64(len(s.want)), Unit: "files", Detail: detail})
}
