"""Scores equal those of the reference implementations and papers, and obey the laws of any metric."""

import json
import math
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seq2seq.errors import ConfigError, DataError, RunError
from seq2seq.evaluation import rouge
from seq2seq.evaluation.metrics import GROUPS, METRICS, TASKS, expand_names, score
from seq2seq.evaluation.scores import LOWER_IS_BETTER
from tests.each import each

TEXT = "the a man woman dog, Street runs sits in on near 2 green lights. old children play playing football again &"
WORDS = TEXT.split()


def corpus(seed: int, lines: int = 60) -> tuple[list[str], list[str]]:
    """Hypotheses with about one word in four replaced and some left out, and their references."""
    rng = random.Random(seed)
    references = [" ".join(rng.choices(WORDS, k=rng.randint(4, 14))) for _ in range(lines)]
    noisy = [
        [rng.choice(WORDS) if rng.random() < 0.25 else word for word in line.split() if rng.random() > 0.1]
        for line in references
    ]
    return [" ".join(words) for words in noisy], references


HYPOTHESES, REFERENCES = corpus(1)
OTHER = corpus(2)[1]


@pytest.fixture(params=METRICS)
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each metric; for that of entities every word of the corpus is a tag that begins one."""
    if request.param == "entity_f1":
        for lines in ("HYPOTHESES", "REFERENCES", "OTHER"):
            tagged = [" ".join(f"B-{word}" for word in line.split()) for line in globals()[lines]]
            monkeypatch.setitem(globals(), lines, tagged)
    return str(request.param)


def value(hypotheses: list[str], references: list[list[str]], name: str, **options: object) -> float:
    return score(hypotheses, references, [name], **{"bootstrap": 0, **options})[0].value  # type: ignore[arg-type]


# Laws of every metric


def test_perfect_hypotheses_get_the_best_score(name: str) -> None:
    assert value(REFERENCES, [REFERENCES], name) == pytest.approx(0 if name in LOWER_IS_BETTER else 100)


def test_one_matching_reference_among_several_is_enough(name: str) -> None:
    """TER divides by the mean length of the references; 0 edits stay 0."""
    assert value(REFERENCES, [OTHER, REFERENCES], name) == pytest.approx(0 if name in LOWER_IS_BETTER else 100)


def test_score_is_independent_of_the_order_of_sentences(name: str) -> None:
    order = random.Random(3).sample(range(len(REFERENCES)), len(REFERENCES))
    moved = value([HYPOTHESES[i] for i in order], [[REFERENCES[i] for i in order]], name)
    assert moved == pytest.approx(value(HYPOTHESES, [REFERENCES], name))


def test_wrong_pairs_score_worse(name: str) -> None:
    right, wrong = value(HYPOTHESES, [REFERENCES], name), value(HYPOTHESES[1:] + HYPOTHESES[:1], [REFERENCES], name)
    assert (wrong > right + 5) if name in LOWER_IS_BETTER else (wrong < right - 5)


def test_empty_hypotheses_get_the_worst_score(name: str) -> None:
    assert value([""] * len(REFERENCES), [REFERENCES], name) == (100 if name == "ter" else 0)


def test_interval_holds_the_score_and_is_reproducible_from_its_seed(name: str) -> None:
    (first,), (again,) = (score(HYPOTHESES, [REFERENCES], [name], bootstrap=200) for _ in range(2))
    assert first.interval
    assert first.interval[0] < first.value < first.interval[1]
    assert first.interval == again.interval
    others = [score(HYPOTHESES, [REFERENCES], [name], bootstrap=200, seed=seed)[0].interval for seed in range(4)]
    assert any(first.interval != other for other in others)


def test_score_is_the_formula_of_summed_statistics(name: str) -> None:
    (made,) = score(HYPOTHESES, [REFERENCES], [name], bootstrap=0)
    assert made.statistics.shape[0] == len(HYPOTHESES)
    assert made.formula(made.statistics.sum(0)) == made.value
    half = score(HYPOTHESES[:30], [REFERENCES[:30]], [name], bootstrap=0)[0]
    assert made.formula(made.statistics[:30].sum(0)) == pytest.approx(half.value)


def test_signature_holds_options_and_version(name: str) -> None:
    plain, resampled = (score(HYPOTHESES, [REFERENCES, OTHER], [name], bootstrap=n)[0] for n in (0, 50))
    assert "nrefs:2" in plain.signature
    assert "version:" in plain.signature
    assert "bs:" not in plain.signature
    assert "bs:50|seed:12345" in resampled.signature
    assert plain.interval is None
    assert resampled.name == name
    assert str(resampled).startswith(f"{name} = ")
    assert resampled.signature in str(resampled)


def test_score_can_be_written_as_json(name: str) -> None:
    (made,) = score(HYPOTHESES, [REFERENCES], [name], bootstrap=10)
    assert set(json.loads(json.dumps(made.as_dict()))) == {"name", "value", "signature", "interval"}


# Reference implementations


def sacrebleu_metrics() -> dict[str, object]:
    from sacrebleu.metrics import BLEU, CHRF, TER

    return {"bleu": BLEU(), "chrf": CHRF(), "chrf++": CHRF(word_order=2), "ter": TER()}


@pytest.mark.parametrize("twin", ["bleu", "chrf", "chrf++", "ter"])
@pytest.mark.parametrize("references", [[REFERENCES], [REFERENCES, OTHER]], ids=["one", "two"])
def test_score_signature_and_interval_equal_sacrebleu(
    twin: str, references: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SACREBLEU_SEED", "7")
    metric = sacrebleu_metrics()[twin]
    theirs = metric.corpus_score(HYPOTHESES, references, n_bootstrap=200)  # type: ignore[attr-defined]
    (ours,) = score(HYPOTHESES, references, [twin], bootstrap=200, seed=7)
    assert ours.value == pytest.approx(theirs.score, rel=1e-12)
    assert ours.signature == str(metric.get_signature())  # type: ignore[attr-defined]
    assert ours.interval
    assert (ours.interval[1] - ours.interval[0]) / 2 == pytest.approx(theirs._ci, abs=1e-4)


@pytest.mark.parametrize("stemming", [False, True])
@pytest.mark.parametrize("kind", ["rouge1", "rouge2", "rougeL", "rougeLsum"])
def test_rouge_equals_rouge_score(kind: str, stemming: bool) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    hypotheses, first, second = (
        [line.replace(" in ", "\n") for line in lines] for lines in (HYPOTHESES, REFERENCES, OTHER)
    )
    scorer = RougeScorer([kind], use_stemmer=stemming)
    sentences = zip(hypotheses, first, second, strict=True)
    theirs = [max(scorer.score(target, line)[kind].fmeasure for target in pair) for line, *pair in sentences]
    (ours,) = score(hypotheses, [first, second], [kind], stemming=stemming, bootstrap=0)
    np.testing.assert_allclose(ours.statistics[:, 0], 100 * np.array(theirs))
    assert ours.value == pytest.approx(100 * sum(theirs) / len(theirs))
    assert f"stem:{'porter' if stemming else 'no'}" in ours.signature
    assert "pkg:rouge-score" in ours.signature


@pytest.mark.parametrize("stemming", [False, True])
def test_rouge_of_several_references_equals_rouge_score(stemming: bool) -> None:
    """Text of several lines, ended by newlines or <n>, and three references, against score_multi."""
    from rouge_score.rouge_scorer import RougeScorer

    draw = random.Random(4)
    texts = [[" ".join(draw.choices([*WORDS, "\n", "\n", "\n"], k=25)) for _ in range(12)] for _ in range(4)]
    hypotheses, *references = texts
    kinds = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    scorer = RougeScorer(kinds, use_stemmer=stemming)
    theirs = [
        scorer.score_multi(each, line) for line, each in zip(hypotheses, zip(*references, strict=True), strict=True)
    ]
    marked = [[line.replace("\n", " <n> ") for line in lines] for lines in (hypotheses, *references)]
    for first, *others in ((hypotheses, *references), marked):
        for made in score(first, others, kinds, stemming=stemming, bootstrap=0):
            wanted = [100 * one[made.name].fmeasure for one in theirs]
            np.testing.assert_allclose(made.statistics[:, 0], wanted)
            assert made.value == pytest.approx(sum(wanted) / len(wanted))
            assert "nrefs:3" in made.signature
    assert abs(np.mean([one["rougeL"].fmeasure - one["rougeLsum"].fmeasure for one in theirs])) > 0.01


def test_expand_names() -> None:
    """L and Lsum come together, `rouge` is all; each once, in the order given."""
    assert expand_names(["rouge"]) == ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    assert expand_names(["bleu", "rougeL"]) == ["bleu", "rougeL", "rougeLsum"]
    assert expand_names(["rougeLsum", "rouge", "chrf"]) == ["rougeLsum", "rougeL", "rouge1", "rouge2", "chrf"]
    for metrics in (*TASKS.values(), *GROUPS.values(), *([name] for name in METRICS)):
        assert ("rougeL" in expand_names(metrics)) == ("rougeLsum" in expand_names(metrics))
        assert set(expand_names(metrics)) <= set(METRICS)
    with pytest.raises(ConfigError, match=r"--metrics='rouge-l' is unknown \(did you mean 'rouge"):
        expand_names(["rouge-l"])


def paper_bleu(hypotheses: list[str], references: list[str]) -> float:
    """Papineni et al. (2002), section 2.3: BP exp(mean of log p_n), n to 4."""

    def grams(words: list[str], n: int) -> Counter[tuple[str, ...]]:
        return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))

    pairs = [(h.split(), r.split()) for h, r in zip(hypotheses, references, strict=True)]
    c, r = (sum(len(pair[side]) for pair in pairs) for side in (0, 1))
    logs = []
    for n in range(1, 5):
        matches = sum((grams(hyp, n) & grams(ref, n)).total() for hyp, ref in pairs)
        logs.append(math.log(matches / sum(grams(hyp, n).total() for hyp, _ in pairs)))
    return 100 * min(1, math.exp(1 - r / c)) * math.exp(sum(logs) / 4)


def test_bleu_equals_the_paper() -> None:
    hypotheses = ["the cat is on the mat", "there is a cat on a mat near me", "the the the the"]
    references = ["the cat sat on the mat", "there is a cat on the mat near the door", "the dog runs"]
    assert value(hypotheses, [references], "bleu") == pytest.approx(paper_bleu(hypotheses, references))


def test_rouge_by_hand() -> None:
    """Lin (2004), section 3: of "police killed the gunman", "police kill the gunman" has 3 of 4 words, 1 of 3 pairs, a
    common subsequence of 3; "the gunman kill police" the same words, the same pair, a subsequence of 2."""
    references = [["police killed the gunman"] * 2]
    made = score(
        ["police kill the gunman", "the gunman kill police"], references, ["rouge1", "rouge2", "rougeL"], bootstrap=0
    )
    np.testing.assert_allclose([s.statistics[:, 0] for s in made], [[75, 75], [100 / 3, 100 / 3], [75, 50]])


def test_rouge_lsum_takes_lines_as_sentences_and_rouge_l_does_not() -> None:
    lines, swapped = ["a b c d\ne f g h"], ["e f g h\na b c d"]
    assert value(swapped, [lines], "rougeLsum") == pytest.approx(100)
    assert value(swapped, [lines], "rougeL") == pytest.approx(50)
    assert value([swapped[0].replace("\n", " ")], [[lines[0].replace("\n", " ")]], "rougeLsum") == pytest.approx(50)


# Languages, case, tokens


@pytest.fixture
def warn_again() -> None:
    """Warnings that come once per process come again."""
    from seq2seq.evaluation import bleu, rouge

    for function in (bleu._warn_characters, bleu._warn_spaces, rouge._warn_dropped):
        function.cache_clear()


TOKENIZERS = {  # of BLEU -> languages
    "13a": "de en-GB ru hi ar zh-Latn xx",
    "zh": "zh zh_CN zh-Hant cmn zho chi yue chinese",
    "char": "th tha Thai lo km khmer my bo dz",
}


@each(
    ("language", "tokenizer"),
    [("", "13a"), *((name, tok) for tok, names in TOKENIZERS.items() for name in names.split())],
)
def test_language_chooses_the_tokenizer_of_bleu(language: str, tokenizer: str) -> None:
    """The score and its signature are those of sacreBLEU with that tokenizer."""
    from sacrebleu.metrics.bleu import BLEU

    lines, references = ["我们走了。", "ข้าวผัดอร่อยมาก"], [["我们走了吧。", "ข้าวผัดอร่อยมากๆ"]]
    (made,) = score(lines, references, ["bleu"], language=language, bootstrap=0)
    twin = BLEU(tokenize=tokenizer)
    assert made.value == twin.corpus_score(lines, references).score
    assert made.signature == str(twin.get_signature())
    assert f"|tok:{tokenizer}|" in made.signature


def test_what_is_no_language_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^language='\?\?' is no language"):
        score(["a"], [["a"]], ["bleu"], language="??")


UNSPACED = {"zh": "我们今天去北京大学看朋友", "ja": "私は本を読みます", "th": "วันนี้เราไปมหาวิทยาลัยกัน"}


@pytest.mark.parametrize("language", UNSPACED)
@pytest.mark.usefixtures("warn_again")
def test_text_without_spaces_is_warned_of_where_words_are_between_spaces(
    language: str, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [UNSPACED[language] * n for n in (1, 2)]
    for _ in range(2):
        assert value(lines, [lines], "bleu") == 0
        value(lines, [lines], "ter")
    assert [message.split(" between")[0] for message in caplog.messages] == ["BLEU counts words", "TER counts words"]
    assert all("--language" in message and "data.target_language" in message for message in caplog.messages)
    caplog.clear()
    assert value(lines, [lines], "bleu", language=language) == pytest.approx(100)
    assert not [message for message in caplog.messages if "hardly any" in message]


@pytest.mark.usefixtures("warn_again")
def test_text_with_spaces_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    lines = ["Der Mann kauft ein Buch", "我们 今天 去 北京大学", "नमस्ते दुनिया", ""]
    for name in ("bleu", "ter", "chrf"):
        value(lines, [lines], name)
    assert not caplog.messages


@pytest.mark.parametrize("language", ["zh", "cmn", "ja"])
def test_ter_counts_the_characters_of_chinese_and_japanese(language: str) -> None:
    assert value(["我们今天去"], [["我们明天去"]], "ter", language=language) == pytest.approx(20)
    assert value(["我们今天去"], [["我们明天去"]], "ter") == 100


@pytest.mark.parametrize("language", ["ja", "ko"])
def test_missing_tokenizer_falls_back_to_characters_with_one_warning(
    language: str, caplog: pytest.LogCaptureFixture
) -> None:
    from seq2seq.evaluation import bleu

    bleu._warn_characters.cache_clear()
    made = [score(["犬がいる"], [["犬がいた"]], ["bleu"], language=language, bootstrap=0)[0] for _ in range(2)]
    if "mecab" in made[0].signature:
        pytest.skip(f"sacrebleu[{language}] is installed")
    assert "|tok:char|" in made[0].signature
    warning = f"BLEU of {language} is of characters (tok:char): pip install 'sacrebleu[{language}]' for words"
    assert [record.message for record in caplog.records].count(warning) == 1


@pytest.mark.parametrize("cased", ["bleu", "chrf", "chrf++"])
def test_lowercase_ignores_case(cased: str) -> None:
    loud = [line.upper() for line in REFERENCES]
    assert value(loud, [REFERENCES], cased) < 60
    assert value(loud, [REFERENCES], cased, lowercase=True) == pytest.approx(100)


# Bad input


@each(
    ("hypotheses", "references", "message"),
    [
        (["a", "b"], [["a"]], "2 hypotheses cannot be paired with 1 references"),
        (["a"], [["a"], ["a", "b"]], "1 hypotheses cannot be paired with 2 references of set 2"),
        ([], [[]], "there is nothing to score: no hypotheses"),
        (["a"], [], "there is nothing to compare with: no references"),
        (["a"], ["a"], "not a list of lines"),
    ],
)
def test_text_that_cannot_be_paired_is_refused(
    name: str, hypotheses: list[str], references: list[list[str]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        score(hypotheses, references, [name])


def test_unknown_metric_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(
        ConfigError, match=r"metrics='rouge-l' is unknown \(did you mean 'rouge.*choose one of: bleu, chrf"
    ):
        score(["a"], [["a"]], ["bleu", "rouge-l"])


def test_one_metric_in_place_of_a_list_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"metrics='chrf' must be a list of names, such as \['chrf'\]"):
        score(["a"], [["a"]], "chrf")


def test_rouge_refuses_references_without_a_token() -> None:
    with pytest.raises(
        DataError, match=r"rouge1 finds no letter or other token in any reference .*--rouge-tokenizer unicode .* chrf"
    ):
        score(["我们"], [["我们"]], ["rouge1"])
    with pytest.raises(DataError, match="token in any reference"):
        score(["我们 <n> 走"], [["我们 <n> 走"]], ["rougeLsum"])  # the mark is no word
    with pytest.raises(DataError, match=r"token in any reference \(tok:unicode\), or take chrf$"):
        score(["!"], [["..."]], ["rouge1"], rouge_tokenizer="unicode")


SCRIPTS = [
    "नमस्ते दुनिया",
    "我们今天去北京大学",
    "สวัสดีชาวโลก",
    "مرحبا بالعالم",
    "schön für Käse",
    "Καλημέρα κόσμε",
    "ສະບາຍດີໂລກ",
]


@pytest.mark.parametrize("tokenizer", ["unicode", "chars"])
@pytest.mark.parametrize("kind", GROUPS["rouge"])
def test_rouge_of_other_scripts(kind: str, tokenizer: str) -> None:
    for text in (f"{line} {line}" for line in SCRIPTS):
        (made,) = score([text, text, "x"], [[text, text[:-1], text]], [kind], rouge_tokenizer=tokenizer, bootstrap=0)
        assert made.statistics[0, 0] == 100
        assert 0 < made.statistics[1, 0] < 100
        assert made.statistics[2, 0] == 0
        assert f"|tok:{tokenizer}|" in made.signature


def test_rouge_tokens_ignore_case_and_composition() -> None:
    for tokenizer in ("unicode", "chars"):
        assert value(["CAFÉ"], [["cafe\u0301"]], "rouge1", rouge_tokenizer=tokenizer) == 100


def test_rouge_by_the_pieces_of_a_model(tmp_path: Path) -> None:
    from seq2seq.data.tokenizer import train_tokenizer

    model = tmp_path / "any.model"
    train_tokenizer(["我们今天去北京大学看朋友"] * 9, kind="char", size=40).save(model)
    (made,) = score(["我们今天"], [["我们明天"]], ["rouge1"], rouge_tokenizer=str(model), bootstrap=0)
    assert made.value == pytest.approx(100 * 4 / 5)  # the space before the first word is a piece too
    assert re.search(r"\|tok:spm-[0-9a-f]{8}\|", made.signature)
    model.write_bytes(b"no model")
    rouge.open_tokenizer.cache_clear()
    with pytest.raises(RunError, match=r"any\.model: not a complete SentencePiece model"):
        score(["a"], [["a"]], ["rouge1"], rouge_tokenizer=str(model))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rouge_tokenizer": "unicod"}, r"unknown \(did you mean 'unicode'\?\).* or the file of a SentencePiece model"),
        ({"rouge_tokenizer": "unicode", "stemming": True}, "--stemming would be ignored"),
    ],
)
def test_rouge_tokenizers_that_cannot_work_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        score(["a"], [["a"]], ["rouge1"], **options)


@pytest.mark.usefixtures("warn_again")
def test_rouge_says_which_letters_it_drops(caplog: pytest.LogCaptureFixture) -> None:
    """Once for all kinds of ROUGE, and not of digits and punctuation."""
    lines = ["नमस्ते दुनिया", "the old man", "5 m² – “so”", "schön"]
    score(lines, [lines], GROUPS["rouge"], bootstrap=0)
    assert [message.split(", such")[0] for message in caplog.messages] == [
        "ROUGE drops letters other than a-z, which 2 of 4 references have"
    ]
    caplog.clear()
    score(lines[1:3], [lines[1:3]], ["rouge1"], bootstrap=0)
    score(lines, [lines], ["rouge1"], rouge_tokenizer="unicode", bootstrap=0)
    assert not caplog.messages
