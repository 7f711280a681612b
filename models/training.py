"""The training loop of every method: batches, losses, steps, early stopping, and what happens when something fails.

The same model, samples and settings give the same weights bit for bit, also when a training was killed and went on
from its last checkpoint. A loss that stops being finite ends the training with its best pass so far; where memory runs
out the batch is taken in halves, and both are written down.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from data_loaders.errors import ConfigError, DataError
from data_loaders.schemas import CLASSES
from models.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from models.loading import device, pad, padded_length

if TYPE_CHECKING:
    from models.tuning import TuneSettings

Progress = Callable[[int, int], None]

EVALUATION_ROWS = 64


@dataclass(frozen=True)
class Encoded:
    """Token ids of each text and its label, int64 of shape (n,)."""

    tokens: list[list[int]]
    labels: np.ndarray


@dataclass(frozen=True)
class Trained:
    """What a training did.

    Attributes
    ----------
    epochs : list of dict
        ``epoch``, ``train_loss`` and ``validation_loss`` of each finished pass, in nats.
    best_epoch : int
        The pass whose weights the model now holds.
    events : list of dict
        What went wrong and was dealt with: ``epoch``, ``what`` and its figures.
    """

    epochs: list[dict[str, float]]
    best_epoch: int
    events: list[dict[str, Any]]


@dataclass
class _State:
    """What changes from step to step besides tensors; JSON-able."""

    epoch: int = 0
    step: int = 0
    best_loss: float | None = None
    best_epoch: int = 0
    bar: float | None = None
    stale: int = 0
    rows_at_once: int = 0
    evaluated_at_once: int = EVALUATION_ROWS
    epochs: list[dict[str, float]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)


class _DivergedError(Exception):
    """The loss is no longer a number."""

    def __init__(self, train_loss: float, validation_loss: float | None) -> None:
        self.losses = {"train_loss": str(train_loss), "validation_loss": str(validation_loss)}


def steps_of(n_train: int, settings: TuneSettings) -> int:
    """Return the number of optimiser steps if no pass is left out."""
    return settings.epochs * math.ceil(n_train / settings.batch_size)


def train(
    model: Any,
    parts: tuple[Encoded, Encoded],
    settings: TuneSettings,
    *,
    pad_id: int,
    autocast: Literal["fp32", "bf16"],
    checkpoint: Path,
    progress: Progress | None = None,
) -> Trained:
    """Train what requires gradients in a model, and leave in it the weights of the pass with the best validation loss.

    Parameters
    ----------
    model : torch module
        Takes ``input_ids`` and ``attention_mask``.
    parts : (Encoded, Encoded)
        To train on and to validate on.
    settings : TuneSettings
    pad_id : int
    autocast : {"fp32", "bf16"}
        ``bf16`` multiplies in bf16 what is held in fp32.
    checkpoint : Path
        Written after each pass; where it is there, training goes on from it.
    progress : callable, optional
        Called with (steps done, steps in all).

    Raises
    ------
    DataError
        If the loss stops being finite in the first pass.
    ConfigError
        If memory runs out with a single text.
    """
    loop = _Loop(model, parts, settings, pad_id, autocast)
    steps = steps_of(len(parts[0].tokens), settings)
    loop.restore(read_checkpoint(checkpoint))
    state = loop.state
    while state.epoch < settings.epochs and state.stale < settings.patience:
        try:
            loop.one_pass(lambda done: progress(min(done, steps), steps) if progress is not None else None)
        except _DivergedError as failure:
            epoch = state.epoch + 1
            if not state.best_epoch:
                raise DataError(
                    f"tuning diverged in epoch {epoch}: training loss {failure.losses['train_loss']}, validation loss "
                    f"{failure.losses['validation_loss']}. Lower tuning.learning_rate."
                ) from None
            state.events.append({"epoch": epoch, "what": "diverged", "kept_epoch": state.best_epoch, **failure.losses})
            break
        write_checkpoint(checkpoint, loop.checkpoint())
    model.load_state_dict(loop.best, strict=False)
    if progress is not None:
        progress(steps, steps)
    return Trained(epochs=state.epochs, best_epoch=state.best_epoch, events=state.events)


class _Loop:
    """A model in training with its optimiser, generator and place in the schedule."""

    def __init__(
        self,
        model: Any,
        parts: tuple[Encoded, Encoded],
        settings: TuneSettings,
        pad_id: int,
        autocast: Literal["fp32", "bf16"],
    ) -> None:
        import torch

        self.model, self.parts, self.settings, self.pad_id, self.autocast = model, parts, settings, pad_id, autocast
        self.trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self.optimiser = torch.optim.AdamW(
            list(self.trained.values()), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.weights = class_weights(parts[0].labels) if settings.class_weights else None
        self.rng = np.random.default_rng(settings.seed)
        self.steps = steps_of(len(parts[0].tokens), settings)
        self.best: dict[str, Any] = {}
        self.state = _State(rows_at_once=min(settings.batch_size, settings.micro_batch or settings.batch_size))
        self.adalora = model.base_model if settings.method == "adalora" else None

    def one_pass(self, progress: Callable[[int], None]) -> None:
        """Train on every row once, validate, and keep the weights if they are the best so far."""
        state, settings = self.state, self.settings
        self.model.train()
        total = 0.0
        for rows in epoch_batches(self.parts[0], settings.batch_size, self.rng):
            loss = self._step(rows)
            if not math.isfinite(loss):
                raise _DivergedError(loss, None)
            total += loss * len(rows)
            progress(state.step)
        train_loss = total / len(self.parts[0].tokens)
        validation_loss = self._validate()
        if not math.isfinite(validation_loss):
            raise _DivergedError(train_loss, validation_loss)
        state.epoch += 1
        state.epochs.append({"epoch": state.epoch, "train_loss": train_loss, "validation_loss": validation_loss})
        if state.best_loss is None or validation_loss < state.best_loss:
            state.best_loss, state.best_epoch = validation_loss, state.epoch
            self.best = {name: value.detach().clone() for name, value in self.trained.items()}
        improved = state.bar is None or validation_loss < state.bar - settings.min_delta
        state.stale = 0 if improved else state.stale + 1
        state.bar = validation_loss if state.bar is None else min(state.bar, validation_loss)

    def _step(self, rows: np.ndarray) -> float:
        import torch

        rate = self.settings.learning_rate * cosine_rate(self.state.step, steps=self.steps, warmup=self.settings.warmup)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        generators = _generators()
        while True:
            try:
                loss = self._gradients(rows)
                break
            except torch.OutOfMemoryError:
                self.optimiser.zero_grad(set_to_none=True)
            _restore_generators(generators)
            self.state.rows_at_once = self._halve(min(self.state.rows_at_once, len(rows)), "training")
        torch.nn.utils.clip_grad_norm_(list(self.trained.values()), self.settings.clip)
        self.optimiser.step()
        if self.adalora is not None and math.isfinite(loss):
            self.adalora.update_and_allocate(self.state.step)
        self.optimiser.zero_grad(set_to_none=True)
        self.state.step += 1
        return loss

    def _gradients(self, rows: np.ndarray) -> float:
        """Add up the gradients of a step, a few rows at a time, and return its loss."""
        size = self.state.rows_at_once
        share = None if size >= len(rows) else self._weight_of(rows)
        total = 0.0
        for start in range(0, len(rows), size):
            logits, target = self._logits(self.parts[0], rows[start : start + size])
            loss = training_loss(logits, target, self.settings, self.weights, share=share)
            loss.backward()
            total += loss.item()
        if self.adalora is not None:
            orthogonality(self.adalora).backward()
        return total

    def _weight_of(self, rows: np.ndarray) -> float:
        return float(
            len(rows) if self.weights is None else self.weights.cpu().numpy()[self.parts[0].labels[rows]].sum()
        )

    def _validate(self) -> float:
        """Return the mean cross-entropy, which is what stops a training whatever the loss it minimises."""
        import torch

        self.model.eval()
        part = self.parts[1]
        order = np.argsort([len(tokens) for tokens in part.tokens], kind="stable")
        total, start = 0.0, 0
        with torch.no_grad():
            while start < len(order):
                rows = order[start : start + self.state.evaluated_at_once]
                try:
                    logits, target = self._logits(part, rows)
                    total += torch.nn.functional.cross_entropy(logits, target, reduction="sum").item()
                    start += len(rows)
                    continue
                except torch.OutOfMemoryError:
                    pass
                self.state.evaluated_at_once = self._halve(len(rows), "validation")
        return total / len(order)

    def _logits(self, part: Encoded, rows: np.ndarray) -> tuple[Any, Any]:
        import torch

        chosen = [part.tokens[row] for row in rows]
        ids, mask = pad(chosen, self.pad_id, padded_length(max(map(len, chosen))))
        where = device()
        half: AbstractContextManager[Any] = nullcontext()
        if self.autocast == "bf16":
            half = torch.autocast(where.type, dtype=torch.bfloat16)
        with half:
            logits = self.model(input_ids=ids.to(where), attention_mask=mask.to(where)).logits.float()
        return logits, torch.from_numpy(part.labels[rows]).to(where)

    def _halve(self, size: int, part: str) -> int:
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if size == 1:
            raise ConfigError(
                f"tuning ran out of memory in {part} with one text at a time. Lower tuning.max_length, set "
                "tuning.checkpointing, or take a smaller base."
            )
        half = -(-size // 2)
        if not any(event["what"] == "out of memory" for event in self.state.events):
            warnings.warn(
                f"out of memory with {size} texts at once in {part}: going on with {half}; a step stays the same.",
                RuntimeWarning,
                stacklevel=2,
            )
        epoch = self.state.epoch + 1
        self.state.events.append({"epoch": epoch, "what": "out of memory", "part": part, "texts_at_once": half})
        return half

    def checkpoint(self) -> Checkpoint:
        """Return everything that the next pass depends on."""
        tensors = {f"now/{name}": value for name, value in self.trained.items()}
        tensors |= {f"best/{name}": value for name, value in self.best.items()}
        tensors |= {f"generator/{name}": value for name, value in _generators().items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{index}/{name}": value for name, value in moments.items()}
        state = {**vars(self.state), "rng": self.rng.bit_generator.state}
        if self.adalora is not None:
            allocator = self.adalora.rankallocator
            for kind in _IMPORTANCES:
                tensors |= {f"{kind}/{name}": value for name, value in getattr(allocator, kind).items()}
            state["rank_pattern"] = self.adalora.peft_config["default"].rank_pattern
        return Checkpoint(tensors=tensors, state=state)

    def restore(self, checkpoint: Checkpoint | None) -> None:
        """Go back to a checkpoint of the same training; None leaves everything at the start."""
        if checkpoint is None:
            return
        groups: dict[str, dict[str, Any]] = {}
        for name, value in checkpoint.tensors.items():
            kind, _, rest = name.partition("/")
            groups.setdefault(kind, {})[rest] = value
        self.model.load_state_dict(groups["now"], strict=False)
        self.best = {name: value.to(device()) for name, value in groups.get("best", {}).items()}
        moments: dict[int, dict[str, Any]] = {}
        for name, value in groups.get("optimiser", {}).items():
            index, _, what = name.partition("/")
            moments.setdefault(int(index), {})[what] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})
        state = dict(checkpoint.state)
        self.rng.bit_generator.state = state.pop("rng")
        if self.adalora is not None:
            for kind in _IMPORTANCES:
                kept = {name: value.to(device()) for name, value in groups.get(kind, {}).items()}
                setattr(self.adalora.rankallocator, kind, kept)
            self.adalora.peft_config["default"].rank_pattern = state.pop("rank_pattern")
        self.state = _State(**state)
        _restore_generators(groups["generator"])


# What AdaLoRA remembers of each weight: importance, and running means of it and of its uncertainty.
_IMPORTANCES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


def _generators() -> dict[str, Any]:
    import torch

    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(0)} if torch.cuda.is_available() else {})


def _restore_generators(states: dict[str, Any]) -> None:
    import torch

    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], 0)


def cosine_rate(step: int, *, steps: int, warmup: float) -> float:
    """Return the share of the peak learning rate at a step: a linear rise, then half a cosine down to zero."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def class_weights(labels: np.ndarray) -> Any:
    """Return a weight per class, inverse to its share and 1 on average over the samples, float32 of shape (3,)."""
    import torch

    counts = np.bincount(labels, minlength=len(CLASSES))
    present = np.count_nonzero(counts)
    weights = np.where(counts > 0, len(labels) / (present * np.maximum(counts, 1)), 0.0)
    return torch.tensor(weights, dtype=torch.float32, device=device())


