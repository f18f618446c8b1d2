// Figures as people read them, each with its unit: the same as `units.rs` writes; both are tested
// with tests/console/units.json. Not here: where figures come from.

// `1.50 GB`: decimal, as networks count. Prices of bills are per 2^30 bytes and say so.
export function bytes(n) {
  return scaled(n, ["B", "KB", "MB", "GB", "TB", "PB"]);
}

// `1.50 Mbit/s`.
export function bitsPerSecond(n) {
  return scaled(n, ["bit/s", "Kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"]);
}

// `1,234,567`.
export function count(n) {
  return String(n).replace(/\B(?=(\d{3})+$)/g, ",");
}

// `350 ms`, `12.0 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`.
export function duration(ms) {
  const whole = (n, unit) => Math.floor(n / unit);
  const s = whole(ms, 1000);
  if (s < 1) return `${ms} ms`;
  if (s < 60) return `${s}.${whole(ms % 1000, 100)} s`;
  if (s < 3_600) return `${whole(s, 60)} min ${s % 60} s`;
  if (s < 86_400) return `${whole(s, 3_600)} h ${whole(s % 3_600, 60)} min`;
  return `${whole(s, 86_400)} d ${whole(s % 86_400, 3_600)} h`;
}

// `2026-11-23 04:05:06 +08:00`, in the node's offset: that of its days and bills.
export function time(unix, offsetS) {
  const at = new Date((unix + offsetS) * 1000).toISOString();
  const two = (n) => String(n).padStart(2, "0");
  const minutes = Math.floor(Math.abs(offsetS) / 60);
  const offset = `${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
  return `${at.slice(0, 10)} ${at.slice(11, 19)} ${offsetS < 0 ? "-" : "+"}${offset}`;
}

// Three digits, in the largest unit that leaves something before the point.
function scaled(n, units) {
  let unit = 0;
  while (n >= 999.5 && unit + 1 < units.length) {
    n /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || n >= 99.95 ? 0 : n < 9.995 ? 2 : 1;
  const step = 10 ** digits;
  return `${(Math.round(n * step) / step).toFixed(digits)} ${units[unit]}`;
}
