"""The optimisers of a training: which one is meant, how it is made, and its memory as plain tensors for a checkpoint.

The paged 8-bit AdamW (Dettmers et al. 2023, QLoRA, arXiv 2305.14314) keeps its moments in a byte each and lets the
GPU's driver page them out; it is what 4-bit tuning on a GPU uses, and AdamW everywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from embargo.data_loaders.errors import ConfigError
from embargo.models.loading.devices import device_type
from embargo.models.loading.libraries import untyped
from embargo.models.loading.load import device
from embargo.models.methods.cards import METHODS
from embargo.models.methods.settings import Optimizer

# Tables of what each byte stands for: constants, and one tensor for all weights.
_CONSTANTS = frozenset({"qmap1", "qmap2"})


def resolve_optimizer(optimizer: Optimizer, method: str) -> Literal["adamw", "paged_adamw_8bit"]:
    """Return the optimiser that ``auto`` means for a method on this machine.

    Raises
    ------
    ConfigError
        If the paged one is asked for where there is no GPU.
    """
    on_gpu = device_type() == "cuda"
    if optimizer == "auto":
        return "paged_adamw_8bit" if on_gpu and METHODS[method].quantised else "adamw"
    if optimizer == "paged_adamw_8bit" and not on_gpu:
        raise ConfigError(
            "tuning.optimizer: 'paged_adamw_8bit' pages a GPU's memory, and there is no GPU here. "
            "Set 'auto' or 'adamw'."
        )
    return optimizer


def make_optimiser(
    name: Literal["adamw", "paged_adamw_8bit"], trained: Sequence[Any], *, rate: float, weight_decay: float
) -> Any:
    """Return an optimiser of the trained parameters, in one group."""
    import torch

    if name == "paged_adamw_8bit":
        import bitsandbytes as bnb

        return untyped(bnb.optim).PagedAdamW8bit(trained, lr=rate, weight_decay=weight_decay)
    # One kernel for all weights of a GPU; a CPU keeps the arithmetic its adapters were made with.
    fused: dict[str, Any] = {"fused": True} if device().type == "cuda" else {}
    return torch.optim.AdamW(trained, lr=rate, weight_decay=weight_decay, **fused)


def moments(optimiser: Any) -> dict[str, Any]:
    """Return an optimiser's memory as tensors by ``"<number of the parameter>/<name>"``."""
    import torch

    found = {}
    for index, parameter in enumerate(_parameters(optimiser)):
        for name, value in optimiser.state.get(parameter, {}).items():
            if name not in _CONSTANTS:
                found[f"{index}/{name}"] = torch.as_tensor(value)
    return found


def set_moments(optimiser: Any, tensors: Mapping[str, Any]) -> None:
    """Give an optimiser back the memory that `moments` returned."""
    import torch

    memory: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition("/")
        memory.setdefault(int(index), {})[name] = value
    if isinstance(optimiser, torch.optim.AdamW):
        optimiser.load_state_dict({**optimiser.state_dict(), "state": memory})
        return
    parameters = _parameters(optimiser)
    for number, values in memory.items():
        # Its own loading would take the moments out of paged memory.
        optimiser.init_state(optimiser.param_groups[0], parameters[number], 0, number)
        state = optimiser.state[parameters[number]]
        for name, value in values.items():
            if name == "step":
                state[name] = int(value)
            else:
                state[name].copy_(value)


def _parameters(optimiser: Any) -> list[Any]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]
