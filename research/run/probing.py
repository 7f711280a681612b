"""What a reader remembers instead of reads: news put to it again masked, redated, turned round, and as bare dates.

Every run is judged by what it traded; this asks the reader itself, so it costs readings and is done only when asked
for. Any scorer can be asked, with or without a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from embargo.backtest.books.simulation import holding_returns
from embargo.backtest.leakage import ON_REQUEST, Finding, check_injection
from embargo.backtest.leakage.findings import aware_instant, require_columns
from embargo.backtest.leakage.memory import (
    ProbeResult,
    check_counterfactual_readings,
    check_cutoff_split,
    check_date_recall,
    check_leading_names,
    check_lent_news,
    check_lookahead_propensity,
    check_masked_forecasts,
    check_membership,
    check_recall_after_cutoff,
    check_redated_forecasts,
    check_reidentification,
    check_repeated_readings,
)
from embargo.data_loaders.errors import DataError
from embargo.models.bases.resolve import Base
from embargo.models.calibration.fitting import Calibration
from embargo.models.loading.shared import SharedBase
from embargo.models.probes import (
    Entities,
    base_familiarity,
    flip_outcomes,
    lend_news,
    mask,
    put_dates,
    recall,
    reidentify,
    shift_dates,
)
from embargo.models.scorer import Progress, Scorer
from embargo.models.scorers.cache import ScoreCache
from embargo.models.scorers.score import cached_logits
from embargo.research.config.names import names_of
from embargo.research.progress import Stages
from embargo.research.run.asking import foreseen, more_told, paid_reader, require_budget
from embargo.research.run.plan import Plan, base_of
from embargo.research.run.prompts_shown import ORDERS_ASKED, ask_orders
from embargo.research.run.reading import fit_fold, lent, with_base
from embargo.signals.alignment import align

# Articles that are read again; each costs about twelve readings.
MOST = 600
# Of those, texts that are read twice more, to see whether the answer is the same.
REPEATED = 64
COLUMNS = ("article_id", "text", "symbol", "at", "earned")
# Years by which dates are put wrong: back, to years that a reader has heard of.
_YEARS = -7
# Texts of other days told of each article's symbol and date.
_LENDERS = 2
# Most readings of an article beside itself: four changes and its loans; two forms of bare question with and without a
# date, for each of two dates.
_READINGS = 4 + _LENDERS + 2 * 2 * 2
_APART = np.timedelta64(7, "D")
_RESAMPLES = 1000
_UNNAMED = (
    "Only tickers and dates could be masked, since nobody says what the companies are called. Name them in "
    "leakage.names, and ask again."
)

Names = Mapping[str, Sequence[str]]
# From texts to how familiar a language model finds each; higher is more familiar.
Familiarity = Callable[[Sequence[str]], np.ndarray]


def probe_scorer(
    scorer: Scorer,
    articles: pd.DataFrame,
    cutoff: pd.Timestamp | None,
    *,
    names: Names | None = None,
    seed: int = 0,
    calibration: Calibration | None = None,
    familiarity: Familiarity | None = None,
    at_most: int = MOST,
    progress: Progress | None = None,
) -> list[Finding]:
    """Ask a scorer what it remembers of articles and of what came of them.

    Parameters
    ----------
    scorer : Scorer
    articles : DataFrame
        One row per article and symbol: ``article_id``, ``text``, ``symbol``, ``at`` (UTC, the opening of the bar whose
        return is earned) and ``earned`` (that return, a fraction; rows without one are left out). With ``known_at``,
        when the article was known, dates are asked for by it too.
    cutoff : Timestamp or None
        Until when the scorer's knowledge reaches, as stated (UTC). Days before it judge and days after it are the
        placebo; where no day lies before it, or nobody says, all days judge.
    names : mapping of str to sequence of str, optional
        What each symbol is called; without them masking proves nothing.
    seed : int
        Of the articles drawn, of the news lent and of the resamples.
    calibration : Calibration, optional
        As the scores are used with; by default the scorer's own probabilities.
    familiarity : callable, optional
        How familiar texts are to the model behind the scorer, such as Min-K%++ of a causal model; M4 needs it. How sure
        a scorer is does not do: dates alone move that.
    at_most : int
        Articles that are read, at least 1; of more, so many are drawn at random, both sides of the cutoff alike.
    progress : callable, optional
        Called with (distinct texts read, distinct texts in all).

    Returns
    -------
    list of Finding
        M1 (either side of the cutoff), M2 (recall of what came after it), M3 (bare dates; another day's news; better
        where a date moves the answer), M4 (familiar texts), M5 (masked; names that lead), M6 (masked texts recognised),
        M7 (redated), M8 (turned round), M13 (read twice) and R5 (orders), in this order.

    Raises
    ------
    DataError
        If columns are missing or instants are naive.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.models import LexiconScorer
    >>> from embargo.research.run.probing import probe_scorer
    >>> at = pd.date_range("2020-01-01", periods=90, tz="UTC")
    >>> news = pd.DataFrame({"article_id": at.strftime("%j"), "text": "Altera reports strong profit", "symbol": "ALTR"})
    >>> news = news.assign(at=at, earned=np.random.default_rng(0).normal(0.0, 0.02, 90))
    >>> found = probe_scorer(LexiconScorer(), news, None, names={"ALTR": ["Altera"]})
    >>> {each.code: each.verdict for each in found}["M5"]
    'pass'
    """
    drawn = draw_articles(articles, cutoff, at_most=at_most, seed=seed)
    readings = put_questions(
        scorer, change_texts(drawn, names, seed=seed), names=names, calibration=calibration, progress=progress
    )
    if familiarity is not None:
        readings["familiarity"] = familiarity(readings["text"].tolist())
    return [*judge_readings(readings, cutoff, names=names, seed=seed), _obedience(scorer, drawn, calibration, seed)]


def probe_run(
    plan: Plan,
    cache: Path,
    stages: Stages,
    *,
    scorer: Scorer | None = None,
    names: Names | None = None,
    at_most: int = MOST,
) -> list[Finding]:
    """Ask the readers of a run what they remember of the news that they are tested on.

    Each article is put to the reader of its own fold. Days before the base's knowledge cutoff judge where it falls into
    the test; else all days do, since none of them should be remembered.

    Parameters
    ----------
    plan : Plan
        As `embargo.research.run.preparation.prepare` made it.
    cache : Path
        Where models and scores of a run are kept; what is not there is fitted again.
    stages : Stages
        Shows progress.
    scorer : Scorer, optional
        Asked in place of the run's own readers, for all folds.
    names : mapping of str to sequence of str, optional
        What symbols are called; by default what ``leakage.names`` says, and what a simulated market knows.
    at_most : int
        Articles that are read, at least 1.

    Returns
    -------
    list of Finding
        As of `probe_scorer`.

    Raises
    ------
    EmbargoError
        If models cannot be fitted, or names cannot be read.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from embargo.research import Quiet, load_config, prepare
    >>> from embargo.research.run.probing import probe_run
    >>> plan = prepare(load_config(files("embargo.research.examples") / "small.toml"), Quiet())
    >>> with TemporaryDirectory() as cache:
    ...     found = probe_run(plan, Path(cache), Quiet(), at_most=120)
    >>> {each.verdict for each in found} <= {"pass", "inconclusive", "not-applicable"}
    True
    """
    config = plan.config
    if scorer is None and config.model.scores is not None:
        return _unanswered()
    called = names if names is not None else names_of(config)
    if scorer is None and paid_reader(config) is not None:
        require_budget(config, "probes")
        most = min(at_most, sum(len(part.test_news) for part in plan.parts))
        n = _READINGS * most + 2 * ORDERS_ASKED
        for said in [*foreseen(plan), *more_told(config, n, "To see what it remembers")]:
            stages.say(said)
    plan = with_base(plan, plan.parts[0].fold.train_end, cache, stages) if scorer is None else plan
    placed, stated = _placed(plan), _stated(plan, scorer)
    drawn = draw_articles(placed, stated, at_most=at_most, seed=config.seed)
    readings, cutoffs = [], []
    obeys: Finding | None = None
    with ExitStack() as stack:
        store = stack.enter_context(ScoreCache(cache / "scores"))
        shared: SharedBase | None = None
        for part in plan.parts:
            own = drawn[drawn["fold"] == part.index].reset_index(drop=True)
            if own.empty:
                continue
            fold = f"fold {part.index + 1} of {len(plan.parts)}"
            asked: Scorer
            if scorer is None:
                base = base_of(plan, part)
                shared = lent(shared, base, stack)
                model = fit_fold(plan, part, shared, cache, store, stages.stage(f"Find the model, {fold}"))
                asked, calibration = model.scorer, model.calibration
                knows = model.manifest["knowledge_cutoff"]
                cutoffs.append(None if knows is None else pd.Timestamp(knows))
            else:
                asked, calibration = scorer, None
            changed = change_texts(own, called, seed=config.seed)
            progress = stages.stage(f"Ask what it remembers, {fold}")
            read = put_questions(asked, changed, names=called, calibration=calibration, progress=progress)
            # Folds share template and base.
            obeys = obeys or _obedience(asked, own, calibration, config.seed)
            if scorer is None and base is not None and base.kind == "decoder":
                stages.stage(f"Ask the base how familiar the texts are, {fold}")
                read["familiarity"] = base_familiarity(base, read["text"].tolist())
            readings.append(read)
    together = pd.concat(readings, ignore_index=True)
    if stated is None and cutoffs and None not in cutoffs:
        # All were fitted before their own windows: then nothing in the test may be remembered.
        stated = min(at for at in cutoffs if at is not None)
    found = judge_readings(together, stated, names=called, seed=config.seed)
    return found if obeys is None else [*found, obeys]


def _obedience(scorer: Scorer, articles: pd.DataFrame, calibration: Calibration | None, seed: int) -> Finding:
    """Ask whether a reader follows orders that stand in texts."""
    news = articles[["article_id", "text"]].drop_duplicates("article_id")
    orders = ask_orders(scorer, calibration or Calibration(), news, seed=seed)
    return check_injection(orders, news)


def _unanswered() -> list[Finding]:
    """Say of every probe that scores of a file cannot be asked."""
    said = "The scores come from a file, which answers no question: only what made them could be asked."
    probes = [each for each in ON_REQUEST.values() if each.asked_by == ON_REQUEST["check_date_recall"].asked_by]
    return [Finding(each.code, "not-applicable", each.title, said) for each in probes]


def _stated(plan: Plan, scorer: Scorer | None) -> pd.Timestamp | None:
    """Return the cutoff that is stated of a scorer, or of the base where it reaches into the test."""
    if scorer is not None:
        return scorer.knowledge_cutoff
    # Vintages end before the trainings do.
    known = plan.base.knowledge_cutoff if isinstance(plan.base, Base) else None
    return known if known is not None and known > plan.parts[0].fold.test_start else None


def _placed(plan: Plan) -> pd.DataFrame:
    """Return the test news with the bar that each reaches and what that bar earned."""
    prices, rows, execution = plan.world.prices, plan.rows, plan.rules.execution
    opens, closes = prices.open.iloc[rows], prices.close.iloc[rows]
    fills = closes if execution.fill == "close" else opens
    earned = holding_returns(fills, closes, stale_after=execution.stale_after).to_numpy(dtype=float)
    news = pd.concat([part.test_news.assign(fold=part.index) for part in plan.parts])
    found = align(news["known_at"], news["symbol"], plan.decided_at, prices.symbols)
    reached = found.row >= 0
    row, column = found.row[reached], found.column[reached]
    placed = news.loc[reached, ["article_id", "text", "symbol", "known_at", "fold"]]
    return placed.assign(at=prices.open_at[rows][row], earned=earned[row, column])


def draw_articles(
    articles: pd.DataFrame, cutoff: pd.Timestamp | None, *, at_most: int = MOST, seed: int = 0
) -> pd.DataFrame:
    """Draw the articles that are read again, in order of time: as many from before the cutoff as from after it."""
    require_columns(articles, COLUMNS, where="articles to probe")
    known = articles.loc[np.isfinite(articles["earned"].to_numpy(dtype=float))].sort_values("at", kind="stable")
    if known.empty:
        raise DataError("articles to probe: none has a return, so nothing could be recalled. Give some with a return.")
    rng = np.random.default_rng(seed)
    sides = [known]
    if (instant := _instant(cutoff)) is not None:
        sides = sorted((known[known["at"] < instant], known[known["at"] >= instant]), key=len)
    kept: list[pd.DataFrame] = []
    for place, side in enumerate(sides):
        # What the smaller side leaves goes to the larger one.
        n = (at_most - sum(map(len, kept))) // (len(sides) - place)
        kept.append(side.iloc[np.sort(rng.choice(len(side), size=min(n, len(side)), replace=False))])
    return pd.concat(kept).sort_values("at", kind="stable").reset_index(drop=True)


def change_texts(articles: pd.DataFrame, names: Names | None = None, *, seed: int = 0) -> pd.DataFrame:
    """Change each text in every way that a reader is asked about.

    Returns
    -------
    DataFrame
        The articles with ``masked``, ``turned`` and its ``direction``, ``dated`` and ``redated`` (the text under a true
        and a false date), and ``lent_0, lender_0, ...``: the news of row ``lender`` told of this symbol and date.
    """
    texts = articles["text"].tolist()
    dated = pd.DatetimeIndex(articles["known_at" if "known_at" in articles else "at"])
    entities = _entities(articles, names)
    turned, moved = flip_outcomes(texts), shift_dates(texts, _YEARS)
    # A text that names no date is given one.
    dates = [own != other for own, other in zip(texts, moved, strict=True)]
    false = put_dates(texts, dated + pd.DateOffset(years=_YEARS))
    changed = articles.assign(
        masked=mask(texts, entities),
        turned=turned.texts,
        direction=turned.direction,
        dated=np.where(dates, texts, put_dates(texts, dated)),
        redated=np.where(dates, moved, false),
    )
    rng, n = np.random.default_rng([seed, 1]), len(articles)
    for number in range(_LENDERS):
        # Far from the day that they are told of, so that nothing in them bears on its return.
        lender = (np.arange(n) + rng.integers(n // 4, n - n // 4 + 1)) % max(n, 1)
        changed[f"lender_{number}"] = lender
        changed[f"lent_{number}"] = lend_news(texts, lender.tolist(), articles["symbol"].tolist(), dated, entities)
    return changed


def put_questions(
    scorer: Scorer,
    changed: pd.DataFrame,
    *,
    names: Names | None = None,
    calibration: Calibration | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Read changed texts, and answer bare symbols and dates.

    Returns
    -------
    DataFrame
        What was given, with ``score``, ``altered``, ``dated_score``, ``redated_score``, ``log_odds``, ``flipped``,
        ``lent`` (the mean answer to news that were lent, less that to the same news masked), ``recalled`` and
        ``propensity``; and of up to 64 texts ``first`` and ``second``, their answers when read twice by themselves.
    """
    lent = [f"lent_{number}" for number in range(_LENDERS)]
    columns = ["text", "masked", "dated", "redated", "turned", *lent]
    # In one call, so that equal texts are read once and batches are full.
    logits = cached_logits(scorer, [text for name in columns for text in changed[name]], progress=progress).logits
    raw = dict(zip(columns, logits.reshape(len(columns), -1, 3), strict=True))
    sure = {name: (calibration or Calibration()).apply(values) for name, values in raw.items()}
    tilt = {name: values[:, 2] - values[:, 0] for name, values in sure.items()}
    moved = [tilt[name] - tilt["masked"][changed[f"lender_{k}"].to_numpy()] for k, name in enumerate(lent)]
    called = {symbol: own[0] for symbol, own in (names or {}).items() if own}
    when = [pd.DatetimeIndex(changed[name]) for name in ("at", "known_at") if name in changed]
    asked = [
        recall(scorer, changed["symbol"].tolist(), at, names=called, calibration=calibration)
        for at in (when if len(when) < 2 or (when[0].floor("D") != when[1].floor("D")).any() else when[:1])
    ]
    # Both in the company of the same texts, so that nothing but the reader itself can differ.
    repeated = np.linspace(0, len(changed) - 1, min(REPEATED, len(changed))).astype(int)
    twice = np.full((2, len(changed)), np.nan)
    for each in twice:
        again = cached_logits(scorer, changed["text"].iloc[repeated].tolist()).logits
        read = (calibration or Calibration()).apply(again)
        each[repeated] = read[:, 2] - read[:, 0]
    # News of about the same day bear on its return.
    days = changed["at"].to_numpy()
    for number, found in enumerate(moved):
        found[np.abs(days[changed[f"lender_{number}"]] - days) < _APART] = np.nan
    return changed.assign(
        score=tilt["text"],
        altered=tilt["masked"],
        dated_score=tilt["dated"],
        redated_score=tilt["redated"],
        log_odds=raw["text"][:, 2] - raw["text"][:, 0],
        flipped=raw["turned"][:, 2] - raw["turned"][:, 0],
        lent=np.mean(moved, axis=0),
        recalled=np.mean([answer["recalled"] for answer in asked], axis=0),
        propensity=np.max([answer["propensity"] for answer in asked], axis=0),
        first=twice[0],
        second=twice[1],
    )


