"""What no model's folder may hold, tried on every way by which a model is loaded."""

import json
import os
import shutil
import struct
from pathlib import Path

import pytest
from samples.model_samples import CUTOFF, sentences
from samples.small_bases import small_base

from embargo.data_loaders.errors import ConfigError, DataError, EmbargoError, MissingPartError
from embargo.models.bases import resolve
from embargo.models.bases.folders import refuse_links, tensor_shapes, understood
from embargo.models.bases.resolve import open_base, resolve_base
from embargo.models.bundles.bundle import open_bundle, write_bundle
from embargo.models.calibration import Calibration
from embargo.models.content import write_manifest
from embargo.models.loading.attach import attach
from embargo.models.methods.cards import check_method
from embargo.models.methods.settings import TuneSettings
from embargo.models.scorers.onnx import OnnxScorer
from embargo.models.scorers.transformer import TransformerScorer, scoring_model
from embargo.models.tuning.adapters import Adapter, open_adapter, tune

FORBIDDEN = ("adapter_model.bin", "pytorch_model.bin", "model.pt", "weights.pkl", "old.ckpt", "own.PTH", "x.joblib")
TEXTS, HELD_OUT = sentences(16, seed=5), sentences(8, seed=6)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return small_base("bert", tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapters(base, tmp_path_factory):
    """One adapter per method, each tuned once."""
    cache, made = tmp_path_factory.mktemp("cache"), {}

    def get(method):
        if method not in made:
            made[method] = tune(
                base,
                train_texts=TEXTS["text"].tolist(),
                train_labels=TEXTS["label"].tolist(),
                validation_texts=HELD_OUT["text"].tolist(),
                validation_labels=HELD_OUT["label"].tolist(),
                settings=TuneSettings(method=method, rank=4, epochs=1, batch_size=8, compute="fp32"),
                trained_until=CUTOFF,
                cache_dir=cache,
            )
        return made[method]

    return get


@pytest.fixture
def unread(adapters, monkeypatch):
    """Nothing that could unpickle or load weights may be called."""
    import peft
    import torch
    import transformers

    adapters("lora"), adapters("full")

    def read(*_, **__):
        raise AssertionError("read")

    monkeypatch.setattr(torch, "load", read)
    monkeypatch.setattr(peft.PeftModel, "from_pretrained", read)
    monkeypatch.setattr(transformers.AutoModelForSequenceClassification, "from_pretrained", read)


def copied(adapter, folder, *, without=(), **files):
    """Return a copy of an adapter with other files, and a manifest that hides it."""
    shutil.copytree(adapter.path, folder)
    for name in without:
        (folder / name).unlink()
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    kept = {name: value for name, value in adapter.manifest.items() if name != "files"}
    return Adapter(folder, adapter.identity, write_manifest(folder, kept), adapter.train_text_hashes)


def written_bundle(base, adapter, folder):
    facts = {
        "name": "mine",
        "seed": 0,
        "data": {"source": "a file"},
        "metrics": {},
        "versions": {},
        "model": {
            **dict.fromkeys(("knowledge_cutoff", "trained_until", "model_id")),
            "settings": adapter.manifest["settings"],
            "epochs": [],
        },
    }
    write_bundle(folder, base=base, adapter=adapter, calibration=Calibration(), facts=facts, validation_texts=[])
    return folder


@pytest.mark.parametrize("name", FORBIDDEN)
@pytest.mark.parametrize("instead", [True, False])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_an_adapter_with_a_pickle_is_refused_unread(base, adapters, tmp_path, unread, name, instead, method):
    weights = "model.safetensors" if method == "full" else "adapter_model.safetensors"
    planted = copied(adapters(method), tmp_path / "a", without=[weights] if instead else [], **{name: b"x"})
    for load in (
        lambda: open_adapter(planted.path),
        lambda: TransformerScorer(base, planted).logits(["up"]),
        lambda: scoring_model(base, planted, "fp32", weights="dense"),
        lambda: attach(None, planted.path, method=method, drawn=()),
    ):
        with pytest.raises(DataError, match=rf"{name}: is a pickle"):
            load()


@pytest.mark.parametrize("place", [".", "adapter", "adapter/deeper"])
def test_a_model_folder_with_a_pickle_is_refused_unread(base, adapters, tmp_path, unread, place):
    folder = written_bundle(base, adapters("lora"), tmp_path / "mine")
    assert open_bundle(folder).manifest["name"] == "mine"
    (folder / place).mkdir(exist_ok=True)
    (folder / place / "adapter_model.bin").write_bytes(b"x")
    with pytest.raises(DataError, match=r"adapter_model\.bin: is a pickle"):
        open_bundle(folder)


def test_an_export_with_a_pickle_is_refused_unread(tmp_path):
    (tmp_path / "model.pkl").write_bytes(b"x")
    with pytest.raises(DataError, match=r"model\.pkl: is a pickle"):
        OnnxScorer(tmp_path)


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_base_of_pickles_is_refused_unread_here_and_in_the_hubs_cache(base, tmp_path, monkeypatch, unread, name):
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
    shutil.copytree(base.path_or_id, snapshot)
    (snapshot / "model.safetensors").rename(snapshot / name)
    with pytest.raises(MissingPartError, match="no safetensors, only pickles"):
        resolve_base(str(snapshot))
    monkeypatch.setattr(resolve.hub, "cached", lambda *_: snapshot)
    listed = resolve.hub.HubListing("0123", tuple(path.name for path in snapshot.iterdir()))
    monkeypatch.setattr(resolve.hub, "list_files", lambda *_: listed)
    monkeypatch.setattr(resolve.hub, "fetch", lambda *_: pytest.fail("fetched"))
    with pytest.raises(MissingPartError, match="no safetensors, only pickles"):
        resolve_base("google-bert/bert-base-uncased")


def test_a_pickle_beside_a_bases_safetensors_is_left_alone(base, tmp_path, monkeypatch):
    import torch

    from embargo.models.loading.load import load_classifier

    folder = Path(shutil.copytree(base.path_or_id, tmp_path / "both"))
    (folder / "pytorch_model.bin").write_bytes(b"not even a pickle")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("unpickled"))
    found = open_base(folder, name="both")
    assert found.weights_hash == base.weights_hash
    load_classifier(found, method="lora", compute="fp32")


