"""What a leakage check reports: one frozen finding with a verdict, the numbers behind it and the first offending rows.

A finding never repairs anything. Everything in it can be written as JSON, and a single leak makes a run invalid.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from pandas.api.typing import NaTType

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import iso_stamp

AuditVerdict = Literal["pass", "leak", "suspicious", "inconclusive", "not-applicable"]

EVIDENCE_ROWS = 5
GRAVITY: tuple[AuditVerdict, ...] = ("leak", "suspicious", "inconclusive", "pass", "not-applicable")


@dataclass(frozen=True)
class Finding:
    """The answer of one check.

    Attributes
    ----------
    code : str
        Stable code of the leak the check looks for, such as ``"T1"``.
    verdict : AuditVerdict
        ``"leak"`` is proven, ``"suspicious"`` wants a person's eye, ``"inconclusive"`` means the check had no power,
        ``"not-applicable"`` that the question does not arise.
    title : str
        What was checked, in a few words.
    detail : str
        What was found, in plain words with numbers.
    evidence : list of dict
        First offending rows, JSON-able; empty where there are none.
    effect : float or None
        Size of what was found, in ``unit``.
    interval : (float, float) or None
        95 % interval of the effect; None where it is counted exactly or has no size.
    unit : str
        Words for the unit of ``effect``, such as ``"share of articles"``.
    remedy : str
        What to do about it; empty where nothing need be done.

    Examples
    --------
    >>> from embargo.backtest.leakage import Finding
    >>> Finding('T1', 'pass', 'Every fill follows its decision', 'All 12 fills do.').to_dict()['verdict']
    'pass'
    """

    code: str
    verdict: AuditVerdict
    title: str
    detail: str
    evidence: list[dict[str, Any]] = field(default_factory=list)
    effect: float | None = None
    unit: str = ""
    remedy: str = ""
    interval: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.verdict not in get_args(AuditVerdict):
            raise ValueError(f"verdict must be one of {get_args(AuditVerdict)}, got {self.verdict!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as plain JSON values: instants as ISO text, missing and infinite numbers as null."""
        return {
            "code": self.code,
            "verdict": self.verdict,
            "title": self.title,
            "detail": self.detail,
            "evidence": [plain(row) for row in self.evidence],
            "effect": plain(self.effect),
            "interval": plain(self.interval),
            "unit": self.unit,
            "remedy": self.remedy,
        }


def overall_verdict(findings: Iterable[Finding]) -> AuditVerdict:
    """Return the gravest verdict: leak, then suspicious, inconclusive, pass, not-applicable (also when empty).

    Parameters
    ----------
    findings : iterable of Finding
        Of all checks.

    Returns
    -------
    str
        One of `GRAVITY`.

    Examples
    --------
    >>> from embargo.backtest.leakage import check_costs, check_latency, overall_verdict
    >>> import pandas as pd
    >>> hour = pd.Timedelta(hours=1)
    >>> overall_verdict([check_costs({'fee': 0.0005}), check_latency(0 * hour, hour)])
    'suspicious'
    """
    seen = {finding.verdict for finding in findings}
    return next((verdict for verdict in GRAVITY if verdict in seen), "not-applicable")


def is_invalid(findings: Iterable[Finding]) -> bool:
    """Tell whether a run with these findings is invalid: any proven leak makes it so.

    Parameters
    ----------
    findings : iterable of Finding
        Of all checks.

    Returns
    -------
    bool

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_undated, is_invalid
    >>> undated = pd.DataFrame({'article_id': ['a'], 'published_at': pd.to_datetime([None], utc=True)})
    >>> is_invalid([check_undated(undated)])
    True
    """
    return overall_verdict(findings) == "leak"


def plain(value: Any) -> Any:
    """Convert a value to what JSON can carry: str, int, float, bool, None, and lists and dicts of these."""
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset | np.ndarray | pd.Series | pd.Index):
        return [plain(item) for item in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer) and not isinstance(value, np.timedelta64):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return str(value)


def share_interval(count: float, n: int) -> tuple[float, float] | None:
    """Return the 95 % interval of a share (Wilson 1927); None of nothing."""
    if not n:
        return None
    z, share = 1.959964, count / n
    centre, spread = share + z**2 / (2 * n), z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    # At none and at all the two terms are equal, and their difference would be rounded past the share itself.
    low, high = max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
    return min(low, share), max(high, share)


def moment(instant: pd.Timestamp) -> str:
    """Write an instant for a reader: to the minute, in UTC."""
    return f"{instant.tz_convert('UTC'):%Y-%m-%d %H:%M} UTC"


def length(span: pd.Timedelta) -> str:
    """Write a span for a reader: its two largest units, such as ``1 day 3 h``."""
    minutes = int(abs(span) / pd.Timedelta(minutes=1))
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [f"{days:,} day{'s' if days != 1 else ''}"] if days else []
    parts += [f"{hours} h"] if hours else []
    parts += [f"{rest} min"] if rest and not days else []
    return " ".join(parts[:2]) or "0 min"


def evidence_rows(frame: pd.DataFrame, limit: int = EVIDENCE_ROWS) -> list[dict[str, Any]]:
    """Return the first rows of a frame as JSON-able dicts, at most ``limit`` of them."""
    return [{str(key): plain(item) for key, item in row.items()} for row in frame.head(limit).to_dict("records")]


def require_columns(frame: pd.DataFrame, columns: Iterable[str], *, where: str) -> None:
    """Raise DataError naming the columns that ``frame`` lacks."""
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise DataError(f"{where}: missing columns {missing}; it has {list(map(str, frame.columns))}. Add them.")


def utc_array(values: pd.Series | pd.DatetimeIndex) -> np.ndarray:
    """Return timezone-aware instants as a datetime64[us] array in UTC, shape (n,), for fast comparison and search."""
    return np.asarray(pd.DatetimeIndex(values).tz_convert(None).as_unit("us"), dtype="datetime64[us]")


def aware_instant(value: Any, *, what: str) -> pd.Timestamp:
    """Return one timezone-aware instant in UTC.

    Raises
    ------
    DataError
        If the value is missing, unreadable or has no time zone.
    """
    try:
        instant: pd.Timestamp | NaTType = iso_stamp(value)
    except (TypeError, ValueError) as failure:
        raise DataError(f"{what}: {value!r} is no instant. Write it as ISO 8601 with an offset.") from failure
    if isinstance(instant, NaTType):
        raise DataError(f"{what}: the instant is missing. Write it as ISO 8601 with an offset.")
    if instant.tzinfo is None:
        raise DataError(f"{what}: {instant} has no time zone. Write it with an offset, such as +00:00.")
    return instant.tz_convert("UTC")
