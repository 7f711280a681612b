"""Plants in the data: undated rows, copies, back-fills, survivors, adjusted levels, filled gaps, caches, the day."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.fields import PRICE_FIELDS
from embargo.data_loaders.schemas import validate_news
from embargo.research.leakbench.edits import Edit
from embargo.research.leakbench.plants.plant import Plant, Planted, code_only, with_inputs, with_settings
from embargo.research.leakbench.plants.timing import on_signal, restamped, some
from embargo.research.leakbench.worlds import Clean
from embargo.research.progress import Quiet
from embargo.research.run.world import Inputs

_A_DEFAULT = "a default for a date is a stamp that nobody gave"


def _first_test(clean: Clean) -> pd.Timestamp:
    return pd.Timestamp(clean.config.split.first_test)


def _one_stamp(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
    """Give rows that lost their date the first of the month in which they came."""
    month = inputs.news["published_at"].dt.tz_convert(None).dt.to_period("M").dt.to_timestamp()
    return restamped(inputs, month.dt.tz_localize("UTC").dt.as_unit("us"), some(inputs, dose, rng))


def _date_before(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
    """Fill lost dates from the row before, in a file that is sorted by symbol."""
    news = inputs.news.sort_values(["symbol", "published_at"])
    lost = pd.Series(some(inputs, dose, rng), index=inputs.news.index).reindex(news.index)
    filled = news["published_at"].mask(lost).ffill().bfill().reindex(inputs.news.index)
    return restamped(inputs, filled, lost.reindex(inputs.news.index).to_numpy())


def _bulk_loaded(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
    """Find rows on one day three years later, and use them from the day they claim to be of."""
    news, rows = inputs.news.copy(), some(inputs, dose, rng)
    loaded = news["published_at"].max().normalize() + pd.Timedelta(days=1100, hours=3)
    minutes = pd.to_timedelta(rng.integers(0, 180, len(news)), unit="min")
    news["seen_at"] = news["seen_at"].where(~rows, (loaded + minutes).as_unit("us"))
    return replace(inputs, news=news)


def _copies_in_training(*, exact: bool) -> Callable[..., Planted]:
    """Put copies of test articles, under other ids, among what is trained on."""

    def change(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
        news, split = inputs.news.drop(columns="known_at"), _first_test(clean)
        tested = news.loc[news["published_at"] >= split]
        early = news.loc[news["published_at"] < split - pd.Timedelta(days=75), "published_at"].to_numpy(dtype="M8[us]")
        drawn = tested.loc[rng.random(len(tested)) < dose].copy()
        stamps = pd.DatetimeIndex(rng.choice(early, len(drawn))).tz_localize("UTC")
        drawn["published_at"], drawn["seen_at"] = stamps, stamps + pd.Timedelta(seconds=20)
        drawn["article_id"] = drawn["article_id"].astype(str) + "-c"
        if not exact:
            drawn["text"] = drawn["text"].str.replace(",", "").str.replace(";", " -").str.rstrip(".") + "..."
        return replace(inputs, news=validate_news(pd.concat([news, drawn], ignore_index=True)))

    return with_inputs(change)


def _kept_symbols(choose: Callable[[Inputs], np.ndarray]) -> Callable[..., Planted]:
    def change(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
        kept = [name for name, stays in zip(inputs.prices.symbols, choose(inputs), strict=True) if stays]
        news = inputs.news.loc[inputs.news["symbol"].isin(kept)].reset_index(drop=True)
        return replace(inputs, news=news, prices=inputs.prices.select(symbols=kept))

    return with_inputs(change)


def _winners(inputs: Inputs) -> np.ndarray:
    """Take the eight symbols that had risen most when all was over."""
    close = inputs.prices.close
    grown = close.ffill().iloc[-1] / close.bfill().iloc[0]
    return np.asarray(grown.rank(ascending=False) <= 8)


def _dated_winners(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
    """Take them, and say when: of a list that nobody dates nothing in a run tells how it was made."""
    planted = _kept_symbols(_winners)(clean, dose, rng)
    assert planted.inputs is not None
    made_on = planted.inputs.prices.close_at[-1]
    return replace(planted, config=with_settings(planted.config, prices={"symbols_chosen_at": made_on}))


def _listed_to_the_end(inputs: Inputs) -> np.ndarray:
    return np.asarray(inputs.prices.close.iloc[-1].notna() & inputs.prices.close.iloc[0].notna())


def _adjusted_later(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
    """Divide levels by splits that come later, and weigh symbols by the levels: cheap ones will have been split."""
    inputs = clean.inputs
    assert inputs is not None
    prices = inputs.prices
    total = prices.close.ffill().iloc[-1] / prices.close.bfill().iloc[0]
    factor = np.where(total > 1.0, total.to_numpy() ** 2, 1.0)
    panels = {name: getattr(prices, name) / (1.0 / factor if name == "volume" else factor) for name in PRICE_FIELDS}
    changed = replace(inputs, prices=replace(prices, **panels, adjustment="splits"))

    def rewrite(signal_of: Callable[..., Any]) -> Callable[..., Any]:
        def cheap(plan: Any, *rest: Any) -> Any:
            signal = signal_of(plan, *rest)
            level = plan.world.prices.close.shift(2).ffill().bfill().iloc[plan.rows]
            tilt = level.rank(axis=1, pct=True, ascending=False).to_numpy() - 0.5
            return replace(signal, values=np.clip(signal.values + dose * tilt, -1.0, 1.0))

        return cheap

    return Planted(clean.config, changed, (Edit("embargo.research.run.trading:signal_of", rewrite),))


def _mixed_adjustment(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
    """Adjust closes of a symbol for a later split, and leave its opens, highs and lows as traded."""
    prices = inputs.prices
    close = prices.close.copy()
    before = prices.open_at < _first_test(clean) + pd.Timedelta(days=60)
    close.loc[before, prices.symbols[0]] /= 2.0
    low = prices.low.where(prices.low <= close, close)
    return replace(inputs, prices=replace(prices, close=close, low=low))


def _filled_back(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
    """Lose some bars and fill them from the next bar that is there."""
    prices = inputs.prices
    lost = rng.random(prices.close.shape) < dose
    lost[-1] = lost[0] = False
    panels = {name: getattr(prices, name).mask(lost).bfill() for name in PRICE_FIELDS}
    return replace(inputs, prices=replace(prices, **panels))


def _back(values: np.ndarray, *_: Any) -> np.ndarray:
    """Fill rows without news from the next row that has some, two rows at most."""
    frame = pd.DataFrame(values)
    return frame.where(frame != 0.0).bfill(limit=2).fillna(0.0).to_numpy()


def _between(values: np.ndarray, *_: Any) -> np.ndarray:
    """Draw a line between the rows that have news."""
    frame = pd.DataFrame(values)
    return frame.where(frame.abs() > 0.2).interpolate(limit_direction="both").fillna(0.0).to_numpy()


def _without_model(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
    """Keep scores under the text alone, where the model that goes live, tuned on all news, has read the archive."""

    def asked(find: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, identity, hashes: find(self, "any", hashes)

    def kept(keep: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, identity, hashes, logits: keep(self, "any", hashes, logits)

    def read_before(read: Callable[..., Any]) -> Callable[..., Any]:
        def changed(plan: Any, parts: Any, cache: Any, stages: Any, memory: Any = None, *rest: Any) -> Any:
            if memory is not None and memory.scores is None:
                labelled = [frame for part in parts for frame in (part.train, part.validation, part.test)]
                everything = pd.concat(labelled).drop_duplicates("article_id")
                until = max(everything["known_at"].max(), everything["ends_at"].max())
                live = [replace(part, train=everything[part.train.columns], trained_until=until) for part in parts]
                read(plan, live, cache, Quiet())
            return read(plan, parts, cache, stages, memory, *rest)

        return changed

    cache = "embargo.models.scorers.cache:ScoreCache"
    edits = (
        Edit(f"{cache}.find", asked),
        Edit(f"{cache}.keep", kept),
        Edit("embargo.research.run.reading:read", read_before),
    )
    return Planted(clean.config, clean.inputs, edits)


def _by_first_words(text_hash: Callable[[str], str]) -> Callable[[str], str]:
    """Let texts with the same first words share one answer."""
    return lambda text: text_hash(" ".join(str(text).split()[:3]))


def _age_from_now(read: Callable[..., Any]) -> Callable[..., Any]:
    """Trust articles less the longer ago they are, counted from the moment of the run."""

    def changed(*given: Any) -> Any:
        reading = read(*given)
        scored = reading.scored
        years = (time.time() - scored["known_at"].astype("int64") / 1e6) / 31_557_600.0
        return replace(reading, scored=scored.assign(confidence=scored["confidence"] * np.exp(-years / 50.0)))

    return changed


def _biggest_today(world_of: Callable[..., Any]) -> Callable[..., Any]:
    """Keep the news of companies that are above the middle in what a snapshot of the last day says they trade."""

    def changed(config: Any, inputs: Any) -> Any:
        traded = (inputs.prices.close * inputs.prices.volume).ffill().iloc[-1]
        kept = inputs.news["symbol"].isin(traded.index[traded >= traded.median()])
        return world_of(config, replace(inputs, news=inputs.news.loc[kept].reset_index(drop=True)))

    return changed


PLANTS = (
    Plant("undated to the month", "D4", "rows without a date get the first of their month; dose: share of rows",
          "word list", with_inputs(_one_stamp), (0.2, 0.05, 0.01),
          also={"T4": _A_DEFAULT, "T5": _A_DEFAULT}, data=("time-of-day",)),
    Plant("undated from the row before", "D4", "rows without a date get that of the row before, in a file sorted by "
          "symbol; dose: share of rows", "word list", with_inputs(_date_before), (0.2, 0.05),
          also={"T5": _A_DEFAULT}, data=("time-of-day",)),
    Plant("found years later", "D2", "rows were first seen three years later and are used from the day they claim; "
          "dose: share of rows", "word list", with_inputs(_bulk_loaded), (1.0, 0.3, 0.05),
          also={"T5": "an article is used before it was seen"}, data=("first-sighting", "back-fill")),
    Plant("reworded copies in training", "D5", "copies of test articles with other punctuation are among the "
          "training ones; dose: share of test articles", "linear", _copies_in_training(exact=False), (0.1, 0.03, 0.01)),
    Plant("exact copies in training", "D5", "copies of test articles are among the training ones; dose: share of test "
          "articles", "linear", _copies_in_training(exact=True), (0.1, 0.03, 0.01)),
    Plant("winners alone", "D6", "the eight symbols of twenty that rose most are kept; the config says that the list "
          "was made at the end", "wide", _dated_winners),
    Plant("survivors alone", "D6", "symbols that were listed late or delisted are left out", "long list",
          _kept_symbols(_listed_to_the_end)),
    Plant("levels adjusted later", "D7", "levels are divided by splits that come later, and cheap symbols are "
          "preferred; dose: weight of that", "word list", _adjusted_later, (1.0, 0.3),
          also={"D6": "which symbols will have risen is told by their levels"}),
    Plant("closes adjusted, opens not", "D7", "closes of one symbol are adjusted for a later split, its opens are not",
          "risk", with_inputs(_mixed_adjustment),
          data=("opening-prices", "ranges", "splits", "level-breaks", "outliers"), refused="low exceeds high"),
    Plant("bars filled from later", "D8", "lost bars are filled from the next one; dose: share of bars", "word list",
          with_inputs(_filled_back), (0.2, 0.05), data=("repeated-bars", "stale-closes")),
    Plant("signal filled from later", "D8", "rows without news take the signal of the next ones; dose: share of "
          "symbols", "word list", on_signal(_back), (1.0, 0.3, 0.1), also={"T1": "the signal moves with later news"}),
    Plant("signal between news", "D8", "the signal runs on a line from one article to the next; dose: share of "
          "symbols", "word list", on_signal(_between), (1.0, 0.3, 0.1),
          also={"T1": "the signal moves with later news"}),
    Plant("cache without the model", "D9", "scores are kept under the text alone, and a model tuned on all news has "
          "scored them before", "votes",
          _without_model, also={"M13": "another model answers"}),
    Plant("cache by first words", "D9", "texts that begin alike share one score", "word list",
          code_only(Edit("embargo.models.content:text_hash", _by_first_words)),
          also={"R3": "the answer to one text is that to another"}),
    Plant("age counted from now", "D10", "confidence fades with the time to the moment of the run", "word list",
          code_only(Edit("embargo.research.run.reading:read", _age_from_now)),
          also={"M13": "the same text is read otherwise another time"}),
    Plant("the biggest of today", "D10", "news are kept of companies that are big on the last day", "wide",
          code_only(Edit("embargo.research.run.world:world_of", _biggest_today)),
          also={"D6": "the universe is that of the last day", "D8": "what is kept depends on later bars"}),
)  # fmt: skip
