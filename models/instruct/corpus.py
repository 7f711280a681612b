"""A dated corpus of articles cut in time: what may be trained on, what validates, and what only measures.

An article is in the part in which it was known; a text that was there before stays with its first appearance and every
later copy is left out and counted. An answer that was written after the end of its part is not asked for there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from embargo.data_loaders.checks.repeats import text_keys
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.schemas import as_utc

# Columns that somebody wrote about the article, beside the article.
ANSWER_COLUMNS = ("label", "summary", "question", "answer")
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class CorpusSplit:
    """Where time is cut.

    Attributes
    ----------
    train_until, validation_until : Timestamp
        Articles known up to the first are trained on, later ones up to the second decide when to stop, and what is
        known after that measures, UTC.
    embargo : Timedelta
        Articles known so soon after either are in no part.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.models.instruct import CorpusSplit
    >>> CorpusSplit(pd.Timestamp("2016-01-01", tz="UTC"), pd.Timestamp("2016-04-01", tz="UTC")).embargo.days
    1
    """

    train_until: pd.Timestamp
    validation_until: pd.Timestamp
    embargo: pd.Timedelta = field(default_factory=lambda: pd.Timedelta(days=1))

    def __post_init__(self) -> None:
        for name in ("train_until", "validation_until"):
            if getattr(self, name).tzinfo is None:
                raise ConfigError(f"split.{name} = {getattr(self, name)} has no time zone. Write it with an offset.")
        if self.embargo < pd.Timedelta(0):
            raise ConfigError(f"split.embargo = {self.embargo} is negative.")
        if self.validation_until <= self.train_until + self.embargo:
            raise ConfigError(
                f"split.validation_until = {self.validation_until} leaves no articles after train_until = "
                f"{self.train_until} and the embargo of {self.embargo}. Set it later."
            )


@dataclass(frozen=True)
class CorpusParts:
    """Articles by part, and how many are in none and why.

    Attributes
    ----------
    train, validation, test : DataFrame
        One row per article: ``article_id, text, known_at`` and what else there was.
    counts : dict of str to int
        ``rows``, and those left out by reason.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.models.instruct import CorpusParts
    >>> CorpusParts(pd.DataFrame(), pd.DataFrame(), pd.DataFrame(), {"rows": 0}).counts["rows"]
    0
    """

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    counts: dict[str, int]


def split_corpus(articles: pd.DataFrame, split: CorpusSplit) -> CorpusParts:
    """Cut a corpus in time and take out what would pass from one part into another.

    Parameters
    ----------
    articles : DataFrame
        ``article_id, text, known_at`` (UTC) and, where there, ``headline`` (the article's own) and what somebody wrote
        about it: ``label`` (bearish, neutral, bullish), ``summary``, ``question``, ``answer``. ``written_at`` says when
        these were written; without it they are taken as written when the article was known. Several rows of one
        article (one per symbol) count as one.
    split : CorpusSplit

    Returns
    -------
    CorpusParts

    Raises
    ------
    DataError
        If a column or an instant is missing, or a part to train or validate on is empty.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.models.instruct import CorpusSplit, split_corpus
    >>> days = pd.to_datetime(["2015-01-01", "2015-06-01", "2016-02-01", "2016-06-01", "2016-06-02"], utc=True)
    >>> texts = ["Sales rose.", "Sales fell.", "Sales stood still.", "SALES ROSE!", "Profit rose."]
    >>> articles = pd.DataFrame({"article_id": list("abcde"), "text": texts, "known_at": days})
    >>> cuts = [pd.Timestamp(day, tz="UTC") for day in ("2016-01-01", "2016-04-01")]
    >>> parts = split_corpus(articles, CorpusSplit(*cuts))
    >>> list(parts.test["article_id"]), parts.counts["text_known_from_an_earlier_part"]
    (['e'], 1)
    """
    missing = [name for name in ("article_id", "text", "known_at") if name not in articles.columns]
    if missing:
        raise DataError(f"corpus: columns {missing} are missing; there are {list(articles.columns)}.")
    frame = articles.assign(known_at=as_utc(articles["known_at"], what="corpus, column known_at"))
    if "written_at" in frame:
        frame["written_at"] = as_utc(frame["written_at"], what="corpus, column written_at")
    counts = {"rows": len(frame)}
    frame = frame.sort_values(["known_at", "article_id"], kind="stable")
    once = ~frame["article_id"].duplicated()
    counts["further_rows_of_an_article"] = int((~once).sum())
    frame = frame.loc[once]
    ends = (split.train_until, split.validation_until)
    # 0 to 2 are the parts; what lies in the embargo after a boundary is in none.
    part = np.searchsorted(
        np.array([end.value for end in ends]), frame["known_at"].astype("datetime64[ns, UTC]").astype("int64")
    )
    since = np.minimum.reduce(
        [np.where(frame["known_at"] > end, (frame["known_at"] - end).dt.total_seconds(), np.inf) for end in ends]
    )
    embargoed = since <= split.embargo.total_seconds()
    counts["in_the_embargo"] = int(embargoed.sum())
    # The first appearance counts also where it lies in an embargo: what follows is no new text.
    key = text_keys(frame["text"]).to_numpy()
    copy = pd.Series(key).duplicated().to_numpy()
    first = pd.Series(part).groupby(pd.factorize(key)[0]).transform("first").to_numpy()
    earlier = copy & ~embargoed & (part > first)
    within = copy & ~embargoed & ~earlier
    counts["text_known_from_an_earlier_part"] = int(earlier.sum())
    counts["repeats_in_a_part"] = int(within.sum())
    kept = ~(copy | embargoed)
    parts = []
    late = 0
    for number, name in enumerate(PARTS):
        chosen = frame.loc[kept & (part == number)].reset_index(drop=True)
        if number < len(ends) and chosen.empty:
            raise DataError(
                f"corpus: no articles for {name} up to {ends[number]}; they run from {frame['known_at'].min()} to "
                f"{frame['known_at'].max()}. Move split.train_until and split.validation_until."
            )
        if number < len(ends):
            chosen, blanked = _without_late_answers(chosen, ends[number])
            late += blanked
        parts.append(chosen)
    counts["answers_written_after_their_part"] = late
    return CorpusParts(parts[0], parts[1], parts[2], counts)


def _without_late_answers(part: pd.DataFrame, end: pd.Timestamp) -> tuple[pd.DataFrame, int]:
    columns = [name for name in ANSWER_COLUMNS if name in part.columns]
    if "written_at" not in part.columns or not columns:
        return part, 0
    late = (part["written_at"] > end).to_numpy()
    there = late & part[columns].notna().any(axis=1).to_numpy()
    blank = part.astype(dict.fromkeys(columns, object))
    blank.loc[late, columns] = None
    return blank, int(there.sum())


def known_until(parts: Sequence[pd.DataFrame]) -> pd.Timestamp:
    """Return the latest instant at which an article in these parts, or an answer about one, was known; UTC."""
    instants = [part["known_at"].max() for part in parts]
    for part in parts:
        if "written_at" in part.columns:
            columns = [name for name in ANSWER_COLUMNS if name in part.columns]
            used = part.loc[part[columns].notna().any(axis=1), "written_at"]
            instants += [used.max()] if len(used.dropna()) else []
    latest: pd.Timestamp = max(instants)
    return latest
