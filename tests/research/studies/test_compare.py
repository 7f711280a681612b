"""A comparison of finished runs: what it computes, what it hides, what it refuses and what it warns of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples.finished_runs import YEAR, articles, bars, made, noise, regimes_on

from embargo.backtest.metrics import sharpe
from embargo.backtest.significance import holm
from embargo.backtest.significance.comparison import sharpe_difference
from embargo.data_loaders.errors import ConfigError, DataError, EmbargoError, MissingPartError
from embargo.research.records.finished import read_run
from embargo.research.records.folders import write_json
from embargo.research.studies.compare.comparison import Comparison, as_document, compare
from embargo.research.studies.compare.judgement import EVERYTHING, stretch_of

OVERALL = EVERYTHING[0]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return a base, a run like it, and one that earns in calm times and loses in turbulent ones."""
    folder = tmp_path_factory.mktemp("three")
    base, like, split = noise(1, others=2)
    calm = (regimes_on(bars(400))["volatility"] == "calm").to_numpy()
    found = [made(folder / "base", base), made(folder / "like", like)]
    return [*found, made(folder / "split", split + np.where(calm, 0.004, -0.004), costs=0.0)]


@pytest.fixture(scope="module")
def found(three: list[Path]) -> Comparison:
    return compare(three, by="regime")


def returns_of(folder: Path) -> pd.Series:
    return pd.read_parquet(folder / "account.parquet")["net_return"]


def cell(table: pd.DataFrame, definition: str, regime: str, run: str) -> pd.Series:
    (row,) = [
        row
        for _, row in table.iterrows()
        if (row["definition"], row["regime"], row["run"]) == (definition, regime, run)
    ]
    return row


def test_every_difference_is_that_of_the_two_series_on_the_regime(found: Comparison, three: list[Path]) -> None:
    base, split = returns_of(three[0]), returns_of(three[2])
    labels = regimes_on(pd.DatetimeIndex(base.index))
    for definition, regime in ((OVERALL, "all bars"), ("volatility", "calm"), ("trend", "bull")):
        member = np.ones(400, dtype=bool) if definition == OVERALL else (labels[definition] == regime).to_numpy()
        row = cell(found.differences, definition, regime, "split")
        known = sharpe_difference(split, base, member=member, periods_per_year=YEAR, n_boot=300, seed=4)
        for name in ("difference", "low", "high", "p_value", "p_value_hac", "detectable"):
            assert row[name] == getattr(known, name), name
        assert row["sharpe"] == pytest.approx(sharpe(split[member], periods_per_year=YEAR))
        assert cell(found.cells, definition, regime, "split")["sharpe"] == pytest.approx(row["sharpe"])
        assert cell(found.cells, definition, regime, "base")["sharpe"] == pytest.approx(row["base_sharpe"])


def test_each_definition_is_a_family_of_its_own(found: Comparison) -> None:
    assert found.figures["family"] == {OVERALL: 2, "trend": 4, "volatility": 4}
    for _, rows in found.differences.groupby("definition"):
        assert rows["p_value_holm"].tolist() == holm(rows["p_value"].tolist())


def test_an_edge_is_found_where_it_is_and_hidden_by_the_whole(found: Comparison) -> None:
    calm = cell(found.differences, "volatility", "calm", "split")
    turbulent = cell(found.differences, "volatility", "turbulent", "split")
    assert calm["p_value_holm"] < 0.05
    assert turbulent["p_value_holm"] < 0.05
    assert calm["low"] > 0.0 > turbulent["high"]
    assert calm["probability"] > 0.99 > 0.01 > turbulent["probability"]
    assert calm["bayes_factor"] > 3.0
    like = found.differences[found.differences["run"] == "like"]
    assert (like["p_value_holm"].dropna() > 0.05).all()
    assert cell(found.differences, OVERALL, "all bars", "split")["p_value"] > 0.05


def test_cells_too_small_to_judge_show_nothing(found: Comparison) -> None:
    for table in (found.cells, found.differences):
        for regime, words in (("bear", "fewer than 60 rows"), ("unlabelled", "")):
            row = cell(table, "trend", regime, "like")
            assert row["note"]
            assert words in row["note"]
            for name in ("sharpe", "low", "high", "p_value", "p_value_holm"):
                assert row[name] is None, name
    assert cell(found.differences, "trend", "bear", "like")["difference"] is None
    assert cell(found.differences, "trend", "bear", "like")["n_bars"] == 30


