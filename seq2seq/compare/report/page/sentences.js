// The list of sentences: searched, sorted, and drawn only where it can be seen.

const ROW = 28; // px of a row of the list
const texts = { sources: [], folded: [], references: [], hypotheses: new Map(), qualities: new Map() };
const list = { order: "test", query: "", matches: [] };

/** The number of a sentence in the whole test set, from 1. */
const numberOf = (sentence) => data.numbers ? data.numbers[sentence] : sentence + 1;

const fold = (text) => text.normalize("NFKC").toLowerCase();

async function loadTexts() {
  texts.sources = (await unpackJSON("sources")) ?? [];
  texts.folded = texts.sources.map(fold);
  texts.references = await Promise.all([...Array(data.references).keys()].map((i) => unpackJSON(`references-${i}`)));
  await Promise.all(data.variants.flatMap((variant, i) => [["hypotheses", variant.hypotheses], ["qualities", variant.qualities]]
    .filter(([, kept]) => kept).map(async ([kind]) => texts[kind].set(i, await unpackJSON(`${kind}-${i}`)))));
}

/** The qualities of a sentence by the shown variants. */
function qualitiesOf(number, shown) {
  return [...shown].map((variant) => texts.qualities.get(variant)?.[number]).filter((value) => value !== undefined);
}

const difference = (number, shown) => {
  const values = qualitiesOf(number, shown);
  return values.length ? Math.max(...values) - Math.min(...values) : 0;
};
const average = (number, shown) => {
  const values = qualitiesOf(number, shown);
  return values.reduce((sum, value) => sum + value, 0) / (values.length || 1);
};

const ORDERS = { // name -> its label, and what it sorts by, smallest first
  test: ["as in the test set", () => 0],
  difference: ["largest difference", (number, shown) => -difference(number, shown)],
  worst: ["worst first", average],
  best: ["best first", (number, shown) => -average(number, shown)],
  short: ["shortest source", (number) => texts.sources[number].length],
  long: ["longest source", (number) => -texts.sources[number].length],
};

function orderNames() {
  const judged = (name) => ["difference", "worst", "best"].includes(name);
  return Object.entries(ORDERS).filter(([name]) => texts.qualities.size || !judged(name))
    .map(([name, [text]]) => [name, judged(name) ? `${text} (${data.quality || "quality"})` : text]);
}

/** The sentences that have the number or the words that are searched for, in the order that is chosen. */
function findSentences(shown) {
  const query = fold(list.query.trim()), key = ORDERS[list.order][1];
  const found = [...texts.sources.keys()].filter((i) => !query || String(numberOf(i)) === query || texts.folded[i].includes(query));
  const keys = new Map(found.map((i) => [i, key(i, shown)]));
  list.matches = found.sort((a, b) => keys.get(a) - keys.get(b) || a - b);
}

/** Draw the rows in sight; `pick` gets the number of a sentence. */
function drawList(number, shown, pick) {
  const box = byId("sentence-list"), space = byId("sentence-space");
  space.style.height = `${list.matches.length * ROW}px`;
  const first = Math.max(0, Math.floor(box.scrollTop / ROW) - 4);
  const rows = list.matches.slice(first, first + Math.ceil(box.clientHeight / ROW) + 8).map((sentence, i) => {
    const quality = qualitiesOf(sentence, shown);
    const row = make("div", {
      class: "entry", role: "option", id: `entry-${sentence}`, "aria-selected": String(sentence === number),
      "aria-setsize": list.matches.length, "aria-posinset": first + i + 1, click: () => pick(sentence),
    });
    row.append(make("span", { class: "count" }, String(numberOf(sentence))),
      make("span", { class: "text", dir: "auto" }, texts.sources[sentence] || "(empty)"),
      make("span", { class: "quality" }, quality.map((value) => figure(value, 0)).join(" / ")));
    row.style.top = `${(first + i) * ROW}px`;
    return row;
  });
  space.replaceChildren(...rows);
  box.setAttribute("aria-activedescendant", `entry-${number}`);
  byId("found").textContent = list.matches.length === 1 ? "1 sentence" : `${figure(list.matches.length, 0)} sentences`;
}

/** Scroll the list so far that the sentence is in sight. */
function reveal(number) {
  const box = byId("sentence-list"), top = list.matches.indexOf(number) * ROW;
  if (top >= 0 && (top < box.scrollTop || top + ROW > box.scrollTop + box.clientHeight)) box.scrollTop = top - box.clientHeight / 2;
}
