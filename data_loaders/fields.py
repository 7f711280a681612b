"""Names and types that all contracts share: classes of opinion, fields of prices, the type of an instant."""

from __future__ import annotations

import pandas as pd

UTC_DTYPE = pd.DatetimeTZDtype(unit="us", tz="UTC")
CLASSES = ("bearish", "neutral", "bullish")
PRICE_FIELDS = ("open", "high", "low", "close", "volume")
