"""The contracts between the rooms: news, prices and scores, checked at the door.

All instants are timezone-aware UTC with microsecond resolution. A naive timestamp is an error, never a guess.
Validation names the first offending row and returns a normalised copy; it never repairs silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from embargo.data_loaders.errors import ConfigError, DataError, such
from embargo.data_loaders.fields import CLASSES, PRICE_FIELDS, UTC_DTYPE

_STRING = pd.StringDtype(na_value=np.nan)
_SHOWN = 5
_COLUMNS = ("symbol", "date", "open_at", *PRICE_FIELDS, "adj_close", "seen_at")


def as_utc(values: Any, *, what: str) -> pd.Series:
    """Convert instants to UTC microseconds, refusing naive ones.

    Parameters
    ----------
    values : Series or sequence of datetimes
        Timezone-aware instants, shape (n,); null entries are refused.
    what : str
        Name used in the error, such as ``"news.published_at of tweets.parquet"``.

    Returns
    -------
    Series of datetime64[us, UTC], shape (n,), index kept.

    Raises
    ------
    DataError
        If the values are naive, mixed, not instants at all, or missing.
    """
    series = values if isinstance(values, pd.Series) else pd.Series(values)
    if isinstance(series.dtype, np.dtype) and series.dtype.kind == "M":
        raise DataError(
            f"{what}: timestamps have no time zone (first: {series.iloc[0] if len(series) else 'none'}). "
            "Write them with an offset, or name the source's zone with 'timezone' in the config."
        )
    if not isinstance(series.dtype, pd.DatetimeTZDtype):
        if len(series) and not series.map(lambda value: hasattr(value, "tzinfo")).all():
            raise DataError(f"{what}: expected timezone-aware timestamps, found {series.dtype}. Parse them first.")
        naive = np.array([value is not pd.NaT and value.tzinfo is None for value in series], dtype=bool)
        if naive.any():
            first = int(np.argmax(naive))
            raise DataError(
                f"{what}: {int(naive.sum())} timestamps have no time zone, first {series.iloc[first]} at row "
                f"{series.index[first]!r}. "
                "Give every row an offset, or name the source's zone with 'timezone' in the config."
            )
        series = pd.to_datetime(series, utc=True)
    if series.isna().any():
        row = series.index[int(np.argmax(series.isna().to_numpy()))]
        raise DataError(
            f"{what}: {int(series.isna().sum())} rows have no timestamp, first at row {row!r}. Set them aside first."
        )
    return series.dt.tz_convert("UTC").astype(UTC_DTYPE)


def check_numbers(panel: pd.DataFrame, *, where: str) -> None:
    """Refuse a panel of which a column holds texts, truths or anything else that is no number; NaN is one.

    Raises
    ------
    DataError
        Naming the first such column.
    """
    for place, kind in enumerate(panel.dtypes):
        if pd.api.types.is_any_real_numeric_dtype(kind):
            continue
        column = panel.iloc[:, place]
        odd = [value for value in column if isinstance(value, bool) or not isinstance(value, Real)]
        if odd or kind.kind != "O":
            what = f"{odd[0]!r}" if odd else str(kind)
            raise DataError(f"{where}: {panel.columns[place]} holds {what}, no number. Convert the columns first.")


def utc_microseconds(values: pd.Series | pd.DatetimeIndex) -> np.ndarray:
    """Return timezone-aware instants as datetime64[us] in UTC, shape (n,), for comparisons and searches.

    A plain ``to_numpy()`` of timezone-aware values makes an array of Python objects, slower by orders of magnitude.
    """
    array: np.ndarray = values.to_numpy(dtype="datetime64[us]")
    return array


def time_order(news: pd.DataFrame, ties: tuple[str, ...] = ("article_id",)) -> np.ndarray:
    """Positions of rows in the order of ``known_at``; of equal instants, in that of the columns ``ties``.

    Parameters
    ----------
    news : DataFrame
        With ``known_at`` and the columns named.
    ties : tuple of str

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    known_at = utc_microseconds(news["known_at"])
    order = np.argsort(known_at, kind="stable")
    known_at = known_at[order]
    same = known_at[1:] == known_at[:-1]
    # Only the rows of one instant need their strings compared, which takes far longer than all else.
    rows = np.flatnonzero(np.append(same, False) | np.append(False, same))
    if len(rows):
        tied = news[list(ties)].iloc[order[rows]].assign(known_at=known_at[rows])
        within = tied.reset_index(drop=True).sort_values(["known_at", *ties], kind="stable").index
        order[rows] = order[rows][within.to_numpy()]
    return order


