import importlib.util
import json
import struct
import sys
import time

import pandas as pd
import pytest
from samples.model_samples import CUTOFF

from embargo.data_loaders.errors import ConfigError, DataError, LeakError, MissingPartError
from embargo.models.bases import resolve
from embargo.models.bases.registry import registered
from embargo.models.bases.resolve import open_base, resolve_base
from embargo.models.tuning.tiny import TinySettings, pretrain_tiny

SMALL = TinySettings(hidden=64, intermediate=64, vocabulary=300, max_length=32, epochs=1)


WHOLE = json.dumps({"layer": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()


def safetensors(values=(1.0, 2.0)):
    return struct.pack("<Q", len(WHOLE)) + WHOLE + struct.pack("<2f", *values)


def folder_with(tmp_path, *, config='{"model_type": "bert"}', **extra):
    """A folder with the least that makes up a base, plus the files in ``extra`` (dots as __); None leaves one out."""
    files = {"config.json": config, "model.safetensors": safetensors(), "tokenizer.json": "{}"}
    files |= {name.replace("__", "."): content for name, content in extra.items()}
    for name, content in files.items():
        if content is not None:
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return tmp_path


def test_a_folder_is_described_and_hashed(tmp_path):
    folder = folder_with(tmp_path, config='{"model_type": "llama"}')
    base = resolve_base(str(folder))
    assert (base.kind, base.knowledge_cutoff, base.source) == ("decoder", None, "not documented")
    (folder / "model.safetensors").write_bytes(safetensors((1.0, 3.0)))
    assert resolve_base(str(folder)).weights_hash != base.weights_hash
    declared = resolve_base(str(folder), knowledge_cutoff=CUTOFF)
    assert declared.knowledge_cutoff == CUTOFF
    assert "declared" in declared.source


def test_a_config_hints_at_an_origin_but_proves_nothing(tmp_path):
    config = {"model_type": "bert", "_name_or_path": "bert-base-uncased"}
    base = resolve_base(str(folder_with(tmp_path, config=json.dumps(config))))
    assert base.knowledge_cutoff is None
    assert "google-bert/bert-base-uncased" in base.source
    assert "nothing proves" in base.source
    assert base.exposures == ()


def test_a_folder_named_like_a_known_base_documents_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("google-bert/bert-base-uncased", "bert-base-uncased"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        folder_with(folder)
        assert resolve_base(name).knowledge_cutoff is None
        assert resolve_base(name).source == "not documented"


def test_a_mistyped_name_is_corrected_before_the_hub_is_asked(monkeypatch):
    def asked(*_):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(resolve.hub, "cached", asked)
    monkeypatch.setattr(resolve.hub, "list_files", asked)
    with pytest.raises(ConfigError, match="'google-bert/bert-base-uncased'"):
        resolve_base("google-bert/bert-base-uncasd")
    with pytest.raises(ConfigError, match=r"'meta-llama/Llama-3\.2-1B'"):
        resolve_base("Llama-3.2-1b")
    with pytest.raises(MissingPartError, match="'roberta-base' or"):
        resolve_base("roberta")
    with pytest.raises(MissingPartError, match="owner/name"):
        resolve_base("zzzz")
    with pytest.raises(LeakError, match="earlier than the documented"):
        resolve_base("meta-llama/Llama-3.2-1B", knowledge_cutoff=CUTOFF)
    with pytest.raises(AssertionError, match="asked"):  # who declares a cutoff means that very name
        resolve_base("google-bert/bert-base-uncasd", knowledge_cutoff=CUTOFF)


def _without(name, **extra):
    return {name.replace(".", "__"): None} | extra


LLAMA = {"model_type": "llama"}
REFUSED = {
    "pickle": (_without("model.safetensors", pytorch_model__bin=b"x"), MissingPartError, "only pickles"),
    "sharded pickles": (
        _without("model.safetensors", **{"pytorch_model-00001-of-00002.bin": b"x"}),
        MissingPartError,
        "sharded pickles",
    ),
    "GGUF": (_without("model.safetensors", **{"llama.Q4_K_M.gguf": b"GGUF"}), MissingPartError, "GGUF"),
    "TensorFlow": (_without("model.safetensors", tf_model__h5=b"x"), MissingPartError, "TensorFlow"),
    "publisher's layout": (
        _without("model.safetensors", consolidated__safetensors=b"x"),
        MissingPartError,
        "consolidated",
    ),
    "nothing": (_without("model.safetensors"), MissingPartError, "no safetensors"),
    "no config": (_without("config.json"), MissingPartError, r"no config\.json"),
    "no tokenizer": (_without("tokenizer.json"), MissingPartError, "no tokenizer"),
    "adapter beside": ({"adapter_config__json": "{}"}, ConfigError, "holds an adapter"),
    "foreign code": (
        {"config__json": json.dumps({"model_type": "chronogpt", "auto_map": {"AutoModel": "modeling.M"}})},
        ConfigError,
        "auto_map.*never run",
    ),
    "foreign code without a type": ({"config__json": json.dumps({"auto_map": {}})}, ConfigError, "never run"),
    "no classifier": ({"config__json": json.dumps({"model_type": "whisper"})}, ConfigError, "'whisper'.*Encoders:"),
    "quantised": (
        {"config__json": json.dumps(LLAMA | {"quantization_config": {"quant_method": "gptq"}})},
        ConfigError,
        "quantised already .gptq",
    ),
    "config is no JSON": ({"config__json": "{"}, DataError, r"config\.json"),
    "config is a list": ({"config__json": "[]"}, DataError, r"config\.json"),
    "config without a type": ({"config__json": "{}"}, DataError, "model_type"),
    "cut off": ({"model__safetensors": safetensors()[:-1]}, DataError, "no whole safetensors"),
    "no header": ({"model__safetensors": b"weights"}, DataError, "no whole safetensors"),
    "empty": ({"model__safetensors": b""}, DataError, "no whole safetensors"),
    "a page saved as weights": ({"model__safetensors": b"<!DOCTYPE html>" * 9}, DataError, "no whole safetensors"),
    "shards without an index": (
        _without("model.safetensors", **{"model-00001-of-00002.safetensors": safetensors()}),
        MissingPartError,
        "index",
    ),
    "a shard missing": (
        _without(
            "model.safetensors",
            **{
                "model-00001-of-00002.safetensors": safetensors(),
                "model.safetensors.index.json": json.dumps(
                    {"weight_map": {key: f"model-0000{key}-of-00002.safetensors" for key in (1, 2)}}
                ),
            },
        ),
        MissingPartError,
        "lacks 1 of 2 shards, first model-00002-of-00002",
    ),
    "an index that leads elsewhere": (
        _without(
            "model.safetensors",
            **{
                "model-00001-of-00001.safetensors": safetensors(),
                "model.safetensors.index.json": json.dumps({"weight_map": {"a": "../../secret.safetensors"}}),
            },
        ),
        DataError,
        "weight_map",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_loaded_is_refused_by_name(tmp_path, what, monkeypatch):
    extra, error, words = REFUSED[what]
    folder_with(tmp_path, **extra)
    # Before anything heavy is imported: an import would fail here.
    for library in ("torch", "transformers", "huggingface_hub"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(error, match=words) as refusal:
        resolve_base(str(tmp_path))
    assert str(tmp_path) in str(refusal.value)


def test_weights_cut_off_or_extended_anywhere_are_noticed(tmp_path):
    folder, whole = folder_with(tmp_path), safetensors()
    for content in [*(whole[:length] for length in range(len(whole))), whole + b"x"]:
        (folder / "model.safetensors").write_bytes(content)
        with pytest.raises(DataError, match=r"model\.safetensors"):
            resolve_base(str(folder))


def test_a_lone_sentencepiece_model_needs_its_library(tmp_path, monkeypatch):
    folder = folder_with(tmp_path, tokenizer__json=None, spm__model=b"x")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        resolve.importlib.util, "find_spec", lambda name: None if name == "sentencepiece" else find(name)
    )
    with pytest.raises(MissingPartError, match="pip install sentencepiece"):
        resolve_base(str(folder))


def test_shards_are_opened_by_their_index(tmp_path):
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = json.dumps({"weight_map": dict(zip("ab", names, strict=True))})
    files = dict.fromkeys(names, safetensors()) | {"model.safetensors.index.json": index}
    base = resolve_base(str(folder_with(tmp_path, **_without("model.safetensors", **files))))
    (tmp_path / names[1]).write_bytes(safetensors((0.0, 0.0)))
    assert resolve_base(str(tmp_path)).weights_hash != base.weights_hash


def test_absent_things_are_named_without_waiting(monkeypatch):
    started = time.monotonic()
    with pytest.raises(MissingPartError, match="no such folder"):
        resolve_base("./nowhere")
    with pytest.raises(MissingPartError, match="nobody/nothing"):
        resolve_base("nobody/nothing")
    monkeypatch.setattr(resolve.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingPartError, match=r"embargo-backtest\[minilm\]"):
        resolve_base("minilm")
    assert time.monotonic() - started < 60


def test_a_cutoff_earlier_than_documented_is_a_leak(tmp_path):
    known = registered()["google-bert/bert-base-uncased"]
    folder = folder_with(tmp_path)
    assert open_base(folder, name="bert", known=known).knowledge_cutoff == pd.Timestamp("2018-10-31T23:59:59.999999Z")
    with pytest.raises(LeakError, match="earlier than the documented"):
        open_base(folder, name="bert", known=known, knowledge_cutoff=CUTOFF)
    with pytest.raises(ConfigError, match="time zone"):
        resolve_base(str(folder), knowledge_cutoff=pd.Timestamp("2020-01-01"))


def test_tiny_is_made_not_found():
    with pytest.raises(ConfigError, match="pretrain_tiny"):
        resolve_base("tiny")


def test_tiny_refuses_a_text_from_after_the_cutoff(tmp_path):
    texts = ["shares rose", "shares fell"]
    late = [CUTOFF, CUTOFF + pd.Timedelta(microseconds=1)]
    with pytest.raises(LeakError, match="shares fell"):
        pretrain_tiny(texts, known_at=late, knowledge_cutoff=CUTOFF, cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_tiny_is_the_same_bits_for_the_same_texts(tmp_path):
    texts = [f"shares of company {number} rose after the report" for number in range(60)]
    common = {"known_at": [CUTOFF] * 60, "knowledge_cutoff": CUTOFF, "settings": SMALL}
    first = pretrain_tiny(texts, cache_dir=tmp_path / "a", **common)
    again = pretrain_tiny(texts[::-1], cache_dir=tmp_path / "b", **common)
    other = pretrain_tiny(texts, cache_dir=tmp_path / "b", seed=1, **common)
    assert first.weights_hash == again.weights_hash != other.weights_hash
    assert first.knowledge_cutoff == CUTOFF


def test_tiny_knows_only_words_of_its_corpus(tiny_base):
    from embargo.models.loading.load import load_tokenizer

    tokenizer = load_tokenizer(tiny_base)
    assert "plunged" in tokenizer.get_vocab()
    assert "pandemic" not in tokenizer.get_vocab()
    assert tokenizer.unk_token_id not in tokenizer("pandemic")["input_ids"]
    manifest = json.loads((resolve.Path(tiny_base.path_or_id) / "manifest.json").read_text())
    assert manifest["losses"][-1] < manifest["losses"][0]


@pytest.mark.parametrize(
    "change", [{"hidden": 100}, {"heads": 3}, {"epochs": 0}, {"mask_share": 0.0}, {"max_length": 30}]
)
def test_tiny_refuses_impossible_shapes(change):
    with pytest.raises(ConfigError):
        TinySettings(**change)
