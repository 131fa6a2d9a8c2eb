// What a status means for somebody who was paged: is it fine, what does it do,
// when is it done, what must I do. Pure functions of the documents of the API.

import { bytes, clean, count, duration, minute, moment, percent, plural, range, shortID, words } from "./format.js";

// What each phase means. The reason of the moment comes from the daemon.
const MEANINGS = {
  waiting: "Nothing is recovered yet. It goes on by itself once the reason is gone.",
  loading: "Reads the saved progress, the catalog and the store, and decides where to go on.",
  scanning: "Walks the catalog and fetches what this node should hold and does not.",
  draining: "The last blobs are fetched, retried or made durable; nothing new is handed out.",
  complete: "All that is certified for the owned shards is stored and durable.",
  incomplete: "All is done but for the parked blobs. Those need a look.",
  halted: "A save or a flush failed. Nothing more is claimed until a new process looks again.",
  not_running: "No daemon runs. This is what was saved last.",
  no_answer: "A process holds the state directory and does not answer. It may be starting or ending.",
};

// TONES are how the page is coloured, by what somebody has to do.
export const TONES = { fine: "Fine", busy: "Fine", waiting: "Waiting", paused: "Paused", held: "Held up", look: "Needs a look", bad: "Needs you now", lost: "Unknown" };

// passDone reports that a pass has looked at everything up to its bound.
export function passDone(doc) {
  const { covered, bound } = doc;
  return Boolean(covered && bound && covered.position === bound.position && covered.epoch === bound.epoch && covered.digest === bound.digest);
}

// isComplete is the only ground for "100 %" (hazards 36 to 39).
export function isComplete(doc) {
  return doc.phase === "complete" && doc.unsettled.total === 0;
}

// verdict answers the four questions. now is the daemon's time in milliseconds.
export function verdict(doc, now) {
  const todo = duties(doc);
  return { tone: tone(doc, todo), phase: words(doc.phase), means: meaning(doc), why: clean(doc.why), left: remaining(doc, now), todo };
}

function meaning(doc) {
  if (doc.phase === "complete" && doc.bound) {
    return `All that is certified for the owned shards up to position ${count(doc.bound.position)} (epoch ${count(doc.bound.epoch)}) is stored and durable.`;
  }
  return MEANINGS[doc.phase] ?? "This phase is newer than the page. Reload it.";
}

// blockedBy is what holds the scan up, other than a pause, which has its own word.
export function blockedBy(doc) {
  return doc.blocked && doc.blocked !== "paused" ? clean(doc.blocked) : "";
}

function tone(doc, todo) {
  if (doc.phase === "halted" || doc.phase === "not_running" || doc.phase === "no_answer") return "bad";
  if (doc.paused) return "paused";
  if (doc.phase === "waiting" && doc.ownership && doc.ownership.node !== "active") return "waiting";
  if (blockedBy(doc) || doc.phase === "waiting") return "held";
  if (todo.length > 0) return "look";
  return isComplete(doc) ? "fine" : "busy";
}

// duties lists what a person has to do, the most urgent first; empty: nothing.
function duties(doc) {
  const list = [];
  const say = (when, text, section) => when && list.push({ text, section });
  const parked = doc.unsettled.parked;
  const liars = (doc.peers ?? []).filter((p) => p.wrong_bytes > 0);
  say(doc.phase === "halted", "The process leaves with exit code 74 and its supervisor starts it again. If it does not come back, look at the disk (kernel log, SMART) and start it.", "disk");
  say(doc.phase === "not_running", "Start the daemon: recoverd run.", "state");
  say(doc.paused, "Press Resume when it may go on. A restart does not resume it.", "state");
  say(doc.phase === "waiting", waitingDuty(doc), "state");
  say(doc.peers_total > 0 && doc.peers_reachable === 0, "Bring a peer back, or repair the network to it. It goes on by itself then.", "peers");
  say(doc.room?.low, `Make room on the volume of ${clean(doc.store?.root) || "the store"}: ${bytes(doc.room?.free_bytes)} are free, ${bytes(doc.room?.min_free_bytes)} are kept.`, "disk");
  say(parked > 0, `Look at the ${plural(parked, "parked blob")}: find a peer that has ${parked === 1 ? "it" : "them"}, then retry.`, "unsettled");
  say(liars.length > 0, `${liars.map((p) => clean(p.name)).join(", ")} sent wrong bytes. They were refused; find out why ${liars.length === 1 ? "it" : "they"} did.`, "peers");
  say(doc.ownership_trouble, `Correct the ownership document, the one before it stays in force: ${clean(doc.ownership_trouble)}.`, "ownership");
  say(doc.catalog_trouble && !doc.followed, `Correct the catalog, the one before it stays in use: ${clean(doc.catalog_trouble)}.`, "catalog");
  say(doc.catalog_trouble && doc.followed, `The catalog cannot follow its events or make a snapshot; it is tried again: ${clean(doc.catalog_trouble)}.`, "catalog");
  say(doc.trouble, `It is tried again by itself; if it lasts, repair this: ${clean(doc.trouble)}.`, "catalog");
  say(!blockedHasDuty(doc) && blockedBy(doc), `Clear what holds it up: ${blockedBy(doc)}.`, "state");
  return list;
}

