"""The facts that the store keeps: news, bars, corporate actions, funding rates and instruments, one row per fact.

Each kind of fact has a key (what it is about), a natural instant (when the world could first know it) and values. A
frame that does not follow its kind is refused at the door with the first offending row; nothing is repaired in silence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import length_of
from embargo.data_loaders.errors import ConfigError, DataError, such
from embargo.data_loaders.fields import PRICE_FIELDS, UTC_DTYPE
from embargo.data_loaders.schemas import as_utc

Dataset = Literal["news", "bars", "actions", "funding", "instruments"]

# Columns that the store derives or adds; a source's own column of that name would be mistaken for it.
RESERVED = ("revision", "assumed", "committed_at", "content", "key", "#commit", "#content", "#next", "#late")

_EARLIEST = pd.Timestamp("0001-01-01", tz="UTC").as_unit("us")
_LATEST = pd.Timestamp("9999-12-31 23:59:59.999999", tz="UTC").as_unit("us")
_QUOTES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class Facts:
    """What one kind of fact looks like.

    Attributes
    ----------
    key : tuple of str
        Columns that say what the fact is about: two rows with one key are two versions of one fact.
    natural : str
        Column with the instant at which the world could first know the fact.
    event : str
        Instant whose UTC year partitions the files, and on which ranges select.
    texts, instants, numbers : tuple of str
        Columns by type, keys included.
    optional : frozenset of str
        Columns whose values may be missing.
    choices : dict of str to tuple of str
        Columns that know a few words only.
    open_ended : bool
        Whether columns beyond these are kept.
    shared : tuple of str
        The part of the key whose facts are edited together and the column they share: an article's text under all its
        symbols. Empty where each fact stands alone.
    """

    key: tuple[str, ...]
    natural: str
    event: str
    texts: tuple[str, ...]
    instants: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()
    choices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    open_ended: bool = False
    shared: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that the kind names, key first, ``seen_at`` last."""
        return tuple(dict.fromkeys((*self.key, *self.instants, *self.texts, *self.numbers, "seen_at")))

    @property
    def event_in_key(self) -> bool:
        """Whether all versions of a fact happen at one instant, so that a range of events holds whole histories."""
        return self.event in self.key


DATASETS: dict[str, Facts] = {
    "news": Facts(
        key=("article_id", "symbol"),
        natural="published_at",
        event="published_at",
        texts=("article_id", "symbol", "text", "source"),
        instants=("published_at",),
        open_ended=True,
        shared=("article_id", "text"),
    ),
    "bars": Facts(
        key=("venue", "symbol", "bar", "open_at"),
        natural="close_at",
        event="open_at",
        texts=("venue", "symbol", "bar"),
        instants=("open_at", "close_at"),
        numbers=PRICE_FIELDS,
        optional=frozenset(PRICE_FIELDS),
    ),
    "actions": Facts(
        key=("venue", "symbol", "kind", "ex_at"),
        natural="ex_at",
        event="ex_at",
        texts=("venue", "symbol", "kind"),
        instants=("ex_at",),
        numbers=("value",),
        choices={"kind": ("dividend", "split")},
    ),
    "funding": Facts(
        key=("venue", "symbol", "settles_at"),
        natural="settles_at",
        event="settles_at",
        texts=("venue", "symbol"),
        instants=("settles_at",),
        numbers=("rate",),
    ),
    "instruments": Facts(
        key=("venue", "symbol"),
        natural="seen_at",
        event="seen_at",
        texts=("venue", "symbol", "kind", "base", "quote", "status"),
        instants=("listed_at", "delisted_at"),
        optional=frozenset({"base", "quote", "listed_at", "delisted_at"}),
        choices={"kind": ("spot", "linear", "share")},
    ),
}


def facts_of(dataset: str) -> Facts:
    """Return the description of a kind of fact.

    Raises
    ------
    ConfigError
        If there is no such kind.
    """
    if dataset not in DATASETS:
        raise ConfigError(f"dataset {dataset!r} is unknown. Use one of {', '.join(DATASETS)}.")
    return DATASETS[dataset]


def instant_of(value: Any, what: str) -> pd.Timestamp:
    """Return one instant in UTC at microsecond resolution.

    Raises
    ------
    DataError
        If it is missing, no instant, or without a time zone.
    """
    if not isinstance(value, pd.Timestamp) and not hasattr(value, "tzinfo"):
        raise DataError(f"{what}: expected a timezone-aware instant, got {value!r}.")
    if value is pd.NaT:
        raise DataError(f"{what}: the instant is missing.")
    stamp = pd.Timestamp(value)
    if stamp.tzinfo is None:
        raise DataError(f"{what}: {stamp} has no time zone. Give it one, such as {stamp}+00:00.")
    return stamp.tz_convert("UTC").as_unit("us")


