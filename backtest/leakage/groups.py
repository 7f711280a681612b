"""Where the worth of forecasts comes from: one source, hour, weekday or age, or copies that count as many votes.

A leak seldom sits in all news alike. The information coefficient of each group is held against that of the rest, days
left out one at a time, and against groups drawn by lot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.arguments import check_seed
from embargo.backtest.distributions import student_isf
from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import evidence_rows, plain, require_columns, utc_array
from embargo.backtest.leakage.memory.days import Forecasts, correlation, products, read_forecasts
from embargo.backtest.leakage.memory.result import FEWEST_DAYS, ProbeResult
from embargo.backtest.leakage.tokens import Words
from embargo.data_loaders.schemas import as_utc

# Level at which a group is doubted, before it is shared among those that were looked at.
LEVEL = 0.003
# Lead over the rest that an honest group of daily news may have; less where a source stamps days, not instants.
PLAUSIBLE, PLAUSIBLE_BY_DAY = 0.10, 0.03
# Share of a source's articles at one time of day from which it stamps days.
ONE_TIME = 0.9
# Forecasts that a group needs; those of fewer are worth 0.3 by luck alone.
FEWEST_FORECASTS = 100
# What counting each text once may take away from the worth of honest news, and by how much such as come again may lead.
VOTES, COME_AGAIN = 0.03, 0.05
FEWEST_WORDS = 4
SHUFFLES, SHUFFLED_ROWS = 39, 10_000
_CONCENTRATED_TITLE = CHECKS["check_concentration"].title
_REPEATED_TITLE = CHECKS["check_repeated_texts"].title
_LEAD_UNIT = "information coefficient of a group less that of the rest"


def check_concentration(
    forecasts: pd.DataFrame, by: tuple[str, ...] = ("source", "hour", "weekday"), *, seed: int = 0
) -> ProbeResult:
    """Name a single source, hour, weekday or other group that carries the forecasts' worth (D1).

    A group is doubted when its information coefficient exceeds that of all other forecasts by more than 0.10, which
    honest groups may, at a level of 0.3 % shared among the ways to group and their groups; and by more than any group
    in 39 shuffles of the groups among the forecasts of a week. For a source that stamps 90 % of its articles at one
    time of day, which are days rather than instants, 0.03 take the place of 0.10. The group with the largest lead is
    named in any case, with what is left without it.

    Silent on: groups of fewer than 40 days or 100 forecasts, a leak that all groups share, and a group so much better
    for honest reasons, which looks the same.

    Parameters
    ----------
    forecasts : DataFrame
        One row per article: ``at`` (UTC, the opening of the bar whose return is earned), ``score`` (signed), ``earned``
        (fraction), the columns of ``by`` and, for what sources stamp, ``published_at`` (UTC).
    by : tuple of str
        Columns whose values name groups.
    seed : int
        Of the shuffles.

    Returns
    -------
    ProbeResult
        ``effect`` is the largest lead of a group over the rest; ``figures`` hold ``ic``, ``groups``, ``ic_without``
        (what is left without that group), ``z`` and ``z_shuffled`` (of the lead, and the largest by chance).

    Raises
    ------
    DataError
        If columns are missing or instants are naive.
    ConfigError
        If the seed is none.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_concentration
    >>> rng, at = np.random.default_rng(0), pd.date_range("2020-01-01", periods=400, tz="UTC")
    >>> earned, source = rng.normal(size=400), np.array(["a", "b", "c", "d"] * 100)
    >>> score = rng.normal(size=400) + np.where(source == "c", earned, 0.0)
    >>> frame = pd.DataFrame({"at": at, "score": score, "earned": earned, "source": source})
    >>> found = check_concentration(frame, by=("source",))
    >>> found.verdict, found.evidence[0]["group"]
    ('suspicious', 'c')
    """
    check_seed(seed)
    require_columns(forecasts, by, where="forecasts by group")
    given = [name for name in ("at", "score", "earned", "source", "published_at") if name in forecasts]
    read = read_forecasts(forecasts[list({*given, *by})], ["earned", "score"], where="forecasts by group")
    table, leads = [], {}
    for name in by:
        codes, groups = pd.factorize(read.frame[name], sort=True)
        leads[name] = found = _leads(read, codes, len(groups))
        table.append(found.table(name, groups))
    rows = pd.concat(table, ignore_index=True)
    columns = _columns(read)
    whole = float(correlation(read.sums(*columns).sum(axis=0))) if read.days else float("nan")
    figures = {"ic": whole, "groups": float(len(rows))}
    if rows.empty:
        said = f"No value of {', '.join(by)} has {FEWEST_DAYS} days inside and outside it."
        return ProbeResult("D1", "not-applicable", _CONCENTRATED_TITLE, said, unit=_LEAD_UNIT, figures=figures)
    by_day = _stamping_days(read.frame) if "published_at" in read.frame and "source" in by else frozenset()
    rows["stamps"] = ["days" if each else "instants" for each in _are(rows, by_day)]
    plausible = np.where(_are(rows, by_day), PLAUSIBLE_BY_DAY, PLAUSIBLE)
    # Each way to group has the same part of the level, however many groups it makes.
    level = LEVEL / (rows["by"].nunique() * rows.groupby("by")["group"].transform("size"))
    needed = student_isf(level, rows["days"] - 1)
    shuffled = _largest_by_chance(read, leads, seed)
    carries = (rows["lead"] - plausible >= needed * rows["error"]) & (rows["z"] > shuffled)
    rows = rows.assign(doubted=carries).sort_values(["doubted", "z"], ascending=False, kind="stable")
    first = rows.iloc[0]
    figures |= {"ic_without": float(first["ic_without"]), "z": float(first["z"]), "z_shuffled": shuffled}
    said = (
        f"Information coefficient {whole:.3f}; {first['by']} {first['group']} has {first['ic']:.3f} on "
        f"{int(first['forecasts'])} forecasts, the rest {first['ic_without']:.3f} (z {first['z']:.1f}, the largest of "
        f"{len(rows)} groups; up to {shuffled:.1f} in {SHUFFLES} shuffles){read.aside()}."
    )
    reach = float(student_isf(0.025, first["days"] - 1)) * first["error"]
    interval = (float(first["lead"] - reach), float(first["lead"] + reach))
    shown = rows.drop(columns=["error", "doubted", "days"])
    if carries.any():
        return ProbeResult(
            "D1", "suspicious", _CONCENTRATED_TITLE, said, float(first["lead"]), interval, _LEAD_UNIT, figures,
            evidence_rows(shown[rows["doubted"]]),
            "Compare the stamps and the wording of that group with another source; leave it out and judge again.",
        )  # fmt: skip
    return ProbeResult(
        "D1", "pass", _CONCENTRATED_TITLE, said, float(first["lead"]), interval, _LEAD_UNIT, figures,
        evidence_rows(shown),
    )  # fmt: skip


def check_repeated_texts(forecasts: pd.DataFrame, *, words: Words | None = None) -> ProbeResult:
    """Ask whether copies of a text, across time and across symbols, make the forecasts' worth (D5).

    Texts are copies when they have the same words in the same order, at least four of them. How many there are is only
    counted. It is doubted when the worth hangs on them (level 0.3 % for both questions together): counting each text
    once takes more than 0.03 of the information coefficient away; or texts that come again later, under another
    article, lead all others by more than 0.05: so does a text that is a copy of a later one, dated back.

    Silent on: near copies, copies reworded, and texts of fewer than four words.

    Parameters
    ----------
    forecasts : DataFrame
        One row per article and symbol: ``at`` (UTC, the opening of the bar whose return is earned), ``article_id``,
        ``symbol``, ``text``, ``score`` (signed) and ``earned`` (fraction).
    words : Words, optional
        Of the texts, where they have been made already.

    Returns
    -------
    ProbeResult
        ``effect`` is the information coefficient less what it is when each text counts once; ``figures`` hold
        ``ic``, ``ic_once``, ``repeats`` (share of rows whose text stood there before under another article),
        ``several_symbols`` (share of rows whose text stands under more than one symbol), ``come_again`` (rows) and
        ``lead_of_those``.

    Raises
    ------
    DataError
        If columns are missing or instants are naive.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_repeated_texts
    >>> rng, at = np.random.default_rng(0), pd.date_range("2020-01-01", periods=300, tz="UTC")
    >>> frame = pd.DataFrame({"at": at, "symbol": "A", "score": rng.normal(size=300), "earned": rng.normal(size=300)})
    >>> frame["article_id"] = frame["text"] = [f"a text of its own {number}" for number in range(300)]
    >>> check_repeated_texts(frame).verdict
    'not-applicable'
    >>> copies = frame.assign(article_id="copy of " + frame["article_id"], at=at + pd.Timedelta("3D"))
    >>> check_repeated_texts(pd.concat([frame, copies])).verdict
    'pass'
    """
    require_columns(forecasts, ("article_id", "symbol", "text"), where="forecasts")
    given = forecasts.drop(columns=forecasts.columns.difference(["at", "article_id", "symbol", "score", "earned"]))
    read = read_forecasts(given.assign(**{"#": np.arange(len(given))}), ["earned", "score"], where="forecasts")
    unit = "information coefficient less that of texts counted once"
    words = words or Words.of(forecasts["text"])
    number = read.frame["#"].to_numpy()
    story = _stories(words)[number]
    frame = read.frame.assign(story=story)
    known = frame[story >= 0]
    by_story = known.groupby("story")
    first_article = by_story["article_id"].transform("first")
    repeat = (known["article_id"] != first_article).reindex(frame.index, fill_value=False).to_numpy()
    symbols = by_story["symbol"].transform("nunique").reindex(frame.index, fill_value=1).to_numpy()
    again = (known["at"] < by_story["at"].transform("max")).reindex(frame.index, fill_value=False).to_numpy() & ~repeat
    shares = float(repeat.mean()), float((symbols > 1).mean())
    figures = {"repeats": shares[0], "several_symbols": shares[1], "come_again": float(again.sum())}
    if not repeat.any() and not (symbols > 1).any():
        said = f"No text of {len(frame)} stands there twice."
        return ProbeResult("D5", "not-applicable", _REPEATED_TITLE, said, unit=unit, figures=figures)
    votes = by_story["story"].transform("size").reindex(frame.index, fill_value=1).to_numpy(dtype=float)
    columns = _columns(read)
    once = read.sums(*columns, *(column / votes for column in columns))
    whole, alone, loss, error = _jackknifed(once)
    figures |= {"ic": whole, "ic_once": alone}
    found = _leads(read, np.where(repeat, 2, again.astype(np.int64)), 3)
    rows = found.table("text", ["stands there once or last", "comes again later", "stood there before"])
    later = rows[rows["group"] == "comes again later"]
    said = (
        f"{shares[0]:.1%} of {len(frame)} rows repeat a text of another article, {shares[1]:.1%} share theirs with "
        f"another symbol. Information coefficient {whole:.3f}, {alone:.3f} with each text counted once{read.aside()}."
    )
    if read.days < FEWEST_DAYS:
        said += f" {read.days} days are too few to judge; {FEWEST_DAYS} are needed."
        return ProbeResult("D5", "inconclusive", _REPEATED_TITLE, said, unit=unit, figures=figures)
    needed = float(student_isf(LEVEL / 2.0, read.days - 1))
    interval = (loss - 1.96 * error, loss + 1.96 * error)
    outvoted = loss - VOTES >= needed * error
    dated_back = False
    if len(later):
        lead = later.iloc[0]
        figures["lead_of_those"] = float(lead["lead"])
        said += f" {int(again.sum())} texts that come again later lead the others by {lead['lead']:.3f}."
        reach = float(student_isf(LEVEL / 2.0, lead["days"] - 1)) * lead["error"]
        dated_back = bool(lead["lead"] - COME_AGAIN >= reach)
    if not (outvoted or dated_back):
        return ProbeResult("D5", "pass", _REPEATED_TITLE, said, loss, interval, unit, figures)
    right = (frame["score"] * frame["earned"] > 0.0).to_numpy() & (again if dated_back else repeat | (symbols > 1))
    shown = forecasts.iloc[number[right]][["article_id", "symbol", "at", "text", "score", "earned"]]
    remedy = (
        "Compare the stamps of these texts with their later copies: keep the copy whose stamp can be shown, and leave "
        "the others out."
        if dated_back
        else "Let each text count once: news.drop_repeats keeps the first of each, signal.novelty_floor weighs repeats."
    )
    return ProbeResult(
        "D5", "suspicious", _REPEATED_TITLE, said, loss, interval, unit, figures, evidence_rows(shown), remedy
    )


@dataclass(frozen=True)
class _Leads:
    """Correlation of each group and of the rest, with the error of the difference; arrays of shape (groups,)."""

    codes: np.ndarray
    count: int
    kept: np.ndarray
    rows: np.ndarray
    days: np.ndarray
    inside: np.ndarray
    outside: np.ndarray
    error: np.ndarray

    def table(self, name: str, groups: Any) -> pd.DataFrame:
        """One row per group that can be judged."""
        lead = self.inside - self.outside
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.where(self.error > 0.0, lead / self.error, 0.0)
        return pd.DataFrame(
            {
                "by": name,
                "group": [plain(groups[place]) for place in self.kept],
                "forecasts": self.rows[self.kept],
                "days": self.days[self.kept],
                "ic": self.inside[self.kept],
                "ic_without": self.outside[self.kept],
                "lead": lead[self.kept],
                "error": self.error[self.kept],
                "z": z[self.kept],
            }
        )


def _columns(read: Forecasts) -> tuple[np.ndarray, ...]:
    return products(read.frame["score"].to_numpy(dtype=float), read.frame["rank"].to_numpy())


def _leads(read: Forecasts, codes: np.ndarray, count: int) -> _Leads:
    """Hold each group against the rest, leaving out one day, and one block of days, at a time."""
    day = read.frame["day"].to_numpy()
    key = day * count + codes
    sums = np.stack(
        [np.bincount(key, weights=each, minlength=read.days * count) for each in _columns(read)], axis=-1
    ).reshape(read.days, count, 6)
    present = sums[..., 0] > 0.0
    days, elsewhere = present.sum(axis=0), (sums[..., 0] < sums[..., 0].sum(axis=1)[:, None]).sum(axis=0)
    total = sums.sum(axis=0)
    whole = total.sum(axis=0)
    inside, outside = correlation(total), correlation(whole - total)
    # Days left out around a large correlation vary less than they do around none, which is what is held against it.
    rows = total[:, 0]
    floor = np.sqrt(1.0 / np.maximum(rows, 1.0) + 1.0 / np.maximum(rows.sum() - rows, 1.0))
    error = np.maximum.reduce([floor, *(_error(sums, starts) for starts in _blocks(read.days))])
    kept = (np.minimum(days, elsewhere) >= FEWEST_DAYS) & (rows >= FEWEST_FORECASTS)
    kept &= np.isfinite(inside - outside) & np.isfinite(error)
    return _Leads(codes, count, np.flatnonzero(kept), total[:, 0].astype(np.int64), days, inside, outside, error)


def _blocks(days: int) -> tuple[np.ndarray, np.ndarray]:
    """Where days begin, and where blocks of as many as the cube root of them do."""
    return np.arange(days), np.arange(0, days, max(1, round(days ** (1.0 / 3.0))))


def _error(sums: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Jackknife error of a group's lead, shape (groups,)."""
    if not len(starts):
        return np.full(sums.shape[1], np.nan)
    left_out = np.add.reduceat(sums, starts, axis=0)
    total = sums.sum(axis=0)
    inside = total - left_out
    outside = total.sum(axis=0) - left_out.sum(axis=1, keepdims=True) - inside
    return _spread(correlation(inside) - correlation(outside))


