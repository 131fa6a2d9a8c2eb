// Questions and commands. A command over TCP needs the token of the daemon: the
// reader is asked for it once, and it is kept for this tab only, never in an address.

const BASE = new URL("api/v1/", document.baseURI);
const TOKEN = "recoverd-token"; // the key in sessionStorage
const PATIENCE = 15_000; // ms; a command answers after its effect is durable

export const urlOf = (path) => new URL(path, BASE).href;

// ask reads one document.
export async function ask(path) {
  return answered(await send(path, {}));
}

// Commands sends POSTs. askToken(why) shows the dialog; it returns the token, or
// null if the reader would rather not.
export class Commands {
  #askToken;
  #asking = null; // one dialog, whoever asks

  constructor(askToken) {
    this.#askToken = askToken;
  }

  // post sends a command and returns the answer; null: the reader gave no token.
  // A token that is refused is forgotten and asked for again.
  async post(path, body) {
    for (;;) {
      const token = sessionStorage.getItem(TOKEN);
      const headers = { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) };
      const answer = await send(path, { method: "POST", headers, body: JSON.stringify(body) });
      if (answer.status !== 401 && !(answer.status === 403 && token)) return answered(answer);
      if (token && sessionStorage.getItem(TOKEN) === token) sessionStorage.removeItem(TOKEN);
      if (!sessionStorage.getItem(TOKEN) && !(await this.#newToken(token ? await refusal(answer) : ""))) return null;
    }
  }

  async #newToken(why) {
    this.#asking ??= this.#askToken(why).finally(() => (this.#asking = null));
    const token = await this.#asking;
    if (token) sessionStorage.setItem(TOKEN, token);
    return token;
  }
}

async function send(path, options) {
  try {
    return await fetch(urlOf(path), { cache: "no-store", redirect: "error", signal: AbortSignal.timeout(PATIENCE), ...options });
  } catch (error) {
    throw new Error(error.name === "TimeoutError" ? "no answer within 15 s" : "the daemon cannot be reached");
  }
}

async function answered(answer) {
  if (!answer.ok) throw new Error(await refusal(answer));
  try {
    return await answer.json();
  } catch {
    throw new Error("the answer cannot be read");
  }
}

async function refusal(answer) {
  try {
    const { error } = await answer.json();
    if (typeof error === "string" && error !== "") return error;
  } catch {
    // The code has to do.
  }
  return `the daemon answered ${answer.status}`;
}

const AFTER_ERROR = 15_000; // ms until a document that could not be read is asked for again

// Feed keeps one document fresh, and never asks for it twice at once.
export class Feed {
  #read;
  #onChange;
  #asking = false;
  #changed = true;
  data = null;
  dataAt = null; // when data came, on performance.now()
  at = null; // of the newest answer, data or error
  error = "";

  constructor(read, onChange) {
    this.#read = read;
    this.#onChange = onChange;
  }

  // changed says that the document is another one by now.
  changed() {
    this.#changed = true;
  }

  // turn asks if what is here is older than age (ms), or changed and older than pace.
  async turn(pace, age) {
    const old = this.at === null ? Infinity : performance.now() - this.at;
    if (this.#asking || old < (this.#changed ? pace : this.error ? AFTER_ERROR : age)) return;
    this.#asking = true;
    this.#changed = false;
    try {
      this.data = await this.#read();
      this.dataAt = performance.now();
      this.error = "";
    } catch (error) {
      this.error = error.message;
    }
    this.at = performance.now();
    this.#asking = false;
    this.#onChange(this);
  }
}

const LIST_PAGES = 5; // of 10,000 entries; more would help nobody

// readUnsettled reads the whole list, as far as anybody could use it.
export async function readUnsettled() {
  const list = [];
  let after = "";
  for (let page = 0; page < LIST_PAGES; page++) {
    const part = await ask(`unsettled?limit=10000${after}`);
    list.push(...part.unsettled);
    if (!part.next_after) return { list, total: part.total };
    after = `&after=${encodeURIComponent(part.next_after)}`;
  }
  return { list, total: null };
}
