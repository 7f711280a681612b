"""Compare finished runs on the bars they share: every figure with its interval, every difference with its p-value.

Nothing is run again: a comparison reads the folders that runs have left. One run is the base, and each of the others is
set against it, over all bars and within each market regime. What makes a comparison unfair (other prices, other costs,
a leak) is said as a caution, never passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest import display, regimes
from embargo.backtest.metrics import annual_return, annual_volatility, hit_rate, max_drawdown, total_return
from embargo.backtest.significance import MINIMUM_ROWS, holm, sharpe_estimate
from embargo.backtest.significance.bayes import paired_belief
from embargo.backtest.significance.comparison import (
    diebold_mariano,
    differing_rows,
    mean_difference,
    sharpe_difference,
    stretch_differences,
)
from embargo.backtest.significance.superior import superior_ability
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.evaluation.comparison import cohens_d, losses, paired_t, sign_flip, wilcoxon
from embargo.research.pages import formats
from embargo.research.records.finished import FinishedRun, read_run
from embargo.research.run.regimes import is_ex_post
from embargo.research.run.report.tables import name_of

EVERYTHING = ("all bars", "all bars")
# Sharpe ratios closer than this, a year, count as equal; the prior thinks a difference of 1 as likely as not exceeded.
ROPE = 0.1
PRIOR_SHARPE = 1.0
FEWEST_STRETCHES = 5
FEWEST_DAYS = 30
# Equal-weighted markets of the same prices move together but for costs of trading; other prices fall far below.
SAME_MARKET = 0.999
# A config that does not say how figures are made was written before these settings; they are the defaults of today.
_DEFAULTS = {"level": 0.95, "significance": 0.05, "bootstrap": 2000, "block": None, "minimum_bars": 60}


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Runs side by side on the bars they share.

    Attributes
    ----------
    runs : list of FinishedRun
        The base first.
    returns : DataFrame, shape (common bars, runs)
        Net returns.
    labels : DataFrame of str, shape (common bars, definitions)
        Regimes of the base; no column if regimes were not asked for.
    cells : DataFrame
        One row per definition, regime and run: ``definition, regime, run, n_bars, share, sharpe, low, high, p_value,
        p_value_holm, annual_return, annual_volatility, max_drawdown, hit_rate, note``; all bars first.
    differences : DataFrame
        One row per definition, regime and run but the base: ``definition, regime, run, n_bars, sharpe, base_sharpe,
        difference, low, high, p_value, p_value_holm, p_value_hac, detectable, stretches, stretch_bars, probability,
        equal, bayes_factor, note``; Sharpe ratios a year, the run's minus the base's.
    questions : DataFrame
        Other ways to ask, over all bars: ``run, question, test, estimate, low, high, p_value, n, unit``.
    settings : DataFrame, shape (settings that differ, runs)
        Printed values by dotted key.
    cautions : list of str
    figures : dict
        Bars, instants, level, families and the test of the best of all.

    Examples
    --------
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from embargo.research.records import FinishedRun
    >>> from embargo.research.studies.compare import Comparison
    >>> series, frame = pd.Series([0.01, -0.02]), pd.DataFrame()
    >>> runs = [
    ...     FinishedRun(name, Path(name), status, series, frame, frame, series, (), {}, {}, {})
    ...     for name, status in (("one", "valid"), ("two", "invalid"))
    ... ]
    >>> found = Comparison(runs, frame, frame, frame, frame, frame, frame, [], {})
    >>> found.base.name, found.invalid
    ('one', ['two'])
    """

    runs: list[FinishedRun]
    returns: pd.DataFrame
    labels: pd.DataFrame
    cells: pd.DataFrame
    differences: pd.DataFrame
    questions: pd.DataFrame
    settings: pd.DataFrame
    cautions: list[str]
    figures: dict[str, Any]

    def __repr__(self) -> str:
        lines = [
            display.Figure(
                f"Sharpe ratio of {row['run']} less that of {self.base.name}",
                display.decimal(row["difference"]),
                display.interval(row["low"], row["high"], self.figures["level"], row["p_value"]),
            )
            for row in self.differences.to_dict("records")
            if (row["definition"], row["regime"]) == EVERYTHING
        ]
        return "\n".join(
            [display.as_text(f"{len(self.runs)} runs on {len(self.returns):,} common bars", lines), *self.cautions]
        )

    @property
    def base(self) -> FinishedRun:
        """The run that the others are set against."""
        return self.runs[0]

    @property
    def invalid(self) -> list[str]:
        """Names of runs whose audit found a leak."""
        return [run.name for run in self.runs if run.status == "invalid"]


