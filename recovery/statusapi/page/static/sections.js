// The parts of the page that follow from one status document.

import { ago, bytes, clean, clock, count, exact, moment, percent, plural, rate, shortID, wait, words } from "./format.js";
import { TONES, blockedBy, decided, isComplete, markText, notes, ownedProgress, passDone, passProgress, peerFaults, verdict, waiting } from "./judge.js";
import { byID, el, facts, reconcile, set, text, when } from "./dom.js";
import { track } from "./draw.js";

// showGlance answers the four questions; lost is a sentence while there is no
// connection, and then nothing is claimed about now.
export function showGlance(doc, now, lost) {
  const v = verdict(doc, now);
  const tone = lost ? "lost" : v.tone;
  set(document.body, "data-tone", tone);
  text(byID("tone"), TONES[tone]);
  text(byID("held"), lost || blockedBy(doc));
  text(byID("phase"), `${lost ? "was " : ""}${v.phase}${doc.paused ? ", paused" : ""}`);
  text(byID("why"), v.why);
  text(byID("means"), v.means);
  text(byID("left"), lost ? "unknown" : v.left.text);
  text(byID("left-note"), lost ? "" : v.left.note);
  const todo = lost ? [{ text: "See whether the daemon runs and can be reached (recoverd status on the node)." }] : v.todo;
  reconcile(byID("todo"), todo.length > 0 ? todo : [{ text: "Nothing." }], {
    key: (d) => d.text, make: (d) => el("li", {}, d.text), update: () => {},
  });
  return tone;
}

// showProgress says how much is done; by shards, by this pass, and in bytes.
export function showProgress(doc, shards, list) {
  const done = isComplete(doc);
  const owned = ownedProgress(shards ?? [], doc);
  const pass = passProgress(doc);
  const parts = (settled, unsettled, parked) => [{ kind: "done", n: settled }, { kind: "unsettled", n: unsettled }, { kind: "parked", n: parked }];
  gauge("owned", owned.share, owned.text);
  track(trackOf("owned"), parts(owned.done, owned.unsettled - owned.parked, owned.parked), owned.total, done);
  const of = pass.total === null ? "; how many there are is unknown" : ` of ${pass.about ? "about " : ""}${count(pass.total)}`;
  gauge("pass", pass.share, `${count(pass.looked)}${of} catalog blobs looked at, on all shards; ${waiting(pass.unsettled + pass.parked, pass.parked)}.`);
  track(trackOf("pass"), parts(pass.settled, pass.unsettled, pass.parked), pass.total, done);
  text(byID("scope"), pass.scope);
  showBytes(doc, list, done);
  const c = doc.counters;
  facts(byID("counters"), [
    ["Fetched", count(c.stored)], ["Already stored", count(c.already_stored)], ["Not certified any more", count(c.not_certified)], ["Expired", count(c.expired)],
    ["Cancelled tries", count(c.cancelled)], ["Times parked", count(c.parkings)], ["Passes finished", count(c.passes)], ["Restarts kept", count(c.resumes)],
  ]);
}

const trackOf = (id) => byID(id).querySelector(".track");

function gauge(id, share, detail) {
  text(byID(id).querySelector(".share"), share);
  text(byID(id).querySelector(".detail"), detail);
}

// showBytes says what was fetched, and what is left as far as that is known: only
// when everything was looked at is the list all that is left.
function showBytes(doc, list, done) {
  const fetched = doc.counters.stored_bytes;
  const left = list?.total === doc.unsettled.total ? leftOf(list.list) : null;
  const known = done || (passDone(doc) && left !== null && left.sizeless === 0);
  const total = known ? fetched + (done ? 0 : left.bytes) : null;
  let rest = "how much is left is unknown until everything was looked at";
  if (done) rest = "nothing is left";
  else if (passDone(doc) && left !== null) rest = `${bytes(left.bytes)} left${left.sizeless > 0 ? `, and ${plural(left.sizeless, "blob")} of unknown size` : ""}`;
  gauge("size", percent(fetched, total, done), `${bytes(fetched)} fetched and durable in this run, ${bytes(doc.bytes_in_flight)} in flight; ${rest}.`);
  track(trackOf("size"), [{ kind: "done", n: done ? 1 : fetched }], done ? 1 : total, done);
}

function leftOf(list) {
  const left = { bytes: 0, sizeless: 0 };
  for (const u of list) {
    if (typeof u.size === "number") left.bytes += u.size;
    else left.sizeless++;
  }
  return left;
}

