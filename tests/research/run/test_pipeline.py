"""The whole job on small simulated markets: what it writes, that it repeats itself, and that it refuses bad input."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from samples.small_runs import ARCHIVE, SMALL, embargo, metrics_of, only_run, rounded, settings

from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
from embargo.research.config.experiment import load_config
from embargo.research.examples.shipped import example
from embargo.research.progress import Quiet
from embargo.research.run.preparation import prepare

PROMISED = {
    "sharpe",
    "sharpe_low",
    "sharpe_high",
    "sharpe_p_value",
    "permutation_p_value",
    "probabilistic_sharpe",
    "deflated_sharpe",
    "max_drawdown",
    "total_return",
    "annual_return",
    "annual_volatility",
    "turnover",
    "n_trades",
    "n_articles",
    "n_bars",
    "regimes",
    "classification",
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    (folder / "small.toml").write_text(SMALL)
    result = embargo("run", folder / "small.toml", "--out", folder / "runs", "--cache", folder / "cache")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def by_kernel(small: Path) -> Path:
    arguments = ("--out", small / "kernel", "--cache", small / "cache", *settings("execution.engine=kernel"))
    result = embargo("run", small / "small.toml", *arguments)
    assert result.exit_code == 0, result.output
    return only_run(small / "kernel")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a market to files as a user would have them, and a config that reads them."""
    folder = tmp_path_factory.mktemp("market")
    simulated = SimulatedMarket(n_symbols=10, start="2015-01-01", end="2017-12-31", articles_per_symbol_day=0.2)
    world = simulate_market(simulated)
    world.news.drop(columns="known_at").to_parquet(folder / "news.parquet")
    fields = {
        name: getattr(world.prices, name).set_axis(world.prices.open_at.tz_convert("America/New_York").date)
        for name in ("open", "high", "low", "close", "volume")
    }
    columns = {name: panel.unstack() for name, panel in fields.items()}  # noqa: PD010 - one long column per field
    long = pd.DataFrame(columns).rename_axis(["symbol", "date"]).reset_index().dropna()
    long["date"] = pd.to_datetime(long["date"]).dt.tz_localize("UTC")
    long.to_parquet(folder / "prices.parquet")
    (folder / "archive.toml").write_text(ARCHIVE)
    return folder


@pytest.fixture
def archive(market: Path, tmp_path: Path) -> Path:
    """Copy the files of the market, for a test to change them and to run on them."""
    return Path(shutil.copytree(market, tmp_path / "archive"))


def test_the_kernel_makes_the_same_run_without_single_trades(small: Path, by_kernel: Path) -> None:
    kept, kernel = (metrics_of(small / folder) for folder in ("runs", "kernel"))
    assert kernel["trades"] is None
    assert kernel.keys() == kept.keys()
    cells = [cell for definition in kernel["regimes"].values() for cell in definition.values()]
    assert {cell["n_trades"] for cell in cells} == {None}
    for name in ("sharpe", "total_return", "turnover", "n_trades", "permutation_p_value", "max_drawdown"):
        assert kernel[name] == pytest.approx(kept[name], rel=1e-9), name
    page = (by_kernel / "report.html").read_text()
    assert "books keep no single trades" in page
    assert "Round trips" not in page
    assert "books keep no single trades" not in (only_run(small / "runs") / "report.html").read_text()


