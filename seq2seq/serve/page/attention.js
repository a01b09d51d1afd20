// The translation as words that can be pointed at, what each word attended to in the source, alternatives, heat map.

const LEAST_SHOWN = 0.02; // weights below it do not light up a word
const PALEST = 0.1, DEEPEST = 0.55; // opacity of the light behind a source word of weight 0 and 1

const state = {
  shown: null, // the translation on the page, as of readTranslation; null: there is none
  active: 0, // the sentence whose alternatives and heat map are shown
  pinned: null, // [sentence, row] of the word that stays lit
  focus: [0, 0], // [sentence, row] of the word that Tab leads to
  layer: 0, head: 0, // whose attention, counted from 1; 0: the last layer, the mean of heads
  map: null, // {key, show, element} of the heat map
};

const isStale = () => !state.shown || state.shown.text !== byId("source").value;
const wordElement = (sentence, row) => byId("target").querySelector(`[data-sentence="${sentence}"][data-row="${row}"]`);

/** Rows, columns and weights of the chosen hypothesis of a sentence; null while its attention is not there. */
function viewOf(sentence) {
  const found = sentence && sentence.hypotheses.length ? chosenOf(sentence) : null;
  if (!found?.attention?.length) return null;
  found.view ??= createGroupedView(found.pieces, found.attention.flat(), found.source, found.target, 1);
  return found.view;
}

/** The source behind the textarea, in the same letters: the words that a target word attended to are lit. */
function drawMirror(index = -1, row = -1) {
  const text = byId("source").value, sentence = isStale() ? null : state.shown.sentences[index];
  if (!sentence) return byId("mirror").replaceChildren(`${text}\n`); // a last empty line has a height
  const view = row < 0 ? null : viewOf(sentence), own = text.slice(sentence.start, sentence.end);
  const light = (column, word) => {
    const weight = view.weights[row * view.columns + column];
    if (weight < LEAST_SHOWN) return word;
    const span = createHtml("mark", {}, word);
    span.style.setProperty("--light", PALEST + (DEEPEST - PALEST) * Math.min(weight, 1));
    return span;
  };
  const words = view ? withPlaces(own, chosenOf(sentence).source.places, light) : [own];
  const several = state.shown.sentences.length > 1;
  const part = createHtml("span", { class: several ? "sentence" : null }, ...words);
  byId("mirror").replaceChildren(text.slice(0, sentence.start), part, `${text.slice(sentence.end)}\n`);
}

/** A target word and where its largest weights are, in words. */
function describeWord(view, row, column) {
  if (column < 0) return describeRow(view, row);
  const weight = formatNumber(view.weights[row * view.columns + column], 3);
  return `${view.target.labels[row]}: ${view.source.labels[column]} ${weight}`;
}

/** Light what a word of a sentence attended to; without a row nothing is lit. */
function highlight(index = state.active, row = -1, column = -1) {
  for (const word of byId("target").querySelectorAll(".word.lit")) word.classList.remove("lit");
  if (isStale()) row = -1; // a pin of a text that has changed meanwhile
  if (row >= 0) wordElement(index, row)?.classList.add("lit");
  drawMirror(row >= 0 || state.shown?.sentences.length > 1 ? index : -1, row);
  const view = row >= 0 ? viewOf(state.shown?.sentences[index]) : null;
  byId("note").textContent = view ? describeWord(view, row, column) : "";
  if (index === state.active) state.map?.show(row, column);
}

const resetHighlight = () => highlight(...(state.pinned ?? []));

/** Point at a word: its sentence becomes the active one, unless a word is pinned. */
function pointAt(index, row, column = -1) {
  if (isStale()) return;
  if (!state.pinned && index !== state.active) activate(index);
  highlight(index, row, column);
  const sentence = state.shown.sentences[index];
  if (!viewOf(sentence) && !sentence.failed) whenLoaded(sentence, index, () => highlight(index, row, column));
}

/** Do something once the attention of a sentence is there, if the sentence is then still on the page. */
async function whenLoaded(sentence, index, action) {
  await loadAttention(sentence);
  if (state.shown?.sentences[index] === sentence) action();
}

function togglePin(index, row) {
  if (isStale()) return;
  const isPinned = state.pinned?.[0] === index && state.pinned[1] === row;
  releasePin();
  if (isPinned) return;
  pointAt(index, row);
  state.pinned = [index, row];
  wordElement(index, row)?.classList.add("pinned");
}

/** Let go of the pinned word; whether there was one. */
function releasePin() {
  if (!state.pinned) return false;
  byId("target").querySelector(".word.pinned")?.classList.remove("pinned");
  state.pinned = null;
  highlight();
  return true;
}

/** Show alternatives and heat map of a sentence. */
function activate(index) {
  state.active = index;
  for (const part of byId("target").querySelectorAll(".sentence")) {
    part.classList.toggle("active", Number(part.dataset.sentence) === index && state.shown.sentences.length > 1);
  }
  drawChoices();
  drawMap();
}

/** The translation as words. */
function drawTarget() {
  const { sentences, after } = state.shown;
  const nodes = sentences.flatMap((sentence, index) => {
    const found = chosenOf(sentence);
    const word = (row, text) =>
      createHtml("span", { class: "word", tabindex: -1, "data-sentence": index, "data-row": row }, text);
    const words = withPlaces(found.text, found.target.places, word);
    return [sentence.before, createHtml("span", { class: "sentence", "data-sentence": index }, ...words)];
  });
  byId("target").replaceChildren(...nodes, after);
  setTabStop(0, 0);
}

