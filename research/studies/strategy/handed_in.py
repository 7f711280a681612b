"""Files and frames of a strategy that was made elsewhere, read as they stand and put on the rows of its weights."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from embargo.data_loaders.archive import read_news
from embargo.data_loaders.archive.files import tables_of
from embargo.data_loaders.archive.tables import columns_of, numbers_of
from embargo.data_loaders.archive.times import instants_of
from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError
from embargo.data_loaders.schemas import Prices, as_utc, validate_news

# What each article was taken to say, and what is made anew from the rest.
SCORES = ("score", "bearish", "neutral", "bullish")
_MADE = ("known_at", "day_ends_at")


def news_of(news: pd.DataFrame | str | Path, prices: Prices) -> pd.DataFrame:
    """Read news, or take them as they are, with the instant at which each article was known.

    Raises
    ------
    DataError
        If they lack symbols or instants, or have none in common with the prices, or a score is no number.
    """
    if isinstance(news, str | Path):
        news = _read_whole(news)
    elif not isinstance(news, pd.DataFrame):
        raise DataError(f"news: expected a DataFrame or a file, got {type(news).__name__}.")
    if "symbol" not in news or not {"known_at", "published_at"} & set(news.columns):
        raise DataError(
            f"news: expected symbol and known_at (or published_at), found {list(map(str, news.columns))}. Add them, "
            "one row per article and symbol."
        )
    if {"article_id", "published_at", "text"} <= set(news.columns):
        news = validate_news(news)
    elif "known_at" not in news:
        news = news.assign(known_at=as_utc(news["published_at"], what="news, column published_at"))
    known_at = as_utc(news["known_at"], what="news, column known_at")
    news = news.assign(known_at=known_at)
    if news.empty:
        raise DataError("news: there are no articles. Leave news out for a strategy that reads none.")
    if not news["symbol"].isin(prices.symbols).any():
        raise DataError(
            f"news: none of its symbols has prices: news are of {sorted(map(str, news['symbol'].unique()))[:5]}, "
            f"prices of {prices.symbols[:5]}. Map one to the other."
        )
    first, last = prices.open_at[0], prices.close_at[-1]
    if known_at.max() < first or known_at.min() > last:
        raise DataError(
            f"news: known from {known_at.min()} to {known_at.max()}, while bars run from {first} to {last}. Take "
            "both of the same time."
        )
    _refuse_words(news)
    return news


def _read_whole(path: str | Path) -> pd.DataFrame:
    """Read news from a file with all that stands there: a strategy may read it, and scores are asked about."""
    there = columns_of(tables_of(path)[0])
    more = [name for name in there if name.strip() and name not in _MADE]
    try:
        news = read_news(path, columns={name: name for name in more}).frame
    except DataError:
        # Cells that are lists, or numbers of rows that tell copies apart: what is asked about is read without them.
        more = [name for name in more if name in SCORES]
        news = read_news(path, columns={name: name for name in more}).frame
    for name in set(more) & set(news.select_dtypes(["object", "string"]).columns) - set(_WORDS):
        with contextlib.suppress(ValueError, TypeError):
            news[name] = pd.to_numeric(news[name])
    return news


# Columns that are words, whatever figures they are written in.
_WORDS = ("article_id", "symbol", "text", "source", "url", "label")


def _refuse_words(news: pd.DataFrame) -> None:
    for name in set(SCORES) & set(news.columns):
        wrong = pd.to_numeric(news[name], errors="coerce").isna() & news[name].notna()
        if wrong.any():
            row = int(np.argmax(wrong.to_numpy()))
            raise DataError(
                f"news: {name} is {news[name].iloc[row]!r} at row {row}, no number. Write scores as numbers "
                "(above 0 for good news), or call the column something else."
            )


# Settings by which an experiment reads a file of any form, which are not asked for here, and what to do instead.
_IN_FILE = "Name it so in the file."
_SETTINGS = (
    (
        r"Map (it|them) with '?columns[^.]*?('\.\.\.'\})?'?(, or join (?:some|date)[^.]*)?\.(?= |$)",
        "Name it so in the file.",
    ),
    (r"Map a symbol column, set a constant 'symbol', or use symbol_flags\.", "Add a column symbol to the file."),
    (r" Or set 'symbol', if all rows are of one\.", ""),
    (r"Map or filter by one of these\.", _IN_FILE),
    (r"set delimiter = \S+ if that parts the cells\.", "write the file with commas."),
    (r"Cells kept apart by another sign than a comma need delimiter = .*", "Write the file with commas."),
    (r"If its first line is no header, set header = false.*", "Give the file a line of column names."),
    (r", or put these letters into time_format and name the source's zone with 'timezone'\.", ", or Z."),
    (r", or name the source's zone with 'timezone'(?: in the config)?\.", ", such as +00:00, or Z."),
    (r"Name (it with 'timezone', one of|its unit with 'timezone', such as) .*", "Write times as 2020-01-31T09:30:00Z."),
    (r"Mend or filter the row\.", "Mend it, or leave the row out."),
    (r"If .* set (?:decimal|thousands) = .*", "Write numbers as 1234.5."),
    (
        r"If the file keeps the time of a zone, name it with timezone;",
        "If times are of a zone, write its offset;",
    ),
    (r"Name the form with time_format.*", "Write times as 2020-01-31T09:30:00Z."),
    (r"Map another id, or filter by one of these columns\.", "Give each article an id of its own, or keep one row."),
    (r"one time: map another id\.", "one time: give each an id of its own."),
    (r"Filter them out, or map none to have ids made\.", "Leave them out, or the whole column to have ids made."),
    (r"Leave such rows out with filters\.", "Leave such rows out."),
    (
        r"the account has no margin\. Lower 'gross'\.",
        "the account has no margin. Hold less, or state its leverage with execution=Execution(leverage=...).",
    ),
)


@contextlib.contextmanager
def without_settings() -> Iterator[None]:
    """Tell what is wrong with what was handed in, in words that name no setting of an experiment."""
    try:
        yield
    except (DataError, ConfigError) as failure:
        said = str(failure)
        for pattern, instead in _SETTINGS:
            said = re.sub(pattern, instead, said)
        if said == str(failure):
            raise
        raise type(failure)(said) from failure


def read_table(path: str | Path, what: str) -> pd.DataFrame:
    """Read a parquet or CSV table as it stands.

    Raises
    ------
    MissingPartError, DataError
        If there is no such file, or it is neither.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingPartError(f"{what}: {path} does not exist. Check the path.")
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (ValueError, OSError) as failure:
        raise DataError(f"{what}: {path} cannot be read ({failure}). Write parquet or CSV.") from failure


