// One map: target words as rows, source words as columns, the weight as depth of one hue.

const CELL = 24, LONGEST = 150, BAND = 34, SLOPE = (55 * Math.PI) / 180; // px, px, px of the Gaussian, of the heads

let maps = 0; // made so far: ids of rows have to differ

const ruler = document.createElement("canvas").getContext("2d");

/** Width of a text in px as the page writes heads. */
function measure(text) {
  ruler.font = `13px ${getComputedStyle(document.body).fontFamily}`;
  return ruler.measureText(text).width;
}

/** The text cut to a width in px. */
function cut(text, most) {
  if (measure(text) <= most) return text;
  const letters = [...text];
  while (letters.length && measure(letters.join("") + "…") > most) letters.pop();
  return letters.join("") + "…";
}

/** [r, g, b] of a custom property such as --map-0: "255 255 255". */
function ends() {
  const style = getComputedStyle(document.documentElement);
  return ["--map-0", "--map-1"].map((name) => style.getPropertyValue(name).trim().split(/\s+/).map(Number));
}

/** The colour of a weight from 0 to 1. */
function shade(weight, [from, to] = ends()) {
  const share = Math.min(Math.max(weight, 0), 1);
  return from.map((value, i) => Math.round(value + (to[i] - value) * share));
}

/** Black or white, whichever reads better on the colour. */
function readable(rgb) {
  const [r, g, b] = rgb.map((value) => (value / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 ? "#000" : "#fff";
}

function paint(canvas, view) {
  [canvas.width, canvas.height] = [view.columns, view.rows];
  const context = canvas.getContext("2d"), image = context.createImageData(view.columns, view.rows), colours = ends();
  view.weights.forEach((weight, i) => image.data.set([...shade(weight, colours), 255], 4 * i));
  context.putImageData(image, 0, 0);
}

function sized(element, width, height) {
  element.style.width = `${width}px`;
  element.style.height = `${height}px`;
  return element;
}

/** The source words at a slant, with room below for a Gaussian. */
function columnHeads(view) {
  const texts = view.source.labels.map((label) => cut(label, LONGEST));
  const longest = Math.max(...texts.map(measure), 20);
  const band = view.centers ? BAND : 0, height = longest * Math.sin(SLOPE) + 22 + band, base = height - band - 7;
  const width = view.columns * CELL + longest * Math.cos(SLOPE) + 10;
  const svg = draw("svg", { class: "heads", width, height, "aria-hidden": "true" });
  texts.forEach((text, i) => {
    const transform = `translate(${(i + 0.5) * CELL + 4},${base}) rotate(-55)`;
    svg.append(draw("text", { transform, "data-column": i }, text, draw("title", {}, view.source.labels[i])));
  });
  const gaussian = draw("path", { class: "gaussian" }), peak = draw("line", { class: "peak", y1: height - band, y2: height });
  peak.setAttribute("visibility", "hidden");
  svg.append(gaussian, peak);
  return { svg, width, height, gaussian, peak };
}

/** exp(-2 (s - p)^2 / D^2) over the columns, for the positions of the window. */
function gaussianPath(view, center, window, height) {
  const last = view.source.groups.length - 1, points = [];
  const [from, to] = [Math.max(center - window, -0.5), Math.min(center + window, last + 0.5)];
  for (let i = 0; i <= 80; i++) {
    const position = from + ((to - from) * i) / 80;
    const gain = Math.exp(-2 * ((position - center) / window) ** 2);
    points.push(`${place(position, view.source.groups) * CELL},${height - 1 - gain * (BAND - 6)}`);
  }
  return `M${points[0].split(",")[0]},${height - 1}L${points.join("L")}L${points.at(-1).split(",")[0]},${height - 1}`;
}

/** The rows' words, to be pointed at or gone through by keys. */
function rowHeads(view, point, pick) {
  const list = make("div", { class: "rows", role: "listbox", tabindex: 0, "aria-label": "Target words" });
  const id = `map-${maps++}`;
  view.target.labels.forEach((label, row) => {
    list.append(make("div", {
      class: "row", role: "option", id: `${id}-${row}`, "aria-selected": "false", "aria-label": spoken(view, row), "data-row": row,
      dir: "auto", title: label, pointerenter: () => point(row), click: () => pick(row),
    }, make("bdi", {}, label)));
  });
  return list;
}

/** What a row looked at, for those who hear the page. */
function spoken(view, row) {
  const weights = [...view.weights.subarray(row * view.columns, (row + 1) * view.columns)].map((weight, column) => ({ weight, column }));
  const most = weights.sort((a, b) => b.weight - a.weight).slice(0, 3).filter(({ weight }) => weight >= 0.05);
  return `${view.target.labels[row]}: ${most.map(({ weight, column }) => `${view.source.labels[column]} ${figure(weight)}`).join(", ")}`;
}

/** A map that can be pointed at: {element, show(row), repaint()}. `point` and `pick` get a row, and a column where there is one. */
function heatMap(view, window, point, pick) {
  const heads = columnHeads(view), rows = rowHeads(view, point, pick);
  const [width, height] = [view.columns * CELL, view.rows * CELL];
  const canvas = sized(make("canvas", { "aria-hidden": "true" }), width, height);
  const over = draw("svg", { class: "over", width, height, "aria-hidden": "true" });
  const frame = draw("rect", { class: "frame", x: 0.5, width: width - 1, height: CELL, visibility: "hidden" });
  over.append(frame);
  view.centers?.forEach((center, row) => {
    const [cx, cy] = [place(clipped(center, view), view.source.groups) * CELL, (row + 0.5) * CELL];
    over.append(draw("circle", { class: "centre", cx, cy, r: 4.5 },
      draw("title", {}, `predicted centre ${figure(center, 1)}`)));
  });
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const clamp = (value, count) => Math.min(Math.max(Math.floor(value / CELL), 0), count - 1);
    return [clamp(event.clientY - box.top, view.rows), clamp(event.clientX - box.left, view.columns)];
  };
  const events = { pointermove: (event) => point(...at(event)), click: (event) => pick(...at(event)) };
  const cells = make("div", { class: "cells", ...events }, canvas, over);
  const grid = make("div", { class: "grid" }, make("div", { class: "corner" }), heads.svg, rows, sized(cells, heads.width, height));
  const element = make("div", { class: "map" }, grid);

  function show(row, column = -1) {
    for (const option of rows.children) option.setAttribute("aria-selected", String(Number(option.dataset.row) === row));
    for (const head of heads.svg.querySelectorAll("text")) head.classList.toggle("here", Number(head.dataset.column) === column);
    rows.setAttribute("aria-activedescendant", rows.children[row]?.id ?? "");
    frame.setAttribute("visibility", row < 0 ? "hidden" : "visible");
    frame.setAttribute("y", row * CELL);
    const windowed = row >= 0 && view.centers && window;
    heads.peak.setAttribute("visibility", windowed ? "visible" : "hidden");
    heads.gaussian.setAttribute("d", "");
    if (!windowed) return;
    const center = clipped(view.centers[row], view), x = place(center, view.source.groups) * CELL;
    heads.gaussian.setAttribute("d", gaussianPath(view, center, window, heads.height));
    heads.peak.setAttribute("x1", x);
    heads.peak.setAttribute("x2", x);
  }
  paint(canvas, view);
  const widest = Math.max(...view.target.labels.map(measure), 20);
  return { element, rows, show, width: Math.min(widest + 20, 176) + heads.width, repaint: () => paint(canvas, view) };
}

/** A centre behind the end counts as the last position. */
const clipped = (center, view) => Math.min(center, view.source.groups.length - 1);

/** Which way a text runs, by its first letter. */
function direction(text) {
  return /^\P{L}*[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]/u.test(text) ? "rtl" : "ltr";
}

/** The source as running text, each word coloured by what the pointed word gave it: {element, show(row)}. */
function sourceStrip(view) {
  const words = view.source.labels.map((label) => make("span", { class: "word", dir: "auto" }, make("bdi", {}, label), make("i", {}, "")));
  const element = make("p", { class: "strip", dir: direction(view.source.labels.join(" ")) }, ...words);
  function show(row) {
    const colours = ends();
    words.forEach((word, column) => {
      const weight = row < 0 ? 0 : view.weights[row * view.columns + column];
      const rgb = shade(weight, colours), coloured = weight >= 0.02;
      word.firstChild.style.backgroundColor = coloured ? `rgb(${rgb})` : "";
      word.firstChild.style.color = coloured ? readable(rgb) : "";
      word.classList.toggle("seen", coloured);
      word.lastChild.textContent = coloured ? figure(weight) : "";
    });
  }
  return { element, show };
}
