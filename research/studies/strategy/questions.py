"""What is asked of a strategy that was made elsewhere, and what each question needs.

`QUESTIONS` is the one table of them: who adds a check adds a line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from embargo.backtest import Backtest, leakage
from embargo.backtest.leakage import CHECKS, Finding
from embargo.backtest.leakage.causality import Decide
from embargo.backtest.leakage.futures import drawn_rows, rows_in_gaps
from embargo.backtest.leakage.protocol import no_news
from embargo.backtest.leakage.tokens import Words
from embargo.data_loaders.calendars import decision_times, zone_of
from embargo.data_loaders.schemas import Prices, as_utc
from embargo.research.run.data_verdict import tone_of
from embargo.signals.alignment import align


@dataclass(frozen=True)
class Material:
    """What was handed in, and what follows from it; None where it was not."""

    prices: Prices
    weights: pd.DataFrame
    traded: Backtest
    decided_at: pd.DatetimeIndex
    latency: pd.Timedelta
    decide: Decide | None
    news: pd.DataFrame | None
    orders: pd.DataFrame | None
    returns: pd.Series | None
    rows: int
    seed: int
    adjusted: bool | None = None
    symbols_chosen_at: pd.Timestamp | None = None

    @property
    def bars(self) -> Prices:
        """Bars of the rows that are held."""
        first = int(self.prices.open_at.get_indexer(self.weights.index[:1])[0])
        return self.prices.select(bars=np.arange(first, first + len(self.weights)))

    @cached_property
    def read(self) -> pd.DataFrame:
        """Articles on the first row that may know them, with what the symbol earned from there on."""
        return _read(self)

    @cached_property
    def words(self) -> Words:
        """Words of these articles."""
        return Words.of(self.read["text"])


Answer = Finding | Iterable[Finding]


@dataclass(frozen=True)
class Question:
    """What is asked: the leak's code, what ought to hold, what the answer needs, and who gives it."""

    code: str
    title: str
    needs: tuple[str, ...]
    ask: Callable[[Material], Answer]


# What a question may need, whether it is there, and what to say where it is not.
NEEDS: Mapping[str, tuple[Callable[[Material], bool], str, str]] = {
    "signal": (
        lambda given: given.decide is not None,
        "needs a callable: weights alone cannot be perturbed",
        "Hand in the function that makes the weights, signal=.",
    ),
    "news": (lambda given: given.news is not None, "needs the news that was read", "Hand in news=."),
    "texts": (
        lambda given: given.news is not None and "text" in given.news,
        "needs the texts that were read",
        "Hand in news= with a column text.",
    ),
    "stamps": (
        lambda given: given.news is not None and {"article_id", "published_at"} <= set(given.news.columns),
        "needs when the news was published",
        "Hand in news= with columns article_id and published_at.",
    ),
    "seen": (
        lambda given: given.news is not None and {"published_at", "seen_at"} <= set(given.news.columns),
        "needs when the news was published and first seen",
        "Hand in news= with columns published_at and seen_at.",
    ),
    "articles": (
        lambda given: given.news is not None and "article_id" in given.news,
        "needs to know which article is which",
        "Hand in news= with a column article_id.",
    ),
    "score": (
        lambda given: given.news is not None and score_of(given.news) is not None,
        "needs what each article was taken to say",
        "Hand in news= with a column score (signed), or bearish and bullish.",
    ),
    "orders": (
        lambda given: given.orders is not None,
        "needs the orders as they were filled",
        "Hand in orders= with symbol, fill_at, side, size, price and fees.",
    ),
    "returns": (
        lambda given: given.returns is not None,
        "needs the returns that the books showed",
        "Hand in returns= beside orders=.",
    ),
}


def _perturbed(given: Material) -> Answer:
    assert given.decide is not None
    news = no_news() if given.news is None else given.news
    found = leakage.perturb_function(
        given.decide,
        news,
        given.prices,
        decision_times(given.prices.open_at, given.latency),
        n_rows=given.rows,
        seed=given.seed,
    )
    if not any(finding.verdict == "pass" for finding in found):
        return found
    told, several = {finding.code for finding in found}, len(found) > 1
    for code, title in ALSO_BY_PERTURBING.items():
        if code not in told:
            # Data that end are a world of their own; all others are shown by the rest together.
            partly = several and code != "T9"
            said = "Worlds of one kind could not be carried through." if partly else _AS_IT_WAS
            found.append(Finding(code, "inconclusive" if partly else "pass", title, said))
    return [*found, _gaps(given, news, partly=several)]