// blockedHasDuty reports that what blocks is among the duties already.
function blockedHasDuty(doc) {
  return doc.room?.low || (doc.peers_total > 0 && doc.peers_reachable === 0) || doc.unsettled.parked > 0 || doc.blocked === "stopping";
}

function waitingDuty(doc) {
  if (!doc.ownership) return "Give it an ownership document (--ownership), if the node does not write one soon.";
  if (doc.ownership.node !== "active") return "Nothing while the node catches up. Recovery begins once it is active.";
  return "Clear the reason it waits for. It looks again by itself.";
}

// remaining tells how long it still takes: {text, note}.
function remaining(doc, now) {
  if (isComplete(doc)) return { text: "done", note: newerNote(doc) };
  if (doc.paused) return { text: "unknown", note: "it is paused" };
  if (doc.phase === "incomplete") return { text: "unknown", note: "parked blobs get slow retries only" };
  if (blockedBy(doc)) return { text: "unknown", note: "it is held up" };
  const eta = doc.eta;
  if (!eta || !(eta.high_seconds >= 0)) return { text: "unknown", note: whyNoEstimate(doc) };
  const [from, to] = [minute(now + 1000 * eta.low_seconds, now), minute(now + 1000 * eta.high_seconds, now)];
  const parked = doc.unsettled.parked > 0 ? `, without the ${plural(doc.unsettled.parked, "parked blob")}` : "";
  return { text: range(eta.low_seconds, eta.high_seconds), note: `${from === to ? `about ${from}` : `${from} to ${to}`}${parked}` };
}

function whyNoEstimate(doc) {
  const failing = doc.unsettled.retrying + doc.unsettled.parked;
  if (doc.phase === "draining" && failing > 0) return `it depends on ${plural(failing, "blob")} that ${failing === 1 ? "fails" : "fail"}`;
  if (doc.phase === "scanning" && doc.covered) return "a later pass has no estimate";
  return doc.phase === "scanning" ? "too little was seen yet" : "";
}

function newerNote(doc) {
  const newer = doc.bound && doc.newest && doc.newest.position > doc.bound.position;
  return newer ? `the catalog is at ${count(doc.newest.position)} by now; the next pass takes that` : "";
}

// passProgress says how much of this pass is settled, as rows of the catalog:
// {total, settled, unsettled, parked, share, scope}. Nothing of it comes from the
// cursor. total is null where the catalog's size is not known.
export function passProgress(doc) {
  const catalog = doc.catalog_blobs ?? null;
  const done = passDone(doc);
  // Where everything was looked at, by this pass or those before it, what is not
  // settled is in the list (I7). Else a catalog may leave out what did not change.
  const total = !done && doc.pass_blobs > 0 ? doc.pass_blobs : catalog;
  const looked = done && catalog !== null ? catalog : doc.counters.looked;
  const { total: unsettled, parked } = doc.unsettled;
  const settled = Math.max(0, looked - unsettled);
  const moved = doc.bound && doc.newest && doc.bound.position !== doc.newest.position;
  return { total, looked, settled, unsettled: unsettled - parked, parked, about: Boolean(moved), share: percent(settled, total, isComplete(doc)), scope: scope(doc) };
}

// scope says what this pass looks at and why a figure began again (hazard 37).
function scope(doc) {
  if (!doc.bound) return "No pass has begun.";
  const pass = doc.counters.passes + (passDone(doc) ? 0 : 1);
  const name = `Pass ${count(pass)} of run ${count(doc.run)}, up to position ${count(doc.bound.position)}`;
  if (passDone(doc)) return `${name}, has looked at everything.`;
  if (doc.covered) {
    return `${name}. The catalog moved, so its figures begin again. What was certified up to position ${count(doc.covered.position)} is finished or in the list below, and stays so.`;
  }
  if (doc.counters.passes > 0) {
    return `${name}. Everything is looked at again${doc.origin?.why ? `: ${clean(doc.origin.why)}` : ""}. What is stored stays stored.`;
  }
  return `${name}. It looks at everything.`;
}

const counted = (s) => typeof s.certified === "number" && typeof s.done === "number";

