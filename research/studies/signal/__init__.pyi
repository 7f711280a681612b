from .page import render_page
from .recalled import RecalledRun, diagnose_run, recall
from .tables import as_document, print_diagnosis

__all__ = [
    "RecalledRun",
    "as_document",
    "diagnose_run",
    "print_diagnosis",
    "recall",
    "render_page",
]
