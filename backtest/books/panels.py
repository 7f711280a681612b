"""Panels of bars by symbols: what an account can be kept on, and the first cell that it cannot."""

from __future__ import annotations

from numbers import Real

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError


def check_panel(panel: object, name: str) -> None:
    """Refuse what is no table of bars by symbols."""
    if not isinstance(panel, pd.DataFrame):
        raise DataError(
            f"simulate: {name} is a {type(panel).__name__}, and a DataFrame is wanted, one row for each bar and one "
            "column for each symbol."
        )
    if not panel.size:
        raise DataError(f"simulate: {name} has the shape {panel.shape}. Give one bar and one symbol, or more.")


def numbers_of(panel: pd.DataFrame, name: str) -> np.ndarray:
    """Return a panel's numbers, float64 of its shape; DataError that names the first cell that is none."""
    try:
        return panel.to_numpy(dtype=float)
    except (TypeError, ValueError) as failure:
        for column in panel:
            strange = (pd.to_numeric(panel[column], errors="coerce").isna() & panel[column].notna()).to_numpy()
            if strange.any():
                row = int(np.argmax(strange))
                raise DataError(
                    f"simulate: the {name} of {column} at {panel.index[row]} is {panel[column].iloc[row]!r}, which is "
                    "no number."
                ) from failure
        raise


def same_labels(first: pd.DataFrame, second: pd.DataFrame, first_name: str, second_name: str) -> None:
    """Refuse two panels of other bars or symbols, by their names."""
    for panel, name in ((first, first_name), (second, second_name)):
        check_panel(panel, name)
    if not (first.index.equals(second.index) and first.columns.equals(second.columns)):
        raise DataError(
            f"simulate: {first_name} {first.shape} and {second_name} {second.shape} carry different bars or symbols. "
            "Reindex one to the other."
        )


def check_prices(open: pd.DataFrame, close: pd.DataFrame) -> None:  # noqa: A002
    """Refuse a price that is not positive; NaN is none."""
    for name, prices in (("open", open), ("close", close)):
        values = numbers_of(prices, name)
        wrong = ~((values > 0.0) & (values < np.inf) | np.isnan(values))
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise DataError(
                f"simulate: the {name} of {prices.columns[column]} at {prices.index[row]} is {values[row, column]}. "
                "Prices are positive; write NaN where there was no trade."
            )


def check_weights(weights: pd.DataFrame, leverage: float) -> None:
    """Refuse a weight that is not finite (DataError), and more gross exposure than the leverage (ConfigError)."""
    values = numbers_of(weights, "weight")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise DataError(
            f"simulate: the weight of {weights.columns[column]} at {weights.index[row]} is {values[row, column]}. "
            "Write 0 to hold nothing."
        )
    gross = np.abs(values).sum(axis=1)
    if (gross > leverage + 1e-9).any():
        row = int(np.argmax(gross))
        remedy = "the account has no margin. Lower 'gross'" if leverage == 1.0 else "that is the account's leverage"
        raise ConfigError(
            f"simulate: gross exposure {gross[row]:.6f} at {weights.index[row]} exceeds {leverage:g} and {remedy}."
        )


def check_shapes(
    weights: pd.DataFrame,
    open: pd.DataFrame,  # noqa: A002
    close: pd.DataFrame,
    open_at: pd.DatetimeIndex,
    initial_cash: float,
) -> None:
    """Refuse panels, instants or a starting cash that no account can be kept on."""
    same_labels(weights, open, "weights", "open")
    same_labels(open, close, "open", "close")
    if not isinstance(open_at, pd.DatetimeIndex):
        raise DataError(f"simulate: open_at is a {type(open_at).__name__}, and a DatetimeIndex in UTC is wanted.")
    if len(open_at) != len(weights):
        raise DataError(f"simulate: {len(weights)} rows of weights but {len(open_at)} opening instants.")
    if isinstance(weights.index, pd.DatetimeIndex) and not weights.index.equals(open_at):
        raise DataError(
            f"simulate: the weights are indexed by {weights.index.dtype} from {weights.index[0]} on, and open_at by "
            f"{open_at.dtype} from {open_at[0]} on. Use the same bars, in UTC."
        )
    if not (isinstance(initial_cash, Real) and np.isfinite(initial_cash) and initial_cash > 0.0):
        raise ConfigError(f"initial_cash must be a positive number, got {initial_cash!r}.")
