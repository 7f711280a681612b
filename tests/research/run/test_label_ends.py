"""Labels made from returns outside: purged where their end is stated, and never passed where it is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage import Finding
from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
from embargo.research.config.experiment import load_config
from embargo.research.examples.shipped import example
from embargo.research.progress import Quiet
from embargo.research.run.audit import judge_labels
from embargo.research.run.pipeline import execute
from embargo.research.run.plan import Plan
from embargo.research.run.preparation import prepare
from embargo.research.run.samples import plan_samples
from embargo.research.run.text_checks import judge_labels_read
from embargo.research.run.world import load_inputs

CONFIG = """
name = "outside"
[news]
path = "news.parquet"
columns = {{ complete = "complete" }}
[prices]
path = "prices.parquet"
[split]
first_test = 2015-10-01
end = 2016-01-01
validation_span = "2MS"
method = "holdout"
[labels]
{labels}
[model]
kind = "lexicon"
[statistics]
bootstrap = 200
permutations = 99
"""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A market whose labels are the signs of the next twenty days, made where nobody saw it."""
    market = simulate_market(SimulatedMarket(n_symbols=4, start="2015-01-01", end="2016-02-28"))
    prices = market.prices
    row = prices.open_at.searchsorted(market.news["known_at"])
    until = (row + 20).clip(max=len(prices.open_at) - 1)
    opens, column = prices.open.to_numpy(), prices.open.columns.get_indexer(market.news["symbol"])
    rose = opens[until, column] > opens[row.clip(max=len(opens) - 1), column]
    news = market.news.drop(columns=["known_at"], errors="ignore")
    news = news.assign(label=["bullish" if up else "bearish" for up in rose], complete=prices.open_at[until])
    news.to_parquet(tmp_path / "news.parquet")
    long = [
        pd.DataFrame(
            {name: getattr(prices, name)[symbol].to_numpy() for name in ("open", "high", "low", "close", "volume")}
        ).assign(symbol=symbol, date=prices.open_at.strftime("%Y-%m-%d"))
        for symbol in prices.symbols
    ]
    pd.concat(long).to_parquet(tmp_path / "prices.parquet")
    return tmp_path


def overlap_of(folder: Path, labels: str) -> tuple[Finding, int]:
    (folder / "mine.toml").write_text(CONFIG.format(labels=labels))
    config = load_config(folder / "mine.toml")
    purged = sum(count for name, count in prepare(config, Quiet()).parts[0].counts.items() if name.startswith("purged"))
    outcome = execute(config, out=folder / "runs", cache=folder / "cache", stages=Quiet())
    (finding,) = (each for each in outcome.findings if each.code == "S1")
    return finding, purged


def test_labels_whose_end_nobody_states_do_not_pass(archive: Path) -> None:
    finding, purged = overlap_of(archive, 'source = "news"')
    assert (finding.verdict, purged) == ("inconclusive", 0)
    assert "labels.ends_at" in finding.remedy


def test_labels_whose_end_is_stated_are_purged_and_pass(archive: Path) -> None:
    finding, purged = overlap_of(archive, 'ends_at = "complete"')
    assert finding.verdict == "pass"
    assert purged > 0


def test_readings_of_the_text_may_be_said_to_be_such(archive: Path) -> None:
    finding, purged = overlap_of(archive, 'ends_at = "known_at"')
    assert (finding.verdict, purged) == ("pass", 0)


def test_an_end_belongs_to_a_column_of_the_news(archive: Path) -> None:
    (archive / "mine.toml").write_text(CONFIG.format(labels='source = "returns"\nends_at = "complete"'))
    with pytest.raises(ConfigError, match=r"labels\.ends_at belongs to"):
        load_config(archive / "mine.toml")


@pytest.fixture(scope="module")
def plan() -> Plan:
    with example("small") as path:
        return prepare(load_config(path), Quiet())


def with_labels(plan: Plan, **labels: object) -> Plan:
    section = plan.config.labels.model_copy(update=labels)
    return replace(plan, config=plan.config.model_copy(update={"labels": section}))


def with_news(plan: Plan, news: pd.DataFrame) -> Plan:
    changed = replace(plan, world=replace(plan.world, news=news))
    samples = plan_samples(plan.config, changed.world, [part.fold for part in plan.parts])
    parts = [type(part)(**vars(own), fold=part.fold) for own, part in zip(samples, plan.parts, strict=True)]
    return replace(changed, parts=parts)


def test_labels_of_returns_end_with_the_bars_they_count_whatever_is_stated(plan: Plan) -> None:
    returns = with_labels(plan, source="returns", horizon_bars=10)
    assert judge_labels(returns).verdict == "leak"
    days = pd.Timedelta(days=30)
    parts = [
        replace(
            part,
            train=part.train.loc[part.train["known_at"] < part.fold.validation_start - days],
            validation=part.validation.loc[part.validation["known_at"] < part.fold.test_start - days],
        )
        for part in plan.parts
    ]
    assert judge_labels(replace(returns, parts=parts)).verdict == "pass"


def test_readings_that_know_the_next_move_are_doubted(plan: Plan) -> None:
    assert judge_labels_read(plan).verdict == "pass"
    world = plan.world
    row = world.decided_at.searchsorted(pd.DatetimeIndex(world.news["known_at"])).clip(max=len(world.decided_at) - 2)
    opens, column = world.prices.open.to_numpy(), world.prices.open.columns.get_indexer(world.news["symbol"])
    rose = opens[row + 1, column] > opens[row, column]
    made = with_news(plan, world.news.assign(label=np.where(rose, "bullish", "bearish")))
    found = judge_labels_read(made)
    assert (found.code, found.verdict) == ("S7", "suspicious")
    late = [
        replace(
            part, **{name: getattr(part, name).assign(ends_at=part.fold.test_start) for name in ("train", "validation")}
        )
        for part in made.parts
    ]
    assert judge_labels_read(replace(made, parts=late)).verdict == "not-applicable"
    assert judge_labels_read(with_labels(plan, source="returns")).verdict == "not-applicable"


def test_a_later_label_of_the_same_text_takes_no_earlier_sample_away(plan: Plan) -> None:
    learnt, fold = plan.parts[0].train.iloc[0], plan.parts[0].fold
    news = plan.world.news.copy()
    later = news.index[news["known_at"] >= fold.test_start][0]
    first = news.loc[news["article_id"] == learnt["article_id"], "label"].iloc[0]
    news.loc[later, "text"] = learnt["text"]
    news.loc[later, "label"] = "bearish" if first != "bearish" else "bullish"
    kept = with_news(plan, news).parts
    assert learnt["article_id"] in set(kept[0].train["article_id"])
    # Known by the next fold's training, the two contradict each other there.
    assert learnt["article_id"] not in set(kept[1].train["article_id"])


def test_one_symbol_earns_nothing_beside_itself() -> None:
    with example("small") as path:
        config = load_config(path, ["labels={source='returns'}", "model={kind='linear'}"])
    inputs = load_inputs(config, Quiet())
    name = inputs.prices.symbols[0]
    news = inputs.news.loc[inputs.news["symbol"] == name].reset_index(drop=True)
    alone = replace(inputs, news=news, prices=inputs.prices.select(symbols=[name]))
    with pytest.raises(ConfigError, match=f"0 for {name} alone"):
        prepare(config, Quiet(), alone)
