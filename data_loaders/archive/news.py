"""News from files: parquet, CSV or JSONL, plain or packed, one file or a folder of them, read in pieces.

Columns are mapped, times get their zone, and whatever is set aside is counted by reason. Nothing is repaired in
silence: a time without a zone or an article with two texts is an error naming the row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import pandas as pd

from embargo.data_loaders.archive.dialect import PLAIN, Dialect
from embargo.data_loaders.archive.files import FileProgress, Table, passed_over, tables_of
from embargo.data_loaders.archive.news_rules import NewsRequest, NewsRules, news_rules
from embargo.data_loaders.archive.paths import refuse_nested
from embargo.data_loaders.archive.plausible import check_news_instants
from embargo.data_loaders.archive.streams import Counts, RowBatch, add_count, batches, nothing_left
from embargo.data_loaders.archive.tables import (
    Piece,
    keep_filtered,
    pieces,
    truth_of,
)
from embargo.data_loaders.archive.times import (
    bare_dates_of,
    instants_of,
    joined_times,
    later_of,
    outside,
    zone_name,
)
from embargo.data_loaders.errors import DataError, such
from embargo.data_loaders.schemas import validate_news

_DAY = pd.Timedelta(days=1)


@dataclass(frozen=True)
class LoadedNews:
    """Validated news and how many rows were read, kept, and set aside for which reason.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders.archive import LoadedNews
    >>> LoadedNews(pd.DataFrame({"symbol": ["AAPL"]}), {"rows": 3, "undated": 2, "kept": 1}).counts["undated"]
    2
    """

    frame: pd.DataFrame
    counts: dict[str, int]


def _texts(values: pd.Series) -> pd.Series:
    """Write values as texts, missing ones as the empty text."""
    if isinstance(values.dtype, pd.StringDtype):
        return values.astype("str").fillna("")
    return values.map(lambda value: "" if pd.isna(value) else str(value)).astype("str")


def _with_symbols(
    frame: pd.DataFrame, raw: pd.DataFrame, rules: NewsRules, piece: Piece, counts: Counts
) -> pd.DataFrame:
    """Give every row its symbol: a constant, one row per raised flag, or the symbol column."""
    if rules.symbol is not None:
        frame = frame.assign(symbol=pd.Series(rules.symbol, index=frame.index, dtype="str"))
    elif rules.symbol_flags:
        parts = []
        for column, symbol in rules.symbol_flags.items():
            raised = truth_of(raw[column], where=f"{piece.place}, column {column!r}")
            parts.append(frame.loc[raised].assign(symbol=symbol))
        joined = pd.concat(parts).sort_index(kind="stable")
        add_count(counts, "without_symbol", len(frame) - joined.index.nunique())
        add_count(counts, "rows_added_by_flags", len(joined) - joined.index.nunique())
        frame = joined.astype({"symbol": "str"})
    elif rules.listed is not None or rules.symbol_separator is not None:
        frame = _one_row_per_symbol(frame, rules, piece, counts)
    else:
        named = _texts(frame["symbol"]).str.strip()
        _refuse_several(named, rules, piece)
        absent = named == ""
        add_count(counts, "without_symbol", absent.sum())
        frame = frame.assign(symbol=named)
        frame = frame.loc[~absent] if absent.any() else frame
    if rules.symbol_case is not None:
        cased = frame["symbol"].str.upper() if rules.symbol_case == "upper" else frame["symbol"].str.lower()
        frame = frame.assign(symbol=cased)
    if rules.symbols is not None:
        wanted = frame["symbol"].isin(rules.symbols)
        add_count(counts, "other_symbols", (~wanted).sum())
        frame = frame.loc[wanted]
    return frame


def _one_row_per_symbol(frame: pd.DataFrame, rules: NewsRules, piece: Piece, counts: Counts) -> pd.DataFrame:
    """Repeat a row for each symbol of its list, but not for one that the list names twice."""
    listed = frame["symbol"]
    if rules.symbol_separator is not None:
        listed = _texts(listed).str.split(rules.symbol_separator, regex=False)
    entries = listed.explode()
    refuse_nested(entries, rules.columns["symbol"], where=piece.place)
    each = _texts(entries).str.strip()
    each = each.loc[each != ""]
    _refuse_several(each, rules, piece)
    again = each.to_frame().assign(row=each.index).duplicated()
    add_count(counts, "repeated_symbols", again.sum())
    each = each.loc[~again.to_numpy()]
    add_count(counts, "without_symbol", len(frame) - each.index.nunique())
    add_count(counts, "rows_added_by_symbols", len(each) - each.index.nunique())
    return frame.loc[each.index].assign(symbol=each.to_numpy()).astype({"symbol": "str"})


# Signs that no symbol has, and what several in one cell are kept apart by, or a list begins with.
_SEVERAL = r"[,;|]|^[\[{(]"


def _refuse_several(named: pd.Series, rules: NewsRules, piece: Piece) -> None:
    """Refuse cells that name several symbols where one was expected: they would count as one odd symbol."""
    several = named.str.contains(_SEVERAL, regex=True).astype(bool)
    if not several.any():
        return
    place = int(np.argmax(several.to_numpy()))
    row, cell, source = several.index[place], named.iloc[place], rules.columns["symbol"]
    if cell[0] in "[{(":
        inside = f"{source}[].{'name'}" if "{" in cell else f"{source}[]"
        remedy = f"columns = {{ symbol = {inside!r} }}"
        remedy += ", with the name that holds the symbol," if "{" in cell else ""
    else:
        remedy = f"symbol_separator = {next(sign for sign in cell if sign in ',;|')!r}"
    raise DataError(
        f"{piece.place}, column {source!r}, row {row}: {cell[:80]!r} names several symbols "
        f"({such(several.sum(), 'row')} here). Set {remedy} for one row per article and symbol; cells that "
        "are written in more than one way are made alike at the source."
    )


def _with_text(frame: pd.DataFrame, raw: pd.DataFrame, rules: NewsRules, counts: Counts) -> pd.DataFrame:
    """Join title and body where asked, set blank texts aside, and cut long ones."""
    if rules.text_from:
        parts = [_texts(raw[name]).str.strip() for name in rules.text_from]
        text = parts[0]
        for part in parts[1:]:
            gap = np.where((text != "") & (part != ""), "\n", "")
            text = text + pd.Series(gap, index=text.index, dtype="str") + part
    else:
        text = _texts(raw[rules.columns["text"]])
    frame = frame.assign(text=text)
    blank = text.str.strip() == ""
    add_count(counts, "blank_text", blank.sum())
    frame = frame.loc[~blank] if blank.any() else frame
    if rules.max_characters is not None:
        long = frame["text"].str.len() > rules.max_characters
        add_count(counts, "truncated", long.sum())
        frame = frame.assign(text=frame["text"].str.slice(0, rules.max_characters))
    return frame


def _end_of_day(published_at: pd.Series, timezone: str | None) -> pd.Series:
    """Return the local midnight that ends each article's day, in UTC."""
    zone = zone_name(timezone)
    local = published_at.dt.tz_convert(zone).dt.tz_localize(None)
    midnight = local.dt.normalize() + _DAY
    return later_of(midnight, zone)


