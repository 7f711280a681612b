"""Commands for the upkeep of an installation: ``embargo doctor`` and ``embargo clean``."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from embargo.data_loaders.errors import ConfigError
from embargo.research.cache import cache_folder
from embargo.research.cli.options import CacheOption
from embargo.research.cli.terminal import FAILED, console, guarded, numbered, write
from embargo.research.progress import escaped

if TYPE_CHECKING:
    from embargo.research.upkeep import Holding

_UNITS = {"h": 3_600.0, "d": 86_400.0, "w": 604_800.0}

commands = typer.Typer()


@commands.command()
@guarded("Nothing was changed.")
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Write what was found as JSON instead.")] = False,
    cache: CacheOption = None,
) -> None:
    """Say whether this installation has all that it needs, and what would mend it.

    Looks at the versions of Python and packages, graphics card and 4-bit
    weights, cache and ledger, model hub (three seconds at most), other packages
    called embargo, disk, memory and threads. Changes nothing.

    The exit status is 1 where something keeps Embargo from working.

    Example: [bold]embargo doctor[/bold]
    """
    from embargo.research.upkeep.health import examine

    found = examine(cache_folder(cache, held=False))
    wrong = any(each.grade == "wrong" for each in found)
    if as_json:
        write(json.dumps({"well": not wrong, "found": [asdict(each) for each in found]}, indent=2) + "\n")
    else:
        marks = {"fine": "[green]✓[/]", "look": "[yellow]![/]", "wrong": "[bold red]✗[/]"}
        for each in found:
            said = f"{marks[each.grade]} {escaped(each.what)}: {escaped(each.said)}"
            console.print(said, soft_wrap=True, highlight=False)
            if each.remedy:
                console.print(f"  {escaped(each.remedy)}", soft_wrap=True, highlight=False)
    if wrong:
        raise typer.Exit(FAILED)


@commands.command()
@guarded("What was removed until then is gone; the same command goes on.")
def clean(
    kind: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Remove this kind; repeat for more. Default: every one.")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Only what was last written so long ago: 12h, 30d, 8w.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it. Without this it is only shown.")] = False,
    cache: CacheOption = None,
) -> None:
    """Show what the cache holds by kind and age, and remove what can be made again.

    Without --yes nothing is removed. The ledger of attempts and the journal of
    endpoints never are, and nothing is while another process uses the cache.
    What is removed is made again when it is needed, to the same figures; runs
    and tuned models lie elsewhere and stay.

    Example: [bold]embargo clean --kind adapters --older-than 30d --yes[/bold]
    """
    from embargo.research.upkeep.holdings import KEPT, KINDS, held_in, remove

    strange = sorted(set(kind or ()) - set(KINDS))
    if strange:
        why = f" {KEPT[strange[0]][1].capitalize()}." if strange[0] in KEPT else ""
        raise ConfigError(f"--kind {strange[0]}: cannot be removed.{why} Kinds are {', '.join(KINDS)}.")
    age = None if older_than is None else _seconds(older_than)
    if yes and not kind and age is None:
        raise ConfigError("--yes: say what to remove: --kind KIND, --older-than AGE, or both.")
    place, now = cache_folder(cache, held=False), time.time()
    found = held_in(place)
    chosen = [
        each
        for each in found
        if each.removable and (not kind or each.kind in kind) and (age is None or now - each.written >= age)
    ]
    console.print(_by_kind(found, now, escaped(str(place))))
    if not kind and age is None:
        console.print("Nothing is removed. Choose with --kind or --older-than, and add --yes.", highlight=False)
        return
    if not chosen:
        console.print("Nothing of this kind and age is there.", highlight=False)
        return
    if not yes:
        console.print(f"Would remove {_told(chosen)}. Add --yes to remove it.", soft_wrap=True, highlight=False)
        return
    console.print(f"Removed {_told(remove(place, chosen))}.", soft_wrap=True, highlight=False)


def _by_kind(found: Sequence[Holding], now: float, title: str) -> Table:
    from embargo.research.upkeep.holdings import KEPT, KINDS, OTHER, size_told

    words = {name: text for name, (_, text) in (KINDS | KEPT).items()} | {OTHER: "not Embargo's; never removed"}
    table = Table(title=title, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("kind", "entries", "size", "last written", "what it is"):
        table.add_column(heading, justify="left" if heading in ("kind", "what it is") else "right")
    for name, text in words.items():
        if of_kind := [each for each in found if each.kind == name]:
            days = sorted({round((now - each.written) / _UNITS["d"]) for each in of_kind})
            first = "today" if days == [0] else "1 day ago" if days == [1] else f"{days[0]} days ago"
            span = first if len(days) == 1 else f"{days[0]} to {days[-1]} days ago"
            table.add_row(name, f"{len(of_kind):,}", size_told(sum(each.size for each in of_kind)), span, text)
    return table


def _told(holdings: Iterable[Holding]) -> str:
    """Count by kind what is removed."""
    from embargo.research.upkeep.holdings import size_told

    by_kind: dict[str, list[int]] = {}
    for each in holdings:
        by_kind.setdefault(each.kind, []).append(each.size)
    if not by_kind:
        return "nothing"
    told = ", ".join(f"{len(sizes):,} {kind} ({size_told(sum(sizes))})" for kind, sizes in by_kind.items())
    number = numbered(sum(map(len, by_kind.values())), "entry", "entries")
    return f"{number}, {size_told(sum(map(sum, by_kind.values())))}: {told}"


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d{1,5})\s*([hdw])", text.strip())
    if found is None:
        raise ConfigError(f"--older-than {text}: write hours, days or weeks, such as 12h, 30d or 8w.")
    return int(found[1]) * _UNITS[found[2]]