def _spread(lead: np.ndarray) -> np.ndarray:
    """Error from the values that a figure has without each of n parts, shape (n, ...)."""
    n = len(lead)
    return np.asarray(np.sqrt((n - 1) / n * ((lead - lead.mean(axis=0)) ** 2).sum(axis=0)))


def _jackknifed(sums: np.ndarray) -> tuple[float, float, float, float]:
    """Correlation of the first six columns, of the last six, their difference and its error."""
    total = sums.sum(axis=0)
    errors = []
    for starts in _blocks(len(sums)):
        rest = total - np.add.reduceat(sums, starts, axis=0)
        errors.append(float(_spread(correlation(rest[:, :6]) - correlation(rest[:, 6:]))))
    whole, alone = float(correlation(total[:6])), float(correlation(total[6:]))
    return whole, alone, whole - alone, max(errors)


def _largest_by_chance(read: Forecasts, leads: Mapping[str, _Leads], seed: int) -> float:
    """Return the largest z that groups drawn by lot among the forecasts of a week reach, over all shuffles."""
    rng = np.random.default_rng(seed)
    n = len(read.frame)
    # More rows make every z larger alike, so a sample will do.
    rows = np.sort(rng.permutation(n)[:SHUFFLED_ROWS])
    scale = np.sqrt(n / len(rows))
    week = read.frame["day"].to_numpy()[rows] // 7
    columns = np.stack(_columns(read))[:, rows]
    drawn = [(found, found.codes[rows]) for found in leads.values()]
    largest = 0.0
    for _ in range(SHUFFLES):
        mixed = columns[:, np.argsort(week + rng.random(len(rows)), kind="stable")]
        for found, codes in drawn:
            total = np.stack([np.bincount(codes, weights=each, minlength=found.count) for each in mixed], axis=-1)
            with np.errstate(divide="ignore", invalid="ignore"):
                lead = correlation(total) - correlation(total.sum(axis=0) - total)
                z = (lead / (scale * found.error))[found.kept]
            largest = max(largest, float(np.nanmax(z, initial=0.0)))
    return largest


