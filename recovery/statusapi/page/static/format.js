// How numbers, sizes, times and ids are spelled. Pure functions: no document, no
// clock. What is not known (null, undefined, not a number) is "unknown", and
// never 0.

const UNKNOWN = "unknown";

const known = (n) => typeof n === "number" && Number.isFinite(n);
const separated = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

// 1,234,567
export function count(n) {
  return known(n) ? separated.format(n) : UNKNOWN;
}

// 1 blob, 2 blobs
export function plural(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

// 4.0 KiB; three significant digits, in powers of 1,024.
export function bytes(n) {
  if (!known(n)) return UNKNOWN;
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
  let value = Math.max(0, n);
  let unit = 0;
  while (value >= 1023.5 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${unit === 0 || digits === 0 ? separated.format(value) : value.toFixed(1)} ${units[unit]}`;
}

// What happens in a second. Small rates keep a digit: slow is not nothing.
export function rate(n) {
  if (!known(n)) return UNKNOWN;
  if (n <= 0) return "0";
  if (n < 0.05) return "< 0.1";
  return n < 100 ? n.toFixed(1) : count(n);
}

// 45 s, 2 min, 3 h 20 min, 4 d 2 h: one or two units, rounded down.
export function duration(seconds) {
  if (!known(seconds)) return UNKNOWN;
  const s = Math.max(0, Math.floor(seconds));
  const two = (large, largeName, small, smallName) => {
    const rest = Math.floor((s % large) / small);
    return `${Math.floor(s / large)} ${largeName}${rest > 0 ? ` ${rest} ${smallName}` : ""}`;
  };
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return two(3600, "h", 60, "min");
  return two(86400, "d", 3600, "h");
}

// wait spells a short time: milliseconds below a second.
export function wait(seconds) {
  const ms = seconds * 1000;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${seconds.toFixed(1)} s`;
}

// 12 to 25 min; about 12 min, where both ends read the same.
export function range(low, high) {
  if (!known(low) || !known(high)) return UNKNOWN;
  const [from, to] = [duration(low), duration(high)];
  if (from === to) return `about ${to}`;
  const [n, unit, more] = from.split(" ");
  const last = to.split(" ");
  return more === undefined && last.length === 2 && last[1] === unit ? `${n} to ${to}` : `${from} to ${to}`;
}

// A share, rounded down to tenths. It says 100 % only if the caller knows that
// the whole is finished, whatever the numbers say (hazards 36, 37).
export function percent(part, whole, finished = false) {
  if (finished) return "100 %";
  if (!known(part) || !known(whole) || whole <= 0) return UNKNOWN;
  const tenths = Math.min(999, Math.floor((1000 * Math.max(0, part)) / whole));
  return `${Math.floor(tenths / 10)}.${tenths % 10} %`;
}

// The moment of an RFC 3339 text in milliseconds, or null: Go's zero time and what
// is missing are not known.
export function moment(text) {
  const at = typeof text === "string" ? Date.parse(text) : NaN;
  return Number.isNaN(at) || at < Date.UTC(1970, 0, 2) ? null : at;
}

const clockFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minuteFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const dayFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const exactFormat = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long" });

// 03:12:05, with the day where that is not today's; in the reader's zone.
export function clock(at, now) {
  if (at === null) return UNKNOWN;
  const day = dayFormat.format(at);
  return day === dayFormat.format(now) ? clockFormat.format(at) : `${day}, ${clockFormat.format(at)}`;
}

// 03:12, with the day where that is not today's.
export function minute(at, now) {
  const day = dayFormat.format(at);
  return day === dayFormat.format(now) ? minuteFormat.format(at) : `${day}, ${minuteFormat.format(at)}`;
}

// The exact value, for titles: local with its zone, and UTC.
export function exact(at) {
  return at === null ? UNKNOWN : `${exactFormat.format(at)} (${new Date(at).toISOString()})`;
}

// 12 s ago; in 12 s; now.
export function ago(at, now) {
  if (at === null) return UNKNOWN;
  return now - at < 1000 ? "just now" : `${duration((now - at) / 1000)} ago`;
}

export function until(at, now) {
  if (at === null) return UNKNOWN;
  return at - now < 1000 ? "due now" : `in ${duration(Math.ceil((at - now) / 1000))}`;
}

// The first and last digits of an id; a mark of none or end stays a word.
export function shortID(id) {
  const text = clean(id);
  return text.length > 20 ? `${text.slice(0, 12)}…${text.slice(-4)}` : text;
}

// Where a mark lies in the id space, 0 to 1; null where it says nothing.
export function place(mark) {
  if (mark === "none") return 0;
  if (mark === "end") return 1;
  if (typeof mark !== "string" || !/^[0-9a-f]{64}$/i.test(mark)) return null;
  return parseInt(mark.slice(0, 12), 16) / 2 ** 48;
}

// Texts from peers and disks are shown as they are but for what would change how
// the rest of the line reads: control characters and direction marks.
export function clean(text) {
  if (text === null || text === undefined) return "";
  return String(text).replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, "\ufffd");
}

// already_stored -> already stored
export function words(name) {
  return clean(name).replaceAll("_", " ");
}
