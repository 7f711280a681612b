"""Scores held against the reader itself: what is traded must be what the reader says of each text alone.

A cache that answers for another text or another model, a reader that was changed meanwhile and numbers that were
worked into the scores afterwards look alike in the books. Asking again tells them apart.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import Finding, evidence_rows, require_columns
from embargo.backtest.leakage.memory.days import read_forecasts
from embargo.data_loaders.fields import CLASSES

# What rounding, padding and the company of other texts in a batch may do to a probability.
ROUNDING = 0.05
# A calibration with steps makes much of little: of one text apart after it, the reader must be apart before it too, or
# so many must be that steps cannot be why. What is the same before is the same after.
SAME, BEFORE, OF_MANY, MANY = 1e-5, 0.1, 0.1, 5
# How seldom answers with a stated error may lie so far apart, all together, where nothing has changed.
CHANCE = 1e-4
# Standard errors from which on one of them is shown.
SHOWN = 2.0
# Scores are handed on, not computed once more, so they stay to the last bit but for how they are written.
HANDED_ON = 1e-9
# Standard errors from which on changes are taken to foretell returns.
FORETOLD = 3.5
_UNIT = "share of articles"
# Steps in which squared distances are added up.
_STEP = 0.05
_DRAWN = [f"{part}_{name}" for part in ("first", "second") for name in CLASSES]
_KEPT, _AGAIN = ([f"{part}_{name}" for name in CLASSES] for part in ("kept", "again"))


def check_rereading(articles: pd.DataFrame) -> Finding:
    """Require that the scores that are traded are what the reader says of each text when it is asked again (D9).

    Two steps are held apart. What the reader answers now, without any cache, must be what it is said to have answered,
    to 0.05 in every probability: else a cache answered for another text or another model (D9). Calibration by steps
    makes such a difference of next to nothing, so where it is known how far answers lie apart before calibration, that
    must be a tenth of the spread of all answers, or as many as five texts and a tenth of those asked must differ. And
    what it answered must be what is traded, number for number and article for article: else something came between the
    reader and the trade, which is another model (M13), or, where the changes foretell what is earned by 3.5 standard
    errors clustered by day, a feature made from the target (S7). A score that is missing, or that nobody gave, was
    changed.

    Silent on: a reader that is wrong each time it is asked, changes below the rounding or the stated error, texts that
    were not asked again.

    Parameters
    ----------
    articles : DataFrame
        One row per article and symbol that is traded, or that the reader answered of: ``article_id``, ``at`` (UTC, the
        opening of the bar whose return is earned), ``earned`` (fraction, NaN where unknown), what is traded
        (``bearish, neutral, bullish, confidence``, NaN where nothing is), what the reader answered (``kept_bearish,
        kept_neutral, kept_bullish, kept_confidence``), what it answers again (``again_bearish, again_neutral,
        again_bullish``, NaN where it was not asked) and, if known, ``apart_before``: the largest difference of the
        logits of both, in standard deviations of all that were asked; and, of a reader that states how its answers
        vary, ``answers_apart`` (distance of both before calibration) and ``stated_error`` (root mean square of that
        distance where the same reader is asked twice; 0 where it cannot vary), NaN of any other. Of one that draws its
        answers also how often each class was drawn both times (``first_bearish, first_neutral, first_bullish,
        second_bearish, second_neutral, second_bullish``): with these chance is exact, without it is bounded as if
        distances were normal, which sees less.

    Returns
    -------
    Finding
        Code ``D9``, ``M13`` or ``S7``; ``effect`` is the share of articles whose score is another one: of those asked
        again for D9, of all for the others.

    Raises
    ------
    DataError
        If columns are missing or instants are naive.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_rereading
    >>> said = {"bearish": [0.2, 0.1], "neutral": [0.5, 0.2], "bullish": [0.3, 0.7]}
    >>> kept, again = ({f"{part}_{name}": said[name] for name in said} for part in ("kept", "again"))
    >>> at = pd.to_datetime(["2024-01-02", "2024-01-03"], utc=True)
    >>> frame = pd.DataFrame({"article_id": ["a", "b"], "at": at, "earned": 0.01, **said, **kept, **again})
    >>> frame = frame.assign(confidence=0.6, kept_confidence=0.6)
    >>> check_rereading(frame).verdict
    'pass'
    >>> finding = check_rereading(frame.assign(again_bearish=[0.7, 0.1], again_bullish=[0.0, 0.7]))
    >>> finding.code, finding.verdict, finding.effect
    ('D9', 'leak', 0.5)
    """
    traded = [*CLASSES, "confidence"]
    require_columns(articles, ("article_id", *traded, *_KEPT, "kept_confidence", *_AGAIN), where="scores asked again")
    title = CHECKS["check_rereading"].title
    kept = articles[[*_KEPT, "kept_confidence"]].to_numpy(dtype=float)
    again = articles[_AGAIN].to_numpy(dtype=float)
    asked, known = np.isfinite(again).all(axis=1), np.isfinite(kept).all(axis=1)
    if not known.any():
        detail = "Nobody wrote down what the reader answered, so nothing can be held against what is traded."
        return Finding("D9", "inconclusive", title, detail, unit=_UNIT)
    apart = np.abs(again - kept[:, : len(CLASSES)]).max(axis=1, initial=0.0)
    stated = asked & known & np.isfinite(_column(articles, "stated_error"))
    otherwise = asked & known & ~stated & (apart > ROUNDING)
    if "apart_before" in articles and otherwise.sum() < max(MANY, OF_MANY * asked.sum()):
        before = articles["apart_before"].to_numpy(dtype=float)
        otherwise &= ~((before > SAME) & (before <= BEFORE))
    beyond = _beyond(articles, stated)
    otherwise |= beyond
    there = articles[traded].to_numpy(dtype=float)
    change, lost = np.abs(there - kept).max(axis=1, initial=0.0), known & ~np.isfinite(there).all(axis=1)
    # What is missing on one side alone was changed as well; no number is.
    changed = (known & ~(change <= HANDED_ON)) | (~known & np.isfinite(there).any(axis=1))
    held = int((known | changed).sum())
    told = f"{int(changed.sum()):,} of {held:,} articles are not traded on what the reader answered"
    told += f" ({int(lost.sum()):,} of them not at all, or without a score)" if lost.any() else ""
    most = float(np.nan_to_num(change[changed]).max(initial=0.0))
    z = _foretelling(articles, changed) if changed.any() else 0.0
    said = f"{int(otherwise.sum()):,} of {int(asked.sum()):,} articles that the reader was asked of again have scores"
    if changed.any() and z >= FORETOLD:
        return Finding(
            "S7", "leak", title,
            f"{told}, and the changes foretell what was earned (z {z:.1f}). {said} that it does not give.",
            _shown(articles, changed), float(changed.sum() / held), _UNIT,
            "Trade what the reader says; let nothing be worked into scores that was computed from returns.",
        )  # fmt: skip
    if otherwise.any():
        return Finding(
            "D9", "leak", title,
            f"{said} that it does not give (apart by up to {apart[otherwise].max():.2f}"
            f"{', all together by more than its answers vary' if beyond.any() else ''}): they are the answers to "
            "another text, or another model's.",
            _shown(articles, otherwise), float(otherwise.sum() / asked.sum()), _UNIT,
            "Empty the cache of scores, and keep scores by the whole text and everything that made the model.",
        )  # fmt: skip
    if changed.any():
        return Finding(
            "M13", "leak", title,
            f"{told}; scores were changed by up to {most:.2f}.",
            _shown(articles, changed), float(changed.sum() / held), _UNIT,
            "Trade what the reader says of a text; a rule that changes it belongs into the signal, where it is tested.",
        )  # fmt: skip
    detail = f"All {int(known.sum()):,} articles are traded on what the reader answered"
    detail += (
        f", and of {int(asked.sum()):,} of them it says the same again"
        f"{', as far as answers that vary can tell.' if stated.any() else '.'}"
        if asked.any()
        else ". It was not asked again: what it answered lay in the cache, and no model was loaded."
    )
    return Finding("D9", "pass", title, detail, effect=0.0, unit=_UNIT)


def _column(articles: pd.DataFrame, name: str) -> np.ndarray:
    return articles[name].to_numpy(dtype=float) if name in articles else np.full(len(articles), np.nan)


def _beyond(articles: pd.DataFrame, stated: np.ndarray) -> np.ndarray:
    """Return which answers of a stated error are others: those that cannot vary and do, and the far ones of too many.

    An article is asked of once, however many symbols it names.
    """
    from scipy.special import gammaincc

    apart, error = _column(articles, "answers_apart"), _column(articles, "stated_error")
    others = stated & (error <= 0.0) & (apart > 0.0)
    varying = stated & (error > 0.0)
    ratios = np.divide(apart, error, out=np.zeros(len(apart)), where=varying)
    names = ["article_id", *(["fold"] if "fold" in articles else [])]
    once = varying.copy()
    once[varying] = ~articles.loc[varying, names].duplicated().to_numpy()
    drawn = np.array([_column(articles, name) for name in _DRAWN]).T[once]
    if not once.any():
        chance = 1.0
    elif np.isfinite(drawn).all():
        chance = drawn_chance(drawn[:, : len(CLASSES)], drawn[:, len(CLASSES) :])
    else:
        chance = float(gammaincc(once.sum() / 2.0, float((ratios[once] ** 2).sum()) / 2.0))
    if chance < CHANCE:
        others |= varying & (ratios >= min(SHOWN, float(ratios.max())))
    return np.asarray(others)


def drawn_chance(first: np.ndarray, second: np.ndarray) -> float:
    """How seldom two sets of draws of one model lie so far apart, over all texts together.

    Given what both drew together, which draw fell into which set is chance alone: the probability is exact (a
    permutation test), of the sum of squared distances in their own mean squares.

    Parameters
    ----------
    first, second : ndarray, shape (texts, 3)
        How often each class was drawn.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.leakage.rereading import drawn_chance
    >>> round(drawn_chance(np.array([[5, 0, 0]]), np.array([[0, 0, 5]])) * 126, 6)  # 2 of the 252 ways to part ten
    1.0
    """
    steps, waves, far = 0, [], 0
    for one, two in zip(first, second, strict=True):
        squares, shares, mine = _parted(one, two)
        mean = float(squares @ shares)
        if mean <= 0.0:
            continue
        places = np.rint(np.ceil(squares / mean / _STEP - 1e-9)).astype(int)
        far += int(np.ceil(mine / mean / _STEP - 1e-9))
        waves.append(np.bincount(places, weights=shares))
        steps += len(waves[-1]) - 1
    if far == 0:
        return 1.0
    size = steps + 1
    spectrum = np.prod([np.fft.rfft(wave, size) for wave in waves], axis=0)
    return float(np.clip(np.fft.irfft(spectrum, size)[far:].sum(), 0.0, 1.0))


def _parted(one: np.ndarray, two: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the squared distances of all ways to part draws into two sets, their probabilities, and the real one."""
    from scipy.special import gammaln

    together, size, other = one + two, float(one.sum()), float(two.sum())
    ways = np.array([way.ravel() for way in np.meshgrid(*(np.arange(count + 1.0) for count in together[:2]))])
    ways = np.vstack([ways, size - ways.sum(axis=0)])
    ways = ways[:, (ways[2] >= 0.0) & (ways[2] <= together[2])]
    left = together[:, None] - ways
    logs = (gammaln(together + 1.0)[:, None] - gammaln(ways + 1.0) - gammaln(left + 1.0)).sum(axis=0)
    shares = np.exp(logs - logs.max())
    squares = ((ways / size - left / other) ** 2).sum(axis=0)
    return squares, shares / shares.sum(), float(((one / size - two / other) ** 2).sum())