def compare(folders: Sequence[Path], *, against: str | None = None, by: str | None = None) -> Comparison:
    """Compare finished runs on the bars they share.

    Parameters
    ----------
    folders : sequence of Path
        At least two different run folders.
    against : str, optional
        Name or folder of the run to be the base; by default the first.
    by : str, optional
        ``"regime"`` for every definition of regimes that the base has, or the name of one. By default none.

    Returns
    -------
    Comparison
        How intervals are made (level, resamples, blocks, seed, smallest cell) is as the base's config says.

    Raises
    ------
    MissingPartError, DataError
        If a folder is no whole run, runs have bars of different length, or share fewer than 30 bars.
    ConfigError
        If there are fewer than two runs, one is named twice, or ``against`` or ``by`` names nothing that is there.

    Examples
    --------
    >>> import json
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.research import compare
    >>> bars = pd.date_range("2020-01-01", periods=300, tz="UTC")
    >>> with TemporaryDirectory() as temporary:
    ...     folders = [Path(temporary) / name for name in ("one", "two")]
    ...     for seed, folder in enumerate(folders):
    ...         folder.mkdir()
    ...         returns = np.random.default_rng(seed).normal(0.0, 0.01, 300)
    ...         pd.DataFrame({"net_return": returns}, index=bars).to_parquet(folder / "account.parquet")
    ...         pd.DataFrame({"trend": ["bull"] * 300}, index=bars).to_parquet(folder / "regimes.parquet")
    ...         _ = (folder / "metrics.json").write_text(json.dumps({"bars_per_year": 252, "status": "valid"}))
    ...         _ = (folder / "manifest.json").write_text("{}")
    ...         _ = (folder / "config.toml").write_text("statistics = { bootstrap = 200 }")
    ...     found = compare(folders)
    >>> difference = found.differences.iloc[0]
    >>> difference["run"], round(float(difference["difference"]), 2), round(float(difference["p_value"]), 2)
    ('two', -1.21, 0.39)
    """
    given = [read_run(folder) for folder in _different(folders)]
    runs = _ordered(_named_apart(given), against)
    base = runs[0]
    others = sorted({run.bars_per_year for run in runs})
    if len(others) > 1:
        raise DataError(
            "the runs trade bars of different length: "
            + "; ".join(f"{run.name} has {formats.number(run.bars_per_year)} a year" for run in runs)
            + ". Compare runs on bars of one length."
        )
    bars = _common(runs)
    returns = pd.DataFrame({run.name: run.returns.loc[bars].to_numpy() for run in runs}, index=bars)
    labels = _labels(base, by).loc[bars]
    how = _how(base)
    cells = _cells(returns, labels, base.bars_per_year, how)
    differences = _differences(returns, labels, base.bars_per_year, how)
    return Comparison(
        runs=runs,
        returns=returns,
        labels=labels,
        cells=cells,
        differences=differences,
        questions=_questions(runs, returns, how),
        settings=_settings(runs),
        cautions=_cautions(runs, returns, labels),
        figures=_figures(runs, returns, how, differences, by),
    )


