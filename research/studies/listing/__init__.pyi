from .entries import Entry, entries_of
from .page import render_page

__all__ = [
    "Entry",
    "entries_of",
    "render_page",
]