// ownedProgress sums the shards: {shards, unknown, certified, done, unsettled,
// parked, share, text}. One shard without a count makes the share unknown, and
// total null, never smaller.
export function ownedProgress(shards, doc) {
  const sum = { shards: shards.length, unknown: 0, certified: 0, done: 0, unsettled: 0, parked: 0 };
  for (const s of shards) {
    if (counted(s)) {
      sum.certified += s.certified;
      sum.done += s.done;
    } else {
      sum.unknown++;
    }
    sum.unsettled += s.unsettled;
    sum.parked += s.parked;
  }
  const known = shards.length > 0 && sum.unknown === 0;
  sum.total = known ? sum.certified : null;
  sum.share = percent(sum.done, sum.total, known && isComplete(doc) && sum.done >= sum.certified);
  const done = `${count(sum.done)} of ${plural(sum.certified, "blob")} done`;
  if (known) sum.text = `${done}; ${waiting(sum.unsettled, sum.parked)}.`;
  else if (sum.unknown === shards.length) sum.text = "How many blobs the owned shards should hold is not counted yet.";
  else sum.text = `${done} on ${plural(shards.length - sum.unknown, "shard")}; ${count(sum.unknown)} more ${sum.unknown === 1 ? "is" : "are"} not counted yet.`;
  return sum;
}

// waiting tells of what is not settled.
export function waiting(unsettled, parked) {
  if (unsettled === 0) return "nothing unsettled";
  return `${count(unsettled)} unsettled${parked > 0 ? `, ${parked === unsettled ? "all" : count(parked)} of them parked` : ""}`;
}

// shardState is the one word for a shard's colour.
export function shardState(s) {
  if (s.parked > 0) return "parked";
  if (!counted(s)) return "unknown";
  if (s.unsettled > 0) return "unsettled";
  return s.done >= s.certified ? "done" : "open";
}

// shardText says everything about one shard.
export function shardText(s) {
  const name = `Shard ${count(s.shard)}`;
  const waits = waiting(s.unsettled, s.parked);
  if (!counted(s)) return `${name}: how much is done is unknown; ${waits}`;
  const whole = s.done >= s.certified && s.unsettled === 0;
  return `${name}: ${count(s.done)} of ${plural(s.certified, "blob")} done (${percent(s.done, s.certified, whole)}); ${waits}`;
}

// peerFaults says what a peer did wrong; worst first; empty: nothing.
export function peerFaults(p) {
  const faults = [];
  if (p.wrong_bytes > 0) faults.push(`sent wrong bytes ${times(p.wrong_bytes)}`);
  if (p.failed > 0) faults.push(`could not serve ${times(p.failed)}`);
  if (p.unreachable > 0) faults.push(`gave no answer ${times(p.unreachable)}`);
  if (p.absent > 0) faults.push(`did not have it ${times(p.absent)}`);
  if (p.failovers > 0) faults.push(`broke off ${times(p.failovers)}`);
  if (p.beaten > 0) faults.push(`was slower than another ${times(p.beaten)}`);
  return faults;
}

const times = (n) => (n === 1 ? "once" : `${count(n)} times`);

// decided says how a run, or a process's part of it, began.
export function decided(decision) {
  const known = {
    fresh: "Began from nothing", resume: "Resumed", extend: "Went on with a newer catalog", relook: "Looks at everything again",
    discard: "Discarded earlier progress", nothing_to_do: "Found everything done",
  };
  return known[decision] ?? words(decision);
}

// notes are remarks that nobody has to act on now, about where the data lies.
export function notes(doc, now) {
  const list = [];
  if (doc.store?.foreign) list.push("Others wrote pieces into this store. Their names are trusted, not hashed, until recoverd verify has been through.");
  if (doc.checkpoint?.note) list.push(`Checkpoint: ${clean(doc.checkpoint.note)}.`);
  if (doc.checkpoint?.fallbacks > 0) list.push(`${plural(doc.checkpoint.fallbacks, "damaged copy", "damaged copies")} of the progress passed over at the start.`);
  if (doc.notices_dropped > 0) list.push(`${plural(doc.notices_dropped, "log line")} lost to slow readers.`);
  const saved = moment(doc.checkpoint?.saved_at);
  if (saved !== null && doc.blobs_per_second > 0 && now - saved > 60_000) {
    list.push(`Blobs are stored, and the last durable save is ${duration((now - saved) / 1000)} old: the disk of the state directory is slow.`);
  }
  return list;
}

// markText names a mark for people.
export function markText(mark) {
  if (mark === null || mark === undefined) return "unknown";
  return { none: "before every id", end: "past every id" }[mark] ?? shortID(mark);
}
