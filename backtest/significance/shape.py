"""Whether a sample is of a kind on which the sizes of the tests are known: few bars carry it, drift, memory, idleness.

A p-value holds its level where returns look like those on which it was simulated. This measures how far a sample is
from them, and says so in words where it is too far. What a sample does not hold it cannot show: of losses so rare that
none was seen there is only a bound.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from embargo.backtest.significance.long_run import first_order_memory
from embargo.backtest.significance.resampling import automatic_block_length
from embargo.backtest.significance.series import MINIMUM_ROWS, checked_returns, varies
from embargo.backtest.significance.sharpe import moving_rows

# Fixed by simulation: `docs/size_and_power.md`, and for the stretches `sample_shape`, say how often each is passed
# where nothing is wrong, and what it finds.
MOST_SKEW = 0.15
MOST_DRIFT = 2.5
MOST_MEMORY = 1.5
FEWEST_STRETCHES = 7
_SLOWEST = 8
_LARGEST = 3
# An idle row may earn interest.
_IDLE = 0.1
# With probability 0.95 something is seen in n bars that happens once in n / 3.
_RULE_OF_THREE = 3.0


@dataclass(frozen=True)
class SampleShape:
    """How far returns are from those on which the sizes of the tests are known.

    Attributes
    ----------
    skew_term : float or None
        Skewness over the root of the rows, what the first term of Edgeworth's expansion goes by; None, as all below,
        under 30 rows that move.
    largest_share : float or None
        Share of the sum of squared deviations that the three largest rows hold.
    drift : float or None
        Variance of swings slower than a quarter of the sample over what a first-order autoregression implies for them;
        about 1 where the mean stays.
    memory : float or None
        Automatic block length over the root of the rows.
    moving_share : float
        Share of rows that move (`moving_rows`).
    unseen_loss : float or None
        Loss of one row that would take the whole mean away, had it come once in n / 3 rows: samples like this one miss
        it in 5 % of cases. None where the mean is not positive.
    doubts : tuple of str
        Why the sizes of the tests are not known to hold here; empty where nothing speaks against them.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import sample_shape
    >>> sample_shape(np.random.default_rng(1).normal(0.001, 0.01, 500)).doubts
    ()
    """

    skew_term: float | None
    largest_share: float | None
    drift: float | None
    memory: float | None
    moving_share: float
    unseen_loss: float | None
    doubts: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a JSON-able dictionary."""
        return asdict(self)


