"""Write a tuned model as ONNX that scores without torch, in full precision or in 8 bits, and keep it for a run.

What is written is read back and compared with the original on probe texts before it gets its name, so that a folder
either exists whole, with the proof in its manifest, or not at all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from embargo.data_loaders.errors import ConfigError, DataError, LeakError
from embargo.models.bases.resolve import Base
from embargo.models.calibration.fitting import Calibration
from embargo.models.content import (
    folder_name,
    made_once,
    new_folder,
    text_hash,
    texts_fingerprint,
    write_manifest,
)
from embargo.models.export.graph import OPSET, check_exportable, quantise, write_graph, write_tokenizer
from embargo.models.export.merged import origin_of
from embargo.models.export.probes import PROBE_TEXTS
from embargo.models.loading.batches import LENGTH_STEP
from embargo.models.loading.load import encode, load_tokenizer, readable_length
from embargo.models.methods.cards import METHODS
from embargo.models.methods.settings import Method
from embargo.models.scorer import Runtime, Scorer
from embargo.models.scorers.onnx import MODEL, ONNX, TOKENIZER, OnnxScorer, require
from embargo.models.scorers.transformer import TransformerScorer, merged_model
from embargo.models.tuning.adapters import Adapter

Precision = Literal["fp32", "int8"]

ONNX_TOLERANCE = 1e-4
# ONNX Runtime multiplies a single row in another order than several: where a head sees one row per text, a text by
# itself is scored twice over.
SMALLEST_BATCHES = (1, 2)
RECORDED = 8
# Training texts that int8 takes its scales from.
SCALE_TEXTS = 256
SINGLE_CALLS = 100
BULK_TEXTS = 256


@dataclass(frozen=True)
class Agreement:
    """How far an exported model agrees with the original on probe texts.

    Attributes
    ----------
    reference : str
        The original's arithmetic, ``"torch fp32"`` or ``"torch bf16"``.
    n : int
        Texts compared.
    labels_equal : float
        Share of texts with the same most probable class.
    max_dp, mean_dp : float
        Absolute difference of a calibrated probability, over texts and classes.
    max_dlogit : float
        Absolute difference of a logit.

    Examples
    --------
    >>> from embargo.models.export import Agreement
    >>> Agreement("torch fp32", 16, 1.0, max_dp=1e-6, mean_dp=2e-7, max_dlogit=4e-6).labels_equal
    1.0
    """

    reference: str
    n: int
    labels_equal: float
    max_dp: float
    mean_dp: float
    max_dlogit: float


@dataclass(frozen=True)
class Speed:
    """How fast a scorer was here; of this machine and moment.

    Attributes
    ----------
    single_p50_ms, single_p99_ms : float
        Milliseconds for one text by itself.
    texts_per_s : float
        Texts a second when many are given at once.
    n : int
        Texts of the latter measurement.

    Examples
    --------
    >>> from embargo.models.export import Speed
    >>> Speed(single_p50_ms=4.0, single_p99_ms=5.0, texts_per_s=800.0, n=256).texts_per_s
    800.0
    """

    single_p50_ms: float
    single_p99_ms: float
    texts_per_s: float
    n: int


@dataclass(frozen=True)
class OnnxExport:
    """An exported model on disk; ``OnnxScorer(path)`` scores with it.

    Attributes
    ----------
    path : Path
    identity : str
        Of the scorer.
    manifest : dict
        As written; ``agreement`` is in it, speed is not.
    agreement : tuple of Agreement
        Against the original in fp32, then, where the original scores in another arithmetic, against that.
    speed, original_speed : Speed
        Of the export, and of the original in the arithmetic it scores in.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.models import OnnxExport
    >>> from embargo.models.export import Speed
    >>> speed = Speed(single_p50_ms=4.0, single_p99_ms=5.0, texts_per_s=800.0, n=256)
    >>> OnnxExport(Path("export"), "9c0e", {"precision": "fp32"}, (), speed, speed).manifest["precision"]
    'fp32'
    """

    path: Path
    identity: str
    manifest: dict[str, Any]
    agreement: tuple[Agreement, ...]
    speed: Speed
    original_speed: Speed


def export_onnx(
    base: Base,
    adapter: Adapter,
    calibration: Calibration,
    folder: str | Path,
    *,
    precision: Precision,
    calibration_texts: Sequence[str] | None = None,
    probe_texts: Sequence[str] = PROBE_TEXTS,
    clock: Callable[[], float] = time.perf_counter,
) -> OnnxExport:
    """Write the merged model as ONNX with its tokenizer, and measure it against the original.

    Parameters
    ----------
    base : Base
    adapter : Adapter
        Tuned on this base, with a method that can be merged.
    calibration : Calibration
        Of this adapter; the exported scorer carries it.
    folder : str or Path
        Must not exist yet.
    precision : {"fp32", "int8"}
        ``int8`` multiplies 8-bit weights (one scale per output channel) with 8-bit activations, whose scales are fixed
        from ``calibration_texts``. They are never taken from the batch at hand, which would make a text's logits depend
        on its neighbours.
    calibration_texts : sequence of str, optional
        For ``int8``: some hundred of the adapter's training texts.
    probe_texts : sequence of str
        On which the two are compared and timed.
    clock : callable
        Seconds from any origin.

    Returns
    -------
    OnnxExport

    Raises
    ------
    ConfigError
        If the folder exists, the adapter belongs to another base, its method cannot be merged, the architecture cannot
        be exported or is too large for one file, or ``int8`` has no calibration texts.
    LeakError
        If a calibration text is none of the adapter's training texts.
    MissingPartError
        If ONNX or ONNX Runtime is not installed, or the tokenizer has no single-file form.
    DataError
        If the adapter's files were changed, fp32 logits move by more than ``ONNX_TOLERANCE``, a text's logits depend on
        its batch mates, or texts are cut differently than in tuning.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.models import Adapter, Base, Calibration, export_onnx
    >>> base = Base("mine", "/models/mine", "encoder", None, "not documented", weights_hash="ab12")
    >>> tuned_on = {"base": {"name": "other", "weights_hash": "cd34"}, "settings": {"method": "lora"}}
    >>> adapter = Adapter(Path("cache/adapters/adapter-1f"), "9c0e", tuned_on, ())
    >>> export_onnx(base, adapter, Calibration(), "export", precision="int8")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: export in int8 needs calibration_texts. Give some hundred ...
    """
    target = Path(folder)
    scale_texts = _check_calibration_texts(adapter, precision, calibration_texts)
    with new_folder(target) as scratch:
        exported, manifest, agreement = _write_onnx(
            base, adapter, calibration, scratch, precision, scale_texts, probe_texts
        )
        speed = measure_speed(exported, exported, probe_texts, clock)
        one_by_one, original = TransformerScorer(base, adapter, token_budget=1), TransformerScorer(base, adapter)
        original_speed = measure_speed(one_by_one, original, probe_texts, clock)
    return OnnxExport(target, exported.identity, manifest, agreement, speed, original_speed)


def exported_scorer(
    base: Base, adapter: Adapter, *, precision: Precision, calibration_texts: Sequence[str], cache_dir: Path
) -> OnnxScorer:
    """Return a scorer of the adapter's ONNX export, written where it is not in the cache yet.

    Its own calibration is none: fit one on its logits, which in ``int8`` are not torch's.

    Parameters
    ----------
    base : Base
    adapter : Adapter
        Tuned on this base, with a method that can be merged.
    precision : {"fp32", "int8"}
    calibration_texts : sequence of str
        The adapter's training texts; ``int8`` takes its scales from `SCALE_TEXTS` of them, picked by their hashes, so
        that neither order nor repetition matters. ``fp32`` needs none.
    cache_dir : Path

    Raises
    ------
    As `export_onnx`; DataError if a file in the cache was changed.
    """
    require_onnx()
    chosen = sorted(set(calibration_texts), key=text_hash)[:SCALE_TEXTS] if precision == "int8" else None
    key = {
        "base": base.weights_hash,
        "adapter": adapter.identity,
        "precision": precision,
        "calibration_texts": texts_fingerprint(chosen or ()),
        "versions": {name: version(name) for name in ("torch", "transformers", "onnx", "onnxruntime")},
    }
    target = Path(cache_dir) / folder_name("onnx", key)

    def make(scratch: Path) -> None:
        scale_texts = _check_calibration_texts(adapter, precision, chosen)
        _write_onnx(base, adapter, Calibration(), scratch, precision, scale_texts, PROBE_TEXTS)

    made_once(target, make)
    return OnnxScorer(target)


def check_runtime(runtime: Runtime, base: Base | None = None, method: Method | None = None) -> None:
    """Refuse a way to score that this machine, base or method does not allow, before anything is tuned.

    Raises
    ------
    MissingPartError
        If ONNX Runtime or a package that writes for it is not installed.
    ConfigError
        If the runtime is unknown, or the base or what the method tunes cannot be exported.
    """
    if runtime not in get_args(Runtime):
        raise ConfigError(f"model.scorer {runtime!r} is unknown. Choose one of {list(get_args(Runtime))}.")
    if runtime in ("torch", "auto"):
        return
    require_onnx()
    if base is not None:
        check_exportable(base)
    if method == "none" and runtime == "onnx-int8":
        raise ConfigError(
            "model.scorer 'onnx-int8' takes its scales from training texts, and method 'none' has none. Score with "
            "'onnx' or 'torch'."
        )
    if method is not None and not METHODS[method].mergeable:
        able = [name for name, card in METHODS.items() if card.mergeable]
        raise ConfigError(
            f"model.scorer {runtime!r} needs an adapter that can be merged, which {method!r} gives none. Score with "
            f"'torch', or tune with one of {able}."
        )


def runtime_scorer(
    runtime: Runtime, base: Base, adapter: Adapter, *, training_texts: Sequence[str], cache_dir: Path
) -> TransformerScorer | OnnxScorer:
    """Return the scorer of a tuned adapter that a runtime names; see `exported_scorer` for the ONNX ones.

    ``auto`` is to be chosen before, see `choice.choose_runtime`.
    """
    check_runtime(runtime, base, adapter.manifest["settings"]["method"])
    if runtime == "torch":
        return TransformerScorer(base, adapter)
    precision: Precision = "int8" if runtime == "onnx-int8" else "fp32"
    return exported_scorer(base, adapter, precision=precision, calibration_texts=training_texts, cache_dir=cache_dir)


def require_onnx() -> None:
    """Refuse to go on without what an export takes.

    Raises
    ------
    MissingPartError
        Naming the package and the extra.
    """
    for package in ("onnx", "onnxruntime", "tokenizers"):
        require(package)


def _write_onnx(
    base: Base,
    adapter: Adapter,
    calibration: Calibration,
    scratch: Path,
    precision: Precision,
    scale_texts: list[str],
    probe_texts: Sequence[str],
) -> tuple[OnnxScorer, dict[str, Any], tuple[Agreement, ...]]:
    """Fill a folder with the export, and prove it against the original; what `export_onnx` refuses is raised here."""
    require_onnx()
    check_exportable(base)
    write_graph(merged_model(base, adapter, "fp32"), scratch / MODEL)
    tokenizer = load_tokenizer(base)
    max_length = readable_length(tokenizer, int(adapter.manifest["settings"]["max_length"]))
    write_tokenizer(base, tokenizer, scratch / TOKENIZER)
    if precision == "int8":
        quantise(scratch / MODEL, encode(tokenizer, scale_texts, max_length), tokenizer.pad_token_id)
    manifest = {
        **origin_of(base, adapter, calibration, ("torch", "transformers", "peft", "onnx", "onnxruntime")),
        "kind": ONNX,
        "precision": precision,
        "opset": OPSET,
        "max_length": max_length,
        "pad_token_id": int(tokenizer.pad_token_id),
        "padding_step": LENGTH_STEP,
        "truncation_side": tokenizer.truncation_side,
        "calibration_texts": {"n": len(scale_texts), "fingerprint": texts_fingerprint(scale_texts)},
        "recorded": {"texts": [], "logits": []},
    }
    exported, ours = _independent(scratch, manifest, probe_texts)
    if exported.encode(probe_texts) != encode(tokenizer, probe_texts, max_length):
        raise DataError(f"export of base {base.name!r}: its tokenizer file cuts probe texts differently.")
    original = TransformerScorer(base, adapter)
    references = {"torch fp32": TransformerScorer(base, adapter, compute="fp32")}
    if original.identity != references["torch fp32"].identity:
        references["torch bf16"] = original
    agreement = tuple(
        compare(ours, scorer.logits(probe_texts), calibration, reference=name) for name, scorer in references.items()
    )
    _check_agreement(base, precision, agreement[0])
    texts, logits = list(probe_texts[:RECORDED]), ours[:RECORDED].tolist()
    manifest |= {
        "agreement": [asdict(one) for one in agreement],
        "recorded": {"texts": texts, "logits": logits},
    }
    return exported, write_manifest(scratch, manifest, sealed=True), agreement


def compare(ours: np.ndarray, theirs: np.ndarray, calibration: Calibration, *, reference: str) -> Agreement:
    """Compare the logits, shape (n, 3), of an export and of the original it was made from."""
    apart = np.abs(calibration.apply(ours) - calibration.apply(theirs))
    return Agreement(
        reference=reference,
        n=len(ours),
        labels_equal=float((ours.argmax(axis=1) == theirs.argmax(axis=1)).mean()),
        max_dp=float(apart.max()),
        mean_dp=float(apart.mean()),
        max_dlogit=float(np.abs(ours - theirs).max()),
    )


def measure_speed(single: Scorer, bulk: Scorer, texts: Sequence[str], clock: Callable[[], float]) -> Speed:
    """Time one text by itself a hundred times, and then 256 or more at once.

    Parameters
    ----------
    single, bulk : Scorer
        The same model; a scorer with fixed batch shapes has one of its own for single texts.
    texts : sequence of str
        Repeated as often as it takes.
    clock : callable
        Seconds from any origin.
    """
    single.logits(texts[:1])
    times = []
    for call in range(SINGLE_CALLS):
        start = clock()
        single.logits([texts[call % len(texts)]])
        times.append(1000 * (clock() - start))
    many = list(texts) * math.ceil(BULK_TEXTS / len(texts))
    bulk.logits(texts)
    start = clock()
    bulk.logits(many)
    taken = clock() - start
    p50, p99 = np.percentile(times, [50, 99])
    return Speed(float(p50), float(p99), len(many) / taken if taken > 0 else math.inf, len(many))


def _check_calibration_texts(adapter: Adapter, precision: Precision, texts: Sequence[str] | None) -> list[str]:
    if precision == "fp32":
        if texts is not None:
            raise ConfigError("export in fp32 has no scales to fit. Leave calibration_texts out.")
        return []
    if precision != "int8":
        raise ConfigError(f"export precision must be 'fp32' or 'int8', got {precision!r}.")
    if not texts:
        raise ConfigError("export in int8 needs calibration_texts. Give some hundred of the adapter's training texts.")
    trained_on = set(adapter.train_text_hashes)
    strange = [text for text in texts if text_hash(text) not in trained_on]
    if strange:
        raise LeakError(
            f"export in int8: {len(strange)} of {len(texts)} calibration texts are no training texts of adapter "
            f"{adapter.path.name}, first {strange[0][:60]!r}. Scales may only know what the adapter knew."
        )
    return list(texts)


def _check_agreement(base: Base, precision: Precision, found: Agreement) -> None:
    limit = ONNX_TOLERANCE if precision == "fp32" else math.inf
    if not (math.isfinite(found.max_dlogit) and found.max_dlogit <= limit):
        raise DataError(
            f"export of base {base.name!r} in {precision}: a logit of a probe text moves by {found.max_dlogit:.2g}, "
            f"more than {limit:g}. Score with torch."
        )


def _independent(folder: Path, manifest: dict[str, Any], texts: Sequence[str]) -> tuple[OnnxScorer, np.ndarray]:
    """Open the export with the smallest batch at which no logit of the texts depends on batch mates."""
    for smallest in SMALLEST_BATCHES:
        write_manifest(folder, manifest | {"smallest_batch": smallest}, sealed=True)
        scorer = OnnxScorer(folder)
        together = scorer.logits(texts)
        alone = np.vstack([scorer.logits([text]) for text in texts])
        if np.array_equal(together, alone):
            manifest["smallest_batch"] = smallest
            return scorer, together
    raise DataError(
        f"export: logits depend on batch mates (by {np.abs(together - alone).max():.2g}) in ONNX Runtime on this "
        "machine. Score with torch."
    )
