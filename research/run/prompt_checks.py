"""What prompts of a run know: every check of `embargo.backtest.leakage` that reads them, on what was really asked.

Items are dated twice: by what wrote them into the prompt, and by when the news of the run first hold such a text.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Final

import pandas as pd

from embargo.backtest import leakage
from embargo.backtest.leakage import CHECKS, Finding
from embargo.backtest.leakage.duplicates import MIN_TOKENS
from embargo.backtest.leakage.prompts import SHOWN
from embargo.data_loaders.schemas import is_among
from embargo.models.content import text_hash
from embargo.research.run.plan import Plan
from embargo.research.run.prompts_shown import FIXED

# Kinds of the product that are asked in words, and show nothing from after the end of their training.
PROMPTED = ("prompted", "endpoint")
_UTC: Final = "datetime64[us, UTC]"
# Greater than any letter that a text goes on with.
_LAST = "\U0010ffff"


def judge_prompts(
    plan: Plan,
    prompts: pd.DataFrame,
    orders: pd.DataFrame,
    scored: pd.DataFrame,
    fitted_on: pd.DataFrame,
    labelled: pd.DataFrame,
    names: Mapping[str, Sequence[str]],
) -> list[Finding]:
    """Ask what prompts show, and whether a reader does what texts tell it.

    Parameters
    ----------
    plan : Plan
    prompts, orders : DataFrame
        As of `embargo.research.run.reading.Reading`.
    scored : DataFrame
        Scored test news with ``fold`` and ``row`` of the bar each article reached, -1 for none.
    fitted_on : DataFrame
        What each fold's model was really fitted on, as of `Reading`.
    labelled : DataFrame
        Samples that the run has: ``text`` and ``ends_at``, when the label was complete, as it is held against splits.
    names : mapping of str to sequence of str
        Symbols that are traded, and what their companies are called.

    Returns
    -------
    list of Finding
        R1, R2, R4 and R5.
    """
    if prompts.empty and plan.config.model.kind in PROMPTED:
        return [_unwritten(name) for name in _ASKED]
    placed = _placed(plan, prompts, scored, labelled)
    record = _record(plan, fitted_on)
    fixed = placed[placed["part"] == FIXED].rename(columns={"text": "fixed"})
    return [
        leakage.check_prompts(placed, record),
        leakage.check_example_outcomes(placed, record),
        leakage.check_template(fixed, names),
        _obedience(plan, orders, asked_in_words=not prompts.empty),
    ]


_ASKED = ("check_prompts", "check_example_outcomes", "check_template", "check_injection")


def _unwritten(name: str) -> Finding:
    check = CHECKS[name]
    detail = "The reader is asked in words, and its prompts were not written down."
    remedy = "Let the reader show its prompts: embargo.models.prompt.Prompting."
    return Finding(check.code, "inconclusive", check.title, detail, remedy=remedy)


def _obedience(plan: Plan, orders: pd.DataFrame, *, asked_in_words: bool) -> Finding:
    check = CHECKS["check_injection"]
    if not asked_in_words:
        said = (
            "The reader is asked without a prompt, and follows no orders; embargo audit --probe asks it all the same."
        )
        return Finding(check.code, "not-applicable", check.title, said)
    if orders.empty:
        said = (
            "Nobody put orders to the reader: answers that are paid for, or that lay in the cache, are not asked for."
        )
        remedy = "Ask it: embargo audit --probe."
        return Finding(check.code, "inconclusive", check.title, said, remedy=remedy)
    news = pd.concat([part.test_news[["article_id", "text"]] for part in plan.parts]).drop_duplicates("article_id")
    return leakage.check_injection(orders.astype({"told": float, "control": float}), news)


def _placed(plan: Plan, prompts: pd.DataFrame, scored: pd.DataFrame, labelled: pd.DataFrame) -> pd.DataFrame:
    """Put beside each item the decision that it helped to make, and every instant that is known of it."""
    asked = scored.loc[(scored["row"] >= 0) & is_among(scored["article_id"], prompts["article_id"])]
    reached = asked.groupby(["fold", "article_id"])["row"].min()
    row = reached.reindex(pd.MultiIndex.from_frame(prompts[["fold", "article_id"]])).to_numpy()
    at = pd.Series(pd.NaT, index=prompts.index, dtype=_UTC)
    there = pd.notna(row)
    at[there] = plan.decided_at[row[there].astype(int)]
    # An article that reached no bar was never decided on; it was known, and asked about, all the same.
    placed = prompts.assign(asked_at=at.fillna(prompts["read_at"].astype(_UTC))).rename(columns={"known_at": "item_at"})
    items = placed["part"].isin(SHOWN)
    texts = placed.loc[items, "text"]
    shown = texts.unique()
    for name, frame, column in (("news_at", plan.world.news, "known_at"), ("complete_at", labelled, "ends_at")):
        # To look through all news is for those whose prompts show something.
        known = _first_of(frame, column) if len(shown) else None
        found = {} if known is None else {text: known.of(text) for text in shown}
        placed[name] = pd.to_datetime(placed["text"].where(items).map(found), utc=True).astype(_UTC)
    placed.loc[placed["part"] != "example", "complete_at"] = pd.NaT
    placed["trained_until"] = pd.Series(pd.NaT, index=placed.index, dtype=_UTC)
    placed["stated"] = False
    if plan.config.model.kind not in PROMPTED and items.any():
        # What the product shows was handed over to it with its instants; of others' items nobody but they may know.
        held = {_plain(text) for known in (plan.world.news, labelled) for text in known["text"].unique()}
        found_nowhere = ~texts.map(_plain).isin(held)
        placed.loc[items, "stated"] = found_nowhere & placed.loc[items, ["news_at", "complete_at"]].isna().all(axis=1)
    if plan.config.model.kind in PROMPTED:
        ends = {part.index: part.fold.train_end for part in plan.parts}
        if plan.config.labels.source == "file":
            ends = dict.fromkeys(ends, plan.parts[0].fold.train_end)
        placed["trained_until"] = pd.to_datetime(placed["fold"].map(ends), utc=True).astype(_UTC)
    return placed


class _First:
    """The first instant of every text, found by its beginning too, since prompts cut what they show."""

    def __init__(self, texts: pd.Series, instants: pd.Series) -> None:
        known = pd.DataFrame({"text": texts.map(_plain).to_numpy(), "at": instants.to_numpy()}).dropna()
        first = known.groupby("text")["at"].min().sort_index()
        found, at = first.index.tolist(), first.tolist()
        # Python's order of letters, which pandas need not share.
        order = sorted(range(len(found)), key=found.__getitem__)
        self._texts, self._at = [found[place] for place in order], [at[place] for place in order]

    def of(self, text: str) -> pd.Timestamp | None:
        """Return the first instant of a text, or of any that begins with it; None of few words."""
        wanted = _plain(text)
        if wanted.count(" ") + 1 < MIN_TOKENS:
            return None
        start, stop = bisect_left(self._texts, wanted), bisect_left(self._texts, wanted + _LAST)
        return min(self._at[start:stop], default=None)


def _first_of(frame: pd.DataFrame, column: str) -> _First:
    rows = frame[frame[column].notna()]
    return _First(rows["text"], pd.Series(pd.DatetimeIndex(rows[column]).tz_convert("UTC")))


def _plain(text: str) -> str:
    """Put words one blank apart, as prompts may."""
    return " ".join(str(text).split())


def _record(plan: Plan, fitted_on: pd.DataFrame) -> pd.DataFrame:
    """Return what fits put within reach of prompts, dated by the news where they first hold it later."""
    own = fitted_on.loc[fitted_on["use"].isin(SHOWN)].reset_index(drop=True)
    starts = {part.index: part.fold.test_start for part in plan.parts}
    at, complete = (pd.to_datetime(own[name], utc=True).astype(_UTC) for name in ("known_at", "ends_at"))
    if len(own):
        news = plan.world.news[["text", "known_at"]]
        long = news[news["text"].str.count(r"\S+") >= MIN_TOKENS]
        first = long.groupby("text", sort=False)["known_at"].min()
        first.index = pd.Index([text_hash(text) for text in first.index])
        seen = pd.to_datetime(own["text_hash"].astype("str").map(first), utc=True).astype(_UTC)
        at = at.where(~(at.isna() | (seen > at)), seen.fillna(at))
    until = pd.to_datetime(own["fold"].map(starts), utc=True).astype(_UTC)
    return own[["use", "text_hash", "fold"]].assign(at=at, complete_at=complete, until=until)
