"""The leakage audit of a run: every check of `embargo.backtest.leakage`, wired to what this run really used.

The audit runs in every run and cannot be switched off. Checks that apply per fold are run on each and reported once, by
the worst fold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from embargo.backtest import leakage
from embargo.backtest.books import Books
from embargo.backtest.leakage import Finding
from embargo.backtest.leakage.duplicates import ReadTexts, judge_copies
from embargo.backtest.leakage.findings import moment
from embargo.data_loaders.calendars import ROUND_THE_CLOCK, length_of, sessions, zone_of
from embargo.data_loaders.fields import CLASSES
from embargo.data_loaders.schemas import Prices, is_among
from embargo.models.content import text_hash
from embargo.research.config.names import names_of
from embargo.research.progress import Stages
from embargo.research.records.attempts import Attempts
from embargo.research.run.cutoff import Rival, judge_cutoff
from embargo.research.run.data_verdict import clock_of, read_by
from embargo.research.run.files_read import unless_files_read
from embargo.research.run.fit_records import hashed_news, learnt_from, planned_for, record_of
from embargo.research.run.given_scores import answered
from embargo.research.run.kept import Kept
from embargo.research.run.perturbation import of_untraded
from embargo.research.run.plan import Plan, traded_parts
from embargo.research.run.prompt_checks import judge_prompts
from embargo.research.run.samples import Part
from embargo.research.run.text_checks import judge_agreement, judge_labels_read, judge_texts

_UNDATED = "The labels come from an undated set; M11 compares its knowledge cutoff with the test window instead."

# Kinds of readers that read no text beside another.
_ALONE = {
    "scores": "Scores of a file are looked up article by article; in whose company they were made, it does not say.",
    "endpoint": "An endpoint is asked one text at a time.",
}


@dataclass(frozen=True)
class Trail:
    """What a run hands to its audit.

    Attributes
    ----------
    plan : Plan
    manifests : sequence of dict
        One model manifest per fold.
    judged : DataFrame
        What readers said of labelled test samples, as in `Reading`.
    fitted_on : DataFrame
        What each fold's model was really fitted on, as in `Reading`.
    answers : DataFrame
        What the readers answered, and what they answer again, as in `Reading`.
    prompts, orders : DataFrame
        What prompts show, and what readers made of orders inside texts, as in `Reading`.
    scored : DataFrame
        Scored test news: news columns, class probabilities, ``confidence``, ``row`` and ``column`` of the bar reached.
    decide : callable
        (scored news, prices) to weights of all bars up to the last test row: the very path the run traded on.
    decide_funded : callable
        Funding rates of all bars to the weights that ``decide`` makes of the run's own news and prices beside them.
    weights, asset_returns : DataFrame, shape (test rows, symbols)
    books : Books
    attempts : Attempts
        Everything tried on these bars, this run among it.
    p_value, adjusted_p_value : float or None
        Of its Sharpe ratio, one-sided: alone, and among all attempts.
    rival : Rival or None
        The word list on the same news; None where the run's own reader is one.
    growth, regimes : DataFrame
        Of `embargo.research.run.measurement.Measured`.
    repeat : callable
        Carries the run out again in a world that differs later, and returns what `leakage.check_settled` says of it.
    kept : Kept or None
        Where findings of the same texts are looked up; nowhere where None.
    """

    plan: Plan
    manifests: Sequence[dict[str, Any]]
    judged: pd.DataFrame
    fitted_on: pd.DataFrame
    answers: pd.DataFrame
    prompts: pd.DataFrame
    orders: pd.DataFrame
    scored: pd.DataFrame
    decide: Callable[[pd.DataFrame, Prices], pd.DataFrame]
    decide_funded: Callable[[pd.DataFrame], pd.DataFrame]
    weights: pd.DataFrame
    asset_returns: pd.DataFrame
    books: Books
    attempts: Attempts
    p_value: float | None
    adjusted_p_value: float | None
    rival: Rival | None
    growth: pd.DataFrame
    regimes: pd.DataFrame
    repeat: Callable[[], Finding]
    kept: Kept | None = None


def audit(trail: Trail, stages: Stages) -> list[Finding]:
    """Run every check and return its finding, in the order of severity."""
    advance = stages.stage("Audit for leaks")
    config, world, parts, rows = trail.plan.config, trail.plan.world, trail.plan.parts, trail.plan.rows
    # The clock is judged by the same rows as the data are, and so has one verdict.
    *_, prices, news = read_by(config, world, parts, rows)
    judged = trail.plan.data.clock if trail.plan.data.world is world else clock_of(news, prices)
    causal = unless_files_read(
        leakage.check_decisions_are_causal(
            trail.decide,
            trail.scored,
            world.prices.select(bars=np.arange(rows.stop)),
            world.decided_at[: rows.stop],
            n_rows=config.leakage.rows,
            seed=config.seed,
            boundaries=[part.fold.test_start for part in parts],
            progress=advance,
        ),
        trail.manifests,
    )
    findings = [
        of_untraded(causal, trail.scored, trail.weights, config.signal.threshold),
        unless_files_read(trail.repeat(), trail.manifests),
        leakage.check_fill_order(_fills(trail)),
        *_accounts(trail),
        leakage.check_funding(
            world.funding,
            world.prices,
            world.decided_at,
            decide=trail.decide_funded,
            fill=config.execution.fill,
            n_rows=config.leakage.rows,
            seed=config.seed,
        ),
        leakage.check_lag_decay(trail.weights, trail.asset_returns, periods_per_year=world.periods_per_year),
        *_selection(trail),
        _exclusions(trail.plan),
        _universe(trail.plan),
        _levels(trail),
        leakage.check_exposure(trail.weights, trail.asset_returns, periods_per_year=world.periods_per_year),
        leakage.check_time_zones(news, world.prices.calendar, prices=prices, judgement=judged),
        leakage.check_mixed_clocks(news, world.prices.calendar),
        leakage.check_bar_stamps(prices, news, _told(trail.scored)),
        leakage.check_last_bar(prices),
        _tradable_instants(trail),
        _duplicates(trail.plan, trail.kept),
        judge_labels(trail.plan),
        judge_labels_read(trail.plan),
        judge_agreement(trail.judged, trail.manifests, news=world.news, of_returns=config.labels.source == "returns"),
        *judge_texts(trail.plan, news, trail.scored, trail.asset_returns),
        _rereading(trail),
        _company(trail),
        *_prompts(trail),
        *_fits(trail),
        *_either_side(trail),
        _contamination(trail),
        leakage.check_undated(news, set_aside=world.counts["news"].get("undated", 0)),
        leakage.check_latency(pd.Timedelta(config.prices.latency), length_of(config.prices.bar)),
        leakage.check_costs(config.costs.model_dump()),
    ]
    return sorted(findings, key=lambda finding: (leakage.GRAVITY.index(finding.verdict), finding.code))


def _told(scored: pd.DataFrame) -> pd.DataFrame:
    """Return what each scored article was taken to say, signed."""
    scored = answered(scored)
    return scored[["published_at", "symbol"]].assign(score=scored["bullish"] - scored["bearish"])


def _universe(plan: Plan) -> Finding:
    """Ask whether symbols end as they do in a market; those of a simulated one and of crypto need not."""
    world = plan.world
    lasting = world.truth is not None or world.prices.calendar.startswith("24/7")
    return leakage.check_universe(
        world.prices,
        **({"rate": None} if lasting else {}),
        chosen_at=plan.config.prices.symbols_chosen_at,
        first_decided_at=plan.decided_at[0],
    )


def _levels(trail: Trail) -> Finding:
    plan, prices = trail.plan, trail.plan.world.prices
    # Levels of an archive, or of one's own loader, are taken as they stand, whatever was worked into them.
    unknown = plan.config.prices.loader not in ("store", "simulated") and prices.adjustment == "none"
    return leakage.check_levels(
        trail.decide,
        trail.scored,
        prices.select(bars=np.arange(plan.rows.stop)),
        adjusted=None if unknown else prices.adjustment != "none",
        seed=plan.config.seed,
    )


def _selection(trail: Trail) -> list[Finding]:
    """Ask what this run may be the best of."""
    listed, statistics = trail.attempts.listed(), trail.plan.config.statistics
    level = statistics.significance
    judged = {"p_value": trail.p_value, "adjusted_p_value": trail.adjusted_p_value}
    return [
        leakage.check_selection(listed, significance=level, **judged),
        leakage.check_attempts(listed, elsewhere=statistics.trials_elsewhere, significance=level, **judged),
    ]


def _exclusions(plan: Plan) -> Finding:
    """Hold the bars that trade against the exchange's own calendar, without what the config takes out of it."""
    prices = plan.world.prices.select(bars=np.arange(plan.rows.start, plan.rows.stop))
    held = grid_of(prices, plan.config.prices.calendar, length_of(plan.config.prices.bar))
    return leakage.check_exclusions(*held, gate=plan.config.portfolio.gate)


