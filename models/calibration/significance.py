"""Whether probabilities are calibrated or chance alone keeps them from it, after Spiegelhalter.

Articles that depend on each other count for what they are worth together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import erfc

from embargo.models.calibration.forecasts import check_probabilities, checked, design_effect, members_of


@dataclass(frozen=True)
class CalibrationTest:
    """Outcome of a test whose null hypothesis is perfect calibration.

    Attributes
    ----------
    z : float or None
        Standard normal under the null. Positive: the Brier score is worse than the probabilities promise
        (overconfident where they are far from even); negative: better. None if every probability is 0 or 1, or even.
    p_value : float or None
        Two-sided.

    Examples
    --------
    >>> from embargo.models import CalibrationTest
    >>> CalibrationTest(z=2.5, p_value=0.012).z > 0  # worse than promised: overconfident
    True
    """

    z: float | None
    p_value: float | None


def calibration_test(
    probs: np.ndarray, labels: np.ndarray, *, groups: Sequence[Any] | np.ndarray | None = None
) -> CalibrationTest:
    """Test whether whole forecasts are calibrated: whether the Brier score is what the probabilities promise.

    Parameters
    ----------
    probs : ndarray, shape (n, 3)
    labels : ndarray of int, shape (n,)
        Of articles that the calibration was not fitted on.
    groups : sequence of length n, optional
        Names clusters of dependent articles, as in `reliability_table`. Without, articles must be independent:
        near-duplicates make the test reject too often.

    Returns
    -------
    CalibrationTest

    References
    ----------
    Spiegelhalter 1986, "Probabilistic prediction in patient management and clinical trials", Statistics in Medicine 5.
    His two outcomes are generalised to any number: given p, the Brier score varies only through the probability of the
    class that occurs, which has mean sum(p^2) and variance sum(p^3) - sum(p^2)^2.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models import calibration_test
    >>> probs = np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    >>> labels = np.array([0, 2, 1, 2])
    >>> found = calibration_test(probs, labels)
    >>> round(found.z, 2), round(found.p_value, 2)
    (0.25, 0.8)
    """
    return _spiegelhalter(*checked(probs, labels), groups)


def confidence_test(
    probs: np.ndarray, labels: np.ndarray, *, groups: Sequence[Any] | np.ndarray | None = None
) -> CalibrationTest:
    """Test whether confidence is the probability of being right: of the articles scored 0.8, whether 80 % are right.

    Reference as in `calibration_test`; the forecast is (confidence, 1 - confidence) of (right, wrong).
    Confidence near 0.5 carries no weight in it; `reliability_table` shows each bin with its interval.

    Parameters
    ----------
    probs : ndarray, shape (n, 3)
        Probabilities of bearish, neutral and bullish; rows sum to 1.
    labels : ndarray of int, shape (n,)
        0 bearish, 1 neutral, 2 bullish.
    groups : sequence of length n, optional
        Names clusters of dependent articles, as in `reliability_table`.

    Returns
    -------
    CalibrationTest

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models import confidence_test
    >>> probs = np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    >>> labels = np.array([0, 2, 1, 2])
    >>> found = confidence_test(probs, labels)
    >>> round(found.z, 2), round(found.p_value, 2)
    (0.25, 0.8)
    """
    values, classes = checked(probs, labels)
    confidence = values.max(axis=1)
    wrong = (values.argmax(axis=1) != classes).astype(np.int64)
    return _spiegelhalter(np.column_stack([confidence, 1 - confidence]), wrong, groups)


def _spiegelhalter(
    values: np.ndarray, classes: np.ndarray, groups: Sequence[Any] | np.ndarray | None
) -> CalibrationTest:
    check_probabilities(values, what="calibration test")
    promised = (values**2).sum(axis=1)
    variance = float(np.maximum((values**3).sum(axis=1) - promised**2, 0.0).sum())
    if variance <= 1e-12 * len(classes):
        return CalibrationTest(None, None)
    surprises, members = promised - values[np.arange(len(classes)), classes], members_of(groups, len(classes))
    if members is not None:
        variance *= design_effect(surprises, members)
    z = float(surprises.sum() / np.sqrt(variance))
    return CalibrationTest(z, float(erfc(abs(z) / np.sqrt(2))))