// showFlow says what limits the rate now.
export function showFlow(doc, lost) {
  text(byID("byte-rate"), lost ? "unknown" : `${bytes(doc.bytes_per_second)}/s`);
  text(byID("blob-rate"), lost ? "" : `${rate(doc.blobs_per_second)} blobs/s, over the last 10 s or so`);
  const limits = doc.limits;
  const u = doc.unsettled;
  facts(byID("flow"), [
    ["In flight", `${count(u.fetching)}${limits ? ` of ${plural(limits.concurrency, "blob")}${limits.auto ? ` (auto, ${count(limits.concurrency_min)} to ${count(limits.concurrency_max)})` : ""}` : " blobs"}`],
    ["Bytes in flight", `${bytes(doc.bytes_in_flight)}${limits ? ` of ${bytes(limits.bytes_in_flight)}` : ""}`],
    ["Bandwidth limit", limits ? (limits.bytes_per_second > 0 ? `${bytes(limits.bytes_per_second)}/s` : "none") : "unknown"],
  ]);
}

// showPeers lists the peers; the worst first is left to the colours, so that rows
// keep their places.
export function showPeers(doc, now) {
  const peers = doc.peers ?? [];
  text(byID("peers-summary"), doc.peers_total > 0 ? `${count(doc.peers_reachable)} of ${count(doc.peers_total)} reachable.` : "");
  const none = byID("peers-none");
  none.hidden = peers.length > 0;
  text(none, doc.peers ? "There are none." : "The daemon does not tell of its peers.");
  byID("peers").parentElement.hidden = peers.length === 0;
  const cell = (label, kind, ...children) => el("td", { role: "cell", "data-label": label, class: kind }, ...children);
  reconcile(byID("peers"), peers.map((p, at) => ({ ...p, at })), {
    key: (p) => `${p.at} ${p.name}`,
    make: () => el("tr", { role: "row" }, cell("Peer", "peer", el("bdi")), cell("State", "state", el("span", { class: "badge" }), el("span", { class: "note" })), cell("Speed", "n"),
      cell("Answers in", "n long"), cell("In flight", "n"), cell("Fetched", "n long"), cell("Went wrong", "faults"), cell("Last error", "error", el("time"), el("span"))),
    update: (row, p) => fillPeer(row, p, now),
  });
}

function fillPeer(row, p, now) {
  const [name, state, speed, answers, flight, fetched, faults, error] = row.children;
  text(name.firstElementChild, clean(p.name));
  text(state.firstElementChild, words(p.state));
  const why = p.why && p.why !== "asked for pieces" ? clean(p.why) : "";
  set(state.firstElementChild, "data-kind", why && p.state === "reachable" ? "resting" : p.state);
  text(state.lastElementChild, why);
  text(speed, `${bytes(p.bytes_per_second)}/s`);
  text(answers, p.answer_p99_seconds > 0 ? `${wait(p.answer_p50_seconds)}, 99 % in ${wait(p.answer_p99_seconds)}` : "unknown");
  text(flight, count(p.in_flight));
  text(fetched, `${plural(p.fetched, "piece")}, ${bytes(p.fetched_bytes)}`);
  const wrong = peerFaults(p);
  text(faults, wrong.length > 0 ? wrong.join(", ") : "nothing");
  set(faults, "data-lies", p.wrong_bytes > 0 ? "yes" : null);
  const at = moment(p.last_error_at);
  when(error.firstElementChild, p.last_error && at !== null ? `${ago(at, now)}: ` : "", at === null ? null : exact(at), at === null ? null : p.last_error_at);
  text(error.lastElementChild, clean(p.last_error) || "none");
}

// followedFacts says where a catalog stands that follows events.
function followedFacts(f, now) {
  const made = (s) => {
    const at = moment(s.at);
    const when = s.position === 0 ? "none" : `at position ${count(s.position)}`;
    return { text: s.trouble ? `${when}; the last try failed: ${clean(s.trouble)}` : at === null ? when : `${when}, ${ago(at, now)}`, title: at === null ? "" : exact(at) };
  };
  return [
    ["Events applied", `${count(f.position)} of ${f.tip === null ? "unknown" : count(f.tip)}`], ["Events kept from", count(f.first_event)],
    ["Full snapshot", made(f.full)], ["Incremental snapshot", made(f.incremental)],
  ];
}