def test_a_run_leaves_everything_it_promises(small: Path) -> None:
    run = only_run(small / "runs")
    metrics = metrics_of(small / "runs")
    assert metrics.keys() >= PROMISED
    assert metrics["sharpe_low"] < metrics["sharpe"] < metrics["sharpe_high"]
    definitions = {"trend", "volatility", "lunde_timmermann_ex_post"}
    assert set(metrics["regimes"]) == set(metrics["regime_equality"]) == set(metrics["regime_transitions"])
    assert set(metrics["regimes"]) == set(pd.read_parquet(run / "regimes.parquet").columns) == definitions
    for cells in metrics["regimes"].values():
        assert sum(cell["n_bars"] for cell in cells.values()) == metrics["n_bars"]
        assert sum(cell["n_trades"] for cell in cells.values()) == metrics["trades"]["n_trades"]
    back, trend = metrics["regimes"]["lunde_timmermann_ex_post"], metrics["regimes"]["trend"]
    assert all(cell["p_value"] is cell["low"] is cell["annual_return_low"] is None for cell in back.values())
    assert any(cell["sharpe"] is not None for cell in back.values())
    assert all(cell["note"] for cell in back.values())
    assert any(cell["p_value"] is not None for cell in trend.values())
    equality = metrics["regime_equality"]["lunde_timmermann_ex_post"]
    assert (equality["p_value"], equality["pairs"]) == (None, [])
    assert equality["note"] == "dated after the fact, from the same bars: not tested"
    # Its test window, July 2016 to the end of 2017, holds none of the stretches that have a name.
    assert metrics["stress"] == []
    findings = json.loads((run / "findings.json").read_text())
    assert {"T1", "T4", "T5", "D5", "S1", "S5", "M1", "M11"} <= {finding["code"] for finding in findings}
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["versions"]["vectorbt"]
    assert len(manifest["models"]) == 2
    for name in ("articles", "signal", "weights", "account", "orders", "regimes"):
        assert len(pd.read_parquet(run / f"{name}.parquet"))
    assert "text" not in pd.read_parquet(run / "articles.parquet").columns
    assert (run / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_truth_lies_inside_the_interval(small: Path) -> None:
    metrics = metrics_of(small / "runs")
    assert metrics["sharpe_low"] <= metrics["truth"]["perfect_sharpe"] <= metrics["sharpe_high"]


def test_good_news_is_bought_and_bad_news_is_sold(small: Path) -> None:
    run = only_run(small / "runs")
    articles = pd.read_parquet(run / "articles.parquet")
    signal = pd.read_parquet(run / "signal.parquet").to_numpy()
    clear = articles.loc[(articles["row"] >= 0) & ((articles["bullish"] - articles["bearish"]).abs() > 0.5)]
    assert len(clear) > 100
    net = clear["bullish"] - clear["bearish"]
    assert (net * signal[clear["row"], clear["column"]] > 0).mean() > 0.75


def test_the_same_run_again_says_the_same_in_another_time_zone(small: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "embargo.research.cli",
        "run",
        str(small / "small.toml"),
        "--out",
        str(tmp_path / "runs"),
    ]
    environment = os.environ | {"TZ": "Asia/Tokyo", "EMBARGO_CACHE": str(tmp_path / "cache")}
    subprocess.run(command, check=True, env=environment, capture_output=True, timeout=240)
    again = only_run(tmp_path / "runs")
    assert again.name == only_run(small / "runs").name
    # The compiler's order of a sum may differ between a fresh and a cached kernel, and with it the last digit.
    for name in ("metrics.json", "findings.json"):
        assert rounded((again / name).read_text()) == rounded((only_run(small / "runs") / name).read_text())


def test_another_setting_on_the_same_window_is_another_trial(tmp_path: Path) -> None:
    places = ("--out", tmp_path / "runs", "--cache", tmp_path / "cache")
    for half_life in (1, 2, 2):
        with example("small") as path:
            result = embargo("run", path, *places, *settings(f"signal.half_life={half_life}"))
        assert result.exit_code == 0, result.output
    trials = {}
    for path in (tmp_path / "runs").glob("*/metrics.json"):
        metrics = json.loads(path.read_text())
        trials[metrics["n_trials"]] = metrics
    assert sorted(trials) == [1, 2]
    assert trials[1]["deflated_sharpe"] == pytest.approx(trials[1]["probabilistic_sharpe"])
    assert trials[2]["deflated_sharpe"] < trials[2]["probabilistic_sharpe"]
    assert trials[1]["adjusted_p_value"] == trials[1]["sharpe_p_value"]
    assert trials[2]["adjusted_p_value"] >= trials[2]["sharpe_p_value"]
    listed = embargo("runs", tmp_path / "runs")
    assert listed.exit_code == 0
    assert "2 runs" in listed.output


def test_files_give_the_same_figures_as_the_market_they_were_written_from(small: Path, archive: Path) -> None:
    result = embargo("run", archive / "archive.toml", "--out", archive / "runs", "--cache", archive / "cache")
    assert result.exit_code == 0, result.output
    from_files, simulated = metrics_of(archive / "runs"), metrics_of(small / "runs")
    for name in ("sharpe", "total_return", "n_trades", "n_articles", "permutation_p_value"):
        assert from_files[name] == pytest.approx(simulated[name], rel=1e-9), name


def test_labels_from_returns_are_purged_at_every_boundary(archive: Path) -> None:
    changes = ["labels.source=returns", "labels.horizon_bars=5", "split.embargo=0D", "model.max_train=500"]
    plan = prepare(load_config(archive / "archive.toml", changes), Quiet())
    assert all(part.counts["purged_train"] > 0 and part.counts["purged_validation"] > 0 for part in plan.parts)
    result = embargo(
        "run", archive / "archive.toml", "--out", archive / "runs", "--cache", archive / "cache", *settings(*changes)
    )
    assert result.exit_code == 0, result.output
    run = only_run(archive / "runs")
    findings = {finding["code"]: finding["verdict"] for finding in json.loads((run / "findings.json").read_text())}
    assert findings["S1"] == "pass"
    models = json.loads((run / "manifest.json").read_text())["models"]
    assert [model["n_train"] for model in models] == [500, 500]
    for model, start in zip(models, ("2016-07-01", "2017-04-01"), strict=True):
        assert pd.Timestamp(model["trained_until"]) < pd.Timestamp(start, tz="UTC")


def test_headlines_of_the_test_window_among_the_labels_are_a_leak(archive: Path) -> None:
    news = pd.read_parquet(archive / "news.parquet")
    later = news.loc[news["published_at"] >= "2016-07-01"].sample(frac=0.2, random_state=0)
    older = news.loc[news["published_at"] < "2016-01-01"]
    leaked = pd.concat([older, later.assign(text=later["text"].str.replace(".", " !") + " ...")])
    leaked[["text", "label"]].to_csv(archive / "labels.csv", index=False)
    honest = archive / "honest"
    honest.mkdir()
    older[["text", "label"]].to_csv(archive / "honest.csv", index=False)
    common = ("--out", archive / "runs", "--cache", archive / "cache", "--set", "labels.source=file",
              "--set", "labels.knowledge_cutoff=2016-01-01")  # fmt: skip
    clean = embargo("run", archive / "archive.toml", *common, "--set", f"labels.path={archive / 'honest.csv'}")
    assert clean.exit_code == 0, clean.output
    result = embargo("run", archive / "archive.toml", *common, "--set", f"labels.path={archive / 'labels.csv'}")
    assert result.exit_code == 3, result.output
    assert "Invalid" in result.output
    stamped = [path for path in (archive / "runs").glob("*/metrics.json") if '"invalid"' in path.read_text()]
    assert len(stamped) == 1
    assert "INVALID" in (stamped[0].parent / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("override", "status", "message"),
    [
        ("news.path=absent.parquet", 1, "absent.parquet"),
        ("signal.speed=1", 2, "signal.speed"),
        ("split.first_test=2030-01-01", 2, "split.first_test"),
        ('prices.symbols=["NOPE"]', 1, "NOPE"),
        ("split.validation_span=1D", 1, "validation"),
        ("model.kind=transformer --set model.base=/nowhere", 1, "/nowhere"),
        ("portfolio.neutral=true --set portfolio.long_only=true", 2, "exclude each other"),
        ("signal.cross_section.neutral=sector", 2, "needs the sectors"),
        ("portfolio.initial_cash=inf", 2, "portfolio.initial_cash"),
        ("statistics.block=100000", 2, "statistics.block"),
        ("split.method=holdout", 0, "fine"),
    ],
)
def test_validate_finds_what_is_wrong_before_any_training(
    archive: Path, override: str, status: int, message: str
) -> None:
    result = embargo("validate", archive / "archive.toml", *settings(*override.split(" --set ")))
    assert result.exit_code == status, result.output
    assert message in result.output.replace("\n", "")
    assert not (archive / "runs").exists()


def rewrite(path: Path, change: Any) -> None:
    frame = pd.read_parquet(path)
    change(frame).to_parquet(path)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("prices.parquet", lambda f: f.assign(open=f["open"].where(f.index != 77, 0.0)), "is 0 (1 such value)"),
        ("news.parquet", lambda f: f.assign(published_at=f["published_at"].dt.tz_localize(None)), "no time zone"),
        ("news.parquet", lambda f: f.assign(symbol=f["symbol"].where(f.index != 50, "GHOST")), "GHOST"),
    ],
    ids=["price of 0", "naive timestamp", "symbol without prices"],
)
def test_data_that_break_a_contract_are_refused(archive: Path, file: str, change: Any, message: str) -> None:
    rewrite(archive / file, change)
    result = embargo("run", archive / "archive.toml", "--out", archive / "runs", "--cache", archive / "cache")
    assert result.exit_code == 1, result.output
    assert message in " ".join(result.output.split())
    assert not (archive / "runs").exists()