def _stamping_days(frame: pd.DataFrame) -> frozenset[str]:
    """Name the sources of which nine in ten articles stand at one time of day: they stamp days."""
    stamps = utc_array(as_utc(frame["published_at"], what="forecasts, column published_at"))
    second = (stamps - stamps.astype("datetime64[D]")).astype("timedelta64[s]").astype(np.int64)
    counted = pd.DataFrame({"source": frame["source"], "second": second}).value_counts().groupby("source")
    share = counted.max() / counted.sum()
    return frozenset(map(str, share.index[share >= ONE_TIME]))


def _are(rows: pd.DataFrame, sources: frozenset[str]) -> np.ndarray:
    return np.asarray((rows["by"] == "source") & rows["group"].astype(str).isin(sources))


def _stories(words: Words) -> np.ndarray:
    """Give texts of the same words in the same order one number, shape (texts,); -1 to those of too few words."""
    # A sum of products of drawn numbers, modulo 2^64: two different texts share one in no archive of this world.
    rng = np.random.default_rng(0)
    of_word = rng.integers(1, 2**63, len(words.names), dtype=np.uint64)
    repost = words.among(["rt"])
    length = np.bincount(words.text[~repost[words.ids]], minlength=words.texts)
    of_place = rng.integers(1, 2**63, int(length.max(initial=0)) + 1, dtype=np.uint64) | np.uint64(1)
    sums = np.zeros(words.texts, dtype=np.uint64)
    for texts, own in words.blocks():
        ids = words.ids[own]
        ids, few = ids[~repost[ids]], length[texts]
        after = np.cumsum(few)
        place = np.arange(len(ids)) - np.repeat(after - few, few)
        ends = np.concatenate([[np.uint64(0)], np.cumsum(of_word[ids] * of_place[place], dtype=np.uint64)])
        sums[texts] = ends[after] - ends[after - few]
    return np.where(length >= FEWEST_WORDS, pd.factorize(sums)[0], -1)