// showFacts fills the four small lists about what the worker rests on.
export function showFacts(doc, now) {
  const { checkpoint: c, ownership: o, store: s, room } = doc;
  const saved = moment(c?.saved_at);
  facts(byID("checkpoint"), c ? [
    ["Last durable save", { text: saved === null ? "never" : ago(saved, now), title: exact(saved) }], ["Durable cursor", mark(c.cursor)],
    ["Run", count(c.run)], ["Save number", count(c.seq)], ["Started from", clean(c.source) || "unknown"], ["Lies in", clean(c.path)], ["Note", clean(c.note) || "none"],
  ] : [["Checkpoint", "unknown"]]);
  facts(byID("catalog"), [
    ["Network", clean(doc.newest?.network ?? doc.bound?.network) || "unknown"], ["Newest", bound(doc.newest)], ["This pass up to", bound(doc.bound)],
    ["Finished up to", doc.covered ? bound(doc.covered) : { text: doc.bound ? "none yet" : "unknown" }],
    ["Certified, all shards", `${count(doc.catalog_blobs)} blobs, ${bytes(doc.catalog_bytes)}`],
    ["Trouble", clean(doc.catalog_trouble) || clean(doc.trouble) || "none"], ["Refused so far", count(doc.catalog_refusals)],
    ...(doc.followed ? followedFacts(doc.followed, now) : []),
  ]);
  facts(byID("ownership"), o ? [
    ["Epoch", count(o.epoch)], ["Owned", `${clean(o.owned) || "none"} of ${plural(o.total_shards, "shard")}`], ["Node", words(o.node)],
    ["Continuity", clean(o.continuity) || "(empty)"], ["Trouble", clean(doc.ownership_trouble) || "none"], ["Refused so far", count(doc.ownership_refusals)],
  ] : [["Ownership", "unknown"], ["Trouble", clean(doc.ownership_trouble) || "none"]]);
  facts(byID("store"), [
    ["Root", clean(s?.root) || "unknown"], ["Free", room ? `${bytes(room.free_bytes)}${room.low ? ", too little" : ""}` : "unknown"],
    ["Kept free", room ? bytes(room.min_free_bytes) : "unknown"], ["Layout", clean(s?.layout) || "unknown"],
    ["Durable by", clean(s?.durability) || "unknown"], ["Identity", clean(s?.identity) || "unknown"],
    ["Written by others", s ? (s.foreign ? "yes: not hashed until verify" : "no") : "unknown"],
  ]);
}

const mark = (m) => ({ text: markText(m), title: m ? clean(m) : null });

function bound(b) {
  return b ? { text: `position ${count(b.position)}, epoch ${count(b.epoch)}`, title: `digest ${clean(b.digest)}` } : { text: "unknown" };
}

// showMarks says in words what the drawing of the id space shows.
export function showMarks(doc) {
  facts(byID("marks"), [["Durable cursor", mark(doc.cursor_durable)], ["Cursor", mark(doc.cursor)], ["Scan position", mark(doc.scan)]]);
  const u = doc.unsettled;
  const counts = { parked: u.parked, retrying: u.retrying, waiting: u.waiting, flight: u.fetching + u.flushing };
  for (const item of byID("space-legend").children) text(item.lastElementChild, count(counts[item.dataset.kind]));
}

const RUNS_SHOWN = 8;

// showHistory lists the decisions, newest first; all of them only on demand.
export function showHistory(feed, now, all) {
  const history = feed.data?.history ?? [];
  const events = all ? history : history.slice(0, RUNS_SHOWN);
  byID("history-more").hidden = events.length === history.length;
  text(byID("history-more").firstElementChild, `Show all ${count(history.length)}`);
  const none = byID("history-none");
  none.hidden = events.length > 0;
  text(none, feed.error ? `The history is unknown: ${feed.error}` : feed.at === null ? "Unknown until the daemon answers." : "No run has begun yet.");
  byID("history").parentElement.hidden = events.length === 0;
  const cell = (label, kind, ...children) => el("td", { role: "cell", "data-label": label, class: kind }, ...children);
  reconcile(byID("history"), events.map((e, at) => ({ ...e, key: `${history.length - at} ${e.at} ${e.run}` })), {
    key: (e) => e.key,
    make: () => el("tr", { role: "row" }, cell("When", "time", el("time")), cell("Run", "n"), cell("Decision", "decision", el("span", { class: "badge" })),
      cell("Cursor then", "id", el("code")), cell("Why", "why")),
    update: (row, e) => {
      const [at, run, decision, from, why] = row.children;
      const then = moment(e.at);
      when(at.firstElementChild, clock(then, now), exact(then), then === null ? null : e.at);
      text(run, count(e.run));
      text(decision.firstElementChild, decided(e.decision));
      set(decision.firstElementChild, "data-kind", e.decision);
      text(from.firstElementChild, e.from === "none" || e.from === "end" ? markText(e.from) : shortID(e.from));
      set(from.firstElementChild, "title", clean(e.from));
      text(why, clean(e.why) || "not told");
    },
  });
}

// showFooter says whose page this is, and of when.
export function showFooter(doc, now) {
  text(byID("version"), doc.version ? `recoverd ${clean(doc.version)}` : "recoverd");
  const [at, started] = [moment(doc.at), moment(doc.started)];
  when(byID("as-of"), `as of ${clock(at, now)}, up since ${clock(started, now)}`, `status ${exact(at)}; started ${exact(started)}`, null);
  text(byID("notes"), notes(doc, now).join(" "));
  const where = [doc.newest?.network ?? doc.bound?.network, doc.store?.root].filter(Boolean).map(clean);
  text(byID("node"), where.join(", "));
}
