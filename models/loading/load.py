"""Load a base model with a three-way head in a stated precision, and cut texts into batches of fixed shape.

Tuning and scoring both go through here, so that a model is scored in the quantisation it was tuned in. Only
safetensors are read, only from a local folder, and no code that comes with a model is ever run.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from logging import ERROR, getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError
from embargo.data_loaders.fields import CLASSES
from embargo.data_loaders.threads import one_thread
from embargo.models.bases.folders import folder_shapes, understood
from embargo.models.bases.heads import own_head
from embargo.models.bases.resolve import Base
from embargo.models.loading import processes
from embargo.models.loading.batches import LENGTH_STEP, padded, tokens_of
from embargo.models.loading.devices import multiplies_in_bf16
from embargo.models.loading.libraries import untyped
from embargo.models.methods.cards import METHODS
from embargo.models.methods.settings import Arithmetic, Compute, Method

if TYPE_CHECKING:
    import torch

# Heads stay in full precision, as does whatever else lies outside a model's body: they are trained, and bitsandbytes
# refuses to train a 4-bit one.
HEADS = ("classifier", "score", "pre_classifier", "pooler", "head")
WORTH_BF16 = 256
# Architectures in which padding moves logits, because convolutions and neighbouring embeddings see it: all their texts
# are padded to one length, in training as in scoring.
ONE_LENGTH = frozenset({"convbert", "mobilebert"})
# Architectures that count a text's places from behind the padding token's id: of their places so many hold no token.
PLACES_BEHIND_PADDING = frozenset(
    {
        *("camembert", "data2vec-text", "longformer", "mpnet", "roberta", "roberta-prelayernorm"),
        *("xlm-roberta", "xlm-roberta-xl"),
    }
)
# What transformers marks the weights with that a checkpoint brought, and leaves alone when it draws the others.
READ = "_is_hf_initialized"
# Weights that a classifier may have beside those of its checkpoint's, in new heads, before they are too many.
NEW_WEIGHTS = 2_000_000
PROBE = "Profit rose."
# transformers writes a huge number where a tokenizer does not say how long a text its model can read.
UNSTATED_LENGTH = 1_000_000


def device() -> torch.device:
    """Return this process's GPU (the first, unless several were launched) where there is one, else the CPU."""
    import torch

    return torch.device("cuda", processes.local_rank()) if torch.cuda.is_available() else torch.device("cpu")


