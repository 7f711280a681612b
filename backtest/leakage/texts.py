"""Texts that know what came of them: words that are too often right, moves stated or told before they happened.

An archive that was edited afterwards, or written with the answer at hand, looks like news with an edge. What gives it
away is that the edge sits in a few words, or in numbers that nobody could know yet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse
from scipy.special import ndtri

from embargo.backtest.arguments import check_n_boot, check_seed
from embargo.backtest.distributions import binomial_sf
from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import EVIDENCE_ROWS, AuditVerdict, evidence_rows, plain, require_columns
from embargo.backtest.leakage.memory.days import Forecasts, read_forecasts, resample
from embargo.backtest.leakage.memory.result import DOUBT, FEWEST_DAYS, Probe, ProbeResult
from embargo.backtest.leakage.tokens import Words

# Articles and days on which a word must stand before it is judged.
FEWEST_ARTICLES, FEWEST_WORD_DAYS = 20, 15
# Share of right sides that no word of honest daily news reaches, and what the best of it may be truly worth.
IMPLAUSIBLE, HONEST = 0.65, 0.55
# Level at which a word is doubted, before it is divided by the number of those that were looked at.
LEVEL = 0.001
# Excess of stated moves that came true, and its standard errors, from which nobody could have guessed them.
STATED_EXCESS, STATED_PROOF = 0.02, 5.0
# Share of told moves that came true from which nobody could have guessed them, at a level of one in a million.
TOLD_PROOF, TOLD_LEVEL = 0.80, 1e-6
# Bars away from the move in question that serve as placebo, to either side.
_PLACEBO_BARS = np.array([step for gap in range(3, 23) for step in (-gap, gap)])

_PERCENT = r"(\d{1,2}(?:\.\d{1,2})?)\s?(?:%|percent\b|per cent\b|pct\b)"
# Words that tell which way a price went, and those after which "higher" or "down" does.
_UP = frozenset((
    "rose", "jumped", "surged", "gained", "climbed", "soared", "rallied", "advanced", "rise", "rises", "jump",
    "jumps", "surges", "climbs", "soars", "rallies", "gains",
))  # fmt: skip
_DOWN = frozenset((
    "fell", "dropped", "slid", "tumbled", "plunged", "declined", "sank", "slumped", "falls", "drop", "drops",
    "slides", "tumbles", "plunges", "sinks", "slumps",
))  # fmt: skip
_ENDED = frozenset((
    "closed", "closes", "close", "ended", "ends", "finished", "finish", "finishes", "settled", "trades", "traded",
    "shares", "stock",
))  # fmt: skip
_WORDS = Probe(
    "S7",
    CHECKS["check_outcome_words"].title,
    "share of one sign after a word",
    "Read the texts that hold these words against their stamps: an archive that was edited, or written afterwards, "
    "must be dated by when it was last changed, or left out.",
)
_STATED = Probe(
    "D1",
    CHECKS["check_stated_moves"].title,
    "share of texts whose percentage the next move meets, beyond chance",
    "Date these texts by when they were last changed, or leave them out.",
)
_ECHO = Probe(
    "S9",
    CHECKS["check_price_echo"].title,
    "share of told moves on the side of the one that follows",
    "These texts tell the move they are traded on: date them by when they were written or last changed, which is "
    "after that move.",
)


def check_outcome_words(articles: pd.DataFrame, *, words: Words | None = None, seed: int = 0) -> ProbeResult:
    """Look for words, and pairs of words, whose texts are right about the next move too often (S7).

    A word, or two in a row, in 20 texts or more that spread like as many on each of 15 days or more is doubted when the
    return that follows has the same sign in 65 % of them or more, at a level of 0.1 % shared among all words looked at:
    by errors clustered by day, and by the binomial tail of as many days of a word that is right in 55 %. The best
    documented daily news is right in 51 to 55 %.

    Silent on: outcomes told in ever other words, and moves that news of one kind really makes, which look the same.

    Parameters
    ----------
    articles : DataFrame
        One row per article: ``at`` (UTC, the opening of the bar whose return is earned), ``text`` and ``earned``
        (return from that opening on, as a fraction).
    words : Words, optional
        Of the texts, where they have been made already.
    seed : int
        Draws the texts where there are too many to read.

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
    >>> from embargo.backtest.leakage import check_outcome_words
    >>> earned = np.random.default_rng(0).normal(0.0, 0.02, 600)
    >>> told = np.where(np.arange(600) % 4, "Acme in the news", np.where(earned > 0, "Acme to jump", "Acme to slide"))
    >>> frame = pd.DataFrame({"at": pd.date_range("2020-01-01", periods=600, tz="UTC"), "text": told, "earned": earned})
    >>> check_outcome_words(frame).verdict, check_outcome_words(frame.assign(text="Acme in the news")).verdict
    ('suspicious', 'pass')
    """
    check_seed(seed)
    require_columns(articles, ("text",), where="texts")
    read = read_forecasts(_numbered(articles, "at", "earned"), ["earned"], where="texts")
    words = words or Words.of(articles["text"])
    number = read.frame["#"].to_numpy()
    side = np.sign(read.frame["earned"].to_numpy(dtype=float))
    moved = np.flatnonzero(side)
    rows = moved[words.drawn(number[moved], seed)]
    held = words.rows(number[rows])
    side, day = side[rows], read.frame["day"].to_numpy()[rows]
    terms, holds = held.frequent(FEWEST_ARTICLES)
    # One entry for each word and day: texts that hold the word, and the sum of the signs that followed them.
    shape = (terms.shape[1], read.days)
    entries = holds.tocoo()
    texts = sparse.coo_matrix((entries.data.astype(float), (entries.col, day[entries.row])), shape=shape).tocsr()
    signs = sparse.coo_matrix((side[entries.row], (entries.col, day[entries.row])), shape=shape).tocsr()
    n, total = (np.asarray(each.sum(axis=1)).ravel() for each in (texts, signs))
    # Days that are alike count fully, and one day with most of the texts counts as little more than one.
    days = n**2 / np.maximum(np.asarray(texts.power(2).sum(axis=1)).ravel(), 1.0)
    kept = np.flatnonzero((n >= FEWEST_ARTICLES) & (days >= FEWEST_WORD_DAYS))
    figures = {"articles": float(len(side)), "words": float(len(kept)), "doubted": 0.0}
    if not len(kept):
        spread = f"{FEWEST_ARTICLES} texts spread over {FEWEST_WORD_DAYS} days"
        said = f"None of the words of {len(side)} texts stands in {spread}."
        return _WORDS.unproven(said, figures)
    mean = total / np.maximum(n, 1.0)
    # A day's pull on the mean of the signs after a word.
    of = np.repeat(np.arange(shape[0]), np.diff(texts.indptr))
    error = np.sqrt(np.bincount(of, (signs.data - texts.data * mean[of]) ** 2, minlength=shape[0]))[kept] / n[kept]
    n, days, mean, usual = n[kept], days[kept], mean[kept], float(side.mean())
    z = np.abs(mean - usual) / np.maximum(error, 0.5 / n)
    right = 0.5 + 0.5 * np.abs(mean)
    level = LEVEL / (2.0 * len(kept))
    doubted = (right >= IMPLAUSIBLE) & (z >= -ndtri(level))
    # A market that mostly rose makes every word right about rises: what the other texts show is no merit of a word.
    others = (side.sum() - mean * n) / np.maximum(len(side) - n, FEWEST_ARTICLES)
    doubted &= _tail(right, days, np.maximum(HONEST, 0.5 + 0.5 * np.abs(others))) <= level
    figures["doubted"] = float(doubted.sum())
    judged = doubted if doubted.any() else z >= DOUBT
    effect = float(right[judged].max()) if judged.any() else None
    sample = f" {len(side)} of {len(moved)} texts were read, drawn at random." if len(rows) < len(moved) else ""
    said = (
        f"Of {len(kept)} words and pairs of words in {len(side)} texts, {int(doubted.sum())} are followed by one sign "
        f"in {IMPLAUSIBLE:.0%} of cases or more, beyond chance (z of {-ndtri(level):.1f}){read.aside()}.{sample}"
    )
    if not doubted.any():
        return _WORDS.answer("pass", said, effect, None, figures)
    order = np.flatnonzero(doubted)[np.lexsort((-n[doubted], -right[doubted]))][:EVIDENCE_ROWS]
    evidence = []
    for place in order:
        first = articles.iloc[number[rows[int(holds[:, kept[place]].nonzero()[0][0])]]]
        evidence.append(
            {
                "words": held.name(terms[:, kept[place]]),
                "texts": int(n[place]),
                "share_of_one_sign": plain(right[place]),
                "sign": "up" if mean[place] > 0 else "down",
                "z": plain(z[place]),
                **({"first_article": plain(first["article_id"])} if "article_id" in first else {}),
                "first_text": str(first["text"])[:160],
            }
        )
    return _WORDS.answer("suspicious", said, effect, None, figures, evidence)


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
    >>> from embargo.backtest.leakage import check_stated_moves
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
    met, chance = _met(read)
    known = np.isfinite(chance)
    days = len(np.unique(read.frame["day"].to_numpy()[known]))
    figures = {"stating": float(known.sum()), "days": float(days)}
    if days < FEWEST_DAYS:
        said = f"Texts of {days} days state a percentage; {FEWEST_DAYS} are needed."
        return _STATED.unproven(said, figures) if days else _STATED.unasked(said, figures)
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
        return _STATED.answer("pass", said, excess.value, interval, figures)
    shown = [name for name in ("article_id", "symbol", "at", "text", "earned") if name in read.frame]
    evidence = evidence_rows(read.frame.loc[known & (met > 0.0), shown])
    return _STATED.answer(verdict, said, excess.value, interval, figures, evidence)


@dataclass(frozen=True)
class _Told:
    """How often the moves that texts tell have the side of another one, and as many days as they are worth."""

    texts: int
    days: float
    share: float

    def likely(self, base: float) -> float:
        """How likely so many right days are where each is right with a probability."""
        return float(_tail(np.array(self.share), np.array(self.days), base))

    @property
    def doubted(self) -> bool:
        """Whether news that is right in 55 % is right so often once in two thousand archives."""
        return self.days >= FEWEST_WORD_DAYS and self.share >= IMPLAUSIBLE and self.likely(HONEST) <= 0.5 * LEVEL


def check_price_echo(articles: pd.DataFrame, *, words: Words | None = None) -> ProbeResult:
    """Compare the moves that texts tell ("shares fell") with the move before them and with the one that follows (S9).

    News tells what has happened, so its side is that of the move before; the one that follows is open. Told moves that
    have the side of the following one in 65 % of cases or more are doubted (level 0.05 %, by the binomial tail of as
    many days of news that is right in 55 %); in 80 % or more, beyond 65 % at a level of one in a million, they are a
    leak: what is told is the very move that is traded.

    Silent on: moves told in other words than some fifty verbs, and texts that tell both sides.

    Parameters
    ----------
    articles : DataFrame
        One row per article: ``at`` (UTC, the opening of the bar whose return is earned), ``text``, ``earned`` (return
        from that opening on, as a fraction) and, if it is to be named, ``before`` (return up to that opening).
    words : Words, optional
        Of the texts, where they have been made already.

    Returns
    -------
    ProbeResult
        ``effect`` is the share of told moves that have the side of the one that follows; ``figures`` hold ``telling``
        (texts), ``days``, ``next`` and ``before`` (shares).

    Raises
    ------
    DataError
        If columns are missing or instants are naive.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_price_echo
    >>> move = np.random.default_rng(0).normal(0.0, 0.02, 301)
    >>> told = np.where(move > 0.0, "Acme shares rose", "Acme shares fell")
    >>> frame = pd.DataFrame({"at": pd.date_range("2020-01-01", periods=300, tz="UTC"), "earned": move[1:]})
    >>> late, early = frame.assign(text=told[:-1]), frame.assign(text=told[1:])
    >>> check_price_echo(late).verdict, check_price_echo(early).verdict
    ('pass', 'leak')
    """
    require_columns(articles, ("text",), where="texts")
    read = read_forecasts(_numbered(articles, "at", "earned", "before"), ["earned"], where="texts")
    number = read.frame["#"].to_numpy()
    direction = _directions(words or Words.of(articles["text"]))[number]
    ahead, behind, against = _told(read, direction, read.frame["earned"]), None, None
    if "before" in read.frame:
        behind = _told(read, direction, read.frame["before"])
        contradicted = direction * np.nan_to_num(read.frame["before"].to_numpy(dtype=float)) < 0.0
        against = _told(read, np.where(contradicted, direction, 0.0), read.frame["earned"])
    figures = {"telling": float(ahead.texts), "days": ahead.days, "next": ahead.share}
    if ahead.days < FEWEST_DAYS:
        said = (
            f"{ahead.texts} texts, worth {ahead.days:.0f} days, tell which way a price moved; {FEWEST_DAYS} are needed."
        )
        return _ECHO.unproven(said, figures) if ahead.texts else _ECHO.unasked(said, figures)
    said = (
        f"{ahead.share:.1%} of {ahead.texts} moves that texts tell (worth {ahead.days:.0f} days) have the side of the "
        f"move that follows"
    )
    if behind is not None and behind.texts:
        figures["before"] = behind.share
        said += f", {behind.share:.1%} that of the bar before"
    if against is not None and against.texts:
        figures |= {"against": against.share, "days_against": against.days}
        said += f"; so have {against.share:.1%} of the {against.texts} that the bar before contradicts"
    said += f"{read.aside()}."
    spread = 1.96 * np.sqrt(ahead.share * (1.0 - ahead.share) / ahead.days)
    interval = (max(ahead.share - spread, 0.0), min(ahead.share + spread, 1.0))
    if ahead.share >= TOLD_PROOF and ahead.likely(IMPLAUSIBLE) <= TOLD_LEVEL:
        verdict: AuditVerdict = "leak"
    elif any(each is not None and each.doubted for each in (ahead, against)):
        verdict = "suspicious"
    else:
        return _ECHO.answer("pass", said, ahead.share, interval, figures)
    right = direction * np.sign(read.frame["earned"].to_numpy(dtype=float)) > 0.0
    shown = [name for name in ("article_id", "symbol", "at", "text", "before", "earned") if name in articles]
    evidence = evidence_rows(articles.iloc[number[right]][shown])
    return _ECHO.answer(verdict, said, ahead.share, interval, figures, evidence)


def _numbered(articles: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Take some columns and give each row its position, by which its words are found when rows are sorted."""
    return articles[[name for name in columns if name in articles]].assign(**{"#": np.arange(len(articles))})


