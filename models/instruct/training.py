"""Tune a decoder on exchanges: low-rank adapters that learn to answer, with the loss on the answers alone.

An exchange's loss is the mean cross-entropy of its answer's tokens, and a step's the weighted mean over its exchanges,
so that each task's share of a pass is its weight, however long its answers are and however many there are of it. Order,
schedule, checkpoints and early stopping are those of every other tuning: the same exchanges give the same adapter to
the bit, also when the training was killed and went on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError, LeakError
from embargo.models.bases.resolve import Base
from embargo.models.bundles.tuned_folder import INSTRUCT
from embargo.models.content import folder_name, json_hash
from embargo.models.instruct.encoding import IGNORED, EncodedAnswers, answer_labels, encode_exchanges, room_of
from embargo.models.instruct.exchanges import WEIGHTS, Exchange, check_weights
from embargo.models.loading import processes
from embargo.models.loading.batches import LENGTH_STEP, padded_length
from embargo.models.loading.causal import load_causal
from embargo.models.loading.devices import device_type
from embargo.models.loading.load import deterministic, device, load_tokenizer, pad, quiet, resolve_compute
from embargo.models.methods.cards import METHODS, attention_layers, check_method, peft_config
from embargo.models.methods.settings import Arithmetic, TuneSettings
from embargo.models.record import RECORD, SampleRead, samples_read, write_record
from embargo.models.scorer import Progress
from embargo.models.tuning.adapters import Adapter, adapter_of, built_together, save_adapter
from embargo.models.tuning.loop import Loop, Trained, run_passes
from embargo.models.tuning.optimisers import resolve_optimizer

# Methods that can be merged into the base, which is how a tuned model goes on to be prompted.
INSTRUCT_METHODS = ("qlora", "lora", "dora", "rslora")
MAX_ANSWER = 64


def tune_answers(
    base: Base,
    *,
    train: Sequence[Exchange],
    validation: Sequence[Exchange],
    templates_hash: str,
    weights: Mapping[str, float] = WEIGHTS,
    settings: TuneSettings | None = None,
    max_answer: int = MAX_ANSWER,
    trained_until: pd.Timestamp | None,
    cache_dir: Path,
    progress: Progress | None = None,
) -> Adapter:
    """Tune adapters of a decoder on exchanges, or load them where the same tuning was done before.

    Parameters
    ----------
    base : Base
        A decoder.
    train, validation : sequence of Exchange
        To learn from, and to decide when to stop. In any order.
    templates_hash : str
        Of the templates that the exchanges were worded with.
    weights : mapping of str to float
        Share of the loss that each kind of task has.
    settings : TuneSettings, optional
        ``max_length`` counts prompt and answer.
    max_answer : int
        Tokens after which an answer is cut.
    trained_until : Timestamp or None
        Latest instant at which anything in an exchange was known, UTC; None if undated.
    cache_dir : Path
        Adapters are kept in ``cache_dir / "adapters"``.
    progress : callable, optional
        Called with (steps done, steps in all).

    Returns
    -------
    Adapter

    Raises
    ------
    ConfigError
        If the base is no decoder or cannot take the method, or a weight has no example.
    DataError
        If there is nothing to train or validate on, or the loss stops being finite in the first pass.
    LeakError
        If an exchange was known after ``trained_until``.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.models import Base
    >>> from embargo.models.instruct import tune_answers
    >>> base = Base("mine", "/models/mine", "encoder", None, "not documented", weights_hash="ab12")
    >>> tune_answers(base, train=[], validation=[], templates_hash="", trained_until=None, cache_dir=Path("cache"))
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: base 'mine' is an encoder, which writes no text. Name a decoder.
    """
    settings = TuneSettings() if settings is None else settings
    check_instructable(base, settings)
    shares: Mapping[str, float] = {str(task): share for task, share in check_weights(weights).items()}
    parts = {"training": _in_order(train), "validation": _in_order(validation)}
    _check_parts(parts, shares, trained_until)
    compute = resolve_compute(settings.compute, base)
    # Classes have no part in it.
    settings = replace(settings, optimizer=resolve_optimizer(settings.optimizer, settings.method), class_weights=False)
    key: dict[str, Any] = {
        "task": INSTRUCT,
        "base": base.weights_hash,
        "settings": {**asdict(settings), "compute": compute, "max_answer": max_answer},
        "weights": shares,
        "templates": templates_hash,
        **{name: json_hash([one.content for one in part]) for name, part in parts.items()},
        "trained_until": None if trained_until is None else trained_until.isoformat(),
        "device": device_type(),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "bitsandbytes")},
        "record": RECORD,
    }
    processes.check_shares(settings.shares)
    if processes.count() > 1 and settings.shares is None:  # equal up to rounding, which is not to the bit
        key["processes"] = processes.count()
    tokenizer = load_tokenizer(base)
    room = room_of(tokenizer, settings.max_length, max_answer)
    encoded, kept, left_out = {}, {}, {}
    for name, part in parts.items():
        encoded[name], rows, left_out[name] = encode_exchanges(tokenizer, part, shares, room)
        kept[name] = [part[row] for row in rows]
        if not rows:
            raise DataError(
                f"{name}: of {len(part)} exchanges none has its answer within model.max_length "
                f"({settings.max_length}). Raise it."
            )
    adapters = Path(cache_dir) / "adapters"
    checkpoint = adapters / f".{folder_name('training', key)}.safetensors"
    _check_shares(kept["training"], shares)

    def trained() -> tuple[Any, Trained]:
        shown = progress if processes.is_main() else None
        both = (encoded["training"], encoded["validation"])
        return _train(base, both, settings, compute, tokenizer.pad_token_id, checkpoint, shown)

    def build(folder: Path) -> dict[str, Any]:
        model, done = trained()
        save_adapter(model, base, folder)
        read = _read(kept["training"], kept["validation"])
        hashes = sorted({sample.text_hash for sample in read if sample.use == "optimiser"})
        (folder / "train_text_hashes.txt").write_text("\n".join(hashes) + "\n", encoding="ascii")
        write_record(folder, read)
        return {
            "task": INSTRUCT,
            "base": {"name": base.name, "weights_hash": base.weights_hash, "source": base.source},
            "settings": key["settings"],
            "weights": shares,
            "templates": templates_hash,
            "n_train": len(kept["training"]),
            "n_validation": len(kept["validation"]),
            "left_out": left_out,
            "trained_until": key["trained_until"],
            "epochs": done.epochs,
            "best_epoch": done.best_epoch,
            "events": done.events,
            "versions": key["versions"],
        }

    path, manifest = built_together(adapters, key, build, trained)
    if processes.is_main():
        checkpoint.unlink(missing_ok=True)
    return adapter_of(path, manifest)


def check_instructable(base: Base, settings: TuneSettings) -> None:
    """Refuse a base or a method that answers cannot be tuned with, before any weight is loaded.

    Raises
    ------
    ConfigError
    """
    if base.kind != "decoder":
        raise ConfigError(f"base {base.name!r} is an encoder, which writes no text. Name a decoder.")
    if settings.method not in INSTRUCT_METHODS:
        raise ConfigError(
            f"model.method = {settings.method!r}: instructions are tuned with one of {', '.join(INSTRUCT_METHODS)}, "
            "which can be merged into the base."
        )
    check_method(settings.method, base, settings.target)


def _in_order(made: Sequence[Exchange]) -> list[Exchange]:
    return sorted(made, key=lambda one: (one.content, one.article_id))


def _check_parts(
    parts: Mapping[str, Sequence[Exchange]], shares: Mapping[str, float], trained_until: pd.Timestamp | None
) -> None:
    for name, part in parts.items():
        if not part:
            raise DataError(f"{name}: no exchanges. Give more articles, or columns that answers stand in.")
        late = [one for one in part if trained_until is not None and one.known_at > trained_until]
        if late:
            raise LeakError(
                f"{name}: {len(late)} exchanges were known after trained_until {trained_until}, first that of article "
                f"{late[0].article_id!r} at {late[0].known_at}. Take them out, or state the true end."
            )
    _check_shares(parts["training"], shares)


def _check_shares(made: Sequence[Exchange], shares: Mapping[str, float]) -> None:
    there = {one.task for one in made}
    lacking = [task for task, share in shares.items() if share > 0 and task not in there]
    if lacking:
        raise ConfigError(
            f"weights.{lacking[0]} = {shares[lacking[0]]:g}, and no article gives an example of it. Name the column "
            "that its answers stand in, raise model.max_length if they were cut off, or weigh it 0."
        )


def _read(train: Sequence[Exchange], validation: Sequence[Exchange]) -> tuple[SampleRead, ...]:
    lines: list[SampleRead] = []
    for use, part in (("optimiser", train), ("stopping", validation)):
        lines += samples_read(use, [one.source for one in part], [-1] * len(part))  # type: ignore[arg-type]
    return tuple(lines)


def _train(
    base: Base,
    parts: tuple[EncodedAnswers, EncodedAnswers],
    settings: TuneSettings,
    compute: Arithmetic,
    pad_id: int,
    checkpoint: Path,
    progress: Progress | None,
) -> tuple[Any, Trained]:
    # A CPU multiplies adapters in fp32, as it does those of classifiers.
    autocast: Arithmetic = compute if device().type == "cuda" else "fp32"
    with deterministic(settings.seed):
        model = adapted_decoder(base, settings, compute).to(device())
        done = run_passes(AnswerLoop(model, parts, settings, pad_id, autocast), checkpoint, progress)
    return model, done


def adapted_decoder(base: Base, settings: TuneSettings, compute: Arithmetic) -> Any:
    """Return a decoder with fresh adapters, ready to train; their weights come from torch's current generator.

    Raises
    ------
    ConfigError
        If gradient checkpointing is asked of an architecture that has none.
    """
    import torch

    with quiet():
        from peft import TaskType, get_peft_model
    model = load_causal(base, method=settings.method, compute=compute)
    model.requires_grad_(False)
    config = peft_config(settings, model.config, [], steps=1)
    config.task_type, config.modules_to_save = TaskType.CAUSAL_LM, None
    if METHODS[settings.method].change == "low-rank" and settings.target == "attention":
        config.target_modules = set(attention_layers(base) or config.target_modules)
    with quiet():
        adapted = get_peft_model(model, config)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
    if settings.checkpointing:
        try:
            with quiet():
                model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        except ValueError as failure:
            raise ConfigError(f"base {base.name!r}: {failure} Unset tuning.checkpointing.") from failure
    return adapted


def answer_losses(logits: Any, labels: Any) -> Any:
    """Return the mean cross-entropy of each row's answer, float32 of shape (rows,), in nats per token.

    Parameters
    ----------
    logits : tensor, shape (rows, length, words)
    labels : tensor of int, shape (rows, length)
        The next token at each place, `IGNORED` where it is not the answer's.
    """
    import torch

    asked = labels != IGNORED
    losses = torch.nn.functional.cross_entropy(logits[asked].float(), labels[asked], reduction="none")
    # A product instead of a scattered sum, whose order a GPU does not promise.
    owner = torch.nonzero(asked)[:, 0]
    member = torch.nn.functional.one_hot(owner, len(labels)).to(losses.dtype)
    return (member.T @ losses) / member.sum(dim=0)


class AnswerLoop(Loop):
    """The loop of every tuning with the loss of answers in place of that of classes."""

    parts: tuple[Any, Any]

    def __init__(
        self,
        model: Any,
        parts: tuple[EncodedAnswers, EncodedAnswers],
        settings: TuneSettings,
        pad_id: int,
        autocast: Arithmetic,
    ) -> None:
        super().__init__(model, parts, settings, pad_id, autocast, LENGTH_STEP)  # type: ignore[arg-type]
        # Rows of several texts have one class each and many tokens to predict.
        self.packs = False

    def _gradients(self, rows: np.ndarray, step: np.ndarray, *, first: bool) -> Any:
        total = None
        for group in self._groups(rows):
            loss = self._weighted(self.parts[0], group).sum() / len(step)
            loss.backward()
            total = loss.detach().double() if total is None else total + loss.detach().double()
        if total is None:
            import torch

            total = torch.zeros((), dtype=torch.float64, device=device())
        return total

    def _validate(self) -> float:
        import torch

        self.model.eval()
        part = self.parts[1]
        order = np.argsort([len(tokens) for tokens in part.tokens], kind="stable")
        order = processes.blocks_of(order, self.state.evaluated_at_once)
        losses, start = torch.zeros(len(part.tokens), dtype=torch.float64, device=device()), 0
        with torch.no_grad():
            while start < len(order):
                rows = order[start : start + self.state.evaluated_at_once]
                try:
                    losses[torch.from_numpy(rows)] = self._weighted(part, rows).double()
                    start += len(rows)
                    continue
                except torch.OutOfMemoryError:
                    pass
                self.state.evaluated_at_once = self._halve(len(rows), "validation")
        # Each process has filled in its own rows.
        processes.add_up([losses])
        found = float(losses.mean())
        return found if math.isfinite(found) else math.nan

    def _weighted(self, part: EncodedAnswers, rows: np.ndarray) -> Any:
        import torch

        chosen = [part.tokens[row] for row in rows]
        length = padded_length(max(map(len, chosen)), self.padding_step)
        ids, mask = pad(chosen, self.pad_id, length)
        labels = torch.from_numpy(answer_labels(part, rows, length)).to(device())
        half: AbstractContextManager[Any] = nullcontext()
        if self.autocast == "bf16":
            half = torch.autocast(device().type, dtype=torch.bfloat16)
        with half:
            logits = self.model(input_ids=ids.to(device()), attention_mask=mask.to(device()), use_cache=False).logits
        counts = torch.from_numpy(part.weights[rows]).to(device(), torch.float32)
        return answer_losses(logits, labels) * counts


def is_instruct(adapter: Adapter) -> bool:
    """Return whether an adapter was tuned to answer, and not to classify."""
    return adapter.manifest.get("task") == INSTRUCT