def _gaps(given: Material, news: pd.DataFrame, *, partly: bool) -> Finding:
    """Say whether the worlds that left weights as they were tell of gaps: rows in or next to one must be among them."""
    decided_at = decision_times(given.prices.open_at, given.latency)
    inside = rows_in_gaps(given.prices, decided_at)
    rng = np.random.default_rng(given.seed)
    rows = drawn_rows(news["known_at"], given.prices, decided_at, n_rows=given.rows, rng=rng)
    tried, in_all = int(inside[rows].sum()), int(inside.sum())
    if partly:
        return Finding("D8", "inconclusive", _GAPS, "Worlds of one kind could not be carried through.")
    if in_all and not tried:
        detail = f"None of the {in_all} rows in or next to gaps of prices was among the {len(rows)} that were tried."
        return Finding("D8", "inconclusive", _GAPS, detail, remedy="Ask with more rows=.")
    if in_all:
        detail = f"{tried} of {in_all} rows in or next to gaps of prices were tried: {_AS_IT_WAS} More rows= try more."
        return Finding("D8", "pass", _GAPS, detail)
    if news.empty:
        return Finding("D8", "not-applicable", _GAPS, "No symbol lacks a price between two that it has.")
    return Finding("D8", "pass", _GAPS, f"Prices have no gaps; of rows without news: {_AS_IT_WAS}")


_AS_IT_WAS = "The worlds of T1 left every earlier weight as it was."
_GAPS = "No gap is filled from later rows"

# What the same worlds would have shown.
ALSO_BY_PERTURBING = {
    "S4": "Nothing is fitted on all dates",
    "S8": "Regimes do not look ahead",
    "T9": "Nothing depends on where the data end",
}


def _levels(given: Material) -> Answer:
    assert given.decide is not None
    news = no_news() if given.news is None else given.news
    return leakage.perturb_levels(given.decide, news, given.prices, adjusted=given.adjusted)


def _fill_order(given: Material) -> Answer:
    assert given.orders is not None
    at = given.decided_at[given.orders["bar"].to_numpy()]
    orders = given.orders.assign(decided_at=given.orders.get("decided_at", pd.Series(at, index=given.orders.index)))
    missing = pd.Series(pd.NaT, index=orders.index, dtype="datetime64[us, UTC]")
    return leakage.check_fill_order(orders.assign(known_at=orders.get("known_at", missing)))


def _own_fills(given: Material) -> Answer:
    assert given.orders is not None
    traded = given.traded
    return leakage.check_fills(given.orders, given.bars, fill=traded.execution.fill, half_spread=traded.costs.slippage)


def _own_books(given: Material) -> Answer:
    assert given.orders is not None
    assert given.returns is not None
    bars, traded = given.bars, given.traded
    return leakage.check_books(
        given.weights,
        given.returns,
        given.orders,
        bars.open if traded.execution.fill == "open" else bars.close,
        bars.close,
        initial_cash=float(traded.books.equity.iloc[0] / (1.0 + traded.returns.iloc[0])),
        half_spread=traded.costs.slippage,
        # How far positions may stray is not stated by books kept elsewhere.
        apart=given.weights.size,
    )


def _last_bar(given: Material) -> Answer:
    found = leakage.check_last_bar(given.prices)
    return replace(found, remedy=found.remedy.replace(" (split.end)", ""))  # a setting of experiments


def _time_zones(given: Material) -> Answer:
    assert given.news is not None
    # As in a run, the word list says which way a text points.
    tone = tone_of(given.news) if "text" in given.news else None
    return leakage.check_time_zones(given.news, given.prices.calendar, prices=given.prices, tone=tone)


def _mixed_clocks(given: Material) -> Answer:
    assert given.news is not None
    return leakage.check_mixed_clocks(given.news, given.prices.calendar)


def _bar_stamps(given: Material) -> Answer:
    if given.news is None or "published_at" not in given.news:
        return leakage.check_bar_stamps(given.prices)
    score = score_of(given.news)
    told = None if score is None else given.news[["published_at", "symbol"]].assign(score=score)
    return leakage.check_bar_stamps(given.prices, given.news, told)


