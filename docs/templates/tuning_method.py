"""LoHa, a low-rank update of Hadamard products: a template for tuning methods.

A method is a card: what it is, what its settings mean, how peft is configured, and which bases it cannot take. How it
is trained, resumed, cached, merged and scored is the same for all. In the product the card becomes an entry of
``METHODS`` in ``models/methods/cards.py``, and its name a word of ``Method`` in ``models/methods/settings.py``.
"""

from __future__ import annotations

from typing import Any

from embargo.models import TuneSettings
from embargo.models.methods import MethodCard


def configure_loha(settings: TuneSettings, model_config: Any, shared: dict[str, Any], steps: int) -> Any:
    """Return peft's configuration of LoHa: the update of a layer is ``(B1 A1) * (B2 A2)``, of rank up to ``rank ** 2``.

    Parameters
    ----------
    settings : TuneSettings
        Of which ``rank``, ``alpha`` and ``dropout`` (the share of rows of the update left out of a step) are read.
    model_config : PretrainedConfig
        Of the loaded base.
    shared : dict
        What every configuration says: the task, the modules trained whole and the layers to adapt.
    steps : int
        Optimiser steps in all, for methods with a plan.

    Returns
    -------
    peft.LoHaConfig

    Examples
    --------
    >>> found = configure_loha(TuneSettings(rank=4, alpha=8.0), None, {"target_modules": ["query"]}, 100)
    >>> found.r, found.alpha, sorted(found.target_modules)
    (4, 8.0, ['query'])
    """
    # Loaded here because a list of methods is read without it.
    import peft

    return peft.LoHaConfig(r=settings.rank, alpha=settings.alpha, rank_dropout=settings.dropout, **shared)


def refuse_loha(model_type: str) -> str | None:
    """Return why an architecture cannot be tuned so, None where nothing speaks against it.

    Parameters
    ----------
    model_type : str
        As in the base's ``config.json``.

    Returns
    -------
    str or None
        The end of a sentence that names base and method.

    Examples
    --------
    >>> refuse_loha("gpt2"), refuse_loha("bert")
    ('its layers are stored transposed, which LoHa does not know', None)
    """
    return "its layers are stored transposed, which LoHa does not know" if model_type == "gpt2" else None


LOHA = MethodCard(
    name="loha",  # type: ignore[arg-type]  # until it is a word of Method
    title="low-rank Hadamard products",
    paper="arXiv 2108.06098",
    change="low-rank",
    rank="rank of each of the two factors of an update",
    learning_rate=2e-4,
    middle_rate=1e-3,
    narrow_rate=2e-3,
    configure=configure_loha,
    refuses=refuse_loha,
    peft_type="LOHA",
)
