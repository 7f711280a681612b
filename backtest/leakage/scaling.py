"""A function that makes weights, held to levels that a later split would rewrite: the form of D7 for strategies.

Every symbol's history is scaled by a factor of its own, and weights must stay as they were. `check_levels` asks the
same of a run.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.causality import Decide
from embargo.backtest.leakage.findings import Finding, plain
from embargo.backtest.leakage.futures import attempt, changes_of
from embargo.data_loaders.fields import PRICE_FIELDS
from embargo.data_loaders.schemas import Prices

TITLE = CHECKS["check_levels"].title


def perturb_levels(decide: Decide, news: pd.DataFrame, prices: Prices, *, adjusted: bool | None = None) -> Finding:
    """Multiply the whole history of each symbol by a power of two, and ask whether decisions move (D7).

    Adjusters do so to all earlier levels when a symbol splits or pays: a decision that hangs on levels then hangs on
    what was not known. In prices that are adjusted this is suspicious; in raw ones levels were there to be seen.
    Decisions that are all zero prove nothing.

    Silent on: levels that differ between vendors, adjustments that were rounded.

    Parameters
    ----------
    decide : callable
        ``decide(news, prices) -> weights``.
    news : DataFrame
    prices : Prices
    adjusted : bool, optional
        Whether levels were adjusted later. None takes it from ``prices.adjustment``, where ``"none"``, which is also
        what holds unless somebody says otherwise, is not known.

    Returns
    -------
    Finding
        Code ``D7``; ``effect`` is the largest change of a weight.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import perturb_levels
    >>> from embargo.data_loaders.schemas import Prices
    >>> at = pd.date_range("2024-01-01", periods=30, freq="D", tz="UTC")
    >>> close = pd.DataFrame({"A": [10.0 + day % 7 for day in range(30)]}, index=at)
    >>> prices = Prices(close, close, close, close, close, at, at + pd.Timedelta(days=1), "24/7", "splits")
    >>> def cheap(news, prices):
    ...     return (prices.close < 13.0).shift(2, fill_value=False) / 2
    >>> finding = perturb_levels(cheap, pd.DataFrame(), prices)
    >>> finding.code, finding.verdict
    ('D7', 'suspicious')
    """
    factors = 2.0 ** (1 + np.arange(prices.open.shape[1]) % 3)
    levels = {name: getattr(prices, name) * factors for name in PRICE_FIELDS if name != "volume"}
    scaled = replace(prices, volume=prices.volume.div(factors, axis=1), **levels)
    base = decide(news.copy(), prices)
    if not np.nan_to_num(base.to_numpy(dtype=float)).any():
        return Finding("D7", "inconclusive", TITLE, "All weights are zero, so none could move with the levels.")
    moved = attempt(decide, news, scaled)
    if isinstance(moved, Exception):
        detail = f"It failed when levels were scaled: {type(moved).__name__}: {moved}."
        return Finding("D7", "inconclusive", TITLE, detail)
    gap = changes_of(base, moved, len(base))
    size = float(gap.max(initial=0.0))
    effect = plain(size)
    if size <= 1e-9:
        detail = "Scaling each symbol's history by a factor of its own left every weight as it was."
        return Finding("D7", "pass", TITLE, detail, effect=0.0, unit="largest change of a weight")
    bar, column = np.argwhere(gap > 1e-9)[0]
    shown = {
        "symbol": str(base.columns[column]),
        "row": int(bar),
        "open_at": plain(prices.open_at[bar]),
        "value": plain(base.iloc[bar, column]),
    }
    where = f"first {shown['symbol']} at row {bar}"
    if adjusted is None and prices.adjustment == "none":
        detail = (
            f"Weights hang on levels ({where}), by up to {size:.4g}, and nobody stated whether these prices were "
            "adjusted later. As traded, levels could be seen; adjusted ones know of later splits and dividends."
        )
        remedy = "Decide by returns or ratios; or, if these prices are as traded, ask `perturb_levels(adjusted=False)`."
        return Finding("D7", "inconclusive", TITLE, detail, [shown], effect, "largest change of a weight", remedy)
    if adjusted is False:
        detail = (
            f"Weights hang on levels ({where}). In prices as traded these could be seen; the same function on levels "
            "that were adjusted later would know of later splits and dividends."
        )
        return Finding("D7", "pass", TITLE, detail, [shown], effect, "largest change of a weight")
    return Finding(
        "D7",
        "suspicious",
        TITLE,
        f"Scaling each symbol's history by a factor of its own, as a later split does, moved weights by up to "
        f"{size:.4g}, {where}, and these prices are adjusted"
        f"{'' if prices.adjustment == 'none' else f' ({prices.adjustment})'}.",
        [shown],
        effect,
        "largest change of a weight",
        "Decide by returns or ratios, or by prices as traded.",
    )
