"""The same texts asked alone and together: what stands beside a text in a batch may not speak along.

A reader that scales by its batch, pads so that neighbours shift positions, or is asked several articles in one prompt,
gives each article an answer that hangs on which others happened to be read with it, later ones among them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import AuditVerdict, Finding, evidence_rows, require_columns
from embargo.backtest.leakage.memory.repeated import STEADY
from embargo.backtest.leakage.rereading import ROUNDING
from embargo.data_loaders.fields import CLASSES

_UNIT = "largest change of a probability"
_TOGETHER, _ALONE, _REPEATED = (
    [f"{part}_{name}" for name in CLASSES] for part in ("again", "alone", "repeated")
)  # fmt: skip


def check_batch_mates(readings: pd.DataFrame) -> Finding:
    """Hold what a reader says of texts that are read together against what it says of each alone (R3).

    A probability that differs by more than 0.05 is a leak; a root mean square difference of 0.01 of bullish less
    bearish is suspicious, since half precision and padding stay below it. A reader that gives a text that is alone
    another answer the second time does not repeat itself, which proves nothing about its company.

    Silent on: companies other than those that were tried, and texts that were not asked alone.

    Parameters
    ----------
    readings : DataFrame
        One row per text: ``article_id``, the probabilities when read together with others (``again_bearish,
        again_neutral, again_bullish``) and alone (``alone_*``), NaN where it was not asked so, and, where it was asked
        alone twice, the second time (``repeated_*``).

    Returns
    -------
    Finding
        Code ``R3``; ``effect`` is the largest change of a probability.

    Raises
    ------
    DataError
        If columns are missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_batch_mates
    >>> said = {"bearish": [0.2, 0.1], "neutral": [0.5, 0.2], "bullish": [0.3, 0.7]}
    >>> frame = pd.DataFrame({"article_id": ["a", "b"], **{f"again_{name}": said[name] for name in said}})
    >>> alone = frame.assign(**{f"alone_{name}": said[name] for name in said})
    >>> check_batch_mates(alone).verdict
    'pass'
    >>> check_batch_mates(alone.assign(alone_bearish=[0.4, 0.1], alone_bullish=[0.1, 0.7])).verdict
    'leak'
    """
    require_columns(readings, ("article_id", *_TOGETHER, *_ALONE), where="texts asked alone")
    check = CHECKS["check_batch_mates"]
    together, alone = (readings[names].to_numpy(dtype=float) for names in (_TOGETHER, _ALONE))
    asked = np.isfinite(together).all(axis=1) & np.isfinite(alone).all(axis=1)
    n = int(asked.sum())
    if not n:
        detail = "No text was asked alone: what the reader answered lay in the cache, and no model was loaded."
        return Finding(check.code, "inconclusive", check.title, detail)
    apart = np.abs(alone - together).max(axis=1)
    moved = _tilt(alone[asked]) - _tilt(together[asked])
    effect, rms = float(apart[asked].max()), float(np.sqrt(np.mean(moved**2)))
    said = (
        f"{n:,} texts were asked alone as well as among others; their probabilities differ by {effect:.4f} at most, "
        f"bullish less bearish by {rms:.4f} (root mean square)."
    )
    if not company_matters(together[asked], alone[asked]):
        return Finding(check.code, "pass", check.title, said, effect=effect, unit=_UNIT)
    if set(_REPEATED) <= set(readings):
        again = readings[_REPEATED].to_numpy(dtype=float)
        twice = asked & np.isfinite(again).all(axis=1)
        if twice.any() and company_matters(alone[twice], again[twice]):
            detail = (
                f"inconclusive: non-deterministic. {said} But a text that is asked alone twice gets another answer too "
                f"(apart by up to {np.abs(again - alone)[twice].max():.4f})."
            )
            remedy = "Read with sampling off, then ask again; embargo audit --probe asks whether a reader repeats."
            return Finding(check.code, "inconclusive", check.title, detail, effect=effect, unit=_UNIT, remedy=remedy)
    order = np.argsort(-np.where(asked, apart, -1.0), kind="stable")
    shown = [name for name in ("article_id", "fold", "text", *_TOGETHER, *_ALONE) if name in readings]
    verdict: AuditVerdict = "leak" if effect > ROUNDING else "suspicious"
    rows = evidence_rows(readings.iloc[order[:n]][shown])
    return Finding(check.code, verdict, check.title, said, rows, effect, _UNIT, check.remedy)


def company_matters(together: np.ndarray, alone: np.ndarray) -> bool:
    """Tell whether probabilities of texts, shape (texts, 3), differ by more than rounding and padding explain."""
    return bool(
        np.abs(alone - together).max(initial=0.0) > ROUNDING
        or np.sqrt(np.mean((_tilt(alone) - _tilt(together)) ** 2)) >= STEADY
    )


def _tilt(probabilities: np.ndarray) -> np.ndarray:
    """Bullish less bearish."""
    tilt: np.ndarray = probabilities[:, CLASSES.index("bullish")] - probabilities[:, CLASSES.index("bearish")]
    return tilt
