"""What the texts of a run know: every check of `embargo.backtest.leakage` that reads them, on what the run traded.

Labels are held against what followed them too, since what they know is learnt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from embargo.backtest import leakage
from embargo.backtest.leakage import Finding
from embargo.backtest.leakage.tokens import Words
from embargo.data_loaders.calendars import zone_of
from embargo.data_loaders.fields import CLASSES
from embargo.data_loaders.schemas import rows_where
from embargo.models.scorers.lexicon import LexiconScorer
from embargo.models.scorers.score import BLOCK
from embargo.research.run.given_scores import answered
from embargo.research.run.plan import Plan
from embargo.research.run.samples import each_once

# Hours between an article and the decision of the bar that it reached.
_AGES = {"under 1 h": 1.0, "1 to 6 h": 6.0, "6 to 24 h": 24.0, "over 24 h": np.inf}


def judge_texts(plan: Plan, news: pd.DataFrame, scored: pd.DataFrame, asset_returns: pd.DataFrame) -> list[Finding]:
    """Ask what texts know of what followed them.

    Parameters
    ----------
    plan : Plan
    news : DataFrame
        What the run reads, from training to test.
    scored : DataFrame
        Scored test news with ``row`` and ``column`` of the bar each article reached, -1 for none.
    asset_returns : DataFrame, shape (test rows, symbols)

    Returns
    -------
    list of Finding
        One of each check, whatever it found.
    """
    seed, read = plan.config.seed, placed(plan, scored, asset_returns)
    words = Words.of(read["text"])
    answers = [
        leakage.check_outcome_words(read, words=words, seed=seed),
        leakage.check_stated_moves(read, seed=seed),
        leakage.check_price_echo(read, words=words),
        leakage.check_repeated_texts(read, words=words),
        leakage.check_concentration(read, ("source", "hour", "weekday", "age"), seed=seed),
        leakage.check_hit_rate(read),
    ]
    return [
        *(answer.finding() for answer in answers),
        leakage.check_dates_in_texts(news),
        leakage.check_backfill(news),
    ]


def placed(plan: Plan, scored: pd.DataFrame, asset_returns: pd.DataFrame) -> pd.DataFrame:
    """Put beside each article that reached a bar what its symbol earned on it and on the bar before, and its groups.

    Parameters
    ----------
    plan : Plan
    scored, asset_returns : DataFrame
        As in `judge_texts`.

    Returns
    -------
    DataFrame
        ``article_id, symbol, text, source, published_at, at, earned, net, before, score, hour, weekday, age``; ``net``
        is what was earned less the mean of all symbols.
    """
    reached = answered(scored.loc[scored["row"] >= 0])
    row, column = reached["row"].to_numpy(), reached["column"].to_numpy()
    returns, net = asset_returns.to_numpy(), _net(asset_returns).to_numpy()
    published = reached["published_at"].dt.tz_convert(zone_of(plan.world.prices.calendar))
    hours = (plan.decided_at[row] - pd.DatetimeIndex(reached["known_at"])) / pd.Timedelta(hours=1)
    ages = np.searchsorted(list(_AGES.values()), np.asarray(hours), side="right").clip(max=len(_AGES) - 1)
    return reached[["article_id", "symbol", "text", "source", "published_at"]].assign(
        at=plan.world.prices.open_at[plan.rows][row],
        earned=returns[row, column],
        net=net[row, column],
        before=np.where(row > 0, returns[row - 1, column], np.nan),
        score=reached["bullish"] - reached["bearish"],
        hour=published.dt.hour,
        weekday=published.dt.day_name(),
        age=np.array(list(_AGES), dtype=object)[ages],
    )


def judge_labels_read(plan: Plan) -> Finding:
    """Ask whether labels that are said to be complete when their text is known tell what followed it (S7)."""
    found = leakage.CHECKS["check_label_readings"]
    if plan.config.labels.source != "news":
        said = "Labels are made from returns, or come with undated texts: none is said to be a reading of dated news."
        return Finding(found.code, "not-applicable", found.title, said)
    samples = [frame for part in plan.parts for frame in (part.train, part.validation)]
    complete = [rows_where(frame, (frame["ends_at"] <= frame["known_at"]).to_numpy()) for frame in samples]
    learnt = each_once(complete, ["article_id", "text", "label", "known_at"])
    if learnt.empty:
        return Finding(
            found.code, "not-applicable", found.title, "Every label says that it was complete later than its text."
        )
    world = plan.world
    row = world.decided_at.searchsorted(pd.DatetimeIndex(learnt["known_at"]))
    symbols = _of_article(world.news, learnt["article_id"], "symbol")
    column = world.prices.open.columns.get_indexer(pd.Index(symbols))
    learnt, inside = learnt.reset_index(drop=True), (row < len(world.decided_at)) & (column >= 0)
    learnt, row, column = learnt.loc[inside], row[inside], column[inside]
    returns = world.prices.open.shift(-1) / world.prices.open - 1.0
    reader, texts = LexiconScorer(), learnt["text"]
    pieces = [texts.iloc[start : start + BLOCK].tolist() for start in range(0, len(texts), BLOCK)]
    logits = np.concatenate([np.zeros((0, len(CLASSES))), *map(reader.logits, pieces)])
    return leakage.check_label_readings(
        pd.DataFrame(
            {
                "at": world.prices.open_at[row],
                "symbol": column,
                "score": learnt["label"].to_numpy() - float(CLASSES.index("neutral")),
                "reading": np.sign(logits[:, CLASSES.index("bullish")] - logits[:, CLASSES.index("bearish")]),
                "earned": returns.to_numpy()[row, column],
                "net": _net(returns).to_numpy()[row, column],
            }
        )
    ).finding()


def judge_agreement(
    judged: pd.DataFrame, manifests: Sequence[Mapping[str, Any]], *, news: pd.DataFrame | None, of_returns: bool
) -> Finding:
    """Ask whether the reader knows the labels of the test (S7).

    Parameters
    ----------
    judged : DataFrame
        What readers said of labelled test samples, as in `embargo.research.run.reading.Reading`.
    manifests : sequence of mapping
        One per fold.
    news : DataFrame or None
        ``article_id`` and ``known_at`` of the samples, where they are dated.
    of_returns : bool
        Whether the labels are made from returns.
    """
    told = np.asarray(judged[list(CLASSES)], dtype=float)
    answers = judged[["fold", "label"]].assign(told=told.argmax(axis=1))
    if news is not None:
        first = _of_article(news, judged["article_id"], "known_at")
        answers["day"] = pd.to_datetime(first, utc=True).dt.floor("D")
    before = pd.DataFrame(
        [
            {"fold": each["fold"], "accuracy": each["validation_accuracy"], "n": each["n_validation"]}
            for each in manifests
        ]
    )
    # How many labels of returns one side takes changes with the market, whoever reads.
    return leakage.check_label_agreement(answers.loc[np.isfinite(told).all(axis=1)], None if of_returns else before)


def _of_article(news: pd.DataFrame, articles: pd.Series, column: str) -> pd.Series:
    """Look up what the first row of each article says, index of ``articles``; missing where there is none."""
    names, sought = (pa.array(each.astype("str"), pa.large_string()) for each in (news["article_id"], articles))
    # The first of equal ones is found.
    place = pc.index_in(sought, value_set=names).fill_null(-1).to_numpy()
    return pd.Series(news[column].array.take(place, allow_fill=True), index=articles.index)


def _net(returns: pd.DataFrame) -> pd.DataFrame:
    """Take the mean of all symbols off what each earned."""
    return returns.sub(returns.mean(axis=1), axis=0)
