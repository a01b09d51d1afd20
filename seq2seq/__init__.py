"""Train, compare and ship attention encoder-decoders; `Translator` is imported on first use."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seq2seq.translator import Translator

__version__ = "0.1.0"
__all__ = ["Translator", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Translator":
        from seq2seq.utils import process

        process.set_environment()
        from seq2seq.translator import Translator

        return Translator
    from seq2seq.errors import nearest_hint

    raise AttributeError(f"module 'seq2seq' has no attribute {name!r}{nearest_hint(name, __all__)}")