def _different(folders: Sequence[Path]) -> Sequence[Path]:
    places = [folder.resolve() for folder in folders]
    if len(places) < 2:
        raise ConfigError(
            f"a comparison needs two runs or more, got {len(places)}. Name their folders one after another."
        )
    twice = [str(folder) for at, folder in enumerate(folders) if places[at] in places[:at]]
    if twice:
        raise ConfigError(f"{twice[0]}: named twice. A run cannot be compared with itself.")
    return folders


def _named_apart(runs: list[FinishedRun]) -> list[FinishedRun]:
    """Give runs whose folders share a name the name of the folder above as well."""
    names = [run.name for run in runs]
    if len(set(names)) == len(names):
        return runs
    places = [run.folder.resolve() for run in runs]
    return [
        replace(run, name=f"{place.parent.name}/{run.name}" if names.count(run.name) > 1 else run.name)
        for run, place in zip(runs, places, strict=True)
    ]


def _ordered(runs: list[FinishedRun], against: str | None) -> list[FinishedRun]:
    if against is None:
        return runs
    wanted = Path(against)
    found = [run for run in runs if run.name == against] or [
        run for run in runs if run.folder.resolve() == wanted.resolve()
    ]
    if len(found) != 1:
        raise ConfigError(f"--against {against}: not one of the runs compared: {', '.join(run.name for run in runs)}.")
    return [found[0], *(run for run in runs if run is not found[0])]


def _common(runs: list[FinishedRun]) -> pd.DatetimeIndex:
    indices = [pd.DatetimeIndex(run.returns.index) for run in runs]
    bars = indices[0]
    for index in indices[1:]:
        bars = bars.intersection(index)
    if len(bars) < MINIMUM_ROWS:
        spans = "; ".join(
            f"{run.name} from {index[0]:%Y-%m-%d} to {index[-1]:%Y-%m-%d}"
            for run, index in zip(runs, indices, strict=True)
        )
        shared = f"share only {len(bars)} bars" if len(bars) else "do not overlap"
        if not len(bars) and max(index[0] for index in indices) <= min(index[-1] for index in indices):
            shared = "cover the same days, but their bars never begin at the same instants (calendar or bar differs)"
        raise DataError(
            f"the runs {shared}: {spans}. A comparison needs {MINIMUM_ROWS} common bars; compare runs of one "
            "test window."
        )
    return bars


def _labels(base: FinishedRun, by: str | None) -> pd.DataFrame:
    known = [str(name) for name in base.regimes.columns]
    if by is None:
        return base.regimes[[]]
    if by == "regime":
        return base.regimes
    if by not in known:
        raise ConfigError(f"--by {by}: write 'regime' for all definitions, or one of {', '.join(known)}.")
    return base.regimes[[by]]


def _how(base: FinishedRun) -> dict[str, Any]:
    """How the base's figures are made: levels, resamples, block, smallest cell and seed."""
    statistics, sorting = base.settings.get("statistics", {}), base.settings.get("regimes", {})
    how = {key: statistics.get(key, sorting.get(key, default)) for key, default in _DEFAULTS.items()}
    return how | {"seed": int(base.settings.get("seed", 0))}


def _cells(returns: pd.DataFrame, labels: pd.DataFrame, years: float, how: Mapping[str, Any]) -> pd.DataFrame:
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


def _differences(returns: pd.DataFrame, labels: pd.DataFrame, years: float, how: Mapping[str, Any]) -> pd.DataFrame:
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


def _questions(runs: list[FinishedRun], returns: pd.DataFrame, how: Mapping[str, Any]) -> pd.DataFrame:
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


def _settings(runs: list[FinishedRun]) -> pd.DataFrame:
    """Return the settings that are not the same in all runs, printed."""
    printed = {run.name: dict(formats.flat(run.settings)) for run in runs}
    keys = list(dict.fromkeys(key for entries in printed.values() for key in entries))
    apart = [key for key in keys if len({entries.get(key) for entries in printed.values()}) > 1]
    table = {name: [entries.get(key, formats.MISSING) for key in apart] for name, entries in printed.items()}
    return pd.DataFrame(table, index=pd.Index(apart, name="setting"), dtype=object)