def grid_of(prices: Prices, calendar: str, bar: pd.Timedelta) -> tuple[Prices, pd.DatetimeIndex]:
    """Return bars as they can be held against a calendar, and the instants (UTC) at which it opens each of them.

    Bars round the clock have all of the grid between the first and the last. Intraday bars of an exchange are joined
    to its sessions: an hour without a trade is the market's affair, a session without one is not.
    """
    first, last = prices.open_at[0], prices.open_at[-1]
    intraday = bar < pd.Timedelta(days=1)
    if intraday and calendar == ROUND_THE_CLOCK:
        return prices, pd.date_range(first, last, freq=bar)
    # The day of a session may be the one before or after in UTC.
    days = (
        instant.tz_convert(None).normalize() + pd.Timedelta(days=step) for instant, step in ((first, -1), (last, 1))
    )
    own = sessions(calendar, *days)
    own = own.loc[(own["close_at"] > first if intraday else own["open_at"] >= first) & (own["open_at"] <= last)]
    opens = pd.DatetimeIndex(own["open_at"])
    if not intraday:
        return prices, opens
    # A bar belongs to the last session that opened before it closed.
    session = np.maximum(opens.searchsorted(prices.close_at, side="left") - 1, 0)
    there = np.unique(session)
    panels = {
        name: getattr(getattr(prices, name).groupby(session), how)().set_axis(opens[there], axis=0)
        for name, how in {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}.items()
    }
    closes = pd.DatetimeIndex(own["close_at"])
    return replace(prices, **panels, open_at=opens[there], close_at=closes[there]), opens


