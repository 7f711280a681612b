"""Whether a reader follows a text that was turned round, and whether what it will not give up happens to be true."""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.backtest.leakage.findings import aware_instant, evidence_rows, moment
from embargo.backtest.leakage.memory.days import check_resampling, first_day_after, read_forecasts, resample, share
from embargo.backtest.leakage.memory.result import DOUBT, FEWEST_DAYS, Probe, ProbeResult
from embargo.backtest.leakage.on_request import ON_REQUEST

# Lead in the share of right forecasts from which what does not follow the text is doubted.
LEAD = 0.05
# Share of right forecasts among those that stay that no reading of daily news reaches.
IMPLAUSIBLE = 0.65
# Share of readings that follow below which the words turned round are not those that the reader goes by.
FOLLOWED = 0.5

_PROBE = Probe(
    "M8",
    ON_REQUEST["check_counterfactual_readings"].title,
    "share right among readings that do not follow less that among those that do",
    "Trust only what lies after the model's cutoff. Readings that stay right while the text says the opposite come "
    "from somewhere else than the text.",
    "A lead",
)


def check_counterfactual_readings(
    readings: pd.DataFrame,
    *,
    cutoff: pd.Timestamp | None = None,
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> ProbeResult:
    """Compare readings that follow a text turned round with readings that stay, by how often they are right (M8).

    A reader that recalls keeps its answer where it recalls, and there it is right; one that misses a word keeps its
    answer where the words are hard, and there it is right no more often than elsewhere. Suspicious when those that stay
    are right more often by 5 points and 3.5 standard errors (days resampled in blocks), or are right in 65 % and that
    is 3.5 standard errors from even: a memory of everything is right on both. A reading follows if it moves the way the
    text was turned by at least half of what moving readings move at the median.

    Silent on: memory of a reader that lets the text overrule it. Inconclusive where less than half of the readings that
    agreed with the words follow: then it recites throughout, or goes by words that were not turned.

    Parameters
    ----------
    readings : DataFrame
        One row per article: ``at`` (UTC, the opening of the bar whose return is earned), ``log_odds`` of bullish
        against bearish for the text, ``flipped`` for the text turned round, ``direction`` in which it was turned (rows
        with 0 are left out and counted), and ``earned`` (fraction). Others are shown as evidence.
    cutoff : Timestamp, optional
        Knowledge cutoff (UTC); with one, only the days before it judge.
    level : float
        Of the interval.
    n_boot : int
        Resamples of the days, at least 100.
    seed : int
        Of the resamples.

    Returns
    -------
    ProbeResult
        ``figures`` hold ``followed`` (share of readings), ``followed_low`` and ``followed_high``, ``followed_agreeing``
        (of those that agreed with the words), ``right_followed``, ``right_stayed``, ``mean_move`` (log-odds, in the
        direction turned), ``n``, ``days``, ``z`` and ``detectable``.

    Raises
    ------
    DataError
        If columns are missing or instants are naive.
    ConfigError
        If a setting is out of range.

    References
    ----------
    "Profit Mirage" (arXiv 2510.07920), for counterfactual inputs and the consistency of predictions under them.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage.memory import check_counterfactual_readings
    >>> rng, at = np.random.default_rng(0), pd.date_range("2020-01-01", periods=300, tz="UTC")
    >>> earned, says = rng.normal(0.0, 0.02, 300), rng.choice([-2.0, 2.0], 300)
    >>> recalled = rng.random(300) < 0.3
    >>> own = np.where(recalled, 2.0 * np.sign(earned), says)
    >>> turned = np.where(recalled, own, -says)
    >>> frame = pd.DataFrame({"at": at, "log_odds": own, "flipped": turned, "direction": -says, "earned": earned})
    >>> check_counterfactual_readings(frame).verdict
    'suspicious'
    >>> check_counterfactual_readings(frame.assign(log_odds=says, flipped=-says * rng.choice([0.1, 1.0], 300))).verdict
    'pass'
    """
    check_resampling(level, n_boot, seed)
    read = read_forecasts(readings, ["earned", "log_odds", "flipped", "direction"], where="counterfactual readings")
    frame = read.frame
    own, turned, direction, earned = (
        frame[name].to_numpy(dtype=float) for name in ("log_odds", "flipped", "direction", "earned")
    )
    instant = None if cutoff is None or pd.isna(cutoff) else aware_instant(cutoff, what="knowledge cutoff")
    judged = np.ones(read.days, dtype=bool) if instant is None else read.instants < first_day_after(instant)
    period = "" if instant is None else f" before {moment(instant)}"
    used = (direction != 0.0) & judged[frame["day"].to_numpy()]
    n = int(used.sum())
    if not n:
        return _PROBE.unasked(f"None of {len(frame)} texts{period} holds a word that could be turned{read.aside()}.")
    move = np.sign(direction) * (turned - own)
    moving = move[used & (move > 0.0)]
    follows = move >= 0.5 * float(np.median(moving)) if len(moving) else np.zeros(len(move), dtype=bool)
    agreed = used & (np.sign(own) == -np.sign(direction))
    taken = used & (own != 0.0) & (earned != 0.0)
    right = taken & (np.sign(own) == np.sign(earned))
    sums = read.sums(
        *(part.astype(float) for part in (used, used & follows)),
        *(part.astype(float) for part in (taken & ~follows, right & ~follows, taken & follows, right & follows)),
    )[judged]
    followed = resample(sums[:, :2], share, n_boot=n_boot, seed=seed)
    lead = resample(sums[:, 2:], lambda s: share(s[..., :2]) - share(s[..., 2:]), n_boot=n_boot, seed=seed)
    stays = resample(sums[:, 2:4], share, n_boot=n_boot, seed=seed)
    total = sums.sum(axis=0)
    days = int((sums[:, 0] > 0.0).sum())
    low, high = followed.interval(level)
    figures = {
        "followed": followed.value,
        "followed_low": low,
        "followed_high": high,
        "followed_agreeing": float(follows[agreed].mean()) if agreed.any() else float("nan"),
        "right_stayed": stays.value,
        "right_followed": float(share(total[4:6])),
        "mean_move": float(move[used].mean()),
        "n": float(n),
        "days": float(days),
        "z": lead.z,
        "detectable": float(np.maximum(LEAD, DOUBT * lead.error)),
    }
    said = f"{followed.value:.1%} of {n} readings{period} follow a text turned round ({int((~used).sum())} left out); "
    if days < FEWEST_DAYS:
        said += f"{days} days prove nothing, {FEWEST_DAYS} are needed."
        return _PROBE.unproven(said, figures)
    stayed = used & ~follows
    ahead = lead.value >= LEAD and lead.value >= DOUBT * lead.error
    if ahead or (stays.value >= IMPLAUSIBLE and stays.value - 0.5 >= DOUBT * stays.error):
        said += (
            f"the {int(stayed.sum())} that stay are right in {figures['right_stayed']:.1%}, the others in "
            f"{figures['right_followed']:.1%}."
        )
        columns = [name for name in ("article_id", "symbol", "at", "log_odds", "flipped", "earned") if name in frame]
        evidence = evidence_rows(frame.loc[stayed & right, columns])
        return _PROBE.answer("suspicious", said, lead.value, lead.interval(level), figures, evidence)
    if not agreed.any() or figures["followed_agreeing"] < FOLLOWED:
        said += "less than half of those that agreed with the words turned: the reader recites, or goes by other words."
        remedy = "Add the words that the reader goes by to the pairs that are turned round, and ask again."
        return _PROBE.unproven(said, figures, remedy)
    if not np.isfinite(lead.value):
        said += "too few stay to tell whether those are right."
        return _PROBE.answer("pass", said, None, None, figures)
    said += (
        f"those that stay are right in {figures['right_stayed']:.1%}, the others in {figures['right_followed']:.1%}."
    )
    return _PROBE.answer("pass", said, lead.value, lead.interval(level), figures)