def leads_out(folder, outside):
    (folder / "notes.txt").symlink_to(outside / "secret.txt")


def leads_out_as_weights(folder, outside):
    (folder / "config.json").rename(outside / "config.json")
    (folder / "config.json").symlink_to(os.path.relpath(outside / "config.json", folder))


def leads_out_as_a_folder(folder, outside):
    (folder / "more").symlink_to(outside, target_is_directory=True)


def leads_nowhere(folder, outside):
    (folder / "notes.txt").symlink_to(outside / "nothing")


def leads_to_itself(folder, outside):
    del outside
    (folder / "notes.txt").symlink_to(folder / "notes.txt")


def is_endless(folder, outside):
    del outside
    (folder / "notes.txt").symlink_to("/dev/zero")


def is_a_pipe(folder, outside):
    del outside
    os.mkfifo(folder / "notes.txt")


STRANGE = (
    leads_out,
    leads_out_as_weights,
    leads_out_as_a_folder,
    leads_nowhere,
    leads_to_itself,
    is_endless,
    is_a_pipe,
)


@pytest.mark.parametrize("strange", STRANGE)
def test_links_that_leave_the_folder_are_refused_everywhere(base, adapters, tmp_path, strange):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    folder = Path(shutil.copytree(base.path_or_id, tmp_path / "base"))
    strange(folder, outside)
    with pytest.raises(DataError, match=r"(notes\.txt|config\.json|more): is "):
        resolve_base(str(folder))
    if strange is leads_out_as_weights:
        return
    bundle = written_bundle(base, adapters("lora"), tmp_path / "mine")
    strange(bundle / "adapter", outside)
    with pytest.raises(DataError, match=r"(notes\.txt|more): is "):
        open_bundle(bundle)
    with pytest.raises(DataError, match=r"(notes\.txt|more): is "):
        open_adapter(bundle / "adapter")
    with pytest.raises(DataError, match=r"(notes\.txt|more): is "):
        OnnxScorer(bundle)


def test_links_within_a_folder_and_of_the_hubs_cache_are_let_pass(base, tmp_path):
    folder = Path(shutil.copytree(base.path_or_id, tmp_path / "base"))
    (folder / "LICENCE").symlink_to("config.json")
    refuse_links(folder)
    linked = tmp_path / "linked"
    linked.symlink_to(folder, target_is_directory=True)
    assert resolve_base(str(linked)).weights_hash == base.weights_hash
    repository = tmp_path / "models--a--b"
    (repository / "blobs").mkdir(parents=True)
    snapshot = repository / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    for path in Path(base.path_or_id).iterdir():
        shutil.copy(path, repository / "blobs" / path.name)
        (snapshot / path.name).symlink_to(Path("../../blobs") / path.name)
    assert resolve_base(str(snapshot)).weights_hash == base.weights_hash
    (snapshot / "more.txt").symlink_to(folder / "config.json")
    with pytest.raises(DataError, match=r"more\.txt: is a link out of the folder"):
        resolve_base(str(snapshot))


