// Axes, lines, markers and labels of SVG charts. Variants are numbered as in `data.variants`. Sizes are in px.

const CHART_HEIGHT = 380, MIN_PLOT_WIDTH = 210, MAX_CHART_WIDTH = 1100;
const NAME_HEIGHT = 17; // of a variant's name
const MARGIN = { top: 18, bottom: 52, left: 68 };
const MAX_NAME = 28; // characters of a variant's name in a chart
const MARKERS = [ // one shape per colour, so that variants are not distinguished by colour alone
  "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0", "M-3.6,-3.6h7.2v7.2h-7.2z", "M0,-4.8L4.6,3.4H-4.6z", "M0,-5L5,0L0,5L-5,0z",
  "M0,4.8L4.6,-3.4H-4.6z", "M-4.5,-1.5h3v-3h3v3h3v3h-3v3h-3v-3h-3z", "M-5,-2.2h10v4.4h-10z",
];
const DASHES = ["", "7 4", "2 3", "9 3 2 3"];

/** The class of a variant's colour. The colours are shifted in each round of shapes, so that no pair comes twice. */
function seriesClass(variant) {
  const round = Math.floor(variant / MARKERS.length);
  return `series series-${(variant + 2 * round) % MARKERS.length}`;
}

const dashes = (variant) => DASHES[Math.floor(variant / MARKERS.length) % DASHES.length];

/** A variant's marker with a tooltip. */
function createMarker(variant, x, y, tooltip) {
  const attributes = {
    d: MARKERS[variant % MARKERS.length], transform: `translate(${x},${y})`, class: `${seriesClass(variant)} mark`,
  };
  return createSvg("path", attributes, createSvg("title", {}, tooltip));
}

/** A variant's line through points "x,y". */
function createLine(variant, points) {
  const attributes = { d: `M${points.join("L")}`, class: `${seriesClass(variant)} line` };
  return createSvg("path", { ...attributes, "stroke-dasharray": dashes(variant) });
}

const drawings = new Map(); // id of a chart -> the function that draws it, and the width that it was drawn for
const widthObserver = new ResizeObserver((entries) => entries.forEach(({ target }) => {
  const drawing = drawings.get(target.id);
  if (drawing.width === target.clientWidth) return;
  drawing.width = target.clientWidth;
  drawing.draw();
}));

/** Draw a chart now, and again whenever the width of its box changes. */
function keepDrawn(id, draw) {
  drawings.set(id, { draw, width: byId(id).clientWidth });
  draw();
  widthObserver.observe(byId(id));
}

/** Width of the box of a chart. */
const chartWidth = (id) => Math.min(byId(id).clientWidth || 600, MAX_CHART_WIDTH);

const isBaseline = (variant) => data.variants[variant].name === data.baseline;

const columnOf = (key) => data.columns.find((column) => column.key === key);

const columnTitle = ({ label, unit }) => label + (unit ? ` (${unit})` : "");

function axisLabel({ better, ...column }) {
  return columnTitle(column) + (better ? ` – ${better} is better` : "");
}

/** About `count` round values in a range, and the step between them. */
function ticks(low, high, count = 5) {
  const rough = (high - low || Math.abs(high) || 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  const values = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) values.push(i * step);
  return { step, values };
}

/** The range of the values, padded by a share of it, but not below 0 where all values are positive. */
function paddedRange(values, share = 0.06) {
  const finite = values.filter((value) => value !== null && Number.isFinite(value));
  const [low, high] = finite.length ? [Math.min(...finite), Math.max(...finite)] : [0, 1];
  const padding = (high - low) * share || Math.abs(high) * 0.1 || 1;
  return [low >= 0 ? Math.max(0, low - padding) : low - padding, high + padding];
}

/** A tick's number with enough digits to differ from the next tick, a step away. */
function tickLabel(value, step) {
  const [scale, unit] = Math.abs(value) >= 1e6 ? [1e6, " M"] : [1, ""];
  const extraDigit = /^2\.?5/.test(step.toExponential()) ? 1 : 0;
  const digits = Math.max(0, -Math.floor(Math.log10(step / scale) + 1e-9) + extraDigit);
  return formatNumber(value / scale, Math.min(digits, 6)) + unit;
}

/** An empty chart with axes, and functions x() and y() from values to px. With `names` the x axis has categories.
    It is as wide as the box `id`, or wider where names at the right leave too little; `labels` is their number. */
