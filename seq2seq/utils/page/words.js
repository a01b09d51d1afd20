// From subword pieces to words, and from weights of pieces to weights of words, as in seq2seq/evaluation/alignment.py.

const SPACE_MARK = "\u2581"; // SentencePiece's mark of a space, so of the start of a word
const END_PIECES = new Set(["", "</s>"]);

const withoutMark = (piece) => piece.replaceAll(SPACE_MARK, "");

/** The index of the word of each piece. A piece with the mark starts a word unless all pieces before it were marks. */
function wordIndices(pieces) {
  let word = 0, empty = true;
  return pieces.map((piece) => {
    if (piece.startsWith(SPACE_MARK) && !empty) [word, empty] = [word + 1, true];
    empty = empty && withoutMark(piece) === "";
    return word;
  });
}

/** {labels, groups}: labels of rows or columns, and the index of each piece's. The end of the sentence has its own. */
function groupPieces(pieces, mergeWords) {
  const hasEnd = pieces.length > 0 && END_PIECES.has(pieces.at(-1));
  const body = hasEnd ? pieces.slice(0, -1) : pieces;
  const groups = mergeWords ? wordIndices(body) : body.map((_, i) => i);
  const labels = [];
  body.forEach((piece, i) => {
    labels[groups[i]] = (labels[groups[i]] ?? "") + (mergeWords ? withoutMark(piece) : piece);
  });
  if (hasEnd) {
    groups.push(labels.length);
    labels.push("⏎");
  }
  return { labels, groups };
}

/**
 * Weights (T, S) of pieces, of which `whole` is a weight of 1 -> weights of words: summed over a column's pieces,
 * averaged over a row's.
 */
function mergeWeights(weights, source, target, whole) {
  const [columns, rows] = [source.labels.length, target.labels.length];
  const [S, T] = [source.groups.length, target.groups.length];
  const sums = new Float32Array(rows * columns);
  const counts = new Float32Array(rows);
  for (let t = 0; t < T; t++) {
    counts[target.groups[t]] += 1;
    for (let s = 0; s < S; s++) sums[target.groups[t] * columns + source.groups[s]] += weights[t * S + s] / whole;
  }
  return sums.map((sum, i) => sum / counts[Math.floor(i / columns)]);
}

/** A position among pieces (0: middle of the first) -> a position among columns (0: left edge of the first). */
function columnPosition(position, groups) {
  const clamped = Math.min(Math.max(position + 0.5, 0), groups.length);
  const piece = Math.min(Math.floor(clamped), groups.length - 1);
  const first = groups.indexOf(groups[piece]), last = groups.lastIndexOf(groups[piece]);
  return groups[piece] + (clamped - first) / (last - first + 1);
}

/** The mean of the chosen maps; `layer` and `head` are an index or "mean". */
function meanMap(maps, layer, head) {
  const size = maps.weights.length / (maps.layers * maps.heads);
  const indices = (chosen, count) => (chosen === "mean" ? [...Array(count).keys()] : [Number(chosen)]);
  const chosen = indices(layer, maps.layers).flatMap((l) => indices(head, maps.heads).map((h) => l * maps.heads + h));
  const mean = new Float32Array(size);
  for (const map of chosen) for (let i = 0; i < size; i++) mean[i] += maps.weights[map * size + i] / chosen.length;
  return mean;
}

/** What a heat map shows: rows and columns, their weights, and each row's predicted centre among the source pieces. */
function createView(sentence, bytes, mergeWords) {
  const groups = (pieces) => groupPieces(pieces, mergeWords);
  return createGroupedView(sentence, bytes, groups(sentence.source), groups(sentence.target), 255);
}

/** The same of pieces that are grouped already; `weights` (T, S) of which `whole` is a weight of 1. */
function createGroupedView(sentence, weights, source, target, whole) {
  const centers = sentence.centers && target.labels.map((_, row) => {
    const own = sentence.centers.filter((_, t) => target.groups[t] === row);
    return own.reduce((sum, center) => sum + center, 0) / own.length;
  });
  const [rows, columns] = [target.labels.length, source.labels.length];
  return { source, target, centers, weights: mergeWeights(weights, source, target, whole), rows, columns };
}

/** The row with this label nearest to a relative position from 0 to 1 in the sentence; -1 if there is none. */
function findSameWord(view, label, position) {
  const rows = view.target.labels.flatMap((other, row) => (other === label ? [row] : []));
  const distance = (row) => Math.abs(row / Math.max(view.rows - 1, 1) - position);
  return rows.length ? rows.reduce((best, row) => (distance(row) < distance(best) ? row : best)) : -1;
}
