"""Tune a base model on labelled texts with LoRA or QLoRA: small adapters on frozen, optionally 4-bit weights.

The same base, samples, settings and versions give the same adapter bit for bit (for a given number of threads); it is
kept in a folder named by all of these, so that tuning twice costs once. Nothing outside the given samples is seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from data_loaders.errors import ConfigError, DataError
from data_loaders.schemas import CLASSES
from models.artifacts import cached_folder, json_hash, sample_fingerprint, text_hash, texts_fingerprint
from models.bases import Base
from models.loading import (
    Compute,
    Method,
    deterministic,
    device,
    encode,
    load_classifier,
    load_tokenizer,
    pad,
    padded_length,
    quiet,
    resolve_compute,
)

Progress = Callable[[int, int], None]

ATTENTION_LAYERS = {
    "bert": ["query", "value"],
    "roberta": ["query", "value"],
    "xlm-roberta": ["query", "value"],
    "electra": ["query", "value"],
    "deberta-v2": ["query_proj", "value_proj"],
    "distilbert": ["q_lin", "v_lin"],
    "modernbert": ["Wqkv"],
}


@dataclass(frozen=True)
class TuneSettings:
    """How to tune.

    Attributes
    ----------
    method : {"qlora", "lora"}
        Adapters on 4-bit NF4 weights, or on weights in the compute precision.
    rank, alpha, dropout
        Shape of the low-rank update (Hu et al. 2021, arXiv 2106.09685): it is scaled by ``alpha / rank``.
    target : {"attention", "all-linear"}
        Query and value projections, or every linear layer.
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
    compute : {"auto", "fp32", "bf16"}
        ``auto`` is bf16 where the hardware multiplies in it.
    seed : int
        Of the new head, the adapters, dropout and the order of the samples.
    """

    method: Method = "qlora"
    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.05
    target: Literal["attention", "all-linear"] = "attention"
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
    compute: Compute = "auto"
    seed: int = 0

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
            "method": ("qlora", "lora"),
            "target": ("attention", "all-linear"),
            "compute": ("auto", "fp32", "bf16"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"tuning.{name} must be one of {allowed}, got {getattr(self, name)!r}.")


@dataclass(frozen=True)
class Adapter:
    """A tuned adapter on disk.

    Attributes
    ----------
    path : Path
        Folder with ``adapter_model.safetensors``, ``adapter_config.json`` (both as peft reads them) and the manifest.
    identity : str
        sha256 over the files' contents.
    manifest : dict
        Base, settings, fingerprints of the samples, losses of each pass, ``trained_until`` and versions.
    train_text_hashes : tuple of str
        sha256 of each distinct training text, sorted: what a test text must not be among.
    """

    path: Path
    identity: str
    manifest: dict[str, Any]
    train_text_hashes: tuple[str, ...]


@dataclass(frozen=True)
class Encoded:
    """Token ids of each text and its label, int64 of shape (n,)."""

    tokens: list[list[int]]
    labels: np.ndarray


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
        Called with (steps done, steps in all).

    Returns
    -------
    Adapter

    Raises
    ------
    DataError
        If a part is empty, the training part has one class only, or the loss stops being finite.
    """
    settings = TuneSettings() if settings is None else settings
    train_y = check_labels(train_texts, train_labels, what="training samples", distinct=2)
    validation_y = check_labels(validation_texts, validation_labels, what="validation samples")
    compute = resolve_compute(settings.compute, base)
    key = {
        "base": base.weights_hash,
        "settings": {**asdict(settings), "compute": compute},
        "train": sample_fingerprint(train_texts, train_y),
        "validation": sample_fingerprint(validation_texts, validation_y),
        "trained_until": None if trained_until is None else trained_until.isoformat(),
        "device": device().type,
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "bitsandbytes")},
    }

    def build(folder: Path) -> dict[str, Any]:
        # The multiset of samples is the key, so their order must not matter to the result.
        parts = [_in_order(texts, y) for texts, y in ((train_texts, train_y), (validation_texts, validation_y))]
        epochs, best = _train(base, parts[0], parts[1], settings, compute, folder, progress)
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
            "epochs": epochs,
            "best_epoch": best,
            "versions": key["versions"],
        }

    path, manifest = cached_folder(Path(cache_dir) / "adapters", "adapter", key, build)
    hashes = tuple((path / "train_text_hashes.txt").read_text(encoding="ascii").split())
    return Adapter(path=path, identity=json_hash(manifest["files"]), manifest=manifest, train_text_hashes=hashes)


def _in_order(texts: Sequence[str], labels: np.ndarray) -> tuple[list[str], np.ndarray]:
    order = sorted(range(len(texts)), key=lambda row: (text_hash(texts[row]), labels[row]))
    return [texts[row] for row in order], labels[order]


def lora_targets(model_type: str, target: Literal["attention", "all-linear"]) -> list[str] | str:
    """Return the layers that get adapters: names for an architecture, or peft's word for all linear layers."""
    if target == "all-linear":
        return "all-linear"
    return ATTENTION_LAYERS.get(model_type, ["q_proj", "v_proj"])


