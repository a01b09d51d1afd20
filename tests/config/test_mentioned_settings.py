"""Settings that messages and docstrings recommend exist, and take the value that is named."""

import ast
import re
from pathlib import Path

import seq2seq
from seq2seq.config.choices import field_choices
from seq2seq.config.io import every_setting
from tests.each import each

PACKAGE = Path(seq2seq.__file__).parent
# the weights of transformers have names like settings
FILES = sorted(set(PACKAGE.rglob("*.py")) - {PACKAGE / "export/huggingface.py", PACKAGE / "imports/marian.py"})
SETTINGS = every_setting()
GROUPS = "|".join(sorted({name.split(".")[0] for name in SETTINGS if "." in name}))
MENTION = re.compile(rf"(?<![\w./-])((?:{GROUPS})(?:\.[a-z_0-9]+)+)(?:=([a-z_]+)(?![\w.]))?")
# a name that is refused, an attribute, and files
NO_SETTINGS = {"data.test.dev", "model.memory", "training.lock", "model.safetensors", "model.json", "tokenizer.spm"}


@each("path", FILES)
def test_every_setting_that_a_text_names_exists(path: Path) -> None:
    texts = [
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    for name, value in MENTION.findall("\n".join(texts)):
        groups = [known for known in SETTINGS if known.startswith(f"{name}.")]
        assert name in SETTINGS or groups or name in NO_SETTINGS, f"{name} is no setting"
        choices = field_choices(SETTINGS[name]) if name in SETTINGS else ()
        assert not value or not choices or value in choices, f"{name}={value} is none of {choices}"
