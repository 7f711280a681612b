"""Settings as they are mistyped: each config is prepared, or refused by name. Never a traceback, never a hang."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pandas as pd
import pytest

from embargo.data_loaders.calendars import sessions
from embargo.data_loaders.errors import EmbargoError
from embargo.research.config.experiment import Config, load_config
from embargo.research.config.settings import Section
from embargo.research.progress import Quiet
from embargo.research.run.preparation import prepare

FEW, MANY = 60, 2_000
BASE = """
name = "fuzz"
[news]
path = "news.csv"
columns = { article_id = "id" }
[prices]
path = "prices.csv"
calendar = "XNYS"
[labels]
source = "returns"
[split]
first_test = 2015-03-01
test_span = "1MS"
validation_span = "2W"
end = 2015-05-01
[model]
kind = "lexicon"
[statistics]
bootstrap = 200
permutations = 99
"""
# As they would be typed after the sign of equality.
NUMBERS = [
    "0", "-1", "1", "2", "3", "5", "20", "60", "100", "200", "0.5", "-0.5", "0.1", "0.05", "1.0", "0.99", "1e-300",
    "1e300", "-1e300", "inf", "-inf", "nan", "18446744073709551616", "-9223372036854775809", "9223372036854775807",
    "2147483647", "1000000", "999999", "4096", "365",
]  # fmt: skip
WORDS = [
    "'1'", "''", "' '", "'x'", "'none'", "'auto'", "'all'", "'midnight'", "'true'", "'NaT'", "'now'", "'1D'", "'-1D'",
    "'5'", "'1e9D'", "'30000D'", "'400D'", "'2W'", "'0min'", "'1h'", "'1MS'", "'100000MS'", "'6Y'", "'1ns'", "'XNYS'",
    "'24/7'", "'XKRX'", "'UTC'", "'unix:s'", "'../..'", "'/'", "'news.csv'", "'prices.csv'", "'~nobody/x'", "'${HOME}'",
    "'${NO_SUCH_VARIABLE}'", "'s3://x/y'", "\"a\\u0000b\"", "'é😀'", "'%d/%m/%Y'", "';'", "'AAA'", "'symbol'", "'text'",
    "'cp1252'", "'utf-16'", "'upper'",
]  # fmt: skip
DAYS = [
    "2015-01-15", "2015-02-01", "2015-04-01", "2030-01-01", "1900-01-01", "1500-01-01", "9999-12-31", "0001-01-01",
    "2015-03-01T10:00:00", "2015-03-01T10:00:00Z", "10:00:00", "'2015-02-30'", "'2015-03-01'", "2199-12-31",
]  # fmt: skip
LISTS = ["[]", "[1]", "['AAA']", "['AAA', 'AAA']", "['BBB', 'CCC']", "['']", "[[]]", "['text', 'symbol']", "['id']"]
TABLES = [
    "{}", "{ a = 1 }", "{ AAA = 'x' }", "{ AAA = 'x', BBB = 'x' }", "{ symbol = 'text' }", "{ text = { min = 1 } }",
    "{ id = [1, 'x'] }", "{ AAA = 0.5 }", "{ AAA = -1.0 }", "{ article_id = 'id', symbol = 'symbol[]' }",
    "{ id = { min = 3, max = 9 } }", "{ text = 'symbol' }", "{ turbulent = 0.5 }", "{ '' = '' }",
]  # fmt: skip
TRUTHS = ["true", "false"]
NASTY = [*NUMBERS, *WORDS, *DAYS, *LISTS, *TABLES, *TRUTHS]
FITTING = {bool: TRUTHS, int: NUMBERS, float: NUMBERS, str: WORDS, pd.Timestamp: DAYS, tuple: LISTS, dict: TABLES}


def sections_of(annotation: Any) -> list[type[Section]]:
    kinds = [annotation, *get_args(annotation)]
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)]


def values_for(annotation: Any) -> list[str]:
    """Odd values of a kind that a setting may take, so that they come further than its type."""
    if get_origin(annotation) is Literal:
        return [f"'{option}'" if isinstance(option, str) else str(option) for option in get_args(annotation)]
    kind = get_origin(annotation) or annotation
    if kind in FITTING:
        return FITTING[kind]
    return [value for part in get_args(annotation) for value in values_for(part)]


def keys(model: type[Section], prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    """Every setting there is, by its whole name, and odd values for it."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}", values_for(field.annotation) or NASTY
        for section in sections_of(field.annotation):
            yield from keys(section, f"{prefix}{name}.")


