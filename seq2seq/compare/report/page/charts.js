// The charts of the page: learning curves, quality by source length, quality against speed and size.

// Index of each field of a point.
const POINT = { update: 0, seconds: 1, processor_seconds: 2, loss: 3, dev_loss: 4, dev_score: 5 };
const CURVE_X = [
  ["update", "updates"], ["seconds", "training time in s"], ["processor_seconds", "training time in CPU s"],
];
const CURVE_Y = [["dev_score", "dev score"], ["dev_loss", "dev loss"], ["loss", "training loss"]];
const MOST_BESIDE = 24; // names beside their points; more are listed at the right
const NEAR = 24; // places that are tried before a name may cover an error bar
// Keys of columns.
const SPEED = /per_second|speed|seconds|milliseconds|latency/, SIZE = /parameters|size|bytes|memory|mib|mb$/;

/** Means over the seeds at the updates that all of them have: [{x, y, low, high, update}, ...]. */
function meanCurve(curves, xKey, yKey) {
  const complete = (point) => point[POINT[yKey]] !== null && point[POINT[xKey]] !== null;
  const seeds = curves.map((curve) => curve.filter(complete)).filter((points) => points.length)
    .map((points) => new Map(points.map((point) => [point[POINT.update], point])));
  if (!seeds.length) return [];
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const common = [...seeds[0].keys()].filter((update) => seeds.every((seed) => seed.has(update)));
  return common.sort((a, b) => a - b).map((update) => {
    const points = seeds.map((seed) => seed.get(update));
    const ys = points.map((point) => point[POINT[yKey]]);
    const x = mean(points.map((point) => point[POINT[xKey]]));
    return { update, x, y: mean(ys), low: Math.min(...ys), high: Math.max(...ys) };
  });
}

function drawCurves(xKey, yKey) {
  const lines = data.variants
    .map((variant, i) => ({ variant: i, name: variant.name, points: meanCurve(variant.curves, xKey, yKey) }))
    .filter((line) => line.points.length);
  if (!lines.length) return byId("curve-chart").replaceChildren(placeholder("The runs logged no such values."));
  const points = lines.flatMap((line) => line.points);
  const [xLabel, yLabel] = [[CURVE_X, xKey], [CURVE_Y, yKey]].map(([axis, key]) => new Map(axis).get(key));
  const chart = createChart({
    id: "curve-chart", labels: lines.length, xs: [0, paddedRange(points.map((point) => point.x), 0.01)[1]],
    ys: paddedRange(points.flatMap((point) => [point.low, point.high])),
    xLabel, yLabel, right: nameMargin(lines),
    describe: `${yLabel} against ${xLabel} of ${lines.map((line) => line.name).join(", ")}`,
  });
  for (const line of lines) drawCurve(chart, line);
  labelLineEnds(chart, lines.map(({ variant, name, points }) => (
    { variant, name, x: chart.x(points.at(-1).x), y: chart.y(points.at(-1).y) })));
  byId("curve-chart").replaceChildren(chart.svg);
}

/** The mean of a variant as a line in the band of its seeds, with markers where there are few points. */
function drawCurve(chart, { variant, name, points }) {
  const path = (value) => points.map((point) => `${chart.x(point.x)},${chart.y(value(point))}`);
  const band = [...path((point) => point.low), ...path((point) => point.high).reverse()];
  chart.svg.append(createSvg("path", { d: `M${band.join("L")}Z`, class: `${seriesClass(variant)} band` }));
  chart.svg.append(createLine(variant, path((point) => point.y)));
  for (const point of points.length <= 40 ? points : [points.at(-1)]) {
    const spread = point.low < point.high ? ` (${formatNumber(point.low)} to ${formatNumber(point.high)})` : "";
    const tooltip = `${name}, update ${formatNumber(point.update, 0)}: ${formatNumber(point.y)}${spread}`;
    chart.svg.append(createMarker(variant, chart.x(point.x), chart.y(point.y), tooltip));
  }
}

