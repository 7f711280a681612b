"""A small grammar that writes the articles of the simulated market.

Every text says what its hidden sentiment is, in words that come and go over the years, some of them words of the
Loughran-McDonald lists. Negations, concessions and words that change sides keep a bag of words from being perfect.
"""

from __future__ import annotations

import string
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np

# Tickers and names of so many companies differ.
MAX_SYMBOLS = 480
VOCABULARY_CYCLE_YEARS = 14.0
FASHION_WIDTH_YEARS = 1.1


def _split(words: str) -> list[str]:
    return words.split("|") if "|" in words else words.split()


_EVERGREEN = {
    ("adjective", 1): "strong favorable improved profitable solid healthy",
    ("adjective", -1): "weak disappointing adverse poor soft troubling",
    ("event", 1): "rebound|market share gains|strong demand|a successful launch",
    ("event", -1): "litigation|a product recall|a revenue shortfall|weak demand",
    ("verb", 1): "beats estimates on|improves|posts gains in|lifts its outlook for",
    ("verb", -1): "misses estimates on|cuts its outlook for|posts losses in|disappoints on",
}
_FASHIONS = {
    ("adjective", 1): (
        "upbeat stellar impressive buoyant record blowout frothy exceptional resilient outstanding turbocharged "
        "best-in-class surging scalable sticky bumper accretive frictionless premiumised cloud-ready explosive "
        "viral supercharged recurring"
    ),
    ("adjective", -1): (
        "sluggish lumpy deteriorating anemic unfavorable bloated choppy severe stale underwater patchy toxic "
        "washed-out overstretched problematic supply-starved commoditised gloomy declining leaky short-staffed "
        "stranded decelerating loss-making"
    ),
    ("event", 1): (
        "an index inclusion|an analyst upgrade|a breakthrough approval|cloud migration wins|"
        "a fleet electrification deal|a mobile-first pivot|a platform tie-up|subscription stickiness|"
        "a patent victory|a tax-reform windfall|a cost takeout|reshoring tailwinds|a vaccine read-through|"
        "a stay-at-home boost|a machine-learning rollout|a special payout|greenfield capacity|a tender win|"
        "pent-up orders|an activist truce|a reopening surge|a margin breakout|oversubscribed bookings|"
        "a reseller stampede"
    ),
    ("event", -1): (
        "a data breach|tariff drag|a chip crunch|an antitrust investigation|channel stuffing claims|port snarls|"
        "an emissions scandal|a short-seller report|covenant default fears|a dollar headwind|store closures|"
        "a wage squeeze|a licence suspension|a ransomware outage|pipeline leaks|a lapsed patent|a strike ballot|"
        "freight inflation|customer churn|an accounting restatement|a trial setback|inventory glut|battery fires|"
        "a funding gap"
    ),
    ("verb", 1): (
        "raises guidance for|blows past forecasts on|accelerates|tops consensus on|delights investors with|"
        "wins upgrades on|fast-tracks|doubles down on winning|unlocks value in|outgrows peers in|"
        "monetises|supercharges|gains traction in|sweeps awards for|achieves breakeven in|hits new highs in"
    ),
    ("verb", -1): (
        "trims guidance for|undershoots forecasts on|writes down|halts|stumbles on|sheds customers in|"
        "warns on|mothballs|loses traction in|delays|burns cash on|retrenches in|"
        "suspends|guts spending on|flags impairment of|draws downgrades on"
    ),
}
# These change sides half-way through every cycle: praise in one decade, blame in the next.
_TURNCOATS = {
    "adjective": "leveraged aggressive asset-light debt-funded outsourced offshore speculative lockdown-era",
    "event": "a lockdown extension|a debt-funded buyback|an offshore move|a founder exit|a crypto holding|a price war",
    "verb": "outsources|levers up for|goes all in on|securitises",
}

