"""``embargo audit``: what it prints of a run, what it carries out again, and when it ends with the status of a leak."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib.resources import files
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from samples import leak_worlds
from typer.testing import CliRunner

import embargo
from embargo.backtest.leakage import CHECKS
from embargo.data_loaders import Prices
from embargo.data_loaders.fields import PRICE_FIELDS
from embargo.models import Calibration
from embargo.research.cli.commands import app
from embargo.research.run import perturbation, probing
from embargo.research.studies import strategy
from embargo.research.studies.strategy.audit import audit_strategy as strategy_of

SMALL = str(files("embargo.research.examples") / "small.toml")


@pytest.fixture
def run(small_run):
    return small_run.folder


def audit(*arguments):
    done = CliRunner().invoke(app, ["audit", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_the_findings_of_a_run_are_printed_and_written(run, tmp_path):
    done = audit(run, "--json", tmp_path / "found.json")
    assert done.exit_code == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert [row["code"] for row in found] == [row["code"] for row in json.loads((run / "findings.json").read_text())]
    assert "T1" in done.output


def test_a_run_is_carried_out_again_as_its_config_says(run):
    done = audit(run, "--deep", "--rows", 1, "--probe", "--cache", run.parent.parent / "cache")
    assert done.exit_code == 0
    assert "bit-identical" in " ".join(done.output.split())
    # Both forms of the audit are told together.
    assert "under each of" in " ".join(done.output.split())


def test_a_leak_ends_with_its_own_status(tmp_path, monkeypatch):
    honest = perturbation.trade

    def leaky(plan, *rest):
        result = honest(plan, *rest)
        weights = result.decision.weights / plan.world.prices.close.std()
        return replace(result, decision=replace(result.decision, weights=weights))

    monkeypatch.setattr(perturbation, "trade", leaky)
    done = audit(SMALL, "--deep", "--rows", 1, "--set", "model.kind=lexicon", "--json", tmp_path / "found.json")
    assert done.exit_code == 3
    found = json.loads((tmp_path / "found.json").read_text())
    assert [row["verdict"] for row in found].count("leak") == 1
    assert (found[0]["verdict"], found[0]["code"]) == ("leak", "T1")
    # What texts know is asked in every run; how far labels reach is asked here too.
    assert {row["code"] for row in found} == {"T1", "S1"}


class KnowsDays:
    """Says what became of a company on a day wherever a text holds both, and nothing else."""

    identity, knowledge_cutoff = "knows days", pd.Timestamp("2015-01-01", tz="UTC")

    def __init__(self, placed):
        self.earned = {(row.symbol, f"{row.at:%Y-%m-%d}"): row.earned for row in placed.itertuples()}

    def logits(self, texts, progress=None):
        found = [re.findall(r"[A-Z]{4}|\d{4}-\d\d-\d\d", text) for text in texts]
        earned = np.array([self.earned.get((words[0], words[-1]), 0.0) if words else 0.0 for words in found])
        return np.column_stack([-3.0 * np.sign(earned), np.zeros(len(texts)), 3.0 * np.sign(earned)])


def test_a_reader_that_recalls_is_a_leak_and_names_of_companies_are_taken_from_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(
        probing,
        "fit_fold",
        lambda plan, *_: SimpleNamespace(
            scorer=KnowsDays(probing._placed(plan)),
            calibration=Calibration(),
            manifest={"knowledge_cutoff": "2015-01-01T00:00:00+00:00"},
        ),
    )
    (tmp_path / "names.csv").write_text("symbol,name\nALDR,Alder Robotics\n")
    done = audit(SMALL, "--probe", "--names", tmp_path / "names.csv", "--json", tmp_path / "found.json")
    assert done.exit_code == 3
    found = json.loads((tmp_path / "found.json").read_text())
    assert [row["code"] for row in found if row["verdict"] == "leak"] == ["M2", "M3"]
    assert all(row["at"] >= "2015-07-01" for row in found[0]["evidence"])
    assert found[0]["interval"][0] > 0.1


def test_names_ask_nothing_of_a_finished_run(run, tmp_path):
    (tmp_path / "names.csv").write_text("symbol,name\nALDR,Alder Robotics\n")
    done = audit(run, "--names", tmp_path / "names.csv")
    assert done.exit_code == 2
    assert "--probe" in done.output


def test_an_experiment_that_was_not_run_has_no_findings():
    done = audit(SMALL)
    assert done.exit_code == 2
    assert "--deep" in done.output


def test_other_data_than_the_runs_are_refused(run, tmp_path, monkeypatch):
    honest = perturbation.world_of
    monkeypatch.setattr(
        "embargo.research.run.preparation.world_of",
        lambda config, inputs: honest(config, replace(inputs, news=inputs.news.iloc[: pd.Index(inputs.news).size - 1])),
    )
    done = audit(run, "--deep", "--rows", 1)
    assert done.exit_code == 1
    assert "news" in done.output


MINE = """
import numpy as np


