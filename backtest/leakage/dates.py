"""Dates inside texts that lie after their publication: told as past, they prove a later version under an early stamp.

News announces what is to come, so a later date alone says nothing. A text that tells the past of a later day, or was
edited on one, cannot have stood there before.
"""

from __future__ import annotations

import re
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import pdtrc

from embargo.backtest.distributions import binomial_sf
from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import (
    AuditVerdict,
    Finding,
    evidence_rows,
    require_columns,
    share_interval,
    utc_array,
)
from embargo.data_loaders.schemas import as_utc

_FIRST_OF_1970 = date(1970, 1, 1).toordinal()
# A local date may run ahead of UTC by one day.
_TOLERANCE = 1
# Without a year, a date means its nearest day, as far as it lies within so many days.
_NEAR_DAYS = 60
# A slip of the pen writes last year, or next year, for this.
_SLIP_OF_YEAR = (350, 380)
# Share of texts that tell the past of a later day by slips of the pen, and from which nothing but later edits do.
SLIPS, PROOF_SHARE, PROOF_TEXTS = 2e-4, 0.005, 10
# Later days within this many, told without a word of what is to come, against as many days before.
_WINDOW, UNANNOUNCED_SHARE = 10, 0.01
LEVEL = 0.0005
_TITLE = CHECKS["check_dates_in_texts"].title

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NUMBER = {name: number for number, name in enumerate(_MONTHS, start=1)}
_MONTH = (
    r"(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)"
)
# What a date begins with stands first, since most letters begin none and four patterns need not be tried on them.
DATE = re.compile(
    r"(?=[\djfmasond])(?:(?<![\d/.-])((?:19|20)\d\d)-(\d\d)-(\d\d)(?![\d-])"
    r"|(?<![\d/.$-])(\d{1,2})/(\d{1,2})/((?:19|20)\d\d)(?![\d/])"
    rf"|\b{_MONTH}\.?\s+(\d{{1,2}})(?:st|nd|rd|th)?\b(?![.,]?\d|\s?%)(?:,?\s+((?:19|20)\d\d)\b)?"
    rf"|(?<![\d/.,$-])\b(\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}\b\.?(?:,?\s+((?:19|20)\d\d)\b)?)",
    re.IGNORECASE,
)
_MAY_HOLD = (
    r"(?i)(?:\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s+\d"
    r"|\d(?:st|nd|rd|th)?\s+(?:of\s+)?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
    r"|(?:19|20)\d\d-\d\d-\d\d|\d/\d{1,2}/(?:19|20)\d\d)"
)
_MOVED = (
    r"(?:rose|fell|jumped|dropped|slid|climbed|surged|plunged|tumbled|soared|slumped|sank|rallied|gained|lost|declined"
    r"|advanced|(?:closed|ended|finished|settled|traded)\s+(?:[a-z]+\s+){0,2}?(?:up|down|higher|lower|at|with)|beat|missed)"
)
# What is announced mostly lies ahead: "announced a meeting on" says nothing, "announced on" does.
_TOLD = r"(?:reported|announced|unveiled)"
# The words before "on <date>", or after "On <date>,": what happened on it.
_BEFORE = re.compile(
    rf"\b(?:{_MOVED}\b([^.;!?|]{{0,40}}?)|(?<!\bbe ){_TOLD}\s+)\bon\s+(?:[a-z]+day,?\s+)?$", re.IGNORECASE
)
_AFTER = re.compile(rf"^\s*,?\s*([^.;!?|]{{0,40}}?)(?<!\bbe )\b(?:{_MOVED}|{_TOLD})\b", re.IGNORECASE)
_EDIT = re.compile(
    r"(?:(?:^|[(\[;.|-])\s*(?:last\s+)?(?:updated|edited|revised|corrected|modified)\s*"
    r"|(?<!\bbe )(?:last\s+)?\b(?:updated|edited|revised|corrected|modified)\s*(?::|-|\bon\b|\bat\b)\s*)"
    r"(?:on\s+)?(?:[a-z]+day,?\s+)?$",
    re.IGNORECASE,
)
# Words of what is to come, or of what is only supposed: a later date beside one of these is announced.
TO_COME = re.compile(
    r"\b(?:will|would|shall|may|might|could|should|to|by|until|till|through|thru|before|ahead|if|when|next|upcoming|coming"
    r"|schedul\w*|expect\w*|plan\w*|due|set|payable|record|deadline|expir\w*|exp|matur\w*|calls?|puts?|options?|strike"
    r"|webcast|conference|meeting|event|webinar|join|register|ipo|release\w*|earnings|dividend|ex|starts?|begins?|launch\w*"
    r"|effective|from|for|target\w*|forecast\w*|tomorrow|save|tickets?|week|quarter|year|ending|results|date|dates|opens?)\b",
    re.IGNORECASE,
)


