package provider

import (
	"fmt"
	"math"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/recoverd/recoverd/shards"
)

// fields is an ownership document's keys while they are read, one after another.
type fields struct {
	epoch       uint32
	totalShards uint32
	owned       shards.Set
	continuity  string
	node        shards.NodeStatus

	lines map[string]int  // the line of each key that was met
	given map[string]bool // those of them that had a value
}

func newFields() *fields {
	return &fields{node: shards.Active, lines: map[string]int{}, given: map[string]bool{}}
}

// ownership returns what was read, once every key that has no default was there.
func (f *fields) ownership() (shards.Ownership, error) {
	for _, key := range []string{"epoch", "total_shards", "owned"} {
		if !f.given[key] {
			return shards.Ownership{}, fmt.Errorf("%s is missing", key)
		}
	}
	return shards.Ownership{
		Epoch: f.epoch, TotalShards: f.totalShards, Owned: f.owned,
		Continuity: f.continuity, Node: f.node,
	}, nil
}

// set takes over one key and its value.
func (f *fields) set(key, value *yaml.Node) error {
	if key.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: want a key, found %s", key.Line, describe(key))
	}
	if first, twice := f.lines[key.Value]; twice {
		return fmt.Errorf("line %d: key %.40q is there twice, first in line %d", key.Line, key.Value, first)
	}
	f.lines[key.Value] = key.Line
	assign := f.assigner(key.Value)
	if assign == nil {
		return fmt.Errorf("line %d: unknown key %.40q", key.Line, key.Value)
	}
	text, quoted, err := scalar(value)
	if err == nil && !quoted && value.ShortTag() == "!!null" {
		return nil
	}
	if err == nil {
		err = assign(text, quoted)
	}
	if err != nil {
		return fmt.Errorf("line %d: %s: %w", value.Line, key.Value, err)
	}
	f.given[key.Value] = true
	return nil
}

// assigner returns what converts the value of key; nil when there is no such key.
func (f *fields) assigner(key string) func(text string, quoted bool) error {
	switch key {
	case "epoch":
		return func(text string, quoted bool) (err error) { f.epoch, err = number(text, quoted); return err }
	case "total_shards":
		return func(text string, quoted bool) (err error) { f.totalShards, err = number(text, quoted); return err }
	case "owned":
		return func(text string, _ bool) (err error) { f.owned, err = shards.ParseSet(text); return err }
	case "continuity":
		return func(text string, _ bool) error { f.continuity = text; return nil }
	case "node":
		return func(text string, _ bool) error { f.node = shards.NodeStatus(text); return nil }
	}
	return nil
}

// scalar returns a value's text as it was written. YAML's guesses at a type, null
// apart, are not asked: a continuity of 1e5, no or 2026-01-01 is those characters.
func scalar(n *yaml.Node) (text string, quoted bool, err error) {
	if n.Kind != yaml.ScalarNode {
		return "", false, fmt.Errorf("want one value, found %s", describe(n))
	}
	if n.Style&yaml.TaggedStyle != 0 {
		return "", false, fmt.Errorf("the tag %.40s is not allowed", n.Tag)
	}
	return n.Value, n.Style != 0, nil
}

// number reads a whole decimal number of 32 bits. Other spellings (0x2a, 042, 4_2,
// 42.0) mean different numbers to different readers.
func number(text string, quoted bool) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || text != strconv.FormatUint(n, 10) {
		return 0, fmt.Errorf("want a whole number from 0 to %d, found %.40q", uint32(math.MaxUint32), text)
	}
	if quoted {
		return 0, fmt.Errorf("want a number, found text: take the quotes off %q", text)
	}
	return uint32(n), nil
}
