"""What a reader remembers instead of reads: news put to it again masked, redated, turned round, and as bare dates.

Every run is judged by what it traded; this asks the reader itself, so it costs readings and is done only when asked
for. Any scorer can be asked, with or without a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from embargo.backtest.leakage import Finding
from embargo.backtest.leakage.findings import aware_instant, require_columns
from embargo.backtest.leakage.memory import (
    ProbeResult,
    check_counterfactual_readings,
    check_cutoff_split,
    check_date_recall,
    check_lookahead_propensity,
    check_masked_forecasts,
    check_redated_forecasts,
    check_reidentification,
)
from embargo.data_loaders.errors import DataError
from embargo.models.calibration.fitting import Calibration
from embargo.models.probes import (
    Entities,
    flip_outcomes,
    log_odds,
    mask,
    put_dates,
    recall,
    reidentify,
    shift_dates,
    tilts,
)
from embargo.models.scorer import Scorer
from embargo.research.progress import Advance

# Articles that are read again; each costs about ten readings.
MOST = 600
COLUMNS = ("article_id", "text", "symbol", "at", "earned")
# Years by which dates are put wrong: back, to years that a reader has heard of.
_YEARS = -7
_UNNAMED = (
    " Only tickers and dates could be masked: nobody says what the companies are called. Name them in leakage.names, "
    "and ask again."
)

Names = Mapping[str, Sequence[str]]


def probe_scorer(
    scorer: Scorer,
    articles: pd.DataFrame,
    cutoff: pd.Timestamp | None,
    *,
    names: Names | None = None,
    seed: int = 0,
    calibration: Calibration | None = None,
    at_most: int = MOST,
    progress: Advance | None = None,
) -> list[Finding]:
    """Ask a scorer what it remembers of articles and of what came of them.

    Parameters
    ----------
    scorer : Scorer
    articles : DataFrame
        One row per article and symbol: ``article_id``, ``text``, ``symbol``, ``at`` (UTC, the opening of the bar whose
        return is earned) and ``earned`` (that return, a fraction; rows without one are left out).
    cutoff : Timestamp or None
        Until when the scorer's knowledge reaches, as stated (UTC). Days before it judge and days after it are the
        placebo; where no day lies before it, or nobody says, all days judge.
    names : mapping of str to sequence of str, optional
        What each symbol is called; without them masking proves nothing.
    seed : int
        Of the articles drawn and of the resamples.
    calibration : Calibration, optional
        As the scores are used with; by default the scorer's own probabilities.
    at_most : int
        Articles that are read; more are drawn from at random, both sides of the cutoff alike.
    progress : callable, optional
        Called with (readings done, readings in all).

    Returns
    -------
    list of Finding
        One of each probe: M1 (either side of the cutoff), M3 (bare dates; better where a date moves the answer), M5
        (masked), M6 (masked texts recognised), M7 (redated), M8 (turned round).

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
    asked = _changed(drawn, names)
    return judge_readings(_read(scorer, asked, names, calibration, progress), cutoff, names=names, seed=seed)


def draw_articles(
    articles: pd.DataFrame, cutoff: pd.Timestamp | None, *, at_most: int = MOST, seed: int = 0
) -> pd.DataFrame:
    """Draw the articles that are read again, in order of time: both sides of the cutoff alike, where there are two."""
    require_columns(articles, COLUMNS, where="articles to probe")
    known = articles.loc[np.isfinite(articles["earned"].to_numpy(dtype=float))].sort_values("at", kind="stable")
    rng = np.random.default_rng(seed)
    sides = [known]
    if (instant := _instant(cutoff)) is not None:
        sides = [side for side in (known[known["at"] < instant], known[known["at"] >= instant]) if len(side)]
    kept: list[pd.DataFrame] = []
    for place, side in enumerate(sorted(sides, key=len)):
        n = (at_most - sum(map(len, kept))) // (len(sides) - place)
        rows = np.sort(rng.choice(len(side), size=min(n, len(side)), replace=False))
        kept.append(side.iloc[rows])
    return pd.concat(kept).sort_values("at", kind="stable").reset_index(drop=True)


