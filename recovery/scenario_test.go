package recovery

import (
	"errors"
	"flag"
	"fmt"
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
	case "stop":
		return StopAsked{Drain: len(rest) == 0}
	}
	return s.asking(name, opt, rest)
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
		replace := ""
		if e.Replace {
			replace = " replace"
		}
		s.print("sync %s run=%d attempt=%d%s", shortID(e.Blob.ID), e.Run, e.Attempt, replace)
	case CancelRun:
		s.print("cancel-run %d", e.Run)
	case Save:
		s.asked["save"] = e.Seq
		s.saving = append(s.saving, e)
		s.print("save %s", describe(e))
		if s.autosave {
			s.step(s.savedEvent())
		}
	case Answered:
		s.print("answered %d: taken=%d busy=%s unknown=%s refused=%s", e.Ticket, e.Taken, shortIDs(e.Busy), shortIDs(e.Unknown), shortIDs(e.Refused))
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
		words = append(words, shortID(u.ID)+":"+u.State.String()+replaceMark(u))
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
	var list []string
	for _, u := range p.Unsettled {
		list = append(list, shortID(u.ID)+replaceMark(u))
	}
	slices.Sort(list)
	text := fmt.Sprintf("run=%d pair=%s..%d cursor=%s scan=%s unsettled=%v", p.Run, covered, p.Bound.Position, short(p.Cursor), short(p.Scan), list)
	if e.Less {
		text += " less"
	}
	if e.Record.Paused {
		text += " paused"
	}
	return text
}
