package recovery

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/recoverd/recoverd/shards"
)

// asking reads what an operator asks; with ticket=n it is answered.
func (s *scenario) asking(name string, opt map[string]string, rest []string) Event {
	ticket := number(opt["ticket"])
	switch name {
	case "pause", "resume":
		return PauseAsked{Ticket: ticket, Paused: name == "pause"}
	case "retry":
		return RetryAsked{Ticket: ticket, IDs: ids(rest)}
	case "put-back":
		var blobs []Blob
		for _, id := range ids(rest) {
			blobs = append(blobs, Blob{ID: id, Size: 10, Encoding: Raw})
		}
		return PutBack{Ticket: ticket, Blobs: blobs}
	case "limits":
		return LimitsAsked{Ticket: ticket, Slots: int(number(opt["slots"])), BytesInFlight: int64(number(opt["bytes"]))}
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

// replaceMark marks an entry that is to be replaced.
func replaceMark(u Unsettled) string {
	if u.Replace {
		return "!"
	}
	return ""
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
