"""The same texts read again: a reader that answers otherwise is not one model, whatever its name and its hash say.

A run asks a few texts again and holds the answers against what it traded (D9); here any reader is asked, and twice.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.backtest.leakage.findings import evidence_rows, require_columns
from embargo.backtest.leakage.memory.result import Probe, ProbeResult
from embargo.backtest.leakage.on_request import ON_REQUEST
from embargo.data_loaders.errors import DataError

# Root mean square by which answers may differ: more than half precision makes of a text that is read beside others.
STEADY = 0.01
# Fewer texts than this prove nothing.
FEWEST_TEXTS = 10

_PROBE = Probe(
    "M13",
    ON_REQUEST["check_repeated_readings"].title,
    "root mean square difference of two answers, in bullish less bearish probability",
    "Read with dropout and sampling off, at temperature 0, and name a model by its revision and not by an alias; then "
    "score anew.",
)


def check_repeated_readings(readings: pd.DataFrame) -> ProbeResult:
    """Hold two answers to the same texts, put in the same order, against each other (M13).

    Suspicious where they differ by 0.01 (root mean square of bullish less bearish probability): half precision and
    other batches stay below that; sampling, dropout and another model behind an alias do not.

    Silent on: a model that changed before the first of the two, or changes later.

    Parameters
    ----------
    readings : DataFrame
        One row per text: ``first`` and ``second``, in [-1, 1]. Others, such as ``article_id``, are shown as evidence.

    Returns
    -------
    ProbeResult
        ``effect`` is the root mean square difference; ``figures`` hold ``largest``, ``differing`` (share of texts of
        which the answers are not bit-identical) and ``n``.

    Raises
    ------
    DataError
        If columns are missing, or a reading has no value.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage.memory import check_repeated_readings
    >>> rng, said = np.random.default_rng(0), np.linspace(-0.5, 0.5, 40)
    >>> frame = pd.DataFrame({"first": said, "second": said + 1e-6})
    >>> check_repeated_readings(frame).verdict
    'pass'
    >>> check_repeated_readings(frame.assign(second=said + rng.normal(0.0, 0.05, 40))).verdict
    'suspicious'
    """
    require_columns(readings, ("first", "second"), where="repeated readings")
    values = readings[["first", "second"]].to_numpy(dtype=float)
    if not np.isfinite(values).all():
        raise DataError("repeated readings: a text has no answer. Leave it out, or read it again.")
    moved, n = np.abs(values[:, 1] - values[:, 0]), len(values)
    figures = {"n": float(n)}
    if n < FEWEST_TEXTS:
        return _PROBE.unproven(f"{n} texts that were read twice prove nothing; {FEWEST_TEXTS} are needed.", figures)
    effect = float(np.sqrt(np.mean(moved**2)))
    figures |= {"largest": float(moved.max()), "differing": float((moved > 0.0).mean())}
    said = (
        f"Of {n} texts that were read twice, {figures['differing']:.1%} got another answer the second time; answers "
        f"differ by {effect:.4f} (root mean square), and by {figures['largest']:.4f} at most."
    )
    if effect < STEADY:
        return _PROBE.answer("pass", said, effect, None, figures)
    furthest = readings.iloc[np.argsort(-moved, kind="stable")]
    shown = [name for name in ("article_id", "symbol", "at", "first", "second") if name in furthest]
    return _PROBE.answer("suspicious", said, effect, None, figures, evidence_rows(furthest[shown]))
