// Heat maps of attention: target words as rows, source words as columns, the weight as the depth of one colour.

const CELL = 24, MAX_LABEL = 150, GAUSSIAN_HEIGHT = 34; // px; must agree with the grid in heatmap.css
const LABEL_ANGLE = 55; // degrees, of column labels

let mapCount = 0; // of the maps created so far, for unique ids of row labels

const measuringContext = document.createElement("canvas").getContext("2d");

/** Width of a text in px, in the font of labels. */
function textWidth(text) {
  measuringContext.font = `13px ${getComputedStyle(document.body).fontFamily}`;
  return measuringContext.measureText(text).width;
}

/** The text, truncated to a width in px. */
function truncate(text, maxWidth) {
  if (textWidth(text) <= maxWidth) return text;
  const characters = [...text];
  while (characters.length && textWidth(characters.join("") + "…") > maxWidth) characters.pop();
  return characters.join("") + "…";
}

/** The colours [r, g, b] of weights 0 and 1, from custom properties such as --map-0: "255 255 255". */
function scaleColours() {
  const style = getComputedStyle(document.documentElement);
  return ["--map-0", "--map-1"].map((name) => style.getPropertyValue(name).trim().split(/\s+/).map(Number));
}

/** The colour of a weight from 0 to 1. */
function weightColour(weight, [from, to]) {
  const share = Math.min(Math.max(weight, 0), 1);
  return from.map((value, i) => Math.round(value + (to[i] - value) * share));
}

