"""A base as a series of dated vintages, pretrained here: each fold takes its own, and none that knows too much."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from samples.finished_runs import unsealed
from samples.small_runs import embargo, settings

from embargo.backtest.leakage import CHECKS
from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
from embargo.models.tuning.tiny import TinySettings, pretrain_tiny
from embargo.research.config.experiment import Config, load_config
from embargo.research.modelling.tuning import explained, load_tuning, plan_tuning
from embargo.research.pages import formats
from embargo.research.progress import Quiet
from embargo.research.run.audit import judge_bases
from embargo.research.run.pipeline import execute
from embargo.research.run.plan import base_of
from embargo.research.run.preparation import prepare
from embargo.research.studies.compare.comparison import compare
from embargo.research.studies.compare.memory import memory_sentences
from embargo.research.studies.compare.tables import sentences
from embargo.research.studies.paths.paths import trade_paths

OLD, NEW, LATE = "2015-03-31", "2015-12-31", "2016-03-31"
EXPERIMENT = """
name = "dated"
[news]
loader = "simulated"
simulated = { symbols = 4, start = 2015-01-01, end = 2016-09-30, articles_per_symbol_day = 0.2 }
[prices]
loader = "simulated"
[split]
first_test = 2015-10-01
end = 2016-10-01
test_span = "6MS"
validation_span = "2MS"
[model]
method = "lora"
epochs = 1
max_length = 16
[signal]
threshold = 0.0
[portfolio]
min_signal = 0.0
[execution]
engine = "kernel"
[statistics]
bootstrap = 200
permutations = 99
"""


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Return folders of tiny bases by the day that ends what each was pretrained on."""
    market = SimulatedMarket(n_symbols=4, start="2015-01-01", end="2016-09-30", articles_per_symbol_day=0.2)
    news = simulate_market(market).news
    shape = TinySettings(layers=1, hidden=64, intermediate=64, epochs=1, vocabulary=300, max_length=16)
    found = {}
    for day in (OLD, NEW):
        until = pd.Timestamp(day, tz="UTC") + pd.Timedelta(days=1)
        known = news.loc[news["known_at"] < until].drop_duplicates("text")
        place = tmp_path_factory.mktemp("vintages")
        options = {"known_at": known["known_at"], "knowledge_cutoff": known["known_at"].max(), "settings": shape}
        found[day] = pretrain_tiny(known["text"].tolist(), cache_dir=place, **options).path_or_id
    return found


def table(named: Mapping[str, str], *days: str) -> str:
    return "model.base={" + ", ".join(f"{day} = {json.dumps(named[day])}" for day in days) + "}"


