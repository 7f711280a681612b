"""What makes a comparison of runs unfair or void: leaks, other bars, news, prices, costs or labels."""

from __future__ import annotations

from itertools import combinations

import pandas as pd

from embargo.research.pages import formats
from embargo.research.records.data_worth import data_of
from embargo.research.records.finished import FinishedRun
from embargo.research.records.provenance import computed_apart
from embargo.research.run.regimes import is_ex_post
from embargo.research.run.report.tables import name_of

# Equal-weighted markets of the same prices move together but for costs of trading; other prices fall far below.
SAME_MARKET = 0.999


def cautions_of(runs: list[FinishedRun], returns: pd.DataFrame, labels: pd.DataFrame) -> list[str]:
    """Say what makes the comparison unfair or void."""
    base, said = runs[0], []
    for run in runs:
        if run.status == "invalid":
            said.append(
                f"The audit of {run.name} found a leak: none of its figures can be believed, nor any difference to it."
            )
        elif run.status == "caution":
            said.append(f"The audit of {run.name} has doubts; read its report first.")
        if data_of(run.metrics) in ("bad", "accepted"):
            taken = " and were accepted" if data_of(run.metrics) == "accepted" else ""
            said.append(f"The data of {run.name} are bad{taken}: part of the difference may be faulty prices or news.")
    for run in runs:
        left = len(run.returns) - len(returns)
        if left:
            said.append(
                f"{left:,} of the {len(run.returns):,} bars of {run.name} are not in all runs and are left out."
            )
    for run in runs[1:]:
        said += _other_news(run, base)
        said += _another_market(run, base, pd.DatetimeIndex(returns.index))
        said += _assumptions(run, base)
        said += _processors(run, base)
        apart = _labelled_apart(run, labels)
        if apart:
            said.append(f"{run.name} labels regimes otherwise ({apart}); the labels of {base.name} are used for all.")
    said += [
        f"{one} and {two} have the same returns on every common bar."
        for one, two in combinations(returns.columns, 2)
        if returns[one].equals(returns[two])
    ]
    looking = [name_of(str(name)) for name in labels.columns if is_ex_post(str(name))]
    if looking:
        said.append(f"Regimes that look back from the end, for reading only: {'; '.join(looking)}.")
    return said


def _other_news(run: FinishedRun, base: FinishedRun) -> list[str]:
    """Say whether two runs read other news: what then looks like a better model may be the news."""
    same = run.fingerprint("news") == base.fingerprint("news")
    if same and (run.n_articles, run.news) == (base.n_articles, base.news):
        return []
    told = []
    if run.n_articles != base.n_articles:
        one, other = formats.count(run.n_articles), formats.count(base.n_articles)
        told.append(f"{one} test articles against {other}")
    if run.news != base.news:
        told.append(f"known {known_between(run)} against {known_between(base)}")
    if not same:
        prints = " against ".join(each.fingerprint("news")[:12] or "none" for each in (run, base))
        told.append(f"fingerprint {prints}")
    what = "the same news otherwise" if same else "other news"
    return [f"{run.name} read {what} than {base.name} ({'; '.join(told)}): part of the difference may be the news."]


def known_between(run: FinishedRun) -> str:
    """Print the days between which a run's test articles were known."""
    return formats.MISSING if run.news is None else f"{run.news[0][:10]} to {run.news[1][:10]}"


def _another_market(run: FinishedRun, base: FinishedRun, bars: pd.DatetimeIndex) -> list[str]:
    """Say whether two runs traded other symbols or prices; their windows tell only where the bars are the same."""
    if run.window == base.window:
        if run.fingerprint("prices") == base.fingerprint("prices"):
            return []
        apart = "the same on the test bars; what it learnt from them may differ"
        return [f"{run.name} loaded other prices than {base.name}, {apart}."]
    if run.symbols and base.symbols and set(run.symbols) != set(base.symbols):
        both = len(set(run.symbols) & set(base.symbols))
        apart = f"trades other symbols than {base.name} ({both} of {len(run.symbols)} and {len(base.symbols)} in both)"
        return [f"{run.name} {apart}: the bars are the same, the market is not."]
    together = run.market.reindex(bars).corr(base.market.reindex(bars))
    if run.returns.index.equals(base.returns.index) or together < SAME_MARKET:
        apart = f"was tested on other prices or symbols than {base.name}"
        return [f"{run.name} {apart}: the bars are the same, the market is not."]
    return []


def _assumptions(run: FinishedRun, base: FinishedRun) -> list[str]:
    """Name what one run takes for granted about trading and the other does not."""
    printed = [dict(formats.flat(one.settings)) for one in (run, base)]
    keys = [key for key in {**printed[0], **printed[1]} if key.startswith(("costs.", "execution."))]
    apart = [key for key in keys if printed[0].get(key) != printed[1].get(key)]
    if not apart:
        return []
    return [
        f"{run.name} assumes other trading than {base.name} ({', '.join(apart)}): part of the difference is assumed."
    ]


def _processors(run: FinishedRun, base: FinishedRun) -> list[str]:
    """Say whether two runs were computed by other instructions: the last digits of what they fitted then differ too."""
    apart = computed_apart(*(each.manifest.get("processor") for each in (run, base)))
    if not apart:
        return []
    return [
        (
            f"{run.name} was computed on another kind of processor than {base.name} ({'; '.join(apart)}): part of the "
            "difference may be rounding."
        )
    ]


def _labelled_apart(run: FinishedRun, labels: pd.DataFrame) -> str:
    told = []
    for definition in labels.columns:
        if definition not in run.regimes.columns:
            told.append(f"no {name_of(str(definition))}")
            continue
        other = (run.regimes.loc[labels.index, definition].astype(str) != labels[definition].astype(str)).sum()
        if other:
            told.append(f"{name_of(str(definition))} on {other:,} of {len(labels):,} bars")
    return ", ".join(told)