VALUES = dict(keys(Config))
KEYS = list(VALUES)


def odd_setting(rng: random.Random) -> str:
    key = rng.choice(KEYS)
    return f"{key}={rng.choice(VALUES[key] if rng.random() < 0.9 else NASTY)}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    days = sessions("XNYS", pd.Timestamp("2015-01-02"), pd.Timestamp("2015-05-29")).index
    names = ["AAA", "BBB"]
    bars = pd.DataFrame([(f"{day:%Y-%m-%d}", name) for day in days for name in names], columns=["date", "symbol"])
    close = 100.0 + pd.Series(range(len(bars))) % 7
    bars.assign(open=close, high=close + 1, low=close - 1, close=close, volume=1000.0).to_csv(
        folder / "prices.csv", index=False
    )
    when = pd.date_range("2015-01-03 12:00", periods=240, freq="12h", tz="UTC")
    told = [f"story {number} {'rises' if number % 3 else 'falls'}" for number in range(240)]
    news = pd.DataFrame({"id": range(240), "published_at": when, "symbol": [*names] * 120, "text": told})
    news.to_csv(folder / "news.csv", index=False)
    return folder


def mistyped(rng: random.Random) -> tuple[str, list[str]]:
    """A config with one to three odd settings, and sometimes lines lost, doubled or garbled."""
    odd = [odd_setting(rng) for _ in range(rng.choice([1, 1, 2, 3]))]
    if rng.random() < 0.1:
        odd.append(f"{rng.choice(KEYS)}{rng.choice(['', '.x', '.', ' '])}={rng.choice(NASTY)}")
    lines = BASE.splitlines()
    if rng.random() < 0.1:
        at = rng.randrange(len(lines))
        match rng.randrange(4):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, lines[at])
            case 2:
                lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
            case _:
                lines.insert(at, f"{rng.choice(KEYS).rpartition('.')[2]} = {rng.choice(NASTY)}")
    return "\n".join(lines), odd


def answered(folder: Path, seed: int) -> bool:
    """Whether a config was prepared; False where it was refused by name."""
    text, odd = mistyped(random.Random(seed))
    (folder / "c.toml").write_text(text, encoding="utf-8")
    try:
        prepare(load_config(folder / "c.toml", odd), Quiet())
    except EmbargoError:
        return False
    return True


def test_a_mistyped_config_is_prepared_or_refused(folder: Path) -> None:
    done = [answered(folder, seed) for seed in range(FEW)]
    assert 0 < sum(done) < FEW, "configs that are all prepared, or none, try nothing"


@pytest.mark.slow
def test_many_mistyped_configs_are_prepared_or_refused(folder: Path) -> None:
    for seed in range(MANY):
        try:
            answered(folder, seed)
        except Exception as failure:
            _, odd = mistyped(random.Random(seed))
            raise AssertionError(f"seed {seed}, {odd}: {type(failure).__name__}: {failure}") from failure


@pytest.mark.parametrize("literal", ["18446744073709551616", "true", "nan", "inf", "-1"])
@pytest.mark.parametrize("key", ["labels.horizon_bars", "signal.min_articles", "seed", "split.test_span"])
def test_numbers_that_count_nothing_are_refused(folder: Path, key: str, literal: str) -> None:
    (folder / "c.toml").write_text(BASE, encoding="utf-8")
    with pytest.raises(EmbargoError, match=key):
        load_config(folder / "c.toml", [f"{key}={literal}"])