def _cautions(runs: list[FinishedRun], returns: pd.DataFrame, labels: pd.DataFrame) -> list[str]:
    """Say what makes the comparison unfair or void."""
    base, said = runs[0], []
    for run in runs:
        if run.status == "invalid":
            said.append(
                f"The audit of {run.name} found a leak: none of its figures can be believed, nor any difference to it."
            )
        elif run.status == "caution":
            said.append(f"The audit of {run.name} has doubts; read its report first.")
    for run in runs:
        left = len(run.returns) - len(returns)
        if left:
            said.append(
                f"{left:,} of the {len(run.returns):,} bars of {run.name} are not in all runs and are left out."
            )
    for run in runs[1:]:
        said += _another_market(run, base, pd.DatetimeIndex(returns.index))
        said += _assumptions(run, base)
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


def _another_market(run: FinishedRun, base: FinishedRun, bars: pd.DatetimeIndex) -> list[str]:
    """Say whether two runs traded other symbols or prices; their windows tell only where the bars are the same."""
    if run.window == base.window:
        return []
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


def _figures(
    runs: list[FinishedRun], returns: pd.DataFrame, how: Mapping[str, Any], differences: pd.DataFrame, by: str | None
) -> dict[str, Any]:
    """Collect what is said about the comparison as a whole."""
    judged = differences[differences["p_value"].notna()]
    return {
        "base": runs[0].name,
        "by": by,
        "n_bars": len(returns),
        "start": returns.index[0].isoformat(),
        "end": returns.index[-1].isoformat(),
        "bars_per_year": runs[0].bars_per_year,
        "same_window": len({run.window for run in runs}) == 1,
        "rope": ROPE,
        "prior_sharpe": PRIOR_SHARPE,
        **how,
        "family": {str(name): len(rows) for name, rows in judged.groupby("definition", sort=False)},
        "correlation": {
            str(name): None if not np.isfinite(value) else float(value)
            for name, value in returns.corr().iloc[0].items()
        },
        "best_of_all": _best_of_all(returns, how),
        "total_return": {str(name): total_return(returns[name]) for name in returns.columns},
    }


def _best_of_all(returns: pd.DataFrame, how: Mapping[str, Any]) -> dict[str, Any] | None:
    """Test whether the best of several runs beats the base (Hansen), each at the volatility of the base."""
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
    found = superior_ability(excess.to_numpy(), n_boot=how["bootstrap"], block=how["block"], seed=how["seed"])
    return {"best": str(apart[found.best]), "p_value": found.p_value, "runs": len(apart)}


def as_document(found: Comparison) -> dict[str, Any]:
    """Return every figure of a comparison as a JSON-able dictionary.

    Parameters
    ----------
    found : Comparison
        From `compare`.

    Returns
    -------
    dict
        The comparison's ``figures``, and ``runs, cells, differences, questions, settings`` and ``cautions``.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.research.studies.compare import Comparison, as_document
    >>> nothing = pd.DataFrame()
    >>> found = Comparison([], nothing, nothing, nothing, nothing, nothing, nothing, ["a caution"], {"n_bars": 0})
    >>> as_document(found)["cautions"]
    ['a caution']
    """
    return {
        **found.figures,
        "runs": [
            {
                "run": run.name,
                "status": run.status,
                "n_bars": len(run.returns),
                "n_trials": run.n_trials,
                "deflated_sharpe": run.deflated_sharpe,
                "test_window": run.window,
                "commit": run.manifest.get("commit"),
            }
            for run in found.runs
        ],
        "cells": found.cells.to_dict("records"),
        "differences": found.differences.to_dict("records"),
        "questions": found.questions.to_dict("records"),
        "settings": found.settings.to_dict("index"),
        "cautions": found.cautions,
    }
