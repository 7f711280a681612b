"""Sums that fade from row to row, to the last bit those of ``scipy.signal.lfilter``, which takes longer to load."""

from __future__ import annotations

import numpy as np


def faded_sum(values: np.ndarray, keep: float, start: np.ndarray | float = 0.0) -> np.ndarray:
    """Add up rows of which each next one keeps a part: ``sum[t] = values[t] + keep * sum[t - 1]``.

    Parameters
    ----------
    values : float array, shape (rows,) or (rows, columns)
    keep : float
        Part of the sum that the next row keeps.
    start : float or array of shape (columns,)
        What is kept of the rows before the first one.

    Returns
    -------
    float array of the shape of values

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.signals.recursion import faded_sum
    >>> faded_sum(np.array([1.0, 0.0, 2.0]), 0.5).tolist()
    [1.0, 0.5, 2.25]
    """
    summed = np.empty(values.shape)
    kept = np.zeros(values.shape[1:])
    kept += start
    for row, value in enumerate(values):
        np.add(kept, value, out=summed[row : row + 1].reshape(kept.shape))
        np.multiply(summed[row], keep, out=kept)
    return summed
