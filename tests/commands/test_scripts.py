"""Text of many scripts through the whole path: train, translate, evaluate, plot, compare."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from seq2seq.runtime.words import count_words

Call = Callable[..., tuple[int, str, str]]


class Script(NamedTuple):
    """How text of a script is made up: words, and what stands between them."""

    language: str
    words: str  # separated by spaces
    space: str = " "
    tokenizer: str = "13a"  # of BLEU


SCRIPTS = {
    "Latin": Script("de", "schöne Straße über größer Käse Ähre fröhlich müßig Öl Füße"),
    "Cyrillic": Script("ru", "книга город вечер стол окно река лето снег мост дорога"),
    "Arabic": Script("ar", "كتاب مدينة مُحَمَّد طاولة نافذة نهر صيف ثلج جسر طريق"),
    "Devanagari": Script("hi", "किताब शहर शाम मेज़ खिड़की नदी गर्मी बर्फ़ पुल सड़क"),
    "Han": Script("zho", "书 城市 晚上 桌子 窗户 河流 夏天 雪 桥梁 道路", "", "zh"),
    "Thai": Script("tha", "หนังสือ เมือง เย็น โต๊ะ หน้าต่าง แม่น้ำ ร้อน หิมะ สะพาน ถนน", "", "char"),
    "emoji": Script("", "😀 👍🏽 👨\u200d👩\u200d👧 🇩🇪 ❤\ufe0f 🐈 🌊 ☀\ufe0f 🌉 🛣\ufe0f"),
}
FAST = ("Thai",)  # without spaces, with marks, not in the Basic Latin block


def write_corpus(folder: Path, script: Script) -> None:
    """60 training pairs, 4 for dev and 4 for test; the target has the words of the source in reverse order."""
    draw = random.Random(1)
    sources = [draw.choices(script.words.split(), k=draw.randint(2, 7)) for _ in range(68)]
    for name, part in (("train", sources[:60]), ("dev", sources[60:64]), ("test", sources[64:])):
        for side, lines in (("src", part), ("trg", [line[::-1] for line in part])):
            (folder / f"{name}.{side}").write_text(
                "".join(f"{script.space.join(line)}\n" for line in lines), encoding="utf-8"
            )


@pytest.mark.filterwarnings("ignore:Glyph")  # a font may lack them
@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in SCRIPTS]
)
def test_every_script_goes_the_whole_way(
    name: str, call: Call, small_settings: Callable[..., list[str]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    script = SCRIPTS[name]
    write_corpus(tmp_path, script)
    language = [f"data.target_language={script.language}"] if script.language else []
    settings = [
        f"data.root={tmp_path}", f"data.cache={tmp_path}/cache", "data.source=src", "data.target=trg", *language,
        "tokenizer=char", "training.max_updates=2", "training.validate_every=2",
    ]  # fmt: skip
    code, _, err = call("train", *small_settings(tmp_path / "runs", *settings))
    assert code == 0, err
    assert "60 of 60 kept" in caplog.text
    run = next((tmp_path / "runs").iterdir())
    sources = (tmp_path / "test.src").read_text(encoding="utf-8")
    code, out, _ = call("translate", run, "--alignment", "--min-length", 3, stdin=sources)
    assert (code, out.count("\n"), "\ufffd" in out) == (0, 4, False)
    for target, links in (line.split("\t") for line in out.splitlines()):
        assert len(links.split()) > 1 or script.space or count_words(target) < 2
    metrics = ("--metrics", "bleu,chrf,rouge1", "--rouge-tokenizer", "unicode" if name != "emoji" else "chars")
    code, out, err = call("evaluate", run, "--test", "test", "--bootstrap", 0, *metrics)
    assert code == 0, err
    assert f"tok:{script.tokenizer}|" in out
    sentence = sources.splitlines()[0]
    code, out, _ = call("plot", run, "--sentence", sentence, "--subwords")
    assert code == 0
    assert sentence[0] in out
    code, out, err = call("compare", run, "--test", "test", "--bootstrap", 0, "--trials", 0, "--metrics", "chrf")
    assert code == 0, err
    assert "chrF2" in out
