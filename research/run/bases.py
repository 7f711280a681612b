"""The base models that a config names: found and checked before anything is trained.

Loads nothing that only reading needs; what checks one kind of reader is loaded where that kind is configured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from embargo.models.bases.resolve import Base, resolve_base
from embargo.models.bases.vintages import Vintages, open_vintages, series_of
from embargo.models.methods.cards import check_method
from embargo.research.config.experiment import Config
from embargo.research.config.model import PromptSection, ReaderSection

if TYPE_CHECKING:
    import pandas as pd

    from embargo.data_loaders.splits.folds import Fold
    from embargo.models.prompting.settings import PromptSettings


def given_base(model: ReaderSection) -> Base | None:
    """Find the base model; None where none is needed, the built-in one is made from the news, or it is a series.

    Raises
    ------
    MissingPartError, ConfigError, LeakError
        If the base is not there, or its declared knowledge cutoff contradicts its documentation.
    """
    if model.scorer != "torch":
        from embargo.models.export.onnx import check_runtime

        check_runtime(model.scorer)
    if model.prompt is not None:
        from embargo.models.prompting.context import check_prompts
        from embargo.models.prompting.room import room_doubt
        from embargo.models.tuning.tiny_lm import TinyLmSettings

        settings = prompt_settings(model.prompt)
        template = check_prompts(settings)
        if model.kind == "prompted" and model.made_here:
            room_doubt(settings, template, TinyLmSettings().max_length)
    if not model.on_base or model.made_here or _series(model) is not None:
        return None
    base = resolve_base(str(model.base), revision=model.revision, knowledge_cutoff=model.knowledge_cutoff)
    _check_use(model, base)
    return base


def _check_use(model: ReaderSection, base: Base) -> None:
    """Refuse a base that the configured reader cannot start from."""
    if model.kind == "prompted":
        from embargo.models.loading.load import load_tokenizer
        from embargo.models.prompting.room import check_room
        from embargo.models.prompting.settings import PromptSettings
        from embargo.models.prompting.templates import load_template
        from embargo.models.scorers.prompted import require_decoder

        require_decoder(base)
        settings = PromptSettings() if model.prompt is None else prompt_settings(model.prompt)
        check_room(settings, load_template(settings.template), load_tokenizer(base))
    else:
        check_method(model.method, base, model.target)


def given_vintages(config: Config, folds: Sequence[Fold], reader: ReaderSection | None = None) -> Vintages | None:
    """Find the vintages that the folds of a run need, or those of its teacher; None where the base is no series.

    Raises
    ------
    ConfigError
        If no vintage ends before the training of a fold does.
    MissingPartError, LeakError
        As `given_base`.
    """
    # As `base_of` chooses.
    trained = folds[:1] if config.labels.source == "file" else folds
    return vintages_before(
        config.model if reader is None else reader,
        {f"the training of fold {fold.index + 1} of {len(folds)}": fold.train_end for fold in trained},
    )


def vintages_before(model: ReaderSection, endings: Mapping[str, pd.Timestamp]) -> Vintages | None:
    """Find the vintages that trainings need, by what they are called and when they end; None for no series."""
    named = _series(model) if model.on_base else None
    if named is None:
        return None
    vintages = open_vintages(named, endings)
    for base in vintages.bases:
        _check_use(model, base)
    return vintages


def _series(model: ReaderSection) -> Mapping[str, str] | None:
    return series_of(model.base, revision=model.revision, knowledge_cutoff=model.knowledge_cutoff)


def prompt_settings(prompt: PromptSection) -> PromptSettings:
    """Return the settings of prompts as the models take them."""
    from embargo.models.prompting.settings import PromptSettings

    return PromptSettings(**prompt.model_dump())