def resolve_compute(compute: Compute, base: Base) -> Arithmetic:
    """Return the arithmetic that ``auto`` means for a base on this machine.

    bf16 where the hardware multiplies in it and the model is wide enough to gain: MiniLM (width 384) tunes in 0.6 and
    is scored in 0.4 of the time of fp32, while a model of width 128 tunes more slowly. fp16 is never chosen: on a CPU
    it is tens of times slower.
    """
    if compute != "auto":
        return compute
    if (base.width or WORTH_BF16) < WORTH_BF16:
        return "fp32"
    return "bf16" if multiplies_in_bf16() else "fp32"


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Run a block with seeded, deterministic torch on one thread, and leave the caller's state as it was."""
    import torch
    from torch.utils import deterministic as declared

    switches = untyped(declared)
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        switches.fill_uninitialized_memory,
    )
    with one_thread(), torch.random.fork_rng(devices=[device().index] if on_gpu else []):
        # Some 4-bit kernels of a GPU have no deterministic twin: there torch warns instead of failing.
        torch.use_deterministic_algorithms(True, warn_only=on_gpu)
        switches.fill_uninitialized_memory = False
        torch.manual_seed(seed)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])
            switches.fill_uninitialized_memory = before[2]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries from printing what a user can do nothing about.

    That is: bars, the report of new heads (which is returned and acted on instead), a renamed setting that peft still
    reads, and the optional kernel that bitsandbytes would fetch from a hub.
    """
    from transformers.utils import logging as declared

    logging = untyped(declared)
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    kernels = getLogger("bitsandbytes")
    kernel_level = kernels.level
    kernels.setLevel(ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*", category=FutureWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)
        kernels.setLevel(kernel_level)
        if bars:
            logging.enable_progress_bar()


def load_tokenizer(base: Base) -> Any:
    """Return the base's tokenizer, with a padding token and padding on the right.

    Raises
    ------
    MissingPartError
        If the folder holds no tokenizer that loads without foreign code.
    """
    from transformers import AutoConfig, AutoTokenizer

    with understood(base.path_or_id, "tokenizer"):
        try:
            tokenizer = AutoTokenizer.from_pretrained(base.path_or_id, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, ImportError) as failure:
            raise MissingPartError(
                f"base {base.name!r}: no usable tokenizer in {base.path_or_id} ({failure})."
            ) from failure
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        tokenizer.padding_side = "right"
        if tokenizer.model_max_length > UNSTATED_LENGTH:
            config = AutoConfig.from_pretrained(base.path_or_id, local_files_only=True, trust_remote_code=False)
            places = int(getattr(config.get_text_config(), "max_position_embeddings", None) or UNSTATED_LENGTH)
            spent = tokenizer.pad_token_id + 1 if base.architecture in PLACES_BEHIND_PADDING else 0
            tokenizer.model_max_length = places - spent
    return tokenizer


def readable_length(tokenizer: Any, max_length: int, virtual_tokens: int = 0) -> int:
    """Return after how many tokens a text is cut, so that it and the virtual tokens before it fit the model.

    Raises
    ------
    ConfigError
        If the virtual tokens leave no room for a text.
    """
    if not virtual_tokens:
        return min(max_length, int(tokenizer.model_max_length))
    # Texts are padded to whole steps, and the padding too must fit.
    room = (int(tokenizer.model_max_length) - virtual_tokens) // LENGTH_STEP * LENGTH_STEP
    if room < LENGTH_STEP:
        raise ConfigError(
            f"tuning.rank: {virtual_tokens} virtual tokens leave no room for a text in a model that reads "
            f"{tokenizer.model_max_length}. Lower it."
        )
    return min(max_length, room)


def padding_step(base: Base, length: int) -> int:
    """Return of what number the padded length of every text is a multiple, for texts cut after ``length`` tokens."""
    return length if base.architecture in ONE_LENGTH else LENGTH_STEP


def load_classifier(
    base: Base, *, method: Method, compute: Arithmetic, saved: Path | None = None
) -> tuple[Any, list[str]]:
    """Load the base with a head for bearish, neutral and bullish.

    That is a new one, or the base's own where it is known which of its rows means what; see `own_head`.

    Parameters
    ----------
    base : Base
        Local folder with safetensors.
    method : str
        ``qlora`` stores the linear layers as 4-bit NormalFloat with double quantisation (Dettmers et al. 2023, QLoRA,
        arXiv 2305.14314); the others keep them in ``compute``.
    compute : {"fp32", "bf16"}
        Arithmetic of activations and of unquantised weights.
    saved : Path, optional
        Folder of a fully tuned model, whose weights are loaded instead of the base's.

    Returns
    -------
    (model, new_modules) : the model in eval mode on `device()`, and the names of the modules that the checkpoint did
    not bring. Their weights are drawn from torch's current generator, so seed it first; they must be trained.

    Raises
    ------
    MissingPartError
        If the folder has no safetensors, they lack a part of the body, or the architecture has no classification head.
    ConfigError
        If the tokenizer knows more tokens than the model has embeddings.
    DataError
        If a file is damaged, or the configuration describes a much larger model than the weights are of.
    """
    with understood(base.path_or_id if saved is None else saved):
        return _load_classifier(base, method, compute, saved)


def _load_classifier(base: Base, method: Method, compute: Arithmetic, saved: Path | None) -> tuple[Any, list[str]]:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForSequenceClassification, BitsAndBytesConfig

    dtype = torch.bfloat16 if compute == "bf16" else torch.float32
    where = base.path_or_id if saved is None else str(saved)
    head = own_head(base) if saved is None else None
    outside = _outside_the_body(where)
    drawn_anew = head is not None and head.order is None
    options: dict[str, Any] = {}
    if METHODS[method].quantised:
        options["quantization_config"] = untyped(BitsAndBytesConfig)(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            # As patterns, because transformers compares plain names from the start of a layer's full name.
            llm_int8_skip_modules=[
                *(rf"(.*\.)?{name}" for name in HEADS),
                *(f"^{name}" for name in outside),
            ],
        )
    if torch.cuda.is_available():
        options["device_map"] = {"": device().index}
    try:
        with quiet(), untouched_generators() if drawn_anew else nullcontext():
            model, report = AutoModelForSequenceClassification.from_pretrained(
                where,
                num_labels=len(CLASSES),
                id2label=dict(enumerate(CLASSES)),
                label2id={name: index for index, name in enumerate(CLASSES)},
                dtype=dtype,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **options,
            )
    except torch.OutOfMemoryError:
        raise
    except (OSError, ValueError, RuntimeError, SafetensorError) as failure:
        raise MissingPartError(
            f"base {base.name!r}: cannot be loaded for classification from {where} ({failure}). "
            "It needs a config.json and safetensors of an architecture that transformers can classify with."
        ) from failure
    tokenizer = load_tokenizer(base)
    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
        raise ConfigError(
            f"base {base.name!r}: its tokenizer has {len(tokenizer)} tokens, its model "
            f"{model.get_input_embeddings().weight.shape[0]} embeddings. Use the tokenizer the model was trained with."
        )
    # A multimodal decoder reads the padding token of its text part.
    for config in (model.config, model.config.get_text_config()):
        config.pad_token_id = tokenizer.pad_token_id
    keep_autograd(model)
    fresh = {*report["missing_keys"], *(str(entry[0]) for entry in report.get("mismatched_keys", ()))}
    if drawn_anew:
        fresh |= set(_output(model))
        # All at once, as a shared base draws them.
        draw(
            model,
            [name for name, value in model.named_parameters() if name in fresh or not getattr(value, READ, False)],
        )
    elif head is not None:
        for name in set(_output(model)) - fresh:
            rows = model.get_parameter(name)
            rows.data = rows.data[list(head.order or ())].clone()
    _probe(model.eval(), tokenizer)
    return model, _new_modules(model, fresh, f"base {base.name!r}: {where}")


def _probe(model: Any, tokenizer: Any) -> None:
    """Let a model read a word: what does not fit together shows here, and not in the middle of a tuning."""
    import torch

    ids, mask = pad(encode(tokenizer, [PROBE], LENGTH_STEP), tokenizer.pad_token_id, LENGTH_STEP)
    with torch.inference_mode(), one_thread():
        model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device))


def draw(model: Any, names: Sequence[str]) -> None:
    """Draw the named parameters anew from torch's current generator, as transformers draws what a checkpoint lacks."""
    for name in names:
        setattr(model.get_parameter(name), READ, False)
        parts = name.split(".")[:-1]
        for depth in range(len(parts) + 1):
            setattr(model.get_submodule(".".join(parts[:depth])), READ, False)
    model.initialize_weights()


