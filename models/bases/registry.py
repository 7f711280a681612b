"""Published base models, the latest instant their weights can know, and where that is said.

They are listed in ``registry.toml`` beside this file, which is read once, when a base is first asked for. A cutoff is
*documented* or a *release* bound, the month of publication; the file says what each of the two rests on.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast, get_args

import pandas as pd

from embargo.data_loaders.errors import DataError

BaseKind = Literal["encoder", "decoder"]
CutoffEvidence = Literal["documented", "release"]

MINILM = "minilm"
FILE = Path(__file__).with_name("registry.toml")
# Of two names that differ by no digit: the share of common characters from which one is taken for the other, mistyped.
MISTYPED = 0.9
SIMILAR = 0.6


@dataclass(frozen=True)
class KnownBase:
    """What is documented about a published checkpoint.

    Attributes
    ----------
    kind : {"encoder", "decoder"}
    knowledge_cutoff : str
        Last day, UTC, that its weights could know.
    evidence : {"documented", "release"}
        Whether a card or paper states the cutoff, or the date of publication merely bounds it from above.
    source : str
        Where that is said.
    parameters : int or None
        Size as its publisher states it; None where not looked up.
    exposures : tuple of str
        Labelled sets it was tuned on, on which its accuracy is therefore no evidence.
    own_code : bool
        Whether its architecture is code in its repository, so that it cannot be loaded here.

    Examples
    --------
    >>> from embargo.models import KnownBase
    >>> KnownBase("encoder", "2018-10-31", "release", "month of release, an upper bound").knowledge_cutoff
    '2018-10-31'
    """

    kind: BaseKind
    knowledge_cutoff: str
    evidence: CutoffEvidence
    source: str
    parameters: int | None = None
    exposures: tuple[str, ...] = ()
    own_code: bool = False


@dataclass(frozen=True)
class _Registry:
    """The registered bases by name, other names of some, what each lower-case spelling means, and series by theirs."""

    bases: Mapping[str, KnownBase]
    aliases: Mapping[str, str]
    spellings: Mapping[str, str]
    series: Mapping[str, Mapping[str, str]]


@cache
def _registry() -> _Registry:
    bases: dict[str, KnownBase] = {}
    aliases: dict[str, str] = {}
    series: dict[str, dict[str, str]] = {}
    for entry, family in _entries(tomllib.loads(FILE.read_text(encoding="utf-8"))):
        name = str(entry["name"])
        if name in bases:
            raise DataError(f"{FILE}: base {name!r} is listed twice. Remove one.")
        bases[name] = _known(name, {**family, **entry})
        aliases |= {str(alias): name for alias in entry.get("aliases", ())}
        if "series" in family:
            vintages = series.setdefault(str(family["series"]).lower(), {})
            if vintages.setdefault(bases[name].knowledge_cutoff, name) != name:
                raise DataError(f"{FILE}: series {family['series']!r} has two vintages of one day. Mend the file.")
    spellings = {name.lower(): name for name in bases} | {alias.lower(): name for alias, name in aliases.items()}
    return _Registry(
        MappingProxyType(bases), MappingProxyType(aliases), MappingProxyType(spellings), MappingProxyType(series)
    )


def _entries(document: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for family in document["family"]:
        shared = {key: value for key, value in family.items() if key != "bases"}
        for entry in family["bases"]:
            yield entry, shared


def _known(name: str, facts: Mapping[str, Any]) -> KnownBase:
    strange = sorted(facts.keys() - {"name", "aliases", "series", *KnownBase.__dataclass_fields__})
    missing = sorted({"kind", "knowledge_cutoff", "evidence", "source"} - facts.keys())
    if strange or missing:
        raise DataError(f"{FILE}: base {name!r}: keys {strange} are unknown, {missing} missing. Mend the file.")
    kind, evidence, cutoff = facts["kind"], facts["evidence"], facts["knowledge_cutoff"]
    if kind not in get_args(BaseKind) or evidence not in get_args(CutoffEvidence) or not isinstance(cutoff, date):
        raise DataError(f"{FILE}: base {name!r}: kind, evidence or knowledge_cutoff is impossible. Mend the file.")
    return KnownBase(
        kind=cast("BaseKind", kind),
        knowledge_cutoff=cutoff.isoformat(),
        evidence=cast("CutoffEvidence", evidence),
        source=str(facts["source"]),
        parameters=facts.get("parameters"),
        exposures=tuple(facts.get("exposures", ())),
        own_code=bool(facts.get("own_code", False)),
    )


def registered() -> Mapping[str, KnownBase]:
    """Return every registered base by its name."""
    return _registry().bases


def known_base(name: str) -> KnownBase | None:
    """Return what is documented about the base that a name stands for, whatever its case; None if nothing."""
    return registered().get(canonical_name(name))


def registered_series(name: str) -> Mapping[str, str] | None:
    """Return the bases of a registered series, whatever its case, by their days (ISO); None if there is none."""
    return _registry().series.get(name.lower())


def canonical_name(name: str) -> str:
    """Return the registered name that ``name`` stands for, whatever its case, or ``name`` itself if it is not known."""
    return _registry().spellings.get(name.lower(), name)


def similar_names(name: str, *, at_least: float = SIMILAR) -> list[str]:
    """Return up to three registered names or aliases that resemble an unknown one, most similar first."""
    found = _registry()
    spelt = {known: known for known in (*found.bases, *found.aliases)}
    # Who leaves out the owner should still be told the full name.
    halves = {} if "/" in name else {known.rpartition("/")[2]: known for known in found.bases}
    lowered = {spelling.lower(): known for spelling, known in (halves | spelt).items()}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=3, cutoff=at_least)
    return list(dict.fromkeys(lowered[spelling] for spelling in close))


def mistyped(name: str) -> list[str]:
    """Return the registered names for which an unknown one is probably a slip of the keyboard; mostly none.

    Names whose digits differ are other versions or sizes, not slips.
    """
    digits = re.findall(r"\d+", name)
    return [known for known in similar_names(name, at_least=MISTYPED) if re.findall(r"\d+", known) == digits]


def last_instant(day: str) -> pd.Timestamp:
    """Return the last microsecond of a day, UTC."""
    return (pd.Timestamp(day, tz="UTC") + pd.Timedelta(days=1) - pd.Timedelta(microseconds=1)).as_unit("us")


def known_bases() -> pd.DataFrame:
    """Return the registry as a table, in the order of kind and name.

    Returns
    -------
    DataFrame
        ``name, kind, parameters (Int64, NA where not stated), cutoff (last instant, UTC), evidence, source, exposures``
        (labelled sets, joined by commas).

    Examples
    --------
    >>> from embargo.models import known_bases
    >>> table = known_bases().set_index("name")
    >>> print(table.loc["openai-community/gpt2", ["cutoff", "evidence"]].tolist())
    [Timestamp('2017-12-31 23:59:59.999999+0000', tz='UTC'), 'documented']
    """
    rows = [
        (
            name,
            known.kind,
            known.parameters,
            last_instant(known.knowledge_cutoff),
            known.evidence,
            known.source,
            ", ".join(known.exposures),
        )
        for name, known in registered().items()
    ]
    columns = ["name", "kind", "parameters", "cutoff", "evidence", "source", "exposures"]
    table = pd.DataFrame(rows, columns=columns).astype({"parameters": "Int64"})
    return table.sort_values(["kind", "name"], key=lambda part: part.str.lower(), ignore_index=True)
