"""Write a model that was tuned to answer as one plain decoder, which any prompted reader can name as its base.

What is written is read back and held against the adapter left beside the weights of the tuning.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from embargo.data_loaders.errors import DataError
from embargo.models.bases.resolve import Base, open_base
from embargo.models.content import json_hash, new_folder, write_manifest
from embargo.models.export.merged import MERGE_TOLERANCE, Merged
from embargo.models.export.probes import PROBE_TEXTS
from embargo.models.instruct.writing import merged_decoder, unmerged_decoder
from embargo.models.loading.causal import load_causal
from embargo.models.loading.libraries import untyped
from embargo.models.loading.load import device, encode, load_tokenizer, quiet
from embargo.models.scorer import later_cutoff
from embargo.models.tuning.adapters import Adapter


def merge_answers(base: Base, adapter: Adapter, folder: str | Path) -> Merged:
    """Write the decoder with its adapter merged into fp32 weights, W' = W + BA · alpha / r.

    A base that was 4-bit is expanded first: W is what the tuning multiplied with.

    Parameters
    ----------
    base : Base
    adapter : Adapter
        Tuned to answer, on this base.
    folder : str or Path
        Must not exist yet.

    Returns
    -------
    Merged
        ``knowledge_cutoff`` in its manifest is what whoever names the folder as a base has to declare.

    Raises
    ------
    ConfigError
        If the folder exists.
    DataError
        If the adapter's files were changed, or a probe text's logit moves by more than `MERGE_TOLERANCE`.

    Examples
    --------
    >>> import tempfile
    >>> from embargo.models import Adapter, Base
    >>> from embargo.models.instruct import merge_answers
    >>> base = Base("mine", "/models/mine", "decoder", None, "not documented", weights_hash="ab12")
    >>> with tempfile.TemporaryDirectory() as taken:  # doctest: +ELLIPSIS
    ...     merge_answers(base, Adapter(Path("cache/adapters/adapter-1f"), "9c0e", {"task": "instruct"}, ()), taken)
    Traceback (most recent call last):
        ...
    embargo.models.content.TakenError: ... exists already. Name another, or delete this one.
    """
    from transformers import GenerationConfig

    target = Path(folder)
    with new_folder(target) as scratch:
        merged = merged_decoder(base, adapter, "fp32")
        tokenizer = load_tokenizer(base)
        merged.config._name_or_path = base.name
        # A base's own way of writing may not fit what is asked for; what ends a text is all that is kept.
        merged.generation_config = untyped(GenerationConfig)(
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        with quiet():
            merged.save_pretrained(str(scratch))
            tokenizer.save_pretrained(str(scratch))
        del merged
        tokens = encode(tokenizer, PROBE_TEXTS, int(adapter.manifest["settings"]["max_length"]))
        apart = _logits(unmerged_decoder(base, adapter), tokens)
        written = load_causal(open_base(scratch, name=base.name), method="lora", compute="fp32")
        moved = [np.abs(one - other).max() for one, other in zip(_logits(written, tokens), apart, strict=True)]
        max_dlogit = float(np.max(moved))
        if not max_dlogit <= MERGE_TOLERANCE:
            raise DataError(
                f"merge of adapter {adapter.path.name} into base {base.name!r}: a logit of probe text "
                f"{int(np.argmax(moved))} moves by {max_dlogit:.2g}, more than {MERGE_TOLERANCE:g}. Answer with the "
                "adapter unmerged."
            )
        cutoff = later_cutoff(base.knowledge_cutoff, adapter.manifest["trained_until"])
        manifest = {
            "kind": "merged",
            "base": {"name": base.name, "weights_hash": base.weights_hash, "source": base.source},
            "exposures": list(base.exposures),
            "adapter": {
                "name": adapter.path.name,
                "identity": adapter.identity,
                "settings": adapter.manifest["settings"],
            },
            "knowledge_cutoff": None if cutoff is None else cutoff.isoformat(),
            "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
            "precision": "fp32",
            "proof": {"n": len(tokens), "max_dlogit": max_dlogit, "tolerance": MERGE_TOLERANCE},
        }
        manifest = write_manifest(scratch, manifest, sealed=True)
    return Merged(target, json_hash(manifest["files"]), manifest, max_dlogit)


def _logits(model: Any, tokens: list[list[int]]) -> list[np.ndarray]:
    import torch

    model = model.to(device())
    with torch.inference_mode():
        return [
            model(input_ids=torch.tensor([ids], device=device()), use_cache=False).logits[0].double().cpu().numpy()
            for ids in tokens
        ]
