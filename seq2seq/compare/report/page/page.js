"use strict";
// The data of the page, its compressed blocks, and helpers that create elements. No script sets HTML from text.

const data = JSON.parse(document.getElementById("comparison").textContent);
const SVG_NAMESPACE = document.getElementById("svg").namespaceURI;
const CACHED_BLOCKS = 60; // unpacked: some megabytes

const byId = (id) => document.getElementById(id);

/** An HTML element. An attribute that is a function listens to the event of that name; children are nodes or text. */
function createHtml(name, attributes = {}, ...children) {
  return assemble(document.createElement(name), attributes, children);
}

/** The same for SVG. */
function createSvg(name, attributes = {}, ...children) {
  return assemble(document.createElementNS(SVG_NAMESPACE, name), attributes, children);
}

function assemble(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A paragraph in place of something that cannot be shown. */
const placeholder = (text) => createHtml("p", { class: "nothing" }, text);

/** A labelled select with [value, text] pairs; `onChange` receives the chosen value. */
function selectBox(label, options, value, onChange) {
  const select = createHtml("select", { change: () => onChange(select.value) });
  select.append(...options.map(([option, text]) =>
    createHtml("option", { value: option, selected: String(option) === String(value) }, text)));
  return createHtml("label", {}, label + " ", select);
}

/** A number with a fixed number of digits and narrow spaces between thousands, as in the table of results. */
function formatNumber(value, digits = 2) {
  const [whole, fraction] = Math.abs(value).toFixed(digits).split(".");
  const spaced = whole.replace(/\B(?=(\d{3})+$)/g, "\u202f");
  return (value < 0 ? "−" : "") + spaced + (fraction ? "." + fraction : "");
}

const documentParsed = new Promise((resolve) => {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", resolve);
  else resolve();
});

/** The bytes of a block; null if it was left out. */
async function unpackBlock(id) {
  if (!byId(id)?.nextElementSibling) await documentParsed; // the element may be missing or incomplete until then
  const element = byId(id);
  if (!element) return null;
  const packed = Uint8Array.from(atob(element.textContent), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function unpackJSON(id) {
  const bytes = await unpackBlock(id);
  return bytes && JSON.parse(new TextDecoder().decode(bytes));
}

/** The JSON head of a framed block and the bytes after it. */
async function unpackFramed(id) {
  const bytes = await unpackBlock(id);
  if (!bytes) return null;
  const length = new DataView(bytes.buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  return { head, body: bytes.subarray(4 + length) };
}

const blockCache = new Map(); // id -> promise, least recently used first

function cachedBlock(id) {
  const found = blockCache.get(id) ?? unpackFramed(id);
  blockCache.delete(id);
  blockCache.set(id, found);
  if (blockCache.size > CACHED_BLOCKS) blockCache.delete(blockCache.keys().next().value);
  return found;
}

/** The head and the bytes of a sentence in the blocks of `kind`; `size(head)` is the number of its bytes. */
async function loadRecord(kind, variant, sentence, size) {
  const chunk = data.chunks[kind];
  const block = await cachedBlock(`${kind}-${variant}-${Math.floor(sentence / chunk)}`);
  const index = sentence % chunk;
  if (!block || !block.head[index]) return null;
  let start = 0;
  for (let i = 0; i < index; i++) start += size(block.head[i]);
  return { head: block.head[index], bytes: block.body.subarray(start, start + size(block.head[index])) };
}

/** The attention of a variant: pieces, weights (T, S) as bytes, centres, alternatives; null if it was left out. */
async function loadAttention(variant, sentence) {
  const found = await loadRecord("weights", variant, sentence, ([source, target]) => source.length * target.length);
  if (!found) return null;
  const [source, target, centers, alternatives] = found.head;
  return { source, target, centers, alternatives, weights: found.bytes };
}

/** Maps (layers, heads, T, S) as bytes; null where there are none. */
async function loadMaps(variant, sentence) {
  const size = (shape) => (shape ? shape[0] * shape[1] * shape[2] * shape[3] : 0);
  const found = await loadRecord("maps", variant, sentence, size);
  return found && { layers: found.head[0], heads: found.head[1], weights: found.bytes };
}
