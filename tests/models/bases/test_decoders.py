"""Decoders and encoders of every supported family, end to end: found, loaded in both precisions, scored."""

import json
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from samples.model_samples import sentences
from samples.plain_logits import plain_logits
from samples.tiny_models import DECODERS, ENCODERS, FAMILIES, save_tiny_model, save_tokenizer

from embargo.data_loaders.errors import ConfigError
from embargo.models.bases import resolve
from embargo.models.bases.resolve import resolve_base
from embargo.models.loading.batches import padded_length
from embargo.models.loading.load import deterministic, encode, load_classifier, load_tokenizer, pad

TEXTS = [*sentences(62, seed=5)["text"], "Altera fell", "x"]
# One text of each number of words.
UNEQUAL = list({len(text.split()): text for text in TEXTS}.values())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Builder of one folder per architecture, shared by the tests of this module."""
    root = tmp_path_factory.mktemp("tiny_models")

    def build(architecture):
        path = root / architecture
        return path if path.exists() else save_tiny_model(architecture, path)

    return build


@pytest.fixture(scope="module")
def loaded(folder):
    """Loader of (base, model, new modules, tokenizer), once per architecture and method."""

    @cache
    def once(architecture, method):
        base = resolve_base(str(folder(architecture)))
        return base, *load(base, method), load_tokenizer(base)

    return once


def load(base, method):
    import torch

    with deterministic(0):
        model, new = load_classifier(base, method=method, compute="fp32")
        # Fresh heads start so small that a wrong mask would hide behind the tolerance.
        for name, parameter in model.named_parameters():
            if any(part in new for part in name.split(".")) and parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.1)
    return model, new


def logits(model, tokenizer, texts, *, to=None):
    ids = encode(tokenizer, texts, 128)
    length = to or padded_length(max(map(len, ids)))
    rows, mask = pad(ids, tokenizer.pad_token_id, length)
    return plain_logits(model, rows, mask)


def unpadded(model, tokenizer, text):
    import torch

    ids = torch.tensor(encode(tokenizer, [text], 128))
    return plain_logits(model, ids)[0]


@pytest.mark.parametrize("architecture", [*ENCODERS, *DECODERS])
@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_logits_do_not_depend_on_padding(loaded, architecture, method):
    _, model, _, tokenizer = loaded(architecture, method)
    together = logits(model, tokenizer, UNEQUAL)
    assert together.std(axis=0).min() > 1e-3, "the texts are told apart"
    alone = np.array([unpadded(model, tokenizer, text) for text in UNEQUAL])
    assert np.abs(together - alone).max() < 1e-5
    assert np.abs(logits(model, tokenizer, UNEQUAL[:3], to=128) - alone[:3]).max() < 1e-5


@pytest.mark.parametrize("architecture", [*ENCODERS, *DECODERS])
def test_heads_are_fresh_and_never_quantised(loaded, architecture):
    import bitsandbytes as bnb

    base, model, new, _ = loaded(architecture, "qlora")
    assert base.kind == FAMILIES[architecture].kind
    assert ("score" if base.kind == "decoder" else "classifier") in new
    packed = {name for name, module in model.named_modules() if isinstance(module, bnb.nn.Linear4bit)}
    assert len(packed) >= 8
    assert not {name for name in packed if any(head in name.split(".") for head in new)}


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bert"])
def test_four_bits_keep_the_model(loaded, architecture):
    full, packed = (
        logits(model, tokenizer, TEXTS)
        for _, model, _, tokenizer in (loaded(architecture, method) for method in ("lora", "qlora"))
    )
    # A transposed or shuffled weight would leave no resemblance.
    centred = [(part - part.mean(axis=0)).ravel() for part in (full, packed)]
    assert np.corrcoef(*centred)[0, 1] > 0.8


@pytest.mark.parametrize("architecture", DECODERS)
def test_a_decoder_has_a_padding_token(loaded, architecture):
    _, model, _, tokenizer = loaded(architecture, "lora")
    family = FAMILIES[architecture]
    assert tokenizer.pad_token == (family.pad or family.eos)
    assert model.config.pad_token_id == tokenizer.pad_token_id
    assert tokenizer.padding_side == "right"


@pytest.mark.parametrize("architecture", [*ENCODERS, *DECODERS])
def test_the_tokenizer_is_the_one_in_the_folder(folder, architecture):
    from tokenizers import Tokenizer

    path = folder(architecture)
    written = Tokenizer.from_file(str(path / "tokenizer.json"))
    tokens = encode(load_tokenizer(resolve_base(str(path))), TEXTS, 128)
    assert tokens == [written.encode(text).ids for text in TEXTS]


@pytest.mark.parametrize("architecture", ["llama", "bert"])
def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path, architecture):
    base = resolve_base(str(save_tiny_model(architecture, tmp_path / "small", vocab_size=200)))
    with pytest.raises(ConfigError, match="embeddings"):
        load_classifier(base, method="lora", compute="fp32")


def test_the_text_part_of_a_multimodal_decoder_does_not_depend_on_padding(tmp_path):
    from transformers import AutoConfig, AutoModelForImageTextToText

    tokenizer = save_tokenizer("gemma3_text", tmp_path)
    shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    config = AutoConfig.for_model(
        "gemma3",
        text_config=shape | {"vocab_size": len(tokenizer), "num_key_value_heads": 2, "head_dim": 16},
        vision_config=shape | {"num_hidden_layers": 1, "image_size": 28, "patch_size": 14},
        mm_tokens_per_image=4,
    )
    AutoModelForImageTextToText.from_config(config).save_pretrained(str(tmp_path))
    base = resolve_base(str(tmp_path))
    assert base.kind == "decoder"
    model, _ = load(base, "lora")
    loaded = load_tokenizer(base)
    alone = np.array([unpadded(model, loaded, text) for text in TEXTS[-4:]])
    assert np.abs(logits(model, loaded, TEXTS[-4:]) - alone).max() < 1e-5


def test_code_beside_a_supported_architecture_is_never_run(tmp_path):
    folder = save_tiny_model("phi3", tmp_path / "phi3")
    config = json.loads((folder / "config.json").read_text())
    names = {"AutoConfig": "configuration_mine.Mine", "AutoModelForSequenceClassification": "modeling_mine.Mine"}
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": names}))
    for name in ("configuration_mine.py", "modeling_mine.py"):
        (folder / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    model, _ = load_classifier(resolve_base(str(folder)), method="lora", compute="fp32")
    assert type(model).__module__.startswith("transformers.")
    assert not (tmp_path / "ran").exists()


def test_every_named_architecture_classifies_text():
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

    assert set(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES) >= resolve.DECODERS | resolve.ENCODERS
    assert not resolve.DECODERS & resolve.ENCODERS


def test_a_folder_is_described_without_the_heavy_libraries(folder):
    code = (
        "import sys; from embargo.models.bases.resolve import resolve_base; resolve_base(sys.argv[1]);"
        "print([name for name in ('torch', 'transformers', 'peft', 'huggingface_hub') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder("llama"))], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
