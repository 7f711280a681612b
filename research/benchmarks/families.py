"""Every family of base through every step: tuned, saved, scored in another process, merged, and alone as in a batch.

``python -m embargo.research.benchmarks.families --write docs/families.md`` renews the table, in a few minutes. A cell
holds what stops a family from being tuned so, found before anything is loaded; or the flaws that were seen; or nothing.
"""

from __future__ import annotations

import argparse
import json
import re
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

from embargo.data_loaders.errors import ConfigError, EmbargoError
from embargo.models.bases.resolve import Base, open_base
from embargo.models.calibration.fitting import calibrated_loss
from embargo.models.export.merged import merge
from embargo.models.loading.load import (
    ONE_LENGTH,
    deterministic,
    load_classifier,
    load_tokenizer,
    quiet,
    readable_length,
)
from embargo.models.methods.cards import METHODS, check_method
from embargo.models.methods.settings import TuneSettings
from embargo.models.scorers.transformer import TransformerScorer
from embargo.models.tuning.adapters import Adapter, adapted_model, open_adapter, tune
from embargo.research.benchmarks.family_members import MEMBERS, Member, write_member

SAME_LOSS = 2e-5
SAME_LOGIT = 1e-4
_UNTIL = pd.Timestamp("2020-01-01", tz="UTC")
_COMMON = TuneSettings(
    method="lora",
    rank=4,
    dropout=0.0,
    learning_rate=1e-2,
    epochs=2,
    batch_size=8,
    warmup=0.0,
    compute="fp32",
    max_length=512,
)
WAYS: Mapping[str, TuneSettings] = {
    "lora": replace(_COMMON, target="all-linear"),
    "lora, attention": _COMMON,
    "qlora": replace(_COMMON, method="qlora", target="all-linear"),
    "full": replace(_COMMON, method="full", learning_rate=1e-3),
    "dora": replace(_COMMON, method="dora", target="all-linear"),
    "adalora": replace(_COMMON, method="adalora", target="all-linear"),
    "ia3": replace(_COMMON, method="ia3"),
    "prefix": replace(_COMMON, method="prefix"),
    "prompt": replace(_COMMON, method="prompt"),
    "ptuning": replace(_COMMON, method="ptuning"),
}
OWN_HEAD = "own head"
# What a publisher calls the rows of his classifier, and which of them are bearish, neutral and bullish.
_LABELS, _ORDER = ("positive", "negative", "neutral"), [1, 2, 0]
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
    unmerged : str or None
        Why it cannot be merged.
    merged : float or None
        Most that a logit moved in the merged model, read by transformers alone in another process; None where it
        cannot be merged. Of an own head: most that a logit differs from what transformers gives for the base.
    apart : float
        Most that a logit of a text differs alone, in other batches and in another order.
    elsewhere : float
        Most that a logit differs in another process.
    """

    refused: str | None = None
    flaws: tuple[str, ...] = ()
    unmerged: str | None = None
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


def prove(pairs: Sequence[tuple[Member, str]], folder: Path) -> dict[tuple[str, str], Proof]:
    """Take members through every step, each in its ways, and return what was found by name and way.

    Parameters
    ----------
    pairs : sequence of (Member, str)
        Each with a name of `WAYS`, or `OWN_HEAD`.
    folder : Path
        Empty; takes bases, adapters and merged models.
    """
    found: dict[tuple[str, str], Proof] = {}
    done: dict[tuple[str, str], _Tuned] = {}
    members = {member.name: member for member, _ in pairs}
    for place, member in enumerate(members.values()):
        ways = [way for other, way in pairs if other.name == member.name]
        try:
            written = write_member(member, folder / f"base{place}", TRAIN[0])
            base = open_base(written, name=member.name)
        except EmbargoError as failure:
            found |= {(member.name, way): Proof(refused=_said(failure)) for way in ways}
            continue
        for number, way in enumerate(ways):
            key, made = (member.name, way), folder / f"made{place}-{number}"
            outcome = _own_head(member, made) if way == OWN_HEAD else _here(base, member, WAYS[way], made)
            if isinstance(outcome, Proof):
                found[key] = outcome
            else:
                done[key] = outcome
    return found | _elsewhere(done, folder)


def _own_head(member: Member, folder: Path) -> Proof:
    """Read with the head that a checkpoint brings, untuned, and hold it against transformers' own reading."""
    try:
        base = open_base(write_member(member, folder / "base", TRAIN[0], labels=_LABELS), name=member.name)
        settings = TuneSettings(method="none", max_length=512, compute="fp32")
        adapter = tune(
            base,
            train_texts=(),
            train_labels=(),
            validation_texts=(),
            validation_labels=(),
            settings=settings,
            trained_until=None,
            cache_dir=folder,
        )
        logits, apart = _batches(TransformerScorer(base, adapter))
        flaws = [] if apart == 0 else [f"a text's logits depend on its batch, by {apart:.1e}"]
        away = None
        if base.architecture not in ONE_LENGTH:
            plain = _plain_logits(base.path_or_id, readable_length(load_tokenizer(base), settings.max_length))[
                :, _ORDER
            ]
            away = float(np.abs(plain - logits).max())
            if not away <= SAME_LOGIT:
                flaws.append(f"transformers gives other logits, by {away:.1e}")
    except Exception as failure:
        return Proof(flaws=(f"{type(failure).__name__}: {_said(failure)}",))
    return Proof(flaws=tuple(flaws), merged=away, apart=apart)


