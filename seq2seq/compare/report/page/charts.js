// The charts of the page: learning curves, quality by length, quality against cost.

const POINT = { update: 0, seconds: 1, processor_seconds: 2, loss: 3, dev_loss: 4, dev_score: 5 };
const CURVE_X = [["update", "updates"], ["seconds", "seconds of training"], ["processor_seconds", "processor seconds of training"]];
const CURVE_Y = [["dev_score", "dev score"], ["dev_loss", "dev loss"], ["loss", "training loss"]];

/** Means over the seeds at the updates that all of them have: [{x, y, low, high, update}, ...]. */
function meanCurve(curves, xKey, yKey) {
  const rows = curves.map((curve) => curve.filter((point) => point[POINT[yKey]] !== null && point[POINT[xKey]] !== null));
  const seeds = rows.filter((row) => row.length).map((row) => new Map(row.map((point) => [point[POINT.update], point])));
  if (!seeds.length) return [];
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  return [...seeds[0].keys()].filter((update) => seeds.every((seed) => seed.has(update))).sort((a, b) => a - b).map((update) => {
    const points = seeds.map((seed) => seed.get(update));
    const ys = points.map((point) => point[POINT[yKey]]);
    return { update, x: mean(points.map((point) => point[POINT[xKey]])), y: mean(ys), low: Math.min(...ys), high: Math.max(...ys) };
  });
}

function drawCurves(xKey, yKey) {
  const lines = data.variants.map((variant, number) => ({ number, name: variant.name, points: meanCurve(variant.curves, xKey, yKey) }))
    .filter((line) => line.points.length);
  if (!lines.length) return byId("curve-chart").replaceChildren(make("p", { class: "nothing" }, "The runs have kept no such figures."));
  const all = lines.flatMap((line) => line.points);
  const [xLabel, yLabel] = [[CURVE_X, xKey], [CURVE_Y, yKey]].map(([table, key]) => table.find(([name]) => name === key)[1]);
  const axes = chart({
    xs: [0, range(all.map((point) => point.x), 0.01)[1]], ys: range(all.flatMap((point) => [point.low, point.high])), xLabel, yLabel,
    right: besides(lines), describe: `${yLabel} against ${xLabel} of ${lines.map((line) => line.name).join(", ")}`,
  });
  for (const { number, name, points } of lines) {
    const path = (pick) => points.map((point) => `${axes.x(point.x)},${axes.y(pick(point))}`);
    const band = [...path((point) => point.low), ...path((point) => point.high).reverse()];
    axes.svg.append(draw("path", { d: `M${band.join("L")}Z`, class: `${colour(number)} band` }));
    axes.svg.append(line(number, path((point) => point.y)));
    const sparse = points.length <= 40 ? points : [points.at(-1)];
    for (const point of sparse) {
      const spread = point.low < point.high ? ` (${figure(point.low)} to ${figure(point.high)})` : "";
      const tip = `${name}, update ${figure(point.update, 0)}: ${figure(point.y)}${spread}`;
      axes.svg.append(mark(number, axes.x(point.x), axes.y(point.y), tip));
    }
  }
  nameEnds(axes, lines.map(({ number, name, points }) => ({ number, name, x: axes.x(points.at(-1).x), y: axes.y(points.at(-1).y) })));
  byId("curve-chart").replaceChildren(axes.svg);
}

function startCurves() {
  const has = (key) => data.variants.some((variant) => variant.curves.some((curve) => curve.some((point) => point[POINT[key]] !== null)));
  const shown = { x: "update", y: (CURVE_Y.find(([key]) => has(key)) ?? CURVE_Y[0])[0] };
  const change = (axis) => (value) => { shown[axis] = value; drawCurves(shown.x, shown.y); };
  byId("curve-controls").append(choice("Show", CURVE_Y, shown.y, change("y")), choice("against", CURVE_X, shown.x, change("x")));
  drawCurves(shown.x, shown.y);
}

const columnOf = (key) => data.columns.find((column) => column.key === key);

const named = ({ label, unit }) => label + (unit ? ` (${unit})` : "");

function axisLabel({ better, ...column }) {
  return named(column) + (better ? ` – ${better} is better` : "");
}

function drawLengths(key) {
  const column = columnOf(key) ?? { label: key, digits: 2, unit: "", better: "" };
  const lines = data.variants.map((variant, number) => ({ number, name: variant.name, values: variant.buckets[key] }))
    .filter(({ values }) => values);
  const axes = chart({
    xs: null, ys: range(lines.flatMap((line) => line.values)), names: data.buckets, xLabel: "source words", yLabel: axisLabel(column),
    right: besides(lines), describe: `${column.label} by source length of ${lines.map((line) => line.name).join(", ")}`,
  });
  const ends = [];
  for (const { number, name, values } of lines) {
    const points = values.map((value, i) => ({ value, x: axes.x(i), i })).filter((point) => point.value !== null);
    if (points.length) axes.svg.append(line(number, points.map((point) => `${point.x},${axes.y(point.value)}`)));
    for (const { value, x, i } of points) {
      axes.svg.append(mark(number, x, axes.y(value), `${name}, ${data.buckets[i]} words: ${figure(value, column.digits)}`));
    }
    if (points.length) ends.push({ number, name, x: points.at(-1).x, y: axes.y(points.at(-1).value) });
  }
  nameEnds(axes, ends);
  byId("length-chart").replaceChildren(axes.svg);
}