def _accounts(trail: Trail) -> list[Finding]:
    """Hold the books against the weights and the raw bars."""
    plan, books = trail.plan, trail.books
    rows, rules, world = plan.rows, plan.rules, plan.world
    prices = world.prices.select(bars=np.arange(rows.start, rows.stop))
    half_spread, fill = rules.costs.slippage, rules.execution.fill
    return [
        leakage.check_books(
            trail.weights,
            books.returns,
            books.orders,
            prices.open if fill == "open" else prices.close,
            prices.close,
            initial_cash=plan.config.portfolio.initial_cash,
            half_spread=half_spread,
            funding=None if world.funding is None else world.funding.iloc[rows],
            apart=books.counts["beyond_tolerance"],
        ),
        leakage.check_fills(books.orders, prices, fill=fill, half_spread=half_spread),
    ]


def _fills(trail: Trail) -> pd.DataFrame:
    """Orders beside the newest article that could have caused them."""
    shape = trail.weights.shape
    newest = np.full(shape, np.iinfo(np.int64).min, dtype=np.int64)
    used = trail.scored.loc[(trail.scored["row"] >= 0) & trail.scored["used"]]
    np.maximum.at(
        newest, (used["row"].to_numpy(), used["column"].to_numpy()), used["known_at"].dt.as_unit("us").astype("int64")
    )
    newest = np.maximum.accumulate(newest, axis=0)
    orders = trail.books.orders
    rows = orders["bar"].to_numpy()
    columns = trail.weights.columns.get_indexer(pd.Index(orders["symbol"]))
    known_at = pd.Series(newest[rows, columns], index=orders.index)
    known_at = known_at.where(known_at > np.iinfo(np.int64).min)
    return pd.DataFrame(
        {
            "symbol": orders["symbol"],
            "fill_at": orders["fill_at"],
            "decided_at": pd.Series(trail.plan.decided_at[rows], index=orders.index),
            "known_at": pd.to_datetime(known_at, unit="us", utc=True),
        }
    )


def _earned(trail: Trail) -> np.ndarray:
    """Return what each scored article's symbol earned on the bar that it reached; NaN where it reached none."""
    scored = trail.scored
    reached = scored["row"] >= 0
    earned = np.full(len(scored), np.nan)
    earned[reached] = trail.asset_returns.to_numpy()[scored.loc[reached, "row"], scored.loc[reached, "column"]]
    return earned


