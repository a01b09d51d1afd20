// The chart of the variants: a row for each, with mean, interval and seeds, best first.

const ROW_HEIGHT = 32, AXIS_HEIGHT = 46; // px

/** A figure as text: value ± deviation. */
function figureText({ value, deviation }, digits) {
  return formatNumber(value, digits) + (deviation === null ? "" : ` ± ${formatNumber(deviation, digits)}`);
}

/** The variants that have a column, best first; in the order of the table where neither direction is better. */
function rankedVariants(column) {
  const sign = { higher: -1, lower: 1 }[column.better] ?? 0;
  return data.variants.map(({ name, figures }, i) => ({ variant: i, name, figure: figures[column.key] }))
    .filter(({ figure }) => figure && figure.value !== null)
    .sort((a, b) => sign * (a.figure.value - b.figure.value));
}

function drawVariants(key) {
  const column = columnOf(key), rows = rankedVariants(column);
  const width = chartWidth("variant-chart");
  const texts = rows.map(({ figure }) => figureText(figure, column.digits));
  const right = Math.max(...texts.map(textWidth)) + 16;
  const left = Math.min(Math.max(...rows.map(({ name }) => textWidth(name))) + 34, width * 0.36);
  const [low, high] = paddedRange(rows.flatMap(({ figure }) =>
    [figure.value, ...figure.values, ...(figure.interval ?? [])]));
  const x = (value) => left + ((value - low) / (high - low)) * (width - left - right);
  const bottom = rows.length * ROW_HEIGHT + 6;
  const svg = createSvg("svg", {
    width, height: bottom + AXIS_HEIGHT, role: "img",
    "aria-label": `${axisLabel(column)}: ${rows.map(({ name }, i) => `${name} ${texts[i]}`).join(", ")}`,
  });
  drawValueAxis(svg, { low, high, x, bottom, label: axisLabel(column), middle: (left + width - right) / 2 });
  const baseline = rows.find(({ variant }) => isBaseline(variant));
  if (baseline) {
    const at = x(baseline.figure.value);
    svg.append(createSvg("line", { x1: at, x2: at, y1: 0, y2: bottom, class: "reference" }));
  }
  rows.forEach((row, i) => drawVariant(svg, row, { x, y: i * ROW_HEIGHT + 13, left, width, text: texts[i], column }));
  byId("variant-chart").replaceChildren(svg);
}

function drawValueAxis(svg, { low, high, x, bottom, label, middle }) {
  const { step, values } = ticks(low, high, Math.max(2, Math.min(6, (x(high) - x(low)) / 90)));
  for (const value of values) {
    svg.append(createSvg("line", { x1: x(value), x2: x(value), y1: 0, y2: bottom, class: "gridline" }));
    const text = { x: x(value), y: bottom + 16, class: "tick centre" };
    svg.append(createSvg("text", text, tickLabel(value, step)));
  }
  svg.append(createSvg("text", { x: middle, y: bottom + 38, class: "label centre" }, label));
}

/** One row: marker and name, interval, a dot per seed below it, the mean, and the figure as text. */
function drawVariant(svg, { variant, name, figure }, { x, y, left, width, text, column }) {
  const seeds = figure.values.map((value) => (value === null ? "–" : formatNumber(value, column.digits)));
  const tooltip = `${name}: ${text}; seeds: ${seeds.join(", ")}`;
  const group = createSvg("g", { class: `variant-row${isBaseline(variant) ? " baseline" : ""}` },
    createSvg("title", {}, tooltip),
    createSvg("rect", { x: 0, y: y - 13, width, height: ROW_HEIGHT, class: "row" }));
  group.append(createMarker(variant, 9, y + 3, name), createNameLabel(name, 22, y + 3, left - 34));
  if (figure.interval) {
    const [from, to] = figure.interval.map(x);
    group.append(createSvg("path", { d: `M${from},${y - 4}v8m0,-4H${to}m0,-4v8`, class: `${seriesClass(variant)} whisker` }));
  }
  for (const value of figure.values.length > 1 ? figure.values : []) {
    if (value === null) continue;
    group.append(createSvg("circle", { cx: x(value), cy: y + 10, r: 2.5, class: `${seriesClass(variant)} seed` }));
  }
  group.append(createMarker(variant, x(figure.value), y, tooltip));
  group.append(createSvg("text", { x: width - 2, y: y + 3, class: "end middle value" }, text));
  svg.append(group);
}

function initVariants() {
  const filled = data.columns.filter((column) => rankedVariants(column).length);
  if (!filled.length) return byId("variant-chart").replaceChildren(placeholder("There are no figures."));
  let shown = filled[0].key;
  const change = (key) => { shown = key; drawVariants(shown); };
  const options = filled.map((column) => [column.key, columnTitle(column)]);
  byId("variant-controls").append(selectBox("Show", options, shown, change));
  keepDrawn("variant-chart", () => drawVariants(shown));
}
