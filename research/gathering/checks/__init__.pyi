from .check import check_world, worst, worst_first
from .page import render_page
from .tables import print_checks

__all__ = [
    "check_world",
    "print_checks",
    "render_page",
    "worst",
    "worst_first",
]
