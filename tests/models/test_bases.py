import json
import time

import pandas as pd
import pytest
from model_samples import CUTOFF

from data_loaders.errors import ConfigError, DataError, LeakError, MissingPartError
from models import bases
from models.bases import KNOWN_BASES, open_base, resolve_base
from models.tiny import TinySettings, pretrain_tiny

SMALL = TinySettings(hidden=64, intermediate=64, vocabulary=300, max_length=32, epochs=1)


def folder_with(tmp_path, *, weights="model.safetensors", config='{"model_type": "bert"}'):
    (tmp_path / "config.json").write_text(config)
    (tmp_path / weights).write_bytes(b"weights")
    return tmp_path


def test_a_folder_is_described_and_hashed(tmp_path):
    folder = folder_with(tmp_path, config='{"model_type": "llama"}')
    base = resolve_base(str(folder))
    assert (base.kind, base.knowledge_cutoff, base.source) == ("decoder", None, "not documented")
    (folder / "model.safetensors").write_bytes(b"weightz")
    assert resolve_base(str(folder)).weights_hash != base.weights_hash
    declared = resolve_base(str(folder), knowledge_cutoff=CUTOFF)
    assert declared.knowledge_cutoff == CUTOFF
    assert "declared" in declared.source


def test_other_weights_than_safetensors_are_refused(tmp_path):
    with pytest.raises(MissingPartError, match="no safetensors"):
        resolve_base(str(folder_with(tmp_path, weights="pytorch_model.bin")))


def test_an_unreadable_config_is_named(tmp_path):
    with pytest.raises(DataError, match=r"config\.json"):
        resolve_base(str(folder_with(tmp_path, config="{}")))


def test_absent_things_are_named_without_waiting(monkeypatch):
    started = time.monotonic()
    with pytest.raises(MissingPartError, match="no such folder"):
        resolve_base("./nowhere")
    with pytest.raises(MissingPartError, match="nobody/nothing"):
        resolve_base("nobody/nothing")
    monkeypatch.setattr(bases.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingPartError, match=r"embargo\[minilm\]"):
        resolve_base("minilm")
    assert time.monotonic() - started < 60


def test_a_cutoff_earlier_than_documented_is_a_leak(tmp_path):
    known = KNOWN_BASES["google-bert/bert-base-uncased"]
    folder = folder_with(tmp_path)
    assert open_base(folder, name="bert", known=known).knowledge_cutoff == pd.Timestamp("2018-10-31T23:59:59.999999Z")
    with pytest.raises(LeakError, match="earlier than the documented"):
        open_base(folder, name="bert", known=known, knowledge_cutoff=CUTOFF)
    with pytest.raises(ConfigError, match="time zone"):
        resolve_base(str(folder), knowledge_cutoff=pd.Timestamp("2020-01-01"))


def test_every_known_base_has_a_readable_cutoff_and_a_source():
    for name, known in KNOWN_BASES.items():
        assert known.source, name
        assert known.knowledge_cutoff is None or pd.Timestamp(known.knowledge_cutoff).year >= 2018
    assert "financial_phrasebank" in KNOWN_BASES["ProsusAI/finbert"].exposures


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
    from models.loading import load_tokenizer

    tokenizer = load_tokenizer(tiny_base)
    assert "plunged" in tokenizer.get_vocab()
    assert "pandemic" not in tokenizer.get_vocab()
    assert tokenizer.unk_token_id not in tokenizer("pandemic")["input_ids"]
    manifest = json.loads((bases.Path(tiny_base.path_or_id) / "manifest.json").read_text())
    assert manifest["losses"][-1] < manifest["losses"][0]


@pytest.mark.parametrize(
    "change", [{"hidden": 100}, {"heads": 3}, {"epochs": 0}, {"mask_share": 0.0}, {"max_length": 30}]
)
def test_tiny_refuses_impossible_shapes(change):
    with pytest.raises(ConfigError):
        TinySettings(**change)
