"use strict";
// What is in the page, and how elements are made. Nothing here or below sets HTML from text.

const data = JSON.parse(document.getElementById("comparison").textContent);
const SVG = document.getElementById("svg").namespaceURI;
const REMEMBERED = 60; // unpacked blocks: some megabytes

const byId = (id) => document.getElementById(id);

/** An HTML element with attributes (a function listens to the event of that name) and children (elements or text). */
function make(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same in SVG. */
function draw(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A labelled choice: options are [value, text] pairs; `changed` gets the value. */
function choice(label, options, value, changed) {
  const select = make("select", { change: () => changed(select.value) });
  select.append(...options.map(([option, text]) => make("option", { value: option, selected: String(option) === String(value) }, text)));
  return make("label", {}, label + " ", select);
}

/** Number with so many digits and a narrow space between thousands, as in the table. */
function figure(value, digits = 2) {
  const [whole, part] = Math.abs(value).toFixed(digits).split(".");
  return (value < 0 ? "−" : "") + whole.replace(/\B(?=(\d{3})+$)/g, "\u202f") + (part ? "." + part : "");
}

const interactive = new Promise((resolve) => {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", resolve);
  else resolve();
});

/** Bytes of a block; null if it was left out. */
async function unpack(id) {
  if (!byId(id)?.nextElementSibling) await interactive; // not yet read, or not to its end
  const element = byId(id);
  if (!element) return null;
  const packed = Uint8Array.from(atob(element.textContent), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function unpackJSON(id) {
  const bytes = await unpack(id);
  return bytes && JSON.parse(new TextDecoder().decode(bytes));
}

/** The JSON before the bytes, and the bytes. */
async function unpackFramed(id) {
  const bytes = await unpack(id);
  if (!bytes) return null;
  const length = new DataView(bytes.buffer).getUint32(0, true);
  return { head: JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length))), body: bytes.subarray(4 + length) };
}

const blocks = new Map(); // id -> promise, the oldest first

function remembered(id, load) {
  const found = blocks.get(id) ?? load(id);
  blocks.delete(id);
  blocks.set(id, found);
  if (blocks.size > REMEMBERED) blocks.delete(blocks.keys().next().value);
  return found;
}

/** Sentence `number` of a block of `kind`, with where its bytes begin; `size` tells how many it has. */
async function stored(kind, variant, number, size) {
  const chunk = data.chunks[kind];
  const block = await remembered(`${kind}-${variant}-${Math.floor(number / chunk)}`, unpackFramed);
  const place = number % chunk;
  if (!block || !block.head[place]) return null;
  let start = 0;
  for (let i = 0; i < place; i++) start += size(block.head[i], number - place + i);
  return { head: block.head[place], bytes: block.body.subarray(start, start + size(block.head[place], number)) };
}

/** What a variant looked at: pieces, weights (T, S) of bytes, centres, alternatives; null if it was left out. */
async function explained(variant, number) {
  const found = await stored("weights", variant, number, ([source, target]) => source.length * target.length);
  if (!found) return null;
  const [source, target, centers, alternatives] = found.head;
  return { source, target, centers, alternatives, weights: found.bytes };
}

/** Maps (layers, heads, T, S) of bytes; null where there are none. */
async function layersAndHeads(variant, number) {
  const found = await stored("maps", variant, number, (head) => (head ? head[0] * head[1] * head[2] * head[3] : 0));
  return found && { layers: found.head[0], heads: found.head[1], weights: found.bytes };
}
