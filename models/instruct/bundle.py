"""Folders of models that were tuned to answer: adapter, card, and a manifest that says what the model is and knows.

They are written and checked as the folders of classifiers are: whole or not at all, sealed, with every file's hash.
The base lies in the folder only where nobody else can give it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embargo.models.bases.folders import understood
from embargo.models.bases.resolve import Base
from embargo.models.bundles.bundle import find_base
from embargo.models.bundles.tuned_folder import (
    ADAPTER,
    BASE,
    CARD,
    INSTRUCT,
    VALIDATION_TEXTS,
    check_adapter,
    check_kind,
    put_adapter,
    read_hashes,
    write_hashes,
)
from embargo.models.content import (
    new_folder,
    read_sealed,
    write_manifest,
)
from embargo.models.instruct.card import answer_card
from embargo.models.instruct.writing import AnswerModel
from embargo.models.scorer import later_cutoff
from embargo.models.tuning.adapters import Adapter, open_adapter


@dataclass(frozen=True)
class AnswerBundle:
    """The folder of a model that was tuned to answer, opened and checked.

    Attributes
    ----------
    path : Path
    manifest : dict
        ``name, base, model, templates, data, metrics, refusals, versions, files``; the card shows it.
    adapter : Adapter
    validation_text_hashes : frozenset of str
        sha256 of each distinct article that decided when to stop.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.models import Adapter
    >>> from embargo.models.instruct import AnswerBundle
    >>> adapter = Adapter(Path("models/desk/adapter"), "9c0e", {"task": "instruct"}, ())
    >>> AnswerBundle(Path("models/desk"), {"name": "desk"}, adapter, frozenset()).manifest["name"]
    'desk'
    """

    path: Path
    manifest: dict[str, Any]
    adapter: Adapter
    validation_text_hashes: frozenset[str]

    @property
    def text_hashes(self) -> frozenset[str]:
        """What an article to measure on must not be among."""
        return frozenset(self.adapter.train_text_hashes) | self.validation_text_hashes


def write_answer_bundle(
    folder: Path, *, base: Base, adapter: Adapter, facts: Mapping[str, Any], validation_hashes: Iterable[str]
) -> AnswerBundle:
    """Write the folder of a model that was tuned to answer, whole or not at all.

    Parameters
    ----------
    folder : Path
        Must not exist yet.
    base : Base
    adapter : Adapter
        Tuned on this base.
    facts : mapping, JSON-able
        ``name, seed, templates, data, metrics, refusals, versions``; see `embargo.models.instruct.card.answer_card`.
    validation_hashes : iterable of str

    Returns
    -------
    AnswerBundle
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
    >>> from embargo.models import Adapter, Base
    >>> from embargo.models.instruct import write_answer_bundle
    >>> base = Base("mine", "/models/mine", "decoder", None, "not documented", weights_hash="ab12")
    >>> adapter = Adapter(Path("cache/adapters/adapter-1f"), "9c0e", {"trained_until": None}, ())
    >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +ELLIPSIS
    ...     write_answer_bundle(Path(folder), base=base, adapter=adapter, facts={}, validation_hashes=[])
    Traceback (most recent call last):
        ...
    embargo.models.content.TakenError: ...
    """
    tuned = adapter.manifest
    cutoff = later_cutoff(base.knowledge_cutoff, tuned["trained_until"])
    with new_folder(folder) as draft:
        copied = put_adapter(draft, base, adapter)
        write_hashes(draft / VALIDATION_TEXTS, sorted(set(validation_hashes)))
        manifest = {
            **facts,
            "kind": INSTRUCT,
            **copied,
            "model": {
                "base": base.name,
                "base_weights_hash": base.weights_hash,
                "base_knowledge_cutoff": None if base.knowledge_cutoff is None else base.knowledge_cutoff.isoformat(),
                "cutoff_source": base.source,
                "exposures": list(base.exposures),
                "knowledge_cutoff": None if cutoff is None else cutoff.isoformat(),
                **{
                    name: tuned[name]
                    for name in (
                        *("settings", "weights", "n_train", "n_validation", "left_out", "trained_until", "epochs"),
                        *("best_epoch", "events"),
                    )
                },
            },
        }
        (draft / CARD).write_text(answer_card(manifest), encoding="utf-8")
        write_manifest(draft, manifest, sealed=True)
    return open_answer_bundle(folder)


def open_answer_bundle(folder: Path) -> AnswerBundle:
    """Open the folder of a model that was tuned to answer, and check every file in it.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    AnswerBundle

    Raises
    ------
    MissingPartError
        If there is no such folder.
    DataError
        If it is none, or a file is missing or differs from what was written, is a pickle or leads elsewhere.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.models.instruct import open_answer_bundle
    >>> open_answer_bundle(Path("nowhere"))
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.MissingPartError: nowhere: no such model folder. Make one with 'embargo tune'.
    """
    check_kind(folder, INSTRUCT, "holds no model that was tuned to answer. 'embargo models' lists what is there.")
    with understood(folder):
        manifest = read_sealed(folder)
        check_adapter(folder, manifest["adapter_identity"], manifest["adapter_manifest"])
        return AnswerBundle(folder, manifest, open_adapter(folder / ADAPTER), read_hashes(folder / VALIDATION_TEXTS))


def base_of_answers(bundle: AnswerBundle, *, cache_dir: Path, given: Path | None = None) -> Base:
    """Find the base that the model in a folder was tuned on; errors as `embargo.models.bundles.bundle.find_base`.

    Parameters
    ----------
    bundle : AnswerBundle
    cache_dir : Path
        Where built-in bases are kept.
    given : Path, optional
        Where the base lies, if not where its name says.
    """
    with understood(bundle.path):
        return find_base(
            bundle.manifest["model"],
            revision=bundle.manifest["base"]["revision"],
            cache_dir=cache_dir,
            beside=bundle.path / BASE,
            given=given,
        )


def answer_models(
    bundle: AnswerBundle, *, cache_dir: Path, given: Path | None = None
) -> tuple[AnswerModel, AnswerModel]:
    """Return the tuned model of a folder, and its base untuned in the same weights.

    Parameters
    ----------
    bundle : AnswerBundle
    cache_dir : Path
    given : Path, optional
        As `base_of_answers`.

    Returns
    -------
    (tuned, untuned) : tuple of AnswerModel

    Examples
    --------
    >>> from embargo.models.instruct import answer_models, open_answer_bundle
    >>> bundle = open_answer_bundle(Path("models/desk-1a2b3c4d"))  # doctest: +SKIP
    >>> tuned, untuned = answer_models(bundle, cache_dir=Path("cache"))  # doctest: +SKIP
    """
    base = base_of_answers(bundle, cache_dir=cache_dir, given=given)
    return AnswerModel(base, bundle.adapter), AnswerModel(base, bundle.adapter, tuned=False)
