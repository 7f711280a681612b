from .contents import MetricRow, ReportData
from .page import render_page

__all__ = [
    "MetricRow",
    "ReportData",
    "render_page",
]