def read_weights(path: str | Path) -> pd.DataFrame:
    """Read weights from a file: instants at which bars open in the index, or in the first column; a column per symbol.

    Raises
    ------
    DataError
        If rows are labelled by day or by number, or instants have no zone.
    """
    table = read_table(path, "weights")
    if not isinstance(table.index, pd.DatetimeIndex):
        table = table.set_index(table.columns[0])
    labels = table.index
    told = "Write the instant at which each bar opens, with its offset, such as 2024-01-02T14:30:00+00:00."
    if not isinstance(labels, pd.DatetimeIndex) and pd.api.types.is_numeric_dtype(labels.dtype):
        raise DataError(f"weights: the first column of {path} holds {table.index[0]}, no instant. {told}")
    if not isinstance(labels, pd.DatetimeIndex):
        texts_ = labels.astype(str)
        if texts_.str.fullmatch(r"\d{4}-\d{2}-\d{2}").any():
            raise DataError(
                f"weights: {path} labels rows by day, first {texts_[0]!r}, so nobody can tell whether a row was held "
                f"from the open or made from the close of that day. {told}"
            )
        instants = instants_of(pd.Series(texts_), None, {}, where=f"weights, first column of {path}", remedy=told)
        labels = pd.DatetimeIndex(as_utc(instants, what=f"weights, first column of {path}"))
    if labels.tz is None:
        raise DataError(f"weights: rows of {path} have no time zone, first {labels[0]}. {told}")
    return table.set_axis(labels.tz_convert("UTC").as_unit("us"))


def orders_of(orders: pd.DataFrame | str | Path, weights: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Put orders on the rows of the weights by when they were filled.

    Raises
    ------
    MissingPartError
        If there is no such file.
    DataError
        If columns are missing, an instant is no timestamp or ISO 8601 text with its zone, a size, price or fee is no
        number, or orders were filled before the first row.
    """
    if isinstance(orders, str | Path):
        orders = read_table(orders, "orders")
    lacking = [name for name in ("symbol", "fill_at", "side", "size", "price", "fees") if name not in orders]
    if lacking:
        raise DataError(f"orders: missing columns {lacking}; they have {list(map(str, orders.columns))}. Add them.")
    orders = orders.reset_index(drop=True)
    for name in ("fill_at", "decided_at", "known_at"):
        if name in orders:
            where = f"orders, column {name}"
            read = instants_of(orders[name], None, {}, where=where, remedy="Write it as 2020-01-31T09:30:00Z.")
            # A decision may rest on nothing that became known.
            orders[name] = read if name == "known_at" else as_utc(read, what=where)
    for name in ("size", "price", "fees"):
        orders[name] = numbers_of(orders[name], where=f"orders, column {name}")
        missing = orders[name].isna().to_numpy()
        if missing.any():
            raise DataError(f"orders, column {name}, row {np.argmax(missing)}: there is no number. Write it.")
    row = weights.index.searchsorted(orders["fill_at"], side="right") - 1
    if (row < 0).any():
        first = orders.loc[row < 0].iloc[0]
        raise DataError(
            f"orders: {first['symbol']} was filled {first['fill_at']}, before the first row of the weights opens "
            f"({weights.index[0]}). Cut such orders, or hand in more weights."
        )
    return orders.assign(bar=row)


def returns_of(returns: pd.Series, weights: pd.DataFrame) -> pd.Series:
    """Put returns on the rows of the weights.

    Raises
    ------
    DataError
        If there is not one for each row.
    """
    if not isinstance(returns, pd.Series) or len(returns) != len(weights):
        length = len(returns) if isinstance(returns, pd.Series) else type(returns).__name__
        raise DataError(f"returns: expected a Series of {len(weights)} rows, as the weights have, got {length}.")
    return returns.set_axis(weights.index).astype(float)
