// The attention explorer: one sentence, with the heat maps of the chosen variants side by side.

const MAX_PANEL_WIDTH = 576; // px: two panels fit side by side, and a wider map scrolls
const MAX_SHOWN = 3; // variants at the start, the baseline among them

const withAttention = data.variants.flatMap((variant, i) => (variant.attention === null ? [] : [i]));
const baselineFirst = [...withAttention].sort((a, b) => isBaseline(b) - isBaseline(a));
const state = {
  sentence: 0,
  shown: new Set(baselineFirst.slice(0, MAX_SHOWN).sort((a, b) => a - b)), // variants
  mergeWords: true,
  maps: new Map(), // variant -> {layer, head}
  pinned: null, // [variant, row, column] of the word that stays highlighted
  drawing: 0, // number of the latest drawPanels
};
const panels = new Map(); // variant -> {view, map, strip, note, window} of the panels with a heat map

/** Highlight a row of a variant, and the same word in every other. */
function highlight(variant, row, column = -1) {
  const view = panels.get(variant)?.view;
  if (!view) return;
  const label = view.target.labels[row], position = row / Math.max(view.rows - 1, 1);
  for (const [other, panel] of panels) {
    const [ownRow, ownColumn] = other === variant ? [row, column] : [findSameWord(panel.view, label, position), -1];
    panel.map.show(ownRow, ownColumn);
    panel.strip.show(ownRow);
    panel.note.textContent = ownRow >= 0 ? describeCell(panel, ownRow, ownColumn) : `does not output “${label}”`;
  }
}

/** A row, and a cell of it if there is one, in words and numbers. */
function describeCell({ view, window }, row, column) {
  const parts = [`“${view.target.labels[row]}”`];
  if (column >= 0) {
    const weight = formatNumber(view.weights[row * view.columns + column], 3);
    parts.push(`${weight} on “${view.source.labels[column]}”`);
  }
  if (view.centers) parts.push(`window centre ${formatNumber(view.centers[row], 1)}${window ? ` ± ${window}` : ""}`);
  return parts.join(", ");
}

/** Highlight the pinned word, or the only one of each output, such as a label. */
function resetHighlight() {
  if (state.pinned) return highlight(...state.pinned);
  for (const panel of panels.values()) {
    const row = panel.view.rows > 2 ? -1 : 0; // the second one is the end
    panel.map.show(row);
    panel.strip.show(row);
    panel.note.textContent = row < 0 ? "" : describeCell(panel, row, -1);
  }
}

function togglePin(variant, row, column = -1) {
  const isPinned = state.pinned && state.pinned[0] === variant && state.pinned[1] === row;
  state.pinned = isPinned ? null : [variant, row, column];
  resetHighlight();
}

/** Arrow keys up and down move the pin through the target words of a map. */
function onMapKey(event, variant) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const panel = panels.get(variant);
  if (!step || !panel) return;
  event.preventDefault();
  const last = panel.view.rows - 1, start = step > 0 ? 0 : last;
  const row = state.pinned?.[0] === variant ? state.pinned[1] + step : start;
  state.pinned = [variant, Math.min(Math.max(row, 0), last)];
  highlight(...state.pinned);
  panel.map.rowLabels.children[state.pinned[1]].scrollIntoView({ block: "nearest", inline: "nearest" });
}

/** The choice of a Transformer's weights: the default of all variants, or a layer and a head or means over them. */
function createMapControls(variant, maps) {
  const chosen = state.maps.get(variant) ?? { layer: "default", head: "mean" };
  const numbered = (name, count) => [...Array(count).keys()].map((i) => [i, `${name} ${i + 1}`]);
  const change = (key) => (value) => { state.maps.set(variant, { ...chosen, [key]: value }); drawPanels(); };
  const layers = [
    ["default", "last layer, mean of heads"], ["mean", "mean of layers"], ...numbered("layer", maps.layers),
  ];
  const heads = [["mean", "mean of heads"], ...numbered("head", maps.heads)];
  const headBox = selectBox("Head", heads, chosen.head, change("head"));
  headBox.querySelector("select").disabled = chosen.layer === "default";
  return createHtml("div", { class: "controls" }, selectBox("Weights", layers, chosen.layer, change("layer")), headBox);
}

