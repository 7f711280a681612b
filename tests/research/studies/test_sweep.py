"""A sweep chooses without the test rows, counts every cell once, and draws each where it belongs."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from samples import page_samples
from samples.small_runs import SWEPT

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.research.config.experiment import Config, load_config, parse_config
from embargo.research.progress import Quiet
from embargo.research.records.ledger import Trial, trials_on
from embargo.research.records.windows import TradedWindow
from embargo.research.run.plan import Plan
from embargo.research.run.preparation import prepare
from embargo.research.run.reading import Reading
from embargo.research.run.samples import Part
from embargo.research.run.trading import trade
from embargo.research.studies.sweep import print_sweep, render_page
from embargo.research.studies.sweep import search as sweeping
from embargo.research.studies.sweep.charts import heat_map
from embargo.research.studies.sweep.grid import Axis, Sweep, cells_of, competing, read_axis
from embargo.research.studies.sweep.search import choose, sweep, trade_cells, validation_rows, with_validation_news
from embargo.research.studies.sweep.tables import sentences

GRID = [read_axis("signal.threshold=0.4,0.6"), read_axis("signal.half_life=1,3,9"), read_axis("portfolio.k=3")]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    path = tmp_path_factory.mktemp("config") / "small.toml"
    path.write_text(SWEPT)
    return load_config(path)


@pytest.fixture(scope="module")
def plan(config: Config) -> Plan:
    return prepare(config, Quiet())


def guessed(parts: Sequence[Part], seed: int = 0) -> pd.DataFrame:
    """Scores that mean nothing, in place of a model's."""
    news = pd.concat([part.test_news.assign(fold=part.fold.index) for part in parts], ignore_index=True)
    values = np.random.default_rng(seed).dirichlet([0.5, 0.5, 0.5], len(news))
    return news.assign(**dict(zip(CLASSES, values.T, strict=True)), confidence=values.max(axis=1), model_id="guess")


def stand_in(monkeypatch: pytest.MonkeyPatch, plan: Plan, seed: int = 0) -> None:
    """Let a sweep find its data ready and its news read."""
    monkeypatch.setattr(sweeping, "prepare", lambda config, stages: plan)
    monkeypatch.setattr(
        sweeping,
        "read",
        lambda plan, parts, cache, stages, memory, engine: Reading(guessed(parts, seed), pd.DataFrame(), []),
    )


