"""A comparison of runs for people: tables and sentences for the terminal, or one HTML page with charts."""

from __future__ import annotations

from embargo.research.studies.compare.page import render_page, write_page
from embargo.research.studies.compare.tables import print_comparison

__all__ = ["print_comparison", "render_page", "write_page"]
