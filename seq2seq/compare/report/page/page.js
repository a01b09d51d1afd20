// The data of the page and its compressed blocks.

const data = JSON.parse(document.getElementById("comparison").textContent);
const CACHED_BLOCKS = 60; // unpacked: some megabytes

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
