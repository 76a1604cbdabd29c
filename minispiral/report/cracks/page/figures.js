// Length per class and the histogram of widths, of the cracks that are drawn.
const LONG = 1000; // mm and more are said in metres

function fillClasses(table, cracks, unit) {
  const total = cracks.reduce((sum, crack) => sum + crack.length, 0);
  const [size, name, digits] = unit === "mm" && total >= LONG ? [1000, "m", 2] : [1, unit, 0];
  table.querySelector(".length-unit").textContent = name;
  for (const row of table.querySelectorAll("tbody tr, tfoot tr")) {
    const kind = row.dataset.kind;
    const these = kind === undefined ? cracks : cracks.filter((crack) => String(crack.kind ?? "u") === kind);
    const length = these.reduce((sum, crack) => sum + crack.length, 0);
    row.querySelector(".count").textContent = formatted(these.length, 0);
    row.querySelector(".sum").textContent = formatted(length / size, digits);
    row.hidden = kind === "u" && !these.length;
  }
}

function svg(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// Lengths of crack by local width: about 20 bars that end at round widths.
function binned(cracks, bounds) {
  let widest = bounds[bounds.length - 1];
  for (const crack of cracks) for (const width of crack.widths) widest = Math.max(widest, width);
  const step = round125(widest / 16), bars = new Array(Math.floor(widest / step) + 1).fill(0);
  for (const crack of cracks) for (const width of crack.widths) bars[Math.floor(width / step)] += crack.step;
  return { step, bars };
}

const classOf = (width, bounds) => bounds.filter((bound) => bound <= width).length;

function drawHistogram(element, figures, cracks) {
  const { bounds, limit, unit } = figures, { step, bars } = binned(cracks, bounds);
  const [left, right, top, floor] = [46, 382, 18, 152];
  const end = bars.length * step, most = Math.max(...bars, 1e-9);
  const x = (width) => left + (right - left) * width / end, y = (length) => floor - (floor - top) * length / most;
  const large = unit === "mm" && most >= LONG, size = large ? 1000 : 1;
  const parts = bars.map((length, i) => length && svg("rect", {
    class: `b${classOf((i + 0.5) * step, bounds)}`,
    x: x(i * step), y: y(length), width: (right - left) / bars.length, height: floor - y(length),
  }));
  for (const bound of bounds) {
    parts.push(svg("path", { class: "bound", d: `M${x(bound)} ${top - 4}V${floor}` }));
  }
  if (limit && limit < end) parts.push(svg("path", { class: "limit", d: `M${x(limit)} ${top - 4}V${floor}` }));
  parts.push(svg("path", { class: "axis", d: `M${left} ${top}V${floor}H${right}` }));
  const tick = round125(end / 4), digits = Math.max(0, -Math.floor(Math.log10(tick)));
  for (let i = 0; i * tick <= end * 1.0001; i += 1) {
    parts.push(svg("text", { x: x(i * tick), y: floor + 14, "text-anchor": "middle" }, formatted(i * tick, digits)));
  }
  const high = round125(most / size) * size;
  for (const length of [0, high]) {
    const text = formatted(length / size, length / size < 1 && length ? 2 : 0);
    parts.push(svg("text", { x: left - 5, y: y(length) + 4, "text-anchor": "end" }, text));
  }
  parts.push(svg("text", { x: (left + right) / 2, y: floor + 31, "text-anchor": "middle" }, `width, ${unit}`));
  parts.push(svg("text", { x: 2, y: 10 }, `length, ${large ? "m" : unit}`));
  element.replaceChildren(...parts.filter(Boolean));
  const sums = new Array(bounds.length + 1).fill(0);
  bars.forEach((length, i) => { sums[classOf((i + 0.5) * step, bounds)] += length; });
  const said = sums.map((sum, i) => (
    i < bounds.length ? `below ${bounds[i]} ${unit}: ${sayLength(sum, unit)}` : `wider: ${sayLength(sum, unit)}`));
  element.setAttribute("aria-label", `Length of crack by local width. ${said.join(", ")}`);
}

// How much of the cracks the histogram stands for.
function sayShare(element, figures, cracks) {
  const total = cracks.reduce((sum, crack) => sum + crack.length, 0);
  const counted = cracks.reduce((sum, crack) => sum + crack.widths.length * crack.step, 0);
  const share = formatted(100 * Math.min(counted / total || 0, 1), 0);
  const { limit, unit, bounds } = figures;
  element.textContent = `Width is known along ${share} % of the length: not at junctions, ends, borders and gaps. `
    + (limit ? `Below ${formatted(limit, unit === "mm" ? 3 : 2)} ${unit} (the solid line) a crack cannot be told from `
      + "the texture of the wall. " : "") + `Dashed: the bounds of the classes, ${
      bounds.map((bound) => formatted(bound, unit === "mm" ? 2 : 1)).join(" \u00b7 ")} ${unit}.`;
}
