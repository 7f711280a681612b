"""What all contracts share: classes of opinion, fields of prices, the type of an instant and how one is written."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

UTC_DTYPE = pd.DatetimeTZDtype(unit="us", tz="UTC")
CLASSES = ("bearish", "neutral", "bullish")
PRICE_FIELDS = ("open", "high", "low", "close", "volume")


def iso_stamp(value: Any) -> pd.Timestamp:
    """Read one date or time, a text only in ISO 8601; without a zone where it states none.

    Pandas by itself takes ``GMT+8`` for eight hours west of Greenwich, and reads ``now`` off the clock.

    Raises
    ------
    ValueError
        If a text is written in another way.
    """
    if not isinstance(value, str):
        return pd.Timestamp(value)
    if not re.match(r"\s*\d{4}", value):
        raise ValueError(f"{value!r} is no ISO 8601 time")
    return pd.Timestamp(pd.to_datetime(re.sub(r"(?i)\s*(?:UTC|GMT|Z)\s*$", "Z", value.strip()), format="ISO8601"))
