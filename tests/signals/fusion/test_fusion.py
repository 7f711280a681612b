import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from embargo.data_loaders.checks.repeats import text_keys
from embargo.data_loaders.errors import ConfigError, DataError, LeakError, MissingPartError
from embargo.data_loaders.schemas import Prices
from embargo.data_loaders.splits import holdout, part_of
from embargo.signals.aggregation import AggregationSettings, collect, decay
from embargo.signals.fusion.files import load_fusion, save_fusion
from embargo.signals.fusion.fitting import _stopping, fit_fusion
from embargo.signals.fusion.head import HeadSettings, head_logits, train_head
from embargo.signals.fusion.model import fusion_signal
from embargo.signals.fusion.samples import fusion_inputs, fusion_samples, text_features
from embargo.signals.fusion.settings import FusionSettings
from embargo.signals.fusion.trees import grow_trees, tree_logits

BARS, SYMBOLS = 240, 8
KINDS = ("logistic", "boosting", "neural")
QUICK = FusionSettings(
    trees=30, min_leaf=20, head=HeadSettings(width=8, epochs=8, batch=128, learning_rate=1e-2), min_samples=50
)


def market(strength=1.0, seed=0, bars=BARS, symbols=SYMBOLS):
    """Prices that follow one text and one market feature, and the inputs that hold both; some are missing."""
    rng = np.random.default_rng(seed)
    open_at = pd.date_range("2020-01-01", periods=bars, freq="D", tz="UTC").as_unit("us")
    names = [f"S{i}" for i in range(symbols)]
    net, drift = rng.uniform(-1, 1, (2, bars, symbols))
    news = rng.random((bars, symbols)) < 0.7
    net = np.where(news, net, 0.0)
    earned = 0.02 * (strength * (net + 0.7 * drift) + rng.normal(0, 0.6, net.shape))
    opens = 50 * np.exp(np.vstack([np.zeros(symbols), np.cumsum(earned, axis=0)[:-1]]))
    drift = np.where(rng.random(net.shape) < 0.1, np.nan, drift)

    def panel(values):
        return pd.DataFrame(values, index=open_at, columns=names)

    prices = Prices(
        *(panel(opens) for _ in range(4)), panel(1e4 + 0 * opens), open_at, open_at + pd.Timedelta("8h"), "24/7"
    )
    text = {"net": panel(net), "articles": panel(np.log1p(news.astype(float)))}
    chart = {"drift": panel(drift), "noise": panel(rng.normal(size=net.shape)), "still": panel(0 * net + 3.0)}
    return prices, fusion_inputs(text, chart, open_at - pd.Timedelta(minutes=5))


def parts(samples, *, embargo="0h"):
    fold = holdout(
        start=pd.Timestamp("2019-12-31", tz="UTC"),
        validation_start=pd.Timestamp("2020-05-20", tz="UTC"),
        test_start=pd.Timestamp("2020-07-10", tz="UTC"),
        end=pd.Timestamp("2020-12-31", tz="UTC"),
    )
    return part_of(samples.frame, fold, embargo=pd.Timedelta(embargo))


@pytest.fixture(scope="module")
def world():
    prices, inputs = market()
    split = parts(fusion_samples(inputs, prices))
    return prices, inputs, split


@pytest.fixture(scope="module")
def fitted(world):
    split = world[2]
    return {
        (kind, classes): fit_fusion(split.train, split.validation, replace(QUICK, kind=kind, classes=classes))
        for kind in KINDS
        for classes in ("direction", "three")
    }


EVERY = pytest.mark.parametrize("key", [(kind, classes) for kind in KINDS for classes in ("direction", "three")])


@EVERY
def test_skill_is_found_and_calibrated(world, fitted, key):
    model, test = fitted[key], world[2].test
    shares = model.probabilities(test)
    assert np.abs(shares.sum(axis=1) - 1).max() < 1e-12
    score, earned = shares[:, -1] - shares[:, 0], test["relative"].to_numpy()
    assert np.corrcoef(score, earned)[0, 1] > 0.4
    # Of the cells given a probability of rising in some band, about that share does.
    rose = earned > model.thresholds[1]
    for low, high in ((0.0, 0.35), (0.35, 0.65), (0.65, 1.0)):
        band = (shares[:, -1] >= low) & (shares[:, -1] < high)
        if band.sum() > 100:
            assert abs(rose[band].mean() - shares[band, -1].mean()) < 0.12
    losses = model.record["validation_loss"]
    assert losses["calibrated"] <= losses["uncalibrated"]
    assert losses["calibrated"] < 0.95 * losses["shares"]
    assert model.record["constant"] == ["market.still"]
    assert 0 < model.record["missing"]["market.drift"] < len(world[2].train)


