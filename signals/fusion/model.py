"""A fitted fusion of news and market: one calibrated guess at the next bars' direction.

It is applied without the library that fitted it, and its signal is refused on rows that are decided before all that it
learnt from was known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from embargo.data_loaders.errors import DataError, LeakError
from embargo.signals.fusion.head import head_logits
from embargo.signals.fusion.samples import GROUPS, FusionInputs, chosen_cells
from embargo.signals.fusion.scaling import prepared
from embargo.signals.fusion.settings import FusionSettings
from embargo.signals.fusion.trees import both_logits, tree_logits

# Cells predicted at once, which bounds memory.
BLOCK = 65_536


@dataclass(frozen=True)
class FusionModel:
    """A fitted and calibrated fusion; made by `fit_fusion` or `load_fusion`.

    Attributes
    ----------
    settings : FusionSettings
    features : tuple of str
        Columns it reads, in order.
    thresholds : tuple of two floats
        Returns below the first are falling, above the second rising.
    arrays : dict of str to ndarray
        Everything else that was learnt from training.
    scale : float
        Calibration: factor of the logits, not negative; 0 where validation found no skill, and then every cell gets
        the shares of the classes in validation.
    biases : tuple of float
        Calibration: added to the scaled logits of each class; the first is 0.
    trained_until : Timestamp
        Latest instant that training and validation samples knew, UTC.
    record : dict
        How it went: counts of samples and classes, losses, versions. JSON-able; in no hash.

    Examples
    --------
    >>> from embargo.signals.fusion import FusionModel
    >>> FusionModel.__match_args__[:4]
    ('settings', 'features', 'thresholds', 'arrays')
    """

    settings: FusionSettings
    features: tuple[str, ...]
    thresholds: tuple[float, float]
    arrays: dict[str, np.ndarray]
    scale: float
    biases: tuple[float, ...]
    trained_until: pd.Timestamp
    record: dict[str, Any]

    @property
    def fitted_hash(self) -> str:
        """SHA-256 of all that was learnt from training, whatever validation and test hold; 64 hex digits."""
        digest = hashlib.sha256(_canonical([asdict(self.settings), self.features, self.thresholds]))
        for name in sorted(self.arrays):
            array = self.arrays[name]
            digest.update(_canonical([name, str(array.dtype), array.shape]))
            digest.update(array.tobytes())
        return digest.hexdigest()

    @property
    def state_hash(self) -> str:
        """SHA-256 of the same, the calibration and ``trained_until``; 64 hex digits."""
        return hashlib.sha256(
            _canonical([self.fitted_hash, self.scale, self.biases, self.trained_until.isoformat()])
        ).hexdigest()

    def manifest(self) -> dict[str, Any]:
        """Describe the model: JSON-able, and enough to read it back together with its arrays."""
        return {
            "settings": asdict(self.settings),
            "features": list(self.features),
            "classes": list(self.settings.names),
            "thresholds": list(self.thresholds),
            "calibration": {"scale": self.scale, "biases": list(self.biases)},
            "trained_until": self.trained_until.isoformat(),
            "record": self.record,
            "fitted_hash": self.fitted_hash,
            "state_hash": self.state_hash,
        }

    def logits(self, values: np.ndarray) -> np.ndarray:
        """Return uncalibrated logits, float64 of shape (n, classes), for features of shape (n, features)."""
        if self.settings.kind == "boosting":
            return tree_logits(self.arrays, values)
        inputs = prepared(self.arrays, self.features, values)
        if self.settings.kind == "neural":
            return head_logits(self.arrays, inputs)
        joined = np.concatenate([inputs[name] for name in GROUPS], axis=1)
        # Not a matrix product, whose last bits hang on how many rows there are.
        return both_logits(np.einsum("ij,kj->ik", joined, self.arrays["coefficients"]) + self.arrays["intercepts"])

    def probabilities(self, samples: pd.DataFrame) -> np.ndarray:
        """Return calibrated probabilities of ``settings.names``, float64 of shape (n, classes); each row sums to 1.

        Raises
        ------
        DataError
            If a feature has no column.
        """
        return self._calibrated(feature_values(samples, self.features, "samples"))

    def _calibrated(self, values: np.ndarray) -> np.ndarray:
        found = np.empty((len(values), len(self.settings.names)))
        for start in range(0, len(values), BLOCK):
            rows = slice(start, start + BLOCK)
            found[rows] = softmax(self.scale * self.logits(values[rows]) + np.array(self.biases), axis=1)
        return found


def fusion_signal(
    model: FusionModel, inputs: FusionInputs, rows: slice, *, mask: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Predict rows: probability of rising less probability of falling, in [-1, 1], known before each row opens.

    Parameters
    ----------
    model : FusionModel
    inputs : FusionInputs
        Features of all bars.
    rows : slice
        Positions of the rows to predict.
    mask : DataFrame of bool, shape (bars, symbols), optional
        Cells to predict. The others, and those where no feature speaks, are exactly 0.

    Returns
    -------
    DataFrame, shape (rows, symbols)

    Raises
    ------
    LeakError
        If a row is decided before all that the model learnt from was known.
    DataError
        If a feature of the model is missing, or the mask is labelled differently.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.data_loaders.schemas import Prices
    >>> from embargo.signals.fusion import (
    ...     fit_fusion,
    ...     fusion_inputs,
    ...     fusion_samples,
    ...     fusion_signal,
    ...     market_features,
    ... )
    >>> rng = np.random.default_rng(1)
    >>> days = pd.date_range('2024-01-01', periods=300, tz='UTC')
    >>> close = pd.DataFrame(100.0 * np.exp(rng.normal(0.0, 0.01, (300, 3)).cumsum(axis=0)), days, list('ABC'))
    >>> day = pd.Timedelta('1D')
    >>> prices = Prices(close, 1.01 * close, 0.99 * close, close, 0.0 * close + 1e6, days, days + day, '24/7')
    >>> market = market_features(prices, np.arange(300) - 1, names=['return_1', 'return_5'])
    >>> inputs = fusion_inputs({}, market.panels, days - pd.Timedelta('5min'))
    >>> samples = fusion_samples(inputs, prices).frame
    >>> model = fit_fusion(samples[samples['row'] < 180], samples[samples['row'].between(190, 240)])
    >>> signal = fusion_signal(model, inputs, slice(250, 300))
    >>> signal.shape, bool((signal.abs() <= 1.0).all(axis=None))
    ((50, 3), True)
    """
    decided = inputs.decided_at[rows]
    if len(decided) and decided.min() < model.trained_until:
        raise LeakError(
            f"fusion: the model learnt from what was known by {model.trained_until}, and row {rows.start or 0} is "
            f"decided at {decided.min()}. Predict later rows, or fit on earlier samples."
        )
    absent = [name for name in model.features if name not in inputs.panels]
    if absent:
        raise DataError(f"fusion: the model reads {absent}, which the inputs lack. Make them as for its samples.")
    wanted = (chosen_cells(inputs, mask) & inputs.speaking())[rows]
    row, column = np.nonzero(wanted)
    chosen = FusionInputs({name: inputs.panels[name].iloc[rows] for name in model.features}, decided)
    shares = model._calibrated(chosen.take(model.features, row, column))
    signal = np.zeros(wanted.shape)
    signal[row, column] = np.clip(shares[:, -1] - shares[:, 0], -1.0, 1.0)
    return pd.DataFrame(signal, index=inputs.frame.index[rows], columns=inputs.frame.columns)


def feature_values(samples: pd.DataFrame, names: Sequence[str], what: str) -> np.ndarray:
    """Return the columns of features, float64 of shape (samples, features); ``what`` they are, for the error's text."""
    absent = [name for name in names if name not in samples.columns]
    if absent:
        raise DataError(f"fusion: the {what} have no {absent}. Make them with fusion_samples from the same features.")
    return np.asarray(samples[list(names)].to_numpy(dtype=float))


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
