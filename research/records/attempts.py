"""What a result is worth beside everything else that was tried on its window, and how far its sample can see.

The trials and their returns come from the ledger. Attempts that move together count for less than their number; where
the returns of some are not known, every attempt counts in full.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from embargo.backtest.chance import after_attempts, beyond_luck
from embargo.backtest.significance import (
    MINIMUM_ROWS,
    effective_trials,
    expected_maximum_sharpe,
    model_confidence_set,
    probability_of_overfitting,
    stepwise_sharpe,
)
from embargo.research.records.figures import from_json
from embargo.research.records.ledger import Trial
from embargo.research.records.metrics import (
    BestOfAttempts,
    Discounted,
)

_BLOCKS = 16
_SET_LEVEL = 0.1
_MOST_COMPARED = 500


@dataclass(frozen=True)
class Attempts:
    """Everything tried on a window, the attempt in question among it.

    Attributes
    ----------
    trials : mapping of settings fingerprint to Trial
    returns : mapping of settings fingerprint to float array, shape (bars,)
        Of those trials whose returns are known.
    """

    trials: Mapping[str, Trial]
    returns: Mapping[str, np.ndarray]

    def joined(self, trial: Trial, returns: np.ndarray) -> Attempts:
        """Return the same with one more attempt, or a newer version of one."""
        return Attempts(
            dict(self.trials) | {trial.settings: trial}, dict(self.returns) | {trial.settings: np.asarray(returns)}
        )

    @property
    def panel(self) -> np.ndarray | None:
        """Returns of all trials side by side, shape (bars, trials); None unless every one is known and long enough."""
        return self.side_by_side(list(self.trials))

    def side_by_side(self, names: Sequence[str]) -> np.ndarray | None:
        """Return those of some trials, shape (bars, names); None unless all are known, equally long and long enough."""
        known = [self.returns[name] for name in names if name in self.returns]
        if len(known) < len(names) or not known or len(known[0]) < MINIMUM_ROWS:
            return None
        return np.column_stack(known) if len({len(each) for each in known}) == 1 else None


def discounted(
    attempts: Attempts,
    performance: Mapping[str, Any],
    returns: np.ndarray,
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
        With the one in question.
    performance : mapping
        Of its returns, from `embargo.backtest.metrics.performance`.
    returns : float array, shape (bars,)
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
    >>> attempts = Attempts({}, {}).joined(Trial("window", "a", "mine", 0.05, 300), returns)
    >>> attempts = attempts.joined(Trial("window", "b", "other", 0.03, 300), returns[::-1])
    >>> found = performance(returns, periods_per_year=252.0)
    >>> test = {"periods_per_year": 252.0, "significance": 0.05, "n_boot": 500, "block": None, "seed": 0}
    >>> worth = discounted(attempts, found, returns, 0.14, **test)
    >>> worth.n_trials, round(worth.probabilistic_sharpe, 2), round(worth.deflated_sharpe, 2)
    (2, 0.85, 0.7)
    >>> round(worth.adjusted_p_value, 1)
    0.3
    """
    panel, n_trials = attempts.panel, len(attempts.trials)
    if panel is not None and n_trials > 1:
        found = effective_trials(panel, seed=seed)
        number, variance, luck = found.number, found.variance, found.benchmark
    else:
        ratios = [trial.sharpe_per_bar for trial in attempts.trials.values()]
        number, variance = float(n_trials), float(np.var(ratios, ddof=1)) if n_trials > 1 else 0.0
        luck = expected_maximum_sharpe(number, variance)
    left = after_attempts(
        returns,
        p_value,
        panel=panel,
        n_trials=n_trials,
        significance=significance,
        n_boot=n_boot,
        block=None if block is None else float(block),
        seed=seed,
    )
    figures = {
        "n_trials": n_trials,
        "effective_trials": number,
        "trial_sharpe_variance": variance,
        "luckiest_sharpe": luck * math.sqrt(periods_per_year),
        **beyond_luck(performance, returns, luck=luck, periods_per_year=periods_per_year),
        **asdict(left),
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


def overfitting(attempts: Attempts, names: Sequence[str]) -> dict[str, Any] | None:
    """Ask how often the best of some attempts on one half of the bars is no better than the median on the other.

    Parameters
    ----------
    attempts : Attempts
    names : sequence of str
        Settings fingerprints of those that one was chosen from.

    Returns
    -------
    dict or None
        Figures of `embargo.backtest.significance.probability_of_overfitting`; None where there was no choice (fewer
        than two attempts, or all with the same returns), the returns of one are not known, or there are fewer than two
        bars in each of the 16 blocks.
    """
    panel = attempts.side_by_side(names)
    if panel is None or len(panel) < 2 * _BLOCKS or (panel == panel[:, :1]).all():
        return None
    return probability_of_overfitting(panel, blocks=_BLOCKS).as_dict()


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