def _rereading(trail: Trail) -> Finding:
    """Hold what is traded against what the readers answered, and answer again."""
    scored = trail.scored
    opens = trail.plan.world.prices.open_at[trail.plan.rows]
    told = scored[["article_id", "symbol", "text", "fold", *CLASSES, "confidence"]]
    told = told.assign(at=opens[scored["row"].clip(lower=0)], earned=_earned(trail))
    if len(lost := unheard(trail.plan, scored)):
        told = pd.concat([told, lost.assign(at=opens[0])], ignore_index=True)
    return leakage.check_rereading(told.merge(trail.answers, on=["article_id", "fold"], how="left"))


def _company(trail: Trail) -> Finding:
    """Hold what readers say of texts that they read alone against what they say of them among others."""
    said = _ALONE.get(trail.plan.config.model.kind)
    if said is not None:
        check = leakage.CHECKS["check_batch_mates"]
        return Finding(check.code, "not-applicable", check.title, said)
    return leakage.check_batch_mates(trail.answers)


def _prompts(trail: Trail) -> list[Finding]:
    """Hold prompts against time, and what is said of labels against what is shown of them."""
    plan = trail.plan
    # Nobody but prompts is held against all labels, and of several folds they fill memory.
    parts = plan.parts if len(trail.prompts) else ()
    samples = [_completed(plan, rows) for part in parts for rows in (part.train, part.validation, part.test)]
    labelled = pd.concat(samples) if samples else pd.DataFrame(columns=["text", "ends_at"])
    if "ends_at" not in labelled:
        labelled = labelled.assign(ends_at=pd.Series(pd.NaT, index=labelled.index))
    called = names_of(plan.config) or {}
    names = {symbol: called.get(symbol, ()) for symbol in plan.world.prices.symbols}
    return judge_prompts(plan, trail.prompts, trail.orders, trail.scored, trail.fitted_on, labelled, names)


def unheard(plan: Plan, scored: pd.DataFrame) -> pd.DataFrame:
    """Return the news of the traded test windows, all of which is read, that is not among the scored news.

    Articles that repeat others or reach no bar stay among them, marked so: none may be missing.
    """
    keys = ["article_id", "symbol"]
    columns = [*keys, "text"]
    read = pd.concat(
        [part.test_news[columns].assign(fold=part.fold.index) for part in traded_parts(plan.config, plan.parts)]
    )
    if len(read) == len(scored) and all(np.array_equal(read[name], scored[name]) for name in keys):
        return read.iloc[:0]
    there = [pd.MultiIndex.from_frame(news[[*keys, "fold"]].astype("str")) for news in (read, scored)]
    return read.loc[~there[0].isin(there[1])]


def _tradable_instants(trail: Trail) -> Finding:
    plan, scored, prices = trail.plan, trail.scored, trail.plan.world.prices
    score = scored["bullish"] - scored["bearish"]
    effects = pd.DataFrame({"score": score, "earned": _earned(trail)}, index=scored.index)
    known_at = known_since(scored, plan.world.news)
    return leakage.check_tradable_instants(
        scored[["article_id", "symbol", "published_at", "row"]].assign(known_at=known_at),
        plan.decided_at,
        prices.open_at[plan.rows],
        prices.close_at[plan.rows],
        zone=zone_of(prices.calendar),
        effects=effects if plan.config.leakage.event_study else None,
    )


def known_since(scored: pd.DataFrame, news: pd.DataFrame) -> pd.Series:
    """Say since when scored articles were known: whatever became of the stamps on the way, no sooner than news say."""
    place = pc.index_in(_named(scored), value_set=_named(news)).fill_null(-1).to_numpy()
    known = pd.Series(news["known_at"].array.take(place, allow_fill=True), index=scored.index)
    return scored["known_at"].where(~(known > scored["known_at"]), known)


def _named(news: pd.DataFrame) -> pa.LargeStringArray:
    """Write article and symbol of each row as one word, since pairs take many times longer to look up."""
    article, symbol = (pa.array(news[name].astype("str"), pa.large_string()) for name in ("article_id", "symbol"))
    return pc.binary_join_element_wise(article, symbol, pa.scalar("\0", pa.large_string()))


def _distinct_trainings(plan: Plan) -> list[Part]:
    """Return the folds to compare texts in; one labelled file serves all, so all their news is compared at once."""
    parts = plan.parts
    if plan.config.labels.source != "file":
        return list(parts)
    return [replace(parts[0], test_news=pd.concat([part.test_news for part in parts]))]