def _describe(frame: pd.DataFrame, facts: Facts, bad: pd.Series) -> str:
    """Name the first offending row by its number and its key."""
    row = int(np.argmax(bad.to_numpy(dtype=bool)))
    key = ", ".join(f"{name} {frame[name].iloc[row]}" for name in facts.key if name in frame.columns)
    return f"row {frame.index[row]!r} ({key}; {such(bad.sum(), 'row')})"


def _written(values: pd.Series, name: str, where: str) -> pd.Series:
    try:
        return values.astype("str")
    except UnicodeEncodeError as failure:
        raise DataError(
            f"{where}: column {name!r} holds {failure.object[failure.start : failure.end]!r}, half of a character that "
            "was cut in two. Mend or filter such rows."
        ) from failure


def _text(frame: pd.DataFrame, name: str, facts: Facts, where: str) -> pd.Series:
    values = frame[name]
    absent = values.isna()
    if absent.any() and name not in facts.optional:
        raise DataError(
            f"{where}: column {name!r} is empty at {_describe(frame, facts, absent)}. Filter such rows out."
        )
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    if not isinstance(values.dtype, pd.StringDtype):
        strange = values.map(lambda value: not isinstance(value, str)).astype(bool) & ~absent
        if strange.any():
            row = int(np.argmax(strange.to_numpy()))
            raise DataError(
                f"{where}: column {name!r} holds {values.iloc[row]!r}, which is no text, at "
                f"{_describe(frame, facts, strange)}. Convert the column first."
            )
    values = _written(values, name, where)
    if name in facts.key or name == "text":
        blank = (values == "") | values.str.isspace()
        if blank.any():
            raise DataError(f"{where}: column {name!r} is blank at {_describe(frame, facts, blank)}. Filter it out.")
    return values


def _instants(frame: pd.DataFrame, name: str, facts: Facts, where: str, *, may_miss: bool) -> pd.Series:
    what = f"{where}, column {name}"
    values = frame[name]
    stated = values.notna().to_numpy()
    if not may_miss or stated.all():
        result = as_utc(values, what=what)
    else:
        # By position: labels may repeat, and would then carry one row's instant to another.
        result = pd.Series(pd.NaT, index=frame.index, dtype=UTC_DTYPE)
        if stated.any():
            result.array[stated] = as_utc(values[stated], what=what).array
    far = (result < _EARLIEST) | (result > _LATEST)
    if far.any():
        raise DataError(
            f"{what}: an instant lies outside the years 1 to 9999 at {_describe(frame, facts, far)}. Check its unit."
        )
    return result


def _number(frame: pd.DataFrame, name: str, facts: Facts, where: str) -> pd.Series:
    try:
        values = frame[name].astype("float64")
    except (TypeError, ValueError) as failure:
        raise DataError(f"{where}: column {name!r} holds something that is no number: {failure}.") from failure
    bad = values.isin([np.inf, -np.inf])
    if name not in facts.optional:
        bad |= values.isna()
    if bad.any():
        raise DataError(f"{where}: {name} is not a finite number at {_describe(frame, facts, bad)}. Filter it out.")
    return values


def _extra(frame: pd.DataFrame, name: str, facts: Facts, where: str) -> pd.Series:
    """Keep a column that the kind does not name as text, number, truth value or instant."""
    values = frame[name]
    dtype = values.dtype
    if isinstance(dtype, pd.DatetimeTZDtype) or (isinstance(dtype, np.dtype) and dtype.kind == "M"):
        return _instants(frame, name, facts, where, may_miss=True)
    if isinstance(dtype, pd.CategoricalDtype):
        values = values.astype(dtype.categories.dtype)
        dtype = values.dtype
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_integer_dtype(dtype):
        return values
    if pd.api.types.is_float_dtype(dtype):
        return values.astype("float64")
    if isinstance(dtype, pd.StringDtype) or values.map(lambda value: isinstance(value, str)).astype(bool)[
        values.notna()
    ].all():  # fmt: skip
        return _written(values, name, where)
    strange = values.notna() & ~values.map(lambda value: isinstance(value, str)).astype(bool)
    raise DataError(
        f"{where}: extra column {name!r} mixes kinds or holds none of text, number, truth value, instant: "
        f"{values[strange].iloc[0]!r} at {_describe(frame, facts, strange)}. Convert it first."
    )


