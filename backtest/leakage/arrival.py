"""When articles could first be had: what was read before it was seen, and history that was filled in later."""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import (
    AuditVerdict,
    Finding,
    evidence_rows,
    require_columns,
    share_interval,
    utc_array,
)
from embargo.data_loaders.checks.arrival import LATE, LATE_BAD, LOAD_ROWS
from embargo.data_loaders.schemas import as_utc

# Of the late articles, the share that came on one day from which that day is one of loading.
LOADED = 0.5
# After an outage a feed catches up within a month: what came on one day from farther back was loaded.
LONG_LATE, LONG_LATE_SHARE = pd.Timedelta(days=30), 0.01
# Share of later versions under the date of the first from which a person should look.
REVISED = 0.01
_TITLE = CHECKS["check_backfill"].title


def check_backfill(articles: pd.DataFrame) -> Finding:
    """Ask whether articles were read before they were seen, and whether history was filled in (D2).

    An article that is known earlier than it was seen is a leak. Seen more than two days after publication, at least 30
    articles and 10 % of those that state it, half of them on one day, are a history that was loaded then, and so are 30
    and 1 % on one day from more than a month before: suspicious, since what was filled in was chosen, or edited, with
    hindsight, even where it is read no sooner. So are later versions (``revision`` above 0) that count as seen when the
    first was published, from 1 % on.

    Silent on: archives that do not say when articles were seen (not applicable), or say that it was when they were
    published, and smaller loads.

    Parameters
    ----------
    articles : DataFrame
        ``published_at, seen_at, known_at`` (UTC; ``seen_at`` equal to ``published_at`` states nothing), and optionally
        ``revision`` (0 is the first version). ``article_id`` and ``source`` are shown as evidence.

    Returns
    -------
    Finding
        Code ``D2``; ``effect`` is the share of articles read before they were seen, or of those that came late.

    Raises
    ------
    DataError
        If a column is missing or an instant is naive.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_backfill
    >>> at = pd.Series(pd.date_range("2014-01-01", periods=60, tz="UTC"))
    >>> frame = pd.DataFrame({"published_at": at, "seen_at": at + pd.Timedelta("1min"), "known_at": at})
    >>> check_backfill(frame).verdict, check_backfill(frame.assign(known_at=frame["seen_at"])).verdict
    ('leak', 'pass')
    >>> loaded = frame.assign(seen_at=at.iloc[-1], known_at=at.iloc[-1])
    >>> check_backfill(loaded).verdict
    'suspicious'
    """
    require_columns(articles, ("published_at", "seen_at", "known_at"), where="articles")
    published, seen, known = (
        utc_array(as_utc(articles[name], what=f"articles, column {name}"))
        for name in ("published_at", "seen_at", "known_at")
    )
    shown = [name for name in ("article_id", "source", "published_at", "seen_at", "known_at") if name in articles]
    unit = "share of articles"
    early = known < seen
    if early.any():
        said = f"{int(early.sum())} of {len(articles)} articles count as known before they were seen."
        share = float(early.mean())
        return _finding("leak", said, articles.loc[early, shown], share, unit, len(articles), _AS_SEEN)
    if "revision" in articles:
        revision = pd.to_numeric(articles["revision"], errors="coerce").fillna(0).to_numpy(dtype=float)
        later = (revision > 0) & (seen <= published)
        if later.mean() >= REVISED:
            said = (
                f"{int(later.sum())} of {len(articles)} articles are later versions and count as seen when the first "
                "was published."
            )
            return _finding(
                "suspicious", said, articles.loc[later, shown], float(later.mean()), unit, len(articles), _AS_SEEN
            )
    stated = seen != published
    if not stated.any():
        said = "No article says when it was first seen: all count as known when published."
        return Finding("D2", "not-applicable", _TITLE, said, unit=unit)
    late = stated & (seen - published > LATE.to_timedelta64())
    count, n = int(late.sum()), int(stated.sum())
    said = f"{count} of {n} articles that say when they were seen were seen more than two days after publication"
    verdict: AuditVerdict = "pass"
    if count:
        on, loads = np.unique(seen[late].astype("datetime64[D]"), return_counts=True)
        said += f", {int(loads.max())} of them on {on[int(np.argmax(loads))]}"
        old = seen[stated & (seen - published > LONG_LATE.to_timedelta64())].astype("datetime64[D]")
        oldest = int(np.unique(old, return_counts=True)[1].max(initial=0))
        many = loads.max() >= max(LOAD_ROWS, LOADED * count) and count >= LATE_BAD * n
        if many or oldest >= max(LOAD_ROWS, LONG_LATE_SHARE * n):
            verdict = "suspicious"
    said += ". None is read sooner than it was seen."
    remedy = (
        "Test only after the history was loaded (split.first_test): what was filled in was chosen with hindsight. "
        "Never set seen_at back to published_at."
    )
    return _finding(verdict, said, articles.loc[late, shown], count / n, unit, n, remedy)


_AS_SEEN = "Map the instant at which each version was first had to seen_at, and let known_at be no earlier."


def _finding(
    verdict: AuditVerdict, said: str, rows: pd.DataFrame, share: float, unit: str, n: int, remedy: str
) -> Finding:
    return Finding(
        "D2",
        verdict,
        _TITLE,
        said,
        evidence_rows(rows),
        share,
        unit,
        "" if verdict == "pass" else remedy,
        share_interval(share * n, n),
    )