def honest(news, prices):
    return np.sign(prices.close.pct_change(fill_method=None)).shift(1).fillna(0.0) / 8


def peeks(prices):
    return np.sign(prices.close.pct_change(fill_method=None)).fillna(0.0) / 8


def moody(news, prices):
    assert news["mood"].sum() == 3 * len(news)
    return honest(news, prices)


number = 3
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    world = leak_worlds.make_world(1, n_bars=120)
    quoted = [
        getattr(world.prices, name).melt(ignore_index=False, var_name="symbol", value_name=name)
        for name in PRICE_FIELDS
    ]
    bars = quoted[0].assign(**{name: frame[name] for name, frame in zip(PRICE_FIELDS, quoted, strict=True)})
    bars = bars.rename_axis("open_at").reset_index().dropna()
    bars.assign(date=bars["open_at"].dt.strftime("%Y-%m-%d")).to_csv(folder / "bars.csv", index=False)
    told = world.news[["article_id", "published_at", "symbol"]].assign(text="Acme in the news", source="wire")
    told.to_csv(folder / "news.csv", index=False)
    (folder / "my_strategy.py").write_text(MINE)
    told.drop(columns="text").to_csv(folder / "bare.csv", index=False)
    (folder / "my_broken.py").write_text("1 / 0")
    told.assign(published_at=told["published_at"].dt.tz_localize(None)).to_csv(folder / "naive.csv", index=False)
    told.assign(article_id="same", symbol="S00").to_csv(folder / "twice.csv", index=False)
    told.assign(score="good").to_csv(folder / "words.csv", index=False)
    scored = told.assign(score=0.1, mood=3)
    scored.to_csv(folder / "scored.csv", index=False)
    listed = scored.assign(tags=[["a", "b"]] * len(told), published_at=scored["published_at"].astype(str))
    listed.to_json(folder / "lists.jsonl", orient="records", lines=True)
    weights = leak_worlds.honest(world.news, world.prices)
    weights.to_parquet(folder / "weights.parquet")
    (weights * 3.0).to_parquet(folder / "levered.parquet")
    weights.iloc[:, 1:].to_parquet(folder / "fewer.parquet")
    weights.reset_index(drop=True).to_csv(folder / "counted.csv")
    return folder


def given(folder, *more):
    return ["--prices", folder / "bars.csv", "--calendar", "XNYS", "--rows", 3, *more]


def test_a_function_of_ones_own_is_audited(elsewhere, tmp_path, monkeypatch):
    monkeypatch.chdir(elsewhere)
    done = audit("--signal", "my_strategy:honest", "--news", elsewhere / "news.csv", *given(elsewhere))
    assert done.exit_code == 0, done.output
    assert "needs a run" in done.output.lower()
    done = audit("--signal", "my_strategy:peeks", *given(elsewhere, "--json", tmp_path / "found.json"))
    assert done.exit_code == 3, done.output
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found[0]["code"], found[0]["verdict"], found[0]["evidence"][0]["column"]) == ("T1", "leak", "close")
    assert {row["verdict"] for row in found} >= {"pass", "leak", "not-tested"}


WRITTEN = """
name = "mine"
labels = { source = "returns" }
split = { first_test = 2016-01-01 }

[news]
path = "german.csv"
delimiter = ";"
time_from = ["Datum", "Uhrzeit"]
time_format = "%d.%m.%Y %H:%M:%S"
timezone = "UTC"
unpriced = "drop"

[prices]
path = "kurse.csv"
delimiter = ";"
decimal = ","
columns = { date = "Datum" }
"""


@pytest.fixture(scope="module")
def written(elsewhere, tmp_path_factory):
    """The same news and bars as a spreadsheet writes them, with a config that says so."""
    folder = tmp_path_factory.mktemp("written")
    bars = pd.read_csv(elsewhere / "bars.csv").drop(columns="open_at").rename(columns={"date": "Datum"})
    bars.to_csv(folder / "kurse.csv", sep=";", decimal=",", index=False)
    news = pd.read_csv(elsewhere / "news.csv", parse_dates=["published_at"])
    told = news.assign(
        Datum=news["published_at"].dt.strftime("%d.%m.%Y"), Uhrzeit=news["published_at"].dt.strftime("%H:%M:%S")
    )
    told.drop(columns="published_at").to_csv(folder / "german.csv", sep=";", index=False)
    (folder / "mine.toml").write_text(WRITTEN)
    (folder / "my_own.py").write_text(MINE)
    return folder