def check_dates_in_texts(articles: pd.DataFrame) -> Finding:
    """Look for texts that name a later day as past (D1).

    Read are ``2014-03-05``, ``March 5, 2014``, ``5 March 2014``, ``3/25/2014`` where only one of the two numbers can be
    the month, and, without a year, days within 60 of the publication. A day is later from the second after the
    publication (UTC) on; each text counts once.

    Told as past are a later day on which something "rose", "reported" or the like, and one on which the text was
    "updated" or "corrected"; not where words of what is to come stand between, nor a year later, which is a slip of the
    pen. From ten such texts and 0.5 % of all on, they are a leak; suspicious where there are more than slips of the pen
    explain, 2 in 10,000, at a level of 0.05 %. Suspicious are also later days, within ten of the publication, that no
    word announces: in 1 % of the texts, and more often than days as long before it (level 0.05 %).

    Silent on: relative dates, days of the week, dates in other languages, and a text that knows a later day without
    naming it.

    Parameters
    ----------
    articles : DataFrame
        ``published_at`` (UTC) and ``text``; shown as evidence, where they are there: ``article_id, source, known_at``.

    Returns
    -------
    Finding
        Code ``D1``; ``effect`` is the share of distinct texts that tell the past of a later day.

    Raises
    ------
    DataError
        If a column is missing or an instant is naive.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_dates_in_texts
    >>> at = pd.date_range("2014-03-03", periods=30, tz="UTC")
    >>> told = [f"Acme rose {number}% on {day + pd.Timedelta('4D'):%B %d, %Y}" for number, day in enumerate(at)]
    >>> announced = [text.replace("rose", "will report item") for text in told]
    >>> [check_dates_in_texts(pd.DataFrame({"published_at": at, "text": texts})).verdict for texts in (told, announced)]
    ['leak', 'pass']
    """
    require_columns(articles, ("published_at", "text"), where="articles")
    published = utc_array(as_utc(articles["published_at"], what="articles, column published_at"))
    unit = "share of distinct texts"
    first = np.flatnonzero(~articles["text"].duplicated().to_numpy())
    if not len(first):
        return Finding("D1", "not-applicable", _TITLE, "There are no texts.", unit=unit)
    letters = pa.array(articles["text"].iloc[first], pa.large_string())
    dated = first[pc.match_substring_regex(letters, _MAY_HOLD).to_numpy(zero_copy_only=False)]
    # Days are counted as `datetime.date` does.
    known = dated[~np.isnat(published[dated])]
    days = (published[known].astype("datetime64[D]").astype(np.int64) + _FIRST_OF_1970).tolist()
    found, near = [], np.zeros(2 * _WINDOW + 1, dtype=np.int64)
    naming = 0
    for row, text, day in zip(known.tolist(), articles["text"].iloc[known].tolist(), days, strict=True):
        told = [(match, named) for match in DATE.finditer(text) if (named := day_of(match, day)) is not None]
        later = [(match, named - day) for match, named in told if named > day + _TOLERANCE]
        naming += bool(later)
        kinds = [_kind(text, match, gap) for match, gap in later]
        for (match, gap), kind in zip(later, kinds, strict=True):
            if kind:
                found.append((row, match[0], kind, gap))
                break
        # Days as near on either side, that no word announces: one a text.
        gaps = [
            named - day
            for match, named in told
            if _TOLERANCE < abs(named - day) <= _WINDOW and not TO_COME.search(_around(text, match))
        ]
        if gaps:
            near[_WINDOW + max(gaps)] += 1
    texts, past = len(first), len(found)
    after, before = int(near[_WINDOW + 1 :].sum()), int(near[:_WINDOW].sum())
    said = (
        f"{len(dated)} of {texts} distinct texts name a day; {naming} name one after their publication, {past} of them "
        f"as past. Days within {_WINDOW} that no word announces: {after} after the publication, {before} before it."
    )
    # News looks back at least as often as it names a day to come without saying that it is to come.
    unannounced = after >= UNANNOUNCED_SHARE * texts and float(binomial_sf(after - 1, after + before, 0.5)) <= LEVEL
    verdict: AuditVerdict = "pass"
    if past >= max(PROOF_TEXTS, PROOF_SHARE * texts):
        verdict = "leak"
    elif (past > 1 and float(pdtrc(past - 1, SLIPS * texts)) <= LEVEL) or unannounced:
        verdict = "suspicious"
    listed = pd.DataFrame(found, columns=["row", "date_in_text", "told_as", "days_later"])
    shown = [name for name in ("article_id", "source", "published_at", "known_at", "text") if name in articles]
    evidence = articles.iloc[listed["row"].to_numpy(dtype=np.int64)][shown].reset_index(drop=True)
    evidence = evidence.assign(text=evidence["text"].str.slice(0, 160), **listed.drop(columns="row"))
    return Finding(
        "D1",
        verdict,
        _TITLE,
        said,
        evidence_rows(evidence),
        past / texts,
        unit,
        ""
        if verdict == "pass"
        else "Take first versions from a source that keeps them, or map the instant of the edit to seen_at, so that "
        "the edited text is read no sooner.",
        share_interval(past, texts),
    )