def test_one_definition_or_none_may_be_asked_for(three: list[Path]) -> None:
    assert set(compare(three, by="volatility").differences["definition"]) == {OVERALL, "volatility"}
    plain = compare(three)
    assert set(plain.differences["definition"]) == {OVERALL}
    assert plain.labels.shape == (400, 0)


def test_the_base_may_be_any_of_them(three: list[Path]) -> None:
    for name in ("split", str(three[2])):
        turned = compare(three, against=name)
        assert [run.name for run in turned.runs] == ["split", "base", "like"]
    one, other = compare(three[:2]), compare(three[:2], against="like")
    a, b = one.differences.iloc[0], other.differences.iloc[0]
    assert (a["difference"], a["p_value"]) == (pytest.approx(-b["difference"]), b["p_value"])
    assert a["probability"] == pytest.approx(1.0 - b["probability"])


def test_only_common_bars_are_compared_and_the_rest_is_counted(tmp_path: Path) -> None:
    long, _ = noise(2, 500)
    early = made(tmp_path / "early", long)
    late = made(tmp_path / "late", long[100:], start=str(bars(500)[100].date()), window="w2")
    found = compare([early, late], by="regime")
    assert found.figures["n_bars"] == 400
    assert any("100 of the 500 bars of early" in line for line in found.cautions)
    assert any("early and late have the same returns" in line for line in found.cautions)
    assert any("late labels regimes otherwise" in line for line in found.cautions)
    row = found.differences.iloc[0]
    assert (row["difference"], row["p_value"], row["note"]) == (0.0, None, "the same returns")
    assert not found.figures["same_window"]


def test_what_makes_a_comparison_unfair_is_said(tmp_path: Path, three: list[Path]) -> None:
    base, other = noise(3)
    leaked = made(tmp_path / "leaked", other, status="invalid", window="w2")
    doubtful = made(tmp_path / "doubtful", base, status="caution")
    found = compare([doubtful, leaked])
    told = " ".join(found.cautions)
    for words in ("leaked found a leak", "doubtful has doubts", "other prices or symbols"):
        assert words in told, words
    assert found.invalid == ["leaked"]
    told = " ".join(compare(three).cautions)
    assert "split assumes other trading than base (costs.slippage)" in told
    assert "leak" not in told
    calm = compare([three[0], three[1]])
    assert calm.cautions == []


def test_another_market_is_named_where_only_some_bars_are_common(tmp_path: Path) -> None:
    long, _ = noise(15, 500)
    market = np.random.default_rng(3).normal(0.0, 0.01, 501)

    def run(name: str, moves: np.ndarray, symbols: str, skip: int) -> Path:
        index = bars(501)[skip:]
        folder = made(tmp_path / name, long[skip:], start=str(index[0].date()), window=name)
        growth = pd.DataFrame({"strategy": 1.0, "equal weight": np.cumprod(1.0 + moves[skip:])}, index=index)
        growth.to_parquet(folder / "growth.parquet")
        pd.DataFrame(0.0, index=index[:-1], columns=list(symbols)).to_parquet(folder / "weights.parquet")
        return folder

    base = run("base", market, "ABC", 0)
    assert read_run(base).market.to_numpy() == pytest.approx(market[1:])
    assert read_run(base).market.index.equals(bars(500))
    # Costs of trading move the market a little, other prices far.
    same, drawn_anew = run("same", market + 1e-5, "ABC", 100), run("anew", market[::-1], "ABC", 100)
    fewer = run("fewer", market, "ABX", 100)
    told = [line for line in compare([base, same, drawn_anew, fewer]).cautions if "the market is not" in line]
    assert told == [
        "anew was tested on other prices or symbols than base: the bars are the same, the market is not.",
        "fewer trades other symbols than base (2 of 3 and 3 in both): the bars are the same, the market is not.",
    ]


