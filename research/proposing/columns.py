"""Which column is which: by its name, then by what is in it; every choice says what it rests on."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

_NEWS = {
    "article_id": "id articleid newsid storyid guid uuid tweetid docid",
    "published_at": "publishedat published publishedon pubdate publishdate publishtime publicationdate publicationtime "
    "datetime timestamp time date createdat created createdutc releasedate releasetime releasedat versioncreated "
    "firstcreated posted postedat postdate datum zeitpunkt zeitstempel erschienen veroffentlicht zeit uhrzeit",
    "seen_at": "seenat seen receivedat received crawledat scrapedat fetchedat ingestedat downloadedat retrievedat "
    "capturedat updatedat updated lastupdated modified modifiedat lastmodified",
    "symbol": "symbol symbols ticker tickers stock stocks cashtag cashtags instrument ric security asset coin "
    "kurzel borsenkurzel wertpapier aktie isin wkn",
    "text": "headline text title tweet message content body summary description story abstract schlagzeile uberschrift "
    "titel meldung nachricht inhalt",
    "source": "source publisher provider agency site domain feed quelle",
    "url": "url link",
}
_BARS = {
    "symbol": "symbol ticker sym stock instrument ric security asset pair coin code kurzel borsenkurzel wertpapier "
    "aktie isin wkn",
    "date": "date day tradedate tradingdate tradingday session datetime timestamp time openat opentime opendate start "
    "bar dt datum handelstag tag zeitpunkt zeitstempel zeit",
    "open": "open o openprice pxopen opening eroffnung eroffnungskurs erster",
    "high": "high h highprice pxhigh max hoch tageshoch hochst hochstkurs",
    "low": "low l lowprice pxlow min tief tagestief tiefst tiefstkurs",
    "close": "close c closeprice pxlast last closing price schluss schlusskurs letzter",
    # Where there are pieces beside it, a German "Volumen" is money.
    "volume": "volume vol v shares qty quantity basevolume tradedvolume turnovervolume stuck stucke stuecke volumen",
    "adj_close": "adjclose adjustedclose closeadj adjcloseprice",
}
# Said beside a name, of a zone or a currency, and no part of it.
_BESIDE = {"et", "est", "edt", "utc", "gmt", "local", "ny", "cet", "jst", "usd", "eur", "ct", "pst"}
_CLOCK_ALONE = r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?\s*(?:[AaPp][Mm])?"
_SYMBOL = r"[\w./:^=&$-]{1,20}"
# What labels of news are called; they are taken over by nobody unasked, since nobody knows when they were made.
LABELS = ("label", "sentiment", "polarity", "class")


def squeezed(name: str) -> str:
    """Return a name without case, accents, signs, and what is said beside it."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    bare = "".join(sign for sign in unicodedata.normalize("NFKD", apart) if not unicodedata.combining(sign))
    parts = re.findall(r"[a-z]+|\d+", bare.casefold())
    return "".join([part for part in parts if part not in _BESIDE] or parts)


