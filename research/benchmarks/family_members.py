"""Tiny members of every family of base, made on the spot: random weights in the shapes of the real checkpoint.

Each is written as a hub holds it, with the parts that its publisher's checkpoint has (a language-modelling head, no
classifier), safetensors, and a tokenizer whose special tokens stand where the family's own puts them. What makes a
family unlike the others (shared layers, fused projections, biases for positions, positions that begin after the
padding token's) is kept; width and depth are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from embargo.models.loading.libraries import untyped
from embargo.models.loading.load import quiet

WIDTH, LAYERS, HEADS, LONGEST = 64, 2, 4, 128

Written = Literal[
    "AutoModelForMaskedLM", "AutoModelForCausalLM", "AutoModelForPreTraining", "AutoModelForImageTextToText"
]


@dataclass(frozen=True)
class Words:
    """Special tokens of a family's tokenizer, in the order of their ids, and the template a text is put in.

    Attributes
    ----------
    special : tuple of str
        From id 0.
    pad, start, end : str or None
        Padding; what stands before and behind a text. Decoders without ``pad`` are the usual case.
    unknown, mask : str or None
    last : str or None
        What the decoder ends its own texts with; a text that is read does not have it.
    """

    special: tuple[str, ...]
    pad: str | None
    start: str | None
    end: str | None
    unknown: str | None = None
    mask: str | None = None
    last: str | None = None


_BERT = Words(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), "[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")
_ROBERTA = Words(("<s>", "<pad>", "</s>", "<unk>", "<mask>"), "<pad>", "<s>", "</s>", "<unk>", "<mask>")
_LLAMA = Words(("<unk>", "<s>", "</s>"), None, "<s>", None, "<unk>", last="</s>")
_GEMMA = Words(("<pad>", "<eos>", "<bos>", "<unk>"), "<pad>", "<bos>", None, "<unk>", last="<eos>")
_GPT = Words(("<|endoftext|>",), None, None, None, last="<|endoftext|>")
_QWEN = Words(("<|endoftext|>", "<|im_start|>", "<|im_end|>"), "<|endoftext|>", None, None, last="<|im_end|>")
_OPT = Words(("<s>", "<pad>", "</s>", "<unk>"), "<pad>", "</s>", None, "<unk>", last="</s>")
_BLOOM = Words(("<unk>", "<s>", "</s>", "<pad>"), "<pad>", None, None, "<unk>", last="</s>")

_PLAIN = MappingProxyType(
    {
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": 2 * WIDTH,
        "max_position_embeddings": LONGEST,
    }
)
_GROUPED = MappingProxyType({**_PLAIN, "num_key_value_heads": 2, "head_dim": WIDTH // HEADS})
# Positions begin behind the padding token's, so that the table has two rows more than a text has tokens.
_OFFSET = MappingProxyType({**_PLAIN, "max_position_embeddings": LONGEST + 2, "type_vocab_size": 1})
_GPT2_SHAPE = MappingProxyType({"n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": LONGEST})
_DEBERTA = MappingProxyType(
    {
        **_PLAIN,
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "type_vocab_size": 0,
        "pooler_hidden_size": WIDTH,
    }
)


@dataclass(frozen=True)
class Member:
    """A family's tiny member.

    Attributes
    ----------
    name : str
        Of the family, as its publishers call it.
    model_type : str
        As in ``config.json``.
    shape : mapping
        Settings of the config.
    words : Words
    written : str
        The class of transformers that its checkpoint is saved from.
    asked : bool
        Whether it is taken through every method, not through the main ones alone.
    unread : tuple of str
        Parts of names of weights that no logit of its classifier depends on, so that tuning leaves them where they are.
    """

    name: str
    model_type: str
    shape: Mapping[str, Any]
    words: Words
    written: Written
    asked: bool
    unread: tuple[str, ...] = ()


def _encoder(name: str, model_type: str, words: Words = _BERT, **changes: Any) -> Member:
    shape = changes.pop("shape", _PLAIN)
    asked = changes.pop("asked", False)
    written = changes.pop("written", "AutoModelForMaskedLM")
    unread = changes.pop("unread", ())
    return Member(name, model_type, {**shape, **changes}, words, written, asked, unread)


def _decoder(name: str, model_type: str, words: Words = _LLAMA, **changes: Any) -> Member:
    return _encoder(name, model_type, words, **{"shape": _GROUPED, "written": "AutoModelForCausalLM", **changes})


MEMBERS: tuple[Member, ...] = (
    _encoder("BERT", "bert", asked=True),
    _encoder("RoBERTa", "roberta", _ROBERTA, shape=_OFFSET, asked=True),
    _encoder(
        "DistilBERT",
        "distilbert",
        shape={"dim": WIDTH, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": 2 * WIDTH},
        max_position_embeddings=LONGEST,
        asked=True,
    ),
    _encoder(
        "DeBERTa-v2 and v3",
        "deberta-v2",
        shape=_DEBERTA,
        position_buckets=32,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        asked=True,
    ),
    _encoder("ELECTRA", "electra", embedding_size=WIDTH // 2, written="AutoModelForPreTraining", asked=True),
    _encoder("ALBERT", "albert", embedding_size=WIDTH // 2, asked=True),
    _encoder("MPNet", "mpnet", _ROBERTA, shape=_OFFSET, asked=True),
    _encoder(
        "XLNet",
        "xlnet",
        shape={"d_model": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "d_inner": 2 * WIDTH},
        written="AutoModelForCausalLM",
        asked=True,
    ),
    _encoder("ModernBERT", "modernbert", global_attn_every_n_layers=2, local_attention=16, asked=True),
    _decoder("Llama", "llama", asked=True),
    _decoder("Qwen3", "qwen3", _QWEN, asked=True),
    _decoder(
        "Gemma 3, text",
        "gemma3_text",
        _GEMMA,
        sliding_window=16,
        layer_types=["sliding_attention", "full_attention"],
        asked=True,
    ),
    _decoder(
        "Gemma 3, with images",
        "gemma3",
        _GEMMA,
        shape={
            "text_config": {**_GROUPED, "sliding_window": 16},
            "vision_config": {**_PLAIN, "num_hidden_layers": 1, "image_size": 28, "patch_size": 14},
            "mm_tokens_per_image": 4,
        },
        written="AutoModelForImageTextToText",
        asked=True,
        unread=("vision_tower", "multi_modal_projector"),
    ),
    _decoder("Mistral", "mistral", sliding_window=16, asked=True),
    _decoder("Phi-3", "phi3", shape=_PLAIN, num_key_value_heads=2, asked=True),
    _decoder("GPT-2", "gpt2", _GPT, shape=_GPT2_SHAPE, asked=True),
    _decoder(
        "OPT",
        "opt",
        _OPT,
        shape={**_PLAIN, "ffn_dim": 2 * WIDTH, "word_embed_proj_dim": WIDTH},
        asked=True,
    ),
    _decoder(
        "OPT, embeddings projected and norms behind (350M)",
        "opt",
        _OPT,
        shape={**_PLAIN, "ffn_dim": 2 * WIDTH, "word_embed_proj_dim": WIDTH // 2, "do_layer_norm_before": False},
        asked=True,
    ),
    _decoder("GPT-NeoX", "gpt_neox", _GPT, shape=_PLAIN, rotary_pct=0.25, asked=True),
    _decoder("Falcon", "falcon", _GPT, shape=_PLAIN, multi_query=True, parallel_attn=True, asked=True),
    _decoder(
        "Falcon, ALiBi (RW)",
        "falcon",
        _GPT,
        shape=_PLAIN,
        alibi=True,
        multi_query=False,
        parallel_attn=False,
        bias=True,
        asked=True,
    ),
    _decoder(
        "Falcon, grouped (40B)", "falcon", _GPT, shape=_PLAIN, new_decoder_architecture=True, num_kv_heads=2, asked=True
    ),
    # What the product claims beyond these.
    _encoder("XLM-RoBERTa", "xlm-roberta", _ROBERTA, shape=_OFFSET),
    _encoder("XLM-RoBERTa XL", "xlm-roberta-xl", _ROBERTA, shape=_OFFSET),
    _encoder("RoBERTa, norms before", "roberta-prelayernorm", _ROBERTA, shape=_OFFSET),
    _encoder("CamemBERT", "camembert", _ROBERTA, shape=_OFFSET),
    _encoder("data2vec", "data2vec-text", _ROBERTA, shape=_OFFSET),
    _encoder(
        "Longformer",
        "longformer",
        _ROBERTA,
        shape=_OFFSET,
        attention_window=[8, 8],
        # The first place, which alone is read, looks at the others by projections of its own.
        unread=tuple(f"encoder.layer.{LAYERS - 1}.attention.self.{name}." for name in ("query", "key", "value")),
    ),
    _encoder("ConvBERT", "convbert", embedding_size=WIDTH, head_ratio=2),
    _encoder("DeBERTa", "deberta", shape=_DEBERTA, max_relative_positions=32),
    _encoder("ERNIE", "ernie"),
    _encoder("EuroBERT", "eurobert", shape=_GROUPED),
    _encoder("Megatron-BERT", "megatron-bert"),
    _encoder("MobileBERT", "mobilebert", embedding_size=WIDTH, intra_bottleneck_size=WIDTH, num_feedforward_networks=2),
    _encoder("RemBERT", "rembert", input_embedding_size=WIDTH, output_embedding_size=WIDTH),
    _encoder("RoFormer", "roformer", embedding_size=WIDTH, unread=("embed_positions",)),
    _encoder("SqueezeBERT", "squeezebert", embedding_size=WIDTH),
    _decoder("BLOOM", "bloom", _BLOOM, shape={"hidden_size": WIDTH, "n_layer": LAYERS, "n_head": HEADS}),
    _decoder("EXAONE 4", "exaone4", _QWEN),
    _decoder("Gemma", "gemma", _GEMMA),
    _decoder("Gemma 2", "gemma2", _GEMMA, sliding_window=16),
    _decoder("GLM 4 (9B)", "glm", _QWEN),
    _decoder("GLM 4 (0414)", "glm4", _QWEN),
    _decoder(
        "GPT-Neo",
        "gpt_neo",
        _GPT,
        shape={
            "hidden_size": WIDTH,
            "num_layers": LAYERS,
            "num_heads": HEADS,
            "intermediate_size": 2 * WIDTH,
            "max_position_embeddings": LONGEST,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 16,
        },
    ),
    _decoder("GPT-J", "gptj", _GPT, shape=_GPT2_SHAPE, rotary_dim=8),
    _decoder("Helium", "helium"),
    _decoder("Ministral", "ministral", sliding_window=16),
    _decoder("Nemotron", "nemotron"),
    _decoder("OLMo", "olmo", _GPT),
    _decoder("OLMo 2", "olmo2", _GPT),
    _decoder("OLMo 3", "olmo3", _GPT, sliding_window=16),
    _decoder("Phi", "phi", _GPT, shape=_PLAIN),
    _decoder("Qwen2", "qwen2", _QWEN),
    _decoder("SmolLM 3", "smollm3", _QWEN),
    _decoder("StableLM", "stablelm", _GPT),
    _decoder("StarCoder 2", "starcoder2", _GPT),
)


def write_member(
    member: Member, folder: Path, texts: list[str], *, labels: tuple[str, ...] = (), seed: int = 0
) -> Path:
    """Write a member's folder, as a hub would hold it, and return it.

    Parameters
    ----------
    member : Member
    folder : Path
        Created on demand.
    texts : list of str
        That its tokenizer learns its pieces from.
    labels : tuple of str
        What the rows of a classifier are called that the checkpoint brings in place of its language-modelling head.
    seed : int
        Of the weights; the caller's generator is left as it was.
    """
    import torch
    import transformers

    tokenizer = _write_tokenizer(member.words, folder, texts)
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in _roles(member.words).items()}
    tokens = {"vocab_size": len(tokenizer), "pad_token_id": None, "bos_token_id": None, "eos_token_id": None, **ids}
    shape = dict(member.shape)
    if "text_config" in shape:
        shape["text_config"] = {**shape["text_config"], **tokens}
    else:
        shape |= tokens
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if labels:
            shape |= {"id2label": dict(enumerate(labels)), "label2id": {name: row for row, name in enumerate(labels)}}
        config = transformers.AutoConfig.for_model(member.model_type, **shape)
        written = "AutoModelForSequenceClassification" if labels else member.written
        model = getattr(transformers, written).from_config(config)
        for parameter in model.parameters():
            # The usual start of 0.02 makes logits too small to tell a wrong mask from a right one.
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.15)
        model.save_pretrained(str(folder), safe_serialization=True)
    return folder


def _roles(words: Words) -> dict[str, str]:
    roles = {
        "pad_token_id": words.pad,
        "bos_token_id": words.start or words.last,
        "eos_token_id": words.end or words.last,
    }
    if words.mask is not None:
        roles |= {"cls_token_id": words.start, "sep_token_id": words.end}
    return {name: token for name, token in roles.items() if token is not None}


def _write_tokenizer(words: Words, folder: Path, texts: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token=words.unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(words.special),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    around = [token for token in (words.start, words.end) if token is not None]
    if around:
        template = " ".join(filter(None, (words.start, "$A", words.end)))
        named = [(token, tokenizer.token_to_id(token)) for token in dict.fromkeys(around)]
        tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=named)
    names = {"pad_token": words.pad, "unk_token": words.unknown, "mask_token": words.mask}
    if words.mask is not None:
        names |= {"cls_token": words.start, "sep_token": words.end}
    else:
        names |= {"bos_token": words.start, "eos_token": words.last}
    fast = untyped(PreTrainedTokenizerFast)(
        tokenizer_object=tokenizer, **{name: token for name, token in names.items() if token is not None}
    )
    folder.mkdir(parents=True, exist_ok=True)
    with quiet():
        fast.save_pretrained(str(folder))
    return fast
