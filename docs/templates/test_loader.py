"""One file of every trap the source has."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from loader import read_newswire

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.research import Quiet
from embargo.research.config import parse_config
from embargo.research.run import load_world

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


def test_a_run_takes_it_by_name(tmp_path: Path) -> None:
    rows = [
        GOOD | {"id": str(day), "stamp": f"2024-07-{day:02} 09:30", "headline": f"A grows, part {day}"}
        for day in range(1, 32)
    ]
    days = pd.bdate_range("2024-07-01", "2024-07-31").drop(pd.Timestamp("2024-07-04"))
    bars = pd.DataFrame({"date": days.strftime("%Y-%m-%d"), "symbol": "A", "open": 1.0, "high": 1.0, "low": 1.0})
    bars.assign(close=1.0, volume=100).to_csv(tmp_path / "bars.csv", index=False)
    settings = {"path": str(written(tmp_path, *rows)), "timezone": "America/New_York"}
    document = {
        "name": "mine",
        "news": {"loader": "loader:newswire", "settings": settings},
        "prices": {"path": str(tmp_path / "bars.csv")},
        "split": {"first_test": "2024-07-15", "end": "2024-07-31"},
    }
    world = load_world(parse_config(document, where="mine", allow=["loader:newswire"]), Quiet())
    assert world.counts["news"]["no symbol"] == 0
    assert world.counts["news"]["outside_range"] == 1
    assert len(world.news) == 30
    with pytest.raises(ConfigError, match="--allow loader:newswire"):
        load_world(parse_config(document, where="mine"), Quiet())
