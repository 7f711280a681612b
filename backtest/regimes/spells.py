"""How regimes follow each other: spells, and the table of moves from one regime to another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.regimes.causal import UNLABELLED
from embargo.data_loaders.errors import DataError


def regime_order(names: set[str] | list[str]) -> list[str]:
    """Sort names of regimes alphabetically, unlabelled last.

    Parameters
    ----------
    names : set or list of str

    Returns
    -------
    list of str

    Examples
    --------
    >>> from embargo.backtest.regimes import regime_order
    >>> regime_order({'unlabelled', 'bull', 'bear'})
    ['bear', 'bull', 'unlabelled']
    """
    return sorted(names, key=lambda name: (name == UNLABELLED, name))


def spells(labels: pd.Series) -> pd.DataFrame:
    """List the stretches of equal labels.

    Parameters
    ----------
    labels : Series of str, shape (bars,)

    Returns
    -------
    DataFrame
        ``regime, first, last`` (positions of bars, inclusive) and ``bars``.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.regimes import spells
    >>> labels = pd.Series(['bull', 'bull', 'bear', 'bull', 'unlabelled'])
    >>> spells(labels)[['regime', 'first', 'last']].to_numpy().tolist()
    [['bull', 0, 1], ['bear', 2, 2], ['bull', 3, 3], ['unlabelled', 4, 4]]
    """
    names = labels.astype(str).to_numpy(dtype=object)
    first = np.flatnonzero(np.r_[True, names[1:] != names[:-1]]) if len(names) else np.empty(0, dtype=int)
    last = np.r_[first[1:], len(names)] - 1 if len(names) else first
    return pd.DataFrame({"regime": names[first], "first": first, "last": last, "bars": last - first + 1})


def transition_table(labels: pd.Series) -> pd.DataFrame:
    """Count the moves from one regime to the next, bar by bar, and what share of a regime's bars they are.

    Parameters
    ----------
    labels : Series of str, shape (bars,)
        Bars without a label break the chain: a move to or from them is none.

    Returns
    -------
    DataFrame
        One row for each pair of regimes in alphabetical order: ``source, target, count, probability``. Counts of a
        source are its bars that have a labelled successor; ``probability`` is None where it has none.

    Raises
    ------
    DataError
        If a label is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.regimes import transition_table
    >>> labels = pd.Series(['bull', 'bull', 'bear', 'bull', 'unlabelled'])
    >>> transition_table(labels)
      source target count probability
    0   bear   bear     0         0.0
    1   bear   bull     1         1.0
    2   bull   bear     1         0.5
    3   bull   bull     1         0.5
    """
    if labels.isna().any():
        raise DataError(f"transition_table: no label at {labels.index[labels.isna()][0]}. Name unknown rows too.")
    names = labels.astype(str).to_numpy(dtype=object)
    regimes = [name for name in regime_order(set(names)) if name != UNLABELLED]
    place = {name: number for number, name in enumerate(regimes)}
    codes = np.array([place.get(name, -1) for name in names], dtype=np.int64)
    moves = np.zeros((len(regimes), len(regimes)), dtype=np.int64)
    linked = (codes[:-1] >= 0) & (codes[1:] >= 0)
    np.add.at(moves, (codes[:-1][linked], codes[1:][linked]), 1)
    rows: list[dict[str, Any]] = [
        {
            "source": source,
            "target": target,
            "count": int(moves[i, j]),
            "probability": float(moves[i, j] / moves[i].sum()) if moves[i].any() else None,
        }
        for i, source in enumerate(regimes)
        for j, target in enumerate(regimes)
    ]
    return pd.DataFrame(rows, columns=["source", "target", "count", "probability"], dtype=object)