def _batches(scorer: TransformerScorer) -> tuple[np.ndarray, float]:
    """Return the logits of `TEXTS`, and most that one differs alone, in another order and among other texts."""
    logits = scorer.logits(TEXTS)
    backwards = scorer.logits(TEXTS[::-1])[::-1]
    alone = np.vstack([scorer.logits([text]) for text in TEXTS])
    among = scorer.logits([*samples(50, 4)[0], *TEXTS, *samples(50, 5)[0]])[50:-50]
    return logits, max(float(np.abs(other - logits).max()) for other in (backwards, alone, among))


def _here(base: Base, member: Member, settings: TuneSettings, folder: Path) -> Proof | _Tuned:
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
        flaws = _unmoved(base, member, adapter, settings)
        scorer = TransformerScorer(base, adapter)
        logits, apart = _batches(scorer)
        told = adapter.manifest["epochs"][adapter.manifest["best_epoch"] - 1]["validation_loss"]
        scored = calibrated_loss(scorer.logits(VALIDATION[0]), np.array(VALIDATION[1]))
        if not abs(told - scored) <= SAME_LOSS:
            flaws.append(f"validation loss {told:.6f} in training, {scored:.6f} as it is scored")
        if not np.ptp(logits[:12], axis=0).max() > 1e-4:
            flaws.append("all texts have the same logits")
        merged = unmerged = None
        try:
            merged = merge(base, adapter, folder / "merged").path
        except ConfigError as failure:
            unmerged = _said(failure)
    except Exception as failure:
        return Proof(flaws=(f"{type(failure).__name__}: {_said(failure)}",))
    return _Tuned(base, adapter, logits, merged, Proof(flaws=tuple(flaws), unmerged=unmerged, apart=apart))


def _said(failure: Exception) -> str:
    return " ".join(str(failure).split())


def _unmoved(base: Base, member: Member, adapter: Adapter, settings: TuneSettings) -> list[str]:
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
    still = [
        name
        for name, value in start.items()
        if name in saved and bool((saved[name] == value).all()) and not any(part in name for part in member.unread)
    ]
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
    command = [sys.executable, "-m", "embargo.research.benchmarks.families", "--score", str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - this very module
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
            length = json.loads((Path(job["merged"]) / "manifest.json").read_text(encoding="utf-8"))["max_length"]
            np.save(folder / f"merged{place}.npy", _plain_logits(job["merged"], length))


def _plain_logits(folder: str, length: int) -> np.ndarray:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with quiet():
        model: Any = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).eval()
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    rows = []
    with torch.inference_mode():
        for text in TEXTS:
            ids = torch.tensor([tokenizer(text, truncation=True, max_length=length)["input_ids"]])
            rows.append(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].double().numpy())
    return np.array(rows)


def document() -> str:
    """Take every member through every step and return the page."""
    main = ("lora", "lora, attention", "qlora", "full", OWN_HEAD)
    rare = tuple(way for way in WAYS if way not in main)
    with tempfile.TemporaryDirectory() as folder:
        pairs = [(member, way) for member in MEMBERS for way in (*main, *(rare if member.asked else ()))]
        found = prove(pairs, Path(folder))
    return page(found)


