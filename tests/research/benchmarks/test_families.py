"""The families that are most unlike the others go through every step, and a flaw in one would be seen."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from embargo.data_loaders.errors import ConfigError
from embargo.models.bases.resolve import DECODERS, ENCODERS, UNFIT, open_base
from embargo.models.loading.load import load_tokenizer
from embargo.models.tuning.adapters import tune
from embargo.research.benchmarks import families
from embargo.research.benchmarks.families import OWN_HEAD, TRAIN, VALIDATION, WAYS, Proof, page, prove
from embargo.research.benchmarks.family_members import LONGEST, MEMBERS, WIDTH, write_member

BY_NAME = {member.name: member for member in MEMBERS}
OPT = next(name for name in BY_NAME if name.startswith("OPT, embeddings"))
# Layers stored transposed and held in 4 bits; a part that no text reaches; embeddings narrower than what they feed;
# projections around the layers; one layer for all; a classifier that the checkpoint brings.
WHOLE = [
    ("GPT-2", "qlora"),
    ("Gemma 3, with images", "lora"),
    ("ELECTRA", "prompt"),
    (OPT, "lora, attention"),
    ("ALBERT", "lora"),
    ("MPNet", OWN_HEAD),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    pairs = [*WHOLE, ("ConvBERT", "lora"), ("XLNet", "lora")]
    return prove([(BY_NAME[name], way) for name, way in pairs], tmp_path_factory.mktemp("families"))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    def get(name):
        return write_member(BY_NAME[name], tmp_path_factory.mktemp("member"), TRAIN[0])

    return get


@pytest.mark.parametrize(("name", "way"), WHOLE)
def test_an_unlike_family_is_scored_as_it_was_tuned(found, name, way):
    proof = found[name, way]
    assert proof.refused is None
    assert proof.flaws == ()
    assert proof.apart == proof.elsewhere == 0
    if way != "prompt":
        assert proof.merged < families.SAME_LOGIT
        assert proof.unmerged is None


def test_logits_that_hang_on_the_padding_are_not_given_away_merged(found):
    proof = found["ConvBERT", "lora"]
    assert proof.flaws == ()
    assert proof.apart == proof.elsewhere == 0
    assert proof.merged is None
    assert "how far a text is padded" in proof.unmerged


def test_xlnet_is_refused_by_name_and_says_why(found):
    assert "'xlnet'" in found["XLNet", "lora"].refused
    assert UNFIT["xlnet"] in found["XLNet", "lora"].refused


def test_every_architecture_that_is_claimed_or_refused_has_a_member():
    assert {member.model_type for member in MEMBERS} == DECODERS | ENCODERS | set(UNFIT)
    assert len(BY_NAME) == len(MEMBERS)


@pytest.mark.parametrize(
    ("name", "longest"),
    [("RoBERTa", LONGEST), ("MPNet", LONGEST), ("BERT", LONGEST), ("Gemma 3, with images", LONGEST)],
)
def test_how_long_a_text_can_be_is_known_where_the_tokenizer_does_not_say(written, name, longest):
    """Of RoBERTa's places two lie before the first; a multimodal config tells of its text part."""
    folder = written(name)
    if name.startswith("Gemma"):
        config = json.loads((folder / "config.json").read_text())
        assert "max_position_embeddings" not in config
    base = open_base(folder, name=name)
    assert load_tokenizer(base).model_max_length == longest
    assert base.width == WIDTH


@pytest.mark.parametrize("rate", [0.0, 1e-2])
def test_what_does_not_move_or_is_not_saved_is_a_flaw(written, tmp_path, monkeypatch, rate):
    from safetensors.torch import load_file, save_file

    member = BY_NAME["Llama"]
    base, settings = open_base(written("Llama"), name="llama"), replace(WAYS["lora"], learning_rate=max(rate, 1e-30))
    adapter = tune(
        base,
        train_texts=TRAIN[0],
        train_labels=TRAIN[1],
        validation_texts=VALIDATION[0],
        validation_labels=VALIDATION[1],
        settings=settings,
        trained_until=None,
        cache_dir=tmp_path,
    )
    flaws = families._unmoved(base, member, adapter, settings)
    if rate:
        assert flaws == []
        weights = adapter.path / "adapter_model.safetensors"
        kept = {name: value for name, value in load_file(weights).items() if "score" not in name}
        save_file(kept, weights)
        (flaw,) = families._unmoved(base, member, adapter, settings)
        assert "trained tensors are not saved, such as base_model.model.score.weight" in flaw
    else:
        (flaw,) = flaws
        assert "did not move" in flaw


def test_the_page_tells_what_is_refused_and_what_is_wrong():
    refused = "base 'XLNet': architecture 'xlnet' (/tmp/x/config.json) is refused: it reads padding. Choose another."
    hangs = "base 'ConvBERT': the logits of architecture 'convbert' depend on padding. Score with the adapter."
    text = page(
        {
            ("XLNet", "lora"): Proof(refused=refused),
            ("BERT", "lora"): Proof(merged=2e-7),
            ("ConvBERT", "lora"): Proof(unmerged=hangs),
            ("Llama", "lora"): Proof(flaws=("another process scores it otherwise, by 1.0e-02",), elsewhere=0.01),
        }
    )
    lines = text.splitlines()
    assert "| BERT | `bert` | yes | 2e-07 |" in lines
    assert "| XLNet | `xlnet` | no (1) |  |" in lines
    assert "| ConvBERT | `convbert` | yes, not merged (2) |  |" in lines
    assert "| Llama | `llama` | **flaw** |  |" in lines
    assert "1. it reads padding." in lines
    assert "- Llama, lora: another process scores it otherwise, by 1.0e-02" in lines
    assert "3 pairs were tried, 1 refused; all of it holds for 2." in text
    assert "/tmp" not in text


@pytest.mark.timeout(1800)  # 355 tunings
@pytest.mark.slow
def test_every_family_goes_through_every_step(tmp_path):
    assert families.main(["--write", str(tmp_path / "families.md")]) == 0
    assert "**flaw**" not in (tmp_path / "families.md").read_text()


def test_merging_what_hangs_on_the_padding_is_refused_before_loading(written, tmp_path, monkeypatch):
    from embargo.models.export import merged
    from embargo.models.tuning.adapters import Adapter

    monkeypatch.setattr(merged, "merged_model", lambda *_, **__: pytest.fail("loaded"))
    base = open_base(written("MobileBERT"), name="mobile")
    adapter = Adapter(Path("nowhere"), "9c", {"settings": {"method": "lora"}}, ())
    with pytest.raises(ConfigError, match="'mobilebert' depend on how far a text is padded"):
        merged.merge(base, adapter, tmp_path / "merged")
    assert list(tmp_path.iterdir()) == []
