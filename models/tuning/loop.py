"""The training loop of every method: batches, losses, steps, early stopping, and what happens when something fails.

The same model, samples and settings give the same weights bit for bit, also when a training was killed and went on
from its last checkpoint. A loss that stops being finite ends the training with its best pass so far; where memory runs
out the batch is taken in halves, and both are written down. Where several processes train together, each takes its
share of every batch and their gradients are added, so that a step is that of one process up to rounding; where a step
is told to be cut into a number of shares, it is that of one process to the bit.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models import effort
from embargo.models.calibration.fitting import calibrated_loss
from embargo.models.loading import processes
from embargo.models.loading.batches import LENGTH_STEP, padded_length
from embargo.models.loading.load import device, pad
from embargo.models.loading.packing import pack, packable, packed_logits, token_groups
from embargo.models.methods.cards import METHODS
from embargo.models.methods.settings import Arithmetic, TuneSettings
from embargo.models.scorer import Progress
from embargo.models.tuning.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from embargo.models.tuning.losses import class_weights, orthogonality, soft_loss, training_loss
from embargo.models.tuning.optimisers import make_optimiser, moments, resolve_optimizer, set_moments

EVALUATION_ROWS = 64
# Steps after which the loss is looked at: each look makes a GPU wait for the host.
LOOK_EVERY = 32


@dataclass(frozen=True)
class Encoded:
    """Token ids of each text and its label, int64 of shape (n,).

    Where it is to be learnt from probabilities, these too: ``targets``, float64 of shape (n, 3), and the
    ``temperature`` that they are at.
    """

    tokens: list[list[int]]
    labels: np.ndarray
    targets: np.ndarray | None = None
    temperature: float = 1.0


@dataclass(frozen=True)
class Trained:
    """What a training did.

    Attributes
    ----------
    epochs : list of dict
        ``epoch``, ``train_loss`` and ``validation_loss`` (after the best temperature) of each finished pass, in nats.
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
    autocast: Arithmetic,
    checkpoint: Path,
    step: int = LENGTH_STEP,
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
        ``bf16`` multiplies in bf16 what is held in fp32, except heads beside adapters.
    checkpoint : Path
        Written after each pass; where it is there, training goes on from it.
    step : int
        Texts are padded to a multiple of it.
    progress : callable, optional
        Called with (steps done, steps in all).

    Raises
    ------
    DataError
        If the loss stops being finite in the first pass.
    ConfigError
        If memory runs out with a single text, or the processes do not find the same checkpoint.
    """
    return run_passes(Loop(model, parts, settings, pad_id, autocast, step), checkpoint, progress)


def run_passes(loop: Loop, checkpoint: Path, progress: Progress | None = None) -> Trained:
    """Run a loop to its end, as `train` says, from its checkpoint if there is one."""
    model, settings, steps, autocast = loop.model, loop.settings, loop.steps, loop.autocast
    kept, clock = read_checkpoint(checkpoint), effort.Stopwatch()
    loop.restore(kept)
    state = loop.state
    if kept is not None:
        clock.add(kept.took)
        effort.add_found(kept.took)
    if processes.told_by_main([state.step]) != [state.step]:
        raise ConfigError(f"{checkpoint}: not the same for all processes. Give them one cache folder.")
    while state.epoch < settings.epochs and state.stale < settings.patience:
        try:
            with _arithmetic(model, settings.method, autocast):
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
        if processes.is_main():
            write_checkpoint(checkpoint, replace(loop.checkpoint(), took=clock.taken))
    model.load_state_dict(loop.best, strict=False)
    if progress is not None:
        progress(steps, steps)
    return Trained(epochs=state.epochs, best_epoch=state.best_epoch, events=state.events)


@contextmanager
def _arithmetic(model: Any, method: str, autocast: Arithmetic) -> Iterator[None]:
    """Multiply what is left in fp32 with a GPU's tensor cores, and keep adapters from widening their inputs first."""
    import torch

    if autocast == "fp32":
        yield
        return
    before = torch.get_float32_matmul_precision()
    narrow: AbstractContextManager[None] = nullcontext()
    if METHODS[method].change == "low-rank":
        from peft.helpers import disable_input_dtype_casting

        narrow = disable_input_dtype_casting(model)
    try:
        if device().type == "cuda":
            torch.set_float32_matmul_precision("high")
        with narrow:
            yield
    finally:
        torch.set_float32_matmul_precision(before)