function startLengths() {
  const keys = [...new Set(data.variants.flatMap((variant) => Object.keys(variant.buckets)))];
  if (!keys.length || !data.buckets.length) {
    return byId("length-chart").replaceChildren(make("p", { class: "nothing" }, "No scores by length were kept."));
  }
  byId("length-controls").append(choice("Show", keys.map((key) => [key, columnOf(key)?.label ?? key]), keys[0], drawLengths));
  drawLengths(keys[0]);
}

const FIELD = 480; // px of the field of points

/** A name beside each point, on the first side where it covers nothing. */
function placeNames(axes, points) {
  const taken = points.map((point) => [point.x - 6, point.y - 6, point.x + 6, point.y + 6]);
  const free = (box) => !taken.some(([l, t, r, b]) => box[0] < r && box[2] > l && box[1] < b && box[3] > t);
  for (const point of points) {
    const text = shortened(point.name), wide = measure(text);
    const sides = [[10, 0], [-10 - wide, 0], [-wide / 2, -15], [-wide / 2, 15], [8, -14], [8, 14], [-8 - wide, -14], [-8 - wide, 14]];
    const box = ([dx, dy]) => [point.x + dx, point.y + dy - 8, point.x + dx + wide, point.y + dy + 8];
    const inside = ([l, , r]) => l > MARGIN.left && r < axes.width;
    const side = sides.find((candidate) => inside(box(candidate)) && free(box(candidate))) ?? sides[0];
    taken.push(box(side));
    const attributes = { x: point.x + side[0], y: point.y + side[1], class: "name middle" };
    axes.svg.append(draw("text", attributes, draw("title", {}, point.name), text));
  }
}

function drawCost(place, xKey, yKey) {
  const [across, up] = [columnOf(xKey), columnOf(yKey)];
  const shown = data.variants.map((variant, number) => ({ number, name: variant.name, a: variant.figures[xKey], b: variant.figures[yKey] }))
    .filter(({ a, b }) => a && b && a[0] !== null && b[0] !== null);
  if (!shown.length) return byId(place).replaceChildren(make("p", { class: "nothing" }, "No variant has both figures."));
  const beyond = Math.max(0, ...shown.map(({ name }) => measure(shortened(name)) - FIELD / 2)); // a name has room on one side of its point
  const axes = chart({
    xs: range(shown.map(({ a }) => a[0]), 0.25), ys: range(shown.flatMap(({ b }) => [b[0], ...(b[1] ?? [])]), 0.12),
    inside: FIELD, right: 16 + beyond,
    xLabel: axisLabel(across), yLabel: axisLabel(up), describe: `${up.label} against ${across.label}`,
  });
  const points = shown.map(({ number, name, a, b }) => ({ number, name, a, b, x: axes.x(a[0]), y: axes.y(b[0]) }));
  for (const { b, number, x } of points.filter((point) => point.b[1])) {
    axes.svg.append(draw("line", { x1: x, x2: x, y1: axes.y(b[1][0]), y2: axes.y(b[1][1]), class: `${colour(number)} whisker` }));
  }
  for (const { number, name, a, b, x, y } of points) {
    axes.svg.append(mark(number, x, y, `${name}: ${figure(b[0], up.digits)} at ${figure(a[0], across.digits)} ${across.unit}`));
  }
  placeNames(axes, points);
  byId(place).replaceChildren(axes.svg);
}

const SPEED = /per_second|speed|seconds|milliseconds|latency/, SIZE = /parameters|size|bytes|memory|mib|mb$/;

function startCosts() {
  const filled = data.columns.filter((column) => data.variants.some((variant) => variant.figures[column.key]));
  if (filled.length < 2) return byId("speed-chart").replaceChildren(make("p", { class: "nothing" }, "There is but one measure."));
  const others = filled.filter((column) => SPEED.test(column.key) || SIZE.test(column.key));
  const quality = filled.filter((column) => !others.includes(column));
  const shown = {
    y: (quality[0] ?? filled[0]).key,
    "speed-chart": (filled.find((column) => SPEED.test(column.key)) ?? filled[1]).key,
    "size-chart": (filled.find((column) => SIZE.test(column.key)) ?? filled.at(-1)).key,
  };
  const again = () => ["speed-chart", "size-chart"].forEach((place) => drawCost(place, shown[place], shown.y));
  const change = (what) => (value) => { shown[what] = value; again(); };
  const options = filled.map((column) => [column.key, named(column)]); // two are called decoding, by their units they differ
  byId("cost-controls").append(
    choice("Show", options, shown.y, change("y")), choice("against", options, shown["speed-chart"], change("speed-chart")),
    choice("and against", options, shown["size-chart"], change("size-chart")),
  );
  again();
}
