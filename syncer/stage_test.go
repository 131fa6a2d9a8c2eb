package syncer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing/synctest"
	"time"
)

// stage plays a scenario with a barrier and writes down what it does.
type stage struct {
	barrier *barrier
	began   time.Time

	mu      sync.Mutex
	trace   []traceLine
	volumes map[string]*scriptVolume
	refused map[string]bool
	open    []openTicket // handed in and not answered, in that order
}

type openTicket struct {
	draft *scriptDraft
	done  chan error
}

type traceLine struct {
	at           time.Duration
	volume, text string
}

func (s *stage) String() string {
	slices.SortStableFunc(s.trace, func(a, b traceLine) int {
		return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.volume, b.volume))
	})
	var b strings.Builder
	for _, l := range s.trace {
		fmt.Fprintf(&b, "%6s %2s  %s\n", l.at, l.volume, l.text)
	}
	return b.String()
}

func (s *stage) feed()                 { s.barrier.feeders.enter() }
func (s *stage) unfeed()               { s.barrier.feeders.leave() }
func (s *stage) refuse(name string)    { s.refused[name] = true }
func (s *stage) breakFlushes(v string) { s.volume(v).broken = true }

// pass lets time go by, and everything happen that is due by then.
func (s *stage) pass(d time.Duration) {
	for range d / time.Millisecond {
		time.Sleep(time.Millisecond)
		synctest.Wait()
		s.mu.Lock()
		s.drain()
		s.mu.Unlock()
	}
}

// answerChan has room for the answers to all that is handed in for it.
type answerChan chan error

func (c answerChan) answered(err error) { c <- err }

// hand hands in, and waits until there is no room or it is done.
func (s *stage) hand(name, volume string, size int64) {
	s.barrier.feeders.enter()
	d := &scriptDraft{stage: s, name: name, volume: s.volume(volume)}
	done := make(chan error, 1)
	s.log(volume, "hand in  %s", name)
	s.mu.Lock()
	s.open = append(s.open, openTicket{d, done})
	s.mu.Unlock()
	go func() {
		defer s.barrier.feeders.leave()
		if err := s.barrier.handIn(context.Background(), d, size, answerChan(done)); err != nil {
			done <- fmt.Errorf("not taken: %w", err)
		}
	}()
	synctest.Wait()
}

func (s *stage) volume(name string) *scriptVolume {
	if s.volumes[name] == nil {
		s.volumes[name] = &scriptVolume{stage: s, name: name}
	}
	return s.volumes[name]
}

// log writes one line, after those of the answers that came before it.
func (s *stage) log(volume, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drain()
	s.write(volume, format, args...)
}

func (s *stage) drain() {
	rest := s.open[:0]
	for _, o := range s.open {
		select {
		case err := <-o.done:
			s.write(o.draft.volume.name, "answer   %s: %v", o.draft.name, err)
		default:
			rest = append(rest, o)
		}
	}
	s.open = rest
}

func (s *stage) write(volume, format string, args ...any) {
	s.trace = append(s.trace, traceLine{time.Since(s.began), volume, fmt.Sprintf(format, args...)})
}

type scriptVolume struct {
	stage  *stage
	name   string
	broken bool
}

func (v *scriptVolume) Flush(data, names []Draft) error {
	v.stage.log(v.name, "flush    data=%s names=%s", draftNames(data), draftNames(names))
	broken := v.broken
	time.Sleep(3 * time.Millisecond)
	if broken {
		v.stage.log(v.name, "flush    failed")
		return syscall.EIO
	}
	v.stage.log(v.name, "flushed")
	return nil
}

func draftNames(drafts []Draft) string {
	var names []string
	for _, d := range drafts {
		names = append(names, d.(*scriptDraft).name)
	}
	return fmt.Sprint(names)
}

type scriptDraft struct {
	stage  *stage
	name   string
	volume *scriptVolume
}

func (d *scriptDraft) Write(p []byte) (int, error) { return len(p), nil }
func (d *scriptDraft) Reset() error                { return nil }
func (d *scriptDraft) Seal() error                 { return nil }
func (d *scriptDraft) Volume() Volume              { return d.volume }

func (d *scriptDraft) Publish() error {
	time.Sleep(time.Millisecond)
	if d.stage.refused[d.name] {
		d.stage.log(d.volume.name, "publish  %s refused", d.name)
		return syscall.ENOSPC
	}
	d.stage.log(d.volume.name, "publish  %s", d.name)
	return nil
}

func (d *scriptDraft) Discard() error {
	d.stage.log(d.volume.name, "discard  %s", d.name)
	return nil
}