def named(columns: Sequence[str], words: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the columns whose names fit each meaning, the likeliest first; no column has two meanings."""
    free = list(columns)
    found: dict[str, list[str]] = {}
    for meaning, fitting in words.items():
        order = [meaning.replace("_", ""), *fitting.split()]
        # A path such as tickers[].symbol is named by what leads there.
        squeeze = {column: squeezed(column.partition("[")[0]) for column in free}
        found[meaning] = sorted((c for c in free if squeeze[c] in order), key=lambda c: order.index(squeeze[c]))
        free = [column for column in free if column not in found[meaning]]
    return found


def news_columns(frame: pd.DataFrame, priced: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """Choose the columns of news.

    Parameters
    ----------
    frame : DataFrame
        First rows of the file, cells as they stand.
    priced : collection of str
        Symbols that have prices; a column that names many of them is the one of symbols.

    Returns
    -------
    (columns, notes)
        Meaning to column, and one sentence on each choice that the name alone does not bear.
    """
    found = named(list(map(str, frame.columns)), _NEWS)
    notes: list[str] = []
    chosen: dict[str, str] = {}
    for meaning in ("article_id", "source", "url"):
        if found[meaning]:
            chosen[meaning] = found[meaning][0]
    if "article_id" in chosen and not _tells_apart(frame[chosen["article_id"]]):
        notes.append(f"{chosen.pop('article_id')!r} is no id of articles, being missing or the same on most rows.")
    notes += _times(frame, found, chosen)
    taken = set(chosen.values())
    text = found["text"] or _longest(frame, taken)
    if text:
        chosen["text"] = text[0]
        if len(text) > 1:
            notes.append(
                f"text is {text[0]!r}; {_listed(text[1:])} could be joined to it with text_from, if they were there at "
                "the same moment."
            )
    symbol = _symbols(frame, found["symbol"], taken | set(chosen.values()), priced)
    if symbol is not None:
        chosen["symbol"] = symbol
    return chosen, notes


def _times(frame: pd.DataFrame, found: Mapping[str, list[str]], chosen: dict[str, str]) -> list[str]:
    """Choose the columns of times, and say what else could be one."""
    notes: list[str] = []
    clocks = _clocks(frame)
    times = [column for column in found["published_at"] if column not in clocks]
    if not times:
        free = [str(column) for column in frame.columns if column not in {*chosen.values(), *clocks}]
        times = [column for column in free if looks_dated(frame[column])]
        notes += [f"no column is named like a time; {times[0]!r} holds dates."] if times else []
    if not times:
        return notes
    chosen["published_at"] = times[0]
    if others := [column for column in times[1:] if looks_dated(frame[column])]:
        notes.append(
            f"published_at is {times[0]!r}; other columns hold times too: {_listed(others)}. Map the one at which "
            "readers first had the article."
        )
    notes += _clock_beside(frame, clocks, chosen, "published_at")
    if later := [column for column in found["seen_at"] if looks_dated(frame[column])]:
        chosen["seen_at"] = later[0]
        notes.append(
            f"seen_at is {later[0]!r}: nothing is known before it, as a text may have been changed until then."
        )
    return notes


def _clocks(frame: pd.DataFrame) -> list[str]:
    """Name the columns that hold a time of day and no date."""
    return [str(column) for column in frame.columns if _share(frame[column], _CLOCK_ALONE) > 0.95]


def _clock_beside(frame: pd.DataFrame, clocks: Sequence[str], chosen: dict[str, str], stamp: str) -> list[str]:
    """Choose the time of day beside a date, as ``clock``, if it is one and stands beside every date."""
    if not clocks or stamp not in chosen:
        return []
    date, clock = chosen[stamp], clocks[0]
    if not pd.api.types.is_string_dtype(frame[date].dtype) or _share(frame[date], r".*\d:\d\d.*"):
        return []
    lacking = int((frame[date].notna() & frame[clock].isna()).sum())
    if len(clocks) == 1 and not lacking:
        chosen["clock"] = clock
        return []
    why = f"{lacking:,} dates have none beside them" if lacking else "nobody can tell which of them goes with the date"
    note = (
        f"the time of day stands by itself in {_listed(clocks)}, but {why}: only the date is read. To read both, set "
        f"time_from = [{date!r}, {clock!r}] in place of {stamp}, and time_format for both together."
    )
    return [note]


def _symbols_beside(frame: pd.DataFrame, chosen: Mapping[str, str]) -> str | None:
    """Name the one column that tells rows of a date apart as symbols do; None where there is none, or several."""
    if not frame[chosen["date"]].duplicated().any():
        return None
    fitting = []
    for column in frame.columns:
        if column in chosen.values() or not pd.api.types.is_string_dtype(frame[column].dtype):
            continue
        things = frame[column].nunique()
        if things < 2 or things > len(frame) / 2 or _share(frame[column], rf"(?=.*[A-Za-z]){_SYMBOL}") < 1.0:
            continue
        if not frame.duplicated([chosen["date"], *_clocks(frame), column]).any():
            fitting.append(str(column))
    return fitting[0] if len(fitting) == 1 else None


def bar_columns(frame: pd.DataFrame) -> tuple[dict[str, str], list[str]]:
    """Choose the columns of prices; ``date`` stands for the column that dates a bar, daily or not."""
    found = named(list(map(str, frame.columns)), _BARS)
    chosen = {meaning: columns[0] for meaning, columns in found.items() if columns}
    notes = [
        f"{meaning} is {columns[0]!r}; {_listed(columns[1:])} would fit as well."
        for meaning, columns in found.items()
        if len(columns) > 1 and meaning != "date"
    ]
    if "date" not in chosen:
        dated = [column for column in frame.columns if column not in chosen.values() and looks_dated(frame[column])]
        if dated:
            chosen["date"] = dated[0]
            notes.append(f"no column is named like a date; {dated[0]!r} holds dates.")
    if "date" in chosen:
        if "symbol" not in chosen and (found_by := _symbols_beside(frame, chosen)) is not None:
            chosen["symbol"] = found_by
            notes.append(
                f"no column is named like a symbol; {found_by!r} names {frame[found_by].nunique():,} things, such as "
                f"{frame[found_by].iloc[0]!r}, each once on a day or at a time."
            )
        notes += _clock_beside(frame, _clocks(frame), chosen, "date")
    if "open" in chosen and {"high", "low", "close"} <= set(chosen):
        quotes = frame[[chosen[name] for name in ("open", "high", "low", "close")]].apply(
            pd.to_numeric, errors="coerce"
        )
        within = (quotes.iloc[:, 1] >= quotes.max(axis=1)) & (quotes.iloc[:, 2] <= quotes.min(axis=1))
        wrong = float((~within & quotes.notna().all(axis=1)).mean())
        if wrong > 0.01:
            notes.append(f"on {wrong:.0%} of the rows high or low is not the highest or lowest: are they the columns?")
    return chosen, notes


def looks_dated(values: pd.Series) -> bool:
    """Tell whether cells are dates or times, in whatever form."""
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return True
    if pd.api.types.is_bool_dtype(values.dtype):
        return False
    text = texts_of(values).head(500)
    if text.empty:
        return False
    written = (
        r"(?:[A-Za-z]{3,9},?\s+)?(?:\d{1,4}[-/. ]\s*(?:\d{1,2}|[A-Za-z]{3,9})[-/. ,]\s*\d{1,4}|[A-Za-z]{3,9} \d{1,2}).*"
    )
    counted = pd.to_numeric(text.str.replace(r"^(\d{5}),(\d+)$", r"\1.\2", regex=True), errors="coerce")
    epochs = counted.between(3e8, 4.2e9) | counted.between(3e11, 4.2e12) | counted.between(3e14, 4.2e18)
    days = counted.between(25_000, 73_050) | text.str.fullmatch(r"(?:19|20)\d{6}(?:\d{4}|\d{6})?")
    return bool((text.str.fullmatch(written) | epochs | days).mean() > 0.95)


def texts_of(values: pd.Series) -> pd.Series:
    """Return what is there as stripped texts, blanks left out."""
    text = values.dropna().astype("str").str.strip()
    return text.loc[text != ""]


def symbols_in(cells: pd.Series) -> tuple[list[str], str | None]:
    """Return the symbols that cells name and the sign that keeps several in one cell apart; None where none does."""
    if cells.map(lambda cell: isinstance(cell, list | tuple)).any():
        return sorted({str(each) for cell in cells.dropna() for each in cell if each is not None}), None
    text = texts_of(cells)
    for sign in ",;|":
        several = text.str.contains(sign, regex=False)
        if several.mean() > 0.001:
            parts = text.str.split(sign, regex=False).explode().str.strip()
            if bool(parts.loc[parts != ""].str.fullmatch(_SYMBOL).mean() > 0.95):
                return sorted(set(parts) - {""}), sign
    return sorted(set(text)), None


def _symbols(
    frame: pd.DataFrame, by_name: Sequence[str], taken: Collection[Any], priced: Collection[str]
) -> str | None:
    if by_name:
        return by_name[0]
    known = {name.casefold() for name in priced}
    best, most = None, 0.5
    for column in frame.columns:
        if column in taken or not known:
            continue
        names, _ = symbols_in(frame[column].head(5_000))
        share = sum(name.casefold() in known for name in names) / max(len(names), 1)
        if share > most:
            best, most = str(column), share
    return best


def _longest(frame: pd.DataFrame, taken: Collection[Any]) -> list[str]:
    free = [column for column in frame.columns if column not in taken and not looks_dated(frame[column])]
    length = {str(c): texts_of(frame[c].head(2_000)).str.len().mean() for c in free}
    long = [column for column, mean in length.items() if mean >= 20]
    return [max(long, key=lambda column: length[column])] if long else []


def _tells_apart(values: pd.Series) -> bool:
    return bool(values.notna().all() and values.nunique() > 0.3 * len(values))


def _share(values: pd.Series, pattern: str) -> float:
    text = (
        texts_of(values.head(2_000))
        if not pd.api.types.is_datetime64_any_dtype(values.dtype)
        else pd.Series(dtype="str")
    )
    return float(text.str.fullmatch(pattern).mean()) if len(text) else 0.0


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(repr(column) for column in columns[:6])