@EVERY
def test_validation_and_test_leave_no_trace_in_what_was_fitted(world, fitted, key):
    split = world[2]
    rng = np.random.default_rng(1)
    other = split.validation.copy()
    for name in [name for name in other.columns if "." in name]:
        other[name] = rng.normal(5, 50, len(other))
    other[["relative", "absolute"]] = rng.normal(0, 0.05, (len(other), 2))
    again = fit_fusion(split.train, other.sample(frac=0.7, random_state=0), fitted[key].settings)
    assert again.fitted_hash == fitted[key].fitted_hash
    assert again.state_hash != fitted[key].state_hash
    altered = split.train.assign(relative=-split.train["relative"])
    assert fit_fusion(altered, split.validation, fitted[key].settings).fitted_hash != fitted[key].fitted_hash


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_samples_and_the_state_of_the_process_do_not_matter(world, fitted, kind):
    import torch

    split, model = world[2], fitted[kind, "three"]
    torch.manual_seed(99)
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    shuffled = split.train.sample(frac=1.0, random_state=3)
    again = fit_fusion(shuffled, split.validation.iloc[::-1], model.settings)
    assert again.state_hash == model.state_hash
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_seed_decides_the_head(world, fitted):
    model, split = fitted["neural", "direction"], world[2]
    other = fit_fusion(split.train, split.validation, replace(model.settings, seed=1))
    assert not np.array_equal(other.arrays["out.weight"], model.arrays["out.weight"])


@EVERY
def test_saved_and_read_back_to_the_last_bit(fitted, world, key, tmp_path):
    model = fitted[key]
    save_fusion(model, tmp_path)
    back = load_fusion(tmp_path)
    assert back.manifest() == json.loads(json.dumps(model.manifest()))
    np.testing.assert_array_equal(back.probabilities(world[2].test), model.probabilities(world[2].test))
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".safetensors"]


def test_a_tampered_or_missing_file_is_refused(fitted, tmp_path):
    save_fusion(fitted["logistic", "direction"], tmp_path)
    manifest = tmp_path / "fusion.json"
    written = json.loads(manifest.read_text())
    for change in ({"calibration": {"scale": 2.0, "biases": [0.0, 0.0]}}, {"thresholds": []}, {"settings": {}}):
        manifest.write_text(json.dumps(written | change))
        with pytest.raises(DataError, match="fusion"):
            load_fusion(tmp_path)
    manifest.write_text(json.dumps(written))
    (tmp_path / "fusion.safetensors").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="cannot be read"):
        load_fusion(tmp_path)
    manifest.unlink()
    with pytest.raises(MissingPartError, match=r"fusion\.json"):
        load_fusion(tmp_path)


@pytest.mark.parametrize("classes", ["direction", "three"])
def test_trees_say_what_scikit_learn_says(world, fitted, classes):
    from sklearn.ensemble import HistGradientBoostingClassifier

    model, split = fitted["boosting", classes], world[2]
    rng = np.random.default_rng(0)
    x = split.train[list(model.features)].to_numpy(dtype=float, copy=True)
    x[rng.random(x.shape) < 0.1] = np.nan
    y = rng.integers(0, len(model.settings.names), len(x))
    arrays, _ = grow_trees(x[:600], y[:600], x[600:], y[600:], model.settings)
    peer = HistGradientBoostingClassifier(
        max_iter=30,
        max_leaf_nodes=model.settings.leaves,
        min_samples_leaf=20,
        learning_rate=model.settings.learning_rate,
        early_stopping=True,
        n_iter_no_change=model.settings.patience,
        random_state=0,
    ).fit(x[:600], y[:600], X_val=x[600:], y_val=y[600:])
    expected = peer.decision_function(x)
    mine = tree_logits(arrays, x)
    if classes == "direction":
        mine = mine[:, 1]
    np.testing.assert_allclose(mine, expected, rtol=1e-12, atol=1e-12)


