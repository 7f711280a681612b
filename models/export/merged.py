"""Write a tuned model as one full-precision model, its adapter merged into the weights of its base.

What is written is read back and held against the adapter left unmerged, so that the folder that gets the name gives the
logits that were tuned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.threads import one_thread
from embargo.models.bases.resolve import Base
from embargo.models.calibration.fitting import Calibration
from embargo.models.content import json_hash, new_folder, write_manifest
from embargo.models.export.probes import PROBE_TEXTS
from embargo.models.loading.attach import attach
from embargo.models.loading.batches import padded_length
from embargo.models.loading.load import (
    ONE_LENGTH,
    as_stored,
    dequantise,
    deterministic,
    device,
    encode,
    load_classifier,
    load_tokenizer,
    pad,
    quiet,
    readable_length,
)
from embargo.models.methods.cards import METHODS
from embargo.models.scorer import later_cutoff
from embargo.models.scorers.transformer import merged_model, require_mergeable, scoring_model
from embargo.models.tuning.adapters import Adapter

MERGE_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Merged:
    """A merged model on disk.

    Attributes
    ----------
    path : Path
        Folder with config, tokenizer, fp32 safetensors and manifest, as ``transformers`` loads them.
    identity : str
        sha256 over the files' contents.
    manifest : dict
        Base, adapter, knowledge cutoff, calibration, proof and versions.
    max_dlogit : float
        Most that a logit of a probe text moved against the unmerged adapter, both in fp32 arithmetic.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.models import Merged
    >>> Merged(Path("merged"), "9c0e", {"kind": "merged"}, max_dlogit=2e-6).max_dlogit <= 1e-4
    True
    """

    path: Path
    identity: str
    manifest: dict[str, Any]
    max_dlogit: float


def merge(
    base: Base,
    adapter: Adapter,
    folder: str | Path,
    *,
    calibration: Calibration | None = None,
    probe_texts: Sequence[str] = PROBE_TEXTS,
) -> Merged:
    """Write the model with its adapter merged into full-precision weights, W' = W + BA · alpha / r.

    A base that was 4-bit is expanded first: W is what the tuning multiplied with. The model that was written is loaded
    again and held against the adapter left unmerged on the base as it was tuned.

    Parameters
    ----------
    base : Base
    adapter : Adapter
        Tuned on this base, with a method that can be merged.
    folder : str or Path
        Must not exist yet.
    calibration : Calibration, optional
        Written into the manifest.
    probe_texts : sequence of str
        On which the two are compared.

    Returns
    -------
    Merged

    Raises
    ------
    ConfigError
        If the folder exists, the adapter belongs to another base, its method cannot be merged, or the base's logits
        depend on the padding.
    DataError
        If the adapter's files were changed, or a probe text's logit moves by more than ``MERGE_TOLERANCE``.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.models import Adapter, Base, merge
    >>> base = Base("mine", "/models/mine", "encoder", None, "not documented", weights_hash="ab12")
    >>> tuned_on = {"base": {"name": "other", "weights_hash": "cd34"}, "settings": {"method": "prompt"}}
    >>> adapter = Adapter(Path("cache/adapters/adapter-1f"), "9c0e", tuned_on, ())
    >>> merge(base, adapter, "merged")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: an adapter of method 'prompt' cannot be merged into its ...
    """
    require_mergeable(adapter)
    if base.architecture in ONE_LENGTH:
        raise ConfigError(
            f"base {base.name!r}: the logits of architecture {base.architecture!r} depend on how far a text is padded, "
            "which a merged folder leaves to whoever loads it. Score with the adapter unmerged, or tune another base."
        )
    target = Path(folder)
    with new_folder(target) as scratch:
        merged = as_stored(merged_model(base, adapter, "fp32"))
        tokenizer = load_tokenizer(base)
        max_length = readable_length(tokenizer, int(adapter.manifest["settings"]["max_length"]))
        with quiet():
            merged.save_pretrained(str(scratch))
            tokenizer.save_pretrained(str(scratch))
        del merged
        tokens = encode(tokenizer, probe_texts, max_length)
        apart = _torch_logits(_unmerged(base, adapter), tokens, tokenizer.pad_token_id)
        moved = np.abs(_torch_logits(_read_back(scratch), tokens, tokenizer.pad_token_id) - apart)
        max_dlogit = float(moved.max())
        if not max_dlogit <= MERGE_TOLERANCE:
            row = int(np.argmax(np.nan_to_num(moved, nan=np.inf).max(axis=1)))
            raise DataError(
                f"merge of adapter {adapter.path.name} into base {base.name!r}: a logit of probe text {row} "
                f"({probe_texts[row][:60]!r}) moves by {max_dlogit:.2g}, more than {MERGE_TOLERANCE:g}. "
                "Score with the adapter unmerged."
            )
        manifest = {
            **origin_of(base, adapter, calibration or Calibration(), ("torch", "transformers", "peft")),
            "kind": "merged",
            "precision": "fp32",
            "max_length": max_length,
            "proof": {"n": len(tokens), "max_dlogit": max_dlogit, "tolerance": MERGE_TOLERANCE},
        }
        manifest = write_manifest(scratch, manifest, sealed=True)
    return Merged(target, json_hash(manifest["files"]), manifest, max_dlogit)


def origin_of(base: Base, adapter: Adapter, calibration: Calibration, packages: Sequence[str]) -> dict[str, Any]:
    """Return what the manifest of every export says of where it comes from."""
    cutoff = later_cutoff(base.knowledge_cutoff, adapter.manifest["trained_until"])
    return {
        "base": {"name": base.name, "weights_hash": base.weights_hash, "source": base.source},
        "exposures": list(base.exposures),
        "adapter": {"name": adapter.path.name, "identity": adapter.identity, "settings": adapter.manifest["settings"]},
        "knowledge_cutoff": None if cutoff is None else cutoff.isoformat(),
        "calibration": calibration.to_dict(),
        "versions": {name: version(name) for name in packages},
    }


def _read_back(folder: Path) -> Any:
    from transformers import AutoModelForSequenceClassification

    with quiet():
        written = AutoModelForSequenceClassification.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
    return written.eval().to(device())


def _unmerged(base: Base, adapter: Adapter) -> Any:
    import torch

    settings = adapter.manifest["settings"]
    if settings["method"] in ("full", "none"):
        # There is no adapter: the model is held against itself as written.
        return scoring_model(base, adapter, "fp32")
    with deterministic(0):
        model, drawn = load_classifier(base, method=settings["method"], compute=settings["compute"])
    # The arithmetic becomes the merged model's, the weights stay those of the tuning: 4-bit ones are left packed,
    # unless the tuning rounded them to bf16 as it multiplied, which packed ones do not do in fp32.
    if METHODS[settings["method"]].quantised and settings["compute"] == "bf16":
        dequantise(model, torch.float32)
    for module in model.modules():
        if hasattr(module, "compute_dtype"):
            module.compute_dtype = torch.float32
    # The model's own ``float`` refuses what is quantised.
    torch.nn.Module.float(model)
    model = attach(model, adapter.path, method=settings["method"], drawn=drawn)
    return model.to(device()).eval()


def _torch_logits(model: Any, tokens: Sequence[Sequence[int]], pad_id: int) -> np.ndarray:
    import torch

    rows = []
    with torch.inference_mode(), one_thread():
        for one in tokens:
            ids, mask = pad([one], pad_id, padded_length(len(one)))
            output = model(input_ids=ids.to(device()), attention_mask=mask.to(device())).logits
            rows.append(output[0].double().cpu().numpy())
    return np.array(rows)
