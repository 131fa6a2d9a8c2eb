// The connection to the daemon: a stream of events while it lasts, questions in
// between, and the honest word for what holds now. EventSource would hide both the
// heartbeats, by which a dead connection is told from a quiet one, and the code of
// a refusal; so the stream is read by hand.

const HEARTBEATS_MISSED = 35_000; // ms without a byte, at one heartbeat in 15 s
const BACKOFF = [1_000, 2_000, 4_000, 8_000, 15_000, 30_000]; // ms between tries of the stream
const POLL_EVERY = 3_000; // ms between questions while there is no stream
const POLL_HIDDEN = 15_000; // the same while nobody looks
const POLL_PATIENCE = 5_000; // ms that one question may take
const MAX_EVENT = 1 << 20; // characters of one event

// EventParser cuts a stream of text into events: {event, data}. Comments are
// heartbeats; they make no event.
export class EventParser {
  #rest = "";
  #event = "";
  #data = [];

  feed(text) {
    const events = [];
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (this.#data.length > 0) events.push({ event: this.#event || "message", data: this.#data.join("\n") });
        this.#event = "";
        this.#data = [];
        continue;
      }
      const [, field, value] = /^([^:]*)(?:: ?(.*))?$/.exec(line) ?? [];
      if (field === "event") this.#event = value ?? "";
      if (field === "data") this.#data.push(value ?? "");
    }
    const held = this.#rest.length + this.#data.reduce((sum, part) => sum + part.length, 0);
    if (held > MAX_EVENT) throw new Error("an event is larger than it may be");
    return events;
  }
}

// Connection calls onStatus with every status, and onState when its own state
// changes: {mode, heard, why}. mode is "connecting", "live", "asking" (no stream,
// but answers) or "lost"; heard is when the last byte came, on the clock of
// performance.now(), or null.
export class Connection {
  #urls;
  #onStatus;
  #onState;
  #state = { mode: "connecting", heard: null, why: "" };
  #stream = null; // the AbortController of the stream, while there is one
  #wakeUp = () => {}; // ends the wait that is under way
  #attempt = 0;

  constructor({ events, status, onStatus, onState }) {
    this.#urls = { events, status };
    this.#onStatus = onStatus;
    this.#onState = onState;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#stream?.abort() : this.wake()));
    addEventListener("online", () => this.wake());
    addEventListener("pageshow", (e) => e.persisted && this.wake());
    this.#run();
  }

  get state() {
    return this.#state;
  }

  // wake tries at once what would be tried later.
  wake() {
    this.#attempt = 0;
    this.#wakeUp();
  }

  // The loop never ends: a page lives as long as its tab.
  async #run() {
    for (;;) {
      let why = document.hidden ? "nobody was looking" : "the connection ended";
      if (!document.hidden) {
        try {
          await this.#read();
        } catch (error) {
          if (!document.hidden) why = reasonOf(error);
        }
      }
      await this.#poll(why);
    }
  }

  // #poll asks until it is time to try the stream again.
  async #poll(why) {
    const again = performance.now() + delay(this.#attempt++);
    let over = false;
    const woken = new Promise((resolve) => {
      this.#wakeUp = () => resolve((over = true));
    });
    do {
      await this.#ask(why);
      const pause = document.hidden ? POLL_HIDDEN : Math.min(POLL_EVERY, Math.max(250, again - performance.now()));
      await Promise.race([woken, sleep(pause)]);
    } while (!over && (document.hidden || performance.now() < again));
  }

  async #ask(why) {
    try {
      const answer = await fetch(this.#urls.status, { cache: "no-store", signal: AbortSignal.timeout(POLL_PATIENCE) });
      if (!answer.ok) throw new Error(`the daemon answered ${answer.status}`);
      const status = await answer.json();
      this.#heard("asking", why);
      this.#onStatus(status);
    } catch (error) {
      this.#set({ mode: "lost", why: reasonOf(error) });
    }
  }

  // #read follows the stream until it ends, breaks, or falls silent.
  async #read() {
    const stream = new AbortController();
    this.#stream = stream;
    let alarm = setTimeout(() => stream.abort(), HEARTBEATS_MISSED);
    try {
      const answer = await fetch(this.#urls.events, { cache: "no-store", headers: { Accept: "text/event-stream" }, signal: stream.signal });
      if (!answer.ok || !answer.body) throw new Error(`no live updates: the daemon answered ${answer.status}`);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new EventParser();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(alarm);
        alarm = setTimeout(() => stream.abort(), HEARTBEATS_MISSED);
        this.#heard("live", "");
        this.#attempt = 0;
        for (const { event, data } of parser.feed(value)) {
          if (event === "status") this.#onStatus(JSON.parse(data));
        }
      }
    } finally {
      clearTimeout(alarm);
      stream.abort();
      this.#stream = null;
    }
  }

  #heard(mode, why) {
    this.#set({ mode, why, heard: performance.now() });
  }

  #set(change) {
    const before = this.#state;
    this.#state = { ...before, ...change };
    if (before.mode !== this.#state.mode || before.why !== this.#state.why) this.#onState(this.#state);
  }
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// delay doubles, and differs a little from page to page, so that a daemon that
// comes back is not asked by all at once.
export function delay(attempt, chance = Math.random()) {
  return BACKOFF[Math.min(attempt, BACKOFF.length - 1)] * (1 + 0.2 * chance);
}

function reasonOf(error) {
  if (error.name === "AbortError") return "the connection fell silent";
  if (error.name === "TimeoutError") return "no answer within 5 s";
  if (error instanceof TypeError) return "the daemon cannot be reached";
  if (error instanceof SyntaxError) return "the answer cannot be read";
  return error.message;
}