def test_numpy_applies_the_head_as_torch_does():
    import torch

    rng = np.random.default_rng(0)
    inputs = {"text": rng.normal(size=(200, 3)), "market": rng.normal(size=(200, 5))}
    labels = (inputs["text"][:, 0] * inputs["market"][:, 0] > 0).astype(int)
    chosen = HeadSettings(width=8, epochs=60, batch=32, learning_rate=1e-2, patience=60, dropout=0.0)
    head = train_head(inputs, labels, inputs, labels, classes=2, settings=chosen, seed=0)
    weight = {name: torch.tensor(values) for name, values in head.arrays.items()}
    gelu = torch.nn.functional.gelu
    branches = [
        gelu(torch.tensor(inputs[name]) @ weight[f"{name}.weight"].T + weight[f"{name}.bias"]) for name in inputs
    ]
    joint = gelu(torch.cat(branches, 1) @ weight["joint.weight"].T + weight["joint.bias"])
    expected = joint @ weight["out.weight"].T + weight["out.bias"]
    found = head_logits(head.arrays, inputs)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-10, atol=1e-12)
    # A sign that only the two vectors together tell is learnt, and the best pass is the one that is kept.
    assert ((found[:, 1] > found[:, 0]) == labels).mean() > 0.9
    loss = torch.nn.functional.cross_entropy(torch.tensor(found), torch.tensor(labels))
    assert float(loss) == pytest.approx(min(head.losses))


def test_training_stops_when_the_stopping_samples_gain_nothing():
    rng = np.random.default_rng(0)
    inputs = {"text": rng.normal(size=(100, 4)), "market": np.empty((100, 0))}
    labels = rng.integers(0, 2, 100)
    chosen = HeadSettings(width=32, epochs=200, batch=10, learning_rate=2e-2, patience=3)
    head = train_head(inputs, labels, inputs, 1 - labels, classes=2, settings=chosen, seed=0)
    assert len(head.losses) == int(np.argmin(head.losses)) + 1 + 3
    assert not any(name.startswith("market") for name in head.arrays)
    logits = head_logits(head.arrays, inputs)
    kept = -log_softmax(logits, axis=1)[np.arange(100), 1 - labels].mean()
    assert kept == pytest.approx(min(head.losses))
    assert kept < head.losses[-1]


def test_stopping_samples_are_the_latest_and_purged():
    prices, inputs = market()
    train = parts(fusion_samples(inputs, prices, horizon_bars=5)).train
    learn, stop = _stopping(train, replace(QUICK, stop_share=0.25))
    assert learn["ends_at"].max() < stop["known_at"].min()
    assert len(stop) == pytest.approx(0.25 * len(train), rel=0.1)
    assert stop["known_at"].max() == train["known_at"].max()
    lost = train.loc[~train["article_id"].isin([*learn["article_id"], *stop["article_id"]])]
    assert len(lost) == 5 * SYMBOLS


@pytest.mark.parametrize("kind", KINDS)
def test_the_signal_knows_nothing_later_than_its_row(world, fitted, kind):
    prices, inputs, _ = world
    model = fitted[kind, "three"]
    first = int(np.searchsorted(inputs.decided_at, model.trained_until))
    rows = slice(first, BARS)
    mask = inputs.panels["text.articles"] > 0
    signal = fusion_signal(model, inputs, rows, mask=mask)
    assert signal.index.equals(prices.open_at[rows])
    assert np.abs(signal.to_numpy()).max() <= 1.0
    assert ((signal != 0) == mask.iloc[rows]).to_numpy().all()
    later = first + 20
    changed = {name: panel.copy() for name, panel in inputs.panels.items()}
    for panel in changed.values():
        panel.iloc[later:] = -0.37
    other = fusion_signal(model, replace(inputs, panels=changed), rows, mask=mask)
    np.testing.assert_array_equal(signal.iloc[:20], other.iloc[:20])
    assert not np.array_equal(signal.iloc[20:], other.iloc[20:])
    cut = replace(
        inputs,
        panels={name: panel.iloc[:later] for name, panel in inputs.panels.items()},
        decided_at=inputs.decided_at[:later],
    )
    np.testing.assert_array_equal(
        fusion_signal(model, cut, slice(first, later), mask=mask.iloc[:later]), signal.iloc[:20]
    )
    with pytest.raises(LeakError, match="learnt from what was known by"):
        fusion_signal(model, inputs, slice(first - 1, BARS))


def test_no_skill_gives_no_opinion():
    prices, inputs = market(strength=0.0, seed=5)
    split = parts(fusion_samples(inputs, prices))
    for kind in KINDS:
        model = fit_fusion(split.train, split.validation, replace(QUICK, kind=kind))
        shares = model.probabilities(split.test)
        assert np.abs(shares[:, 1] - shares[:, 0]).mean() < 0.12
        assert model.scale >= 0.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("group", ["text", "market"])
