// The attention explorer: one sentence, the maps of the variants that are chosen, side by side.

const WIDEST = 576; // px of a panel whose map is wider, so that two stand side by side

const explorable = data.variants.flatMap((variant, i) => (variant.attention === null ? [] : [i]));
const first = [...explorable].sort((a, b) => (data.variants[b].name === data.baseline) - (data.variants[a].name === data.baseline));
const state = { number: 0, shown: new Set(first.slice(0, 3).sort((a, b) => a - b)), merged: true, picks: new Map(), pinned: null, turn: 0 };
const panels = new Map(); // variant -> {view, map, strip, note} of what is drawn

/** Point at a row of a variant: every other shows where it wrote the same word. */
function point(variant, row, column = -1) {
  const source = panels.get(variant)?.view;
  if (!source) return;
  const text = source.target.labels[row], share = row / Math.max(source.rows - 1, 1);
  for (const [other, panel] of panels) {
    const found = other === variant ? row : sameWord(panel.view, text, share);
    panel.map.show(found, other === variant ? column : -1);
    panel.strip.show(found);
    panel.note.textContent = found >= 0 ? pointed(panel, found, other === variant ? column : -1) : `does not write “${text}”`;
  }
}

/** What is pointed at, in figures. */
function pointed({ view, window }, row, column) {
  const parts = [`“${view.target.labels[row]}”`];
  if (column >= 0) parts.push(`${figure(view.weights[row * view.columns + column], 3)} on “${view.source.labels[column]}”`);
  if (view.centers) parts.push(`window centre ${figure(view.centers[row], 1)}${window ? ` ± ${window}` : ""}`);
  return parts.join(", ");
}

function release() {
  if (state.pinned) return point(...state.pinned);
  for (const panel of panels.values()) {
    panel.map.show(-1);
    panel.strip.show(-1);
    panel.note.textContent = "";
  }
}

function pick(variant, row, column = -1) {
  const same = state.pinned && state.pinned[0] === variant && state.pinned[1] === row;
  state.pinned = same ? null : [variant, row, column];
  release();
}

/** Up and down go through the target words of a map. */
function step(event, variant) {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const panel = panels.get(variant);
  if (!by || !panel) return;
  event.preventDefault();
  const row = state.pinned?.[0] === variant ? state.pinned[1] + by : by > 0 ? 0 : panel.view.rows - 1;
  state.pinned = [variant, Math.min(Math.max(row, 0), panel.view.rows - 1)];
  point(...state.pinned);
  panel.map.rows.children[state.pinned[1]].scrollIntoView({ block: "nearest", inline: "nearest" });
}

/** Which weights of a Transformer: those that the head sees, a layer, a head, or a mean over them. */
function mapChoices(variant, maps) {
  const chosen = state.picks.get(variant) ?? { layer: "model", head: "mean" };
  const counted = (name, count) => [...Array(count).keys()].map((i) => [i, `${name} ${i + 1}`]);
  const change = (what) => (value) => { state.picks.set(variant, { ...chosen, [what]: value }); drawPanels(); };
  const layers = [["model", "as the output sees them"], ["mean", "mean of layers"], ...counted("layer", maps.layers)];
  const heads = choice("Head", [["mean", "mean of heads"], ...counted("head", maps.heads)], chosen.head, change("head"));
  heads.querySelector("select").disabled = chosen.layer === "model";
  return make("div", { class: "controls" }, choice("Weights", layers, chosen.layer, change("layer")), heads);
}

/** The pieces of a panel, or a sentence that says why there is none. */
async function panelOf(variant) {
  const { name, attention: index, window } = data.variants[variant];
  const article = make("article", { class: "panel", "data-variant": variant, "aria-label": name }, variantHead("h3", variant));
  const sentence = await explained(index, state.number);
  const alas = (text) => article.append(make("p", { class: "nothing" }, text));
  if (!sentence) {
    alas("The weights of this sentence were left out to keep the page small.");
    return { article };
  }
  const maps = await layersAndHeads(index, state.number), chosen = state.picks.get(variant);
  if (maps) article.append(mapChoices(variant, maps));
  else if (byId(`maps-${index}-0`)) alas("Its layers and heads were left out to keep the page small.");
  if (sentence.target.length) return { article, ...filledPanel(article, variant, sentence, maps, chosen, window) };
  alas("Nothing was written, so there is no map.");
  article.append(...beam(sentence.alternatives));
  return { article };
}

function filledPanel(article, variant, sentence, maps, chosen, window) {
  const bytes = maps && chosen && chosen.layer !== "model" ? mapOf(maps, chosen.layer, chosen.head) : sentence.weights;
  const view = viewOf(sentence, bytes, state.merged);
  const map = heatMap(view, window, (row, column) => point(variant, row, column), (row, column) => pick(variant, row, column));
  const strip = sourceStrip(view), note = make("p", { class: "note", role: "status" });
  map.element.addEventListener("pointerleave", release);
  map.rows.addEventListener("keydown", (event) => step(event, variant));
  article.append(strip.element, note, map.element, ...beam(sentence.alternatives));
  return { view, map, strip, note, window };
}

function beam(alternatives) {
  if (!alternatives.length) return [];
  const score = (value) => make("span", { class: "score" }, figure(value, 3));
  const rows = alternatives.map(([text, value]) => make("li", {}, score(value), make("span", { dir: "auto" }, text || "(empty)")));
  return [make("h4", {}, "Other hypotheses of the beam"), make("ol", { class: "beam" }, ...rows)];
}

