"""A base as a series of dated vintages: whoever trains takes the newest that knew nothing when the training ended.

A vintage is never taken for want of an older one: it would have read what its model is validated and tested on. Only
those that are needed are looked for, all of them before anything is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from embargo.data_loaders.errors import ConfigError
from embargo.models.bases.registry import known_base, last_instant, registered_series
from embargo.models.bases.resolve import Base, resolve_base


@dataclass(frozen=True)
class Vintages:
    """Those bases of a series that are needed, on this machine.

    Attributes
    ----------
    bases : tuple of Base
        Oldest first; each knows nothing after the last instant (UTC) of the day it is dated by.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.models import Base
    >>> from embargo.models.bases.vintages import Vintages
    >>> first, second = (pd.Timestamp(day, tz="UTC") for day in ("2013-12-31", "2014-12-31"))
    >>> old, new = (Base(f"{day:%Y}", "/m", "encoder", day, "declared", weights_hash="") for day in (first, second))
    >>> Vintages((old, new)).before(pd.Timestamp("2014-10-01", tz="UTC")).name
    '2013'
    """

    bases: tuple[Base, ...]

    def before(self, until: pd.Timestamp) -> Base:
        """Return the newest base that ends before an instant; ConfigError where every one ends later."""
        cutoffs = {base.name: base.knowledge_cutoff for base in self.bases if base.knowledge_cutoff is not None}
        name = _newest(cutoffs, until, "a training")
        return next(base for base in self.bases if base.name == name)


def series_of(
    base: str | Mapping[str, str],
    *,
    revision: str | None = None,
    knowledge_cutoff: pd.Timestamp | None = None,
) -> Mapping[str, str] | None:
    """Return the names of a series of bases by their days, or None where ``base`` names one base.

    Parameters
    ----------
    base : str or mapping of str to str
        The name of a registered series, whatever its case, or days (ISO, the last that each base could know) and names.
        A folder is taken for a base, whatever it is called.
    revision, knowledge_cutoff : optional
        Belong to one base, and are refused beside a series.

    Raises
    ------
    ConfigError
        If one of them is given.

    Examples
    --------
    >>> from embargo.models.bases.vintages import series_of
    >>> series_of("manelalab/chrono-bert-v1")["2013-12-31"]
    'manelalab/chrono-bert-v1-20131231'
    >>> series_of("minilm") is None
    True
    """
    named: Mapping[str, str] | None = None if isinstance(base, str) else base
    if isinstance(base, str) and not Path(base).expanduser().is_dir():
        named = registered_series(base)
    if named is not None and (revision is not None or knowledge_cutoff is not None):
        raise ConfigError(
            "model.base is a series of vintages, and model.revision and model.knowledge_cutoff belong to one base. "
            "Leave them out: each vintage ends with the day it is dated by. To pin weights, name folders."
        )
    return named


def open_vintages(named: Mapping[str, str], endings: Mapping[str, pd.Timestamp]) -> Vintages:
    """Find the vintages that some trainings need, each the newest that ends before its training does.

    Parameters
    ----------
    named : mapping of str to str
        Names of bases by the last day (ISO, UTC) that each could know, in any order.
    endings : mapping of str to Timestamp
        What is trained, in words, and the instant (UTC) at which its training ends and validation or test begins.

    Raises
    ------
    ConfigError
        If no vintage ends before a training does, a vintage is documented under another day, or as
        `embargo.models.bases.resolve.resolve_base`, whose other errors are raised here too.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.models.bases.vintages import open_vintages
    >>> ends = {f"fold of {year}": pd.Timestamp(f"{year}-03-01", tz="UTC") for year in (2022, 2023)}
    >>> [base.name for base in open_vintages({"2021-12-31": "minilm"}, ends).bases]
    ['minilm']
    >>> open_vintages({"2021-12-30": "minilm"}, ends)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: model.base: 'minilm' is dated 2021-12-30, and is documented to know ...
    """
    cutoffs = {day: last_instant(day) for day in sorted(named)}
    needed = {_newest(cutoffs, until, training, named) for training, until in endings.items()}
    for day in sorted(needed):
        _refuse_misdated(day, named[day])
    return Vintages(
        tuple(resolve_base(named[day], knowledge_cutoff=_declared(day, named[day])) for day in sorted(needed))
    )


def _newest(
    cutoffs: Mapping[str, pd.Timestamp], until: pd.Timestamp, training: str, named: Mapping[str, str] | None = None
) -> str:
    early = [key for key, cutoff in cutoffs.items() if cutoff < until]
    if early:
        return max(early, key=lambda key: cutoffs[key])
    oldest = min(cutoffs, key=lambda key: cutoffs[key])
    raise ConfigError(
        f"model.base: {training} ends at {until}, and the oldest vintage, {(named or {}).get(oldest, oldest)!r}, knows "
        f"text until {cutoffs[oldest]}. A younger one may have read what follows the training, so none is taken. Add a "
        "vintage that ends earlier, or move split.first_test later."
    )


def _documented(name: str) -> str | None:
    """Return the day until which a name is documented to know; a folder's name documents nothing."""
    known = None if Path(name).expanduser().is_dir() else known_base(name)
    return None if known is None else known.knowledge_cutoff


def _refuse_misdated(day: str, name: str) -> None:
    documented = _documented(name)
    if documented not in (None, day):
        raise ConfigError(
            f"model.base: {name!r} is dated {day}, and is documented to know text until {documented}. Write that day "
            "in its place, or name the vintage that was meant."
        )


def _declared(day: str, name: str) -> pd.Timestamp | None:
    # What is documented keeps its source; the day declares the rest.
    return None if _documented(name) is not None else last_instant(day)
