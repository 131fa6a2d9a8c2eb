package worker

import (
	"container/list"
	"slices"
	"sync"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// Try is how one sync of a blob ended.
type Try struct {
	At      time.Time       `json:"at"`
	Outcome recovery.Result `json:"outcome"`
	Reason  recovery.Reason `json:"reason"` // empty for success
	Err     string          `json:"err"`
	Peers   []PeerTry       `json:"peers"` // in the order asked; never nil
}

// PeerTry is what one peer answered in a try; Reason is empty for the one that
// served it.
type PeerTry struct {
	Peer   string          `json:"peer"`
	Reason recovery.Reason `json:"reason"`
	Err    string          `json:"err"`
}

// The memory of tries is bounded three ways; the blob that was tried longest ago is
// forgotten first.
const (
	maxTriesEach  = 16
	maxTriedBlobs = 10_000
	maxTriesSize  = 16 << 20 // bytes, estimated
)

// tries remembers how the syncs of blobs that failed at least once ended, in this
// process. What comes at the first try leaves no trace: there may be millions.
type tries struct {
	mu   sync.Mutex
	by   map[recovery.BlobID]*list.Element // of *tried
	used list.List                         // the most recently tried first
	size int
}

type tried struct {
	id   recovery.BlobID
	list []Try // oldest first
	size int
}

func newTries() *tries { return &tries{by: map[recovery.BlobID]*list.Element{}} }

// note remembers an outcome and what the peers said. That somebody took a request
// back tells nothing about the blob. It may be called from many goroutines.
func (t *tries) note(id recovery.BlobID, o recovery.Outcome, answers []syncer.Answer) {
	if o.Reason == recovery.Stopped {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	element := t.by[id]
	if element == nil {
		if o.Result != recovery.Cancelled {
			return
		}
		element = t.used.PushFront(&tried{id: id})
		t.by[id] = element
	}
	t.used.MoveToFront(element)
	of := element.Value.(*tried)
	if len(of.list) == maxTriesEach {
		of.list = slices.Delete(of.list, 0, 1)
	}
	of.list = append(of.list, newTry(o, answers))
	t.size -= of.size
	of.size = 0
	for _, try := range of.list {
		of.size += try.size()
	}
	t.size += of.size
	for len(t.by) > 1 && (len(t.by) > maxTriedBlobs || t.size > maxTriesSize) {
		last := t.used.Back()
		t.used.Remove(last)
		delete(t.by, last.Value.(*tried).id)
		t.size -= last.Value.(*tried).size
	}
}

func newTry(o recovery.Outcome, answers []syncer.Answer) Try {
	try := Try{At: time.Now(), Outcome: o.Result, Reason: o.Reason, Err: o.Err, Peers: make([]PeerTry, 0, len(answers)+1)}
	for _, a := range answers {
		try.Peers = append(try.Peers, PeerTry(a))
	}
	if o.Peer != "" {
		try.Peers = append(try.Peers, PeerTry{Peer: o.Peer})
	}
	return try
}

// size estimates the memory of a try, in bytes.
func (t Try) size() int {
	n := 128 + len(t.Err)
	for _, p := range t.Peers {
		n += 64 + len(p.Peer) + len(p.Err)
	}
	return n
}

// of returns the tries of a blob, oldest first; never nil.
func (t *tries) of(id recovery.BlobID) []Try {
	t.mu.Lock()
	defer t.mu.Unlock()
	if element := t.by[id]; element != nil {
		return slices.Clone(element.Value.(*tried).list)
	}
	return []Try{}
}
