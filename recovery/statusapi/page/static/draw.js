// The drawings: tracks of progress, the rate of the last minutes, the id space.
// Places are percentages of the width, so that nothing is drawn anew when the
// window changes. What a drawing says is also said in text.

import { bytes, duration, plural } from "./format.js";
import { reconcile, set, svg, text } from "./dom.js";

const pct = (share) => `${(100 * share).toFixed(3)}%`;

// track draws parts of a whole, [{kind, n}]; the rest stays empty. A whole that is
// not known is drawn as such. Only a finished track is full to its end, and no
// part that matters is too thin to be seen.
export function track(node, parts, total, finished) {
  set(node, "data-known", total > 0 ? "yes" : "no");
  const limit = finished ? 1 : 0.995;
  const least = 0.006;
  let from = 0;
  const bars = [];
  const drawn = total > 0 ? parts.filter((p) => p.n > 0) : [];
  const reserved = drawn.slice(1).length * least;
  for (const [i, { kind, n }] of drawn.entries()) {
    const room = i === 0 ? limit - reserved : limit - from - (drawn.length - 1 - i) * least;
    const width = Math.max(0, Math.min(room, Math.max(n / total, least)));
    bars.push({ kind, x: pct(from), width: pct(width) });
    from += width;
  }
  reconcile(node, bars, {
    key: (b) => b.kind,
    make: (b) => svg("rect", { class: b.kind, y: 0, height: "100%" }),
    update: (rect, b) => {
      set(rect, "x", b.x);
      set(rect, "width", b.width);
    },
  });
}

const SPARK_SECONDS = 300;
const GAP = 20_000; // ms without a sample break the line: nobody looked

// Samples keeps the rates of the last minutes that this page has seen.
export class Samples {
  #list = [];

  add(at, value) {
    const last = this.#list.at(-1);
    if (last && at - last.at < 900) this.#list.pop();
    this.#list.push({ at, value });
    while (this.#list[0].at < at - 1000 * SPARK_SECONDS) this.#list.shift();
  }

  // runs cuts the samples where nobody looked.
  runs() {
    const runs = [];
    for (const s of this.#list) {
      const run = runs.at(-1);
      if (run && s.at - run.at(-1).at < GAP) run.push(s);
      else runs.push([s]);
    }
    return runs;
  }

  get top() {
    return this.#list.reduce((top, s) => Math.max(top, s.value), 0);
  }

  // seconds since the first sample.
  seconds(now) {
    return this.#list.length > 0 ? (now - this.#list[0].at) / 1000 : 0;
  }
}

// spark draws samples into a box of 300 x 72: a second is a unit wide.
export function spark(node, label, samples, now, current) {
  const top = samples.top || 1;
  const lines = samples.runs().map((run) => {
    const points = run.map((s) => [(SPARK_SECONDS - (now - s.at) / 1000).toFixed(1), (70 - (66 * s.value) / top).toFixed(1)]);
    const line = points.map((p) => p.join(",")).join(" ");
    return { key: run[0].at, line, area: `${points[0][0]},72 ${line} ${points.at(-1)[0]},72` };
  });
  reconcile(node, lines, {
    key: (l) => l.key,
    make: () => svg("g", {}, svg("polygon", { class: "area" }), svg("polyline", { class: "line" })),
    update: (group, l) => {
      set(group.firstElementChild, "points", l.area);
      set(group.lastElementChild, "points", l.line);
    },
  });
  const seen = samples.seconds(now);
  text(label, samples.top > 0 ? `highest ${bytes(samples.top)}/s` : "");
  set(node, "aria-label", `Bytes per second over the last ${duration(Math.min(seen, SPARK_SECONDS))}: now ${bytes(current)}/s, highest ${bytes(samples.top)}/s`);
}

const BINS = 200;
const KINDS = ["parked", "retrying", "waiting", "flight"]; // from the bottom up

// bins counts unsettled places: [{at, n, parked, retrying, waiting, flight}].
export function bins(list, placeOf, kindOf) {
  const all = new Map();
  for (const entry of list) {
    const place = placeOf(entry);
    if (place === null) continue;
    const at = Math.min(BINS - 1, Math.floor(place * BINS));
    const bin = all.get(at) ?? { at, n: 0, parked: 0, retrying: 0, waiting: 0, flight: 0 };
    bin.n++;
    bin[kindOf(entry)]++;
    all.set(at, bin);
  }
  return [...all.values()].sort((a, b) => a.at - b.at);
}

const BASE = 46; // the y of the band's upper edge
const BAND = 12;

// space draws the ids from 00 to ff: the band up to the scan position and, darker,
// up to the durable cursor; above it the unsettled ids, higher where there are more.
export function space(node, { scan, cursor, durable, unsettled }) {
  const most = unsettled.reduce((top, b) => Math.max(top, b.n), 1);
  const shapes = [{ key: "all", class: "all", x: 0, width: 1, y: BASE, height: BAND }];
  if (scan !== null) shapes.push({ key: "scanned", class: "scanned", x: 0, width: scan, y: BASE, height: BAND });
  if (durable !== null) shapes.push({ key: "durable", class: "durable", x: 0, width: durable, y: BASE, height: BAND });
  for (const b of unsettled) {
    const height = 6 + (BASE - 10) * (most > 1 ? Math.log1p(b.n) / Math.log1p(most) : 0.4);
    let y = BASE - 1;
    for (const kind of KINDS.filter((k) => b[k] > 0)) {
      const part = Math.max(2, (height * b[kind]) / b.n);
      y -= part;
      shapes.push({ key: `${kind}${b.at}`, class: kind, x: b.at / BINS, width: 0.8 / BINS, y, height: part });
    }
  }
  reconcile(node.querySelector(".shapes") ?? frame(node), shapes, {
    key: (s) => s.key,
    make: () => svg("rect"),
    update: (rect, s) => {
      set(rect, "class", s.class);
      set(rect, "x", pct(s.x));
      set(rect, "width", pct(s.width));
      set(rect, "y", s.y.toFixed(1));
      set(rect, "height", s.height.toFixed(1));
    },
  });
  for (const [name, at] of [["scan", scan], ["cursor", cursor], ["durable", durable]]) {
    const line = node.querySelector(`.mark.${name}`);
    set(line, "x1", pct(at ?? 0));
    set(line, "x2", pct(at ?? 0));
    set(line, "visibility", at === null ? "hidden" : "visible");
  }
  const n = unsettled.reduce((sum, b) => sum + b.n, 0);
  const where = (at) => (at === null ? "unknown" : `at ${(100 * at).toFixed(1)} % of the ids`);
  set(node, "aria-label", `Durable cursor ${where(durable)}, cursor ${where(cursor)}, scan position ${where(scan)}, ${plural(n, "unsettled blob")}`);
}

// frame draws what never changes, once.
function frame(node) {
  const shapes = svg("g", { class: "shapes" });
  const lines = ["scan", "cursor", "durable"].map((name) => svg("line", { class: `mark ${name}`, y1: BASE - 6, y2: BASE + BAND + 6 }));
  const labels = ["00", "40", "80", "c0", "ff"].map((label, i) => {
    const anchor = ["start", "middle", "middle", "middle", "end"][i];
    return svg("text", { x: `${25 * i}%`, y: BASE + BAND + 20, "text-anchor": anchor }, label);
  });
  node.append(shapes, ...lines, ...labels);
  return shapes;
}