def _stamps(raw: pd.DataFrame, rules: NewsRules, piece: Piece) -> tuple[dict[str, pd.Series], dict[str, str]]:
    """Return the times of articles as they are written, and where they stand."""
    written: dict[str, pd.Series] = {}
    places: dict[str, str] = {}
    if rules.time_from:
        remedy = (
            f"Filter such rows out, or take the dates alone: columns = {{ published_at = {rules.time_from[0]!r} }} "
            "with date_only = 'all' in place of time_from."
        )
        written["published_at"] = joined_times(raw, rules.time_from, where=piece.place, remedy=remedy)
        places["published_at"] = f"{piece.place}, columns {' and '.join(map(repr, rules.time_from))}"
    for name in ("published_at", "seen_at"):
        if name in rules.columns:
            written[name] = raw[rules.columns[name]]
            places[name] = f"{piece.place}, column {rules.columns[name]!r}"
    return written, places


def _dated(frame: pd.DataFrame, raw: pd.DataFrame, rules: NewsRules, piece: Piece, counts: Counts) -> pd.DataFrame:
    """Read times, set undated rows aside, find when the day of date-only rows ends, and keep the range.

    ``seen_at`` stays missing where the source does not state it, and ``day_ends_at`` where the time of day is known.
    A date that stands for a time is the end of its day, whether or not a flag says so.
    """
    written, places = _stamps(raw, rules, piece)
    for name, values in written.items():
        frame[name] = instants_of(
            values,
            rules.timezone,
            counts,
            where=places[name],
            bare_dates=rules.date_only is not None,
            form=rules.form,
        )
        check_news_instants(frame[name], values, rules.timezone, where=places[name])
    if "seen_at" not in frame:
        frame["seen_at"] = pd.Series(pd.NaT, index=frame.index, dtype=frame["published_at"].dtype)
    undated = frame["published_at"].isna()
    add_count(counts, "undated", undated.sum())
    frame = frame.loc[~undated] if undated.any() else frame
    if rules.date_only is not None:
        published_at = frame["published_at"]
        if rules.date_only == "all":
            vague = pd.Series(True, index=frame.index)
        elif rules.date_only == "midnight":
            local = published_at.dt.tz_convert(zone_name(rules.timezone))
            vague = local == local.dt.normalize()
        else:
            flags = raw.loc[frame.index, rules.date_only]
            vague = truth_of(flags, where=f"{piece.place}, column {rules.date_only!r}")
            vague |= bare_dates_of(written["published_at"].loc[frame.index], rules.timezone, rules.form)
        if "seen_at" in rules.columns:
            bare = bare_dates_of(raw.loc[frame.index, rules.columns["seen_at"]], rules.timezone, rules.form)
            ends = _end_of_day(frame["seen_at"], rules.timezone)
            frame = frame.assign(seen_at=frame["seen_at"].where(~bare, ends))
        add_count(counts, "date_only", vague.sum())
        frame = frame.assign(day_ends_at=_end_of_day(published_at, rules.timezone).where(vague))
    excluded = outside(frame["published_at"], rules.start, rules.end)
    add_count(counts, "out_of_range", excluded.sum())
    return frame.loc[~excluded] if excluded.any() else frame


