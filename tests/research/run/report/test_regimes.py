"""The regime part of a report: what its tables say, and that the page carries them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from samples.metric_samples import metrics_with, read_with, record_with
from samples.report_samples import sample

from embargo.backtest.regimes import regime_table, sharpe_equality, stress_table, transition_table
from embargo.data_loaders.errors import DataError
from embargo.research.pages.tables import ReportTable
from embargo.research.records.by_regime import RegimeEquality, RegimeFigures, RegimeMove, RegimeReading, Stress
from embargo.research.records.metrics import Metrics
from embargo.research.run.report.page import render_page
from embargo.research.run.report.tables import name_of, regime_tables_of

READ = RegimeReading(n=80, accuracy=0.7, accuracy_interval=(0.6, 0.8), macro_f1=0.65, macro_f1_interval=(0.5, 0.75))
UNREAD = record_with(RegimeReading, n=12)


def metrics(n: int = 700) -> Metrics:
    rng = np.random.default_rng(0)
    index = pd.date_range("2019-06-03 14:30", periods=n, freq="B", tz="UTC")
    returns = pd.Series(rng.normal(0.0005, 0.01, n), index=index)
    labels = pd.Series(np.where((np.arange(n) // 50) % 2, "bear", "bull"), index=index)
    labels.iloc[:30] = "unlabelled"
    table = regime_table(returns, labels, periods_per_year=252, seed=0, n_boot=200)
    test = sharpe_equality(returns, labels, periods_per_year=252, seed=0, n_boot=200)
    moves = transition_table(labels).to_dict("records")
    stress = stress_table(returns, market=returns / 2).to_dict("records")
    return metrics_with(
        level=0.95,
        regimes={
            "markov_ex_post": {row.pop("regime"): read_with(RegimeFigures, row) for row in table.to_dict("records")}
        },
        regime_equality={"markov_ex_post": read_with(RegimeEquality, test.as_dict())},
        regime_classification={"markov_ex_post": {"bear": READ, "bull": UNREAD, "unlabelled": UNREAD}},
        regime_transitions={"markov_ex_post": tuple(read_with(RegimeMove, row) for row in moves)},
        stress=tuple(read_with(Stress, row) for row in stress),
    )


def test_the_tables_say_what_the_metrics_say() -> None:
    equality, pairs, reading, moves, stress = regime_tables_of(metrics())
    assert equality.rows[0][:3] == ("Markov switching, ex post", "bear, bull", "none")
    assert equality.rows[0][-2] == equality.rows[0][-1]  # one definition needs no correction
    assert [row[0] for row in pairs.rows] == ["Markov switching, ex post: bear less bull"]
    assert [row[1:] for row in reading.rows] == [
        ("80", "70.0%", "60.0% to 80.0%", "0.65", "0.50 to 0.75"),
        ("12", "–", "–", "–", "–"),
    ]
    assert [row[0].split(": ")[1] for row in moves.rows] == ["bear", "bull"]
    assert moves.rows[0][1:] == ("7", "50", "bear 98.3% (343), bull 1.7% (6)")
    assert [row[0] for row in stress.rows] == [
        "COVID crash (shares)",
        "Crypto crash March 2020 (crypto)",
        "Crypto crash May 2021 (crypto)",
        "Rates shock 2022 (shares)",
    ]
    assert stress.rows[0][1] == "2020-02-20 to 2020-03-23"
    for table in (equality, pairs, reading, moves, stress):
        assert all(len(row) == len(table.head) for row in table.rows)


def test_nothing_to_say_is_not_said() -> None:
    found = replace(metrics(60), stress=())
    titles = [table.title for table in regime_tables_of(found)]
    assert titles == ["Sharpe ratio across regimes", "Reading by regime", "How regimes follow each other"]


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        ("trend", "trend"),
        ("turning_points", "turning points"),
        ("lunde_timmermann_ex_post", "Lunde-Timmermann, ex post"),
        ("something_new_ex_post", "something new ex post"),
    ],
)
def test_hindsight_is_named(definition: str, words: str) -> None:
    assert name_of(definition) == words


def test_equality_is_corrected_for_the_number_of_definitions() -> None:
    said = metrics()
    test = said.regime_equality["markov_ex_post"]
    tests = {
        "trend": replace(test, p_value=0.03),
        "volatility": replace(test, p_value=0.02),
        "markov": replace(test, p_value=None, statistic=None, pairs=()),
    }
    said = replace(said, regime_equality=tests)
    assert [row[-2:] for row in regime_tables_of(said)[0].rows] == [("0.030", "0.040"), ("0.020", "0.040"), ("–", "–")]


def test_what_was_not_tested_is_named_with_its_reason() -> None:
    said = metrics()
    test = said.regime_equality["markov_ex_post"]
    back = replace(test, p_value=None, statistic=None, pairs=(), note="dated after the fact: not tested")
    tests = {"trend": replace(test, note=""), "markov_ex_post": back}
    table = regime_tables_of(replace(said, regime_equality=tests))[0]
    assert table.note.endswith("No p: Markov switching, ex post (dated after the fact: not tested).")
    assert "No p:" not in regime_tables_of(replace(said, regime_equality={"trend": tests["trend"]}))[0].note


def test_a_definition_that_looks_back_says_why_it_has_no_intervals() -> None:
    untested = {"low": None, "high": None, "p_value": None, "p_value_holm": None, "note": "dated after the fact"}
    table = sample().regime_table
    trend = table["definition"] == table["definition"].iloc[0]
    page = render_page(sample(regime_table=table.assign(**untested).where(trend, table)))
    assert f">{table['definition'].iloc[0]}: dated after the fact</span></th>" in page
    assert "dated after the fact" not in render_page(sample())


def test_a_regime_that_is_not_judged_says_why_in_the_place_of_its_figures() -> None:
    page = render_page(sample())
    assert '<td class="note" colspan="11">too few bars: 20 of at least 60</td>' in page
    assert "differ from zero" not in page  # the tests are one-sided


def test_the_page_carries_the_tables_escaped() -> None:
    tables = regime_tables_of(metrics())
    page = render_page(sample(regime_tables=[*tables, ReportTable("<b>x</b>", "a <note>", ("One",), (("<i>",),))]))
    for table in tables:
        assert f"<h3>{table.title}</h3>" in page
    assert "only definitions marked “ex post” look back" in page
    assert "<b>x</b>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    with pytest.raises(DataError, match="not 2 cells"):
        sample(regime_tables=[ReportTable("t", "", ("One", "Two"), (("a",),))])
