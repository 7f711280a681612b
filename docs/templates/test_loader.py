"""One file of every trap the source has."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from loader import read_newswire

from embargo.data_loaders.errors import ConfigError, DataError

GOOD = {"id": "1", "stamp": "2024-07-03 09:30", "tickers": ["A"], "headline": "A grows"}


def written(folder: Path, *articles: object) -> Path:
    file = folder / "news.jsonl"
    file.write_text("\n".join(article if isinstance(article, str) else json.dumps(article) for article in articles))
    return file


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD, GOOD | {"id": "2", "tickers": []}, GOOD | {"id": "3", "headline": " "})
    loaded = read_newswire(file, timezone="America/New_York")
    assert loaded.counts == {"rows": 3, "kept": 1, "no symbol": 1, "no text": 1}
    assert loaded.frame["known_at"].tolist() == [pd.Timestamp("2024-07-03 13:30", tz="UTC")]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "line 2: not JSON"),
        ("[]", "line 2: .* missing"),
        (GOOD | {"tickers": "A"}, "line 2: tickers is 'A'"),
        (GOOD | {"stamp": "2024-03-10 02:30"}, "line 2: stamp .* no one instant"),
        (GOOD | {"stamp": "2024-11-03 01:30"}, "line 2: stamp .* no one instant"),
        (GOOD, "duplicate"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: object, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        read_newswire(written(tmp_path, GOOD, line), timezone="America/New_York")


def test_the_zone_must_be_said_rightly(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Name one"):
        read_newswire(written(tmp_path, GOOD), timezone="Newyork")


def test_a_file_without_anything_to_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of 1 articles"):
        read_newswire(written(tmp_path, GOOD | {"tickers": []}), timezone="UTC")
    with pytest.raises(DataError, match="cannot be read"):
        read_newswire(tmp_path / "absent.jsonl", timezone="UTC")
