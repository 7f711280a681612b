"""Execution: a fill follows its decision, a decision follows what it read, and profit outlives one bar of delay.

The order of instants proves a leak; a collapse of the Sharpe ratio after one bar of delay only raises suspicion.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import Finding, evidence_rows, require_columns
from embargo.data_loaders.errors import DataError

SIMULTANEOUS_SHARE = 0.05
# The Sharpe ratio must lie above this share of the implausible one by so many standard errors: 0.3 %, one-sided.
SURELY, SURELY_Z = 5 / 6, 2.75
_ORDER_TITLE = CHECKS["check_fill_order"].title
_DECAY_TITLE = CHECKS["check_lag_decay"].title
_DECAY_REMEDY = "Check that the weights of row t use nothing from bar t itself and that fills come after the decision."


def check_fill_order(fills: pd.DataFrame) -> Finding:
    """Require ``fill_at >= decided_at >= known_at`` of every fill (T1).

    A fill at the very instant at which its own input became known is possible for a single article stamped on the
    dot, but as a habit it is same-bar execution: the close is read and traded at once. It is called a leak from a
    share of 5 % on.

    Parameters
    ----------
    fills : DataFrame
        One row per fill: ``symbol`` and the instants (UTC) ``fill_at``, ``decided_at`` and ``known_at``, the latest
        instant at which an input of the decision became known; NaT where there was none.

    Returns
    -------
    Finding
        Code ``T1``; ``effect`` is the share of fills that break the order.

    Raises
    ------
    DataError
        If columns are missing, instants are naive, or a fill lacks ``fill_at`` or ``decided_at``.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_fill_order
    >>> at = pd.to_datetime(['2024-03-01 14:30'], utc=True)
    >>> minutes = pd.Timedelta(minutes=5)
    >>> fills = pd.DataFrame(
    ...     {'symbol': ['AAPL'], 'known_at': at - 9 * minutes, 'decided_at': at - minutes, 'fill_at': at}
    ... )
    >>> check_fill_order(fills).verdict, check_fill_order(fills.assign(known_at=at)).verdict
    ('pass', 'leak')
    """
    require_columns(fills, ("symbol", "fill_at", "decided_at", "known_at"), where="fills")
    if fills.empty:
        return Finding("T1", "not-applicable", _ORDER_TITLE, "There are no fills.")
    for name in ("fill_at", "decided_at", "known_at"):
        if not isinstance(fills[name].dtype, pd.DatetimeTZDtype):
            raise DataError(f"fills, column {name}: expected timezone-aware instants, found {fills[name].dtype}.")
        if name != "known_at" and fills[name].isna().any():
            raise DataError(
                f"fills, column {name}: {int(fills[name].isna().sum())} fills have no instant. Fill them in."
            )
    backwards = (fills["fill_at"] < fills["decided_at"]) | (fills["decided_at"] < fills["known_at"])
    simultaneous = fills["fill_at"].eq(fills["known_at"]) & ~backwards
    n, n_back, n_same = len(fills), int(backwards.sum()), int(simultaneous.sum())
    unread = int(fills["known_at"].isna().sum())
    share = (n_back + n_same) / n
    columns = ["symbol", "known_at", "decided_at", "fill_at"]
    remedy = "Decide from what was known before, and fill at the next open (or later) after the decision."
    if n_back:
        first = fills.loc[backwards].iloc[0]
        return Finding(
            "T1",
            "leak",
            _ORDER_TITLE,
            f"{n_back} of {n} fills run backwards in time, first {first['symbol']}: known {first['known_at']}, decided "
            f"{first['decided_at']}, filled {first['fill_at']}.",
            evidence_rows(fills.loc[backwards, columns]),
            share,
            "share of fills",
            remedy,
        )
    if n_same:
        habit = n_same / n >= SIMULTANEOUS_SHARE
        return Finding(
            "T1",
            "leak" if habit else "suspicious",
            _ORDER_TITLE,
            f"{n_same} of {n} fills happen at the very instant at which their own input became known"
            + (": the bar that is read is the bar that is traded." if habit else "."),
            evidence_rows(fills.loc[simultaneous, columns]),
            share,
            "share of fills",
            remedy,
        )
    return Finding(
        "T1",
        "pass",
        _ORDER_TITLE,
        f"All {n} fills come at or after their decision, and all decisions at or after what they read ({unread} fills "
        "read no article).",
        effect=0.0,
        unit="share of fills",
    )


def check_lag_decay(
    weights: pd.DataFrame,
    asset_returns: pd.DataFrame,
    *,
    periods_per_year: float,
    implausible_sharpe: float = 6.0,
) -> Finding:
    """Compare the Sharpe ratio at no delay with that at one bar of delay (T1).

    Trading on the bar that was read gives a Sharpe ratio no honest strategy has, and nothing of it is left one bar
    later. Suspicion needs all three: a Sharpe ratio before costs above ``implausible_sharpe`` at no delay, and above
    five sixths of it by 2.75 standard errors (Lo 2002, i.i.d.); less than a quarter of it left one bar later; and a
    difference of the two mean returns of more than 4 standard errors. docs/check_power.md has false alarms and power.

    Silent on: peeks that earn a plausible Sharpe ratio, and honest strategies whose edge is gone in a bar.

    Parameters
    ----------
    weights : DataFrame, shape (bars, symbols)
        Row t is held from open[t]; missing weights count as 0.
    asset_returns : DataFrame, shape (bars, symbols)
        Simple return from open[t] to open[t+1], as a fraction; missing returns count as 0.
    periods_per_year : float
        Bars in a year.
    implausible_sharpe : float
        Annual Sharpe ratio before costs from which a collapse is looked at.

    Returns
    -------
    Finding
        Code ``T1``; ``effect`` is the annual Sharpe ratio lost by one bar of delay.

    Raises
    ------
    DataError
        If the two panels have different rows or symbols.

    References
    ----------
    Lo (2002), "The Statistics of Sharpe Ratios", Financial Analysts Journal 58(4), for the bound.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_lag_decay
    >>> earned = pd.DataFrame(np.random.default_rng(1).normal(0.0, 0.01, (250, 3)))
    >>> peek = np.sign(earned) / 3
    >>> check_lag_decay(peek, earned, periods_per_year=252).verdict
    'suspicious'
    >>> check_lag_decay(peek.shift(1).fillna(0.0), earned, periods_per_year=252).verdict
    'pass'
    """
    if not (weights.index.equals(asset_returns.index) and weights.columns.equals(asset_returns.columns)):
        raise DataError("lag decay: weights and asset returns have different rows or symbols. Align them first.")
    held = np.nan_to_num(weights.to_numpy(dtype=float))
    earned = np.nan_to_num(asset_returns.to_numpy(dtype=float))
    if len(held) < 60:
        return Finding("T1", "inconclusive", _DECAY_TITLE, f"{len(held)} bars are too few to compare; 60 are needed.")
    prompt = (held[1:] * earned[1:]).sum(axis=1)
    late = (held[:-1] * earned[1:]).sum(axis=1)
    if prompt.std() == 0 or late.std() == 0:
        return Finding("T1", "inconclusive", _DECAY_TITLE, "The strategy never traded, so there is no Sharpe ratio.")
    year = float(np.sqrt(periods_per_year))
    sharpe, sharpe_late = (year * float(series.mean() / series.std(ddof=1)) for series in (prompt, late))
    per_bar = sharpe / year
    low = sharpe - SURELY_Z * year * float(np.sqrt((1 + per_bar**2 / 2) / len(prompt)))
    lost = prompt - late
    error = year * float((_pull(prompt) - _pull(late)).std(ddof=1)) / float(np.sqrt(len(lost)))
    z = float(lost.mean() / (lost.std(ddof=1) / np.sqrt(len(lost)))) if lost.std() > 0 else 0.0
    numbers = (
        f"Sharpe ratio before costs {sharpe:.2f} a year (lower bound {low:.2f}), {sharpe_late:.2f} one bar later "
        f"(z {z:.1f})"
    )
    collapse = sharpe > implausible_sharpe and low > SURELY * implausible_sharpe and sharpe_late < sharpe / 4 and z > 4
    return Finding(
        "T1",
        "suspicious" if collapse else "pass",
        _DECAY_TITLE,
        f"{numbers}: hardly any strategy earns this, and it is gone after one bar of delay."
        if collapse
        else f"{numbers}.",
        [{"lag": 0, "sharpe": sharpe}, {"lag": 1, "sharpe": sharpe_late}],
        sharpe - sharpe_late,
        "annual Sharpe ratio lost by one bar of delay",
        _DECAY_REMEDY if collapse else "",
        (sharpe - sharpe_late - 1.96 * error, sharpe - sharpe_late + 1.96 * error),
    )


def _pull(returns: np.ndarray) -> np.ndarray:
    """Influence of each bar on the Sharpe ratio per bar (Lo 2002, the delta method), shape (bars,)."""
    score = (returns - returns.mean()) / returns.std(ddof=1)
    return np.asarray(score - returns.mean() / returns.std(ddof=1) * (score**2 - 1) / 2)
