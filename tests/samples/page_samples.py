"""The pages of fixed contents, and what they are known by.

``PYTHONPATH=tests python -m samples.page_samples > tests/research/pages/pages.sha256`` accepts the pages as they are.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Collection
from contextlib import chdir
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
from embargo.research.config.adapt import AdaptSection
from embargo.research.gathering import checks
from embargo.research.records import list_runs
from embargo.research.records.ledger import Trial, record
from embargo.research.records.windows import window_on
from embargo.research.run import report
from embargo.research.studies import adapt, compare, listing, signal, sweep
from embargo.signals.diagnostics.diagnosis import Diagnosis, diagnose
from samples.books_shown import book_shown
from samples.finished_runs import articles, made, noise
from samples.report_samples import sample

_LONG = re.compile(r"-?\d+\.\d{7,}(?:e-?\d+)?")


def comparison(folder: Path) -> compare.Comparison:
    """Three runs by regime, one of them better and one that leaked."""
    base, like, good = noise(1, others=2)
    runs = [
        made(folder / "base", base, judged=articles(1, 1.0), paid=0.0002),
        made(folder / "like", like, judged=articles(2, 1.0), status="invalid", paid=0.0003),
        made(folder / "good", good + 0.004, costs=0.0, paid=0.0001),
    ]
    return compare.compare(runs, by="regime")


@cache
def diagnosis() -> Diagnosis:
    """A signal that repeats what half of the articles say."""
    market = simulate_market(SimulatedMarket(n_symbols=8, end="2015-12-31"))
    prices, news = market.prices, market.news
    rows = prices.open_at.searchsorted(pd.DatetimeIndex(news["published_at"]), side="right")
    columns = prices.open.columns.get_indexer(pd.Index(news["symbol"]))
    bullish = np.where(news["label"] == "bullish", 0.8, 0.1)
    told = news.assign(
        row=np.where(rows < len(prices.open), rows, -1),
        column=columns,
        bearish=0.9 - bullish,
        neutral=0.1,
        bullish=bullish,
        confidence=0.8,
        used=True,
    )
    values = np.random.default_rng(5).normal(0.0, 0.1, prices.open.shape)
    values[told["row"][::2], told["column"][::2]] += (2.0 * bullish - 0.9)[::2]
    panel = pd.DataFrame(values.clip(-1.0, 1.0), index=prices.open.index, columns=prices.open.columns)
    return diagnose(panel, 0.1 * panel, told, prices, horizons=(1, 5))


def swept() -> sweep.Sweep:
    """Two settings and a cost, six cells of which three compete."""
    axes = [sweep.Axis("signal.half_life", (1.0, 2.0, 5.0)), sweep.Axis("costs.slippage", (0.0, 0.0005))]
    choices = [(life, cost) for life in axes[0].values for cost in axes[1].values]
    table = pd.DataFrame(choices, columns=[axis.key for axis in axes]).assign(
        validation_sharpe=[0.9, 0.4, 1.6, 1.1, np.nan, -0.3],
        test_sharpe=[1.2, 0.7, 1.1, 0.6, np.nan, 0.1],
        competes=[False, True] * 3,
    )

    def cell(position: int, rank: int, ratio: float) -> dict[str, Any]:
        row = table.loc[position]
        return {
            "settings": {axis.key: row[axis.key] for axis in axes},
            "validation_sharpe": row["validation_sharpe"],
            "rank_on_validation": rank,
            "rank_on_test": 3 - rank,
            "sharpe": ratio,
            "sharpe_low": ratio - 1.0,
            "sharpe_high": ratio + 1.1,
            "sharpe_p_value": 0.21,
            "total_return": 0.031,
            "max_drawdown": -0.052,
            "probabilistic_sharpe": 0.79,
            "deflated_sharpe": 0.42,
            "adjusted_p_value": 0.55,
            "significance_left": 0.014,
            "effective_trials": 2.6,
        }

    span = {"start": "2016-01-04T14:30:00+00:00", "end": "2016-12-30T21:00:00+00:00", "bars": 252}
    figures = {
        "cells": 6,
        "competing": 3,
        "ranked": 3,
        "never_traded": {"validation": 1, "test": 1},
        "distinct_returns": 5,
        "n_trials": 8,
        "n_partial": 0,
        "trials_elsewhere": 0,
        "overfitting": {
            "probability": 0.31,
            "splits": 70,
            "by_chance": {"low": 0.05, "high": 0.91, "level": 0.95},
        },
        "confidence_set": {"settings": ["a", "b"], "level": 0.9},
        "best_of_attempts": {"p_value": 0.44, "superior": 0},
        "rank_correlation": 0.5,
        "validation": span | {"left_out_bars": 61},
        "test": span,
        "chosen": cell(3, 1, 0.6),
        "best_on_test": cell(1, 2, 0.7),
    }
    return sweep.Sweep(Path("runs/small-sweep-1a2b3c4d"), axes, table, 3, 1, figures)


def readers() -> adapt.Adaptation:
    """One that guesses, two that cannot be told apart, one that may remember the test and one that failed."""

    def row(name: str, kind: str, quality: float, cost: float, **more: Any) -> adapt.Row:
        figures = {"accuracy": quality, "accuracy_interval": (quality - 0.05, quality + 0.05)}
        figures |= {"macro_f1": quality, "macro_f1_interval": (quality - 0.06, quality + 0.06)}
        figures |= {"fit_cpu": 36.0 * cost, "fit_wall": 40.0 * cost, "fit_cost": 0.0005 * cost}
        figures |= {"article_cpu": cost, "article_wall": cost, "article_cost": cost / 72_000.0, "trust": "before"}
        probed = {"n": 400, "texts": 40, "flip_rate": 0.04, "worst": "hidden characters", "denials": 0.5}
        probed |= {"worst_rate": 0.2, "worst_low": 0.1, "worst_high": 0.35}
        known = {
            "n": 600,
            "ece": 0.03,
            "log_loss": 1.2 - quality,
            "probed": probed,
            "cutoff": "2015-12-31T00:00:00+00:00",
        }
        return adapt.Row(name, kind, **(figures | known | more))

    earned = {"traded": True, "sharpe": 1.1, "sharpe_low": 0.1, "sharpe_high": 2.1, "sharpe_p_value": 0.02}
    memory = {"trust": "inside", "trust_note": "It knows until 2019-01-01.", "unprobed": "not asked", "probed": None}
    rows = [
        row("guess", "majority", 0.4, 0.001, traded=False),
        row("line", "linear", 0.71, 0.3, **earned),
        row("tuned", "transformer", 0.73, 9.0, **earned),
        row("elsewhere", "endpoint", 0.9, 2.0, **(earned | memory)),
        adapt.Row("asked", "endpoint", failed="<b>The budget</b> of 5 USD is spent."),
    ]
    pairs = []
    for place, a in enumerate(rows[:4]):
        for b in rows[place + 1 : 4]:
            gap, p = (
                float(a.macro_f1 or 0.0) - float(b.macro_f1 or 0.0),
                0.3 if {a.name, b.name} == {"line", "tuned"} else 0.001,
            )
            apart = adapt.Apart(gap, gap - 0.04, gap + 0.04, p, min(1.0, 6 * p))
            lost = adapt.Apart(-gap, -gap - 0.04, -gap + 0.04, p, min(1.0, 6 * p))
            pairs.append(adapt.Pair(a.name, b.name, apart, apart, adapt.Apart(note="guess never traded"), lost))
    settings = AdaptSection()
    advice = adapt.recommend(rows, pairs, settings, significance=0.05)
    priced = {one.name: (one.cost(0.0), one.cost(1.0) - one.cost(0.0)) for one in rows[:4]}
    figures = {"name": "small", "n": 600, "n_groups": 180, "level": 0.95, "significance": 0.05, "resamples": 2000}
    figures |= {"family": 6, "adapt": settings.model_dump(), "traded": True, "n_bars": 252, "n_trials": 4}
    figures |= {"start": "2016-01-01T00:00:00+00:00", "end": "2017-01-01T00:00:00+00:00", "settings": {"seed": 0}}
    figures |= {"break_evens": [vars(one) for one in adapt.break_evens(priced)], "n_left_out": {"elsewhere": 3}}
    return adapt.Adaptation(Path("runs/small-adapt-1a2b3c4d"), rows, pairs, advice, figures)


def listed(place: Path) -> str:
    """Two runs on a window that the ledger knows, one that names none, one that leaked and one that is damaged."""
    made_up = simulate_market(SimulatedMarket(n_symbols=2, start="2015-01-01", end="2015-06-01")).prices
    # A window is named by the bits of its prices, of which the last are the processor's own.
    prices = replace(made_up, open=made_up.open.round(2), close=made_up.close.round(2))
    window = window_on(prices, "1d")
    figures: dict[str, dict[str, Any]] = {
        "first": {
            "sharpe": 0.62,
            "sharpe_low": -0.4,
            "sharpe_high": 1.7,
            "sharpe_p_value": 0.11,
            "data_verdict": "clean",
        },
        "second": {
            "sharpe": 1.31,
            "sharpe_low": 0.2,
            "sharpe_high": 2.4,
            "sharpe_p_value": 0.02,
            "data_verdict": "look",
        },
        "alone": {"sharpe": None, "data_verdict": "bad", "data_faults": {"splits": {"verdict": "bad"}}},
        "saw <b>it</b>": {"sharpe": 9.5, "sharpe_low": 8.0, "sharpe_high": 11.0, "sharpe_p_value": 0.0004},
    }
    status = dict(zip(figures, ("valid", "caution", "valid", "invalid"), strict=True))
    with chdir(place):
        for number, (name, told) in enumerate(figures.items()):
            run = made(
                Path("runs", name),
                noise(number, n=90)[0],
                status=status[name],
                window=window.identity if number < 2 else "",
            )
            file = run / "metrics.json"
            file.write_text(
                json.dumps(json.loads(file.read_text()) | told | {"total_return": 0.04, "max_drawdown": -0.1})
            )
            (run / "report.html").write_text("a report")
            if number < 3:
                record(
                    Path("ledger"),
                    window,
                    Trial(window.identity, f"attempt {number}", name, 0.05, len(window.open_at)),
                    np.full(len(window.open_at), 0.001),
                )
        (made(Path("runs", "torn"), noise(9, n=90)[0]) / "metrics.json").write_text("{")
        entries = listing.entries_of(list_runs(Path("runs")), Path("runs"), Path("ledger"))
        return listing.render_page(entries, Path("runs"), Path("runs.html"))


def _compared() -> str:
    with tempfile.TemporaryDirectory() as folder:
        return compare.render_page(comparison(Path(folder)))


def _listed() -> str:
    with tempfile.TemporaryDirectory() as folder:
        return listed(Path(folder))


def _book() -> str:
    book, sources = book_shown()
    return report.render_page(sample("valid", book=book, book_sources=sources))


def _bare() -> str:
    nothing = dict.fromkeys(("regimes", "regime_table", "reliability", "confusion", "classification", "folds"))
    return report.render_page(sample(**nothing))


def _checked() -> str:
    market = simulate_market(SimulatedMarket(seed=3, n_symbols=6, end="2015-12-31"))
    asked = checks.check_world(market.news, market.prices, calendar="XNYS", counts={"rows": 900, "undated": 300})
    return checks.render_page({"first": asked, "second": asked[:3]}, "Archive", subtitle="a year")


MAKERS: dict[str, Callable[[], str]] = {
    "report-valid": lambda: report.render_page(sample("valid")),
    "report-caution": lambda: report.render_page(sample("caution")),
    "report-invalid": lambda: report.render_page(sample("invalid")),
    "report-bare": _bare,
    "report-book": _book,
    "signal": lambda: signal.render_page(diagnosis(), "small", subtitle="a year"),
    "signal-invalid": lambda: signal.render_page(diagnosis(), "small", status="invalid"),
    "sweep": lambda: sweep.render_page(swept(), "Sweep of small"),
    "comparison": _compared,
    "listing": _listed,
    "readers": lambda: adapt.render_page(readers()),
    "check": _checked,
}


@cache
def _made(name: str) -> str:
    return MAKERS[name]()


def pages(names: Collection[str] = tuple(MAKERS)) -> dict[str, str]:
    """Every page by its name, or those that are named; a process makes each once."""
    return {name: _made(name) for name in MAKERS if name in names}


def fingerprint(page: str) -> str:
    """Hash a page, its long numbers to six digits: the last ones are the machine's own."""
    bare = _LONG.sub(lambda number: f"{float(number[0]):.6g}", page)
    return hashlib.sha256(bare.encode()).hexdigest()


if __name__ == "__main__":
    for name, page in pages().items():
        print(f"{fingerprint(page)}  {name}")
