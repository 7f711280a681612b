"""What a result is worth beside everything else that was tried on its bars, and how far its sample can see.

The trials and their returns come from the ledger: those on the same window, and those on windows that overlap with it.
Attempts that move together count for less than their number; where the returns of some are not known, or an attempt was
made with another tool, it counts in full.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.chance import after_attempts, beyond_luck
from embargo.backtest.significance import (
    MINIMUM_ROWS,
    effective_trials,
    expected_maximum_sharpe,
    model_confidence_set,
    overfitting_by_chance,
    probability_of_overfitting,
    sequential_test,
    stepwise_sharpe,
)
from embargo.research.records.figures import from_json
from embargo.research.records.ledger import Trial, returns_of, trials_around
from embargo.research.records.metrics import BestOfAttempts, Discounted, GrowingWindow
from embargo.research.records.windows import TradedWindow

_BLOCKS = 16
_SET_LEVEL = 0.1
_MOST_COMPARED = 500


@dataclass(frozen=True)
class Attempts:
    """Everything tried on the bars of a window, the attempt in question among it.

    Attributes
    ----------
    trials : mapping of settings fingerprint to Trial
    returns : mapping of settings fingerprint to float array, shape (bars,)
        Of those trials whose returns are known.
    own : str
        Settings fingerprint of the attempt in question.
    opened : mapping of window fingerprint to int array, shape (bars,)
        When the bars of each window open, in microseconds. Trials on a window that is not here, such as one of bars of
        another length, count in full.
    elsewhere : int
        Attempts made with other tools, of which nothing but their number is known.
    """

    trials: Mapping[str, Trial]
    returns: Mapping[str, np.ndarray]
    own: str = ""
    opened: Mapping[str, np.ndarray] = field(default_factory=dict)
    elsewhere: int = 0

    def joined(self, trial: Trial, returns: np.ndarray, open_at: np.ndarray | None = None) -> Attempts:
        """Return the same with one more attempt, or a newer version of one, which is then the one in question.

        Parameters
        ----------
        trial : Trial
        returns : float array, shape (bars,)
        open_at : int array, shape (bars,), optional
            When the bars of its window open; may be left out where all attempts were made on one window.
        """
        return replace(
            self,
            trials=dict(self.trials) | {trial.settings: trial},
            returns=dict(self.returns) | {trial.settings: np.asarray(returns)},
            own=trial.settings,
            opened=dict(self.opened) | ({} if open_at is None else {trial.window: np.asarray(open_at)}),
        )

    def without(self, settings: Collection[str]) -> Attempts:
        """Return the same as if some attempts, by their settings fingerprints, had never been made."""
        left = {name: trial for name, trial in self.trials.items() if name not in settings}
        return replace(self, trials=left, returns={name: self.returns[name] for name in left if name in self.returns})

    @property
    def number(self) -> int:
        """All of them, with those made elsewhere."""
        return len(self.trials) + self.elsewhere

    @property
    def partial(self) -> list[str]:
        """Settings fingerprints of those on another window than the one in question."""
        window = self.trials[self.own].window
        return [name for name, trial in self.trials.items() if trial.window != window]

    @property
    def lost(self) -> list[str]:
        """Settings fingerprints of those whose returns are not known."""
        return [name for name in self.trials if name not in self.returns]

    @property
    def apart(self) -> list[str]:
        """Settings fingerprints of those on bars that cannot be laid beside those in question."""
        return [name for name, trial in self.trials.items() if self.opened and trial.window not in self.opened]

    @property
    def panel(self) -> np.ndarray | None:
        """Returns of all trials on the window in question side by side, shape (bars, trials); None as below."""
        window = self.trials[self.own].window if self.own else None
        return self.side_by_side([name for name, trial in self.trials.items() if window in (None, trial.window)])

    def listed(self) -> pd.DataFrame:
        """Return one row per attempt: ``attempt, sharpe`` (per bar), ``tuning``, ``own`` and ``alike``.

        Alike are those that read the same news and differ from the one in question in tuning alone.
        """
        kin = self.trials[self.own].kin
        return pd.DataFrame(
            [
                {
                    "attempt": trial.sweep or trial.run,
                    "sharpe": trial.sharpe_per_bar,
                    "tuning": trial.tuning,
                    "own": name == self.own,
                    "alike": bool(kin) and trial.kin == kin,
                }
                for name, trial in self.trials.items()
            ]
        )

    def side_by_side(self, names: Sequence[str]) -> np.ndarray | None:
        """Return those of some trials, shape (bars, names); None unless all are known, equally long and long enough."""
        known = [self.returns[name] for name in names if name in self.returns]
        if len(known) < len(names) or not known or len(known[0]) < MINIMUM_ROWS:
            return None
        alike = len({(self.trials[name].window, len(self.returns[name])) for name in names}) == 1
        return np.column_stack(known) if alike else None

    def together(self, names: Sequence[str] | None = None) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Lay attempts on the bars of all their windows together.

        Parameters
        ----------
        names : sequence of str, optional
            Settings fingerprints; by default all.

        Returns
        -------
        (list of str, float array, bool array)
            The attempts whose returns are known, their returns and their membership, shape (bars, those attempts).
        """
        own = self.trials[self.own]
        places = self.opened or {own.window: np.arange(own.bars)}
        known = [
            name
            for name in (self.trials if names is None else names)
            if name in self.returns and len(self.returns[name]) == len(places.get(self.trials[name].window, ()))
        ]
        used = {self.trials[name].window for name in known}
        bars = np.unique(np.concatenate([places[each] for each in used])) if known else np.zeros(0, dtype=np.int64)
        rows = {each: np.searchsorted(bars, places[each]) for each in used}
        panel, member = np.zeros((len(bars), len(known))), np.zeros((len(bars), len(known)), dtype=bool)
        for column, name in enumerate(known):
            at = rows[self.trials[name].window]
            panel[at, column], member[at, column] = self.returns[name], True
        return known, panel, member