def test_either_side_can_be_ablated(world, kind, group):
    prices, inputs, _ = world
    kept = {name.split(".")[1]: panel for name, panel in inputs.panels.items() if name.startswith(group)}
    alone = fusion_inputs(kept if group == "text" else {}, kept if group == "market" else {}, inputs.decided_at)
    split = parts(fusion_samples(alone, prices))
    model = fit_fusion(split.train, split.validation, replace(QUICK, kind=kind))
    score = model.probabilities(split.test)[:, 1]
    assert np.corrcoef(score, split.test["relative"])[0, 1] > 0.2


def test_samples_are_dated_counted_and_never_copies(world):
    prices, inputs, _ = world
    holes = prices.open.copy()
    holes.iloc[10, 2] = np.nan
    mask = inputs.panels["text.articles"] > 0
    made = fusion_samples(inputs, replace(prices, open=holes), horizon_bars=3, mask=mask)
    counts, frame = made.counts, made.frame
    assert sum(value for name, value in counts.items() if name != "cells") == counts["cells"] == BARS * SYMBOLS
    assert counts["samples"] == len(frame)
    assert counts["missing_prices"] == int(mask.iloc[[7, 10], 2].sum())
    assert counts["beyond_prices"] == int(mask.iloc[-3:].to_numpy().sum())
    row = frame.iloc[17]
    t = int(row["row"])
    opens = holes[row["symbol"]]
    assert (row["known_at"], row["starts_at"], row["ends_at"]) == (
        inputs.decided_at[t],
        prices.open_at[t],
        prices.open_at[t + 3],
    )
    assert row["absolute"] == pytest.approx(opens.iloc[t + 3] / opens.iloc[t] - 1)
    everyone = holes.iloc[t + 3] / holes.iloc[t] - 1
    assert row["relative"] == pytest.approx(row["absolute"] - everyone.mean())
    assert row["text.net"] == inputs.panels["text.net"][row["symbol"]].iloc[t]


@settings(max_examples=25)
@given(st.integers(0, 6), st.integers(1, 8), st.integers(0, 7), st.integers(1, 9))
def test_no_sample_reaches_over_either_end_of_its_symbols_prices(first, bars, halted, horizon):
    at = pd.date_range("2024-01-01", periods=12, freq="D", tz="UTC")
    level = pd.DataFrame({"A": np.arange(12.0) + 50.0, "B": 10.0}, index=at)
    level.loc[at[:first], "A"] = np.nan
    level.loc[at[first + bars :], "A"] = np.nan
    if first < halted < first + bars:
        level.loc[at[halted], "A"] = np.nan
    prices = Prices(level, level, level, level, level, at, at + pd.Timedelta(days=1), "24/7")
    inputs = fusion_inputs({"net": 0.0 * level.fillna(1.0) + 0.5}, {}, at)
    made = fusion_samples(inputs, prices, horizon_bars=horizon)
    known = [t for t in range(12) if t + horizon < 12 and level["A"].iloc[[t, t + horizon]].notna().all()]
    assert made.frame.loc[made.frame["symbol"] == "A", "row"].tolist() == known
    assert made.counts["beyond_prices"] == 2 * min(horizon, 12)


