"""Sample frames and splits of every kind for the tests of splitting."""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.data_loaders.splits import (
    combinatorial,
    groups_by_calendar,
    groups_by_count,
    holdout,
    walk_forward,
    walk_forward_by_count,
)
from embargo.data_loaders.splits.purging import PARTS, TimeSplit

HOUR = pd.Timedelta(hours=1)
NOTHING = pd.Timedelta(0)
START, END = pd.Timestamp("2020-01-01", tz="UTC"), pd.Timestamp("2021-01-20", tz="UTC")


def utc(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def samples_at(known: list[pd.Timestamp], horizons: list[pd.Timedelta] | pd.Timedelta = NOTHING) -> pd.DataFrame:
    known_at = pd.Series(pd.DatetimeIndex(known).as_unit("us"))
    ends_at = known_at + (horizons if isinstance(horizons, pd.Timedelta) else pd.Series(horizons))
    return pd.DataFrame(
        {
            "article_id": [f"a{number:04d}" for number in range(len(known))],
            "text": [f"story {number}" for number in range(len(known))],
            "label": np.arange(len(known)) % 3,
            "known_at": known_at,
            "starts_at": known_at,
            "ends_at": ends_at,
        }
    )


def daily(start: str, end: str, horizon_days: int = 0) -> pd.DataFrame:
    days = pd.date_range(start, end, freq="D", tz="UTC", inclusive="left")
    return samples_at(list(days), pd.Timedelta(days=horizon_days))


def unpurged(samples: pd.DataFrame, split: TimeSplit) -> dict[str, pd.DataFrame]:
    """Cut samples by window alone."""
    return {
        name: samples[np.logical_or.reduce([window.holds(samples["known_at"]) for window in split.windows[name]])]
        for name in PARTS
    }


def _calendar(train_span):
    return lambda samples: walk_forward(
        START, "2020-07-01", END, test_span="2MS", validation_span=pd.Timedelta(days=40), train_span=train_span
    )


def _count(train_count):
    return lambda samples: walk_forward_by_count(
        START,
        "2020-07-01",
        END,
        instants=samples["known_at"],
        test_count=max(1, len(samples) // 5),
        validation_count=max(1, len(samples) // 7),
        train_count=train_count and max(1, len(samples) // train_count),
    )


MODES = {
    "holdout": lambda samples: [holdout(START, "2020-05-01", "2020-07-01", END)],
    "expanding": _calendar(None),
    "rolling": _calendar("80D"),
    "rolling by offset": _calendar(pd.DateOffset(months=3)),
    "expanding by count": _count(None),
    "rolling by count": _count(6),
    "combinatorial by count": lambda samples: combinatorial(
        groups_by_count(START, END, instants=samples["known_at"], n_groups=5), n_test=2
    ),
    "combinatorial by calendar": lambda samples: combinatorial(
        groups_by_calendar([START, "2020-03-01", "2020-05-15", "2020-08-01", "2020-08-20", "2020-11-01", END]),
        n_test=3,
        n_validation=2,
    ),
}
