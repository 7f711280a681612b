"""Texts that know what came of them: moves stated before they happened, words that are too often right, one source.

An archive that was edited afterwards, or written with the answer at hand, looks like news with an edge. What gives it
away is that the edge sits in a few words, in numbers that nobody could know yet, or in one source, hour or weekday.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.stats import norm

from embargo.backtest.arguments import check_n_boot, check_seed
from embargo.backtest.leakage.findings import EVIDENCE_ROWS, AuditVerdict, evidence_rows, plain, require_columns
from embargo.backtest.leakage.memory.days import correlation, products, read_forecasts, resample
from embargo.backtest.leakage.memory.result import DOUBT, FEWEST_DAYS, ProbeResult
from embargo.data_loaders.checks.repeats import normalise_text

# Articles and days on which a word must stand before it is judged.
FEWEST_ARTICLES, FEWEST_WORD_DAYS = 40, 25
# Share of right sides that no word of honest daily news reaches.
IMPLAUSIBLE = 0.65
# Level at which a word, or a group, is doubted, before it is divided by the number of those that were looked at.
LEVEL = 0.002
# Excess of stated moves that came true, and its standard errors, from which nobody could have guessed them.
STATED_EXCESS, STATED_PROOF = 0.02, 5.0
# Lead of a group's information coefficient over the rest's that is worth a look.
CONCENTRATION = 0.10
# Bars away from the move in question that serve as placebo, to either side.
_PLACEBO_BARS = range(3, 23)

_PERCENT = re.compile(r"(?<![\d.,])(\d{1,2}(?:\.\d{1,2})?)\s?(?:%|percent\b|per cent\b|pct\b)", re.IGNORECASE)
_WORDS_TITLE = "No word is right too often about what follows"
_STATED_TITLE = "Texts do not state moves before they happen"
_CONCENTRATED_TITLE = "The forecasts' worth does not come from one source, hour or weekday"


def check_outcome_words(articles: pd.DataFrame) -> ProbeResult:
    """Look for words, and pairs of words, whose texts are right about the next move too often (S7, D1).

    A word, or two in a row, in 40 texts or more that spread like as many on each of 25 days or more is doubted when the
    return that follows has the same sign in 65 % of them or more, at a level of 0.2 % shared among all words looked at,
    errors clustered by day. The best documented daily news is right in 51 to 55 %.

    Silent on: outcomes told in ever other words, and moves that news of one kind really makes, which look the same.

    Parameters
    ----------
    articles : DataFrame
        One row per article: ``at`` (UTC, the opening of the bar whose return is earned), ``text`` and ``earned``
        (return from that opening on, as a fraction).

    Returns
    -------
    ProbeResult
        ``effect`` is the largest share of one sign after a word that is doubted, or else after any word that was looked
        at with 3.5 standard errors. ``figures`` hold ``words``, ``doubted`` and ``articles``.

    Raises
    ------
    DataError
        If columns are missing or instants are naive.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage.texts import check_outcome_words
    >>> earned = np.random.default_rng(0).normal(0.0, 0.02, 600)
    >>> told = np.where(np.arange(600) % 4, "Acme in the news", np.where(earned > 0, "Acme to jump", "Acme to slide"))
    >>> frame = pd.DataFrame({"at": pd.date_range("2020-01-01", periods=600, tz="UTC"), "text": told, "earned": earned})
    >>> check_outcome_words(frame).verdict, check_outcome_words(frame.assign(text="Acme in the news")).verdict
    ('suspicious', 'pass')
    """
    require_columns(articles, ("text",), where="texts")
    read = read_forecasts(articles, ["earned"], where="texts")
    side = np.sign(read.frame["earned"].to_numpy(dtype=float))
    unit = "share of one sign after a word"
    moved = side != 0.0
    frame, side = read.frame[moved], side[moved]
    words, holds = _vocabulary(frame["text"].tolist())
    day = sparse.csr_matrix((np.ones(len(side)), (frame["day"], np.arange(len(side)))), shape=(read.days, len(side)))
    counts = np.asarray(holds.sum(axis=0)).ravel()
    # Days that are alike count fully, and one day with most of the texts counts as little more than one.
    squares = np.asarray((day @ holds).power(2).sum(axis=0)).ravel()
    days = counts**2 / np.maximum(squares, 1.0)
    kept = np.flatnonzero((counts >= FEWEST_ARTICLES) & (days >= FEWEST_WORD_DAYS))
    figures = {"articles": float(len(side)), "words": float(len(kept)), "doubted": 0.0}
    if not len(kept):
        spread = f"{FEWEST_ARTICLES} texts spread over {FEWEST_WORD_DAYS} days"
        said = f"None of the words of {len(side)} texts stands in {spread}."
        return ProbeResult("S7", "inconclusive", _WORDS_TITLE, said, unit=unit, figures=figures)
    held, n = holds[:, kept], counts[kept]
    mean = np.asarray(held.T @ side).ravel() / n
    # A day's pull on the mean of the signs after a word.
    pull = (day @ held.multiply(side[:, None])).toarray() - (day @ held).toarray() * mean
    error = np.sqrt((pull**2).sum(axis=0)) / n
    usual = float(side.mean())
    z = np.abs(mean - usual) / np.maximum(error, 0.5 / n)
    right = 0.5 + 0.5 * np.abs(mean)
    needed = float(norm.isf(LEVEL / (2.0 * len(kept))))
    doubted = (right >= IMPLAUSIBLE) & (z >= needed)
    figures["doubted"] = float(doubted.sum())
    judged = doubted if doubted.any() else z >= DOUBT
    effect = float(right[judged].max()) if judged.any() else None
    said = (
        f"Of {len(kept)} words and pairs of words in {len(side)} texts, {int(doubted.sum())} are followed by one sign "
        f"in {IMPLAUSIBLE:.0%} of cases or more, beyond chance (z of {needed:.1f}){read.aside()}."
    )
    if not doubted.any():
        return ProbeResult("S7", "pass", _WORDS_TITLE, said, effect, None, unit, figures)
    order = np.flatnonzero(doubted)[np.lexsort((-n[doubted], -right[doubted]))][:EVIDENCE_ROWS]
    evidence = [
        {
            "words": words[kept[place]],
            "texts": int(n[place]),
            "share_of_one_sign": plain(right[place]),
            "sign": "up" if mean[place] > 0 else "down",
            "z": plain(z[place]),
            "first_text": str(frame["text"].iloc[int(held[:, place].nonzero()[0][0])])[:160],
        }
        for place in order
    ]
    return ProbeResult(
        "S7", "suspicious", _WORDS_TITLE, said, effect, None, unit, figures, evidence,
        "Read the texts that hold these words against their stamps: an archive that was edited, or written afterwards, "
        "must be dated by when it was last changed, or left out.",
    )  # fmt: skip


def check_stated_moves(articles: pd.DataFrame, *, n_boot: int = 1000, seed: int = 0) -> ProbeResult:
    """Compare percentages that texts state with the move that follows, and with moves at other times (D1).

    A number in a text is met by some move by chance; how often is seen from the same symbol's moves 3 to 22 bars away.
    Met more often by the very move that follows: 2 points and 5 standard errors are a leak, 3.5 standard errors
    suspicious.

    Silent on: moves told in words, and rounded to whole percents among so many that chance meets them all.

    Parameters
    ----------
    articles : DataFrame
        One row per article: ``at`` (UTC, the opening of the bar whose return is earned), ``symbol``, ``text`` and
        ``earned`` (return from that opening on, as a fraction).
    n_boot : int
        Resamples of the days, at least 100.
    seed : int
        Of the resamples.

    Returns
    -------
    ProbeResult
        ``effect`` is the share of texts with a percentage that is met by the move that follows less that met by moves
        at other times; ``figures`` hold ``met``, ``met_by_chance``, ``stating`` (texts), ``days`` and ``z``.

    Raises
    ------
    DataError
        If columns are missing or instants are naive.
    ConfigError
        If a setting is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage.texts import check_stated_moves
    >>> at, earned = pd.date_range("2020-01-01", periods=300, tz="UTC"), np.random.default_rng(0).normal(0.0, 0.02, 300)
    >>> texts = [f"A moved {abs(x):.1%}" for x in earned]
    >>> frame = pd.DataFrame({"at": at, "symbol": "A", "text": texts, "earned": earned})
    >>> check_stated_moves(frame).verdict, check_stated_moves(frame.assign(earned=earned[::-1])).verdict
    ('leak', 'pass')
    """
    check_n_boot(n_boot)
    check_seed(seed)
    require_columns(articles, ("symbol", "text"), where="texts")
    read = read_forecasts(articles, ["earned"], where="texts")
    unit = "share of texts whose percentage the next move meets, beyond chance"
    stated = [_PERCENT.findall(str(text)) for text in read.frame["text"]]
    stating = np.array([bool(numbers) for numbers in stated], dtype=bool)
    met, chance = np.zeros(len(stated)), np.zeros(len(stated))
    for members in read.frame.groupby("symbol", sort=True).indices.values():
        rows = np.asarray(members, dtype=np.int64)
        bars, bar = np.unique(read.frame["at"].to_numpy()[rows], return_index=True)
        moves = np.abs(100.0 * read.frame["earned"].to_numpy()[rows[bar]])
        place = np.searchsorted(bars, read.frame["at"].to_numpy()[rows])
        for row, own in zip(rows[stating[rows]], place[stating[rows]], strict=True):
            met[row] = _meets(stated[row], moves[own : own + 1])
            away = [own + step for gap in _PLACEBO_BARS for step in (-gap, gap) if 0 <= own + step < len(moves)]
            chance[row] = _meets(stated[row], moves[away]) if away else np.nan
    known = stating & np.isfinite(chance)
    days = len(np.unique(read.frame["day"].to_numpy()[known]))
    figures = {"stating": float(known.sum()), "days": float(days)}
    if days < FEWEST_DAYS:
        said = f"Texts of {days} days state a percentage; {FEWEST_DAYS} are needed."
        return ProbeResult(
            "D1", "inconclusive" if days else "not-applicable", _STATED_TITLE, said, unit=unit, figures=figures
        )
    excess = resample(
        read.sums(known.astype(float), np.where(known, met - np.nan_to_num(chance), 0.0)),
        lambda sums: sums[..., 1] / np.where(sums[..., 0] > 0.0, sums[..., 0], np.nan),
        n_boot=n_boot,
        seed=seed,
    )
    figures |= {"met": float(met[known].mean()), "met_by_chance": float(chance[known].mean()), "z": excess.z}
    said = (
        f"{figures['met']:.1%} of {int(known.sum())} texts that state a percentage are met by the move that follows, "
        f"{figures['met_by_chance']:.1%} by moves at other times{read.aside()}."
    )
    interval = excess.interval(0.95)
    # Without variation there is no error to divide by.
    sure = excess.value > 0.0 and excess.value >= STATED_PROOF * excess.error
    if sure and excess.value >= STATED_EXCESS:
        verdict: AuditVerdict = "leak"
    elif excess.value > 0.0 and excess.value >= DOUBT * excess.error:
        verdict = "suspicious"
    else:
        return ProbeResult("D1", "pass", _STATED_TITLE, said, excess.value, interval, unit, figures)
    shown = [name for name in ("article_id", "symbol", "at", "text", "earned") if name in read.frame]
    return ProbeResult(
        "D1", verdict, _STATED_TITLE, said, excess.value, interval, unit, figures,
        evidence_rows(read.frame.loc[known & (met > 0.0), shown]),
        "Date these texts by when they were last changed, or leave them out.",
    )  # fmt: skip


def check_concentration(
    forecasts: pd.DataFrame, by: tuple[str, ...] = ("source", "hour", "weekday"), *, n_boot: int = 1000, seed: int = 0
) -> ProbeResult:
    """Name a single source, hour or weekday that carries the forecasts' worth (D1, T5).

    A group is doubted when its information coefficient exceeds that of all other forecasts by 0.10, at a level of
    0.2 % shared among all groups looked at (days resampled in blocks, both sides together), and the others keep less
    than half of the whole's.

    Silent on: groups of fewer than 40 days, and a source that really is better, which looks the same.

    Parameters
    ----------
    forecasts : DataFrame
        One row per article: ``at`` (UTC, the opening of the bar whose return is earned), ``score`` (signed), ``earned``
        (fraction) and the columns of ``by``.
    by : tuple of str
        Columns whose values name groups.
    n_boot : int
        Resamples of the days, at least 100.
    seed : int
        Of the resamples.

    Returns
    -------
    ProbeResult
        ``effect`` is the largest lead of a group over the rest; ``figures`` hold ``ic``, ``groups``, and
        ``ic_without``, what is left without that group.

    Raises
    ------
    DataError
        If columns are missing or instants are naive.
    ConfigError
        If a setting is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage.texts import check_concentration
    >>> rng, at = np.random.default_rng(0), pd.date_range("2020-01-01", periods=400, tz="UTC")
    >>> earned, source = rng.normal(size=400), np.array(["a", "b", "c", "d"] * 100)
    >>> score = rng.normal(size=400) + np.where(source == "c", earned, 0.0)
    >>> frame = pd.DataFrame({"at": at, "score": score, "earned": earned, "source": source})
    >>> found = check_concentration(frame, by=("source",))
    >>> found.verdict, found.evidence[0]["group"]
    ('suspicious', 'c')
    """
    check_n_boot(n_boot)
    check_seed(seed)
    require_columns(forecasts, by, where="forecasts by group")
    read = read_forecasts(forecasts, ["earned", "score"], where="forecasts by group")
    unit = "information coefficient of a group less that of the rest"
    columns = products(read.frame["score"].to_numpy(dtype=float), read.frame["rank"].to_numpy())
    day = read.frame["day"].to_numpy()
    whole = float(correlation(read.sums(*columns).sum(axis=0))) if read.days else float("nan")
    rows = []
    for name in by:
        for group, members in read.frame.groupby(name, sort=True).indices.items():
            inside = np.zeros(len(day), dtype=bool)
            inside[members] = True
            if min(len(np.unique(day[inside])), len(np.unique(day[~inside]))) < FEWEST_DAYS:
                continue
            sums = read.sums(*(column * part for part in (inside, ~inside) for column in columns))
            lead = resample(sums, lambda s: correlation(s[..., :6]) - correlation(s[..., 6:]), n_boot=n_boot, seed=seed)
            total = sums.sum(axis=0)
            rows.append(
                {
                    "by": name,
                    "group": plain(group),
                    "forecasts": int(inside.sum()),
                    "ic": float(correlation(total[:6])),
                    "ic_without": float(correlation(total[6:])),
                    "lead": lead.value,
                    "z": lead.z,
                }
            )
    figures = {"ic": whole, "groups": float(len(rows))}
    if not rows:
        said = f"No value of {', '.join(by)} has {FEWEST_DAYS} days inside and outside it."
        return ProbeResult("D1", "not-applicable", _CONCENTRATED_TITLE, said, unit=unit, figures=figures)
    needed = float(norm.isf(LEVEL / len(rows)))
    table = pd.DataFrame(rows).sort_values("z", ascending=False, kind="stable")
    carries = (table["z"] >= needed) & (table["lead"] >= CONCENTRATION) & (table["ic_without"] < 0.5 * whole)
    first = table[carries].iloc[0] if carries.any() else table.iloc[0]
    figures["ic_without"] = float(first["ic_without"])
    said = (
        f"Information coefficient {whole:.3f}; {first['by']} {first['group']} has {first['ic']:.3f} on "
        f"{int(first['forecasts'])} forecasts, the rest {first['ic_without']:.3f} (z {first['z']:.1f}, the largest of "
        f"{len(rows)} groups; {needed:.1f} would be doubted){read.aside()}."
    )
    evidence = evidence_rows(table)
    if carries.any():
        return ProbeResult(
            "D1", "suspicious", _CONCENTRATED_TITLE, said, float(first["lead"]), None, unit, figures,
            evidence_rows(table[carries]),
            "Compare the stamps and the wording of that group with another source; leave it out and judge again.",
        )  # fmt: skip
    return ProbeResult("D1", "pass", _CONCENTRATED_TITLE, said, float(first["lead"]), None, unit, figures, evidence)


def _vocabulary(texts: list[str]) -> tuple[list[str], sparse.csr_matrix]:
    """Return words and pairs of words in enough texts, and which text holds which, shape (texts, words)."""
    held = []
    for text in texts:
        words = normalise_text(str(text)).split()
        held.append({*words, *(f"{first} {second}" for first, second in pairwise(words))})
    counts = Counter(word for words in held for word in words)
    place = {word: number for number, word in enumerate(sorted(w for w, n in counts.items() if n >= FEWEST_ARTICLES))}
    rows = [(row, place[word]) for row, words in enumerate(held) for word in words if word in place]
    row, column = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    shape = (len(texts), len(place))
    return list(place), sparse.csr_matrix((np.ones(len(row)), (row, column)), shape=shape)


def _meets(numbers: list[str], moves: np.ndarray) -> float:
    """Share of moves (percent) that round to one of the numbers as it was written; 0 is no move."""
    met = np.zeros(len(moves), dtype=bool)
    for number in numbers:
        half = 0.5 * 10.0 ** -len(number.partition(".")[2])
        met |= (np.abs(moves - float(number)) <= half + 1e-9) & (float(number) > 0.0)
    return float(met.mean())