def judge_readings(
    readings: pd.DataFrame, cutoff: pd.Timestamp | None, *, names: Names | None = None, seed: int = 0
) -> list[Finding]:
    """Judge what one reader, or one of each fold, made of changed texts; see `probe_scorer`."""
    instant = _instant(cutoff)
    inside = instant is not None and bool((readings["at"] < instant).any())
    judged = instant if inside else None
    kept = {"n_boot": _RESAMPLES, "seed": seed}
    # One answer per symbol and bar, however many articles there were.
    answers = readings.groupby(["symbol", "at"], as_index=False, sort=False).agg(
        {"article_id": "first", "earned": "first", "recalled": "mean", "lent": "mean"}
    )
    bare, lent = (answers.assign(recalled=answers[name]) for name in ("recalled", "lent"))
    either = answers.assign(recalled=answers["recalled"] + answers["lent"].fillna(0.0))
    under_dates = readings.assign(score=readings["dated_score"], altered=readings["redated_score"])
    found = [
        check_cutoff_split(readings, instant, **kept),
        check_recall_after_cutoff(either, instant, **kept),
        check_date_recall(bare, cutoff=judged, **kept),
        check_lent_news(lent, cutoff=judged, **kept),
        check_lookahead_propensity(readings, cutoff=judged),
        _familiar(readings, judged, seed),
        _masked(check_masked_forecasts(readings, cutoff=judged, **kept), names),
        _masked(check_leading_names(readings.assign(moved=readings["lent"]), **kept), names),
        _recognised(readings, names, seed),
        check_redated_forecasts(under_dates, cutoff=judged, **kept),
        check_counterfactual_readings(readings, cutoff=judged, **kept),
        check_repeated_readings(readings.dropna(subset=["first", "second"])),
    ]
    return [each.finding() for each in found]


