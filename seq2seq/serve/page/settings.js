// The choice of model and search settings. The server lists both; what is chosen is kept in the URL's fragment.

const LABELS = { // name of a search setting -> its label, in the order of the page; others cannot be chosen here
  beam: "Beam",
  n_best: "Alternatives",
  length_penalty: "Length penalty",
  alpha: "Its exponent",
  coverage_penalty: "Coverage penalty",
  no_repeat: "No repeated n-grams of",
  max_length: "Longest translation",
  sampling: "Sample at random",
  temperature: "Temperature",
  top_k: "Top k",
  top_p: "Top p",
  seed: "Seed",
};
const BEAM_ONLY = ["beam", "length_penalty", "alpha", "coverage_penalty"];
const SAMPLING_ONLY = ["temperature", "top_k", "top_p", "seed"];
const FEW = 4; // hypotheses of a sentence that the page asks for, if the beam has as many

const catalog = { models: [], characters: Infinity, key_required: false }; // what the server lists
const chosen = { model: "", search: {} }; // search: name -> value, of the settings that were changed

const currentModel = () => catalog.models.find((model) => model.name === chosen.model) ?? catalog.models[0] ?? null;

const TASKS = { // task -> where its requests go, the field of the answer, and what the text beside is called
  translation: ["v1/translate", "translations", "Translation"],
  summarization: ["v1/summarize", "summaries", "Summary"],
  multilabel: ["v1/classify", "labels", "Labels"],
  classification: ["v1/classify", "labels", "Label"],
  labeling: ["v1/classify", "labels", "Labels"],
};
const taskOf = (model) => TASKS[model?.task] ?? TASKS.translation;
const isTranslator = (model) => taskOf(model) === TASKS.translation;

/** The present value of a search setting of the model; undefined if the model does not have it. */
function settingValue(name) {
  const setting = currentModel()?.search.find((other) => other.name === name);
  if (!setting) return undefined;
  if (name in chosen.search) return chosen.search[name];
  if (name !== "n_best") return setting.value;
  return Math.max(setting.value, Math.min(FEW, setting.most));
}

/** Whether a setting has an effect beside the others; the server refuses those that have none. */
function hasEffect(name) {
  if ((settingValue("sampling") ? BEAM_ONLY : SAMPLING_ONLY).includes(name)) return false;
  return name !== "alpha" || settingValue("length_penalty") !== "none";
}

/** The search settings of a request: those that differ from the model's. */
function searchOptions() {
  const options = {};
  for (const { name, value } of currentModel().search) {
    let wanted = name in LABELS ? settingValue(name) : value;
    if (name === "n_best" && !settingValue("sampling")) wanted = Math.min(wanted, settingValue("beam"));
    if (wanted !== value && hasEffect(name)) options[name] = wanted;
  }
  return options;
}

/** Read the model and the settings from the URL's fragment; what is none of them is skipped. */
function readFragment() {
  const given = new URLSearchParams(location.hash.slice(1));
  chosen.model = given.get("model") ?? "";
  chosen.search = {};
  for (const { name, type } of currentModel()?.search ?? []) {
    const text = given.get(name);
    if (text === null || !(name in LABELS)) continue;
    if (type === "bool") chosen.search[name] = text === "true";
    else if (type === "str") chosen.search[name] = text;
    else if (text.trim() && Number.isFinite(Number(text))) chosen.search[name] = Number(text);
  }
}

function writeFragment() {
  const values = new URLSearchParams(chosen.search);
  if (currentModel() !== catalog.models[0]) values.set("model", currentModel().name);
  history.replaceState(null, "", String(values) ? `#${values}` : location.pathname + location.search);
}

/** "English → German", with the name of the model where several are alike. */
function modelTitle(model) {
  const languages = (one) => !isTranslator(one) ? taskOf(one)[2] : one.source && one.target ?
    `${one.source.name} → ${one.target.name}` : "";
  const own = languages(model), alike = catalog.models.filter((other) => languages(other) === own);
  return own && alike.length === 1 ? own : [own, model.name].filter(Boolean).join(" · ");
}

function drawModels() {
  byId("model").replaceChildren(...catalog.models.map((model) =>
    createHtml("option", { value: model.name, selected: model === currentModel() }, modelTitle(model))));
  byId("model-label").hidden = catalog.models.length < 2;
}

/** The field of a setting. `onChange` receives its value, or undefined for that of the model */
function settingField(setting, onChange) {
  const { name, type, least, most, choices, help } = setting, value = settingValue(name);
  let field;
  if (type === "bool") {
    field = createHtml("input", { type: "checkbox", checked: value, change: () => onChange(field.checked) });
  } else if (type === "str") {
    const option = (choice) => createHtml("option", { value: choice, selected: choice === value }, choice);
    field = createHtml("select", { change: () => onChange(field.value) }, ...choices.map(option));
  } else {
    const change = () => onChange(Number.isFinite(field.valueAsNumber) ? field.valueAsNumber : undefined);
    const step = type === "int" ? 1 : "any";
    field = createHtml("input", { type: "number", value, min: least, max: most, step, inputmode: "decimal", change });
  }
  field.id = `setting-${name}`;
  return createHtml("label", { title: help, "data-name": name }, createHtml("span", {}, LABELS[name]), field);
}

/** The fields of the model's settings; `onChange` is called after a change. */
function drawSettings(onChange) {
  const own = currentModel()?.search ?? [];
  const settings = Object.keys(LABELS).flatMap((name) => own.filter((setting) => setting.name === name));
  const change = ({ name, value }) => (given) => {
    if (given === undefined || (given === value && name !== "n_best")) delete chosen.search[name];
    else chosen.search[name] = given;
    if (given === undefined) byId(`setting-${name}`).value = settingValue(name);
    showEffective();
    onChange();
  };
  byId("setting-fields").replaceChildren(...settings.map((setting) => settingField(setting, change(setting))));
  showEffective();
}

/** Hide the settings that have no effect beside the others. */
function showEffective() {
  for (const label of byId("setting-fields").children) label.hidden = !hasEffect(label.dataset.name);
  byId("settings-reset").disabled = !Object.keys(chosen.search).length;
}