def adapted_model(base: Base, settings: TuneSettings, compute: Literal["fp32", "bf16"]) -> Any:
    """Return the base with fresh adapters, ready to train; its random weights come from torch's current generator.

    What is trained is held in fp32 also where the rest computes in bf16, which would round small steps away.
    """
    import torch

    with quiet():
        from peft import LoraConfig, TaskType, get_peft_model

    model, fresh = load_classifier(base, method=settings.method, compute=compute)
    heads = [name for name in fresh if name != "classifier"] + ["classifier", "score"]
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type, unused-ignore]
        lora_dropout=settings.dropout,
        target_modules=lora_targets(model.config.model_type, settings.target),
        modules_to_save=[name for name in heads if any(name in path.split(".") for path, _ in model.named_modules())],
    )
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with quiet():
        adapted = get_peft_model(model, config)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
    feed_heads_fp32(adapted)
    return adapted


def feed_heads_fp32(model: Any) -> None:
    """Make heads held in fp32 accept the activations of a bf16 body."""
    import torch
    from peft.utils import ModulesToSaveWrapper

    def cast(_module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(value.to(torch.float32) if isinstance(value, torch.Tensor) else value for value in inputs)

    for module in model.modules():
        if isinstance(module, ModulesToSaveWrapper):
            module.register_forward_pre_hook(cast)


def _train(
    base: Base,
    train: tuple[list[str], np.ndarray],
    validation: tuple[list[str], np.ndarray],
    settings: TuneSettings,
    compute: Literal["fp32", "bf16"],
    folder: Path,
    progress: Progress | None,
) -> tuple[list[dict[str, float]], int]:
    import torch

    tokenizer = load_tokenizer(base)
    parts = [Encoded(encode(tokenizer, texts, settings.max_length), labels) for texts, labels in (train, validation)]
    steps = settings.epochs * math.ceil(len(parts[0].tokens) / settings.batch_size)
    rng = np.random.default_rng(settings.seed)
    with deterministic(settings.seed):
        model = adapted_model(base, settings, compute).to(device())
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimiser = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay)
        rate = torch.optim.lr_scheduler.LambdaLR(optimiser, partial(cosine_rate, steps=steps, warmup=settings.warmup))
        weights = _class_weights(parts[0].labels) if settings.class_weights else None
        epochs: list[dict[str, float]] = []
        best_loss, best_epoch, best_state = math.inf, 0, {}
        bar, stale = math.inf, 0
        for epoch in range(1, settings.epochs + 1):
            model.train()
            losses = []
            for rows in epoch_batches(parts[0], settings.batch_size, rng):
                loss = _loss(model, parts[0], rows, tokenizer.pad_token_id, weights)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(trained, settings.clip)
                optimiser.step()
                rate.step()
                optimiser.zero_grad(set_to_none=True)
                losses.append((loss.item(), len(rows)))
                if progress is not None:
                    progress(min((epoch - 1) * (steps // settings.epochs) + len(losses), steps), steps)
            train_loss = sum(value * size for value, size in losses) / len(parts[0].tokens)
            validation_loss = _mean_loss(model, parts[1], tokenizer.pad_token_id)
            _require_finite(train_loss, validation_loss, epoch)
            epochs.append({"epoch": epoch, "train_loss": train_loss, "validation_loss": validation_loss})
            if validation_loss < best_loss:
                best_loss, best_epoch = validation_loss, epoch
                best_state = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
            stale = 0 if validation_loss < bar - settings.min_delta else stale + 1
            bar = min(bar, validation_loss)
            if stale >= settings.patience:
                break
        model.load_state_dict(best_state, strict=False)
    # The folder's address must not depend on where the base lies on this machine.
    model.peft_config["default"].base_model_name_or_path = base.name
    model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    if progress is not None:
        progress(steps, steps)
    return epochs, best_epoch


def cosine_rate(step: int, *, steps: int, warmup: float) -> float:
    """Return the share of the peak learning rate at a step: a linear rise, then half a cosine down to zero."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def _require_finite(train_loss: float, validation_loss: float, epoch: int) -> None:
    if not (math.isfinite(train_loss) and math.isfinite(validation_loss)):
        raise DataError(
            f"tuning diverged in epoch {epoch}: training loss {train_loss}, validation loss {validation_loss}. "
            "Lower tuning.learning_rate."
        )


def _class_weights(labels: np.ndarray) -> Any:
    import torch

    counts = np.bincount(labels, minlength=len(CLASSES))
    present = np.count_nonzero(counts)
    weights = np.where(counts > 0, len(labels) / (present * np.maximum(counts, 1)), 0.0)
    return torch.tensor(weights, dtype=torch.float32, device=device())


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


def _loss(model: Any, part: Encoded, rows: np.ndarray, pad_id: int, weights: Any, *, reduction: str = "mean") -> Any:
    import torch

    chosen = [part.tokens[row] for row in rows]
    ids, mask = pad(chosen, pad_id, padded_length(max(map(len, chosen))))
    where = device()
    logits = model(input_ids=ids.to(where), attention_mask=mask.to(where)).logits.float()
    target = torch.from_numpy(part.labels[rows]).to(where)
    return torch.nn.functional.cross_entropy(logits, target, weight=weights, reduction=reduction)


def _mean_loss(model: Any, part: Encoded, pad_id: int) -> float:
    import torch

    model.eval()
    order = np.argsort([len(tokens) for tokens in part.tokens], kind="stable")
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(order), 64):
            total += _loss(model, part, order[start : start + 64], pad_id, None, reduction="sum").item()
    return total / len(order)
