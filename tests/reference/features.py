"""Market features by the book, one symbol and one row at a time over plain lists, from the history cut at that row.

Slow on purpose and written without numpy or pandas; knows nothing of panels, packing or filters.
"""

from __future__ import annotations

import math
from itertools import pairwise


def _ema(values: list[float], window: int, first: int) -> list[float]:
    """Exponential means of values[first:], the first of them a plain mean."""
    current = math.fsum(values[first - window + 1 : first + 1]) / window
    means = [current]
    for value in values[first + 1 :]:
        current += 2 / (window + 1) * (value - current)
        means.append(current)
    return means


def _wilder(values: list[float], window: int) -> float:
    current = math.fsum(values[:window]) / window
    for value in values[window:]:
        current = (current * (window - 1) + value) / window
    return current


def _rsi(close: list[float]) -> float:
    changes = [b - a for a, b in pairwise(close)]
    up, down = _wilder([max(c, 0.0) for c in changes], 14), _wilder([max(-c, 0.0) for c in changes], 14)
    return 50.0 if up + down == 0 else 100.0 - 100.0 / (1.0 + up / down) if down else 100.0


def _atr(high: list[float], low: list[float], close: list[float]) -> float:
    ranges = []
    for i in range(1, len(close)):
        ranges.append(max(high[i] - low[i], abs(high[i] - close[i - 1]), abs(low[i] - close[i - 1])))
    return _wilder(ranges, 14)


def _deviation(values: list[float], lost: int) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - lost))


def _bollinger(window: list[float]) -> float:
    if max(window) == min(window):
        return 0.5
    middle, width = math.fsum(window) / 20, 2 * _deviation(window, 0)
    return (window[-1] - (middle - width)) / (2 * width)


def _vwap(high, low, close, volume) -> float:
    traded = math.fsum(volume[-20:])
    if not traded > 0:
        return math.nan
    paid = [(h + lo + c) / 3 * v for h, lo, c, v in zip(high[-20:], low[-20:], close[-20:], volume[-20:], strict=True)]
    return close[-1] / (math.fsum(paid) / traded) - 1


def features_of(high: list[float], low: list[float], close: list[float], volume: list[float]) -> dict[str, float]:
    """Features known after the last of these bars, on all of which the symbol traded."""
    n, last = len(close), close[-1] if close else math.nan
    found = {}
    for over in (1, 5, 20):
        found[f"return_{over}"] = last / close[-1 - over] - 1 if n > over else math.nan
    if n >= 20:
        mean = math.fsum(volume[-20:]) / 20
        found["volume_ratio"] = volume[-1] / mean if mean > 0 else math.nan
        found["bollinger_position"] = _bollinger(close[-20:])
        found["vwap_distance"] = _vwap(high, low, close, volume)
    if n >= 21:
        found["volatility_20"] = _deviation([math.log(b / a) for a, b in pairwise(close[-21:])], 1)
    if n >= 15:
        found["rsi_14"] = _rsi(close)
        found["atr_ratio"] = _atr(high, low, close) / last
    if n >= 26:
        line = [fast - slow for fast, slow in zip(_ema(close, 12, 25), _ema(close, 26, 25), strict=True)]
        found["macd"] = line[-1] / last
        if n >= 34:
            found["macd_histogram"] = (line[-1] - _ema(line, 9, 8)[-1]) / last
    return found


def feature_row(high, low, close, volume, newest: int) -> dict[str, float]:
    """Features of one row and symbol from whole columns, of which only bars up to ``newest`` are read."""
    seen = [
        bar
        for bar in zip(high[: newest + 1], low[: newest + 1], close[: newest + 1], volume[: newest + 1], strict=True)
        if not any(math.isnan(price) for price in bar[:3])
    ]
    if newest < 0 or any(math.isnan(column[newest]) for column in (high, low, close)):
        return {}
    return features_of(*(list(column) for column in zip(*seen, strict=True)))
