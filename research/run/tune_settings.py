"""How an adapter is tuned, as the section of a model says it: one place for readers and for models that answer."""

from __future__ import annotations

from dataclasses import fields

from embargo.models.bases.resolve import Base
from embargo.models.methods.defaults import default_settings
from embargo.models.methods.settings import TuneSettings
from embargo.research.config.instruct import InstructModelSection
from embargo.research.config.model import ReaderSection


def tune_settings(model: ReaderSection | InstructModelSection, base: Base, *, n_train: int, seed: int) -> TuneSettings:
    """Return the settings that a section gives; what it has no key for keeps its default.

    Where they are not configured, ``alpha`` is twice the rank, and the learning rate the method's usual one for a base
    of that width.
    """
    keys = type(model).model_fields
    told = {field.name: getattr(model, field.name) for field in fields(TuneSettings) if field.name in keys}
    if model.alpha is None:
        told["alpha"] = 2.0 * model.rank
    if model.learning_rate is None:
        told["learning_rate"] = default_settings(model.method, n_train, base).learning_rate
    return TuneSettings(**told | {"seed": seed})