function initCurves() {
  const has = (key) => data.variants.some((variant) =>
    variant.curves.some((curve) => curve.some((point) => point[POINT[key]] !== null)));
  const shown = { x: "update", y: (CURVE_Y.find(([key]) => has(key)) ?? CURVE_Y[0])[0] };
  const change = (axis) => (value) => { shown[axis] = value; drawCurves(shown.x, shown.y); };
  byId("curve-controls").append(
    selectBox("Show", CURVE_Y, shown.y, change("y")), selectBox("against", CURVE_X, shown.x, change("x")));
  keepDrawn("curve-chart", () => drawCurves(shown.x, shown.y));
}

function drawLengths(key) {
  const column = columnOf(key) ?? { label: key, digits: 2, unit: "", better: "" };
  const lines = data.variants.map((variant, i) => ({ variant: i, name: variant.name, values: variant.buckets[key] }))
    .filter(({ values }) => values);
  const chart = createChart({
    id: "length-chart", labels: lines.length, xs: null, ys: paddedRange(lines.flatMap((line) => line.values)), names: data.buckets,
    xLabel: "source words", yLabel: axisLabel(column), right: nameMargin(lines),
    describe: `${column.label} by source length of ${lines.map((line) => line.name).join(", ")}`,
  });
  const ends = [];
  for (const { variant, name, values } of lines) {
    const points = values.map((value, i) => ({ value, x: chart.x(i), i })).filter((point) => point.value !== null);
    if (!points.length) continue;
    chart.svg.append(createLine(variant, points.map((point) => `${point.x},${chart.y(point.value)}`)));
    for (const { value, x, i } of points) {
      const tooltip = `${name}, ${data.buckets[i]} words: ${formatNumber(value, column.digits)}`;
      chart.svg.append(createMarker(variant, x, chart.y(value), tooltip));
    }
    ends.push({ variant, name, x: points.at(-1).x, y: chart.y(points.at(-1).value) });
  }
  labelLineEnds(chart, ends);
  byId("length-chart").replaceChildren(chart.svg);
}

function initLengths() {
  const keys = [...new Set(data.variants.flatMap((variant) => Object.keys(variant.buckets)))];
  if (!keys.length || !data.buckets.length) {
    return byId("length-chart").replaceChildren(placeholder("There are no scores by source length."));
  }
  const options = keys.map((key) => [key, columnOf(key)?.label ?? key]);
  let shown = keys[0];
  const change = (key) => { shown = key; drawLengths(shown); };
  byId("length-controls").append(selectBox("Show", options, shown, change));
  keepDrawn("length-chart", () => drawLengths(shown));
}

/** A name beside each point, at the nearest place where it covers no point and no name, and, if there is one, no error
    bar; a line leads to one further away. */
function labelPoints(chart, points) {
  const taken = points.map((point) => [point.x - 6, point.y - 6, point.x + 6, point.y + 6]);
  const overlaps = ([left, top, right, bottom]) => ([l, t, r, b]) => left < r && right > l && top < b && bottom > t;
  const isFree = (box) => !taken.some(overlaps(box));
  const bars = points.map(({ x, b }) => b.interval && [x, chart.y(b.interval[1]), x, chart.y(b.interval[0])]).filter(Boolean);
  const isClear = (box) => isFree(box) && !bars.some(overlaps(box));
  const isInside = ([left, top, right, bottom]) =>
    left > MARGIN.left && right < chart.width && top >= 0 && bottom <= chart.bottom;
  const rest = [];
  for (const point of points) {
    const width = textWidth(shortName(point.name));
    const box = ([x, y]) => [x, y - 8, x + width, y + 8];
    const places = placesAround(point, width).filter((candidate) => isInside(box(candidate)));
    const place = places.slice(0, NEAR).find((near) => isClear(box(near))) ?? places.find((any) => isFree(box(any)));
    if (!place) {
      rest.push(point);
      continue;
    }
    const [x, y] = place;
    taken.push(box(place));
    const from = Math.max(x, Math.min(point.x, x + width));
    if (Math.hypot(from - point.x, y - point.y) > 20) {
      const leader = `M${point.x},${point.y}L${from},${y + Math.sign(point.y - y) * 8}`;
      chart.svg.append(createSvg("path", { d: leader, class: `${seriesClass(point.variant)} leader` }));
    }
    chart.svg.append(createNameLabel(point.name, x, y));
  }
  labelLineEnds(chart, rest);
}

