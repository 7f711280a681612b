"""Which regime each bar of a run was in: the definitions of the config, by what was known then and with hindsight."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from embargo.backtest import regimes
from embargo.data_loaders.archive.files import tables_of
from embargo.data_loaders.archive.tables import columns_of, numbers_of, read_table
from embargo.data_loaders.archive.times import bare_dates_of, instants_of
from embargo.data_loaders.errors import DataError
from embargo.research.config.regimes import CausalRegime, RegimeLabels, RegimesSection, RegimeThreshold

if TYPE_CHECKING:
    from embargo.research.run.plan import Plan

EX_POST = "_ex_post"
_DAY = r"\s*\d{4}-?\d{2}-?\d{2}\s*"


def is_ex_post(definition: str) -> bool:
    """Tell whether a column of regimes looks back, and may therefore only report."""
    return definition.endswith(EX_POST)


def known_regimes(
    settings: RegimesSection,
    definitions: Sequence[CausalRegime],
    close: pd.DataFrame,
    last_closed: np.ndarray,
    decided_at: pd.DatetimeIndex,
) -> pd.DataFrame:
    """Label every row from what was known when it was decided, one column for each definition.

    Parameters
    ----------
    settings : RegimesSection
    definitions : sequence of str
        Columns to make; the settings' own, or those the gate goes by.
    close : DataFrame, shape (bars, symbols)
    last_closed : int array, shape (bars,)
    decided_at : DatetimeIndex, shape (bars,)

    Raises
    ------
    MissingPartError, DataError
        If a file of labels or of a threshold is missing or malformed.
    """
    market = regimes.market_returns(close)
    labels = {name: _known(settings, name, market, last_closed, decided_at) for name in definitions}
    return pd.DataFrame({name: np.asarray(series) for name, series in labels.items()}, index=close.index)


def _known(
    settings: RegimesSection,
    name: CausalRegime,
    market: pd.Series,
    last_closed: np.ndarray,
    decided_at: pd.DatetimeIndex,
) -> pd.Series:
    if name == "trend":
        return regimes.trend_regime(market, last_closed, lookback=settings.trend_lookback, k=settings.trend_threshold)
    if name == "volatility":
        return regimes.volatility_regime(
            market, last_closed, lookback=settings.volatility_lookback, warm_up=settings.trend_lookback
        )
    if name == "turning_points":
        return regimes.turning_regime(market, last_closed, fall=settings.fall, rise=settings.rise)
    if name == "markov":
        return regimes.markov_regime(
            market,
            last_closed,
            states=settings.markov_states,
            minimum=settings.markov_minimum,
            refit_every=settings.markov_refit,
        )
    if name == "labels" and settings.labels is not None:
        return regimes.label_regime(labels_of(settings.labels), decided_at)
    if name == "threshold" and settings.threshold is not None:
        cut = settings.threshold
        return regimes.threshold_regime(
            series_of(cut),
            decided_at,
            cuts=cut.cuts,
            names=cut.names,
            stale_after=None if cut.stale_after is None else pd.Timedelta(cut.stale_after),
        )
    raise ValueError(f"no regime is defined as {name!r}")


def ex_post_regimes(settings: RegimesSection, close: pd.DataFrame) -> pd.DataFrame:
    """Label every row with hindsight, one column ``<definition>_ex_post`` for each; for reports only.

    Parameters
    ----------
    settings : RegimesSection
    close : DataFrame, shape (bars, symbols)
        All bars there are, after the test window too. Index: instants at which rows begin.
    """
    market = regimes.market_returns(close)
    labels: dict[str, pd.Series] = {}
    for name in settings.ex_post:
        if name == "lunde_timmermann":
            found = regimes.lunde_timmermann_ex_post(market, fall=settings.fall, rise=settings.rise)
        elif name == "pagan_sossounov":
            found = regimes.pagan_sossounov_ex_post(market, override=settings.override)
        elif name == "markov":
            found = regimes.markov_ex_post(market, states=settings.markov_states)
        else:
            if settings.labels is None:
                raise ValueError("regimes.labels is not set")
            found = regimes.label_ex_post(labels_of(settings.labels), pd.DatetimeIndex(close.index))
        labels[f"{name}{EX_POST}"] = found
    return pd.DataFrame({name: np.asarray(series) for name, series in labels.items()}, index=close.index)


def regime_labels(plan: Plan) -> pd.DataFrame:
    """Label the test rows by every definition of the config, and by those that steer.

    Causal definitions come first. Their warm-up comes from before the test window; those with hindsight see all bars.
    """
    config, world = plan.config, plan.world
    close, settings = world.prices.close, config.regimes
    steering = settings.gate_by if config.portfolio.gate else ()
    definitions = tuple(dict.fromkeys((*settings.definitions, *steering)))
    causal = known_regimes(settings, definitions, close, world.last_closed, world.decided_at)
    return pd.concat([causal, ex_post_regimes(settings, close)], axis=1).iloc[plan.rows]


def labels_of(source: RegimeLabels) -> pd.DataFrame:
    """Read a file of dated regimes: ``start``, ``regime`` and, where the file has it, ``known_at``.

    Raises
    ------
    MissingPartError, DataError
        If the file is missing, a column is, or an instant does not say its zone.
    """
    return _labels(source.path, _stamp(source.path))


def series_of(source: RegimeThreshold) -> pd.DataFrame:
    """Read a series that a threshold cuts: ``known_at`` and ``value``; errors as for `labels_of`."""
    return _series(source.path, source.known_at, source.value, _stamp(source.path))


def _stamp(path: str) -> int:
    """Tell a file that was replaced from the one that was read; 0 where there is none, which reading will say."""
    place = Path(path)
    return place.stat().st_mtime_ns if place.exists() else 0


# Deciding reads the labels again for every row that the audit attacks.
@lru_cache(maxsize=8)
def _labels(path: str, _stamp: int) -> pd.DataFrame:
    parts = tables_of(path)
    present = columns_of(parts[0])
    start = "from" if "from" in present and "start" not in present else "start"
    names = [start, "regime", *(["known_at"] if "known_at" in present else [])]
    table, _ = read_table(parts, names, {})
    table = table.rename(columns={start: "start"})
    table["start"] = _instants(table["start"], path, end_of_day=False)
    if "known_at" in table:
        table["known_at"] = _instants(table["known_at"], path, end_of_day=True)
    return table


@lru_cache(maxsize=8)
def _series(path: str, known_at: str, value: str, _stamp: int) -> pd.DataFrame:
    table, _ = read_table(tables_of(path), [known_at, value], {})
    return pd.DataFrame(
        {
            "known_at": _instants(table[known_at], path, end_of_day=True),
            "value": numbers_of(table[value], where=f"{path}: {value}"),
        }
    )


def _instants(values: pd.Series, path: str, *, end_of_day: bool) -> pd.Series:
    """Read instants, and dates alone as UTC days: their beginning, or the end if that is when they were known."""
    where = f"{path}: {values.name}"
    if values.isna().any():
        raise DataError(f"{where}, row {int(values.isna().to_numpy().argmax())}: there is no instant. Fill it in.")
    bare = bare_dates_of(values, None)
    if end_of_day:
        short = ~values[bare].astype(str).str.fullmatch(_DAY)
        if short.any():
            row = short.index[int(short.to_numpy().argmax())]
            raise DataError(
                f"{where}, row {row}: {str(values[row])!r} does not say the day on which it was known, and its first "
                "day may be too early. Write that day, such as 2008-12-01."
            )
    days = instants_of(values[bare], "UTC", {}, where=where, bare_dates=True)
    if end_of_day:
        days = days + pd.Timedelta(days=1)
    read: pd.Series = pd.concat([days, instants_of(values[~bare], None, {}, where=where)])
    return read.reindex(values.index)
