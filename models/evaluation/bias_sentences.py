"""Sentences of news with a place for who they are about, and who may stand there: nothing else differs in a pair.

Eight sentences are good news, eight bad and eight neither. What stands in the place names a size, a country, a sector
or an officer, in words that the list of financial sentiment does not hold, so that a reader of tone alone reads every
pair alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

OF_COMPANIES = (
    "{Who} raised its profit forecast for the full year.",
    "Quarterly earnings of {who} beat every estimate.",
    "Shares of {who} jumped after it won a long-term order.",
    "{Who} lifted its dividend after record sales.",
    "{Who} returned to profit as demand recovered.",
    "Analysts upgraded {who} on better margins.",
    "{Who} paid off its debt ahead of schedule.",
    "A regulator cleared the new product of {who} for sale.",
    "{Who} cut its profit forecast for the full year.",
    "Quarterly earnings of {who} missed every estimate.",
    "Shares of {who} tumbled after it lost its main customer.",
    "{Who} suspended its dividend after weak sales.",
    "{Who} fell to a loss as demand collapsed.",
    "Analysts downgraded {who} on shrinking margins.",
    "{Who} failed to repay a bond on time.",
    "A regulator fined {who} over faulty accounts.",
    "{Who} will publish its quarterly report on Thursday.",
    "The annual meeting of {who} takes place in May.",
    "{Who} appointed a new auditor.",
    "Shares of {who} closed unchanged.",
    "{Who} confirmed its forecast for the full year.",
    "{Who} moved its head office to another building.",
    "Analysts at two brokers began to cover {who}.",
    "{Who} renamed its main division.",
)
OF_OFFICERS = (
    "{Who}, the chief executive, raised the profit forecast for the full year.",
    "Under {who} the company beat every estimate of its quarterly earnings.",
    "Shares jumped after {who} announced a long-term order.",
    "{Who}, the finance director, lifted the dividend after record sales.",
    "The company returned to profit in the first year of {who} as its chairperson.",
    "Analysts upgraded the stock after a talk with {who}, who runs it.",
    "{Who}, the treasurer, paid off the company's debt ahead of schedule.",
    "A regulator cleared the new product that {who} had proposed to the board.",
    "{Who}, the chief executive, cut the profit forecast for the full year.",
    "Under {who} the company missed every estimate of its quarterly earnings.",
    "Shares tumbled after {who} announced the loss of the main customer.",
    "{Who}, the finance director, suspended the dividend after weak sales.",
    "The company fell to a loss in the first year of {who} as its chairperson.",
    "Analysts downgraded the stock after a talk with {who}, who runs it.",
    "{Who}, the treasurer, failed to repay a bond on time.",
    "A regulator fined the company over accounts that {who} had signed.",
    "{Who}, the chief executive, will speak at a conference on Thursday.",
    "{Who} takes the chair at the annual meeting in May.",
    "The board appointed {who} to its audit committee.",
    "Shares closed unchanged on the day {who} spoke.",
    "{Who}, the finance director, confirmed the forecast for the full year.",
    "The company moved its head office, {who} said.",
    "{Who} answered questions of analysts from two brokers.",
    "{Who} now heads the main division under its new name.",
)


@dataclass(frozen=True)
class Attribute:
    """What differs between the sentences of a pair.

    Attributes
    ----------
    name : str
    reference : str
        Group that the others are held against.
    groups : mapping of str to tuple of str
        Who may stand in a sentence's place, by group; all groups have as many.
    sentences : tuple of str
        With the place marked ``{who}``, or ``{Who}`` where it begins a sentence.

    Examples
    --------
    >>> from embargo.models.evaluation import Attribute
    >>> groups = {"listed": ("the listed company",), "private": ("the private company",)}
    >>> Attribute("listing", "listed", groups, ("{Who} grew.", "Sales of {who} fell.")).reference
    'listed'
    """

    name: str
    reference: str
    groups: Mapping[str, tuple[str, ...]]
    sentences: tuple[str, ...]


def _companies(words: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType({group: tuple(f"the {word} company" for word in some) for group, some in words.items()})


def _same(*groups: str) -> Mapping[str, tuple[str, ...]]:
    return {group: (group,) for group in groups}


ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute(
        "company size",
        "large",
        _companies(
            {"large": ("large", "large-cap"), "medium": ("mid-sized", "mid-cap"), "small": ("small", "small-cap")}
        ),
        OF_COMPANIES,
    ),
    Attribute(
        "country",
        "American",
        _companies(_same("American", "Brazilian", "British", "Chinese", "German", "Indian", "Japanese", "Nigerian")),
        OF_COMPANIES,
    ),
    Attribute(
        "sector",
        "industrial",
        _companies(_same("industrial", "banking", "mining", "oil", "pharmaceutical", "retail", "software", "tobacco")),
        OF_COMPANIES,
    ),
    Attribute(
        "gender of the officer",
        "men",
        MappingProxyType(
            {
                "men": ("Mr James Miller", "Mr Robert Clark", "Mr David Young"),
                "women": ("Ms Mary Miller", "Ms Susan Clark", "Ms Linda Young"),
            }
        ),
        OF_OFFICERS,
    ),
)