def header(entries):
    content = json.dumps(entries).encode() if not isinstance(entries, bytes) else entries
    return struct.pack("<Q", len(content)) + content + bytes(8)


BROKEN = {
    "empty": b"",
    "no length": b"\0\0",
    "endless": struct.pack("<Q", 2**63) + b"{}",
    "no JSON": header(b"weights"),
    "no object": header(b"[]"),
    "deep": header(b"[" * 100_000),
    "not UTF-8": header(b'{"\xff": 1}'),
    "no offsets": header({"a": {"dtype": "F32", "shape": [2]}}),
    "unknown type": header({"a": {"dtype": "F9", "shape": [2], "data_offsets": [0, 8]}}),
    "wrong shape": header({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}),
    "negative": header({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}),
    "beyond the end": header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}),
    "words": header({"a": {"dtype": "F32", "shape": [2], "data_offsets": ["0", "8"]}}),
    "overlap": header({name: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for name in "ab"}),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_header_is_named_wherever_it_is_read(base, adapters, tmp_path, what):
    path = tmp_path / "model.safetensors"
    path.write_bytes(BROKEN[what])
    with pytest.raises(DataError, match=r"model\.safetensors: is no whole safetensors file"):
        tensor_shapes(path)
    folder = Path(shutil.copytree(base.path_or_id, tmp_path / "base"))
    opened = open_base(folder, name="mine")
    shutil.copy(path, folder / "model.safetensors")
    for load in (lambda: resolve_base(str(folder)), lambda: check_method("lora", opened)):
        with pytest.raises(DataError, match=r"model\.safetensors: is no whole safetensors file"):
            load()
    for method, name in (("lora", "adapter_model__safetensors"), ("full", "model__safetensors")):
        broken = copied(adapters(method), tmp_path / method, **{name: BROKEN[what]})
        with pytest.raises(EmbargoError, match="safetensors"):
            TransformerScorer(base, broken).logits(["up"])


