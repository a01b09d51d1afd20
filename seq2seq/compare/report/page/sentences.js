// The list of sentences: searched, sorted, and drawn only where it is visible.

const ENTRY_HEIGHT = 28; // px; must agree with explorer.css
const texts = { sources: [], folded: [], references: [], hypotheses: new Map(), qualities: new Map() };
const list = { order: "test", query: "", matches: [] };

/** The 1-based number of a sentence in the whole test set. */
const numberOf = (sentence) => (data.numbers ? data.numbers[sentence] : sentence + 1);

const foldCase = (text) => text.normalize("NFKC").toLowerCase();

async function loadTexts() {
  texts.sources = (await unpackJSON("sources")) ?? [];
  texts.folded = texts.sources.map(foldCase);
  texts.references = await Promise.all([...Array(data.references).keys()].map((i) => unpackJSON(`references-${i}`)));
  const kinds = data.variants.flatMap((variant, i) =>
    ["hypotheses", "qualities"].filter((kind) => variant[kind]).map((kind) => [kind, i]));
  await Promise.all(kinds.map(async ([kind, i]) => texts[kind].set(i, await unpackJSON(`${kind}-${i}`))));
}

/** The quality of a sentence by each of the variants. */
function qualitiesOf(sentence, variants) {
  const values = [...variants].map((variant) => texts.qualities.get(variant)?.[sentence]);
  return values.filter((value) => value !== undefined);
}

function qualityRange(sentence, variants) {
  const values = qualitiesOf(sentence, variants);
  return values.length ? Math.max(...values) - Math.min(...values) : 0;
}

function meanQuality(sentence, variants) {
  const values = qualitiesOf(sentence, variants);
  return values.reduce((sum, value) => sum + value, 0) / (values.length || 1);
}

const ORDERS = { // name -> its label, and the key to sort by in ascending order
  test: ["as in the test set", () => 0],
  difference: ["largest difference", (sentence, variants) => -qualityRange(sentence, variants)],
  worst: ["worst first", meanQuality],
  best: ["best first", (sentence, variants) => -meanQuality(sentence, variants)],
  short: ["shortest source", (sentence) => texts.sources[sentence].length],
  long: ["longest source", (sentence) => -texts.sources[sentence].length],
};
const QUALITY_ORDERS = ["difference", "worst", "best"];

/** [name, label] of the orders that are available. */
function orderOptions() {
  return Object.entries(ORDERS).filter(([name]) => texts.qualities.size || !QUALITY_ORDERS.includes(name))
    .map(([name, [label]]) =>
      [name, QUALITY_ORDERS.includes(name) ? `${label} (${data.quality || "quality"})` : label]);
}

/** Find the sentences with the number or words of the query, in the chosen order. */
function findSentences(variants) {
  const query = foldCase(list.query.trim()), key = ORDERS[list.order][1];
  const matches = [...texts.sources.keys()].filter((i) =>
    !query || String(numberOf(i)) === query || texts.folded[i].includes(query));
  const keys = new Map(matches.map((i) => [i, key(i, variants)]));
  list.matches = matches.sort((a, b) => keys.get(a) - keys.get(b) || a - b);
}

/** Draw the visible entries; `onPick` receives a sentence. */
function drawList(current, variants, onPick) {
  const box = byId("sentence-list"), space = byId("sentence-space");
  space.style.height = `${list.matches.length * ENTRY_HEIGHT}px`;
  const first = Math.max(0, Math.floor(box.scrollTop / ENTRY_HEIGHT) - 4);
  const visible = list.matches.slice(first, first + Math.ceil(box.clientHeight / ENTRY_HEIGHT) + 8);
  space.replaceChildren(...visible.map((sentence, i) => {
    const qualities = qualitiesOf(sentence, variants).map((value) => formatNumber(value, 0));
    const entry = createHtml("div", {
      class: "entry", role: "option", id: `entry-${sentence}`, "aria-selected": String(sentence === current),
      "aria-setsize": list.matches.length, "aria-posinset": first + i + 1, click: () => onPick(sentence),
    });
    entry.append(
      createHtml("span", { class: "count" }, String(numberOf(sentence))),
      createHtml("span", { class: "text", dir: "auto" }, texts.sources[sentence] || "(empty)"),
      createHtml("span", { class: "quality" }, qualities.join(" / ")),
    );
    entry.style.top = `${(first + i) * ENTRY_HEIGHT}px`;
    return entry;
  }));
  box.setAttribute("aria-activedescendant", `entry-${current}`);
  const count = list.matches.length;
  byId("found").textContent = count === 1 ? "1 sentence" : `${formatNumber(count, 0)} sentences`;
}

/** Scroll the list until a sentence is visible. */
function scrollToSentence(sentence) {
  const box = byId("sentence-list"), top = list.matches.indexOf(sentence) * ENTRY_HEIGHT;
  const isVisible = top >= box.scrollTop && top + ENTRY_HEIGHT <= box.scrollTop + box.clientHeight;
  if (top >= 0 && !isVisible) box.scrollTop = top - box.clientHeight / 2;
}
