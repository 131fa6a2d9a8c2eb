// The two dialogs: the token, and all that is known about one blob.

import { ask } from "./api.js";
import { ago, bytes, clean, clock, count, exact, moment, plural, shortID, until, words } from "./format.js";
import { byID, el, facts, reconcile, set, text } from "./dom.js";

// TokenDialog asks for the token of the daemon.
export class TokenDialog {
  #dialog = byID("token");
  #value = byID("token-value");
  #answer = null;

  constructor() {
    byID("token-form").addEventListener("submit", (e) => {
      e.preventDefault();
      const token = this.#value.value.trim();
      // Anything else cannot be sent in a header.
      if (/^[\x21-\x7e]+$/.test(token)) this.#end(token);
      else text(byID("token-refused"), "This is not a token: it has no spaces and no letters beyond ASCII.");
    });
    byID("token-cancel").addEventListener("click", () => this.#end(null));
    this.#dialog.addEventListener("cancel", (e) => {
      e.preventDefault();
      this.#end(null);
    });
  }

  // ask shows the dialog and returns the token, or null.
  ask(why, stateDir) {
    text(byID("token-refused"), why ? `Refused: ${clean(why)}.` : "");
    text(byID("token-path"), `${stateDir || "state_dir"}/token`);
    this.#value.value = "";
    this.#dialog.showModal();
    this.#value.focus();
    return new Promise((resolve) => (this.#answer = resolve));
  }

  #end(token) {
    this.#value.value = "";
    this.#dialog.close();
    this.#answer?.(token);
    this.#answer = null;
  }
}

// ExplainDialog shows what GET blobs/{id} answers.
export class ExplainDialog {
  #dialog = byID("explain");
  #id = "";
  #retry;

  // retry(id) sends the command and returns what to say about it.
  constructor(retry) {
    this.#retry = retry;
    byID("explain-close").addEventListener("click", () => this.#dialog.close());
    byID("explain-again").addEventListener("click", () => this.#load());
    byID("explain-retry").addEventListener("click", async () => {
      text(byID("explain-said"), await this.#retry(this.#id));
      await this.#load();
    });
  }

  async open(id) {
    this.#id = id;
    text(byID("explain-title"), `Blob ${shortID(id)}`);
    text(byID("explain-said"), "");
    this.#fill({ id, state: "", why: "Asking the daemon.", shards: [], tries: [], liars: [] });
    if (!this.#dialog.open) this.#dialog.showModal();
    byID("explain-close").focus();
    await this.#load();
  }

  async #load() {
    const id = this.#id;
    try {
      const answer = await ask(`blobs/${encodeURIComponent(id)}`);
      if (id === this.#id) this.#fill(answer);
    } catch (error) {
      if (id === this.#id) this.#fill({ id, state: "unknown", why: `The daemon did not tell: ${error.message}.`, shards: [], tries: [], liars: [] });
    }
  }

  #fill(x) {
    const now = moment(x.at) ?? Date.now();
    text(byID("explain-id"), clean(x.id));
    text(byID("explain-state"), words(x.state));
    text(byID("explain-why"), clean(x.why));
    byID("explain-retry").disabled = !x.entry || x.entry.state === "fetching" || x.entry.state === "flushing";
    facts(byID("explain-facts"), [...catalogFacts(x), ...entryFacts(x.entry, now)]);
    const shards = x.shards ?? [];
    reconcile(byID("explain-shards"), shards.length > 0 ? shards : [null], {
      key: (s) => s?.shard ?? "none", make: () => el("li"), update: (item, s) => text(item, s ? pieceText(s) : "Not known."),
    });
    this.#tries(x, now);
  }

  #tries(x, now) {
    const tries = (x.tries ?? []).toReversed();
    const since = moment(x.started);
    text(byID("explain-tries-note"), `${tries.length > 0 ? "Newest first, at most 16" : "None"}; of this process only${since === null ? "" : `, which began ${clock(since, now)}`}.`);
    reconcile(byID("explain-tries"), tries.map((t, i) => ({ ...t, key: `${tries.length - i} ${t.at}` })), {
      key: (t) => t.key,
      make: () => el("li", {}, el("p", {}, el("time"), " ", el("b"), " ", el("span")), el("ul", { class: "plain" })),
      update: (item, t) => fillTry(item, t, now),
    });
  }
}

function catalogFacts(x) {
  const yes = { true: "yes", false: "no" }[String(x.certified)] ?? "unknown";
  const asked = x.stamp ? `, asked at position ${count(x.stamp.position)}, epoch ${count(x.stamp.epoch)}` : "";
  const list = [["Certified", `${yes}${x.certified_error ? `: ${clean(x.certified_error)}` : asked}`]];
  if (x.row) {
    list.push(["Size", bytes(x.row.size)], ["Encoding", clean(x.row.encoding) || "unknown"]);
    const end = typeof x.row.end_epoch === "number" ? `until epoch ${count(x.row.end_epoch)}` : "without an end";
    list.push(["Kept", `from epoch ${count(x.row.certified_epoch)} ${end}${x.row.expired ? ", which has passed" : ""}`], ["Certified by event", count(x.row.gained)]);
  }
  list.push(["Ownership epoch", count(x.ownership_epoch)]);
  if (x.liars?.length > 0) list.push(["Sent wrong bytes", x.liars.map(clean).join(", ")]);
  return list;
}

function entryFacts(entry, now) {
  if (!entry) return [["In the unsettled list", "no"]];
  const [failed, next] = [moment(entry.first_failed), moment(entry.next_try)];
  return [
    ["In the unsettled list", words(entry.state)], ["Tries", `${plural(entry.attempts, "attempt")}, ${count(entry.tries)} of them count towards parking`],
    ["First failed", { text: failed === null ? "never" : ago(failed, now), title: failed === null ? null : exact(failed) }],
    ["Next try", { text: next === null ? "when it is its turn" : until(next, now), title: next === null ? null : exact(next) }],
    ["Last error", [words(entry.reason), clean(entry.last_error)].filter(Boolean).join(": ") || "none"],
  ];
}

function pieceText(s) {
  const stored = { true: "stored", false: "not stored" }[String(s.stored)] ?? "not known whether it is stored";
  return `Shard ${count(s.shard)}: ${s.owned ? stored : "not owned here"}`;
}

function fillTry(item, t, now) {
  const [head, peers] = item.children;
  const [at, outcome, why] = head.children;
  const then = moment(t.at);
  text(at, clock(then, now));
  set(at, "title", exact(then));
  text(outcome, words(t.outcome));
  text(why, [words(t.reason), clean(t.err)].filter(Boolean).join(": "));
  reconcile(peers, (t.peers ?? []).map((p, i) => ({ ...p, key: `${i} ${p.peer}` })), {
    key: (p) => p.key,
    make: () => el("li", {}, el("bdi"), el("span")),
    update: (line, p) => {
      text(line.firstElementChild, clean(p.peer));
      text(line.lastElementChild, `: ${p.reason ? [words(p.reason), clean(p.err)].filter(Boolean).join(": ") : "served it"}`);
    },
  });
}
