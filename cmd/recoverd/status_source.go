package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
)

// statusSource answers with the daemon's status, or with what is on the disk
// while there is none.
type statusSource struct {
	dir      string
	describe func(dir string) (checkpoint.Description, error)
	client   *statusapi.Client // kept while the daemon answers
}

// read returns the newest status. That no daemon runs is no error.
func (s *statusSource) read(ctx context.Context) (statusapi.Document, error) {
	doc, err := s.ask(ctx)
	var answered *statusapi.APIError
	if err == nil || ctx.Err() != nil || errors.As(err, &answered) {
		return doc, err
	}
	s.close()
	saved, err := s.describe(s.dir)
	if err != nil {
		return statusapi.Document{}, fmt.Errorf("no daemon answers, and what it saved cannot be read: %w", err)
	}
	return savedDocument(saved), nil
}

// follow watches the daemon; without one it returns statusapi.ErrNotRunning.
func (s *statusSource) follow(ctx context.Context, show func(statusapi.Document) error) error {
	client, err := statusapi.Dial(ctx, s.dir)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Watch(ctx, show)
}

func (s *statusSource) ask(ctx context.Context) (doc statusapi.Document, err error) {
	if s.client == nil {
		if s.client, err = statusapi.Dial(ctx, s.dir); err != nil {
			return doc, err
		}
	}
	return s.client.Status(ctx)
}

func (s *statusSource) close() {
	if s.client != nil {
		s.client.Close()
		s.client = nil
	}
}

// savedDocument turns a saved record into a document. It knows nothing about the
// present: the ownership, the catalog and the peers are null.
func savedDocument(saved checkpoint.Description) statusapi.Document {
	record, report := saved.Record, saved.LoadReport
	doc := statusapi.Document{
		Version: version, Phase: savedPhase(saved.InUse), Paused: record.Paused,
		Why: "no progress was saved", Run: report.Run,
		Unsettled: recovery.UnsettledCounts{Total: report.Entries},
	}
	p := record.Progress
	if p == nil && report.Source == checkpoint.SourceNone && len(report.Damage) > 0 {
		doc.Why = "no saved progress can be read here: " + report.Note()
	}
	if p != nil {
		doc.At, doc.Why = p.SavedAt, savedWhy(p, report.Entries)
		doc.Origin, doc.Covered, doc.Bound, doc.Counters = p.Origin, p.Covered, &p.Bound, p.Counters
		doc.Cursor, doc.CursorDurable, doc.Scan = p.Cursor, &p.Cursor, p.Scan
		countStates(&doc.Unsettled, p.Unsettled)
	}
	if report.Source != checkpoint.SourceNone {
		doc.Checkpoint = &statusapi.CheckpointView{
			Path: report.Path, Run: report.Run, Seq: report.Seq, Cursor: doc.Cursor, SavedAt: doc.At,
			Source: string(report.Source), Note: report.Note(), Fallbacks: uint64(report.Fallbacks),
		}
	}
	return doc
}

// savedPhase tells a daemon that does not answer from none.
func savedPhase(inUse bool) string {
	if inUse {
		return statusapi.PhaseNoAnswer
	}
	return statusapi.PhaseNotRunning
}

// savedWhy says what the record claims, and not that it is still so: the catalog
// and the ownership may have moved since.
func savedWhy(p *recovery.Progress, unsettled int) string {
	switch {
	case p.Cursor.End() && unsettled == 0:
		return fmt.Sprintf("everything up to position %d was settled; whether that is still all, a daemon would say", p.Bound.Position)
	case p.Scan.End():
		return fmt.Sprintf("every blob up to position %d was handed out; %d were not settled", p.Bound.Position, unsettled)
	}
	return fmt.Sprintf("it was looking at the catalog up to position %d", p.Bound.Position)
}

// countStates counts a list that was read; the total is the header's, which
// stands also where the list does not.
func countStates(counts *recovery.UnsettledCounts, list []recovery.Unsettled) {
	for _, u := range list {
		switch u.State {
		case recovery.Waiting:
			counts.Waiting++
		case recovery.Fetching:
			counts.Fetching++
		case recovery.Flushing:
			counts.Flushing++
		case recovery.Retrying:
			counts.Retrying++
		case recovery.Parked:
			counts.Parked++
		}
	}
}
