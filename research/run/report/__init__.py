"""The report of a run: one self-contained HTML page that opens offline, on paper and to a screen reader.

`ReportData` holds all that the page says, `render` turns it into HTML and `write` puts it on disk. The same data give
the same bytes, nothing is fetched from anywhere, and text that came from outside is never taken for markup.
"""

from embargo.research.run.report.contents import MetricRow, ReportData
from embargo.research.run.report.page import render, write

__all__ = ["MetricRow", "ReportData", "render", "write"]
