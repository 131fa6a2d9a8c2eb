// The page: what it knows, when it asks, and what a press of a button does.

import { Commands, Feed, ask, readUnsettled, urlOf } from "./api.js";
import { ExplainDialog, TokenDialog } from "./dialogs.js";
import { byID, set, text } from "./dom.js";
import { Samples, bins, space, spark } from "./draw.js";
import { clean, duration, moment, place, plural, shortID, words } from "./format.js";
import { Connection } from "./live.js";
import { UnsettledList, kindOf } from "./list.js";
import { showFacts, showFlow, showFooter, showGlance, showHistory, showMarks, showPeers, showProgress } from "./sections.js";
import { ShardMap } from "./shards.js";

const QUIET = 18_000; // ms without a byte before the page says since when
const COLOURS = { fine: "#2a8a4a", busy: "#2f6fd0", waiting: "#7a6a9a", paused: "#7a6a9a", held: "#c07a00", look: "#c07a00", bad: "#d03030", lost: "#808890" };

let doc = null; // the newest status
let received = 0; // when it came, on performance.now()
let spoken = ""; // the phase that was read out last
const samples = new Samples();

// now is the daemon's time: its clock and the reader's may differ. Without a
// connection it stands still, as all that is shown does.
function now() {
  if (!doc) return Date.now();
  const { mode, heard } = connection.state;
  const until = mode === "lost" ? Math.max(heard ?? 0, received) : performance.now();
  return (moment(doc.at) ?? Date.now()) + until - received;
}

const tokens = new TokenDialog();
const commands = new Commands((why) => tokens.ask(why, stateDir()));
const map = new ShardMap();
const list = new UnsettledList({ retry: (id) => act(() => retryOne(id)), explain: (id) => explain.open(id) });
const explain = new ExplainDialog((id) => act(() => retryOne(id)));

const shards = new Feed(() => ask("shards"), () => {
  map.update(shards.data?.shards ?? [], doc, shards.error);
  draw();
});
let allRuns = false;
const history = new Feed(() => ask("history"), () => {
  showHistory(history, now(), allRuns);
  draw();
});
let places = []; // of the unsettled blobs, for the id space
const unsettled = new Feed(readUnsettled, () => {
  places = bins(unsettled.data?.list ?? [], (u) => place(u.id), kindOf);
  list.update(unsettled);
  draw();
});
const connection = new Connection({ events: urlOf("events"), status: urlOf("status"), onStatus: take, onState: showConnection });

// take is given every status. What is none is as good as no answer.
function take(status) {
  if (!status?.counters || !status.unsettled) throw new Error("the answer is not a status");
  const before = doc;
  doc = status;
  received = performance.now();
  if (typeof doc.bytes_per_second === "number") samples.add(received, doc.bytes_per_second);
  const differs = (of) => !before || JSON.stringify(of(before)) !== JSON.stringify(of(doc));
  if (differs((d) => [d.phase, d.run, d.counters, d.unsettled])) shards.changed();
  if (differs((d) => [d.phase, d.run])) history.changed();
  if (differs((d) => [d.unsettled, d.counters.cancelled])) unsettled.changed();
  announcePhase();
  draw();
  turn();
}

const SELDOM = 120_000; // ms after which anything is asked for again

// turn asks for what is out of date; for a long list less often.
function turn() {
  if (document.hidden || !doc || connection.state.mode === "lost") return;
  const size = unsettled.data?.list.length ?? 0;
  unsettled.turn(size > 2_000 ? 60_000 : size > 200 ? 15_000 : 2_000, size > 2_000 ? SELDOM : 20_000);
  shards.turn(3_000, SELDOM);
  history.turn(1_000, SELDOM);
}

// draw shows everything that follows from the status; once a frame at most. A
// hidden page has no frames, and its title is read all the same.
let drawing = false;
function draw() {
  if (!doc) return;
  if (document.hidden) {
    drawNow();
    return;
  }
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    drawNow();
  });
}

// drawNow shows all; where that goes wrong it does not pass for live.
function drawNow() {
  try {
    drawParts(now());
  } catch (error) {
    say(`The page cannot show what the daemon says (${clean(error.message)}). Reload it; recoverd status says the same.`);
    throw error;
  }
}

function drawParts(at) {
  drawGlance(at);
  showProgress(doc, shards.data?.shards, unsettled.data);
  showFlow(doc, connection.state.mode === "lost");
  spark(byID("spark"), byID("spark-top"), samples, performance.now(), doc.bytes_per_second);
  space(byID("space"), { scan: place(doc.scan), cursor: place(doc.cursor), durable: place(doc.cursor_durable), unsettled: places });
  showMarks(doc);
  list.show(doc.unsettled, at);
  showPeers(doc, at);
  showFacts(doc, at);
  showFooter(doc, at);
  if (shards.at !== null && history.at !== null && unsettled.at !== null) set(document.body, "data-ready", "yes");
  const pause = byID("pause");
  text(pause, doc.paused ? "Resume" : "Pause");
  if (!busy.has(pause)) pause.disabled = false;
  if (!busy.has(byID("retry-all"))) byID("retry-all").disabled = doc.unsettled.retrying + doc.unsettled.parked + doc.unsettled.waiting === 0;
}

