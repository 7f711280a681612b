"""What a data check answers, and the form of news and bars that the checks read.

A check never mends, drops or refuses anything: it counts, shows examples and says how much the counts should worry.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from embargo.data_loaders.checks.repeats import first_of, normalised, stories
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import as_utc, time_order

Grade = Literal["clean", "look", "bad"]
MAX_EXAMPLES = 20
_LONGEST_TEXT = 140
# Beside the news while they are put in order: the number of each text.
_STORY = "_story"
_NEEDED = ("article_id", "published_at", "symbol", "text")


@dataclass(frozen=True, eq=False)
class Check:
    """The answer of one check.

    Attributes
    ----------
    name : str
        What was looked at, such as ``"time of day"``.
    verdict : {"clean", "look", "bad"}
        ``"look"``: a person should judge it before believing results; ``"bad"``: results built on it would be wrong.
    summary : str
        One or two sentences with the figures that decided.
    figures : dict of str to number or text
        Everything counted; shares are fractions.
    rows : DataFrame
        At most 20 examples.
    profile : DataFrame
        The counts behind the figures, ready to be drawn; empty where there is nothing to draw.
    remedy : str
        What to do about it; empty where nothing is to be done.
    marked : ndarray of bool, shape (bars, symbols), or None
        Every bar of the prices checked that the verdict rests on, so that a result can be had without them; None
        where no single bars are at fault.

    Examples
    --------
    >>> from embargo.data_loaders.checks import Check
    >>> Check("volume", "look", "3 bars without any trade.", {"zero": 3}).verdict
    'look'
    """

    name: str
    verdict: Grade
    summary: str
    figures: dict[str, int | float | str] = field(default_factory=dict)
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    profile: pd.DataFrame = field(default_factory=pd.DataFrame)
    remedy: str = ""
    marked: np.ndarray | None = None

    @property
    def code(self) -> str:
        """Stable name for settings and files, such as ``"time-of-day"``."""
        return self.name.replace(" ", "-")


def graded(value: float, *, look: float, bad: float = float("inf")) -> Grade:
    """Grade of a number that worries from ``look`` on and condemns from ``bad`` on."""
    return "bad" if value >= bad else "look" if value >= look else "clean"


def worse(*verdicts: Grade) -> Grade:
    """Return the worst of some verdicts, ``"clean"`` of none."""
    order: tuple[Grade, ...] = ("clean", "look", "bad")
    return max(verdicts, key=order.index, default="clean")


def examples(frame: pd.DataFrame, columns: list[str] | None = None) -> pd.DataFrame:
    """Return the first 20 rows, with long texts cut."""
    shown = (frame if columns is None else frame[columns]).head(MAX_EXAMPLES).reset_index(drop=True)
    if "text" in shown.columns:
        shown = shown.assign(text=shown["text"].str.slice(0, _LONGEST_TEXT))
    return shown


def plural(number: float, noun: str) -> str:
    """Write a count with its noun: ``1 day``, ``34 days``."""
    return f"{number:,.0f} {noun if number == 1 else noun + 's'}"


def percent(share: float) -> str:
    """Write a share: ``12.3%``, two decimals below one per cent, and never a small one as none."""
    if 0 < share < 0.0001:
        return "less than 0.01%"
    return f"{share:.2%}" if share < 0.01 else f"{share:.1%}"


@dataclass(frozen=True, eq=False)
class NewsFacts:
    """News in the form that the checks read, and what several of them ask of it, found once.

    Attributes
    ----------
    given : DataFrame
        The news as they came, all revisions included.
    rows : DataFrame
        First revisions only, in the order of known_at, article_id and symbol, with a fresh index; with ``known_at`` and
        ``stated``: whether the source says when the article was first seen. A ``seen_at`` equal to ``published_at`` is
        an assumption, not a statement.
    numbers : ndarray of int64, shape (rows,), or None
        Numbers of the texts of ``rows``, where they have been given: see ``story``.
    """

    given: pd.DataFrame
    rows: pd.DataFrame
    numbers: np.ndarray | None = None

    @cached_property
    def _heads(self) -> np.ndarray:
        return np.flatnonzero(~self.rows["article_id"].duplicated().to_numpy())

    @cached_property
    def articles(self) -> pd.DataFrame:
        """One row of each article, whatever number of symbols it is filed under; fresh index."""
        if len(self._heads) == len(self.rows):
            return self.rows
        return self.rows.iloc[self._heads].reset_index(drop=True)

    @cached_property
    def plain(self) -> pa.LargeStringArray:
        """The texts of ``rows`` as `normalise_text` leaves them."""
        return normalised(self.rows["text"])

    @cached_property
    def story(self) -> np.ndarray:
        """Number of each text of ``rows`` that its copies share, as of `text_numbers`; shape (rows,)."""
        return stories(self.rows["text"], self.plain) if self.numbers is None else self.numbers

    @cached_property
    def original(self) -> np.ndarray:
        """Whether each of ``articles`` is the first to bring its text; shape (articles,)."""
        return first_of(self.story[self._heads], self.articles)


def facts_of(news: pd.DataFrame | NewsFacts, story: np.ndarray | None = None) -> NewsFacts:
    """Bring news of any origin into the form that the checks read; what is in that form already stays what it is.

    Parameters
    ----------
    news : DataFrame or NewsFacts
        ``article_id, published_at, symbol, text``, optionally ``seen_at`` (missing where the source does not state
        it), ``source`` and ``revision``.
    story : ndarray of int64, shape (n,), optional
        Numbers of the texts of a frame, as of `text_numbers`, where they are known.

    Returns
    -------
    NewsFacts

    Raises
    ------
    DataError
        If a column is missing, an instant is naive or there is no row.
    """
    if isinstance(news, NewsFacts):
        return news
    missing = [name for name in _NEEDED if name not in news.columns]
    if missing or news.empty:
        raise DataError(f"data check: the news have {f'no columns {missing}' if missing else 'no rows'}.")
    facts = news.copy(deep=False)
    if story is not None:
        facts[_STORY] = story
    if "revision" in facts.columns:
        facts = facts.sort_values("revision", kind="stable").drop_duplicates(["article_id", "symbol"])
    facts["published_at"] = as_utc(facts["published_at"], what="data check, news.published_at")
    seen = facts["published_at"]
    if "seen_at" in facts.columns and facts["seen_at"].notna().all():
        seen = as_utc(facts["seen_at"], what="data check, news.seen_at")
    elif "seen_at" in facts.columns and facts["seen_at"].notna().any():
        given = facts["seen_at"].notna()
        seen = seen.copy()
        seen.loc[given] = as_utc(facts.loc[given, "seen_at"], what="data check, news.seen_at")
    facts["seen_at"] = seen
    facts["stated"] = seen != facts["published_at"]
    facts["known_at"] = seen.where(seen > facts["published_at"], facts["published_at"])
    facts["text"] = facts["text"].astype("str")
    if "source" not in facts.columns:
        facts["source"] = "unknown"
    order = time_order(facts, ("article_id", "symbol"))
    if not np.array_equal(order, np.arange(len(order))):
        facts = facts.iloc[order]
    numbers = None if story is None else facts.pop(_STORY).to_numpy()
    return NewsFacts(news, facts.reset_index(drop=True), numbers)


def news_facts(news: pd.DataFrame | NewsFacts) -> pd.DataFrame:
    """Rows of `facts_of` the news."""
    return facts_of(news).rows


def one_per_article(facts: pd.DataFrame) -> pd.DataFrame:
    """Keep one row of each article, whatever number of symbols it is filed under."""
    return facts.drop_duplicates("article_id", ignore_index=True)


def month_of(instants: pd.Series) -> pd.Series:
    """First instant of each instant's UTC month."""
    return pd.Series(
        instants.to_numpy(dtype="datetime64[us]").astype("datetime64[M]").astype("datetime64[us]"), index=instants.index
    ).dt.tz_localize("UTC")


def cells_of(mask: np.ndarray, panel: pd.DataFrame, **values: np.ndarray) -> pd.DataFrame:
    """List the first 20 marked cells of a panel: symbol, bar, and the values there."""
    places = np.argwhere(mask)[:MAX_EXAMPLES]
    listed = {
        "symbol": [str(panel.columns[column]) for _, column in places],
        "bar": [panel.index[row] for row, _ in places],
    }
    return pd.DataFrame(listed | {name: array[places[:, 0], places[:, 1]] for name, array in values.items()})