def _duplicates(plan: Plan, kept: Kept | None) -> Finding:
    """Look for copies in each fold; texts are read once for all folds, and not where every finding is kept."""
    columns, seed = ["text", "known_at"], plan.config.seed
    splits = []
    for part in _distinct_trainings(plan):
        learnt = pd.concat([part.train[columns], part.validation[columns]])
        splits.append((learnt, part.test_news.drop_duplicates("article_id")[columns]))

    @cache
    def read() -> ReadTexts:
        return ReadTexts.of([rows["text"] for split in splits for rows in split])

    def compared(fold: int) -> Finding:
        (learnt, test), place = splits[fold], 2 * fold
        return judge_copies(read(), (place, learnt["known_at"]), (place + 1, test["known_at"]), seed=seed)

    found = []
    for fold, (learnt, test) in enumerate(splits):
        check = partial(compared, fold)
        given = [learnt["text"], learnt["known_at"], test["text"], test["known_at"], seed]
        found.append(check() if kept is None else kept.of("check_duplicates", given, check, Finding))
    return _worst(found)


def judge_labels(plan: Plan) -> Finding:
    """Ask whether labels reach over a boundary (S1), and whether anybody says how far they reach."""
    if plan.config.labels.source == "file":
        return Finding("S1", "not-applicable", leakage.CHECKS["check_label_overlap"].title, _UNDATED)
    embargo = pd.Timedelta(plan.config.split.embargo)
    overlap = _worst(
        [
            leakage.check_label_overlap(
                _completed(plan, part.train),
                _completed(plan, part.validation),
                part.fold.validation_start,
                part.fold.test_start,
                embargo=embargo,
            )
            for part in plan.parts
        ]
    )
    # The simulated market's labels are an annotator's reading of the text, as its loader says.
    stated = plan.config.labels.source == "returns" or plan.config.labels.ends_at or plan.world.truth is not None
    return overlap if stated else _unstated(overlap, plan.config.labels.column)


def _completed(plan: Plan, samples: pd.DataFrame) -> pd.DataFrame:
    """Let labels of returns end no sooner than the bars that they are counted in, whatever is stated of them."""
    if plan.config.labels.source != "returns":
        return samples
    world = plan.world
    last = world.decided_at.searchsorted(pd.DatetimeIndex(samples["known_at"])) + plan.config.labels.horizon_bars
    ends = pd.Series(world.prices.open_at[np.minimum(last, len(world.decided_at) - 1)], index=samples.index)
    return samples.assign(ends_at=samples["ends_at"].where(samples["ends_at"] >= ends, ends))


def _orders(trail: Trail, news: pd.DataFrame) -> Finding:
    plan = trail.plan
    if plan.config.labels.source == "file":
        return Finding("S5", "not-applicable", leakage.CHECKS["check_split_order"].title, _UNDATED)
    decided_at, found = plan.world.decided_at, []
    for part in plan.parts:
        inside = (decided_at >= part.fold.test_start) & (decided_at < part.fold.test_end)
        learnt = learnt_from(record_of(trail.fitted_on, part), part, news)
        found.append(leakage.check_split_order(*learnt, part.test_news, decided_at[inside]))
    return _worst(found)


def _unstated(finding: Finding, column: str) -> Finding:
    """Take a pass back where nobody says when labels were complete; a leak stays one."""
    if finding.verdict != "pass":
        return finding
    return replace(
        finding,
        verdict="inconclusive",
        detail=f"Nobody says when the labels of column {column!r} were complete: if they were made from what followed, "
        "they reach over boundaries, and none was purged.",
        effect=None,
        remedy="Name the column that says so as labels.ends_at, or write labels.ends_at = 'known_at' if each label is "
        "a reading of its text alone.",
    )


def _fits(trail: Trail) -> list[Finding]:
    """Hold what was fitted on against time."""
    # Made late and let go at once: hashes of all texts are among the largest tables of an audit.
    news = hashed_news(trail.plan, trail.fitted_on)
    return [_orders(trail, news), judge_bases(trail.plan, trail.manifests), *_records(trail, news)]


def judge_bases(plan: Plan, manifests: Sequence[dict[str, Any]]) -> Finding:
    """Hold what readers knew before they were fitted against what each fold tests; what folds share, against all."""
    return unless_files_read(_bases(plan, manifests), manifests)


