"""The tables of the pages: ready texts and shaded cells; and the one way to lay a table out on a terminal."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import pandas as pd

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class TableCell:
    """A printed cell of a page's table.

    Attributes
    ----------
    text : str
    numeric : bool
        Whether it is set to the right, as numbers are.
    strength : float
        Of its shading, 0 to 1.
    side : {"", "up", "down"}
        Colour of its shading.

    Examples
    --------
    >>> from embargo.research.pages import TableCell
    >>> TableCell("3.1%", strength=0.5, side="up").numeric
    True
    """

    text: str
    numeric: bool = True
    strength: float = 0.0
    side: str = ""


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table of ready texts.

    Attributes
    ----------
    title, note : str
        Heading, and what must be known to read it; the note may be empty.
    head : tuple of str
        Column names; the first column is the name of the row.
    rows : tuple of tuple of str
        One text per column.

    Examples
    --------
    >>> from embargo.research.pages import ReportTable
    >>> ReportTable("Trades", "", ("Figure", "Strategy"), (("Round trips", "12"),)).rows[0][1]
    '12'
    """

    title: str
    note: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def rows_of(frame: pd.DataFrame, kind: Callable[..., Row]) -> list[Row]:
    """Return the rows of a frame as typed values, so that what reads them knows what it reads.

    Parameters
    ----------
    frame : DataFrame
        Has a column for each field; others are passed over.
    kind : callable
        A ``typing.NamedTuple`` or a dataclass; its fields are names of columns.

    Returns
    -------
    list
        One for each row, in their order; values are as the frame holds them.

    Examples
    --------
    >>> from typing import NamedTuple
    >>> import pandas as pd
    >>> from embargo.research.pages import rows_of
    >>> class Cell(NamedTuple):
    ...     regime: str
    ...     sharpe: float
    >>> rows_of(pd.DataFrame({"n": [250], "sharpe": [1.2], "regime": ["bull"]}), Cell)
    [Cell(regime='bull', sharpe=1.2)]
    """
    return [kind(*row) for row in frame[list(inspect.signature(kind).parameters)].itertuples(index=False)]


def terminal_table(
    left: Sequence[str],
    right: Sequence[str] = (),
    *,
    title: Text | None = None,
    note: str = "",
    width: int | None = None,
) -> Table:
    """Return a table without rows for the terminal: a head in bold, a line below it, no frame.

    Names are printed as they stand, never read as markup; cells from outside should be ``rich.text.Text`` too.

    Parameters
    ----------
    left, right : sequence of str
        Names of the columns set to the left, and of those set to the right, such as numbers. Long cells fold.
    title : Text, optional
        Printed above.
    note : str
        Printed below, dimmed.
    width : int, optional
        In characters; by default as wide as its cells.

    Returns
    -------
    rich.table.Table

    Examples
    --------
    >>> from rich.console import Console
    >>> from embargo.research.pages import terminal_table
    >>> table = terminal_table(["run"], ["Sharpe"])
    >>> table.add_row("mine", "1.20")
    >>> Console(width=40).print(table)
    run  ┃ Sharpe
    ━━━━━╇━━━━━━━
    mine │   1.20
    """
    table = Table(
        title=title,
        title_justify="left",
        caption=Text(note, style="dim") if note else None,
        caption_justify="left",
        width=width,
        show_edge=False,
        pad_edge=False,
        header_style="bold",
    )
    for name in left:
        table.add_column(_head(name), overflow="fold")
    for name in right:
        table.add_column(_head(name), justify="right", overflow="fold")
    return table


def _head(name: str) -> Text:
    """Put the sides of a p-value on a line of their own: they are wider than the figure below them."""
    return Text(name.replace(", one-sided", ",\none-sided").replace(", two-sided", ",\ntwo-sided"))
