"""The GPU benchmark, whole, on a very small model: every row, ratios that follow from them, and what goes wrong."""

import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from embargo.research.benchmarks import gpu, gpu_rows
from embargo.research.benchmarks.gpu import Row, goals, measured, peak_of, printed, with_ratio
from embargo.research.benchmarks.gpu_base import LLAMA_8B, TINY, MadeBase, lengths_of, texts_of
from embargo.research.benchmarks.gpu_rows import SMALL, Bench, Speed, flops

pytestmark = pytest.mark.slow

PARTS = Counter(
    {
        ("tuning, 8 full texts a step", "product"): 1,
        ("tuning, 32 texts a step", "plain"): 2,
        ("tuning, 32 texts a step", "product"): 2,
        ("scoring, merged, fp32", "plain"): 1,
        ("scoring, merged, fp32", "product"): 1,
        ("scoring, unmerged, 4-bit", "plain"): 1,
        ("scoring, unmerged, 4-bit", "product"): 1,
        ("tuning, 8 texts a step", "plain"): 1,
        ("tuning, 8 texts a step", "product"): 1,
    }
)


@pytest.fixture(scope="module", autouse=True)
def environment():
    """What the command sets for its own process does not outlast these tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE"):
            patch.setenv(name, "0")
        yield


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("gpu") / "report.json"
    assert gpu.main(["--device", "cpu", "--tiny", "--json", str(path)]) == 0
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    return Bench(MadeBase(TINY, folder / "base", "fp32"), SMALL, "fp32", folder)


def test_every_row_is_measured(report):
    assert Counter((row["part"], row["way"]) for row in report["rows"]) == PARTS
    for row in report["rows"]:
        assert row["note"] in ("", "1 texts repeated"), row
        assert row["tokens_per_s"] > row["texts_per_s"] > 0
        assert row["mfu"] is None
        assert row["peak_gb"] is None


def test_ratios_are_those_of_their_rows(report):
    plain = {(row["part"], row["length"]): row["tokens_per_s"] for row in report["rows"] if row["way"] == "plain"}
    assert len(plain) == 5
    for row in report["rows"]:
        key = row["part"], row["length"]
        if row["way"] == "plain" or key not in plain:
            assert row["ratio"] is None
        else:
            assert row["ratio"] == pytest.approx(row["tokens_per_s"] / plain[key])


def test_goals_say_what_the_rows_say(report):
    assert len(report["goals"]) == 5
    assert report["goals"][0]["met"] is None
    for goal in report["goals"][1:]:
        assert goal["met"] == (goal["figure"] >= (3 if goal["goal"].startswith("scoring") else 1.5))
    small = Row("tuning, 8 full texts a step", "product", 128, peak_gb=6.9)
    assert [goal["met"] for goal in goals([small])] == [True]
    assert "7 GB" in goals([small])[0]["goal"]


def test_no_row_is_begun_for_which_the_time_is_out(capsys, tmp_path):
    assert gpu.main(["--device", "cpu", "--tiny", "--minutes", "0", "--json", str(tmp_path / "r.json")]) == 0
    rows = json.loads((tmp_path / "r.json").read_text())["rows"]
    assert len(rows) == sum(PARTS.values())
    assert all(row["note"].startswith("skipped: 0 minutes") and row["tokens_per_s"] is None for row in rows)
    assert capsys.readouterr().out.count("skipped") == len(rows)


@pytest.mark.parametrize(
    ("arguments", "said"), [([], "no CUDA GPU"), (["--device", "cpu"], "--tiny"), (["--tiny"], "--device cpu")]
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_it_says_so(arguments, said, capsys):
    assert gpu.main(arguments) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("failure", "note"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory"),
        (RuntimeError("no kernel\nat line 3"), "failed: RuntimeError: no kernel"),
    ],
)
def test_a_row_that_fails_says_so_and_keeps_its_place(bench, failure, note):
    def work():
        raise failure

    row = Row("scoring", "product", 128)
    found = measured(bench, row, 989.0, work)
    assert (found.note, found.tokens_per_s) == (note, None)
    assert with_ratio(found, [Row("scoring", "plain", 128, tokens_per_s=1.0)]).ratio is None
    assert note in printed([found])
    assert [goal["met"] for goal in goals([found])] == [None]


def test_the_shape_counts_the_weights_of_the_model_that_is_made(bench):
    model = gpu_rows.adapted(bench, gpu_rows.settings_of(bench, 32, 8))
    frozen = [layer for layer in model.modules() if type(layer).__name__ == "Linear4bit" and hasattr(layer, "lora_A")]
    assert len(frozen) == 7 * TINY.layers
    assert sum(layer.in_features * layer.out_features for layer in frozen) == TINY.linear
    assert all(layer.weight.dtype == torch.uint8 and layer.weight.quant_state.nested for layer in frozen)
    trained = {name: value.numel() for name, value in model.named_parameters() if value.requires_grad}
    assert sum(size for name, size in trained.items() if "lora_" in name) == TINY.adapters(16)
    # Eight billion weights less the output embedding.
    assert round(LLAMA_8B.linear / 1e9, 2) == 6.98
    assert round(LLAMA_8B.embedded / 1e9, 3) == 0.525


def test_lent_models_share_weights_and_nothing_else(bench):
    first, second = (bench.made.lend(method="qlora", compute="fp32")[0] for _ in range(2))
    first.model.embed_tokens.weight.data = first.model.embed_tokens.weight.data.half()
    assert second.model.embed_tokens.weight.dtype == torch.float32
    layers = [model.model.layers[0].mlp.up_proj for model in (first, second)]
    assert layers[0].weight.data_ptr() == layers[1].weight.data_ptr()
    assert layers[0] is not layers[1]
    assert not any(value.is_meta for model in (first, second) for value in (*model.parameters(), *model.buffers()))


def test_flops_by_hand():
    attention = 2 * TINY.hidden * TINY.layers * (9 + 16)
    assert flops(TINY, Speed([3, 4], 1.0, trained=False)) == 14 * TINY.linear + attention
    trained = 7 * (4 * TINY.linear + 6 * TINY.adapters(16)) + 3 * attention
    assert flops(TINY, Speed([3, 4], 1.0, trained=True)) == trained


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A10G", 70),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
        ("NVIDIA GeForce RTX 4090", 165),
        ("Some other GPU", None),
    ],
)
def test_peaks_by_name(name, peak):
    assert peak_of(name) == peak


def test_texts_are_as_long_as_headlines_and_never_longer_than_the_cut(bench):
    from embargo.models.loading.load import encode, load_tokenizer

    lengths = lengths_of(4000, 128, np.random.default_rng(0))
    assert lengths.max() <= 128
    assert abs(np.median(lengths) - 24) <= 1
    assert abs(np.log(lengths).std() - 0.5) < 0.05
    texts = texts_of(lengths[:50], TINY, np.random.default_rng(0))
    tokens = encode(load_tokenizer(bench.made.base), texts, 128)
    assert [len(row) for row in tokens] == lengths[:50].tolist()
    assert all(math.isfinite(value) and value > 1 for row in tokens for value in row)


def test_the_loop_that_a_gpu_takes_learns_the_same_from_packed_rows(bench, monkeypatch):
    from embargo.models.loading.load import deterministic
    from embargo.models.tuning import loop

    settings = replace(gpu_rows.settings_of(bench, 32, 16), dropout=0.0, micro_batch=4, learning_rate=2e-2)
    part, held_out = (gpu_rows.samples(bench, gpu_rows.drawn(48, 32, seed), 32, seed) for seed in (0, 1))
    losses = []
    for packs in (False, True):
        monkeypatch.setattr(loop, "_packs", lambda model, packs=packs: packs)
        model = gpu_rows.adapted(bench, settings)
        rows_of_calls = []
        model.get_base_model().model.embed_tokens.register_forward_pre_hook(
            lambda _module, inputs, seen=rows_of_calls: seen.append(len(inputs[0]))
        )
        with deterministic(0):
            done = loop.train(
                model, (part, held_out), settings, pad_id=0, autocast="fp32", checkpoint=bench.scratch("checkpoint")
            )
        losses.append([done.epochs[0]["train_loss"], done.epochs[0]["validation_loss"]])
        # Packed, a micro-batch is one row of many texts.
        assert (max(rows_of_calls) == 1) == packs
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
