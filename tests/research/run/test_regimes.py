"""Regimes in a run: the keys of the config, the files they name, what steers and what only reports."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from samples.small_runs import embargo, experiment

from embargo.backtest.regimes import PRESETS, UNLABELLED
from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError
from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
from embargo.research.config.experiment import Config, load_config
from embargo.research.config.regimes import RegimesSection, RegimeThreshold
from embargo.research.run.regimes import ex_post_regimes, is_ex_post, known_regimes, labels_of, series_of

MINIMAL = experiment(
    symbols=8,
    until="2017-06-30",
    first_test="2016-07-01",
    end="2017-07-01",
    test_span="12MS",
    model='kind = "lexicon"',
    more="[statistics]\nbootstrap = 200\npermutations = 99",
)


def config_of(folder: Path, text: str = "", *overrides: str) -> Config:
    path = folder / "experiment.toml"
    path.write_text(MINIMAL + text)
    return load_config(path, list(overrides))


@pytest.fixture(scope="module")
def closes() -> pd.DataFrame:
    return simulate_market(SimulatedMarket(n_symbols=6, start="2014-01-01", end="2017-12-31", seed=2)).prices.close


def labelled(settings: RegimesSection, definitions: tuple[str, ...], closes: pd.DataFrame) -> pd.DataFrame:
    decided_at = pd.DatetimeIndex(closes.index) - pd.Timedelta(minutes=5)
    return known_regimes(settings, definitions, closes, np.arange(len(closes)) - 1, decided_at)  # type: ignore[arg-type]


def test_a_config_without_regimes_says_what_it_always_said(tmp_path: Path) -> None:
    settings = config_of(tmp_path).regimes
    assert settings.definitions == settings.gate_by == ("trend", "volatility")
    assert settings.ex_post == ("lunde_timmermann",)
    assert {name: getattr(settings, name) for name in asdict(PRESETS["equity"])} == asdict(PRESETS["equity"])
    old = config_of(tmp_path, "[regimes]\ntrend_lookback = 168\nvolatility_lookback = 72\nminimum_bars = 240\n").regimes
    assert (old.trend_lookback, old.volatility_lookback, old.minimum_bars) == (168, 72, 240)


@pytest.mark.parametrize("preset", ["crypto_daily", "crypto_hourly"])
def test_a_preset_fills_what_is_not_set(preset: str, tmp_path: Path) -> None:
    config = config_of(tmp_path, f'[regimes]\npreset = "{preset}"\nfall = 0.3\n')
    found = {name: getattr(config.regimes, name) for name in asdict(PRESETS[preset])}
    assert found == asdict(PRESETS[preset]) | {"fall": 0.3}
    (tmp_path / "again.toml").write_text(config.to_toml())
    assert load_config(tmp_path / "again.toml") == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('preset = "bonds"', "preset"),
        ("definitions = []", "definitions is empty"),
        ('definitions = ["trend", "trend"]', "twice"),
        ('definitions = ["labels"]', r"regimes\.labels = \{ path"),
        ('gate_by = ["threshold"]', r"regimes\.threshold"),
        ('ex_post = ["trend"]', "ex_post"),
        ('threshold = { path = "v.csv", cuts = [20.0], names = ["low"] }', "2 regimes"),
        ('threshold = { path = "v.csv", cuts = [30.0, 20.0], names = ["a", "b", "c"] }', "increase"),
        ('threshold = { path = "v.csv", cuts = [inf], names = ["a", "b"] }', "finite"),
        ('threshold = { path = "v.csv", cuts = [nan], names = ["a", "b"] }', "finite"),
        ('threshold = { path = "v.csv", cuts = [20.0], names = ["a", " "] }', "empty name"),
        ("lookback = 3", "unknown key"),
    ],
)
def test_wrong_settings_are_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of(tmp_path, f"[regimes]\n{text}\n")


def test_a_gate_by_a_regime_that_nothing_tells_is_refused(tmp_path: Path) -> None:
    three = '[regimes]\ngate_by = ["markov"]\nmarkov_states = 3\n[portfolio]\ngate = { uneasy = 0.5 }\n'
    assert config_of(tmp_path, three).portfolio.gate == {"uneasy": 0.5}
    with pytest.raises(ConfigError, match=r"portfolio\.gate names uneasy; .* tell calm, turbulent"):
        config_of(tmp_path, three.replace("markov_states = 3", "markov_states = 2"))
    with pytest.raises(ConfigError, match=r"portfolio\.gate names bul;"):
        config_of(tmp_path, "[portfolio]\ngate = { bul = 0.5 }\n")
    own = '[regimes]\ngate_by = ["labels"]\nlabels = { path = "r.csv" }\n[portfolio]\ngate = { recession = 0.0 }\n'
    (tmp_path / "r.csv").write_text("start,regime\n")
    assert config_of(tmp_path, own).portfolio.gate == {"recession": 0.0}


def test_every_definition_labels_every_bar(closes: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "cycle.csv").write_text("from,regime,known_at\n2014-02-01,up,2014-03-01\n2016-01-01,down,2016-06-01\n")
    days = pd.date_range("2014-01-02", "2017-12-31", freq="D")
    values = pd.DataFrame(
        {"day": days.strftime("%Y-%m-%d"), "close": 15.0 + 10.0 * np.sin(np.arange(len(days)) / 90.0)}
    )
    values.to_csv(tmp_path / "vix.csv", index=False)
    config = config_of(
        tmp_path,
        """[regimes]