class Loop:
    """A model in training with its optimiser, generator and place in the schedule."""

    def __init__(
        self,
        model: Any,
        parts: tuple[Encoded, Encoded],
        settings: TuneSettings,
        pad_id: int,
        autocast: Arithmetic,
        padding_step: int,
    ) -> None:
        self.padding_step = padding_step
        self.model, self.parts, self.settings, self.pad_id, self.autocast = model, parts, settings, pad_id, autocast
        self.trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        processes.take_from_main([value.data for value in self.trained.values()])
        self.optimiser = make_optimiser(
            resolve_optimizer(settings.optimizer, settings.method),
            list(self.trained.values()),
            rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )
        self.weights = class_weights(parts[0].labels) if settings.class_weights else None
        self.row_weights = None if self.weights is None else self.weights.cpu().numpy()[parts[0].labels]
        self.reached: list[Any] | None = None
        self.own_reached: list[bool] | None = None
        self.packs = _packs(model)
        self.rng = np.random.default_rng(settings.seed)
        self.steps = steps_of(len(parts[0].tokens), settings)
        self.best: dict[str, Any] = {}
        at_once = min(settings.batch_size, settings.micro_batch or settings.batch_size)
        self.state = _State(rows_at_once=at_once)
        if device().type == "cuda":  # without gradients twice the rows take no more memory
            self.state.evaluated_at_once = min(EVALUATION_ROWS, 2 * at_once)
        self.adalora = model.base_model if settings.method == "adalora" else None

    def one_pass(self, progress: Callable[[int], None]) -> None:
        """Train on every row once, validate, and keep the weights if they are the best so far."""
        import torch

        state, settings = self.state, self.settings
        self.model.train()
        # Each drops out its own activations; a share has its own seed in every step.
        if processes.count() > 1 and settings.shares is None:
            drawn = np.random.SeedSequence((settings.seed, state.epoch, processes.rank()))
            torch.manual_seed(int(drawn.generate_state(1)[0]))
        total = _zero()
        for number, rows in enumerate(epoch_batches(self.parts[0], settings.batch_size, self.rng), start=1):
            total += self._step(rows) * len(rows)
            if number % LOOK_EVERY == 0 and not math.isfinite(total):
                break
            progress(state.step)
        train_loss = total.item() / len(self.parts[0].tokens)
        if not math.isfinite(train_loss):
            raise _DivergedError(train_loss, None)
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

    def _step(self, rows: np.ndarray) -> Any:
        """Take a step and return its loss, float64 and still on the device."""
        import torch

        rate = self.settings.learning_rate * cosine_rate(self.state.step, steps=self.steps, warmup=self.settings.warmup)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        generators = _generators()
        while True:
            try:
                loss, vectors = self._parts_of(rows)
                break
            except torch.OutOfMemoryError:
                self.optimiser.zero_grad(set_to_none=True)
            _restore_generators(generators)
            self.state.rows_at_once = self._halve(min(self.state.rows_at_once, len(rows)), "training")
        if vectors:
            loss = self._added_in_order(vectors, loss)
        elif processes.count() > 1:
            self._add_up(loss)
        torch.nn.utils.clip_grad_norm_(list(self.trained.values()), self.settings.clip)
        self.optimiser.step()
        if self.adalora is not None and math.isfinite(loss):
            self.adalora.update_and_allocate(self.state.step)
        self.optimiser.zero_grad(set_to_none=True)
        self.state.step += 1
        return loss

    def _parts_of(self, rows: np.ndarray) -> tuple[Any, list[Any]]:
        """Return the loss of what this process takes of a step, and the gradients of each of its shares as a vector.

        Without shares there is no vector: the gradients are where the optimiser looks for them, and the loss is a sum.
        """
        import torch

        if self.settings.shares is None:
            return self._gradients(processes.share_of(rows), rows, first=processes.is_main()), []
        losses, vectors = [], []
        for share in processes.own_shares(self.settings.shares):
            drawn = np.random.SeedSequence((self.settings.seed, self.state.step, share))
            torch.manual_seed(int(drawn.generate_state(1)[0]))
            losses.append(self._gradients(rows[share :: self.settings.shares], rows, first=share == 0))
            if self.own_reached is None:
                self.own_reached = [value.grad is not None for value in self.trained.values()]
            grads = [torch.zeros_like(value) if value.grad is None else value.grad for value in self.trained.values()]
            vectors.append(torch.cat([grad.reshape(-1) for grad in grads]))
            self.optimiser.zero_grad(set_to_none=True)
        return torch.stack(losses), vectors

    def _gradients(self, rows: np.ndarray, step: np.ndarray, *, first: bool) -> Any:
        """Add up the gradients of rows of a step, a few at a time, and return their part of its loss."""
        import torch

        groups = self._groups(rows)
        share = None if len(groups) == 1 and len(rows) == len(step) else self._weight_of(step)
        total = _zero()
        for group in groups:
            logits, target = self._logits(self.parts[0], group)
            if self.parts[0].targets is None:
                loss = training_loss(logits, target, self.settings, self.weights, share=share)
            else:
                wanted = _sent(torch.from_numpy(self.parts[0].targets[group]).float())
                loss = soft_loss(logits, wanted, self.parts[0].temperature, share=share)
            loss.backward()
            total += loss.detach()
        if self.adalora is not None and first:
            orthogonality(self.adalora).backward()
        return total

    def _groups(self, rows: np.ndarray) -> list[np.ndarray]:
        """Cut rows, which are sorted by length, into what goes through the model at once."""
        size = self.state.rows_at_once
        if self.packs:
            lengths = [len(self.parts[0].tokens[row]) for row in rows]
            return [rows[places] for places in token_groups(lengths, size * self.settings.max_length)]
        return [rows[start : start + size] for start in range(0, len(rows), size)]

    def _add_up(self, loss: Any) -> None:
        """Put the gradients and the loss of all processes in the place of this one's."""
        import torch

        reached = self._reached([value.grad is not None for value in self.trained.values()])
        for value in reached:
            if value.grad is None:  # a batch with fewer rows than processes
                value.grad = torch.zeros_like(value)
        processes.add_up([value.grad for value in reached])
        processes.add_up([loss])

    def _added_in_order(self, vectors: list[Any], losses: Any) -> Any:
        """Put the sum of all shares' gradients in their place and return that of the losses, in the order of shares."""
        import torch

        told = [False] * len(self.trained) if self.own_reached is None else self.own_reached
        reached = {id(value) for value in self._reached(told)}
        values = list(self.trained.values())
        pieces = processes.add_in_order(vectors).split([value.numel() for value in values])
        for value, piece in zip(values, pieces, strict=True):
            if id(value) in reached:
                value.grad = piece.view_as(value)
        return processes.add_in_order([loss.reshape(1) for loss in torch.unbind(losses)])[0]

    def _reached(self, here: list[bool]) -> list[Any]:
        """Return the weights that have a gradient in the main process, as it told when first asked."""
        if self.reached is None:
            # A weight that no text reaches has no gradient, and no weight decay either.
            told = processes.told_by_main(here)
            self.reached = [value for value, reached in zip(self.trained.values(), told, strict=True) if reached]
        return self.reached

    def _weight_of(self, rows: np.ndarray) -> float:
        return float(len(rows) if self.row_weights is None else self.row_weights[rows].sum())

    def _validate(self) -> float:
        """Return the mean cross-entropy once the logits are divided by their best temperature.

        That is the loss which calibration leaves. The plain one also counts overconfidence, which grows while a model
        still learns to tell the classes apart, and would stop it too early.
        """
        import torch

        self.model.eval()
        part = self.parts[1]
        order = np.argsort([len(tokens) for tokens in part.tokens], kind="stable")
        order = processes.blocks_of(order, self.state.evaluated_at_once)
        logits, start = torch.zeros((len(part.tokens), len(CLASSES)), dtype=torch.float64, device=device()), 0
        with torch.no_grad():
            while start < len(order):
                rows = order[start : start + self.state.evaluated_at_once]
                try:
                    logits[torch.from_numpy(rows)] = self._logits(part, rows)[0].double()
                    start += len(rows)
                    continue
                except torch.OutOfMemoryError:
                    pass
                self.state.evaluated_at_once = self._halve(len(rows), "validation")
        # Each process has filled in its own rows.
        processes.add_up([logits])
        found = logits.cpu().numpy()
        return calibrated_loss(found, part.labels) if np.isfinite(found).all() else math.nan

    def _logits(self, part: Encoded, rows: np.ndarray) -> tuple[Any, Any]:
        import torch

        chosen = [part.tokens[row] for row in rows]
        half: AbstractContextManager[Any] = nullcontext()
        if self.autocast == "bf16":
            half = torch.autocast(device().type, dtype=torch.bfloat16)
        with half:
            if self.packs:
                logits = packed_logits(self.model, pack(chosen, self.pad_id), device()).float()
            else:
                ids, mask = pad(chosen, self.pad_id, padded_length(max(map(len, chosen)), self.padding_step))
                logits = self.model(input_ids=_sent(ids), attention_mask=_sent(mask)).logits.float()
        return logits, _sent(torch.from_numpy(part.labels[rows]))

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
        tensors |= {f"optimiser/{name}": value for name, value in moments(self.optimiser).items()}
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
        set_moments(self.optimiser, groups.get("optimiser", {}))
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


def _packs(model: Any) -> bool:
    # A CPU gains little and keeps the arithmetic its adapters were made with.
    return device().type == "cuda" and packable(model, device())


def _zero() -> Any:
    import torch

    return torch.zeros((), dtype=torch.float64, device=device())


def _sent(tensor: Any) -> Any:
    """Return a tensor on the device; a GPU's host does not wait for it to arrive."""
    where = device()
    return tensor.pin_memory().to(where, non_blocking=True) if where.type == "cuda" else tensor.to(where)


def _generators() -> dict[str, Any]:
    import torch

    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(device())} if torch.cuda.is_available() else {})


def _restore_generators(states: dict[str, Any]) -> None:
    import torch

    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device())


def cosine_rate(step: int, *, steps: int, warmup: float) -> float:
    """Return the share of the peak learning rate at a step: a linear rise, then half a cosine down to zero."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


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