def _tail(share: np.ndarray, days: np.ndarray, base: float | np.ndarray) -> np.ndarray:
    """How likely so many right days of so many are where each is right with a probability; days are rounded down."""
    count = np.floor(days)
    return np.asarray(binomial_sf(np.floor(share * count + 1e-9) - 1.0, count, base))


def _directions(words: Words) -> np.ndarray:
    """Side of the move that each text tells, shape (texts,): 1, -1, or 0 for none or for both."""
    sign = words.among(_UP).astype(np.int8) - words.among(_DOWN)
    told = sign[words.ids]
    ended = words.among(_ENDED)[words.ids]
    after = words.among(["up", "higher"]).astype(np.int8) - words.among(["down", "lower"])
    follows = np.flatnonzero(ended[:-1] & (words.text[1:] == words.text[:-1])) + 1
    told[follows] += after[words.ids[follows]]
    up, down = (np.bincount(words.text[told * side > 0], minlength=words.texts) > 0 for side in (1, -1))
    return np.asarray(up.astype(float) - down.astype(float))


def _told(read: Forecasts, direction: np.ndarray, move: pd.Series) -> _Told:
    """Hold told moves against others."""
    agrees = direction * np.sign(np.nan_to_num(move.to_numpy(dtype=float)))
    telling = agrees != 0.0
    if not telling.any():
        return _Told(0, 0.0, float("nan"))
    texts = np.bincount(read.frame["day"].to_numpy()[telling], minlength=read.days)
    n = int(texts.sum())
    return _Told(n, float(n**2 / (texts**2).sum()), float((agrees[telling] > 0.0).mean()))