/** A variant's name with its mark. */
function variantHead(element, variant) {
  return make(element, {}, draw("svg", { width: 14, height: 14, viewBox: "-7 -7 14 14", "aria-hidden": "true" }, mark(variant, 0, 0, "")),
    make("bdi", {}, data.variants[variant].name));
}

async function drawPanels() {
  const turn = ++state.turn;
  const made = await Promise.all([...state.shown].map(async (variant) => [variant, await panelOf(variant)]));
  if (turn !== state.turn) return; // another sentence was chosen meanwhile
  const focused = document.activeElement?.closest?.(".panel")?.dataset.variant;
  panels.clear();
  for (const [variant, panel] of made) if (panel.view) panels.set(variant, panel);
  const widest = Math.max(...[...panels.values()].map((panel) => panel.map.width + 50), 320);
  byId("panels").style.gridTemplateColumns = `repeat(auto-fit, minmax(min(${Math.min(widest, WIDEST)}px, 100%), 1fr))`;
  byId("panels").replaceChildren(...made.map(([, panel]) => panel.article));
  if (focused !== undefined) panels.get(Number(focused))?.map.rows.focus({ preventScroll: true });
  release();
  document.documentElement.dataset.drawn = `${state.number}`;
}

/** A row of the texts: what it is, its quality, the text. */
function textRow(head, text, quality = "") {
  return [make("dt", {}, head), make("dd", { class: "quality" }, quality), make("dd", { dir: "auto" }, text || "(empty)")];
}

/** The text of the sentence: source, references, what each variant wrote. */
function drawTexts() {
  const count = texts.references.length;
  const references = texts.references.flatMap((lines, i) => textRow(count > 1 ? `Reference ${i + 1}` : "Reference", lines[state.number]));
  const written = [...texts.hypotheses].sort(([a], [b]) => a - b).flatMap(([variant, lines]) => {
    const quality = texts.qualities.get(variant)?.[state.number];
    return textRow(variantHead("span", variant), lines[state.number], quality === undefined ? "" : figure(quality, 1));
  });
  const measure = make("small", {}, texts.qualities.size && data.quality ? `with ${data.quality}` : "");
  const source = textRow("Source", texts.sources[state.number]);
  byId("sentence").replaceChildren(make("h3", {}, `Sentence ${figure(numberOf(state.number), 0)}`, measure),
    make("dl", { class: "texts" }, ...source, ...references, ...written));
}

function choose(number) {
  if (number === undefined || number < 0 || number >= texts.sources.length) return;
  [state.number, state.pinned] = [number, null];
  drawTexts();
  reveal(number);
  redrawList();
  return drawPanels();
}

const redrawList = () => drawList(state.number, state.shown, choose);

function refresh() {
  findSentences(state.shown);
  byId("sentence-list").scrollTop = 0;
  reveal(state.number);
  redrawList();
}

function go(by) {
  const at = list.matches.indexOf(state.number);
  choose(at < 0 ? list.matches[0] : list.matches[at + by]);
}

function onKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest?.("input:not([type=checkbox]), select, .wide")) return;
  const inList = event.target.id === "sentence-list";
  const by = { ArrowLeft: -1, ArrowRight: 1, ...(inList ? { ArrowUp: -1, ArrowDown: 1, PageUp: -8, PageDown: 8 } : {}) }[event.key];
  if (event.key === "Escape") { state.pinned = null; release(); }
  if (!by) return;
  event.preventDefault();
  go(by);
}

/** Text without spaces is one long word: its pieces say more. */
const spaced = () => texts.sources.slice(0, 100).reduce((sum, text) => sum + text.split(" ").length - text.length / 15, 0) > 0;

/** A box to show a variant or not. */
function chip(variant) {
  const change = (event) => {
    if (event.target.checked) state.shown.add(variant);
    else state.shown.delete(variant);
    state.shown = new Set([...state.shown].sort((a, b) => a - b));
    refresh();
    drawPanels();
  };
  const box = make("input", { type: "checkbox", checked: state.shown.has(variant), change });
  return make("label", { class: "chip" }, box, variantHead("span", variant));
}

function explorerControls() {
  const search = make("input", { type: "search", placeholder: "a number or words", input: () => {
    list.query = search.value;
    refresh();
    if (list.matches.length && !list.matches.includes(state.number)) choose(list.matches[0]);
  } });
  byId("explorer-controls").append(
    make("label", {}, "Find ", search),
    choice("Order", orderNames(), list.order, (value) => { list.order = value; refresh(); choose(list.matches[0]); }),
    choice("Show", [["words", "words"], ["pieces", "subwords"]], state.merged ? "words" : "pieces", (value) => {
      [state.merged, state.pinned] = [value === "words", null];
      drawPanels();
    }),
    make("span", { id: "found", role: "status" }), make("fieldset", {}, make("legend", {}, "Variants"), ...explorable.map(chip)),
    make("p", { class: "scale", "aria-hidden": "true" }, "weight 0 ", make("span", { class: "ramp" }), " 1"),
  );
}

async function startExplorer() {
  await loadTexts();
  if (!texts.sources.length) return byId("explorer-controls").replaceChildren("There are no sentences.");
  state.merged = spaced();
  explorerControls();
  byId("sentence-list").addEventListener("scroll", redrawList);
  document.addEventListener("keydown", onKey);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    panels.forEach((panel) => panel.map.repaint());
    release();
  });
  refresh();
  await choose(list.matches[0]);
  if (!explorable.length) byId("panels").replaceChildren(make("p", { class: "nothing" }, "No variant has kept its attention."));
}

startTable();
startCurves();
startLengths();
startCosts();
startExplorer().then(() => { document.documentElement.dataset.ready = "yes"; });