def untouched_generators() -> AbstractContextManager[None]:
    """Leave torch's generators after a block as they were before it."""
    import torch

    return torch.random.fork_rng(devices=[device().index] if torch.cuda.is_available() else [])


def outline(where: str, auto: Any) -> Any:
    """Return the modules of a folder's model without weights, as one of transformers' auto classes builds them.

    Raises
    ------
    DataError
        If the configuration describes a much larger model than the weights are of: to build it would take all memory.
    """
    import torch
    from transformers import AutoConfig

    shapes = folder_shapes(Path(where))
    held = sum(map(math.prod, shapes.values()))
    with quiet(), untouched_generators(), torch.device("meta"):
        config = AutoConfig.from_pretrained(where, local_files_only=True, trust_remote_code=False)
        layers = getattr(config.get_text_config(), "num_hidden_layers", 0)
        if layers > max(len(shapes), 1):
            raise DataError(f"{where}: config.json tells of {layers:,} layers, the weights of {len(shapes):,} tensors.")
        model = untyped(auto).from_config(config, trust_remote_code=False)
    told = sum(parameter.numel() for parameter in model.parameters())
    if told > 2 * held + NEW_WEIGHTS:
        raise DataError(f"{where}: config.json describes a model of {told:,} weights, there are {held:,}.")
    return model


def _outside_the_body(where: str) -> list[str]:
    """Return what an architecture's classifier has beside its body: what no checkpoint of the body alone can bring."""
    from transformers import AutoModelForSequenceClassification

    model = outline(where, AutoModelForSequenceClassification)
    return [name for name, _ in model.named_children() if name != model.base_model_prefix]


def _output(model: Any) -> list[str]:
    """Return the names of the parameters of a classifier's last layer, whose rows are the classes."""
    import torch

    layers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and module.out_features == len(CLASSES)
        and name.split(".")[0] != model.base_model_prefix
    ]
    return [f"{layers[-1]}.{name}" for name, _ in model.get_submodule(layers[-1]).named_parameters()]


