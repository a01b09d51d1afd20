// Pieces into words, and the weights of pieces into weights of words: the rule of seq2seq/evaluation/alignment.py.

const MARK = "\u2581"; // what SentencePiece writes for a space, so at the start of a word
const ENDS = new Set(["", "</s>"]);

const strip = (piece) => piece.replaceAll(MARK, "");

/** The number of the word that each piece belongs to. A piece with the mark starts a word, unless all before it were marks. */
function wordsOf(pieces) {
  let word = 0, empty = true;
  return pieces.map((piece) => {
    if (piece.startsWith(MARK) && !empty) [word, empty] = [word + 1, true];
    empty = empty && strip(piece) === "";
    return word;
  });
}

/** {labels, groups}: what heads the rows or columns, and the row or column of each piece. The end of the sentence is one by itself. */
function grouped(pieces, merged) {
  const end = pieces.length > 0 && ENDS.has(pieces.at(-1));
  const body = end ? pieces.slice(0, -1) : pieces;
  const groups = merged ? wordsOf(body) : body.map((_, i) => i);
  const labels = [];
  body.forEach((piece, i) => { labels[groups[i]] = (labels[groups[i]] ?? "") + (merged ? strip(piece) : piece); });
  if (end) {
    groups.push(labels.length);
    labels.push("⏎");
  }
  return { labels, groups, end };
}

/** Bytes (T, S) of pieces -> weights of rows and columns: the sum over a column's pieces, the mean over a row's. */
function merge(bytes, source, target) {
  const [columns, rows] = [source.labels.length, target.labels.length];
  const [S, T] = [source.groups.length, target.groups.length];
  const merged = new Float32Array(rows * columns);
  const counts = new Float32Array(rows);
  for (let t = 0; t < T; t++) {
    counts[target.groups[t]] += 1;
    for (let s = 0; s < S; s++) merged[target.groups[t] * columns + source.groups[s]] += bytes[t * S + s] / 255;
  }
  return merged.map((weight, i) => weight / counts[Math.floor(i / columns)]);
}

/** A position among pieces (0 is the middle of the first) -> a place among columns (0 is the left edge of the first). */
function place(position, groups) {
  const at = Math.min(Math.max(position + 0.5, 0), groups.length);
  const piece = Math.min(Math.floor(at), groups.length - 1);
  const first = groups.indexOf(groups[piece]), last = groups.lastIndexOf(groups[piece]);
  return groups[piece] + (at - first) / (last - first + 1);
}

/** Means over layers and heads: what is chosen is a number, or "mean". */
function mapOf(maps, layer, head) {
  const size = maps.weights.length / (maps.layers * maps.heads);
  const numbers = (chosen, count) => (chosen === "mean" ? [...Array(count).keys()] : [Number(chosen)]);
  const chosen = numbers(layer, maps.layers).flatMap((l) => numbers(head, maps.heads).map((h) => l * maps.heads + h));
  const mean = new Float32Array(size);
  for (const map of chosen) for (let i = 0; i < size; i++) mean[i] += maps.weights[map * size + i] / chosen.length;
  return mean;
}

/** What is drawn of a sentence: labels of rows and columns, their weights, the predicted centre of each row among the pieces. */
function viewOf(sentence, bytes, merged) {
  const [source, target] = [grouped(sentence.source, merged), grouped(sentence.target, merged)];
  const centers = sentence.centers && target.labels.map((_, row) => {
    const own = sentence.centers.filter((_, t) => target.groups[t] === row);
    return own.reduce((sum, center) => sum + center, 0) / own.length;
  });
  return { source, target, centers, weights: merge(bytes, source, target), rows: target.labels.length, columns: source.labels.length };
}

/** The row with the same label, nearest to the same share of the way; -1 where there is none. */
function sameWord(view, text, share) {
  const rows = view.target.labels.flatMap((label, row) => (label === text ? [row] : []));
  const far = (row) => Math.abs(row / Math.max(view.rows - 1, 1) - share);
  return rows.length ? rows.reduce((best, row) => (far(row) < far(best) ? row : best)) : -1;
}