def _news_piece(piece: Piece, rules: NewsRules, counts: Counts) -> pd.DataFrame:
    raw = keep_filtered(piece, rules.filters, counts)
    plain = {
        name: raw[source] for name, source in rules.columns.items() if name not in ("published_at", "seen_at", "text")
    }
    frame = _dated(pd.DataFrame(plain, index=raw.index), raw, rules, piece, counts)
    frame = _with_text(frame, raw.loc[frame.index], rules, counts)
    return _with_symbols(frame, raw.loc[frame.index], rules, piece, counts)


def _content_ids(frame: pd.DataFrame) -> list[str]:
    """Hash time, source and text, but not the symbol: one article under several symbols stays one article."""
    columns = (frame["published_at"].astype("int64"), frame["source"], frame["text"])
    digest = hashlib.blake2b
    return [
        digest(f"{when}\0{source}\0{text}".encode(), digest_size=10).hexdigest()
        for when, source, text in zip(*(column.tolist() for column in columns), strict=True)
    ]


def named(frame: pd.DataFrame, where: str, source: str = "unknown") -> pd.DataFrame:
    """Give every row its source and its id, made from the content where the archive has none."""
    sources = _texts(frame["source"]).replace("", source) if "source" in frame else source
    frame = frame.assign(source=sources)
    if "article_id" not in frame:
        return frame.assign(article_id=pd.Series(_content_ids(frame), index=frame.index, dtype="str"))
    unnamed = frame["article_id"].isna()
    if unnamed.any():
        raise DataError(
            f"{where}: {int(unnamed.sum())} rows have no article id. Filter them out, or map none to have ids made."
        )
    return frame.assign(article_id=_texts(frame["article_id"]))


