package main

import (
	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery/statusapi"
)

// keeper is the checkpoint with its view for status.
type keeper struct {
	*checkpoint.Keeper
	dir string
}

func newKeeper(s *checkpoint.Store, dir string) *keeper {
	return &keeper{checkpoint.NewKeeper(s), dir}
}

func (k *keeper) snapshot() statusapi.CheckpointView {
	d := k.Durable()
	return statusapi.CheckpointView{
		Path: k.dir, Run: d.Run, Seq: d.Seq, Cursor: d.Cursor, SavedAt: d.SavedAt,
		Source: string(d.Source), Note: d.Note(), Fallbacks: uint64(d.Fallbacks),
	}
}