def _met(read: Forecasts) -> tuple[np.ndarray, np.ndarray]:
    """Whether a percentage of each text is that of the move that follows, and of what share of moves at other times.

    Both of shape (n,); the second is NaN where a text states none, or there are no other moves.
    """
    frame = read.frame
    met, chance = np.zeros(len(frame)), np.full(len(frame), np.nan)
    letters = pa.array(frame["text"], pa.large_string())
    marked = pc.match_substring_regex(letters, r"(?i)\d\s?(?:%|percent|per cent|pct)").to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(marked)
    if not len(rows):
        return met, chance
    numbers = frame["text"].iloc[rows].astype(object).str.extractall(rf"(?i)(?<![\d.,]){_PERCENT}")
    if numbers.empty:
        return met, chance
    text = numbers[0].astype(str)
    row = rows[numbers.index.get_level_values(0).map(dict(zip(frame.index[rows], range(len(rows)), strict=True)))]
    value = text.astype(float).to_numpy()
    half = 0.5 * 10.0 ** -text.str.partition(".")[2].str.len().to_numpy(dtype=float)
    symbol, bar = pd.factorize(frame["symbol"])[0], pd.factorize(frame["at"], sort=True)[0]
    # Each symbol's moves, in order of the bars that it has news of; between two symbols nothing meets.
    width = int(bar.max()) + 1
    keys, first, place = np.unique(symbol * np.int64(width) + bar, return_index=True, return_inverse=True)
    moves = np.abs(100.0 * frame["earned"].to_numpy(dtype=float)[first])
    own = place[row]
    other = own[:, None] + _PLACEBO_BARS
    inside = (other >= 0) & (other < len(moves))
    other = np.where(inside, other, 0)
    inside &= keys[other] // width == (keys[own] // width)[:, None]
    fits = [
        (np.abs(moves[at] - value[:, None]) <= half[:, None] + 1e-9) & (value > 0.0)[:, None]
        for at in (own[:, None], other)
    ]
    # A text that states several numbers is met if one of them is.
    stating, of = np.unique(row, return_inverse=True)
    any_of = [np.logical_or.reduceat(each, np.flatnonzero(np.diff(of, prepend=-1))) for each in fits]
    there = np.zeros_like(any_of[1])
    there[of] = inside
    met[stating] = any_of[0][:, 0]
    count = there.sum(axis=1)
    with np.errstate(invalid="ignore"):
        chance[stating] = np.where(count > 0, (any_of[1] & there).sum(axis=1) / np.maximum(count, 1), np.nan)
    return met, chance
