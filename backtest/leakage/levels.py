"""Whether decisions hang on the level of prices, which later splits and dividends rewrite in adjusted history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import EVIDENCE_ROWS, AuditVerdict, Finding, plain
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import Prices

# Powers of two leave ratios of prices as they are, bit by bit, and logarithms all but so.
FACTORS = (0.125, 0.25, 4.0, 8.0)
ROUNDING = 1e-9


def check_levels(
    decide: Callable[[pd.DataFrame, Prices], pd.DataFrame],
    scored: pd.DataFrame,
    prices: Prices,
    *,
    adjusted: bool | None,
    seed: int = 0,
) -> Finding:
    """Multiply each symbol's whole history by a constant of its own: decisions must stay what they were (D7).

    Volumes are divided by the same constant, as a split does. What a later split or dividend multiplies an adjusted
    history by is such a constant, so that a rule whose decisions move with it has used what had not happened yet: a
    leak where the prices are adjusted, suspicious where nobody says whether they are. Prices as they were traded were
    known at their level, and a rule may use it.

    Silent on: levels in texts and scores, minimum prices and lots of the books (which belong to prices as traded),
    rounding of at most 1e-9.

    Parameters
    ----------
    decide : callable
        (scored news, prices) to weights of all bars, shape (bars, symbols).
    scored : DataFrame
        As ``decide`` takes it.
    prices : Prices
    adjusted : bool or None
        Whether later splits or dividends were worked into earlier prices; None where nobody says.
    seed : int
        Of the constants.

    Returns
    -------
    Finding
        Code ``D7``; ``effect`` is the share of decisions (bar and symbol) that moved. Inconclusive where ``decide``
        does not repeat itself.

    Raises
    ------
    DataError
        If there are no bars.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_levels
    >>> from embargo.data_loaders.schemas import Prices
    >>> at = pd.date_range('2024-01-01', periods=60, freq='D', tz='UTC')
    >>> steps = np.random.default_rng(1).normal(0.0, 0.02, (60, 2))
    >>> close = pd.DataFrame(100.0 * np.exp(steps.cumsum(axis=0)), index=at, columns=['BTC', 'ETH'])
    >>> prices = Prices(close, close, close, close, close, at, at + pd.Timedelta(days=1), calendar='24/7')
    >>> def rising(scored, prices):
    ...     return np.sign(prices.close.pct_change()).shift(2).fillna(0.0) / 2
    >>> def cheapest(scored, prices):
    ...     return (prices.close.rank(axis=1) == 1).shift(2, fill_value=False) / 2
    >>> [check_levels(rule, pd.DataFrame(), prices, adjusted=True).verdict for rule in (rising, cheapest)]
    ['pass', 'leak']
    """
    check, unit = CHECKS["check_levels"], "share of decisions"
    if not len(prices.open_at):
        raise DataError("levels: there are no bars. Give those that decisions are made on.")
    factors = np.random.default_rng(seed).permutation(np.resize(FACTORS, len(prices.symbols)))
    before = decide(scored, prices)
    moved = _moved(before, decide(scored, _rescaled(prices, factors)))
    said = f"each of {len(factors):,} symbols' prices was multiplied by a constant"
    if not moved.any():
        detail = f"Decisions stay what they were when {said}: they hang on no level."
        return Finding("D7", "pass", check.title, detail, effect=0.0, unit=unit)
    if _moved(before, decide(scored, prices)).any():
        detail = "The rule decides otherwise on the same prices, so nothing is proven."
        remedy = "Take the randomness out of it, or give it a seed."
        return Finding("D7", "inconclusive", check.title, detail, unit=unit, remedy=remedy)
    share, first = float(moved.mean()), np.argwhere(moved)[:EVIDENCE_ROWS]
    after = decide(scored, _rescaled(prices, factors)).to_numpy(dtype=float)
    evidence = [
        {
            "bar": plain(prices.open_at[row]),
            "symbol": prices.symbols[column],
            "factor": float(factors[column]),
            "decided": float(before.iloc[row, column]),
            "decided_rescaled": float(after[row, column]),
        }
        for row, column in first
    ]
    detail = f"{share:.1%} of decisions moved when {said}, first on {prices.open_at[first[0][0]]:%Y-%m-%d}."
    if adjusted is False:
        detail += " The prices are as they were traded, so their levels were known."
        return Finding("D7", "pass", check.title, detail, evidence, share, unit)
    verdict: AuditVerdict = "leak" if adjusted else "suspicious"
    detail += (
        " They are adjusted, and what adjusts them happened later."
        if adjusted
        else " If they were adjusted for what happened later, decisions knew it."
    )
    return Finding("D7", verdict, check.title, detail, evidence, share, unit, check.remedy)


def _rescaled(prices: Prices, factors: np.ndarray) -> Prices:
    panels = {name: getattr(prices, name) * factors for name in ("open", "high", "low", "close")}
    volume: pd.DataFrame = prices.volume * (1.0 / factors)
    return replace(prices, **panels, volume=volume)


def _moved(one: pd.DataFrame, other: pd.DataFrame) -> np.ndarray:
    apart: np.ndarray = np.abs(one.to_numpy(dtype=float) - other.to_numpy(dtype=float)) > ROUNDING
    return apart
