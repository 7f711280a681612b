"""A sweep for people: the best cells as a table for the terminal, or all of them as one HTML page with heat maps."""

from __future__ import annotations

from embargo.research.studies.sweep.page import render_page, write_page
from embargo.research.studies.sweep.tables import print_sweep

__all__ = ["print_sweep", "render_page", "write_page"]
