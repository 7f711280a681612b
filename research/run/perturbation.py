"""The master protocol through a whole run: change the future before anything is read, and see what of the past moves.

A run is repeated, from its loaded files to its orders, in worlds that agree on all that was known at an instant and
differ after it. The stages are compared in the order in which they follow one another, and the first one that moved is
named. Every run does so once, at one instant and with its own fits and scores wherever their content is the same;
`perturb_run` makes everything anew, at many instants.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from embargo.backtest.leakage import Finding, check_settled
from embargo.backtest.leakage.causality import CANARY, choose_rows, rescaled_prices
from embargo.backtest.leakage.settled import (
    CODES,
    TITLE,
    UNIT,
    Moved,
    evidence_of,
    first_moved,
    leak_at,
    unrepeatable,
)
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import CLASSES
from embargo.data_loaders.memory import release_unused
from embargo.data_loaders.schemas import rows_where
from embargo.models.content import text_hash
from embargo.models.scorers.cache import SCORES
from embargo.models.scorers.linear_kept import FOLDER as BASELINES
from embargo.models.scorers.score import BLOCK
from embargo.models.scorers.shards import Shard, keys_of
from embargo.research.progress import Quiet, Stages
from embargo.research.run.asking import foreseen, more_told, paid_reader, share_journal
from embargo.research.run.files_read import unless_files_read
from embargo.research.run.memory import Memory
from embargo.research.run.plan import Plan, traded_news, traded_parts, trading_rows
from embargo.research.run.reading import Reading, read, with_base
from embargo.research.run.samples import Part, plan_folds, plan_parts
from embargo.research.run.trading import Trade, conditions, fuse, trade
from embargo.research.run.world import Inputs, world_of

if TYPE_CHECKING:
    from embargo.data_loaders.archive.score_files import LoadedScores
    from embargo.research.run.fusion import Fused

_UNTRADED = (
    "Choose a lower signal.threshold on the validation part alone (embargo sweep), never by how sure the reader is of "
    "the test news, or test a longer window."
)

# Where the run as it is keeps its models and scores.
FIRST = "first"


@dataclass(frozen=True)
class Carried:
    """A run carried up to its books in one world."""

    plan: Plan
    reading: Reading
    result: Trade
    fused: Fused | None = None


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
    world = world_of(config, replace(inputs, labelled={}))
    folds = [fold for fold in plan_folds(config, world) if until is None or fold.test_start <= until]
    parts = plan_parts(config, world, folds, Quiet())
    rows = trading_rows(world, traded_parts(config, parts))
    here = replace(plan, world=world, parts=parts, rows=rows)
    here = with_base(here, parts[0].fold.train_end, cache, Quiet())
    reading = read(here, parts, cache, Quiet())
    fused = fuse(here, reading.scored)
    return Carried(here, reading, trade(here, traded_news(here, reading.scored), fused), fused)


def _carry_fold(run: Carried, number: int, inputs: Inputs, cache: Path, memory: Memory) -> Carried:
    """Take inputs through a run as far as one of its folds; what earlier folds learnt and scored is the run's own."""
    plan, config = run.plan, run.plan.config
    world = world_of(config, inputs)
    folds = plan_folds(config, world)
    parts = plan_parts(config, world, [folds[number]], Quiet())
    together = [*plan.parts[:number], *parts]
    rows = trading_rows(world, traded_parts(config, together))
    here = replace(plan, world=world, parts=together, rows=rows)
    # The built-in base is made by the run, and so is looked for by its content too.
    taught_by = config.model.teacher
    if config.model.made_here:
        here = replace(here, base=None, instructed=())
    if taught_by is not None and taught_by.made_here:
        here = replace(here, teacher=None, instructed=())
    here = with_base(here, folds[0].train_end, cache, Quiet())
    own, given = read(here, parts, cache, Quiet(), memory), run.reading
    scored = pd.concat([given.scored.loc[given.scored["fold"] < parts[0].index], own.scored], ignore_index=True)
    reading = replace(own, scored=scored, manifests=[*given.manifests[:number], *own.manifests])
    fused = fuse(here, scored, memory.fusions)
    # Orders are the kernel's whichever engine keeps the books, and nothing else of the books is compared.
    execution = config.execution.model_copy(update={"engine": "kernel"})
    booked = replace(here, config=config.model_copy(update={"execution": execution}))
    return Carried(here, reading, trade(booked, traded_news(here, scored), fused), fused)


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
    kept: Path | None = None,
) -> list[Finding]:
    """Repeat a run in worlds whose future differs, and compare everything that was settled before.

    The run is carried out twice as it is, each time from nothing, since one that does not repeat itself can prove
    nothing. Then, after the decision and after the fill of some rows, all later news are rewritten and given other
    labels while all later bars are rescaled; and all data end there. What moved is traced to the input whose future it
    knew. The first changed world fits everything anew; the others may take from the first run what was fitted on the
    same content.

    Silent on: knowledge that the inputs themselves hold (texts that were edited later, a base model that has read the
    future, labelled files without dates), on what only instants that were not drawn would show, and on a paid reader
    that says something else each time: what it answered to a prompt stays its answer.

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
    kept : Path, optional
        Cache of the run itself, whose journal of endpoints is used on; needed where a reader is paid for.

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
    share_journal(plan.config, kept, [cache / name for name in (FIRST, "second", "anew")], "other futures")
    if paid_reader(plan.config) is not None:
        n = sum(pd.concat([part.test_news, part.test])["article_id"].nunique() for part in plan.parts)
        for said in [*foreseen(plan), *more_told(plan.config, n, "In worlds with other news")]:
            stages.say(said)
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
    if (moved := first_moved(_settled(first, end), _settled(second, end))) is not None:
        return [unrepeatable(moved)]

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
                faults.setdefault(found.stage, []).append(evidence_of(found, at, reached))
        advance(number + 1, len(instants))
    if faults:
        return [leak_at(stage, faults[stage], compared) for stage in CODES if stage in faults]
    if not compared:
        detail = f"None of {apart} worlds could be carried through, for want of news or prices before the instants."
        return [Finding("T1", "inconclusive", TITLE, detail, remedy="Begin the news earlier, or test a longer window.")]
    if first.result.books.orders.empty:
        detail = (
            f"The run never trades, so weights and orders that stay as they were in {compared} worlds prove nothing."
        )
        return [Finding("T1", "inconclusive", TITLE, detail, remedy=_UNTRADED)]
    left = f" {apart} more could not be carried through for want of news." if apart else ""
    detail = (
        f"{compared} worlds that differ only after {len(instants)} instants, carried from their files to their orders, "
        f"left news, samples, prompts, models, calibrations, scores, signal, weights and orders bit-identical.{left}"
    )
    settled = Finding("T1", "pass", TITLE, detail, effect=0.0, unit=UNIT)
    return [unless_files_read(settled, first.reading.manifests)]


def of_untraded(finding: Finding, scored: pd.DataFrame, weights: pd.DataFrame, threshold: float) -> Finding:
    """Say why decisions that never hold anything could not move; any other finding stays as it is.

    Parameters
    ----------
    finding : Finding
        Of `embargo.backtest.leakage.check_decisions_are_causal`.
    scored : DataFrame
        Scored test news with ``row`` of the bar each article reached, -1 for none, and ``used``, whether its confidence
        counted.
    weights : DataFrame, shape (test rows, symbols)
    threshold : float
        Of the signal.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import Finding
    >>> from embargo.research.run.perturbation import of_untraded
    >>> still = Finding("T1", "inconclusive", "Decisions", "They stayed the same.")
    >>> scored, flat = pd.DataFrame({"row": [0, 3], "used": [False, False]}), pd.DataFrame({"A": [0.0]})
    >>> of_untraded(still, scored, flat, 0.5).detail[:67]
    'The run never held anything: of 2 articles that reached a bar, none'
    """
    if finding.verdict != "inconclusive" or np.nan_to_num(weights.to_numpy(dtype=float)).any():
        return finding
    reached = scored.loc[scored["row"] >= 0]
    sure = int(reached["used"].sum())
    why = (
        f"of {len(reached):,} articles that reached a bar, none was read with a confidence of signal.threshold = "
        f"{threshold:g} or more"
        if not sure
        else f"of {len(reached):,} articles that reached a bar, {sure:,} were read with enough confidence, and no "
        "weight came of them"
    )
    detail = f"The run never held anything: {why}. Decisions that are always nothing cannot move, which proves nothing."
    remedy = (
        "See in the report what signal, gate and portfolio left of these articles; choose their settings on the "
        "validation part alone (embargo sweep), never on the test."
    )
    return replace(finding, detail=detail, remedy=remedy if sure else _UNTRADED)


def perturb_once(first: Carried, memory: Memory, cache: Path, *, seed: int = 0) -> Finding:
    """Repeat one fold of a finished run up to an instant near its edge, in one world whose later news and bars differ.

    Whatever was fitted or scored is taken from the run by its content, so that an honest run fits and scores nothing
    anew; one that let the future into its fits finds other content, fits again, and moves. All that is later gets texts
    of which every scorer is taken to say the same, since nothing compared may depend on them. Nothing is written to the
    cache of the run.

    Parameters
    ----------
    first : Carried
        The run, whose plan knows what it was made from.
    memory : Memory
        What the run fitted.
    cache : Path
        Of the run; it stays as it is.
    seed : int

    Returns
    -------
    Finding
        Of `embargo.backtest.leakage.check_settled`.
    """
    rng, plan = np.random.default_rng(seed), first.plan
    number, at = _edge(first, rng)
    release_unused()  # a second world is about to lie beside the first
    inputs = plan.world.inputs
    other = _repriced(_rewritten(inputs, at, rng), at, rng)
    later = other.news.loc[other.news["known_at"] > at, "text"]
    spare = memory.beside(cache / SCORES, Shard.saying(np.zeros(len(CLASSES)), _keys(later)))
    with _beside(cache) as folder:

        def carried(changed: bool) -> dict[str, pd.DataFrame]:
            run = _carry_fold(first, number, other if changed else inputs, folder, spare)
            return _settled(run, at, number) | _traces(run, spare, at, later)

        finding = check_settled(_settled(first, at, number), carried, at=at)
    if finding.verdict == "pass" and first.result.books.orders.empty:
        detail = f"The run never trades, so weights and orders prove nothing. {finding.detail}"
        return replace(finding, verdict="inconclusive", detail=detail, remedy=_UNTRADED)
    return finding


def _edge(run: Carried, rng: np.random.Generator) -> tuple[int, pd.Timestamp]:
    """Draw a fold after the first: its position, and when its first order is filled after news of it was read.

    Folds after rows that did not trade, or were gated, go first. A single fold has no edge with rows before it: there
    it is the middle of the window.
    """
    plan, filled = run.plan, _filled_at(run.plan)
    weights, gate = run.result.decision.weights.to_numpy(), run.result.decision.limits.gate
    idle = np.asarray(~weights.any(axis=1))
    if gate is not None:
        idle |= gate.to_numpy() < 1.0
    bars = np.unique(run.result.books.orders["bar"].to_numpy())
    folds = traded_parts(plan.config, plan.parts)
    edges = plan.decided_at.searchsorted([part.fold.test_start for part in folds])
    ends = [*edges[1:], len(filled)]
    if len(folds) == 1:
        chosen, start = 0, len(filled) // 2
    else:
        drawn = rng.permutation(np.arange(1, len(folds)))
        chosen = int(next((fold for fold in drawn if idle[edges[fold - 1] : edges[fold]].any()), drawn[0]))
        start = int(edges[chosen])
    known_at = folds[chosen].test_news["known_at"]
    read = known_at.loc[known_at > plan.decided_at[start - 1]].min() if start else known_at.min()
    row = start if pd.isna(read) else max(start, int(filled.searchsorted(read)))
    last = (row + int(ends[chosen])) // 2
    ordered = bars[(bars >= row) & (bars <= last)]
    row = int(ordered[0]) if len(ordered) else min(row, len(filled) - 1)
    return chosen + len(plan.parts) - len(folds), filled[row]


def _keys(texts: pd.Series) -> np.ndarray:
    """Return `keys_of` texts, some at a time: the hashes of millions as words take many times what is kept of them."""
    pieces = [texts.iloc[start : start + BLOCK] for start in range(0, len(texts), BLOCK)]
    return np.concatenate([keys_of([]), *(keys_of([text_hash(text) for text in piece]) for piece in pieces)])


def _traces(run: Carried, memory: Memory, at: pd.Timestamp, later: pd.Series) -> dict[str, pd.DataFrame]:
    """List what was fitted on, scored and learnt by an instant, to be searched for texts that came later."""
    record = run.reading.fitted_on
    assert memory.answers is not None
    there, _ = memory.answers.find(keys_of(record["text_hash"].tolist()))
    record = record.loc[there, ["use", "fold", "text_hash"]]
    read = set(record["text_hash"])
    named = {name: text for text in later if (name := text_hash(text)) in read} if read else {}
    terms = [name for model in memory.anew for part in getattr(model.scorer, "terms", {}).values() for name in part]
    return {
        "what was fitted on": record.assign(text=record["text_hash"].map(named)),
        "scored texts": _until(run.reading.scored, at)[["article_id", "fold", "text"]],
        "vocabulary": pd.DataFrame({"term": pd.Series(terms, dtype="str")}),
    }


@contextmanager
def _beside(cache: Path) -> Iterator[Path]:
    """Yield a folder through which a cache's bases and adapters are seen, and in which nothing new reaches it."""
    with TemporaryDirectory(prefix="embargo-audit-") as name:
        for kept in (kept for kept in cache.iterdir() if kept.is_dir() and kept.name != BASELINES):
            (Path(name) / kept.name).mkdir()
            for each in (each for each in kept.iterdir() if not each.name.startswith(".")):
                (Path(name) / kept.name / each.name).symlink_to(each.resolve())
        yield Path(name)


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
    # Drawn last, so that runs without such a file are changed as ever.
    named = news.loc[later, "article_id"].unique()
    scores = {key: _rescored(each, named, rng) for key, each in inputs.scores.items()}
    return replace(inputs, news=news, scores=scores)


