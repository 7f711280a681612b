"""It learns, also in its second pass; a seed gives one adapter; scores survive a save; what cannot work is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from samples.small_bases import small_base
from tuning_method import LOHA

from embargo.data_loaders.errors import ConfigError
from embargo.models import Adapter, Base, TransformerScorer, TuneSettings, default_settings, open_adapter, tune
from embargo.models.methods import METHODS

UNTIL = pd.Timestamp("2016-01-01", tz="UTC")
ENDS = ("fell down", "held flat", "rose up")
LABELS = [number % 3 for number in range(60)]
TEXTS = [
    f"{('profit', 'sales', 'bank')[number // 3 % 3]} {ENDS[label]} {'a ' * (number // 9)}"
    for number, label in enumerate(LABELS)
]
TEST = ["profit fell down", "the bank rose", " ".join(["sales"] * 40)]


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embargo.models.methods.settings.Method", Literal["loha"])
    monkeypatch.setitem(METHODS, "loha", LOHA)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return small_base("bert", tmp_path_factory.mktemp("bert"))


def tuned(base: Base, folder: Path, progress: Any = None, **changes: Any) -> Adapter:
    settings = TuneSettings(
        method="loha", rank=4, dropout=0.0, epochs=2, batch_size=8, learning_rate=2e-2, compute="fp32"
    )
    return tune(
        base,
        train_texts=TEXTS[:45],
        train_labels=LABELS[:45],
        validation_texts=TEXTS[45:],
        validation_labels=LABELS[45:],
        settings=replace(settings, **changes),
        trained_until=UNTIL,
        cache_dir=folder,
        progress=progress,
    )


def test_the_adapter_moves_in_the_second_pass_too(base: Base, tmp_path: Path) -> None:
    after_first: dict[str, np.ndarray] = {}

    def keep_first_pass(done: int, steps: int) -> None:
        if done == steps // 2 + 1:
            (checkpoint,) = (tmp_path / "adapters").glob(".training-*.safetensors")
            after_first.update(
                {name: value for name, value in load_file(checkpoint).items() if name.startswith("now/")}
            )

    adapter = tuned(base, tmp_path, keep_first_pass)
    first, second = adapter.manifest["epochs"]
    assert second["train_loss"] < first["train_loss"]
    assert adapter.manifest["best_epoch"] == 2
    kept = load_file(adapter.path / "adapter_model.safetensors")
    factors = [name for name in kept if "hada_" in name]
    assert len(factors) == 2 * 2 * 4, "two layers, query and value, four factors"
    before = {name.removeprefix("now/").replace(".default", ""): value for name, value in after_first.items()}
    assert [name for name in factors if np.array_equal(kept[name], before[name])] == []


def test_a_seed_gives_one_adapter_and_another_seed_another(base: Base, tmp_path: Path) -> None:
    one, again, other = (tuned(base, tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert one.path.name == again.path.name != other.path.name
    assert one.identity == again.identity != other.identity
    written = (one.path / "adapter_model.safetensors").stat().st_mtime_ns
    assert tuned(base, tmp_path / "a").identity == one.identity
    assert (one.path / "adapter_model.safetensors").stat().st_mtime_ns == written, "tuned once, then read"


def test_scores_survive_saving_and_opening(base: Base, tmp_path: Path) -> None:
    adapter = tuned(base, tmp_path / "made")
    scorer = TransformerScorer(base, adapter)
    moved = Path(shutil.copytree(adapter.path, tmp_path / "moved"))
    opened = TransformerScorer(base, open_adapter(moved))
    np.testing.assert_array_equal(opened.logits(TEST), scorer.logits(TEST))
    assert opened.identity == scorer.identity
    alone = np.vstack([scorer.logits([text]) for text in TEST])
    np.testing.assert_allclose(alone, scorer.logits(TEST), atol=5e-6)


def test_merged_weights_score_as_peft_itself_does(base: Base, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    adapter = tuned(base, tmp_path)
    plain = AutoModelForSequenceClassification.from_pretrained(base.path_or_id, num_labels=3)
    adapted = PeftModel.from_pretrained(plain, str(adapter.path)).eval()
    tokens = AutoTokenizer.from_pretrained(base.path_or_id)(TEST[0], return_tensors="pt")
    with torch.no_grad():
        expected = adapted(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).logits.numpy()
    np.testing.assert_allclose(TransformerScorer(base, adapter).logits(TEST[:1]), expected, atol=5e-6)


def test_its_defaults_are_those_of_a_low_rank_update(base: Base) -> None:
    chosen = default_settings("loha", 5_000, base)
    assert (chosen.method, chosen.rank, chosen.learning_rate, chosen.target) == ("loha", 16, 2e-3, "all-linear")


def test_what_it_cannot_take_is_refused_by_name(tmp_path: Path) -> None:
    transposed = small_base("gpt2", tmp_path / "gpt2")
    with pytest.raises(ConfigError, match=r"'small gpt2' \(gpt2\) .* method 'loha': its layers are stored transposed"):
        tuned(transposed, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
