"""A function that makes weights, held to the past: other futures, ends of the data, and what exactly reached back.

Worlds agree on all that was known at a decision and differ after it, one input at a time. A row that moves although it
was decided is a leak; which input and column moved it, and how far back it reached, tell what kind. `assert_causal` is
the form for tests of one's own function.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.arguments import check_at_least, check_seed, check_type
from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.causality import LATENCY, ROUNDING, Decide, rescaled_prices
from embargo.backtest.leakage.findings import EVIDENCE_ROWS, Finding, plain, require_columns
from embargo.backtest.leakage.futures import (
    FAR_OFF,
    KEYS,
    FutureWorld,
    attempt,
    changes_of,
    drawn_rows,
    lifted,
    on_columns,
    poisoned,
    rows_in_gaps,
    worlds_after,
)
from embargo.data_loaders.calendars import decision_times
from embargo.data_loaders.errors import DataError, LeakError
from embargo.data_loaders.fields import PRICE_FIELDS
from embargo.data_loaders.schemas import Prices, as_utc, validate_prices

TITLE = CHECKS["check_decisions_are_causal"].title
UNIT = "largest change of a weight already decided"
# A row this far into the bars from which a leak reaches back to the first rows has read all dates.
_EARLY, _DEEP = 0.2, 20

# What to look for, by code.
_REMEDIES = {
    "T1": "Row t may read bars that closed by decided_at[t] and no later ones: look for a missing shift(1) (shift(2) "
    "round the clock), shift(-k), or a window that is centred.",
    "T5": "Give each article to the first row with decided_at >= known_at; never join by calendar date, and never to "
    "the nearest or next bar.",
    "D8": "Look for bfill, interpolation, or a join with direction='backward' of bars to later articles: carry the "
    "last known value forward instead.",
    "S4": "Look for a mean, rank, scale, threshold, vocabulary or regime over all dates: use expanding() or rolling() "
    "values, shifted.",
    "T9": "Do nothing that depends on where the data end, such as closing positions before the last row or dividing "
    "by the number of bars.",
}
_ROUNDING_REMEDY = (
    "Sum and smooth over trailing windows of a fixed length, or row by row in order of time, so that later rows cannot "
    "change how earlier ones are rounded; then repeat."
)
_KINDS = {
    "T1": "it reads bars up to {bars} after those that had closed",
    "T5": "rows read articles that became known after they were decided",
    "D8": "gaps are filled from what came later",
    "S4": "something is computed over all dates",
    "T9": "something depends on where the data end",
}


# What a world changes, in few words; and by what code it is named that no world of a kind could be carried through.
_SHORT = {
    "later news was removed": "news removed",
    "later news was poisoned": "news poisoned",
    "bars not yet closed were rescaled": "bars rescaled",
    "the data ended": "data ended",
}
_UNTRIED = {
    "prices": ("T1", "bars that had not closed were rescaled"),
    "news": ("T5", "later news was removed or poisoned"),
    "end": ("T9", "the data ended earlier"),
}


@dataclass(frozen=True)
class _Fault:
    """One world in which a row moved that had been decided."""

    source: str
    changed: str
    row: int
    evidence: dict[str, Any]
    first: int
    size: float


def assert_causal(
    fn: Callable[..., pd.DataFrame],
    *,
    prices: Prices,
    news: pd.DataFrame | None = None,
    latency: pd.Timedelta = LATENCY,
    n_rows: int = 12,
    seed: int = 0,
    boundaries: Sequence[pd.Timestamp] = (),
) -> Finding:
    """Raise unless a function decides every row of its weights without the future; made for pytest.

    Row t is decided ``latency`` before bar t opens. The function is called again in worlds that differ only in what was
    not yet known then, and whatever it had decided must stay as it was, bit for bit (`perturb_function`). So the close
    of bar t, its volume or a mean over all bars must not move row t; the close of bar t - 1 may, if that bar had
    closed. Round-the-clock bars close when the next one opens: there the newest bar to read is t - 2.

    Parameters
    ----------
    fn : callable
        ``fn(prices)``, or ``fn(news, prices)`` where news is given; returns weights or a signal, DataFrame of shape
        (bars, symbols), one row for every bar of the ``prices`` it is given, indexed by its ``open_at``. Called about
        ``3 + 4 * n_rows`` times, and once for each column where something moved.
    prices : Prices
        Bars to try it on, shape (bars, symbols).
    news : DataFrame, optional
        One row per article and symbol with ``known_at`` (UTC), ``symbol`` and whatever ``fn`` reads.
    latency : Timedelta
        Between the decision and the open; five minutes, as in a run, by default.
    n_rows : int
        Rows after which the future is changed, at least 1; more find rarer leaks.
    seed : int
        Of the rows and of the changes.
    boundaries : sequence of Timestamp
        Instants (UTC) around which to look, such as dates of refitting.

    Returns
    -------
    Finding
        Code ``T1``, verdict ``"pass"``; ``"suspicious"`` where decided rows moved by rounding alone (at most 1e-12).

    Raises
    ------
    LeakError
        If a row that was decided moved; names the first one, both values, the input and column that moved it, and what
        to do.
    DataError
        If nothing could be proven, of any kind of world: ``fn`` fails in all of a kind, does not return one row per
        bar, indexed by ``prices.open_at``, is not deterministic, or ignores its arguments; or if prices or news are
        unsound.
    ConfigError
        If ``n_rows`` is below 1, or the latency or the seed negative.
    TypeError
        If an argument is something else altogether.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import assert_causal
    >>> from embargo.data_loaders.schemas import Prices
    >>> at = pd.date_range("2024-01-01", periods=60, freq="D", tz="UTC")
    >>> steps = np.random.default_rng(1).normal(0.0, 0.02, (60, 2))
    >>> close = pd.DataFrame(100.0 * np.exp(steps.cumsum(axis=0)), index=at, columns=["BTC", "ETH"])
    >>> prices = Prices(close, close, close, close, close, at, at + pd.Timedelta(days=1), calendar="24/7")
    >>> def follows(prices):
    ...     return np.sign(prices.close.pct_change()).shift(2).fillna(0.0) / 2
    >>> assert_causal(follows, prices=prices).verdict
    'pass'
    >>> def peeks(prices):
    ...     return np.sign(prices.close.pct_change()).fillna(0.0) / 2
    >>> assert_causal(peeks, prices=prices)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    embargo.data_loaders.errors.LeakError: assert_causal: peeks knows the future (T1). ...
    """
    __tracebackhide__ = True  # pytest then shows the line of the test and what was found, not this function
    prices = validate_prices(prices)
    if not callable(fn):
        raise TypeError(f"fn: expected a function of prices that returns weights, got {type(fn).__name__}.")
    if news is not None:
        check_type("news", news, pd.DataFrame, "Give one row per article and symbol, with known_at and symbol.")
    check_type("latency", latency, timedelta, "Write pd.Timedelta(minutes=5) or the like.")
    check_at_least("n_rows", n_rows, 1)
    check_seed(seed)
    if any(pd.Timestamp(instant).tz is None for instant in boundaries):
        raise DataError("boundaries: an instant has no time zone. Give all of them one, such as UTC.")
    name = name_of(fn)
    found = perturb_function(
        as_decide(fn, with_news=news is not None, where="assert_causal"),
        no_news() if news is None else news,
        prices,
        decision_times(prices.open_at, latency),
        n_rows=n_rows,
        seed=seed,
        boundaries=boundaries,
    )
    worst, *others = found
    if worst.verdict == "leak":
        also = "".join(f"\nAnd ({each.code}): {each.detail} {each.remedy}" for each in others)
        raise LeakError(f"assert_causal: {name} knows the future ({worst.code}). {worst.detail} {worst.remedy}{also}")
    untold = [each for each in found if each.verdict == "inconclusive"]
    if untold:
        said = "\nAnd ".join(f"({each.code}): {each.detail} {each.remedy}" for each in untold)
        whole = "nothing is proven" if len(untold) == len(found) else "not all is proven"
        raise DataError(f"assert_causal: {whole} about {name} {said}")
    return worst


def name_of(fn: Callable[..., Any]) -> str:
    """Return what a function is called."""
    return str(getattr(fn, "__name__", type(fn).__name__))


def no_news() -> pd.DataFrame:
    """Return news without a single article."""
    return pd.DataFrame({"known_at": pd.DatetimeIndex([], tz="UTC"), "symbol": pd.Series([], dtype="str")})


def as_decide(fn: Callable[..., pd.DataFrame], *, with_news: bool, where: str) -> Decide:
    """Wrap a user's function: it gets frames of its own, and what it returns is checked.

    Raises
    ------
    DataError
        When called, if the function returns no DataFrame of one row per bar, indexed by ``open_at``.
    """
    name = name_of(fn)

    def decide(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
        # A function that writes into its arguments must reach neither the caller's frames nor the next world.
        given = replace(prices, **{field: getattr(prices, field).copy() for field in PRICE_FIELDS})
        weights = fn(news.copy(), given) if with_news else fn(given)
        if not isinstance(weights, pd.DataFrame):
            raise DataError(
                f"{where}: {name} returned {type(weights).__name__}. Return a DataFrame of weights, one row for every "
                "bar."
            )
        if not weights.index.equals(prices.open_at):
            newest = len(weights) == 1 and len(prices.open_at) > 1
            alone = (
                "; one that decides the newest bar alone can be called for every bar, with prices.select(bars=...) up "
                "to it" * newest
            )
            raise DataError(
                f"{where}: the rows that {name} returned are not dated by prices.open_at, so nobody can tell which bar "
                f"each is held from. Return a row for every bar, in the order and on the index of the prices{alone}."
            )
        return weights

    return decide


def perturb_function(
    decide: Decide,
    news: pd.DataFrame,
    prices: Prices,
    decided_at: pd.DatetimeIndex,
    *,
    n_rows: int = 12,
    seed: int = 0,
    boundaries: Sequence[pd.Timestamp] = (),
    progress: Callable[[int, int], None] | None = None,
) -> list[Finding]:
    """Change one input's future at a time, and require every row decided before to stay bit-identical.

    After each of ``n_rows`` decisions there are four worlds: later news removed; later news poisoned (numbers turned
    round, other columns mixed, another text); bars that had not closed rescaled with noise; all data ended with the bar
    that is decided. A row that moves is traced to the column that moved it. How far back it reaches tells the kind:
    only its own bars (T1), only later articles (T5), a gap (D8), all dates (S4), or only the end of the data (T9).

    Symbols that are missing from the answer in a world count as not held: a universe that shrinks with its data is no
    leak. The same world is run twice first, and once with everything changed, since a function that ignores what it is
    given proves nothing.

    Silent on: what the inputs know themselves (scores, texts, adjusted levels), and rows that were not drawn.

    Parameters
    ----------
    decide : callable
        ``decide(news, prices) -> weights``, DataFrame of shape (bars, symbols), indexed by ``prices.open_at``.
    news : DataFrame
        One row per article and symbol with ``known_at`` (UTC) and ``symbol``; may be empty.
    prices : Prices
        Shape (bars, symbols).
    decided_at : DatetimeIndex, shape (bars,)
        Instant (UTC) at which each row is decided.
    n_rows : int
        Rows after which the future is changed, drawn as in `check_decisions_are_causal`.
    seed : int
    boundaries : sequence of Timestamp
        Instants (UTC) around which to look.
    progress : callable, optional
        Called with (rows done, rows in all).

    Returns
    -------
    list of Finding
        Never empty, the gravest first. One leak for each kind that was found; or one ``pass``, ``suspicious`` (rounding
        alone) or ``inconclusive`` of code T1. Beside it one ``inconclusive`` for each kind of world of which none could
        be carried through: T1 for bars, T5 for news, T9 for the end of the data.

    Raises
    ------
    DataError
        If columns are missing or lengths differ.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import perturb_function
    >>> from embargo.data_loaders.schemas import Prices
    >>> at = pd.date_range("2024-01-01", periods=60, freq="D", tz="UTC")
    >>> steps = np.random.default_rng(1).normal(0.0, 0.02, (60, 1))
    >>> close = pd.DataFrame(100.0 * np.exp(steps.cumsum(axis=0)), index=at, columns=["BTC"])
    >>> prices = Prices(close, close, close, close, close, at, at + pd.Timedelta(days=1), calendar="24/7")
    >>> news = pd.DataFrame({"known_at": at[:0], "symbol": pd.Series([], dtype="str")})
    >>> def scaled(news, prices):
    ...     gains = prices.close.pct_change().shift(2).fillna(0.0)
    ...     return gains / gains.std()
    >>> found = perturb_function(scaled, news, prices, at - pd.Timedelta(minutes=5))
    >>> [(each.code, each.verdict) for each in found]
    [('S4', 'leak')]
    """
    require_columns(news, ("known_at", "symbol"), where="news")
    if len(decided_at) != len(prices.open_at):
        raise DataError(
            f"decided_at has {len(decided_at)} rows, prices have {len(prices.open_at)} bars. Give one instant per bar."
        )
    known_at = as_utc(news["known_at"], what="news, column known_at")
    rng = np.random.default_rng(seed)
    rows = drawn_rows(known_at, prices, decided_at, n_rows=n_rows, boundaries=boundaries, rng=rng)
    report = progress or (lambda _done, _total: None)
    base = decide(news.copy(), prices)
    refusal = _nothing_to_prove(decide, news, prices, base, rng, [row for row in rows if row + 1 < len(decided_at)])
    if refusal is not None:
        return [refusal]
    faults: list[_Fault] = []
    tried: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    changed: dict[str, None] = {}
    said: dict[str, str] = {}
    gaps = rows_in_gaps(prices, decided_at)
    for number, row in enumerate(rows):
        moved = False
        for world in worlds_after(news, known_at, prices, decided_at, row, rng, in_gap=bool(gaps[row])):
            weights = attempt(decide, world.news, world.prices)
            if isinstance(weights, Exception):
                failed[world.source] += 1
                said.setdefault(world.source, f"{type(weights).__name__}: {weights} (when {world.changed})")
                continue
            tried[world.source] += 1
            changed.setdefault(_SHORT[world.changed])
            fault = _fault(base, weights, row, decided_at, world)
            # The end of the data is at fault only where nothing else of the future is.
            if fault is not None and not (world.source == "end" and moved):
                faults.append(fault)
                moved = moved or world.source != "end"
        report(number + 1, len(rows))
    if any(fault.source != "end" for fault in faults):
        faults = [fault for fault in faults if fault.source != "end"]
    untried = [
        Finding(
            code,
            "inconclusive",
            TITLE,
            f"It failed in all {failed[source]} worlds in which {what}, first with {said[source]}.",
            remedy="Let it run on other, and on shorter, news and prices; then repeat.",
        )
        for source, (code, what) in _UNTRIED.items()
        if failed[source] and not tried[source]
    ]
    if faults:
        return [*_leaks(faults, decide, news, known_at, prices, decided_at, base, tried.total(), seed), *untried]
    if (failed and not tried) or any(finding.code == "T1" for finding in untried):
        return untried
    left = f" In {failed.total()} more it failed, first with {next(iter(said.values()))}." if failed else ""
    detail = (
        f"{tried.total()} worlds that differ only after the decision, at {len(rows)} of {len(base)} rows "
        f"({', '.join(changed)}), left every earlier weight bit-identical.{left}"
    )
    return [*untried, Finding("T1", "pass", TITLE, detail, effect=0.0, unit=UNIT)]


def _nothing_to_prove(
    decide: Decide,
    news: pd.DataFrame,
    prices: Prices,
    base: pd.DataFrame,
    rng: np.random.Generator,
    rows: Sequence[int],
) -> Finding | None:
    if len(base) != len(prices.open_at) or base.empty:
        detail = f"The decisions have {len(base)} rows for {len(prices.open_at)} bars, so rows cannot be compared."
        return Finding("T1", "inconclusive", TITLE, detail, remedy="Return one row of weights per bar.")
    again = decide(news.copy(), prices)
    if not base.equals(again):
        gap = float(changes_of(base, again, len(base)).max(initial=0.0))
        detail = (
            f"inconclusive: non-deterministic. The same news and prices gave different weights in two calls (largest "
            f"difference {gap:.3g}), so nothing can be said about the future."
        )
        remedy = "Seed every random step, fix the order of ties, and keep nothing between calls; then repeat."
        return Finding("T1", "inconclusive", TITLE, detail, [], plain(gap), "largest change of a weight", remedy)
    always = pd.Series(True, index=news.index)
    start = pd.Timestamp("1700-01-01", tz="UTC")
    other = rescaled_prices(prices, start, rng)
    # Who reads only when there was news, and not what it said, hears of none.
    worlds = [FutureWorld("", "", poisoned(news, always, rng), other), FutureWorld("", "", news.iloc[:0].copy(), other)]
    moved = [attempt(decide, world.news, world.prices) for world in worlds]
    unmoved = all(isinstance(answer, pd.DataFrame) and base.equals(answer) for answer in moved)
    # Who decides the newest row alone may hold nothing there, and yet read what it is given where data end sooner.
    if unmoved and not _ends_tell(decide, news, prices, base, rows):
        detail = (
            "Decisions stayed the same even when all news was poisoned and all prices rescaled, so the check has no "
            "power here: the function reads neither, or keeps an answer from an earlier call."
        )
        remedy = "Make sure that the weights are computed from the frames that are handed in."
        return Finding("T1", "inconclusive", TITLE, detail, remedy=remedy)
    return None


def _ends_tell(decide: Decide, news: pd.DataFrame, prices: Prices, base: pd.DataFrame, rows: Sequence[int]) -> bool:
    """Tell whether a row is decided otherwise where bars end with it."""
    for row in rows:
        answer = attempt(decide, news.copy(), prices.select(bars=np.arange(row + 1)))
        if isinstance(answer, pd.DataFrame) and len(answer) == row + 1 and changes_of(base, answer, row + 1).any():
            return True
    return False


def _fault(
    base: pd.DataFrame, weights: pd.DataFrame, row: int, decided_at: pd.DatetimeIndex, world: FutureWorld
) -> _Fault | None:
    gap = changes_of(base, weights, row + 1)
    if not gap.any():
        return None
    union = base.columns.union(weights.columns, sort=False)
    one, two = on_columns(base, union), on_columns(weights, union)
    bar, column = (int(place) for place in np.argwhere(gap > 0)[0])
    size = float(gap.max())
    evidence = {
        "symbol": str(union[column]),
        "row": bar,
        "decided_at": plain(decided_at[bar]),
        "value": plain(one[bar, column]),
        "value_perturbed": plain(two[bar, column]),
        "changed": world.changed,
        "column": "",
        "perturbed_after_row": int(row),
        "perturbed_after": plain(decided_at[row]),
        "largest_change": plain(size),
    }
    return _Fault(world.source, world.changed, row, evidence, bar, size)


def _leaks(
    faults: Sequence[_Fault],
    decide: Decide,
    news: pd.DataFrame,
    known_at: pd.Series,
    prices: Prices,
    decided_at: pd.DatetimeIndex,
    base: pd.DataFrame,
    tried: int,
    seed: int,
) -> list[Finding]:
    found = []
    for source in ("prices", "news", "end"):
        own = [fault for fault in faults if fault.source == source]
        if not own:
            continue
        size = max(fault.size for fault in own)
        first = min(own, key=lambda fault: (fault.first, fault.row))
        columns = (
            [] if source == "end" else _columns(source, first, decide, news, known_at, prices, decided_at, base, seed)
        )
        shown = [
            {**fault.evidence, "column": ", ".join(columns)} for fault in (first, *(f for f in own if f is not first))
        ]
        told = shown[0]
        named = {"news": "news", "prices": "prices", "end": "the end of the data"}[source]
        through = f" ({named}: {', '.join(columns)})" if columns else ""
        where = (
            f"first {told['symbol']} at row {told['row']} (decided {told['decided_at']}): {told['value']} became "
            f"{told['value_perturbed']} when {told['changed']}{through}, after {told['perturbed_after']}"
        )
        effect = size if np.isfinite(size) else None
        if size <= ROUNDING:
            detail = (
                f"{len(own)} of {tried} worlds moved past weights, but by rounding alone (at most {size:.1e}); "
                f"{where}. The arithmetic of the past depends on how much future there is."
            )
            found.append(
                Finding("T1", "suspicious", TITLE, detail, shown[:EVIDENCE_ROWS], effect, UNIT, _ROUNDING_REMEDY)
            )
            continue
        code = _kind(source, own, base, rows_in_gaps(prices, decided_at))
        ahead = max(fault.row - fault.first for fault in own)
        kind = _KINDS[code].format(bars="1 bar" if ahead == 0 else f"{ahead + 1} bars")
        detail = (
            f"Weights already decided moved in {len(own)} of {tried} worlds that differ only in the future, by up to "
            f"{size:.4g}; {where}. By how far it reaches back, {kind}."
        )
        found.append(Finding(code, "leak", TITLE, detail, shown[:EVIDENCE_ROWS], effect, UNIT, _remedy(code)))
    return sorted(found, key=lambda finding: finding.verdict != "leak")


def _remedy(code: str) -> str:
    return f"{_REMEDIES[code]} Read nothing with known_at or close_at after decided_at."


def _kind(source: str, faults: Sequence[_Fault], base: pd.DataFrame, in_gaps: np.ndarray) -> str:
    """Tell by how far back it reaches, and where, what kind of leak it is."""
    # Where gaps are everywhere, that a row lies in one tells nothing.
    if source != "news" and in_gaps.mean() <= 0.5 and all(in_gaps[fault.first] for fault in faults):
        return "D8"
    if source == "end":
        return "T9"
    held = np.flatnonzero((np.nan_to_num(base.to_numpy(dtype=float)) != 0.0).any(axis=1))
    begins = int(held[0]) if len(held) else 0
    deep = [fault for fault in faults if fault.row - begins >= _DEEP]
    if deep and np.median([(fault.first - begins) / (fault.row - begins) for fault in deep]) <= _EARLY:
        return "S4"
    if source == "prices":
        return "T1"
    return "T5" if max(fault.row - fault.first for fault in faults) == 0 else "D8"


def _columns(
    source: str,
    fault: _Fault,
    decide: Decide,
    news: pd.DataFrame,
    known_at: pd.Series,
    prices: Prices,
    decided_at: pd.DatetimeIndex,
    base: pd.DataFrame,
    seed: int,
) -> list[str]:
    """Name the columns whose future alone moves what was decided; none where only all together do."""
    rng, decided = np.random.default_rng(seed), decided_at[fault.row]
    if source == "prices":
        sides = [rescaled_prices(prices, decided, rng), *(lifted(prices, decided, factor) for factor in FAR_OFF)]
        worlds = [
            {
                name: FutureWorld("", source, news, replace(prices, **{name: getattr(side, name)}))
                for name in PRICE_FIELDS
            }
            for side in sides
        ]
    else:
        later = known_at > decided
        names = [str(name) for name in news.columns if name not in KEYS]
        worlds = [{name: FutureWorld("", source, poisoned(news, later, rng, only=name), prices) for name in names}]
    for each in worlds:
        answers = {name: attempt(decide, world.news, world.prices) for name, world in each.items()}
        found = [
            name
            for name, weights in answers.items()
            if isinstance(weights, pd.DataFrame) and changes_of(base, weights, fault.row + 1).any()
        ]
        if found:
            return found
    return []
