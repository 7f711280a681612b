"""What a run fitted, kept by content and without weights for whoever carries it out again in another world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from embargo.models.fitting import FittedModel
from embargo.models.scorer import ByArticle, Progress, Scorer
from embargo.models.scorers.cache import SCORES, ScoreCache, SpareCache
from embargo.models.scorers.shards import Shard
from embargo.research.run.prompts_shown import shown_prompts
from embargo.research.run.samples import Samples
from embargo.research.run.world import content_of

if TYPE_CHECKING:
    from embargo.signals.fusion.model import FusionModel


@dataclass
class Memory:
    """What a run fitted, by the content of what it was fitted from, for whoever carries it out again in another world.

    Attributes
    ----------
    models : dict of str to FittedModel
        With scorers that fit anew when they meet a text that has not been scored.
    fusions : dict of str to FusionModel
    scores : Path or None
        File of scores that is read and left as it is; None in the run itself.
    answers : Shard or None
        What every scorer is taken to say of texts that no answer may depend on.
    anew : list of FittedModel
        What another world made the run fit once more.
    prompts : dict of str to DataFrame
        What prompts of a scorer's identity showed; readers that are known by their name alone render none.
    """

    models: dict[str, FittedModel] = field(default_factory=dict)
    fusions: dict[str, FusionModel] = field(default_factory=dict)
    scores: Path | None = None
    answers: Shard | None = None
    anew: list[FittedModel] = field(default_factory=list)
    prompts: dict[str, pd.DataFrame] = field(default_factory=dict)

    def beside(self, scores: Path, answers: Shard) -> Memory:
        """Return what another world may take from this run; what it adds stays its own."""
        return Memory(dict(self.models), dict(self.fusions), scores, answers, prompts=dict(self.prompts))

    def open(self, cache: Path) -> ScoreCache:
        """Open the scores of a cache, or those that are only to be read."""
        return ScoreCache(cache / SCORES) if self.scores is None else SpareCache(self.scores, self.answers)

    def fitted(self, fit: Callable[[], FittedModel], **given: Any) -> FittedModel:
        """Return the model fitted from the same content, or fit one and remember all but its weights."""
        key = content_of(**given)
        if key in self.models:
            known = self.models[key]
            return replace(known, scorer=Recalled(known.scorer.identity, known.scorer.knowledge_cutoff, fit))
        model = fit()
        if isinstance(model.scorer, ByArticle):
            return model  # no text brings its answers back, and they are at hand
        self.models[key] = replace(model, scorer=Recalled(model.scorer.identity, model.scorer.knowledge_cutoff))
        if self.scores is not None:
            self.anew.append(model)
        return model

    def shown(self, scorer: Scorer, part: Samples) -> pd.DataFrame:
        """Write down what prompts of a part's news show, or look up what they showed; see `shown_prompts`."""
        news = part.test_news[["article_id", "text", "known_at"]].drop_duplicates("article_id")
        if not isinstance(scorer, Recalled):
            made = shown_prompts(scorer, news, part.index)
            known = self.prompts.get(scorer.identity)
            self.prompts[scorer.identity] = made if known is None else pd.concat([known, made])
            return made
        known = self.prompts.get(scorer.identity)
        if known is None:
            return shown_prompts(scorer, news, part.index)
        there = known["article_id"].isin(news["article_id"]) & (known["fold"] == part.index)
        return known.loc[there].reset_index(drop=True)


@dataclass
class Recalled:
    """A scorer known by name, whose scores lie in a cache; it is fitted when a text has none there."""

    identity: str
    knowledge_cutoff: pd.Timestamp | None
    fit: Callable[[], FittedModel] | None = None

    def logits(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Return the logits of texts that no cache holds, from a model fitted once more."""
        assert self.fit is not None
        return self.fit().scorer.logits(texts, progress)