/** The one word that Tab leads to; arrow keys move on from it. */
function setTabStop(index, row) {
  byId("target").querySelector('.word[tabindex="0"]')?.setAttribute("tabindex", -1);
  const word = wordElement(index, row) ?? byId("target").querySelector(".word");
  word?.setAttribute("tabindex", 0);
  state.focus = word ? [Number(word.dataset.sentence), Number(word.dataset.row)] : [0, 0];
}

/** Make a hypothesis of the active sentence part of the translation. */
function choose(rank) {
  const sentence = state.shown?.sentences[state.active];
  if (isStale() || !sentence?.hypotheses[rank]) return;
  sentence.chosen = rank;
  state.pinned = null;
  const active = state.active;
  drawTarget();
  setTabStop(active, 0);
  activate(active);
  highlight();
  setStatus(rank ? `Alternative ${rank + 1} is shown` : "The best hypothesis is shown");
}

/** The hypotheses of the active sentence, to choose from. */
function drawChoices() {
  const sentence = state.shown?.sentences[state.active], { sentences } = state.shown ?? { sentences: [] };
  const found = sentence?.hypotheses ?? [];
  byId("alternatives").hidden = found.length < 2;
  byId("alternatives-head").textContent = sentences.length > 1 ?
    `Alternatives of sentence ${state.active + 1} of ${sentences.length}` : "Alternatives";
  const focused = byId("choices").contains(document.activeElement);
  const { lang, dir } = byId("target");
  byId("choices").replaceChildren(...found.map((one, rank) => {
    const box = createHtml("input", {
      type: "radio", name: "choice", value: rank, checked: rank === sentence.chosen, change: () => choose(rank),
    });
    const words = one.text ? markDifferences(one.text, chosenOf(sentence).text) : ["(empty)"];
    const text = createHtml("span", { dir, lang: lang || null }, ...words);
    const score = createHtml("small", { title: "score" }, one.score === null ? "" : formatNumber(one.score, 2));
    return createHtml("label", { class: "choice" }, box, text, score);
  }));
  if (focused) byId("choices").querySelector("input:checked")?.focus();
}

/** The heat map of the active sentence, if it is unfolded. */
function drawMap() {
  const sentence = state.shown?.sentences[state.active], several = state.shown?.sentences.length > 1;
  byId("attention-head").textContent = several ? `Attention of sentence ${state.active + 1}` : "Attention";
  state.map = null;
  if (!byId("map-details").open || !sentence) return byId("map").replaceChildren();
  const view = viewOf(sentence), index = state.active;
  if (!view) {
    const isEmpty = chosenOf(sentence).attention;
    const missing = sentence.failed ? "There is no attention of this sentence." : "…";
    const text = isEmpty ? "The translation is empty." : missing;
    byId("map").replaceChildren(placeholder(text));
    if (!isEmpty && !sentence.failed) whenLoaded(sentence, index, () => { if (index === state.active) drawMap(); });
    return;
  }
  state.map = createHeatMap(view, null, (row, column) => pointAt(index, row, column), (row) => togglePin(index, row));
  state.map.element.addEventListener("pointerleave", resetHighlight);
  state.map.rowLabels.addEventListener("keydown", (event) => onMapKey(event, view, index));
  byId("map").replaceChildren(state.map.element);
  if (state.pinned) resetHighlight();
}

/** Arrow keys up and down move the pin through the rows of the heat map. */
function onMapKey(event, view, index) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const start = step > 0 ? -1 : view.rows, row = (state.pinned?.[0] === index ? state.pinned[1] : start) + step;
  releasePin();
  togglePin(index, Math.min(Math.max(row, 0), view.rows - 1));
  state.map.rowLabels.children[state.pinned[1]].scrollIntoView({ block: "nearest", inline: "nearest" });
}

/** Layer and head, where the model has several; `onChange` is called after a choice. */
function drawHeads(onChange) {
  const { layers = 0, heads = 0 } = currentModel() ?? {};
  [state.layer, state.head] = [0, 0];
  byId("heads").hidden = layers * heads < 2;
  const numbered = (name, count) => [...Array(count).keys()].map((i) => [i + 1, `${name} ${i + 1}`]);
  const change = (key) => (value) => { state[key] = Number(value); onChange(); };
  byId("heads").replaceChildren(
    selectBox("Layer", [[0, "last layer"], ...numbered("layer", layers)], 0, change("layer")),
    selectBox("Head", [[0, "mean of heads"], ...numbered("head", heads)], 0, change("head")),
  );
}

function initAttention() {
  const target = byId("target");
  const cell = (event) => {
    const word = event.target.closest?.(".word");
    return word && [Number(word.dataset.sentence), Number(word.dataset.row)];
  };
  target.addEventListener("pointerover", (event) => { if (cell(event)) pointAt(...cell(event)); });
  target.addEventListener("pointerleave", resetHighlight);
  target.addEventListener("click", (event) => { if (cell(event)) togglePin(...cell(event)); });
  target.addEventListener("focusin", (event) => {
    if (!cell(event)) return;
    setTabStop(...cell(event));
    pointAt(...cell(event));
  });
  byId("map-details").addEventListener("toggle", drawMap);
  themeListeners.push(drawMap);
}
