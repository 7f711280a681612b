"""Weights without the function that made them, and whether they know the bars in which news is still to come.

A strategy that gives an article to a bar decided before it was known is right about exactly such bars. Its weights are
all that is needed to see it; whether an honest strategy foresees news that well is for a person to say.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.backtest.distributions import average_ranks
from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import Finding, plain, require_columns, utc_array
from embargo.backtest.leakage.timing import CONCENTRATION_GAP, CONCENTRATION_RATIO, MIN_BUCKET, MIN_BUCKET_ROWS
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import as_utc

# Asked once of a strategy, where the study by hours asks of every hour. Of 1,600 honest weights, put where they do not
# belong, none was so far off by chance.
ANTICIPATION_Z = 3.5

_TITLE = CHECKS["check_tradable_instants"].title
_UNIT = "rank correlation with bars that news was still to move, beyond other bars"
_REMEDY = (
    "Hand in the function that makes the weights (signal=), which is then tried under other futures; give each article "
    "to the first row with decided_at >= known_at."
)


def anticipated_news(
    weights: pd.DataFrame, asset_returns: pd.DataFrame, news: pd.DataFrame, decided_at: pd.DatetimeIndex
) -> Finding:
    """Compare how right changes of weights are on bars whose news came after the decision, and on others (T5).

    Cells in which the weight changed are parted by whether an article about the symbol became known between the row's
    decision and the next one. It is suspicious where the rank correlation of change and return in the first exceeds
    that in the others by 0.10 and 1.75 times, as in the study by hours of `check_tradable_instants`, and by 3.5
    standard errors clustered by bar.

    Silent on: strategies whose leak earns little, and fewer than 100 cells or 50 bars of either kind.

    Parameters
    ----------
    weights : DataFrame, shape (bars, symbols)
        Row t is held from its fill.
    asset_returns : DataFrame, shape (bars, symbols)
        Simple return from one fill to the next, as a fraction.
    news : DataFrame
        ``symbol`` and ``known_at`` (UTC), one row per article and symbol.
    decided_at : DatetimeIndex, shape (bars,)
        Instant (UTC) at which each row was decided.

    Returns
    -------
    Finding
        Code ``T5``; ``effect`` is the difference of the two correlations.

    Raises
    ------
    DataError
        If columns are missing or panels differ in rows or symbols.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import anticipated_news
    >>> rng, at = np.random.default_rng(0), pd.date_range("2020-01-01", periods=600, tz="UTC")
    >>> moves = pd.DataFrame(rng.normal(0.0, 0.02, (600, 1)), index=at, columns=["A"])
    >>> told = np.arange(0, 600, 3)
    >>> news = pd.DataFrame({"known_at": at[told] + pd.Timedelta(hours=3), "symbol": "A"})
    >>> luck = pd.DataFrame(rng.choice([-0.5, 0.5], (600, 1)) * rng.uniform(size=(600, 1)), index=at, columns=["A"])
    >>> joined = luck.copy()
    >>> joined.iloc[told] = np.sign(moves.iloc[told])
    >>> [anticipated_news(each, moves, news, at).verdict for each in (luck, joined)]
    ['pass', 'suspicious']
    """
    require_columns(news, ("symbol", "known_at"), where="news")
    if not (weights.index.equals(asset_returns.index) and weights.columns.equals(asset_returns.columns)):
        raise DataError("anticipated news: weights and asset returns have different rows or symbols. Align them first.")
    known = utc_array(as_utc(news["known_at"], what="news, column known_at"))
    row = np.searchsorted(utc_array(decided_at), known, side="left") - 1
    column = weights.columns.get_indexer(pd.Index(news["symbol"]))
    to_come = np.zeros(weights.shape, dtype=bool)
    told = (row >= 0) & (column >= 0)
    to_come[row[told], column[told]] = True
    change = np.diff(np.nan_to_num(weights.to_numpy(dtype=float)), axis=0, prepend=0.0)
    earned = asset_returns.to_numpy(dtype=float)
    used = (change != 0.0) & np.isfinite(earned)
    bar = np.nonzero(used)[0]
    inside, change, earned = to_come[used], average_ranks(change[used]), average_ranks(earned[used])
    parts = {"news to come": inside, "no news to come": ~inside}
    short = [
        name
        for name, part in parts.items()
        if part.sum() < MIN_BUCKET or len(np.unique(bar[part])) < MIN_BUCKET_ROWS or np.ptp(change[part]) == 0
    ]
    if short:
        detail = (
            f"{int(inside.sum()):,} changed weights had news to come before the next decision and "
            f"{int((~inside).sum()):,} had none; {MIN_BUCKET} on {MIN_BUCKET_ROWS} bars of each are needed."
        )
        return Finding("T5", "inconclusive", _TITLE, detail, unit=_UNIT)
    found, pull = [], np.empty(len(bar))
    for part, sign in ((inside, 1.0), (~inside, -1.0)):
        x, y = (values[part] - values[part].mean() for values in (change, earned))
        x, y = x / x.std(), y / y.std()
        correlation = float((x * y).mean())
        pull[part] = sign * (x * y - 0.5 * correlation * (x**2 + y**2)) / len(x)
        found.append(correlation)
    error = float(np.sqrt((np.bincount(bar, weights=pull) ** 2).sum()))
    gap = found[0] - found[1]
    guilty = gap >= CONCENTRATION_GAP and gap >= ANTICIPATION_Z * error
    guilty = guilty and found[0] > CONCENTRATION_RATIO * max(found[1], 0.0)
    detail = (
        f"Changes of weights and the returns that follow correlate by {found[0]:.3f} in {int(inside.sum()):,} cells "
        f"whose news came after the decision, by {found[1]:.3f} in {int((~inside).sum()):,} others "
        f"(z {gap / error:.1f})"
    )
    evidence = [
        {"cells": name, "number": int(part.sum()), "correlation": plain(value)}
        for (name, part), value in zip(parts.items(), found, strict=True)
    ]
    return Finding(
        "T5",
        "suspicious" if guilty else "pass",
        _TITLE,
        f"{detail}: rows seem to know articles that were not known yet." if guilty else f"{detail}.",
        evidence,
        gap,
        _UNIT,
        _REMEDY if guilty else "",
        (gap - 1.96 * error, gap + 1.96 * error),
    )