def _rescored(scores: LoadedScores, articles: np.ndarray, rng: np.random.Generator) -> LoadedScores:
    """Give articles each other's scores; the file stays what it is said to be."""
    frame = scores.frame.copy()
    there = np.flatnonzero(frame.index.isin(articles))
    frame.iloc[there] = frame.iloc[rng.permutation(there)].to_numpy()
    return replace(scores, frame=frame)


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
    # Baselines cost little to fit, and a fit that reads more than its samples shows only where it is made once more.
    shutil.rmtree(cache / BASELINES, ignore_errors=True)
    try:
        run = through(plan, world, at, cache)
    except DataError as failure:
        return failure
    return first_moved(before, _settled(run, at))


def _settled(run: Carried, at: pd.Timestamp, since: int = 0) -> dict[str, pd.DataFrame]:
    """Return what each stage had settled by an instant, in the order of the stages; of models, those of later folds."""
    plan, result = run.plan, run.result
    parts = [part for part in plan.parts if part.fold.test_start <= at][since:]
    manifests = run.reading.manifests[since : since + len(parts)]
    learnt = [
        frame.assign(fold=part.index, part=name, thresholds=str(part.thresholds))
        for part in parts
        for name, frame in (("train", part.train), ("validation", part.validation))
    ]
    fitted = ("trained_until", "n_train", "train_text_hashes_fingerprint", "scorer_identity", "fitted_state")
    fused = () if run.fused is None else zip(run.fused.models, run.fused.starts, strict=True)
    opened = int(plan.world.decided_at.searchsorted(at, side="right"))
    news, scored = plan.world.news, run.reading.scored
    decided, orders = plan.decided_at <= at, result.books.orders
    filled = (_filled_at(plan) <= at)[orders["bar"].to_numpy()]
    return {
        "news": _until(news, at),
        "samples": pd.concat(learnt),
        "prompts": _prompted(run.reading.prompts, parts, at),
        "models": pd.DataFrame([{name: each[name] for name in fitted} for each in manifests]),
        "calibration": pd.DataFrame([{"fitted": str(each["calibration"])} for each in manifests]),
        "scores": _until(scored, at)[["article_id", "symbol", "fold", *CLASSES, "confidence"]],
        "fusion": pd.DataFrame({"fitted": [model.state_hash for model, start in fused if start < opened]}),
        "signal": result.decision.signal.loc[decided],
        "weights": result.decision.weights.loc[decided],
        "conditions": _limiting(plan).loc[decided],
        "orders": orders.loc[filled],
    }


def _until(rows: pd.DataFrame, at: pd.Timestamp) -> pd.DataFrame:
    """Return the rows known by an instant."""
    return rows_where(rows, (rows["known_at"] <= at).to_numpy())


def _prompted(prompts: pd.DataFrame, parts: Sequence[Part], at: pd.Timestamp) -> pd.DataFrame:
    """Return what was shown beside articles that some folds were asked about by an instant, and what was said."""
    settled = prompts["fold"].isin([part.index for part in parts]) & (prompts["read_at"] <= at)
    return prompts.loc[settled, ["article_id", "fold", "part", "text", "known_at", "template", "rendered"]]


def _limiting(plan: Plan) -> pd.DataFrame:
    """Lay out the volume and the volatility by which fills are capped and moved, one row for each that trades."""
    met = conditions(plan)
    panels = {
        name: panel for name, panel in (("volume", met.volume), ("volatility", met.volatility)) if panel is not None
    }
    bars = plan.world.prices.open_at[plan.rows]
    if not panels:
        return pd.DataFrame(index=bars)
    named = [panel.add_prefix(f"{name} of ").set_axis(bars) for name, panel in panels.items()]
    return pd.concat(named, axis=1)
