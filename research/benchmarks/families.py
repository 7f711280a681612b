"""Every family of base through every step: tuned, saved, scored in another process, merged, and alone as in a batch.

``python -m embargo.research.benchmarks.families --write docs/families.md`` renews the table, in a few minutes. A cell
holds what stops a family from being tuned so, found before anything is loaded; or the flaws that were seen; or nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from embargo.data_loaders.errors import EmbargoError
from embargo.models.bases.resolve import Base, open_base
from embargo.models.calibration.fitting import calibrated_loss
from embargo.models.export.merged import merge
from embargo.models.loading.load import deterministic, load_classifier
from embargo.models.methods.cards import METHODS, check_method
from embargo.models.methods.settings import TuneSettings
from embargo.models.scorers.transformer import TransformerScorer
from embargo.models.tuning.adapters import Adapter, adapted_model, open_adapter, tune
from embargo.research.benchmarks.family_members import MEMBERS, Member, write_member

SAME_LOSS = 2e-5
SAME_LOGIT = 1e-4
_UNTIL = pd.Timestamp("2020-01-01", tz="UTC")
_COMMON = {"rank": 4, "dropout": 0.0, "epochs": 2, "batch_size": 8, "warmup": 0.0, "compute": "fp32", "max_length": 512}
WAYS: Mapping[str, TuneSettings] = {
    "lora": TuneSettings(method="lora", target="all-linear", learning_rate=1e-2, **_COMMON),
    "lora, attention": TuneSettings(method="lora", learning_rate=1e-2, **_COMMON),
    "qlora": TuneSettings(method="qlora", target="all-linear", learning_rate=1e-2, **_COMMON),
    "full": TuneSettings(method="full", learning_rate=1e-3, **_COMMON),
    "dora": TuneSettings(method="dora", target="all-linear", learning_rate=1e-2, **_COMMON),
    "adalora": TuneSettings(method="adalora", target="all-linear", learning_rate=1e-2, **_COMMON),
    "ia3": TuneSettings(method="ia3", learning_rate=1e-2, **_COMMON),
    "prefix": TuneSettings(method="prefix", learning_rate=1e-2, **_COMMON),
    "prompt": TuneSettings(method="prompt", learning_rate=1e-2, **_COMMON),
    "ptuning": TuneSettings(method="ptuning", learning_rate=1e-2, **_COMMON),
}
_NAMES = ("Altera", "Borcor", "Centek", "Dynvia", "Elysys", "Forera")
_VERBS = (("misses", "cuts", "warns of"), ("presents", "files", "schedules"), ("beats", "raises", "lifts"))
_THINGS = ("guidance", "earnings", "sales", "its outlook", "margins", "orders")


@dataclass(frozen=True)
class Proof:
    """What was found of a member and a way to tune it.

    Attributes
    ----------
    refused : str or None
        Why it is refused before anything is loaded.
    flaws : tuple of str
        What went wrong after that; empty where everything held.
    merged : float or None
        Most that a logit moved in the merged model, read by transformers alone in another process; None where the
        method cannot be merged.
    apart : float
        Most that a logit of a text differs alone, in other batches and in another order.
    elsewhere : float
        Most that a logit differs in another process.
    """

    refused: str | None = None
    flaws: tuple[str, ...] = ()
    merged: float | None = None
    apart: float = 0.0
    elsewhere: float = 0.0


def samples(n: int, seed: int) -> tuple[list[str], list[int]]:
    """Return n made headlines and their classes, in which the verb decides."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n).tolist()
    texts = [
        f"{rng.choice(_NAMES)} {rng.choice(_VERBS[label])} {rng.choice(_THINGS)}"
        + f" and {rng.choice(_NAMES)} spoke of {rng.choice(_THINGS)}" * int(rng.integers(0, 3))
        for label in labels
    ]
    return texts, labels


TRAIN, VALIDATION = samples(32, 1), samples(12, 2)
# Each length, the shortest text there is, and one that is cut.
TEXTS = [*samples(12, 3)[0], "x", "Altera " * 400]


@dataclass(frozen=True)
class _Tuned:
    """A member that was tuned, its logits here, and the folder of its merged model."""

    base: Base
    adapter: Adapter
    logits: np.ndarray
    merged: Path | None
    proof: Proof


def prove(members: Sequence[Member], ways: Sequence[str], folder: Path) -> dict[tuple[str, str], Proof]:
    """Take members through every step, each in every way, and return what was found by name and way.

    Parameters
    ----------
    members : sequence of Member
    ways : sequence of str
        Names of `WAYS`.
    folder : Path
        Empty; takes bases, adapters and merged models.
    """
    found: dict[tuple[str, str], Proof] = {}
    done: dict[tuple[str, str], _Tuned] = {}
    for place, member in enumerate(members):
        try:
            written = write_member(member, folder / f"base{place}", TRAIN[0])
            base = open_base(written, name=member.name)
        except EmbargoError as failure:
            found |= {(member.name, way): Proof(refused=_said(failure)) for way in ways}
            continue
        for number, way in enumerate(ways):
            key = (member.name, way)
            outcome = _here(base, WAYS[way], folder / f"made{place}-{number}")
            if isinstance(outcome, Proof):
                found[key] = outcome
            else:
                done[key] = outcome
    return found | _elsewhere(done, folder)


