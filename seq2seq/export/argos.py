"""Exports translators as packages for Argos Translate, which LibreTranslate installs too.

A package is a zip archive of one folder, that of a CTranslate2 model with its SentencePiece model and languages.
"""

import json
import tempfile
import zipfile
from pathlib import Path

from seq2seq.config import Config
from seq2seq.config.languages import find_language, language_name
from seq2seq.data.folders import new_folder
from seq2seq.data.vocabulary import JOINT, Vocabularies
from seq2seq.errors import ConfigError
from seq2seq.export.ctranslate2 import write_ctranslate2
from seq2seq.export.formats import FORMATS, check_format
from seq2seq.nn.build import EncoderDecoder

PACKAGE_VERSION, ARGOS_VERSION = "1.0", "1.9"  # the version of the package, and the first of Argos that reads it


def write_argos(
    model: EncoderDecoder,
    config: Config,
    vocabularies: Vocabularies,
    folder: Path,
    dtype: str = FORMATS["argos"].dtypes[0],
) -> None:
    """Write the package as the only file of a new folder, such as translate-en_de-1_0.argosmodel.

    Raises ConfigError for a model that the format cannot represent, an unknown dtype, an existing folder, and if the
    package ctranslate2 is missing."""
    check_format("argos", config, dtype)
    settings = metadata(config)
    name = f"translate-{settings['from_code']}_{settings['to_code']}-{PACKAGE_VERSION.replace('.', '_')}"
    with new_folder(folder) as temporary, tempfile.TemporaryDirectory(dir=temporary) as scratch:
        files = Path(scratch) / "model"
        write_ctranslate2(model, config, vocabularies, files, dtype)
        with zipfile.ZipFile(temporary / f"{name}.argosmodel", "w", zipfile.ZIP_DEFLATED) as package:
            package.writestr(f"{name}/metadata.json", json.dumps(settings, indent=1, ensure_ascii=False))
            package.write(files / JOINT, f"{name}/sentencepiece.model")
            for path in sorted(files.iterdir()):
                if path.suffix != ".spm":
                    package.write(path, f"{name}/model/{path.name}")


def metadata(config: Config) -> dict[str, str]:
    """metadata.json of the package."""
    languages = [find_language(language) for language in config.data.languages()]
    if not all(languages):
        raise ConfigError("a package for Argos Translate needs the codes of both languages")
    source, target = (language.tag for language in languages if language)
    return {
        "package_version": PACKAGE_VERSION,
        "argos_version": ARGOS_VERSION,
        "from_code": source,
        "from_name": language_name(source),
        "to_code": target,
        "to_name": language_name(target),
    }
