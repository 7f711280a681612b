"""Tune a base model on labelled texts, with any method of `embargo.models.methods`.

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
from typing import Any
from weakref import WeakMethod

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.bases.folders import refuse_links, refuse_pickles, understood
from embargo.models.bases.heads import own_head
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
from embargo.models.loading.attach import refuse_adapter_files
from embargo.models.loading.devices import device_type
from embargo.models.loading.libraries import untyped
from embargo.models.loading.load import (
    ONE_LENGTH,
    deterministic,
    device,
    encode,
    load_classifier,
    load_tokenizer,
    padding_step,
    quiet,
    readable_length,
    resolve_compute,
    unread_parts,
)
from embargo.models.loading.shared import SharedBase
from embargo.models.methods.cards import METHODS, attention_layers, check_method, peft_config, virtual_tokens
from embargo.models.methods.settings import Arithmetic, Method, TuneSettings
from embargo.models.record import RECORD, SampleRead, read_record, samples_read, write_record
from embargo.models.samples import check_labels, in_content_order
from embargo.models.scorer import Progress
from embargo.models.tuning.first_tokens import take_first_tokens, takes_first_tokens
from embargo.models.tuning.loop import Encoded, Trained, steps_of, train
from embargo.models.tuning.optimisers import resolve_optimizer


@dataclass(frozen=True)
class Adapter:
    """A tuned adapter on disk.

    Attributes
    ----------
    path : Path
        Folder with ``adapter_model.safetensors``, ``adapter_config.json`` (both as peft reads them) and the manifest;
        after full fine-tuning, with the whole model as transformers reads it; without tuning, with the manifest alone.
    identity : str
        sha256 over the files' contents.
    manifest : dict
        Base, settings, fingerprints of the samples, losses of each pass, events (out of memory, a divergence),
        ``trained_until``, versions and, where the base brings a head of its own, what became of that.
    train_text_hashes : tuple of str
        sha256 of each distinct training text, sorted: what a test text must not be among.
    read : tuple of SampleRead or None
        Every sample that the optimiser and the stopping rule read; None for an adapter that was kept without a record.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.models import Adapter
    >>> adapter = Adapter(Path("cache/adapters/adapter-1f"), "9c0e", {"trained_until": None}, ("ab12",))
    >>> adapter.path.name
    'adapter-1f'
    """

    path: Path
    identity: str
    manifest: dict[str, Any]
    train_text_hashes: tuple[str, ...]
    read: tuple[SampleRead, ...] | None = None


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
    train_targets: np.ndarray | None = None,
    temperature: float = 1.0,
) -> Adapter:
    """Tune adapters on the base, or load them where the same tuning was done before.

    A three-class head that the base brings along starts as `embargo.models.bases.heads` says. With method ``none``
    nothing is tuned: the adapter is empty, the samples are not looked at, and it knows what the base knows.

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
    train_targets : ndarray, shape (n, 3), optional
        Probabilities to learn from in place of the labels, of texts that are all distinct; see `losses.soft_loss`.
        Class weights and focal loss are for labels.
    temperature : float
        At which the targets are.

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

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from embargo.models import TinySettings, TuneSettings, pretrain_tiny, tune
    >>> texts = ["Profit rose.", "Sales grew.", "Profit fell.", "Sales shrank."]
    >>> until = pd.Timestamp("2016-01-01", tz="UTC")
    >>> small = TinySettings(layers=1, hidden=64, intermediate=64, epochs=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     base = pretrain_tiny(
    ...         texts, known_at=[until] * 4, knowledge_cutoff=until, settings=small, cache_dir=Path(folder)
    ...     )
    ...     adapter = tune(
    ...         base,
    ...         train_texts=texts,
    ...         train_labels=[2, 2, 0, 0],
    ...         validation_texts=["Sales fell.", "Profit grew."],
    ...         validation_labels=[0, 2],
    ...         settings=TuneSettings(method="lora", rank=4, epochs=2),
    ...         trained_until=until,
    ...         cache_dir=Path(folder),
    ...     )
    >>> adapter.manifest["n_train"], adapter.manifest["settings"]["rank"], len(adapter.manifest["epochs"])
    (4, 4, 2)
    """
    settings = TuneSettings() if settings is None else settings
    check_method(settings.method, base, settings.target)
    if settings.method == "none":
        return _untuned(base, settings, Path(cache_dir) / "adapters")
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
        "device": device_type(),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "bitsandbytes")},
        # Adapters that were kept without a record of their samples are not taken for this one.
        "record": RECORD,
    }
    targets = None if train_targets is None else _targets(train_texts, train_targets, settings)
    if targets is not None:
        told = sorted([text_hash(text), [float(p).hex() for p in row]] for text, row in targets.items())
        key["targets"] = {"probs": json_hash(told), "temperature": temperature}
    head = own_head(base)
    if head is not None and head.start != "own":
        key["head"] = head.start
    if base.architecture in ONE_LENGTH:
        key["padding"] = "one length"
    if _first_tokens_alone(base, settings):
        key["layers"] = "the last of first tokens, fused"
    if base.architecture == "gemma3":
        key["trained"] = "the part that reads text"
    processes.check_shares(settings.shares)
    if processes.count() > 1 and settings.shares is None:  # equal up to rounding, which is not to the bit
        key["processes"] = processes.count()

    adapters = Path(cache_dir) / "adapters"
    checkpoint = adapters / f".{folder_name('training', key)}.safetensors"

    def trained() -> tuple[Any, Trained, tuple[SampleRead, ...]]:
        # The multiset of samples is the key, so their order must not matter to the result.
        parts = [in_content_order(texts, y) for texts, y in ((train_texts, train_y), (validation_texts, validation_y))]
        shown = progress if processes.is_main() else None
        soft = None if targets is None else (np.array([targets[text] for text in parts[0][0]]), temperature)
        return _train(base, parts[0], parts[1], settings, compute, checkpoint, shown, shared, soft)

    def build(folder: Path) -> dict[str, Any]:
        model, done, read = trained()
        save_adapter(model, base, folder)
        hashes = sorted({sample.text_hash for sample in read if sample.use in ("optimiser", "taught")})
        (folder / "train_text_hashes.txt").write_text("\n".join(hashes) + "\n", encoding="ascii")
        write_record(folder, read)
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
            **({} if head is None else {"head": head.described()}),
        }

    path, manifest = built_together(adapters, key, build, trained)
    if processes.is_main():
        checkpoint.unlink(missing_ok=True)
    return adapter_of(path, manifest)


def _targets(texts: Sequence[str], targets: np.ndarray, settings: TuneSettings) -> dict[str, np.ndarray]:
    """Return the probabilities of each text.

    Raises
    ------
    DataError
        If a text is there twice, or shapes differ.
    ConfigError
        If settings are for labels.
    """
    found = dict(zip(texts, np.asarray(targets, dtype=float), strict=True))
    if len(found) < len(texts) or targets.shape != (len(texts), len(CLASSES)):
        raise DataError(
            f"targets: shape {targets.shape} for {len(texts)} texts, {len(found)} of them distinct. Give each text "
            "once, with three probabilities."
        )
    if settings.class_weights or settings.loss != "cross_entropy":
        raise ConfigError("targets: class_weights and the focal loss weigh labels. Leave them out.")
    return found


def _untuned(base: Base, settings: TuneSettings, adapters: Path) -> Adapter:
    """Return the folder that stands for a base read with its own head: no weights, and nothing learnt from samples."""
    head = own_head(base)
    assert head is not None
    key = {
        "base": base.weights_hash,
        "settings": {
            "method": settings.method,
            "max_length": settings.max_length,
            "compute": resolve_compute(settings.compute, base),
        },
        "head": head.described(),
        "record": RECORD,
        "trained_until": None if base.knowledge_cutoff is None else base.knowledge_cutoff.isoformat(),
    }

    def build(folder: Path) -> dict[str, Any]:
        (folder / "train_text_hashes.txt").write_text("\n", encoding="ascii")
        write_record(folder, ())
        return {
            "base": {"name": base.name, "weights_hash": base.weights_hash, "source": base.source},
            "settings": key["settings"],
            "n_train": 0,
            "trained_until": key["trained_until"],
            "epochs": [],
            "best_epoch": None,
            "events": [],
            "versions": {name: version(name) for name in ("torch", "transformers")},
            "head": key["head"],
        }

    return adapter_of(*built_together(adapters, key, build, lambda: None))


def built_together(
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

    Parameters
    ----------
    path : Path
        Folder that `tune` made.

    Returns
    -------
    Adapter

    Raises
    ------
    DataError
        If it is no adapter, a file is missing or differs from what was written, is a pickle or leads elsewhere.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from embargo.models import open_adapter
    >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +ELLIPSIS
    ...     open_adapter(Path(folder))
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.DataError: .../manifest.json: cannot be read ([Errno 2] No such file or ...
    """
    refuse_links(Path(path))
    refuse_pickles(Path(path))
    with understood(path, "tuned adapter"):
        manifest = read_manifest(Path(path))
        if "settings" not in manifest or not (Path(path) / "train_text_hashes.txt").is_file():
            raise DataError(f"{path}: not the folder of a tuned adapter. Give one from the cache's folder 'adapters'.")
        refuse_adapter_files(Path(path), manifest["settings"]["method"])
        return adapter_of(Path(path), manifest)


def adapter_of(path: Path, manifest: dict[str, Any]) -> Adapter:
    """Return the adapter in a folder whose files were checked against this manifest."""
    hashes = tuple((path / "train_text_hashes.txt").read_text(encoding="ascii").split())
    return Adapter(
        path=path,
        identity=json_hash(manifest["files"]),
        manifest=manifest,
        train_text_hashes=hashes,
        read=read_record(path),
    )


def borrow(base: Base, shared: SharedBase | None, *, method: Method, compute: Arithmetic) -> tuple[Any, list[str]]:
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
    compute: Arithmetic,
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
        for name in unread_parts(model):
            model.get_submodule(name).requires_grad_(False)
    else:
        with quiet():
            from peft import get_peft_model

        model, fresh = borrow(base, shared, method=settings.method, compute=compute)
        heads = [name for name in fresh if name != "classifier"] + ["classifier", "score"]
        heads = [name for name in heads if any(name in path.split(".") for path, _ in model.named_modules())]
        model.requires_grad_(False)
        config = peft_config(settings, model.config, heads, steps)
        if METHODS[settings.method].change == "low-rank" and settings.target == "attention":
            config.target_modules = set(attention_layers(base) or config.target_modules)
        if METHODS[settings.method].change == "low-rank" and (unread := unread_parts(model)):
            config.exclude_modules = unread
        with quiet():
            adapted = get_peft_model(model, config)
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
            untyped(module).forward = partial(_in_fp32, WeakMethod(module.forward))


def _in_fp32(forward: WeakMethod[Callable[..., Any]], *inputs: Any, **names: Any) -> Any:
    import torch

    multiply = forward()
    assert multiply is not None

    with torch.autocast(device().type, enabled=False):
        wide = (value.to(torch.float32) if isinstance(value, torch.Tensor) else value for value in inputs)
        return multiply(*wide, **names)


def _first_tokens_alone(base: Base, settings: TuneSettings) -> bool:
    taken = virtual_tokens(settings.method, settings.rank)
    return takes_first_tokens(base.architecture, device=device_type(), virtual_tokens=taken)


def _train(
    base: Base,
    train_part: tuple[list[str], np.ndarray],
    validation_part: tuple[list[str], np.ndarray],
    settings: TuneSettings,
    compute: Arithmetic,
    checkpoint: Path,
    progress: Progress | None,
    shared: SharedBase | None,
    soft: tuple[np.ndarray, float] | None,
) -> tuple[Any, Trained, tuple[SampleRead, ...]]:
    tokenizer = load_tokenizer(base)
    length = readable_length(tokenizer, settings.max_length, virtual_tokens(settings.method, settings.rank))
    parts = [Encoded(encode(tokenizer, texts, length), labels) for texts, labels in (train_part, validation_part)]
    taught = samples_read("optimiser", *train_part)
    if soft is not None:
        parts[0] = replace(parts[0], targets=soft[0], temperature=soft[1])
        taught = samples_read("taught", train_part[0], [-1] * len(train_part[0]))
    read = (*taught, *samples_read("stopping", *validation_part))
    steps = steps_of(len(parts[0].tokens), settings)
    # A CPU multiplies adapters in fp32, as those that lie in caches were.
    halved = settings.method == "full" or device().type == "cuda"
    with deterministic(settings.seed):
        model = adapted_model(base, settings, compute, steps=steps, shared=shared).to(device())
        alone = _first_tokens_alone(base, settings)
        if alone:
            take_first_tokens(model)
        done = train(
            model,
            (parts[0], parts[1]),
            settings,
            pad_id=tokenizer.pad_token_id,
            step=1 if alone else padding_step(base, length),
            autocast=compute if halved else "fp32",
            checkpoint=checkpoint,
            progress=progress,
        )
    return model, done, read


def save_adapter(model: Any, base: Base, folder: Path) -> None:
    """Write what was trained into a folder, as peft or transformers read it, the same bytes wherever the base lies."""
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
