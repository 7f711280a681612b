"""Scores that were made elsewhere, held against the news of a run: what they cover, and what they leave open.

An article without a score carries no signal: it is no neutral one, calibrates nothing and is counted. Files are read
once for all that is made of the same inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from embargo.backtest.display import counted
from embargo.data_loaders.archive.score_files import LoadedScores, read_scores
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.research.config.archives import dialect_of
from embargo.research.config.experiment import Config
from embargo.research.config.model import ScoresSection

if TYPE_CHECKING:
    from embargo.data_loaders.archive.streams import Counts
    from embargo.research.run.samples import Samples
    from embargo.research.run.world import Inputs, World

# Share of the news without scores beyond which a result speaks of what was scored, not of the news.
MUCH = 0.2
_ZEROS_LOST = (
    "They are the same where leading zeros are left out: what wrote one of the two took ids for numbers (007 became "
    "7). Write its ids as text."
)


def given_scores(settings: ScoresSection, inputs: Inputs) -> LoadedScores:
    """Return the scores of a file, read once for these inputs."""
    known, key = inputs.scores, repr(settings)
    if key not in known:
        known[key] = read_scores(
            settings.path,
            knowledge_cutoff=settings.knowledge_cutoff,
            columns=settings.columns,
            dialect=dialect_of(settings),
        )
    return known[key]


def coverage(settings: ScoresSection, inputs: Inputs, news: pd.DataFrame) -> Counts:
    """Count which articles have scores: ``covered`` and ``uncovered`` of the news, ``strangers`` of the file.

    ``unpadded`` counts those without one whose id stands in the file with more or fewer zeros before it, if there are
    any: a program that takes ids for numbers drops them.

    Raises
    ------
    DataError
        If no article of the news has one, which shows ids of both.
    """
    scores = given_scores(settings, inputs)
    asked = pd.Index(news["article_id"].unique())
    covered = int(asked.isin(scores.frame.index).sum())
    open_ids, strange = asked.difference(scores.frame.index), scores.frame.index.difference(asked)
    unpadded = int(open_ids.astype("str").str.lstrip("0").isin(strange.astype("str").str.lstrip("0")).sum())
    if not covered:
        ours, theirs = (", ".join(map(repr, ids[:3].tolist())) for ids in (asked, scores.frame.index))
        raise DataError(
            f"model.scores.path = {settings.path}: none of its {len(scores.frame):,} articles is in the news. Its ids "
            f"are such as {theirs}, those of the news such as {ours}. Map the same id on both sides (news.columns and "
            "model.scores.columns); where the news have none, one is made of time, source and text as the run reads it."
            f"{' ' + _ZEROS_LOST if unpadded else ''}"
        )
    return {
        **scores.counts,
        **({"unpadded": unpadded} if unpadded else {}),
        "covered": covered,
        "uncovered": len(asked) - covered,
        "strangers": len(scores.frame) - covered,
    }


def check_validated(config: Config, world: World, parts: Sequence[Samples]) -> None:
    """Refuse folds of which no validation sample has a score, before anything else is done for them.

    Raises
    ------
    ConfigError, DataError
        If labels come from a file of their own, whose texts are no articles, or a fold cannot be calibrated.
    """
    if config.model.scores is None:
        return
    scores = given_scores(config.model.scores, world.inputs)
    for part in parts:
        ids = part.validation["article_id"].astype(str)
        if ids.isin(scores.frame.index).any():
            continue
        if config.labels.source == "file":
            raise ConfigError(
                "labels.source = 'file' calibrates on texts of its own, and model.scores has no score of any of them "
                f"(they are called {ids.iloc[0]!r} and so on). Calibrate on labels of the news (labels.source = 'news' "
                "or 'returns'), or score these texts too under these ids."
            )
        raise DataError(
            f"model.scores.path = {config.model.scores.path}: none of {len(ids):,} validation samples of fold "
            f"{part.index} has a score, so nothing can be calibrated. Score the articles from "
            f"{part.validation['known_at'].min():%Y-%m-%d} on, or move split.first_test."
        )


def scores_told(world: World, parts: Sequence[Samples]) -> list[str]:
    """Say what a file of scores covers, in sentences; nothing for other readers."""
    counts = world.counts.get("scores")
    if counts is None:
        return []
    total = counts["covered"] + counts["uncovered"]
    said = f"Scores of a file: {counts['covered']:,} of {total:,} articles of the news have one"
    more = {
        "strangers": ("of its articles is", "of its articles are", "not among the news that the run reads"),
        "repeated_rows": ("row repeats", "rows repeat", "another one of their article"),
        "blank": ("row is", "rows are", "blank"),
    }
    told = [
        said,
        *(
            f"{n:,} {one if n == 1 else many} {what}"
            for name, (one, many, what) in more.items()
            if (n := counts.get(name))
        ),
    ]
    found = ["; ".join(told) + "."]
    if counts["uncovered"]:
        known = world.inputs.scores
        tested = pd.concat([part.test_news["article_id"] for part in parts]).drop_duplicates()
        there = pd.Index([]).append([scores.frame.index for scores in known.values()])
        alone = counts["uncovered"] == 1
        without = int((~tested.isin(there)).sum())
        found.append(
            f"{counted(counts['uncovered'], 'article')} without a score {'carries' if alone else 'carry'} no signal, "
            f"{without:,} of {len(tested):,} in the test windows: {'it is' if alone else 'they are'} left out, not "
            "taken for neutral."
        )
    if unpadded := counts.get("unpadded"):
        found.append(f"{counted(unpadded, 'article')} without a score: the file has such ids. {_ZEROS_LOST}")
    return found


def scores_cautions(world: World) -> list[str]:
    """Say where so much has no score that the choice of what was scored may itself know the outcome."""
    counts = world.counts.get("scores", {})
    total = counts.get("covered", 0) + counts.get("uncovered", 0)
    if not total or counts["uncovered"] <= MUCH * total:
        return []
    said = (
        f"{counts['uncovered'] / total:.0%} of the articles have no score in model.scores.path. If they were left out "
        "by what followed them, the result knows it: score all of the news, or say why not."
    )
    return [said]


def answered(scored: pd.DataFrame) -> pd.DataFrame:
    """Return the scored news without those articles that have no score."""
    there = scored[list(CLASSES)].notna().all(axis=1)
    return scored if there.all() else scored.loc[there]