def is_among(values: pd.Series, others: pd.Series | pd.Index) -> np.ndarray:
    """Tell which values are among others, bool of shape (n,).

    The ``isin`` of pandas goes through strings one by one in Python.
    """
    if values.dtype != _STRING or others.dtype != _STRING:
        return np.asarray(values.isin(others), dtype=bool)
    found = pc.is_in(pa.array(values, pa.large_string()), value_set=pa.array(others, pa.large_string()))
    return np.asarray(found, dtype=bool)


def rows_where(frame: pd.DataFrame, inside: np.ndarray) -> pd.DataFrame:
    """Take rows as ``frame.loc[inside]`` does; rows that follow one another stay where they are and are not copied."""
    number = int(np.count_nonzero(inside))
    first = int(np.argmax(inside)) if number else 0
    return frame.iloc[first : first + number] if inside[first : first + number].all() else frame.loc[inside]


def _sound_text(column: object) -> bool:
    """Tell whether every entry is a string with more in it than spaces."""
    if not isinstance(column, pd.Series) or column.dtype != _STRING or column.hasnans:
        return False
    return bool((column.str.strip().str.len() > 0).all())


def _sound_share(column: object) -> bool:
    """Tell whether every entry is a float in [0, 1]."""
    if not isinstance(column, pd.Series) or column.dtype != np.float64:
        return False
    return bool(column.between(0.0, 1.0).all())


def validate_news(frame: pd.DataFrame, *, where: str = "news") -> pd.DataFrame:
    """Check and normalise a news frame.

    Parameters
    ----------
    frame : DataFrame
        One row per article and symbol with the columns ``article_id, published_at, symbol, text`` and optionally
        ``seen_at`` (defaults to ``published_at``), ``source``, ``url``, ``label``, ``revision``. Others are kept.
    where : str
        Named in errors.

    Returns
    -------
    DataFrame sorted by (known_at, article_id, symbol) with a fresh index and a column
    ``known_at = max(published_at, seen_at)``.

    Raises
    ------
    DataError
        On missing columns, naive timestamps, blank text or duplicate (article_id, symbol) keys.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders import validate_news
    >>> at = pd.to_datetime(["2020-01-02 15:00Z"])
    >>> news = pd.DataFrame({"article_id": ["1"], "published_at": at, "symbol": ["AAPL"], "text": ["Apple beats"]})
    >>> validate_news(news)["known_at"].iloc[0]
    Timestamp('2020-01-02 15:00:00+0000', tz='UTC')
    """
    missing = [name for name in ("article_id", "published_at", "symbol", "text") if name not in frame.columns]
    if missing:
        raise DataError(
            f"{where}: missing columns {missing}; it has {list(frame.columns)}. Map them with 'columns' in the config."
        )
    frame = frame.copy()
    frame["published_at"] = as_utc(frame["published_at"], what=f"{where}, column published_at")
    seen = frame["seen_at"] if "seen_at" in frame.columns else frame["published_at"]
    frame["seen_at"] = as_utc(seen, what=f"{where}, column seen_at")
    if "source" not in frame.columns:
        frame["source"] = "unknown"
    for name in ("article_id", "symbol", "text"):
        if frame[name].isna().any():
            row = frame.index[int(np.argmax(frame[name].isna().to_numpy()))]
            raise DataError(f"{where}: column {name!r} is empty at row {row!r}. Filter these rows out first.")
    if not all(_sound_text(frame[name]) for name in ("article_id", "symbol", "text", "source")):
        # Loaded here because most news needs no repair, and what finds and names the fault takes long to load.
        from embargo.data_loaders.contracts import NEWS_SCHEMA, kept

        frame = kept(NEWS_SCHEMA, frame, where=where)
    repeated = frame.duplicated(["article_id", "symbol"], keep="first")
    if repeated.any():
        row = frame.loc[repeated].iloc[0]
        raise DataError(
            f"{where}: {int(repeated.sum())} duplicate (article_id, symbol) keys, first ({row['article_id']!r}, "
            f"{row['symbol']!r}). Keep one row per article and symbol."
        )
    frame["known_at"] = frame["seen_at"].where(frame["seen_at"] > frame["published_at"], frame["published_at"])
    return frame.iloc[time_order(frame, ("article_id", "symbol"))].reset_index(drop=True)


