"""Whether a result was picked: how many attempts it may be the best of, and whether its edge survives them.

What was tried comes from a ledger of attempts, and from a statement of those made elsewhere; an attempt in neither
leaves no trace, so that nothing stated and nothing recorded proves nothing.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import EVIDENCE_ROWS, AuditVerdict, Finding, evidence_rows, require_columns
from embargo.data_loaders.errors import DataError

# The best of so many is no accident: of a choice made beforehand it is one time in ten or less.
FEWEST_VARIANTS = 10

_UNTRADED = "It has no Sharpe ratio, as where nothing was traded, so it cannot have been picked by one."


def check_selection(
    attempts: pd.DataFrame, *, p_value: float | None, adjusted_p_value: float | None, significance: float
) -> Finding:
    """Ask whether settings were tuned on the bars that they are tested on (P1).

    Suspicious is the best of ten or more attempts that differ in tuning settings alone, whose edge does not survive the
    number of attempts. A choice made beforehand among n of them is the best in 1 of n cases.

    Silent on: attempts that no ledger knows, fewer than ten variants, and edges that survive their number.

    Parameters
    ----------
    attempts : DataFrame
        One row per attempt on the bars, the one in question among them: ``attempt`` (its name), ``sharpe`` (per bar),
        ``tuning`` (its settings in words), and bool ``own`` and ``alike`` (the same news, and settings that differ in
        tuning alone).
    p_value, adjusted_p_value : float or None
        One-sided, of the attempt in question, alone and among all attempts.
    significance : float
        Level of a claim.

    Returns
    -------
    Finding
        Code ``P1``; ``effect`` is the number of variants.

    Raises
    ------
    DataError
        If columns are missing, or not one row is the attempt in question.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_selection
    >>> tried = pd.DataFrame({"attempt": "mine", "sharpe": range(48), "tuning": "", "own": False, "alike": True})
    >>> tried.loc[47, "own"] = True
    >>> test = {"p_value": 0.01, "adjusted_p_value": 0.3, "significance": 0.05}
    >>> check_selection(tried, **test).verdict, check_selection(tried.tail(1), **test).verdict
    ('suspicious', 'not-applicable')
    """
    check, unit = CHECKS["check_selection"], "attempts that differ in tuning alone"
    require_columns(attempts, ("attempt", "sharpe", "tuning", "own", "alike"), where="attempts")
    own = _own(attempts)
    if own is None:
        return Finding("P1", "not-applicable", check.title, _UNTRADED)
    variants = attempts.loc[attempts["alike"] | attempts["own"]]
    n, rank = len(variants), _rank(variants, own)
    if n < 2:
        detail = "No other attempt on these bars, with the same news, differs from this one in tuning alone."
        return Finding("P1", "not-applicable", check.title, detail)
    told, survives = _survival(p_value, adjusted_p_value, significance)
    best = variants.sort_values("sharpe", ascending=False, kind="stable")[["attempt", "tuning", "sharpe"]]
    verdict: AuditVerdict = "suspicious" if rank == 1 and n >= FEWEST_VARIANTS and not survives else "pass"
    detail = (
        f"{n:,} attempts on these bars, with the same news, differ in tuning alone; this one is number {rank:,} by "
        f"Sharpe ratio. {told}"
    )
    remedy = check.remedy if verdict == "suspicious" else ""
    return Finding("P1", verdict, check.title, detail, evidence_rows(best, EVIDENCE_ROWS), float(n), unit, remedy)


def check_attempts(
    attempts: pd.DataFrame,
    *,
    elsewhere: int | None,
    p_value: float | None,
    adjusted_p_value: float | None,
    significance: float,
) -> Finding:
    """Ask whether all attempts on the bars were counted, and what is left of the result among them (P2).

    Where no other attempt is recorded and nobody says how many were made elsewhere, nothing is known: inconclusive.
    Suspicious is the best of ten or more recorded attempts whose edge does not survive their number.

    Silent on: attempts that were neither recorded nor stated.

    Parameters
    ----------
    attempts : DataFrame
        As in `check_selection`; ``alike`` is not read.
    elsewhere : int or None
        Attempts that were made with other tools, as stated; None where nobody says, 0 where there were none.
    p_value, adjusted_p_value : float or None
    significance : float
        As in `check_selection`.

    Returns
    -------
    Finding
        Code ``P2``; ``effect`` is the number of attempts that were counted.

    Raises
    ------
    DataError
        As `check_selection`.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_attempts
    >>> first = pd.DataFrame({"attempt": ["mine"], "sharpe": [0.1], "tuning": "", "own": True, "alike": True})
    >>> test = {"p_value": 0.01, "adjusted_p_value": 0.01, "significance": 0.05}
    >>> [check_attempts(first, elsewhere=stated, **test).verdict for stated in (None, 0)]
    ['inconclusive', 'pass']
    """
    check, unit = CHECKS["check_attempts"], "attempts counted"
    require_columns(attempts, ("attempt", "sharpe", "tuning", "own"), where="attempts")
    own = _own(attempts)
    if own is None:
        return Finding("P2", "not-applicable", check.title, _UNTRADED, [], float(len(attempts)), unit)
    recorded, rank = len(attempts), _rank(attempts, own)
    n = recorded + (elsewhere or 0)
    told, survives = _survival(p_value, adjusted_p_value, significance)
    if recorded == 1 and elsewhere is None:
        detail = (
            "No other attempt on these bars is recorded, and nobody says how many were made elsewhere, so nobody knows "
            "what this is the best of."
        )
        remedy = (
            "State how many there were: statistics.trials_elsewhere in a config (0 if this was the first), trials in "
            "Python and --trials on the command line (1 if this was the first, which counts)."
        )
        return Finding("P2", "inconclusive", check.title, detail, [], 1.0, unit, remedy)
    stated = "nobody says how many elsewhere" if elsewhere is None else f"{elsewhere:,} stated elsewhere"
    others = f"{recorded:,} attempts on these bars are recorded (this one is number {rank:,}) and {stated}"
    detail = f"{others if recorded > 1 else f'This is the only attempt recorded on these bars, {stated}'}. {told}"
    verdict: AuditVerdict = "suspicious" if rank == 1 and recorded >= FEWEST_VARIANTS and not survives else "pass"
    best = attempts.sort_values("sharpe", ascending=False, kind="stable")[["attempt", "tuning", "sharpe"]]
    shown: list[dict[str, Any]] = evidence_rows(best, EVIDENCE_ROWS) if recorded > 1 else []
    remedy = check.remedy if verdict == "suspicious" else ""
    return Finding("P2", verdict, check.title, detail, shown, float(n), unit, remedy)


def _own(attempts: pd.DataFrame) -> float | None:
    """Sharpe ratio of the attempt in question; None where it has none, for it never traded."""
    own = attempts.loc[attempts["own"].astype(bool), "sharpe"]
    if len(own) != 1:
        raise DataError(f"attempts: {len(own)} rows are the one in question. Mark one of them in the column own.")
    return None if pd.isna(own.iloc[0]) else float(own.iloc[0])


def _rank(attempts: pd.DataFrame, own: float) -> int:
    return 1 + int((attempts["sharpe"] > own).sum())


def _survival(p_value: float | None, adjusted: float | None, significance: float) -> tuple[str, bool]:
    """Say whether an edge at the level is left among all attempts."""
    if p_value is None or adjusted is None:
        return "Its Sharpe ratio has no p-value.", False
    survives = adjusted <= significance
    ends = "stands" if survives else "does not stand" if p_value <= significance else "was none alone either"
    return f"Its p is {p_value:.3f} alone and {adjusted:.3f} among all attempts: an edge {ends}.", survives
