from .entries import ListedRun, entries_of
from .page import render_page

__all__ = [
    "ListedRun",
    "entries_of",
    "render_page",
]