def validate_scores(frame: pd.DataFrame, *, where: str = "scores") -> pd.DataFrame:
    """Check a scores frame: one row per article, class probabilities in [0, 1] that sum to 1 within 1e-6.

    Parameters
    ----------
    frame : DataFrame, shape (n, columns)
        ``article_id, bearish, neutral, bullish, confidence, model_id``; others are kept.
    where : str
        Named in errors.

    Returns
    -------
    DataFrame
        A copy, unchanged.

    Raises
    ------
    DataError
        If a column is missing, a probability is out of range, or a row does not sum to 1.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders import validate_scores
    >>> row = {"article_id": "1", "bearish": 0.2, "neutral": 0.5, "bullish": 0.3, "confidence": 0.5, "model_id": "m"}
    >>> validate_scores(pd.DataFrame([row]))["bullish"].tolist()
    [0.3]
    """
    frame = frame.copy()
    texts, shares = (frame.get("article_id"), frame.get("model_id")), map(frame.get, (*CLASSES, "confidence"))
    if not (all(map(_sound_text, texts)) and all(map(_sound_share, shares)) and frame["article_id"].is_unique):
        from embargo.data_loaders.contracts import SCORES_SCHEMA, kept

        frame = kept(SCORES_SCHEMA, frame, where=where)
    total = frame[list(CLASSES)].sum(axis=1)
    excess = (total - 1.0).abs()
    if (excess > 1e-6).any():
        row = int(np.argmax(excess.to_numpy()))
        raise DataError(
            f"{where}: probabilities of article {frame['article_id'].iloc[row]!r} sum to {total.iloc[row]:.6f}, not 1 "
            f"({such((excess > 1e-6).sum(), 'row')}). Normalise the scores."
        )
    return frame