def sample_shape(returns: np.ndarray) -> SampleShape:
    """Measure whether the tests are known to hold their size on returns like these.

    A sample is doubted where its skewness over the root of the rows exceeds 0.15, where swings slower than a quarter of
    it have more than 2.5 times the variance that they should, where the automatic block length exceeds 1.5 times the
    root of the rows, or where it traded in fewer than seven stretches: of as many equal stretches as the root of the
    rows, at least seven, those in which a row lies more than a tenth of a deviation from the median.

    One to four bursts of trading of normal returns on 252, 504, 1,000 and 2,520 rows, without an edge (12,000 series):
    a nominal 5 % test of the Sharpe ratio rejects, where it has a p-value, 7 to 20 % of those in three stretches, 6 to
    13 in four to six, 5 to 9 in seven or eight and 4 to 8 in more than ten, by the rows (standard errors 1 to 4). Of
    1,000 series each of 252, 504 and 1,000 rows none is doubted for it that is i.i.d. (normal, t of 3 and 4 degrees) or
    GARCH, nor one that trades on a random eighth of its bars; of spells of 10 to 20 bars with 60 idle ones between,
    which reject 4 to 6 % of all, half of 252 rows, 9 % of 504 and none of 1,000.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns, or any statistic of one value a bar, without missing values.

    Returns
    -------
    SampleShape
        Crashes that the sample does not hold leave no trace in it: no test of a mean holds its size without a bound on
        what may happen.

    Raises
    ------
    DataError
        If values are missing.

    References
    ----------
    Hall (1992), "The Bootstrap and Edgeworth Expansion", for the skewness; Müller and Watson (2008), "Testing models of
    low-frequency variability", Econometrica 76(5), for the slow cosines; Bahadur and Savage (1956), "The nonexistence
    of certain statistical procedures in nonparametric problems", Annals of Mathematical Statistics 27(4), for what no
    test can do; Hanley and Lippman-Hand (1983), "If nothing goes wrong, is everything all right?", JAMA 249(13), for
    the rule of three.

    Examples
    --------
    Small gains and one crash, which carries the sample:

    >>> import numpy as np
    >>> from embargo.backtest.significance import sample_shape
    >>> returns = np.random.default_rng(1).normal(0.001, 0.01, 500)
    >>> returns[100] = -0.25
    >>> found = sample_shape(returns)
    >>> round(found.skew_term, 2), round(found.largest_share, 2), len(found.doubts)
    (-0.46, 0.62, 1)
    """
    from scipy.fft import dct

    values = checked_returns(returns, "sample_shape")
    n, moving = len(values), moving_rows(values)
    moving_share = moving / n if n else 0.0
    if moving < MINIMUM_ROWS or not varies(values):
        return SampleShape(None, None, None, None, moving_share, None, ())
    mean = float(values.mean())
    z = (values - mean) / values.std()
    skew_term = float(np.mean(z**3)) / math.sqrt(n)
    largest = float(np.sort(z**2)[-_LARGEST:].sum()) / n
    slow = dct(z, type=2)[1 : _SLOWEST + 1] / math.sqrt(2.0 * n)
    slope = first_order_memory(z)
    rest = z[1:] - slope * z[:-1]
    drift = float(slow @ slow) / _SLOWEST * (1.0 - slope) ** 2 / float(np.mean(rest**2))
    memory = automatic_block_length(values) / math.sqrt(n)
    doubts = []
    if abs(skew_term) > MOST_SKEW:
        doubts.append(
            f"a few bars carry the sample: the {_LARGEST} largest hold {largest:.0%} of its squares, and its skewness "
            f"is {abs(skew_term):.2f} times the root of its bars (known up to {MOST_SKEW})"
        )
    if drift > MOST_DRIFT:
        doubts.append(
            f"its mean drifts: swings slower than a quarter of the sample have {drift:.1f} times the variance that "
            f"faster ones let expect (known up to {MOST_DRIFT})"
        )
    if memory > MOST_MEMORY:
        doubts.append(
            f"its bars remember each other for long: over {memory:.1f} times the root of their number (known up to "
            f"{MOST_MEMORY})"
        )
    traded, stretches = traded_stretches(values)
    if traded < FEWEST_STRETCHES:
        doubts.append(
            f"it traded in too few stretches: in {traded} of {stretches}, each of about {n / stretches:.0f} bars "
            f"(known from {FEWEST_STRETCHES} on)"
        )
    unseen = mean * n / _RULE_OF_THREE
    return SampleShape(
        skew_term=skew_term,
        largest_share=largest,
        drift=drift,
        memory=memory,
        moving_share=moving_share,
        unseen_loss=unseen if unseen > 0.0 else None,
        doubts=tuple(doubts),
    )


def traded_stretches(values: np.ndarray) -> tuple[int, int]:
    """Count the stretches of a series in which something was earned or lost, and all of them.

    Parameters
    ----------
    values : float array, shape (bars,)

    Returns
    -------
    (int, int)
        There are as many stretches as the root of the bars, at least seven, as equal as can be.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance.shape import traded_stretches
    >>> traded_stretches(np.append(np.random.default_rng(1).normal(size=60), np.zeros(940)))
    (2, 32)
    """
    moving = np.abs(values - np.median(values)) > _IDLE * values.std()
    number = max(FEWEST_STRETCHES, round(math.sqrt(len(values))))
    return sum(bool(part.any()) for part in np.array_split(moving, number)), number
