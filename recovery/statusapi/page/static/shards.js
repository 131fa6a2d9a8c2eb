// The map of the owned shards: one small button for each. One of them can be
// reached with Tab, the others with the arrow keys; the line below says what the
// chosen one, or the one under the pointer, is at.

import { count, plural } from "./format.js";
import { ownedProgress, shardState, shardText } from "./judge.js";
import { byID, el, reconcile, set, text } from "./dom.js";

const STATES = ["done", "open", "unsettled", "parked", "unknown"];

export class ShardMap {
  #cells = byID("cells");
  #shards = new Map(); // by the number's text
  #chosen = null;

  constructor() {
    this.#cells.addEventListener("focusin", (e) => this.#choose(e.target));
    this.#cells.addEventListener("pointerover", (e) => this.#tell(e.target.dataset.key));
    this.#cells.addEventListener("pointerleave", () => this.#tell(this.#chosen));
    this.#cells.addEventListener("keydown", (e) => this.#move(e));
  }

  // update shows the shards; error says why they are not known.
  update(shards, doc, error) {
    this.#shards = new Map(shards.map((s) => [String(s.shard), s]));
    set(this.#cells, "data-density", shards.length <= 48 ? "wide" : shards.length <= 240 ? "close" : "tiny");
    reconcile(this.#cells, shards, { key: (s) => s.shard, make: () => el("button", { type: "button", tabindex: -1 }), update: showCell });
    if (!this.#shards.has(this.#chosen)) this.#chosen = null;
    const first = this.#chosen ?? shards[0]?.shard;
    for (const cell of this.#cells.children) set(cell, "tabindex", cell.dataset.key === String(first) ? 0 : -1);
    text(byID("shards-summary"), summary(shards, doc, error));
    for (const item of byID("shards-legend").children) {
      text(item.lastElementChild, count(shards.filter((s) => shardState(s) === item.dataset.state).length));
    }
    this.#tell(this.#chosen);
  }

  #choose(cell) {
    for (const other of this.#cells.children) set(other, "tabindex", other === cell ? 0 : -1);
    this.#chosen = cell.dataset.key;
    this.#tell(this.#chosen);
  }

  #tell(number) {
    const shard = this.#shards.get(number);
    const hint = this.#shards.size > 0 ? "Point at a shard, or choose one, to read what it is at." : "";
    text(byID("shard-detail"), shard ? shardText(shard) : hint);
  }

  #move(event) {
    const cells = [...this.#cells.children];
    const at = cells.indexOf(document.activeElement);
    if (at < 0) return;
    const across = cells.filter((c) => c.offsetTop === cells[0].offsetTop).length;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across, Home: -at, End: cells.length - 1 - at };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    cells[Math.min(cells.length - 1, Math.max(0, at + step))].focus();
  }
}

function showCell(cell, s) {
  const state = shardState(s);
  set(cell, "data-state", state);
  const label = shardText(s);
  set(cell, "aria-label", label);
  set(cell, "title", label);
  text(cell, count(s.shard));
  cell.style.setProperty("--share", `${shareOf(s, state)}%`);
}

// shareOf is how far a cell is filled: full only if its shard is done.
function shareOf(s, state) {
  if (state === "done") return 100;
  if (typeof s.certified !== "number" || typeof s.done !== "number" || s.certified === 0) return 0;
  return Math.min(92, Math.floor((100 * s.done) / s.certified));
}

function summary(shards, doc, error) {
  if (error) return `Unknown: ${error}`;
  if (shards.length === 0) return doc?.ownership ? "No shard has a run in force yet." : "Unknown until ownership is known.";
  const sum = ownedProgress(shards, doc);
  const states = STATES.filter((state) => state !== "open" && state !== "unknown");
  const counted = states.map((state) => `${count(shards.filter((s) => shardState(s) === state).length)} ${state === "done" ? "done" : `with ${state} blobs`}`);
  return `${plural(sum.shards, "shard")}: ${counted.join(", ")}${sum.unknown > 0 ? `, ${count(sum.unknown)} without a count` : ""}.`;
}
