"""The simulated market: regimes, prices and dated articles whose hidden sentiment moves prices by a known amount.

It stands in for vendor data wherever the truth must be known. The truth is returned beside the data, and with
``strength = 0`` the prices are bit-identical whatever the articles say.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import (
    ROUND_THE_CLOCK,
    bars_per_year,
    decision_times,
    recorded_span,
    sessions,
    zone_of,
)
from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.fields import CLASSES
from embargo.data_loaders.schemas import Prices, utc_microseconds, validate_news, validate_prices, validate_scores
from embargo.data_loaders.simulated import grammar
from embargo.data_loaders.simulated.grammar import MAX_SYMBOLS

NEUTRAL_BELOW = 0.25
COST_ONE_WAY = 0.0010
DEFAULT_LATENCY = pd.Timedelta(minutes=5)

_DRIFT_PER_SENTIMENT = 0.0011
_DRIFT_BARS = 30
_INTRADAY_SHARE_OF_DRIFT = 0.6
_JUMP_PER_SENTIMENT = 0.009
_OVERNIGHT_SHARE_OF_VARIANCE = 0.3
_QUIET_DAY = 0.15

_TRENDS = ("bull", "bear", "sideways")
_TREND_DAYS = (260.0, 100.0, 130.0)
_TREND_DRIFT = (0.0008, -0.0012, 0.0001)
_VOLATILITIES = ("calm", "turbulent")
_VOLATILITY_DAYS = (200.0, 55.0)
_MARKET_VOLATILITY = (0.0065, 0.0165)
_IDIOSYNCRATIC_SCALE = (0.95, 1.35)

_MORNING, _AFTERNOON = (2.0, 4.0, 6.0, 7.0, 6.0, 5.0), (4.5, 4.5, 5.0, 5.5, 7.0, 4.0)
_SESSION_DAY_BY_HOUR = (0.4, 0.3, 0.3, 0.3, 0.5, 0.9, *_MORNING, *_AFTERNOON, 2.5, 1.8, 1.4, 1.1, 0.8, 0.6)
_QUIET_DAY_BY_HOUR = (0.5, 0.4, 0.3, 0.3, 0.4, 0.6, 1.0, *(1.6,) * 6, *(1.4,) * 6, 1.8, 1.6, 1.2, 0.9, 0.7)


@dataclass(frozen=True)
class SimulatedMarket:
    """Settings of a simulated market.

    Attributes
    ----------
    seed : int
        Decides everything random.
    strength : float
        Scale of the reaction of prices to news; 0 is a market where news means nothing.
    n_symbols : int
        Listed companies, 2 to 480. From eight on, one in twelve lists late and one in twelve is delisted.
    start, end : str
        First and last day, both included.
    calendar : str
        exchange_calendars code or ``"24/7"``.
    articles_per_symbol_day : float
        Original articles per symbol and session, on average; days without a session see 15 % of a session's.
    duplicate_share : float
        Share of all articles that are syndicated copies.
    annotator_error : float
        Share of articles whose ``label`` is not the class of the hidden sentiment.
    latency : Timedelta
        Time between the last article read and the open; the drift starts at the first bar decided after that.
    persistence : float
        Factor by which the tradeable drift fades each bar, in [0, 1).

    Examples
    --------
    >>> from embargo.data_loaders.simulated import SimulatedMarket
    >>> SimulatedMarket(seed=1, strength=0.0).calendar
    'XNYS'
    """

    seed: int = 0
    strength: float = 1.0
    n_symbols: int = 24
    start: str = "2015-01-01"
    end: str = "2021-12-31"
    calendar: str = "XNYS"
    articles_per_symbol_day: float = 0.4
    duplicate_share: float = 0.08
    annotator_error: float = 0.05
    latency: pd.Timedelta = DEFAULT_LATENCY
    persistence: float = 0.88

    def __post_init__(self) -> None:
        allowed = {
            "seed": self.seed >= 0,
            "strength": 0.0 <= self.strength <= 10.0,
            "n_symbols": 2 <= self.n_symbols <= MAX_SYMBOLS,
            "articles_per_symbol_day": 0.0 < self.articles_per_symbol_day <= 20.0,
            "duplicate_share": 0.0 <= self.duplicate_share < 0.5,
            "annotator_error": 0.0 <= self.annotator_error < 1.0,
            "persistence": 0.0 <= self.persistence < 1.0,
        }
        for name, fine in allowed.items():
            if not fine:
                raise ConfigError(
                    f"simulated market: {name} = {getattr(self, name)!r} is out of range. See SimulatedMarket for it."
                )
        if pd.Timestamp(self.end) <= pd.Timestamp(self.start):
            raise ConfigError(f"simulated market: end {self.end} is not after start {self.start}.")


@dataclass(frozen=True, eq=False)
class _Reactions:
    """What each original article says, and what was earned on what it moved.

    Attributes
    ----------
    sentiment : ndarray, shape (originals,)
    row, column : ndarray of int, shape (originals,)
        First bar decided after the article was known (one past the last where there is none), and its symbol.
    earned : ndarray, shape (bars, symbols)
        From open[t] to open[t+1]; NaN where nothing was.
    persistence, per_year : float
        How the drift fades from bar to bar, and bars of a year.
    """

    sentiment: np.ndarray
    row: np.ndarray
    column: np.ndarray
    earned: np.ndarray
    persistence: float
    per_year: float


@dataclass(frozen=True)
class Truth:
    """What the simulation knows and a trader does not.

    Attributes
    ----------
    sentiment : Series
        Hidden sentiment in [-1, 1] by article_id; copies carry their original's.
    information_coefficient : float
        Pearson correlation over original articles of sentiment with the return open[t] to open[t+1] of the first
        bar decided after the article was known, net of the equal-weight universe.
    perfect_sharpe : float
        Annual Sharpe ratio, after 10 basis points one way, of the trader who knows the sentiment: weights follow the
        sentiment decayed by ``persistence`` each bar, dollar neutral, gross exposure 1.
    regimes : DataFrame
        Index ``open_at``; columns ``trend`` (bull, bear, sideways) and ``volatility`` (calm, turbulent).
    perfect_scores : DataFrame
        Scores of every article made from the hidden sentiment: bullish - bearish equals it.
    originals : Series
        For each article_id the one it copies; itself for an original.
    reactions : object
        What the coefficient and the Sharpe ratio are worked out from.

    Examples
    --------
    >>> from embargo.data_loaders.simulated import SimulatedMarket, simulate_market
    >>> truth = simulate_market(SimulatedMarket(n_symbols=2, start="2020-01-01", end="2020-03-31")).truth
    >>> round(truth.information_coefficient, 3)
    0.077
    """

    sentiment: pd.Series
    regimes: pd.DataFrame
    originals: pd.Series
    reactions: _Reactions = field(repr=False, compare=False)

    # Worked out where somebody asks: most who simulate a market do not.
    @cached_property
    def information_coefficient(self) -> float:
        """Pearson correlation of sentiment with what was earned after it, net of the market."""
        moved = self.reactions
        return _information_coefficient(moved.sentiment, moved.row, moved.column, moved.earned)

    @cached_property
    def perfect_sharpe(self) -> float:
        """Annual Sharpe ratio after costs of the trader who knows the sentiment."""
        return _perfect_sharpe(self.reactions)

    @cached_property
    def perfect_scores(self) -> pd.DataFrame:
        """Scores of every article made from its hidden sentiment."""
        return _perfect_scores(self.sentiment)


@dataclass(frozen=True)
class Simulation:
    """News (validated, sorted by ``known_at``), prices and the truth behind them.

    Examples
    --------
    >>> from embargo.data_loaders.simulated import SimulatedMarket, simulate_market
    >>> market = simulate_market(SimulatedMarket(n_symbols=2, start="2020-01-01", end="2020-03-31"))
    >>> len(market.news), market.prices.calendar
    (78, 'XNYS')
    """

    news: pd.DataFrame
    prices: Prices
    truth: Truth


@dataclass(frozen=True)
class _Legs:
    """Log returns of each bar: from the close before to the open, and from the open to the close; (bars, symbols)."""

    overnight: np.ndarray
    intraday: np.ndarray


def _markov(days: tuple[float, ...], count: int, rng: np.random.Generator) -> np.ndarray:
    """Walk through states that last ``days`` on average; the next one is any other with equal chance."""
    path = np.empty(count, dtype=np.int64)
    filled = 0
    state = int(rng.integers(0, len(days)))
    while filled < count:
        stay = int(rng.geometric(1.0 / days[state]))
        path[filled : filled + stay] = state
        filled += stay
        state = (state + 1 + int(rng.integers(0, len(days) - 1))) % len(days)
    return path


def _fat(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw Student t with five degrees of freedom and unit variance, cut at six: a crash, but no end of the world."""
    draws: np.ndarray = np.clip(rng.standard_t(5.0, size=shape) / np.sqrt(5.0 / 3.0), -6.0, 6.0)
    return draws