def _dates_in_texts(given: Material) -> Answer:
    assert given.news is not None
    return leakage.check_dates_in_texts(given.news)


def _backfill(given: Material) -> Answer:
    assert given.news is not None
    return leakage.check_backfill(given.news)


def _universe(given: Material) -> Answer:
    """Ask whether symbols end as they do in a market; those of crypto need not."""
    lasting = given.prices.calendar.startswith("24/7")
    # Rows of a warm-up hold nothing, whatever is known of the list by then.
    held = (given.weights.to_numpy(dtype=float) != 0.0).any(axis=1)
    return leakage.check_universe(
        given.prices,
        **({"rate": None} if lasting else {}),
        chosen_at=given.symbols_chosen_at,
        first_decided_at=given.decided_at[int(held.argmax())],
    )


def _undated(given: Material) -> Answer:
    assert given.news is not None
    return leakage.check_undated(given.news)


def _instants(given: Material) -> Answer:
    """Ask whether stamps are dates alone, and whether skill piles up in some hours, on the rows that may know them."""
    assert given.news is not None
    bars = given.bars
    placed = align(given.news["known_at"], given.news["symbol"], given.decided_at, list(given.weights.columns))
    score = score_of(given.news)
    effects = None
    if score is not None:
        reached = placed.row >= 0
        earned = np.full(len(score), np.nan)
        earned[reached] = given.traded.asset_returns.to_numpy()[placed.row[reached], placed.column[reached]]
        effects = pd.DataFrame({"score": score, "earned": earned}, index=given.news.index)
    found = leakage.check_tradable_instants(
        given.news[["article_id", "symbol", "published_at", "known_at"]].assign(row=placed.row),
        given.decided_at,
        bars.open_at,
        bars.close_at,
        zone=zone_of(bars.calendar),
        effects=effects,
    )
    # The rows are chosen here, so that each may know its article holds by itself and is no finding.
    hours = re.sub(r"^(All|None of) .*?bar\)?\.\s*", "", found.detail)
    said = "Articles were put on the first row that may know them, since nobody told where the strategy put them."
    if found.verdict == "pass" and found.interval is not None:
        return replace(found, title=_BY_HOUR, detail=f"By the hour alone. {hours} {said}")
    if found.verdict in ("pass", "not-applicable"):
        detail = f"{said} {hours or 'None of them reaches a row.'}"
        return Finding("T5", "inconclusive", _BY_HOUR, detail, remedy="Hand in signal= and news= with a score.")
    return replace(found, detail=f"{said} {hours}")


_BY_HOUR = "Skill does not pile up in some hours of publication"


def _anticipated(given: Material) -> Answer:
    assert given.news is not None
    found = leakage.anticipated_news(given.weights, given.traded.asset_returns, given.news, given.decided_at)
    return replace(found, title=ANTICIPATED)


def _read(given: Material) -> pd.DataFrame:
    assert given.news is not None
    news, bars = given.news, given.bars
    placed = align(news["known_at"], news["symbol"], given.decided_at, list(given.weights.columns))
    reached = placed.row >= 0
    row, column = placed.row[reached], placed.column[reached]
    returns = given.traded.asset_returns.to_numpy()
    net = given.traded.asset_returns.sub(given.traded.asset_returns.mean(axis=1), axis=0).to_numpy()
    published = as_utc(news["published_at"] if "published_at" in news else news["known_at"], what="news, published_at")
    local = published.dt.tz_convert(zone_of(bars.calendar))[reached]
    read = news.loc[reached].assign(
        row=row,
        at=bars.open_at[row],
        earned=returns[row, column],
        net=net[row, column],
        before=np.where(row > 0, returns[row - 1, column], np.nan),
        hour=local.dt.hour,
        weekday=local.dt.day_name(),
    )
    score = score_of(news)
    return read if score is None else read.assign(score=score[reached])


def score_of(news: pd.DataFrame) -> pd.Series | None:
    """Return what each article was taken to say, signed; None where the news do not tell."""
    if "score" in news:
        return news["score"].astype(float)
    if {"bearish", "bullish"} <= set(news.columns):
        return news["bullish"].astype(float) - news["bearish"].astype(float)
    return None


