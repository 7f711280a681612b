"""Names, tickers, products and dates taken out of a text, so that a reader has only the news to go by.

Stand-ins are numbered anew in every text, in order of appearance: the same company is the same letter within a text and
anybody's letter across texts, so that the letter itself identifies nobody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError

_LEGAL = re.compile(
    r"[\s,]+(?:inc|corp|corporation|co|company|ltd|limited|plc|llc|lp|ag|se|sa|nv|ab|asa|oyj|spa|group|holdings?)\.?$",
    re.IGNORECASE,
)
_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December|"
    r"(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b\.?)"
)
_YEAR = r"(?:19[5-9]\d|20[0-4]\d)"
_DAY = r"(?:3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?"
# Longer forms first: the first that fits is taken.
_DATES = (
    rf"{_YEAR}[-/.](?:1[0-2]|0?[1-9])[-/.](?:3[01]|[12]\d|0?[1-9])",
    rf"{_YEAR}(?:1[0-2]|0[1-9])(?:3[01]|[12]\d|0[1-9])",
    rf"(?:3[01]|[12]\d|0?[1-9])[/.](?:3[01]|[12]\d|0?[1-9])[/.](?:{_YEAR}|\d\d)",
    rf"{_MONTH}\s+{_DAY}(?:\s*,?\s+{_YEAR})?",
    rf"{_DAY}\s+(?:of\s+)?{_MONTH}(?:\s*,?\s+{_YEAR})?",
    rf"{_MONTH}\s*,?\s+{_YEAR}",
    rf"(?:[1-4]Q|Q[1-4]|[12]H|H[12]|FY)\s?(?:'\d\d|{_YEAR}|\d\d)",
    _YEAR,
)
DATE = re.compile(rf"(?<![\w$€£.,/-])(?:{'|'.join(_DATES)})(?![\w%]|[.,/-]\d)")
_CASHTAG = r"\$[A-Za-z]{1,6}(?:\.[A-Za-z])?"
_EXCHANGE = r"(?:NYSE|NASDAQ|AMEX|LSE)\s?:\s?"
# Shorter names are parts of other words too often to be looked for inside them.
_TELLING_LETTERS = 5


@dataclass(frozen=True)
class Entities:
    """What identifies whom.

    Attributes
    ----------
    names : mapping of str to sequence of str
        Names and aliases of each symbol; legal forms (Inc., plc) may be left out of a text and are understood. The
        symbol is its own ticker; of ``BTC/USDT`` the part before the slash counts too.
    products : mapping of str to sequence of str
        Brands, products and people of each symbol.

    Raises
    ------
    ConfigError
        If there is nobody, or a name is blank.

    Examples
    --------
    >>> from embargo.models.probes import Entities
    >>> Entities({"AAPL": ["Apple Inc."]}, {"AAPL": ["iPhone"]}).aliases()["apple"]
    'AAPL'
    """

    names: Mapping[str, Sequence[str]]
    products: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        blank = [key for table in (self.names, self.products) for key, words in table.items()
                 if not key.strip() or isinstance(words, str) or not all(word.strip() for word in words)]  # fmt: skip
        if blank or not self.names:
            raise ConfigError(f"entities: give each symbol a list of names, none of them blank; wrong: {blank}.")

    def aliases(self) -> dict[str, str]:
        """Return the owner of each name in small letters; symbols that share a name have one owner, the first."""
        owner: dict[str, str] = {}
        for symbol, names in self.names.items():
            spelled = {name.strip().casefold() for name in names} | {short_name(name).casefold() for name in names}
            same = {owner[name] for name in spelled if name in owner}
            first = min(same, key=list(self.names).index) if same else symbol
            owner = {name: first if holder in same else holder for name, holder in owner.items()}
            owner |= dict.fromkeys(sorted(spelled - {""}), first)
        return owner

    def tickers(self) -> dict[str, str]:
        """Return the owner of each ticker as it is written."""
        aliases = self.aliases()
        owner: dict[str, str] = {}
        for symbol, names in self.names.items():
            for ticker in dict.fromkeys((symbol, symbol.split("/")[0])):
                owner.setdefault(ticker, aliases[names[0].strip().casefold()] if names else symbol)
        return owner


def short_name(name: str) -> str:
    """Take the legal forms off the end of a name."""
    while (shorter := _LEGAL.sub("", name.strip())) != name.strip():
        name = shorter
    return name.strip()


def _any_of(words: Sequence[str]) -> str:
    # Longest first, so that "Bank of America" is not read as "Bank"; blanks of any width.
    ordered = sorted(set(words), key=lambda word: (-len(word), word))
    return "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in ordered)


def check_texts(texts: Sequence[str], what: str) -> None:
    """Refuse what is no text; ``what`` names the caller.

    Raises
    ------
    DataError
        Naming the first such row.
    """
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"{what}: row {row} is {text!r}, not a text. Leave out rows without one.")


def mask(texts: Sequence[str], entities: Entities) -> list[str]:
    """Put stand-ins where texts name companies, products and dates.

    Parameters
    ----------
    texts : sequence of str
    entities : Entities
        Names and products are found in any case; tickers as they are written, those of one letter only as a cashtag or
        after an exchange. Cashtags of others are taken out too.

    Returns
    -------
    list of str
        With ``Company A``, ``Product A`` and ``Date 1`` for the first of each kind in a text, and so on. Weekdays and
        months without a day or a year stay. A name that is also a word ("Target") masks the word.

    Raises
    ------
    DataError
        If a row is no text.

    References
    ----------
    Glasserman and Lin (2023), "Assessing Look-Ahead Bias in Stock Return Predictions Generated by GPT Sentiment
    Analysis", arXiv 2309.17322.

    Examples
    --------
    >>> from embargo.models.probes import Entities, mask
    >>> entities = Entities({"AAPL": ["Apple Inc."], "NOK": ["Nokia"]}, {"AAPL": ["iPhone"]})
    >>> mask(["Apple sued Nokia on 3 May 2017; $AAPL says the iPhone is safe.", "Nokia rose."], entities)
    ['Company A sued Company B on Date 1; Company A says the Product A is safe.', 'Company A rose.']
    """
    check_texts(texts, "mask")
    pattern, named = finder(entities)

    def whose(found: re.Match[str]) -> tuple[str, str]:
        return named(found)[:2]

    return [_numbered(DATE, _numbered(pattern, text, whose, _letter), _as_date, str) for text in texts]


# What a match names: a company or a product, whose or which, and in which way it is written.
Named = tuple[str, str, str]


def finder(entities: Entities) -> tuple[re.Pattern[str], Callable[[re.Match[str]], Named]]:
    """Return a pattern of all that names somebody, and what tells whom a match of it names.

    Returns
    -------
    pattern : Pattern
    named : callable
        From a match to its kind (``Company`` or ``Product``), the symbol or product, and the form: ``listed``,
        ``cashtag``, ``product``, ``name`` or ``ticker``.
    """
    aliases, tickers = entities.aliases(), entities.tickers()
    products = {word.strip().casefold(): word for words in entities.products.values() for word in words}
    bare = [ticker for ticker in tickers if len(ticker) > 1]
    parts = [
        rf"(?P<listed>{_EXCHANGE}(?P<code>{_any_of(list(tickers))}))(?!\w)",
        rf"(?P<cashtag>{_CASHTAG})(?!\w)",
        *([rf"(?P<product>(?i:{_any_of(list(products))}))(?!\w)"] if products else []),
        *([rf"(?P<name>(?i:{_any_of(list(aliases))}))(?!\w)"] if aliases else []),
        *([rf"(?P<ticker>{_any_of(bare)})(?!\w)"] if bare else []),
    ]
    pattern = re.compile(rf"(?<![\w])(?:{'|'.join(parts)})")
    upper = {ticker.upper(): owner for ticker, owner in tickers.items()}

    def named(found: re.Match[str]) -> Named:
        kind, word = found.lastgroup or "", " ".join(found.group(0).split())
        if found.group("listed"):
            return "Company", tickers[found.group("code")], "listed"
        if kind == "cashtag":
            return "Company", upper.get(word[1:].upper(), word.upper()), kind
        if kind == "product":
            return "Product", word.casefold(), kind
        return "Company", aliases[word.casefold()] if kind == "name" else tickers[word], kind

    return pattern, named


def _as_date(found: re.Match[str]) -> tuple[str, str]:
    return "Date", found.group(0).rstrip(".")


def _letter(number: int) -> str:
    """Return A, B ... Z, AA, AB ... for 1, 2 ..."""
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def _numbered(
    pattern: re.Pattern[str],
    text: str,
    whose: Callable[[re.Match[str]], tuple[str, str]],
    numeral: Callable[[int], str],
) -> str:
    """Replace what a pattern finds by its kind and its place among those of its kind in this text."""
    places: dict[str, dict[str, int]] = {}

    def stand_in(found: re.Match[str]) -> str:
        kind, who = whose(found)
        of_kind = places.setdefault(kind, {})
        return f"{kind} {numeral(of_kind.setdefault(who, len(of_kind) + 1))}"

    return pattern.sub(stand_in, text)


def leftovers(texts: Sequence[str], entities: Entities) -> pd.DataFrame:
    """Find what still identifies somebody in masked texts: a name inside another word, a ticker in other letters.

    Parameters
    ----------
    texts : sequence of str
        Masked.
    entities : Entities

    Returns
    -------
    DataFrame
        One row per text and word found: ``row``, its position; ``symbol``; ``found``; ``text``. Empty where nothing is
        left. Names of fewer than five letters are looked for as words only.

    Raises
    ------
    DataError
        If a row is no text.

    Examples
    --------
    >>> from embargo.models.probes import Entities, leftovers, mask
    >>> entities = Entities({"AAPL": ["Apple"]})
    >>> masked = mask(["AppleInsider: aapl rises", "Apple rises"], entities)
    >>> leftovers(masked, entities)[["row", "found"]].values.tolist()
    [[0, 'apple'], [0, 'aapl']]
    """
    check_texts(texts, "leftovers")
    words = entities.aliases()
    words |= {word.strip().casefold(): symbol for symbol, own in entities.products.items() for word in own}
    inside = {word for word in words if len(word) >= _TELLING_LETTERS}
    words |= {ticker.casefold(): owner for ticker, owner in entities.tickers().items() if len(ticker) > 1}
    whole = {word: re.compile(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])") for word in words if word not in inside}
    rows = [
        {"row": row, "symbol": owner, "found": word, "text": text}
        for row, text in enumerate(texts)
        for word, owner in words.items()
        if (word in text.casefold() if word in inside else whole[word].search(text.casefold()))
    ]
    return pd.DataFrame(rows, columns=["row", "symbol", "found", "text"])
