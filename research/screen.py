"""The consoles: whatever is printed, only their own colours and movements reach the terminal, and no link.

It is the one door to the terminal for tables, lines, errors and progress bars alike, whoever wrote their words.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from embargo.research.plain import plain


class Screen(Console):
    r"""A console that shows control characters instead of obeying them, and no picture for ``:words:``.

    Parameters
    ----------
    **settings
        As for rich's console.

    Examples
    --------
    >>> from embargo.research.screen import Screen
    >>> Screen(width=40).print("up\x1b[31m :smile:")
    up␛[31m :smile:
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(emoji=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Make text of a string, plain before it is measured."""
        return super().render_str(plain(text), **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Draw something; what no string went through is made plain here."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
                continue
            style = segment.style
            yield Segment(plain(segment.text), style.update_link(None) if style and style.link else style)