_PLAIN = (
    "{company} {V} {metric} after {E}, {title} {person} says",
    "{company} reports {A} {metric} for {period} on {E}",
    "{broker} sees {A} {metric} at {company}, pointing to {E} in {place}",
    "{A} {metric} at {company} as {product} unit faces {E}; {metric2} put at {money}",
    "{company} {V} {product} {metric}, {percent} from a year ago",
    "{person} of {company} describes {A} {metric} in {place} following {E}",
    "{E} shapes {period} at {company}: {A} {metric}, {money} in {metric2}",
    "{broker} note on {company}: {A} {product} {metric}, {E} behind a {percent} change in {metric2}",
    "{company} {V} {metric} in {place}; {metric2} of {money} seen as {A}",
    "In {place}, {company} {V} {product} while {E} drives {A} {metric2}",
    "{A} {period} for {company}, with {metric} at {money} and {E}",
)
_MIXED = (
    "{company} {V} {metric} despite {e} in {place}",
    "Shrugging aside {a} {metric}, {company} {V} {metric2} as {E} takes over, {broker} writes",
    "{company}: {a} {metric2} outweighed by {E} and {A} {metric}",
    "{e} fades from view at {company} as {product} brings {A} {metric} of {money}",
    "After {a} {period}, {company} now {V} {metric}, {title} {person} tells investors",
    "Once known for {a} {metric}, {company} turns to {A} {metric2} in {place}",
)
_NEGATED = (
    "{company} {metric} no longer {a}, {broker} says, with {money} in {metric2}",
    "{title} {person} rules out {e} at {company} in {period}",
    "{metric} at {company} far from {a} in {place}, {broker} finds",
    "Not {a} at all: {company} {product} {metric} comes in at {money}",
    "{company} never saw {e}, says {person}; {metric} {percent} from last year",
    "No sign of {e} at {company}, {metric2} of {money} hardly {a}",
    "{broker} drops its call for {e} at {company} after talks with {person}",
)
_NEUTRAL = (
    "{company} to present {product} at a conference in {place}",
    "{company} names {person} as {title} of its {product} unit in {place}",
    "{company} schedules {period} call; {broker} expects {metric} near {money}",
    "{company} files routine report, {metric} of {money} and {metric2} in line",
    "{broker} keeps its view of {company} after meeting {title} {person} in {place}",
    "{company} moves {product} staff to {place}, {metric} unchanged at {money}",
    "{title} {person} sells {count} shares of {company} under a standing plan",
    "{company} and {broker} extend credit line of {money} on the same terms",
    "{company} holds annual meeting in {place}, {count} votes cast",
)
_BALANCED = (
    "{company} {metric} {A} but {metric2} {a} in {period}, {broker} says",
    "{E} offset by {e} at {company}, {metric} flat at {money}",
    "{company} {V} {metric}, yet {e} leaves {metric2} where it was",
)

