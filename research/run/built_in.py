"""Make the bases that come from an experiment's own early news: the encoder, the decoder, and the one that is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import DataError
from embargo.models.bases.resolve import TINY_INSTRUCT, TINY_LM, Base
from embargo.research.progress import Stages


def make_base(
    name: str, corpus: pd.DataFrame, labelled: pd.DataFrame, *, seed: int, cache: Path, stages: Stages
) -> Base:
    """Pretrain a built-in base on texts, all of which may be known; its cutoff is the last of them.

    Parameters
    ----------
    name : str
        One of `embargo.models.bases.resolve.BUILT_IN`.
    corpus : DataFrame
        ``text`` and ``known_at`` (UTC).
    labelled : DataFrame
        Samples that a base may learn to answer from: ``text, label, known_at`` and, where labels are dated,
        ``ends_at``. Those that were known or complete after the last text are not learnt from. Only the base that is
        asked reads them.
    seed : int
    cache : Path
    stages : Stages

    Raises
    ------
    DataError
        If there are no texts, or the labels are of fewer than two classes.
    """
    # Loaded here because readers of words do without.
    from embargo.models.tuning.tiny import pretrain_tiny
    from embargo.models.tuning.tiny_lm import pretrain_tiny_lm

    cutoff = corpus["known_at"].max()
    texts, known_at = corpus["text"].tolist(), corpus["known_at"]
    if name != TINY_INSTRUCT:
        pretrain = pretrain_tiny_lm if name == TINY_LM else pretrain_tiny
        progress = stages.stage("Pretrain the built-in base")
        return pretrain(
            texts, known_at=known_at, knowledge_cutoff=cutoff, seed=seed, cache_dir=cache, progress=progress
        )
    from embargo.models.instruct.tiny_instruct import pretrain_tiny_instruct

    dated = [column for column in ("known_at", "ends_at") if column in labelled]
    early = labelled.loc[np.logical_and.reduce([labelled[column] <= cutoff for column in dated])]
    if early["label"].nunique() < 2:
        raise DataError(
            f"model.base = {name!r}: of {len(early)} labels known by {cutoff}, {early['label'].nunique()} classes are "
            f"there to learn to answer from, and it takes two or more. Move split.first_test later, or name "
            f"{TINY_LM!r}, which reads no labels."
        )
    return pretrain_tiny_instruct(
        texts,
        known_at=known_at,
        labelled=early,
        knowledge_cutoff=cutoff,
        seed=seed,
        cache_dir=cache,
        progress=stages.stage("Pretrain and instruct the built-in base"),
    )
