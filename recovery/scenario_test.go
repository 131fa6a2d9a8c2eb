package recovery

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/shards"
)

var update = flag.Bool("update", false, "rewrite the traces of the scenarios; read the diff before committing it")

// TestScenarios replays testdata/*.txt. A line that begins a command is
// followed by its trace, indented: the effects, and "=" with the state after
// them. Comments and blank lines stay as they are. README of the commands: the
// methods of scenario below, one each.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(text), got); diff != "" {
				t.Errorf("trace differs (-golden +now):\n%s", diff)
			}
		})
	}
}

func replay(t *testing.T, text string) string {
	var out strings.Builder
	s := &scenario{t: t, out: &out, autosave: true, syncs: map[BlobID][]Sync{}, wall: time.Unix(1_800_000_000, 0).UTC()}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "  ") {
			continue // the old trace
		}
		fmt.Fprintln(&out, line)
		if words := strings.Fields(line); len(words) > 0 && !strings.HasPrefix(line, "#") {
			s.command(words[0], words[1:])
		}
	}
	return out.String()
}

// scenario drives one machine by hand and plays its disk.
type scenario struct {
	t        *testing.T
	out      *strings.Builder
	m        *Machine
	cfg      Config
	now      time.Duration
	wall     time.Time
	autosave bool
	disk     Record
	lastRun  uint64

	asked   map[string]uint64 // the last seq of bound, store, page, look, save
	lookIDs []BlobID
	page    ReadPage
	saving  []Save
	syncs   map[BlobID][]Sync
	tip     Tip
}

func (s *scenario) command(name string, args []string) {
	opt, rest := options(args)
	switch name {
	case "config":
		s.config(opt)
		return
	case "start", "crash":
		s.start()
		return
	case "hold-saves":
		s.autosave = false
		return
	case "lose-list": // what the checkpoint does to a list that cannot be read (I4)
		p := *s.disk.Progress
		p.Covered, p.Scan, p.Unsettled = nil, p.Cursor, nil
		s.disk.Progress = &p
		return
	}
	event := s.event(name, opt, rest)
	if event == nil {
		s.t.Fatalf("unknown command %q", name)
	}
	s.step(event)
	s.state()
}

func (s *scenario) config(opt map[string]string) {
	s.cfg = Config{
		Slots: int(number(opt["slots"])), Unsettled: int(number(opt["unsettled"])), Parked: int(number(opt["parked"])),
		BytesInFlight: int64(number(opt["bytes"])), ParkAfter: uint32(number(opt["park-after"])), PageRows: 16,
	}
}