/** Places [left, middle] for a name of that width: to the sides of its point, above and below, then further away. */
function placesAround({ x, y }, width) {
  const places = [[x + 10, y], [x - 10 - width, y]];
  for (let distance = 15; distance < CHART_HEIGHT; distance += 9) {
    for (const dy of [-distance, distance]) {
      places.push(...[-width / 2, 8, -8 - width, distance, -distance - width].map((dx) => [x + dx, y + dy]));
    }
  }
  return places;
}

/** A point per variant at two columns, with error bars in y. */
function drawScatter(id, xKey, yKey) {
  const [xColumn, yColumn] = [columnOf(xKey), columnOf(yKey)];
  const shown = data.variants
    .map((variant, i) => ({ variant: i, name: variant.name, a: variant.figures[xKey], b: variant.figures[yKey] }))
    .filter(({ a, b }) => a && b && a.value !== null && b.value !== null);
  if (!shown.length) return byId(id).replaceChildren(placeholder("No variant has both measures."));
  const listed = shown.length > MOST_BESIDE;
  const chart = createChart({
    id, xs: paddedRange(shown.map(({ a }) => a.value), 0.25), labels: listed ? shown.length : 0,
    ys: paddedRange(shown.flatMap(({ b }) => [b.value, ...(b.interval ?? [])]), 0.12),
    right: nameMargin(shown), xLabel: axisLabel(xColumn), yLabel: axisLabel(yColumn),
    describe: `${yColumn.label} against ${xColumn.label}`,
  });
  const points = shown.map((point) => ({ ...point, x: chart.x(point.a.value), y: chart.y(point.b.value) }));
  for (const { b: { interval }, variant, x } of points.filter((point) => point.b.interval)) {
    const ends = { x1: x, x2: x, y1: chart.y(interval[0]), y2: chart.y(interval[1]) };
    chart.svg.append(createSvg("line", { ...ends, class: `${seriesClass(variant)} whisker` }));
  }
  for (const { variant, name, a, b, x, y } of points) {
    const values = [formatNumber(b.value, yColumn.digits), formatNumber(a.value, xColumn.digits)];
    chart.svg.append(createMarker(variant, x, y, `${name}: ${values.join(" at ")} ${xColumn.unit}`));
  }
  (listed ? labelLineEnds : labelPoints)(chart, points);
  byId(id).replaceChildren(chart.svg);
}

function initScatters() {
  const filled = data.columns.filter((column) => data.variants.some((variant) => variant.figures[column.key]));
  if (filled.length < 2) {
    return byId("speed-chart").replaceChildren(placeholder("There are fewer than two measures to plot."));
  }
  const isSpeed = (column) => SPEED.test(column.key), isSize = (column) => SIZE.test(column.key);
  const shown = {
    y: (filled.find((column) => !isSpeed(column) && !isSize(column)) ?? filled[0]).key,
    "speed-chart": (filled.find(isSpeed) ?? filled[1]).key,
    "size-chart": (filled.find(isSize) ?? filled.at(-1)).key,
  };
  const ids = ["speed-chart", "size-chart"];
  const draw = () => ids.forEach((id) => drawScatter(id, shown[id], shown.y));
  const change = (key) => (value) => { shown[key] = value; draw(); };
  const options = filled.map((column) => [column.key, columnTitle(column)]); // units distinguish columns of one label
  byId("cost-controls").append(
    selectBox("Show", options, shown.y, change("y")),
    selectBox("against", options, shown["speed-chart"], change("speed-chart")),
    selectBox("and against", options, shown["size-chart"], change("size-chart")),
  );
  ids.forEach((id) => keepDrawn(id, () => drawScatter(id, shown[id], shown.y)));
}
