"""Tune a base model on labelled texts, with any method of `embargo.models.methods.cards`.

The same base, samples, settings and versions give the same adapter bit for bit (for a given number of threads); it is
kept in a folder named by all of these, so that tuning twice costs once and a killed tuning goes on from its last pass.
Nothing outside the given samples is seen. Several processes, one per GPU, give what one gives up to rounding; the main
one alone writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal
from weakref import WeakMethod

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.schemas import CLASSES
from embargo.models.bases.resolve import Base
from embargo.models.content import (
    cached_folder,
    folder_name,
    json_hash,
    read_manifest,
    sample_fingerprint,
    text_hash,
    texts_fingerprint,
)
from embargo.models.loading import processes
from embargo.models.loading.load import (
    Compute,
    deterministic,
    device,
    encode,
    load_classifier,
    load_tokenizer,
    quiet,
    readable_length,
    resolve_compute,
)
from embargo.models.loading.shared import SharedBase
from embargo.models.methods.cards import METHODS, Method, Target, check, peft_config, virtual_tokens
from embargo.models.tuning.loop import Encoded, Progress, Trained, steps_of, train
from embargo.models.tuning.optimisers import OPTIMIZERS, Optimizer, resolve_optimizer


@dataclass(frozen=True)
class TuneSettings:
    """How to tune.

    Attributes
    ----------
    method : str
        A name of `embargo.models.methods.cards.METHODS`.
    rank, alpha, dropout
        Shape of the low-rank update (Hu et al. 2021, arXiv 2106.09685): it is scaled by ``alpha / rank``. For prefix,
        prompt and P-tuning ``rank`` is the number of virtual tokens.
    target : {"attention", "all-linear"}
        Which layers get low-rank adapters: query and value projections, or every linear layer.
    learning_rate, weight_decay, warmup, clip
        AdamW peak rate and decay, share of all steps spent warming up before the cosine decay to zero, and the norm to
        which gradients are clipped.
    epochs, batch_size, patience, min_delta
        At most ``epochs`` passes; stops after ``patience`` passes in which the validation loss has not fallen by
        ``min_delta`` nats, and keeps the pass with the lowest one.
    max_length : int
        Tokens after which a text is cut.
    class_weights : bool
        Weigh each class by the inverse of its share in the training loss.
    loss, gamma : {"cross_entropy", "focal"}, float
        What is minimised, and how much less the focal loss counts what is already right. Early stopping goes by
        unweighted cross-entropy after the best temperature, whatever the loss.
    micro_batch : int, optional
        Texts that go through the model at once; their gradients add up to a step of ``batch_size``. By default all.
    checkpointing : bool
        Compute activations twice instead of keeping them: less memory, more time, the same result.
    compute : {"auto", "fp32", "bf16"}
        ``auto`` is bf16 where the hardware multiplies in it.
    seed : int
        Of the new head, the adapters, dropout and the order of the samples.
    optimizer : {"auto", "adamw", "paged_adamw_8bit"}
        ``auto`` is the paged 8-bit AdamW for QLoRA on a GPU, else AdamW.
    """

    method: Method = "qlora"
    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.05
    target: Target = "attention"
    learning_rate: float = 2e-3
    epochs: int = 8
    batch_size: int = 32
    patience: int = 3
    min_delta: float = 0.001
    warmup: float = 0.06
    weight_decay: float = 0.01
    clip: float = 1.0
    max_length: int = 128
    class_weights: bool = False
    loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    gamma: float = 2.0
    micro_batch: int | None = None
    checkpointing: bool = False
    compute: Compute = "auto"
    seed: int = 0
    optimizer: Optimizer = "auto"

    def __post_init__(self) -> None:
        at_least_one = ("rank", "epochs", "batch_size", "patience")
        for name in at_least_one:
            if getattr(self, name) < 1:
                raise ConfigError(f"tuning.{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("alpha", "learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"tuning.{name} must be positive, got {getattr(self, name)}.")
        for name in ("dropout", "warmup"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"tuning.{name} must lie in [0, 1), got {getattr(self, name)}.")
        if self.max_length < 8:
            raise ConfigError(f"tuning.max_length must be at least 8 tokens, got {self.max_length}.")
        choices = {
            "method": tuple(METHODS),
            "loss": ("cross_entropy", "focal"),
            "target": ("attention", "all-linear"),
            "compute": ("auto", "fp32", "bf16"),
            "optimizer": OPTIMIZERS,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"tuning.{name} must be one of {allowed}, got {getattr(self, name)!r}.")
        self._check_batches()

    def _check_batches(self) -> None:
        if self.gamma < 0:
            raise ConfigError(f"tuning.gamma must not be negative, got {self.gamma}.")
        if self.micro_batch is not None and not 1 <= self.micro_batch <= self.batch_size:
            raise ConfigError(
                f"tuning.micro_batch must lie between 1 and batch_size ({self.batch_size}), got {self.micro_batch}."
            )
        if self.method == "prefix" and self.checkpointing:
            raise ConfigError("tuning.checkpointing cannot go with method 'prefix': it drops the prefix. Unset it.")


@dataclass(frozen=True)
class Adapter:
    """A tuned adapter on disk.

    Attributes
    ----------
    path : Path
        Folder with ``adapter_model.safetensors``, ``adapter_config.json`` (both as peft reads them) and the manifest;
        after full fine-tuning, with the whole model as transformers reads it.
    identity : str
        sha256 over the files' contents.
    manifest : dict
        Base, settings, fingerprints of the samples, losses of each pass, events (out of memory, a divergence),
        ``trained_until`` and versions.
    train_text_hashes : tuple of str
        sha256 of each distinct training text, sorted: what a test text must not be among.
    """

    path: Path
    identity: str
    manifest: dict[str, Any]
    train_text_hashes: tuple[str, ...]


def check_labels(texts: Sequence[str], labels: Sequence[int], *, what: str, distinct: int = 1) -> np.ndarray:
    """Return labels as int64, shape (n,), after checking that they fit their texts.

    Raises
    ------
    DataError
        If there are none, their number differs from the texts', one is not 0, 1 or 2, or fewer than ``distinct``
        classes occur.
    """
    array = np.asarray(labels)
    if len(texts) == 0:
        raise DataError(f"{what}: no samples. Widen its dates, or check that articles have labels.")
    if array.shape != (len(texts),):
        raise DataError(f"{what}: {len(texts)} texts but labels of shape {array.shape}. Give one label per text.")
    strange = ~np.isin(array, range(len(CLASSES)))
    if strange.any():
        row = int(np.argmax(strange))
        raise DataError(f"{what}: label {array[row]!r} at row {row} is not 0 (bearish), 1 (neutral) or 2 (bullish).")
    found = np.unique(array)
    if len(found) < distinct:
        raise DataError(
            f"{what}: all {len(array)} samples are {CLASSES[int(found[0])]!r}; a classifier needs two classes or more. "
            "Widen its dates or change the label thresholds."
        )
    return array.astype(np.int64)


def tune(
    base: Base,
    *,
    train_texts: Sequence[str],
    train_labels: Sequence[int],
    validation_texts: Sequence[str],
    validation_labels: Sequence[int],
    settings: TuneSettings | None = None,
    trained_until: pd.Timestamp | None,
    cache_dir: Path,
    progress: Progress | None = None,
    shared: SharedBase | None = None,
) -> Adapter:
    """Tune adapters on the base, or load them where the same tuning was done before.

    Parameters
    ----------
    base : Base
        From ``resolve_base`` or ``pretrain_tiny``.
    train_texts, train_labels : sequences of length n
        Labels 0 bearish, 1 neutral, 2 bullish.
    validation_texts, validation_labels : sequences of length m
        Decide when to stop. They shape the adapter, so ``trained_until`` covers them too.
    settings : TuneSettings, optional
    trained_until : Timestamp or None
        Latest instant at which any training or validation sample was known or its label complete, UTC; None if undated.
    cache_dir : Path
        Adapters are kept in ``cache_dir / "adapters"``.
    progress : callable, optional
        Called with (steps done, steps in all); by the main process alone where several were launched.
    shared : SharedBase, optional
        Lends the base's weights instead of reading them from disk; the adapter is the same to the bit.

    Returns
    -------
    Adapter

    Raises
    ------
    DataError
        If a part is empty, the training part has one class only, or the loss stops being finite in the first pass.
    ConfigError
        If the base cannot take the method, the optimiser needs a GPU and there is none, or memory runs out with a
        single text.

    Warns
    -----
    RuntimeWarning
        Once, if memory runs out and the texts go through the model fewer at a time.
    """
    settings = TuneSettings() if settings is None else settings
    check(settings.method, base, settings.target)
    train_y = check_labels(train_texts, train_labels, what="training samples", distinct=2)
    validation_y = check_labels(validation_texts, validation_labels, what="validation samples")
    compute = resolve_compute(settings.compute, base)
    settings = replace(settings, optimizer=resolve_optimizer(settings.optimizer, settings.method))
    key: dict[str, Any] = {
        "base": base.weights_hash,
        "settings": {**asdict(settings), "compute": compute},
        "train": sample_fingerprint(train_texts, train_y),
        "validation": sample_fingerprint(validation_texts, validation_y),
        "trained_until": None if trained_until is None else trained_until.isoformat(),
        "device": device().type,
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "bitsandbytes")},
    }
    if processes.count() > 1:  # equal up to rounding, which is not to the bit
        key["processes"] = processes.count()

    adapters = Path(cache_dir) / "adapters"
    checkpoint = adapters / f".{folder_name('training', key)}.safetensors"

    def trained() -> tuple[Any, Trained]:
        # The multiset of samples is the key, so their order must not matter to the result.
        parts = [_in_order(texts, y) for texts, y in ((train_texts, train_y), (validation_texts, validation_y))]
        shown = progress if processes.is_main() else None
        return _train(base, parts[0], parts[1], settings, compute, checkpoint, shown, shared)

    def build(folder: Path) -> dict[str, Any]:
        model, done = trained()
        _save(model, base, folder)
        hashes = sorted({text_hash(text) for text in train_texts})
        (folder / "train_text_hashes.txt").write_text("\n".join(hashes) + "\n", encoding="ascii")
        return {
            "base": {"name": base.name, "weights_hash": base.weights_hash, "source": base.source},
            "settings": key["settings"],
            "n_train": len(train_texts),
            "n_validation": len(validation_texts),
            "train_fingerprint": key["train"],
            "validation_fingerprint": key["validation"],
            "train_text_hashes_fingerprint": texts_fingerprint(train_texts),
            "trained_until": key["trained_until"],
            "epochs": done.epochs,
            "best_epoch": done.best_epoch,
            "events": done.events,
            "versions": key["versions"],
        }

    path, manifest = _built_together(adapters, key, build, trained)
    if processes.is_main():
        checkpoint.unlink(missing_ok=True)
    return _adapter(path, manifest)


def _built_together(
    adapters: Path, key: dict[str, Any], build: Callable[[Path], dict[str, Any]], take_part: Callable[[], object]
) -> tuple[Path, dict[str, Any]]:
    """Build a folder on the main process, with the others taking part, and open it on all."""
    if not processes.is_main():
        if processes.told_by_main([0])[0]:
            take_part()
        processes.wait()
        path = adapters / folder_name("adapter", key)
        return path, read_manifest(path)
    announced = []

    def announce(folder: Path) -> dict[str, Any]:
        announced.append(processes.told_by_main([1]))
        return build(folder)

    found = cached_folder(adapters, "adapter", key, announce)
    if not announced:
        processes.told_by_main([0])
    processes.wait()
    return found


def open_adapter(path: Path) -> Adapter:
    """Open a tuned adapter's folder and check every file in it against the manifest.

    Raises
    ------
    DataError
        If it is no adapter, or a file is missing or differs from what was written.
    """
    manifest = read_manifest(Path(path))
    if "settings" not in manifest or not (Path(path) / "train_text_hashes.txt").is_file():
        raise DataError(f"{path}: not the folder of a tuned adapter. Give one from the cache's folder 'adapters'.")
    return _adapter(Path(path), manifest)


def _adapter(path: Path, manifest: dict[str, Any]) -> Adapter:
    hashes = tuple((path / "train_text_hashes.txt").read_text(encoding="ascii").split())
    return Adapter(path=path, identity=json_hash(manifest["files"]), manifest=manifest, train_text_hashes=hashes)


def _in_order(texts: Sequence[str], labels: np.ndarray) -> tuple[list[str], np.ndarray]:
    order = sorted(range(len(texts)), key=lambda row: (text_hash(texts[row]), labels[row]))
    return [texts[row] for row in order], labels[order]


def borrow(
    base: Base, shared: SharedBase | None, *, method: Method, compute: Literal["fp32", "bf16"]
) -> tuple[Any, list[str]]:
    """Return the base from a shared one, or read it where there is none; see `SharedBase.lend`.

    Raises
    ------
    ConfigError
        If the shared base is another one.
    """
    if shared is None:
        return load_classifier(base, method=method, compute=compute)
    if shared.base.weights_hash != base.weights_hash:
        raise ConfigError(f"base {base.name!r} was asked for, but {shared.base.name!r} is shared. Share the same one.")
    return shared.lend(method=method, compute=compute)


def adapted_model(
    base: Base,
    settings: TuneSettings,
    compute: Literal["fp32", "bf16"],
    *,
    steps: int = 1000,
    shared: SharedBase | None = None,
) -> Any:
    """Return the base with fresh adapters, ready to train; its random weights come from torch's current generator.

    What is trained is held in fp32 also where the rest computes in bf16, which would round small steps away.

    Parameters
    ----------
    base : Base
    settings : TuneSettings
    compute : {"fp32", "bf16"}
    steps : int
        Optimiser steps in all, over which AdaLoRA plans its ranks.
    shared : SharedBase, optional
        Lends the base.

    Raises
    ------
    ConfigError
        If gradient checkpointing is asked of an architecture that has none.
    """
    import torch

    if settings.method == "full":
        model, _ = borrow(base, shared, method=settings.method, compute="fp32")
        adapted = model.requires_grad_(True)
    else:
        with quiet():
            from peft import get_peft_model

        model, fresh = borrow(base, shared, method=settings.method, compute=compute)
        heads = [name for name in fresh if name != "classifier"] + ["classifier", "score"]
        heads = [name for name in heads if any(name in path.split(".") for path, _ in model.named_modules())]
        model.requires_grad_(False)
        with quiet():
            adapted = get_peft_model(model, peft_config(settings, model.config, heads, steps))
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(torch.float32)
        feed_heads_fp32(adapted)
    if settings.checkpointing:
        try:
            with quiet():
                model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        except ValueError as failure:
            raise ConfigError(f"base {base.name!r}: {failure} Unset tuning.checkpointing.") from failure
    return adapted


def feed_heads_fp32(model: Any) -> None:
    """Make heads held in fp32 accept the activations of a bf16 body, and multiply in fp32 also under autocast."""
    from peft.utils import ModulesToSaveWrapper

    for module in model.modules():
        if isinstance(module, ModulesToSaveWrapper):
            # Weakly: a model that holds itself would stay in memory after its last use.
            module.forward = partial(_in_fp32, WeakMethod(module.forward))


def _in_fp32(forward: WeakMethod[Callable[..., Any]], *inputs: Any, **names: Any) -> Any:
    import torch

    multiply = forward()
    assert multiply is not None

    with torch.autocast(device().type, enabled=False):
        wide = (value.to(torch.float32) if isinstance(value, torch.Tensor) else value for value in inputs)
        return multiply(*wide, **names)


def _train(
    base: Base,
    train_part: tuple[list[str], np.ndarray],
    validation_part: tuple[list[str], np.ndarray],
    settings: TuneSettings,
    compute: Literal["fp32", "bf16"],
    checkpoint: Path,
    progress: Progress | None,
    shared: SharedBase | None,
) -> tuple[Any, Trained]:
    tokenizer = load_tokenizer(base)
    length = readable_length(tokenizer, settings.max_length, virtual_tokens(settings.method, settings.rank))
    parts = [Encoded(encode(tokenizer, texts, length), labels) for texts, labels in (train_part, validation_part)]
    steps = steps_of(len(parts[0].tokens), settings)
    # A CPU multiplies adapters in fp32, as those that lie in caches were.
    halved = settings.method == "full" or device().type == "cuda"
    with deterministic(settings.seed):
        model = adapted_model(base, settings, compute, steps=steps, shared=shared).to(device())
        done = train(
            model,
            (parts[0], parts[1]),
            settings,
            pad_id=tokenizer.pad_token_id,
            autocast=compute if halved else "fp32",
            checkpoint=checkpoint,
            progress=progress,
        )
    return model, done


def _save(model: Any, base: Base, folder: Path) -> None:
    # The folder's address must not depend on where the base lies on this machine.
    if hasattr(model, "peft_config"):
        config = model.peft_config["default"]
        config.base_model_name_or_path = base.name
        # AdaLoRA's ranks are those of its last step, the weights those of the best pass: zeros say what was pruned.
        if getattr(config, "rank_pattern", None):
            config.rank_pattern = {}
        # Sets are written in an order that differs from process to process.
        for name, value in vars(config).items():
            if isinstance(value, set):
                setattr(config, name, sorted(value))
        model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
    else:
        model.config._name_or_path = base.name
        with quiet():
            model.save_pretrained(str(folder), safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)
