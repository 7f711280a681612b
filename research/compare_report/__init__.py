"""A comparison of runs for people: tables and sentences for the terminal, or one HTML page with charts."""

from __future__ import annotations

from research.compare_report.page import render_page, write_page
from research.compare_report.table import print_comparison

__all__ = ["print_comparison", "render_page", "write_page"]
