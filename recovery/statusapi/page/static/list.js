// The unsettled list: what is not done, why, and when it is tried again. All of it
// is kept here (at most some ten thousand entries) and shown in pages.

import { ago, bytes, clean, clock, count, duration, exact, moment, plural, shortID, until, words } from "./format.js";
import { byID, el, reconcile, set, text, when } from "./dom.js";

const rowsShown = () => (innerWidth < 900 ? 8 : 20);
const FRESH = 30_000; // ms
const ORDER = ["parked", "retrying", "waiting", "flushing", "fetching"];

// kindOf is the state for colours: what is in flight is one kind.
export const kindOf = (u) => (u.state === "fetching" || u.state === "flushing" ? "flight" : u.state);

const FILTERS = {
  failed: (u) => u.state === "parked" || u.state === "retrying" || u.reason !== "",
  parked: (u) => u.state === "parked",
  retrying: (u) => u.state === "retrying",
  waiting: (u) => u.state === "waiting",
  flight: (u) => kindOf(u) === "flight",
  all: () => true,
};

export class UnsettledList {
  #entries = [];
  #shown = 0; // index of the first row shown
  #filter = byID("filter");
  #actions;
  #feed = null;
  #counts = null; // by state, of the newest status
  #now = 0;

  // actions are {retry(id), explain(id)}.
  constructor(actions) {
    this.#actions = actions;
    this.#filter.addEventListener("change", () => this.#turn(-this.#shown));
    byID("previous").addEventListener("click", () => this.#turn(-rowsShown()));
    byID("next").addEventListener("click", () => this.#turn(rowsShown()));
  }

  // update takes another list; show shows it.
  update(feed) {
    this.#entries = (feed.data?.list ?? []).toSorted((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state));
    this.#feed = feed;
  }

  // show writes the rows again, for another page or another second. The counts are
  // those of the status, and may be newer.
  show(counts, now) {
    this.#counts = counts;
    this.#now = now;
    if (!this.#feed) return;
    const size = rowsShown();
    const rows = this.#entries.filter(FILTERS[this.#filter.value]);
    this.#shown = Math.max(0, Math.min(this.#shown, Math.floor((rows.length - 1) / size) * size));
    const page = rows.slice(this.#shown, this.#shown + size);
    reconcile(byID("list"), page, { key: (u) => u.id, make: (u) => this.#row(u), update: (row, u) => fillRow(row, u, now) });
    const none = byID("list-none");
    none.hidden = page.length > 0;
    text(none, this.#none());
    byID("list").parentElement.hidden = page.length === 0;
    byID("pager").hidden = rows.length <= size;
    text(byID("shown"), `${count(this.#shown + 1)} to ${count(this.#shown + page.length)} of ${count(rows.length)}`);
    byID("previous").disabled = this.#shown === 0;
    byID("next").disabled = this.#shown + size >= rows.length;
    text(byID("unsettled-summary"), this.#summary());
  }

  #turn(step) {
    this.#shown += step;
    this.show(this.#counts, this.#now);
  }

  #none() {
    if (this.#feed.error) return `The list is unknown: ${this.#feed.error}`;
    if (this.#feed.at === null) return "Unknown until the daemon answers.";
    return this.#entries.length === 0 ? "None." : "None of this kind.";
  }

  #summary() {
    const c = this.#counts;
    if (!c) return "";
    const parts = [[c.parked, "parked"], [c.retrying, "retrying"], [c.waiting, "waiting"], [c.fetching, "in flight"], [c.flushing, "being made durable"]];
    const told = parts.filter(([n]) => n > 0).map(([n, name]) => `${count(n)} ${name}`);
    const cut = this.#feed.data?.total === null ? `; the first ${count(this.#entries.length)} are here` : "";
    const now = c.total === 0 ? "None: everything that was handed out is settled." : `${plural(c.total, "blob")}: ${told.join(", ")}${cut}.`;
    return now + this.#age();
  }

  // #age says of when the rows are, unless they are fresh.
  #age() {
    const { data, dataAt, error } = this.#feed;
    const age = performance.now() - dataAt;
    if (data === null || (age < FRESH && !error)) return "";
    return ` The rows are of ${duration(age / 1000)} ago${error ? `, newer ones cannot be read: ${error}` : ""}.`;
  }

  #row(u) {
    const short = shortID(u.id);
    const button = (name, act) => {
      const b = el("button", { type: "button", class: "small", "aria-label": `${name} ${short}` }, name);
      b.addEventListener("click", () => act(u.id));
      return b;
    };
    const cell = (label, kind, ...children) => el("td", { role: "cell", "data-label": label, class: kind }, ...children);
    return el("tr", { role: "row" },
      cell("Blob", "id", el("code", { title: clean(u.id) }, short)), cell("Size", "n"), cell("State", "state", el("span", { class: "badge" })),
      cell("Reason", "reason"), cell("Tries", "n"), cell("Next try", "time", el("time")), cell("First failed", "time", el("time")),
      cell("Last error", "error"), cell("", "acts", button("Retry", this.#actions.retry), button("Explain", this.#actions.explain)));
  }
}

function fillRow(row, u, now) {
  const [, size, state, reason, tries, next, first, error, acts] = row.children;
  text(size, bytes(u.size));
  text(state.firstElementChild, words(u.state));
  set(state.firstElementChild, "data-kind", kindOf(u));
  text(reason, u.reason ? words(u.reason) : "none yet");
  text(tries, count(u.attempts));
  set(tries, "title", `${plural(u.attempts, "attempt")}, of which ${count(u.tries)} count towards parking`);
  showNext(next.firstElementChild, u, now);
  const failed = moment(u.first_failed);
  if (failed === null) when(first.firstElementChild, "never", null, null);
  else when(first.firstElementChild, ago(failed, now), exact(failed), u.first_failed);
  text(error, clean(u.last_error) || "none");
  acts.firstElementChild.disabled = kindOf(u) === "flight";
}

function showNext(node, u, now) {
  const at = moment(u.next_try);
  if (kindOf(u) === "flight") when(node, "under way", null, null);
  else if (at === null) when(node, "when it is its turn", null, null);
  else when(node, until(at, now), `${clock(at, now)}; ${exact(at)}`, u.next_try);
}