def tried_around(folder: Path, window: TradedWindow, *, elsewhere: int | None = None) -> Attempts:
    """Read from the ledger what was tried on the bars and symbols of a window, or on some of them.

    Parameters
    ----------
    folder : Path
        The ledger's, from `embargo.research.cache.ledger_folder`.
    window : TradedWindow
    elsewhere : int, optional
        Attempts made with other tools, as far as anybody says.

    Raises
    ------
    DataError
        If the ledger cannot be read.
    """
    found = list(trials_around(folder, window))
    # A trial that stands on this very window is that one, wherever else it may stand.
    found.sort(key=lambda each: each[0].identity == window.identity)
    trials = {settings: trial for _, here in found for settings, trial in here.items()}
    # Returns of bars of another length stand on no common bars.
    opened = {each.identity: each.open_at for each, _ in found if each.length == window.length}
    opened |= {window.identity: window.open_at}
    return Attempts(trials, returns_of(folder, trials.values()), opened=opened, elsewhere=elsewhere or 0)


def remarks(attempts: Attempts) -> list[str]:
    """Say which attempts count in full because too little is known of them, one sentence each.

    Examples
    --------
    >>> from embargo.research.records.ledger import Trial
    >>> remarks(Attempts({"a": Trial("window", "a", "mine", 0.05, 300)}, {}))[0][:61]
    'The returns of 1 of 1 attempts in the ledger are lost: restor'
    """
    said = []
    if lost := len(attempts.lost):
        said.append(lost_returns(lost, len(attempts.trials)))
    if apart := len(attempts.apart):
        said.append(
            f"{apart:,} of {len(attempts.trials):,} attempts in the ledger were made at the same time on bars of "
            "another length: they cannot be laid beside this one, and each counts in full."
        )
    return said


def lost_returns(lost: int, number: int) -> str:
    """Say that returns are missing from a ledger."""
    return (
        f"The returns of {lost:,} of {number:,} attempts in the ledger are lost: restore its files that end in .rows. "
        "Until then each of these counts in full, even where it moves with others."
    )


def adjusted_p_value(
    attempts: Attempts,
    p_value: float | None,
    *,
    significance: float,
    n_boot: int,
    block: int | None,
    seed: int,
) -> tuple[float | None, float]:
    """Adjust the p-value of the attempt in question for all attempts.

    Returns
    -------
    (float or None, float)
        ``adjusted_p_value`` and ``significance_left`` of `embargo.backtest.chance.AfterAttempts`.
    """
    known, panel, member = attempts.together()
    left = after_attempts(
        p_value,
        panel=panel if attempts.own in known else None,
        member=member,
        own=known.index(attempts.own) if attempts.own in known else 0,
        n_trials=attempts.number,
        significance=significance,
        n_boot=n_boot,
        block=None if block is None else float(block),
        seed=seed,
    )
    return left.adjusted_p_value, left.significance_left