def _check_columns(facts: Facts, frame: pd.DataFrame, where: str) -> list[str]:
    """Return the extra columns; refuse missing, unknown and reserved ones."""
    present = list(frame.columns)
    optional = {"seen_at"} - {facts.natural}
    if facts.open_ended:
        optional |= {"source"}
    missing = [name for name in facts.columns if name not in present and name not in optional | facts.optional]
    if missing:
        raise DataError(f"{where}: missing columns {missing}; it has {present}. Map them first.")
    taken = [name for name in present if name.lower() in RESERVED]
    if taken:
        raise DataError(
            f"{where}: the store derives columns named {taken} itself. Rename the source's own, such as "
            f"{'source_' + taken[0]!r}, or drop them."
        )
    extra = [name for name in present if name not in facts.columns and name != "known_at"]
    if extra and not facts.open_ended:
        raise DataError(f"{where}: unknown columns {extra}. Known are {[*facts.columns]}; drop the others first.")
    folded = [name.lower() for name in (*facts.columns, "known_at", *extra)]
    twice = sorted({name for name in folded if folded.count(name) > 1})
    if twice or len(set(present)) < len(present):
        raise DataError(f"{where}: columns {twice or present} are there twice (case does not tell them apart).")
    return extra


def _check_bars(frame: pd.DataFrame, facts: Facts, where: str) -> None:
    for name in frame["bar"].unique():
        length_of(str(name))
    problems = {
        "the bar closes before it opens": frame["close_at"] <= frame["open_at"],
        "a price is not positive": (frame[list(_QUOTES)] <= 0).any(axis=1),
        "the volume is negative": frame["volume"] < 0,
        "low exceeds high": frame["low"] > frame["high"] * (1 + 1e-9),
        "there is no price at all": frame[list(_QUOTES)].isna().all(axis=1),
        "the bar was seen before it closed, so it was not finished": frame["seen_at"] < frame["close_at"],
    }
    for problem, bad in problems.items():
        if bad.any():
            raise DataError(f"{where}: {problem} at {_describe(frame, facts, bad)}. Mend or filter these rows.")


def validate_facts(dataset: Dataset, frame: pd.DataFrame, *, where: str) -> pd.DataFrame:
    """Check facts and normalise their types.

    Parameters
    ----------
    dataset : {"news", "bars", "actions", "funding", "instruments"}
        Kind of fact; ``DATASETS`` names the columns.
    frame : DataFrame, shape (n, columns)
        One row per fact. ``seen_at`` may be absent or NaT where the source does not say when it could be had (not
        for instruments, which have no other instant). A column ``known_at`` is ignored, since the store derives it.
    where : str
        Named in errors.

    Returns
    -------
    DataFrame, shape (n, columns)
        The columns of the kind in their order, then the extra ones of news; texts as ``str``, instants as
        ``datetime64[us, UTC]``, numbers as float64; rows and index as given.

    Raises
    ------
    DataError
        Naming the first row that has a missing or blank key, a naive instant, a price or an action value that is not
        positive, or a word outside its list; and columns that are missing, unknown or reserved.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders import validate_facts
    >>> settles_at = pd.to_datetime(["2020-01-01 08:00Z"])
    >>> facts = pd.DataFrame({"venue": "mine", "symbol": "BTCUSDT", "settles_at": settles_at, "rate": [0.0001]})
    >>> list(validate_facts("funding", facts, where="my rates").columns)
    ['venue', 'symbol', 'settles_at', 'rate', 'seen_at']
    """
    facts = facts_of(dataset)
    frame = frame.rename(columns=str)
    extra = _check_columns(facts, frame, where)
    result: dict[str, pd.Series] = {}
    absent = pd.Series(None, index=frame.index, dtype="object")
    present = frame.assign(**{name: absent for name in facts.columns if name not in frame.columns})
    if "source" not in frame.columns and facts.open_ended:
        present["source"] = "unknown"
    for name in facts.columns:
        if name in facts.texts:
            result[name] = _text(present, name, facts, where)
        elif name in facts.numbers:
            result[name] = _number(present, name, facts, where)
        else:
            may_miss = name in facts.optional or (name == "seen_at" and facts.natural != "seen_at")
            result[name] = _instants(present, name, facts, where, may_miss=may_miss)
    for name in extra:
        result[name] = _extra(present, name, facts, where)
    tidy = pd.DataFrame(result, index=frame.index)
    for name, words in facts.choices.items():
        bad = ~tidy[name].isin(words)
        if bad.any():
            raise DataError(f"{where}: {name} must be one of {list(words)} at {_describe(tidy, facts, bad)}.")
    if dataset == "bars":
        _check_bars(tidy, facts, where)
    if dataset == "actions" and (tidy["value"] <= 0).any():
        raise DataError(f"{where}: the value is not positive at {_describe(tidy, facts, tidy['value'] <= 0)}.")
    return tidy
