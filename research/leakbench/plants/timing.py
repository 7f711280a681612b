"""Plants in time: bars, clocks of news, joins, calendars, latency, and what is known of the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import zone_of
from embargo.data_loaders.fields import PRICE_FIELDS
from embargo.data_loaders.schemas import Prices, validate_news
from embargo.research.config.experiment import Config
from embargo.research.leakbench.edits import Edit
from embargo.research.leakbench.plants.plant import Plant, Planted, code_only, with_inputs, with_settings
from embargo.research.leakbench.worlds import Clean
from embargo.research.run.world import Inputs

_SIGNAL = "embargo.research.run.trading:signal_of"
_SAME_CLOCK = "a wrong clock and a stamp that is traded too early are one fault seen from two sides"
_AS_A_JOIN = "articles that move a bar decided before them are T1 in the decisions and T5 in the instants"


def restamped(inputs: Inputs, published: pd.Series, rows: np.ndarray) -> Inputs:
    """Give some rows of the news another stamp; what sees them sees them as long after it as before."""
    news = inputs.news.drop(columns="known_at").copy()
    waited = news["seen_at"] - news["published_at"]
    news["published_at"] = news["published_at"].where(~rows, published)
    news["seen_at"] = news["published_at"] + waited
    return replace(inputs, news=validate_news(news))


def some(inputs: Inputs, dose: float, rng: np.random.Generator) -> np.ndarray:
    """Draw that share of the rows of the news."""
    return np.asarray(rng.random(len(inputs.news)) < dose)


def symbols_hit(symbols: list[str], dose: float, rng: np.random.Generator) -> np.ndarray:
    """Draw that share of the symbols, one at least."""
    hit = np.zeros(len(symbols), dtype=bool)
    hit[rng.permutation(len(symbols))[: max(1, round(dose * len(symbols)))]] = True
    return hit


def on_signal(change: Callable[[np.ndarray, Any, np.ndarray], np.ndarray]) -> Callable[..., Planted]:
    """Make a plant that changes the signal: (values, plan, which symbols) to values."""

    def make(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
        def rewrite(signal_of: Callable[..., Any]) -> Callable[..., Any]:
            def changed(plan: Any, *rest: Any) -> Any:
                signal = signal_of(plan, *rest)
                symbols = plan.world.prices.symbols
                hit = symbols_hit(symbols, dose, np.random.default_rng(len(symbols)))
                values = np.array(signal.values, dtype=float)
                new = change(values.copy(), plan, hit)
                values[:, hit] = new[:, hit]
                return replace(signal, values=values)

            return changed

        return Planted(clean.config, clean.inputs, (Edit(_SIGNAL, rewrite),))

    return make


def _own_close(values: np.ndarray, plan: Any, _: np.ndarray) -> np.ndarray:
    """Hold only where the bar's own close confirms the news."""
    prices = plan.world.prices
    move = (prices.close / prices.open - 1.0).iloc[plan.rows].to_numpy()
    return np.where(np.sign(move) == np.sign(values), values, 0.0)


def _centred(values: np.ndarray, *_: Any) -> np.ndarray:
    return pd.DataFrame(values).rolling(3, center=True, min_periods=1).mean().to_numpy()


