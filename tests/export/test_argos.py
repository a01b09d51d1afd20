"""Packages for Argos Translate: their content, and the real library that installs and uses one."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from seq2seq.errors import ConfigError
from seq2seq.export.argos import write_argos
from seq2seq.export.formats import reasons
from tests.export.tiny import SOURCES, all_finished, tiny_config, tiny_model, tiny_vocabularies, translator_of

NAME = "translate-en_de-1_0"

# Installs the package and translates each line of the standard input; sentences are not split, for which Argos would
# download a model.
SCRIPT = """
import json, sys
from argostranslate import package, translate
class WholeLines:
    def __init__(self, package): pass
    def split_sentences(self, text): return [text]
translate.MiniSBDSentencizer = WholeLines
package.install_from_path(sys.argv[1])
source, target = (next(l for l in translate.get_installed_languages() if l.code == c) for c in ("en", "de"))
assert (source.name, target.name) == ("English", "German")
found = source.get_translation(target)
print(json.dumps([found.hypotheses(line, 1)[0].value for line in sys.stdin.read().splitlines()]))
"""


def test_package_holds_model_tokenizer_and_languages(tmp_path: Path) -> None:
    pytest.importorskip("ctranslate2")
    config = tiny_config()
    write_argos(tiny_model(config, search=False), config, tiny_vocabularies(True), tmp_path / "argos")
    assert [path.name for path in (tmp_path / "argos").iterdir()] == [f"{NAME}.argosmodel"]
    with zipfile.ZipFile(tmp_path / "argos" / f"{NAME}.argosmodel") as package:
        names = ["metadata.json", "sentencepiece.model", "model/config.json", "model/model.bin"]
        assert set(package.namelist()) == {f"{NAME}/{name}" for name in (*names, "model/shared_vocabulary.json")}
        assert package.read(f"{NAME}/sentencepiece.model") == tiny_vocabularies(True).source.serialized
        metadata = json.loads(package.read(f"{NAME}/metadata.json"))
    assert (metadata["from_code"], metadata["from_name"]) == ("en", "English")
    assert (metadata["to_code"], metadata["to_name"]) == ("de", "German")


def test_two_tokenizers_are_refused(tmp_path: Path) -> None:
    config = tiny_config(joint=False)
    with pytest.raises(ConfigError) as raised:
        write_argos(tiny_model(config, search=False), config, tiny_vocabularies(False), tmp_path / "argos")
    assert str(raised.value) == reasons("argos", config)[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_argos_translate_installs_it_and_gives_our_output(tmp_path: Path) -> None:
    pytest.importorskip("argostranslate")
    config = tiny_config()
    model = tiny_model(config)
    write_argos(model, config, tiny_vocabularies(True), tmp_path / "argos", "float32")
    data = {name: str(tmp_path / name) for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
    data["ARGOS_COMPUTE_TYPE"] = "default"  # not int8, which Argos Translate chooses on many machines
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "argos" / f"{NAME}.argosmodel")]
    done = subprocess.run(
        command, input="\n".join(SOURCES), env=os.environ | data, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    ours = translator_of(model, config)
    # what Argos Translate sets, and the limits of CTranslate2
    ours.search = config.search.changed(beam=4, n_best=4, alpha=0.2, min_length=1, max_length=256)
    found = zip(json.loads(done.stdout), ours.hypotheses(SOURCES), strict=True)
    compared = [(text, wanted[0].text) for text, wanted in found if all_finished(wanted)]
    assert len(compared) > len(SOURCES) / 3
    assert [text for text, _ in compared] == [expected for _, expected in compared]
