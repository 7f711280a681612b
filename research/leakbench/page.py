"""The tables of LeakBench, in Markdown for the documents and in short for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from embargo.research.leakbench.results import LeakBench, PlantResult, Rate

_OPENING = """\
<!-- Made by: embargo leakbench --write docs/leakbench.md -->

# LeakBench

Known ways to see the future, planted one at a time into small clean runs, and clean runs of many kinds; all of them
carried through everything that the product has against leaks: the checks of the data, the audit of a run, the deep
audit, and the probes of a reader. Nothing of the product knows of the plants. `embargo leakbench` makes these tables
anew, in two processes, and `--json` writes every case.

A plant is caught when a check calls it a leak, suspicious or bad data under its own code, or under one that names the
same cause, and says more than it says of the same world without the plant. The low dose is the second of a plant's.
Intervals are exact, 95 %.

No check was set on worlds of these seeds. But plants and checks come from the same hands: the shares say what these
checks make of these plants, not of any leak there may be.
"""

_GAPS = """\
## Known to be missed

- A clock that is wrong for a part of the articles of every source: the others move the evidence back. Stamps an hour
  early throughout: few articles lie within an hour of an open or a close, where prices could tell.
- Hindsight that is thin: news picked, edited or tagged with the answer at hand, of which fewer than 65 of 100 sides
  come true. Honest news may be as good.
- What a handful of articles or rows show: one copy in a hundred, three settings tried, two sessions left out.
- A list of symbols, attempts and funding of which nothing in the data and nobody says when they were made: a run asks.
"""


def markdown(result: LeakBench) -> str:
    """Write the page of a result."""
    part = "" if result.complete else "\n**A part of the plants and worlds only.**\n"
    lines = [_OPENING + part, "", "## In short", "", *_table(("", "share", "of", "95 % interval"), _in_short(result))]
    lines += ["", "## By code", "", *_table(
        ("code", "leak", "plants", "caught, full dose", "caught, low dose", "by", "CPU s"),
        (
            (code.code, code.leak, code.plants, _of(code.full), "" if code.low is None else _of(code.low),
             _by(code.by), f"{code.seconds:.0f}")
            for code in result.codes
        ),
    )]  # fmt: skip
    lines += ["", "## By plant", "", *_table(
        ("code", "plant", "what was done", "caught at each dose", "half are caught at", "under another code", "by"),
        (
            (plant.code, plant.name, plant.what, _doses(plant), _half(plant),
             sum(dose.wrong_code for dose in plant.doses) or "", _by(_all_by(plant)))
            for plant in result.plants
        ),
    )]  # fmt: skip
    lines += ["", "## Clean worlds", "", *_table(
        ("kind", "what it is", "worlds", "leak", "suspicious", "bad data", "refused", "by", "CPU s"),
        (
            (kind.kind, kind.what, kind.worlds, kind.accused, kind.doubted, kind.bad_data, kind.refused + kind.failed,
             _by(kind.by), f"{kind.seconds:.0f}")
            for kind in result.kinds
        ),
    )]  # fmt: skip
    missed = [plant for plant in result.plants if not any(dose.caught.count for dose in plant.doses)]
    lines += ["", "## Never caught", "", *_table(
        ("code", "plant", "what was done"), ((plant.code, plant.name, plant.what) for plant in missed)
    )] if missed else []  # fmt: skip
    lines += ["", *_GAPS.splitlines()]
    lines += ["", "## Not tested", "", *_table(
        ("code", "leak", "why"), ((each.code, each.leak, each.why) for each in result.not_tested)
    )]  # fmt: skip
    said = f"{len(result.cases)} cases, {result.seconds:,.0f} CPU seconds, {result.rows} row(s) for the deep audit."
    return "\n".join([*lines, "", said]) + "\n"


def in_short(result: LeakBench) -> list[tuple[str, str, str, str]]:
    """Return the rows of the summary, for a terminal."""
    return list(_in_short(result))


def _in_short(result: LeakBench) -> Iterable[tuple[str, str, str, str]]:
    for name, share in (
        ("planted at full dose: caught", result.full),
        ("planted at the low dose: caught", result.low),
        ("clean worlds: nothing said", result.clean),
        ("clean worlds: called a leak", result.accused),
        ("clean worlds: called suspicious", result.doubted),
        ("clean worlds: data called bad", result.bad_data),
    ):
        told = (f"{share.count / share.of:.1%}", f"{share.low:.1%} to {share.high:.1%}") if share.of else ("–", "–")
        yield name, told[0], f"{share.count} of {share.of}", told[1]


def _table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [f"| {' | '.join(headings)} |", "|" + "---|" * len(headings)]
    return lines + [f"| {' | '.join(_cell(value) for value in row)} |" for row in rows]


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _of(share: Rate) -> str:
    return f"{share.count} of {share.of} ({share.low:.0%} to {share.high:.0%})" if share.of else "–"


def _by(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _all_by(plant: PlantResult) -> dict[str, int]:
    counts: dict[str, int] = {}
    for dose in plant.doses:
        for name, count in dose.by.items():
            counts[name] = counts.get(name, 0) + count
    return counts


def _doses(plant: PlantResult) -> str:
    return ", ".join(
        f"{dose.dose:g}: {dose.caught.count} of {dose.caught.of}" + (f" ({dose.failed} failed)" if dose.failed else "")
        for dose in plant.doses
    )


def _half(plant: PlantResult) -> str:
    words = {
        "not asked": "",
        "below all": f"below {plant.doses[-1].dose:g}",
        "above all": f"above {plant.doses[0].dose:g}",
    }
    return f"{plant.half_dose:.2g}" if plant.half_dose is not None else words[plant.half_dose_is]
