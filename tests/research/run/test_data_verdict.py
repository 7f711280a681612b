"""Every run judges the data that it reads: faults inside condemn it, faults outside do not, and both are named."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from samples.faulty_prices import (
    CONFIG,
    DAY,
    FAULTS,
    a_bar_times_1000,
    a_split_left_in,
    first_symbol,
    plant,
    write_market,
)
from samples.small_runs import embargo, metrics_of, only_run

from embargo.data_loaders.checks import Check
from embargo.data_loaders.errors import ConfigError
from embargo.research.config.experiment import load_config, parse_config
from embargo.research.progress import Quiet
from embargo.research.records.data_faults import WithoutBars
from embargo.research.records.metrics import Metrics
from embargo.research.run.data_verdict import DataVerdict
from embargo.research.run.pipeline import Outcome
from embargo.research.run.plan import Plan
from embargo.research.run.preparation import prepare
from embargo.research.run.trading import trade
from embargo.research.run.without import without_marked

WHOLE_SYMBOL = {"a_bar_times_1000", "a_month_in_pence", "a_split_left_in", "a_reused_ticker"}


def judged(config: Path) -> DataVerdict:
    return prepare(load_config(config), Quiet()).data


def test_a_market_without_faults_is_not_bad(tmp_path: Path) -> None:
    data = judged(write_market(tmp_path))
    assert data.grade != "bad"
    assert (data.stands, data.refused, data.stamp) == (True, (), None)


@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_real_price_files_are_bad_and_their_bars_are_named(name: str, tmp_path: Path) -> None:
    config = write_market(tmp_path)
    symbol = first_symbol(pd.read_parquet(tmp_path / "prices.parquet"))
    plant(tmp_path, FAULTS[name])
    data = judged(config)
    assert data.grade == "bad"
    assert not data.stands
    where = " ".join(data.places[code] for code in data.refused)
    assert re.search(r"201[56]-\d\d-\d\d", where)
    if name in WHOLE_SYMBOL:
        assert symbol in where


@pytest.mark.parametrize(("day", "grade"), [("2015-02-11", "clean"), ("2015-11-11", "bad")])
def test_what_a_run_never_reads_does_not_condemn_it(day: str, grade: str, tmp_path: Path) -> None:
    """News from March 2016 on: the bars of a year before them are looked back at, those before that are not."""
    config = write_market(tmp_path, CONFIG.replace("split = {", "split = { start = 2016-02-29,"))
    plant(tmp_path, lambda prices: a_bar_times_1000(prices, day))
    data = judged(config)
    assert f"{data.period[0]:%Y-%m}" in ("2015-02", "2015-03")
    assert (data.grade == "bad") == (grade == "bad"), data.summary


def marked_plan(plan: Plan, cells: list[tuple[str, str]], verdict: str = "bad") -> Plan:
    """Return the plan as if a check had marked these symbols on these days."""
    prices = plan.world.prices
    marked = np.zeros(prices.close.shape, dtype=bool)
    days = list(prices.open_at.strftime("%Y-%m-%d"))
    for symbol, day in cells:
        marked[days.index(day), prices.symbols.index(symbol)] = True
    check = Check("splits", "bad" if verdict == "bad" else "look", "1 jump.", marked=marked)
    return replace(plan, data=replace(plan.data, checks=(check,), places={"splits": ""}))


def scored(plan: Plan) -> pd.DataFrame:
    """Score the test news by what their annotator said, surely."""
    news = pd.concat([part.test_news for part in plan.parts], ignore_index=True)
    classes = {"bearish": 0, "neutral": 1, "bullish": 2}
    told = {name: (news["label"] == name).astype(float) for name in classes}
    return news.assign(**told, confidence=1.0, fold=0)


def without(config: Path, cells: list[tuple[str, str]]) -> tuple[float, WithoutBars]:
    plan = marked_plan(prepare(load_config(config), Quiet()), cells)
    result = trade(plan, scored(plan))
    by_check, found = without_marked(plan, result)
    assert found is not None
    assert by_check == {"splits": found}
    return float(np.prod(1.0 + result.books.returns) - 1.0), found


def test_without_the_bars_at_fault_a_result_is_what_it_is_without_the_same_bars_of_whole_data(tmp_path: Path) -> None:
    config = write_market(tmp_path)
    plan = prepare(load_config(config), Quiet())
    held = trade(plan, scored(plan)).books.realised_weights
    row, column = np.unravel_index(int(np.argmax(held.iloc[20:100].abs().to_numpy())), (80, held.shape[1]))
    symbol, day = str(held.columns[column]), f"{held.index[21 + row]:%Y-%m-%d}"
    cells = [(symbol, day)]
    whole, clean = without(config, cells)
    plant(tmp_path, lambda prices: a_split_left_in(prices, symbol, day))
    faulty, mended = without(config, cells)
    assert abs(faulty - whole) > 0.01
    assert mended.total_return == pytest.approx(clean.total_return, abs=1e-9)
    assert mended.sharpe == pytest.approx(clean.sharpe, abs=1e-7)
    assert mended.max_drawdown == pytest.approx(clean.max_drawdown, abs=1e-9)
    assert (mended.n_marked, mended.n_symbols, mended.n_left_out) == (1, 1, 2)
    assert mended.share_left_out == pytest.approx(2 / (6 * 127), rel=0.05)


def test_bars_that_are_never_traded_change_nothing(tmp_path: Path) -> None:
    config = write_market(tmp_path)
    symbol = first_symbol(pd.read_parquet(tmp_path / "prices.parquet"))
    whole, found = without(config, [(symbol, "2015-10-14")])
    assert found.n_left_out == 0
    assert found.total_return == pytest.approx(whole, abs=1e-9)


@pytest.mark.parametrize("fill", ["open", "close"])
def test_over_a_marked_bar_nothing_is_earned(fill: str, tmp_path: Path) -> None:
    """With every bar marked there are costs and carry left, and no return of any symbol."""
    config = write_market(tmp_path, CONFIG + f'[execution]\nfill = "{fill}"\n[costs]\nfee = 0.0\nslippage = 0.0\n')
    prices = pd.read_parquet(tmp_path / "prices.parquet")
    cells = list(prices[["symbol", "date"]].itertuples(index=False, name=None))
    settings = load_config(config, ["costs.borrow_annual=0"])
    plan = marked_plan(prepare(settings, Quiet()), [(str(symbol), str(day)) for symbol, day in cells])
    _, found = without_marked(plan, trade(plan, scored(plan)))
    assert found is not None
    assert found.share_left_out == 1.0
    assert found.total_return == pytest.approx(0.0, abs=1e-12)


def test_bars_of_a_check_that_only_asks_for_a_look_do_not_count_as_bad(tmp_path: Path) -> None:
    config = write_market(tmp_path)
    symbol = first_symbol(pd.read_parquet(tmp_path / "prices.parquet"))
    plan = marked_plan(prepare(load_config(config), Quiet()), [(symbol, DAY)], verdict="look")
    by_check, bad = without_marked(plan, trade(plan, scored(plan)))
    assert set(by_check) == {"splits"}
    assert bad is None
    assert plan.data.stands


def test_a_run_on_bad_data_is_stamped_and_claims_nothing_until_they_are_accepted(tmp_path: Path) -> None:
    config = write_market(tmp_path)
    plant(tmp_path, a_bar_times_1000)
    places = ("--out", tmp_path / "runs", "--cache", tmp_path / "cache")
    result = embargo("run", config, *places)
    assert result.exit_code == 4, result.output
    told = " ".join(result.output.split())
    assert "data: bad" in told
    assert "--accept-data outliers=REASON" in told
    figures = metrics_of(tmp_path / "runs")
    assert (figures["data_verdict"], figures["edge"]) == ("bad", False)
    assert figures["data_faults"]["outliers"]["verdict"] == "bad"
    run = only_run(tmp_path / "runs")
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Data bad, so no figure here can be relied on: outliers" in page
    assert f"{DAY}" in page
    checks = json.loads((run / "data_checks.json").read_text())
    assert checks["refused"] == ["outliers"]
    assert DAY in next(check for check in checks["checks"] if check["code"] == "outliers")["where"]
    assert "accepted_data" not in json.loads((run / "manifest.json").read_text())
    assert " bad " in embargo("runs", tmp_path / "runs").output

    reason = "the exchange printed it <b>"
    result = embargo("run", config, *places, "--accept-data", f"outliers={reason}")
    assert result.exit_code == 0, result.output
    assert reason in result.output
    # The same figures are the same attempt: it replaces the one before.
    again = metrics_of(tmp_path / "runs")
    assert again["sharpe"] == figures["sharpe"]
    assert again["n_trials"] == 1
    assert again["data_faults"]["outliers"]["accepted"] == reason
    run = only_run(tmp_path / "runs")
    assert json.loads((run / "manifest.json").read_text())["accepted_data"] == {"outliers": reason}
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Data called bad and accepted: outliers (the exchange printed it &lt;b&gt;)" in page
    assert reason not in page
    assert " accepted " in embargo("runs", tmp_path / "runs").output
    Metrics.from_dict(again)


def test_validate_sweep_and_paths_say_it_too(tmp_path: Path) -> None:
    config = write_market(tmp_path)
    clean = embargo("validate", config)
    assert clean.exit_code == 0, clean.output
    plant(tmp_path, a_bar_times_1000)
    places = ("--out", tmp_path / "runs", "--cache", tmp_path / "cache")
    accept = ("--accept-data", "outliers=known")
    swept = ("sweep", config, "--grid", "signal.half_life=1,3", *places)
    pathed = ("paths", config, "--groups", "3", "--test", "1", *places)
    for command in (("validate", config), swept, pathed):
        result = embargo(*command)
        assert result.exit_code == 4, result.output
        assert "--accept-data outliers=REASON" in result.output
        result = embargo(*command, *accept)
        assert result.exit_code == 0, result.output
    (page,) = (tmp_path / "runs").glob("*-sweep-*/report.html")
    assert "Data called bad and accepted: outliers (known)" in page.read_text(encoding="utf-8")


def test_the_data_check_fails_on_bad_data_unless_they_are_accepted(tmp_path: Path) -> None:
    config = write_market(tmp_path)
    assert embargo("data", "check", config).exit_code == 0
    plant(tmp_path, a_bar_times_1000)
    result = embargo("data", "check", config)
    assert result.exit_code == 4, result.output
    assert "outliers" in result.output
    config.write_text(CONFIG + '[data]\naccept = { outliers = "known" }\n')
    result = embargo("data", "check", config)
    assert result.exit_code == 0, result.output


def test_what_is_accepted_needs_a_code_and_a_reason(tmp_path: Path) -> None:
    config = write_market(tmp_path)
    result = embargo("validate", config, "--accept-data", "split=known")
    assert result.exit_code == 2
    told = " ".join(result.output.split())
    assert "there is no check 'split'" in told
    assert "splits" in told
    assert embargo("validate", config, "--accept-data", "splits").exit_code == 2
    document = {"name": "x", "news": {"path": "n"}, "prices": {"path": "p"}, "split": {"first_test": "2020-01-01"}}
    with pytest.raises(ConfigError, match=r"data.accept.splits gives no reason"):
        parse_config(document | {"data": {"accept": {"splits": " "}}}, where="x")
    taken = parse_config(document | {"data": {"accept": {"bars-against-the-calendar": "known"}}}, where="x")
    assert taken.fingerprint() == parse_config(document, where="x").fingerprint()
    assert '"known"' in taken.to_toml()


def test_a_simulated_market_is_not_bad(small_run: Outcome) -> None:
    assert small_run.data.stands
    assert small_run.metrics.data_verdict != "bad"
    assert small_run.metrics.without_bad_bars is None


@pytest.mark.parametrize(
    ("case", "status", "symbol"),
    [
        ("base", 0, ""),
        ("flat_zero_volume", 0, "2014-10-20"),
        ("pence_pounds", 4, "XOM"),
        ("adj_close_mix", 4, "XOM"),
    ],
)
def test_cases_that_went_wrong_once(cases: Path, tmp_path: Path, case: str, status: int, symbol: str) -> None:
    config = cases / case / "c.toml"
    checked = embargo("validate", config)
    assert checked.exit_code == status, checked.output
    assert symbol in checked.output
    result = embargo("run", config, "--out", tmp_path / "runs", "--cache", tmp_path / "cache")
    assert result.exit_code == status, result.output
    figures = metrics_of(tmp_path / "runs")
    assert (figures["data_verdict"] == "bad") == (status == 4)
    page = (only_run(tmp_path / "runs") / "report.html").read_text(encoding="utf-8")
    assert ("Data bad" in page) == (status == 4)
    assert symbol in page
