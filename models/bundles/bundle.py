"""Model folders: a tuned adapter with its calibration, its model card and the hashes of what it was trained on.

A folder is written to a temporary place and renamed, and every file in it is checked each time it is opened. The base
is not in it, being large and its publisher's; it is found again by name and must have the weights that were tuned on.
Only the built-in base, which nobody else can give, lies in the folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from embargo.data_loaders.errors import ConfigError, MissingPartError
from embargo.models.bases.folders import understood
from embargo.models.bases.resolve import BUILT_IN, Base, open_base, resolve_base
from embargo.models.bundles.card import model_card
from embargo.models.bundles.tuned_folder import (
    ADAPTER,
    BASE,
    BUNDLE,
    CARD,
    INSTRUCT,
    VALIDATION_TEXTS,
    check_adapter,
    check_kind,
    kind_of,
    put_adapter,
    read_hashes,
    write_hashes,
)
from embargo.models.calibration.fitting import Calibration
from embargo.models.content import (
    MANIFEST,
    new_folder,
    read_sealed,
    text_hash,
    write_manifest,
)
from embargo.models.scorer import Runtime, Scorer, later_cutoff
from embargo.models.scorers.lexicon import LexiconScorer
from embargo.models.scorers.onnx import ONNX, OnnxScorer, identity_of
from embargo.models.scorers.transformer import TransformerScorer
from embargo.models.tuning.adapters import Adapter, open_adapter

CALIBRATION = "calibration.json"
TRAIN_TEXTS = "train_text_hashes.txt"
# Beside an exported model: what an export cannot say of itself.
TRAINING = "training"
DECLARED = "declared in the configuration"


@dataclass(frozen=True)
class Bundle:
    """A model folder, opened and checked.

    Attributes
    ----------
    path : Path
    manifest : dict
        ``name, base, model`` (the manifest of `embargo.models.fitting.fit_scorer`), ``data, metrics, versions, files``
        and more; `embargo.models.bundles.card` shows it.
    train_text_hashes, validation_text_hashes : frozenset of str
        sha256 of each distinct text that it was trained on, and calibrated and stopped on.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.models import Bundle
    >>> Bundle(Path("models/first"), {"name": "first"}, frozenset({"ab12"}), frozenset()).manifest["name"]
    'first'
    """

    path: Path
    manifest: dict[str, Any]
    train_text_hashes: frozenset[str]
    validation_text_hashes: frozenset[str]


@dataclass(frozen=True)
class ModelReader:
    """A model that can read: what scores, what calibrates, and what both have seen.

    Attributes
    ----------
    name : str
    scorer : Scorer
    calibration : Calibration
    knowledge_cutoff : Timestamp or None
        Latest instant that anything in it could know, UTC; None if unknown.
    train_text_hashes, validation_text_hashes : frozenset of str or None
        None where they are not known.
    exposures : tuple of str
        Labelled sets that the base was tuned on by its publisher.
    base, adapter : Base and Adapter, or None
        What can be exported; None for a lexicon and for an export.

    Examples
    --------
    >>> from embargo.models import Calibration, LexiconScorer, ModelReader
    >>> words = LexiconScorer()
    >>> reader = ModelReader(
    ...     "words", words, Calibration(), words.knowledge_cutoff, frozenset(), frozenset(), (), None, None
    ... )
    >>> reader.calibration.apply(reader.scorer.logits(["A lawsuit."])).round(2).tolist()
    [[0.29, 0.41, 0.29]]
    """

    name: str
    scorer: Scorer
    calibration: Calibration
    knowledge_cutoff: pd.Timestamp | None
    train_text_hashes: frozenset[str] | None
    validation_text_hashes: frozenset[str] | None
    exposures: tuple[str, ...]
    base: Base | None
    adapter: Adapter | None


def write_bundle(
    folder: Path,
    *,
    base: Base,
    adapter: Adapter,
    calibration: Calibration,
    facts: Mapping[str, Any],
    validation_texts: Iterable[str],
) -> Bundle:
    """Write a model folder with its card, whole or not at all.

    Parameters
    ----------
    folder : Path
        Must not exist yet.
    base : Base
    adapter : Adapter
        Tuned on this base.
    calibration : Calibration
    facts : mapping, JSON-able
        Further entries of the manifest; `embargo.models.bundles.card.model_card` says which ones the card shows.
    validation_texts : iterable of str
        What the calibration was fitted on. Only hashes are kept of them and of the training texts.

    Returns
    -------
    Bundle
        The folder, opened again.

    Raises
    ------
    ConfigError
        If the folder exists.
    DataError
        If the adapter's files are not as they were written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from embargo.models import Adapter, Base, Calibration, write_bundle
    >>> base = Base("mine", "/models/mine", "encoder", None, "not documented", weights_hash="ab12")
    >>> tuned_on = {"base": {"name": "other", "weights_hash": "cd34"}, "settings": {"method": "lora"}}
    >>> adapter = Adapter(Path("cache/adapters/adapter-1f"), "9c0e", tuned_on, ())
    >>> with tempfile.TemporaryDirectory() as taken:  # doctest: +ELLIPSIS
    ...     write_bundle(
    ...         Path(taken), base=base, adapter=adapter, calibration=Calibration(), facts={}, validation_texts=[]
    ...     )
    Traceback (most recent call last):
        ...
    embargo.models.content.TakenError: ... exists already. Name another, or delete this one.
    """
    with new_folder(folder) as draft:
        copied = put_adapter(draft, base, adapter)
        (draft / CALIBRATION).write_text(json.dumps(calibration.to_dict(), indent=1) + "\n", encoding="utf-8")
        write_hashes(draft / TRAIN_TEXTS, adapter.train_text_hashes)
        write_hashes(draft / VALIDATION_TEXTS, sorted({text_hash(text) for text in validation_texts}))
        manifest = {**facts, "kind": BUNDLE, **copied, "calibration": calibration.to_dict()}
        (draft / CARD).write_text(model_card(manifest), encoding="utf-8")
        write_manifest(draft, manifest, sealed=True)
    return open_bundle(folder)


def open_bundle(folder: Path) -> Bundle:
    """Open a model folder and check every file in it.

    Parameters
    ----------
    folder : Path
        As `write_bundle` wrote it.

    Returns
    -------
    Bundle

    Raises
    ------
    MissingPartError
        If there is no such folder.
    DataError
        If it is no model folder, a file is missing or differs from what was written, is a pickle or leads elsewhere.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.models import open_bundle
    >>> open_bundle(Path("nowhere"))
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.MissingPartError: nowhere: no such model folder. Make one with 'embargo tune'.
    """
    check_kind(folder, BUNDLE, "no model folder. 'embargo tune' writes them, 'embargo models' lists them.")
    with understood(folder):
        manifest = read_sealed(folder)
        check_adapter(folder, manifest["adapter_identity"], manifest.get("adapter_manifest"))
        return Bundle(folder, manifest, read_hashes(folder / TRAIN_TEXTS), read_hashes(folder / VALIDATION_TEXTS))


def bundle_reader(bundle: Bundle, *, cache_dir: Path, given: Path | None = None) -> ModelReader:
    """Return the reader in a model folder; errors as `find_base`.

    Parameters
    ----------
    bundle : Bundle
    cache_dir : Path
        Where built-in bases are kept.
    given : Path, optional
        Where the base lies, if not where its name says.

    Returns
    -------
    ModelReader

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.models import Bundle, bundle_reader
    >>> tuned_on = {"base": "tiny", "base_weights_hash": "ab12cd34", "base_knowledge_cutoff": None}
    >>> manifest = {"model": tuned_on | {"cutoff_source": "none"}, "base": {"revision": None}}
    >>> bundle = Bundle(Path("nowhere"), manifest, frozenset(), frozenset())
    >>> bundle_reader(bundle, cache_dir=Path("cache"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.MissingPartError: base 'tiny' with weights ab12cd34 is not in ...
    """
    with understood(bundle.path):
        manifest = bundle.manifest
        base = find_base(
            manifest["model"],
            revision=manifest["base"]["revision"],
            cache_dir=cache_dir,
            beside=bundle.path / BASE,
            given=given,
        )
        return _reader(
            bundle.path.name,
            manifest["model"],
            base,
            open_adapter(bundle.path / ADAPTER),
            bundle.validation_text_hashes,
        )


def fitted_reader(
    name: str,
    entry: Mapping[str, Any],
    *,
    revision: str | None,
    cache_dir: Path,
    given: Path | None = None,
    runtime: Runtime = "torch",
) -> ModelReader:
    """Return the reader that a manifest of `embargo.models.fitting.fit_scorer` describes, its adapter from the cache.

    Parameters
    ----------
    name : str
    entry : mapping
    revision, cache_dir, given
        As `find_base`.
    runtime : {"torch", "onnx", "onnx-int8", "auto"}
        What it was scored with: the calibration was fitted on these logits. Of ``auto`` the entry says what it was.

    Raises
    ------
    ConfigError
        If it is a linear baseline, which is fitted in a moment and not kept, or as `find_base`.
    MissingPartError
        If the adapter or its ONNX export is no longer in the cache, or as `find_base`.
    DataError
        If a file of the adapter differs from what was written.
    """
    with understood(name, "model of a run"):
        if entry["kind"] == "lexicon":
            calibration = Calibration.from_dict(entry["calibration"])
            lexicon = LexiconScorer()
            cutoff = later_cutoff(lexicon.knowledge_cutoff, entry["knowledge_cutoff"])
            return ModelReader(name, lexicon, calibration, cutoff, frozenset(), None, (), None, None)
        if entry["kind"] != "transformer":
            raise ConfigError(
                f"{name}: a model of kind {entry['kind']!r} is not kept. Only tuned transformers can be opened again."
            )
        folder = cache_dir / "adapters" / str(entry["adapter"])
        if not folder.is_dir():
            raise MissingPartError(
                f"{name}: its adapter {entry['adapter']} is not in {cache_dir / 'adapters'}. Give the cache that it "
                "was tuned with (--cache), or tune again."
            )
        base = find_base(entry, revision=revision, cache_dir=cache_dir, given=given)
        reader = _reader(name, entry, base, open_adapter(folder), None)
        if (entry["runtime"]["name"] if runtime == "auto" else runtime) == "torch":
            return reader
        return replace(reader, scorer=_kept_export(name, str(entry["scorer_identity"]), cache_dir))


def _kept_export(name: str, identity: str, cache_dir: Path) -> OnnxScorer:
    for folder in sorted(cache_dir.glob(f"{ONNX}-*")):
        if kind_of(folder) == ONNX and identity_of(json.loads((folder / MANIFEST).read_text("utf-8"))) == identity:
            return OnnxScorer(folder)
    raise MissingPartError(
        f"{name}: its ONNX export {identity[:12]} is not in {cache_dir}. Give the cache that it was scored with "
        "(--cache), or repeat the run."
    )


def onnx_reader(folder: Path) -> ModelReader:
    """Return the reader in an exported folder; it needs neither torch nor the base.

    Parameters
    ----------
    folder : Path
        As `embargo.models.export_onnx` wrote it.

    Returns
    -------
    ModelReader

    Raises
    ------
    MissingPartError, DataError
        As `OnnxScorer`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.models import onnx_reader
    >>> onnx_reader(Path("nowhere"))
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.MissingPartError: no exported model at nowhere. Check the path, or export one.
    """
    scorer = OnnxScorer(folder)
    with understood(folder):
        train = validation = None
        if (folder / TRAINING).is_dir():
            read_sealed(folder / TRAINING)
            train, validation = (_hashes_if(folder / TRAINING / name) for name in (TRAIN_TEXTS, VALIDATION_TEXTS))
        exposures = tuple(scorer.manifest.get("exposures", ()))
        return ModelReader(
            folder.name, scorer, scorer.calibration, scorer.knowledge_cutoff, train, validation, exposures, None, None
        )


def write_training(export: Path, reader: ModelReader) -> None:
    """Put beside an exported model the hashes of the texts that it was tuned and calibrated on."""
    with new_folder(export / TRAINING) as draft:
        for name, hashes in (
            (TRAIN_TEXTS, reader.train_text_hashes),
            (VALIDATION_TEXTS, reader.validation_text_hashes),
        ):
            if hashes is not None:
                write_hashes(draft / name, sorted(hashes))
        write_manifest(draft, {"kind": TRAINING, "of": reader.name}, sealed=True)


def find_base(
    entry: Mapping[str, Any],
    *,
    revision: str | None,
    cache_dir: Path,
    beside: Path | None = None,
    given: Path | None = None,
) -> Base:
    """Find the base that a model was tuned on, and make sure that it has the same weights.

    Parameters
    ----------
    entry : mapping
        As `embargo.models.fitting.fit_scorer` writes it: ``base, base_weights_hash, base_knowledge_cutoff,
        cutoff_source``.
    revision : str or None
        Commit of a hub model.
    cache_dir : Path
        Where built-in bases are kept.
    beside : Path, optional
        Where the model folder carries the built-in base.
    given : Path, optional
        Where the base lies, if not where its name says.

    Raises
    ------
    ConfigError
        If what is found has other weights.
    MissingPartError, ServiceError, DataError
        If the base is not on this machine, or damaged.
    """
    name, weights_hash = str(entry["base"]), str(entry["base_weights_hash"])
    recorded = entry["base_knowledge_cutoff"]
    cutoff = None if recorded is None else pd.Timestamp(recorded).as_unit("us")
    source = str(entry["cutoff_source"])
    if given is not None or name in BUILT_IN:
        places = [given] if given is not None else _built_in(name, cache_dir, beside)
        for place in places:
            found = open_base(place.expanduser().resolve(), name=name, knowledge_cutoff=cutoff)
            if found.weights_hash == weights_hash:
                return Base(name, found.path_or_id, found.kind, cutoff, source, weights_hash, _exposures(entry))
        if given is None:
            raise MissingPartError(
                f"base {name!r} with weights {weights_hash[:12]} is not in {cache_dir / 'bases'}. Give the cache that "
                "it was made in (--cache), or repeat the run."
            )
    else:
        try:
            found = resolve_base(name, revision=revision, knowledge_cutoff=cutoff if source == DECLARED else None)
        except MissingPartError as failure:
            raise MissingPartError(f"{failure} If it lies elsewhere, say where with --base FOLDER.") from failure
    if found.weights_hash != weights_hash:
        raise ConfigError(
            f"base {name!r}: {found.path_or_id} has weights {found.weights_hash[:12]}, the model was tuned on "
            f"{weights_hash[:12]}. Say where those are with --base FOLDER, or tune anew."
        )
    return found


def _built_in(name: str, cache_dir: Path, beside: Path | None) -> list[Path]:
    kept = sorted((cache_dir / "bases").glob(f"{name}-*")) if cache_dir.is_dir() else []
    return [*([beside] if beside is not None and beside.is_dir() else []), *kept]


def _exposures(entry: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(entry.get("exposures", ()))


def _reader(
    name: str, entry: Mapping[str, Any], base: Base, adapter: Adapter, validation: frozenset[str] | None
) -> ModelReader:
    scorer = TransformerScorer(base, adapter)
    return ModelReader(
        name=name,
        scorer=scorer,
        calibration=Calibration.from_dict(entry["calibration"]),
        # What was recorded may be later: the calibration may know more than the adapter.
        knowledge_cutoff=later_cutoff(scorer.knowledge_cutoff, entry["knowledge_cutoff"]),
        train_text_hashes=frozenset(adapter.train_text_hashes),
        validation_text_hashes=validation,
        exposures=_exposures(entry),
        base=base,
        adapter=adapter,
    )


def _hashes_if(path: Path) -> frozenset[str] | None:
    return read_hashes(path) if path.is_file() else None


def list_bundles(folder: Path) -> list[dict[str, Any]]:
    """Return the headline of every model folder below ``folder``, sorted by name.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    list of dict
        ``name, kind, base, method, accuracy`` (on the test part; None without one), ``macro_f1`` and
        ``knowledge_cutoff`` (ISO; None if unknown). A folder whose manifest lacks these is of the kind ``damaged``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from embargo.models import list_bundles
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / "first").mkdir()
    ...     _ = (Path(folder) / "first" / "manifest.json").write_text('{"kind": "model"}')
    ...     print([(row["name"], row["kind"]) for row in list_bundles(Path(folder))])
    [('first', 'damaged')]
    """
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob(f"[!.]*/{MANIFEST}")):
        kind = kind_of(path.parent)
        if kind not in (BUNDLE, INSTRUCT, ONNX):
            continue
        row: dict[str, Any] = {"name": path.parent.name, "kind": "damaged", "base": "", "method": ""}
        try:
            row |= _headline(kind, json.loads(path.read_text(encoding="utf-8")))
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError, OSError):
            row |= dict.fromkeys(("accuracy", "macro_f1", "knowledge_cutoff"))
        rows.append(row)
    return rows


def _headline(kind: str, manifest: dict[str, Any]) -> dict[str, Any]:
    test = (manifest.get("metrics") or {}).get("test") or {}
    here = kind in (BUNDLE, INSTRUCT)
    tuned = manifest["model"] if here else manifest["adapter"]
    cutoff = (tuned if here else manifest)["knowledge_cutoff"]
    return {
        "kind": kind if here else f"onnx {manifest['precision']}",
        "base": str(manifest["base"]["name"]),
        "method": str(tuned["settings"]["method"]),
        **{name: None if test.get(name) is None else float(test[name]) for name in ("accuracy", "macro_f1")},
        "knowledge_cutoff": None if cutoff is None else str(cutoff),
    }
