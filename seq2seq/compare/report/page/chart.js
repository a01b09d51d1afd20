// Axes, lines and points of a chart in SVG.

const HEIGHT = 380;
const MARGIN = { top: 18, bottom: 52, left: 68 }, INNER = 540, NAME = 28; // px of the field of lines, letters of a name
const MARKS = [ // one shape for each colour, so that colour is never all that tells two variants apart
  "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0", "M-3.6,-3.6h7.2v7.2h-7.2z", "M0,-4.8L4.6,3.4H-4.6z", "M0,-5L5,0L0,5L-5,0z", "M0,4.8L4.6,-3.4H-4.6z",
  "M-4.5,-1.5h3v-3h3v3h3v3h-3v3h-3v-3h-3z", "M-5,-2.2h10v4.4h-10z",
];
const DASHES = ["", "7 4", "2 3", "9 3 2 3"];

const colour = (number) => `series series-${number % MARKS.length}`;
const dash = (number) => DASHES[Math.floor(number / MARKS.length) % DASHES.length];

/** A variant's point, with a tooltip. */
function mark(number, x, y, tip) {
  return draw("path", { d: MARKS[number % MARKS.length], transform: `translate(${x},${y})`, class: `${colour(number)} mark` },
    draw("title", {}, tip));
}

/** A variant's line through places "x,y". */
function line(number, places) {
  return draw("path", { d: `M${places.join("L")}`, class: `${colour(number)} line`, "stroke-dasharray": dash(number) });
}

/** Round numbers that cover the range, about `count` of them. */
function ticks(low, high, count = 5) {
  const rough = (high - low || Math.abs(high) || 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(i * step);
  return { step, values: found };
}

/** The range of the values with some space around. */
function range(values, share = 0.06) {
  const kept = values.filter((value) => value !== null && Number.isFinite(value));
  const [low, high] = kept.length ? [Math.min(...kept), Math.max(...kept)] : [0, 1];
  const space = (high - low) * share || Math.abs(high) * 0.1 || 1;
  return [low >= 0 ? Math.max(0, low - space) : low - space, high + space];
}

/** A tick's number, with so many digits that its neighbours, a step away, read otherwise. */
function label(value, step) {
  const [scale, unit] = Math.abs(value) >= 1e6 ? [1e6, " M"] : [1, ""];
  const digits = Math.max(0, -Math.floor(Math.log10(step / scale) + 1e-9) + (/^2\.?5/.test(step.toExponential()) ? 1 : 0));
  return figure(value / scale, Math.min(digits, 6)) + unit;
}

/** An empty chart with axes, and x() and y() from values to places. `names` instead of numbers on the x axis: one place each. */
function chart({ xs, ys, xLabel, yLabel, names = null, inside = INNER, right = 16, describe }) {
  const width = MARGIN.left + inside + right, inner = { width: inside, height: HEIGHT - MARGIN.top - MARGIN.bottom };
  const [x0, x1] = names ? [-0.5, names.length - 0.5] : xs;
  const x = (value) => MARGIN.left + ((value - x0) / (x1 - x0)) * inner.width;
  const y = (value) => MARGIN.top + (1 - (value - ys[0]) / (ys[1] - ys[0])) * inner.height;
  const svg = draw("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": describe });
  svg.style.maxWidth = `${width * 1.1}px`;
  const bottom = MARGIN.top + inner.height;
  const { step, values } = ticks(...ys);
  for (const value of values) {
    svg.append(draw("line", { x1: MARGIN.left, x2: MARGIN.left + inner.width, y1: y(value), y2: y(value), class: "gridline" }));
    svg.append(draw("text", { x: MARGIN.left - 8, y: y(value), class: "tick end middle" }, label(value, step)));
  }
  const across = names ? { step: 1, values: names.map((_, i) => i) } : ticks(x0, x1, 6);
  for (const value of across.values) {
    svg.append(draw("line", { x1: x(value), x2: x(value), y1: bottom, y2: bottom + 4, class: "axis" }));
    svg.append(draw("text", { x: x(value), y: bottom + 18, class: "tick centre" }, names ? names[value] : label(value, across.step)));
  }
  svg.append(draw("line", { x1: MARGIN.left, x2: MARGIN.left + inner.width, y1: bottom, y2: bottom, class: "axis" }));
  svg.append(draw("text", { x: MARGIN.left + inner.width / 2, y: HEIGHT - 10, class: "label centre" }, xLabel));
  svg.append(draw("text", { transform: `translate(16,${MARGIN.top + inner.height / 2}) rotate(-90)`, class: "label centre" }, yLabel));
  return { svg, x, y, edge: MARGIN.left + inner.width, width, top: MARGIN.top, bottom };
}

/** Names at the right ends of lines, moved apart so that none covers another, each with its mark. */
function nameEnds(axes, ends) {
  const sorted = ends.slice().sort((a, b) => a.y - b.y);
  const gap = Math.min(17, (axes.bottom - axes.top) / Math.max(sorted.length - 1, 1));
  const places = sorted.map((end) => end.y);
  for (let i = 1; i < places.length; i++) places[i] = Math.max(places[i], places[i - 1] + gap);
  const over = Math.max(0, (places.at(-1) ?? 0) - axes.bottom);
  for (let i = places.length - 1, most = axes.bottom; over && i >= 0; i--, most -= gap) places[i] = Math.min(places[i], most);
  sorted.forEach((end, i) => {
    const from = Math.max(end.x, 0) + 6, to = axes.edge + 12;
    const leader = `M${from},${end.y}L${axes.edge + 2},${end.y}L${to},${places[i]}`;
    axes.svg.append(draw("path", { d: leader, class: `${colour(end.number)} leader` }));
    axes.svg.append(mark(end.number, to + 6, places[i], end.name));
    axes.svg.append(draw("text", { x: to + 15, y: places[i], class: "name middle" }, draw("title", {}, end.name), shortened(end.name)));
  });
}

/** A variant's name; of one with too many letters both ends, unless another's would then read the same. */
function shortened(name) {
  const cut = bothEnds(name);
  return data.variants.some((other) => other.name !== name && bothEnds(other.name) === cut) ? name : cut;
}

function bothEnds(text) {
  const letters = [...text];
  return letters.length > NAME ? letters.slice(0, NAME / 2 - 1).join("") + "…" + letters.slice(-NAME / 2).join("") : text;
}

/** Room at the right for names. */
const besides = (lines) => 40 + Math.max(...lines.map((line) => measure(shortened(line.name))), 60);
