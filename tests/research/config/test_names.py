"""Names of companies from a file: what is read, what is refused, and that they change no fingerprint."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError
from embargo.research.config import load_config
from embargo.research.config.names import read_names

SMALL = str(files("embargo.research.examples") / "small.toml")


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("a.csv", "symbol,name\nAAPL,Apple Inc.\nAAPL,Apple\nNOK, N \n", {"AAPL": ["Apple Inc.", "Apple"], "NOK": ["N"]}),
        ("a.csv", "\ufeffname,symbol,sector\nApple,AAPL,tech\n", {"AAPL": ["Apple"]}),
        ("a.toml", 'AAPL = "Apple"\nNOK = ["Nokia", "Nokia Oyj"]', {"AAPL": ["Apple"], "NOK": ["Nokia", "Nokia Oyj"]}),
    ],
)  # fmt: skip
def test_names_are_read(tmp_path: Path, name: str, text: str, names: dict[str, list[str]]) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_names(tmp_path / name) == names


@pytest.mark.parametrize(
    ("name", "text", "error", "words"),
    [
        ("a.csv", "ticker,name\nA,B\n", DataError, "symbol and name are needed"),
        ("a.csv", "symbol,name\n", DataError, "names nobody"),
        ("a.csv", "symbol,name\nAAPL,\n", DataError, "'AAPL' has the name ''"),
        ("a.toml", "AAPL = 3", DataError, "'AAPL' has the name 3"),
        ("a.json", "{}", ConfigError, "must be a .csv or .toml file"),
        ("a.csv", None, MissingPartError, "no such file"),
    ],
)
def test_what_names_nobody_is_refused(
    tmp_path: Path, name: str, text: str | None, error: type[Exception], words: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(error, match=words):
        read_names(tmp_path / name)


def test_names_change_no_fingerprint() -> None:
    plain, named = load_config(SMALL), load_config(SMALL, ["leakage.names=names.csv"])
    assert plain.fingerprint() == named.fingerprint()
    assert Path(str(named.leakage.names)).is_absolute()