/** The panel of a variant: {article}, and what `panels` holds where there is a heat map. */
async function createPanel(variant) {
  const { name, attention: index, window } = data.variants[variant];
  const article = createHtml("article", { class: "panel", "data-variant": variant, "aria-label": name });
  article.append(variantLabel("h3", variant));
  const sentence = await loadAttention(index, state.sentence);
  if (!sentence) {
    article.append(placeholder("The weights of this sentence were left out to keep the page small."));
    return { article };
  }
  const maps = await loadMaps(index, state.sentence);
  if (maps) article.append(createMapControls(variant, maps));
  else if (byId(`maps-${index}-0`)) {
    article.append(placeholder("The layers and heads of this sentence were left out to keep the page small."));
  }
  if (!sentence.target.length) {
    article.append(placeholder("The hypothesis is empty, so there is no map."), ...createBeam(sentence.alternatives));
    return { article };
  }
  const chosen = state.maps.get(variant);
  const isDefault = !maps || !chosen || chosen.layer === "default";
  const bytes = isDefault ? sentence.weights : meanMap(maps, chosen.layer, chosen.head);
  const view = createView(sentence, bytes, state.mergeWords);
  const onPoint = (...cell) => highlight(variant, ...cell), onPick = (...cell) => togglePin(variant, ...cell);
  const map = createHeatMap(view, window, onPoint, onPick);
  const strip = createSourceStrip(view), note = createHtml("p", { class: "note", role: "status" });
  map.element.addEventListener("pointerleave", resetHighlight);
  map.rowLabels.addEventListener("keydown", (event) => onMapKey(event, variant));
  article.append(strip.element, note, map.element, ...createBeam(sentence.alternatives));
  return { article, view, map, strip, note, window };
}

/** The other hypotheses of the beam with their scores. */
function createBeam(alternatives) {
  if (!alternatives.length) return [];
  const items = alternatives.map(([text, score]) => createHtml("li", {},
    createHtml("span", { class: "score" }, formatNumber(score, 3)),
    createHtml("span", { dir: "auto" }, text || "(empty)")));
  return [createHtml("h4", {}, "Other hypotheses of the beam"), createHtml("ol", { class: "beam" }, ...items)];
}

/** A variant's name with its marker. */
function variantLabel(element, variant) {
  const attributes = { width: 14, height: 14, viewBox: "-7 -7 14 14", "aria-hidden": "true" };
  const marker = createSvg("svg", attributes, createMarker(variant, 0, 0, ""));
  return createHtml(element, {}, marker, createHtml("bdi", {}, data.variants[variant].name));
}

async function drawPanels() {
  const drawing = ++state.drawing;
  const created = await Promise.all([...state.shown].map(async (variant) => [variant, await createPanel(variant)]));
  if (drawing !== state.drawing) return; // superseded while the blocks were loading
  const focused = document.activeElement?.closest?.(".panel")?.dataset.variant;
  panels.clear();
  for (const [variant, panel] of created) if (panel.view) panels.set(variant, panel);
  const widest = Math.max(...[...panels.values()].map((panel) => panel.map.width + 50), 320);
  const width = `min(${Math.min(widest, MAX_PANEL_WIDTH)}px, 100%)`;
  byId("panels").style.gridTemplateColumns = `repeat(auto-fit, minmax(${width}, 1fr))`;
  byId("panels").replaceChildren(...created.map(([, panel]) => panel.article));
  if (focused !== undefined) panels.get(Number(focused))?.map.rowLabels.focus({ preventScroll: true });
  resetHighlight();
  document.documentElement.dataset.drawn = `${state.sentence}`;
}

/** A row of the texts: what it is, its quality, the text. */
function textRow(head, text, quality = "") {
  return [
    createHtml("dt", {}, head), createHtml("dd", { class: "quality" }, quality),
    createHtml("dd", { dir: "auto" }, text || "(empty)"),
  ];
}

/** Source, references, and the hypothesis of each variant. */
function drawTexts() {
  const rows = textRow("Source", texts.sources[state.sentence]);
  texts.references.forEach((lines, i) => {
    rows.push(...textRow(texts.references.length > 1 ? `Reference ${i + 1}` : "Reference", lines[state.sentence]));
  });
  for (const [variant, lines] of [...texts.hypotheses].sort(([a], [b]) => a - b)) {
    const quality = texts.qualities.get(variant)?.[state.sentence];
    const number = quality === undefined ? "" : formatNumber(quality, 1);
    rows.push(...textRow(variantLabel("span", variant), lines[state.sentence], number));
  }
  const measure = createHtml("small", {}, texts.qualities.size && data.quality ? `with ${data.quality}` : "");
  const heading = createHtml("h3", {}, `Sentence ${formatNumber(numberOf(state.sentence), 0)}`, measure);
  byId("sentence").replaceChildren(heading, createHtml("dl", { class: "texts" }, ...rows));
}