func (s *scenario) start() {
	m, err := New(s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.m, s.now, s.asked, s.saving = m, 0, map[string]uint64{}, nil
	for _, e := range m.Start() {
		s.effect(e)
	}
	s.step(Tick{Wall: s.wall})
	s.step(Loaded{Record: s.disk, LastRun: s.lastRun})
	s.state()
}

func (s *scenario) event(name string, opt map[string]string, rest []string) Event {
	switch name {
	case "own":
		return OwnershipSeen{s.ownership(opt)}
	case "bound":
		s.tip = s.readTip(opt, rest)
		return BoundTaken{Seq: s.asked["bound"], Tip: s.tip}
	case "bound-fails":
		return BoundFailed{Seq: s.asked["bound"], Err: errors.New(strings.Join(rest, " "))}
	case "changed":
		return CatalogChanged{}
	case "store":
		wiped, _ := shards.ParseSet(opt["wiped"])
		return StoreOpened{Seq: s.asked["store"], Report: StoreReport{Identity: rest[0], Wiped: wiped}}
	case "store-fails":
		return StoreFailed{Seq: s.asked["store"], Err: marked(rest)}
	case "page":
		return s.pageEvent(opt, rest)
	case "page-fails":
		return PageFailed{Seq: s.asked["page"], Err: errors.New(strings.Join(rest, " "))}
	case "looked":
		return LookedUp{Seq: s.asked["look"], Stamp: s.stamp(opt), Rows: s.rows(opt, rest)}
	case "look-fails":
		return LookupFailed{Seq: s.asked["look"], Err: errors.New(strings.Join(rest, " "))}
	case "sealed", "done", "late":
		return s.syncEvent(name, opt, rest)
	case "saved":
		return s.savedEvent()
	case "save-fails":
		return SaveFailed{Seq: s.asked["save"], Err: errors.New(strings.Join(rest, " "))}
	case "tick":
		d, err := time.ParseDuration(rest[0])
		if err != nil {
			s.t.Fatal(err)
		}
		s.now += d
		s.wall = s.wall.Add(d)
		return Tick{Now: s.now, Wall: s.wall}
	case "clock-back":
		s.wall = s.wall.Add(-24 * time.Hour)
		return Tick{Now: s.now, Wall: s.wall}
	case "peers":
		return PeersSeen{PeerHealth{Reachable: int(number(opt["up"])), Total: int(number(opt["of"])), Returns: number(opt["returns"])}}
	case "room":
		return RoomSeen{room(rest[0])}
	case "pause", "resume":
		return PauseAsked{Paused: name == "pause"}
	case "retry":
		return RetryAsked{IDs: ids(rest)}
	case "put-back":
		return PutBack{Blobs: []Blob{{ID: letter(rest[0]), Size: 10, Encoding: Raw}}}
	case "stop":
		return StopAsked{Drain: len(rest) == 0}
	}
	return nil
}

func (s *scenario) ownership(opt map[string]string) shards.Ownership {
	owned, err := shards.ParseSet(opt["owned"])
	if err != nil {
		s.t.Fatal(err)
	}
	o := shards.Ownership{Epoch: uint32(number(opt["epoch"])), TotalShards: 10, Owned: owned, Continuity: opt["cont"], Node: shards.Active}
	if opt["total"] != "" {
		o.TotalShards = uint32(number(opt["total"]))
	}
	if opt["node"] != "" {
		o.Node = shards.NodeStatus(opt["node"])
	}
	return o
}

func (s *scenario) readTip(opt map[string]string, rest []string) Tip {
	tip := Tip{Bound: Bound{Stamp: s.stamp(opt), Digest: digest(opt["digest"])}, AtTip: !slices.Contains(rest, "behind"), Static: slices.Contains(rest, "static")}
	if from := opt["from"]; from != "" {
		pos, d, _ := strings.Cut(from, ":")
		tip.Ancestors = []Ancestor{{Position: number(pos), Digest: digest(d)}}
	}
	return tip
}

// stamp defaults to the last tip's.
func (s *scenario) stamp(opt map[string]string) Stamp {
	st := s.tip.Stamp
	if st.Network == "" {
		st.Network = "net"
	}
	if v := opt["net"]; v != "" {
		st.Network = v
	}
	if v := opt["epoch"]; v != "" {
		st.Epoch = uint32(number(v))
	}
	if v := opt["pos"]; v != "" {
		st.Position = number(v)
	}
	return st
}

func (s *scenario) pageEvent(opt map[string]string, rest []string) Event {
	end := len(rest) > 0 && rest[len(rest)-1] == "end"
	if end {
		rest = rest[:len(rest)-1]
	}
	rows := s.rows(opt, rest)
	return PageRead{Seq: s.asked["page"], Rows: rows, Info: PageInfo{Stamp: s.stamp(opt), N: len(rows), End: end}}
}

// rows reads words like "c*": letter, then * stored, @n gained, /n end epoch,
// +n certified epoch, :n size.
func (s *scenario) rows(_ map[string]string, words []string) []Row {
	var rows []Row
	for _, w := range words {
		row := Row{Blob: Blob{ID: letter(w), Size: 10, Encoding: Raw}, CertifiedEpoch: 1, EndEpoch: EpochForever, Gained: 1}
		row.Digest = row.ID
		for w = w[1:]; w != ""; {
			mark := w[0]
			digits := len(w[1:]) - len(strings.TrimLeft(w[1:], "0123456789"))
			n := number(w[1 : 1+digits])
			w = w[1+digits:]
			switch mark {
			case '*':
				row.Stored = true
			case '@':
				row.Gained = n
			case '/':
				row.EndEpoch = uint32(n)
			case '+':
				row.CertifiedEpoch = uint32(n)
			case ':':
				row.Size = int64(n)
			default:
				s.t.Fatalf("bad row mark %q", mark)
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func (s *scenario) syncEvent(name string, opt map[string]string, rest []string) Event {
	id := letter(rest[0])
	asked := s.syncs[id]
	if len(asked) == 0 {
		s.t.Fatalf("%v was never asked for", rest[0])
	}
	q := asked[len(asked)-1]
	if name == "late" { // the answer to the first request, given up long ago
		q = asked[0]
	}
	if name == "sealed" {
		return Sealed{Run: q.Run, Seq: q.Seq, ID: id}
	}
	o := Outcome{Covers: q.Covers, Bytes: q.Blob.Size, JudgedAt: s.stamp(opt), Definite: slices.Contains(rest, "definite")}
	switch rest[1] {
	case "success":
		o.Result = Success
	case "skipped":
		o.Result, o.Reason = Skipped, Reason(rest[2])
	case "cancelled":
		o.Result, o.Reason, o.Err = Cancelled, Reason(rest[2]), "peer says "+rest[2]
	}
	if v := opt["covers"]; v != "" {
		o.Covers.Owned, _ = shards.ParseSet(v)
	}
	var delay time.Duration
	if v := opt["delay"]; v != "" {
		delay, _ = time.ParseDuration(v)
	}
	return Synced{Run: q.Run, Seq: q.Seq, ID: id, Outcome: o, Delay: delay}
}

func (s *scenario) savedEvent() Event {
	if len(s.saving) == 0 {
		s.t.Fatal("nothing is being saved")
	}
	save := s.saving[0]
	s.saving = s.saving[1:]
	s.durable(save.Record)
	return Saved{Seq: save.Seq}
}

func (s *scenario) durable(r Record) {
	s.disk = r
	if r.Progress != nil {
		s.lastRun = max(s.lastRun, r.Progress.Run)
	}
}

func (s *scenario) step(e Event) {
	effects, err := s.m.Step(e)
	if err != nil {
		s.t.Fatalf("step %#v: %v", e, err)
	}
	for _, effect := range slices.Clone(effects) {
		s.effect(effect)
	}
	s.check()
}

// check asserts I2 and the claim of an end on what would be saved now, and on
// what is on the disk.
func (s *scenario) check() {
	for _, p := range []*Progress{s.m.Progress(), s.disk.Progress} {
		if p == nil {
			continue
		}
		for _, u := range p.Unsettled {
			if p.Cursor.Covers(u.ID) {
				s.t.Fatalf("the cursor %v passes the unsettled %v", p.Cursor, u.ID)
			}
		}
		if p.Cursor.End() && (p.Covered == nil || *p.Covered != p.Bound) {
			s.t.Fatalf("an end without covered = bound")
		}
	}
}

// effect prints an effect and plays the autosaving disk.
func (s *scenario) effect(e Effect) {
	switch e := e.(type) {
	case TakeBound:
		s.asked["bound"] = e.Seq
		s.print("take-bound")
	case OpenStore:
		s.asked["store"] = e.Seq
		s.print("open-store identity=%q claimed=%s", e.Request.Identity, e.Request.Claimed)
	case ReadPage:
		s.asked["page"], s.page = e.Seq, e
		since := ""
		if e.Since != nil {
			since = fmt.Sprintf(" since=%d", e.Since.Position)
		}
		s.print("read-page after=%s%s", short(e.After), since)
	case LookUp:
		s.asked["look"], s.lookIDs = e.Seq, e.IDs
		s.print("look-up %s", shortIDs(e.IDs))
	case Sync:
		s.syncs[e.Blob.ID] = append(s.syncs[e.Blob.ID], e)
		s.print("sync %s run=%d attempt=%d", shortID(e.Blob.ID), e.Run, e.Attempt)
	case CancelRun:
		s.print("cancel-run %d", e.Run)
	case Save:
		s.asked["save"] = e.Seq
		s.saving = append(s.saving, e)
		s.print("save %s", describe(e))
		if s.autosave {
			s.step(s.savedEvent())
		}
	case PhaseChanged:
		s.print("phase %v -> %v: %s", e.From, e.To, e.Why)
	case Decided:
		s.print("decided %s run=%d: %s", e.Origin.Decision, e.Run, e.Origin.Why)
	case BlobParked:
		s.print("parked %s after %d: %s", shortID(e.ID), e.Tries, e.Err)
	case ReadTrouble:
		s.print("trouble %s x%d: %s", e.What, e.Count, e.Err)
	case Halt:
		s.print("HALT misconfigured=%v: %s", e.Misconfigured, e.Reason)
	default:
		s.print("%T", e)
	}
}

func (s *scenario) state() {
	st := s.m.Status()
	blocked := ""
	if st.Blocked != "" {
		blocked = " blocked=" + strconv.Quote(st.Blocked)
	}
	s.print("= %v cursor=%s scan=%s unsettled=%s%s", st.Phase, short(st.Cursor), short(st.Scan), s.list(), blocked)
}

func (s *scenario) list() string {
	var words []string
	for _, u := range s.m.Unsettled() {
		words = append(words, shortID(u.ID)+":"+u.State.String())
	}
	return "[" + strings.Join(words, " ") + "]"
}

func (s *scenario) print(format string, args ...any) {
	fmt.Fprintf(s.out, "  "+format+"\n", args...)
}

func describe(e Save) string {
	p := e.Record.Progress
	if p == nil {
		return fmt.Sprintf("nothing paused=%v", e.Record.Paused)
	}
	covered := "none"
	if p.Covered != nil {
		covered = strconv.FormatUint(p.Covered.Position, 10)
	}
	var list []BlobID
	for _, u := range p.Unsettled {
		list = append(list, u.ID)
	}
	slices.SortFunc(list, BlobID.Compare)
	text := fmt.Sprintf("run=%d pair=%s..%d cursor=%s scan=%s unsettled=%s", p.Run, covered, p.Bound.Position, short(p.Cursor), short(p.Scan), shortIDs(list))
	if e.Less {
		text += " less"
	}
	if e.Record.Paused {
		text += " paused"
	}
	return text
}

// letter makes an id of a letter: its first and eighth byte are the letter, so
// that ids order by it and its shard of 10 follows from it.
func letter(word string) BlobID {
	var id BlobID
	id[0], id[7] = word[0], word[0]
	return id
}

func ids(words []string) []BlobID {
	var out []BlobID
	for _, w := range words {
		out = append(out, letter(w))
	}
	return out
}

// digest reads "A", or "~A" for a replayed one.
func digest(word string) Digest {
	var d Digest
	name, replayed := strings.CutPrefix(word, "~")
	copy(d[:], name)
	if replayed {
		return ReplayedDigest(d)
	}
	return d
}

// shortID prints a letter's id as the letter, and the id just below it as "<a".
func shortID(id BlobID) string {
	if id == letter(string(id[0])) {
		return string(id[0])
	}
	for l := byte('a'); l <= 'z'; l++ {
		if prev, _ := letter(string(l)).before(); prev == id {
			return "<" + string(l)
		}
	}
	return id.String()
}

func shortIDs(list []BlobID) string {
	words := make([]string, len(list))
	for i, id := range list {
		words[i] = shortID(id)
	}
	return "[" + strings.Join(words, " ") + "]"
}

func short(m Mark) string {
	if id, ok := m.ID(); ok {
		return shortID(id)
	}
	return m.String()
}

func options(args []string) (map[string]string, []string) {
	opt := map[string]string{}
	var rest []string
	for _, a := range args {
		if k, v, found := strings.Cut(a, "="); found {
			opt[k] = v
		} else {
			rest = append(rest, a)
		}
	}
	return maps.Clone(opt), rest
}

func number(text string) uint64 {
	n, _ := strconv.ParseUint(text, 10, 64)
	return n
}

// marked makes an error of words; "misconfigured" and "in-doubt" in front mark it.
func marked(words []string) error {
	text := strings.Join(words[1:], " ")
	switch words[0] {
	case "misconfigured":
		return fmt.Errorf("%w: %s", ErrMisconfigured, text)
	case "in-doubt":
		return fmt.Errorf("%w: %s", ErrInDoubt, text)
	}
	return errors.New(strings.Join(words, " "))
}

func room(word string) Room {
	if word == "low" {
		return Room{Free: 5, Min: 10, Low: true}
	}
	return Room{Free: 5_000, Min: 10}
}
