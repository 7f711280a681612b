from .page import render_page
from .tables import print_sweep

__all__ = [
    "print_sweep",
    "render_page",
]
