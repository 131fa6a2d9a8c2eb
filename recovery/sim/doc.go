// Package sim runs the real brain of recoverd through histories that a seed decides
// about, with everything that can go wrong around it, and holds every claim it makes
// against the truth (DESIGN 3). It is used by tests alone.
//
// # What is real
//
// recovery.Machine; checkpoint.Store, with its codec, its choice between copies and its
// order of writes (over checkpoint.Medium); the syncer's flights, judge, classification,
// retry delays and barrier (syncer.Stepper); store.Decide. They are the code of the
// shipped program, not copies of it.
//
// # What is simulated
//
//   - Time and order: one scheduler, no goroutine. Whatever is under way goes on in any
//     order, after any delay. Only the deadline of a fetch looks at a clock, and no fetch
//     takes any time here.
//   - The disk: of what is not flushed a power cut leaves any part, in any order, torn;
//     a kill leaves the page cache, and a later cut may still lose it. Writes, reads and
//     flushes fail; a failed flush loses what it should have written, for good.
//   - The host: what recovery/worker does, a step at a time.
//   - Catalog, node, peers, operators: see Kind.
//
// # The oracle
//
// It knows the network's promises and the bytes that a power cut would leave, and shares
// no code with the machine. After every step it checks I1, I2, I3, I7, I9, I10, I11 and
// what status says; on every save I6, I12; after every acknowledged save, in a copy of
// the world, what a power cut and the loss of one copy would leave (I4); at every restart
// that what is found was so. What cannot be known (a blob that was lost a moment ago, a
// disk that was swapped since it was looked at) is no violation until the machine could
// have known.
//
// A history ends with a phase without faults: all must become complete, and be so (I13).
//
// # Replay
//
// The same seed is the same history, also on another machine. `make sim SEEDS=1 SEED=n
// TRACE=1` prints it.
package sim
