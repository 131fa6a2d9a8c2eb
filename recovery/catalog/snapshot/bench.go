package snapshot

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery"
)

// BenchConfig says what to measure.
type BenchConfig struct {
	// Dir is where the files lie while it runs; three snapshots must fit, 75 bytes
	// for each blob.
	Dir string
	// Blobs is the number of entries. Each is registered by itself, so there are
	// twice as many rows. Default 1,000,000.
	Blobs uint64
	// Rounds is how often everything is measured; default 5.
	Rounds int
	// Seeks is how many cold look-ups are made; default 20.
	Seeks int
	// Levels are the zstd levels, 1 to 22, to compress the file with; default none.
	Levels []int
}

func (c BenchConfig) withDefaults() BenchConfig {
	if c.Blobs == 0 {
		c.Blobs = 1_000_000
	}
	if c.Rounds == 0 {
		c.Rounds = 5
	}
	if c.Seeks == 0 {
		c.Seeks = 20
	}
	return c
}

// Validate reports, wrapping ErrRow, the first value that makes no sense.
func (c BenchConfig) Validate() error {
	switch {
	case c.Rounds < 0 || c.Seeks < 0:
		return fmt.Errorf("%w: %d rounds and %d look-ups", ErrRow, c.Rounds, c.Seeks)
	case c.Blobs > 1<<32:
		return fmt.Errorf("%w: %d blobs, at most 2^32 can be measured", ErrRow, c.Blobs)
	case slices.ContainsFunc(c.Levels, func(level int) bool { return level < 1 || level > 22 }):
		return fmt.Errorf("%w: zstd levels %v, they go from 1 to 22", ErrRow, c.Levels)
	}
	return nil
}

// BenchResult is what was measured. Times of one index are of one round.
type BenchResult struct {
	Rows  Counts
	Bytes int64 // of the file
	// Baseline is SHA-256 and then xxhash64 over the file's bytes in memory, by one
	// goroutine.
	Baseline []time.Duration
	// Write makes rows and puts them into the page cache; WriteSync also makes the
	// file durable. Verify opens the file, in the page cache, and proves it.
	Write, WriteSync, Verify []time.Duration
	// Open opens a file that is not in the page cache, Seek finds an id in it (it is
	// out of the cache again) and reads a page of BenchPage rows.
	Open, Seek []time.Duration
	// Resident is the most memory that the process had until here, in bytes; 0: the
	// system does not say.
	Resident int64
	Zstd     []BenchZstd
}

// BenchPage is the number of rows in a page.
const BenchPage = 1024

// BenchZstd is a snapshot compressed, by one goroutine. Its ids look random, as
// real ones do.
type BenchZstd struct {
	Level                int
	Before, Bytes        int64 // uncompressed, and compressed
	Compress, Decompress time.Duration
}

// Bench measures writing, proving and looking up in a made-up snapshot.
func Bench(ctx context.Context, c BenchConfig) (r BenchResult, err error) {
	if err := c.Validate(); err != nil {
		return r, err
	}
	c = c.withDefaults()
	dir, err := os.MkdirTemp(c.Dir, "snapshot-bench-")
	if err != nil {
		return r, fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := bench{cfg: c, dir: dir, path: filepath.Join(dir, "bench.rsnap")}
	for range c.Rounds {
		if err := b.round(ctx); err != nil {
			return b.result, err
		}
	}
	if err := b.cold(ctx); err != nil {
		return b.result, err
	}
	b.result.Resident = peakResident()
	if len(c.Levels) > 0 {
		// The rows so far repeat themselves, which would flatter a compressor.
		if _, err := Synth(ctx, SynthConfig{Blobs: c.Blobs, Seed: 1}, b.path); err != nil {
			return b.result, err
		}
	}
	for _, level := range c.Levels {
		if err := b.compress(ctx, level); err != nil {
			return b.result, err
		}
	}
	return b.result, nil
}

type bench struct {
	cfg    BenchConfig
	dir    string
	path   string
	result BenchResult
}

// timed adds how long do takes to a list.
func timed(list *[]time.Duration, do func() error) error {
	start := time.Now()
	err := do()
	*list = append(*list, time.Since(start))
	return err
}

func (b *bench) round(ctx context.Context) error {
	r := &b.result
	if err := timed(&r.Write, func() error { return b.write(ctx, filepath.Join(b.dir, "volatile"), true) }); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(b.dir, "volatile")); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if err := timed(&r.WriteSync, func() error { return b.write(ctx, b.path, false) }); err != nil {
		return err
	}
	if err := b.baseline(); err != nil {
		return err
	}
	return timed(&r.Verify, func() error {
		return b.with(func(s *Reader) error {
			r.Rows, r.Bytes = s.Totals().Rows, s.Size()
			return s.Verify(ctx)
		})
	})
}

