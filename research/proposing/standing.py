"""What a proposed config still leaves open once its owner has been at it, so that a check of it can say so.

Only marks that ``embargo init`` writes are looked for; a setting that is written, here or beside the command, is
settled whatever stands above it, and so is one whose mark was taken away.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence

from embargo.research.proposing.lines import OPEN

_SECTION = re.compile(r"\[([\w.]+)\]")
_CANDIDATE = re.compile(r"# (\w+) = ")


def still_open(text: str, overrides: Sequence[str] = ()) -> list[str]:
    r"""Name what a config leaves open, with the line of its mark.

    Parameters
    ----------
    text : str
        A config. What is no TOML leaves nothing open: who reads it says what is wrong.
    overrides : sequence of str
        Settings given beside it, such as ``news.timezone=UTC``.

    Returns
    -------
    list of str
        Such as ``"prices.adjust (line 41)"``; ``"prices (line 41)"`` where the mark has no line to take out.

    Examples
    --------
    >>> from embargo.research.proposing.standing import still_open
    >>> text = '[news]\n# OPEN: whose clock?\n# timezone = "UTC"\n# timezone = "Asia/Tokyo"\n'
    >>> still_open(text), still_open(text, ["news.timezone=UTC"])
    (['news.timezone (line 2)'], [])
    """
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return []
    given = {override.partition("=")[0].strip() for override in overrides}
    return [
        f"{'.'.join(filter(None, (section, key)))} (line {line})"
        for section, key, line in _marks(text.splitlines())
        if key not in (settings.get(section, {}) if section else settings) and f"{section}.{key}" not in given
    ]


def _marks(lines: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    """Yield section, key and line of each mark; a key is that of the first candidate below, or empty without one."""
    section = ""
    for number, line in enumerate(lines, start=1):
        if found := _SECTION.match(line):
            section = found[1]
        if not line.startswith(f"# {OPEN}"):
            continue
        # A comment goes on indented, and its candidates follow it.
        after = next((each for each in lines[number:] if not each.startswith("#  ")), "")
        candidate = _CANDIDATE.match(after) or re.match(r"(\w+) = ", after)
        yield section, candidate[1] if candidate else "", number
