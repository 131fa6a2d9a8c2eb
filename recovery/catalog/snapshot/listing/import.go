package listing

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/spill"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus"
)

// Config says what to import.
type Config struct {
	// Path names the list in errors.
	Path string
	// In is the list. It is read once, to its end.
	In io.Reader
	// Format is the list's; Auto finds it out.
	Format Format
	// Out is the catalog to write. Temporary files lie beside it.
	Out string
	// Base is the state that the new one goes on from; nil: none. Out may be its
	// path.
	Base *snapshot.Reader
	// Network is the new state's; default the base's, or a name derived from the
	// content.
	Network string
	// Epoch is the new state's; default the base's, or the highest certified epoch
	// in the list if that is higher. A Walrus snapshot has its own.
	Epoch uint32
	// Memory bounds the bytes that are held to sort what was read; default 64 MiB.
	// The catalog does not depend on it.
	Memory int
}

// Result says what became of a list.
type Result struct {
	Format Format
	Bound  recovery.Bound
	Totals snapshot.Totals
	Lines  uint64 // of a text; entries of a Walrus snapshot
	// Repeated are lines that say what another one has said. Each other line is
	// one of the following, and for a Walrus snapshot none is counted.
	Repeated   uint64
	Added      uint64 // newly certified
	Lengthened uint64 // certified until later than in the base, or anew
	Learned    uint64 // certified for as long already, but of unknown size
	Kept       uint64 // certified for as long already
	Ended      uint64 // left out: certified until the catalog's epoch or an earlier one
	// MissingPools are named by entries of a Walrus snapshot, and not in it. They
	// are in the catalog without an end.
	MissingPools []snapshot.PoolID

	newest     uint32 // highest certified epoch
	newestLine uint64 // where it stands
}

func (r *Result) count(v verdict) {
	*[...]*uint64{added: &r.Added, lengthened: &r.Lengthened, learned: &r.Learned, kept: &r.Kept, ended: &r.Ended}[v]++
}

// Import writes a catalog of a list. The same content gives the same bytes,
// whatever the order of its lines and however much memory there is. Errors wrap
// ErrImport, with the line in a *LineError where one is at fault, or the errors
// of package walrus, or are those of reading, sorting and writing; after one
// nothing is published.
func Import(ctx context.Context, cfg Config) (Result, error) {
	in := bufio.NewReaderSize(cfg.In, 64<<10)
	head, err := in.Peek(len(snapshot.Magic))
	if err != nil && !errors.Is(err, io.EOF) {
		return Result{}, fmt.Errorf("read %s: %w", cfg.Path, err)
	}
	isWalrus := strings.HasPrefix(string(head), walrus.Magic)
	switch {
	case string(head) == snapshot.Magic:
		return Result{}, fmt.Errorf("%w: %s is a catalog already", ErrImport, cfg.Path)
	case isWalrus && cfg.Format != Auto && cfg.Format != Walrus:
		return Result{}, fmt.Errorf("%w: %s is a Walrus snapshot, not %v", ErrImport, cfg.Path, cfg.Format)
	case isWalrus && cfg.Epoch != 0:
		return Result{}, fmt.Errorf("%w: a Walrus snapshot has an epoch of its own", ErrImport)
	case isWalrus:
		return importWalrus(ctx, cfg, in)
	case cfg.Format == Walrus:
		return Result{}, fmt.Errorf("%w: %s is not a Walrus snapshot", ErrImport, cfg.Path)
	}
	return importText(ctx, cfg, in)
}

func importWalrus(ctx context.Context, cfg Config, in io.Reader) (result Result, err error) {
	r, err := walrus.NewReader(cfg.Path, in)
	if err != nil {
		return result, err
	}
	s, err := walrus.NewState(ctx, r, walrus.StateConfig{
		Network: cfg.Network, Base: cfg.Base, Memory: cfg.Memory, Dir: filepath.Dir(cfg.Out),
	})
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	written, err := snapshot.Write(ctx, cfg.Out, s, snapshot.Options{})
	if err != nil {
		return result, err
	}
	result = Result{Format: Walrus, Bound: written.Bound, Totals: written.Totals, MissingPools: s.Missing()}
	for _, n := range r.Counts() {
		result.Lines += n
	}
	return result, nil
}

func importText(ctx context.Context, cfg Config, in *bufio.Reader) (result Result, err error) {
	rows, err := spill.New(spill.Config{Record: recordLength, Memory: cfg.Memory, Dir: filepath.Dir(cfg.Out)})
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if err := result.read(ctx, newLines(cfg.Path, in, cfg.Format), rows); err != nil {
		return result, err
	}
	s := &state{path: cfg.Path, base: cfg.Base, rows: rows, unsized: result.Format == SHA256Sum}
	if err := s.settle(ctx, cfg, &result); err != nil {
		return result, err
	}
	written, err := snapshot.Write(ctx, cfg.Out, s, snapshot.Options{})
	if err != nil {
		return result, err
	}
	result.Bound, result.Totals = written.Bound, written.Totals
	return result, nil
}

// read takes every line.
func (r *Result) read(ctx context.Context, l *lines, rows *spill.Sorter) (err error) {
	var record []byte
	var with, without uint64 // the first line with a position, and without
	err = l.each(ctx, func(row *Row) error {
		first := &without
		if row.Position != 0 {
			first = &with
		}
		if *first == 0 {
			*first = row.Line
		}
		if with != 0 && without != 0 {
			return l.fault("either all lines have a position or none: line %d has one, line %d has none", with, without)
		}
		if row.CertifiedEpoch > r.newest {
			r.newest, r.newestLine = row.CertifiedEpoch, row.Line
		}
		record = row.appendRecord(record[:0])
		return rows.Add(record)
	})
	if err != nil {
		return err
	}
	r.Lines = l.number
	r.Format, err = l.format()
	return err
}
