// Translating as one types. Of several requests only the answer to the last one counts, and the others are aborted.

const DELAY = 250; // ms without a further letter before a text is sent
const SLOW = 400; // ms after which the page says that it translates
const WITH_ATTENTION = 1000; // characters up to which attention is asked for at once; else when a word is pointed at

let version = 0; // of what is to be translated: counts changes of text, model and settings
let controller = new AbortController(), timer = 0;

let attentionVersion = 0; // counts choices of layer and head

/** What goes on, for screen readers; `seen`: for eyes as well. */
function setStatus(text, seen = true) {
  byId("status").textContent = text;
  byId("status").classList.toggle("unseen", !seen);
}

const setState = (name) => { document.documentElement.dataset.state = name; };

/** The body of a request. */
function requestBody(text, attention) {
  const body = { text, model: currentModel().name, search: searchOptions() };
  if (attention) body.attention = true;
  if (attention && state.layer) body.layer = state.layer;
  if (attention && state.head) body.head = state.head;
  return body;
}

/** The answer for one text. */
async function askFor(text, attention, signal) {
  const [path, field] = taskOf(currentModel());
  return (await ask(path, requestBody(text, attention), signal))[field][0];
}

/** Translate the text when nothing was typed for a moment; what is under way is of no use any more. */
function schedule(delay = DELAY) {
  version += 1;
  controller.abort();
  clearTimeout(timer);
  byId("target").classList.add("stale");
  drawMirror();
  byId("note").textContent = "";
  if (!byId("source").value.trim()) return showNothing();
  setState("typing");
  timer = setTimeout(translate, delay);
}

function showNothing() {
  Object.assign(state, { shown: null, pinned: null, active: 0, map: null });
  byId("target").replaceChildren();
  byId("target").classList.remove("stale");
  for (const id of ["below", "copy"]) byId(id).hidden = true;
  if (!waiting) showMessage("");
  setStatus("");
  setState("empty");
}

async function translate() {
  clearTimeout(timer);
  if (!currentModel() || waiting) return; // once the models are listed, or the server is back, it is called again
  const own = ++version, text = byId("source").value, length = [...text].length;
  controller.abort();
  controller = new AbortController();
  if (!text.trim()) return showNothing();
  if (length > catalog.characters) {
    const [most, given] = [catalog.characters, length].map((number) => number.toLocaleString("en"));
    return showProblem(`The text has ${given} characters, and this server translates at most ${most}.`);
  }
  if (catalog.key_required && !apiKey) return showKeyForm();
  const slow = setTimeout(() => setStatus("Translating…"), SLOW);
  try {
    const answer = await askFor(text, length <= WITH_ATTENTION, controller.signal);
    if (own === version) showTranslation(readTranslation(text, answer));
  } catch (error) {
    if (own === version) onError(error);
  } finally {
    clearTimeout(slow);
  }
}

function showTranslation(translation) {
  Object.assign(state, { shown: translation, pinned: null, active: 0 });
  showMessage("");
  byId("target").classList.remove("stale");
  drawTarget();
  activate(0);
  highlight();
  byId("copy").hidden = !writtenText(translation).trim();
  byId("below").hidden = !translation.sentences.length;
  const isCut = translation.sentences.some((one) => chosenOf(one).truncated);
  const done = isTranslator(currentModel()) ? "Translated" : "Done";
  setStatus(isCut ? "Of a long sentence the model read the beginning only." : done, isCut);
  setState("translated");
}

/** A request that the server cannot answer as it is. */
function showProblem(text) {
  showMessage(text);
  setStatus("");
  setState("error");
}

async function onError(error) {
  if (error.name === "AbortError") return;
  if (error.kind === "busy") {
    setStatus("The server is busy; trying again…");
    timer = setTimeout(translate, 1000 * error.seconds);
  } else if (error.kind === "key") {
    setStatus("");
    setState("key");
    showKeyForm(apiKey ? "This API key is unknown to the server. Another one:" : undefined);
  } else if (error.kind === "gone") {
    if (waiting) return; // another request has noticed
    showMessage("The server does not answer. This page tries again by itself, and translates when it is back.");
    setStatus("");
    setState("gone");
    await serverIsBack();
    showMessage("");
    start();
  } else if (error instanceof ServerError) {
    showProblem(error.message);
  } else {
    throw error; // a mistake of this page
  }
}

