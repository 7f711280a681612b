"""Texts that a model was trained on: more familiar before its cutoff than after it, or found among those fitted.

Familiarity drifts with time of itself, so a step at the cutoff is measured against the drift after it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from embargo.backtest.distributions import average_ranks
from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.duplicates import MIN_TOKENS
from embargo.backtest.leakage.findings import EVIDENCE_ROWS, AuditVerdict, aware_instant, moment
from embargo.backtest.leakage.memory.days import check_resampling, first_day_after, read_forecasts, resample, share
from embargo.backtest.leakage.memory.result import DOUBT, FEWEST_DAYS, Probe, ProbeResult
from embargo.backtest.leakage.on_request import ON_REQUEST
from embargo.backtest.leakage.word_pairs import near_matches
from embargo.data_loaders.checks.repeats import normalised
from embargo.data_loaders.errors import ConfigError

_FAMILIAR = Probe(
    "M4",
    ON_REQUEST["check_membership"].title,
    "area under the curve, before against after, less its drift after the cutoff",
    "Test on texts from after the cutoff, or probe what the model makes of those it has seen.",
    "A step",
)
_FITTED = Probe(
    "M11",
    CHECKS["check_contamination"].title,
    "share of distinct test texts that the model was fitted on",
    "Fit again without these texts, or measure on texts that the model was not fitted on.",
)
_SHOWN_CHARACTERS = 160


def check_membership(
    texts: pd.DataFrame,
    cutoff: pd.Timestamp,
    *,
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> ProbeResult:
    """Tell whether a model finds texts from before its cutoff more familiar than those after it (M4).

    The area under the ROC curve says how often a text from before is more familiar than one from the first half of the
    days after; the same between the two halves after the cutoff is the placebo, since wording drifts for everyone. The
    difference of the two is suspicious from 3.5 standard errors (days resampled in blocks). It says that the model saw
    such texts, not that its forecasts profit.

    Silent on: a cutoff declared too early, and sources that changed their style at it.

    Parameters
    ----------
    texts : DataFrame
        One row per text: ``at`` (UTC) and ``familiarity`` (Min-K%++ or another score that is higher for what was
        trained on), of the same sources and like lengths on both sides.
    cutoff : Timestamp
        Knowledge cutoff (UTC).
    level : float
        Of the interval.
    n_boot : int
        Resamples of the days, at least 100.
    seed : int
        Of the resamples.

    Returns
    -------
    ProbeResult
        ``figures`` hold ``auc``, ``auc_placebo``, ``n_before``, ``n_after``, ``z`` and ``detectable``.

    Raises
    ------
    DataError
        If columns are missing or instants are naive.
    ConfigError
        If a setting is out of range.

    References
    ----------
    Zhang et al. (2024), "Min-K%++", arXiv 2404.02936, for the score; the placebo is ours.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage.memory import check_membership
    >>> at = pd.date_range("2020-01-01", periods=300, tz="UTC")
    >>> drifting = np.random.default_rng(0).normal(size=300) - np.arange(300) / 300
    >>> seen = pd.DataFrame({"at": at, "familiarity": drifting + 2.0 * (at < at[150])})
    >>> check_membership(seen, at[150]).verdict
    'suspicious'
    >>> check_membership(seen.assign(familiarity=drifting), at[150]).verdict
    'pass'
    """
    check_resampling(level, n_boot, seed)
    read = read_forecasts(texts, ["familiarity"], where="familiar texts")
    instant = aware_instant(cutoff, what="knowledge cutoff")
    later = read.instants >= first_day_after(instant)
    number = np.cumsum(later)
    halves = [~later, later & (2 * number <= later.sum()), later & (2 * number > later.sum())]
    day = read.frame["day"].to_numpy()
    before, early, late = (half[day] for half in halves)
    figures = {"n_before": float(before.sum()), "n_after": float((~before).sum())}
    if min(int(half.sum()) for half in halves) < FEWEST_DAYS // 2:
        said = (
            f"Nothing is proven: {int((~later).sum())} days before {moment(instant)} and {int(later.sum())} after it; "
            f"{FEWEST_DAYS // 2} before and {FEWEST_DAYS} after are needed."
        )
        return _FAMILIAR.unproven(said, figures)
    familiarity = read.frame["familiarity"].to_numpy(dtype=float)
    step, drift = _placed(familiarity, before, early), _placed(familiarity, early, late)
    columns = read.sums(*(column for pair in ((before, step), (early, step), (early, drift), (late, drift))
                          for column in (pair[0].astype(float), np.where(pair[0], pair[1], 0.0))))  # fmt: skip

    def areas(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        means = [share(sums[..., place : place + 2]) for place in (0, 2, 4, 6)]
        return 0.5 + means[0] - means[1], 0.5 + means[2] - means[3]

    def excess(sums: np.ndarray) -> np.ndarray:
        own, placebo = areas(sums)
        return np.asarray(own - placebo)

    found = resample(columns, excess, n_boot=n_boot, seed=seed)
    area, placebo = (float(value) for value in areas(columns.sum(axis=0)))
    figures |= {"auc": area, "auc_placebo": placebo, "z": found.z, "detectable": DOUBT * found.error}
    said = (
        f"A text from before {moment(instant)} is more familiar than one from just after it in {area:.1%} of pairs, "
        f"and one from just after it than a still later one in {placebo:.1%}{read.aside()}."
    )
    told = found.error > 0.0 and found.z >= DOUBT
    if told:
        said += f" The step is {found.z:.1f} standard errors beyond the drift."
    return _FAMILIAR.answer("suspicious" if told else "pass", said, found.value, found.interval(level), figures)


def check_contamination(
    test_texts: Sequence[str],
    fitted_texts: Sequence[str],
    *,
    allowed: float = 0.0,
    near: bool = True,
    seed: int = 0,
) -> ProbeResult:
    """Look for labelled test texts among those that a model was fitted on, word for word or nearly (M11).

    For a set of labels that is to measure a model: a text that it was fitted on measures nothing. Texts are compared as
    in ``check_duplicates`` (case, punctuation, links and handles do not count; near copies share 70 % of their pairs of
    neighbouring words); distinct texts of at least four words count. With nothing
    allowed any equal text is a leak; else a share of them beyond ``allowed`` by 3.5 binomial standard errors is. Copies
    beyond ``allowed`` at all, near ones counted, are suspicious: short news in set phrases is alike of itself.

    Silent on: texts reworded further, translations, and texts of fewer than four words (counted).

    Parameters
    ----------
    test_texts : sequence of str
        Of the labels.
    fitted_texts : sequence of str
        That reached the fit: those recorded by the code that fitted, not those that were planned.
    allowed : float
        Share in [0, 1) of test texts that a source repeats of itself anyway.
    near : bool
        Also look for near copies.
    seed : int
        Picks the texts searched for near copies where the work has to be capped.

    Returns
    -------
    ProbeResult
        ``effect`` is the share of distinct test texts found; ``figures`` hold ``exact``, ``near``, ``texts``,
        ``searched`` (for near copies) and ``short``.

    Raises
    ------
    ConfigError
        If ``allowed`` is outside [0, 1).

    Examples
    --------
    >>> from embargo.backtest.leakage.memory import check_contamination
    >>> seen, unseen = "Altera raises its outlook for the year", "Borcor names a new head of sales"
    >>> check_contamination([seen.upper()], [seen]).verdict, check_contamination([unseen], [seen]).verdict
    ('leak', 'pass')
    """
    if not 0.0 <= allowed < 1.0:
        raise ConfigError(f"contamination: allowed must lie in [0, 1), got {allowed}. It is a share of the test texts.")
    plain, learnt = (normalised(pd.Series(texts, dtype="str")).to_pylist() for texts in (test_texts, fitted_texts))
    test = dict(zip(reversed(plain), reversed(test_texts), strict=True))
    keys = [key for key in dict.fromkeys(plain) if _long(key)]
    short = len(test) - len(keys)
    fitted = {key: text for key, text in zip(reversed(learnt), reversed(fitted_texts), strict=True) if _long(key)}
    if not keys or not fitted:
        said = (
            f"{len(keys)} test texts and {len(fitted)} fitted ones of at least {MIN_TOKENS} words: nothing to compare."
        )
        return _FITTED.unasked(said)
    pairs = [(key, key, 1.0) for key in keys if key in fitted]
    rest = [key for key in keys if key not in fitted]
    exact, searched = len(pairs), 0
    if near and rest:
        corpus = list(fitted)
        found = near_matches(rest, corpus, seed=seed)
        searched = int(found.searched.sum())
        pairs += [
            (rest[row], corpus[found.position[row]], float(found.similarity[row]))
            for row in np.flatnonzero(found.position >= 0)
        ]
    n_near = len(pairs) - exact
    # Those searched are a fair sample of the rest.
    value = (exact + (n_near * len(rest) / searched if searched else 0.0)) / len(keys)
    figures = dict(zip(("exact", "near", "texts", "searched", "short"),
                       map(float, (exact, n_near, len(keys), searched, short)), strict=True))  # fmt: skip
    said = (
        f"{exact} of {len(keys)} distinct test texts equal one that the model was fitted on, {n_near} more nearly do."
    )
    if near and searched < len(rest):
        said += f" Near copies were sought for {searched} of {len(rest)}, drawn at random."
    if short:
        said += f" {short} of fewer than {MIN_TOKENS} words were left out."
    if value <= allowed:
        return _FITTED.answer("pass", said, value, None, figures)
    evidence = [
        {
            "test_text": test[key][:_SHOWN_CHARACTERS],
            "fitted_text": fitted[copy][:_SHOWN_CHARACTERS],
            "similarity": alike,
        }
        for key, copy, alike in pairs[:EVIDENCE_ROWS]
    ]
    error = math.sqrt(value * (1.0 - value) / len(keys))
    by_chance = DOUBT * math.sqrt(allowed * (1.0 - allowed) / len(keys))
    verdict: AuditVerdict = "leak" if exact / len(keys) - allowed > by_chance else "suspicious"
    interval = (max(0.0, value - 1.96 * error), min(1.0, value + 1.96 * error))
    return _FITTED.answer(verdict, said, value, interval, figures, evidence)


def _long(plain: str) -> bool:
    return plain.count(" ") + 1 >= MIN_TOKENS


def _placed(values: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Place of each value among those of two groups, as a share of their number; 0 for all others.

    The mean place of the first less that of the second, plus a half, is the area under the curve.
    """
    inside = first | second
    places = np.zeros(len(values))
    places[inside] = average_ranks(values[inside]) / inside.sum()
    return places