_FIRST = _split(
    "Alder Bexley Corvan Delmont Eastway Farrow Glenrock Halden Ivory Jarrow Kestrel Lorne Marden Norvik Oakhurst "
    "Penrose Quillon Redfern Stanmore Tarrant Umber Vantor Wexcombe Yarrow Zenda Ardmore Brackley Carrow Dunmore "
    "Elstree Fenwick Garnet Holloway Inverley Juniper Kirkwell Lanyon Morrow Nettle Orwell Pembury Quorn Rossall "
    "Selby Tolland Ulster Verity Whitby"
)
_SECTORS = _split("Robotics Foods Pharma Energy Software Motors Retail Bank Airlines Networks Materials Semiconductor")
_GIVEN = _split(
    "Anna Boris Carla David Elena Frank Grace Henry Irene James Karen Louis Maria Nadia Oscar Paula Rahul Sofia Tom Wei"
)
_FAMILY = _split(
    "Abbott Berger Castillo Dunn Eriksen Fischer Grant Hoffman Ito Jensen Khan Lindqvist Moreau Novak Okafor Patel "
    "Quinn Rossi Sato Tanaka Urban Varga Walsh Xu Young Zeller"
)
_TITLES = _split("CEO CFO COO chair president treasurer")
_BROKERS = _split(
    "Larkfield|Stoneham Capital|Brightwater|Old Mill Securities|Cartway Research|Northlight|Tamar & Co|Weston Partners"
)
_METRICS = _split(
    "revenue|orders|margins|bookings|same-store sales|shipments|cash flow|earnings|unit volumes|operating income|"
    "backlog|subscriber numbers|pricing|free cash flow|deliveries"
)
_PLACES = _split("Ohio|Texas|Brazil|Germany|India|Mexico|Japan|Poland|Vietnam|Canada|Spain|Chile|Korea|Italy|Kenya")
_PRODUCTS = _split("Orion Atlas Lumen Vertex Nimbus Pulsar Strata Helix Cobalt Summit Ranger Tempo Falcon Prism Drift")
_SOURCES = _split(
    "Meridian Wire|Harbor News|Ledger Daily|Tape Reader|Street Post|Continental Press|Bluebell Markets|Quayside"
)
_STRONG = _split("remarkably markedly sharply dramatically hugely")
_MILD = _split("slightly somewhat mildly modestly fairly")

_RARE_BYLINES = ("UPDATE", "Correction", "Repeat", "Highlights", "From the wires")


@dataclass(frozen=True)
class Company:
    """A listed company of the simulated market: its ticker and the name that articles use."""

    symbol: str
    name: str
    products: tuple[str, ...]


