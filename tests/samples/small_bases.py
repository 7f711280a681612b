"""Random-weight bases of every architecture, a few kilobytes each, with a tokenizer of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from embargo.models.bases.resolve import Base, open_base

WORDS = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "fell", "held", "rose", "down", "flat", "up"),
    *("profit", "loss", "sales", "bank", "the", "of", "in", "a", "and"),
)
_SHAPE = {
    "vocab_size": len(WORDS) + 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
}
_DECODER = _SHAPE | {"num_key_value_heads": 2}
_GEMMA = _DECODER | {"head_dim": 8}
CONFIGS = {
    "bert": ("BertConfig", _SHAPE | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}),
    "roberta": ("RobertaConfig", _SHAPE | {"max_position_embeddings": 66}),
    "xlm-roberta": ("XLMRobertaConfig", _SHAPE | {"max_position_embeddings": 66}),
    "electra": ("ElectraConfig", _SHAPE | {"embedding_size": 32}),
    "deberta-v2": (
        "DebertaV2Config",
        _SHAPE
        | {
            "relative_attention": True,
            "pos_att_type": ["c2p", "p2c"],
            "position_biased_input": False,
            "position_buckets": 8,
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
        },
    ),
    "distilbert": (
        "DistilBertConfig",
        {
            "vocab_size": _SHAPE["vocab_size"],
            "dim": 32,
            "n_layers": 2,
            "n_heads": 4,
            "hidden_dim": 64,
            "max_position_embeddings": 64,
            "pad_token_id": 0,
        },
    ),
    "modernbert": (
        "ModernBertConfig",
        _SHAPE | {"classifier_pooling": "mean", "cls_token_id": 2, "sep_token_id": 3},
    ),
    "llama": ("LlamaConfig", _DECODER),
    "mistral": ("MistralConfig", _DECODER),
    "qwen2": ("Qwen2Config", _DECODER),
    "qwen3": ("Qwen3Config", _GEMMA),
    "gemma": ("GemmaConfig", _GEMMA),
    "gemma2": ("Gemma2Config", _GEMMA),
    "gemma3_text": ("Gemma3TextConfig", _GEMMA),
    "phi": ("PhiConfig", _SHAPE),
    "phi3": ("Phi3Config", _DECODER),
    "gpt_neox": ("GPTNeoXConfig", _SHAPE),
    "gpt2": (
        "GPT2Config",
        {
            "vocab_size": _SHAPE["vocab_size"],
            "n_embd": 32,
            "n_layer": 2,
            "n_head": 4,
            "n_positions": 64,
            "pad_token_id": 0,
            "bos_token_id": 2,
            "eos_token_id": 3,
        },
    ),
    "opt": (
        "OPTConfig",
        {
            "vocab_size": _SHAPE["vocab_size"],
            "hidden_size": 32,
            "word_embed_proj_dim": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "ffn_dim": 64,
            "max_position_embeddings": 64,
            "pad_token_id": 0,
            "bos_token_id": 2,
            "eos_token_id": 3,
        },
    ),
}

# Architectures whose layers no method has a list of.
UNLISTED = {
    "albert": ("AlbertConfig", _SHAPE | {"embedding_size": 32}),
    "camembert": ("CamembertConfig", _SHAPE | {"max_position_embeddings": 66}),
    "convbert": ("ConvBertConfig", _SHAPE | {"embedding_size": 32, "head_ratio": 2}),
    "deberta": (
        "DebertaConfig",
        _SHAPE
        | {
            "relative_attention": True,
            "pos_att_type": ["c2p", "p2c"],
            "position_biased_input": False,
            "max_relative_positions": 16,
        },
    ),
    "ernie": ("ErnieConfig", _SHAPE),
    "eurobert": ("EuroBertConfig", _SHAPE | {"num_key_value_heads": 2}),
    "megatron-bert": ("MegatronBertConfig", _SHAPE),
    "mobilebert": (
        "MobileBertConfig",
        _SHAPE | {"embedding_size": 32, "intra_bottleneck_size": 32, "num_feedforward_networks": 2},
    ),
    "mpnet": ("MPNetConfig", _SHAPE | {"max_position_embeddings": 66, "pad_token_id": 1}),
    "rembert": ("RemBertConfig", _SHAPE | {"input_embedding_size": 32, "output_embedding_size": 32}),
    "roformer": ("RoFormerConfig", _SHAPE | {"embedding_size": 32}),
    "squeezebert": ("SqueezeBertConfig", _SHAPE | {"embedding_size": 32}),
}


def small_base(model_type: str, folder: Path, *, seed: int = 0) -> Base:
    """Write a base of random weights with an untrained body and return it."""
    return _written(transformers.AutoModel, model_type, folder, {}, seed)


def small_classifier(model_type: str, folder: Path, labels: Sequence[str], *, seed: int = 0) -> Base:
    """Write a base of random weights that brings a head of its own, whose rows are called by ``labels``."""
    named = {"id2label": dict(enumerate(labels)), "label2id": {label: row for row, label in enumerate(labels)}}
    return _written(transformers.AutoModelForSequenceClassification, model_type, folder, named, seed)


def _written(kind: Any, model_type: str, folder: Path, named: dict[str, Any], seed: int) -> Base:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    name, shape = (CONFIGS | UNLISTED)[model_type]
    config = getattr(transformers, name)(**shape, **named)
    words = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=64,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(str(folder))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = kind.from_config(config)
        with torch.no_grad():
            # Wider than a fresh initialisation, so that a mistake shows in the logits.
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(str(folder), safe_serialization=True)
    return open_base(folder, name=f"small {model_type}")
