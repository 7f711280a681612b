"""What a reader answers when it is asked of some texts once more: in another order, without the cache, and alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.data_loaders.fields import CLASSES
from embargo.models.calibration.fitting import Calibration
from embargo.models.fitting import FittedModel
from embargo.models.scorer import ByArticle, Paid
from embargo.models.scorers.cache import ScoreCache
from embargo.models.scorers.score import cached_logits, score_articles
from embargo.research.config.experiment import Config
from embargo.research.run.asking import COST_NOTHING, asked_again_of
from embargo.research.run.memory import Recalled
from embargo.research.run.prompts_shown import ask_alone
from embargo.research.run.samples import Samples

# Of the texts that a reader is asked of once more, those that are asked alone too.
ALONE, ALONE_OF_MODELS = 32, 8
# Of a reader whose answers vary: how far apart they lie, and may, and how often each class was drawn both times.
STATED = ("answers_apart", "stated_error", *(f"{turn}_{name}" for turn in ("first", "second") for name in CLASSES))
ANSWER_COLUMNS = (
    "article_id", "fold", *(f"kept_{name}" for name in (*CLASSES, "confidence")),
    *(f"{part}_{name}" for part in ("again", "alone", "repeated") for name in CLASSES), "apart_before",
    *STATED,
)  # fmt: skip


def asked_again(
    config: Config,
    model: FittedModel,
    part: Samples,
    scores: pd.DataFrame,
    store: ScoreCache,
    *,
    loaded: bool,
    anew: bool,
) -> pd.DataFrame:
    """Write down what a reader answered of a fold's news, and ask it of some of them again, in another order.

    One that is paid for is asked where something was scored ``anew``, and no run that is all in the cache asks it.
    """
    news = part.test_news[["article_id", "text"]].drop_duplicates("article_id")
    kept = scores.set_index("article_id")[[*CLASSES, "confidence"]].add_prefix("kept_")
    answers = news[["article_id"]].join(kept, on="article_id").assign(fold=part.index)
    # A model that was fitted before is known by its name alone, and would be fitted once more.
    if isinstance(model.scorer, Recalled) or not loaded:
        return answers.reindex(columns=list(ANSWER_COLUMNS))
    asked = asked_again_of(config, part, paid=isinstance(model.scorer, Paid))
    if isinstance(model.scorer, ByArticle):
        asked = asked.loc[answers.loc[asked.index, "kept_confidence"].notna()]
        logits = model.scorer.logits_of(asked["article_id"].tolist())
    elif isinstance(model.scorer, Paid):
        logits = model.scorer.asked_again(asked["text"].tolist(), ask=anew)
        asked, logits = asked.loc[np.isfinite(logits).all(axis=1)], logits[np.isfinite(logits).all(axis=1)]
        if asked.empty:
            return answers.reindex(columns=list(ANSWER_COLUMNS))
    else:
        logits = model.scorer.logits(asked["text"].tolist())
    again = model.calibration.apply(logits)
    told = pd.DataFrame(again, columns=[f"again_{name}" for name in CLASSES], index=asked.index)
    before = score_articles(model.scorer, Calibration(), asked, cache=store).scores.set_index("article_id")
    told["apart_before"] = apart_before(
        before.loc[asked["article_id"], list(CLASSES)].to_numpy(), Calibration().apply(logits)
    )
    if isinstance(model.scorer, Paid):
        given = cached_logits(model.scorer, asked["text"].tolist(), cache=store).logits
        told[list(STATED)] = model.scorer.stated_errors(asked["text"].tolist(), given)
    # Scores of a file read no text, and whoever is paid for each answer is asked one text at a time anyway.
    if not isinstance(model.scorer, ByArticle | Paid):
        few = asked.iloc[: ALONE if config.model.kind in COST_NOTHING else ALONE_OF_MODELS]
        alone = ask_alone(model.scorer, model.calibration, few["text"].tolist(), again[: len(few)])
        told = told.join(pd.DataFrame(alone, index=few.index))
    return answers.join(told).reindex(columns=list(ANSWER_COLUMNS))


def apart_before(kept: np.ndarray, again: np.ndarray) -> np.ndarray:
    """Return the largest difference of the logits of each text, in standard deviations of what was kept.

    Both are given as shares that no calibration bent, shape (texts, 3).
    """
    one, two = (np.log(np.maximum(shares, 1e-12)) for shares in (kept, again))
    one, two = (logs - logs.mean(axis=1, keepdims=True) for logs in (one, two))
    spread = float(one.std())
    return np.asarray(np.abs(one - two).max(axis=1) / (spread if spread > 0.0 else 1.0))