/** Ask for the attention of a sentence that came without; it is then in its hypotheses. */
function loadAttention(sentence) {
  const own = attentionVersion;
  sentence.loading ??= (async () => {
    try {
      const answer = await askFor(sentence.sentence, true, controller.signal);
      if (own !== attentionVersion) return;
      const found = answer.sentences.length === 1 ? answer.sentences[0].hypotheses : [];
      const pieces = (one) => one.target.join("\n");
      for (const own of sentence.hypotheses) {
        const same = found.find((one) => pieces(one) === pieces(own.pieces));
        if (same) Object.assign(own, { attention: same.attention, view: null });
      }
      sentence.failed = !chosenOf(sentence).attention;
    } catch (error) {
      if (error.name === "AbortError") return;
      sentence.failed = true;
      await onError(error);
    }
  })();
  return sentence.loading;
}

/** Another layer or head was chosen. */
async function reloadAttention() {
  attentionVersion += 1;
  controller.abort();
  controller = new AbortController();
  const { shown } = state;
  for (const sentence of shown?.sentences ?? []) {
    Object.assign(sentence, { loading: null, failed: false });
    for (const one of sentence.hypotheses) Object.assign(one, { attention: null, view: null });
  }
  const sentence = shown?.sentences[state.active];
  if (!sentence || isStale()) return;
  await loadAttention(sentence);
  if (state.shown !== shown || shown.sentences[state.active] !== sentence) return;
  drawMap();
  resetHighlight();
}

/** Labels, languages and directions of the model's sides. */
function drawSides() {
  const model = currentModel();
  for (const [id, name, language] of [
    ["source", "Text", model?.source], ["target", taskOf(model)[2], model?.target],
  ]) {
    const label = isTranslator(model) ? language?.name ?? name : name;
    (byId(`${id}-head`).querySelector("label") ?? byId(`${id}-head`)).textContent = label;
    byId(id).dir = language?.direction ?? "auto";
    byId(id).lang = language?.code ?? "";
    byId(id).setAttribute("aria-label", label === name ? name : `${name}, ${label}`);
  }
  byId("mirror").dir = byId("source").dir;
  byId("mirror").lang = byId("source").lang;
}

function drawModel() {
  drawSides();
  drawSettings(onSettings);
  drawHeads(reloadAttention);
}

function onSettings() {
  writeFragment();
  schedule(0);
}

/** List the models, then translate what there is. */
async function start() {
  try {
    const before = currentModel()?.name;
    Object.assign(catalog, await ask("v1/models"));
    if (before === undefined) readFragment();
    drawModels();
    drawModel();
    if (!catalog.models.length) showProblem("This server has no models.");
    else if (byId("source").value.trim()) schedule(0);
  } catch (error) {
    await onError(error);
  }
}

function drawCount() {
  const length = [...byId("source").value].length, isNear = length > 0.8 * catalog.characters;
  const [given, most] = [length, catalog.characters].map((number) => number.toLocaleString("en"));
  byId("count").textContent = isNear ? `${given} of ${most} characters` : "";
  byId("clear").hidden = !length;
}

async function copyTranslation() {
  if (!state.shown) return;
  const text = writtenText(state.shown);
  try {
    await navigator.clipboard.writeText(text);
    setStatus("Copied");
  } catch { // no permission, or no HTTPS: select it, so that a key copies it
    getSelection().selectAllChildren(byId("target"));
    setStatus(document.execCommand("copy") ? "Copied" : "Selected: copy it with your keyboard");
  }
}

function clearText() {
  byId("source").value = "";
  drawCount();
  schedule();
  byId("source").focus();
}

function init() {
  byId("source").addEventListener("input", (event) => {
    drawCount();
    schedule();
    if (event.isComposing) clearTimeout(timer); // a word that is still being composed from keys
  });
  byId("source").addEventListener("compositionend", () => schedule());
  byId("clear").addEventListener("click", clearText);
  byId("copy").addEventListener("click", copyTranslation);
  byId("model").addEventListener("change", () => {
    chosen.model = byId("model").value;
    drawModel();
    onSettings();
  });
  byId("settings-reset").addEventListener("click", () => {
    chosen.search = {};
    drawSettings(onSettings);
    onSettings();
  });
  addEventListener("hashchange", () => {
    readFragment();
    drawModels();
    drawModel();
    schedule(0);
  });
  initKeyForm(() => start());
  initAttention();
  initKeyboard();
  drawCount();
  drawMirror();
  setState("empty");
  start().finally(() => { document.documentElement.dataset.ready = "yes"; });
}

init();