def _bases(plan: Plan, manifests: Sequence[dict[str, Any]]) -> Finding:
    if not plan.config.model.pretrained:
        detail = "The model has no pretrained weights: it knows only what it was fitted on."
        return Finding("M1", "not-applicable", leakage.CHECKS["check_base_cutoff"].title, detail)
    folds = [part.fold for part in plan.parts]
    windows = [(fold.test_start, fold.test_end) for fold in folds]
    if len({(each["base"], each["base_knowledge_cutoff"]) for each in manifests}) == 1:
        manifests, windows = manifests[:1], [(folds[0].test_start, folds[-1].test_end)]
    found = []
    for each, window in zip(manifests, windows, strict=True):
        cutoff = None if each["base_knowledge_cutoff"] is None else pd.Timestamp(each["base_knowledge_cutoff"])
        name = each["base"] or each["kind"]
        found.append(leakage.check_base_cutoff(name, cutoff, *window, each["cutoff_source"]))
    worst = _worst(found)
    if worst.verdict != "pass" or len(found) == 1:
        return worst
    if any(each["base"] is None for each in manifests):
        kinds, sources = (sorted({str(each[name]) for each in manifests}) for name in ("kind", "cutoff_source"))
        until = "; ".join(
            f"fold {index}: until {moment(pd.Timestamp(each['base_knowledge_cutoff']))}"
            for index, each in enumerate(manifests)
        )
        detail = (
            f"{', '.join(kinds)} states that what it knew before its fit ends before the test of each fold ({until}; "
            f"source: {'; '.join(sources) or 'none'}). This is stated, not checked."
        )
    else:
        named = "; ".join(f"fold {index}: {each['base']}" for index, each in enumerate(manifests))
        detail = f"Each fold starts from a base that knows nothing of what the fold is tested on ({named})."
    return replace(worst, detail=detail, evidence=[row for each in found for row in each.evidence])


def _either_side(trail: Trail) -> list[Finding]:
    made = trail.scored, trail.asset_returns, trail.books.returns
    return judge_cutoff(trail.plan, trail.manifests, *made, trail.rival, trail.growth, trail.regimes)


def _contamination(trail: Trail) -> Finding:
    """Hold the labels held out of a file against those that were really fitted on; one model serves all folds."""
    plan, part = trail.plan, trail.plan.parts[0]
    if plan.config.labels.source != "file":
        said = "The labels come with the news, or from returns; their record is held against the test instead."
        return Finding("M11", "not-applicable", leakage.CHECKS["check_contamination"].title, said)
    record = record_of(trail.fitted_on, part)
    texts = pd.concat([part.train, part.validation, part.test])["text"]
    if record is None:
        texts = pd.concat([part.train, part.validation])["text"]
    else:
        texts = texts[is_among(texts.map(text_hash), record["text_hash"].astype("str"))]
    # Near copies are left to whoever asks: set phrases are alike of themselves.
    return leakage.check_contamination(part.test["text"].tolist(), texts.tolist(), near=False).finding()


def _records(trail: Trail, news: pd.DataFrame) -> list[Finding]:
    """Hold what was really fitted on, fold by fold, against what was planned and what is tested."""
    trained, calibrated = [], []
    # One labelled file serves all folds.
    planned: dict[tuple[int, int], pd.DataFrame] = {}
    for part, manifest in zip(trail.plan.parts, trail.manifests, strict=True):
        record = record_of(trail.fitted_on, part)
        key = id(part.train), id(part.validation)
        if key not in planned:
            planned[key] = planned_for(trail.plan, part)
        given = record, planned[key], news, part.fold.test_start
        until = None if manifest["trained_until"] is None else pd.Timestamp(manifest["trained_until"])
        trained.append(leakage.check_training_record(*given, trained_until=until))
        calibrated.append(leakage.check_calibration_record(*given, trained_until=until))
    return [unless_files_read(_worst(trained), trail.manifests), _worst(calibrated)]


def _worst(findings: Sequence[Finding]) -> Finding:
    """Return the most severe of one check's findings over folds, and say which fold it speaks of."""
    position = min(range(len(findings)), key=lambda index: leakage.GRAVITY.index(findings[index].verdict))
    worst = findings[position]
    if len(findings) == 1:
        return worst
    if worst.verdict in ("pass", "not-applicable"):
        return replace(worst, detail=f"{worst.detail} The same holds in all {len(findings)} folds.")
    return replace(worst, detail=f"Fold {position}: {worst.detail}")