def _inclusive(last_closed_bar: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """Count the bar that opens at a decision as closed."""

    def changed(close_at: pd.DatetimeIndex, decided_at: pd.DatetimeIndex) -> np.ndarray:
        return np.asarray(np.minimum(last_closed_bar(close_at, decided_at) + 1, len(close_at) - 1))

    return changed


def _one_ahead(trailing_risk: Callable[..., Any]) -> Callable[..., Any]:
    """Hand over closes that are labelled one bar early."""

    def changed(close: pd.DataFrame, *rest: Any, **settings: Any) -> Any:
        return trailing_risk(close.shift(-1).ffill(), *rest, **settings)

    return changed


def _shifted_back(to_weights: Callable[..., pd.DataFrame]) -> Callable[..., pd.DataFrame]:
    """Shift weights once more, to put them beside the returns."""

    def changed(*given: Any, **settings: Any) -> pd.DataFrame:
        weights = to_weights(*given, **settings)
        return weights.shift(-1).fillna(0.0)

    return changed


def _join(place: Callable[[Any, pd.Series], np.ndarray]) -> Callable[..., Planted]:
    """Make a plant that joins news to bars by another rule: (plan, known_at) to rows; dose is the share of articles."""

    def make(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
        def rewrite(heard: Callable[..., Any]) -> Callable[..., Any]:
            def changed(plan: Any, scored: pd.DataFrame, *rest: Any) -> Any:
                decided_at = plan.decided_at
                row = place(plan, scored["known_at"])
                drawn = np.random.default_rng(5).random(10_000)[: len(scored)] < dose
                moved = drawn & (row >= 0) & (row < len(decided_at))
                known = scored["known_at"].to_numpy(dtype="datetime64[us]")
                as_if = np.where(
                    moved, decided_at.to_numpy(dtype="datetime64[us]")[np.clip(row, 0, len(decided_at) - 1)], known
                )
                earlier = np.minimum(as_if, known)
                stamped = scored.assign(known_at=pd.DatetimeIndex(earlier).tz_localize("UTC"))
                return heard(plan, stamped, *rest)

            return changed

        return Planted(clean.config, clean.inputs, (Edit("embargo.research.run.trading:_heard", rewrite),))

    return make


def _same_date(plan: Any, known_at: pd.Series) -> np.ndarray:
    zone = zone_of(plan.world.prices.calendar)
    days = plan.world.prices.open_at[plan.rows].tz_convert(zone).normalize()
    return np.asarray(days.get_indexer(pd.DatetimeIndex(known_at.dt.tz_convert(zone).dt.normalize())))


def _nearest(plan: Any, known_at: pd.Series) -> np.ndarray:
    return np.asarray(plan.decided_at.get_indexer(pd.DatetimeIndex(known_at), method="nearest"))


def _unseen(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
    """Align by when an article says it was published, not by when it could be had."""

    def rewrite(read: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*given: Any) -> Any:
            reading = read(*given)
            drawn = np.random.default_rng(5).random(len(reading.scored)) < dose
            stamp = reading.scored["known_at"].where(~drawn, reading.scored["published_at"])
            return replace(reading, scored=reading.scored.assign(known_at=stamp))

        return changed

    return Planted(clean.config, clean.inputs, (Edit("embargo.research.run.reading:read", rewrite),))


def _labels_left(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
    """Label every bar by the open of the one before."""
    hit = symbols_hit(inputs.prices.symbols, dose, rng)
    panels = {}
    for name in PRICE_FIELDS:
        panel = getattr(inputs.prices, name)
        panels[name] = panel.shift(-1).where(pd.Series(hit, index=panel.columns), panel, axis=1)
    return replace(inputs, prices=replace(inputs.prices, **panels).select(bars=slice(0, -1)), funding=inputs.funding)


def _half_formed(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
    """Keep the last bar as it stood when a tenth of it was over."""
    prices = inputs.prices
    panels = {name: getattr(prices, name).copy() for name in PRICE_FIELDS}
    last = prices.open_at[-1]
    opened, closed = prices.open.loc[last], prices.close.loc[last]
    early = opened + 0.1 * (closed - opened)
    panels["close"].loc[last] = early
    panels["high"].loc[last] = np.maximum(opened, early) * 1.0005
    panels["low"].loc[last] = np.minimum(opened, early) / 1.0005
    panels["volume"].loc[last] = np.round(prices.volume.loc[last] * 0.1)
    return replace(inputs, prices=replace(prices, **panels))


def _earlier(hours: float) -> Callable[..., Planted]:
    def change(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
        moved = inputs.news["published_at"] - pd.Timedelta(hours=hours)
        return restamped(inputs, moved, some(inputs, dose, rng))

    return with_inputs(change)


def _local_as_utc(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
    """Read stamps of New York as if they were UTC, in some of the sources."""
    local = inputs.news["published_at"].dt.tz_convert("America/New_York").dt.tz_localize(None)
    sources = sorted(inputs.news["source"].unique())
    hit = {source for source, drawn in zip(sources, symbols_hit(sources, dose, rng), strict=True) if drawn}
    rows = inputs.news["source"].isin(hit).to_numpy()
    return restamped(inputs, local.dt.tz_localize("UTC").dt.as_unit("us"), rows)


def _winter_all_year(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
    """Take an hour off the stamps of summer that had been taken off already."""
    local = inputs.news["published_at"].dt.tz_convert("America/New_York")
    summer = local.map(lambda at: bool(at.dst())).to_numpy(dtype=bool)
    moved = inputs.news["published_at"] - pd.Timedelta(hours=1)
    return restamped(inputs, moved, summer & some(inputs, dose, rng))


def _by_day_alone(hour: int, *, local: bool) -> Callable[..., Planted]:
    """Stamp rows with the hour of a default on the day they came out."""

    def change(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
        zone = zone_of(inputs.prices.calendar) if local else "UTC"
        day = inputs.news["published_at"].dt.tz_convert(zone).dt.normalize() + pd.Timedelta(hours=hour)
        return restamped(inputs, day.dt.tz_convert("UTC").dt.as_unit("us"), some(inputs, dose, rng))

    return with_inputs(change)


def _before_the_open(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
    """Stamp what came out while the exchange was open at some minutes before it opened that day."""
    opens, closes = inputs.prices.open_at, inputs.prices.close_at
    place = opens.searchsorted(pd.DatetimeIndex(inputs.news["published_at"]), side="right") - 1
    inside = (place >= 0) & (inputs.news["published_at"] < closes[np.maximum(place, 0)]).to_numpy()
    ahead = pd.to_timedelta(rng.uniform(20.0, 90.0, len(place)) * 60, unit="s").as_unit("us")
    moved = pd.Series(opens[np.maximum(place, 0)] - ahead, index=inputs.news.index)
    return restamped(inputs, moved, inside & some(inputs, dose, rng))


def _holidays_kept(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
    """Take every weekday for a session, and repeat the close of the day before on holidays."""
    prices = inputs.prices
    zone = zone_of(prices.calendar)
    local = prices.open_at.tz_convert(zone)
    days = pd.bdate_range(local[0].date(), local[-1].date())
    strangers = days.difference(pd.DatetimeIndex(local.tz_localize(None).normalize()))
    opens = (strangers + pd.Timedelta(hours=9, minutes=30)).tz_localize(zone).tz_convert("UTC").as_unit("us")
    return replace(inputs, prices=_with_bars(prices, opens, pd.Timedelta(hours=6, minutes=30)))


def _with_bars(prices: Prices, opens: pd.DatetimeIndex, length: pd.Timedelta) -> Prices:
    """Put bars in that repeat the close before them."""
    whole = prices.open_at.union(opens)
    closed = pd.Series(prices.close_at, index=prices.open_at).reindex(whole)
    close_at = pd.DatetimeIndex(closed.where(closed.notna(), pd.Series(whole + length, index=whole)))
    panels = {}
    before = prices.close.reindex(whole).ffill()
    for name in PRICE_FIELDS:
        panel = getattr(prices, name).reindex(whole)
        added = ~whole.isin(prices.open_at)
        panel[added] = 0.0 if name == "volume" else before[added]
        panels[name] = panel
    return replace(prices, **panels, open_at=whole, close_at=close_at.as_unit("us"))


def _no_summer_time(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
    """Let the exchange open at the hour of winter all year: in summer bars are stamped an hour after they began."""
    prices = inputs.prices
    late = prices.open_at.tz_convert(zone_of(prices.calendar)).map(lambda at: bool(at.dst())).to_numpy(dtype=bool)
    hour = np.where(late, np.timedelta64(3_600_000_000, "us"), np.timedelta64(0, "us"))
    opens = prices.open_at + pd.TimedeltaIndex(hour)
    panels = {name: getattr(prices, name).set_axis(opens, axis=0) for name in PRICE_FIELDS}
    return replace(
        inputs, prices=replace(prices, **panels, open_at=opens, close_at=prices.close_at + pd.TimedeltaIndex(hour))
    )


def _naive_files(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
    """Write stamps without an offset."""

    def rewrite(read_news: Callable[..., Any]) -> Callable[..., Any]:
        def changed(path: Any, **settings: Any) -> Any:
            table = pd.read_csv(path, dtype=str)
            naive = rng.random(len(table)) < dose
            table["published_at"] = table["published_at"].where(~naive, table["published_at"].str[:19])
            table["seen_at"] = table["seen_at"].where(~naive, table["seen_at"].str[:19])
            table.to_csv(path, index=False)
            return read_news(path, **settings)

        return changed

    return Planted(clean.config, clean.inputs, (Edit("embargo.data_loaders.archive.news:read_news", rewrite),))


def _sold_before_the_end(rows: int, *, delisted: bool) -> Callable[..., Planted]:
    """Close positions some rows before prices end: of all data, or of each symbol."""

    def make(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
        def rewrite(decide: Callable[..., Any]) -> Callable[..., Any]:
            def changed(plan: Any, *rest: Any) -> Any:
                decision = decide(plan, *rest)
                close = plan.world.prices.close
                there = close.notna().to_numpy()
                last = len(close) - 1 - np.argmax(there[::-1], axis=0)
                end = last if delisted else np.full(len(last), len(close) - 1)
                place = np.arange(len(close))[plan.rows][:, None]
                near = (place > end - rows) & (place <= end)
                return replace(decision, weights=decision.weights.mask(near, 0.0))

            return changed

        return Planted(clean.config, clean.inputs, (Edit("embargo.research.run.trading:decide", rewrite),))

    return make


def _latency(value: str) -> Callable[..., Planted]:
    def make(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
        config: Config = with_settings(clean.config, prices={"latency": value})
        return Planted(config, clean.inputs)

    return make


PLANTS = (
    Plant(
        "own close decides", "T1", "a position is taken only where the bar's own close confirms the news; "
        "dose: share of symbols", "word list", on_signal(_own_close), (1.0, 0.3, 0.1),
    ),
    Plant(
        "signal smoothed both ways", "T1", "the signal is smoothed by a centred mean of three rows; dose: share of "
        "symbols", "word list", on_signal(_centred), (1.0, 0.3, 0.1),
        also={"S4": "a centred window is a fit on later rows"},
    ),
    Plant(
        "bar of the decision counts as closed", "T1", "the last closed bar is off by one, in volatilities and regimes",
        "risk", code_only(Edit("embargo.data_loaders.calendars:last_closed_bar", _inclusive)),
        refused="had closed before it was decided",
        also={"T2": "a bar that counts as known at its open"},
    ),
    Plant(
        "volatility of the next bar", "T1", "volatilities that scale positions take in the bar that is traded", "risk",
        code_only(Edit("embargo.signals.weights:trailing_risk", _one_ahead)),
    ),
    Plant(
        "weights shifted again", "T1", "weights are shifted back by a row, beside the returns", "word list",
        code_only(Edit("embargo.signals.weights:to_weights", _shifted_back)), also={"T5": _AS_A_JOIN},
    ),
    Plant(
        "joined by date", "T5", "news and bars are joined by calendar day; dose: share of articles", "word list",
        _join(_same_date), (1.0, 0.3, 0.1), also={"T1": _AS_A_JOIN},
    ),
    Plant(
        "joined to the nearest", "D8", "news are joined to the nearest decision, before or after; dose: share of "
        "articles", "word list", _join(_nearest), (1.0, 0.3, 0.1), also={"T1": _AS_A_JOIN, "T5": _AS_A_JOIN},
    ),
    Plant(
        "published for seen", "T5", "news are placed by when they say they were published, not by when they were "
        "seen; dose: share of articles", "late feed", _unseen, (1.0, 0.3, 0.1), also={"T1": _AS_A_JOIN},
    ),
    Plant(
        "bars labelled one early", "T2", "bars carry the label of the bar before; dose: share of symbols", "risk",
        with_inputs(_labels_left), (1.0, 0.3), also={"T4": "stamps of news and of bars disagree, whichever is wrong"},
        data=("clock",),
    ),
    Plant("half-formed last bar", "T3", "the last bar was saved before it was over", "word list",
          with_inputs(_half_formed), data=("last-bar",)),
    Plant(
        "five hours early", "T4", "stamps are five hours early; dose: share of articles", "word list", _earlier(5.0),
        (1.0, 0.3, 0.1), also={"T5": _SAME_CLOCK}, data=("clock", "time-of-day"),
    ),
    Plant(
        "one hour early", "T4", "stamps are an hour early; dose: share of articles", "word list", _earlier(1.0),
        (1.0, 0.3), also={"T5": _SAME_CLOCK}, data=("clock", "time-of-day"),
    ),
    Plant(
        "local time as UTC", "T4", "stamps of New York are read as UTC; dose: share of sources", "sources",
        with_inputs(_local_as_utc), (1.0, 0.3, 0.1), also={"T5": _SAME_CLOCK}, data=("clock", "time-of-day"),
    ),
    Plant(
        "summer an hour early", "T4", "stamps of summer are an hour early; dose: share of them", "word list",
        with_inputs(_winter_all_year), (1.0, 0.3), also={"T5": _SAME_CLOCK}, data=("clock", "time-of-day"),
    ),
    Plant(
        "stamps without a zone", "T4", "stamps in the file have no offset; dose: share of rows", "files", _naive_files,
        (1.0, 0.3, 0.05), refused="time zone",
    ),
    Plant(
        "dated by day", "T5", "rows carry midnight UTC of their day; dose: share of rows", "word list",
        _by_day_alone(0, local=False), (1.0, 0.2, 0.05), also={"T4": _SAME_CLOCK, "D4": "a default for a time"},
        data=("time-of-day", "clock"),
    ),
    Plant(
        "a default hour", "T5", "rows carry nine o'clock of their day, before the open; dose: share of rows",
        "word list", _by_day_alone(9, local=True), (1.0, 0.2, 0.05),
        also={"T4": _SAME_CLOCK, "D4": "a default for a time"}, data=("time-of-day", "clock"),
    ),
    Plant(
        "moved before the open", "T5", "what came out in the session is stamped before it; dose: share of that",
        "word list", with_inputs(_before_the_open), (1.0, 0.3, 0.1), also={"T4": _SAME_CLOCK},
        data=("time-of-day", "clock"),
    ),
    Plant(
        "holidays as sessions", "T6", "every weekday is a session; holidays repeat the close before", "word list",
        with_inputs(_holidays_kept),
        data=("bars-against-the-calendar", "repeated-bars", "stale-closes"), refused="session",
    ),
    Plant(
        "no summer time", "T6", "the exchange opens at the hour of winter all year", "word list",
        with_inputs(_no_summer_time), also={"T4": _SAME_CLOCK, "T5": _SAME_CLOCK},
        data=("bars-against-the-calendar", "clock"),
    ),
    Plant(
        "sold before the data end", "T9", "positions are closed seven rows before the data end", "word list",
        _sold_before_the_end(7, delisted=False), also={"T1": "a decision that moves when later data change"},
    ),
    Plant(
        "sold before the delisting", "T9", "positions are closed seven rows before a symbol's prices end", "wide",
        _sold_before_the_end(7, delisted=True), also={"T1": "a decision that moves when later data change"},
    ),
    Plant("no latency", "T10", "orders are decided at the instant of publication", "word list", _latency("0min")),
    Plant("a second of latency", "T10", "a reader is given one second on hourly bars", "hourly", _latency("1s")),
)  # fmt: skip
