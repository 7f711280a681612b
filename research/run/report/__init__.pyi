from .contents import DataPart, MetricRow, ReportData
from .page import render_page

__all__ = [
    "DataPart",
    "MetricRow",
    "ReportData",
    "render_page",
]