def reads(folder: Path, *, news: str, prices: str = "p1", n_articles: int = 386, last: str = "2019-06-01") -> Path:
    """Say what a run read: fingerprints, number and span of its test articles."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["fingerprints"] |= {"news": news, "prices": prices}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    metrics = json.loads((folder / "metrics.json").read_text()) | {"n_articles": n_articles}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    known_at = pd.to_datetime(["2019-01-03", last], utc=True)
    pd.DataFrame({"article_id": ["a", "b"], "known_at": known_at}).to_parquet(folder / "articles.parquet")
    return folder


def test_other_news_are_named_with_their_number_and_span(tmp_path: Path) -> None:
    base, other = noise(16)
    one = reads(made(tmp_path / "one", base), news="ab12" * 16)
    fewer = reads(made(tmp_path / "fewer", other), news="cd34" * 16, n_articles=36, last="2019-02-01")
    twin = reads(made(tmp_path / "twin", other), news="ab12" * 16)
    cut = reads(made(tmp_path / "cut", other), news="ab12" * 16, n_articles=36)
    assert compare([one, twin]).cautions == []
    (told,) = compare([one, fewer]).cautions
    assert told == (
        "fewer read other news than one (36 test articles against 386; known 2019-01-03 to 2019-02-01 against "
        "2019-01-03 to 2019-06-01; fingerprint cd34cd34cd34 against ab12ab12ab12): part of the difference may be the "
        "news."
    )
    (told,) = compare([one, cut]).cautions
    assert told.startswith("cut read the same news otherwise than one (36 test articles against 386): ")
    row = as_document(compare([one, fewer]))["runs"][1]
    assert (row["n_articles"], row["news"], row["sealed"]) == (36, "cd34" * 16, False)
    assert row["articles_known"] == ["2019-01-03T00:00:00+00:00", "2019-02-01T00:00:00+00:00"]


def test_other_prices_before_the_test_bars_are_named(tmp_path: Path) -> None:
    base, other = noise(17)
    one = reads(made(tmp_path / "one", base), news="n")
    (told,) = compare([one, reads(made(tmp_path / "two", other), news="n", prices="p2")]).cautions
    assert told == ("two loaded other prices than one, the same on the test bars; what it learnt from them may differ.")


def test_another_kind_of_processor_is_named_and_one_that_is_not_told_is_not(tmp_path: Path) -> None:
    told = [
        {"architecture": "x86_64", "torch": "AVX2", "kernels": {"openblas 0.3.31": "Haswell"}},
        {"architecture": "x86_64", "kernels": {"openblas 0.3.31": "SkylakeX", "openblas 0.3.30": "SkylakeX"}},
        {"architecture": "x86_64", "torch": "AVX2"},
        None,
        ["x86_64"],
    ]
    folders = [made(tmp_path / f"on-{place}", noise(place)[0]) for place in range(len(told))]
    for folder, processor in zip(folders, told, strict=True):
        manifest = json.loads((folder / "manifest.json").read_text())
        write_json(folder / "manifest.json", manifest | {"processor": processor})
    said = [each for each in compare(folders).cautions if "processor" in each]
    assert said == [
        (
            "on-1 was computed on another kind of processor than on-0 (openblas 0.3.31 SkylakeX against Haswell): part "
            "of the difference may be rounding."
        )
    ]


def test_regimes_that_look_back_are_named(tmp_path: Path) -> None:
    base, other = noise(12)
    labels = regimes_on(bars(400)).assign(markov_ex_post="calm")
    runs = [made(tmp_path / name, values, labels=labels) for name, values in (("one", base), ("two", other))]
    told = " ".join(compare(runs, by="regime").cautions)
    assert "look back from the end, for reading only: Markov switching, ex post." in told
    found = compare(runs, by="regime")
    for table in (found.cells, found.differences):
        tested = table.loc[table["definition"] == "markov_ex_post", ["low", "high", "p_value", "p_value_holm"]]
        assert len(tested)
        assert tested.isna().all().all()
        assert table.loc[table["definition"] == "markov_ex_post", "note"].str.contains("dated after the fact").all()
        assert table.loc[table["definition"] == "trend", "p_value"].notna().any()
    assert not any("look back" in line for line in compare(runs, by="trend").cautions)


def test_settings_that_differ_are_listed_and_no_others(found: Comparison) -> None:
    assert list(found.settings.index) == ["costs.slippage"]
    assert found.settings.loc["costs.slippage"].tolist() == ["0.0005", "0.0005", "0"]


def test_the_better_reader_is_told(tmp_path: Path) -> None:
    base, other = noise(4)
    good = made(tmp_path / "good", base, judged=articles(1, 2.0))
    poor = made(tmp_path / "poor", other, judged=articles(2, 0.5))
    found = compare([good, poor])
    (row,) = [row for _, row in found.questions.iterrows() if "articles" in row["question"]]
    assert row["estimate"] > 0.0
    assert row["p_value"] < 0.01
    assert row["n"] == "100 days"
    silent = compare([good, made(tmp_path / "none", other)])
    assert not any("articles" in question for question in silent.questions["question"])
    same = compare([good, made(tmp_path / "same", other, judged=articles(1, 2.0))])
    assert not any("articles" in question for question in same.questions["question"])


def test_a_run_that_never_traded_is_told_apart_from_a_bad_one(tmp_path: Path) -> None:
    base, other = noise(5)
    idle = made(tmp_path / "idle", np.zeros(400))
    found = compare([made(tmp_path / "base", base), idle, made(tmp_path / "other", other)], by="regime")
    row = cell(found.differences, OVERALL, "all bars", "idle")
    assert (row["sharpe"], row["p_value"]) == (None, None)
    assert "never traded" in row["note"]
    assert found.figures["best_of_all"] is None
    assert found.figures["correlation"]["idle"] is None


def test_runs_that_differ_on_a_few_bars_are_not_judged(tmp_path: Path) -> None:
    base, other = noise(11)
    runs = [made(tmp_path / "base", base), made(tmp_path / "late", np.where(np.arange(400) < 7, other, base))]
    found = compare([*runs, made(tmp_path / "double", 2.0 * base)])
    late = cell(found.differences, OVERALL, "all bars", "late")
    assert late["note"] == "the same returns on all but 7 bars"
    assert late["difference"] != 0.0
    for name in ("low", "p_value", "probability", "bayes_factor"):
        assert late[name] is None, name
    assert "scaled" in cell(found.differences, OVERALL, "all bars", "double")["note"]
    assert set(found.questions["run"]) == {"double"}
    assert found.figures["best_of_all"] is None


def test_the_best_of_many_is_judged_as_the_best(tmp_path: Path) -> None:
    series = noise(6, others=4)
    lucky = [made(tmp_path / f"run{number}", values) for number, values in enumerate(series)]
    best = compare(lucky).figures["best_of_all"]
    assert best["runs"] == 4
    assert best["p_value"] > 0.05
    good = made(tmp_path / "good", series[1] + 0.003)
    assert compare([*lucky, good]).figures["best_of_all"]["best"] == "good"
    assert compare([*lucky, good]).figures["best_of_all"]["p_value"] < 0.05


def test_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    base, other = noise(7)
    runs = [made(tmp_path / "a" / "run", base), made(tmp_path / "b" / "run", other)]
    assert [run.name for run in compare(runs).runs] == ["a/run", "b/run"]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda runs: {"folders": runs[:1]}, ConfigError, "two runs or more"),
        (lambda runs: {"folders": [runs[0], runs[0]]}, ConfigError, "named twice"),
        (lambda runs: {"folders": [runs[0], runs[0].parent / "nowhere"]}, MissingPartError, "no such run"),
        (lambda runs: {"folders": [runs[0], runs[0].parent]}, MissingPartError, "no whole run"),
        (lambda runs: {"against": "ghost"}, ConfigError, "--against ghost"),
        (lambda runs: {"by": "weather"}, ConfigError, "trend, volatility"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    three: list[Path], change: object, error: type[EmbargoError], words: str
) -> None:
    with pytest.raises(error, match=words):
        compare(**({"folders": three} | change(three)))  # type: ignore[operator]


def test_runs_of_other_times_or_other_bars_are_refused(tmp_path: Path) -> None:
    base, other = noise(8)
    one = made(tmp_path / "one", base)
    with pytest.raises(DataError, match=r"do not overlap: one from 2019-01-02 to .*; later from 2024"):
        compare([one, made(tmp_path / "later", other, start="2024-01-02")])
    shifted = made(tmp_path / "shifted", other)
    for name in ("account", "regimes"):
        table = pd.read_parquet(shifted / f"{name}.parquet")
        table.index += pd.Timedelta(hours=1)
        table.to_parquet(shifted / f"{name}.parquet")
    with pytest.raises(DataError, match="cover the same days, but their bars never begin at the same instants"):
        compare([one, shifted])
    with pytest.raises(DataError, match="share only 10 bars"):
        compare([one, made(tmp_path / "touching", other, start=str(bars(400)[390].date()))])
    with pytest.raises(DataError, match="bars of different length"):
        compare([one, made(tmp_path / "hourly", other, years=8760.0)])


@pytest.mark.parametrize("file", ["account.parquet", "metrics.json", "config.toml"])
def test_a_damaged_run_is_named(tmp_path: Path, file: str) -> None:
    base, other = noise(9)
    runs = [made(tmp_path / "one", base), made(tmp_path / "two", other)]
    (runs[1] / file).write_text("]")
    with pytest.raises(EmbargoError, match=f"two.{file}"):
        compare(runs)
    (runs[1] / file).unlink()
    with pytest.raises(MissingPartError, match=f"two: {file}"):
        compare(runs)


def test_regimes_of_other_bars_than_the_account_are_refused(tmp_path: Path) -> None:
    base, other = noise(10)
    runs = [made(tmp_path / "one", base), made(tmp_path / "two", other, labels=regimes_on(bars(300)))]
    with pytest.raises(DataError, match="do not fit"):
        compare(runs)
    holes = regimes_on(bars(400))
    holes.iloc[5, 0] = None
    with pytest.raises(DataError, match="do not fit"):
        compare([runs[0], made(tmp_path / "holes", other, labels=holes)])
    account = pd.read_parquet(runs[1] / "account.parquet")
    account.iloc[5, 0] = np.nan
    account.to_parquet(runs[1] / "account.parquet")
    with pytest.raises(DataError, match="a bar has no return, or two"):
        compare(runs)


def test_a_run_that_does_not_say_how_many_bars_make_a_year_is_refused(tmp_path: Path) -> None:
    base, other = noise(10)
    runs = [made(tmp_path / "one", base), made(tmp_path / "two", other)]
    for years in (None, 0, "252"):
        metrics = json.loads((runs[1] / "metrics.json").read_text()) | {"bars_per_year": years}
        (runs[1] / "metrics.json").write_text(json.dumps(metrics))
        with pytest.raises(DataError, match=r"metrics\.json: bars_per_year is .*, no positive number"):
            compare(runs)


def test_the_same_runs_give_the_same_figures_wherever_they_lie(
    found: Comparison, three: list[Path], tmp_path: Path
) -> None:
    moved = [Path(shutil.copytree(run, tmp_path / run.name)) for run in three]
    for name, document in (("a", as_document(found)), ("b", as_document(compare(moved, by="regime")))):
        write_json(tmp_path / f"{name}.json", document)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    figures = json.loads((tmp_path / "a.json").read_text())
    assert figures["base"] == "base"
    assert [run["run"] for run in figures["runs"]] == ["base", "like", "split"]
    assert len(figures["cells"]) == len(found.cells)


@given(st.integers(30, 5_000), st.floats(12.0, 10_000.0))
@settings(max_examples=200)
def test_a_stretch_leaves_enough_of_them(n: int, years: float) -> None:
    stretch = stretch_of(n, years)
    assert stretch >= 5
    assert n // stretch >= min(10, n // 5)
    assert stretch == 5 or stretch <= round(years / 12)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_no_run_stands_out_by_chance_more_often_than_the_level_says(tmp_path: Path) -> None:
    # 120 draws have a standard error of 2 points; each definition is one family.
    wrong = np.zeros(3)
    for draw in range(120):
        runs = [made(tmp_path / f"{draw}-{at}", values) for at, values in enumerate(noise(1000 + draw, others=3))]
        rows = compare(runs, by="regime").differences
        for place, definition in enumerate((OVERALL, "trend", "volatility")):
            adjusted = rows.loc[rows["definition"] == definition, "p_value_holm"].dropna().astype(float)
            wrong[place] += (adjusted < 0.05).any()
    assert (wrong / 120 <= 0.11).all(), wrong / 120
    assert wrong.sum() > 0
