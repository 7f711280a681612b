import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from embargo.models.methods.defaults import default_settings
from embargo.models.tuning import adapters
from embargo.models.tuning.tiny import TinySettings, pretrain_tiny
from embargo.research.benchmarks import model

pytestmark = pytest.mark.slow

VERBS = {"negative": ("fell", "sank"), "neutral": ("met", "said"), "positive": ("rose", "grew")}
KNOWN = pd.Timestamp("2013-01-01", tz="UTC")


@pytest.fixture(scope="module")
def phrases(tmp_path_factory):
    rng = np.random.default_rng(0)
    labels = rng.choice(list(VERBS), 150, p=[0.2, 0.5, 0.3])
    texts = [f"sales {rng.choice(VERBS[label])} in quarter {number}" for number, label in enumerate(labels)]
    agreement = rng.choice(["all", "50"], 150, p=[0.8, 0.2])
    path = tmp_path_factory.mktemp("phrases") / "phrases.parquet"
    pd.DataFrame({"text": texts, "label": labels, "agreement": agreement}).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def base(phrases, tmp_path_factory):
    texts = pd.read_parquet(phrases)["text"].tolist()
    settings = TinySettings(hidden=64, intermediate=64, vocabulary=200, max_length=16, epochs=1)
    cache = tmp_path_factory.mktemp("base")
    return pretrain_tiny(
        texts, known_at=[KNOWN] * len(texts), knowledge_cutoff=KNOWN, settings=settings, cache_dir=cache
    )


@pytest.fixture(autouse=True)
def quick(base, monkeypatch):
    monkeypatch.setattr(model, "open_named", lambda *_: base)
    monkeypatch.setattr(
        model, "default_settings", lambda *given: replace(default_settings(*given), epochs=1, max_length=16)
    )


def asked(phrases, folder, *more):
    given = ["--data", str(phrases), "--set", "AllAgree", "--bases", "tiny", "--cache", str(folder)]
    return model.arguments([*given, *more])


def test_the_parts_are_fixed_apart_and_shared_out_by_class(phrases):
    first, again = model.read_split(phrases, "AllAgree"), model.read_split(phrases, "AllAgree")
    parts = [first.train, first.validation, first.test]
    texts = [set(part["text"]) for part in parts]
    assert sum(map(len, texts)) == len(set.union(*texts)) == (pd.read_parquet(phrases)["agreement"] == "all").sum()
    whole = pd.concat(parts)
    assert len(first.test) == pytest.approx(0.2 * len(whole), abs=1)
    assert len(first.validation) == pytest.approx(0.08 * len(whole), abs=1)
    for part in parts:
        counts = whole["label"].value_counts(normalize=True) * len(part)
        assert (part["label"].value_counts().sub(counts).abs() <= 1).all()
    pd.testing.assert_frame_equal(first.test, again.test)
    assert len(model.read_split(phrases, "50Agree").test) == 30


def test_a_benchmark_goes_on_where_it_stopped_and_tells_the_same(phrases, tmp_path, monkeypatch):
    written = tmp_path / "figures.json"
    given = asked(
        phrases, tmp_path, "--methods", "lora", "qlora", "prefix", "--seeds", "0", "1", "--json", str(written)
    )
    console = Console(width=150, record=True)
    model.benchmark(given, console)
    first = json.loads(written.read_text())
    told = [(row["base"], row["method"], row["seed"]) for row in first["rows"]]
    runs = [("tiny", method, seed) for seed in (0, 1) for method in ("lora", "qlora")]
    assert told == [("-", name, None) for name in ("majority", "lexicon", "TF-IDF")] + runs
    assert all(row["train_cpu_seconds"] > 0 for row in first["rows"][2:])
    assert first["rows"][2]["accuracy"] > first["rows"][0]["accuracy"]
    four_bits = first["seeds"][0]
    gaps = [first["rows"][4 + at]["macro_f1"] - first["rows"][3 + at]["macro_f1"] for at in (0, 2)]
    assert four_bits["differences"] == pytest.approx(gaps)
    assert four_bits["mean"] == pytest.approx(np.mean(gaps))
    page = console.export_text()
    assert page.count("weighted-F1") == 1
    assert "Four bits" in page
    assert "tiny: no prefix, as" in page

    monkeypatch.setattr(adapters, "_train", lambda *_: pytest.fail("tuned again"))
    model.benchmark(given, Console(quiet=True))
    second = json.loads(written.read_text())
    for row, same in zip(first["rows"][3:], second["rows"][3:], strict=True):
        assert row | {"cpu_ms_per_text": 0} == same | {"cpu_ms_per_text": 0}
    assert first["seeds"] == second["seeds"]


def test_the_best_method_is_that_of_the_validation_part(phrases, tmp_path):
    parts = model.read_split(phrases, "AllAgree")
    judged = list(model.peers(parts))
    known = [
        replace(judged[0], row=replace(judged[0].row, base="tiny", method=method, validation_loss=loss, macro_f1=f1))
        for method, loss, f1 in (("lora", 0.2, 0.1), ("full", 0.3, 0.9))
    ]
    table = model.best_compared([*judged, *known], parts, "tiny")
    assert set(table["a"]) == {"tiny lora"}
    assert set(table["b"]) == {"TF-IDF"}


def test_rates_are_compared_without_the_test_part(phrases, base, tmp_path):
    parts = model.read_split(phrases, "AllAgree")
    blind = replace(parts, test=parts.test.iloc[:0])
    told = list(model.search(base, blind, ["lora"], [1e-4, 1e-2], ["all-linear"], tmp_path))
    assert [line[4] for line in told] == ["0.0001", "0.01"]
    assert float(told[1][5]) < float(told[0][5])
