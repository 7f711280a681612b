"""What a reader of a PDF is given: its pages' texts with their places, its fonts and its dates, read without a library.

It reads what matplotlib writes: plain objects, streams that are deflated, fonts with a table of Unicode.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

_OBJECT = re.compile(rb"\n(\d+) 0 obj\n(.*?)\nendobj", re.DOTALL)
_SHOWN = re.compile(
    rb"(?P<place>(?:-?[\d.]+ ){4}-?[\d.]+ -?[\d.]+ cm)|/(?P<font>F\d+) (?P<size>[\d.]+) Tf"
    rb"|(?P<text>\((?:\\.|[^\\)])*\))|(?P<end>\bET\b)|(?P<push>\bq\b)|(?P<pop>\bQ\b)",
    re.DOTALL,
)
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


@dataclass(frozen=True)
class Shown:
    """A text on a page: the left end of its baseline in points from the lower left corner."""

    text: str
    x: float
    y: float
    size: float
    bold: bool


def objects(pdf: bytes) -> dict[int, bytes]:
    return {int(found[1]): found[2] for found in _OBJECT.finditer(pdf)}


def pages(pdf: bytes) -> list[list[Shown]]:
    """Return the texts of every page in the order in which they are drawn."""
    parts = objects(pdf)
    kids = re.search(rb"/Kids \[ ([^\]]*)\]", pdf)
    assert kids is not None
    return [
        _texts(_stream(parts[_number(parts[kid], b"Contents")]), _fonts(parts, parts[kid])) for kid in _all(kids[1])
    ]


def boxes(pdf: bytes) -> list[tuple[float, ...]]:
    return [tuple(map(float, found.split())) for found in re.findall(rb"/MediaBox \[ ([\d. ]*)\]", pdf)]


def embedded(pdf: bytes) -> dict[str, bool]:
    """Return the fonts by name, and whether a font's file is in the document."""
    found = [part for part in objects(pdf).values() if b"/Type /FontDescriptor" in part]
    return {re.search(rb"/FontName /(\S+)", part)[1].decode(): b"/FontFile2" in part for part in found}  # type: ignore[index]


def _all(references: bytes) -> list[int]:
    return [int(number) for number in re.findall(rb"(\d+) 0 R", references)]


def _number(part: bytes, name: bytes) -> int:
    found = re.search(rb"/" + name + rb" (\d+) 0 R", part)
    assert found is not None, name
    return int(found[1])


def _stream(part: bytes) -> bytes:
    return zlib.decompress(part.split(b"stream\n", 1)[1].rsplit(b"\nendstream", 1)[0])


def _fonts(parts: dict[int, bytes], page: bytes) -> dict[bytes, tuple[dict[int, str], bool]]:
    """What each code of a font stands for, and whether the font is bold, by the font's name on the page."""
    named = parts[_number(parts[_number(page, b"Resources")], b"Font")]
    found = {name: parts[int(number)] for name, number in re.findall(rb"/(F\d+) (\d+) 0 R", named)}
    return {
        name: (_unicode(_stream(parts[_number(font, b"ToUnicode")])), b"-Bold" in font) for name, font in found.items()
    }


def _unicode(table: bytes) -> dict[int, str]:
    known = {}
    for first, _, told in re.findall(rb"<([0-9a-f]+)> <([0-9a-f]+)> \[([^\]]*)\]", table):
        for place, sign in enumerate(re.findall(rb"<([0-9a-f]+)>", told)):
            known[int(first, 16) + place] = bytes.fromhex(sign.decode()).decode("utf-16-be")
    return known


def _texts(drawn: bytes, fonts: dict[bytes, tuple[dict[int, str], bool]]) -> list[Shown]:
    found, kept, place = list[Shown](), list[tuple[float, float]](), (0.0, 0.0)
    font, size, told = b"", 0.0, ""
    for step in _SHOWN.finditer(drawn):
        if step["push"]:
            kept.append(place)
        elif step["pop"]:
            place = kept.pop()
        elif step["place"]:
            x, y = map(float, step["place"].split()[4:6])
            place = (place[0] + x, place[1] + y)
        elif step["font"]:
            font, size = step["font"], float(step["size"])
        elif step["text"]:
            plain = re.sub(rb"\\(.)", lambda sign: _ESCAPED.get(sign[1], sign[1]), step["text"][1:-1], flags=re.DOTALL)
            told += "".join(fonts[font][0][int.from_bytes(plain[at : at + 2])] for at in range(0, len(plain), 2))
        elif told:
            found.append(Shown(told, *place, size, fonts[font][1]))
            told = ""
    return found