function drawGlance(at) {
  const tone = showGlance(doc, at, connection.state.mode === "lost" ? lostText() : "");
  document.title = `${tone === "lost" ? "lost" : words(doc.phase)}${doc.paused ? ", paused" : ""} - recoverd`;
  const dot = `<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><circle cx='8' cy='8' r='6' fill='${COLOURS[tone]}'/></svg>`;
  set(byID("icon"), "href", `data:image/svg+xml,${encodeURIComponent(dot)}`);
}

// announcePhase reads out changes of the phase, and no numbers.
function announcePhase() {
  const phase = `${words(doc.phase)}${doc.paused ? ", paused" : ""}`;
  if (spoken !== "" && phase !== spoken) announce(`Now ${phase}. ${clean(doc.why)}`);
  spoken = phase;
}

function announce(sentence) {
  text(byID("announce"), sentence);
}

function heardText() {
  const { heard } = connection.state;
  return heard === null ? "never seen" : `last seen ${duration((performance.now() - heard) / 1000)} ago`;
}

const lostText = () => `connection lost, ${heardText()}`;

// showConnection says how fresh the page is.
function showConnection(state) {
  set(document.body, "data-connection", state.mode);
  byID("reconnect").hidden = state.mode !== "lost" && state.mode !== "asking";
  tellConnection();
  if (state.mode === "lost") announce("Connection lost.");
  if (state.mode === "live" && byID("announce").textContent === "Connection lost.") announce("Connected again.");
  draw();
}

function tellConnection() {
  const { mode, heard, why } = connection.state;
  const quiet = mode === "live" && performance.now() - heard > QUIET ? `, ${heardText()}` : "";
  const told = {
    connecting: "Connecting", live: `Live${quiet}`, asking: "No live updates; asking every 3 s", lost: `Connection lost, ${heardText()}`,
  };
  text(byID("connection"), told[mode]);
  set(byID("connection"), "title", why || null);
}

const READY_BY = 2_000; // ms; a slow answer holds up nothing longer
setTimeout(() => set(document.body, "data-ready", "yes"), READY_BY);

// The clock: once a second what is told relative to now is told again.
setInterval(() => {
  tellConnection();
  if (document.hidden || !doc) return;
  const at = now();
  if (connection.state.mode === "lost") drawGlance(at);
  showPeers(doc, at);
  showFacts(doc, at);
  list.show(doc.unsettled, at);
  turn();
}, 1_000);

// stateDir is where the token lies: beside the database, if that is what is named.
const stateDir = () => clean(doc?.checkpoint?.path).replace(/\/[^/]*\.db$/, "");

// Commands. A button that waits for its answer is not pressed again.
const busy = new Set();

async function press(button, command) {
  if (busy.has(button)) return;
  busy.add(button);
  set(button, "aria-busy", "true");
  await act(command);
  set(button, "aria-busy", null);
  busy.delete(button);
  draw();
}

// act runs a command and says what came of it; it returns that sentence.
async function act(command) {
  let sentence;
  try {
    sentence = (await command()) ?? "Nothing was done: no token was given.";
  } catch (error) {
    sentence = `Refused: ${clean(error.message)}.`;
  }
  say(sentence);
  unsettled.changed();
  unsettled.turn(0, 0);
  return sentence;
}

const SAID_FOR = 20_000; // ms that an answer to a press stays
let saying = 0;

// say shows what came of a press, wherever the page is scrolled to.
function say(sentence) {
  const said = byID("said");
  text(said, sentence);
  said.hidden = false;
  announce(sentence);
  clearTimeout(saying);
  saying = setTimeout(() => (said.hidden = true), SAID_FOR);
}

async function pauseOrResume() {
  const answer = await commands.post(doc.paused ? "resume" : "pause", {});
  return answer && (answer.paused ? "Paused. Nothing new is handed out until it is resumed." : "Resumed.");
}

const retryOne = async (id) => retried(await commands.post("retry", { ids: [id] }), shortID(id));
const retryAll = async () => retried(await commands.post("retry", { all: true }), "Retry");

function retried(answer, what) {
  if (!answer) return null;
  const parts = [`${plural(answer.due, "blob")} due now`];
  if (answer.busy?.length > 0) parts.push(`${plural(answer.busy.length, "is", "are")} being worked on already`);
  if (answer.unknown?.length > 0) parts.push(`${plural(answer.unknown.length, "is", "are")} no longer in the list`);
  return `${what}: ${parts.join(", ")}.`;
}

byID("pause").addEventListener("click", (e) => press(e.currentTarget, pauseOrResume));
byID("retry-all").addEventListener("click", (e) => press(e.currentTarget, retryAll));
byID("reconnect").addEventListener("click", () => connection.wake());
byID("history-more").firstElementChild.addEventListener("click", () => {
  allRuns = true;
  showHistory(history, now(), allRuns);
});
byID("lookup").addEventListener("submit", (e) => {
  e.preventDefault();
  const id = byID("lookup-id").value.trim();
  if (id) explain.open(id);
});
