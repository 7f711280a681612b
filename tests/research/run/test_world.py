"""What a run leaves out of its news: repeats within a window, news older than the prices, dates of another age."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from samples.small_runs import embargo

from embargo.data_loaders.calendars import sessions
from embargo.data_loaders.errors import DataError
from embargo.research.config.experiment import Config, load_config, parse_config
from embargo.research.progress import Quiet
from embargo.research.run import world
from embargo.research.run.preparation import prepare
from embargo.research.run.world import frame_hash, load_world

SETTINGS = """
name = "left-out"
news = { path = "news.csv", columns = { article_id = "id" } }
prices = { path = "prices.csv", calendar = "XNYS" }
labels = { source = "returns" }
split = { first_test = 2015-07-01, test_span = "6MS", validation_span = "1MS", end = 2016-01-01 }
model = { kind = "lexicon" }
statistics = { bootstrap = 200, permutations = 99 }
"""


def news_of(texts: list[str], start: str = "2015-01-05 12:00") -> pd.DataFrame:
    """Two rows a day, one for each symbol."""
    when = pd.date_range(start, periods=len(texts), freq="12h", tz="UTC")
    symbol = np.where(np.arange(len(texts)) % 2, "BBB", "AAA")
    return pd.DataFrame({"id": np.arange(len(texts)), "published_at": when, "symbol": symbol, "text": texts})


def config_of(folder: Path, news: pd.DataFrame, *overrides: str, start: str = "2015-01-02") -> Config:
    days = sessions("XNYS", pd.Timestamp(start), pd.Timestamp("2015-12-31")).index
    steps = np.random.default_rng(3).normal(0.0, 0.02, (len(days), 2)).cumsum(axis=0)
    close = pd.DataFrame(100.0 * np.exp(steps), index=days, columns=["AAA", "BBB"]).rename_axis("date")
    bars = close.melt(var_name="symbol", value_name="close", ignore_index=False)
    bars = bars.assign(open=bars["close"], high=bars["close"] + 1.0, low=bars["close"] - 1.0, volume=1000.0)
    bars.to_csv(folder / "prices.csv")
    news.to_csv(folder / "news.csv", index=False)
    (folder / "c.toml").write_text(SETTINGS)
    return load_config(folder / "c.toml", list(overrides))


def test_news_without_repeats_are_all_kept_and_nothing_is_said(tmp_path: Path) -> None:
    config_of(tmp_path, news_of([f"story {number} rises" for number in range(700)]))
    shown = embargo("validate", tmp_path / "c.toml").output
    assert "left out" not in shown
    assert "repeats" not in shown


def test_repeats_are_counted_by_validate_and_many_of_them_are_a_warning(tmp_path: Path) -> None:
    # Each text comes back after a day under the same symbol, and after two weeks once more.
    texts = [f"{'AB'[number % 2]} story {number % 28 // 4} rises" for number in range(700)]
    news = news_of(texts)
    world = load_world(config_of(tmp_path, news), Quiet())
    assert world.counts["news"]["repeats"] == 350
    shown = embargo("validate", tmp_path / "c.toml").output
    assert "350 of 700 rows of news repeat another one of its symbol within 4D" in shown
    assert "50% of the news were left out as repeats" in shown
    for overrides, repeats in (
        (["news.repeat_window=12h"], 0),
        (["news.repeat_window=365D"], 686),
        (["news.drop_repeats=false"], 0),
        (["news.repeat_scope=all"], 350),
    ):
        counts = load_world(config_of(tmp_path, news, *overrides), Quiet()).counts["news"]
        assert counts.get("repeats", 0) == repeats


def test_a_text_of_two_symbols_is_news_for_both_unless_all_are_compared(tmp_path: Path) -> None:
    news = news_of([f"story {number // 2} rises" for number in range(700)])
    assert load_world(config_of(tmp_path, news), Quiet()).counts["news"]["repeats"] == 0
    shared = config_of(tmp_path, news, "news.repeat_scope=all")
    assert load_world(shared, Quiet()).counts["news"]["repeats"] == 350


def test_repeats_leave_the_fingerprint_of_a_config_that_does_not_speak_of_them() -> None:
    document = {
        "name": "mine",
        "news": {"path": "n.parquet"},
        "prices": {"path": "p.parquet"},
        "split": {"first_test": "2020-01-01"},
    }
    plain = parse_config(document, where="x")
    document["news"] = {"path": "n.parquet", "repeat_scope": "symbol", "repeat_window": "4D"}
    assert parse_config(document, where="x").fingerprint() == plain.fingerprint()
    assert plain.fingerprint() == "7fe2388541a6daff7b7262811868438488d7834e64fc66526731729bfda2d2e2"
    document["news"] = {"path": "n.parquet", "repeat_window": "2D"}
    assert parse_config(document, where="x").fingerprint() != plain.fingerprint()


def test_news_older_than_the_prices_are_counted_and_named_where_nothing_is_left(tmp_path: Path) -> None:
    news = news_of([f"story {number} rises" for number in range(700)])
    plan = prepare(config_of(tmp_path, news, start="2015-04-01"), Quiet())
    first = pd.Timestamp("2015-03-31 13:25", tz="UTC")
    assert plan.parts[0].counts["before_prices"] == (news["published_at"] <= first).sum() > 100
    shown = embargo("validate", tmp_path / "c.toml").output
    assert "171 rows of news are older than the prices, which begin at 2015-04-01" in shown
    assert "24% of the news are older" in shown
    with pytest.raises(DataError, match=r"rows of news are older than the prices.*Give prices from earlier"):
        prepare(config_of(tmp_path, news, start="2015-06-01"), Quiet())


@pytest.mark.parametrize("when", ["1984-12-31T10:00:00Z", "2050-01-01T10:00:00Z"])
def test_news_decades_away_from_the_prices_are_refused(when: str, tmp_path: Path) -> None:
    news = news_of([f"story {number} rises" for number in range(700)])
    news["published_at"] = news["published_at"].astype(str)
    news.loc[5, "published_at"] = when
    config = config_of(tmp_path, news).model_copy(
        update={"split": config_of(tmp_path, news).split.model_copy(update={"end": None})}
    )
    with pytest.raises(DataError, match=f"article '5' of BBB has published_at {when[:10]}.*decades away.*1 such row"):
        load_world(config, Quiet())


def test_the_archive_of_headlines_told_in_few_forms(cases: Path, tmp_path: Path) -> None:
    text = SETTINGS.replace(
        '"news.csv", columns = { article_id = "id" }',
        f'"{cases / "repeats" / "news.csv"}", '
        'timezone = "America/New_York", columns = { article_id = "id", published_at = "time", text = "headline", '
        'symbol = "ticker" }',
    ).replace("prices.csv", str(cases / "even_clock" / "prices.csv"))
    text = text.replace("2015-07-01", "2018-01-01").replace("2016-01-01", "2019-01-01")
    (tmp_path / "c.toml").write_text(text)
    counts = load_world(load_config(tmp_path / "c.toml"), Quiet()).counts["news"]
    assert counts["repeats"] < 20
    every = load_config(tmp_path / "c.toml", ["news.repeat_scope=all", "news.repeat_window=36500D"])
    assert load_world(every, Quiet()).counts["news"]["repeats"] == 999


@pytest.mark.parametrize("overrides", [[], ["news.unpriced=drop"], ['prices.symbols=["AAA", "BBB"]']])
def test_symbols_in_other_capitals_are_said_to_differ_only_in_that(tmp_path: Path, overrides: list[str]) -> None:
    news = news_of([f"story {number} rises" for number in range(700)])
    news["symbol"] = news["symbol"].str.lower()
    if not overrides or "unpriced" in overrides[0]:
        with pytest.raises(DataError, match=r"'aaa' differs only in its capitals from 'AAA'.*symbol_case = 'upper'"):
            load_world(config_of(tmp_path, news, *overrides), Quiet())
    world = load_world(config_of(tmp_path, news, *overrides, "news.symbol_case=upper"), Quiet())
    assert world.counts["news"]["kept"] == 700


def test_symbols_without_prices_are_answered_with_the_setting_that_leaves_them_out(tmp_path: Path) -> None:
    news = news_of([f"story {number} rises" for number in range(700)])
    news.loc[7, "symbol"] = "GHOST"
    with pytest.raises(DataError, match=r"news: 1 symbol has no prices: 'GHOST'\. .*set news\.unpriced = 'drop'"):
        load_world(config_of(tmp_path, news), Quiet())
    assert load_world(config_of(tmp_path, news, "news.unpriced=drop"), Quiet()).counts["news"]["unpriced"] == 1


@pytest.mark.parametrize("emptied", ["news.csv", "prices.csv"])
def test_files_of_headers_alone_are_said_to_be_that(tmp_path: Path, emptied: str) -> None:
    config = config_of(tmp_path, news_of([f"story {number} rises" for number in range(700)]))
    header = (tmp_path / emptied).read_text().splitlines()[0]
    (tmp_path / emptied).write_text(header + "\n")
    with pytest.raises(DataError, match=rf"{emptied}: the archive has columns and no rows"):
        load_world(config, Quiet())


def test_what_could_not_be_used_is_told_by_validate(tmp_path: Path) -> None:
    news = news_of([f"story {number} rises" for number in range(700)])
    news["symbol"] = news["symbol"].map(lambda name: f"['{name}']")
    news.loc[[3, 5], "symbol"] = "[]"
    news.loc[9, "text"] = None
    config_of(tmp_path, news)
    shown = embargo("validate", tmp_path / "c.toml", "--set", "news.columns.symbol=symbol[]").output
    assert "Of 700 rows of news, 1 without a text (blank_text), 2 without a symbol (without_symbol)" in shown


def test_closed_days_and_extra_sessions_hold_in_a_run(tmp_path: Path) -> None:
    config_of(tmp_path, news_of([f"story {number} rises" for number in range(700)]))
    bars = pd.read_csv(tmp_path / "prices.csv")
    saturday = bars.loc[bars["date"] == "2015-03-06"].assign(date="2015-03-07")
    pd.concat([bars, saturday]).to_csv(tmp_path / "prices.csv", index=False)
    with pytest.raises(DataError, match=r"2015-03-07 \(Saturday\).*prices.extra_sessions"):
        load_world(load_config(tmp_path / "c.toml"), Quiet())
    amendments = ["prices.closed=[2015-03-03]", 'prices.extra_sessions=["2015-03-07 10:00-12:00"]']
    config = load_config(tmp_path / "c.toml", amendments)
    world = load_world(config, Quiet())
    assert world.prices.calendar == config.prices.trading_calendar
    assert pd.Timestamp("2015-03-03 14:30", tz="UTC") not in world.prices.open_at
    extra = world.prices.open_at.get_loc(pd.Timestamp("2015-03-07 15:00", tz="UTC"))
    assert world.decided_at[extra] == pd.Timestamp("2015-03-07 14:55", tz="UTC")
    assert world.prices.close_at[extra] == pd.Timestamp("2015-03-07 17:00", tz="UTC")
    assert world.counts["prices"]["on_closed_days"] == 2
    assert world.counts["prices"]["absent_bars"] == 0
    said = embargo("validate", tmp_path / "c.toml", "--set", amendments[0], "--set", amendments[1]).output
    assert "2 rows of prices stand on days that prices.closed names" in said


def test_news_after_the_last_bar_and_of_symbols_that_start_late_are_told(tmp_path: Path) -> None:
    config_of(tmp_path, news_of([f"story {number} rises" for number in range(700)]))
    assert "before the news to be traded on do" not in embargo("validate", tmp_path / "c.toml").output
    bars = pd.read_csv(tmp_path / "prices.csv")
    days = sorted(bars["date"].unique())
    late = (bars["symbol"] == "AAA") & (bars["date"] < days[len(days) // 8])
    bars.loc[(bars["date"] <= days[-30]) & ~late].to_csv(tmp_path / "prices.csv", index=False)
    shown = embargo("validate", tmp_path / "c.toml").output
    assert f"The prices end on {days[-30]}, before the news to be traded on do" in shown
    assert "fall where their symbol has no price" in shown


@pytest.mark.parametrize("rows", [0, 1, 6, 7])
def test_a_table_has_the_hash_of_all_its_rows_however_many_are_hashed_together(rows, monkeypatch):
    texts = pd.Series(["up", None, "down", "up", "", "ü", "up"], dtype="str")
    frame = pd.DataFrame({"text": texts, "at": pd.date_range("2020-01-01", periods=7, tz="UTC"), "x": np.arange(7.0)})
    frame = frame.iloc[:rows]
    whole = hashlib.sha256(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes()).hexdigest()
    for piece in (1, 2, 6, 7, 100):
        monkeypatch.setattr(world, "HASHED", piece)
        assert frame_hash(frame) == whole
