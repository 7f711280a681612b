from .comparison import Comparison, as_document, compare
from .page import render_page
from .tables import print_comparison

__all__ = [
    "Comparison",
    "as_document",
    "compare",
    "print_comparison",
    "render_page",
]