def one_row_per_key(frame: pd.DataFrame, where: str, counts: Counts, *, version: Sequence[str] = ()) -> pd.DataFrame:
    """Collapse identical repetitions; refuse a key, or an article, with two contents.

    Rows that differ in the columns of ``version`` are versions of one article, each with a content of its own.
    """
    key, article = ["article_id", "symbol", *version], ["article_id", *version]
    twice = frame.duplicated(key, keep=False)
    add_count(counts, "identical_rows_collapsed", 0)
    if twice.any():
        identical = frame.loc[twice].astype({"text": "str"}).duplicated()
        add_count(counts, "identical_rows_collapsed", identical.sum())
        frame = frame.drop(index=identical.index[identical])
        twice = frame.duplicated(key, keep=False)
    if twice.any():
        first = frame.loc[twice].iloc[0]
        rivals = frame.loc[(frame["article_id"] == first["article_id"]) & (frame["symbol"] == first["symbol"])]
        differing = [name for name in frame.columns if len(rivals[name].unique()) > 1]
        raise DataError(
            f"{where}: article {first['article_id']!r} of {first['symbol']!r} stands there {len(rivals)} times with "
            f"different {differing} ({such(twice.sum(), 'row')}). Map another id, or filter by one of these columns."
        )
    shared = frame.loc[frame.duplicated(article, keep=False), [*article, "text", "published_at"]]
    if len(shared):
        content = shared.groupby(article, dropna=False)[["text", "published_at"]].nunique()
        torn = content.index[(content > 1).any(axis=1)].get_level_values(0)
        if len(torn):
            raise DataError(
                f"{where}: {len(torn)} article ids carry different texts or times under different symbols, first "
                f"{torn[0]!r}. An article has one text and one time: map another id."
            )
    return frame


def _as_known(frame: pd.DataFrame) -> pd.DataFrame:
    """Fill in when articles could be seen: as stated, else when published, and never before a date-only day ends."""
    seen_at = frame["seen_at"].fillna(frame["published_at"])
    if "day_ends_at" in frame:
        ends = frame["day_ends_at"]
        seen_at = seen_at.where(~(ends > seen_at), ends)
        frame = frame.drop(columns="day_ends_at")
    return frame.assign(seen_at=seen_at)


def news_batches(
    parts: Sequence[Table],
    rules: NewsRules,
    counts: Counts,
    *,
    progress: FileProgress | None = None,
    tell: Callable[[int], None] | None = None,
) -> Iterator[RowBatch]:
    """Put an archive through the rules, batch by batch, before ids are given and repetitions looked for.

    Frames hold ``published_at, symbol, text``, whatever else was mapped, ``seen_at`` (missing where the source does
    not state it) and, under ``date_only``, ``day_ends_at`` (missing where the time of day is known).
    """

    def work(piece: Piece, found: Counts) -> pd.DataFrame:
        return _news_piece(piece, rules, found)

    read = pieces(parts, rules.wanted, several=rules.listed, progress=progress)
    return batches(read, work, counts, tell=tell)


@dataclass
class NewsStream:
    """Validated news in frames of about 500,000 rows; iterating again reads the archive again.

    Attributes
    ----------
    counts : dict
        As ``read_news``, for what has been yielded so far.
    """

    path: str
    parts: Sequence[Table]
    rules: NewsRules
    progress: FileProgress | None = None
    counts: Counts = field(default_factory=dict)

    def __iter__(self) -> Iterator[pd.DataFrame]:
        self.counts.clear()
        self.counts.update(passed_over(self.path))
        add_count(self.counts, "kept", 0)
        for batch in news_batches(self.parts, self.rules, self.counts, progress=self.progress):
            if len(batch.frame):
                yield _finished(batch.frame, self.path, self.counts)