@settings(max_examples=15)
@given(st.integers(1, 5), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_no_label_reaches_the_next_part(horizon, embargo, seed):
    prices, inputs = market(seed=seed, symbols=2)
    split = parts(fusion_samples(inputs, prices, horizon_bars=horizon), embargo=f"{embargo}h")
    for before, after in ((split.train, split.validation), (split.validation, split.test)):
        assert before["ends_at"].max() < after["known_at"].min()
    fit_fusion(split.train, split.validation, replace(QUICK, min_samples=10, target="absolute"))


def test_no_cell_is_a_copy_of_another():
    prices, inputs = market(bars=1200, symbols=2)
    frame = fusion_samples(inputs, prices).frame
    assert text_keys(frame["text"]).is_unique
    assert frame["article_id"].is_unique
    assert frame["article_id"].iloc[0] == "S0 2020-01-01T00:00:00.000000Z"


def test_text_features_follow_the_evidence():
    chosen = AggregationSettings(half_life_bars=2.0)
    evidence = collect(
        np.array([0, 0, 2]), np.array([0, 0, 1]), np.array([1.0, -0.5, 0.4]), np.array([0.9, 0.3, 0.5]),
        shape=(4, 2), settings=chosen,
    )  # fmt: skip
    index = pd.date_range("2020-01-01", periods=4, freq="D", tz="UTC")
    found = text_features(evidence, chosen, open_at=index, symbols=["A", "B"])
    assert found["net"].loc[index[0], "A"] == pytest.approx((0.9 - 0.15) / 1.2)
    assert found["confidence"].loc[index[0], "A"] == pytest.approx(0.6)
    assert found["articles"].loc[index[0], "A"] == pytest.approx(np.log(3))
    assert found["net"].loc[index[1], "A"] == 0.0
    np.testing.assert_array_equal(found["signal"], decay(evidence, chosen))


def test_what_cannot_be_fitted_is_said(world):
    split = world[2]
    train, validation = split.train, split.validation
    with pytest.raises(DataError, match="10 training samples, fewer than 50"):
        fit_fusion(train.iloc[:10], validation, QUICK)
    with pytest.raises(DataError, match="3 validation samples"):
        fit_fusion(train, validation.iloc[:3], QUICK)
    for part, what in (("train", "training"), ("validation", "validation")):
        given = {"train": train, "validation": validation}
        given[part] = given[part].assign(relative=given[part]["relative"].abs())
        with pytest.raises(DataError, match=f"{what} samples by class"):
            fit_fusion(given["train"], given["validation"], QUICK)
    with pytest.raises(DataError, match=r"market\.drift.*missing in training"):
        fit_fusion(train.assign(**{"market.drift": np.nan}), validation, QUICK)
    with pytest.raises(DataError, match=r"validation samples have no \['market.noise'\]"):
        fit_fusion(train, validation.drop(columns="market.noise"), QUICK)
    with pytest.raises(LeakError, match="ends at"):
        fit_fusion(pd.concat([train, validation.iloc[:1]]), validation, QUICK)
    with pytest.raises(DataError, match="thresholds"):
        fit_fusion(
            train.assign(relative=(np.arange(len(train)) % 50 == 0) * 0.1), validation, replace(QUICK, classes="three")
        )


def test_one_symbol_has_no_relative_return():
    prices, inputs = market(symbols=1)
    split = parts(fusion_samples(inputs, prices))
    with pytest.raises(DataError, match="target = 'absolute'"):
        fit_fusion(split.train, split.validation, replace(QUICK, min_samples=30))
    model = fit_fusion(split.train, split.validation, replace(QUICK, min_samples=30, target="absolute"))
    assert model.settings.names == ("bearish", "bullish")


def test_malformed_inputs_are_refused(world, fitted):
    prices, inputs, _ = world
    net = inputs.panels["text.net"]
    with pytest.raises(DataError, match="no features at all"):
        fusion_inputs({}, {}, inputs.decided_at)
    with pytest.raises(DataError, match=r"text\.net is nan for S0"):
        fusion_inputs({"net": net.where(net != net.iloc[3, 0])}, {}, inputs.decided_at)
    with pytest.raises(DataError, match=r"market\.x is inf"):
        fusion_inputs({}, {"x": net / 0.0 + np.inf}, inputs.decided_at)
    with pytest.raises(DataError, match="differ in bars or symbols"):
        fusion_inputs({"net": net}, {"x": net.iloc[1:]}, inputs.decided_at)
    with pytest.raises(DataError, match="after its open"):
        fusion_inputs({"net": net}, {}, inputs.decided_at + pd.Timedelta(hours=1))
    with pytest.raises(DataError, match="differ in bars or symbols"):
        fusion_samples(inputs, prices.select(symbols=["S0"]))
    with pytest.raises(DataError, match="mask"):
        fusion_samples(inputs, prices, mask=(net > 0).iloc[1:])
    with pytest.raises(ConfigError, match="horizon_bars"):
        fusion_samples(inputs, prices, horizon_bars=0)
    with pytest.raises(DataError, match="inputs lack"):
        fusion_signal(fitted["logistic", "three"], fusion_inputs({"net": net}, {}, inputs.decided_at), slice(230, 240))


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "svm"},
        {"target": "open"},
        {"classes": "two"},
        {"neutral_share": 1.0},
        {"strength": 0.0},
        {"leaves": 1},
        {"min_samples": 0},
        {"stop_share": 0.9},
        {"tails": 0.5},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="fusion"):
        FusionSettings(**wrong)


@pytest.mark.parametrize("wrong", [{"width": 0}, {"dropout": 1.0}, {"learning_rate": 0.0}, {"weight_decay": -1.0}])
def test_head_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="fusion head"):
        HeadSettings(**wrong)