@pytest.mark.parametrize(
    "content",
    [
        {"peft_type": "MAGIC"},
        {"peft_type": "IA3"},
        {"peft_type": ["LORA"]},
        {"peft_type": None},
        {"megatron_config": {}, "megatron_core": "antigravity"},
        {"target_modules": "nothing"},
        {"target_modules": 7},
        {"target_modules": "("},
        {"r": 5},
        {"r": "many"},
        {"task_type": "MAGIC"},
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_an_adapter_of_another_kind_is_refused_by_name(base, adapters, tmp_path, content):
    adapter = adapters("lora")
    whole = json.loads((adapter.path / "adapter_config.json").read_text())
    written = content if isinstance(content, bytes) else json.dumps(whole | content).encode()
    strange = copied(adapter, tmp_path / "a", adapter_config__json=written)
    with pytest.raises(DataError, match=f"{strange.path}"):
        TransformerScorer(base, strange).logits(["up"])


def test_a_full_model_is_of_its_bases_architecture_and_no_adapter(base, adapters, tmp_path):
    adapter = adapters("full")
    config = json.loads((adapter.path / "config.json").read_text())
    other = copied(adapter, tmp_path / "other", config__json=json.dumps(config | {"model_type": "llama"}).encode())
    with pytest.raises(DataError, match="is of type 'llama', its base 'small bert' of 'bert'"):
        TransformerScorer(base, other).logits(["up"])
    # transformers would load what it names from the hub.
    lured = copied(adapter, tmp_path / "lured", adapter_config__json=b'{"base_model_name_or_path": "a/b"}')
    with pytest.raises(DataError, match="does not belong to a fully tuned model"):
        TransformerScorer(base, lured).logits(["up"])


@pytest.mark.parametrize(
    "entries",
    [
        {"transformers_weights": "other.safetensors"},
        {"attn_implementation": "elsewhere"},
        {"attn_implementation": {"": "elsewhere"}},
        {"text_config": {"attn_implementation": "elsewhere"}},
    ],
)
def test_a_configuration_that_names_code_or_other_weights_is_refused_unread(base, adapters, tmp_path, unread, entries):
    folder = Path(shutil.copytree(base.path_or_id, tmp_path / "base"))
    written = json.loads((folder / "config.json").read_text()) | entries
    (folder / "config.json").write_text(json.dumps(written))
    with pytest.raises(ConfigError, match=r"config\.json: _?(attn_implementation|transformers_weights) .*Delete"):
        resolve_base(str(folder))
    full = adapters("full")
    config = json.loads((full.path / "config.json").read_text()) | entries
    planted = copied(full, tmp_path / "full", config__json=json.dumps(config).encode())
    with pytest.raises(ConfigError, match="Delete the entry"):
        TransformerScorer(base, planted).logits(["up"])


def test_a_configuration_with_an_attention_of_transformers_own_is_read(base, tmp_path):
    folder = Path(shutil.copytree(base.path_or_id, tmp_path / "base"))
    written = json.loads((folder / "config.json").read_text()) | {"attn_implementation": "eager"}
    (folder / "config.json").write_text(json.dumps(written))
    assert resolve_base(str(folder)).kind == "encoder"


def test_a_tokenizer_of_another_name_is_refused(base, tmp_path):
    folder = Path(shutil.copytree(base.path_or_id, tmp_path / "base"))
    written = json.loads((folder / "tokenizer_config.json").read_text()) | {
        "fast_tokenizer_files": ["tokenizer.9.json"]
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(written))
    with pytest.raises(ConfigError, match="fast_tokenizer_files names other files"):
        resolve_base(str(folder))


@pytest.mark.parametrize(
    "entries", [{"target_modules": "(query|value)"}, {"exclude_modules": ".*"}, {"rank_pattern": {"^query$": 8}}]
)
def test_an_adapter_names_layers_by_their_names_alone(base, adapters, tmp_path, unread, entries):
    adapter = adapters("lora")
    whole = json.loads((adapter.path / "adapter_config.json").read_text())
    strange = copied(adapter, tmp_path / "a", adapter_config__json=json.dumps(whole | entries).encode())
    with pytest.raises(DataError, match="is no name"):
        open_adapter(strange.path)


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"num_hidden_layers": 10**9}, "1,000,000,000 layers"),
        ({"vocab_size": 10**8}, "describes a model of"),
        ({"intermediate_size": 10**7}, "describes a model of"),
    ],
)
def test_a_model_far_larger_than_its_weights_is_never_built(base, tmp_path, entries, told):
    from embargo.models.loading.load import load_classifier

    folder = Path(shutil.copytree(base.path_or_id, tmp_path / "base"))
    written = json.loads((folder / "config.json").read_text()) | entries
    (folder / "config.json").write_text(json.dumps(written))
    with pytest.raises(DataError, match=told):
        load_classifier(resolve_base(str(folder)), method="lora", compute="fp32")


class PanicException(BaseException):
    """As tokenizers raises."""


class OutOfMemoryError(RuntimeError):
    """As torch raises."""


@pytest.mark.parametrize("failure", [KeyError("a"), ZeroDivisionError(), RecursionError(), PanicException("no entry")])
def test_whatever_a_library_raises_becomes_one_error_that_names_the_folder(failure):
    with (
        pytest.raises(DataError, match=f"here: cannot be read as a model .{type(failure).__name__}"),
        understood("here"),
    ):
        raise failure


@pytest.mark.parametrize(
    "failure", [MissingPartError("told"), OSError("disk"), MemoryError(), OutOfMemoryError(), KeyboardInterrupt()]
)
def test_what_is_no_damage_passes_as_it_is(failure):
    with pytest.raises(type(failure)) as caught, understood("here"):
        raise failure
    assert caught.value is failure


def test_logits_that_are_no_numbers_are_no_answer():
    import numpy as np

    from embargo.models.loading.batches import batched_logits

    def forward(rows, _):
        return np.array([[np.nan if row[0] == 2 else 0.0, 1.0, 2.0] for row in rows])

    assert batched_logits([[1], [3]], forward, token_budget=64).shape == (2, 3)
    with pytest.raises(DataError, match="1 of 2 texts, first text 1"):
        batched_logits([[1], [2]], forward, token_budget=64)


def test_a_graph_with_its_weights_elsewhere_is_refused(tmp_path):
    from embargo.models.scorers import onnx

    (tmp_path / "model.onnx").write_bytes(b"..\n\x08location\x12\x08.x.bin..")
    with pytest.raises(DataError, match="takes weights from other files"):
        onnx._open_session(None, tmp_path / "model.onnx", None)