def _instant(cutoff: pd.Timestamp | None) -> pd.Timestamp | None:
    return None if cutoff is None or pd.isna(cutoff) else aware_instant(cutoff, what="knowledge cutoff")


def _entities(articles: pd.DataFrame, names: Names | None) -> Entities:
    told = {symbol: list(own) for symbol, own in (names or {}).items()}
    return Entities({symbol: told.get(symbol, []) for symbol in dict.fromkeys([*articles["symbol"], *told])})


def _masked(answer: ProbeResult, names: Names | None) -> ProbeResult:
    """Take a pass back where only tickers could be masked."""
    if names or answer.verdict != "pass":
        return answer
    return replace(answer, verdict="inconclusive", detail=f"{answer.detail} {_UNNAMED}")


def _familiar(readings: pd.DataFrame, judged: pd.Timestamp | None, seed: int) -> ProbeResult:
    if "familiarity" not in readings:
        said = "No causal model stands behind the reader, so texts have no likelihood."
        return ProbeResult("M4", "not-applicable", ON_REQUEST["check_membership"].title, said)
    if judged is None:
        said = "No cutoff lies inside the days that were read, at which texts could become less familiar."
        return ProbeResult("M4", "not-applicable", ON_REQUEST["check_membership"].title, said)
    return check_membership(readings, judged, n_boot=_RESAMPLES, seed=seed)


def _recognised(readings: pd.DataFrame, names: Names | None, seed: int) -> ProbeResult:
    title = ON_REQUEST["check_reidentification"].title
    if not names:
        return ProbeResult("M6", "inconclusive", title, _UNNAMED)
    if readings["symbol"].nunique() < 2:
        said = "There is one company, so its texts cannot be told from those of others."
        return ProbeResult("M6", "not-applicable", title, said)
    try:
        named = reidentify(readings["masked"].tolist(), readings["symbol"].tolist(), readings["at"])
    except DataError as failure:
        return ProbeResult("M6", "inconclusive", title, str(failure))
    return check_reidentification(named.rows, n_boot=_RESAMPLES, seed=seed)
