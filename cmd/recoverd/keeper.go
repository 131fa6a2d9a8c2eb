package main

import (
	"errors"
	"sync"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
)

// keeper is the checkpoint as the worker's port: it writes off the loop and
// remembers what is durable, for status.
type keeper struct {
	store  *checkpoint.Store
	writer *checkpoint.Writer
	mu     sync.Mutex
	view   statusapi.CheckpointView
}

func newKeeper(s *checkpoint.Store, dir string) *keeper {
	return &keeper{store: s, writer: checkpoint.NewWriter(s), view: statusapi.CheckpointView{Path: dir}}
}

// Load reads what was saved last.
func (k *keeper) Load() (recovery.Loaded, error) {
	record, report, err := k.store.Load()
	if err != nil {
		return recovery.Loaded{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.view.Seq = report.Seq
	k.view.Source, k.view.Note, k.view.Fallbacks = string(report.Source), report.Note(), uint64(report.Fallbacks)
	k.note(record)
	return recovery.Loaded{Record: record, LastRun: report.LastRun, Note: report.Note()}, nil
}

// Save writes a record that claims no less than the last one.
func (k *keeper) Save(r recovery.Record, done func(error)) { k.writer.Save(r, k.noting(r, done)) }

// Reset writes a record that claims less.
func (k *keeper) Reset(r recovery.Record, done func(error)) { k.writer.Reset(r, k.noting(r, done)) }

func (k *keeper) noting(r recovery.Record, done func(error)) func(error) {
	return func(err error) {
		if err == nil {
			k.mu.Lock()
			k.view.Seq++
			k.note(r)
			k.mu.Unlock()
		}
		done(err)
	}
}

func (k *keeper) note(r recovery.Record) {
	if p := r.Progress; p != nil {
		k.view.Run, k.view.Cursor, k.view.SavedAt = p.Run, p.Cursor, p.SavedAt
	}
}

func (k *keeper) snapshot() statusapi.CheckpointView {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.view
}

// Close writes what waits and gives the lock back.
func (k *keeper) Close() error { return errors.Join(k.writer.Close(), k.store.Close()) }
