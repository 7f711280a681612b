from .page import render_page
from .sweep import Axis, Sweep, read_axis
from .tables import print_sweep

__all__ = [
    "Axis",
    "Sweep",
    "print_sweep",
    "read_axis",
    "render_page",
]
