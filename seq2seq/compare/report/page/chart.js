// Axes, lines, markers and labels of SVG charts. Variants are numbered as in `data.variants`. Sizes are in px.

const CHART_HEIGHT = 380, PLOT_WIDTH = 540;
const MARGIN = { top: 18, bottom: 52, left: 68 };
const MAX_NAME = 28; // characters of a variant's name in a chart
const MARKERS = [ // one shape per colour, so that variants are not distinguished by colour alone
  "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0", "M-3.6,-3.6h7.2v7.2h-7.2z", "M0,-4.8L4.6,3.4H-4.6z", "M0,-5L5,0L0,5L-5,0z",
  "M0,4.8L4.6,-3.4H-4.6z", "M-4.5,-1.5h3v-3h3v3h3v3h-3v3h-3v-3h-3z", "M-5,-2.2h10v4.4h-10z",
];
const DASHES = ["", "7 4", "2 3", "9 3 2 3"];

const seriesClass = (variant) => `series series-${variant % MARKERS.length}`;
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

/** An empty chart with axes, and functions x() and y() from values to px. With `names` the x axis has categories. */
function createChart({ xs, ys, xLabel, yLabel, names = null, plotWidth = PLOT_WIDTH, right = 16, describe }) {
  const width = MARGIN.left + plotWidth + right, edge = MARGIN.left + plotWidth;
  const plotHeight = CHART_HEIGHT - MARGIN.top - MARGIN.bottom, bottom = MARGIN.top + plotHeight;
  const [x0, x1] = names ? [-0.5, names.length - 0.5] : xs;
  const x = (value) => MARGIN.left + ((value - x0) / (x1 - x0)) * plotWidth;
  const y = (value) => MARGIN.top + (1 - (value - ys[0]) / (ys[1] - ys[0])) * plotHeight;
  const svg = createSvg("svg", { viewBox: `0 0 ${width} ${CHART_HEIGHT}`, role: "img", "aria-label": describe });
  svg.style.maxWidth = `${width * 1.1}px`;
  const addLine = (attributes) => svg.append(createSvg("line", attributes));
  const addText = (attributes, text) => svg.append(createSvg("text", attributes, text));
  const yTicks = ticks(...ys);
  for (const value of yTicks.values) {
    addLine({ x1: MARGIN.left, x2: edge, y1: y(value), y2: y(value), class: "gridline" });
    addText({ x: MARGIN.left - 8, y: y(value), class: "tick end middle" }, tickLabel(value, yTicks.step));
  }
  const xTicks = names ? { step: 1, values: names.map((_, i) => i) } : ticks(x0, x1, 6);
  for (const value of xTicks.values) {
    addLine({ x1: x(value), x2: x(value), y1: bottom, y2: bottom + 4, class: "axis" });
    const text = names ? names[value] : tickLabel(value, xTicks.step);
    addText({ x: x(value), y: bottom + 18, class: "tick centre" }, text);
  }
  addLine({ x1: MARGIN.left, x2: edge, y1: bottom, y2: bottom, class: "axis" });
  addText({ x: MARGIN.left + plotWidth / 2, y: CHART_HEIGHT - 10, class: "label centre" }, xLabel);
  const middle = MARGIN.top + plotHeight / 2;
  addText({ transform: `translate(16,${middle}) rotate(-90)`, class: "label centre" }, yLabel);
  return { svg, x, y, edge, width, top: MARGIN.top, bottom };
}

/** Variant names at the right ends of lines, moved apart so that none covers another, each with its marker. */
function labelLineEnds(chart, ends) {
  const sorted = ends.slice().sort((a, b) => a.y - b.y);
  const gap = Math.min(17, (chart.bottom - chart.top) / Math.max(sorted.length - 1, 1));
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

/** A variant's name, shortened, with the whole name as tooltip. */
function createNameLabel(name, x, y) {
  return createSvg("text", { x, y, class: "name middle" }, createSvg("title", {}, name), shortName(name));
}

/** Both ends of a long name, or the whole name if another variant's would be shortened to the same. */
function shortName(name) {
  const short = truncateMiddle(name);
  return data.variants.some((other) => other.name !== name && truncateMiddle(other.name) === short) ? name : short;
}

function truncateMiddle(text) {
  const characters = [...text];
  if (characters.length <= MAX_NAME) return text;
  return characters.slice(0, MAX_NAME / 2 - 1).join("") + "…" + characters.slice(-MAX_NAME / 2).join("");
}

/** Width of the margin for names at the right. */
const nameMargin = (lines) => 40 + Math.max(...lines.map((line) => textWidth(shortName(line.name))), 60);