function createChart({ id, xs, ys, xLabel, yLabel, names = null, right = 16, labels = 0, describe }) {
  const plotWidth = Math.max(chartWidth(id) - MARGIN.left - right, MIN_PLOT_WIDTH);
  const width = MARGIN.left + plotWidth + right, edge = MARGIN.left + plotWidth;
  const height = Math.max(CHART_HEIGHT, MARGIN.top + MARGIN.bottom + labels * NAME_HEIGHT);
  const plotHeight = height - MARGIN.top - MARGIN.bottom, bottom = MARGIN.top + plotHeight;
  const [x0, x1] = names ? [-0.5, names.length - 0.5] : xs;
  const x = (value) => MARGIN.left + ((value - x0) / (x1 - x0)) * plotWidth;
  const y = (value) => MARGIN.top + (1 - (value - ys[0]) / (ys[1] - ys[0])) * plotHeight;
  const svg = createSvg("svg", { width, height, role: "img", "aria-label": describe });
  const addLine = (attributes) => svg.append(createSvg("line", attributes));
  const addText = (attributes, text) => svg.append(createSvg("text", attributes, text));
  const yTicks = ticks(...ys);
  for (const value of yTicks.values) {
    addLine({ x1: MARGIN.left, x2: edge, y1: y(value), y2: y(value), class: "gridline" });
    addText({ x: MARGIN.left - 8, y: y(value), class: "tick end middle" }, tickLabel(value, yTicks.step));
  }
  const xTicks = names ? { step: 1, values: names.map((_, i) => i) } : ticks(x0, x1, Math.max(2, Math.min(6, plotWidth / 90)));
  for (const value of xTicks.values) {
    addLine({ x1: x(value), x2: x(value), y1: bottom, y2: bottom + 4, class: "axis" });
    const text = names ? names[value] : tickLabel(value, xTicks.step);
    addText({ x: x(value), y: bottom + 18, class: "tick centre" }, text);
  }
  addLine({ x1: MARGIN.left, x2: edge, y1: bottom, y2: bottom, class: "axis" });
  addText({ x: MARGIN.left + plotWidth / 2, y: height - 10, class: "label centre" }, xLabel);
  const middle = MARGIN.top + plotHeight / 2;
  addText({ transform: `translate(16,${middle}) rotate(-90)`, class: "label centre" }, yLabel);
  return { svg, x, y, edge, width, height, top: MARGIN.top, bottom };
}

/** Variant names at the right ends of lines, moved apart so that none covers another, each with its marker. */
function labelLineEnds(chart, ends) {
  const sorted = ends.slice().sort((a, b) => a.y - b.y);
  const gap = Math.min(NAME_HEIGHT, (chart.bottom - chart.top) / Math.max(sorted.length - 1, 1));
  const ys = sorted.map((end) => end.y);
  for (let i = 1; i < ys.length; i++) ys[i] = Math.max(ys[i], ys[i - 1] + gap);
  if (ys.length && ys.at(-1) > chart.bottom) {
    for (let i = ys.length - 1, lowest = chart.bottom; i >= 0; i--, lowest -= gap) ys[i] = Math.min(ys[i], lowest);
  }
  sorted.forEach((end, i) => {
    const from = Math.max(end.x, 0) + 6, to = chart.edge + 12;
    const leader = `M${from},${end.y}L${chart.edge + 2},${end.y}L${to},${ys[i]}`;
    chart.svg.append(createSvg("path", { d: leader, class: `${seriesClass(end.variant)} leader` }));
    chart.svg.append(createMarker(end.variant, to + 6, ys[i], end.name));
    chart.svg.append(createNameLabel(end.name, to + 15, ys[i]));
  });
}

/** A variant's name, shortened also to `width` px, with the whole name as tooltip. */
function createNameLabel(name, x, y, width = Infinity) {
  let text = shortName(name);
  for (let most = [...text].length - 1; most > 3 && textWidth(text) > width; most--) text = truncateMiddle(name, most);
  return createSvg("text", { x, y, class: "name middle" }, createSvg("title", {}, name), text);
}

/** Both ends of a long name, or the whole name if another variant's would be shortened to the same. */
function shortName(name) {
  const short = truncateMiddle(name);
  return data.variants.some((other) => other.name !== name && truncateMiddle(other.name) === short) ? name : short;
}

function truncateMiddle(text, most = MAX_NAME) {
  const characters = [...text], end = Math.floor(most / 2);
  if (characters.length <= most) return text;
  return characters.slice(0, most - 1 - end).join("") + "…" + characters.slice(-end).join("");
}

/** Width of the margin for names at the right. */
const nameMargin = (lines) => 40 + Math.max(...lines.map((line) => textWidth(shortName(line.name))), 60);