def growing_window(
    attempts: Attempts, *, significance: float, periods_per_year: float, n_boot: int, block: int | None, seed: int
) -> GrowingWindow | None:
    """Recognise an experiment that was repeated as its window grew, and give the answer that holds at any look.

    Looks are attempts with the same settings, but for the end of the data, whose windows begin with the same bar.

    Parameters
    ----------
    attempts : Attempts
    significance : float
        Level of the answer.
    periods_per_year : float
    n_boot : int
    block : int, optional
    seed : int
        As in `embargo.backtest.significance.stepwise_sharpe`, which gives each look its p-value.

    Returns
    -------
    GrowingWindow or None
        None for a first look, or where there are fewer than 30 bars that move in it.
    """
    own = attempts.trials[attempts.own]
    if not own.series or own.window not in attempts.opened:
        return None
    first, last = attempts.opened[own.window][[0, -1]]
    looks: dict[int, str] = {}
    for name, trial in attempts.trials.items():
        bars = attempts.opened.get(trial.window)
        if trial.series != own.series or bars is None or name not in attempts.returns:
            continue
        if bars[0] == first and (bars[-1] < last or name == attempts.own):
            looks[int(bars[-1])] = name
    names = [looks[end] for end in sorted(looks)]
    if len(names) < 2:
        return None
    known, panel, member = attempts.together(names)
    found = stepwise_sharpe(
        panel,
        member=member,
        level=significance,
        n_boot=n_boot,
        block=None if block is None else float(block),
        seed=seed,
    )
    judged = np.flatnonzero(found.judged)
    if len(judged) < 2 or len(known) - 1 not in judged:
        return None
    rows = member.sum(axis=0)
    answer = sequential_test(rows[judged], found.own_p_values[judged], level=significance)
    return GrowingWindow(
        looks=len(judged),
        judged=answer.looks,
        rows=answer.rows,
        p_value=answer.p_value,
        statistic=answer.statistic,
        bound=answer.bound,
        detectable_sharpe=answer.detectable * math.sqrt(periods_per_year),
    )


def discounted(
    attempts: Attempts,
    performance: Mapping[str, Any],
    p_value: float | None,
    *,
    periods_per_year: float,
    significance: float,
    n_boot: int,
    block: int | None,
    seed: int,
) -> Discounted:
    """Weigh a Sharpe ratio against chance, and against the number of attempts it may have been picked from.

    Parameters
    ----------
    attempts : Attempts
        With the one in question and its returns.
    performance : mapping
        Of those returns, from `embargo.backtest.metrics.performance`.
    p_value : float or None
        Of its Sharpe ratio alone.
    periods_per_year : float
    significance : float
        Level of the test that allows for all attempts.
    n_boot : int
        Its resamples.
    block : int, optional
        Rows of its blocks.
    seed : int

    Returns
    -------
    Discounted
        Attempts at absurd costs raise ``luckiest_sharpe``, because it goes by how Sharpe ratios vary. The probabilistic
        and the deflated Sharpe ratio are None below 30 bars that move.

    References
    ----------
    Bailey and López de Prado (2014), "The Deflated Sharpe Ratio"; where returns are known, the expected maximum is
    that of correlated trials, simulated, instead of the paper's approximation for independent ones.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.metrics import performance
    >>> from embargo.research.records.ledger import Trial
    >>> returns = np.random.default_rng(0).normal(0.001, 0.01, 300)
    >>> attempts = Attempts({}, {}).joined(Trial("window", "b", "other", 0.03, 300), returns[::-1])
    >>> attempts = attempts.joined(Trial("window", "a", "mine", 0.05, 300), returns)
    >>> found = performance(returns, periods_per_year=252.0)
    >>> test = {"periods_per_year": 252.0, "significance": 0.05, "n_boot": 500, "block": None, "seed": 0}
    >>> worth = discounted(attempts, found, 0.14, **test)
    >>> worth.n_trials, round(worth.probabilistic_sharpe, 2), round(worth.deflated_sharpe, 2)
    (2, 0.85, 0.7)
    >>> round(worth.adjusted_p_value, 1)
    0.3
    """
    n_trials = len(attempts.trials)
    known, panel, member = attempts.together()
    together = len(known) if len(panel) >= MINIMUM_ROWS else 0
    number, variance, luck = float(together), 0.0, 0.0
    if together > 1:
        found = effective_trials(panel, member=member, seed=seed)
        number, variance, luck = found.number, found.variance, found.benchmark
    unknown = n_trials - together + attempts.elsewhere
    if unknown:
        number += unknown
        ratios = [trial.sharpe_per_bar for trial in attempts.trials.values()]
        variance = float(np.var(ratios, ddof=1)) if n_trials > 1 else 0.0
        luck = expected_maximum_sharpe(number, variance)
    adjusted, left = adjusted_p_value(
        attempts, p_value, significance=significance, n_boot=n_boot, block=block, seed=seed
    )
    figures = {
        "n_trials": n_trials,
        "n_partial": len(attempts.partial),
        "trials_elsewhere": attempts.elsewhere,
        "effective_trials": number,
        "trial_sharpe_variance": variance,
        "luckiest_sharpe": luck * math.sqrt(periods_per_year),
        **beyond_luck(performance, attempts.returns[attempts.own], luck=luck, periods_per_year=periods_per_year),
        "adjusted_p_value": adjusted,
        "significance_left": left,
    }
    return from_json(Discounted, figures, "discounted")