definitions = ["trend", "volatility", "turning_points", "markov", "labels", "threshold"]
ex_post = ["lunde_timmermann", "pagan_sossounov", "markov", "labels"]
labels = { path = "cycle.csv" }
threshold = { path = "vix.csv", known_at = "day", value = "close", cuts = [20.0], names = ["calm", "turbulent"] }
""",
    )
    assert config.regimes.labels is not None
    assert config.regimes.labels.path == str(tmp_path / "cycle.csv")
    known, back = labelled(config.regimes, config.regimes.definitions, closes), ex_post_regimes(config.regimes, closes)
    assert list(known.columns) == list(config.regimes.definitions)
    assert [is_ex_post(name) for name in (*known.columns, *back.columns)] == [False] * 6 + [True] * 4
    for frame in (known, back):
        assert frame.index.equals(closes.index)
        assert frame.notna().all().all()
    assert set(known["threshold"]) == {UNLABELLED, "calm", "turbulent"}
    # A date alone is known at the end of its day, a start holds from its beginning.
    assert known["labels"].loc["2014-03-03":"2016-06-01"].unique().tolist() == ["up"]
    assert known["labels"].loc["2016-06-02"].tolist() == ["down"]
    assert back["labels_ex_post"].loc["2016-01-04"].tolist() == ["down"]


def test_files_are_read_as_they_stand_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    for text, kind, message in (
        ("start,regime\n2014-01-01 10:00,up\n", DataError, "zone"),
        ("start,regime\n,up\n", DataError, "no instant"),
        ("begin,regime\n2014-01-01,up\n", DataError, "start"),
        ("start,regime,known_at\n2008-01-01,down,2008-12\n", DataError, "known_at, row 0: '2008-12' does not say"),
        ("start,regime,known_at\n2008-01-01,down,2008\n", DataError, "its first day may be too early"),
    ):
        path.write_text(text)
        settings = RegimesSection.model_validate({"labels": {"path": str(path)}, "ex_post": ["labels"]})
        assert settings.labels is not None
        with pytest.raises(kind, match=message):
            labels_of(settings.labels)
    with pytest.raises(MissingPartError):
        series_of(RegimeThreshold(path=str(tmp_path / "none.csv"), cuts=(1.0,), names=("a", "b")))
    monthly = tmp_path / "monthly.csv"
    monthly.write_text("known_at,value\n2014-01,15\n")
    with pytest.raises(DataError, match="does not say the day"):
        series_of(RegimeThreshold(path=str(monthly), cuts=(1.0,), names=("a", "b")))
    frame = pd.DataFrame({"start": pd.to_datetime(["2014-01-01"], utc=True), "regime": ["up"]})
    frame.to_parquet(tmp_path / "labels.parquet")
    settings = RegimesSection.model_validate(
        {"labels": {"path": str(tmp_path / "labels.parquet")}, "ex_post": ["labels"]}
    )
    assert settings.labels is not None
    assert labels_of(settings.labels)["regime"].tolist() == ["up"]


def test_files_of_regimes_count_by_content(tmp_path: Path) -> None:
    text = '[regimes]\nex_post = ["labels"]\nlabels = { path = "NAME" }\n'
    (tmp_path / "a.csv").write_text("start,regime\n2014-01-01,up\n")
    (tmp_path / "b.csv").write_text("start,regime\n2014-01-01,up\n")
    (tmp_path / "c.csv").write_text("start,regime\n2014-01-01,down\n")
    a, b, c = (config_of(tmp_path, text.replace("NAME", f"{name}.csv")).fingerprint() for name in "abc")
    assert a == b != c


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run once with a gate that goes by turning points and by a file."""
    folder = tmp_path_factory.mktemp("gated")
    days = pd.date_range("2015-01-02", "2017-06-30", freq="7D")
    values = pd.DataFrame({"known_at": days.strftime("%Y-%m-%dT21:30:00Z"), "value": np.arange(len(days)) % 40})
    values.to_csv(folder / "vix.csv", index=False)
    config_of(
        folder,
        """[portfolio]
gate = { turbulent = 0.0 }
[regimes]
definitions = ["trend", "volatility", "threshold"]
gate_by = ["threshold", "turning_points"]
threshold = { path = "vix.csv", cuts = [20.0], names = ["calm", "turbulent"] }
""",
    )
    result = embargo("run", folder / "experiment.toml", "--out", folder / "runs", "--cache", folder / "cache")
    assert result.exit_code == 0, result.output
    (run,) = (path.parent for path in (folder / "runs").glob("*/metrics.json"))
    return run