def _finished(frame: pd.DataFrame, where: str, counts: Counts) -> pd.DataFrame:
    frame = one_row_per_key(named(_as_known(frame), where), where, counts)
    add_count(counts, "kept", len(frame))
    return validate_news(frame, where=where)


def stream_news(
    path: str | Path,
    *,
    dialect: Dialect = PLAIN,
    progress: FileProgress | None = None,
    **rules: Unpack[NewsRequest],
) -> NewsStream:
    """Read news of any size in bounded memory.

    Parameters
    ----------
    path : str or Path
        As in `read_news`.
    dialect : Dialect
        As in `read_news`.
    progress : callable, optional
        Called with (tables done, tables in all).
    **rules
        The other settings of `read_news`.

    Returns
    -------
    NewsStream
        Yields what ``read_news`` would return, cut into batches by the archive's order; each is sorted and checked in
        itself. Repetitions and contradictions between batches are not looked for.

    Raises
    ------
    MissingPartError, DataError, ConfigError
        As ``read_news``; faults of rows come up when their batch is reached.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from embargo.data_loaders.archive import stream_news
    >>> row = {"published_at": "2020-01-02T15:00:00+00:00", "ticker": "AAPL", "text": "Apple beats estimates"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pd.DataFrame([row]).to_csv(f"{folder}/news.csv", index=False)
    ...     stream = stream_news(f"{folder}/news.csv", columns={"symbol": "ticker"})
    ...     sizes = [len(frame) for frame in stream]
    >>> sizes, stream.counts["kept"]
    ([1], 1)
    """
    parts = tables_of(path, dialect=dialect)
    return NewsStream(str(path), parts, news_rules(parts, **rules), progress)