def _foretelling(articles: pd.DataFrame, changed: np.ndarray) -> float:
    """How many standard errors, clustered by day, changes of scores go with what was earned, each day's mean apart."""
    # An article without a score says as little as one that is neutral.
    kept, there = (
        np.nan_to_num((articles[f"{part}bullish"] - articles[f"{part}bearish"]).to_numpy(dtype=float))
        for part in ("kept_", "")
    )
    moved = there - kept
    read = read_forecasts(articles.assign(moved=np.where(changed, moved, 0.0)), ["earned", "moved"], where="scores")
    if not read.days:
        return 0.0
    frame = read.frame
    pull = (frame["moved"] - frame["moved"].mean()) * (
        frame["earned"] - frame.groupby("day")["earned"].transform("mean")
    )
    sums = read.sums(pull.to_numpy())[:, 0]
    error = float(np.sqrt((sums**2).sum()))
    return float(sums.sum() / error) if error > 0.0 else 0.0


def _shown(articles: pd.DataFrame, rows: np.ndarray) -> list[dict[str, object]]:
    names = [name for name in ("article_id", "symbol", "text") if name in articles]
    return evidence_rows(articles.loc[rows, [*names, *CLASSES, "confidence", *_KEPT, "kept_confidence", *_AGAIN]])