def test_symbols_without_prices_can_be_left_out_and_are_counted(archive: Path) -> None:
    rewrite(archive / "news.parquet", lambda f: f.assign(symbol=f["symbol"].where(f.index % 50 != 0, "GHOST")))
    result = embargo(
        "run", archive / "archive.toml", "--set", "news.unpriced=drop", "--out", archive / "runs", "--cache", archive
    )
    assert result.exit_code == 0, result.output
    assert "unpriced" in (only_run(archive / "runs") / "report.html").read_text(encoding="utf-8")


TINY = ("model.kind=transformer", "model.base=tiny", "model.method=qlora", "model.epochs=2", "split.test_span=18MS")


def test_a_qlora_tuned_base_repeats_itself_bit_for_bit_and_remembers_nothing(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    for attempt in ("first", "second"):
        place = tmp_path / attempt
        result = embargo(
            "run", small / "small.toml", "--out", place / "runs", "--cache", place / "cache", *settings(*TINY)
        )
        assert result.exit_code == 0, result.output
        run = only_run(place / "runs")
        written.append((run.name, (run / "metrics.json").read_bytes(), (run / "findings.json").read_bytes()))
    assert written[0] == written[1]
    (model,) = json.loads((run / "manifest.json").read_text())["models"]
    assert model["settings"]["method"] == "qlora"
    assert pd.Timestamp(model["base_knowledge_cutoff"]) < pd.Timestamp("2016-04-01", tz="UTC")
    assert pd.Timestamp(model["knowledge_cutoff"]) < pd.Timestamp("2016-07-01", tz="UTC")
    metrics = metrics_of(place / "runs")
    assert metrics["classification"]["accuracy"] > metrics["classification"]["majority"]["accuracy"] + 0.1
    monkeypatch.setattr("embargo.models.loading.shared.load_classifier", None)  # what is kept needs no base in memory
    cached = embargo(
        "run", small / "small.toml", "--out", tmp_path / "third", "--cache", place / "cache", *settings(*TINY)
    )
    assert cached.exit_code == 0, cached.output
    assert (only_run(tmp_path / "third") / "metrics.json").read_bytes() == written[0][1]
    (model,) = json.loads((only_run(tmp_path / "third") / "manifest.json").read_text())["models"]
    assert model["n_scored"] == 0


def test_folds_by_number_of_articles_hold_that_many(small: Path) -> None:
    counts = ["split.test_span=300", "split.validation_span=100", "split.train_span=400"]
    plan = prepare(load_config(small / "small.toml", counts), Quiet())
    assert len(plan.parts) > 1
    for part in plan.parts[:-1]:
        assert 300 <= part.n_test_articles <= 310
    held = prepare(load_config(small / "small.toml", ["split.method=holdout", *counts[1:]]), Quiet())
    assert len(held.parts) == 1
    assert held.parts[0].fold.test_end == plan.parts[-1].fold.test_end


def test_an_interrupted_run_leaves_nothing_behind(small: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "embargo.research.cli",
        "run",
        str(small / "small.toml"),
        "--out",
        str(tmp_path / "runs"),
    ]
    environment = os.environ | {"EMBARGO_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen(
        [*command, *settings(*TINY, "model.epochs=500", "news.simulated.articles_per_symbol_day=0.05")],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 200
        while not list((tmp_path / "cache").glob("**/model.safetensors")):
            assert process.poll() is None, "ended before it could be interrupted"
            assert time.monotonic() < deadline, "the base was never pretrained"
            time.sleep(0.2)
        # Python drops a signal that meets it in the finaliser of an object; whoever waits presses the keys again.
        for _ in range(4):
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                output, _ = process.communicate(timeout=30)
                break
    # Where the signal meets a piece of source that some import is executing, Python itself ends by the signal after all
    # has been tidied up; a shell reports both as 130.
    assert process.returncode in (130, -signal.SIGINT), output
    assert "Interrupted" in output
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


def test_usage_errors_and_help() -> None:
    assert embargo("run").exit_code == 2
    assert embargo("demo", "--strength", "9").exit_code == 2
    help_text = embargo("--help").output
    for command in ("demo", "run", "validate", "runs"):
        assert command in help_text
