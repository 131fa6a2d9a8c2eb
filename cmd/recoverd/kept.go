package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/recoverd/recoverd/recovery/regular"
	"github.com/recoverd/recoverd/recovery/worker"
)

// What a restart is to know besides the progress: the limits that an operator set,
// and the history of runs. Both lie in the state directory, whose lock keeps other
// processes away, and are replaced whole. Damage costs only themselves, and is told;
// an error of the operating system is no damage (hazard 43).
const (
	limitsFile  = "limits.json"
	historyFile = "history.jsonl"

	maxLimitsSize  = 4 << 10 // bytes
	maxHistorySize = 4 << 20
)

// kept reads and writes what is kept in a state directory.
type kept struct {
	dir string
	log zerolog.Logger
}

// limits returns those that were set at run time, nil if none were.
func (k kept) limits() (*worker.Limits, error) {
	data, err := k.read(limitsFile, maxLimitsSize)
	if data == nil || err != nil {
		return nil, err
	}
	limits, err := decodeLimits(data)
	if err != nil {
		return nil, k.setAside(limitsFile, err)
	}
	return limits, nil
}

func decodeLimits(data []byte) (*worker.Limits, error) {
	limits := &worker.Limits{ConcurrencyMax: worker.DefaultConcurrencyMax} // which older files do not have
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(limits); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the limits")
	}
	return limits, limits.Validate()
}

// keepLimits makes limits durable, or that there are none any more.
func (k kept) keepLimits(l *worker.Limits) error {
	if l == nil {
		return k.remove(limitsFile)
	}
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return k.replace(limitsFile, append(data, '\n'))
}

// history returns what is kept of it, newest first. The file has a line for each
// event, oldest first.
func (k kept) history() ([]worker.RunEvent, error) {
	data, err := k.read(historyFile, maxHistorySize)
	if data == nil || err != nil {
		return nil, err
	}
	var events []worker.RunEvent
	bad := 0
	for line := range bytes.Lines(data) {
		var e worker.RunEvent
		if err := json.Unmarshal(line, &e); err != nil {
			bad++
			continue
		}
		events = append(events, e)
	}
	if bad > 0 {
		return k.reversed(events), k.setAside(historyFile, fmt.Errorf("%d of its lines cannot be read", bad))
	}
	return k.reversed(events), nil
}

func (k kept) reversed(events []worker.RunEvent) []worker.RunEvent {
	events = events[max(0, len(events)-worker.MaxHistory):]
	slices.Reverse(events)
	return events
}

// keepHistory makes a history durable.
func (k kept) keepHistory(events []worker.RunEvent) error {
	var data bytes.Buffer
	for _, e := range slices.Backward(events) {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		data.Write(append(line, '\n'))
	}
	return k.replace(historyFile, data.Bytes())
}

func (k kept) path(name string) string { return filepath.Join(k.dir, name) }

// read returns a file's content, nil if there is no such file. One that is too large
// to be ours is damage.
func (k kept) read(name string, limit int64) ([]byte, error) {
	data, err := regular.Read(k.path(name), limit)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, regular.ErrTooLarge):
		return nil, k.setAside(name, err)
	}
	return data, err
}

// setAside renames a damaged file for a human to look at, and says so.
func (k kept) setAside(name string, why error) error {
	aside := fmt.Sprintf("%s.corrupt-%s", k.path(name), time.Now().UTC().Format("20060102T150405.000000000"))
	if err := os.Rename(k.path(name), aside); err != nil {
		return fmt.Errorf("set aside what is damaged: %w", err)
	}
	k.log.Error().Str("path", k.path(name)).Str("aside", aside).Err(why).Msg("damaged file set aside, going on without it")
	return syncDir(k.dir)
}

// remove makes it durable that a file is gone.
func (k kept) remove(name string) error {
	if err := os.Remove(k.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(k.dir)
}

// replace writes a file so that a crash leaves the old one or the new one, and so
// that the new one is durable when it returns.
func (k kept) replace(name string, data []byte) error {
	path := k.path(name)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path+".new"))
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(k.dir)
}
