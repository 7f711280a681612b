"""The audit of a strategy that was made elsewhere: a function, or weights alone, with the prices and news it read.

Every check that can be asked of what was handed in is asked, as in a run; every other leak of the catalogue is listed
with what the answer would need.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from embargo.backtest import Costs, Execution, backtest, leakage
from embargo.backtest.leakage import GRAVITY, LEAKS, Finding
from embargo.backtest.leakage.causality import LATENCY, Decide
from embargo.backtest.leakage.protocol import as_decide, name_of, no_news
from embargo.data_loaders.calendars import decision_times
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.schemas import Prices, validate_prices
from embargo.research.config.settings import parse_instant
from embargo.research.studies.strategy.handed_in import (
    news_of,
    orders_of,
    read_weights,
    returns_of,
    without_settings,
)
from embargo.research.studies.strategy.questions import ALSO_BY_PERTURBING, NEEDS, QUESTIONS, REASONS, Material
from embargo.signals.weights import WeightSettings

COLUMNS = ("code", "verdict", "title", "detail", "effect", "unit", "remedy", "evidence")
NOT_TESTED = "not-tested"


@without_settings()
def audit_strategy(
    *,
    prices: Prices | str | Path,
    signal: Callable[..., pd.DataFrame] | None = None,
    weights: pd.DataFrame | str | Path | None = None,
    news: pd.DataFrame | str | Path | None = None,
    orders: pd.DataFrame | str | Path | None = None,
    returns: pd.Series | None = None,
    calendar: str | None = None,
    bar: str = "1d",
    weighting: WeightSettings | None = None,
    costs: Costs = Costs(),  # noqa: B008 - frozen
    execution: Execution = Execution(),  # noqa: B008 - frozen
    latency: pd.Timedelta = LATENCY,
    periods_per_year: float | None = None,
    trials: int | None = None,
    adjusted: bool | None = None,
    symbols_chosen_at: pd.Timestamp | str | None = None,
    rows: int = 12,
    seed: int = 0,
) -> pd.DataFrame:
    """Ask every check that applies of a strategy made elsewhere, without a run.

    Parameters
    ----------
    prices : Prices, str or Path
        Bars, or a file of them (`Prices.read` with ``calendar`` and ``bar``).
    signal : callable, optional
        ``fn(prices)``, or ``fn(news, prices)`` where news is given; returns weights, one row per bar of the ``prices``
        it is given. It is called some fifty times.
    weights : DataFrame, str or Path, optional
        Instead of the function: what it made, shape (bars, symbols), indexed by ``open_at`` (UTC); or a parquet or CSV
        file whose first column holds these instants. Exactly one of ``signal`` and ``weights`` is given.
    news : DataFrame, str or Path, optional
        One row per article and symbol with ``symbol`` and ``known_at`` (UTC), or ``published_at`` from which it
        follows; and ``text, source``, ``score`` or whatever the function reads. Of a file all columns are read.
    orders : DataFrame, str or Path, optional
        One row per fill: ``symbol, fill_at`` (UTC), ``side`` (buy or sell), ``size, price, fees``; optionally
        ``decided_at`` and ``known_at``.
    returns : Series, shape (bars,), optional
        Net returns that the books elsewhere showed on the rows of the weights, fractions.
    calendar : str, optional
        exchange_calendars code, or ``"24/7"``; for a file of prices.
    bar : str
        Length of a bar in a file of prices.
    weighting : WeightSettings, optional
        Says that the panel is a signal, and how it becomes weights.
    costs : Costs
    execution : Execution
    latency : Timedelta
    periods_per_year : float, optional
        These four as in `embargo.backtest`.
    trials : int, optional
        Attempts that it was picked from.
    adjusted : bool, optional
        Whether levels of the prices were adjusted for splits or dividends that came later; False says that they are as
        traded. By default what the prices themselves say, and nothing where they do not.
    symbols_chosen_at : Timestamp or str, optional
        When the list of symbols was made (UTC).
    rows : int
        Rows after which the future is changed, at least 1.
    seed : int

    Returns
    -------
    DataFrame
        ``code, verdict, title, detail, effect, unit, remedy, evidence``, the gravest first. Leaks of the catalogue that
        nothing here looks for come last with the verdict ``not-tested`` and what the answer would need.

    Raises
    ------
    DataError
        If the function fails or returns no panel of its prices, weights do not fit the bars, news have no symbol or
        time in common with them, or columns are missing.
    ConfigError
        If both or neither of ``signal`` and ``weights`` are given, or a file of prices without its calendar.
    MissingPartError
        If a file is not there.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.data_loaders.schemas import Prices
    >>> from embargo.research.studies.strategy import audit_strategy
    >>> at = pd.date_range("2024-01-01", periods=90, freq="D", tz="UTC")
    >>> close = pd.DataFrame({"BTC": np.exp(np.random.default_rng(1).normal(0.0, 0.02, 90).cumsum())}, index=at)
    >>> prices = Prices(close, close, close, close, close, at, at + pd.Timedelta(days=1), calendar="24/7")
    >>> def peeks(prices):
    ...     return np.sign(prices.close.pct_change().fillna(0.0)) / 2
    >>> found = audit_strategy(signal=peeks, prices=prices, rows=4)
    >>> found.loc[0, ["code", "verdict"]].tolist()
    ['T1', 'leak']
    """
    if (signal is None) == (weights is None):
        raise ConfigError("audit: give either signal=, the function that makes the weights, or weights= themselves.")
    if isinstance(prices, str | Path):
        if calendar is None:
            raise ConfigError(f"audit: {prices} needs a calendar. Pass calendar='XNYS', '24/7' or the like.")
        prices = Prices.read(prices, calendar=calendar, bar=bar)
    prices = validate_prices(prices)
    read = None if news is None else news_of(news, prices)
    decide = None
    if signal is not None:
        if not callable(signal):
            raise ConfigError(f"signal: expected a function that returns weights, got {type(signal).__name__}.")
        _takes(signal, with_news=read is not None)
        decide = as_decide(signal, with_news=read is not None, where="audit")
        panel = _first_answer(decide, name_of(signal), no_news() if read is None else read, prices)
    else:
        assert weights is not None
        panel = read_weights(weights) if isinstance(weights, str | Path) else weights
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the finding says the same
        traded = backtest(
            panel,
            prices,
            weighting=weighting,
            costs=costs,
            execution=execution,
            trials=trials,
            latency=latency,
            periods_per_year=periods_per_year,
            engine="kernel",
            n_boot=100,
            seed=seed,
        )
    decided_at = decision_times(pd.DatetimeIndex(traded.weights.index), latency)
    given = Material(
        prices,
        traded.weights,
        traded,
        decided_at,
        latency,
        decide,
        read,
        None if orders is None else orders_of(orders, traded.weights, prices),
        None if returns is None else returns_of(returns, traded.weights),
        rows,
        seed,
        adjusted,
        None if symbols_chosen_at is None else _chosen_at(symbols_chosen_at),
    )
    return _answers(given)


def _chosen_at(given: pd.Timestamp | str) -> pd.Timestamp:
    try:
        return parse_instant(given)
    except (ValueError, TypeError) as failure:
        raise ConfigError(
            f"symbols_chosen_at: {given!s} is neither a date, such as 2020-01-31, nor an instant with its time zone, "
            "such as 2020-01-31T09:30:00Z. Write one of these."
        ) from failure


def takes_news(signal: Callable[..., pd.DataFrame]) -> bool:
    """Tell whether a function is one of (news, prices), and not of prices with settings that have defaults.

    Parameters
    ----------
    signal : callable

    Returns
    -------
    bool

    Examples
    --------
    >>> from embargo.research.studies.strategy import takes_news
    >>> takes_news(lambda prices, bars=20: prices.close), takes_news(lambda news, prices: prices.close)
    (False, True)
    """
    return not _fits(signal, 1)


def _fits(signal: Callable[..., pd.DataFrame], count: int) -> bool:
    """Tell whether a function can be called with so many arguments; what does not tell is tried."""
    try:
        form = inspect.signature(signal)
    except (ValueError, TypeError):
        return True
    try:
        form.bind(*range(count))
    except TypeError:
        return False
    return True


def _takes(signal: Callable[..., pd.DataFrame], *, with_news: bool) -> None:
    """Refuse a function that cannot be called with what there is."""

    def fits(count: int) -> bool:
        return _fits(signal, count)

    if with_news and not fits(2) and fits(1):
        raise DataError(
            f"signal: {name_of(signal)} takes prices alone, and news were given as well. Leave out news=, or write it "
            "as a function of (news, prices)."
        )
    if not with_news and not fits(1) and fits(2):
        raise DataError(f"signal: {name_of(signal)} takes news and prices, and no news were given. Hand in news=.")


def _answers(given: Material) -> pd.DataFrame:
    found: list[Finding] = []
    untested: list[tuple[str, str, str, str]] = []
    for question in QUESTIONS:
        lacking = [NEEDS[need] for need in question.needs if not NEEDS[need][0](given)]
        if lacking:
            why = lacking[0][1]
            if question.code == "D7" and given.adjusted is not None:
                why += ", so that what adjusted= says of the prices has no effect"
            untested.append((question.code, question.title, why, lacking[0][2]))
            continue
        answer = question.ask(given)
        found += [answer] if isinstance(answer, Finding) else list(answer)
    told = {finding.code for finding in found} | {code for code, *_ in untested}
    reasons = dict(REASONS)
    if given.decide is not None:
        leaks = any(finding.verdict == "leak" for finding in found)
        first = "a leak was found first; mend it and ask again" if leaks else "T1 could not be answered; see there"
        reasons |= dict.fromkeys(("D8", *ALSO_BY_PERTURBING), first)
    untested += [(code, leak, reasons.get(code, reason), "") for code, leak, reason in leakage.not_tested(told)]
    order = list(LEAKS)
    found.sort(key=lambda finding: (GRAVITY.index(finding.verdict), order.index(finding.code)))
    untested.sort(key=lambda row: order.index(row[0]))
    rows = [{name: finding.to_dict()[name] for name in COLUMNS} for finding in found]
    rows += [
        dict(zip(COLUMNS, (code, NOT_TESTED, title, f"{why[0].upper()}{why[1:]}.", None, "", remedy, []), strict=True))
        for code, title, why, remedy in untested
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _first_answer(decide: Decide, name: str, news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    try:
        return decide(news, prices)
    except DataError:
        raise
    except Exception as failure:
        raise DataError(
            f"signal: {name} failed with {type(failure).__name__}: {failure}. It is called with "
            f"{'news and prices' if len(news.columns) > 2 else 'prices'}; run it by itself first."
        ) from failure