def read_news(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    filters: Mapping[str, Any] | None = None,
    timezone: str | None = None,
    symbols: Sequence[str] | None = None,
    start: str | pd.Timestamp | None = None,
    end: str | pd.Timestamp | None = None,
    text_from: Sequence[str] = (),
    max_characters: int | None = None,
    symbol: str | None = None,
    symbol_flags: Mapping[str, str] | None = None,
    date_only: str | None = None,
    time_format: str | None = None,
    symbol_separator: str | None = None,
    symbol_case: Literal["upper", "lower"] | None = None,
    time_from: Sequence[str] = (),
    dialect: Dialect = PLAIN,
    progress: FileProgress | None = None,
) -> LoadedNews:
    """Read news from parquet, CSV or JSONL, plain or packed.

    Parameters
    ----------
    path : str or Path
        A file, plain or packed (``.gz``, ``.bz2``, ``.xz``, ``.zst``); a ``.zip`` with one or many members; or a folder
        of these, sub-folders included. One format throughout.
    columns : mapping, optional
        Canonical name to source column, such as ``{"article_id": "id"}``. Canonical columns that the file has under
        their own name need no entry. Other names on the left are kept as extra columns. A path reaches inside nested
        columns, here and wherever a source column is named: ``"entities.sentiment.basic"``. One of ``symbol`` may lead
        through lists, ``"tickers[]"`` or ``"tickers[].symbol"``: one row per article and symbol, all with its id.
    filters : mapping, optional
        Source column to a value (equality), a list (membership) or ``{"min": a, "max": b}`` (both included).
    timezone : str, optional
        Zone of times without an offset; without it they are refused. At clock changes the later instant is taken and
        counted as ``uncertain_local_times``. Also the zone of the days of ``date_only`` (UTC if not given). For times
        that are numbers, their unit: ``"unix:s"``, ``"unix:ms"``, ``"unix:us"`` or ``"unix:ns"`` since 1970 in UTC.
    symbols : sequence of str, optional
        Keep only these.
    start, end : Timestamp or str, optional
        Keep ``start <= published_at < end``; a bare date is 00:00 UTC.
    text_from : sequence of str
        Source columns joined by a line break to make the text, such as title and body. Without it: column ``text``.
    max_characters : int, optional
        Cut longer texts.
    symbol : str, optional
        Symbol of all rows, for sources about one thing.
    symbol_flags : mapping, optional
        Flag column to symbol, such as ``{"mentions_btc": "BTC"}``: one row per article and raised flag.
    date_only : str, optional
        Which rows have a date but no true time: the name of a flag column, ``"midnight"`` (rows stamped exactly
        00:00) or ``"all"``. Such an article is seen at the end of its day, not before.
    time_format : str, optional
        Form of times in texts or figures, in the codes of strptime, such as ``"%m/%d/%Y %H:%M"`` or ``"%Y%m%d%H%M%S"``;
        ``"excel"`` or ``"excel1904"`` for serial numbers of spreadsheets, whole ones being dates; without it ISO 8601.
        It is never guessed, and a row that does not fit is an error. Times without ``%z`` are in
        ``timezone``; a form without ``%H`` or ``%I`` tells dates, which need ``date_only``.
    symbol_separator : str, optional
        What keeps several symbols in one cell apart, such as ``","``: one row per article and symbol.
    symbol_case : {"upper", "lower"}, optional
        Write symbols in capitals, or without.
    time_from : sequence of str
        Source columns of date and time of day, joined by a space to make ``published_at``; ``time_format`` is the form
        of both together. A date with nothing beside it is an error.
    dialect : Dialect
        Delimiter, encoding, header and numbers of the files, where they are not the plain ones.
    progress : callable, optional
        Called with (tables done, tables in all).

    Returns
    -------
    LoadedNews
        News as ``schemas.validate_news`` returns them. ``article_id`` is a hash of time, source and text where the
        file has none. Counts: ``rows, filtered:<column>, undated, date_only, out_of_range, blank_text, truncated,
        without_symbol, rows_added_by_flags, rows_added_by_symbols, repeated_symbols`` (named twice in one list)
        ``, other_symbols, uncertain_local_times, identical_rows_collapsed, kept``.

    Raises
    ------
    MissingPartError
        If there is no such file.
    DataError
        If a column is missing, a cell is nested or names several symbols where one was expected, a time has no zone or
        is unreadable, lies before 1970-01-02 or absurdly far ahead, a key
        has two contents, or nothing is left.
    ConfigError
        If settings contradict each other.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from embargo.data_loaders.archive import read_news
    >>> row = {"published_at": "2020-01-02T15:00:00+00:00", "ticker": "AAPL", "text": "Apple beats estimates"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pd.DataFrame([row]).to_csv(f"{folder}/news.csv", index=False)
    ...     loaded = read_news(f"{folder}/news.csv", columns={"symbol": "ticker"})
    >>> loaded.counts["kept"], loaded.frame["known_at"].iloc[0]
    (1, Timestamp('2020-01-02 15:00:00+0000', tz='UTC'))
    """
    parts = tables_of(path, dialect=dialect)
    asked = news_rules(
        parts,
        columns=columns,
        filters=filters,
        timezone=timezone,
        symbols=symbols,
        start=start,
        end=end,
        text_from=text_from,
        max_characters=max_characters,
        symbol=symbol,
        symbol_flags=symbol_flags,
        date_only=date_only,
        time_format=time_format,
        symbol_separator=symbol_separator,
        symbol_case=symbol_case,
        time_from=time_from,
    )
    counts: Counts = {}
    kept = [batch.frame for batch in news_batches(parts, asked, counts, progress=progress) if len(batch.frame)]
    if not kept:
        raise DataError(nothing_left(str(path), "article", counts))
    frame = kept[0] if len(kept) == 1 else pd.concat(kept, ignore_index=True)
    return LoadedNews(_finished(frame, str(path), counts), counts | passed_over(path))
