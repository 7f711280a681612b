"""A whole run is repeated with other futures: every planted leak is found at its stage, every clean twin passes."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage.settled import first_moved
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import CLASSES
from embargo.research import Quiet, load_config, prepare
from embargo.research.run import perturbation, trading
from embargo.research.run.perturbation import CODES, perturb_run
from embargo.research.run.world import load_inputs, world_of

SMALL = files("embargo.research.examples") / "small.toml"


@pytest.fixture(scope="module")
def lexicon():
    return _made("model.kind=lexicon")


@pytest.fixture(scope="module")
def linear():
    return _made("model.kind=linear", "signal.threshold=0.35")


def _made(*overrides):
    config = load_config(SMALL, [*overrides])
    return prepare(config, Quiet()), load_inputs(config, Quiet())


def judged(made, cache):
    return perturb_run(*made, cache, Quiet(), n_rows=1, seed=3)


def only(found):
    [finding] = found
    return finding


def only_long(usual):
    """Keep articles that are longer than usual."""

    def plant(world_of):
        def changed(config, inputs):
            length = inputs.news["text"].str.len()
            kept = inputs.news.loc[length >= usual(length)].reset_index(drop=True)
            return world_of(config, replace(inputs, news=kept))

        return changed

    return plant


def labels_split_at(middle):
    """Label training articles by whether they are above the middle of some set of labels."""

    def plant(plan_parts):
        def changed(config, world, folds, stages):
            return [
                replace(
                    part, train=part.train.assign(label=2 * (part.train["label"] > middle(world, part)).astype(int))
                )
                for part in plan_parts(config, world, folds, stages)
            ]

        return changed

    return plant


def redated(part):
    """Test samples under dates that no guard doubts."""
    old = part.train.iloc[-1][["known_at", "starts_at", "ends_at"]]
    return part.test[part.train.columns].assign(**old)


def fitted_on_test(read):
    """Hand the test articles to the fit under old dates, while the samples that the run speaks of stay clean."""

    def leaky(plan, parts, *rest):
        given = [replace(part, train=pd.concat([part.train, redated(part)])) for part in parts]
        return read(plan, given, *rest)

    return leaky


def fitted_on_less(read):
    def clean(plan, parts, *rest):
        return read(plan, [replace(part, train=part.train.iloc[5:]) for part in parts], *rest)

    return clean


def calibrated_on_test(read):
    def leaky(plan, parts, *rest):
        return read(plan, [replace(part, validation=redated(part)) for part in parts], *rest)

    return leaky


def calibrated_on_less(read):
    def clean(plan, parts, *rest):
        return read(plan, [replace(part, validation=part.validation.iloc[5:]) for part in parts], *rest)

    return clean


def standardised(rows):
    def plant(read):
        def changed(*given):
            reading = read(*given)
            scored = reading.scored
            confident = scored["confidence"] * 0.9 / rows(scored["confidence"])
            return replace(reading, scored=scored.assign(confidence=confident.clip(0.0, 1.0)))

        return changed

    return plant


def scaled_by(level):
    """Scale weights by how far prices spread."""

    def plant(trade):
        def changed(plan, *rest):
            result = trade(plan, *rest)
            weights = result.decision.weights / level(plan.world.prices.close).iloc[plan.rows].to_numpy()
            return replace(result, decision=replace(result.decision, weights=weights))

        return changed

    return plant


def filled_at(field, back):
    """Write orders at a price of their bar, or of the one before."""

    def plant(trade):
        def changed(plan, *rest):
            result = trade(plan, *rest)
            orders = result.books.orders
            panel = getattr(plan.world.prices, field).shift(back).iloc[plan.rows]
            price = panel.to_numpy()[orders["bar"], panel.columns.get_indexer(pd.Index(orders["symbol"]))]
            return replace(result, books=replace(result.books, orders=orders.assign(price=price)))

        return changed

    return plant


PLANTS = [
    ("news", "lexicon", "world_of", only_long(lambda x: x.mean()), only_long(lambda x: x.expanding().mean())),
    (
        "samples",
        "linear",
        "plan_parts",
        labels_split_at(lambda world, part: world.news["text"].str.len().mean() % 2),
        labels_split_at(lambda world, part: part.train["text"].str.len().mean() % 2),
    ),
    ("models", "linear", "read", fitted_on_test, fitted_on_less),
    ("calibration", "linear", "read", calibrated_on_test, calibrated_on_less),
    ("scores", "lexicon", "read", standardised(lambda x: x.mean()), standardised(lambda x: x.expanding().mean())),
    (
        "weights",
        "lexicon",
        "trade",
        scaled_by(lambda close: close * 0.0 + close.std()),
        scaled_by(lambda close: close.shift(2).expanding().std().fillna(1.0)),
    ),
    ("orders", "lexicon", "trade", filled_at("high", 0), filled_at("close", 2)),
]


# Plants of these stages, and their clean twins, are held against every run by `test_repeated_run` as well.
TWICE = ("news", "samples", "models", "calibration", "scores")


@pytest.mark.parametrize(
    ("stage", "kind", "place", "leaky", "clean"),
    [pytest.param(*plant, id=plant[0], marks=[pytest.mark.slow] if plant[0] in TWICE else []) for plant in PLANTS],
)
def test_a_planted_leak_is_found_where_it_is_and_its_clean_twin_passes(
    stage, kind, place, leaky, clean, request, tmp_path, monkeypatch
):
    made = request.getfixturevalue(kind)
    honest = getattr(perturbation, place)
    monkeypatch.setattr(perturbation, place, leaky(honest))
    found = judged(made, tmp_path / "leaky")
    first = found[0]
    assert first.verdict == "leak"
    assert CODES[stage] in {finding.code for finding in found}
    shown = next(finding for finding in found if finding.code == CODES[stage]).evidence[0]
    assert shown["stage"] == stage
    assert shown["value"] != shown["value_perturbed"]
    assert shown["changed"]
    if stage == "weights":
        # The input whose future reached back is named, and no other.
        assert "bars not yet closed were rescaled" in only(found).detail
        assert "news" not in shown["changed"]
    monkeypatch.setattr(perturbation, place, clean(honest))
    assert only(judged(made, tmp_path / "clean")).verdict == "pass"


def test_a_run_that_does_not_repeat_itself_proves_nothing(lexicon, tmp_path, monkeypatch):
    rng, honest = np.random.default_rng(0), perturbation.read

    def shaky(*given):
        reading = honest(*given)
        drawn = rng.dirichlet(np.ones(3), len(reading.scored))
        return replace(reading, scored=reading.scored.assign(**dict(zip(CLASSES, drawn.T, strict=True))))

    monkeypatch.setattr(perturbation, "read", shaky)
    finding = only(judged(lexicon, tmp_path))
    assert finding.verdict == "inconclusive"
    assert "non-deterministic" in finding.detail


def test_a_run_that_never_trades_proves_nothing(tmp_path):
    made = _made("model.kind=lexicon", "signal.threshold=0.999")
    finding = only(judged(made, tmp_path))
    assert finding.verdict == "inconclusive"
    assert "never trades" in finding.detail


def test_data_that_end_sooner_move_no_fold_where_the_end_of_the_split_is_left_open(tmp_path):
    """An end left open is the last bar's, by which the last fold would end sooner and be called a leak of samples."""
    config = load_config(SMALL, ["model.kind=lexicon"])
    config = config.model_copy(update={"split": config.split.model_copy(update={"end": None})})
    assert only(judged((prepare(config, Quiet()), load_inputs(config, Quiet())), tmp_path)).verdict == "pass"


