package snapshot

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// median returns the middle of some times; 0 of none.
func median(times []time.Duration) time.Duration {
	if len(times) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(times))[len(times)/2]
}

// Speed returns how fast something was, as a share of the baseline: the median
// of the rounds' ratios. Both lists are of the same rounds.
func (r BenchResult) Speed(times []time.Duration) float64 {
	var shares []float64
	for i := range min(len(times), len(r.Baseline)) {
		shares = append(shares, r.Baseline[i].Seconds()/times[i].Seconds())
	}
	if len(shares) == 0 {
		return 0
	}
	slices.Sort(shares)
	return shares[len(shares)/2]
}

// WriteText writes the result for people: medians, and ratios within a round.
func (r BenchResult) WriteText(w io.Writer) error {
	rows := r.Rows.Blobs + r.Rows.Registrations + r.Rows.Pooled + r.Rows.Pools
	p := printer{to: w}
	p.line("rows            %d blobs, %d registrations, %d pooled, %d pools", r.Rows.Blobs, r.Rows.Registrations, r.Rows.Pooled, r.Rows.Pools)
	p.line("file            %d bytes, %.1f a row, %.1f a blob", r.Bytes, per(r.Bytes, rows), per(r.Bytes, r.Rows.Blobs))
	p.line("baseline        %v, %.0f MB/s: SHA-256 and xxhash64 over the same bytes in memory", round(median(r.Baseline)), r.rate(r.Baseline))
	for _, m := range []struct {
		name, what string
		times      []time.Duration
	}{
		{"write", "into the page cache", r.Write}, {"write and sync", "durable", r.WriteSync}, {"read and verify", "from the page cache", r.Verify},
	} {
		p.line("%-15s %v, %.0f MB/s, %.1f million rows/s, %.0f %% of the baseline's speed: %s",
			m.name, round(median(m.times)), r.rate(m.times), float64(rows)/median(m.times).Seconds()/1e6, 100*r.Speed(m.times), m.what)
	}
	for _, m := range []struct {
		name, what string
		times      []time.Duration
	}{
		{"open", "", r.Open}, {"seek and page", fmt.Sprintf(", %d rows", BenchPage), r.Seek},
	} {
		if len(m.times) > 0 {
			p.line("%-15s %v, at most %v of %d times, from the disk%s", m.name, round(median(m.times)), round(slices.Max(m.times)), len(m.times), m.what)
		}
	}
	if r.Resident > 0 {
		p.line("memory          %.0f MiB resident at most", float64(r.Resident)/(1<<20))
	}
	for _, z := range r.Zstd {
		p.line("zstd level %-4d %.1f %% of the size, %.0f MB/s, back %.0f MB/s",
			z.Level, 100*per(z.Bytes, uint64(z.Before)), mb(z.Before, z.Compress), mb(z.Before, z.Decompress))
	}
	return p.err
}

// WriteBenchmark writes the result as lines that benchstat reads, one for each
// round.
func (r BenchResult) WriteBenchmark(w io.Writer) error {
	p := printer{to: w}
	for _, m := range []struct {
		name  string
		times []time.Duration
		bytes int64
	}{
		{"Baseline", r.Baseline, r.Bytes}, {"Write", r.Write, r.Bytes}, {"WriteSync", r.WriteSync, r.Bytes}, {"Verify", r.Verify, r.Bytes},
		{"OpenCold", r.Open, 0}, {"SeekCold", r.Seek, 0},
	} {
		for _, t := range m.times {
			if m.bytes == 0 {
				p.line("BenchmarkSnapshot/%s/blobs=%d 1 %d ns/op", m.name, r.Rows.Blobs, t.Nanoseconds())
				continue
			}
			p.line("BenchmarkSnapshot/%s/blobs=%d 1 %d ns/op %.2f MB/s", m.name, r.Rows.Blobs, t.Nanoseconds(), mb(m.bytes, t))
		}
	}
	for _, z := range r.Zstd {
		p.line("BenchmarkSnapshot/Zstd/level=%d 1 %d ns/op %.2f MB/s %.4f ratio", z.Level, z.Compress.Nanoseconds(),
			mb(z.Before, z.Compress), per(z.Bytes, uint64(z.Before)))
		p.line("BenchmarkSnapshot/Unzstd/level=%d 1 %d ns/op %.2f MB/s", z.Level, z.Decompress.Nanoseconds(), mb(z.Before, z.Decompress))
	}
	return p.err
}

func (r BenchResult) rate(times []time.Duration) float64 { return mb(r.Bytes, median(times)) }

// mb is a speed in millions of bytes a second.
func mb(bytes int64, took time.Duration) float64 { return float64(bytes) / 1e6 / took.Seconds() }

func per(bytes int64, n uint64) float64 { return float64(bytes) / float64(max(n, 1)) }

func round(d time.Duration) time.Duration {
	if d > time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(time.Microsecond)
}

// printer writes lines. The first error sticks.
type printer struct {
	to  io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.to, format+"\n", args...)
	}
}