def _newsless_legs(
    trend: np.ndarray, turbulence: np.ndarray, n_symbols: int, overnight_share: float, rng: np.random.Generator
) -> tuple[_Legs, np.ndarray]:
    """Return log returns without any news, and the daily idiosyncratic volatility of each bar and symbol."""
    bars = len(trend)
    beta = np.clip(rng.normal(1.0, 0.25, n_symbols), 0.4, 1.7)
    volatility = np.asarray(_IDIOSYNCRATIC_SCALE)[turbulence][:, None] * rng.uniform(0.014, 0.022, n_symbols)
    market_drift = np.asarray(_TREND_DRIFT)[trend]
    market_volatility = np.asarray(_MARKET_VOLATILITY)[turbulence]

    def leg(share: float) -> np.ndarray:
        market = market_drift * share + market_volatility * np.sqrt(share) * _fat(rng, (bars,))
        own = volatility * np.sqrt(share) * _fat(rng, (bars, n_symbols))
        drag = 0.5 * share * ((beta * market_volatility[:, None]) ** 2 + volatility**2)
        return np.asarray(beta * market[:, None] + own - drag)

    overnight = leg(overnight_share)
    intraday = leg(1.0 - overnight_share)
    return _Legs(overnight, intraday), volatility


def _listings(bars: int, n_symbols: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """First and one-past-last bar of each symbol."""
    first, last = np.zeros(n_symbols, dtype=np.int64), np.full(n_symbols, bars, dtype=np.int64)
    each = n_symbols // 12 + (1 if 8 <= n_symbols < 12 else 0)
    chosen = rng.permutation(n_symbols)[: 2 * each]
    first[chosen[:each]] = (bars * rng.uniform(0.10, 0.35, each)).astype(np.int64)
    last[chosen[each:]] = (bars * rng.uniform(0.55, 0.85, each)).astype(np.int64)
    return first, last


def _publication_times(
    settings: SimulatedMarket, table: pd.DataFrame, rng: np.random.Generator
) -> tuple[pd.DatetimeIndex, np.ndarray, np.ndarray]:
    """Draw when originals are published: UTC instants, symbol positions and months since January 2015."""
    zone = zone_of(settings.calendar)
    days = pd.date_range(settings.start, settings.end, freq="D", unit="us")
    trading = days.isin(table.index)
    rate = np.where(trading, 1.0, _QUIET_DAY)
    rate *= settings.articles_per_symbol_day * trading.sum() / rate.sum()
    fame = rng.gamma(4.0, 0.25, settings.n_symbols)
    fame /= fame.mean()
    counts = rng.poisson(rate[:, None] * fame[None, :])
    day, symbol = np.divmod(np.repeat(np.arange(counts.size), counts.ravel()), settings.n_symbols)
    busy, quiet = (np.cumsum(profile) / np.sum(profile) for profile in (_SESSION_DAY_BY_HOUR, _QUIET_DAY_BY_HOUR))
    chance = rng.random(len(day))
    hour = np.where(
        trading[day], np.searchsorted(busy, chance, side="right"), np.searchsorted(quiet, chance, side="right")
    )
    seconds = np.minimum(hour, 23) * 3_600.0 + rng.random(len(day)) * 3_600.0
    local = days[day] + pd.to_timedelta((seconds * 1e6).astype(np.int64), unit="us")
    utc = local.tz_localize(zone, ambiguous=np.ones(len(local), dtype=bool), nonexistent="shift_forward")
    month = (days[day].year.to_numpy() - 2015) * 12 + days[day].month.to_numpy() - 1
    return utc.tz_convert("UTC").as_unit("us"), symbol, month


def _hidden_sentiment(count: int, rng: np.random.Generator) -> np.ndarray:
    side = rng.choice([-1.0, 0.0, 1.0], size=count, p=[0.32, 0.34, 0.34])
    signed = side * rng.uniform(0.4, 1.0, count)
    return np.where(side == 0.0, rng.uniform(-0.1, 0.1, count), signed)


def _classes(sentiment: np.ndarray) -> np.ndarray:
    return np.where(sentiment > NEUTRAL_BELOW, 2, np.where(sentiment < -NEUTRAL_BELOW, 0, 1))


def _feed_delay(count: int, rng: np.random.Generator) -> pd.TimedeltaIndex:
    return pd.to_timedelta((np.clip(rng.exponential(30.0, count), 1.0, 300.0) * 1e6).astype(np.int64), unit="us")


def _write_news(
    settings: SimulatedMarket,
    table: pd.DataFrame,
    first: np.ndarray,
    last: np.ndarray,
    streams: list[np.random.Generator],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write originals and copies; return the news frame and, by article_id, ``sentiment`` and ``original``."""
    times, wording, annotator, copying = streams
    published, symbol, month = _publication_times(settings, table, times)
    listed_from = utc_microseconds(table["open_at"])[first]
    listed_to = utc_microseconds(table["close_at"])[last - 1]
    stamps = utc_microseconds(published)
    alive = (stamps >= listed_from[symbol]) & (stamps <= listed_to[symbol])
    published, symbol, month = published[alive], symbol[alive], month[alive]
    count = len(published)
    if count == 0:
        raise ConfigError(
            f"simulated market: no article falls between {settings.start} and {settings.end}. "
            "Lengthen the range or raise articles_per_symbol_day."
        )
    names = grammar.companies(settings.n_symbols)
    sentiment = _hidden_sentiment(count, wording)
    originals = pd.DataFrame(
        {
            "published_at": published,
            "seen_at": published + _feed_delay(count, times),
            "symbol": [names[place].symbol for place in symbol],
            "text": grammar.write_articles(sentiment, month, [names[place] for place in symbol], wording),
            "source": grammar.sources(count, wording),
            "sentiment": sentiment,
            "original": np.arange(count),
        }
    )
    true_class = _classes(sentiment)
    misread = annotator.random(count) < settings.annotator_error
    read = np.where(misread, (true_class + annotator.integers(1, 3, count)) % 3, true_class)
    originals["label"] = np.asarray(CLASSES, dtype=object)[read]

    n_copies = round(settings.duplicate_share / (1.0 - settings.duplicate_share) * count)
    chosen = np.sort(copying.integers(0, count, n_copies))
    copies = originals.iloc[chosen].copy()
    lag = np.clip(np.exp(copying.normal(np.log(5_400.0), 1.1, n_copies)), 600.0, 43_200.0)
    copies["published_at"] = copies["published_at"] + pd.to_timedelta((lag * 1e6).astype(np.int64), unit="us")
    copies["seen_at"] = copies["published_at"] + _feed_delay(n_copies, copying)
    copies["text"] = grammar.syndicate(copies["text"].tolist(), copying)
    copies["source"] = grammar.other_sources(copies["source"].to_numpy(dtype=object), copying)

    news = pd.concat([originals, copies], ignore_index=True)
    order = np.argsort(utc_microseconds(news["published_at"]), kind="stable")
    ids = np.empty(len(news), dtype=object)
    ids[order] = [f"sim-{place:07d}" for place in range(len(news))]
    news["article_id"] = ids
    facts = news[["sentiment"]].assign(original=ids[news["original"].to_numpy()]).set_index(news["article_id"])
    return validate_news(news.drop(columns=["sentiment", "original"]), where="simulated news"), facts.sort_index()


def _react(
    legs: _Legs,
    settings: SimulatedMarket,
    overnight_share: float,
    table: pd.DataFrame,
    originals: pd.DataFrame,
    row: np.ndarray,
    column: np.ndarray,
) -> _Legs:
    """Add to each leg what the original articles do to it: an instant jump, then a drift that fades."""
    bars = len(table)
    sentiment = originals["sentiment"].to_numpy()
    published = utc_microseconds(originals["published_at"])
    overnight, intraday = np.zeros_like(legs.overnight), np.zeros_like(legs.intraday)

    next_open = np.searchsorted(utc_microseconds(table["open_at"]), published, side="left")
    running = np.searchsorted(utc_microseconds(table["open_at"]), published, side="right") - 1
    during = (running >= 0) & (published < utc_microseconds(table["close_at"])[np.maximum(running, 0)])
    jump = _JUMP_PER_SENTIMENT * sentiment
    np.add.at(intraday, (running[during], column[during]), jump[during])
    before = ~during & (next_open < bars)
    np.add.at(overnight, (next_open[before], column[before]), jump[before])

    intraday_share = _INTRADAY_SHARE_OF_DRIFT if overnight_share > 0 else 1.0
    for step in range(_DRIFT_BARS):
        drift = _DRIFT_PER_SENTIMENT * settings.persistence**step * sentiment
        inside = row + step < bars
        np.add.at(intraday, (row[inside] + step, column[inside]), intraday_share * drift[inside])
        inside = row + step + 1 < bars
        np.add.at(overnight, (row[inside] + step + 1, column[inside]), (1.0 - intraday_share) * drift[inside])
    return _Legs(
        legs.overnight + settings.strength * overnight,
        legs.intraday + settings.strength * intraday,
    )


def _panels(
    legs: _Legs,
    volatility: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    table: pd.DataFrame,
    settings: SimulatedMarket,
    rng: np.random.Generator,
) -> Prices:
    """Turn log returns into bars whose high and low are those of a Brownian bridge from open to close."""
    bars, n_symbols = legs.intraday.shape
    base = np.log(rng.uniform(20.0, 200.0, n_symbols))
    log_close = base + np.cumsum(legs.overnight + legs.intraday, axis=0)
    log_open = log_close - legs.intraday
    variance = (volatility**2 + np.asarray(_MARKET_VOLATILITY)[0] ** 2) * (1.0 - _OVERNIGHT_SHARE_OF_VARIANCE)
    reach = [-2.0 * variance * np.log(rng.uniform(1e-9, 1.0, (bars, n_symbols))) for _ in range(2)]
    log_high = log_open + 0.5 * (legs.intraday + np.sqrt(legs.intraday**2 + reach[0]))
    log_low = log_open + 0.5 * (legs.intraday - np.sqrt(legs.intraday**2 + reach[1]))
    surprise = np.abs(legs.overnight + legs.intraday) / volatility
    volume = np.exp(rng.normal(14.0, 0.8, n_symbols) + 0.25 * surprise + rng.normal(0.0, 0.35, (bars, n_symbols)))

    place = np.arange(bars)[:, None]
    listed = (place >= first) & (place < last)
    opens = pd.DatetimeIndex(table["open_at"])
    symbols = pd.Index([company.symbol for company in grammar.companies(n_symbols)])

    def panel(values: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(np.where(listed, values, np.nan), index=opens, columns=symbols)

    return validate_prices(
        Prices(
            open=panel(np.exp(log_open)),
            high=panel(np.exp(log_high)),
            low=panel(np.exp(log_low)),
            close=panel(np.exp(log_close)),
            volume=panel(np.round(volume)),
            open_at=opens,
            close_at=pd.DatetimeIndex(table["close_at"]),
            calendar=settings.calendar,
        ),
        where="simulated prices",
    )


def _open_to_open(prices: Prices) -> np.ndarray:
    """Return what is earned from open[t] to open[t+1], (bars, symbols); the last row and unlisted cells are NaN."""
    opens = prices.open.to_numpy()
    earned: np.ndarray = np.full_like(opens, np.nan)
    earned[:-1] = opens[1:] / opens[:-1] - 1.0
    return earned


def _information_coefficient(sentiment: np.ndarray, row: np.ndarray, column: np.ndarray, earned: np.ndarray) -> float:
    market = np.nanmean(earned[:-1], axis=1, keepdims=True)
    excess = np.vstack([earned[:-1] - market, np.full((1, earned.shape[1]), np.nan)])
    inside = row < len(excess)
    outcome = np.full(len(row), np.nan)
    outcome[inside] = excess[row[inside], column[inside]]
    usable = np.isfinite(outcome)
    if usable.sum() < 3:
        return float("nan")
    return float(np.corrcoef(sentiment[usable], outcome[usable])[0, 1])


def _perfect_sharpe(moved: _Reactions) -> float:
    """Annual Sharpe ratio after costs of the trader who knows every original's sentiment."""
    earned, row = moved.earned, moved.row
    fresh = np.zeros_like(earned)
    inside = row < len(earned)
    np.add.at(fresh, (row[inside], moved.column[inside]), moved.sentiment[inside])
    tradeable = np.isfinite(earned)
    held = np.zeros(earned.shape[1])
    belief = np.zeros(earned.shape[1])
    profit = np.zeros(len(earned) - 1)
    for bar in range(len(profit)):
        belief = moved.persistence * belief + fresh[bar]
        wanted = np.where(tradeable[bar], belief, 0.0)
        wanted = np.where(tradeable[bar], wanted - wanted[tradeable[bar]].mean(), 0.0)
        gross = np.abs(wanted).sum()
        wanted = wanted / gross if gross > 1e-9 else np.zeros_like(wanted)
        returns = np.nan_to_num(earned[bar])
        profit[bar] = wanted @ returns - COST_ONE_WAY * np.abs(wanted - held).sum()
        held = wanted * (1.0 + returns) / (1.0 + wanted @ returns)
    spread = profit.std(ddof=1) if len(profit) > 1 else 0.0
    return float(profit.mean() / spread * np.sqrt(moved.per_year)) if spread > 0 else float("nan")


def _perfect_scores(sentiment: pd.Series) -> pd.DataFrame:
    value = sentiment.to_numpy()
    scores = pd.DataFrame(
        {
            "article_id": sentiment.index.to_numpy(),
            "bearish": np.maximum(-value, 0.0),
            "neutral": 1.0 - np.abs(value),
            "bullish": np.maximum(value, 0.0),
        }
    )
    scores["confidence"] = scores[list(CLASSES)].max(axis=1)
    scores["model_id"] = "truth"
    return validate_scores(scores, where="perfect scores")


def simulate_market(settings: SimulatedMarket) -> Simulation:
    """Simulate a market: prices with regimes, articles, and the truth that links them.

    An article moves its symbol twice: at once, in the overnight or intraday leg in which it is published (nobody can
    trade that), and then by a drift that starts at the open of the first bar decided after it was known and fades by
    ``persistence`` each bar. Texts, times and labels do not depend on ``strength``.

    Parameters
    ----------
    settings : SimulatedMarket
        What to simulate.

    Returns
    -------
    Simulation
        News with copies and annotator's labels, daily prices on the sessions of the calendar, and the truth.

    Raises
    ------
    ConfigError
        If a setting is out of range, the calendar is unknown, or the range holds fewer than five sessions or no
        article.

    Examples
    --------
    >>> from embargo.data_loaders.simulated import SimulatedMarket, simulate_market
    >>> market = simulate_market(SimulatedMarket(n_symbols=2, start="2020-01-01", end="2020-03-31"))
    >>> market.news["text"].iloc[0]
    'Bexley Motors schedules second quarter call; Cartway Research expects deliveries near $2.19 billion.'
    """
    regime_stream, price_stream, *news_streams = [
        np.random.default_rng(child) for child in np.random.SeedSequence(settings.seed).spawn(6)
    ]
    first_day, last_day = recorded_span(settings.calendar)
    if pd.Timestamp(settings.start) < first_day or pd.Timestamp(settings.end) > last_day:
        raise ConfigError(
            f"simulated market: {settings.start} to {settings.end} is more than the calendar {settings.calendar} "
            f"records, {first_day.date()} to {last_day.date()}. Keep to these years."
        )
    table = sessions(settings.calendar, pd.Timestamp(settings.start), pd.Timestamp(settings.end))
    if len(table) < 5:
        raise ConfigError(
            f"simulated market: only {len(table)} sessions of {settings.calendar} between {settings.start} and "
            f"{settings.end}; it needs at least 5. Lengthen the range."
        )
    trend = _markov(_TREND_DAYS, len(table), regime_stream)
    turbulence = _markov(_VOLATILITY_DAYS, len(table), regime_stream)
    first, last = _listings(len(table), settings.n_symbols, regime_stream)
    overnight_share = 0.0 if settings.calendar == ROUND_THE_CLOCK else _OVERNIGHT_SHARE_OF_VARIANCE
    legs, volatility = _newsless_legs(trend, turbulence, settings.n_symbols, overnight_share, price_stream)

    news, facts = _write_news(settings, table, first, last, news_streams)
    known = news.assign(sentiment=facts["sentiment"].reindex(news["article_id"]).to_numpy())
    originals = known[facts["original"].reindex(known["article_id"]).to_numpy() == known["article_id"].to_numpy()]
    place = {company.symbol: position for position, company in enumerate(grammar.companies(settings.n_symbols))}
    column = originals["symbol"].map(place).to_numpy(dtype=np.int64)
    decided_at = decision_times(pd.DatetimeIndex(table["open_at"]), settings.latency)
    row = np.searchsorted(utc_microseconds(decided_at), utc_microseconds(originals["known_at"]), side="left")

    legs = _react(legs, settings, overnight_share, table, originals, row, column)
    prices = _panels(legs, volatility, first, last, table, settings, price_stream)
    truth = Truth(
        sentiment=facts["sentiment"].rename("sentiment"),
        regimes=pd.DataFrame(
            {"trend": np.asarray(_TRENDS)[trend], "volatility": np.asarray(_VOLATILITIES)[turbulence]},
            index=prices.open_at,
        ),
        originals=facts["original"].rename("original"),
        reactions=_Reactions(
            sentiment=originals["sentiment"].to_numpy(),
            row=row,
            column=column,
            earned=_open_to_open(prices),
            persistence=settings.persistence,
            per_year=bars_per_year(settings.calendar, pd.Timedelta(days=1)),
        ),
    )
    return Simulation(news, prices, truth)
