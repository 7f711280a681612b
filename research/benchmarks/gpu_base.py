"""A decoder of random weights made in 4 bits where it will run, with a tokenizer and texts as long as headlines.

Speed and memory do not depend on the weights, so nothing is downloaded: each layer is drawn in bf16 and quantised
before the next one, and the host never holds any of it. It is lent to tuning and scoring as a base on disk would be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from embargo.models.bases.resolve import Base
from embargo.models.loading.libraries import untyped
from embargo.models.loading.load import device

if TYPE_CHECKING:
    from embargo.models.methods.settings import Method

PAD, UNKNOWN = "[PAD]", "[UNK]"
WORDS = 2000
# Headlines and short posts have medians of 15 to 37 tokens and spreads of the logarithm of 0.25 to 0.45 within one
# source, a little more over several; longer texts are stretched alike.
MEDIAN_SHARE, SPREAD = 3 / 16, 0.5
SHORTEST = 3


@dataclass(frozen=True)
class Shape:
    """Widths of a Llama."""

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int

    @property
    def linear(self) -> int:
        """Weights of the linear layers in the body, all of which get adapters."""
        heads = self.hidden // self.heads * self.kv_heads
        return self.layers * (2 * self.hidden**2 + 2 * self.hidden * heads + 3 * self.hidden * self.intermediate)

    @property
    def embedded(self) -> int:
        """Weights of the embedding; a classifier has no output embedding."""
        return self.vocabulary * self.hidden

    def adapters(self, rank: int) -> int:
        """Return the weights of low-rank adapters on all linear layers."""
        heads = self.hidden // self.heads * self.kv_heads
        ends = 2 * (2 * self.hidden) + 2 * (self.hidden + heads) + 3 * (self.hidden + self.intermediate)
        return self.layers * rank * ends


LLAMA_8B = Shape("Llama-shaped 8B", 4096, 32, 32, 8, 14336, 128256)
TINY = Shape("Llama-shaped, tiny", 64, 1, 4, 2, 64, 512)


class MadeBase:
    """A random decoder, made once and lent any number of times.

    Parameters
    ----------
    shape : Shape
    folder : Path
        Empty; gets the config and the tokenizer.
    compute : {"bf16", "fp32"}
        Arithmetic, and what is not in 4 bits.

    Attributes
    ----------
    base : Base
        What tuning and scoring are told it is.
    """

    def __init__(self, shape: Shape, folder: Path, compute: Literal["fp32", "bf16"]) -> None:
        import torch
        from transformers import LlamaConfig

        self.shape = shape
        self._dtype = torch.bfloat16 if compute == "bf16" else torch.float32
        write_tokenizer(folder, shape.vocabulary)
        self._config = untyped(LlamaConfig)(
            vocab_size=shape.vocabulary,
            hidden_size=shape.hidden,
            intermediate_size=shape.intermediate,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            max_position_embeddings=8192,
            num_labels=3,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=None,
        )
        self._config.save_pretrained(str(folder))
        self.base = Base(
            name=shape.name,
            path_or_id=str(folder),
            kind="decoder",
            knowledge_cutoff=None,
            source="random weights know nothing",
            weights_hash="0" * 64,
        )
        self._weights: dict[str, Any] = {}
        # Made at once, so that every model lent draws the same head from the same generator.
        self.lend(method="qlora", compute=compute)

    def lend(self, *, method: Method, compute: Literal["fp32", "bf16"]) -> tuple[Any, list[str]]:
        """Return (model, new modules) as `load_classifier` does, in 4 bits and with a head drawn anew.

        Modules are the caller's own, weights are shared. Raises ValueError for methods that are not on 4 bits.
        """
        import torch
        from transformers import AutoModelForSequenceClassification

        if method != "qlora" or compute != ("bf16" if self._dtype == torch.bfloat16 else "fp32"):
            raise ValueError(f"this base is lent for 'qlora' in {self._dtype}, not for {method!r} in {compute}")
        with torch.device("meta"):
            model = untyped(AutoModelForSequenceClassification).from_config(self._config, dtype=self._dtype)
        # Its frequencies are computed and not drawn.
        with device():
            model.model.rotary_emb = type(model.model.rotary_emb)(config=self._config)
        for name, module in list(model.named_modules()):
            if name != "score" and isinstance(module, torch.nn.Linear):
                parent, _, child = name.rpartition(".")
                setattr(model.get_submodule(parent), child, self._four_bit(name, module))
        for name, value in list(model.named_parameters()):
            if value.device.type == "meta":
                parent, _, child = name.rpartition(".")
                tensor = self._head(value.shape) if name == "score.weight" else self._dense(name, value.shape)
                setattr(model.get_submodule(parent), child, torch.nn.Parameter(tensor, requires_grad=False))
        model.is_loaded_in_4bit = True
        return model.eval(), ["score"]

    def _head(self, shape: Any) -> Any:
        import torch

        return torch.empty(shape, dtype=self._dtype, device=device()).normal_(std=0.02)

    def _dense(self, name: str, shape: Any) -> Any:
        import torch

        if name not in self._weights:
            drawn = torch.ones(shape, dtype=self._dtype, device=device())
            self._weights[name] = drawn if len(shape) == 1 else drawn.normal_(std=0.02)
        return self._weights[name]

    def _four_bit(self, name: str, module: Any) -> Any:
        import bitsandbytes
        import torch

        layers = untyped(bitsandbytes.nn)
        if name not in self._weights:
            drawn = torch.empty(module.weight.shape, dtype=self._dtype, device=device()).normal_(std=0.02)
            made = layers.Params4bit(drawn, requires_grad=False, compress_statistics=True, quant_type="nf4")
            # Moving what is not quantised yet is what quantises it.
            self._weights[name] = made.to(device())
        held = self._weights[name]
        layer = layers.Linear4bit(
            module.in_features,
            module.out_features,
            bias=False,
            compute_dtype=self._dtype,
            compress_statistics=True,
            quant_type="nf4",
            device="meta",
        )
        layer.weight = layers.Params4bit(
            held.data,
            requires_grad=False,
            quant_state=held.quant_state,
            blocksize=held.blocksize,
            compress_statistics=True,
            quant_type="nf4",
            quant_storage=held.quant_storage,
            module=layer,
            bnb_quantized=True,
        )
        layer.quant_state = held.quant_state
        # As in loading: a CPU's packed kernel has no gradient.
        layer.support_avx512bf16_for_cpu = False
        return layer


def write_tokenizer(folder: Path, vocabulary: int) -> None:
    """Write a tokenizer in which each word of `texts_of` is one token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = [PAD, UNKNOWN, *(f"w{number}" for number in range(min(WORDS, vocabulary - 2)))]
    tokenizer = Tokenizer(models.WordLevel({name: place for place, name in enumerate(names)}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    folder.mkdir(parents=True, exist_ok=True)
    untyped(PreTrainedTokenizerFast)(
        tokenizer_object=tokenizer, model_max_length=8192, pad_token=PAD, unk_token=UNKNOWN
    ).save_pretrained(str(folder))


def lengths_of(count: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """Return token counts of texts, int64: lognormal with its median at 3/16 of ``length``, cut there."""
    drawn = rng.lognormal(math.log(MEDIAN_SHARE * length), SPREAD, count)
    return np.clip(np.rint(drawn), SHORTEST, length).astype(np.int64)


def texts_of(lengths: Sequence[int] | np.ndarray, shape: Shape, rng: np.random.Generator) -> list[str]:
    """Return texts of random words, one token each."""
    words = min(WORDS, shape.vocabulary - 2)
    return [" ".join(f"w{number}" for number in rng.integers(0, words, int(length))) for length in lengths]