def best_of(
    attempts: Attempts, *, significance: float, block: int | None, n_boot: int, seed: int
) -> BestOfAttempts | None:
    """Ask whether the best of all attempts earned anything, and how many did (`stepwise_sharpe`).

    Attempts that seldom or never traded are not judged, and cost the others nothing.

    Returns
    -------
    BestOfAttempts or None
        None for fewer than two attempts, or where the returns of one are not known.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.research.records.ledger import Trial
    >>> returns = np.random.default_rng(0).normal(0.001, 0.01, 300)
    >>> attempts = Attempts({}, {}).joined(Trial("window", "a", "mine", 0.05, 300), returns)
    >>> attempts = attempts.joined(Trial("window", "b", "other", 0.03, 300), returns[::-1])
    >>> best_of(attempts, significance=0.05, block=None, n_boot=200, seed=0).superior
    0
    """
    panel = attempts.panel
    if panel is None or panel.shape[1] < 2 or not (panel.std(axis=0) > 0.0).any():
        return None
    length = None if block is None else float(block)
    found = stepwise_sharpe(panel, level=significance, n_boot=n_boot, block=length, seed=seed)
    return BestOfAttempts(
        best=int(found.p_values.argmin()),
        p_value=float(found.p_values.min()),
        superior=int(np.count_nonzero(found.p_values <= significance)),
        strategies=int(np.count_nonzero(found.judged)),
    )


def overfitting(attempts: Attempts, names: Sequence[str], *, seed: int) -> dict[str, Any] | None:
    """Ask how often the best of some attempts on one half of the bars is no better than the median on the other.

    Parameters
    ----------
    attempts : Attempts
    names : sequence of str
        Settings fingerprints of those that one was chosen from.
    seed : int
        Of the simulation of chance.

    Returns
    -------
    dict or None
        Figures of `embargo.backtest.significance.probability_of_overfitting`, and under ``by_chance`` those of
        `embargo.backtest.significance.overfitting_by_chance`; None where there was no choice (fewer
        than two attempts, or all with the same returns), the returns of one are not known, or there are fewer than two
        bars in each of the 16 blocks.
    """
    panel = attempts.side_by_side(names)
    if panel is None or len(panel) < 2 * _BLOCKS or (panel == panel[:, :1]).all():
        return None
    chance = overfitting_by_chance(panel, blocks=_BLOCKS, seed=seed)
    return probability_of_overfitting(panel, blocks=_BLOCKS).as_dict() | {"by_chance": chance.as_dict()}


def undistinguished(attempts: Attempts, names: Sequence[str], *, n_boot: int, seed: int) -> dict[str, Any] | None:
    """Find which of some attempts cannot be told from the best of them by their mean returns.

    Parameters
    ----------
    attempts : Attempts
    names : sequence of str
        Settings fingerprints.
    n_boot : int
        Resamples.
    seed : int

    Returns
    -------
    dict or None
        ``level`` and ``settings``, the fingerprints in the model confidence set; None as in `overfitting`, and for more
        than 500 attempts, where all pairs would take minutes.
    """
    panel = attempts.side_by_side(names)
    if panel is None or len(panel) < MINIMUM_ROWS or panel.shape[1] > _MOST_COMPARED or (panel == panel[:, :1]).all():
        return None
    found = model_confidence_set(-panel, level=_SET_LEVEL, n_boot=n_boot, seed=seed)
    included = [name for name, inside in zip(names, found.included, strict=True) if inside]
    return {"level": 1.0 - _SET_LEVEL, "settings": included}
