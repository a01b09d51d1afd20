// From an answer of the server to sentences whose words are found in the text and in its translation.

const BREAK = "<n>"; // ends a line of a summary
const UNSPACED = /[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Thai}\p{sc=Laoo}\p{sc=Khmr}\p{sc=Mymr}\p{sc=Tibt}]/gu;
const MOST_PER_SPACE = 3; // letters of these scripts between two spaces up to which words are separated already

/** Whether words are separated by spaces, as in seq2seq/runtime/words.py; else every subword is shown as a word. */
function separatesWords(text) {
  const letters = text.match(UNSPACED)?.length ?? 0;
  const parts = text.split(/\s+/).filter((part) => part.search(UNSPACED) >= 0).length;
  return letters <= (parts > 1 ? MOST_PER_SPACE : 1) * parts;
}

/** Start and end of each label in the text; null where it is not found, as the model may normalize what it reads. */
function locateWords(text, labels) {
  const words = [...text.matchAll(/\S+/g)].map((match) => [match.index, match.index + match[0].length]);
  if (words.length === labels.length) return words;
  let end = 0;
  return labels.map((label) => {
    const own = withoutMark(label), start = own ? text.indexOf(own, end) : -1;
    if (start < 0) return null;
    end = start + own.length;
    return [start, end];
  });
}

/** The words of a text made of these pieces: {labels, groups} with the end of the sentence, and each word's place. */
function placeWords(text, pieces) {
  const grouped = groupPieces(pieces, separatesWords(text));
  const hasEnd = pieces.length > 0 && END_PIECES.has(pieces.at(-1));
  const labels = grouped.labels.map(withoutMark);
  return { ...grouped, labels, places: locateWords(text, hasEnd ? labels.slice(0, -1) : labels) };
}

/** A hypothesis of a sentence: its text, score, words on both sides, and its attention if it came with one. */
function readHypothesis(source, found) {
  const text = found.text.split(BREAK).map((line) => line.trim()).join("\n");
  return {
    text, score: found.score, pieces: { source: found.source, target: found.target },
    source: placeWords(source, found.source), target: placeWords(text, found.target),
    attention: found.attention ?? null, truncated: found.truncated,
  };
}

/** The sentences of a text with their hypotheses, of equal ones the first, and the text before each and at the end. */
function readTranslation(text, answer) {
  let end = 0, written = 0;
  const sentences = answer.sentences.map(({ sentence, hypotheses }) => {
    const at = text.indexOf(sentence, end);
    const [start, stop] = at < 0 ? [end, text.length] : [at, at + sentence.length]; // a summary is of the whole text
    end = stop;
    const ranked = hypotheses.map((found) => readHypothesis(text.slice(start, stop), found));
    const found = answer.text.indexOf(ranked[0].text, written);
    const before = found < 0 ? " " : answer.text.slice(written, found);
    if (found >= 0) written = found + ranked[0].text.length;
    const different = ranked.filter((one, i) => ranked.findIndex((other) => other.text === one.text) === i);
    return { sentence, start, end: stop, before, hypotheses: different, chosen: 0 };
  });
  return { text, sentences, after: answer.text.slice(written) };
}

const chosenOf = (sentence) => sentence.hypotheses[sentence.chosen];

/** The translation with the chosen hypotheses. */
function writtenText(translation) {
  return translation.sentences.map((one) => one.before + chosenOf(one).text).join("") + translation.after;
}

/** Whether each of these words is beyond the longest sequence that they have in common with others. */
function differingWords(words, others) {
  const [rows, columns] = [words.length, others.length];
  const lengths = Array.from({ length: rows + 1 }, () => new Uint16Array(columns + 1)); // in common from i and j on
  for (let i = rows - 1; i >= 0; i--) {
    for (let j = columns - 1; j >= 0; j--) {
      const same = words[i] === others[j];
      lengths[i][j] = same ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  const differing = Array(rows).fill(true);
  for (let i = 0, j = 0; i < rows && j < columns;) {
    if (words[i] === others[j]) {
      differing[i] = false;
      [i, j] = [i + 1, j + 1];
    } else if (lengths[i + 1][j] >= lengths[i][j + 1]) i += 1;
    else j += 1;
  }
  return differing;
}

/** A text as nodes, in which the words that another text does not have are emphasized. */
function markDifferences(text, other) {
  const split = (whole) => whole.split(/(\s+)/);
  const parts = split(text), differing = differingWords(parts, split(other));
  return parts.map((part, i) => (differing[i] && part.trim() ? createHtml("b", {}, part) : part));
}

/** Text nodes and, at the places, what `mark(index, text)` makes. */
function withPlaces(text, places, mark) {
  const nodes = [];
  let end = 0;
  places.forEach((place, i) => {
    if (!place || place[0] < end) return;
    nodes.push(text.slice(end, place[0]), mark(i, text.slice(...place)));
    end = place[1];
  });
  return [...nodes, text.slice(end)];
}