// write writes the snapshot; volatile: into the page cache only.
func (b *bench) write(ctx context.Context, path string, volatile bool) error {
	c, err := whole(benchState{b.cfg.Blobs})
	if err != nil {
		return err
	}
	to := directory{path: b.dir, hint: "bench", volatile: volatile}
	w, err := newWriter(to, path, c.head, Options{})
	if err != nil {
		return errors.Join(err, w.Abort())
	}
	_, err = c.writeTo(ctx, w)
	return err
}

// with opens the snapshot for as long as do takes.
func (b *bench) with(do func(*Reader) error) error {
	r, err := Open(b.path)
	if err != nil {
		return err
	}
	return errors.Join(do(r), r.Close())
}

// baseline hashes the file's bytes. Reading them is not counted.
func (b *bench) baseline() error {
	f, err := os.Open(b.path)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	sha, xx, buf, took := sha256.New(), xxhash.New(), make([]byte, sumBuffer), time.Duration(0)
	for {
		n, err := f.Read(buf)
		start := time.Now()
		sha.Write(buf[:n])
		xx.Write(buf[:n])
		took += time.Since(start)
		if errors.Is(err, io.EOF) {
			b.result.Baseline = append(b.result.Baseline, took)
			return nil
		} else if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
}

// cold opens and looks up what is not in the page cache.
func (b *bench) cold(ctx context.Context) error {
	rows, ids := make([]recovery.Row, BenchPage), benchState{b.cfg.Blobs}
	for i := range b.cfg.Seeks {
		if err := b.drop(); err != nil {
			return err
		}
		err := timed(&b.result.Open, func() error { return b.with(func(*Reader) error { return nil }) })
		if err != nil {
			return err
		}
		err = b.with(func(r *Reader) error {
			if err := b.drop(); err != nil {
				return err
			}
			at := uint64(i) * b.cfg.Blobs / uint64(b.cfg.Seeks)
			id := ids.id(at)
			return timed(&b.result.Seek, func() error {
				s := r.Scan()
				if err := s.Seek(recovery.MarkAt(id)); err != nil {
					return err
				}
				_, _, err := s.Fill(ctx, rows)
				return err
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// drop takes the file, which is durable, out of the page cache.
func (b *bench) drop() error {
	f, err := os.Open(b.path)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("bench: empty the page cache: %w", err)
	}
	return nil
}

// compress compresses the file and reads it back.
func (b *bench) compress(ctx context.Context, level int) error {
	plain, err := os.Stat(b.path)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	z := BenchZstd{Level: level, Before: plain.Size()}
	packed := filepath.Join(b.dir, "bench.zst")
	err = b.pipe(b.path, packed, &z.Compress, func(from io.Reader, to io.Writer) error {
		e, err := zstd.NewWriter(to, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)))
		if err != nil {
			return err
		}
		return errors.Join(copyAll(ctx, e, from), e.Close())
	})
	if err != nil {
		return fmt.Errorf("bench: compress: %w", err)
	}
	info, err := os.Stat(packed)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	z.Bytes = info.Size()
	err = b.pipe(packed, filepath.Join(b.dir, "bench.out"), &z.Decompress, func(from io.Reader, to io.Writer) error {
		d, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return err
		}
		defer d.Close()
		return copyAll(ctx, to, d)
	})
	if err != nil {
		return fmt.Errorf("bench: decompress: %w", err)
	}
	b.result.Zstd = append(b.result.Zstd, z)
	return nil
}

// pipe runs a transformation of one file into another and says how long it took.
func (b *bench) pipe(from, to string, took *time.Duration, run func(io.Reader, io.Writer) error) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	start := time.Now()
	err = run(in, out)
	*took = time.Since(start)
	return errors.Join(err, out.Close())
}

// copyAll is io.Copy that ends when ctx does.
func copyAll(ctx context.Context, to io.Writer, from io.Reader) error {
	for buf := make([]byte, sumBuffer); ; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := from.Read(buf)
		if _, writeErr := to.Write(buf[:n]); writeErr != nil {
			return writeErr
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// peakResident is the largest resident set of this process so far.
func peakResident() int64 {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		var kib int64
		if n, _ := fmt.Sscanf(lines.Text(), "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}
