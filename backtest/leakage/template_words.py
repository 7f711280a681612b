"""What the fixed words of a prompt know: days, years, names and renames that a template need not hold.

A template is written once, mostly after everything that it is put beside. Whatever it tells of a later day every prompt
knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date

import pandas as pd

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.dates import DATE, TO_COME, day_of
from embargo.backtest.leakage.findings import AuditVerdict, Finding, evidence_rows, moment, require_columns
from embargo.data_loaders.schemas import as_utc

_UNIT = "share of fixed wordings"
# Signs shown to either side of what was found.
_BESIDE = 60
# A year with what makes it one: a bare number of four digits may count words or tokens.
_YEAR = re.compile(r"(?<![\d.,$€£#/-])((?:19|20)\d\d)(?![\d%/]|[.,]\d|-(?:word|token|char))", re.IGNORECASE)
_COUNTED = re.compile(
    r"\s*(?:words?|tokens?|char\w*|letters?|signs?|points?|shares?|symbols?|items?|articles?)\b", re.I
)
_WHEN = re.compile(
    r"(?:\b(?:in|since|of|during|until|till|through|by|after|before|from|year|fiscal|late|early|mid|end|today|now"
    r"|jan\w*|feb\w*|mar\w*|apr\w*|may|june?|july?|aug\w*|sep\w*|oct\w*|nov\w*|dec\w*|spring|summer|autumn|fall|winter"
    r"|quarter(?: of)?|q[1-4]|h[12]|fy|©|copyright)|\bq[1-4]\s*/|\bfy)[\s'’(]*$",
    re.IGNORECASE,
)
_QUARTER = re.compile(
    r"\b(?:Q[1-4]|H[12])\b(?=\s*(?:/|'|’|of\b)?\s*(?:\d\d\b|\d{4}\b|FY|results|earnings|report))|\bFY\s?'?\d\d(?:\d\d)?\b"
    r"|\b(?:first|second|third|fourth)[ -]quarter\b",
)
_RENAMED = re.compile(
    r"\b(?:formerly|previously|(?:now|since|today)\s+(?:known|called|named|trading|listed)|once\s+(?:known|called)"
    r"|f/?k/?a|renamed|rebranded|changed its name)\b",
    re.IGNORECASE,
)
# Letters from which on a ticker is told from a word in capitals.
_TICKER = 3
# Words that prompts write in capitals and that are tickers somewhere.
_CAPITALS = frozenset({
    "ALL", "AND", "ANY", "ARE", "CAN", "FOR", "HAS", "JSON", "LOW", "NEWS", "NEXT", "NOT", "NOW", "ONE", "ONLY", "OPEN",
    "OUT", "REAL", "TEXT", "THE", "TRUE", "TWO", "USE", "VERY", "WELL", "YOU", "YES",
})  # fmt: skip


def check_template(prompts: pd.DataFrame, names: Mapping[str, Sequence[str]]) -> Finding:
    """Look for knowledge of later days in the words that every prompt holds (R4).

    Read is all of a prompt but the article that is asked about and the items that are dated: instructions, roles,
    definitions, profiles, examples without a date. A day, or a year in the sense of time, after the decision on an
    article that these words are put beside is a leak; so many words of "2024" are not, nor what is announced for later
    (suspicious). Suspicious are also years and quarters of any date, companies and tickers that are traded, and what
    was renamed: they give a reader's memory something to start from, and who wrote them knew whom the test is about.

    Silent on: what the same words know without a date or a name, tickers of one or two letters, a name of one word at
    the start of a line or before a colon, other languages; dated items, which may well speak of later days.

    Parameters
    ----------
    prompts : DataFrame
        One row per prompt: ``article_id``, ``asked_at`` (UTC, the decision) and ``fixed`` (what is left of it without
        article and dated items, a line break in the place of each; missing where a prompt does not hold its items as it
        lists them). Shown where it is there: ``template``.
    names : mapping of str to sequence of str
        Symbols that are traded, and what each company is called.

    Returns
    -------
    Finding
        Code ``R4``; ``effect`` is the share of distinct fixed wordings with something to doubt.

    Raises
    ------
    DataError
        If columns are missing or instants are naive.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_template
    >>> asked = pd.Timestamp("2019-03-05 14:25", tz="UTC")
    >>> frame = pd.DataFrame({"article_id": ["a"], "asked_at": asked, "fixed": "Is this news good or bad?"})
    >>> check_template(frame, {"META": ["Meta Platforms"]}).verdict
    'pass'
    >>> told = frame.assign(fixed="Meta Platforms (formerly Facebook) makes social media. Is this news good or bad?")
    >>> check_template(told, {"META": ["Meta Platforms"]}).verdict
    'suspicious'
    >>> check_template(frame.assign(fixed="As of June 2024, is this news good or bad?"), {}).verdict
    'leak'
    """
    check = CHECKS["check_template"]
    require_columns(prompts, ("article_id", "asked_at", "fixed"), where="prompts")
    if prompts.empty:
        return Finding(check.code, "not-applicable", check.title, "The reader is asked without a prompt.")
    asked = prompts.assign(asked_at=as_utc(prompts["asked_at"], what="prompts, column asked_at"))
    readable = asked[asked["fixed"].notna()].sort_values("asked_at", kind="stable")
    # What the earliest article may not be told, no later one needs to be asked about.
    wordings = readable.drop_duplicates("fixed").reset_index(drop=True)
    times = readable.groupby("fixed").size()
    looked_for = _names_sought(names)
    found = []
    for row, (fixed, at) in enumerate(zip(wordings["fixed"], wordings["asked_at"], strict=True)):
        found += [(row, what, why, grave) for what, why, grave in _told(str(fixed), at, looked_for)]
    hidden = len(asked) - len(readable)
    shapes = f" of {wordings['template'].nunique()} templates" if "template" in wordings else ""
    said = f"{len(wordings):,} fixed wordings{shapes} in {len(readable):,} prompts were read"
    if found:
        listed = pd.DataFrame(found, columns=["row", "found", "why", "grave"]).sort_values(
            ["grave", "row"], ascending=[False, True], kind="stable"
        )
        grave, share = bool(listed["grave"].any()), listed["row"].nunique() / len(wordings)
        own = wordings.iloc[listed["row"].to_numpy()]
        rows = pd.DataFrame(
            {
                "found": listed["found"].to_numpy(),
                "why": listed["why"].to_numpy(),
                "article_id": own["article_id"].to_numpy(),
                "asked_at": own["asked_at"].to_numpy(),
                "prompts": times.loc[own["fixed"]].to_numpy(),
                "text": [_beside(text, what) for text, what in zip(own["fixed"], listed["found"], strict=True)],
            }
        )
        if "template" in own:
            rows["template"] = own["template"].astype("str").str.slice(0, 12).to_numpy()
        first = listed.iloc[0]
        detail = f"{said}. {listed['row'].nunique():,} of them hold what a template need not know: {first['found']!r} "
        detail += f"({first['why']})" + (f", and {len(listed) - 1} more." if len(listed) > 1 else ".")
        verdict: AuditVerdict = "leak" if grave else "suspicious"
        return Finding(check.code, verdict, check.title, detail, evidence_rows(rows), share, _UNIT, check.remedy)
    if hidden:
        detail = f"{said}. {hidden:,} prompts do not hold their items as they list them, so what is fixed is not known."
        remedy = "Let each item of a prompt list its text as it stands in what is sent."
        return Finding(check.code, "inconclusive", check.title, detail, remedy=remedy)
    detail = f"{said}: none names a day, a year, a quarter, a company that is traded, or what was renamed."
    return Finding(check.code, "pass", check.title, detail, effect=0.0, unit=_UNIT)


def _told(
    fixed: str, asked_at: pd.Timestamp, looked_for: Sequence[tuple[str, re.Pattern[str]]]
) -> Iterator[tuple[str, str, bool]]:
    """Yield what fixed words should not tell, why, and whether it proves a leak."""
    decided, own = asked_at.tz_convert("UTC").date(), []
    for match in DATE.finditer(fixed):
        day = day_of(match, decided.toordinal())
        own.append(match.span())
        if day is None:
            yield match[0], "a date", False
        # A local date may run ahead of UTC by one day.
        elif day > decided.toordinal() + 1:
            ahead = _announced(fixed, match)
            yield match[0], f"{'announced for' if ahead else 'a day'} after {moment(asked_at)}", not ahead
        else:
            yield match[0], f"the day {date.fromordinal(day)}", False
    for match in _YEAR.finditer(fixed):
        if any(start <= match.start() < end for start, end in own) or _COUNTED.match(fixed, match.end()):
            continue
        in_time = _WHEN.search(fixed[: match.start()]) is not None
        later = int(match[1]) > decided.year
        if later and in_time and not _announced(fixed, match):
            yield match[0], f"a year after {moment(asked_at)}", True
        elif in_time or 1980 <= int(match[1]) <= decided.year + 20:
            yield match[0], f"a year{' still to come' if later else ''}", False
    for match in _QUARTER.finditer(fixed):
        yield match[0], "a quarter", False
    for match in _RENAMED.finditer(fixed):
        yield match[0], "a name that changed", False
    for symbol, pattern in looked_for:
        hit = pattern.search(fixed)
        if hit is not None:
            yield hit[0].strip(), f"{symbol} is traded", False


def _announced(text: str, match: re.Match[str]) -> bool:
    """Tell whether words of what is to come stand beside a date, other than those that only place it in time."""
    around = re.split(r"[.;!?|\n]", text[max(0, match.start() - 60) : match.start()])[-1]
    return any(word[0].lower() not in _PLACING for word in TO_COME.finditer(around))


_PLACING = frozenset({
    "by", "date", "dates", "from", "quarter", "release", "released", "releases", "results", "through", "to", "week",
    "year",
})  # fmt: skip


def _names_sought(names: Mapping[str, Sequence[str]]) -> list[tuple[str, re.Pattern[str]]]:
    """Make a pattern of each ticker and its names, as far as they can be told from other words."""
    sought = []
    for symbol, called in names.items():
        ticker = re.escape(str(symbol))
        alone = len(str(symbol)) >= _TICKER and str(symbol).upper() not in _CAPITALS
        ways = [rf"(?<!\w){ticker}(?!\w)" if alone else rf"(?:\$|\((?:[A-Z]+:\s?)?){ticker}(?!\w)"]
        for name in (str(name).strip() for name in called):
            word = re.escape(name)
            if " " in name:
                ways.append(rf"(?<!\w){word}(?!\w)")
            elif name:
                # "Target: positive" names no shop.
                ways.append(rf"(?:(?<=[a-z,;] )|(?<=[(\"“])){word}(?!\w|:)|(?<!\w){word}['’]s\b")
        sought.append((str(symbol), re.compile("|".join(ways))))
    return sought


def _beside(text: str, found: str) -> str:
    """Show what was found with the words beside it."""
    place = max(text.find(found), 0)
    return text[max(0, place - _BESIDE) : place + len(found) + _BESIDE]