@pytest.fixture(scope="module")
def run(named: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the experiment. Vintages stand newest first, for order means nothing, and the newest is nowhere, unasked."""
    place = tmp_path_factory.mktemp("desk")
    written = config(place, table({**named, LATE: str(place / "late")}, LATE, NEW, OLD))
    return execute(written, out=place / "runs", cache=place / "cache", stages=Quiet()).folder


def config(place: Path, *given: str) -> Config:
    (place / "dated.toml").write_text(EXPERIMENT)
    return load_config(place / "dated.toml", list(given))


def test_each_fold_takes_the_newest_that_ends_before_its_training(run: Path, named: Mapping[str, str]) -> None:
    models = json.loads((run / "manifest.json").read_text())["models"]
    assert [each["base"] for each in models] == [named[OLD], named[NEW]]
    assert [each["base_knowledge_cutoff"][:10] for each in models] == [OLD, NEW]
    assert len({each["base_weights_hash"] for each in models}) == 2
    title = CHECKS["check_base_cutoff"].title
    (found,) = [each for each in json.loads((run / "findings.json").read_text()) if each["title"] == title]
    assert found["verdict"] == "pass"
    assert [row["base"] for row in found["evidence"]] == [named[OLD], named[NEW]]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert '<th scope="col" class="num">Base</th>' in page
    assert all(page.count(named[day]) > 2 for day in (OLD, NEW))


def test_the_order_of_the_table_makes_no_other_run(named: Mapping[str, str], tmp_path: Path) -> None:
    one, other = (config(tmp_path, table(named, *days)) for days in ((OLD, NEW), (NEW, OLD)))
    assert (one, one.fingerprint()) == (other, other.fingerprint())
    assert one.fingerprint() != config(tmp_path, table(named, OLD)).fingerprint()


@pytest.mark.parametrize("fold", [0, 1])
def test_the_base_of_every_fold_is_judged_and_not_of_the_first_alone(
    fold: int, named: Mapping[str, str], tmp_path: Path
) -> None:
    plan = prepare(config(tmp_path, table(named, OLD, NEW)), Quiet())
    told = [
        {"base": each.name, "kind": "transformer", "base_knowledge_cutoff": each.knowledge_cutoff, "cutoff_source": "s"}
        for each in (base_of(plan, part) for part in plan.parts)
        if each is not None
    ]
    assert judge_bases(plan, told).verdict == "pass"
    told[fold] |= {"base": "knows", "base_knowledge_cutoff": plan.parts[fold].fold.test_start}
    found = judge_bases(plan, told)
    assert (found.verdict, found.evidence[0]["base"]) == ("suspicious", "knows")
    assert found.detail.startswith(f"Fold {fold}:")
    told[fold]["base_knowledge_cutoff"] = None
    assert judge_bases(plan, told).verdict == "suspicious"


def test_a_vintage_that_ends_as_training_does_is_too_young(named: Mapping[str, str], tmp_path: Path) -> None:
    """Validation begins on 2015-08-01: a base dated by the day before may be taken, and one dated by that day not."""
    place = dict.fromkeys(("2015-07-31", "2015-08-01"), named[OLD])
    plan = prepare(config(tmp_path, table(place, "2015-07-31")), Quiet())
    first = base_of(plan, plan.parts[0])
    assert first is not None
    assert first.knowledge_cutoff == pd.Timestamp("2015-07-31 23:59:59.999999", tz="UTC")
    assert first.knowledge_cutoff < plan.parts[0].fold.train_end
    with pytest.raises(ConfigError, match=r"fold 1 of 2 ends at 2015-08-01 .* oldest vintage, .*until 2015-08-01"):
        prepare(config(tmp_path, table(place, "2015-08-01")), Quiet())


def test_only_what_folds_take_is_opened_and_all_of_it_before_anything_is_trained(
    named: Mapping[str, str], tmp_path: Path
) -> None:
    gone = str(tmp_path / "gone")
    prepare(config(tmp_path, table({**named, "2016-06-30": gone}, OLD, NEW, "2016-06-30")), Quiet())
    done = embargo("run", tmp_path / "dated.toml", "--cache", tmp_path / "cache", "--out", tmp_path / "runs",
                   *settings(table({**named, NEW: gone}, OLD, NEW)))  # fmt: skip
    assert done.exit_code == 1
    assert "no such folder" in done.output
    assert not (tmp_path / "cache" / "adapters").exists()


def test_what_is_shown_and_written_of_it(run: Path, named: Mapping[str, str], tmp_path: Path) -> None:
    config(tmp_path)
    done = embargo("validate", tmp_path / "dated.toml", *settings(table(named, OLD, NEW)))
    assert done.exit_code == 0, done.output
    assert "base" in done.output
    assert load_config(run / "config.toml").model.base == {**named, LATE: str(run.parent.parent / "late")}


def test_one_labelled_file_trains_one_model_which_knows_what_the_first_fold_may(
    named: Mapping[str, str], tmp_path: Path
) -> None:
    pd.DataFrame({"text": [f"text {i}" for i in range(60)], "label": ["bullish", "bearish", "neutral"] * 20}).to_csv(
        tmp_path / "labels.csv", index=False
    )
    given = [f"labels.path={tmp_path / 'labels.csv'}", "labels.source=file", "labels.knowledge_cutoff=2014-12-31"]
    plan = prepare(config(tmp_path, table(named, OLD, NEW), *given), Quiet())
    assert [base_of(plan, part).name for part in plan.parts] == [named[OLD]] * 2


def test_models_are_tuned_from_the_vintages_of_their_folds(named: Mapping[str, str], tmp_path: Path) -> None:
    plan = plan_tuning(config(tmp_path, table(named, OLD, NEW)), Quiet())
    assert [samples.base and samples.base.name for samples in plan.samples] == [named[OLD], named[NEW]]
    assert [row.setting for row in explained(plan, plan.samples[1])]
    alone = "name = 'one'\n[labels]\nsource = 'file'\npath = 'x.csv'\nknowledge_cutoff = 2013-12-31\n"
    (tmp_path / "alone.toml").write_text(alone)
    for base in (table(named, OLD), "model.base=manelalab/chrono-bert-v1"):
        with pytest.raises(ConfigError, match="folds take their vintage"):
            load_tuning(tmp_path / "alone.toml", [base])


def test_paths_take_one_vintage_that_knows_no_group(named: Mapping[str, str], tmp_path: Path) -> None:
    places = {"out": tmp_path / "runs", "cache": tmp_path / "cache"}
    with pytest.raises(ConfigError, match="before the groups ends at 2015-10-01"):
        trade_paths(config(tmp_path, table(named, NEW)), groups=4, tested=2, stages=Quiet(), **places)


def test_a_comparison_says_what_memory_may_be_worth_and_what_else_is_in_it(run: Path, tmp_path: Path) -> None:
    def modern(name: str, until: str | None, *, fee: float = 0.0005) -> Path:
        """Leave what a run on one base would have left, its returns drawn anew."""
        folder = unsealed(Path(shutil.copytree(run, tmp_path / name)))
        base = ["model.base=today", *([f"model.knowledge_cutoff={until}"] if until else []), f"costs.fee={fee}"]
        config_of = load_config(folder / "config.toml", base)
        (folder / "config.toml").write_text(config_of.to_toml())
        account = pd.read_parquet(folder / "account.parquet")
        noise = np.random.default_rng(3).normal(0.0, 0.01, len(account))
        account.assign(net_return=account["net_return"] + noise).to_parquet(folder / "account.parquet")
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["models"] = [{"base": "today", "base_knowledge_cutoff": until}]
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    knows = modern("knows", "2016-03-31T00:00:00+00:00")
    found = compare([run, knows])
    (said,) = memory_sentences(found)
    assert formats.ratio(found.differences.iloc[0]["difference"]) in said
    assert "read until 2016-03-31" in said
    assert "does not measure memory alone" in said
    assert "also differ" not in said
    assert said in sentences(found)
    # What stands after the figures and their interval, drawn anew when the runs change places, is the same.
    (turned,) = memory_sentences(compare([knows, run]))
    assert turned.split(" a year")[0] == said.split(" a year")[0]
    for name, until, fee, words in (
        ("early", "2015-08-31T00:00:00+00:00", 0.0005, "memory of the test has no part"),
        ("dear", "2016-03-31T00:00:00+00:00", 0.0006, "also differ in costs.fee"),
        ("unknown", None, 0.0005, "nobody says until when"),
    ):
        (said,) = memory_sentences(compare([run, modern(name, until, fee=fee)]))
        assert words in said, name
    assert memory_sentences(compare([knows, tmp_path / "dear"])) == []