def _new_modules(model: Any, fresh: Collection[str], what: str) -> list[str]:
    """Return the modules that are drawn, each of which an adapter has to train and save whole.

    Raises
    ------
    MissingPartError
        If a part of the body is missing, which nobody would train.
    """
    found, lost = set(), []
    for key in fresh:
        parts = key.split(".")
        if parts[0] != model.base_model_prefix:
            found.add(parts[0])
        elif "pooler" in parts:
            found.add("pooler")
        else:
            lost.append(key)
    if lost:
        raise MissingPartError(
            f"{what} lacks {len(lost)} tensors of the model's body, first {min(lost)}; drawn at random they would make "
            "every figure meaningless. Fetch the whole model."
        )
    return sorted(found)


def keep_autograd(model: Any) -> None:
    """Keep the 4-bit layers of a model as they are through an evaluation, so that adapters go on learning after it."""
    # On CPUs with AVX512_BF16 the first evaluation repacks 4-bit weights for a kernel that autograd cannot pass
    # through: from then on the adapters silently stop learning. Without the flag the weights stay as they are.
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def dense_layer(layer: Any, dtype: torch.dtype) -> Any:
    """Return a dense layer that holds exactly the weights which a 4-bit one multiplies with."""
    import bitsandbytes as bnb
    import torch

    weight = bnb.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state).to(dtype)
    dense = torch.nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
    dense.weight = torch.nn.Parameter(weight, requires_grad=False)
    if layer.bias is not None:
        dense.bias = torch.nn.Parameter(layer.bias.data.to(dtype), requires_grad=False)
    return dense


def dequantise(model: Any, dtype: torch.dtype) -> None:
    """Replace each 4-bit layer by a dense one that holds exactly the weights which the 4-bit one multiplies with."""
    import bitsandbytes as bnb

    for name, module in list(model.named_modules()):
        if not isinstance(module, untyped(bnb.nn).Linear4bit):
            continue
        dense = dense_layer(module, dtype)
        parent = model.get_submodule(name.rpartition(".")[0])
        setattr(parent, name.rpartition(".")[2], dense)
    # Nothing is quantised any more, and adapters must be put on plain layers.
    model.is_quantized = model.is_loaded_in_4bit = False
    model.quantization_method = None
    model.hf_quantizer = None
    model.config.__dict__.pop("quantization_config", None)


def as_stored(model: Any) -> Any:
    """Return the model with each layer laid out as its architecture stores it.

    Layers that are stored transposed, GPT-2's, lie the other way round once they were held in 4 bits: saved like that
    they would not load again, or a square one would load as something else.
    """
    import torch
    from transformers.pytorch_utils import Conv1D

    with quiet(), torch.device("meta"):
        plain = type(model)(model.config)
    for name, layer in plain.named_modules():
        turned = model.get_submodule(name) if isinstance(layer, Conv1D) else None
        if isinstance(turned, torch.nn.Linear):
            stored = untyped(Conv1D)(turned.out_features, 1)
            stored.nx = turned.in_features
            stored.weight = torch.nn.Parameter(turned.weight.data.T.contiguous(), requires_grad=False)
            stored.bias = turned.bias
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, stored)
    return model


def unread_parts(model: Any) -> list[str]:
    """Return the names of the layers of a multimodal base that no text goes through; none of another base."""
    if not hasattr(model.config, "vision_config"):
        return []
    text = f"{model.base_model_prefix}.language_model."
    return [
        name
        for name, layer in model.named_modules()
        if name.startswith(f"{model.base_model_prefix}.")
        and not name.startswith(text)
        and next(layer.parameters(recurse=False), None) is not None
    ]


def encode(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Return the token ids of each text, cut to ``max_length`` and to what the model can read.

    Raises
    ------
    DataError
        If a text has no token at all.
    """
    cut = {"truncation": True, "max_length": readable_length(tokenizer, max_length), "return_attention_mask": False}
    with understood(tokenizer.name_or_path, "tokenizer"):
        return tokens_of(texts, lambda chunk: list(tokenizer(chunk, **cut)["input_ids"]))


def pad(rows: Sequence[Sequence[int]], pad_id: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (input_ids, attention_mask), both int64 of shape (len(rows), length), padded on the right."""
    import torch

    ids, mask = padded(rows, pad_id, length)
    return torch.from_numpy(ids), torch.from_numpy(mask)
