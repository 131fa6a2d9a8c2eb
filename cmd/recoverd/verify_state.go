package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/audit"
)

const (
	verifyStateFile = "verify.json"
	verifyVersion   = 2
	maxVerifyFile   = 16 << 20 // bytes
	maxVerifyListed = 10_000   // findings that are kept; further ones are counted
	verifySaveEvery = time.Second
)

// verifyState is how far a verification is. It is replaced whole, and everything in
// it belongs to the same moment.
type verifyState struct {
	Version int       `json:"version"`
	Of      verifyKey `json:"of"`
	// Mark: every blob up to it was looked at, and what is wrong with it was handed
	// over if that was asked for.
	Mark     recovery.Mark   `json:"mark"`
	Began    time.Time       `json:"began"`
	Sums     verifySums      `json:"sums"`
	Findings []audit.Finding `json:"findings"`
}

// verifyKey is what a verification is of. Another one begins anew.
type verifyKey struct {
	Catalog     recovery.Bound   `json:"catalog"`
	Store       string           `json:"store"`
	Marker      string           `json:"marker"`
	Placement   shards.Placement `json:"placement"`
	TotalShards uint32           `json:"total_shards"`
	Owned       shards.Set       `json:"owned"`
	Epoch       uint32           `json:"epoch"`
	Repair      bool             `json:"repair"`
}

// verifySums counts what was looked at, and what became of it.
type verifySums struct {
	Blobs   uint64                `json:"blobs"`
	Expired uint64                `json:"expired"`
	Pieces  uint64                `json:"pieces"`
	Bytes   uint64                `json:"bytes"`
	Wrong   map[audit.Kind]uint64 `json:"wrong"`
	Repair  *repairSums           `json:"repair"`
}

// repairSums counts what the daemon said to what was handed to it.
type repairSums struct {
	Queued       uint64 `json:"queued"`
	NotCertified uint64 `json:"not_certified"`
	NotOwned     uint64 `json:"not_owned"`
	Refused      uint64 `json:"refused"`   // there was no room in its list
	NotAsked     uint64 `json:"not_asked"` // after it refused some
}

func (r *repairSums) add(result worker.PutBackResult) {
	r.Queued += uint64(result.Queued)
	r.NotCertified += uint64(len(result.NotCertified))
	r.NotOwned += uint64(len(result.NotOwned))
	r.Refused += uint64(len(result.Refused))
}

func (s *verifySums) wrong() (n uint64) {
	for _, count := range s.Wrong {
		n += count
	}
	return n
}

// take counts one blob.
func (s *verifyState) take(c audit.Checked) {
	s.Mark = recovery.MarkAt(c.ID)
	if c.Expired {
		s.Sums.Expired++
		return
	}
	s.Sums.Blobs++
	s.Sums.Pieces += uint64(c.Pieces)
	s.Sums.Bytes += uint64(c.Bytes)
	for _, f := range c.Findings {
		s.Sums.Wrong[f.Kind]++
		if len(s.Findings) < maxVerifyListed {
			s.Findings = append(s.Findings, f)
		}
	}
}

// newVerifyState begins before the first blob.
func newVerifyState(of verifyKey) *verifyState {
	s := &verifyState{Version: verifyVersion, Of: of, Began: time.Now().UTC()}
	s.Sums.Wrong = map[audit.Kind]uint64{}
	if of.Repair {
		s.Sums.Repair = &repairSums{}
	}
	return s
}

// verifyKeeper keeps a state in a file; without a path it keeps nothing.
type verifyKeeper struct{ path string }

func (k verifyKeeper) files() kept { return kept{dir: filepath.Dir(k.path), log: zerolog.Nop()} }

// load returns the state to go on from, and why an older one that was there is not
// it. An error of the system is an error, and never "nothing there".
func (k verifyKeeper) load(of verifyKey) (state *verifyState, dropped string, err error) {
	fresh := newVerifyState(of)
	if k.path == "" {
		return fresh, "", nil
	}
	data, err := k.files().read(filepath.Base(k.path), maxVerifyFile)
	if err != nil {
		return nil, "", fmt.Errorf("read how far the last verification came: %w", err)
	}
	if data == nil {
		return fresh, "", nil
	}
	old, err := decodeVerifyState(data)
	if err != nil {
		return fresh, fmt.Sprintf("%s is damaged: %v", k.path, err), nil
	}
	if why := old.Of.differs(of); why != "" {
		return fresh, why, nil
	}
	return old, "", nil
}

// The file is one line of JSON and one with its CRC32C: a mark that says too much
// would be a store that was never looked at.
func encodeVerifyState(s *verifyState) ([]byte, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return sealed(data), nil
}

func sealed(line []byte) []byte {
	data := append(line, '\n')
	return fmt.Appendf(data, "%08x\n", crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
}

func decodeVerifyState(data []byte) (*verifyState, error) {
	line, sum, _ := bytes.Cut(data, []byte("\n"))
	line = data[:min(len(line)+1, len(data))]
	if string(sum) != fmt.Sprintf("%08x\n", crc32.Checksum(line, crc32.MakeTable(crc32.Castagnoli))) {
		return nil, errors.New("its checksum is wrong")
	}
	s := &verifyState{}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(s); err != nil {
		return nil, err
	}
	if s.Version != verifyVersion || s.Mark.End() || s.Sums.Wrong == nil || (s.Sums.Repair != nil) != s.Of.Repair {
		return nil, errors.New("it is of another version")
	}
	return s, nil
}

// differs says what is another one; empty: nothing.
func (o verifyKey) differs(n verifyKey) string {
	switch {
	case o.Catalog != n.Catalog:
		return fmt.Sprintf("the catalog was %s and is %s", o.Catalog, n.Catalog)
	case o.Store != n.Store || o.Marker != n.Marker:
		return fmt.Sprintf("it was of another store (%s)", o.Store)
	case o.Placement != n.Placement:
		return fmt.Sprintf("--placement was %v and is %v", o.Placement, n.Placement)
	case o.TotalShards != n.TotalShards || !o.Owned.Equal(n.Owned) || o.Epoch != n.Epoch:
		return "the ownership has changed"
	case o.Repair != n.Repair:
		return "--repair was given to one and not to the other"
	}
	return ""
}

func (k verifyKeeper) save(s *verifyState) error {
	if k.path == "" {
		return nil
	}
	data, err := encodeVerifyState(s)
	if err == nil {
		err = k.files().replace(filepath.Base(k.path), data)
	}
	if err != nil {
		return fmt.Errorf("save how far the verification is: %w", err)
	}
	return nil
}

// drop forgets the state: the verification has ended.
func (k verifyKeeper) drop() error {
	if k.path == "" {
		return nil
	}
	return k.files().remove(filepath.Base(k.path))
}

// repairCode turns an error of talking to the daemon into its exit code.
func repairCode(err error, stateDir string) error {
	var answered *statusapi.APIError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, statusapi.ErrNotRunning):
		return withCode(exitTryAgain, fmt.Errorf("--repair hands what is wrong to the daemon, and none runs in %s: start `recoverd run` there (%w)", stateDir, err))
	case errors.As(err, &answered):
		return withCode(exitTryAgain, fmt.Errorf("repair: %w", err))
	}
	return fmt.Errorf("repair: %w", err)
}
