"""Either side of a base's knowledge cutoff that divides the test: figures for the report, and what the audit asks.

Nothing is read or traded again: scores, returns and the word list's own are those that every run has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.leakage import CHECKS, Finding, check_alpha_decay, check_cutoff_split
from embargo.backtest.leakage.memory.cutoff import FEWEST_MATCHED
from embargo.backtest.leakage.memory.result import FEWEST_DAYS
from embargo.backtest.significance import sharpe_estimate
from embargo.research.records.cutoff import CutoffSide, EitherSide
from embargo.research.run.given_scores import answered
from embargo.research.run.plan import Plan
from embargo.research.run.regimes import is_ex_post
from embargo.research.run.trading import Trade

_CODES = {"check_cutoff_split": "M1", "check_alpha_decay": "M9"}
_ENDS = ("", "_low", "_high")
# Fewer bars than this on a side have no Sharpe ratio worth the name.
_FEWEST = 20


@dataclass(frozen=True)
class Rival:
    """What a word list made of the same news, traded by the same rules.

    Attributes
    ----------
    scores : ndarray, shape (articles,)
        Bullish less bearish probability, in the order of the run's own scored news.
    weights : DataFrame, shape (test rows, symbols)
    """

    scores: np.ndarray
    weights: pd.DataFrame


def stated_cutoff(plan: Plan, manifests: Sequence[Mapping[str, Any]]) -> pd.Timestamp | str:
    """Return the base's knowledge cutoff where it divides the test, or why there is none that does."""
    if manifests[0]["base"] is None and manifests[0]["kind"] in ("lexicon", "linear"):
        return "The reader has no pretrained weights, so no cutoff divides the test."
    stated = [each["base_knowledge_cutoff"] for each in manifests]
    if None in stated:
        return "Nobody says until when the knowledge of the base model reaches, so there is nothing to split at."
    starts = [part.fold.test_start for part in plan.parts]
    beyond = [pd.Timestamp(at) for at, start in zip(stated, starts, strict=True) if pd.Timestamp(at) > start]
    if not beyond:
        return "The knowledge of the base model ends before each test window, so all of the test lies after it."
    latest = max(beyond)
    if latest >= plan.parts[-1].fold.test_end:
        return "The knowledge of the base model reaches to the end of the test, so no part of it lies after."
    return latest


def either_side(plan: Plan, manifests: Sequence[Mapping[str, Any]], result: Trade) -> EitherSide | None:
    """Measure the run before and after the cutoff; None where none divides the test."""
    cutoff = stated_cutoff(plan, manifests)
    if isinstance(cutoff, str):
        return None
    read = _forecasts(plan, result.placed, result.asset_returns)
    told = check_cutoff_split(read, cutoff, level=plan.config.statistics.level, seed=plan.config.seed).figures
    returns = result.books.returns
    later, read_later = (np.asarray(at >= cutoff.ceil("D")) for at in (pd.DatetimeIndex(returns.index), read["at"]))
    sides = {
        name: _side(plan, returns[rows], int(articles.sum()), [told.get(f"ic_{name}{end}") for end in _ENDS])
        for name, rows, articles in (("before", ~later, ~read_later), ("after", later, read_later))
    }
    return EitherSide(cutoff=cutoff.isoformat(), **sides)


def _side(plan: Plan, returns: pd.Series, n_articles: int, coefficient: Sequence[float | None]) -> CutoffSide:
    settings = plan.config.statistics
    found = None
    if len(returns) >= _FEWEST:
        found = sharpe_estimate(
            returns,
            periods_per_year=plan.world.periods_per_year,
            n_boot=settings.bootstrap,
            level=settings.level,
            seed=plan.config.seed,
        )
    value, low, high = (None if at is None or not np.isfinite(at) else float(at) for at in coefficient)
    return CutoffSide(
        n_bars=len(returns),
        n_articles=n_articles,
        sharpe=None if found is None else found.sharpe,
        sharpe_low=None if found is None else found.low,
        sharpe_high=None if found is None else found.high,
        information_coefficient=value,
        information_coefficient_low=low,
        information_coefficient_high=high,
    )


def judge_cutoff(
    plan: Plan,
    manifests: Sequence[Mapping[str, Any]],
    scored: pd.DataFrame,
    asset_returns: pd.DataFrame,
    returns: pd.Series,
    rival: Rival | None,
    growth: pd.DataFrame,
    regimes: pd.DataFrame,
) -> list[Finding]:
    """Ask whether forecasts (M1) and alpha (M9) end at the cutoff, beyond what ends there for a word list.

    Sides are compared within the regimes of the first definition that looks only back, where enough bars have a match
    on the other side, else as they are. ``growth`` is that of
    `research.run.measurement.Measured`, with the word list's.
    """
    cutoff = stated_cutoff(plan, manifests)
    if isinstance(cutoff, str) or rival is None:
        said = cutoff if isinstance(cutoff, str) else "A word list is the rival without memory, and this reader is one."
        return [Finding(code, "not-applicable", CHECKS[name].title, said) for name, code in _CODES.items()]
    causal = next((str(name) for name in regimes.columns if not is_ex_post(str(name))), None)
    labels = None if causal is None else _matched(regimes[causal], cutoff)
    read = _forecasts(plan, scored.assign(baseline=rival.scores), asset_returns, "baseline")
    if labels is not None:
        read["regime"] = labels.reindex(pd.DatetimeIndex(read["at"])).to_numpy()
    seed = plan.config.seed
    theirs = growth["lexicon"].to_numpy(dtype=float)
    # Whoever has lost everything earns nothing more.
    earned = np.divide(np.diff(theirs), theirs[:-1], out=np.zeros(len(theirs) - 1), where=theirs[:-1] > 0.0)
    rival_returns = pd.Series(earned, index=returns.index)
    return [
        check_cutoff_split(read, cutoff, seed=seed).finding(),
        check_alpha_decay(
            returns, rival_returns, cutoff, periods_per_year=plan.world.periods_per_year, regimes=labels, seed=seed
        ).finding(),
    ]


def _matched(labels: pd.Series, cutoff: pd.Timestamp) -> pd.Series | None:
    """Return regimes to compare within; None where too few bars of either side would be left to tell anything."""
    later = pd.DatetimeIndex(labels.index) >= cutoff
    counts = pd.DataFrame({"before": labels[~later].value_counts(), "after": labels[later].value_counts()}).fillna(0)
    kept = counts[counts.min(axis=1) >= FEWEST_MATCHED].sum()
    return labels if kept.min() >= FEWEST_DAYS else None


def _forecasts(plan: Plan, scored: pd.DataFrame, asset_returns: pd.DataFrame, *further: str) -> pd.DataFrame:
    """Return each article that reached a bar with its score and what the bar earned."""
    reached = answered(scored.loc[scored["row"] >= 0])
    row, column = reached["row"].to_numpy(), reached["column"].to_numpy()
    return pd.DataFrame(
        {
            "article_id": reached["article_id"].to_numpy(),
            "symbol": reached["symbol"].to_numpy(),
            "at": plan.world.prices.open_at[plan.rows][row],
            "score": (reached["bullish"] - reached["bearish"]).to_numpy(dtype=float),
            "earned": asset_returns.to_numpy(dtype=float)[row, column],
        }
        | {name: reached[name].to_numpy(dtype=float) for name in further}
    )