function showSentence(sentence) {
  if (sentence === undefined || sentence < 0 || sentence >= texts.sources.length) return;
  [state.sentence, state.pinned] = [sentence, null];
  drawTexts();
  scrollToSentence(sentence);
  redrawList();
  return drawPanels();
}

const redrawList = () => drawList(state.sentence, state.shown, showSentence);

/** Search and sort anew. */
function updateList() {
  findSentences(state.shown);
  byId("sentence-list").scrollTop = 0;
  scrollToSentence(state.sentence);
  redrawList();
}

/** Show the sentence some steps before or after the current one in the list. */
function moveInList(steps) {
  const index = list.matches.indexOf(state.sentence);
  showSentence(index < 0 ? list.matches[0] : list.matches[index + steps]);
}

function onPageKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.target.closest?.("input:not([type=checkbox]), select, .wide")) return;
  if (event.key === "Escape") {
    state.pinned = null;
    resetHighlight();
  }
  const keys = { ArrowLeft: -1, ArrowRight: 1 };
  if (event.target.id === "sentence-list") Object.assign(keys, { ArrowUp: -1, ArrowDown: 1, PageUp: -8, PageDown: 8 });
  const steps = keys[event.key];
  if (!steps) return;
  event.preventDefault();
  moveInList(steps);
}

/** Whether the sources separate words by spaces; else each is one long word, and pieces are more useful. */
function usesSpaces() {
  const surplus = texts.sources.slice(0, 100).map((text) => text.split(" ").length - text.length / 15);
  return surplus.reduce((sum, value) => sum + value, 0) > 0;
}

/** A checkbox that shows or hides a variant. */
function variantCheckbox(variant) {
  const change = (event) => {
    if (event.target.checked) state.shown.add(variant);
    else state.shown.delete(variant);
    state.shown = new Set([...state.shown].sort((a, b) => a - b));
    updateList();
    drawPanels();
  };
  const box = createHtml("input", { type: "checkbox", checked: state.shown.has(variant), change });
  return createHtml("label", { class: "chip" }, box, variantLabel("span", variant));
}

function initControls() {
  const search = createHtml("input", { type: "search", placeholder: "number or words", input: () => {
    list.query = search.value;
    updateList();
    if (list.matches.length && !list.matches.includes(state.sentence)) showSentence(list.matches[0]);
  } });
  const changeOrder = (value) => {
    list.order = value;
    updateList();
    showSentence(list.matches[0]);
  };
  const changeUnit = (value) => {
    [state.mergeWords, state.pinned] = [value === "words", null];
    drawPanels();
  };
  const units = [["words", "words"], ["pieces", "subwords"]];
  byId("explorer-controls").append(
    createHtml("label", {}, "Find ", search),
    selectBox("Order", orderOptions(), list.order, changeOrder),
    selectBox("Show", units, state.mergeWords ? "words" : "pieces", changeUnit),
    createHtml("span", { id: "found", role: "status" }),
    createHtml("fieldset", {}, createHtml("legend", {}, "Variants"), ...withAttention.map(variantCheckbox)),
    createHtml("p", { class: "scale", "aria-hidden": "true" },
      "weight 0 ", createHtml("span", { class: "ramp" }), " 1"),
  );
}

async function initExplorer() {
  await loadTexts();
  if (!texts.sources.length) return byId("explorer-controls").replaceChildren("There are no sentences.");
  state.mergeWords = usesSpaces();
  initControls();
  byId("sentence-list").addEventListener("scroll", redrawList);
  document.addEventListener("keydown", onPageKey);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    panels.forEach((panel) => panel.map.repaint());
    resetHighlight();
  });
  updateList();
  await showSentence(list.matches[0]);
  documentParsed.then(() => byId("attention").append(byId("left-out"))); // it is known after the last block
  if (!withAttention.length) byId("panels").replaceChildren(placeholder("No variant has stored attention."));
}

initVariants();
initTable();
initCurves();
initLengths();
initScatters();
initExplorer().then(() => { document.documentElement.dataset.ready = "yes"; });
