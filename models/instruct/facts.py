"""Facts that stand in a financial text, found by fixed rules: amounts, percentages, dates, names and a direction.

A rule answers only where the text leaves one answer: two percentages are two answers to "by how much", and then none
is given. Every fact but the direction is a span of the text, so that whoever learns it learns to read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from embargo.models.evaluation.numbers import quantities

# More figures than this are a table, and reading them out is copying.
MOST_FIGURES = 5


@dataclass(frozen=True)
class Fact:
    """An answer that a text gives.

    Attributes
    ----------
    ask : str
        What it answers: a key of `RULES`.
    answer : str
    end : int
        Characters of the text, from its start, after which the answer is complete.

    Examples
    --------
    >>> from embargo.models.instruct import Fact
    >>> Fact("by-how-much", "5 %", 18).answer
    '5 %'
    """

    ask: str
    answer: str
    end: int


_MONEY = re.compile(
    r"(?:(?:EUR|USD|GBP|CHF|SEK|NOK|DKK|JPY)\s?|[$€£¥]\s?)\d[\d.,]*\d?(?:\s?(?:thousand|million|billion|trillion|mln|mn|bln|bn|tn|[kmb])\b)?"
)
_PERCENT = re.compile(r"[-−+]?\d+(?:[.,]\d+)?(?:\s?%|\s(?:percent|per cent|pct|percentage points?)\b)")
_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)"
)
_WHEN = re.compile(
    rf"\b(?:{_MONTH}\.?\s\d{{1,2}}(?:,\s\d{{4}})?|\d{{1,2}}\s{_MONTH}(?:\s\d{{4}})?|{_MONTH}\s\d{{4}}"
    r"|Q[1-4](?:\s\d{4})?|(?:first|second|third|fourth)\s(?:quarter|half)(?:\sof\s\d{4})?|half year"
    r"|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day)\b"
)
_WORD = r"[A-Z][\w&'’-]*"
_TITLE = (
    r"(?:CEO|CFO|COO|CTO|chair(?:man|woman)?|president|treasurer|chief executive(?: officer)?"
    r"|chief financial officer|finance director)"
)
_PERSON = (
    re.compile(rf"\b(?:{_TITLE})\s((?:{_WORD})\s(?:{_WORD}))"),
    re.compile(rf"((?:{_WORD})\s(?:{_WORD})),\s(?:the\s)?(?:{_TITLE})\b"),
)
_COMPANY = (
    re.compile(rf"((?:{_WORD})(?:\s(?:{_WORD})){{0,3}})\s\([A-Z][A-Z0-9.:]{{0,11}}\)"),
    re.compile(
        rf"((?:{_WORD}\s){{1,4}}(?:Inc|Corp|Corporation|Ltd|Limited|plc|PLC|AG|SA|SE|Oyj|AB|NV|Group|Holdings)\b)"
    ),
    re.compile(
        rf"^((?:{_WORD})(?:\s(?:{_WORD})){{0,3}})(?:'s|’s)?\s"
        r"(?:said|says|reports?|reported|posts?|posted|raises?|raised|cuts?|trims?|misses|beats|names?|appoints?|sells?"
        r"|buys?|files?|holds?|schedules?|delays?|rose|fell|gains?|gained|drops?|dropped|climbed|slid|lost|won|wins)\b"
    ),
)
_UP = re.compile(
    r"\b(?:rose|rises?|risen|grew|grows?|grown|gain(?:s|ed)?|climb(?:s|ed)?|increas(?:e|es|ed)|jump(?:s|ed)?"
    r"|surg(?:e|es|ed)|soar(?:s|ed)?|improv(?:e|es|ed)|rall(?:y|ies|ied)|rebound(?:s|ed)?|up)\b",
    re.IGNORECASE,
)
_DOWN = re.compile(
    r"\b(?:fell|falls?|fallen|declin(?:e|es|ed)|drop(?:s|ped)?|decreas(?:e|es|ed)|slump(?:s|ed)?|slid(?:e|es)?"
    r"|plung(?:e|es|ed)|sank|sinks?|shrank|shrinks?|tumbl(?:e|es|ed)|weaken(?:s|ed)?|down)\b",
    re.IGNORECASE,
)


def _only(ask: str, patterns: tuple[re.Pattern[str], ...]) -> Callable[[str], Fact | None]:
    def rule(text: str) -> Fact | None:
        found = [match for pattern in patterns for match in pattern.finditer(text)]
        spans = [(match[1] if match.re.groups else match[0]).strip() for match in found]
        if len(set(spans)) != 1:
            return None
        return Fact(ask, spans[0], min(match.end() for match in found))

    return rule


def _direction(text: str) -> Fact | None:
    ups, downs = list(_UP.finditer(text)), list(_DOWN.finditer(text))
    if bool(ups) == bool(downs):
        return None
    return Fact("direction", "up" if ups else "down", (ups or downs)[0].end())


def _figures(text: str) -> Fact | None:
    found = quantities(text)
    if not 1 <= len(found) <= MOST_FIGURES:
        return None
    return Fact("figures", "; ".join(text[one.start : one.end].strip() for one in found), found[-1].end)


# What understanding asks of a text beside its tone, and what is asked for a span of it.
UNDERSTANDING = ("company", "direction", "figures")
QUESTIONS = ("who", "how-much", "by-how-much", "when")
RULES: dict[str, Callable[[str], Fact | None]] = {
    "company": _only("company", _COMPANY),
    "direction": _direction,
    "figures": _figures,
    "who": _only("who", _PERSON),
    "how-much": _only("how-much", (_MONEY,)),
    "by-how-much": _only("by-how-much", (_PERCENT,)),
    "when": _only("when", (_WHEN,)),
}


def facts(text: str) -> dict[str, Fact]:
    """Return what a text answers, by what is asked; what it leaves open or answers twice is not in it.

    Parameters
    ----------
    text : str

    Returns
    -------
    dict of str to Fact

    Examples
    --------
    >>> from embargo.models.instruct import facts
    >>> found = facts("Alder (ALDR) raised sales 5.2 % to EUR 14 million in the third quarter, said CEO Ann Lee.")
    >>> found["by-how-much"].answer, found["who"].answer, found["when"].answer
    ('5.2 %', 'Ann Lee', 'third quarter')
    """
    return {ask: fact for ask, rule in RULES.items() if (fact := rule(text)) is not None}
