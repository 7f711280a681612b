"""A reader that agrees with the labels of the test as nobody who has not seen them does.

No reader judges news without a mistake, and none judges what it has not seen better than what it was calibrated on.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import Finding, require_columns, share_interval

# Labelled test samples from which on a perfect record is no luck, and the share that none exceeds.
FEWEST, PERFECT = 100, 0.98
# Standard errors and share by which the test may exceed the validation part. In 4,000 simulated folds of each of three
# readers that are equally good in both, none did; the test of this module repeats it.
FARTHEST, SMALLEST = 5.0, 0.1
_UNIT = "share of labelled test samples"


def check_label_agreement(answers: pd.DataFrame, validation: pd.DataFrame | None = None) -> Finding:
    """Ask whether a reader knows the labels that it is measured by (S7).

    Suspicious are a share of right answers whose 95 % interval (Wilson) lies above 98 % of 100 labelled test samples or
    more (which takes 189 without a mistake); and, in any fold, a share 10 points and 5 standard errors above that of
    the validation part. Samples of a day tell of the same events, so errors count days as wholes where that makes them
    larger.

    Silent on: readers that know so few labels that neither shows, or as many of the validation part; labels that the
    reader itself made agree with it of themselves.

    Parameters
    ----------
    answers : DataFrame
        One row per labelled test sample: ``fold``, ``label`` and ``told`` (classes), and ``day`` where known.
    validation : DataFrame, optional
        One row per fold: ``fold``, ``accuracy`` (share right) and ``n`` (samples). Left out where the share may differ
        for other reasons, as of labels made from returns.

    Returns
    -------
    Finding
        Code ``S7``; ``effect`` is the share of right answers, or by how much it exceeds that of the validation part.

    Raises
    ------
    DataError
        If columns are missing.

    References
    ----------
    Wilson (1927), "Probable Inference"; Agresti (2013), "Categorical Data Analysis", 3.1.3, for the difference of two
    shares under one common one.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_label_agreement
    >>> label = np.arange(300) % 3
    >>> told = np.where(np.arange(300) % 4, label, 1)
    >>> frame = pd.DataFrame({"fold": 0, "label": label, "told": told})
    >>> before = pd.DataFrame({"fold": [0], "accuracy": [0.8], "n": [90]})
    >>> check_label_agreement(frame, before).verdict
    'pass'
    >>> check_label_agreement(frame.assign(told=label), before).verdict
    'suspicious'
    """
    check = CHECKS["check_label_agreement"]
    require_columns(answers, ("fold", "label", "told"), where="answers beside labels")
    right = (answers["label"].to_numpy() == answers["told"].to_numpy()).astype(float)
    n = len(right)
    jumps = [] if validation is None else _jumps(answers.assign(right=right), validation)
    interval = share_interval(float(right.sum()), n)
    if interval is not None and n >= FEWEST and interval[0] > PERFECT:
        detail = (
            f"The reader gives {int(right.sum()):,} of {n:,} labelled test samples their label ({right.mean():.1%}, "
            f"95% interval from {interval[0]:.1%}): it knows the labels of the test, or made them."
        )
        return Finding(
            check.code, "suspicious", check.title, detail, jumps, float(right.mean()), _UNIT, check.remedy, interval
        )
    beyond = [row for row in jumps if row["standard_errors"] > FARTHEST and row["gained"] > SMALLEST]
    if beyond:
        worst = max(beyond, key=lambda row: float(row["standard_errors"]))
        detail = (
            f"In fold {worst['fold']} the reader gives {worst['test']:.1%} of {worst['n_test']:,} labelled test "
            f"samples their label, and {worst['validation']:.1%} of {worst['n_validation']:,} of the validation part: "
            f"{worst['standard_errors']:.1f} standard errors more. It knows labels of the test."
        )
        effect = float(worst["gained"])
        return Finding(check.code, "suspicious", check.title, detail, beyond, effect, _UNIT, check.remedy)
    if n < FEWEST:
        detail = f"{n:,} labelled test samples are too few to tell a reader that knows their labels from a good one."
        return Finding(check.code, "inconclusive", check.title, detail)
    most = max((row["standard_errors"] for row in jumps), default=None)
    held = "" if most is None else f", in no fold more than {most:.1f} standard errors above the validation part"
    detail = f"{right.mean():.1%} of {n:,} labelled test samples are given their label{held}."
    return Finding(check.code, "pass", check.title, detail, [], float(right.mean()), _UNIT, interval=interval)


def _jumps(answers: pd.DataFrame, validation: pd.DataFrame) -> list[dict[str, Any]]:
    """Hold the share of right answers in each fold against that of its validation part."""
    require_columns(validation, ("fold", "accuracy", "n"), where="accuracy on validation parts")
    rows = []
    for fold, before, n_before in validation[["fold", "accuracy", "n"]].itertuples(index=False, name=None):
        own = answers.loc[answers["fold"] == fold]
        if own.empty or not n_before:
            continue
        right, n = own["right"].to_numpy(), len(own)
        common = (right.sum() + before * n_before) / (n + n_before)
        days = own.get("day")
        error = math.sqrt(common * (1.0 - common) * (1.0 / n + 1.0 / n_before) * _together(right, days))
        gained = float(right.mean() - before)
        rows.append(
            {
                "fold": int(fold),
                "test": float(right.mean()),
                "n_test": n,
                "validation": float(before),
                "n_validation": int(n_before),
                "gained": gained,
                "standard_errors": gained / error if error > 0.0 else 0.0,
            }
        )
    return rows


def _together(right: np.ndarray, days: pd.Series | None) -> float:
    """Say how many times more a share varies whose samples come in days, at least once; shape (n,)."""
    off = right - right.mean()
    alone = float((off**2).sum())
    if days is None or days.isna().any() or alone <= 0.0:
        return 1.0
    return max(1.0, float((np.bincount(pd.factorize(days)[0], off) ** 2).sum()) / alone)
