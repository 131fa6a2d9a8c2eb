package main

import (
	"fmt"
	"strings"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus"
)

// field is a value of a row, as JSON has it; nil: there is none, or it is unknown.
type field struct {
	name  string
	value any
}

// fields are a row's values in the order of the specification; nil: no row.
type fields []field

// object makes a JSON object of them.
func (f fields) object() map[string]any {
	if f == nil {
		return nil
	}
	o := map[string]any{}
	for _, v := range f {
		o[v.name] = v.value
	}
	return o
}

// text spells all of them.
func (f fields) text() string {
	var parts []string
	for _, v := range f {
		parts = append(parts, v.name+" "+v.text())
	}
	return strings.Join(parts, ", ")
}

func (v field) text() string {
	if v.value == nil {
		return "none"
	}
	return fmt.Sprint(v.value)
}

// differences spells those that are not the same in another row of the table.
func (f fields) differences(other fields) string {
	var parts []string
	for i, v := range f {
		if v.value != other[i].value {
			parts = append(parts, fmt.Sprintf("%s %s -> %s", v.name, v.text(), other[i].text()))
		}
	}
	return strings.Join(parts, ", ")
}

// known is a value, or nil if it stands for an unknown one.
func known[T comparable](value, unknown T) any {
	if value == unknown {
		return nil
	}
	return value
}

// certifiedEpoch is nil for what is not certified.
func certifiedEpoch(certified bool, epoch uint32) any {
	if !certified {
		return nil
	}
	return epoch
}

// rowFields are the fields of a row of ours. They hold comparable values only.
func rowFields(row snapshot.Entry) fields {
	switch r := row.(type) {
	case *snapshot.Blob:
		digest := known(recovery.BlobID(r.Digest).String(), recovery.BlobID{}.String())
		return fields{
			{"size", known(r.Size, recovery.SizeUnknown)}, {"encoding", r.Encoding.String()}, {"digest", digest},
			{"invalidated", known(r.Invalidated, 0)},
		}
	case *snapshot.Registration:
		return fields{
			{"registered_epoch", r.RegisteredEpoch}, {"certified_epoch", certifiedEpoch(r.Certified, r.CertifiedEpoch)},
			{"end_epoch", known(r.EndEpoch, recovery.EpochForever)}, {"deletable", r.Deletable}, {"deleted", r.Deleted},
			{"gained", known(r.Gained, 0)},
		}
	case *snapshot.Pooled:
		return fields{
			{"registered_epoch", r.RegisteredEpoch}, {"certified_epoch", certifiedEpoch(r.Certified, r.CertifiedEpoch)},
			{"pool", r.Pool.String()}, {"gained", known(r.Gained, 0)},
		}
	case *snapshot.Pool:
		return fields{
			{"start_epoch", r.StartEpoch}, {"end_epoch", known(r.EndEpoch, recovery.EpochForever)}, {"gained", known(r.Gained, 0)},
		}
	}
	return nil
}

// entryFields are those of an entry of Walrus.
func entryFields(e *walrus.Entry) fields {
	if e == nil {
		return nil
	}
	switch e.Section {
	case walrus.Objects:
		o := &e.Object
		return fields{
			{"blob", o.Blob.String()}, {"registered_epoch", o.RegisteredEpoch}, {"certified_epoch", certifiedEpoch(o.Certified, o.CertifiedEpoch)},
			{"end_epoch", o.EndEpoch}, {"deletable", o.Deletable}, {"event", showEvent(o.Event)}, {"deleted", o.Deleted},
		}
	case walrus.PooledObjects:
		p := &e.Pooled
		return fields{
			{"blob", p.Blob.String()}, {"registered_epoch", p.RegisteredEpoch}, {"certified_epoch", certifiedEpoch(p.Certified, p.CertifiedEpoch)},
			{"pool", p.Pool.String()}, {"event", showEvent(p.Event)},
		}
	}
	return fields{{"start_epoch", e.Pool.StartEpoch}, {"end_epoch", e.Pool.EndEpoch}}
}

// headerFields say which state one of ours is; not the ancestors, in which nodes
// that agree may differ.
func headerFields(h snapshot.Header) fields {
	return fields{{"network", h.Network}, {"epoch", h.Epoch}, {"position", h.Position}}
}

func walrusHeaderFields(h walrus.Header) fields {
	var event any
	if h.HasEvent {
		event = showEvent(h.Event)
	}
	return fields{
		{"epoch", h.Epoch}, {"event", event}, {"next_event", h.Next}, {"previous", fmt.Sprintf("%x", h.Previous)},
		{"part", h.Chunk + 1}, {"parts", h.Chunks},
	}
}