@dataclass(frozen=True, eq=False, repr=False)
class Prices:
    """Bars of one calendar for one or more symbols.

    Attributes
    ----------
    open, high, low, close, volume : DataFrame, shape (bars, symbols)
        Index is ``open_at`` (UTC), columns are symbols; NaN where a symbol did not trade. Volume in units traded.
    open_at, close_at : DatetimeIndex, shape (bars,)
        First and last instant of each bar, UTC. A bar is known at its ``close_at``, never before.
    calendar : str
        ``"XNYS"`` or another exchange_calendars code, or ``"24/7"``.
    adjustment : str
        ``"none"``, ``"splits"`` or ``"splits+dividends"``: what the levels are adjusted for.

    Examples
    --------
    >>> from embargo.data_loaders import SimulatedMarket, simulate_market
    >>> market = simulate_market(SimulatedMarket(n_symbols=2, start="2020-01-01", end="2020-03-31"))
    >>> market.prices.symbols, market.prices.close.shape
    (['ALDR', 'BEXM'], (62, 2))
    >>> market.prices.select(symbols=["BEXM"], bars=slice(0, 5)).close.shape
    (5, 1)
    """

    open: pd.DataFrame
    high: pd.DataFrame
    low: pd.DataFrame
    close: pd.DataFrame
    volume: pd.DataFrame
    open_at: pd.DatetimeIndex
    close_at: pd.DatetimeIndex
    calendar: str
    adjustment: str = "none"

    @classmethod
    def read(
        cls,
        path: str | Path,
        *,
        calendar: str,
        bar: str = "1d",
        columns: Mapping[str, str] | None = None,
        filters: Mapping[str, Any] | None = None,
        symbols: Sequence[str] | None = None,
        start: str | pd.Timestamp | None = None,
        end: str | pd.Timestamp | None = None,
        symbol: str | None = None,
        timezone: str | None = None,
        adjust: Literal["none", "total_return"] = "none",
    ) -> Prices:
        """Read bars from files, exactly as a run whose ``[prices]`` name the same.

        Parameters
        ----------
        path : str or Path
            A parquet, CSV or JSONL table of one row per symbol and bar, plain or packed; a zip or a folder of them.
        calendar : str
            exchange_calendars code such as ``"XNYS"``, ``"24/7"``, or what `embargo.data_loaders.amended` returns.
        bar : str
            ``"1d"``: ``date`` is a trading day. Shorter, such as ``"1h"``: ``open_at`` is the instant it opens.
        columns : mapping, optional
            Canonical name (``symbol, date`` or ``open_at, open, high, low, close, volume, adj_close``) to source
            column; one that has its own name already needs no entry.
        filters : mapping, optional
            Source column to a value (equality), a list (membership) or ``{"min": a, "max": b}`` (both included).
        symbols : sequence of str, optional
            Keep these, in this order; without it all, sorted.
        start, end : Timestamp or str, optional
            Keep the bars of ``[start, end)``; a bare date is 00:00 UTC.
        symbol : str, optional
            Symbol of all rows, for files about one.
        timezone : str, optional
            Zone of times without an offset; for times that are numbers their unit, such as ``"unix:ms"``.
        adjust : {"none", "total_return"}
            ``"total_return"`` scales levels by ``adj_close / close``. Those factors know all later dividends: use such
            levels for returns only.

        Returns
        -------
        Prices
            Validated; NaN where a symbol has no bar. `read_prices` returns the same with what was set aside, counted.

        Raises
        ------
        MissingPartError
            If there is no such file.
        DataError
            If a column is missing, a time has no zone, a day is no session of the calendar, a price is not positive,
            or a bar stands there twice with different content.
        ConfigError
            If ``calendar``, ``bar``, ``adjust`` or ``timezone`` is unknown.

        Examples
        --------
        >>> import tempfile
        >>> import pandas as pd
        >>> from embargo.data_loaders import Prices
        >>> quote = {"open": 93.7, "high": 94.1, "low": 93.2, "close": 94.0, "volume": 22_891_800}
        >>> table = pd.DataFrame([{"day": "2014-07-03", "ticker": "AAPL", **quote}])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table.to_csv(f"{folder}/bars.csv", index=False)
        ...     names = {"date": "day", "symbol": "ticker"}
        ...     prices = Prices.read(f"{folder}/bars.csv", calendar="XNYS", columns=names)
        >>> prices.close_at[0]
        Timestamp('2014-07-03 17:00:00+0000', tz='UTC')
        """
        _check_request(columns, filters, symbols)
        # The reader makes prices and so lies above them; its door is opened only here, when somebody reads.
        from embargo.data_loaders import archive

        return archive.read_prices(
            path,
            calendar=calendar,
            bar=bar,
            columns=columns,
            filters=filters,
            symbols=symbols,
            start=start,
            end=end,
            symbol=symbol,
            timezone=timezone,
            adjust=adjust,
        ).prices

    @classmethod
    def from_frames(
        cls,
        *,
        open: pd.DataFrame,  # noqa: A002 - the field's word for it
        high: pd.DataFrame,
        low: pd.DataFrame,
        close: pd.DataFrame,
        volume: pd.DataFrame | None = None,
        calendar: str,
        bar: str = "1d",
        adjustment: Literal["none", "splits", "splits+dividends"] = "none",
    ) -> Prices:
        """Make prices of wide frames that are there already, on the bars of a calendar.

        Parameters
        ----------
        open, high, low, close : DataFrame, shape (bars, symbols)
            Levels, all with the same index and columns; NaN where a symbol did not trade. The index is increasing:
            either the instants at which the bars open, with a time zone, or, for daily bars, the trading days, naive.
        volume : DataFrame, shape (bars, symbols), optional
            Units traded. Without it every volume is NaN, that is unknown: participation caps and market impact, which
            measure an order against it, cannot be had then.
        calendar : str
            exchange_calendars code such as ``"XNYS"``, or ``"24/7"``. It says when sessions open and close.
        bar : str
            Length of a bar, a day at most: ``"1d"``, ``"1h"``, ``"5min"``. Bars shorter than a day close after their
            length, or with their session where that is sooner; those outside a session are kept.
        adjustment : {"none", "splits", "splits+dividends"}
            What the levels are adjusted for already; noted, nothing is adjusted here.

        Returns
        -------
        Prices
            Validated, on a copy.

        Raises
        ------
        DataError
            If the frames disagree, the index holds no instants or naive ones of intraday bars, a daily bar is no
            session of the calendar, or a level is not positive; the message names the first bar and what to do.
        ConfigError
            If ``calendar``, ``bar`` or ``adjustment`` is unknown.

        Examples
        --------
        >>> import pandas as pd
        >>> from embargo.data_loaders import Prices
        >>> days = pd.to_datetime(["2014-07-02", "2014-07-03"])
        >>> close = pd.DataFrame({"AAPL": [93.5, 94.0], "MSFT": [41.9, 42.0]}, index=days)
        >>> prices = Prices.from_frames(open=close, high=close, low=close, close=close, calendar="XNYS")
        >>> prices.open_at[0], prices.close_at[1]
        (Timestamp('2014-07-02 13:30:00+0000', tz='UTC'), Timestamp('2014-07-03 17:00:00+0000', tz='UTC'))
        """
        # As in ``read``: what makes prices lies above them.
        from embargo.data_loaders import archive

        return archive.prices_from_frames(
            open=open,
            high=high,
            low=low,
            close=close,
            volume=volume,
            calendar=calendar,
            bar=bar,
            adjustment=adjustment,
        )

    def __repr__(self) -> str:
        bars, symbols = self.open.shape
        span = f", {self.open_at[0]:%Y-%m-%d} to {self.open_at[-1]:%Y-%m-%d} (UTC)" if bars else ""
        shown = ", ".join(self.symbols[:_SHOWN]) + (", ..." if symbols > _SHOWN else "")
        return f"<Prices of {shown}: {bars:,} bars of {self.calendar}{span}, adjustment {self.adjustment}>"

    @property
    def symbols(self) -> list[str]:
        """Symbols in column order."""
        return [str(name) for name in self.open.columns]

    def select(self, *, symbols: Iterable[str] | None = None, bars: slice | np.ndarray | None = None) -> Prices:
        """Return the same prices for a subset of symbols and/or a positional subset of bars.

        Parameters
        ----------
        symbols : iterable of str, optional
            Keep these, in this order; without it all.
        bars : slice or array, optional
            Positions of bars to keep, or a mask; without it all.

        Returns
        -------
        Prices

        Raises
        ------
        DataError
            If a symbol has no column.
        """
        _check_request(None, None, symbols)
        columns = list(self.open.columns) if symbols is None else list(symbols)
        absent = [name for name in columns if name not in self.open.columns]
        if absent:
            raise DataError(
                f"prices: there are no symbols {absent[:10]}{' and others' if len(absent) > 10 else ''}; there are "
                f"{self.symbols[:10]}{' and others' if len(self.symbols) > 10 else ''}. Check their spelling."
            )
        rows: Any = slice(None) if bars is None else bars
        panels = {name: getattr(self, name).iloc[rows][columns] for name in PRICE_FIELDS}
        return replace(self, **panels, open_at=self.open_at[rows], close_at=self.close_at[rows])