def test_a_gate_by_a_file_closes_when_the_file_says_so_and_leaks_nothing(gated: Path) -> None:
    labels, weights = (pd.read_parquet(gated / f"{name}.parquet") for name in ("regimes", "weights"))
    closed = labels["threshold"] == "turbulent"
    assert 0.2 < closed.mean() < 0.8
    held = weights.abs().sum(axis=1)
    assert (held[closed] == 0.0).all()
    assert (held[~closed] > 0.0).mean() > 0.8
    findings = json.loads((gated / "findings.json").read_text())
    assert "leak" not in {finding["verdict"] for finding in findings}


def test_the_page_shows_regimes_with_their_tests(gated: Path) -> None:
    metrics = json.loads((gated / "metrics.json").read_text())
    # Turning points steer, so they are reported although they are not among the definitions.
    told = {"trend", "volatility", "threshold", "turning_points"}
    assert set(metrics["regimes"]) == {*told, "lunde_timmermann_ex_post"}
    for definition, test in metrics["regime_equality"].items():
        assert set(test["regimes"]) | set(test["left_out"]) | {UNLABELLED} == set(metrics["regimes"][definition]) | {
            UNLABELLED
        }
    moves = metrics["regime_transitions"]["threshold"]
    cells = metrics["regimes"]["threshold"]
    assert sum(move["count"] for move in moves) == metrics["n_bars"] - 1
    assert sum(cell["n_spells"] for cell in cells.values()) == 1 + sum(
        move["count"] for move in moves if move["source"] != move["target"]
    )
    reached = pd.read_parquet(gated / "articles.parquet").query("row >= 0")["article_id"].nunique()
    for cells in metrics["regime_classification"].values():
        assert sum(cell["n"] for cell in cells.values()) == reached
        best = max(cells.values(), key=lambda cell: cell["n"])
        low, high = best["accuracy_interval"]
        assert low < best["accuracy"] < high
    page = (gated / "report.html").read_text(encoding="utf-8")
    for words in ("Lunde-Timmermann, ex post", "Sharpe ratio across regimes", "How regimes follow each other"):
        assert words in page
    assert "Times of stress" not in page  # a simulated market has no Lehman