def _here(base: Base, settings: TuneSettings, folder: Path) -> Proof | _Tuned:
    try:
        check_method(settings.method, base, settings.target)
    except EmbargoError as failure:
        return Proof(refused=_said(failure))
    try:
        adapter = tune(
            base,
            train_texts=TRAIN[0],
            train_labels=TRAIN[1],
            validation_texts=VALIDATION[0],
            validation_labels=VALIDATION[1],
            settings=settings,
            trained_until=_UNTIL,
            cache_dir=folder,
        )
        flaws = [*_unmoved(base, adapter, settings)]
        scorer = TransformerScorer(base, adapter)
        logits = scorer.logits(TEXTS)
        told = adapter.manifest["epochs"][adapter.manifest["best_epoch"] - 1]["validation_loss"]
        scored = calibrated_loss(scorer.logits(VALIDATION[0]), np.array(VALIDATION[1]))
        if not abs(told - scored) <= SAME_LOSS:
            flaws.append(f"validation loss {told:.6f} in training, {scored:.6f} as it is scored")
        if not np.ptp(logits[:12], axis=0).max() > 1e-4:
            flaws.append("all texts have the same logits")
        backwards = scorer.logits(TEXTS[::-1])[::-1]
        alone = np.vstack([scorer.logits([text]) for text in TEXTS])
        among = scorer.logits([*samples(50, 4)[0], *TEXTS, *samples(50, 5)[0]])[50:-50]
        apart = max(float(np.abs(other - logits).max()) for other in (backwards, alone, among))
        merged = None
        if METHODS[settings.method].mergeable:
            merged = merge(base, adapter, folder / "merged").path
    except Exception as failure:
        return Proof(flaws=(f"{type(failure).__name__}: {_said(failure)}",))
    return _Tuned(base, adapter, logits, merged, Proof(flaws=tuple(flaws), apart=apart))


def _said(failure: Exception) -> str:
    return " ".join(str(failure).split())


def _unmoved(base: Base, adapter: Adapter, settings: TuneSettings) -> list[str]:
    """Return what is trained but did not move, and what moved but was not saved."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import load_file

    if settings.method == "full":
        with deterministic(0):
            tuned, _ = load_classifier(base, method="full", compute="fp32", saved=adapter.path)
        saved = tuned.state_dict()
    else:
        saved = load_file(adapter.path / "adapter_model.safetensors")
    with deterministic(settings.seed):
        model = adapted_model(base, settings, "fp32", steps=8)
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    if settings.method == "full":
        start = {name: value for name, value in model.state_dict().items() if name in trained}
    else:
        start = get_peft_model_state_dict(model, save_embedding_layers=False)
    flaws = []
    lost = sorted(set(start) - set(saved))
    if METHODS[settings.method].change != "prompt":
        plain = {_as_saved(name) for name in trained}
        lost += sorted(plain - set(saved))
    if lost:
        flaws.append(f"{len(lost)} trained tensors are not saved, such as {lost[0]}")
    still = [name for name, value in start.items() if name in saved and bool((saved[name] == value).all())]
    if still:
        flaws.append(f"{len(still)} of {len(start)} tensors that are trained did not move, such as {still[0]}")
    return flaws


def _as_saved(name: str) -> str:
    plain = name.replace(".modules_to_save", "").replace(".default", "")
    return plain.removesuffix(".weight") if plain.endswith("lora_magnitude_vector.weight") else plain


def _elsewhere(done: Mapping[tuple[str, str], _Tuned], folder: Path) -> dict[tuple[str, str], Proof]:
    """Score everything once more in one new process, and hold it against the logits that were found here."""
    if not done:
        return {}
    jobs = [
        {"base": one.base.path_or_id, "adapter": str(one.adapter.path), "merged": one.merged and str(one.merged)}
        for one in done.values()
    ]
    (folder / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    command = [sys.executable, "-m", __spec__.name if __spec__ else __name__, "--score", str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    found = {}
    for place, (key, one) in enumerate(done.items()):
        flaws, merged, away = list(one.proof.flaws), None, float("nan")
        try:
            again = np.load(folder / f"scored{place}.npy")
            away = float(np.abs(again - one.logits).max())
            if one.merged is not None:
                merged = float(np.abs(np.load(folder / f"merged{place}.npy") - one.logits).max())
        except OSError:
            flaws.append(f"another process did not score it: {ran.stderr.strip()[-300:]}")
        if away > 0:
            flaws.append(f"another process scores it otherwise, by {away:.1e}")
        if one.proof.apart > 0:
            flaws.append(f"a text's logits depend on its batch, by {one.proof.apart:.1e}")
        if merged is not None and not merged <= SAME_LOGIT:
            flaws.append(f"merged it gives other logits, by {merged:.1e}")
        found[key] = replace(one.proof, flaws=tuple(flaws), merged=merged, elsewhere=away)
    return found


def _score(folder: Path) -> None:
    """Score what the other process tuned, by this product and, where it was merged, by transformers alone."""
    for place, job in enumerate(json.loads((folder / "jobs.json").read_text(encoding="utf-8"))):
        base = open_base(Path(job["base"]), name="again")
        logits = TransformerScorer(base, open_adapter(Path(job["adapter"]))).logits(TEXTS)
        np.save(folder / f"scored{place}.npy", logits)
        if job["merged"] is not None:
            np.save(folder / f"merged{place}.npy", _plain_logits(job["merged"]))


def _plain_logits(folder: str) -> np.ndarray:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    length = json.loads((Path(folder) / "manifest.json").read_text(encoding="utf-8"))["max_length"]
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    rows = []
    with torch.inference_mode():
        for text in TEXTS:
            ids = torch.tensor([tokenizer(text, truncation=True, max_length=length)["input_ids"]])
            rows.append(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].double().numpy())
    return np.array(rows)


if __name__ == "__main__":
    if sys.argv[1] == "--score":
        _score(Path(sys.argv[2]))
