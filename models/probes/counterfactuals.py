"""Texts that say what did not happen: outcomes turned round, dates moved; a reader follows them, a memory does not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR
from types import MappingProxyType

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.probes.masking import DATE, check_texts

# Good on the left; each word stands in one pair only, so that turning a text round twice gives it back.
_PAIRS = (
    "beats/misses beat/missed beating/missing tops/trails topped/trailed exceeds/undershoots exceeded/undershot "
    "raises/cuts raised/cut raising/cutting lifts/trims lifted/trimmed rises/falls rose/fell rising/falling "
    "risen/fallen gains/drops gained/dropped gaining/dropping jumps/slumps jumped/slumped surges/plunges "
    "surged/plunged surging/plunging soars/sinks soared/sank soaring/sinking climbs/slides climbed/slid "
    "climbing/sliding rallies/tumbles rallied/tumbled rallying/tumbling rebounds/retreats rebounded/retreated "
    "grows/shrinks grew/shrank growing/shrinking growth/decline up/down upward/downward higher/lower high/low "
    "highs/lows highest/lowest above/below strong/weak stronger/weaker strength/weakness strongest/weakest "
    "better/worse best/worst good/bad positive/negative profit/loss profits/losses profitable/unprofitable "
    "success/failure succeeds/fails succeeded/failed wins/loses won/lost winning/losing approves/rejects "
    "approved/rejected approval/rejection increase/decrease increases/decreases increased/decreased "
    "increasing/decreasing improves/worsens improved/worsened improving/worsening improvement/deterioration "
    "expands/contracts expanded/contracted upgrade/downgrade upgrades/downgrades upgraded/downgraded "
    "outperform/underperform outperforms/underperforms bullish/bearish accelerates/slows accelerated/slowed "
    "optimistic/pessimistic optimism/pessimism favorable/unfavorable surplus/deficit hires/fires bull/bear "
    "bulls/bears"
)
OUTCOME_PAIRS: Mapping[str, str] = MappingProxyType(dict(pair.split("/") for pair in _PAIRS.split()))

_YEAR_INSIDE = re.compile(r"(?<!\d)(?:19[5-9]\d|20[0-4]\d)(?=\D|$)|(?<!\d)(?:19[5-9]\d|20[0-4]\d)(?=\d{4}(?!\d))")


@dataclass(frozen=True)
class Flipped:
    """Texts whose outcomes were turned round.

    Attributes
    ----------
    texts : list of str
    direction : ndarray of int, shape (n,)
        Which way the text was turned: the sum of +1 for each bad word made good and -1 for each good word made bad; 0
        where there was nothing to turn, or as much one way as the other.

    Examples
    --------
    >>> from embargo.models.probes import flip_outcomes
    >>> flip_outcomes(["Altera beats estimates", "Borcor fell and cut its outlook", "A call"]).direction.tolist()
    [-1, 2, 0]
    """

    texts: list[str]
    direction: np.ndarray


def flip_outcomes(texts: Sequence[str], pairs: Mapping[str, str] = OUTCOME_PAIRS) -> Flipped:
    """Turn round the words that say how something went: beats and misses, up and down, profit and loss.

    Parameters
    ----------
    texts : sequence of str
    pairs : mapping of str to str
        Good words and their opposites, in small letters; each word once. Words are found in any case and keep it.

    Returns
    -------
    Flipped

    Raises
    ------
    ConfigError
        If a word stands in two pairs.
    DataError
        If a row is no text.

    References
    ----------
    "Profit Mirage" (arXiv 2510.07920), for the question: a model that keeps its forecast when its input is turned round
    recites.

    Examples
    --------
    >>> from embargo.models.probes import flip_outcomes
    >>> flip_outcomes(["Altera Beats estimates; shares UP"]).texts
    ['Altera Misses estimates; shares DOWN']
    """
    check_texts(texts, "flip")
    opposite = dict(pairs) | {bad: good for good, bad in pairs.items()}
    if len(opposite) != 2 * len(pairs):
        raise ConfigError(
            "flip: a word stands in two pairs, so turning back would not give the text. Give each one pair."
        )
    if not pairs:
        raise ConfigError("flip: there are no pairs of words. Give some.")
    words = sorted(opposite, key=lambda word: (-len(word), word))
    pattern = re.compile(rf"(?<![\w'-])(?:{'|'.join(map(re.escape, words))})(?![\w'-])", re.IGNORECASE)
    turned, direction = [], np.zeros(len(texts), dtype=np.int64)
    for row, text in enumerate(texts):
        for found in pattern.findall(text):
            direction[row] += -1 if found.casefold() in pairs else 1
        turned.append(pattern.sub(lambda found: _cased(opposite[found.group(0).casefold()], found.group(0)), text))
    return Flipped(turned, direction)


def _cased(word: str, like: str) -> str:
    if like.isupper():
        return word.upper()
    return word.capitalize() if like[0].isupper() else word


def shift_dates(texts: Sequence[str], years: int) -> list[str]:
    """Move the years of all dates that texts write, by whole years.

    Parameters
    ----------
    texts : sequence of str
    years : int
        Not 0. Years of four digits from 1950 to 2049 are moved, alone or in a date; months and days stay.

    Returns
    -------
    list of str
        Texts without a year are as they were.

    Raises
    ------
    ConfigError
        If ``years`` is 0.
    DataError
        If a row is no text, or one of its years would leave the calendar, which has 1 to 9999.

    Examples
    --------
    >>> from embargo.models.probes import shift_dates
    >>> shift_dates(["Fined on 3 May 2017 and 2018-02-01 over 2021 shares", "Up 20.21"], -4)
    ['Fined on 3 May 2013 and 2014-02-01 over 2017 shares', 'Up 20.21']
    """
    if years == 0:
        raise ConfigError("dates: years must not be 0, which moves nothing. Give another number.")

    check_texts(texts, "dates")

    def shifted(row: int, text: str) -> str:
        def moved(year: re.Match[str]) -> str:
            found = int(year.group(0)) + years
            if not MINYEAR <= found <= MAXYEAR:
                raise DataError(
                    f"dates: row {row}: {year.group(0)} moved by {years} is the year {found}, which no calendar has. "
                    "Move by fewer years."
                )
            return f"{found:04d}"

        return DATE.sub(lambda date: _YEAR_INSIDE.sub(moved, date.group(0)), text)

    return [shifted(row, text) for row, text in enumerate(texts)]


def put_dates(texts: Sequence[str], at: pd.Series | pd.DatetimeIndex) -> list[str]:
    """Write a date before each text, true or false, for texts that name none.

    Parameters
    ----------
    texts : sequence of str, length n
    at : Series or DatetimeIndex, length n

    Returns
    -------
    list of str

    Raises
    ------
    DataError
        If lengths differ, or a row is no text.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.models.probes import put_dates
    >>> put_dates(["Profit rose."], pd.to_datetime(["2019-03-04"], utc=True))
    ['2019-03-04: Profit rose.']
    """
    check_texts(texts, "dates")
    instants = pd.DatetimeIndex(at)
    if len(texts) != len(instants):
        raise DataError(f"dates: {len(texts)} texts and {len(instants)} instants. Give one instant per text.")
    return [f"{instant:%Y-%m-%d}: {text}" for text, instant in zip(texts, instants, strict=True)]
