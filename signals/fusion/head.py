"""The small neural network that reads a text vector and a market vector and weighs one by the other.

Each vector goes through a linear layer and GELU, both are joined, and a perceptron gives the logits. It is trained in
torch, seeded and deterministic, and applied in numpy: a fitted head is a handful of arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import erf

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.threads import one_thread

BRANCHES = ("text", "market")


@dataclass(frozen=True)
class HeadSettings:
    """How the head is built and trained.

    Attributes
    ----------
    width : int
        Units of each branch and of the joint layer.
    dropout : float
        Share of joined units silenced in each training step, in [0, 1).
    learning_rate, weight_decay : float
        Of AdamW (Loshchilov & Hutter 2019).
    batch : int
        Samples per step.
    epochs : int
        Most passes over the training samples.
    patience : int
        Passes without a lower stopping loss after which training ends; the best weights are kept.

    Examples
    --------
    >>> from embargo.signals.fusion import HeadSettings
    >>> HeadSettings(width=8).epochs
    30
    """

    width: int = 16
    dropout: float = 0.1
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    batch: int = 512
    epochs: int = 30
    patience: int = 4

    def __post_init__(self) -> None:
        if min(self.width, self.batch, self.epochs, self.patience) < 1:
            raise ConfigError(f"fusion head: width, batch, epochs and patience must be at least 1, got {self}.")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"fusion head: dropout must lie in [0, 1), got {self.dropout}.")
        if not (self.learning_rate > 0.0 and self.weight_decay >= 0.0):
            raise ConfigError(f"fusion head: learning_rate must be positive, weight_decay not negative, got {self}.")


@dataclass(frozen=True)
class TrainedHead:
    """Arrays of a trained head, and its loss on the stopping samples after each pass (nats per sample)."""

    arrays: dict[str, np.ndarray]
    losses: tuple[float, ...]


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """Seed torch, on one thread, and leave the caller's state as it was."""
    import torch

    strict = torch.are_deterministic_algorithms_enabled()
    lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.use_deterministic_algorithms(True)
        torch.default_generator.manual_seed(seed)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=lenient)


def train_head(
    inputs: Mapping[str, np.ndarray],
    labels: np.ndarray,
    stop_inputs: Mapping[str, np.ndarray],
    stop_labels: np.ndarray,
    *,
    classes: int,
    settings: HeadSettings,
    seed: int,
) -> TrainedHead:
    """Train a head on the CPU in double precision.

    Parameters
    ----------
    inputs : mapping of "text" and "market" to float arrays, shape (n, features of the branch)
        Standardised and complete; a branch without features is left out of the network.
    labels : int array, shape (n,)
        0 to ``classes - 1``.
    stop_inputs, stop_labels
        The same for the samples that decide when to stop; later than the others.
    classes : int
    settings : HeadSettings
    seed : int
        Decides first weights, order of samples and dropout: the same call gives the same bits.

    Returns
    -------
    TrainedHead

    Raises
    ------
    DataError
        If there are no samples, no features, or the loss is not finite.
    """
    import torch
    from torch import nn

    used = [name for name in BRANCHES if inputs[name].shape[1]]
    if not used or not len(labels) or not len(stop_labels):
        raise DataError(
            f"fusion head: {len(labels)} training and {len(stop_labels)} stopping samples with features in {used}. "
            "It needs some of each."
        )
    with _reproducible(seed):
        layers = {name: nn.Linear(inputs[name].shape[1], settings.width) for name in used}
        layers |= {"joint": nn.Linear(settings.width * len(used), settings.width)}
        layers |= {"out": nn.Linear(settings.width, classes)}
        modules = nn.ModuleDict(layers).double()
        dropout = nn.Dropout(settings.dropout)
        optimiser = torch.optim.AdamW(
            modules.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        data, later = ({name: _tensor(part[name]) for name in used} for part in (inputs, stop_inputs))
        answer, later_answer = _tensor(labels, torch.int64), _tensor(stop_labels, torch.int64)

        def forward(part: Mapping[str, Any]) -> Any:
            joined = torch.cat([nn.functional.gelu(modules[name](part[name])) for name in used], dim=1)
            return modules["out"](dropout(nn.functional.gelu(modules["joint"](dropout(joined)))))

        losses: list[float] = []
        best: dict[str, np.ndarray] = {}
        for _ in range(settings.epochs):
            dropout.train()
            order = torch.randperm(len(answer))
            for start in range(0, len(answer), settings.batch):
                rows = order[start : start + settings.batch]
                optimiser.zero_grad()
                logits = forward({name: values[rows] for name, values in data.items()})
                torch.autograd.backward(nn.functional.cross_entropy(logits, answer[rows]))
                optimiser.step()
            dropout.eval()
            with torch.no_grad():
                loss = float(nn.functional.cross_entropy(forward(later), later_answer))
            if not np.isfinite(loss):
                raise DataError(
                    f"fusion head: the loss is {loss} after {len(losses) + 1} passes. Lower learning_rate, and check "
                    "the features for values that are not finite."
                )
            if not losses or loss < min(losses):
                best = {name: values.detach().numpy().copy() for name, values in modules.state_dict().items()}
            losses.append(loss)
            if len(losses) - int(np.argmin(losses)) > settings.patience:
                break
    return TrainedHead(best, tuple(losses))


def _tensor(values: np.ndarray, dtype: Any = None) -> Any:
    import torch

    return torch.tensor(values, dtype=torch.float64 if dtype is None else dtype)


def head_logits(arrays: Mapping[str, np.ndarray], inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Apply a trained head: logits, float64 of shape (n, classes).

    Parameters
    ----------
    arrays : mapping of str to array
        From `train_head`.
    inputs : mapping of "text" and "market" to float arrays, shape (n, features of the branch)
    """
    used = [name for name in BRANCHES if f"{name}.weight" in arrays]
    joined = np.concatenate([_gelu(_linear(arrays, name, inputs[name])) for name in used], axis=1)
    return _linear(arrays, "out", _gelu(_linear(arrays, "joint", joined)))


def _linear(arrays: Mapping[str, np.ndarray], layer: str, values: np.ndarray) -> np.ndarray:
    # Not a matrix product, whose last bits hang on how many rows there are.
    return np.asarray(np.einsum("ij,kj->ik", values, arrays[f"{layer}.weight"]) + arrays[f"{layer}.bias"])


def _gelu(values: np.ndarray) -> np.ndarray:
    """Return ``x * P(N(0, 1) <= x)`` (Hendrycks & Gimpel 2016)."""
    return np.asarray(values * 0.5 * (1.0 + erf(values / np.sqrt(2.0))))