def _check_request(columns: object, filters: object, symbols: object) -> None:
    """Refuse what would be taken apart letter by letter, or cannot be looked up."""
    for name, given in (("columns", columns), ("filters", filters)):
        if given is not None and not isinstance(given, Mapping):
            raise ConfigError(f"{name}: expected a mapping such as {{'date': 'day'}}, got {type(given).__name__}.")
    unknown = [name for name in columns or () if name not in _COLUMNS] if isinstance(columns, Mapping) else []
    if unknown:
        raise ConfigError(
            f"columns: {unknown[0]!r} is none of {list(_COLUMNS)}. Write our name first and the file's second, such as "
            "{'date': 'day'}."
        )
    if isinstance(symbols, str):
        raise ConfigError(f"symbols: expected several, got the text {symbols!r}. Write [{symbols!r}].")


def validate_prices(prices: Prices, *, where: str = "prices") -> Prices:
    """Check a price panel: shapes, order, positivity and high/low consistency.

    Parameters
    ----------
    prices : Prices
    where : str
        Named in errors.

    Returns
    -------
    Prices
        The same.

    Raises
    ------
    DataError
        Naming field, symbol and bar of the first value that is not positive, of a bar whose low exceeds its high, of
        unsorted or overlapping bars, or of a symbol that never traded; or if these are no prices at all.

    Examples
    --------
    >>> from embargo.data_loaders import SimulatedMarket, simulate_market, validate_prices
    >>> market = simulate_market(SimulatedMarket(n_symbols=2, start="2020-01-01", end="2020-03-31"))
    >>> validate_prices(market.prices) is market.prices
    True
    """
    if not isinstance(prices, Prices):
        raise DataError(
            f"{where}: expected Prices, got {type(prices).__name__}. Make them with Prices.read(path, calendar=...) or "
            "Prices.from_frames(open=..., high=..., low=..., close=..., calendar=...)."
        )
    if len(prices.open_at) == 0:
        raise DataError(f"{where}: no bars. Check the date range and the symbols.")
    _check_instants(prices, where)
    if not len(prices.open.columns):
        raise DataError(f"{where}: no symbols. Give each a column.")
    for name in PRICE_FIELDS:
        panel = getattr(prices, name)
        if not panel.index.equals(prices.open_at) or not panel.columns.equals(prices.open.columns):
            raise DataError(f"{where}.{name}: index or columns differ from those of the other fields.")
        check_numbers(panel, where=f"{where}.{name}")
        values = panel.to_numpy(dtype=float)
        with np.errstate(invalid="ignore"):
            bad = (values < 0) if name == "volume" else (values <= 0)
        bad |= np.isinf(values)
        if bad.any():
            bar, column = np.argwhere(bad)[0]
            raise DataError(
                f"{where}.{name}: {int(bad.sum())} values are not positive and finite, first {values[bar, column]} for "
                f"{panel.columns[column]} at {panel.index[bar]}. Set them to missing or drop these rows."
            )
    with np.errstate(invalid="ignore"):
        crossed = prices.low.to_numpy() > prices.high.to_numpy() * (1 + 1e-9)
    if crossed.any():
        bar, column = np.argwhere(crossed)[0]
        raise DataError(f"{where}: low exceeds high for {prices.open.columns[column]} at {prices.open_at[bar]}.")
    silent = prices.open.columns[prices.open.isna().all().to_numpy()]
    if len(silent):
        raise DataError(
            f"{where}: no opening price at all for {list(map(str, silent))}. Ask for others, or extend the range."
        )
    return prices


def _check_instants(prices: Prices, where: str) -> None:
    for name in ("open_at", "close_at"):
        as_utc(pd.Series(getattr(prices, name)), what=f"{where}.{name}")
    if not prices.open_at.is_monotonic_increasing or not prices.open_at.is_unique:
        row = int(np.argmax(np.diff(prices.open_at.asi8) <= 0)) + 1
        raise DataError(
            f"{where}: bars are not in strictly increasing order, first at row {row} ({prices.open_at[row]}). Sort "
            "them, each once."
        )
    if (prices.close_at <= prices.open_at).any():
        bar = prices.open_at[int(np.argmax(prices.close_at <= prices.open_at))]
        raise DataError(f"{where}: the bar opened at {bar} closes before it opens.")
    if (prices.open_at[1:] < prices.close_at[:-1]).any():
        bar = prices.open_at[1:][int(np.argmax(prices.open_at[1:] < prices.close_at[:-1]))]
        raise DataError(f"{where}: the bar opened at {bar} starts before the one before it closed.")
