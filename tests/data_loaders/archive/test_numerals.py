"""Numbers in texts: read with the signs that are named, never guessed, and refused with the setting that would read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embargo.data_loaders.archive import Dialect, read_label_set, read_news, read_prices, read_scores
from embargo.data_loaders.archive.tables import numbers_of
from embargo.data_loaders.errors import ConfigError, DataError

GERMAN = {"decimal": ",", "thousands": "."}


def cells(*texts: str | None) -> pd.Series:
    return pd.Series(list(texts), dtype="str", index=range(1, len(texts) + 1))


@pytest.mark.parametrize(
    ("text", "signs", "value"),
    [
        ("49,90", {"decimal": ","}, 49.9),
        ("-0,5", {"decimal": ","}, -0.5),
        (",5", {"decimal": ","}, 0.5),
        ("1,5e-3", {"decimal": ","}, 0.0015),
        ("1234567", {"decimal": ","}, 1_234_567.0),
        ("1.234.567,89", GERMAN, 1_234_567.89),
        ("1.234", GERMAN, 1_234.0),
        ("1234,5", GERMAN, 1_234.5),
        ("1,234,567.89", {"thousands": ","}, 1_234_567.89),
        ("1'234.5", {"thousands": "'"}, 1_234.5),
        ("1\u2019234.5", {"thousands": "'"}, 1_234.5),
        ("1\u202f234\u00a0567,8", {"decimal": ",", "thousands": " "}, 1_234_567.8),
        (" 12 345 ", {"thousands": " "}, 12_345.0),
    ],
)
def test_numbers_are_read_with_the_signs_that_are_named(text: str, signs: dict[str, str], value: float) -> None:
    assert numbers_of(cells(text), where="x", dialect=Dialect(**signs)).tolist() == [value]


@pytest.mark.parametrize(
    ("text", "signs", "told"),
    [
        ("49,90", {}, "If its comma is the decimal sign, set decimal = ','"),
        ("1.234,50", {}, "set decimal = ',' and thousands = '.'"),
        ("1,234", {}, "decimal sign, set decimal = ','; if it parts thousands, set thousands = ','"),
        ("1,234,567", {}, "If ',' parts thousands in it, set thousands = ','"),
        ("1.234.567", {"decimal": ","}, "If '.' parts thousands in it, set thousands = '.'"),
        ("1'234.5", {}, 'set thousands = "\'"'),
        # A point between two figures parts no thousands, and a group has three.
        ("49.90", GERMAN, "is no number"),
        ("12.34,5", GERMAN, "is no number"),
        ("1.2345", GERMAN, "is no number"),
        # Nobody writes 123 as 0.123: the nought says that the sign is the other one.
        ("0.123", GERMAN, "If its point is the decimal sign, leave decimal out"),
        ("0,123", {"thousands": ","}, "If its comma is the decimal sign, set decimal = ','."),
        ("012'345", {"thousands": "'"}, "is no number"),
        ("12,345,6", {"thousands": ","}, "is no number"),
        ("n. v.", GERMAN, "Mend or filter the row"),
    ],
)
def test_what_is_written_otherwise_is_refused_with_its_row(text: str, signs: dict[str, str], told: str) -> None:
    with pytest.raises(DataError) as refused:
        numbers_of(cells("7", None, text), where="x", dialect=Dialect(**signs))
    assert "row 3" in str(refused.value)
    assert told in str(refused.value)


@given(st.floats(-1e12, 1e12), st.integers(0, 6), st.sampled_from([(",", "."), (".", ","), (",", " "), (".", "'")]))
def test_a_number_comes_back_whatever_signs_it_was_written_with(number: float, places: int, signs: Any) -> None:
    decimal, thousands = signs
    plain = f"{number:,.{places}f}"
    written = plain.translate(str.maketrans({",": thousands, ".": decimal}))
    read = numbers_of(cells(written), where="x", dialect=Dialect(decimal=decimal, thousands=thousands))
    assert read.tolist() == [float(plain.replace(",", ""))]


def test_missing_cells_stay_missing_and_columns_of_numbers_stay_as_they_are() -> None:
    german = Dialect(**GERMAN)
    read = numbers_of(cells(None, "", "NaN", "n/a", "1,5"), where="x", dialect=german)
    assert read.isna().tolist() == [True, True, True, True, False]
    assert numbers_of(pd.Series([1.234, 5.0]), where="x", dialect=german).tolist() == [1.234, 5.0]


@pytest.mark.parametrize(
    ("signs", "told"),
    [
        ({"decimal": ";"}, "decimal = ';' is no decimal sign"),
        ({"thousands": "x"}, "thousands = 'x' parts no thousands"),
        ({"decimal": ",", "thousands": ","}, "Leave one of them out"),
        ({"thousands": "."}, "Set decimal = ','"),
    ],
)
def test_signs_that_cannot_be_are_refused(signs: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Dialect(**signs)


def test_signs_are_for_csv_alone(tmp_path: Path) -> None:
    (tmp_path / "news.jsonl").write_text('{"text": "x"}\n')
    with pytest.raises(ConfigError, match="decimal and thousands is for CSV files, and this is jsonl"):
        read_news(tmp_path / "news.jsonl", dialect=Dialect(**GERMAN))


def german(value: float) -> str:
    return f"{value:,.2f}".translate(str.maketrans({",": ".", ".": ","}))


def test_bars_with_decimal_commas_are_those_with_points(tmp_path: Path) -> None:
    rng = np.random.default_rng(7_300_010)
    days = pd.to_datetime(["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05"])
    rows = pd.DataFrame({"symbol": "AAPL", "date": days.strftime("%Y-%m-%d")})
    rows["close"] = (1_500.0 + rng.normal(0.0, 400.0, len(rows))).round(2)
    rows["open"], rows["high"], rows["low"] = rows["close"], rows["close"] + 1.25, rows["close"] - 1.25
    rows["volume"] = [1_234_567, 999, 12_000, 0]
    rows.to_csv(tmp_path / "plain.csv", index=False)
    written = rows.assign(**{name: rows[name].map(german) for name in ("open", "high", "low", "close")})
    written["volume"] = rows["volume"].map(lambda count: f"{count:,}".replace(",", "."))
    written.to_csv(tmp_path / "german.csv", index=False, sep=";")
    dialect = Dialect(delimiter=";", **GERMAN)
    plain = read_prices(tmp_path / "plain.csv", calendar="XNYS")
    read = read_prices(tmp_path / "german.csv", calendar="XNYS", dialect=dialect)
    for name in ("open", "high", "low", "close", "volume"):
        pd.testing.assert_frame_equal(getattr(read.prices, name), getattr(plain.prices, name))
    # Filters compare numbers as they are written, too.
    kept = read_prices(
        tmp_path / "german.csv", calendar="XNYS", dialect=dialect, filters={"volume": {"min": 1_000, "max": 12_000}}
    )
    assert kept.prices.volume["AAPL"].tolist() == [12_000.0]
    with pytest.raises(DataError, match=r"column 'close', row 1|column 'open', row 1"):
        read_prices(tmp_path / "german.csv", calendar="XNYS", dialect=Dialect(delimiter=";"))


def test_scores_and_labels_with_decimal_commas(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("article_id;bearish;neutral;bullish\na;0,1;0,2;0,7\n")
    (tmp_path / "labels.csv").write_text("text;score\nProfit rises;0,8\nProfit falls;-0,8\n")
    until = pd.Timestamp("2019-12-31", tz="UTC")
    dialect = Dialect(delimiter=";", decimal=",")
    assert read_scores(tmp_path / "scores.csv", knowledge_cutoff=until, dialect=dialect).frame.loc["a"].tolist() == [
        0.1,
        0.2,
        0.7,
    ]
    labels = read_label_set(
        tmp_path / "labels.csv", format="scores", label="score", knowledge_cutoff=until, dialect=dialect
    )
    assert sorted(labels.frame["label"]) == [0, 2]