def training_loss(logits: Any, target: Any, settings: TuneSettings, weights: Any, *, share: float | None = None) -> Any:
    """Return the weighted mean loss of rows, or, with ``share``, their part of the mean over a larger batch.

    The focal loss of a row is its cross-entropy times ``(1 - p) ** gamma``, p being the probability that the row's true
    class was given (Lin et al. 2017, arXiv 1708.02002): what is already right counts less.

    Parameters
    ----------
    logits, target : tensors of shape (n, 3) and (n,)
    settings : TuneSettings
        Its ``loss`` and ``gamma``.
    weights : tensor of shape (3,) or None
        One per class.
    share : float, optional
        Sum of the larger batch's class weights; its number of rows where there are none.
    """
    import torch
    from torch.nn import functional

    if settings.loss == "cross_entropy":
        if share is None:
            return functional.cross_entropy(logits, target, weight=weights)
        return functional.cross_entropy(logits, target, weight=weights, reduction="sum") / share
    entropy = functional.cross_entropy(logits, target, reduction="none")
    # Held off zero, where the slope of a root is infinite.
    loss = (1 - torch.exp(-entropy)).clamp_min(1e-6) ** settings.gamma * entropy
    row_weights = torch.ones_like(loss) if weights is None else weights[target]
    return (row_weights * loss).sum() / (row_weights.sum() if share is None else share)


def orthogonality(adalora: Any) -> Any:
    """Return AdaLoRA's penalty on bases that are not orthogonal (Zhang et al. 2023, arXiv 2303.10512, equation 4).

    peft adds it only to a loss that the model computes itself.
    """
    import torch

    terms = []
    for name, value in adalora.model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            gram = value @ value.T if "lora_A" in name else value.T @ value
            terms.append(torch.linalg.matrix_norm(gram - torch.eye(len(gram), device=gram.device)))
    return adalora.peft_config["default"].orth_reg_weight * torch.stack(terms).mean()


def epoch_batches(part: Encoded, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield row numbers batch by batch: each row once, in random order, neighbours in length together.

    Rows are shuffled, cut into pools of 32 batches and sorted by length only inside a pool, which keeps the order
    random and saves most of the padding.
    """
    lengths = np.array([len(tokens) for tokens in part.tokens])
    order = rng.permutation(len(lengths))
    pool = 32 * batch_size
    batches: list[np.ndarray] = []
    for start in range(0, len(order), pool):
        rows = order[start : start + pool]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[first : first + batch_size] for first in range(0, len(rows), batch_size)]
    for position in rng.permutation(len(batches)):
        yield batches[position]
