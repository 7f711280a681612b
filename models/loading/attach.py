"""Put a saved adapter on a loaded base, after its folder was looked at.

Only safetensors are read, and only an adapter of the method that its manifest names, so that a folder from elsewhere
can neither run code nor leave a part of the model at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from embargo.data_loaders.errors import DataError
from embargo.models.bases.folders import (
    read_object,
    refuse_detours,
    refuse_links,
    refuse_patterns,
    refuse_pickles,
    tensor_shapes,
    understood,
)
from embargo.models.bases.resolve import Base
from embargo.models.loading.load import quiet
from embargo.models.methods.cards import METHODS

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


def attach(model: Any, folder: Path, *, method: str, drawn: Sequence[str]) -> Any:
    """Return peft's wrapper of a base with a saved adapter on it.

    Parameters
    ----------
    model : torch module
        The base, from transformers.
    folder : Path
        Of the adapter.
    method : str
        That it was tuned with.
    drawn : sequence of str
        Modules that the base's checkpoint did not bring: the adapter must.

    Raises
    ------
    DataError
        If a file is a pickle, leads elsewhere or is damaged, the adapter is of another kind, or it lacks a module.
    """
    refuse_adapter_files(folder, method)
    saved = {part for key in tensor_shapes(folder / WEIGHTS) for part in key.split(".")}
    lost = [name for name in drawn if name not in saved]
    if lost:
        raise DataError(
            f"{folder}: the base has no {', '.join(lost)} and the adapter has none either, so that it would be drawn "
            "at random. Delete the folder and tune anew."
        )
    with understood(folder, "adapter of the base it names"), quiet():
        from peft import PeftModel

        return PeftModel.from_pretrained(model, str(folder))


def refuse_adapter_files(folder: Path, method: str) -> None:
    """Refuse an adapter's folder that holds other than what its method is saved as; nothing of its weights is read.

    Raises
    ------
    DataError
        If a file is a pickle or leads elsewhere, its weights are missing, or peft's configuration names another method.
    """
    refuse_links(folder)
    refuse_pickles(folder)
    if method == "none":
        return
    wanted = METHODS[method].peft_type
    if wanted is None:
        if (folder / CONFIG).exists():
            # transformers would silently load the adapter, and the base that its config names from the hub.
            raise DataError(f"{folder / CONFIG}: does not belong to a fully tuned model. Delete the folder, tune anew.")
        return
    if not (folder / WEIGHTS).is_file():
        raise DataError(f"{folder}: has no {WEIGHTS}. Delete the folder and tune anew.")
    config = read_object(folder / CONFIG)
    if config.get("peft_type") != wanted:
        raise DataError(
            f"{folder / CONFIG}: peft_type is {config.get('peft_type')!r}, where an adapter of method {method!r} has "
            f"{wanted!r}. Delete the folder and tune anew."
        )
    if config.get("megatron_config") is not None:
        raise DataError(f"{folder / CONFIG}: megatron_config names code of its own, which is never run here.")
    refuse_patterns(config, str(folder / CONFIG))


def refuse_other_architecture(folder: Path, base: Base) -> None:
    """Refuse a fully tuned model whose configuration is not of its base's architecture.

    Raises
    ------
    DataError
        Naming both.
    """
    config = read_object(folder / "config.json")
    refuse_detours(config, str(folder / "config.json"))
    found = config.get("model_type")
    if found != base.architecture:
        raise DataError(
            f"{folder}: is of type {found!r}, its base {base.name!r} of {base.architecture!r}. Delete the folder, tune "
            "anew."
        )