@pytest.mark.parametrize(("function", "status"), [("peeks", 3), ("honest", 0)])
def test_a_strategy_is_audited_on_the_news_and_prices_of_a_config(function, status, written, tmp_path, monkeypatch):
    monkeypatch.chdir(written)
    done = audit("mine.toml", "--signal", f"my_own:{function}", "--rows", 3, "--json", tmp_path / "found.json")
    assert done.exit_code == status, done.output
    found = json.loads((tmp_path / "found.json").read_text())
    assert [row["verdict"] for row in found].count("leak") == (1 if status else 0)


def test_a_strategy_is_decided_and_filled_as_the_config_says_unless_another_is_said(written, monkeypatch):
    monkeypatch.chdir(written)
    # Two days ahead of its bar, honest rows read closes that were not yet made.
    early = ["mine.toml", "--signal", "my_own:honest", "--rows", 3, "--set", "prices.latency=2D"]
    assert audit(*early).exit_code == 3
    assert audit(*early, "--latency", "5min").exit_code == 0
    # What is filled at the close may know more than what is filled at the open.
    seen = []
    monkeypatch.setattr(strategy, "audit_strategy", lambda **told: seen.append(told) or strategy_of(**told))
    config = ["mine.toml", "--signal", "my_own:honest", "--rows", 3, "--set", "execution.fill=close"]
    audit(*config)
    audit(*config, "--fill", "open")
    assert [told["execution"].fill for told in seen] == ["close", "open"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--prices", "kurse.csv"], "--prices: mine.toml says which news and prices"),
        (["--calendar", "XNYS", "--bar", "1d"], "--calendar, --bar: mine.toml says"),
        (["--deep"], "has no run. Leave --deep out"),
    ],
)
def test_a_config_says_alone_which_data_a_strategy_read(arguments, told, written, monkeypatch):
    monkeypatch.chdir(written)
    done = audit("mine.toml", "--signal", "my_own:honest", *arguments)
    assert (done.exit_code, told in " ".join(done.output.split())) == (2, True), done.output


def test_a_file_of_another_form_is_refused_with_the_way_to_read_it(written, monkeypatch):
    monkeypatch.chdir(written)
    done = audit("--signal", "my_own:peeks", "--prices", "kurse.csv", "--calendar", "XNYS")
    assert done.exit_code == 1
    assert "or name a config that says so in place of the file" in " ".join(done.output.split())


@pytest.mark.parametrize("file", ["scored.csv", "lists.jsonl"])
def test_what_else_stands_in_a_file_of_news_is_read_and_options_are_named(file, elsewhere, tmp_path):
    asked = ("--weights", elsewhere / "weights.parquet", "--news", elsewhere / file, "--adjusted")
    done = audit(*asked, *given(elsewhere, "--json", tmp_path / "f"))
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "f").read_text())
    assert {row["title"]: row["verdict"] for row in found}[CHECKS["check_hit_rate"].title] != "not-tested"
    told = " ".join(f"{row['detail']} {row['remedy']}" for row in found)
    assert "what --adjusted or --as-traded says of the prices has no effect" in told
    assert "Hand in the function that makes the weights, --signal." in told
    assert "state their number as --trials." in told
    told = told.replace("returns= and orders= of embargo.audit in Python", "")
    assert re.findall(r"\b(signal|news|orders|returns|trials|rows)=", told) == []


def test_a_function_gets_every_column_of_its_news(elsewhere, tmp_path, monkeypatch):
    monkeypatch.chdir(elsewhere)
    done = audit("--signal", "my_strategy:moody", "--news", "scored.csv", *given(elsewhere))
    assert done.exit_code == 0, done.output


def test_weights_of_ones_own_are_audited(elsewhere):
    done = audit("--weights", elsewhere / "weights.parquet", *given(elsewhere))
    assert done.exit_code == 0, done.output
    assert "weights alone cannot be perturbed" in " ".join(done.output.split())


