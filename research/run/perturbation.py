"""The master protocol through a whole run: change the future before anything is read, and see what of the past moves.

Every run perturbs the future of its finished scores. That says nothing of what made them, so here the run itself is
repeated, from its loaded files to its orders, in worlds that agree on all that was known at an instant and differ
after it. The stages are compared in the order in which they follow one another, and the first one that moved is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.leakage import Finding
from embargo.backtest.leakage.causality import CANARY, choose_rows, rescaled_prices
from embargo.backtest.leakage.findings import plain
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import CLASSES
from embargo.research.progress import Quiet, Stages
from embargo.research.run.plan import Plan, traded_news, traded_parts, trading_rows
from embargo.research.run.reading import Reading, read, with_base
from embargo.research.run.samples import plan_folds, plan_parts
from embargo.research.run.trading import Trade, fuse, trade
from embargo.research.run.world import Inputs, world_of

TITLE = "The whole run stays as it was when its future changes"
# Where the run as it is keeps its models and scores.
FIRST = "first"
UNIT = "largest change of a number that was already settled"

# What moves first says what looked ahead.
CODES = {
    "news": "D8",
    "samples": "S5",
    "models": "S4",
    "calibration": "M12",
    "scores": "R3",
    "signal": "T1",
    "weights": "T1",
    "orders": "T7",
}
_REMEDIES = {
    "news": "What is kept of the news at an instant must not depend on later articles: drop repeats in order of time.",
    "samples": "Cut training and validation by when texts and labels were known, and learn thresholds of labels on "
    "training rows alone.",
    "models": "Fit on the training part alone: vocabulary, scaling and weights must not see later rows.",
    "calibration": "Calibrate on the validation part alone, which ends before the test window begins.",
    "scores": "Score each article by its own text: no statistic over a batch or over the test window.",
    "signal": "Replace what is computed over all bars by what had closed at each decision; see signals.aggregation.",
    "weights": "Replace what is computed over all bars (volatility, regimes) by what had closed at each decision.",
    "orders": "Fill at a price and a volume that were there at the fill, not at ones known when the bar has closed.",
}


@dataclass(frozen=True)
class Carried:
    """A run carried up to its books in one world."""

    plan: Plan
    reading: Reading
    result: Trade


@dataclass(frozen=True)
class Moved:
    """The first difference between two tables of which neither may depend on the future."""

    stage: str
    column: str
    where: str
    before: Any
    after: Any
    size: float


Carry = Callable[[Plan, Inputs, "pd.Timestamp | None", Path], Carried]


def carry(plan: Plan, inputs: Inputs, until: pd.Timestamp | None, cache: Path) -> Carried:
    """Take inputs through the whole run: world, split, base, fit, calibration, scores, signal, weights, orders.

    Parameters
    ----------
    plan : Plan
        Of the run, for its settings, its base model and what its data are worth.
    inputs : Inputs
    until : Timestamp or None
        Folds that are tested only after it are left out; None for all of them.
    cache : Path
        Where models and scores are kept; an empty folder lets nothing be taken from another world.

    Raises
    ------
    DataError
        If a fold has no news to train on or to read.
    """
    config = plan.config
    world = world_of(config, inputs)
    folds = [fold for fold in plan_folds(config, world) if until is None or fold.test_start <= until]
    parts = plan_parts(config, world, folds, Quiet())
    rows = trading_rows(world, traded_parts(config, parts))
    here = replace(plan, world=world, parts=parts, rows=rows)
    here = with_base(here, parts[0].fold.train_end, cache, Quiet())
    reading = read(here, parts, cache, Quiet())
    fused = fuse(here, reading.scored)
    return Carried(here, reading, trade(here, traded_news(here, reading.scored), fused))


def perturb_run(
    plan: Plan,
    inputs: Inputs,
    cache: Path,
    stages: Stages,
    *,
    first: Carried | None = None,
    n_rows: int = 6,
    seed: int = 0,
    through: Carry = carry,
) -> list[Finding]:
    """Repeat a run in worlds whose future differs, and compare everything that was settled before.

    The run is carried out twice as it is, each time from nothing, since one that does not repeat itself can prove
    nothing. Then, after the decision and after the fill of some rows, all later news are rewritten and given other
    labels while all later bars are rescaled; and all data end there. What moved is traced to the input whose future it
    knew. The first changed world fits everything anew; the others may take from the first run what was fitted on the
    same content.

    Silent on: knowledge that the inputs themselves hold (texts that were edited later, a base model that has read the
    future, labelled files without dates), and on what only instants that were not drawn would show.

    Parameters
    ----------
    plan : Plan
        As `embargo.research.run.preparation.prepare` made it.
    inputs : Inputs
        What it was made from.
    cache : Path
        An empty folder for models and scores, of which nothing is of use afterwards.
    stages : Stages
    first : Carried, optional
        The run as it is, where it has been carried through already, with ``cache / FIRST``.
    n_rows : int
        At least 1.
    seed : int
    through : callable
        What carries inputs through a run; a test puts a leak here.

    Returns
    -------
    list of Finding
        One leak for each stage that moved first somewhere, by the code of what such a stage looks ahead by; or a single
        ``pass`` or ``inconclusive`` of code T1.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from embargo.research import Quiet, load_config, prepare
    >>> from embargo.research.run.perturbation import perturb_run
    >>> from embargo.research.run.world import load_inputs
    >>> config = load_config(files("embargo.research.examples") / "small.toml")
    >>> with TemporaryDirectory() as cache:
    ...     inputs = load_inputs(config, Quiet())
    ...     [finding] = perturb_run(prepare(config, Quiet()), inputs, Path(cache), Quiet(), n_rows=1)
    >>> finding.code, finding.verdict
    ('T1', 'pass')
    """
    advance = stages.stage("Carry out the run twice as it is")
    # Folds stay where they are when the data end sooner: where to cut is a setting, though the config leave it open.
    split = plan.config.split.model_copy(update={"end": plan.parts[-1].fold.test_end})
    plan = replace(plan, config=plan.config.model_copy(update={"split": split}))
    rng = np.random.default_rng(seed)
    first = first or through(plan, inputs, None, cache / FIRST)
    advance(1, 2)
    second = through(plan, inputs, None, cache / "second")
    advance(2, 2)
    end = first.plan.world.decided_at[-1]
    if (moved := _first_moved(_settled(first, end), _settled(second, end))) is not None:
        detail = (
            f"inconclusive: non-deterministic. The same files gave other {moved.stage} in two runs ({moved.column}, "
            f"{moved.where}: {moved.before} and {moved.after}), so nothing can be said about the future."
        )
        return [
            Finding("T1", "inconclusive", TITLE, detail, remedy="Seed every random step and fix the order of ties.")
        ]

    instants = _instants(first, n_rows, rng)
    advance = stages.stage("Carry it out again with other futures")
    faults: dict[str, list[dict[str, Any]]] = {}
    compared = apart = 0
    for number, at in enumerate(instants):
        before = _settled(first, at)
        for position, (changed, world) in enumerate(_worlds(inputs, at, rng)):
            own = cache / "anew" if number == position == 0 else cache / FIRST
            found = _difference(plan, world, at, own, before, through)
            if isinstance(found, DataError):
                apart += 1
                continue
            compared += 1
            if found is not None:
                reached = _reached(plan, inputs, at, own, before, through, found.stage, rng) or [changed]
                faults.setdefault(found.stage, []).append(_evidence(found, at, reached))
        advance(number + 1, len(instants))
    if faults:
        return [_leak(stage, faults[stage], compared) for stage in CODES if stage in faults]
    if not compared:
        detail = f"None of {apart} worlds could be carried through, for want of news or prices before the instants."
        return [Finding("T1", "inconclusive", TITLE, detail, remedy="Begin the news earlier, or test a longer window.")]
    if first.result.books.orders.empty:
        detail = (
            f"The run never trades, so weights and orders that stay as they were in {compared} worlds prove nothing."
        )
        return [Finding("T1", "inconclusive", TITLE, detail, remedy="Lower signal.threshold until it trades.")]
    left = f" {apart} more could not be carried through for want of news." if apart else ""
    detail = (
        f"{compared} worlds that differ only after {len(instants)} instants, carried from their files to their orders, "
        f"left news, samples, models, calibrations, scores, signal, weights and orders bit-identical.{left}"
    )
    return [Finding("T1", "pass", TITLE, detail, effect=0.0, unit=UNIT)]


def _instants(run: Carried, n_rows: int, rng: np.random.Generator) -> list[pd.Timestamp]:
    """Draw rows of the test window, edges of folds and days with news to come among them: decision and fill of each."""
    plan = run.plan
    rows = np.arange(plan.rows.start, plan.rows.stop)
    chosen = choose_rows(
        plan.world.news["known_at"],
        plan.world.prices.select(bars=rows),
        plan.decided_at,
        n_rows=n_rows,
        boundaries=[part.fold.test_start for part in plan.parts],
        rng=rng,
    )
    return [at for row in chosen for at in (plan.decided_at[row], _filled_at(plan)[row])]


def _filled_at(plan: Plan) -> pd.DatetimeIndex:
    """When the orders of each row are filled, shape (rows,)."""
    prices = plan.world.prices
    return (prices.close_at if plan.rules.execution.fill == "close" else prices.open_at)[plan.rows]


def _worlds(inputs: Inputs, at: pd.Timestamp, rng: np.random.Generator) -> Iterator[tuple[str, Inputs]]:
    """All futures changed at once, and none."""
    yield "everything later was changed", _repriced(_rewritten(inputs, at, rng), at, rng)
    yield "the data ended", _ended(inputs, at)


def _reached(
    plan: Plan,
    inputs: Inputs,
    at: pd.Timestamp,
    cache: Path,
    before: Mapping[str, pd.DataFrame],
    through: Carry,
    stage: str,
    rng: np.random.Generator,
) -> list[str]:
    """Name the inputs whose future alone moves a stage."""
    single = {
        "later news was rewritten": _rewritten(inputs, at, rng),
        "bars not yet closed were rescaled": _repriced(inputs, at, rng),
    }
    found = []
    for changed, world in single.items():
        moved = _difference(plan, world, at, cache, before, through)
        if isinstance(moved, Moved) and moved.stage == stage:
            found.append(changed)
    return found


def _rewritten(inputs: Inputs, at: pd.Timestamp, rng: np.random.Generator) -> Inputs:
    """Put another text, with a word that no text holds, and other labels and numbers in the place of later news."""
    later = (inputs.news["known_at"] > at).to_numpy()
    news = inputs.news.copy()
    news.loc[later, "text"] = CANARY + " " + news.loc[later, "article_id"].astype("str")
    for name in news.columns.difference(["article_id", "published_at", "known_at", "seen_at", "symbol", "text"]):
        values = news[name].to_numpy(copy=True)
        values[later] = rng.permutation(values[later])
        news[name] = pd.Series(values, index=news.index).astype(news[name].dtype)
    return replace(inputs, news=news)


def _repriced(inputs: Inputs, at: pd.Timestamp, rng: np.random.Generator) -> Inputs:
    """Rescale bars that had not closed, but for the opens that were known, and turn the funding of later bars round."""
    prices, funding = rescaled_prices(inputs.prices, at, rng), inputs.funding
    opened = np.asarray(prices.open_at <= at)
    opens = inputs.prices.open.where(pd.Series(opened, index=prices.open.index), prices.open, axis=0)
    prices = replace(
        prices,
        open=opens,
        high=prices.high.where(~(opens > prices.high), opens),
        low=prices.low.where(~(opens < prices.low), opens),
    )
    if funding is not None:
        funding = funding.mul(np.where(opened, 1.0, -2.0), axis=0)
    return replace(inputs, prices=prices, funding=funding)


def _ended(inputs: Inputs, at: pd.Timestamp) -> Inputs:
    """Let news end at an instant, and bars with the one that is decided then."""
    bars = np.arange(int(inputs.prices.open_at.searchsorted(at, side="right")) + 1)
    bars = bars[bars < len(inputs.prices.open_at)]
    return replace(
        inputs,
        news=inputs.news.loc[inputs.news["known_at"] <= at].reset_index(drop=True),
        prices=inputs.prices.select(bars=bars),
        funding=None if inputs.funding is None else inputs.funding.iloc[bars],
    )


def _difference(
    plan: Plan, world: Inputs, at: pd.Timestamp, cache: Path, before: Mapping[str, pd.DataFrame], through: Carry
) -> Moved | DataError | None:
    """Carry a world through, and return what moved first; the error where it cannot be carried through."""
    try:
        run = through(plan, world, at, cache)
    except DataError as failure:
        return failure
    return _first_moved(before, _settled(run, at))


def _settled(run: Carried, at: pd.Timestamp) -> dict[str, pd.DataFrame]:
    """Return what each stage had settled by an instant, in the order of the stages."""
    plan, result = run.plan, run.result
    parts = [part for part in plan.parts if part.fold.test_start <= at]
    manifests = run.reading.manifests[: len(parts)]
    learnt = [
        frame.assign(fold=part.index, part=name, thresholds=str(part.thresholds))
        for part in parts
        for name, frame in (("train", part.train), ("validation", part.validation))
    ]
    fitted = ("trained_until", "n_train", "train_text_hashes_fingerprint", "scorer_identity")
    news, scored = plan.world.news, run.reading.scored
    decided, orders = plan.decided_at <= at, result.books.orders
    filled = (_filled_at(plan) <= at)[orders["bar"].to_numpy()]
    return {
        "news": news.loc[news["known_at"] <= at],
        "samples": pd.concat(learnt),
        "models": pd.DataFrame([{name: each[name] for name in fitted} for each in manifests]),
        "calibration": pd.DataFrame([{"fitted": str(each["calibration"])} for each in manifests]),
        "scores": scored.loc[scored["known_at"] <= at, ["article_id", "symbol", "fold", *CLASSES, "confidence"]],
        "signal": result.decision.signal.loc[decided],
        "weights": result.decision.weights.loc[decided],
        "orders": orders.loc[filled],
    }


def _first_moved(before: Mapping[str, pd.DataFrame], after: Mapping[str, pd.DataFrame]) -> Moved | None:
    """Find the first stage, and in it the first column and row, in which two runs differ by a single bit."""
    for stage, left in before.items():
        right = after[stage]
        if len(left) != len(right) or list(left.columns) != list(right.columns):
            return Moved(stage, "rows", "all together", len(left), len(right), float("inf"))
        for name in left.columns:
            one, two = (frame[name].reset_index(drop=True) for frame in (left, right))
            unlike = (one != two) & ~(one.isna() & two.isna())
            if unlike.any():
                row = int(np.argmax(unlike))
                return Moved(stage, str(name), _named(left, row), plain(one[row]), plain(two[row]), _largest(one, two))
    return None


def _named(table: pd.DataFrame, row: int) -> str:
    """Say which row of a table is meant."""
    if "article_id" in table.columns:
        return f"article {table['article_id'].iloc[row]}"
    at = table.index[row]
    return f"{at}" if isinstance(at, pd.Timestamp) else f"row {row}"


def _largest(one: pd.Series, two: pd.Series) -> float:
    if not pd.api.types.is_numeric_dtype(one.dtype):
        return float("inf")
    gap = (one.astype(float) - two.astype(float)).abs()
    return float("inf") if (one.isna() != two.isna()).any() else float(gap.max())


def _evidence(moved: Moved, at: pd.Timestamp, changed: Sequence[str]) -> dict[str, Any]:
    return {
        "stage": moved.stage,
        "column": moved.column,
        "where": moved.where,
        "value": moved.before,
        "value_perturbed": moved.after,
        "changed": ", ".join(changed),
        "perturbed_after": plain(at),
        "largest_change": moved.size,
    }


def _leak(stage: str, faults: Sequence[dict[str, Any]], compared: int) -> Finding:
    faults = sorted(faults, key=lambda fault: fault["perturbed_after"])
    shown, size = faults[0], max(fault["largest_change"] for fault in faults)
    detail = (
        f"In {len(faults)} of {compared} worlds that differ only in the future, what moved first were the {stage}: "
        f"{shown['column']} of {shown['where']} was {shown['value']} and became {shown['value_perturbed']} when "
        f"{shown['changed']} after {shown['perturbed_after']}."
    )
    effect = size if np.isfinite(size) else None
    return Finding(CODES[stage], "leak", TITLE, detail, list(faults[:5]), effect, UNIT, _REMEDIES[stage])
