from .page import render_page
from .recall import RecalledRun, diagnose_run
from .tables import as_document, print_diagnosis

__all__ = [
    "RecalledRun",
    "as_document",
    "diagnose_run",
    "print_diagnosis",
    "render_page",
]