def judge_readings(
    readings: pd.DataFrame, cutoff: pd.Timestamp | None, *, names: Names | None = None, seed: int = 0
) -> list[Finding]:
    """Judge what readers made of changed articles; see `probe_scorer`."""
    judged, n = _judging(readings, cutoff), 1000
    days = readings.drop_duplicates(["symbol", "at"])
    answers = [
        check_cutoff_split(readings, cutoff, n_boot=n, seed=seed),
        check_date_recall(days, cutoff=judged, n_boot=n, seed=seed),
        check_lookahead_propensity(readings, cutoff=judged),
        _masked(
            check_masked_forecasts(
                readings.assign(altered=readings["masked_score"]), cutoff=judged, n_boot=n, seed=seed
            ),
            names,
        ),
        _recognised(readings, names, seed),
        check_redated_forecasts(
            readings.assign(score=readings["dated_score"], altered=readings["redated_score"]),
            cutoff=judged,
            n_boot=n,
            seed=seed,
        ),
        check_counterfactual_readings(readings, cutoff=judged, n_boot=n, seed=seed),
    ]
    return [answer.finding() for answer in answers]


def _changed(articles: pd.DataFrame, names: Names | None) -> pd.DataFrame:
    """Change each text in every way that is asked for."""
    texts, at = articles["text"].tolist(), pd.DatetimeIndex(articles["at"])
    turned, moved = flip_outcomes(texts), shift_dates(texts, _YEARS)
    dated, redated = put_dates(texts, at), put_dates(texts, at + pd.DateOffset(years=_YEARS))
    # A text that names no date is given one, a true and a false one.
    names_one = [own != other for own, other in zip(texts, moved, strict=True)]
    return articles.assign(
        masked=mask(texts, _entities(articles, names)),
        dated=np.where(names_one, texts, dated),
        redated=np.where(names_one, moved, redated),
        turned=turned.texts,
        direction=turned.direction,
    )


def _read(
    scorer: Scorer,
    asked: pd.DataFrame,
    names: Names | None,
    calibration: Calibration | None,
    progress: Advance | None,
) -> pd.DataFrame:
    """Put changed texts and bare dates to a scorer."""
    read = asked.copy()
    ways: list[tuple[str, str, Callable[[list[str]], np.ndarray]]] = [
        (name, column, lambda texts: tilts(scorer, texts, calibration=calibration))
        for name, column in (
            ("score", "text"), ("masked_score", "masked"), ("dated_score", "dated"), ("redated_score", "redated"),
        )
    ]  # fmt: skip
    ways += [
        (name, column, lambda texts: log_odds(scorer, texts))
        for name, column in (("log_odds", "text"), ("flipped", "turned"))
    ]
    for done, (name, column, reading) in enumerate(ways):
        read[name] = reading(asked[column].tolist())
        if progress is not None:
            progress(done + 1, len(ways) + 1)
    called = {symbol: own[0] for symbol, own in (names or {}).items() if own}
    answers = recall(scorer, asked["symbol"].tolist(), asked["at"], names=called, calibration=calibration)
    read["recalled"], read["propensity"] = answers["recalled"].to_numpy(), answers["propensity"].to_numpy()
    if progress is not None:
        progress(len(ways) + 1, len(ways) + 1)
    return read


def _judging(readings: pd.DataFrame, cutoff: pd.Timestamp | None) -> pd.Timestamp | None:
    """Return the cutoff where it leaves days to judge; else all days are judged."""
    instant = _instant(cutoff)
    return None if instant is None or not (readings["at"] < instant).any() else instant


def _instant(cutoff: pd.Timestamp | None) -> pd.Timestamp | None:
    return None if cutoff is None or pd.isna(cutoff) else aware_instant(cutoff, what="knowledge cutoff")


def _entities(articles: pd.DataFrame, names: Names | None) -> Entities:
    told = {symbol: list(own) for symbol, own in (names or {}).items()}
    return Entities({symbol: told.get(symbol, []) for symbol in dict.fromkeys([*articles["symbol"], *told])})


def _masked(answer: ProbeResult, names: Names | None) -> ProbeResult:
    """Take a pass back where only tickers could be masked."""
    if names or answer.verdict != "pass":
        return answer
    return replace(answer, verdict="inconclusive", detail=answer.detail + _UNNAMED)


def _recognised(readings: pd.DataFrame, names: Names | None, seed: int) -> ProbeResult:
    title, unit = "Masked texts do not tell whom they are about", "share of texts recognised beyond guessing"
    if not names:
        return ProbeResult("M6", "inconclusive", title, "Nothing but tickers was masked." + _UNNAMED, unit=unit)
    try:
        named = reidentify(readings["masked"].tolist(), readings["symbol"].tolist(), readings["at"])
    except DataError as failure:
        return ProbeResult("M6", "inconclusive", title, str(failure), unit=unit)
    return check_reidentification(named.rows, seed=seed)
