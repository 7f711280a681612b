"""A page of paper to draw on, in points from its upper left corner, and two pages as the bytes of a PDF.

Widths are measured with the fonts that are embedded, so that nothing is set where it does not fit. The fonts are those
that matplotlib brings along, found by file and never by name: the same sheet is the same bytes on every machine with
the same version of it.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font, LoadFlags
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon, Rectangle
from matplotlib.text import Text
from matplotlib.transforms import IdentityTransform

from embargo.backtest.attribution import Floats

Side = Literal["left", "right", "centre"]

# A4: 210 by 297 mm, in points of 1/72 inch.
WIDE, HIGH = 595.276, 841.89
MARGIN = 34.0
INNER = WIDE - 2 * MARGIN
ELLIPSIS = "…"
_UNITS = 1000.0
# What a person who reads a page on paper could set against none: no mark, and no sign that turns the writing around.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@cache
def colours() -> dict[str, str]:
    """Return the colours of the pages by name, as the light style has them: ``#rrggbb``.

    Examples
    --------
    >>> colours()["panel"]
    '#ffffff'
    """
    style = (files("embargo.research.pages") / "style.css").read_text(encoding="utf-8")
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", style.split("\n:root {")[1].split("}")[0]))


@cache
def _file(bold: bool) -> Path:
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"DejaVuSans{'-Bold' * bold}.ttf"


@cache
def _font(bold: bool) -> FT2Font:
    # Its own: what draws sets other sizes on the one that matplotlib shares.
    font = FT2Font(_file(bold))
    font.set_size(_UNITS, 72)
    return font


@cache
def _advance(sign: str, bold: bool) -> float:
    glyph = _font(bold).load_char(ord(sign), flags=LoadFlags.NO_HINTING)
    return float(glyph.linearHoriAdvance) / 65536.0 / _UNITS


def printable(words: object) -> str:
    """Return a text as the fonts can print it: a sign that they lack, or that nobody sees, stands by its number.

    Examples
    --------
    >>> printable("Zürich 東京")
    'Zürich <U+6771><U+4EAC>'
    """
    told = " ".join(unicodedata.normalize("NFC", str(words)).split(" "))
    return "".join(sign if _has(sign) else f"<U+{ord(sign):04X}>" for sign in told)


@cache
def _has(sign: str) -> bool:
    known = all(_font(bold).get_char_index(ord(sign)) for bold in (False, True))
    return known and ord(sign) <= 0xFFFF and unicodedata.category(sign) not in _UNSEEN


def width_of(words: str, size: float, *, bold: bool = False) -> float:
    """Return how wide a printable text is, in points.

    Examples
    --------
    >>> round(width_of("Sharpe", 10.0), 1)
    35.4
    """
    return size * sum(_advance(sign, bold) for sign in words)


def shortened(words: str, size: float, room: float, *, bold: bool = False) -> str:
    """Return a text that fits, its middle left out and marked where it does not: both ends tell runs apart.

    Examples
    --------
    >>> shortened("a-run-with-a-very-long-name-1a2b3c4d", 7.0, 80.0)
    'a-run-wit…-1a2b3c4d'
    """
    if width_of(words, size, bold=bold) <= room:
        return words
    for kept in range(len(words) - 1, 1, -1):
        left, right = words[: (kept + 1) // 2], words[len(words) - kept // 2 :]
        if width_of(told := f"{left}{ELLIPSIS}{right}", size, bold=bold) <= room:
            return told
    return ELLIPSIS


def wrapped(words: str, size: float, room: float, *, bold: bool = False) -> list[str]:
    """Return the lines of a text, none wider than the room; a word that is wider is broken.

    Examples
    --------
    >>> wrapped("what cannot be shown is not shown", 8.0, 60.0)
    ['what cannot', 'be shown is', 'not shown']
    """
    lines, line = list[str](), ""
    for word in words.split():
        told = f"{line} {word}" if line else word
        if width_of(told, size, bold=bold) <= room:
            line = told
            continue
        lines += [line] if line else []
        line = word
        while width_of(line, size, bold=bold) > room and len(line) > 1:
            fits = next(n for n in range(len(line) - 1, 0, -1) if n == 1 or width_of(line[:n], size, bold=bold) <= room)
            lines.append(line[:fits])
            line = line[fits:]
    return [*lines, line] if line else lines


def joined(items: Sequence[str], size: float, room: float, most: int, *, rest: str, between: str = "; ") -> list[str]:
    """Return a list as lines, as many entries as fit into ``most`` of them, and how many more there are.

    Parameters
    ----------
    items : sequence of str
        Printable.
    size, room : float
        Points.
    most : int
        Lines.
    rest : str
        Where the others stand, such as ``"more in report.html"``.
    between : str

    Examples
    --------
    >>> joined(["first of all", "second", "third", "last"], 8.0, 60.0, 2, rest="more")
    ['first of all; …', 'and 3 more']
    """
    for kept in range(len(items), -1, -1):
        told = between.join(items[:kept])
        if kept < len(items):
            told += f"{between if kept else ''}{ELLIPSIS} and {len(items) - kept:,} {rest}"
        lines = wrapped(told, size, room)
        if len(lines) <= most:
            return lines
    return wrapped(told, size, room)[:most]


class Paper:
    """One page of A4, on which texts, lines and areas are set in points from the upper left corner.

    Examples
    --------
    >>> def drawn():
    ...     page = Paper()
    ...     page.text(MARGIN, 40.0, "Sharpe ratio", size=12.0)
    ...     return [page]
    >>> as_pdf(drawn, title="mine", made=None)[:5]
    b'%PDF-'
    """

    def __init__(self) -> None:
        self.figure = Figure(figsize=(WIDE / 72, HIGH / 72), dpi=72, facecolor="white")

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = 7.0,
        bold: bool = False,
        colour: str = "ink",
        side: Side = "left",
    ) -> None:
        """Set a printable text on its baseline; x is its left end, its right end or its middle, as ``side`` says."""
        if not words:
            return
        share = {"left": 0.0, "centre": 0.5, "right": 1.0}[side]
        self.figure.add_artist(
            Text(
                x - share * width_of(words, size, bold=bold),
                HIGH - y,
                words,
                color=_named(colour),
                fontproperties=FontProperties(fname=_file(bold), size=size),
                va="baseline",
                parse_math=False,
                transform=IdentityTransform(),
            )
        )

    def lines(
        self, x: float, y: float, lines: Sequence[str], *, size: float, colour: str = "ink", bold: bool = False
    ) -> float:
        """Set lines below each other, the first on baseline y; return the baseline below the last."""
        for line in lines:
            self.text(x, y, line, size=size, colour=colour, bold=bold)
            y += 1.32 * size
        return y

    def box(
        self, x: float, y: float, wide: float, high: float, *, fill: str | None = None, edge: str | None = None,
        alpha: float = 1.0,
    ) -> None:  # fmt: skip
        """Fill a rectangle below y, or draw its edge."""
        self.figure.add_artist(
            Rectangle(
                (x, HIGH - y - high),
                wide,
                high,
                facecolor=_named(fill) if fill else "none",
                edgecolor=_named(edge) if edge else "none",
                linewidth=0.6 if edge else 0.0,
                alpha=alpha,
                transform=IdentityTransform(),
            )
        )

    def line(
        self,
        x: Sequence[float] | Floats,
        y: Sequence[float] | Floats,
        *,
        colour: str,
        width: float = 0.5,
        dashes: Sequence[float] | None = None,
    ) -> None:
        """Draw a line through points; it breaks where one is NaN."""
        drawn = Line2D(
            np.asarray(x, dtype=float),
            HIGH - np.asarray(y, dtype=float),
            color=_named(colour),
            linewidth=width,
            solid_joinstyle="round",
            transform=IdentityTransform(),
        )
        if dashes:
            drawn.set_dashes(dashes)
        self.figure.add_artist(drawn)

    def area(self, x: Floats, upper: Floats, lower: Floats, *, colour: str, alpha: float) -> None:
        """Fill what lies between two lines."""
        corners = np.column_stack([np.r_[x, x[::-1]], HIGH - np.r_[upper, lower[::-1]]])
        self.figure.add_artist(
            Polygon(corners, facecolor=_named(colour), edgecolor="none", alpha=alpha, transform=IdentityTransform())
        )

    def heading(self, x: float, y: float, wide: float, words: str) -> float:
        """Set the heading of a part above a rule; return the baseline of the first line below."""
        self.text(x, y, words, size=8.2, bold=True, colour="accent")
        self.line([x, x + wide], [y + 3.5, y + 3.5], colour="line", width=0.7)
        return y + 13.0


def _named(colour: str) -> str:
    return colours().get(colour, colour)


# TrueType fonts are embedded, so that text stays text.
_SETTINGS = {
    "backend": "pdf",
    "pdf.fonttype": 42,
    "pdf.compression": 6,
    "pdf.use14corefonts": False,
    "text.usetex": False,
}


def as_pdf(draw: Callable[[], Sequence[Paper]], *, title: str, made: datetime | None) -> bytes:
    """Draw pages into one PDF; the same drawing gives the same bytes, whatever a matplotlibrc says.

    Parameters
    ----------
    draw : callable
        Makes the pages.
    title : str
    made : datetime, optional
        When what it shows was made, which is written down as when the file was.
    """
    about = {"Title": title, "Creator": "Embargo", "Producer": f"matplotlib {matplotlib.__version__}"}
    plain: dict[Any, Any] = {**matplotlib.rcParamsDefault, **_SETTINGS}
    with io.BytesIO() as stream, matplotlib.rc_context(plain):
        # A date of None keeps the clock out of the file.
        with PdfPages(stream, metadata={**about, "CreationDate": made, "ModDate": made}) as book:
            for page in draw():
                book.savefig(page.figure)
        return stream.getvalue()


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round values between two, at most so many.

    Examples
    --------
    >>> ticks(0.93, 1.58)
    [1.0, 1.2, 1.4]
    """
    span = high - low
    if not span > 0.0:
        return [low]
    power = 10.0 ** np.floor(np.log10(span / most))
    step = next(power * part for part in (1.0, 2.0, 2.5, 5.0, 10.0, 20.0) if span / (power * part) <= most)
    first = int(np.ceil(low / step - 1e-9))
    return [float(round(step * n, 12)) for n in range(first, int(np.floor(high / step + 1e-9)) + 1)]