def page(found: Mapping[tuple[str, str], Proof]) -> str:
    """Return the page of what was found."""
    names = list(dict.fromkeys(name for name, _ in found))
    order = [member.name for member in MEMBERS if member.name in names]
    ways = [way for way in (*WAYS, OWN_HEAD) if any((name, way) in found for name in names)]
    reasons: dict[str, int] = {}
    rows, flaws = [], []
    for name in order:
        cells = [_cell(found.get((name, way)), reasons) for way in ways]
        proofs = [found[name, way] for way in ways if (name, way) in found]
        merged = [one.merged for one in proofs if one.merged is not None]
        figures = f"{max(merged):.0e}" if merged else ""
        rows.append(f"| {name} | {_architecture(name)} | {' | '.join(cells)} | {figures} |")
        flaws += [f"- {name}, {way}: {one}" for way in ways if (name, way) in found for one in found[name, way].flaws]
    tried = [one for one in found.values() if one.refused is None]
    return _PAGE.format(
        heads=" | ".join(ways),
        rule=" --- |" * len(ways),
        rows="\n".join(rows),
        reasons="\n".join(f"{number}. {reason}" for reason, number in reasons.items()),
        flaws="\n".join(flaws) or "None.",
        unread="; ".join(f"{', '.join(one.unread)} of {one.name}" for one in MEMBERS if one.unread),
        tried=len(tried),
        refused=len(found) - len(tried),
        whole=sum(not one.flaws for one in tried),
        apart=max((one.apart for one in tried), default=0.0),
        elsewhere=max((one.elsewhere for one in tried), default=0.0),
        versions=", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "peft", "bitsandbytes")),
    )


def _architecture(name: str) -> str:
    return f"`{next(member.model_type for member in MEMBERS if member.name == name)}`"


def _cell(proof: Proof | None, reasons: dict[str, int]) -> str:
    if proof is None:
        return ""
    if proof.flaws:
        return "**flaw**"
    said = proof.refused or (proof.unmerged if proof.unmerged and "cannot be merged" not in proof.unmerged else None)
    if said is None:
        return "yes"
    number = reasons.setdefault(_plain_reason(said), len(reasons) + 1)
    return f"{'no' if proof.refused else 'yes, not merged'} ({number})"


def _plain_reason(said: str) -> str:
    """Return a refusal without the name and the place of the base, which differ from row to row."""
    said = re.sub(r"^base '[^']*'( \([\w-]+\))?:? ?(cannot be (tuned|read) with method '\w+': )?", "", said)
    said = re.sub(r"(of )?architecture '[\w-]+' (\([^)]*\) )?", "", said).removeprefix("is refused: ")
    return re.sub(r" (Choose|Score) .*$", "", said)


_PAGE = """\
# Families of bases

Made by `python -m embargo.research.benchmarks.families --write docs/families.md` with {versions}.

A tiny member of each family, random weights in the shapes and names of the real checkpoint, is tuned for two passes on
32 made headlines, saved, scored here and in another process, merged, and read by transformers alone. A cell says
`yes` where all of this holds: every weight that is trained has moved and is saved (but for those that no logit depends
on: {unread}); the validation loss of the kept pass is that of the
scored logits; a text has the same logits alone, among others and in another order, and in the other process, to the
bit; and the merged model gives them to 1e-4. `own head` reads with a classifier that the
checkpoint brings, rows in another order, untuned, and holds it against transformers. `no` is refused by name before
anything is loaded. Methods that leave no weights to merge (prefix, prompt, ptuning) are not merged. Empty cells were
not tried. Methods are named as in `tuning.method`; `lora` adapts all linear layers.

{tried} pairs were tried, {refused} refused; all of it holds for {whole}. Over all of them a text's logits differ by at
most {apart:g} between batches and by at most {elsewhere:g} between processes. The last column is the most that a logit
differs where transformers reads the merged folder, or the own head, by itself, unpadded.

| family | architecture | {heads} | by itself |
| --- | --- |{rule} --- |
{rows}

Why not:

{reasons}

Flaws:

{flaws}
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Print or write the page; the exit status is 1 if anything that was tried has a flaw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="file to renew")
    parser.add_argument("--score", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.score is not None:
        _score(options.score)
        return 0
    text = document()
    if options.write is None:
        Console().print(text, markup=False)
    else:
        options.write.write_text(text, encoding="utf-8")
    return 1 if "**flaw**" in text else 0


if __name__ == "__main__":
    sys.exit(main())
