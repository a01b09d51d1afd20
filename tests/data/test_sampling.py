"""Sampled segmentation is reproducible, preserves the text and keeps the planned lengths."""

from math import inf
from pathlib import Path

from seq2seq.data.dataset import PairArrays, write_arrays
from seq2seq.data.readers import Pair
from seq2seq.data.sampling import SampledCorpus, encode_pair, text_row
from seq2seq.data.tokenizer import train_tokenizer
from seq2seq.data.vocabulary import Vocabularies

PAIRS = [Pair(f"the cat sees {n} dogs\u2028", f"die Katze sieht {n} Hunde") for n in range(40)]


def sampled(folder: Path, alpha: float = 0.3, seed: int = 1) -> tuple[SampledCorpus, Vocabularies]:
    joint = train_tokenizer([side for pair in PAIRS for side in pair], kind="bpe", size=60)
    both = Vocabularies(joint, joint)
    with write_arrays(folder / "ids", 60, 60) as add, write_arrays(folder / "text", 256, 256, max_length=0) as add_text:
        for pair in PAIRS:
            add(encode_pair(pair, both))
            add_text(text_row(pair))
    return SampledCorpus(
        PairArrays(folder / "ids"), folder / "text", both, alpha=alpha, seed=seed, limits=(inf, inf)
    ), both


def test_sampled_segmentation_is_a_function_of_seed_epoch_and_line(tmp_path: Path) -> None:
    corpus, both = sampled(tmp_path)

    def ids(seed: int, epoch: int, lines: list[int]) -> dict[int, list[list[int]]]:
        rows = SampledCorpus(
            corpus.arrays, tmp_path / "text", both, alpha=0.3, seed=seed, limits=(inf, inf)
        ).epoch_rows(epoch)
        return {i: [list(side) for side in rows.row(i)] for i in lines}

    forward = ids(1, 0, list(range(40)))
    assert ids(1, 0, list(reversed(range(40)))) == forward
    assert ids(1, 0, [17]) == {17: forward[17]}
    assert ids(1, 1, list(range(40))) != forward != ids(2, 0, list(range(40)))
    for i, (source, target, *_) in forward.items():
        assert Pair(both.source.decode(source), both.decode_target(target)) == PAIRS[i]
    assert corpus.source_lengths.tolist() == [len(both.encode_source(pair.source).ids) for pair in PAIRS]