@pytest.fixture
def _only_traded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the page, and what is said of all cells together: a second each time, for tests that read neither."""
    monkeypatch.setattr(sweeping, "_save", lambda result, config: None)
    for name in ("overfitting", "undistinguished", "best_of"):
        monkeypatch.setattr(sweeping, name, lambda *given, **named: None)


@pytest.fixture(autouse=True)
def _ledger_beside_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMBARGO_LEDGER")


def attempts_in(out: Path) -> list[str]:
    """Lines of the ledger of what was swept into a folder."""
    (path,) = (out / "cache" / "ledger").glob("*.jsonl")
    return path.read_text().splitlines()


def swept(config: Config, out: Path, axes: list[Axis] = GRID) -> Sweep:
    return sweep(config, axes, out=out, cache=out / "cache", stages=Quiet())


@given(st.integers(-50, 50), st.integers(1, 9), st.integers(0, 20), st.integers(0, 3))
def test_a_range_has_both_ends_and_no_rounding(first: int, step: int, steps: int, digits: int) -> None:
    def written(number: int) -> str:
        return f"{number / 10**digits:.{digits}f}"

    text = f"{written(first)}:{written(first + steps * step)}:{written(step)}"
    values = read_axis(f"portfolio.x={text}").values
    assert values == tuple(float(written(first + at * step)) for at in range(steps + 1))


def test_values_keep_their_type() -> None:
    assert read_axis("portfolio.method=sign, proportional").values == ("sign", "proportional")
    assert read_axis("portfolio.neutral=true,false").values == (True, False)
    assert [type(value) for value in read_axis("portfolio.k=1:3:1").values] == [int, int, int]
    assert read_axis("signal.threshold=0.5:0.9:0.1") == Axis("signal.threshold", (0.5, 0.6, 0.7, 0.8, 0.9))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("model.rank=4,8", "tunes and scores only once"),
        ("split.test_span=3MS,6MS", "moves the windows"),
        ("news.max_characters=100,200", "changes the data"),
        ("execution.engine=vectorbt,kernel", "the same books"),
        ("execution.funding=true,false", "changes the data"),
        ("seed=1,2", "no setting to choose"),
        ("statistics.block=5,10", "how a result is measured"),
        ("nothing.here=1", "no section 'nothing'"),
        ("signal.threshold", "write section.key"),
        ("signal.threshold=0.9:0.5:0.1", "must rise"),
        ("signal.threshold=0:1:0.000001", "1,000,001 values"),
        ("signal.threshold=0.5,0.5", "twice"),
        ("signal.threshold=0.5,,0.6", "missing between"),
    ],
)
def test_what_cannot_be_swept_is_refused_by_name(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refusal:
        read_axis(text)
    assert text.split("=")[0] in str(refusal.value)


def test_a_cell_is_the_run_with_these_settings(config: Config) -> None:
    cells = cells_of(config, GRID)
    assert [tuple(cell.choice.values()) for cell in cells][:3] == [(0.4, 1, 3), (0.4, 3, 3), (0.4, 9, 3)]
    document = config.to_dict()
    document["signal"] |= {"threshold": 0.6, "half_life": 1.0}
    document["portfolio"]["k"] = 3
    assert cells[3].config.fingerprint() == parse_config(document, where="test").fingerprint()


def test_grids_that_make_no_sense_are_refused(config: Config) -> None:
    with pytest.raises(ConfigError, match="neutral"):
        cells_of(config, [read_axis("portfolio.neutral=true"), read_axis("portfolio.long_only=true,false")])
    with pytest.raises(ConfigError, match="two --grid"):
        cells_of(config, [read_axis("portfolio.k=1"), read_axis("portfolio.k=2")])
    with pytest.raises(ConfigError, match="same experiment"):
        cells_of(config, [read_axis("signal.half_life=1,1.0")])
    with pytest.raises(ConfigError, match=r"signal\.half_lif"):
        cells_of(config, [read_axis("signal.half_lif=1,2")])
    with pytest.raises(ConfigError, match=r"costs\.fee are assumptions"):
        cells_of(config, [read_axis("costs.fee=0,0.01")])


def test_a_fusion_has_no_validation_rows(config: Config) -> None:
    document = config.to_dict() | {"fusion": {"method": "logistic"}}
    with pytest.raises(ConfigError, match="learns from the first test window"):
        cells_of(parse_config(document, where="test"), GRID)


def test_cheaper_trading_is_no_choice(config: Config, plan: Plan) -> None:
    cells = cells_of(config, [read_axis("costs.fee=0,0.0005"), read_axis("signal.half_life=2,4")])
    assert competing(config, cells).tolist() == [False, False, True, True]
    assert choose(np.array([9.0, 9.0, 1.0, 2.0]), competing(config, cells)) == 3
    assert choose(np.array([np.nan, 1.0, 1.0]), np.ones(3, dtype=bool)) == 1
    with pytest.raises(DataError, match="no cell traded"):
        choose(np.array([9.0, np.nan]), np.array([False, True]))


def test_the_choice_rests_on_bars_closed_before_the_first_test(plan: Plan) -> None:
    world, first = plan.world, plan.parts[0].fold
    rows = validation_rows(plan)
    assert (world.decided_at[rows] >= first.validation_start).all()
    assert (world.decided_at[rows] < first.validation_end).all()
    assert (world.prices.close_at[rows] <= first.test_start).all()
    assert rows.stop <= plan.rows.start
    wide, *rest = with_validation_news(plan)
    assert rest == plan.parts[1:]
    known_at = wide.test_news["known_at"]
    assert known_at.min() >= first.validation_start
    assert len(wide.test_news) > len(plan.parts[0].test_news)


@pytest.mark.usefixtures("_only_traded")
def test_nothing_of_the_test_windows_moves_the_choice(
    config: Config, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, plan)
    honest = swept(config, tmp_path / "a")
    start = int(plan.world.prices.open_at.searchsorted(plan.parts[0].fold.test_start))
    for seed in range(2):
        shift = np.random.default_rng(seed).normal(0.0, 0.05, (len(plan.world.decided_at), 8))
        shift[:start] = 0.0
        prices = plan.world.prices
        moved = replace(
            prices,
            **{name: getattr(prices, name) * np.exp(shift.cumsum(axis=0)) for name in ("open", "high", "low", "close")},
        )
        stand_in(monkeypatch, replace(plan, world=replace(plan.world, prices=moved)))
        poisoned = swept(config, tmp_path / f"b{seed}")
        assert poisoned.chosen == honest.chosen
        pd.testing.assert_series_equal(poisoned.table["validation_sharpe"], honest.table["validation_sharpe"])
        assert not np.allclose(poisoned.table["test_sharpe"], honest.table["test_sharpe"])


def test_other_validation_returns_change_the_choice(config: Config, plan: Plan) -> None:
    cells = cells_of(config, [read_axis("signal.half_life=0.5,1,2,4,8,16")])
    rows = validation_rows(plan)
    scored = guessed(with_validation_news(plan))
    chosen = set()
    for seed in range(8):
        steps = np.random.default_rng(seed).normal(0.0, 0.02, (len(plan.world.decided_at), 8)).cumsum(axis=0)
        prices = replace(plan.world.prices, open=plan.world.prices.open * np.exp(steps))
        ratios = trade_cells(cells, replace(plan, world=replace(plan.world, prices=prices), rows=rows), scored)
        chosen.add(choose(ratios, np.ones(len(cells), dtype=bool)))
    assert len(chosen) > 1


def test_a_cell_earns_what_the_books_say(config: Config, plan: Plan) -> None:
    scored = guessed(plan.parts)
    cells = cells_of(config, [read_axis("signal.half_life=1,5"), read_axis("costs.slippage=0.0005,0.002")])
    earned: dict[int, np.ndarray] = {}
    trade_cells(cells, plan, scored, done=lambda at, returns: earned.update({at: returns}))
    for position, cell in enumerate(cells):
        books = trade(plan.under(cell.config), scored).books.returns
        np.testing.assert_allclose(earned[position], books.to_numpy(), atol=1e-8)


def test_weights_are_made_once_for_all_costs(config: Config, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    real = sweeping.decide
    monkeypatch.setattr(sweeping, "decide", lambda *given, **named: made.append(1) or real(*given, **named))
    cells = cells_of(config, [read_axis("costs.fee=0,0.0005,0.001"), read_axis("signal.half_life=1,2")])
    trade_cells(cells, plan, guessed(plan.parts))
    assert len(made) == 2


def test_what_a_cell_lacks_is_found_before_anything_is_trained(
    config: Config, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def training(*given: object) -> None:
        raise AssertionError("trained")

    stand_in(monkeypatch, plan)
    monkeypatch.setattr(sweeping, "read", training)
    with pytest.raises(ConfigError, match="needs the sectors"):
        swept(config, tmp_path, [read_axis("signal.cross_section.neutral=market,sector")])


def test_articles_are_compared_once_for_all_cells(config: Config, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    scored = guessed(plan.parts)
    cells = cells_of(config, [read_axis("signal.novelty_floor=0.1,0.5"), read_axis("signal.half_life=1,2,3")])
    alone = [trade_cells([cell], plan, scored)[0] for cell in cells]
    made = []
    real = sweeping.read_articles
    monkeypatch.setattr(sweeping, "read_articles", lambda *given: made.append(1) or real(*given))
    np.testing.assert_array_equal(trade_cells(cells, plan, scored), alone)
    assert len(set(alone)) == len(cells)
    assert len(made) == 2


@pytest.mark.usefixtures("_only_traded")
def test_other_labels_are_another_trial(
    config: Config, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, plan)
    first = swept(config, tmp_path)
    relabelled = [replace(part, train=part.train.assign(label=1)) for part in plan.parts]
    stand_in(monkeypatch, replace(plan, parts=relabelled), seed=1)
    second = swept(config, tmp_path)
    assert (first.figures["n_trials"], second.figures["n_trials"]) == (6, 12)
    assert first.folder != second.folder


def test_a_killed_sweep_leaves_whole_cells_and_is_not_counted_twice(
    config: Config, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, plan)
    real, calls = sweeping.ledger.record, []

    def dying(folder: Path, window: TradedWindow, trial: Trial, returns: np.ndarray) -> None:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(trial)
        real(folder, window, trial, returns)

    monkeypatch.setattr(sweeping.ledger, "record", dying)
    with pytest.raises(KeyboardInterrupt):
        swept(config, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert sorted(path.suffix for path in (tmp_path / "cache" / "ledger").iterdir()) == [".jsonl", ".rows", ".window"]
    assert len(attempts_in(tmp_path)) == 2
    monkeypatch.setattr(sweeping.ledger, "record", real)
    first = swept(config, tmp_path)
    again = swept(config, tmp_path)
    lines = [json.loads(line) for line in attempts_in(tmp_path)]
    assert len(lines) == len(GRID[0].values) * len(GRID[1].values)
    assert {line["sweep"] for line in lines} == {first.folder.name}
    assert set(trials_on(tmp_path / "cache" / "ledger", first.figures["window"])) == set(first.table["settings"])
    assert again.figures == first.figures
    assert first.figures["n_trials"] == 6


def test_trials_of_a_ledger_without_returns_get_theirs(
    config: Config, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "_save", lambda result, config: None)
    stand_in(monkeypatch, plan)
    first = swept(config, tmp_path)
    for path in (tmp_path / "cache" / "ledger").glob("*.rows"):
        path.unlink()
    again = swept(config, tmp_path)
    assert again.figures == first.figures
    assert again.figures["overfitting"] is not None
    lines = attempts_in(tmp_path)
    swept(config, tmp_path)
    assert attempts_in(tmp_path) == lines


@pytest.mark.usefixtures("_only_traded")
def test_trials_of_other_runs_on_the_window_count(
    config: Config, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, plan)
    swept(config, tmp_path, [read_axis("signal.half_life=20,30")])
    assert swept(config, tmp_path).figures["n_trials"] == 8


@pytest.mark.usefixtures("_only_traded")
def test_the_luckiest_cell_of_noise_is_seen_through(
    config: Config, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = [
        read_axis("signal.threshold=0.4,0.6,0.8,0.9"),
        read_axis("signal.half_life=0.5,2,10"),
        read_axis("portfolio.k=1"),
    ]
    free = parse_config(config.to_dict() | {"costs": {"fee": 0.0, "slippage": 0.0, "borrow_annual": 0.0}}, where="test")
    looked, survived = 0, 0
    for seed in range(12):
        stand_in(monkeypatch, plan, seed)
        best = swept(free, tmp_path / str(seed), grid).figures["best_on_test"]
        looked += best["probabilistic_sharpe"] > 0.95
        survived += best["adjusted_p_value"] <= 0.05
    assert looked >= 2
    assert survived <= 1


def test_cells_that_never_traded_are_counted_apart_and_compete_with_nobody(
    config: Config, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, plan)
    # No score is surer than 1: the last threshold lets nothing pass.
    busy = [read_axis("signal.threshold=0.4,0.6"), read_axis("signal.half_life=1,3")]
    idle = [read_axis("signal.threshold=0.4,0.6,1.0"), read_axis("signal.half_life=1,3")]
    without, result = swept(config, tmp_path / "a", busy), swept(config, tmp_path / "b", idle)
    figures = result.figures
    assert figures["never_traded"] == {"validation": 2, "test": 2}
    assert (figures["cells"], figures["competing"], figures["ranked"], figures["n_trials"]) == (6, 6, 4, 6)
    assert without.figures["never_traded"] == {"validation": 0, "test": 0}
    for name in ("overfitting", "confidence_set", "rank_correlation"):
        assert figures[name] == without.figures[name], name
    assert figures["best_of_attempts"]["strategies"] == 4
    for name in ("effective_trials", "rank_on_test", "rank_on_validation"):
        assert figures["chosen"][name] == without.figures["chosen"][name], name
    told = " ".join(sentences(result))
    assert "Cells that never traded: 2 of 6 on the validation rows and 2 of 6 on the test rows." in told
    assert "in the count of 6 trials" in told
    assert "never traded" not in " ".join(sentences(without))
    console = Console(file=io.StringIO(), width=120)
    print_sweep(console, result)
    assert console.file.getvalue().count("never traded") >= 4  # type: ignore[attr-defined]
    page = render_page(result, "x")
    assert "2 cells never traded on the test rows." in page
    assert "<td class=num>never traded</td>" in page
    assert "2 never traded; the chosen cell has" in heat_map(result, "test_sharpe").summary


@pytest.mark.parametrize(
    ("share", "told"),
    [
        (0.51, "as chance alone gives"),
        (0.02, "less than chance alone gives: what was chosen stayed ahead"),
        (0.97, "more than chance alone gives: what was chosen fell behind"),
    ],
)
def test_a_share_that_chance_alone_gives_is_not_called_overfitting(share: float, told: str) -> None:
    page = page_samples.swept()
    found = page.figures["overfitting"] | {"probability": share}
    (said,) = [
        line for line in sentences(replace(page, figures=page.figures | {"overfitting": found})) if "PBO" in line
    ]
    assert f"in {100 * share:.1f}% of 70 ways to cut them, {told}." in said
    assert "95% show 5.0% to 91.0%." in said


def test_a_choice_that_never_traded_on_test_says_so(
    config: Config, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = plan.parts[0].fold.test_start

    def silent_on_test(plan: Plan, parts: Sequence[Part], *rest: object) -> Reading:
        scored = guessed(parts)
        late = scored["known_at"] >= known
        scored.loc[late, list(CLASSES)] = [0.0, 1.0, 0.0]
        return Reading(scored, pd.DataFrame(), [])

    stand_in(monkeypatch, plan)
    monkeypatch.setattr(sweeping, "read", silent_on_test)
    result = swept(config, tmp_path)
    told = " ".join(sentences(result))
    assert "test bars it never traded" in told
    assert "No cell that competes traded on test" in told
    assert "Overfitting (PBO of Bailey and others): not estimated" in told
    assert "–" not in re.sub(
        r"<script.*?</script>|<style.*?</style>|<title>.*?</title>", "", render_page(result, "x"), flags=re.S
    )


def of_axes(*lengths: int) -> Sweep:
    axes = [Axis(f"signal.a{number}", tuple(range(length))) for number, length in enumerate(lengths)]
    cells = np.arange(np.prod(lengths))
    table = pd.DataFrame(np.indices(lengths).reshape(len(lengths), -1).T, columns=[axis.key for axis in axes])
    table = table.assign(validation_sharpe=-cells / 1.0, test_sharpe=cells / 1.0, competes=True)
    return Sweep(Path("x"), axes, table, 0, len(cells) - 1, {})


@pytest.mark.parametrize("lengths", [(4,), (2, 3), (3, 2), (2, 4, 3), (1, 1), (2, 2, 2, 2)])
def test_every_cell_is_drawn_where_it_belongs(lengths: tuple[int, ...]) -> None:
    result = of_axes(*lengths)
    figure = heat_map(result, "test_sharpe").figure
    drawn = {}
    for trace in figure.data:
        if trace.type == "heatmap":
            at = trace.xaxis or "x"
            title = next((note.text for note in figure.layout.annotations if note.text), "")
            assert trace.zmax == max(np.prod(lengths) - 1, 1)
            for names, values in zip(trace.customdata, trace.z, strict=True):
                drawn.update({(at, name): value for name, value in zip(names, values, strict=True)})
            assert title is not None
    assert sorted(drawn.values()) == list(range(int(np.prod(lengths))))
    for (_, name), value in drawn.items():
        row = result.table.iloc[int(value)]
        for pair in name.split(", "):
            key, _, written = pair.partition(" = ")
            assert row[key] == int(written)
    marks = [trace for trace in figure.data if trace.type == "scatter"]
    assert len(marks) == 2


def test_the_page_names_hindsight_as_such(
    config: Config, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, plan)
    result = swept(config, tmp_path)
    page = (result.folder / "report.html").read_text()
    assert page == render_page(result, "Sweep of small")
    assert "hindsight" in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=.https?:", page)
    figures = json.loads((result.folder / "sweep.json").read_text())
    assert figures["chosen"]["settings"] == dict(result.table.loc[result.chosen, [axis.key for axis in GRID]])
    assert figures["chosen"]["rank_on_validation"] == 1
    assert figures["best_on_test"]["rank_on_test"] == 1
    assert len(pd.read_parquet(result.folder / "cells.parquet")) == figures["cells"] == 6