def test_orders_of_a_csv_are_held_against_the_bars(elsewhere, tmp_path):
    weights = pd.read_parquet(elsewhere / "weights.parquet")
    prices = Prices.read(elsewhere / "bars.csv", calendar="XNYS")
    orders = embargo.backtest(weights, prices, engine="kernel", n_boot=100).books.orders
    local = orders["fill_at"].dt.tz_convert("America/New_York")
    orders = orders.assign(fill_at=local.map(pd.Timestamp.isoformat), known_at=orders["fill_at"] - pd.Timedelta("1h"))
    orders.to_csv(tmp_path / "orders.csv", index=False)
    asked = ("--weights", elsewhere / "weights.parquet", "--orders", tmp_path / "orders.csv")
    done = audit(*asked, *given(elsewhere, "--json", tmp_path / "found.json"))
    assert done.exit_code == 0, done.output
    found = {row["title"]: row for row in json.loads((tmp_path / "found.json").read_text())}
    told = found[CHECKS["check_fill_order"].title]
    assert (told["verdict"], f"All {len(orders)} fills" in told["detail"]) == ("pass", True)
    late = pd.to_datetime(orders["fill_at"], utc=True).map(lambda at: f"{at:%Y-%m-%d %H:%M} GMT+8")
    orders.assign(known_at=late).to_csv(tmp_path / "orders.csv", index=False)
    done = audit(*asked, *given(elsewhere))
    assert done.exit_code == 1, done.output
    assert "orders, column known_at, row 0:" in " ".join(done.output.split())


def test_an_account_with_leverage_and_what_is_stated_of_the_prices_are_heard(elsewhere, tmp_path):
    weights = pd.read_parquet(elsewhere / "weights.parquet") * 3.0
    assert 1.0 < weights.abs().sum(axis=1).max() <= 3.5
    weights.to_parquet(tmp_path / "levered.parquet")
    levered = ("--weights", tmp_path / "levered.parquet", *given(elsewhere))
    refused = " ".join(audit(*levered).output.split())
    assert "exceeds 1" in refused
    done = audit(*levered, "--leverage", 4, "--symbols-chosen-at", "2015-01-01", "--json", tmp_path / "found.json")
    assert done.exit_code == 0, done.output
    found = {row["code"]: row for row in json.loads((tmp_path / "found.json").read_text())}
    assert (found["D6"]["verdict"], "2015-01-01" in found["D6"]["detail"]) == ("pass", True)


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["--signal", "my_strategy"], 2, "MODULE:FUNCTION"),
        (["--signal", "no_such_module:f"], 1, "No module named"),
        (["--signal", "my_broken:f"], 1, "ZeroDivisionError"),
        (["--signal", "my_strategy:nothing"], 2, "has no nothing"),
        (["--signal", "my_strategy:number"], 2, "is no function"),
        (["--signal", "my_strategy:peeks", "--fill", "noon"], 2, "write open or close"),
        (["--signal", "my_strategy:peeks", "--latency", "soon"], 2, "such as 5min"),
        (["--signal", "my_strategy:peeks", "--deep"], 2, "has no run. Leave --deep out"),
        (["--signal", "my_strategy:peeks", "--set", "seed=1"], 2, "Leave --set out"),
        (["--signal", "my_strategy:peeks", "--news", "bare.csv"], 1, "no column for text. Name it so in the file. It"),
        (["--signal", "my_strategy:peeks", "--news", "news.csv"], 1, r"peeks takes prices alone.*Leave out --news, or"),
        (["--signal", "my_strategy:honest"], 1, r"honest takes news and prices.*Hand in --news\."),
        (["--signal", "my_strategy:honest", "--news", "naive.csv"], 1, "Write it with an offset, such as .00:00, or Z"),
        (["--signal", "my_strategy:honest", "--news", "twice.csv"], 1, "Give each article an id of its own, or keep"),
        (["--signal", "my_strategy:honest", "--news", "words.csv"], 1, "score is 'good' at row 0, no number"),
        (["--weights", "levered.parquet"], 2, "Hold less, or state its leverage with --leverage"),
        (["--weights", "weights.parquet", "--symbols-chosen-at", "someday"], 2, "--symbols-chosen-at: someday is"),
        (["--weights", "nowhere.csv"], 1, "does not exist"),
        (["--weights", "fewer.parquet"], 1, "Leave the others out of the file of prices, or give symbols that are not"),
        (["--weights", "counted.csv"], 1, "counted.csv holds 0, no instant"),
        ([], 2, "needs a run|has no run|either --signal"),
    ],
)
def test_what_cannot_be_audited_is_refused(arguments, status, told, elsewhere, monkeypatch):
    monkeypatch.chdir(elsewhere)
    done = audit(*arguments, *given(elsewhere))
    assert done.exit_code == status, done.output
    assert re.search(told, " ".join(done.output.split()))


def test_without_anything_to_audit_the_command_says_what_to_give():
    assert audit().exit_code == 2