def _concentration(given: Material) -> Answer:
    by = tuple(name for name in ("source", "hour", "weekday") if name in given.read)
    return leakage.check_concentration(given.read, by, seed=given.seed).finding()


def _hit_rate(given: Material) -> Answer:
    return leakage.check_hit_rate(given.read).finding()


def _repeated_texts(given: Material) -> Answer:
    return leakage.check_repeated_texts(given.read, words=given.words).finding()


def _outcome_words(given: Material) -> Answer:
    return leakage.check_outcome_words(given.read, words=given.words, seed=given.seed).finding()


def _stated_moves(given: Material) -> Answer:
    return leakage.check_stated_moves(given.read, seed=given.seed).finding()


def _price_echo(given: Material) -> Answer:
    return leakage.check_price_echo(given.read, words=given.words).finding()


# The same question as of the instants of articles, with another answer.
ANTICIPATED = f"{CHECKS['check_tradable_instants'].title}, by the weights alone"

# What is asked of a strategy, in the order of the catalogue; who adds a check adds a line.
QUESTIONS: tuple[Question, ...] = (
    Question("T1", CHECKS["check_decisions_are_causal"].title, ("signal",), _perturbed),
    Question("T1", CHECKS["check_lag_decay"].title, (), lambda given: given.traded.findings),
    Question("T1", CHECKS["check_fill_order"].title, ("orders",), _fill_order),
    Question("T7", f"{CHECKS['check_fills'].title}, as they were made elsewhere", ("orders",), _own_fills),
    Question("T7", f"{CHECKS['check_books'].title}, as they were kept elsewhere", ("orders", "returns"), _own_books),
    Question("T2", CHECKS["check_bar_stamps"].title, (), _bar_stamps),
    Question("T3", CHECKS["check_last_bar"].title, (), _last_bar),
    Question("T4", CHECKS["check_time_zones"].title, ("stamps",), _time_zones),
    Question("T4", CHECKS["check_mixed_clocks"].title, ("stamps",), _mixed_clocks),
    Question("T5", ANTICIPATED, ("news",), _anticipated),
    Question("T5", CHECKS["check_tradable_instants"].title, ("stamps",), _instants),
    Question("D4", CHECKS["check_undated"].title, ("stamps",), _undated),
    Question("D7", CHECKS["check_levels"].title, ("signal",), _levels),
    Question("S7", CHECKS["check_outcome_words"].title, ("texts",), _outcome_words),
    Question("S7", CHECKS["check_hit_rate"].title, ("score",), _hit_rate),
    Question("D1", CHECKS["check_stated_moves"].title, ("texts",), _stated_moves),
    Question("S9", CHECKS["check_price_echo"].title, ("texts",), _price_echo),
    Question("D1", CHECKS["check_dates_in_texts"].title, ("stamps", "texts"), _dates_in_texts),
    Question("D1", CHECKS["check_concentration"].title, ("score",), _concentration),
    Question("D2", CHECKS["check_backfill"].title, ("seen",), _backfill),
    Question("D5", CHECKS["check_repeated_texts"].title, ("articles", "texts", "score"), _repeated_texts),
    Question("D6", CHECKS["check_universe"].title, (), _universe),
)

# Why no question is asked, where a strategy made elsewhere has another reason than a run.
REASONS = {
    **dict.fromkeys(("D8", "S4", "S8", "T9"), NEEDS["signal"][1]),
    **dict.fromkeys(
        ("S1", "S5", "M9", "M11", "M12"), "needs a run: what a model was taught, and when, was not handed in"
    ),
    **dict.fromkeys(
        ("M2", "M3", "M4", "M5", "M6", "M7", "M8", "M13"),
        "needs the reader of the news: in Python, `embargo.research.run.probing.probe_scorer` asks it of a scorer",
    ),
    "M1": "needs a run: which model read the news, and what it knows, was not handed in",
    "T8": "funding is not charged here unless it is handed to `embargo.backtest`",
    "D9": "nothing is cached here; what was cached elsewhere was not handed in",
    "D10": "a function that asks for the day answers alike within one audit",
    "P1": "no ledger knows attempts made elsewhere; state their number as trials=",
    "P3": "`embargo.judge` allows for serial correlation",
    "P6": "`embargo.run` shuffles its news against the market",
    "R3": "scores were not made here",
}
