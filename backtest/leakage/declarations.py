"""What a run states about itself: undated news, latency, costs and the number of trials.

These checks read declared numbers only. They prove no leak except for undated news that was kept; they point at
assumptions under which a backtest is too kind.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from embargo.backtest.leakage.findings import Finding, plain
from embargo.data_loaders.errors import ConfigError

LATENCY_MATTERS_BELOW = pd.Timedelta(hours=1)


def check_undated(n_undated: int, n_total: int, *, kept: bool) -> Finding:
    """Require that articles without a date are set aside and counted (D4).

    Parameters
    ----------
    n_undated, n_total : int
        Articles without a date, and articles in all.
    kept : bool
        Whether the undated ones were used.

    Returns
    -------
    Finding
        Code ``D4``; ``effect`` is the share of undated articles.

    Raises
    ------
    ConfigError
        If the counts contradict each other.

    Examples
    --------
    >>> from embargo.backtest.leakage import check_undated
    >>> check_undated(3, 100, kept=False).detail
    '3 of 100 articles have no date and were set aside.'
    """
    if not 0 <= n_undated <= n_total:
        raise ConfigError(f"undated news: {n_undated} of {n_total} articles cannot be. Count them again.")
    title, unit = "Undated articles are set aside", "share of articles"
    share = n_undated / n_total if n_total else 0.0
    if n_undated and kept:
        detail = (
            f"{n_undated} of {n_total} articles have no date and were used: nobody can say whether they were known."
        )
        return Finding("D4", "leak", title, detail, [], share, unit, "Set undated articles aside.")
    aside = f"{n_undated} of {n_total} articles have no date" + (" and were set aside." if n_undated else ".")
    return Finding("D4", "pass", title, aside, effect=share, unit=unit)


def check_latency(latency: pd.Timedelta, bar: pd.Timedelta) -> Finding:
    """Require time between the last news read and the order (T10).

    Parameters
    ----------
    latency : Timedelta
        Time between the decision instant and the open.
    bar : Timedelta
        Length of a bar.

    Returns
    -------
    Finding
        Code ``T10``; no latency is suspicious, most of all on bars shorter than an hour. ``effect`` is the latency
        in minutes.

    Raises
    ------
    ConfigError
        If the latency is negative.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_latency
    >>> check_latency(pd.Timedelta(0), pd.Timedelta(days=1)).verdict
    'suspicious'
    """
    if latency < pd.Timedelta(0):
        raise ConfigError(f"latency must not be negative, got {latency}.")
    title, minutes = "A model needs time to read", latency / pd.Timedelta(minutes=1)
    if latency == pd.Timedelta(0):
        short = ", which on bars this short is much of the profit" if bar <= LATENCY_MATTERS_BELOW else ""
        detail = f"Orders are placed at the instant news is published{short}. Reading and scoring take time."
        return Finding("T10", "suspicious", title, detail, [], 0.0, "minutes", "Set latency to what scoring takes.")
    return Finding(
        "T10", "pass", title, f"Decisions stand {minutes:g} minutes before the open.", [], minutes, "minutes"
    )


def check_costs(costs: Mapping[str, float]) -> Finding:
    """Require that trading costs something (P7).

    Parameters
    ----------
    costs : mapping of str to float
        Every cost that was charged, by name and in any unit, such as ``{"fee": 0.0005, "slippage": 0.0005}``.

    Returns
    -------
    Finding
        Code ``P7``; all zero, or none named, is suspicious. ``effect`` is the number of costs above zero.

    Raises
    ------
    ConfigError
        If a cost is negative or not a number.

    Examples
    --------
    >>> from embargo.backtest.leakage import check_costs
    >>> check_costs({'fee': 0.0, 'slippage': 0.0}).verdict
    'suspicious'
    """
    for name, value in costs.items():
        if not math.isfinite(value) or value < 0:
            raise ConfigError(f"costs: {name} must be a number of at least 0, got {value}.")
    title, unit = "Trading costs something", "costs above zero"
    charged = {name: value for name, value in costs.items() if value > 0}
    evidence = [{"cost": name, "value": plain(value)} for name, value in costs.items()]
    if not charged:
        detail = "Every cost is zero, so the returns are those of a trader who pays nothing."
        return Finding("P7", "suspicious", title, detail, evidence, 0.0, unit, "Charge fees and slippage.")
    detail = "Charged: " + ", ".join(f"{name} {value:g}" for name, value in charged.items()) + "."
    return Finding("P7", "pass", title, detail, evidence, float(len(charged)), unit)


def check_trials(n_trials: int | None, *, deflated: bool) -> Finding:
    """Require that the number of trials on the test window is stated and paid for (P2).

    Parameters
    ----------
    n_trials : int or None
        Variants tried on this test window, this one included; None where nobody counted.
    deflated : bool
        Whether the Sharpe ratio was deflated for them (Bailey and Lopez de Prado 2014).

    Returns
    -------
    Finding
        Code ``P2``; ``effect`` is the number of trials.

    Raises
    ------
    ConfigError
        If the number is below 1.

    References
    ----------
    Bailey and López de Prado (2014), "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5).

    Examples
    --------
    >>> from embargo.backtest.leakage import check_trials
    >>> check_trials(40, deflated=False).detail
    '40 variants were tried on this test window and the Sharpe ratio is not deflated for them.'
    """
    title, unit = "Trials on the test window are counted", "trials"
    remedy = "Keep a ledger of trials and report the deflated Sharpe ratio."
    if n_trials is None:
        detail = "Nobody counted how many variants were tried on this test window."
        return Finding("P2", "suspicious", title, detail, unit=unit, remedy=remedy)
    if n_trials < 1:
        raise ConfigError(f"trials: this run is one itself, so n_trials must be at least 1, got {n_trials}.")
    if n_trials > 1 and not deflated:
        detail = f"{n_trials} variants were tried on this test window and the Sharpe ratio is not deflated for them."
        return Finding("P2", "suspicious", title, detail, [], float(n_trials), unit, remedy)
    detail = f"{n_trials} variant(s) tried on this test window" + (", Sharpe ratio deflated." if deflated else ".")
    return Finding("P2", "pass", title, detail, [], float(n_trials), unit)