def test_what_caps_a_fill_is_settled_when_it_is_decided_though_the_cap_cut_nothing(monkeypatch):
    plan, inputs = _made("model.kind=lexicon", "execution.participation=0.9")
    at = plan.decided_at[40]
    other = perturbation._repriced(inputs, at, np.random.default_rng(0))

    def moved():
        there = replace(plan, world=world_of(plan.config, other))
        before, after = (perturbation._limiting(each).loc[plan.decided_at <= at] for each in (plan, there))
        assert len(before) == 41
        return first_moved({"conditions": before}, {"conditions": after})

    assert moved() is None

    def of_its_own_bar(prices, rows, *rest, **settings):
        return prices.volume.iloc[rows], None

    monkeypatch.setattr(trading, "fill_conditions", of_its_own_bar)
    found = moved()
    assert found is not None
    assert CODES[found.stage] == "T7"
    assert found.column.startswith("volume of ")
    assert found.where == str(plan.world.prices.open_at[plan.rows][40])


def test_no_world_reads_the_baseline_that_another_one_fitted(tmp_path):
    seen = []

    def through(_plan, _world, _at, cache):
        seen.append(sorted(path.name for path in cache.iterdir()))
        raise DataError("no news")

    for name in ("adapters", "linear"):
        (tmp_path / name / "kept").mkdir(parents=True)
    with perturbation._beside(tmp_path) as folder:
        assert [path.name for path in folder.iterdir()] == ["adapters"]
    assert isinstance(perturbation._difference(None, None, None, tmp_path, {}, through), DataError)
    assert seen == [["adapters"]]
