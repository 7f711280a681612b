"""Whether the newest bar was over when it was saved: a part of a bar has a part of its volume and of its range."""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import Finding, plain
from embargo.data_loaders.calendars import zone_of
from embargo.data_loaders.schemas import Prices

USUAL_BARS, FEWEST_BARS = 20, 60
# Of the usual volume and the usual range; and in robust standard deviations of bars like it.
SMALL_VOLUME, SMALL_RANGE, FAR, SMALLEST = 0.4, 0.6, 4.0, 0.05
_ALIKE = 0.02
_MAD = 1.4826


def check_last_bar(prices: Prices) -> Finding:
    """Ask whether the newest bar is as large as bars like it (T3).

    Volume and range of every bar are divided by their medians over the 20 bars before, symbol by symbol, and the middle
    of all symbols is taken; bars that open at the same time of day and last as long are alike. The newest is suspicious
    where it is the smallest of them in volume, four robust standard deviations below their middle and below 0.4 of the
    usual, and among the smallest twentieth in range, below 0.6 of the usual; range alone stands for both where no
    volumes are known. If bars are exchangeable, being the smallest comes to one archive in as many as there are bars
    alike; the rest makes it far rarer: of whole days, 1 in 2,000 of nine crypto pairs and at most 1 in 4,000 of US
    stocks.

    Days differ so much that only short parts stand out. Of days of the same crypto pairs that were cut after 2, 4, 6,
    8, 12 and 16 of 24 hours, 83, 61, 43, 25, 5 and 1 % are found; the others pass, so a pass proves little.

    Silent on: most bars of which more than a third was over, revisions (which need a second download), and fewer than
    60 bars alike.

    Parameters
    ----------
    prices : Prices
        Bars as they are read, the newest last.

    Returns
    -------
    Finding
        Code ``T3``; ``effect`` is the share of the usual volume, or of the usual range without volumes.

    Examples
    --------
    >>> import numpy as np
    >>> from dataclasses import replace
    >>> from embargo.backtest.leakage import check_last_bar
    >>> from embargo.data_loaders.simulated import SimulatedMarket, simulate_market
    >>> prices = simulate_market(SimulatedMarket(n_symbols=6, start="2019-01-02", end="2019-06-28")).prices
    >>> check_last_bar(prices).verdict
    'pass'
    >>> part = {name: getattr(prices, name).copy() for name in ("high", "low", "close", "volume")}
    >>> part["volume"].iloc[-1] //= 10
    >>> for name in ("high", "low", "close"):
    ...     part[name].iloc[-1] = prices.open.iloc[-1] * (1.001 if name == "high" else 1.0)
    >>> check_last_bar(replace(prices, **part)).verdict
    'suspicious'
    """
    check = CHECKS["check_last_bar"]
    alike = _alike(prices)
    if len(alike) < FEWEST_BARS:
        detail = f"{len(alike)} bars are like the newest one in time of day and length; {FEWEST_BARS} are needed."
        return Finding("T3", "inconclusive", check.title, detail, remedy="Read more bars before it.")
    with np.errstate(divide="ignore", invalid="ignore"):
        volume = prices.volume.to_numpy(dtype=float)[alike]
        spread = np.log(prices.high.to_numpy(dtype=float)[alike] / prices.low.to_numpy(dtype=float)[alike])
    shares = {"volume": _of_usual(volume), "range": _of_usual(spread)}
    heard = {name: share for name, share in shares.items() if share is not None}
    if not heard:
        detail = "The newest bar has neither volumes nor ranges that bars before it could be held against."
        return Finding("T3", "inconclusive", check.title, detail, remedy="Read prices with volumes.")
    sizes = {name: (float(np.exp(share[-1])), _below(share)) for name, share in heard.items()}
    told = " and ".join(f"{size:.0%} of its usual {name} (z {far:.1f})" for name, (size, far) in sizes.items())
    detail = f"The newest bar, of {prices.open_at[-1]}, has {told}, in the middle of all symbols"
    evidence = [
        {"what": name, "share_of_usual": plain(size), "z": plain(far), "bars_alike": len(heard[name])}
        for name, (size, far) in sizes.items()
    ]
    first = next(iter(sizes))
    small = {"volume": SMALL_VOLUME, "range": SMALL_RANGE}
    guilty = (
        sizes[first][1] <= -FAR
        and heard[first][-1] == heard[first].min()
        and all(size < small[name] for name, (size, _) in sizes.items())
        and all((share <= share[-1]).mean() <= SMALLEST for share in heard.values())
    )
    unit = f"share of the usual {first}"
    if guilty:
        others = len(heard[first]) - 1
        said = f"{detail}: less than in any of {others:,} bars like it. It seems to have been saved before it was over."
        return Finding("T3", "suspicious", check.title, said, evidence, sizes[first][0], unit, check.remedy)
    return Finding("T3", "pass", check.title, f"{detail}, as bars like it have.", evidence, sizes[first][0], unit)


def _alike(prices: Prices) -> np.ndarray:
    """Positions of the bars that open at the local time of the newest one and last as long."""
    local = prices.open_at.tz_convert(zone_of(prices.calendar))
    minute = np.asarray(local.hour * 60 + local.minute)
    length = np.asarray((prices.close_at - prices.open_at) / pd.Timedelta(hours=1))
    return np.flatnonzero((minute == minute[-1]) & (np.abs(length / length[-1] - 1.0) < _ALIKE))


def _of_usual(values: np.ndarray) -> np.ndarray | None:
    """Middle over symbols of the logarithm of each bar's share of the usual; None where the newest has none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = pd.DataFrame(np.where(values > 0.0, np.log(values), np.nan))
    usual = logs.shift(1).rolling(USUAL_BARS, min_periods=USUAL_BARS).median()
    middle = (logs - usual).median(axis=1).to_numpy()
    known = middle[np.isfinite(middle)]
    return known if np.isfinite(middle[-1]) and len(known) >= FEWEST_BARS - USUAL_BARS else None


def _below(shares: np.ndarray) -> float:
    """Robust standard deviations by which the newest lies above the middle of the others."""
    others = shares[:-1]
    middle = float(np.median(others))
    spread = _MAD * float(np.median(np.abs(others - middle)))
    return (float(shares[-1]) - middle) / spread if spread > 0.0 else 0.0
