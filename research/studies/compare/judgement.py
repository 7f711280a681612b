"""How runs fared on the bars they share, and what chance makes of their distance from the base.

A difference within a regime is one of a family of tests; questions look at the same pair in other ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest import regimes
from embargo.backtest.metrics import annual_return, annual_volatility, hit_rate, max_drawdown
from embargo.backtest.significance import MINIMUM_ROWS, holm, sharpe_estimate, stepwise_sharpe
from embargo.backtest.significance.bayes import paired_belief
from embargo.backtest.significance.comparison import (
    differing_rows,
    mean_difference,
    sharpe_difference,
    stretch_differences,
)
from embargo.backtest.significance.forecasts import diebold_mariano
from embargo.data_loaders.fields import CLASSES
from embargo.models.evaluation.comparison import cohens_d, losses, paired_t, sign_flip, wilcoxon
from embargo.research.records.finished import FinishedRun
from embargo.research.run.regimes import is_ex_post

EVERYTHING = ("all bars", "all bars")
# Sharpe ratios closer than this, a year, count as equal; the prior thinks a difference of 1 as likely as not exceeded.
ROPE = 0.1
PRIOR_SHARPE = 1.0
FEWEST_STRETCHES = 5
FEWEST_DAYS = 30


def cells_of(returns: pd.DataFrame, labels: pd.DataFrame, years: float, how: Mapping[str, Any]) -> pd.DataFrame:
    """How each run fared, over all bars and in every regime."""
    frames = []
    for run in returns.columns:
        frames.append(pd.DataFrame([_overall(returns[run], years, how)]).assign(run=run))
        for definition in labels.columns:
            table = regimes.regime_table(
                returns[run],
                labels[definition],
                periods_per_year=years,
                n_boot=how["bootstrap"],
                level=how["level"],
                seed=how["seed"],
                minimum_bars=how["minimum_bars"],
                block=how["block"],
            )
            if is_ex_post(str(definition)):
                table = regimes.untested(table)
            frames.append(table.assign(definition=str(definition), run=run))
    order = ["definition", "regime", "run", "n_bars", "share", "sharpe", "low", "high", "p_value", "p_value_holm"]
    order += ["annual_return", "annual_volatility", "max_drawdown", "hit_rate", "note"]
    cells = pd.concat([frame[order].astype(object) for frame in frames], ignore_index=True)
    # Holm's family of "all bars" are the runs; of a regime table, the regimes of one run.
    overall = cells["definition"] == EVERYTHING[0]
    cells.loc[overall, "p_value_holm"] = holm(cells.loc[overall, "p_value"].tolist())
    places = {name: place for place, name in enumerate([EVERYTHING[0], *map(str, labels.columns)])}
    cells = cells.assign(place=cells["definition"].map(places)).sort_values("place", kind="stable")
    return cells.drop(columns="place").reset_index(drop=True)


def _overall(returns: pd.Series, years: float, how: Mapping[str, Any]) -> dict[str, Any]:
    found = sharpe_estimate(
        returns,
        periods_per_year=years,
        n_boot=how["bootstrap"],
        level=how["level"],
        block=how["block"],
        seed=how["seed"],
    )
    return {
        "definition": EVERYTHING[0],
        "regime": EVERYTHING[1],
        "n_bars": len(returns),
        "share": 1.0,
        "sharpe": found.sharpe,
        "low": found.low,
        "high": found.high,
        "p_value": found.p_value,
        "p_value_holm": None,
        "annual_return": annual_return(returns, periods_per_year=years),
        "annual_volatility": annual_volatility(returns, periods_per_year=years),
        "max_drawdown": max_drawdown(returns),
        "hit_rate": hit_rate(returns),
        "note": "" if found.sharpe is not None else "never traded",
    }


def unbeaten(sharpes: Mapping[str, float | None], spent: Mapping[str, float | None]) -> list[str]:
    """Name the runs that no other beats both on Sharpe ratio and on what it took: turnover, or cost.

    Parameters
    ----------
    sharpes, spent : mapping of run to float or None
        A run that lacks one of the two neither beats nor is named.

    Returns
    -------
    list of str
        By what they took, the least first. Runs equal in both beat none of each other.

    Examples
    --------
    >>> from embargo.research.studies.compare.judgement import unbeaten
    >>> unbeaten({"slow": 0.5, "fast": 1.2, "worse": 0.9}, {"slow": 2.0, "fast": 10.0, "worse": 12.0})
    ['slow', 'fast']
    """
    points = {
        name: (sharpe, took)
        for name, sharpe in sharpes.items()
        if sharpe is not None and (took := spent.get(name)) is not None
    }
    left = [
        name
        for name, (sharpe, took) in points.items()
        if not any(other[0] >= sharpe and other[1] <= took and other != (sharpe, took) for other in points.values())
    ]
    return sorted(left, key=lambda name: points[name][1])


def differences_of(returns: pd.DataFrame, labels: pd.DataFrame, years: float, how: Mapping[str, Any]) -> pd.DataFrame:
    """Set every run against the base in every cell; one family of tests for each definition."""
    families = [[(EVERYTHING, np.ones(len(returns), dtype=bool))]]
    for definition in labels.columns:
        names = labels[definition].astype(str)
        families.append(
            [((str(definition), name), (names == name).to_numpy()) for name in regimes.regime_order(set(names))]
        )
    base, *others = returns.columns
    rows: list[dict[str, Any]] = []
    for family in families:
        found = [
            {"definition": cell[0], "regime": cell[1], "run": run}
            | _difference(returns[run], returns[base], member, cell, years, how)
            for cell, member in family
            for run in others
        ]
        adjusted = holm([row["p_value"] for row in found])
        rows += [row | {"p_value_holm": p} for row, p in zip(found, adjusted, strict=True)]
    order = ["definition", "regime", "run", "n_bars", "sharpe", "base_sharpe", "difference", "low", "high", "p_value"]
    order += ["p_value_holm", "p_value_hac", "detectable", "stretches", "stretch_bars", "probability", "equal"]
    order += ["bayes_factor", "note"]
    return pd.DataFrame([[row[name] for name in order] for row in rows], columns=order, dtype=object)


def _difference(
    run: pd.Series, base: pd.Series, member: np.ndarray, cell: tuple[str, str], years: float, how: Mapping[str, Any]
) -> dict[str, Any]:
    n, least = int(member.sum()), MINIMUM_ROWS if cell == EVERYTHING else max(MINIMUM_ROWS, how["minimum_bars"])
    empty = ("sharpe", "base_sharpe", "difference", "low", "high", "p_value", "p_value_hac", "detectable", "stretches")
    row: dict[str, Any] = {"n_bars": n, "note": "", **dict.fromkeys(empty)}
    row |= dict.fromkeys(("stretch_bars", "probability", "equal", "bayes_factor"))
    if cell[1] == regimes.UNLABELLED:
        return row | {"note": "the regime could not be told"}
    if n < least:
        return row | {"note": f"fewer than {least} rows: not judged"}
    found = sharpe_difference(
        run,
        base,
        member=member,
        periods_per_year=years,
        n_boot=how["bootstrap"],
        level=how["level"],
        block=how["block"],
        seed=how["seed"],
    )
    row |= {"sharpe": found.a, "base_sharpe": found.b}
    if is_ex_post(cell[0]):
        return row | {"difference": found.difference, "note": "dated after the fact: not judged"}
    row |= {
        name: getattr(found, name) for name in ("difference", "low", "high", "p_value", "p_value_hac", "detectable")
    }
    if found.difference is None:
        return row | {"note": "one of the two never traded here"}
    if found.p_value is None:
        return row | {"note": _alike(run.to_numpy()[member], base.to_numpy()[member])}
    stretch = stretch_of(n, years)
    parts = stretch_differences(run, base, stretch=stretch, member=member, periods_per_year=years)
    if len(parts) >= FEWEST_STRETCHES:
        spread = float(parts.std(ddof=1))
        belief = paired_belief(parts, rope=ROPE, scale=PRIOR_SHARPE / spread) if spread > 0.0 else paired_belief(parts)
        row |= {"stretches": len(parts), "stretch_bars": stretch, "probability": belief.positive}
        row |= {"equal": belief.inside, "bayes_factor": belief.bayes_factor}
    return row


def _alike(run: np.ndarray, base: np.ndarray) -> str:
    """Say why two series of returns with a difference cannot be told apart."""
    apart = differing_rows(run, base)
    if not apart:
        return "the same returns"
    bars = f"{apart:,} bar{'s' * (apart > 1)}"
    return f"the same returns on all but {bars}" if apart < MINIMUM_ROWS else "the same Sharpe ratio, scaled"


def stretch_of(bars: int, bars_per_year: float) -> int:
    """Bars of a stretch that stands for one observation: a month, or less where that would leave fewer than ten."""
    return max(5, min(round(bars_per_year / 12.0), bars // 10))


def questions_of(runs: list[FinishedRun], returns: pd.DataFrame, how: Mapping[str, Any]) -> pd.DataFrame:
    """Ask otherwise, over all bars: mean returns, stretches of time, and how well the texts were read."""
    base = runs[0]
    rows = []
    for run in runs[1:]:
        a, b, years = returns[run.name], returns[base.name], base.bars_per_year
        parts = stretch_differences(a, b, stretch=stretch_of(len(a), years), periods_per_year=years)
        money = [_of_means(a, b, years, how), *_of_stretches(parts, how)]
        asked = [*(money if differing_rows(a, b) >= MINIMUM_ROWS else []), *_of_reading(run, base)]
        rows += [{"run": run.name, "low": None, "high": None} | row for row in asked]
    order = ["run", "question", "test", "estimate", "low", "high", "p_value", "n", "unit"]
    return pd.DataFrame([[row[name] for name in order] for row in rows], columns=order, dtype=object)


def _of_means(a: pd.Series, b: pd.Series, years: float, how: Mapping[str, Any]) -> dict[str, Any]:
    found = mean_difference(
        a,
        b,
        periods_per_year=years,
        n_boot=how["bootstrap"],
        level=how["level"],
        block=how["block"],
        seed=how["seed"],
    )
    question = {"question": "Is the mean return higher?", "test": "stationary bootstrap of the pairs"}
    figures = {"estimate": found.difference, "low": found.low, "high": found.high, "p_value": found.p_value}
    return question | figures | {"n": f"{len(a):,} bars", "unit": "fraction a year"}


def _of_stretches(parts: np.ndarray, how: Mapping[str, Any]) -> list[dict[str, Any]]:
    if len(parts) < FEWEST_STRETCHES or not parts.std() > 1e-9:
        return []
    mean, (low, high), p_value = paired_t(parts, level=how["level"])
    effect, around = cohens_d(parts, level=how["level"])
    row = {"n": f"{len(parts):,} stretches", "unit": "Sharpe a year"}
    higher = row | {"question": "Is the Sharpe ratio higher, stretch by stretch?", "estimate": mean}
    typical = row | {"question": "Is it higher in the typical stretch?", "estimate": float(np.median(parts))}
    size = row | {"question": "How large is the difference?", "estimate": effect, "unit": "standard deviations"}
    return [
        higher | {"test": "paired t", "low": low, "high": high, "p_value": p_value},
        higher | {"test": "sign flip", "p_value": sign_flip(parts, seed=how["seed"])},
        typical | {"test": "Wilcoxon signed rank", "p_value": wilcoxon(parts)},
        size | {"test": "Cohen's d", "p_value": None} | ({"low": around[0], "high": around[1]} if around else {}),
    ]


def _of_reading(run: FinishedRun, base: FinishedRun) -> list[dict[str, Any]]:
    """Say whose model has the higher loss on the same articles; articles of one day are one row in time."""
    both = run.articles.index.intersection(base.articles.index)
    if not len(both):
        return []
    one, two = (one.judged.set_index("article_id").loc[both] for one in (run, base))
    if not (one["label"] == two["label"]).all():
        return []
    suffered = [losses(side[list(CLASSES)].to_numpy(), side["label"].to_numpy()) for side in (one, two)]
    daily = pd.DataFrame({"a": suffered[0], "b": suffered[1], "day": one["day"].to_numpy()}).groupby("day").mean()
    if len(daily) < FEWEST_DAYS:
        return []
    found = diebold_mariano(daily["a"].to_numpy(), daily["b"].to_numpy())
    if found.p_value is None:
        return []
    question = {"question": "Is its model's loss on the same articles higher?", "test": "Diebold–Mariano, log-loss"}
    figures = {"estimate": found.difference, "p_value": found.p_value}
    return [question | figures | {"n": f"{len(daily):,} days", "unit": "nats"}]


def best_of_all(returns: pd.DataFrame, how: Mapping[str, Any]) -> dict[str, Any] | None:
    """Test whether the best of several runs beats the base (Romano and Wolf), each at the volatility of the base."""
    base, *others = returns.columns
    spread = returns.std()
    if not (spread > 0.0).all():
        return None
    scaled = returns * (spread.iloc[0] / spread)
    apart = [
        run
        for run in others
        if min(differing_rows(panel[run], panel[base]) for panel in (returns, scaled)) >= MINIMUM_ROWS
    ]
    if len(apart) < 2:
        return None
    excess = scaled[apart].sub(scaled[base], axis=0)
    found = stepwise_sharpe(excess.to_numpy(), n_boot=how["bootstrap"], block=how["block"], seed=how["seed"])
    best = int(found.p_values.argmin())
    return {"best": str(apart[best]), "p_value": float(found.p_values[best]), "runs": len(apart)}