def day_of(match: re.Match[str], published: int) -> int | None:
    """Read the day that a match names, by its ordinal; None where it names none, or not one alone."""
    iso_year, iso_month, iso_day, one, two, slash_year, name1, day1, year1, day2, name2, year2 = match.groups()
    year: str | int | None
    if iso_year:
        year, month, day = iso_year, int(iso_month), int(iso_day)
    elif slash_year:
        low, high = sorted((int(one), int(two)))
        if high <= 12 and low != high:
            return None
        year, month, day = slash_year, low, high
    else:
        name = name1 or name2
        # "may 5" and "mar 5" without a capital are no dates.
        if not (year1 or year2) and not name[0].isupper():
            return None
        year, month, day = year1 or year2, _NUMBER[name[:3].lower()], int(day1 or day2)
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    if year is not None:
        return _calendar_day(int(year), month, day)
    own = date.fromordinal(published).year
    candidates = [found for each in (own - 1, own, own + 1) if (found := _calendar_day(each, month, day)) is not None]
    nearest = min(candidates, key=lambda found: abs(found - published), default=None)
    return nearest if nearest is not None and abs(nearest - published) <= _NEAR_DAYS else None


def _calendar_day(year: int, month: int, day: int) -> int | None:
    try:
        return date(year, month, day).toordinal()
    except ValueError:
        return None


def _around(text: str, match: re.Match[str]) -> str:
    """Return the sentence, or 80 signs of it to either side, without the date."""
    before = re.split(r"[.;!?|]\s", text[max(0, match.start() - 80) : match.start()])[-1]
    after = re.split(r"[.;!?|](?:\s|$)", text[match.end() : match.end() + 80])[0]
    return f"{before} {after}"


def _kind(text: str, match: re.Match[str], gap: int) -> str:
    """Say how a later day is told as past; empty where it is not."""
    if _SLIP_OF_YEAR[0] <= gap % 365 + 365 * (gap >= 365) <= _SLIP_OF_YEAR[1]:
        return ""
    before, after = text[max(0, match.start() - 80) : match.start()], text[match.end() : match.end() + 80]
    if _EDIT.search(before):
        return "edited"
    happened = _BEFORE.search(before)
    if happened is not None and not TO_COME.search(happened[1] or ""):
        return "past"
    if re.search(r"(?:^|[.;!?|]\s*)On\s+(?:[a-z]+day,?\s+)?$", before, re.IGNORECASE):
        happened = _AFTER.search(after)
        if happened is not None and not TO_COME.search(happened[1]):
            return "past"
    return ""
