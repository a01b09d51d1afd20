"""How error sentences show values: on one line, escaped and shortened."""

import pytest

from seq2seq.runtime.errors import LONGEST, SHOWN, ConfigError, quoted, shortened, unknown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("bleu", "'bleu'"),
        ("", "''"),
        (3.5, "'3.5'"),
        ("Käter 我们", "'Käter 我们'"),
        ("a\nb\tc", r"'a\nb\tc'"),
        ("\x1b[31m", r"'\x1b[31m'"),
        ("\u202e", r"'\u202e'"),
        ("\udce4", r"'\udce4'"),
        ("x" * 1500, f"'{'x' * SHOWN}... (1,500 characters)'"),
    ],
)
def test_quoted_is_one_short_printable_line(value: object, shown: str) -> None:
    assert quoted(value) == shown
    assert quoted(value).isprintable()


def test_shortened_to_a_given_number_of_characters() -> None:
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdef", 3) == "abc... (6 characters)"


def test_unknown_name_is_shortened_too() -> None:
    assert len(unknown("--metrics", "bleu" * 1000, ["bleu", "chrf"])) < 200


def test_message_of_an_error_is_one_printable_line() -> None:
    r"""Names in it may come from files that someone else wrote; "\\x1b" would give a terminal commands."""
    assert str(ConfigError("a\x1b[31m\n  b\x85c\u202e\udce4 ü")) == r"a\x1b[31m b c\u202e\udce4 ü"
    assert len(str(ConfigError("x" * 10**6))) < LONGEST + 50
