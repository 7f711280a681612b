from .grid import Axis, Sweep, read_axis
from .page import render_page
from .search import sweep
from .tables import print_sweep

__all__ = [
    "Axis",
    "Sweep",
    "print_sweep",
    "read_axis",
    "render_page",
    "sweep",
]
