"""Signal research for people: a finished run's signal diagnosed, as tables for the terminal, one HTML page, or JSON.

The figures come from `embargo.signals.diagnostics.diagnosis`; here a run is read back, held against its fingerprints,
and shown.
"""

from __future__ import annotations

from embargo.research.studies.signal.page import render_page, write_page
from embargo.research.studies.signal.recalled import RecalledRun, diagnose_run, recall
from embargo.research.studies.signal.tables import as_document, print_diagnosis

__all__ = [
    "RecalledRun",
    "as_document",
    "diagnose_run",
    "print_diagnosis",
    "recall",
    "render_page",
    "write_page",
]
