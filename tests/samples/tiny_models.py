"""Random-weight models of real architectures, saved as a hub would hold them: safetensors, config and a tokenizer.

Each is small enough to be built in a fraction of a second, keeps the names of weights and the special tokens of the
family it stands for, and has widths that 4-bit storage can pack.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from embargo.models.loading.load import quiet
from samples.model_samples import sentences

WIDTH = 64
VOCABULARY = 400


@dataclass(frozen=True)
class Family:
    """What distinguishes an architecture here: its tokenizer's special tokens and the settings only it has.

    Attributes
    ----------
    pad, cls, sep, unk, mask, bos, eos : str or None
        Special tokens. Decoders without ``pad`` are the usual case (Llama, Mistral, GPT-2).
    extra : dict
        Settings of its config beyond width, depth and vocabulary.
    """

    kind: Literal["encoder", "decoder"]
    pad: str | None
    bos: str | None
    eos: str | None
    unk: str | None = None
    mask: str | None = None
    extra: tuple[tuple[str, Any], ...] = ()


_GROUPED = (("num_key_value_heads", 2), ("head_dim", 16))
_BERT = {"pad": "[PAD]", "bos": "[CLS]", "eos": "[SEP]", "unk": "[UNK]", "mask": "[MASK]"}

FAMILIES: dict[str, Family] = {
    "bert": Family("encoder", **_BERT),
    "roberta": Family(
        "encoder", "<pad>", "<s>", "</s>", "<unk>", "<mask>", (("type_vocab_size", 1), ("max_position_embeddings", 130))
    ),
    "deberta-v2": Family(
        "encoder",
        **_BERT,
        extra=(
            ("relative_attention", True),
            ("position_buckets", 32),
            ("norm_rel_ebd", "layer_norm"),
            ("share_att_key", True),
            ("pos_att_type", ["p2c", "c2p"]),
            ("position_biased_input", False),
            ("type_vocab_size", 0),
            ("pooler_hidden_size", WIDTH),
        ),
    ),
    "distilbert": Family("encoder", **_BERT),
    "modernbert": Family("encoder", **_BERT, extra=(("global_attn_every_n_layers", 2), ("local_attention", 16))),
    "electra": Family("encoder", **_BERT, extra=(("embedding_size", WIDTH),)),
    "llama": Family("decoder", None, "<s>", "</s>", extra=_GROUPED),
    "mistral": Family("decoder", None, "<s>", "</s>", extra=(*_GROUPED, ("sliding_window", 16))),
    "qwen2": Family("decoder", "<|endoftext|>", None, "<|endoftext|>", extra=(("num_key_value_heads", 2),)),
    "qwen3": Family("decoder", "<|endoftext|>", None, "<|endoftext|>", extra=_GROUPED),
    "gemma": Family("decoder", "<pad>", "<bos>", "<eos>", extra=_GROUPED),
    "gemma2": Family("decoder", "<pad>", "<bos>", "<eos>", extra=(*_GROUPED, ("sliding_window", 16))),
    "gemma3_text": Family("decoder", "<pad>", "<bos>", "<eos>", extra=(*_GROUPED, ("sliding_window", 16))),
    "phi3": Family("decoder", None, "<s>", "<|endoftext|>", extra=(("num_key_value_heads", 4),)),
    "olmo2": Family("decoder", None, None, "<|endoftext|>", extra=(("num_key_value_heads", 4),)),
    "gpt2": Family("decoder", None, "<|endoftext|>", "<|endoftext|>"),
}
ENCODERS = tuple(name for name, family in FAMILIES.items() if family.kind == "encoder")
DECODERS = tuple(name for name, family in FAMILIES.items() if family.kind == "decoder")


def save_tiny_model(architecture: str, folder: Path, *, seed: int = 0, layers: int = 2, **settings: Any) -> Path:
    """Write a random-weight model of an architecture with a trained tokenizer, and return its folder.

    Parameters
    ----------
    architecture : str
        A key of `FAMILIES`: the ``model_type`` of a config.
    folder : Path
        Where to write ``config.json``, ``model.safetensors`` and the tokenizer; created on demand.
    seed : int
        Of the weights. The caller's generator is left as it was.
    layers : int
    **settings
        Override settings of the config (``vocab_size=10`` makes a model that is too small for its tokenizer).
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

    family = FAMILIES[architecture]
    tokenizer = save_tokenizer(architecture, folder)
    config = AutoConfig.for_model(architecture, **(_shape(architecture, family, tokenizer, layers) | settings))
    written = AutoModelForCausalLM if family.kind == "decoder" else AutoModelForMaskedLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = written.from_config(config)
        # The usual start of 0.02 makes logits too small to tell a wrong mask from a right one.
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.15)
        with quiet():
            model.save_pretrained(str(folder), safe_serialization=True)
    return folder


def save_tokenizer(architecture: str, folder: Path) -> Any:
    """Train a byte-level tokenizer with the family's special tokens on the sample sentences, write and return it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    family = FAMILIES[architecture]
    # A dict keeps the order and drops the token that serves twice.
    special = list(dict.fromkeys(filter(None, (family.bos, family.pad, family.eos, family.unk, family.mask))))
    tokenizer = Tokenizer(models.BPE(unk_token=family.unk))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences(300, seed=11)["text"].tolist(), trainer)
    if family.kind == "encoder":
        template = f"{family.bos} $A {family.eos}"
        named = [(token, tokenizer.token_to_id(token)) for token in (family.bos, family.eos)]
        tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=named)
    elif family.bos is not None and architecture != "gpt2":
        named = [(family.bos, tokenizer.token_to_id(family.bos))]
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{family.bos} $A", special_tokens=named)
    names = {"pad_token": family.pad, "unk_token": family.unk, "mask_token": family.mask}
    names |= (
        {"cls_token": family.bos, "sep_token": family.eos}
        if family.kind == "encoder"
        else {"bos_token": family.bos, "eos_token": family.eos}
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=128, **{name: token for name, token in names.items() if token}
    )
    folder.mkdir(parents=True, exist_ok=True)
    fast.save_pretrained(str(folder))
    return fast


def _shape(architecture: str, family: Family, tokenizer: Any, layers: int) -> dict[str, Any]:
    if architecture == "distilbert":
        shape = {"dim": WIDTH, "n_layers": layers, "n_heads": 4, "hidden_dim": 2 * WIDTH}
    elif architecture == "gpt2":
        shape = {"n_embd": WIDTH, "n_layer": layers, "n_head": 4, "n_positions": 128}
    else:
        shape = {
            "hidden_size": WIDTH,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "intermediate_size": 2 * WIDTH,
        }
    if architecture != "gpt2":
        shape["max_position_embeddings"] = 128
    shape |= {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    if family.kind == "encoder":
        shape |= {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
    if architecture == "modernbert":
        shape |= {"cls_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id}
    return shape | dict(family.extra)
