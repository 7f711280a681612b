"""What a fusion learns from: text and market features of each cell, and what its symbol earned from there on.

Features of row t were known when it was decided; a label carries the interval from open to open that it was computed
over, so that samples can be purged. Every cell that is no sample is counted under the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.data_loaders.schemas import Prices
from embargo.signals.aggregation import AggregationSettings, Evidence, decay

GROUPS = ("text", "market")


@dataclass(frozen=True)
class FusionInputs:
    """Features of every cell, and when each row is decided; made by `fusion_inputs`.

    Attributes
    ----------
    panels : dict of str to DataFrame, shape (bars, symbols)
        ``text.*`` and ``market.*``; NaN where a market feature is not known.
    decided_at : DatetimeIndex, shape (bars,)

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.signals.fusion import fusion_inputs
    >>> days = pd.date_range('2024-01-01', periods=2, tz='UTC')
    >>> inputs = fusion_inputs({'net': pd.DataFrame({'A': [0.5, 0.0]}, days)}, {}, days)
    >>> inputs.speaking().tolist()
    [[True], [False]]
    """

    panels: dict[str, pd.DataFrame]
    decided_at: pd.DatetimeIndex

    @property
    def frame(self) -> pd.DataFrame:
        """Any one of the panels, for its labels."""
        return next(iter(self.panels.values()))

    def speaking(self) -> np.ndarray:
        """Cells with a market feature that is known or a text feature that is not 0: bool, shape (bars, symbols)."""
        found = np.zeros(self.frame.shape, dtype=bool)
        for name, panel in self.panels.items():
            values = panel.to_numpy(dtype=float)
            found |= np.isfinite(values) & ((values != 0.0) if name.startswith("text.") else True)
        return found

    def take(self, names: Sequence[str], row: np.ndarray, column: np.ndarray) -> np.ndarray:
        """Features of some cells: float64, shape (cells, names)."""
        return np.column_stack([self.panels[name].to_numpy(dtype=float)[row, column] for name in names])


@dataclass(frozen=True)
class FusionSamples:
    """Labelled cells, and why others were left out.

    Attributes
    ----------
    frame : DataFrame
        One row per cell, as `fusion_samples` says; ready for `embargo.data_loaders.splits.part_of`.
    counts : dict of str to int
        Cells by what became of them.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.signals.fusion import FusionSamples
    >>> FusionSamples(frame=pd.DataFrame(), counts={'cells': 0, 'samples': 0}).counts['samples']
    0
    """

    frame: pd.DataFrame
    counts: dict[str, int]


def text_features(
    evidence: Evidence,
    settings: AggregationSettings,
    *,
    open_at: pd.DatetimeIndex,
    symbols: Sequence[str] | pd.Index,
) -> dict[str, pd.DataFrame]:
    """Return what the articles of a row say; 0, never missing, where there are none.

    Training rows must be scored by a model that was not tuned on their articles: what a model says of texts it has seen
    is better than what it will say, and the fusion would trust it too much.

    Parameters
    ----------
    evidence : Evidence, panels of shape (bars, symbols)
    settings : AggregationSettings
        Those it was collected with.
    open_at : DatetimeIndex, shape (bars,)
        UTC.
    symbols : sequence of str, shape (symbols,)

    Returns
    -------
    dict of str to DataFrame, shape (bars, symbols)
        ``net`` (confidence-weighted mean of net sentiment, in [-1, 1]), ``confidence`` (mean, in [0, 1]), ``articles``
        (``log(1 + number)``) and ``signal`` (decayed, as it would be traded without a fusion).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.signals import AggregationSettings, Evidence, text_features
    >>> said = Evidence(np.array([[0.8], [0.0]]), np.array([[1.0], [0.0]]), np.array([[2], [0]]), counts={})
    >>> days = pd.date_range('2024-01-01', periods=2, tz='UTC')
    >>> found = text_features(said, AggregationSettings(), open_at=days, symbols=['A'])
    >>> {name: panel['A'].round(2).tolist() for name, panel in found.items()}
    {'net': [0.8, 0.0], 'confidence': [0.5, 0.0], 'articles': [1.1, 0.0], 'signal': [0.53, 0.47]}
    """
    some, number = evidence.denominator > 0.0, evidence.count
    zeros = np.zeros(evidence.numerator.shape)
    values = {
        "net": np.divide(evidence.numerator, evidence.denominator, out=zeros.copy(), where=some),
        "confidence": np.divide(evidence.denominator, number, out=zeros.copy(), where=number > 0),
        "articles": np.log1p(number),
        "signal": decay(evidence, settings),
    }
    columns = pd.Index(symbols)
    return {name: pd.DataFrame(panel, index=open_at, columns=columns) for name, panel in values.items()}


def fusion_inputs(
    text: Mapping[str, pd.DataFrame], market: Mapping[str, pd.DataFrame], decided_at: pd.DatetimeIndex
) -> FusionInputs:
    """Put text and market features of the same cells side by side; either may be empty, which ablates it.

    Parameters
    ----------
    text, market : mapping of str to DataFrame, shape (bars, symbols)
        From `text_features` and `embargo.signals.fusion.features.market_features`; index ``open_at``.
    decided_at : DatetimeIndex, shape (bars,)
        UTC, from ``calendars.decision_times``.

    Returns
    -------
    FusionInputs

    Raises
    ------
    DataError
        If there is no panel, panels differ in bars or symbols, a text feature is missing, a market feature is
        infinite, or ``decided_at`` does not fit.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.signals.fusion import fusion_inputs
    >>> days = pd.date_range('2024-01-01', periods=2, tz='UTC')
    >>> net, returns = pd.DataFrame({'A': [0.5, 0.0]}, days), pd.DataFrame({'A': [None, 0.01]}, days, dtype=float)
    >>> sorted(fusion_inputs({'net': net}, {'return_1': returns}, days - pd.Timedelta('5min')).panels)
    ['market.return_1', 'text.net']
    """
    panels = {f"text.{name}": panel for name, panel in text.items()}
    panels |= {f"market.{name}": panel for name, panel in market.items()}
    if not panels:
        raise DataError("fusion: no features at all. Hand in text features, market features, or both.")
    first_name, first = next(iter(panels.items()))
    for name, panel in panels.items():
        if not (panel.index.equals(first.index) and panel.columns.equals(first.columns)):
            raise DataError(f"fusion: {name} and {first_name} differ in bars or symbols. Make them from the same bars.")
        values = panel.to_numpy(dtype=float)
        wrong = ~np.isfinite(values) if name.startswith("text.") else np.isinf(values)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise DataError(
                f"fusion: {name} is {values[row, column]} for {panel.columns[column]} at {panel.index[row]}. Text "
                "features are 0 where there is no news; market features are finite or missing."
            )
    if len(decided_at) != len(first) or (decided_at > first.index).any():
        raise DataError(
            f"fusion: decided_at has {len(decided_at)} entries for {len(first)} bars, or one after its open. Make it "
            "with calendars.decision_times(open_at, latency)."
        )
    return FusionInputs(panels, decided_at)


def chosen_cells(inputs: FusionInputs, mask: pd.DataFrame | None) -> np.ndarray:
    """Return the cells that a mask asks for, all without one: bool, shape (bars, symbols).

    Raises
    ------
    DataError
        If the mask carries other bars or symbols than the features.
    """
    if mask is None:
        return np.ones(inputs.frame.shape, dtype=bool)
    if not (mask.index.equals(inputs.frame.index) and mask.columns.equals(inputs.frame.columns)):
        raise DataError("fusion: the mask carries other bars or symbols than the features. Reindex it to them.")
    return np.asarray(mask.to_numpy(dtype=bool))


def fusion_samples(
    inputs: FusionInputs, prices: Prices, *, horizon_bars: int = 1, mask: pd.DataFrame | None = None
) -> FusionSamples:
    """Label each cell with what its symbol earned from the row's open on.

    Parameters
    ----------
    inputs : FusionInputs
    prices : Prices
        Of the same bars and symbols.
    horizon_bars : int
        The return runs from open[t] to open[t + horizon_bars]; at least 1.
    mask : DataFrame of bool, shape (bars, symbols), optional
        Cells to use, such as those with news or those that are tradable; without it all with a feature that speaks.

    Returns
    -------
    FusionSamples
        One row per cell: ``article_id`` (also ``text``: symbol and open, so that no two cells are copies), ``label`` (a
        placeholder, as classes are cut when fitting), ``known_at`` (the decision), ``starts_at`` and ``ends_at`` (the
        two opens), ``symbol``, ``row``, ``absolute`` (simple return, a fraction), ``relative`` (less the mean of all
        symbols with both prices) and the features. Counts ``masked_out``, ``silent`` (no feature speaks),
        ``beyond_prices``, ``missing_prices`` and ``samples`` sum to ``cells``.

    Raises
    ------
    ConfigError
        If ``horizon_bars`` is below 1.
    DataError
        If prices and features differ in bars or symbols.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.data_loaders.schemas import Prices
    >>> from embargo.signals.fusion import fusion_inputs, fusion_samples
    >>> days = pd.date_range('2024-01-01', periods=5, tz='UTC')
    >>> level = pd.DataFrame({'A': [100.0, 101, 102, 101, 103], 'B': [50.0, 50, 51, 52, 52]}, days)
    >>> prices = Prices(level, level, level, level, level, days, days + pd.Timedelta('1D'), '24/7')
    >>> samples = fusion_samples(fusion_inputs({'net': 0.0 * level + 0.5}, {}, days), prices)
    >>> samples.counts['samples'], samples.counts['beyond_prices']
    (8, 2)
    >>> samples.frame[['symbol', 'row', 'absolute', 'relative']].head(2).round(3)
      symbol  row  absolute  relative
    0      A    0      0.01     0.005
    1      B    0      0.00    -0.005
    """
    if horizon_bars < 1:
        raise ConfigError(f"fusion: horizon_bars must be at least 1, got {horizon_bars}.")
    index, symbols = inputs.frame.index, inputs.frame.columns
    if not (prices.open.index.equals(index) and prices.open.columns.equals(symbols)):
        raise DataError("fusion: prices and features differ in bars or symbols. Make the features from these prices.")
    opens = prices.open.to_numpy(dtype=float)
    bars = len(opens)
    earned = np.full_like(opens, np.nan)
    if bars > horizon_bars:
        earned[:-horizon_bars] = opens[horizon_bars:] / opens[:-horizon_bars] - 1.0
    priced = np.isfinite(earned)
    universe = np.where(priced, earned, 0.0).sum(axis=1) / np.maximum(priced.sum(axis=1), 1)
    asked, speaking = chosen_cells(inputs, mask), inputs.speaking()
    wanted = asked & speaking
    reached = (np.arange(bars) + horizon_bars < bars)[:, None]
    row, column = np.nonzero(wanted & priced)
    counts = {
        "cells": opens.size,
        "masked_out": int((~asked).sum()),
        "silent": int((asked & ~speaking).sum()),
        "beyond_prices": int((wanted & ~reached).sum()),
        "missing_prices": int((wanted & reached & ~priced).sum()),
        "samples": len(row),
    }
    stamps = prices.open_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ").to_numpy(dtype=object)
    # A space and not an @: what follows one is a mention, and normalised away.
    names = np.array([f"{name} " for name in symbols], dtype=object)
    cells = pd.Series(names[column] + stamps[row], dtype="str")
    frame = pd.DataFrame(
        {
            "article_id": cells,
            "text": cells,
            "label": CLASSES.index("neutral"),
            "known_at": inputs.decided_at[row],
            "starts_at": prices.open_at[row],
            "ends_at": prices.open_at[np.minimum(row + horizon_bars, bars - 1)],
            "symbol": symbols.astype("str")[column],
            "row": row,
            "absolute": earned[row, column],
            "relative": earned[row, column] - universe[row],
        }
    )
    features = list(inputs.panels)
    values = pd.DataFrame(inputs.take(features, row, column), columns=features)
    return FusionSamples(pd.concat([frame, values], axis=1), counts)