/** Black or white, whichever has more contrast with a colour. */
function textColour(rgb) {
  const [r, g, b] = rgb.map((value) => (value / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 ? "#000" : "#fff";
}

/** One pixel per weight; CSS enlarges the canvas. */
function paintWeights(canvas, view) {
  [canvas.width, canvas.height] = [view.columns, view.rows];
  const context = canvas.getContext("2d"), image = context.createImageData(view.columns, view.rows);
  const colours = scaleColours();
  view.weights.forEach((weight, i) => image.data.set([...weightColour(weight, colours), 255], 4 * i));
  context.putImageData(image, 0, 0);
}

function setSize(element, width, height) {
  element.style.width = `${width}px`;
  element.style.height = `${height}px`;
  return element;
}

/** The source words, slanted, with space below for a window's Gaussian. */
function createColumnLabels(view) {
  const texts = view.source.labels.map((label) => truncate(label, MAX_LABEL));
  const longest = Math.max(...texts.map(textWidth), 20), angle = (LABEL_ANGLE * Math.PI) / 180;
  const band = view.centers ? GAUSSIAN_HEIGHT : 0;
  const height = longest * Math.sin(angle) + 22 + band, baseline = height - band - 7;
  const width = view.columns * CELL + longest * Math.cos(angle) + 10;
  const svg = createSvg("svg", { class: "column-labels", width, height, "aria-hidden": "true" });
  texts.forEach((text, i) => {
    const transform = `translate(${(i + 0.5) * CELL + 4},${baseline}) rotate(-${LABEL_ANGLE})`;
    const title = createSvg("title", {}, view.source.labels[i]);
    svg.append(createSvg("text", { transform, "data-column": i }, text, title));
  });
  const gaussian = createSvg("path", { class: "gaussian" });
  const peak = createSvg("line", { class: "peak", y1: height - band, y2: height, visibility: "hidden" });
  svg.append(gaussian, peak);
  return { svg, width, height, gaussian, peak };
}

/** The path of exp(-2 (s - p)² / D²) above the columns, over the positions s of the window [p - D, p + D]. */
function gaussianPath(view, center, window, height) {
  const last = view.source.groups.length - 1, points = [];
  const [from, to] = [Math.max(center - window, -0.5), Math.min(center + window, last + 0.5)];
  for (let i = 0; i <= 80; i++) {
    const position = from + ((to - from) * i) / 80;
    const gain = Math.exp(-2 * ((position - center) / window) ** 2);
    const x = columnPosition(position, view.source.groups) * CELL;
    points.push(`${x},${height - 1 - gain * (GAUSSIAN_HEIGHT - 6)}`);
  }
  const [left, right] = [points[0], points.at(-1)].map((point) => point.split(",")[0]);
  return `M${left},${height - 1}L${points.join("L")}L${right},${height - 1}`;
}

/** The target words, to be pointed at or selected by keys. */
function createRowLabels(view, onPoint, onPick) {
  const list = createHtml("div", { class: "row-labels", role: "listbox", tabindex: 0, "aria-label": "Target words" });
  const id = `map-${mapCount++}`;
  view.target.labels.forEach((label, row) => {
    list.append(createHtml("div", {
      class: "row-label", role: "option", id: `${id}-${row}`, "aria-selected": "false",
      "aria-label": describeRow(view, row), "data-row": row, dir: "auto", title: label,
      pointerenter: () => onPoint(row), click: () => onPick(row),
    }, createHtml("bdi", {}, label)));
  });
  return list;
}

/** A row's three largest weights in words, for screen readers. */
function describeRow(view, row) {
  const weights = [...view.weights.subarray(row * view.columns, (row + 1) * view.columns)];
  const largest = weights.map((weight, column) => ({ weight, column })).sort((a, b) => b.weight - a.weight).slice(0, 3)
    .filter(({ weight }) => weight >= 0.05);
  const parts = largest.map(({ weight, column }) => `${view.source.labels[column]} ${formatNumber(weight)}`);
  return `${view.target.labels[row]}: ${parts.join(", ")}`;
}

/** A ring at the predicted centre of each row. */
function createCentres(view) {
  return [...(view.centers ?? [])].map((center, row) => {
    const cx = columnPosition(clampCentre(center, view), view.source.groups) * CELL, cy = (row + 0.5) * CELL;
    const title = createSvg("title", {}, `predicted centre ${formatNumber(center, 1)}`);
    return createSvg("circle", { class: "centre", cx, cy, r: 4.5 }, title);
  });
}

/**
 * A heat map: {element, rowLabels, show(row, column), width, repaint()}.
 * `onPoint` and `onPick` receive a row, and the column unless the row's label was pointed at.
 */
function createHeatMap(view, window, onPoint, onPick) {
  const columnLabels = createColumnLabels(view), rowLabels = createRowLabels(view, onPoint, onPick);
  const [width, height] = [view.columns * CELL, view.rows * CELL];
  const canvas = setSize(createHtml("canvas", { "aria-hidden": "true" }), width, height);
  const frame = createSvg("rect", { class: "frame", x: 0.5, width: width - 1, height: CELL, visibility: "hidden" });
  const overlay = createSvg("svg", { class: "overlay", width, height, "aria-hidden": "true" }, frame);
  overlay.append(...createCentres(view));
  const cellAt = (event) => {
    const box = canvas.getBoundingClientRect();
    const index = (offset, count) => Math.min(Math.max(Math.floor(offset / CELL), 0), count - 1);
    return [index(event.clientY - box.top, view.rows), index(event.clientX - box.left, view.columns)];
  };
  const events = { pointermove: (event) => onPoint(...cellAt(event)), click: (event) => onPick(...cellAt(event)) };
  const cells = createHtml("div", { class: "cells", ...events }, canvas, overlay);
  const grid = createHtml("div", { class: "grid" }, createHtml("div", { class: "corner" }));
  grid.append(columnLabels.svg, rowLabels, setSize(cells, columnLabels.width, height));

  /** Highlight a row, and a column where there is one; -1: none. */
  function show(row, column = -1) {
    for (const option of rowLabels.children) {
      option.setAttribute("aria-selected", String(Number(option.dataset.row) === row));
    }
    for (const label of columnLabels.svg.querySelectorAll("text")) {
      label.classList.toggle("here", Number(label.dataset.column) === column);
    }
    rowLabels.setAttribute("aria-activedescendant", rowLabels.children[row]?.id ?? "");
    frame.setAttribute("visibility", row < 0 ? "hidden" : "visible");
    frame.setAttribute("y", row * CELL);
    showWindow(row);
  }

  function showWindow(row) {
    const { gaussian, peak } = columnLabels;
    const hasWindow = row >= 0 && view.centers && window;
    peak.setAttribute("visibility", hasWindow ? "visible" : "hidden");
    gaussian.setAttribute("d", "");
    if (!hasWindow) return;
    const center = clampCentre(view.centers[row], view), x = columnPosition(center, view.source.groups) * CELL;
    gaussian.setAttribute("d", gaussianPath(view, center, window, columnLabels.height));
    peak.setAttribute("x1", x);
    peak.setAttribute("x2", x);
  }

  paintWeights(canvas, view);
  const widest = Math.max(...view.target.labels.map(textWidth), 20);
  return {
    element: createHtml("div", { class: "map" }, grid), rowLabels, show,
    width: Math.min(widest + 20, 176) + columnLabels.width, repaint: () => paintWeights(canvas, view),
  };
}

/** A predicted centre beyond the end of the source counts as its last position. */
const clampCentre = (center, view) => Math.min(center, view.source.groups.length - 1);

/** The direction of a text, by its first letter. */
function textDirection(text) {
  return /^\P{L}*[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]/u.test(text) ? "rtl" : "ltr";
}

/** The source as running text, coloured by the weights of a target word: {element, show(row)}. */
function createSourceStrip(view) {
  const words = view.source.labels.map((label) =>
    createHtml("span", { class: "word", dir: "auto" }, createHtml("bdi", {}, label), createHtml("i", {}, "")));
  const element = createHtml("p", { class: "strip", dir: textDirection(view.source.labels.join(" ")) }, ...words);
  function show(row) {
    const colours = scaleColours();
    words.forEach((word, column) => {
      const weight = row < 0 ? 0 : view.weights[row * view.columns + column];
      const rgb = weightColour(weight, colours), attended = weight >= 0.02;
      const [label, number] = word.children;
      label.style.backgroundColor = attended ? `rgb(${rgb})` : "";
      label.style.color = attended ? textColour(rgb) : "";
      word.classList.toggle("attended", attended);
      number.textContent = attended ? formatNumber(weight) : "";
    });
  }
  return { element, show };
}