def companies(count: int) -> list[Company]:
    """Return the first ``count`` companies; the list is fixed, tickers are unique up to `MAX_SYMBOLS`."""
    chosen = []
    for number in range(count):
        first = _FIRST[number % len(_FIRST)]
        sector = _SECTORS[(number * 5 + number // len(_FIRST)) % len(_SECTORS)]
        generation = number // len(_FIRST)
        ticker = first[:3].upper() + (sector[0] if generation == 0 else f"{sector[0]}{chr(64 + generation)}")
        products = tuple(_PRODUCTS[(number * 4 + step) % len(_PRODUCTS)] for step in range(4))
        chosen.append(Company(ticker, f"{first} {sector}", products))
    return chosen


def company_names(count: int) -> dict[str, list[str]]:
    """Return what articles call the first ``count`` companies, by symbol: the whole name, and its first word."""
    return {company.symbol: [company.name, company.name.split()[0]] for company in companies(count)}


@lru_cache
def _words(kind: str, polarity: int) -> tuple[list[str], list[str], np.ndarray]:
    """Words of one kind and side that stay, those that come and go, and when in a cycle each is most in fashion."""
    fashions = _split(_FASHIONS[kind, polarity])
    centres = (np.arange(len(fashions)) * 7 % len(fashions) + 0.5) * VOCABULARY_CYCLE_YEARS / len(fashions)
    return _split(_EVERGREEN[kind, polarity]), fashions, centres


@lru_cache(maxsize=4096)
def _vocabulary(kind: str, polarity: int, month: int) -> tuple[tuple[str, ...], list[float]]:
    """Words of one kind and side with their cumulative probability in one month (counted from January 2015)."""
    phase = (month / 12.0) % VOCABULARY_CYCLE_YEARS
    steady, fashions, centres = _words(kind, polarity)
    distance = np.abs(phase - centres)
    distance = np.minimum(distance, VOCABULARY_CYCLE_YEARS - distance)
    popularity = np.exp(-0.5 * (distance / FASHION_WIDTH_YEARS) ** 2)
    turncoats = _split(_TURNCOATS[kind])
    early = phase < VOCABULARY_CYCLE_YEARS * 0.3 or phase >= VOCABULARY_CYCLE_YEARS * 0.8
    mine = [word for place, word in enumerate(turncoats) if (place % 2 == 0) == (early == (polarity > 0))]
    weights = np.empty(len(steady) + len(fashions) + len(mine))
    weights[: len(steady)] = 0.60 / len(steady)
    weights[len(steady) : len(steady) + len(fashions)] = 0.35 * popularity / popularity.sum()
    weights[len(steady) + len(fashions) :] = 0.05 / len(mine)
    return (*steady, *fashions, *mine), np.cumsum(weights / weights.sum()).tolist()


class _Draws:
    """A stream of uniform numbers handed out one by one, drawn in one call because that is a hundred times faster.

    Attributes
    ----------
    next : callable
        Returns the next number: an iterator's own method, since a market takes a dozen numbers for every article.
    """

    def __init__(self, rng: np.random.Generator, count: int) -> None:
        blocks = chain.from_iterable(self._blocks(rng, count))
        self.next: Callable[[], float] = blocks.__next__

    @staticmethod
    def _blocks(rng: np.random.Generator, count: int) -> Iterator[Iterator[float]]:
        size = max(count, 64)
        while True:
            yield reversed(rng.random(size).tolist())
            size = 4096

    def pick(self, options: Sequence[str]) -> str:
        return options[int(self.next() * len(options))]


def _signed(kind: str, polarity: int, month: int, magnitude: float, draws: _Draws) -> str:
    words, cumulative = _vocabulary(kind, polarity, month)
    word = words[min(bisect_right(cumulative, draws.next()), len(words) - 1)]
    if kind == "adjective":
        chance = draws.next()
        if magnitude > 0.75 and chance < 0.5:
            return f"{draws.pick(_STRONG)} {word}"
        if magnitude < 0.55 and chance < 0.4:
            return f"{draws.pick(_MILD)} {word}"
    return word


_SIGNED_SLOTS = {"A": ("adjective", 1), "E": ("event", 1), "V": ("verb", 1), "a": ("adjective", -1), "e": ("event", -1)}
_PERIODS = ("first quarter", "second quarter", "third quarter", "fourth quarter", "half year")


def _called(company: Company, draws: _Draws) -> str:
    return company.name if draws.next() < 0.7 else f"{company.name.split()[0]} ({company.symbol})"


def _product(company: Company, draws: _Draws) -> str:
    return f"{draws.pick(company.products)} {1 + int(draws.next() * 9)}"


def _person(company: Company, draws: _Draws) -> str:
    return f"{draws.pick(_GIVEN)} {draws.pick(_FAMILY)}"


def _money(company: Company, draws: _Draws) -> str:
    return f"${0.1 + draws.next() * 9.9:.2f} {draws.pick(('billion', 'million'))}"


_NEUTRAL_SLOTS: dict[str, Callable[[Company, _Draws], str]] = {
    "company": _called,
    "product": _product,
    "person": _person,
    "title": lambda company, draws: draws.pick(_TITLES),
    "broker": lambda company, draws: draws.pick(_BROKERS),
    "period": lambda company, draws: draws.pick(_PERIODS),
    "place": lambda company, draws: draws.pick(_PLACES),
    "money": _money,
    "percent": lambda company, draws: f"{0.1 + draws.next() * 29:.1f}%",
    "count": lambda company, draws: f"{1_000 + int(draws.next() * 90_000):,}",
}


@dataclass(frozen=True)
class _Slot:
    """A gap of a template with the words before it: what fills it, or else which side its word is on."""

    before: str
    name: str | None
    neutral: Callable[[Company, _Draws], str] | None
    signed: tuple[str, int] | None


@lru_cache(maxsize=256)
def _parsed(template: str) -> tuple[_Slot, ...]:
    slots = []
    for before, name, _, _ in string.Formatter().parse(template):
        signed = _SIGNED_SLOTS.get(name or "")
        neutral = None if signed or name in (None, "metric", "metric2") else _NEUTRAL_SLOTS[name]
        slots.append(_Slot(before, name, neutral, signed))
    return tuple(slots)


def _template(sentiment: float, draws: _Draws) -> tuple[str, int]:
    """Choose a template and the side of its upper-case slots."""
    chance = draws.next()
    if abs(sentiment) < 0.25:
        side = 1 if draws.next() < 0.5 else -1
        return draws.pick(_NEUTRAL if chance < 0.7 else _BALANCED), side
    side = 1 if sentiment > 0 else -1
    return draws.pick(_PLAIN if chance < 0.84 else _MIXED if chance < 0.94 else _NEGATED), side


def write_articles(
    sentiment: np.ndarray, month: np.ndarray, subjects: Sequence[Company], rng: np.random.Generator
) -> list[str]:
    """Write one article for each hidden sentiment.

    Parameters
    ----------
    sentiment : ndarray, shape (n,)
        Hidden sentiment in [-1, 1]; within 0.25 of zero the text is neutral.
    month : ndarray of int, shape (n,)
        Month of publication, counted from January 2015; decides which words are in fashion.
    subjects : sequence of Company, length n
        The company each article is about.
    rng : numpy.random.Generator
        The only source of randomness.

    Returns
    -------
    list of str, length n
        Texts of about 8 to 30 words.
    """
    draws = _Draws(rng, 24 * len(sentiment))
    texts = []
    for value, when, company in zip(sentiment.tolist(), month.tolist(), subjects, strict=True):
        template, side = _template(value, draws)
        parts = []
        metric = int(draws.next() * len(_METRICS))
        for slot in _parsed(template):
            parts.append(slot.before)
            if slot.neutral is not None:
                parts.append(slot.neutral(company, draws))
            elif slot.signed is not None:
                kind, sign = slot.signed
                parts.append(_signed(kind, sign * side, when, abs(value), draws))
            elif slot.name == "metric":
                parts.append(_METRICS[metric])
            elif slot.name == "metric2":
                parts.append(_METRICS[(metric + 1 + int(draws.next() * (len(_METRICS) - 1))) % len(_METRICS)])
        if draws.next() < 0.25:
            parts.append(
                f". {_person(company, draws)}, {draws.pick(_TITLES)}, "
                f"spoke to {draws.pick(_BROKERS)} in {draws.pick(_PLACES)}"
            )
        text = "".join(parts)
        texts.append(text[0].upper() + text[1:] + ("." if draws.next() < 0.5 else ""))
    return texts


def syndicate(texts: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Rewrite texts the way other outlets copy them: case, punctuation, a link, a byline.

    About four in five copies are equal to the original after ``normalise_text``; a byline hides the rest.
    """
    draws = _Draws(rng, 6 * len(texts))
    copies = []
    for text in texts:
        copy = text.rstrip(".")
        chance = draws.next()
        if chance < 0.2:
            copy = f"{draws.pick(_RARE_BYLINES)}: {copy}"
        elif chance < 0.4:
            copy = f"RT @{draws.pick(_SOURCES).split()[0].lower()}: {copy}"
        elif chance < 0.6:
            copy = copy.upper()
        elif chance < 0.8:
            copy = copy.replace(",", " -").replace(";", ",") + "!"
        if draws.next() < 0.3:
            copy = f"{copy} https://news.example/{int(draws.next() * 1e8):08d}"
        copies.append(copy if copy != text else f"{copy}...")
    return copies


def sources(count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the outlets of ``count`` articles; shape (count,)."""
    return np.asarray(_SOURCES, dtype=object)[rng.integers(0, len(_SOURCES), count)]


def other_sources(used: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw, for each outlet in ``used``, a different one; same shape."""
    place = np.asarray([_SOURCES.index(name) for name in used], dtype=np.int64)
    moved = (place + rng.integers(1, len(_SOURCES), len(place))) % len(_SOURCES)
    return np.asarray([_SOURCES[position] for position in moved], dtype=object)
