"""The shared real data sets come in through the public functions, traps and all."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from embargo.data_loaders.archive import read_news, read_prices
from embargo.data_loaders.archive.label_sets import read_label_set
from embargo.data_loaders.calendars import decision_times
from embargo.data_loaders.checks.coverage import held_against_prices
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.labels import fit_thresholds, forward_returns, samples_from_returns
from embargo.data_loaders.splits import assert_no_leakage, part_of, split_undated, walk_forward
from embargo.data_loaders.store import Store
from embargo.data_loaders.store.importing import import_news

pytestmark = pytest.mark.real_data


def test_stocknet_from_files_to_folds(real_data: Path) -> None:
    news = read_news(real_data / "stocknet_news.parquet", columns={"article_id": "id"}, filters={"cashtag_match": True})
    assert news.counts["rows"] == 119_641
    assert news.counts["filtered:cashtag_match"] == pytest.approx(0.074 * 119_641, rel=0.01)
    assert news.frame.duplicated("article_id").sum() > 15_000
    loaded = read_prices(real_data / "stocknet_prices.parquet", calendar="XNYS", adjust="total_return")
    assert loaded.counts["empty_rows"] == loaded.counts["missing_bars"] == 3
    assert loaded.counts["zero_volume_rows"] == 111
    assert loaded.prices.open.shape == (1_258, 88)
    assert loaded.counts["absent_bars"] == 0
    half_day = loaded.prices.close_at[loaded.prices.close_at.normalize() == pd.Timestamp("2014-07-03", tz="UTC")]
    assert half_day[0] == pd.Timestamp("2014-07-03 17:00", tz="UTC")

    report = held_against_prices(news.frame, loaded.prices)
    assert report["symbols_without_articles"] == ["GMRE"]
    assert report["symbols_without_prices"] == {}

    decided = decision_times(loaded.prices.open_at, pd.Timedelta(minutes=5))
    forward = forward_returns(news.frame, loaded.prices, decided, horizon_bars=2)
    assert forward.counts["samples"] + forward.counts["averaged_rows"] + forward.counts["missing_prices"] == len(
        news.frame
    )
    for fold in walk_forward("2014-01-01", "2015-01-01", "2016-04-01", test_span="6MS", validation_span="2MS"):
        in_train = (forward.frame["known_at"] >= fold.train_start) & (forward.frame["known_at"] < fold.train_end)
        samples = samples_from_returns(forward.frame, *fit_thresholds(forward.frame.loc[in_train, "value"]))
        split = part_of(samples, fold, embargo=pd.Timedelta(days=2))
        assert_no_leakage(split.train, split.validation, split.test, fold, pd.Timedelta(days=2))
        assert split.counts["purged_train"] > 0
        assert split.train["label"].value_counts(normalize=True).between(0.3, 0.37).all()


def test_stocknet_packed_and_imported_is_what_was_read(real_data: Path, tmp_path: Path) -> None:
    rules = {"columns": {"article_id": "id"}, "filters": {"cashtag_match": True}}
    news = read_news(real_data / "stocknet_news.parquet", **rules)
    packed = tmp_path / "tweets.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        whole = pd.read_parquet(real_data / "stocknet_news.parquet")
        for number, part in enumerate((whole.iloc[:70_000], whole.iloc[70_000:])):
            archive.writestr(f"{number}.csv", part.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC))
    assert_frame_equal(read_news(packed, **rules).frame, news.frame)

    store, now = Store.create(tmp_path / "store"), pd.Timestamp("2024-01-01", tz="UTC")
    report = import_news(packed, store, source_name="stocknet", clock=lambda: now, **rules)
    assert report.counts["imported"] == len(news.frame)
    kept = store.as_of(now).news()
    names = ["article_id", "published_at", "seen_at", "symbol", "text", "source", "known_at"]
    order = ["known_at", "article_id", "symbol"]
    assert_frame_equal(
        kept[names].sort_values(order, ignore_index=True), news.frame[names].sort_values(order, ignore_index=True)
    )
    assert (kept["revision"] == 0).all()


def test_total_return_differs_from_price_return_on_dividends(real_data: Path) -> None:
    request = {"calendar": "XNYS", "symbols": ["AAPL", "XOM"], "start": "2014-01-01", "end": "2016-01-01"}
    plain = read_prices(real_data / "stocknet_prices.parquet", **request).prices
    total = read_prices(real_data / "stocknet_prices.parquet", **request, adjust="total_return").prices
    gap = (total.close.pct_change() - plain.close.pct_change()).iloc[1:]
    assert (gap.max() > 0.003).all()
    assert ((gap.abs() > 1e-4).sum() == 8).all()


def test_crypto_news_flags_and_dates(real_data: Path) -> None:
    loaded = read_news(
        real_data / "crypto_news.parquet",
        columns={"article_id": "id"},
        text_from=("title", "text"),
        symbol_flags={"mentions_btc": "BTCUSDT", "mentions_eth": "ETHUSDT"},
        date_only="midnight_only",
        start="2022-01-04",
        end="2022-07-05",
    )
    assert loaded.counts["rows"] == 7_463
    assert loaded.counts["date_only"] == pytest.approx(0.017 * 7_463, abs=15)
    assert set(loaded.frame["symbol"]) == {"BTCUSDT", "ETHUSDT"}
    late = loaded.frame[loaded.frame["known_at"] > loaded.frame["published_at"]]
    assert (late["known_at"] - late["published_at"] == pd.Timedelta(days=1)).all()


def test_crypto_candles_need_their_venue(real_data: Path) -> None:
    request = {"calendar": "24/7", "bar": "1h", "columns": {"open_at": "open_time"}}
    path = real_data / "crypto_prices_1h.parquet"
    with pytest.raises(DataError, match="several venues"):
        read_prices(path, **request, symbols=["BTCUSDT"])
    perpetual = read_prices(path, **request, filters={"venue": "binance_usdtm_perp"})
    assert perpetual.prices.open.shape == (31_972, 9)
    assert perpetual.counts["missing_bars"] == perpetual.counts["absent_bars"] == 0
    spot = read_prices(path, **request, filters={"venue": "binance_spot"}, symbols=["BTCUSDT"])
    assert spot.counts["absent_bars"] == 1


def test_us_stocks_and_the_index(real_data: Path) -> None:
    stocks = read_prices(
        real_data / "us_stocks_daily.parquet", calendar="XNYS", symbols=["AAPL", "UNH"], start="1990-01-01"
    )
    assert stocks.counts["partly_empty_rows"] > 0
    assert stocks.counts["absent_bars"] == 0
    index = read_prices(
        real_data / "sp500_index_daily.parquet", calendar="XNYS", start="1970-01-01", end="2019-11-01", symbols=None
    )
    assert index.counts["partly_empty_rows"] == index.counts["missing_bars"]
    assert len(index.prices.symbols) == 1


def test_phrasebank(real_data: Path) -> None:
    labelled = read_label_set(
        real_data / "phrasebank.parquet",
        mapping={"positive": "bullish", "negative": "bearish", "neutral": "neutral"},
        knowledge_cutoff=pd.Timestamp("2014-01-01", tz="UTC"),
    )
    assert labelled.counts["conflicting_texts"] == 4
    assert (
        labelled.counts["samples"] + labelled.counts["conflicting_texts"] + labelled.counts["repeated_articles"]
        == 4_846
    )
    split = split_undated(labelled.frame, validation_share=0.2, seed=0)
    np.testing.assert_allclose(
        split.validation["label"].value_counts(normalize=True).sort_index(),
        split.train["label"].value_counts(normalize=True).sort_index(),
        atol=0.002,
    )
